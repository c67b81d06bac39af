//! What the client does on a real broker without security: batches, offsets, control records, transactions,
//! groups; and in which order.

mod support;

use std::{collections::BTreeMap, sync::OnceLock, time::Duration};

use bytes::Bytes;
use kafka_harness::{Cluster, client, shared::unique};
use kafka_wire::{
    Cause, Client, Code, Commit, Committed, Coordinator, FetchFrom, FetchOptions, Isolation, Membership,
    OffsetSpec, ProduceBatch, ProduceOptions, ProducerIdentity, Purpose, Sent, To, TxnMarker,
    kafka_protocol::messages::MetadataRequest, records::Batches,
};

use self::support::{batch_of, leader, new_producer, only, produce, produce_outcome, value_of, values};

const NOBODY: ProducerIdentity = ProducerIdentity { id: -1, epoch: -1 };

fn kafka() -> &'static Cluster {
    static CLUSTER: OnceLock<Cluster> = OnceLock::new();
    CLUSTER.get_or_init(|| Cluster::builder().start().expect("a broker"))
}

fn connect() -> Client {
    support::client(&kafka().client_properties("")).with_patience(Duration::from_secs(30))
}

fn topic(name: &str, partitions: i32, configs: &[(&str, &str)]) -> String {
    let name = unique(name);
    kafka().create_topic(&name, partitions, 1, configs).expect("a topic");
    name
}

fn read(topic: &str) -> Vec<client::ReadRecord> {
    let all = client::read_all(&kafka().props(), topic, client::Isolation::Uncommitted);
    all.expect("the topic is read").remove(&0).unwrap_or_default()
}

fn marker(topic: &str, id: i64) -> TxnMarker {
    TxnMarker {
        producer: ProducerIdentity { id, epoch: 0 },
        coordinator_epoch: 0,
        commit: false,
        topic: topic.into(),
        partition: 0,
    }
}

#[tokio::test]
async fn the_cluster_describes_itself() {
    let (client, topic) = (connect(), topic("described", 3, &[]));
    client.check().await.unwrap();
    let brokers = client.brokers().await.unwrap();
    assert_eq!(brokers.keys().copied().collect::<Vec<_>>(), [1]);
    assert!(client.cluster_id().await.unwrap().is_some_and(|id| !id.is_empty()));
    let found = client.topic(&topic).await.unwrap();
    assert_eq!((found.partitions.len(), found.internal), (3, false));
    assert_ne!(found.id, [0; 16]);
    assert_eq!((found.partitions[&2].leader, &found.partitions[&2].in_sync), (Some(1), &vec![1]));
    assert!(client.topics().await.unwrap().iter().any(|t| *t.name == *topic));
    let connection = client.connection(To::Controller).await.unwrap();
    let answer = connection.send(&MetadataRequest::default().with_topics(None), 9).await.unwrap();
    assert!(answer.topics.iter().any(|t| t.name.as_ref().is_some_and(|name| *name.0 == *topic)));
}

#[tokio::test]
async fn what_is_not_there_is_an_answer_and_soon() {
    let (client, topic) = (connect().with_patience(Duration::from_secs(2)), topic("small", 1, &[]));
    let absent = client.log_end("absent", 0).await.unwrap_err();
    assert_eq!((absent.code(), absent.sent), (Some(Code::UnknownTopicOrPartition), Sent::Answered));
    assert!(absent.to_string().contains("absent"), "{absent}");
    let beyond = client.log_end(&topic, 7).await.unwrap_err();
    assert_eq!(beyond.code(), Some(Code::UnknownTopicOrPartition));
    assert!(beyond.to_string().contains("/7"), "{beyond}");
    let broker = client.connection(To::Broker(77)).await.unwrap_err();
    assert!(matches!(broker.cause, Cause::NoBroker(_)), "{broker}");
    let listed =
        client.list_offsets(&[("absent", 0), (&topic, 0)], OffsetSpec::Latest, Isolation::default()).await;
    assert_eq!(listed[0].as_ref().unwrap_err().code(), Some(Code::UnknownTopicOrPartition));
    assert_eq!(listed[1].as_ref().unwrap().offset, 0);
}

