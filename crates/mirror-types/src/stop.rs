//! Why a lane stopped, in words for the person who has to mend it.

use std::fmt;

use serde::Serialize;

/// What kind of trouble stopped a lane; decides the exit code and whether to try again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum StopKind {
    /// A precondition does not hold (fewer target partitions, a missing target topic).
    Precondition,
    /// The target refused a record (too large, not authorized, invalid).
    Refused,
    /// The source refused to be read (not authorized).
    Unreadable,
    /// Source records were gone before they could be read (retention).
    Lost,
    /// A client of ours failed; nothing is wrong with the lane, and it starts again at once.
    Interrupted,
    /// Source and target no longer tell the same story (truncated or recreated source).
    Diverged,
    /// The target holds what this link has not written, or elsewhere than it should. Stays so until an operator says
    /// otherwise: a later run can't always tell it from the logs.
    Foreign,
}

/// A lane's stop: what happened, where, and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Stop {
    /// What kind of trouble it is.
    pub kind: StopKind,
    /// What happened, with topic, partition and offset.
    pub reason: String,
    /// What the operator can do.
    pub fix: String,
}

impl Stop {
    /// A stop of `kind` for `reason`, mended by `fix`.
    pub fn new(kind: StopKind, reason: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { kind, reason: reason.into(), fix: fix.into() }
    }
}

impl fmt::Display for Stop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}; fix: {}", self.reason, self.fix)
    }
}
