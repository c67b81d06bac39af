//! Why the control topic could not be used.

use std::fmt;

use kafka_wire::{Cause, Code};
use mirror_types::Offset;
use offset_marks::control::ControlError;

/// Why the control topic could not be made, read or written.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    /// The cluster can't be reached, or does not let us in.
    #[error("the cluster of control topic {topic} can't be reached: {cause}")]
    Unreachable {
        /// The topic.
        topic: String,
        /// What was tried, and what came of it.
        #[source]
        cause: kafka_wire::Error,
    },
    /// A right is missing.
    #[error("not allowed to {right} control topic {topic}: {cause}")]
    NotAuthorized {
        /// Which.
        right: Right,
        /// The topic.
        topic: String,
        /// The broker's answer.
        #[source]
        cause: kafka_wire::Error,
    },
    /// The topic would lose marks.
    #[error("control topic {topic} has cleanup.policy={policy}: marks would be deleted with time")]
    NotCompacted {
        /// The topic.
        topic: String,
        /// The policy it has.
        policy: String,
    },
    /// A record can't be used: a newer version wrote it, or none did.
    #[error("{topic}/{partition}, offset {offset}: {error}")]
    Record {
        /// The topic.
        topic: String,
        /// The partition.
        partition: i32,
        /// The record's offset.
        offset: Offset,
        /// What is wrong with it.
        #[source]
        error: ControlError,
    },
    /// The log itself can't be read.
    #[error("{topic}/{partition}: {error}")]
    Log {
        /// The topic.
        topic: String,
        /// The partition.
        partition: i32,
        /// Where, and what is wrong there.
        #[source]
        error: kafka_wire::records::BatchError,
    },
    /// What was to be read does not become readable.
    #[error("{topic}/{partition} can't be read to its end at {end}: {reason}")]
    Unsettled {
        /// The topic.
        topic: String,
        /// The partition.
        partition: i32,
        /// Where it ended when the read began.
        end: Offset,
        /// What is in the way, and where.
        reason: String,
    },
    /// Somebody else writes with the same producer id and a later epoch.
    #[error("another owner has taken over {topic}/{partition}: {cause}")]
    Fenced {
        /// The topic.
        topic: String,
        /// The partition.
        partition: i32,
        /// The broker's answer.
        #[source]
        cause: kafka_wire::Error,
    },
    /// Anything else.
    #[error("control topic {topic}: {cause}")]
    Kafka {
        /// The topic.
        topic: String,
        /// What was tried, and what came of it.
        #[source]
        cause: kafka_wire::Error,
    },
}

/// A right on the control topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Right {
    /// To make it.
    Create,
    /// To read it, and to see that it is there.
    Read,
    /// To write to it, and to get a producer id for that.
    Write,
    /// To look at its configuration.
    DescribeConfigs,
}

impl Right {
    /// As Kafka's ACL tool wants it.
    pub fn operation(self) -> &'static str {
        match self {
            Right::Create => "Create",
            Right::Read => "Read",
            Right::Write => "Write",
            Right::DescribeConfigs => "DescribeConfigs",
        }
    }
}

impl fmt::Display for Right {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Right::Create => "CREATE",
            Right::Read => "READ",
            Right::Write => "WRITE",
            Right::DescribeConfigs => "DESCRIBE_CONFIGS of",
        })
    }
}

impl Error {
    /// What kafka-wire's error means for somebody who needs `right`.
    pub(crate) fn of(cause: kafka_wire::Error, topic: &str, right: Right) -> Self {
        let topic = topic.to_owned();
        let nobody = matches!(cause.cause, Cause::NoBroker(_));
        if cause.is_not_authorized() {
            Error::NotAuthorized { right, topic, cause }
        } else if cause.is_unreachable() || cause.is_authentication() || nobody {
            Error::Unreachable { topic, cause }
        } else {
            Error::Kafka { topic, cause }
        }
    }

    /// What somebody can do about it, where that can be said.
    pub fn fix(&self) -> Option<String> {
        Some(match self {
            Error::Unreachable { cause, .. } if cause.is_authentication() => {
                "see security.protocol and the sasl.* and ssl.* properties in [target.kafka]".to_owned()
            }
            Error::Unreachable { .. } => {
                "see that the brokers run, and bootstrap.servers and security.protocol in [target.kafka]"
                    .to_owned()
            }
            Error::NotAuthorized { right, topic, .. } => {
                let or = match right {
                    Right::Create => "; or create it beforehand, with cleanup.policy=compact",
                    _ => "",
                };
                format!(
                    "grant it on the target (kafka-acls.sh --add --allow-principal User:… --operation {} --topic \
                     {topic}){or}",
                    right.operation()
                )
            }
            Error::NotCompacted { topic, .. } => format!(
                "kafka-configs.sh --alter --entity-type topics --entity-name {topic} --add-config \
                 cleanup.policy=compact"
            ),
            Error::Record { error: ControlError::Newer { .. }, .. } => "upgrade this isomirror".to_owned(),
            Error::Record { topic, .. } => {
                format!("see who else writes to topic {topic}: it is isomirror's alone")
            }
            Error::Kafka { topic, cause } if cause.code() == Some(Code::UnknownTopicOrPartition) => {
                format!("see whether somebody deletes topic {topic}: it is isomirror's, and must stay")
            }
            Error::Log { .. } | Error::Unsettled { .. } | Error::Fenced { .. } | Error::Kafka { .. } => {
                return None;
            }
        })
    }

    /// Whether the same may succeed later with nothing changed by anyone.
    pub fn is_retriable(&self) -> bool {
        match self {
            Error::Unreachable { .. } | Error::Unsettled { .. } => true,
            Error::Kafka { cause, .. } => cause.is_retriable(),
            _ => false,
        }
    }

    /// Whether the cluster can't be reached, or does not let us in.
    pub fn is_unreachable(&self) -> bool {
        matches!(self, Error::Unreachable { .. })
    }
}
