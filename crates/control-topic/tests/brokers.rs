//! The control topic on a real broker: made, claimed, written, compacted and read; and what it says where it can't.

mod support;

use std::{
    sync::OnceLock,
    time::{Duration, Instant},
};

use control_topic::{ControlTopic, Error, Right, name_of};
use kafka_harness::{Cluster, Security, TestRecord, client::produce, shared::unique};
use kafka_wire::Client;
use offset_marks::{
    ChunkLimits, LedgerWriter,
    control::{ControlError, ControlRecord, Keep, Record},
};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};

use self::support::{chunk_key, claim, ensured, keys, lane, ledger, mark, start};

/// One broker whose log cleaner does not wait.
fn kafka() -> &'static Cluster {
    static CLUSTER: OnceLock<Cluster> = OnceLock::new();
    CLUSTER.get_or_init(|| {
        let users = ["nobody", "reader", "writer"];
        let cluster = Cluster::builder().security(Security::plain(&users));
        cluster.broker_config("log.cleaner.backoff.ms", "100").start().expect("a broker")
    })
}

fn connect() -> Client {
    support::client(&kafka().client_properties("admin"))
}

fn start_record() -> ControlRecord {
    Record::Lane(start()).encode()
}

#[tokio::test]
async fn a_topic_is_made_once_and_compacted() {
    let (client, second, link) = (connect(), connect(), unique("made"));
    assert!(ControlTopic::open(&client, &link).await.unwrap().is_none());
    // Two instances that start together.
    let (one, other) = tokio::join!(ensured(&client, &link, 16), ensured(&second, &link, 16));
    assert_eq!((one.name(), one.partitions(), other.partitions()), (&*name_of(&link), 16, 16));
    assert_eq!(ensured(&client, &link, 5).await.partitions(), 16, "as many as it has");
    assert_eq!(ControlTopic::open(&client, &link).await.unwrap().unwrap().partitions(), 16);
    let configs = kafka().topic_config(one.name()).unwrap();
    let has = |name: &str, value: &str| configs.contains(&(name.to_owned(), value.to_owned()));
    assert!(has("cleanup.policy", "compact") && has("message.timestamp.type", "CreateTime"), "{configs:?}");
}

#[tokio::test]
async fn a_topic_that_would_lose_marks_is_refused() {
    for policy in ["delete", "compact,delete"] {
        let link = unique("deletes");
        kafka().create_topic(&name_of(&link), 2, 1, &[("cleanup.policy", policy)]).unwrap();
        let error = ControlTopic::ensure(&connect(), &link, 2, -1).await.unwrap_err();
        assert!(matches!(&error, Error::NotCompacted { policy: found, .. } if found == policy), "{error}");
        assert!(error.fix().is_some_and(|fix| fix.contains("cleanup.policy=compact")), "{error}");
    }
}

#[tokio::test]
async fn what_is_written_is_read() {
    let topic = ensured(&connect(), &unique("round"), 3).await;
    let mut marks = LedgerWriter::begin(start()).with_limits(ChunkLimits { runs: 4, bytes: 1 << 20 });
    mark(&mut marks, 20_000);
    let unwritten = marks.unwritten();
    let count = unwritten.records.len();
    assert_eq!(count, 5001, "a start and a chunk for each four runs");
    let mut writer = topic.writer(1);
    assert_eq!(writer.write(unwritten.records).await.unwrap(), count as i64);
    marks.written(unwritten.revision);
    assert_eq!(writer.write(Vec::new()).await.unwrap(), count as i64);

    let read = topic.read(1, Keep::Everything).await.unwrap();
    let whole = ledger(&read);
    assert_eq!((whole.runs().count(), whole.position()), (20_000, marks.position()));
    assert_eq!(whole.missing().count(), 0);
    let tail = topic.read(1, Keep::Tails).await.unwrap().writer(&lane()).unwrap();
    assert_eq!(tail.position(), marks.position());
    let all = topic.read_all(Keep::Everything).await.unwrap();
    assert_eq!(all.iter().map(|state| state.lanes().count()).collect::<Vec<_>>(), [0, 1, 0]);

    // Deleted, and begun again.
    writer.write(read.deletion(&lane())).await.unwrap();
    let empty = topic.read(1, Keep::Everything).await.unwrap();
    assert!(empty.lanes().next().is_none() && empty.ledger(&lane()).is_none());
    topic.write(1, vec![start_record()]).await.unwrap();
    assert_eq!(ledger(&topic.read(1, Keep::Everything).await.unwrap()).position(), start().at);
}

