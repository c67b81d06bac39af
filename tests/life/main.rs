//! The daemon's life on real brokers: signals, kills, brokers that come and go, records that are refused or lost, and
//! what it tells of itself meanwhile.
//!
//! - `signals`: a clean stop, a second signal, the deadline of a stop.
//! - `crash`: kill -9.
//! - `batch`: `--until-caught-up` and its exit codes.
//! - `outage`: clusters that are down at the start, stop, fail over or freeze.
//! - `trouble`: records that the target refuses, records that the source has lost.
//! - `seeing`: status, pages, logs.

mod batch;
mod crash;
mod outage;
mod seeing;
mod signals;
mod trouble;

#[path = "../support/producing.rs"]
mod producing;
#[path = "../support/records.rs"]
mod records;

use std::collections::BTreeMap;

use kafka_harness::{
    Cluster, ReadRecord,
    client::{self, Isolation},
};

/// All records of a topic, with their offsets.
fn all(cluster: &Cluster, topic: &str) -> BTreeMap<i32, Vec<ReadRecord>> {
    client::read_all(&cluster.props(), topic, Isolation::Uncommitted).expect("the topic can be read")
}

/// Every record is on the target, at the same offset: nothing was lost, repeated or moved.
#[track_caller]
fn assert_equal(source: &Cluster, target: &Cluster, topic: &str) {
    let (before, after) = (all(source, topic), all(target, topic));
    for (partition, before) in &before {
        let after = &after[partition];
        let differs = before.iter().zip(after).position(|(b, a)| b != a);
        assert!(
            differs.is_none() && before.len() == after.len(),
            "{topic}[{partition}]: source has {}, target {} records; the first difference is at {differs:?}",
            before.len(),
            after.len()
        );
    }
    assert!(before.values().any(|records| !records.is_empty()), "nothing was compared");
}
