//! Records that tell their number in each of their parts.

use kafka_harness::TestRecord;

/// Record `n`, of a time of its own, years ago.
pub fn record(partition: i32, n: i64) -> TestRecord {
    TestRecord {
        partition,
        key: Some(format!("k{n}").into_bytes()),
        value: Some(format!("value {n}").into_bytes()),
        headers: vec![("n".to_owned(), Some(n.to_string().into_bytes()))],
        timestamp: Some(1_700_000_000_000 + n * 1000),
    }
}
