//! What stands in the journal: keys and values, both ways. Pure.
//!
//! | key | value | written |
//! |---|---|---|
//! | `writer/<producer id>` | [`Writer`] | once by whoever uses the journal first; the first one counts |
//! | `topic/<topic>/<ms since the epoch>` | [`Decision`] | by each command; never deleted, the last one of a topic counts |
//! | `operation/<kind>/<id>/<number>` | [`Note`] | at each step of something that takes several; never deleted |
//!
//! As in the control topic: values are JSON with a version, `v`; fields that a version does not know are skipped, and what
//! it must not misunderstand has a higher `v` or another kind of key, and is reported as newer.

use std::fmt;

use offset_marks::control::{ControlError, ControlRecord, from_json, json, shown};
use serde::{Deserialize, Serialize};

/// Under whose producer id all is written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Writer {
    pub(crate) producer_id: i64,
}

/// What is wanted of a topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TopicState {
    /// It is mirrored.
    Running,
    /// It stays where it is, and its lag is measured.
    Paused,
    /// The link has given it up.
    Stopped,
}

/// Who has decided something.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Author {
    /// On which machine.
    pub host: String,
    /// Which user, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
}

/// What somebody has decided about a topic.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decision {
    /// The topic, by its name on the source.
    pub topic: String,
    /// What is wanted of it.
    pub state: TopicState,
    /// When, in milliseconds since the epoch.
    pub when: i64,
    /// Who.
    pub by: Author,
    /// What for, where that is not plain.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// No two have the same: so whoever wrote it finds it again.
    pub token: u64,
}

/// A process on its author's machine. No two have the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Process {
    /// Its id.
    pub pid: u32,
    /// When it was started, in the machine's own measure; 0 where that is not known.
    pub started: u64,
    /// No two have the same, whatever the machine.
    pub token: u64,
}

/// Which link of a pair runs, from a note on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Runs {
    /// How often that has changed; the highest number counts, in whichever journal it stands.
    pub turn: u64,
    /// Its name; none: neither runs, until more is said.
    pub link: Option<String>,
    /// It leads away from the active site already, and rests until more is said.
    #[serde(default, skip_serializing_if = "is_false")]
    pub waits: bool,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "as serde asks")]
fn is_false(value: &bool) -> bool {
    !value
}

/// A step of something that takes several: of a cutover.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Note {
    /// Of which kind of operation.
    pub kind: String,
    /// Of which operation.
    pub id: String,
    /// Its place in the operation's story, from 0 on.
    pub number: u32,
    /// When, in milliseconds since the epoch.
    pub when: i64,
    /// Who.
    pub by: Author,
    /// Which process of theirs.
    pub run: Process,
    /// What happened, in the words of whoever performs such operations.
    pub what: serde_json::Value,
    /// Which link of the pair runs from now on, where that changes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub runs: Option<Runs>,
    /// It counts in the place of another one with its number, which came to nothing.
    #[serde(default, skip_serializing_if = "is_false")]
    pub instead: bool,
}

/// A record of the journal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Entry {
    Writer(Writer),
    Decision(Decision),
    Note(Note),
    /// It was deleted.
    Removed(String),
}

// === impl TopicState ===

impl TopicState {
    /// Its name in the journal.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Stopped => "stopped",
        }
    }
}

impl fmt::Display for TopicState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl fmt::Display for Author {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.user {
            Some(user) => write!(f, "{user}@{}", self.host),
            None => f.write_str(&self.host),
        }
    }
}

// === impl Writer ===

impl Writer {
    pub(crate) fn encode(&self) -> ControlRecord {
        let key = format!("writer/{}", self.producer_id).into_bytes();
        ControlRecord { key, value: Some(json(self)) }
    }
}

// === impl Decision ===

impl Decision {
    pub(crate) fn key(&self) -> String {
        format!("topic/{}/{}", self.topic, self.when)
    }

    pub(crate) fn encode(&self) -> ControlRecord {
        ControlRecord { key: self.key().into_bytes(), value: Some(json(self)) }
    }
}

// === impl Note ===

impl Note {
    pub(crate) fn key(&self) -> String {
        format!("operation/{}/{}/{}", self.kind, self.id, self.number)
    }

    pub(crate) fn encode(&self) -> ControlRecord {
        ControlRecord { key: self.key().into_bytes(), value: Some(json(self)) }
    }
}

// === impl Entry ===

