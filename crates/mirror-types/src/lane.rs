//! Lanes: one source partition on its way to the target partition of the same number.

use std::{fmt, sync::Arc};

use serde::Serialize;

use crate::LaneCredit;

/// Which cluster of the link something happened on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Side {
    /// The cluster that is read.
    Source,
    /// The cluster that is written.
    Target,
}

impl fmt::Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Side::Source => "source",
            Side::Target => "target",
        })
    }
}

/// A partition of a topic, on whichever side.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TopicPartition {
    /// The topic's name.
    pub topic: Arc<str>,
    /// The partition's number.
    pub partition: i32,
}

impl TopicPartition {
    /// Names partition `partition` of `topic`.
    pub fn new(topic: impl Into<Arc<str>>, partition: i32) -> Self {
        Self { topic: topic.into(), partition }
    }
}

impl fmt::Display for TopicPartition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}[{}]", self.topic, self.partition)
    }
}

/// One run of a lane, from its start until it stops. A lane that is started again is a new run with a
/// new id, so that what an earlier run left in a channel can be told apart and dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LaneId(pub u64);

/// The source half of a lane: all that the source-consumer knows of it.
#[derive(Debug)]
pub struct SourceLane {
    /// This run of the lane.
    pub id: LaneId,
    /// Where it reads.
    pub at: TopicPartition,
    /// What it may hold of the link's buffer.
    pub credit: LaneCredit,
}

/// A whole lane, once topic-rename has said where it leads.
#[derive(Debug, Clone)]
pub struct Lane {
    /// Where the records come from.
    pub source: Arc<SourceLane>,
    /// Where they go: the same partition number of this topic.
    pub target: TopicPartition,
}

impl Lane {
    /// This run of the lane.
    pub fn id(&self) -> LaneId {
        self.source.id
    }
}

impl fmt::Display for Lane {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.source.at.topic == self.target.topic {
            write!(f, "{}", self.source.at)
        } else {
            write!(f, "{} → {}", self.source.at, self.target)
        }
    }
}
