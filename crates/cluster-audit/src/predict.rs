//! What partitions go through while brokers are down.
//!
//! The rules are the controller's: a leader is chosen among live replicas that are in sync; where there is none, among all
//! live ones if the topic allows an unclean election, else there is no leader. `acks=all` takes as many replicas in sync as
//! `min.insync.replicas` says.

use std::collections::BTreeSet;

use serde::Serialize;

use crate::{Facts, Partition, PartitionId, Topic};

/// What can be done with a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Outcome {
    /// It has a leader: records can be read.
    pub readable: bool,
    /// `acks=all` is answered.
    pub writable: bool,
    /// A replica leads that was not in sync: what it lacks is gone for good, although it had been acknowledged.
    pub loses: bool,
}

/// What becomes of a cluster's partitions while these brokers are down.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Prediction {
    /// The brokers.
    pub brokers: Vec<i32>,
    /// Those of them that there are not.
    pub unknown: Vec<i32>,
    /// Can be written with `acks=all` now, and could not then, though they could be read.
    pub unwritable: Vec<PartitionId>,
    /// Can be read now, and could be neither read nor written then. All their copies that are in sync are on these brokers.
    pub unreadable: Vec<PartitionId>,
    /// Would be led by a replica that lacks acknowledged records: these would be lost.
    pub loses: Vec<PartitionId>,
    /// Partitions that another broker would lead.
    pub moves: usize,
    /// How many of the first three are Kafka's own: groups' offsets, transactions.
    pub internal: usize,
}

impl Prediction {
    /// Whether nothing would happen but leaders that move.
    pub fn is_safe(&self) -> bool {
        self.unwritable.is_empty() && self.unreadable.is_empty() && self.loses.is_empty()
    }
}

/// What can be done with a partition while these brokers are down, besides those that are down already.
pub fn outcome(facts: &Facts, topic: &Topic, partition: &Partition, down: &BTreeSet<i32>) -> Outcome {
    let up = |broker: &&i32| facts.is_live(**broker) && !down.contains(broker);
    let in_sync = partition.in_sync.iter().filter(up).count();
    let live = partition.replicas.iter().filter(up).count();
    let unclean = topic.unclean.unwrap_or(false);
    match (in_sync, live) {
        // It alone is in sync then.
        (0, 1..) if unclean => Outcome { readable: true, writable: topic.min_in_sync() <= 1, loses: true },
        (0, _) => Outcome { readable: false, writable: false, loses: false },
        (in_sync, _) => Outcome { readable: true, writable: in_sync >= topic.min_in_sync(), loses: false },
    }
}

/// What changes while these brokers are down.
pub fn predict(facts: &Facts, brokers: &BTreeSet<i32>) -> Prediction {
    let mut found = Prediction {
        brokers: brokers.iter().copied().collect(),
        unknown: brokers.iter().filter(|id| !facts.brokers.contains_key(id)).copied().collect(),
        ..Prediction::default()
    };
    for (name, topic, number, partition) in facts.partitions() {
        if !partition.replicas.iter().any(|broker| brokers.contains(broker)) {
            continue;
        }
        let now = outcome(facts, topic, partition, &BTreeSet::new());
        let then = outcome(facts, topic, partition, brokers);
        let list = if then.loses && !now.loses {
            &mut found.loses
        } else if now.readable && !then.readable {
            &mut found.unreadable
        } else if now.writable && !then.writable {
            &mut found.unwritable
        } else {
            found.moves += usize::from(partition.leader.is_some_and(|leader| brokers.contains(&leader)));
            continue;
        };
        list.push(PartitionId::new(name, number));
        found.internal += usize::from(topic.internal);
    }
    found
}
