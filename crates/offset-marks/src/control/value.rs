//! Values of the control topic.

use std::fmt::Display;

use mirror_types::{Offset, TopicPartition};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::{
    ControlError, ControlRecord, Key,
    key::{EventKind, shown},
};
use crate::ledger::{Chunk, ChunkError, LaneStart};

/// The version of all JSON values that this version writes.
const VERSION: u64 = 1;

/// What a control record says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Record {
    /// Which link the topic belongs to.
    Link(Link),
    /// What a link mirrors.
    Rules(Rules),
    /// Who has a slot.
    Owner(Owner),
    /// How far a slot's owner has done what the link's journal says.
    Followed(Followed),
    /// How a lane began.
    Lane(LaneStart),
    /// A part of a lane's ledger.
    Chunk {
        /// The lane.
        lane: TopicPartition,
        /// Which beginning of the lane it follows.
        incarnation: u32,
        /// Its place in the ledger: 0, 1, 2…
        number: u32,
        /// The part.
        chunk: Chunk,
    },
    /// Where records of a lane are going to lie that are on their way; behind its last run, source offsets go on one
    /// by one with target offsets.
    Declared {
        /// The lane.
        lane: TopicPartition,
        /// Which beginning of the lane it follows.
        incarnation: u32,
        /// The runs.
        chunk: Chunk,
    },
    /// How far a lane was found to be the same on both sides.
    Verified(Verified),
    /// Something that happened to a lane.
    Event(Event),
}

/// A link's claim to the topic. If two make one at the same time, the first in the order of the log has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Link {
    /// The link's producer id on the target.
    pub producer_id: i64,
    /// When, in milliseconds since the epoch.
    pub created: i64,
    /// The version of isomirror that made it.
    pub version: String,
    /// The source cluster's id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source_cluster: Option<String>,
    /// The target cluster's id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target_cluster: Option<String>,
    /// How many slots the lanes are shared over; for ever, even if the topic gets more partitions.
    pub slots: i32,
}

/// Which topics a link mirrors, and to which: for other links, which might lead its records back. Each link has its own on
/// record, and those of the links that it saw when it started, as far as they ran.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rules {
    /// Its name.
    pub link: String,
    /// The source cluster's id.
    pub source_cluster: String,
    /// The target cluster's id.
    pub target_cluster: String,
    /// Its consumer group on the target, which has members while it runs.
    pub group: String,
    /// Patterns of the topics that it mirrors.
    pub include: Vec<String>,
    /// Patterns of those that it leaves out all the same.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub exclude: Vec<String>,
    /// Source to target, in their order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rename: Vec<(String, String)>,
    /// The header that says on records where they come from, by patterns of source topics, of which the first that matches
    /// counts; empty where none is written.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub origin_headers: Vec<(String, String)>,
    /// When the link started, in milliseconds since the epoch: of several that lead back together, the last one gives way.
    #[serde(default)]
    pub started: i64,
    /// When it was written, in milliseconds since the epoch. It is written again while the link runs.
    pub since: i64,
}

/// Who has a slot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Owner {
    /// The slot.
    pub slot: i32,
    /// The instance's name.
    pub instance: String,
    /// The generation of the consumer group in which it got the slot.
    pub generation: i32,
    /// Since when, in milliseconds since the epoch.
    pub since: i64,
}

/// What a slot's owner has done of what operators have decided.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Followed {
    /// The slot.
    pub slot: i32,
    /// The instance's name.
    pub instance: String,
    /// All before this offset of the journal is done.
    pub journal: Offset,
    /// Since when, in milliseconds since the epoch.
    pub since: i64,
}

/// How far a lane was read on both sides and found the same. That stays true, whoever writes it and however late.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verified {
    /// The source topic.
    pub topic: String,
    /// The partition.
    pub partition: i32,
    /// Which beginning of the lane it is about.
    pub incarnation: u32,
    /// The source offset before which nothing differs.
    pub through: Offset,
}

impl Verified {
    /// What it is about.
    pub fn lane(&self) -> TopicPartition {
        TopicPartition::new(&*self.topic, self.partition)
    }
}

/// Something that happened to a lane and must stay on record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// The source topic.
    pub topic: String,
    /// The partition.
    pub partition: i32,
    /// When, in milliseconds since the epoch.
    pub when: i64,
    /// What.
    pub kind: EventKind,
    /// The first source offset it is about.
    pub from: Offset,
    /// The first source offset behind those it is about; `from` where it is about none.
    pub to: Offset,
    /// What happened, in words.
    pub words: String,
}

impl Event {
    /// What it happened to.
    pub fn lane(&self) -> TopicPartition {
        TopicPartition::new(&*self.topic, self.partition)
    }
}

/// A control record that was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decoded {
    /// It says this.
    Record(Record),
    /// It deletes what was under this key.
    Removed(Key),
}