impl Entry {
    pub(crate) fn decode(key: Option<&[u8]>, value: Option<&[u8]>) -> Result<Self, ControlError> {
        let malformed =
            |key: &[u8], reason: &str| ControlError::Malformed { key: shown(key), reason: reason.to_owned() };
        let Some(bytes) = key else { return Err(malformed(b"(none)", "it has no key")) };
        let key = std::str::from_utf8(bytes).map_err(|_| malformed(bytes, "its key is not text"))?;
        let (kind, _) = key.split_once('/').unwrap_or((key, ""));
        let entry = match (kind, value) {
            ("writer" | "topic" | "operation", None) => return Ok(Self::Removed(key.to_owned())),
            ("writer", Some(value)) => Self::Writer(from_json(&key, value)?),
            ("topic", Some(value)) => Self::Decision(from_json(&key, value)?),
            ("operation", Some(value)) => Self::Note(from_json(&key, value)?),
            (kind, _) if !kind.is_empty() && kind.bytes().all(|b| b.is_ascii_lowercase()) => {
                return Err(ControlError::Newer { key: shown(bytes), what: format!("kind {kind:?}") });
            }
            _ => return Err(malformed(bytes, "its key is none of ours")),
        };
        let own = match &entry {
            Self::Writer(writer) => writer.encode().key,
            Self::Decision(decision) => decision.key().into_bytes(),
            Self::Note(note) => note.key().into_bytes(),
            Self::Removed(_) => bytes.to_vec(),
        };
        if own != bytes {
            return Err(malformed(bytes, "key and value are about different things"));
        }
        Ok(entry)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decision() -> Decision {
        Decision {
            topic: "orders.eu".to_owned(),
            state: TopicState::Paused,
            when: 1_763_800_000_000,
            by: Author { host: "mirror-1".to_owned(), user: Some("ann".to_owned()) },
            why: None,
            token: 7,
        }
    }

    fn read(key: &str, value: &str) -> Result<Entry, ControlError> {
        Entry::decode(Some(key.as_bytes()), Some(value.as_bytes()))
    }

    #[test]
    fn what_was_written_is_read_back_and_can_be_read_by_people() {
        let ControlRecord { key, value } = decision().encode();
        assert_eq!(key, b"topic/orders.eu/1763800000000");
        let text = String::from_utf8(value.clone().unwrap()).unwrap();
        assert!(text.contains("\"state\":\"paused\"") && text.contains("\"user\":\"ann\""), "{text}");
        assert_eq!(Entry::decode(Some(&key), value.as_deref()), Ok(Entry::Decision(decision())));
        let ControlRecord { key, value } = Writer { producer_id: 12 }.encode();
        assert_eq!(
            Entry::decode(Some(&key), value.as_deref()),
            Ok(Entry::Writer(Writer { producer_id: 12 }))
        );
        assert_eq!(decision().by.to_string(), "ann@mirror-1");
        let note = Note {
            kind: "cutover".to_owned(),
            id: "1763800000000".to_owned(),
            number: 3,
            when: 1_763_800_000_001,
            by: decision().by,
            run: Process { pid: 77, started: 5, token: 9 },
            what: serde_json::json!({ "event": "entered", "step": "block" }),
            runs: Some(Runs { turn: 4, link: None, waits: false }),
            instead: false,
        };
        let ControlRecord { key, value } = note.encode();
        assert_eq!(key, b"operation/cutover/1763800000000/3");
        assert_eq!(Entry::decode(Some(&key), value.as_deref()), Ok(Entry::Note(note)));
    }

    #[test]
    fn what_a_newer_version_wrote_is_told_from_what_nobody_did() {
        let newer = |read: Result<Entry, _>| matches!(read, Err(ControlError::Newer { .. }));
        assert!(newer(read("unheard/1", "{\"v\":1}")));
        assert!(newer(read("topic/a/1", "{\"v\":2}")));
        let malformed = |read: Result<Entry, _>| matches!(read, Err(ControlError::Malformed { .. }));
        assert!(malformed(read("topic/a/1", "hello")));
        assert!(malformed(read("Topic", "{\"v\":1}")));
        assert!(malformed(Entry::decode(None, None)));
        let text = String::from_utf8(decision().encode().value.unwrap()).unwrap();
        assert!(malformed(read("topic/other/1763800000000", &text)), "another topic's");
        // Fields that this version does not know are skipped.
        let more = text.replacen('{', "{\"moon\":\"full\",", 1);
        assert_eq!(read("topic/orders.eu/1763800000000", &more), Ok(Entry::Decision(decision())));
    }
}