#[tokio::test]
async fn large_records_go_alone_and_in_order() {
    let topic = ensured(&connect(), &unique("large"), 1).await;
    let record =
        |n: u32| ControlRecord { key: chunk_key(n), value: Some(vec![0; 200_000 + 100 * n as usize]) };
    let mut writer = topic.writer(0);
    assert_eq!(writer.write((0..40).map(record).collect()).await.unwrap(), 40);
    let expected: Vec<_> = (0..40).map(|n| String::from_utf8(chunk_key(n)).unwrap()).collect();
    assert_eq!(keys(&kafka().props(), topic.name(), 0), expected);
    let huge = ControlRecord { key: chunk_key(41), value: Some(vec![0; 2_000_000]) };
    let error = writer.write(vec![huge, record(42)]).await.unwrap_err();
    assert!(matches!(&error, Error::Kafka { .. }) && !error.is_retriable(), "{error}");
    // Given up, and what comes next is written.
    assert_eq!(writer.write(vec![record(43)]).await.unwrap(), 41);
}

#[tokio::test]
async fn all_who_claim_it_get_the_same_link() {
    let (client, link) = (connect(), unique("claimed"));
    let topic = ensured(&client, &link, 2).await;
    let others: Vec<_> = (0..4).map(|_| connect()).collect();
    let claims = others.iter().map(|client| async {
        ControlTopic::open(client, &link).await.unwrap().unwrap().claim(claim()).await.unwrap()
    });
    let claimed = futures::future::join_all(claims).await;
    let first = topic.claim(claim()).await.unwrap();
    assert!(claimed.iter().all(|link| *link == first), "{claimed:?}");
    assert_eq!((first.slots, first.source_cluster.as_deref()), (2, Some("dc1")));
    let written = keys(&kafka().props(), topic.name(), 0);
    assert_eq!(written[0], format!("link/{}", first.producer_id));
    topic.claim(claim()).await.unwrap();
    assert_eq!(keys(&kafka().props(), topic.name(), 0), written, "there is nothing left to claim");
}

#[tokio::test]
async fn compaction_leaves_the_ledger_as_it_was() {
    let topic = ensured(&connect(), &unique("compacted"), 1).await;
    let quick =
        [("segment.bytes", "20000"), ("min.cleanable.dirty.ratio", "0.01"), ("delete.retention.ms", "0")];
    kafka()
        .alter_topic_config(topic.name(), &[&quick[..], &[("cleanup.policy", "compact")]].concat())
        .unwrap();
    let mut marks = LedgerWriter::begin(start()).with_limits(ChunkLimits { runs: 50, bytes: 1 << 20 });
    let mut writer = topic.writer(0);
    let mut written = 0;
    let started = Instant::now();
    loop {
        for _ in 0..200 {
            mark(&mut marks, 7);
            let unwritten = marks.unwritten();
            written += unwritten.records.len();
            writer.write(unwritten.records).await.unwrap();
            marks.written(unwritten.revision);
        }
        let left = keys(&kafka().props(), topic.name(), 0).len();
        if left < written / 2 {
            break;
        }
        assert!(started.elapsed() < Duration::from_secs(60), "{left} of {written} are left");
    }
    let read = ledger(&topic.read(0, Keep::Everything).await.unwrap());
    assert_eq!(read.position(), marks.position());
    assert_eq!(read.missing().count(), 0);
    let runs: Vec<_> = read.runs().map(|run| (run.source, run.target, run.count)).collect();
    let expected: Vec<_> = (0..runs.len() as i64).map(|n| (5 * n + 2, 3 * n, 3)).collect();
    assert_eq!(runs, expected);
}