impl Record {
    /// Its key.
    pub fn key(&self) -> Key {
        match self {
            Record::Link(link) => Key::Link { producer_id: link.producer_id },
            Record::Rules(rules) => {
                Key::Rules { target_cluster: rules.target_cluster.clone(), link: rules.link.clone() }
            }
            Record::Owner(owner) => Key::Owner { slot: owner.slot },
            Record::Followed(followed) => Key::Followed { slot: followed.slot },
            Record::Lane(start) => Key::Lane { lane: start.lane() },
            Record::Chunk { lane, incarnation, number, .. } => {
                Key::Chunk { lane: lane.clone(), incarnation: *incarnation, number: *number }
            }
            Record::Declared { lane, incarnation, .. } => {
                Key::Declared { lane: lane.clone(), incarnation: *incarnation }
            }
            Record::Verified(verified) => Key::Verified { lane: verified.lane() },
            Record::Event(event) => Key::Event {
                lane: TopicPartition::new(&*event.topic, event.partition),
                when: event.when,
                kind: event.kind,
                from: event.from,
            },
        }
    }

    /// The record as it is written.
    pub fn encode(&self) -> ControlRecord {
        let value = match self {
            Record::Link(link) => json(link),
            Record::Rules(rules) => json(rules),
            Record::Owner(owner) => json(owner),
            Record::Followed(followed) => json(followed),
            Record::Lane(start) => json(start),
            Record::Chunk { chunk, .. } | Record::Declared { chunk, .. } => chunk.as_bytes().to_vec(),
            Record::Verified(verified) => json(verified),
            Record::Event(event) => json(event),
        };
        ControlRecord { key: self.key().encode(), value: Some(value) }
    }
}

/// Reads a record of the control topic.
pub fn decode(key: Option<&[u8]>, value: Option<&[u8]>) -> Result<Decoded, ControlError> {
    let Some(bytes) = key else {
        return Err(ControlError::Malformed { key: "(none)".to_owned(), reason: "it has no key".to_owned() });
    };
    let key = Key::decode(bytes)?;
    let Some(value) = value else { return Ok(Decoded::Removed(key)) };
    let record = match &key {
        Key::Link { .. } => Record::Link(from_json(&key, value)?),
        Key::Rules { .. } => Record::Rules(from_json(&key, value)?),
        Key::Owner { .. } => Record::Owner(from_json(&key, value)?),
        Key::Followed { .. } => Record::Followed(from_json(&key, value)?),
        Key::Lane { .. } => Record::Lane(from_json(&key, value)?),
        Key::Verified { .. } => Record::Verified(from_json(&key, value)?),
        Key::Event { .. } => Record::Event(from_json(&key, value)?),
        Key::Chunk { lane, incarnation, number } => {
            let (lane, chunk) = (lane.clone(), chunk(&key, value)?);
            Record::Chunk { lane, incarnation: *incarnation, number: *number, chunk }
        }
        Key::Declared { lane, incarnation } => {
            let (lane, chunk) = (lane.clone(), chunk(&key, value)?);
            Record::Declared { lane, incarnation: *incarnation, chunk }
        }
    };
    if record.key() != key {
        return Err(malformed(&key, "key and value are about different things"));
    }
    if matches!(&record, Record::Lane(start) if start.at.source < 0 || start.at.target < 0) {
        return Err(malformed(&key, "an offset below 0"));
    }
    Ok(Decoded::Record(record))
}

#[derive(Serialize)]
struct Versioned<'v, T> {
    v: u64,
    #[serde(flatten)]
    value: &'v T,
}

/// A value as JSON, with this version.
pub fn json<T: Serialize>(value: &T) -> Vec<u8> {
    serde_json::to_vec(&Versioned { v: VERSION, value }).expect("plain structs of numbers and text")
}

/// Reads it.
pub fn from_json<T: DeserializeOwned>(key: &impl Display, value: &[u8]) -> Result<T, ControlError> {
    let value: serde_json::Value = serde_json::from_slice(value)
        .map_err(|error| malformed(key, format!("its value is no JSON: {error}")))?;
    match value.get("v").and_then(serde_json::Value::as_u64) {
        Some(VERSION) => {}
        Some(version) if version > VERSION => {
            return Err(ControlError::Newer { key: key.to_string(), what: format!("version {version}") });
        }
        _ => return Err(malformed(key, "its value has no version")),
    }
    serde_json::from_value(value).map_err(|error| malformed(key, error.to_string()))
}

fn chunk(key: &Key, value: &[u8]) -> Result<Chunk, ControlError> {
    Chunk::decode(value).map_err(|error| match error {
        ChunkError::Newer(what) => ControlError::Newer { key: key.to_string(), what },
        ChunkError::Malformed(reason) => malformed(key, reason),
    })
}

fn malformed(key: &impl Display, reason: impl Into<String>) -> ControlError {
    ControlError::Malformed { key: shown(key.to_string().as_bytes()), reason: reason.into() }
}
