//! Fetch sessions on real brokers, of every version that matters: what goes over the wire, topics that are
//! made again, leaders that change.

mod support;

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use bytes::Bytes;
use kafka_harness::{Cluster, MAIN_VERSION, NEW_VERSION, OLD_VERSION, client, shared::unique};
use kafka_wire::{
    Client, Code, EpochEnd, FetchFrom, FetchOptions, FetchSession, Fetched, Isolation, Leader, ProduceBatch,
    ProduceOptions, ProducerIdentity, Purpose, To, Topic,
    kafka_protocol::messages::{
        AlterPartitionReassignmentsRequest, ElectLeadersRequest,
        alter_partition_reassignments_request::{ReassignablePartition, ReassignableTopic},
        elect_leaders_request::TopicPartitions,
    },
    records::{Batches, Stamp},
};

use self::support::{batch_of, new_producer, only};

const PARTITIONS: i32 = 50;
const QUICK: Duration = Duration::from_millis(20);
const PATIENCE: Duration = Duration::from_secs(60);

fn options(max_wait: Duration) -> FetchOptions {
    FetchOptions { max_wait, isolation: Isolation::ReadCommitted, ..FetchOptions::default() }
}

async fn session(client: &Client, broker: i32, number: u32) -> FetchSession {
    let client = client.for_purpose(Purpose::numbered("fetch", number));
    let connection = client.connection(To::Broker(broker)).await.unwrap();
    FetchSession::new(&client, connection, "")
}

fn at(topic: &Topic, partition: i32, offset: i64) -> FetchFrom {
    let leader_epoch = topic.partitions[&partition].leader_epoch;
    FetchFrom { topic_id: topic.id, leader_epoch, ..FetchFrom::new(topic.name.clone(), partition, offset) }
}

async fn produce(client: &Client, topic: &str, partition: i32, batch: Bytes) {
    let connection = client.connection(To::Leader(topic, partition)).await.unwrap();
    let batch = ProduceBatch::new(topic, partition, batch);
    only(connection.produce(&[batch], &ProduceOptions::default()).await).expect("the batch is taken");
}

/// Fetches until something comes.
async fn something(session: &mut FetchSession) -> Vec<Fetched> {
    let until = tokio::time::Instant::now() + PATIENCE;
    while tokio::time::Instant::now() < until {
        let fetched = session.fetch(&options(Duration::from_millis(500))).await.unwrap();
        if !fetched.is_empty() {
            return fetched;
        }
    }
    panic!("nothing comes");
}

fn partitions(fetched: &[Fetched]) -> BTreeSet<i32> {
    fetched.iter().map(|fetched| fetched.partition).collect()
}

/// All that a session does with one broker.
async fn a_session(version: &str) {
    let kafka = Cluster::builder().version(version).proxied().start().expect("a broker");
    let client = support::client(&kafka.client_properties("")).with_patience(PATIENCE);
    let name = unique("session");
    kafka.create_topic(&name, PARTITIONS, 1, &[]).unwrap();
    let topic = client.fresh_topic(&name).await.unwrap();
    let me = new_producer(&client).await;
    // Until the producer's own connection is there, and all is quiet.
    produce(&client, &name, 0, batch_of(me, 0, 3, 10)).await;

    let mut session = session(&client, 1, 0).await;
    for partition in 0..PARTITIONS {
        session.set(at(&topic, partition, if partition == 0 { 3 } else { 0 }));
    }
    let first = session.fetch(&options(QUICK)).await.unwrap();
    assert_eq!(partitions(&first), (0..PARTITIONS).collect(), "the first answer lists all");
    assert!(first.iter().all(|fetched| fetched.error.is_none() && fetched.topic == topic.name));
    assert!(session.is_established());

    let (up, down) = kafka.proxy(1).bytes();
    for _ in 0..20 {
        assert_eq!(session.fetch(&options(QUICK)).await.unwrap().len(), 0);
    }
    let (later_up, later_down) = kafka.proxy(1).bytes();
    let (up, down) = ((later_up - up) / 20, (later_down - down) / 20);
    println!("{version}: {up} bytes to the broker and {down} back for {PARTITIONS} idle partitions");
    assert!(up < 100 && down < 60, "{up} and {down} bytes a request");

    // What is new comes alone; a request that was given up is not lost.
    let waiting = tokio::time::timeout(QUICK, session.fetch(&options(PATIENCE))).await;
    assert!(waiting.is_err(), "there is nothing yet");
    produce(&client, &name, 0, batch_of(me, 3, 2, 10)).await;
    let fetched = something(&mut session).await;
    assert_eq!((partitions(&fetched), fetched[0].asked), (BTreeSet::from([0]), 3));
    assert_eq!(Batches::new(fetched[0].records.clone()).next().unwrap().unwrap().header.base_offset, 3);
    // It comes again until it is set to where it goes on.
    assert_eq!(partitions(&something(&mut session).await), BTreeSet::from([0]));
    session.set(at(&topic, 0, 5));
    assert_eq!(session.fetch(&options(QUICK)).await.unwrap().len(), 0);

    // What is removed does not come, until it is set again.
    assert!(session.remove(&name, 0) && !session.remove(&name, 0));
    produce(&client, &name, 0, batch_of(me, 5, 1, 10)).await;
    assert_eq!(session.fetch(&options(QUICK)).await.unwrap().len(), 0);
    session.set(at(&topic, 0, 5));
    assert_eq!(partitions(&something(&mut session).await), BTreeSet::from([0]));
    assert!(session.is_established());
    session.set(at(&topic, 0, 6));

    an_aborted_transaction(&kafka, &mut session, &topic).await;
    no_such_offset(&mut session, &topic).await;
    made_again(&kafka, &client, &mut session, &topic).await;
}

