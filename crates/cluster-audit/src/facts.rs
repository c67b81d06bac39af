//! A cluster as it is: its brokers, its partitions and their replicas, the configs that decide over them, its disks.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use serde::Serialize;

/// A cluster at one moment.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Facts {
    /// Its id, where it has one.
    pub cluster_id: Option<String>,
    /// Its brokers: those that are up, and those that replicas are assigned to.
    pub brokers: BTreeMap<i32, Broker>,
    /// Its topics, Kafka's own included.
    pub topics: BTreeMap<String, Topic>,
}

/// A broker.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Broker {
    /// Whether the cluster lists it as up.
    pub live: bool,
    /// Its rack, if it has one.
    pub rack: Option<String>,
    /// Its log directories; none where it did not tell.
    pub dirs: Option<Vec<Dir>>,
}

/// A log directory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Dir {
    /// Its path.
    pub path: String,
    /// What is wrong with it, if something is.
    pub error: Option<String>,
    /// How large its volume is; none where the broker does not say (before 3.3).
    pub total: Option<u64>,
    /// How much of that is free.
    pub usable: Option<u64>,
}

/// A topic.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Topic {
    /// Whether it is one of Kafka's own.
    pub internal: bool,
    /// `min.insync.replicas`; none where it may not be seen.
    pub min_in_sync: Option<usize>,
    /// `unclean.leader.election.enable`; none where it may not be seen.
    pub unclean: Option<bool>,
    /// Whether its replication is throttled (`*.replication.throttled.replicas`).
    pub throttled: bool,
    /// Its partitions.
    pub partitions: BTreeMap<i32, Partition>,
}

/// A partition.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Partition {
    /// The broker that leads it, if one does.
    pub leader: Option<i32>,
    /// The brokers that it is assigned to, the preferred leader first.
    pub replicas: Vec<i32>,
    /// Those in sync.
    pub in_sync: Vec<i32>,
    /// How large it is: its largest replica; none where nobody told.
    pub bytes: Option<u64>,
    /// The reassignment that goes on, if one does.
    pub moving: Option<Moving>,
}

/// A reassignment that goes on.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Moving {
    /// Brokers that a replica is added on.
    pub adding: Vec<i32>,
    /// Brokers that lose theirs when it is done.
    pub removing: Vec<i32>,
}

/// A partition's name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct PartitionId {
    /// The topic.
    pub topic: String,
    /// Its number.
    pub partition: i32,
}

impl PartitionId {
    /// The partition of this number.
    pub fn new(topic: impl Into<String>, partition: i32) -> Self {
        Self { topic: topic.into(), partition }
    }
}

impl fmt::Display for PartitionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}[{}]", self.topic, self.partition)
    }
}

/// `1 partition`, `2 partitions`.
pub fn partitions(count: usize) -> String {
    format!("{count} partition{}", if count == 1 { "" } else { "s" })
}

// === impl Facts ===

impl Facts {
    /// All partitions, by topic and number.
    pub fn partitions(&self) -> impl Iterator<Item = (&str, &Topic, i32, &Partition)> {
        self.topics.iter().flat_map(|(name, topic)| {
            topic.partitions.iter().map(move |(number, partition)| (&**name, topic, *number, partition))
        })
    }

    /// A partition, if there is one of this name.
    pub fn partition(&self, at: &PartitionId) -> Option<&Partition> {
        self.topics.get(&at.topic)?.partitions.get(&at.partition)
    }

    /// Brokers that are up.
    pub fn live(&self) -> BTreeSet<i32> {
        self.brokers.iter().filter(|(_, broker)| broker.live).map(|(id, _)| *id).collect()
    }

    /// Whether a broker is up.
    pub fn is_live(&self, broker: i32) -> bool {
        self.brokers.get(&broker).is_some_and(|broker| broker.live)
    }

    /// A broker's rack; brokers without one are in one rack, that of no name.
    pub fn rack(&self, broker: i32) -> &str {
        self.brokers.get(&broker).and_then(|broker| broker.rack.as_deref()).unwrap_or_default()
    }

    /// In how many racks these brokers are.
    pub fn racks<'a>(&self, brokers: impl IntoIterator<Item = &'a i32>) -> usize {
        brokers.into_iter().map(|broker| self.rack(*broker)).collect::<BTreeSet<_>>().len()
    }

    /// Reassignments that go on.
    pub fn moving(&self) -> impl Iterator<Item = PartitionId> {
        let moving = self.partitions().filter(|(.., partition)| partition.moving.is_some());
        moving.map(|(topic, _, number, _)| PartitionId::new(topic, number))
    }
}

// === impl Partition ===

impl Partition {
    /// How many replicas it has, without those that are only being added.
    pub fn settled(&self) -> usize {
        let adding = self.moving.as_ref().map_or(0, |moving| moving.adding.len());
        self.replicas.len().saturating_sub(adding)
    }
}

// === impl Topic ===

impl Topic {
    /// How many replicas have to be in sync for `acks=all`; Kafka's default where that may not be seen.
    pub fn min_in_sync(&self) -> usize {
        self.min_in_sync.unwrap_or(1)
    }
}

// === impl Broker ===

impl Broker {
    /// How large its volumes are, and how much of that is used; none where that is not known.
    pub fn disk(&self) -> Option<(u64, u64)> {
        let mut sum = (0, 0);
        for dir in self.dirs.as_ref()?.iter().filter(|dir| dir.error.is_none()) {
            let (total, usable) = (dir.total?, dir.usable?);
            sum = (sum.0 + total, sum.1 + total.saturating_sub(usable));
        }
        Some(sum).filter(|(total, _)| *total > 0)
    }
}
