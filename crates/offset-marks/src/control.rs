//! The records of a link's control topic, `isomirror.<link>`: their keys and values, both ways.
//!
//! Owns the format. Must never talk to a broker, and never fail on what somebody else wrote there.
//!
//! The topic is compacted: the latest record of each key stays. Keys are made to be read by people:
//!
//! | key | value | written |
//! |---|---|---|
//! | `link/<producer id>` | [`Link`] | once by whoever uses the partition first; the first in a partition counts |
//! | `rules/<target cluster>/<link>` | [`Rules`] | by a link when it starts: its own, and those of links that it sees |
//! | `owner/<slot>` | [`Owner`] | by each owner of the slot when it takes over |
//! | `followed/<slot>` | [`Followed`] | by the slot's owner when it has done what the link's journal says |
//! | `lane/<topic>/<partition>` | [`LaneStart`] | when a lane begins, or begins anew |
//! | `chunk/<topic>/<partition>/<incarnation>/<number>` | [`Chunk`] | as the lane's marks come in |
//! | `verified/<topic>/<partition>` | [`Verified`] | as the daemon compares both sides, if it does |
//! | `event/<topic>/<partition>/<ms since the epoch>/<kind>/<from>` | [`Event`] | once, and never deleted |
//!
//! Topics are the source's; no topic name has a `/`. The value of a chunk is bytes, every other is JSON with a
//! version, `v`. What a version does not have to understand it may leave out: fields that it does not know are
//! skipped. What it must not misunderstand has a higher `v`, or another kind of key, and is reported as newer.

mod key;
mod state;
mod value;

pub use key::{EventKind, Key, shown};
pub use state::{ControlState, Keep};
pub use value::{Decoded, Event, Followed, Link, Owner, Record, Rules, Verified, decode, from_json, json};

#[cfg(doc)]
use crate::{Chunk, LaneStart};

/// A record to be written to the control topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ControlRecord {
    /// Its key.
    pub key: Vec<u8>,
    /// Its value; none deletes what was there.
    pub value: Option<Vec<u8>>,
}

/// Why a record of the control topic can't be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ControlError {
    /// It is not for this version to judge.
    #[error("control record {key} was written by a newer version of isomirror ({what}); upgrade this one")]
    Newer {
        /// The record's key.
        key: String,
        /// What this version does not know.
        what: String,
    },
    /// No version writes such records.
    #[error("control record {key} was not written by isomirror, or is damaged: {reason}")]
    Malformed {
        /// The record's key.
        key: String,
        /// What is wrong with it.
        reason: String,
    },
}