#[tokio::test]
async fn only_what_is_committed_counts() {
    let topic = ensured(&connect(), &unique("transactions"), 1).await;
    let mut props = kafka().client_properties("admin");
    props.push(("transactional.id".to_owned(), unique("owner")));
    let owner: BaseProducer = kafka_harness::client::config(&props).create().unwrap();
    let wait = Duration::from_secs(20);
    let send = |record: &ControlRecord| {
        let value = record.value.clone().unwrap();
        let record = BaseRecord::to(topic.name()).partition(0).key(&record.key).payload(&value);
        owner.send(record).map_err(|(error, _)| error).unwrap();
        owner.flush(wait).unwrap();
    };
    let mut marks = LedgerWriter::begin(start());
    let lanes = |state: &offset_marks::control::ControlState| state.lanes().count();
    mark(&mut marks, 1);
    owner.init_transactions(wait).unwrap();
    owner.begin_transaction().unwrap();
    marks.unwritten().records.iter().for_each(send);
    owner.abort_transaction(wait).unwrap();
    assert_eq!(lanes(&topic.read(0, Keep::Everything).await.unwrap()), 0, "it was aborted");

    // A claim does not wait for what is open; nor does who only looks. An owner does.
    owner.begin_transaction().unwrap();
    marks.unwritten().records.iter().for_each(send);
    topic.claim(claim()).await.unwrap();
    assert_eq!(lanes(&topic.read_committed(0, Keep::Everything).await.unwrap()), 0, "it is open");
    let hasty =
        support::client(&kafka().client_properties("admin")).with_patience(Duration::from_millis(300));
    let hasty = ControlTopic::open(&hasty, &topic.name()["isomirror.".len()..]).await.unwrap().unwrap();
    let error = hasty.read(0, Keep::Everything).await.unwrap_err();
    assert!(error.to_string().contains("a transaction that begins at 3 is still open"), "{error}");
    let (read, ()) = tokio::join!(topic.read(0, Keep::Everything), async {
        tokio::time::sleep(Duration::from_millis(200)).await;
        owner.commit_transaction(wait).unwrap();
    });
    let read = read.unwrap();
    assert_eq!((ledger(&read).position(), read.link().is_some()), (marks.position(), true));
}

#[tokio::test]
async fn a_record_that_cannot_be_used_is_named() {
    let topic = ensured(&connect(), &unique("odd"), 2).await;
    topic.write(1, vec![start_record()]).await.unwrap();
    let value = String::from_utf8(start_record().value.unwrap()).unwrap().replacen("\"v\":1", "\"v\":2", 1);
    let newer = ControlRecord { value: Some(value.into_bytes()), ..start_record() };
    topic.write(1, vec![newer]).await.unwrap();
    let newer = topic.read(1, Keep::Tails).await.unwrap_err();
    assert!(
        matches!(&newer, Error::Record { error: ControlError::Newer { .. }, offset: 1, .. })
            && newer.to_string().contains("upgrade this one"),
        "{newer}"
    );

    let topic = ensured(&connect(), &unique("odd"), 2).await;
    let record = TestRecord {
        partition: 1,
        key: Some(b"what?".to_vec()),
        value: Some(vec![1]),
        ..TestRecord::default()
    };
    produce(&kafka().props(), topic.name(), &[record]).unwrap();
    let error = topic.read(1, Keep::Tails).await.unwrap_err();
    let Error::Record { partition: 1, offset: 0, error: ControlError::Malformed { .. }, .. } = &error else {
        panic!("{error}");
    };
    assert!(error.to_string().starts_with(&format!("{}/1, offset 0: ", topic.name())), "{error}");
}

#[tokio::test]
async fn a_later_epoch_shuts_out_an_earlier_one() {
    let (client, id) = (connect(), unique("slot"));
    let topic = ensured(&client, &unique("fenced"), 1).await;
    let next = async || client.init_producer_id(Some(&id), Duration::from_secs(60)).await.unwrap();
    let mut zombie = topic.writer_as(0, next().await);
    assert_eq!(zombie.write(vec![start_record()]).await.unwrap(), 1);
    let mut owner = topic.writer_as(0, next().await);
    assert_eq!(owner.write(vec![start_record()]).await.unwrap(), 2);
    let error = zombie.write(vec![start_record()]).await.unwrap_err();
    assert!(matches!(&error, Error::Fenced { .. }) && !error.is_retriable(), "{error}");
    assert_eq!(owner.write(vec![start_record()]).await.unwrap(), 3);
}