#[tokio::test]
async fn batches_come_back_as_they_were_written() {
    let (client, topic) = (connect(), topic("roundtrip", 1, &[]));
    let (connection, me) = (leader(&client, &topic).await, new_producer(&client).await);
    for (first, count) in [(0, 1), (1, 100), (101, 3)] {
        let produced = produce(&connection, &topic, batch_of(me, first, count, 20)).await;
        assert_eq!(produced.base_offset, i64::from(first));
        assert_eq!((produced.log_append_time, produced.log_start_offset), (-1, 0));
    }
    let fetched = client.fetch_raw(&topic, 0, 50, 1 << 20, Isolation::default()).await.unwrap();
    assert_eq!((fetched.high_watermark, fetched.last_stable_offset, fetched.log_start_offset), (104, 104, 0));
    let batches: Vec<_> = Batches::new(fetched.records).collect::<Result<_, _>>().unwrap();
    assert_eq!(batches.iter().map(|b| b.header.base_offset).collect::<Vec<_>>(), [1, 101]);
    for batch in &batches {
        batch.check_crc().unwrap();
        assert_eq!((batch.header.producer_id, batch.header.producer_epoch), (me.id, me.epoch));
        assert_eq!(i64::from(batch.header.base_sequence), batch.header.base_offset);
        for record in batch.records(1 << 20).unwrap() {
            let record = record.unwrap();
            assert_eq!(record.value.unwrap(), format!("{:020}", record.offset));
        }
    }
    assert_eq!(read(&topic).len(), 104);
    let beyond = client.fetch_raw(&topic, 0, 105, 1 << 20, Isolation::default()).await.unwrap_err();
    assert_eq!(beyond.code(), Some(Code::OffsetOutOfRange));
}

#[tokio::test]
async fn every_codec_of_librdkafka_is_read() {
    let client = connect();
    for codec in ["none", "gzip", "snappy", "lz4", "zstd"] {
        let topic = topic(codec, 1, &[]);
        let record = |n: i64| client::TestRecord {
            key: (n % 2 == 0).then(|| n.to_string().into_bytes()),
            value: (n % 3 != 0).then(|| format!("{n:0>500}").into_bytes()),
            headers: vec![("a".to_owned(), None), ("a".to_owned(), Some(vec![1, 2]))],
            timestamp: Some(1_700_000_000_000 + n),
            ..client::TestRecord::default()
        };
        let records: Vec<_> = (0..500).map(record).collect();
        let options = client::ProduceOptions { codec: Some(codec.to_owned()), ..Default::default() };
        client::produce_with(&kafka().props(), &topic, &records, &options).unwrap();
        let mut found = Vec::new();
        while found.len() < 500 {
            let from = found.len() as i64;
            let fetched = client.fetch_raw(&topic, 0, from, 1 << 20, Isolation::default()).await.unwrap();
            for batch in Batches::new(fetched.records) {
                let batch = batch.unwrap();
                batch.check_crc().unwrap();
                found.extend(batch.records(1 << 20).unwrap().map(Result::unwrap));
            }
        }
        for ((read, written), offset) in found.iter().zip(&records).zip(0..) {
            assert_eq!((read.offset, Some(read.timestamp)), (offset, written.timestamp), "{codec}");
            assert_eq!(read.key.as_deref(), written.key.as_deref());
            assert_eq!(read.value.as_deref(), written.value.as_deref());
            assert_eq!(read.headers.len(), 2);
            assert_eq!(
                (read.headers[0].value.as_deref(), read.headers[1].value.as_deref()),
                (None, Some(&[1, 2][..]))
            );
        }
    }
}

#[tokio::test]
async fn a_duplicate_gets_its_first_offset_and_a_hole_is_refused() {
    let (client, topic) = (connect(), topic("sequence", 1, &[]));
    let (connection, me) = (leader(&client, &topic).await, new_producer(&client).await);
    produce(&connection, &topic, batch_of(me, 0, 10, 5)).await;
    produce(&connection, &topic, batch_of(me, 10, 10, 5)).await;
    let again = produce(&connection, &topic, batch_of(me, 0, 10, 5)).await;
    assert_eq!(again.base_offset, 0, "where it was put the first time");
    let hole = only(produce_outcome(&connection, &topic, batch_of(me, 30, 10, 5)).await).unwrap_err();
    assert_eq!(hole.code, Code::OutOfOrderSequenceNumber);
    assert_eq!(produce(&connection, &topic, batch_of(me, 20, 1, 5)).await.base_offset, 20);
    // The broker remembers the last five batches of a producer.
    for first in 21..26 {
        produce(&connection, &topic, batch_of(me, first, 1, 5)).await;
    }
    let forgotten = only(produce_outcome(&connection, &topic, batch_of(me, 0, 10, 5)).await).unwrap_err();
    assert_eq!(forgotten.code, Code::OutOfOrderSequenceNumber, "as if it were a hole");
    assert_eq!(read(&topic).len(), 26);
}

