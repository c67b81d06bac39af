//! Keys of the control topic.

use std::{fmt, str::FromStr};

use mirror_types::{Offset, TopicPartition};
use serde::{Deserialize, Serialize};

use super::{ControlError, ControlRecord};

/// The key of a control record.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Key {
    /// A claim that this topic belongs to a link.
    Link {
        /// The producer id of whoever claims it; no two have the same.
        producer_id: i64,
    },
    /// The rules of a link.
    Rules {
        /// The id of its target cluster.
        target_cluster: String,
        /// Its name.
        link: String,
    },
    /// Who has a slot.
    Owner {
        /// The slot.
        slot: i32,
    },
    /// How far a slot's owner has done what the link's journal says.
    Followed {
        /// The slot.
        slot: i32,
    },
    /// How a lane began.
    Lane {
        /// The lane.
        lane: TopicPartition,
    },
    /// A part of a lane's ledger.
    Chunk {
        /// The lane.
        lane: TopicPartition,
        /// Which beginning of the lane it follows.
        incarnation: u32,
        /// Its place in the ledger: 0, 1, 2…
        number: u32,
    },
    /// Where records of a lane are going to lie that are on their way.
    Declared {
        /// The lane.
        lane: TopicPartition,
        /// Which beginning of the lane it follows.
        incarnation: u32,
    },
    /// How far a lane was found to be the same on both sides.
    Verified {
        /// The lane.
        lane: TopicPartition,
    },
    /// Something that happened to a lane.
    Event {
        /// The lane.
        lane: TopicPartition,
        /// When, in milliseconds since the epoch.
        when: i64,
        /// What.
        kind: EventKind,
        /// At which source offset.
        from: Offset,
    },
}

/// What kind of thing happened to a lane.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EventKind {
    /// Loss: retention removed source records before they were read.
    Retention,
    /// Loss: the source topic was deleted and made again.
    Recreated,
    /// Loss: the source ended before the lane's position.
    Truncated,
    /// The target refused records, and the policy left them out.
    Refused,
    /// The target is not what the link wrote.
    Diverged,
    /// The target held what the link had not written, as a running lane has noticed. The lane does not go on, whoever runs
    /// it, until its marks are forgotten.
    Foreign,
    /// The lane began anew.
    Restarted,
}

impl EventKind {
    const ALL: [EventKind; 7] = [
        EventKind::Retention,
        EventKind::Recreated,
        EventKind::Truncated,
        EventKind::Refused,
        EventKind::Diverged,
        EventKind::Foreign,
        EventKind::Restarted,
    ];

    /// Its name in keys and values.
    pub fn as_str(self) -> &'static str {
        match self {
            EventKind::Retention => "retention",
            EventKind::Recreated => "recreated",
            EventKind::Truncated => "truncated",
            EventKind::Refused => "refused",
            EventKind::Diverged => "diverged",
            EventKind::Foreign => "foreign",
            EventKind::Restarted => "restarted",
        }
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Key::Link { producer_id } => write!(f, "link/{producer_id}"),
            Key::Rules { target_cluster, link } => write!(f, "rules/{target_cluster}/{link}"),
            Key::Owner { slot } => write!(f, "owner/{slot}"),
            Key::Followed { slot } => write!(f, "followed/{slot}"),
            Key::Lane { lane } => write!(f, "lane/{}/{}", lane.topic, lane.partition),
            Key::Chunk { lane, incarnation, number } => {
                write!(f, "chunk/{}/{}/{incarnation}/{number}", lane.topic, lane.partition)
            }
            Key::Declared { lane, incarnation } => {
                write!(f, "declared/{}/{}/{incarnation}", lane.topic, lane.partition)
            }
            Key::Verified { lane } => write!(f, "verified/{}/{}", lane.topic, lane.partition),
            Key::Event { lane, when, kind, from } => {
                write!(f, "event/{}/{}/{when}/{}/{from}", lane.topic, lane.partition, kind.as_str())
            }
        }
    }
}

impl Key {
    /// The key's bytes.
    pub fn encode(&self) -> Vec<u8> {
        self.to_string().into_bytes()
    }

    /// The record that deletes what is under this key.
    pub fn tombstone(&self) -> ControlRecord {
        ControlRecord { key: self.encode(), value: None }
    }

    /// Reads a key.
    pub fn decode(bytes: &[u8]) -> Result<Self, ControlError> {
        let newer = |what| ControlError::Newer { key: shown(bytes), what };
        let malformed =
            |reason: &str| ControlError::Malformed { key: shown(bytes), reason: reason.to_owned() };
        let text = std::str::from_utf8(bytes).map_err(|_| malformed("its key is not text"))?;
        let parts: Vec<&str> = text.split('/').collect();
        let key = match parts[..] {
            ["link", producer_id] => number(producer_id).map(|producer_id| Key::Link { producer_id }),
            ["rules", target_cluster, link] if !target_cluster.is_empty() && !link.is_empty() => {
                Some(Key::Rules { target_cluster: target_cluster.to_owned(), link: link.to_owned() })
            }
            ["owner", slot] => number(slot).map(|slot| Key::Owner { slot }),
            ["followed", slot] => number(slot).map(|slot| Key::Followed { slot }),
            ["lane", topic, partition] => lane(topic, partition).map(|lane| Key::Lane { lane }),
            ["chunk", topic, partition, incarnation, place] => lane(topic, partition)
                .zip(number(incarnation))
                .zip(place_number(place))
                .map(|((lane, incarnation), number)| Key::Chunk { lane, incarnation, number }),
            ["declared", topic, partition, incarnation] => lane(topic, partition)
                .zip(number(incarnation))
                .map(|(lane, incarnation)| Key::Declared { lane, incarnation }),
            ["verified", topic, partition] => lane(topic, partition).map(|lane| Key::Verified { lane }),
            ["event", topic, partition, when, kind, from] => {
                let Some(kind) = EventKind::ALL.into_iter().find(|k| k.as_str() == kind) else {
                    return Err(newer(format!("event {kind:?}")));
                };
                lane(topic, partition)
                    .zip(number(when))
                    .zip(number(from))
                    .map(|((lane, when), from)| Key::Event { lane, when, kind, from })
            }
            [
                "link" | "rules" | "owner" | "followed" | "lane" | "chunk" | "declared" | "verified"
                | "event",
                ..,
            ] => None,
            [kind, ..] if !kind.is_empty() && kind.bytes().all(|b| b.is_ascii_lowercase()) => {
                return Err(newer(format!("kind {kind:?}")));
            }
            _ => None,
        };
        // One key, one spelling: `+3` and `03` are numbers too, but other keys to the log cleaner.
        key.filter(|key| key.to_string() == text).ok_or_else(|| malformed("its key is none of ours"))
    }
}

fn lane(topic: &str, partition: &str) -> Option<TopicPartition> {
    let partition = number(partition).filter(|partition| *partition >= 0)?;
    (!topic.is_empty()).then(|| TopicPartition::new(topic, partition))
}

/// Half of what there is room for: whatever lies in the topic, the writer can go on counting.
fn place_number(text: &str) -> Option<u32> {
    number(text).filter(|number| *number <= u32::MAX / 2)
}

fn number<N: FromStr>(text: &str) -> Option<N> {
    text.parse().ok()
}

/// A key of anybody's, fit for a line of a log.
pub fn shown(key: &[u8]) -> String {
    const MOST: usize = 300;
    let end = if key.len() > MOST { "…" } else { "" };
    format!("{}{end}", key[..key.len().min(MOST)].escape_ascii())
}
