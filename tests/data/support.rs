//! What the tests of this binary share: records, topics, comparisons, a target behind a proxy, a lock for
//! those that want the machine to themselves.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, OnceLock, PoisonError},
    time::Duration,
};

use kafka_harness::{
    Cluster, ReadRecord, TestRecord,
    client::{self, Isolation, TimestampType},
};
use serde_json::Value;

/// Some day in 2023.
pub const T: i64 = 1_700_000_000_000;

/// What makes a record, but for its place: timestamp, key, value, headers.
pub type Content = (i64, Option<Vec<u8>>, Option<Vec<u8>>, Vec<(String, Option<Vec<u8>>)>);

pub fn record(
    partition: i32,
    key: Option<&[u8]>,
    value: Option<&[u8]>,
    headers: &[(&str, Option<&[u8]>)],
    timestamp: i64,
) -> TestRecord {
    TestRecord {
        partition,
        key: key.map(<[u8]>::to_vec),
        value: value.map(<[u8]>::to_vec),
        headers: headers.iter().map(|(n, v)| ((*n).to_owned(), v.map(<[u8]>::to_vec))).collect(),
        timestamp: Some(timestamp),
    }
}

/// Key and value, in partition 0.
pub fn simple(key: &str, value: &[u8]) -> TestRecord {
    record(0, Some(key.as_bytes()), Some(value), &[], T)
}

/// A topic that keeps records of any age.
pub fn create(cluster: &Cluster, topic: &str, partitions: i32, configs: &[(&str, &str)]) {
    let mut all = vec![("retention.ms", "-1")];
    all.extend(configs);
    cluster.create_topic(topic, partitions, 1, &all).unwrap();
}

pub fn contents(records: BTreeMap<i32, Vec<ReadRecord>>) -> BTreeMap<i32, Vec<Content>> {
    let content = |r: ReadRecord| (r.timestamp, r.key, r.value, r.headers);
    records.into_iter().map(|(p, all)| (p, all.into_iter().map(content).collect())).collect()
}

/// The visible records of the source are those of the target, in order, with the timestamps that a consumer
/// of the source sees. Returns them.
#[track_caller]
pub fn assert_same(source: &Cluster, target: &Cluster, topic: &str) -> BTreeMap<i32, Vec<Content>> {
    let before = client::read_all(&source.props(), topic, Isolation::Committed).unwrap();
    let after = client::read_all(&target.props(), topic, Isolation::Uncommitted).unwrap();
    for record in after.values().flatten() {
        let kind = if record.timestamp == -1 { TimestampType::None } else { TimestampType::Create };
        assert_eq!(record.timestamp_type, kind, "{record:?}");
    }
    let (before, after) = (contents(before), contents(after));
    assert!(before.keys().eq(after.keys()), "{:?} {:?}", before.keys(), after.keys());
    for (partition, before) in &before {
        let after = &after[partition];
        for (offset, (before, after)) in before.iter().zip(after).enumerate() {
            assert!(before == after, "{topic}[{partition}] {offset}: {before:?} became {after:?}");
        }
        assert_eq!(before.len(), after.len(), "records in {topic}[{partition}]");
    }
    after
}

/// One lane of a daemon's status.
pub fn lane<'a>(status: &'a Value, topic: &str, partition: i32) -> &'a Value {
    let lanes = status["lanes"].as_array().expect("lanes");
    let found = lanes.iter().find(|lane| lane["topic"] == topic && lane["partition"] == partition);
    found.unwrap_or_else(|| panic!("no lane {topic}[{partition}] in {status:#}"))
}

/// Held by tests that load the machine, or that disturb the target of [`behind_proxy`].
pub fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A target cluster behind a proxy; hold [`alone`] while using it.
pub fn behind_proxy() -> &'static Cluster {
    static TARGET: OnceLock<Cluster> = OnceLock::new();
    let start = || Cluster::builder().proxied().start().expect("a cluster behind a proxy");
    let target = TARGET.get_or_init(start);
    // A test that failed may have left it disturbed.
    let proxy = target.proxy(1);
    proxy.set_rate(0);
    proxy.set_latency(Duration::ZERO);
    proxy.set_down(false);
    target
}
