//! What the tests have in common: clients, lanes, and a log that is read by another client.

use std::time::Duration;

use control_topic::{Claim, ControlTopic};
use kafka_harness::{Props, ReadRecord, client};
use kafka_wire::{Client, Settings};
use mirror_types::{Mark, TopicPartition};
use offset_marks::{
    LaneStart, Ledger, LedgerWriter, OffsetsMode, Point, WritersMode,
    control::{ControlState, Key},
};

pub fn client(props: &Props) -> Client {
    let settings = Settings::new(props.iter().map(|(name, value)| (&**name, &**value)));
    Client::new(settings.expect("the properties are good")).with_patience(Duration::from_secs(20))
}

pub async fn ensured(client: &Client, link: &str, slots: i32) -> ControlTopic {
    ControlTopic::ensure(client, link, slots, -1).await.unwrap_or_else(|error| panic!("{error}"))
}

pub fn claim() -> Claim {
    Claim { version: "0.0.1".to_owned(), source_cluster: Some("dc1".to_owned()), target_cluster: None }
}

pub fn lane() -> TopicPartition {
    TopicPartition::new("orders", 3)
}

pub fn start() -> LaneStart {
    LaneStart {
        incarnation: 1,
        since: 1_763_800_000_000,
        source_topic: "orders".to_owned(),
        target_topic: "orders_v2".to_owned(),
        partition: 3,
        at: Point::new(0, 0),
        source_cluster: None,
        target_cluster: None,
        source_topic_id: None,
        target_topic_id: None,
        offsets: OffsetsMode::Translated,
        writers: WritersMode::Exclusive,
        source_end: None,
        configs: None,
        adopted: None,
    }
}

/// Runs of three records, each behind a gap of two offsets of the source.
pub fn mark(ledger: &mut LedgerWriter, runs: u64) {
    for _ in 0..runs {
        let Point { source, target } = ledger.position();
        ledger.mark(Mark { source: source + 2, target, count: 3 }).expect("they are in order");
    }
}

pub fn ledger(state: &ControlState) -> Ledger {
    state.ledger(&lane()).expect("the lane has begun").expect("its chunks are in order")
}

/// The keys that another client reads, in the order of the log.
pub fn keys(props: &Props, topic: &str, partition: i32) -> Vec<String> {
    let mut all = client::read_all(props, topic, client::Isolation::Uncommitted).expect("it is read");
    let key = |record: ReadRecord| String::from_utf8(record.key.expect("a key")).expect("text");
    all.remove(&partition).unwrap_or_default().into_iter().map(key).collect()
}

pub fn chunk_key(number: u32) -> Vec<u8> {
    Key::Chunk { lane: lane(), incarnation: 1, number }.encode()
}