#[tokio::test]
async fn requests_arrive_in_the_order_of_the_calls() {
    let (client, topic) = (connect(), topic("order", 1, &[]));
    let (connection, me) = (leader(&client, &topic).await, new_producer(&client).await);
    // Without waiting: what came out of order would be refused.
    let size = |n: i32| if n % 7 == 0 { 100_000 } else { 10 };
    let mut answers = Vec::new();
    for n in 0..300 {
        let batch = ProduceBatch::new(&*topic, 0, batch_of(me, n, 1, size(n)));
        let answer = connection.produce(&[batch], &ProduceOptions::default());
        // Those that nobody waits for are sent all the same.
        if n % 3 != 0 {
            answers.push((n, answer));
        }
    }
    assert!(connection.unwritten() > 0, "nothing has been waited for yet");
    for (n, answer) in answers.into_iter().rev() {
        assert_eq!(only(answer.await).unwrap().base_offset, i64::from(n));
    }
    assert_eq!((connection.unwritten(), connection.in_flight()), (0, 0));
    let expected: Vec<_> = (0..300).map(|n| value_of(n, size(n))).collect();
    assert_eq!(values(&read(&topic)), expected);
}

#[tokio::test]
async fn a_batch_in_pieces_is_one_batch() {
    let (client, topics) = (connect(), [topic("pieces", 2, &[]), topic("pieces", 1, &[])]);
    let connection = leader(&client, &topics[0]).await;
    let _ = leader(&client, &topics[1]).await;
    let whole = batch_of(NOBODY, 0, 5, 1000);
    let pieces = vec![whole.slice(..61), whole.slice(61..70), Bytes::new(), whole.slice(70..)];
    let batches = [
        ProduceBatch { topic: (*topics[0]).into(), partition: 1, records: pieces.clone() },
        ProduceBatch { topic: (*topics[1]).into(), partition: 0, records: pieces.clone() },
        ProduceBatch { topic: (*topics[0]).into(), partition: 0, records: pieces },
        ProduceBatch::new(&*topics[0], 9, whole.clone()),
    ];
    let outcomes = connection.produce(&batches, &ProduceOptions::default()).await.unwrap();
    let find = |topic: &str, partition| {
        let mut taken = outcomes.iter().flatten();
        taken
            .find(|taken| *taken.topic == *topic && taken.partition == partition)
            .map(|taken| taken.base_offset)
    };
    assert_eq!(find(&topics[0], 0), Some(0));
    assert_eq!(find(&topics[0], 1), Some(0));
    assert_eq!(find(&topics[1], 0), Some(0));
    let refused: Vec<_> = outcomes.iter().filter_map(|outcome| outcome.as_ref().err()).collect();
    assert_eq!((refused.len(), refused[0].partition), (1, 9));
    assert_eq!(refused[0].code, Code::UnknownTopicOrPartition);
    assert_eq!(read(&topics[0]).len(), 5);
    let twice = connection.produce(&[batches[1].clone(), batches[1].clone()], &ProduceOptions::default());
    let twice = twice.await.unwrap_err();
    assert!(twice.sent == Sent::NotSent && matches!(twice.cause, Cause::Invalid(_)), "{twice}");
    assert_eq!(read(&topics[1]).len(), 5);
}