#[tokio::test]
async fn a_write_that_is_dropped_on_its_way_is_there_once() {
    let topic = ensured(&connect(), &unique("dropped"), 1).await;
    let mut writer = topic.writer(0);
    let record = |n: u32| ControlRecord { key: chunk_key(n), value: Some(vec![0; 10_000]) };
    let mut dropped = 0;
    for n in 0..60u32 {
        let time = Duration::from_micros(100 * u64::from(n));
        let time = if n.is_multiple_of(3) { Duration::from_secs(60) } else { time };
        dropped += usize::from(tokio::time::timeout(time, writer.write(vec![record(n)])).await.is_err());
    }
    let end = writer.write(Vec::new()).await.unwrap();
    let found: Vec<_> = keys(&kafka().props(), topic.name(), 0).iter().map(|key| number(key)).collect();
    assert!(dropped > 0 && end == found.len() as i64, "{dropped} {end} {found:?}");
    assert!(found.is_sorted_by(|one, next| one < next), "{found:?}");
    // A call that is dropped early may not have taken its records over; one that has ended has written them.
    assert!((0..60).step_by(3).all(|n| found.contains(&n)), "{found:?}");
}

fn number(key: &str) -> u32 {
    key.rsplit('/').next().unwrap().parse().unwrap()
}

#[tokio::test]
async fn a_right_that_is_missing_is_named() {
    let link = unique("guarded");
    let name = name_of(&link);
    let as_user = |user: &str| support::client(&kafka().client_properties(user));
    let right = |error: Error| match &error {
        Error::NotAuthorized { right, .. } => {
            assert!(error.to_string().contains(&name), "{error}");
            assert!(
                error.fix().unwrap().contains(&format!("--operation {}", right.operation())),
                "{error:?}"
            );
            *right
        }
        _ => panic!("{error}"),
    };
    // To see that it is not there takes a right, too.
    let error = ControlTopic::ensure(&as_user("nobody"), &link, 2, -1).await.unwrap_err();
    assert_eq!(right(error), Right::Read);
    kafka().acl_add("reader", &["--operation", "Read", "--topic", &name]).unwrap();
    let error = ControlTopic::ensure(&as_user("reader"), &link, 2, -1).await.unwrap_err();
    assert_eq!(right(error), Right::Create);
    ensured(&connect(), &link, 2).await;
    let error = ControlTopic::ensure(&as_user("reader"), &link, 2, -1).await.unwrap_err();
    assert_eq!(right(error), Right::DescribeConfigs);

    let topic = ControlTopic::open(&as_user("reader"), &link).await.unwrap().unwrap();
    assert!(topic.read(0, Keep::Tails).await.unwrap().link().is_none());
    assert_eq!(right(topic.claim(claim()).await.unwrap_err()), Right::Write);
    assert_eq!(right(topic.write(0, vec![start_record()]).await.unwrap_err()), Right::Write);
    kafka().acl_add("writer", &["--operation", "Write", "--topic", &name]).unwrap();
    let topic = ControlTopic::open(&as_user("writer"), &link).await.unwrap().unwrap();
    topic.write(0, vec![start_record()]).await.unwrap();
    assert_eq!(right(topic.read(0, Keep::Tails).await.unwrap_err()), Right::Read);
}

#[tokio::test]
async fn a_cluster_that_is_not_there_is_unreachable() {
    let props = vec![("bootstrap.servers".to_owned(), "127.0.0.1:1".to_owned())];
    let client = support::client(&props).with_patience(Duration::from_secs(1));
    let error = ControlTopic::open(&client, "any").await.unwrap_err();
    assert!(error.is_unreachable() && error.is_retriable() && error.fix().is_some(), "{error}");
    let mut props = kafka().client_properties("nobody");
    props.retain(|(name, _)| name != "sasl.password");
    props.push(("sasl.password".to_owned(), "wrong".to_owned()));
    let error = ControlTopic::open(&support::client(&props), "any").await.unwrap_err();
    assert!(error.is_unreachable() && error.fix().unwrap().contains("sasl"), "{error}");
}
