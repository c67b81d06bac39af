//! A compacted topic that the source's log cleaner has been over, while the target has all of it.

use std::time::Duration;

use kafka_harness::{
    TestRecord,
    client::{self, Isolation},
    daemon::{Config, eventually},
    shared::{pair, unique},
};

/// Record `n`, of one of five keys, and of now: a segment is closed by the records' own time.
pub fn record(n: i64) -> TestRecord {
    TestRecord {
        partition: 0,
        key: Some(format!("k{}", n % 5).into_bytes()),
        value: Some(format!("value {n}").into_bytes()),
        headers: Vec::new(),
        timestamp: None,
    }
}

/// Writes records to the source.
pub fn produce(topic: &str, numbers: std::ops::Range<i64>) {
    client::produce(&pair().0.props(), topic, &numbers.map(record).collect::<Vec<_>>()).unwrap();
}

/// Mirrors 100 records of it by what `config` makes of its name, and waits for the cleaner.
pub fn on_source(config: impl Fn(&str) -> Config) -> (String, Config) {
    let (source, target) = pair();
    let topic = unique("compacted");
    let eager = [
        ("cleanup.policy", "compact"),
        ("segment.ms", "1000"),
        ("min.cleanable.dirty.ratio", "0.001"),
        ("delete.retention.ms", "0"),
    ];
    source.create_topic(&topic, 1, 1, &eager).unwrap();
    produce(&topic, 0..100);
    let config = config(&topic);
    config.run_until_caught_up().expect(0);
    // The target keeps what it has.
    target
        .alter_topic_config(&topic, &[("min.cleanable.dirty.ratio", "1"), ("segment.ms", "604800000")])
        .unwrap();
    eventually("the source's cleaner has been there", || {
        std::thread::sleep(Duration::from_millis(1500));
        // A new segment each time: only closed ones are cleaned.
        produce(&topic, 1..2);
        let seen = client::count(&source.props(), &topic, Isolation::Uncommitted).unwrap();
        (seen[&0] < 90).then_some(())
    });
    (topic, config)
}