#[tokio::test]
async fn markers_move_the_end_of_the_log_and_nobody_sees_them() {
    let (client, topic) = (connect(), topic("markers", 1, &[]));
    produce(&leader(&client, &topic).await, &topic, batch_of(NOBODY, 0, 3, 5)).await;
    let leader = client.leader(&topic, 0).await.unwrap();
    let markers: Vec<_> = (0..100).map(|n| marker(&topic, 1_000_000 + n)).collect();
    let outcomes = client.write_txn_markers(leader.broker, &markers).await.unwrap();
    assert_eq!(outcomes, vec![Ok(()); 100]);
    let end = client.log_end(&topic, 0).await.unwrap();
    assert_eq!((end.offset, end.leader, end.leader_epoch), (103, leader.broker, leader.epoch));
    assert_eq!(read(&topic).len(), 3);
    let mut elsewhere = marker(&topic, 1);
    elsewhere.partition = 5;
    let outcomes = client.write_txn_markers(leader.broker, &[elsewhere, marker(&topic, 2)]).await.unwrap();
    assert_eq!(outcomes, [Err(Code::UnknownTopicOrPartition), Ok(())]);
    assert_eq!(client.log_end(&topic, 0).await.unwrap().offset, 104);
    // One producer's markers in one request are as many records too.
    let same: Vec<_> = (0..5).map(|_| marker(&topic, 3)).collect();
    assert_eq!(client.write_txn_markers(leader.broker, &same).await.unwrap(), vec![Ok(()); 5]);
    assert_eq!(client.log_end(&topic, 0).await.unwrap().offset, 109);
    let fetched = client.fetch_raw(&topic, 0, 3, 1 << 20, Isolation::default()).await.unwrap();
    let batch = Batches::new(fetched.records).next().unwrap().unwrap();
    assert!(batch.header.is_control() && batch.header.is_transactional());
    let record = batch.records(1000).unwrap().next().unwrap().unwrap();
    assert_eq!(record.control(), Some(kafka_wire::records::Control::Abort));
}

