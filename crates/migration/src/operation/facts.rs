//! What an operation is about, what a step is about to do, and what it has found: plain data, as it is on record.

use kafka_wire::AclRule;
use mirror_types::Offset;
use serde::{Deserialize, Serialize};

/// What it is about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// The topics.
    pub topics: Vec<Route>,
    /// The source cluster's id, where it tells one.
    pub source_cluster: Option<String>,
    /// The target cluster's.
    pub target_cluster: Option<String>,
    /// Which way a pair is turned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub turn: Option<Turn>,
}

/// A pair that is turned around.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Turn {
    /// The site that was active.
    pub from: String,
    /// The one that is to be.
    pub to: String,
    /// The link that leads from the one to the other.
    pub link: String,
    /// The one that leads back.
    pub back: String,
}

/// A topic on both sides.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Route {
    /// Its name on the source.
    pub topic: String,
    /// Its name on the target.
    pub target_topic: String,
}

/// What a step is about to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "does", rename_all = "snake_case")]
pub enum Intent {
    /// To look, and to wait; nothing that has to be undone.
    Look,
    /// To make ACLs: on the source, those that deny writing; on the target, those that allow it.
    Acls {
        /// Those that are made: going back deletes them, and no other.
        create: Vec<AclRule>,
        /// Those that were there before: they stay, whatever happens.
        there: Vec<AclRule>,
        /// Those that are deleted: an earlier operation has made them.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        delete: Vec<AclRule>,
    },
    /// To run a command.
    Run {
        /// It.
        command: String,
        /// The one that undoes it, if there is one.
        back: Option<String>,
    },
}

/// What was found in a step.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Facts {
    /// In words.
    pub says: String,
    /// Where the logs end.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ends: Vec<LaneEnd>,
    /// What lanes lack of a site that is gone.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub lacking: Vec<Lacking>,
    /// What became of consumer groups.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<GroupMoved>,
    /// What was compared.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub verified: Option<Verified>,
    /// What became of records since the pair has turned.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since_turn: Option<SinceTurn>,
    /// The last of what a command printed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub output: Option<String>,
}

/// Where a lane's logs end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LaneEnd {
    /// The source topic.
    pub topic: String,
    /// The partition.
    pub partition: i32,
    /// The source's log end offset.
    pub source: Offset,
    /// The target's.
    pub target: Offset,
}

/// What a lane lacks of a site that is gone, as far as its end there was seen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lacking {
    /// The topic.
    pub topic: String,
    /// The partition.
    pub partition: i32,
    /// Where the log ended there when that was seen last.
    pub seen: Offset,
    /// Where it ends here.
    pub end: Offset,
    /// All that is missing was written later than this, in ms since 1970.
    pub since: i64,
}

/// A consumer group whose offsets are on the target.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupMoved {
    /// Its name.
    pub group: String,
    /// For how many partitions it has an offset there.
    pub partitions: usize,
}

/// What became of records since a pair has turned, by where the logs end on both sites.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SinceTurn {
    /// Offsets that were written on the site that is active now.
    pub written: u64,
    /// Offsets that were on both sites, and are missing on one.
    pub lost: u64,
    /// Offsets that came to the site that was active, and lie on no other: copied again, or a stranger's.
    pub repeated: u64,
}

/// What was compared.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verified {
    /// How much of each lane: `full`, or a percentage.
    pub depth: String,
    /// Lanes.
    pub lanes: usize,
    /// Records that are the same.
    pub records: u64,
    /// Each lane.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub digests: Vec<LaneDigest>,
}

/// What was compared of a lane.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LaneDigest {
    /// The source topic.
    pub topic: String,
    /// The partition.
    pub partition: i32,
    /// Records that are the same.
    pub records: u64,
    /// Over all of them with their source offsets, in order: the same on both sides.
    pub digest: String,
}

// === impl Lacking ===

impl Lacking {
    /// Offsets that are missing.
    pub fn records(&self) -> u64 {
        u64::try_from(self.seen - self.end).unwrap_or(0)
    }
}

// === impl Plan ===

impl Plan {
    /// The topics' names on the source.
    pub fn sources(&self) -> Vec<String> {
        self.topics.iter().map(|route| route.topic.clone()).collect()
    }
}

// === impl Intent ===

impl Intent {
    /// Whether there is something to undo.
    pub fn changes(&self) -> bool {
        match self {
            Self::Look => false,
            Self::Acls { create, delete, .. } => !create.is_empty() || !delete.is_empty(),
            Self::Run { .. } => true,
        }
    }
}

// === impl Facts ===

impl Facts {
    /// Nothing but words.
    pub fn says(says: impl Into<String>) -> Self {
        Self { says: says.into(), ..Self::default() }
    }
}
