//! When a lane's batch may go ahead of the fill behind it, unanswered (`markers`).
//!
//! Such a batch's offset is not told, so every so often one goes the usual way, and is: that is how records of others on
//! the target are noticed.

use std::time::{Duration, Instant};

/// So many go ahead before one goes the usual way.
const IN_A_ROW: u32 = 32;
/// The usual way, if none has gone it for so long.
const FOR: Duration = Duration::from_secs(1);
/// The usual way for so long after a failure.
const AFTER_FAILURE: Duration = Duration::from_secs(30);
/// Larger batches are worth an answer of their own.
const SMALL: usize = 64 * 1024;

/// What a lane remembers of it.
#[derive(Default)]
pub(crate) struct Ahead {
    in_a_row: u32,
    checked: Option<Instant>,
    failed: Option<Instant>,
}

impl Ahead {
    /// Whether a batch of so many bytes may.
    pub(crate) fn may_go(&self, bytes: usize) -> bool {
        bytes <= SMALL
            && self.in_a_row < IN_A_ROW
            && self.checked.is_some_and(|checked| checked.elapsed() < FOR)
            && self.failed.is_none_or(|failed| failed.elapsed() > AFTER_FAILURE)
    }

    /// One did, and is on the target.
    pub(crate) fn went(&mut self) {
        self.in_a_row += 1;
    }

    /// The target has said where it has put a batch.
    pub(crate) fn checked(&mut self) {
        self.in_a_row = 0;
        self.checked = Some(Instant::now());
    }

    /// One may or may not be on the target.
    pub(crate) fn failed(&mut self) {
        self.failed = Some(Instant::now());
    }
}