async fn an_aborted_transaction(kafka: &Cluster, session: &mut FetchSession, topic: &Topic) {
    let name = unique("aborted");
    kafka.create_topic(&name, 1, 1, &[]).unwrap();
    let record = client::TestRecord { value: Some(b"x".to_vec()), ..Default::default() };
    let aborted =
        client::ProduceOptions { transaction: Some(client::Transaction::Abort), ..Default::default() };
    client::produce_with(&kafka.props(), &name, &[record.clone(), record], &aborted).unwrap();
    let client = support::client(&kafka.client_properties(""));
    let other = client.topic(&name).await.unwrap();
    // Beside the others, in the same session.
    session.set(at(&other, 0, 0));
    let fetched = something(session).await;
    assert_eq!((fetched.len(), &fetched[0].topic), (1, &other.name));
    assert_eq!((fetched[0].aborted.len(), fetched[0].aborted[0].first_offset), (1, 0));
    let batch = Batches::new(fetched[0].records.clone()).next().unwrap().unwrap();
    assert_eq!(batch.header.producer_id, fetched[0].aborted[0].producer_id);
    // It goes on as it is, as a transaction's or not.
    let stamp = Stamp { producer: ProducerIdentity { id: batch.header.producer_id, epoch: 0 }, sequence: 0 };
    let restamped = batch.restamp(stamp, false).unwrap();
    let (client, forwarded) = (
        client.with_patience(PATIENCE),
        ProduceBatch {
            topic: topic.name.clone(),
            partition: 1,
            records: vec![restamped.header, restamped.payload],
        },
    );
    let connection = client.connection(To::Leader(&topic.name, 1)).await.unwrap();
    let produced = only(connection.produce(&[forwarded], &ProduceOptions::default()).await).unwrap();
    assert_eq!(produced.base_offset, 0);
    session.remove(&name, 0);
    let fetched = something(session).await;
    assert_eq!((partitions(&fetched), &fetched[0].topic), (BTreeSet::from([1]), &topic.name));
    let batch = Batches::new(fetched[0].records.clone()).next().unwrap().unwrap();
    batch.check_crc().unwrap();
    assert_eq!(
        batch.records(1000).unwrap().map(|record| record.unwrap().value.unwrap()).collect::<Vec<_>>(),
        ["x", "x"]
    );
    session.set(at(topic, 1, batch.header.next_offset()));
}

async fn no_such_offset(session: &mut FetchSession, topic: &Topic) {
    session.set(at(topic, 2, 1000));
    let fetched = something(session).await;
    assert_eq!((partitions(&fetched), fetched[0].error), (BTreeSet::from([2]), Some(Code::OffsetOutOfRange)));
    session.set(at(topic, 2, 0));
}

