//! The settings that are one word of a few, and when a topic starts.

use std::fmt;

use jiff::Timestamp;
use serde::{Serialize, Serializer};

/// A setting that takes one word of a few.
pub trait Words: Copy + 'static {
    /// The words and what they mean.
    const WORDS: &'static [(&'static str, Self)];
}

macro_rules! words {
    ($type:ident { $($variant:ident = $word:literal),+ }) => {
        impl Words for $type {
            const WORDS: &'static [(&'static str, Self)] = &[$(($word, $type::$variant)),+];
        }

        impl $type {
            /// The word in the configuration.
            pub fn as_str(self) -> &'static str {
                match self {
                    $($type::$variant => $word),+
                }
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(self.as_str())
            }
        }

        impl Serialize for $type {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.as_str())
            }
        }
    };
}

/// Which engine carries the records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Engine {
    /// `records`, until `batches` has been through all tests.
    Auto,
    /// Record by record, through librdkafka.
    Records,
    /// Undecoded record batches.
    Batches,
}

/// What a record's offset is on the target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Offsets {
    /// As on the source.
    Identical,
    /// Whatever comes next.
    Translated,
}

/// Which records of shared topics are mirrored, by where they were produced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origins {
    /// All that do not come from the target.
    All,
    /// Those that were produced on the source.
    Own,
}

/// Who writes to the target topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Writers {
    /// This link alone.
    Exclusive,
    /// Others too.
    Shared,
}

/// How writers are blocked in a cutover.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Block {
    /// By ACLs on the source that deny writing.
    Acl,
    /// By a command.
    Hook,
    /// They stop by themselves.
    Quiet,
}

/// What a switchover waits for of consumers, while nobody writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Consumers {
    /// Until each has committed all there is, or has left.
    CaughtUp,
    /// For nothing: what they have not committed they read again.
    Any,
}

/// What a lane does when it meets trouble that costs records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnTrouble {
    /// Stop, and say why.
    Stop,
    /// Record what is skipped, and go on.
    Skip,
}

/// When a topic begins that the link has not mirrored yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Begin {
    /// As soon as it is there.
    AtOnce,
    /// Once somebody has asked for it: `isomirror topics CONFIG start NAME`.
    Asked,
}

/// Where a lane starts that has no position yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    /// At the first record there is.
    Earliest,
    /// Behind the last record there is.
    Latest,
    /// At the first record of this time or later.
    At(Timestamp),
}

words!(Engine { Auto = "auto", Records = "records", Batches = "batches" });
words!(Offsets { Identical = "identical", Translated = "translated" });
words!(Origins { All = "all", Own = "own" });
words!(Writers { Exclusive = "exclusive", Shared = "shared" });
words!(Begin { AtOnce = "at once", Asked = "asked" });
words!(Block { Acl = "acl", Hook = "hook", Quiet = "quiet" });
words!(Consumers { CaughtUp = "caught up", Any = "any" });
words!(OnTrouble { Stop = "stop", Skip = "skip" });

// === impl Start ===

impl fmt::Display for Start {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Start::Earliest => f.pad("earliest"),
            Start::Latest => f.pad("latest"),
            Start::At(time) => write!(f, "{time}"),
        }
    }
}

impl Serialize for Start {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}