#[tokio::test]
async fn an_empty_transaction_is_one_control_record_in_each_partition() {
    let (client, topic, id) = (connect(), topic("empty", 2, &[]), unique("empty"));
    let me = client.init_producer_id(Some(&id), Duration::from_secs(60)).await.unwrap();
    for round in 1..=3 {
        client.add_partitions_to_txn(&id, me, &[(&topic, 0), (&topic, 1)]).await.unwrap();
        client.end_txn(&id, me, round % 2 == 0).await.unwrap();
        // A second end the same way is no other transaction's.
        client.end_txn(&id, me, round % 2 == 0).await.unwrap();
        for partition in 0..2 {
            let mut tries = 0;
            while client.log_end(&topic, partition).await.unwrap().offset != round {
                tries += 1;
                assert!(tries < 200, "the record is written soon");
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
    }
    let next = client.init_producer_id(Some(&id), Duration::from_secs(60)).await.unwrap();
    assert_eq!((next.id, next.epoch), (me.id, me.epoch + 1));
    let fenced = client.add_partitions_to_txn(&id, me, &[(&topic, 0)]).await.unwrap_err();
    assert!(matches!(fenced.code(), Some(Code::ProducerFenced | Code::InvalidProducerEpoch)), "{fenced}");
    let unknown = client.add_partitions_to_txn(&id, next, &[("absent", 0)]).await.unwrap_err();
    assert_eq!(unknown.code(), Some(Code::UnknownTopicOrPartition));
}

#[tokio::test]
async fn aborted_transactions_are_listed_and_open_ones_described() {
    let (client, topic) = (connect(), topic("aborted", 1, &[]));
    let record = client::TestRecord { value: Some(b"x".to_vec()), ..Default::default() };
    let aborted =
        client::ProduceOptions { transaction: Some(client::Transaction::Abort), ..Default::default() };
    client::produce_with(&kafka().props(), &topic, &[record.clone(), record], &aborted).unwrap();
    let fetched = client.fetch_raw(&topic, 0, 0, 1 << 20, Isolation::ReadCommitted).await.unwrap();
    assert_eq!((fetched.aborted.len(), fetched.aborted[0].first_offset), (1, 0));
    let producers = client.describe_producers(&topic, 0).await.unwrap();
    assert_eq!(producers.len(), 1);
    assert_eq!((producers[0].id, producers[0].transaction_start), (fetched.aborted[0].producer_id, None));
    // An open one.
    let mut open = client::config(&kafka().props());
    open.set("transactional.id", &topic);
    let end = client.log_end(&topic, 0).await.unwrap().offset;
    let at = topic.clone();
    tokio::task::spawn_blocking(move || {
        use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
        let producer: BaseProducer = open.create().unwrap();
        producer.init_transactions(Duration::from_secs(60)).unwrap();
        producer.begin_transaction().unwrap();
        producer.send(BaseRecord::<(), str>::to(&at).partition(0).payload("open")).unwrap();
        producer.flush(Duration::from_secs(60)).unwrap();
    })
    .await
    .unwrap();
    let producers = client.describe_producers(&topic, 0).await.unwrap();
    let open: Vec<_> = producers.iter().filter_map(|producer| producer.transaction_start).collect();
    assert_eq!(open, [end]);
    let offset = async |isolation| {
        let listed = client.list_offsets(&[(&*topic, 0)], OffsetSpec::Latest, isolation).await;
        listed[0].as_ref().unwrap().offset
    };
    assert_eq!(offset(Isolation::ReadUncommitted).await, end + 1);
    assert_eq!(offset(Isolation::ReadCommitted).await, end);
}

#[tokio::test]
async fn deleting_at_the_high_watermark_empties_the_log_where_it_is() {
    let (client, topic) = (connect(), topic("deleted", 1, &[]));
    let connection = leader(&client, &topic).await;
    produce(&connection, &topic, batch_of(NOBODY, 0, 50, 5)).await;
    assert_eq!(client.delete_records(&topic, 0, 20).await.unwrap(), 20);
    assert_eq!(client.delete_records(&topic, 0, -1).await.unwrap(), 50);
    let all = [(&*topic, 0)];
    for spec in [OffsetSpec::Earliest, OffsetSpec::Latest] {
        let listed = client.list_offsets(&all, spec, Isolation::default()).await;
        assert_eq!(listed[0].as_ref().unwrap().offset, 50, "{spec:?}");
    }
    assert_eq!(produce(&connection, &topic, batch_of(NOBODY, 0, 1, 5)).await.base_offset, 50);
    let beyond = client.delete_records(&topic, 0, 1000).await.unwrap_err();
    assert_eq!(beyond.code(), Some(Code::OffsetOutOfRange));
    let compacted = self::topic("compacted", 1, &[("cleanup.policy", "compact")]);
    let refused = client.delete_records(&compacted, 0, -1).await.unwrap_err();
    assert_eq!(refused.code(), Some(Code::PolicyViolation), "{refused}");
}

#[tokio::test]
async fn offsets_by_time_are_those_of_the_records() {
    let (client, topic) = (connect(), topic("times", 2, &[]));
    let record = |n: i64| client::TestRecord {
        value: Some(b"x".to_vec()),
        timestamp: Some(1_700_000_000_000 + n * 1000),
        ..Default::default()
    };
    client::produce(&kafka().props(), &topic, &(0..10).map(record).collect::<Vec<_>>()).unwrap();
    let list = async |spec| {
        let listed = client.list_offsets(&[(&*topic, 1), (&topic, 0)], spec, Isolation::default()).await;
        listed.into_iter().map(|listed| listed.unwrap()).map(|l| (l.offset, l.timestamp)).collect::<Vec<_>>()
    };
    let at = |n: i64| (n, 1_700_000_000_000 + n * 1000);
    assert_eq!(list(OffsetSpec::Timestamp(1_700_000_004_500)).await, [(-1, -1), at(5)]);
    assert_eq!(list(OffsetSpec::Timestamp(1_800_000_000_000)).await, [(-1, -1), (-1, -1)]);
    assert_eq!(list(OffsetSpec::MaxTimestamp).await, [(-1, -1), at(9)]);
    assert_eq!(list(OffsetSpec::Latest).await, [(0, -1), (10, -1)]);
}

#[tokio::test]
async fn a_fetch_that_waits_holds_up_only_its_own_connection() {
    let (client, topic) = (connect(), topic("waiting", 1, &[]));
    let me = new_producer(&client).await;
    let leader = leader(&client, &topic).await;
    let reading = client.for_purpose(Purpose::new("read")).connection(To::Leader(&topic, 0)).await.unwrap();
    let from = FetchFrom { max_bytes: 1000, ..FetchFrom::new(&*topic, 0, 0) };
    let options = FetchOptions { max_wait: Duration::from_secs(20), ..FetchOptions::default() };
    let fetch = reading.fetch(&[from], &options, "");
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(reading.in_flight(), 1);
    produce(&leader, &topic, batch_of(me, 0, 1, 5)).await;
    let fetched = tokio::time::timeout(Duration::from_secs(10), fetch).await.expect("it wakes").unwrap();
    assert_eq!((fetched.len(), fetched[0].high_watermark), (1, 1));
    assert_eq!(Batches::new(fetched[0].records.clone()).count(), 1);
}

#[tokio::test]
async fn a_member_joins_is_assigned_and_leaves() {
    let (client, group) = (connect().for_purpose(Purpose::new("group")), unique("group"));
    let membership = Membership {
        group: group.clone(),
        instance: None,
        session_timeout: Duration::from_secs(30),
        rebalance_timeout: Duration::from_secs(30),
        protocol_type: "test".to_owned(),
        protocols: vec![("only".to_owned(), Bytes::from_static(b"about me"))],
    };
    assert_eq!(client.coordinator(Coordinator::Group(&group)).await.unwrap(), 1);
    let joined = client.join_group(&membership, None).await.unwrap();
    assert!(joined.is_leader() && joined.protocol == "only", "{joined:?}");
    assert_eq!(joined.members, BTreeMap::from([(joined.member.id.clone(), Bytes::from_static(b"about me"))]));
    let mine = BTreeMap::from([(joined.member.id.clone(), Bytes::from_static(b"all of it"))]);
    assert_eq!(client.sync_group(&membership, &joined, &mine).await.unwrap(), "all of it");
    client.heartbeat(&membership, &joined.member).await.unwrap();
    let again = client.join_group(&membership, Some(&joined.member.id)).await.unwrap();
    assert_eq!(again.member.id, joined.member.id);
    let old = client.heartbeat(&membership, &joined.member).await;
    assert!(old.is_err() || again.member.generation == joined.member.generation, "{old:?}");
    client.leave_group(&membership, &again.member).await.unwrap();
    let gone = client.heartbeat(&membership, &again.member).await.unwrap_err();
    assert_eq!(gone.code(), Some(Code::UnknownMemberId));
    let elsewhere = client.join_group(&membership, Some("nobody")).await.unwrap_err();
    assert_eq!(elsewhere.code(), Some(Code::UnknownMemberId));
}

#[tokio::test]
async fn offsets_are_committed_in_the_name_of_a_group_that_has_no_members() {
    let (client, topic) = (connect().with_patience(Duration::from_secs(2)), topic("committed", 3, &[]));
    let (group, absent) = (unique("offsets"), unique("absent"));
    let committed = |offset, leader_epoch| Committed { offset, leader_epoch, metadata: "noted".to_owned() };
    let commit = |partition, offset| Commit {
        topic: (&*topic).into(),
        partition,
        committed: committed(offset, if partition == 0 { 0 } else { -1 }),
    };
    assert!(client.group_offsets(&group).await.unwrap().is_empty());
    assert_eq!(client.describe_group(&absent).await.unwrap(), None);
    let done = client.commit_offsets(&group, &[commit(1, 7), commit(9, 1), commit(0, 5)]).await.unwrap();
    let codes: Vec<_> =
        done.iter().map(|done| done.as_ref().err().and_then(kafka_wire::Error::code)).collect();
    assert_eq!(codes, [None, Some(Code::UnknownTopicOrPartition), None]);
    assert!(done[1].as_ref().unwrap_err().to_string().contains(&format!("{topic}/9")), "{:?}", done[1]);
    let found = client.group_offsets(&group).await.unwrap();
    let found: Vec<_> = found.into_iter().map(|((t, p), found)| (t, p, found.unwrap())).collect();
    let at: std::sync::Arc<str> = (&*topic).into();
    assert_eq!(found, [(at.clone(), 0, committed(5, 0)), (at, 1, committed(7, -1))]);

    let listed = client.list_groups().await.unwrap();
    let found = &listed[&group];
    assert_eq!(
        (found.state.as_deref(), found.kind.as_deref()),
        (Some("Empty"), Some("classic")),
        "{found:?}"
    );
    assert!(!listed.contains_key(&absent));
    let found = client.describe_group(&group).await.unwrap().unwrap();
    assert_eq!((&*found.state, found.members, found.is_empty()), ("Empty", 0, true));

    let membership = Membership {
        group: group.clone(),
        instance: None,
        session_timeout: Duration::from_secs(10),
        rebalance_timeout: Duration::from_secs(10),
        protocol_type: "consumer".to_owned(),
        protocols: vec![("only".to_owned(), Bytes::new())],
    };
    let joined = client.join_group(&membership, None).await.unwrap();
    let found = client.describe_group(&group).await.unwrap().unwrap();
    assert_eq!((found.members, found.is_empty()), (1, false), "{found:?}");
    assert_eq!(client.group_members(&group).await.unwrap(), 1);
    let refused = client.commit_offsets(&group, &[commit(0, 6)]).await.unwrap();
    let code = refused[0].as_ref().unwrap_err().code();
    assert!(matches!(code, Some(Code::UnknownMemberId | Code::RebalanceInProgress)), "{refused:?}");
    client.leave_group(&membership, &joined.member).await.unwrap();
    assert!(client.commit_offsets(&group, &[commit(0, 6)]).await.unwrap()[0].is_ok());
}