async fn made_again(kafka: &Cluster, client: &Client, session: &mut FetchSession, old: &Topic) {
    kafka.delete_topic(&old.name).unwrap();
    let mut made = kafka.create_topic(&old.name, PARTITIONS, 1, &[]);
    while made.is_err() {
        tokio::time::sleep(Duration::from_millis(200)).await;
        made = kafka.create_topic(&old.name, PARTITIONS, 1, &[]);
    }
    let new = client.fresh_topic(&old.name).await.unwrap();
    let knows_ids = session.connection().versions().of(1).unwrap().1 >= 13;
    let me = new_producer(client).await;
    produce(client, &old.name, 0, batch_of(me, 0, 10, 10)).await;
    if knows_ids {
        assert_ne!(new.id, old.id);
        // The old one's offset 6 is there in the new one too; it is not given.
        let fetched = something(session).await;
        assert!(fetched.iter().all(|fetched| fetched.records.is_empty()));
        // The latter while the session remembers the name of the old one.
        let is_gone = |error| matches!(error, Some(Code::UnknownTopicId | Code::InconsistentTopicId));
        assert!(fetched.iter().all(|fetched| is_gone(fetched.error)), "{:?}", fetched[0].error);
    }
    for partition in 0..PARTITIONS {
        session.set(at(&new, partition, 0));
    }
    let fetched = loop {
        let fetched = something(session).await;
        if fetched.iter().any(|fetched| !fetched.records.is_empty()) {
            break fetched;
        }
    };
    let zero = fetched.iter().find(|fetched| fetched.partition == 0).unwrap();
    assert_eq!((zero.asked, zero.high_watermark, zero.error), (0, 10, None));
    assert_eq!(session.len(), PARTITIONS as usize);
}

#[tokio::test]
async fn a_session_with_an_old_broker() {
    a_session(OLD_VERSION).await;
}

#[tokio::test]
async fn a_session_with_a_broker() {
    a_session(MAIN_VERSION).await;
}

#[tokio::test]
async fn a_session_with_a_new_broker() {
    a_session(NEW_VERSION).await;
}

/// Newer ones share their slots among eight caches: one slot is none.
#[tokio::test]
async fn without_room_for_a_session_all_is_read_all_the_same() {
    let slots = ("max.incremental.fetch.session.cache.slots", "1");
    let kafka = Cluster::builder().version(OLD_VERSION).broker_config(slots.0, slots.1).start().unwrap();
    let client = support::client(&kafka.client_properties("")).with_patience(PATIENCE);
    let name = unique("room");
    kafka.create_topic(&name, 3, 1, &[]).unwrap();
    let topic = client.topic(&name).await.unwrap();
    let [mut one, mut other] = [session(&client, 1, 1).await, session(&client, 1, 2).await];
    for partition in 0..3 {
        one.set(at(&topic, partition, 0));
        other.set(at(&topic, partition, 0));
    }
    for _ in 0..2 {
        one.fetch(&options(QUICK)).await.unwrap();
        let fetched = other.fetch(&options(QUICK)).await.unwrap();
        assert_eq!(partitions(&fetched), BTreeSet::from([0, 1, 2]), "each lists all");
        assert!(one.is_established() && !other.is_established());
    }
    produce(&client, &name, 1, batch_of(new_producer(&client).await, 0, 3, 10)).await;
    let fetched = other.fetch(&options(QUICK)).await.unwrap();
    assert!(fetched.iter().any(|fetched| fetched.partition == 1 && !fetched.records.is_empty()));
    one.close();
    let mut tries = 0;
    while !other.is_established() {
        other.fetch(&options(QUICK)).await.unwrap();
        tries += 1;
        assert!(tries < 100, "there is room now");
    }
    // Its connection ends: it goes on over another.
    other.set(at(&topic, 1, 3));
    other.connection().close();
    assert!(other.fetch(&options(QUICK)).await.is_err());
    let again = client.for_purpose(Purpose::numbered("fetch", 3)).connection(To::Broker(1)).await.unwrap();
    other.move_to(again);
    assert_eq!(other.fetch(&options(QUICK)).await.unwrap().len(), 3);
    assert!(other.is_established(), "the old one has made room");
}

