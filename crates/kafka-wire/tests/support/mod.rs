//! What the tests on brokers have in common.
#![expect(dead_code, reason = "no test file uses all of it")]

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use kafka_harness::{Props, client::ReadRecord};
use kafka_wire::{
    Client, Connection, Error, Outcomes, ProduceBatch, ProduceOptions, Produced, ProducerIdentity, Settings,
    To,
    kafka_protocol::records::{
        Compression, NO_PARTITION_LEADER_EPOCH, Record, RecordBatchEncoder, RecordEncodeOptions,
        TimestampType,
    },
};

pub fn settings(props: &Props) -> Settings {
    Settings::new(props.iter().map(|(name, value)| (&**name, &**value))).expect("the properties are good")
}

pub fn client(props: &Props) -> Client {
    Client::new(settings(props))
}

pub fn with(mut props: Props, name: &str, value: &str) -> Props {
    props.retain(|(have, _)| have != name);
    props.push((name.to_owned(), value.to_owned()));
    props
}

/// A batch of `count` records `FIRST…`, `FIRST+1…` of `size` bytes.
pub fn batch_of(producer: ProducerIdentity, first: i32, count: i32, size: usize) -> Bytes {
    let record = |n: i32| Record {
        transactional: false,
        control: false,
        delete_horizon: false,
        partition_leader_epoch: NO_PARTITION_LEADER_EPOCH,
        producer_id: producer.id,
        producer_epoch: producer.epoch,
        timestamp_type: TimestampType::Creation,
        offset: n.into(),
        // The encoder puts into one batch what is numbered in one go.
        sequence: if producer.id < 0 { n - 1 } else { first + n },
        timestamp: 1_700_000_000_000,
        key: None,
        value: Some(Bytes::from(value_of(first + n, size))),
        headers: Default::default(),
    };
    let records: Vec<Record> = (0..count).map(record).collect();
    let mut bytes = BytesMut::new();
    let options = RecordEncodeOptions { version: 2, compression: Compression::None };
    RecordBatchEncoder::encode(&mut bytes, &records, &options).expect("the records are good");
    bytes.freeze()
}

/// A number, and as many zeros before it as make `size` bytes.
pub fn value_of(number: i32, size: usize) -> String {
    let digits = number.to_string();
    "0".repeat(size.saturating_sub(digits.len())) + &digits
}

pub async fn leader(client: &Client, topic: &str) -> Connection {
    let mut attempts = client.attempts();
    loop {
        match client.connection(To::Leader(topic, 0)).await {
            Ok(connection) => return connection,
            Err(error) => assert!(attempts.again(To::Leader(topic, 0), &error).await, "{error}"),
        }
    }
}

/// Writes one batch to partition 0 and waits for its offset.
pub async fn produce(connection: &Connection, topic: &str, batch: Bytes) -> Produced {
    only(produce_outcome(connection, topic, batch).await).expect("the batch is taken")
}

pub async fn produce_outcome(connection: &Connection, topic: &str, batch: Bytes) -> Result<Outcomes, Error> {
    connection.produce(&[ProduceBatch::new(topic, 0, batch)], &ProduceOptions::default()).await
}

pub fn only(outcomes: Result<Outcomes, Error>) -> Result<Produced, kafka_wire::Refused> {
    let mut outcomes = outcomes.expect("an answer");
    assert_eq!(outcomes.len(), 1);
    outcomes.remove(0)
}

pub async fn new_producer(client: &Client) -> ProducerIdentity {
    client.init_producer_id(None, Duration::from_secs(60)).await.expect("a producer id")
}

pub fn values(records: &[ReadRecord]) -> Vec<String> {
    records.iter().map(|r| String::from_utf8(r.value.clone().unwrap()).unwrap()).collect()
}
