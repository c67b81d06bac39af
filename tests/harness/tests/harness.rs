//! What the harness promises to the tests that stand on it.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use kafka_harness::client::{
    Isolation, Load, ProduceOptions, TestRecord, TimestampType, Transaction, config, count, end_offsets,
    load, produce, produce_with, read_all, read_each, value_number, watermarks,
};
use kafka_harness::shared::{pair, unique};
use kafka_harness::{Cluster, NEW_VERSION, ReadRecord, Security, java};
use rdkafka::message::Message;

fn record(partition: i32, key: Option<&[u8]>, value: Option<&[u8]>) -> TestRecord {
    TestRecord {
        partition,
        key: key.map(<[u8]>::to_vec),
        value: value.map(<[u8]>::to_vec),
        headers: Vec::new(),
        timestamp: Some(1_600_000_000_000),
    }
}

fn as_read(offset: i64, record: &TestRecord) -> ReadRecord {
    ReadRecord {
        offset,
        timestamp: record.timestamp.expect("set by these tests"),
        timestamp_type: TimestampType::Create,
        key: record.key.clone(),
        value: record.value.clone(),
        headers: record.headers.clone(),
    }
}

/// Nulls, empties, header order and repeats, and timestamps come back as they were written, with
/// every codec.
#[test]
fn records_come_back_as_written() {
    let (source, _) = pair();
    for codec in ["none", "gzip", "snappy", "lz4", "zstd"] {
        let topic = unique("odd");
        source.create_topic(&topic, 3, 1, &[]).expect("topic");
        let mut full = record(1, Some(b"k"), Some(b"v"));
        full.headers = vec![
            ("b".to_owned(), Some(b"1".to_vec())),
            ("a".to_owned(), None),
            ("b".to_owned(), Some(Vec::new())),
            (String::new(), Some(vec![0, 255])),
        ];
        full.timestamp = Some(1);
        let records = [
            record(0, None, Some(b"")),
            record(0, Some(b""), None),
            full,
            record(0, None, Some(&vec![7; 900_000])),
        ];
        let options = ProduceOptions { codec: Some(codec.to_owned()), ..ProduceOptions::default() };
        produce_with(&source.client_properties(""), &topic, &records, &options).expect("produced");

        let read = read_all(&source.client_properties(""), &topic, Isolation::Uncommitted).expect("read");
        assert_eq!(
            read[&0],
            [as_read(0, &records[0]), as_read(1, &records[1]), as_read(2, &records[3])],
            "{codec}"
        );
        assert_eq!(read[&1], [as_read(0, &records[2])], "{codec}");
        assert_eq!(read[&2], [], "an empty partition is listed");
    }
}

/// An aborted record is read only by who asks for it, and the markers move the log end.
#[test]
fn transactions_end_as_asked() {
    let (source, _) = pair();
    let (topic, props) = (unique("txn"), source.props());
    source.create_topic(&topic, 1, 1, &[]).expect("topic");
    let records = [record(0, None, Some(b"one")), record(0, None, Some(b"two"))];
    for end in [Transaction::Abort, Transaction::Commit] {
        let options = ProduceOptions { transaction: Some(end), ..ProduceOptions::default() };
        produce_with(&props, &topic, &records, &options).expect("produced");
    }
    assert_eq!(count(&props, &topic, Isolation::Committed).expect("count")[&0], 2);
    assert_eq!(count(&props, &topic, Isolation::Uncommitted).expect("count")[&0], 4);
    assert_eq!(end_offsets(&props, &topic).expect("ends")[&0], 6);
}

/// The admin helpers do what they say and return when it is done.
#[test]
fn topics_are_changed_as_asked() {
    let (_, target) = pair();
    let (topic, props) = (unique("admin"), target.props());
    target.create_topic(&topic, 1, 1, &[("retention.ms", "-1")]).expect("topic");
    target.add_partitions(&topic, 3).expect("grown");
    assert_eq!(target.partitions(&topic).expect("metadata"), Some(3));
    target.alter_topic_config(&topic, &[("max.message.bytes", "2000")]).expect("altered");
    let mut own = target.topic_config(&topic).expect("described");
    own.sort();
    let expected = [("max.message.bytes", "2000"), ("retention.ms", "-1")];
    assert_eq!(own, expected.map(|(k, v)| (k.to_owned(), v.to_owned())));
    let refused = produce(&props, &topic, &[record(0, None, Some(&[0; 3000]))]).expect_err("too large");
    assert!(format!("{refused:#}").contains("MessageSizeTooLarge"), "{refused:#}");

    produce(&props, &topic, &vec![record(2, None, Some(b"x")); 10]).expect("produced");
    target.delete_records(&topic, 2, 4).expect("deleted");
    assert_eq!(watermarks(&props, &topic).expect("offsets")[&2], (4, 10));
    target.delete_topic(&topic).expect("deleted");
    assert_eq!(target.partitions(&topic).expect("metadata"), None);
}

/// A loaded record is where its number says, and loading is fast enough for gigabytes.
#[test]
fn a_load_is_numbered() {
    let (source, _) = pair();
    let (topic, props) = (unique("load"), source.props());
    source.create_topic(&topic, 4, 1, &[]).expect("topic");
    let asked = Load { partitions: 4, count: 200_000, keys: true, timestamp: Some(1_000), ..Load::default() };
    let begun = Instant::now();
    load(&props, &topic, &asked).expect("loaded");
    let loaded = begun.elapsed();
    let mut seen = 0_u64;
    read_each(&props, &topic, Isolation::Uncommitted, |message| {
        let number = value_number(message.payload().expect("a value")).expect("a number");
        let (partition, offset) = (message.partition(), message.offset());
        assert_eq!(
            (i64::try_from(number).expect("small") % 4, number / 4),
            (i64::from(partition), offset as u64)
        );
        assert_eq!(message.key(), Some(&number.to_be_bytes()[..]));
        seen += 1;
    })
    .expect("read");
    assert_eq!(seen, 200_000);
    eprintln!("200,000 records of 1 KiB: loaded in {loaded:.1?}, read in {:.1?}", begun.elapsed() - loaded);
}