async fn lead(client: &Client, topic: &Arc<str>, to: i32) {
    let mut replicas = vec![1, 2, 3];
    replicas.sort_by_key(|broker| *broker != to);
    let partition = ReassignablePartition::default()
        .with_partition_index(0)
        .with_replicas(Some(replicas.into_iter().map(Into::into).collect()));
    let name = || client_text(topic);
    let moved = ReassignableTopic::default().with_name(name()).with_partitions(vec![partition]);
    let request = AlterPartitionReassignmentsRequest::default().with_topics(vec![moved]);
    let answer = client.call(To::Controller, &request, 0).await.unwrap();
    assert_eq!((answer.error_code, answer.responses[0].partitions[0].error_code), (0, 0));
    let elect = TopicPartitions::default().with_topic(name()).with_partitions(vec![0]);
    let request = ElectLeadersRequest::default().with_topic_partitions(Some(vec![elect]));
    let answer = client.call(To::Controller, &request, 2).await.unwrap();
    assert_eq!(answer.error_code, 0);
}

fn client_text(text: &str) -> kafka_wire::kafka_protocol::messages::TopicName {
    kafka_wire::kafka_protocol::messages::TopicName(text.to_owned().into())
}

#[tokio::test]
async fn a_leader_that_changes_names_its_successor() {
    let kafka = Cluster::builder().brokers(3).start().expect("three brokers");
    let client = support::client(&kafka.client_properties("")).with_patience(PATIENCE);
    let name = unique("moved");
    kafka.create_topic(&name, 1, 3, &[]).unwrap();
    let topic = client.topic(&name).await.unwrap();
    let old = client.leader(&name, 0).await.unwrap();
    let me = new_producer(&client).await;
    produce(&client, &name, 0, batch_of(me, 0, 3, 10)).await;
    let mut first = session(&client, old.broker, 0).await;
    first.set(at(&topic, 0, 0));
    let fetched = something(&mut first).await;
    assert_eq!((fetched[0].error, fetched[0].leader), (None, None));
    first.set(at(&topic, 0, 3));

    // Another client's: this one's is not to look at metadata.
    let successor = old.broker % 3 + 1;
    let admin = support::client(&kafka.client_properties(""));
    lead(&admin, &topic.name, successor).await;
    let news = loop {
        let fetched = something(&mut first).await;
        if fetched[0].error.is_some() {
            break fetched[0].clone();
        }
    };
    assert!(
        matches!(news.error, Some(Code::NotLeaderOrFollower | Code::FencedLeaderEpoch)),
        "{:?}",
        news.error
    );
    let leader = news.leader.expect("it names the new one");
    assert!(leader.broker == successor && leader.epoch > old.epoch, "{leader:?}");
    assert_eq!(client.leader(&name, 0).await.unwrap(), leader, "nobody had to ask");
    first.remove(&name, 0);

    let mut second = session(&client, leader.broker, 0).await;
    let from = |offset, leader: Leader, last_fetched_epoch| FetchFrom {
        leader_epoch: leader.epoch,
        last_fetched_epoch,
        ..at(&topic, 0, offset)
    };
    produce(&client, &name, 0, batch_of(me, 3, 2, 10)).await;
    second.set(from(3, leader, old.epoch));
    let fetched = something(&mut second).await;
    assert_eq!((fetched[0].error, fetched[0].diverging), (None, None));
    let batch = Batches::new(fetched[0].records.clone()).next().unwrap().unwrap();
    assert_eq!((batch.header.base_offset, batch.header.partition_leader_epoch), (3, leader.epoch));

    // As if the old leader had gone on to 4, on its own.
    second.set(from(4, leader, old.epoch));
    let fetched = something(&mut second).await;
    assert_eq!(fetched[0].diverging, Some(EpochEnd { epoch: old.epoch, end_offset: 3 }));
    assert!(fetched[0].records.is_empty());
    for (epoch, code) in [(old.epoch, Code::FencedLeaderEpoch), (leader.epoch + 1, Code::UnknownLeaderEpoch)]
    {
        second.set(from(5, Leader { epoch, ..leader }, -1));
        let fetched = something(&mut second).await;
        assert_eq!(fetched[0].error, Some(code));
    }
}
