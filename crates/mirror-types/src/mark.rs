//! Marks and gaps: how source offsets relate to target offsets, as runs.

use serde::Serialize;

use crate::Offset;

/// `count` consecutive source offsets from `source` on lie at `count` consecutive target offsets from `target` on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
pub struct Mark {
    /// First source offset of the run.
    pub source: Offset,
    /// First target offset of the run.
    pub target: Offset,
    /// Length of the run, at least 1.
    pub count: u64,
}

/// Why there is nothing visible at some source offsets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum GapCause {
    /// The log cleaner removed records that had newer versions.
    Compaction,
    /// Transaction markers, and records of aborted transactions.
    Transaction,
    /// Loss: retention (or DeleteRecords) removed records before they were read.
    Retention,
    /// Loss: the topic was deleted and made again.
    Recreated,
}

impl GapCause {
    /// The value of the metric label `cause`.
    pub fn as_str(self) -> &'static str {
        match self {
            GapCause::Compaction => "compaction",
            GapCause::Transaction => "transaction",
            GapCause::Retention => "retention",
            GapCause::Recreated => "recreated",
        }
    }
}

/// Source offsets `from..to` hold nothing visible.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
pub struct Gap {
    /// First offset of the gap.
    pub from: Offset,
    /// First offset after the gap.
    pub to: Offset,
    /// Why it is there.
    pub cause: GapCause,
}

/// Ascending source offsets as runs of neighbours: one entry where there are no gaps, however many records.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Runs(Vec<(Offset, u64)>);

impl Runs {
    /// Adds the next offset, which must be higher than all before it.
    pub fn push(&mut self, offset: Offset) {
        match self.0.last_mut() {
            Some((first, count)) if *first + *count as i64 == offset => *count += 1,
            last => {
                debug_assert!(last.is_none_or(|(first, count)| *first + (*count as i64) < offset));
                self.0.push((offset, 1));
            }
        }
    }

    /// The offset at index `n`, counted over all runs.
    pub fn nth(&self, mut n: u64) -> Option<Offset> {
        for &(first, count) in &self.0 {
            if n < count {
                return Some(first + n as i64);
            }
            n -= count;
        }
        None
    }

    /// The runs, as (first offset, count).
    pub fn iter(&self) -> impl Iterator<Item = (Offset, u64)> + '_ {
        self.0.iter().copied()
    }
}
