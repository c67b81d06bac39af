//! How a lane began.

use std::{collections::BTreeMap, fmt};

use mirror_types::{Offset, TopicPartition};
use serde::{Deserialize, Serialize};

use super::Point;

/// What the link promises about target offsets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OffsetsMode {
    /// They are the source's.
    Identical,
    /// They are what they come to, and the ledger says which.
    Translated,
}

/// Who writes to the target partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum WritersMode {
    /// The link alone.
    Exclusive,
    /// Others too.
    Shared,
}

impl fmt::Display for OffsetsMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Identical => "identical",
            Self::Translated => "translated",
        })
    }
}

impl fmt::Display for WritersMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Exclusive => "exclusive",
            Self::Shared => "shared",
        })
    }
}

/// The first mark of a lane: when it began, where, and between what.
///
/// A lane that begins anew (the source topic was made again, or the operator had it redone) gets another start with
/// a higher incarnation. What earlier incarnations have left in the control topic then no longer counts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LaneStart {
    /// Tells the beginnings of one lane apart: 1, 2, 3…
    pub incarnation: u32,
    /// When, in milliseconds since the epoch.
    pub since: i64,
    /// The topic that is read.
    pub source_topic: String,
    /// The topic that is written.
    pub target_topic: String,
    /// The partition, on both sides.
    pub partition: i32,
    /// The offset of the first record that is read, and where that goes.
    #[serde(flatten)]
    pub at: Point,
    /// The source cluster's id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source_cluster: Option<String>,
    /// The target cluster's id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target_cluster: Option<String>,
    /// The source topic's id, as Kafka prints it; brokers before 2.8 give none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source_topic_id: Option<String>,
    /// The target topic's id, as Kafka prints it; brokers before 2.8 give none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target_topic_id: Option<String>,
    /// What was promised about target offsets.
    pub offsets: OffsetsMode,
    /// Who else writes.
    pub writers: WritersMode,
    /// Where the source ended then: what lies before is copied, what lies behind is mirrored as it comes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source_end: Option<Offset>,
    /// Configs that the target topic had before they were changed for the moment, and that have to be given back: each
    /// that was set on the topic, and with no value each that was not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub configs: Option<BTreeMap<String, Option<String>>>,
    /// Before this target offset others have written, and the link has found it equal: the active site of a pair, as long as
    /// it was that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub adopted: Option<Offset>,
}

impl LaneStart {
    /// The lane, by the partition it reads.
    pub fn lane(&self) -> TopicPartition {
        TopicPartition::new(&*self.source_topic, self.partition)
    }
}
