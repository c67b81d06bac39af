//! Marks and gaps: how source offsets relate to target offsets.

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
    /// Whether there were records, and they are gone.
    pub fn is_loss(self) -> bool {
        matches!(self, Self::Retention | Self::Recreated)
    }

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

impl Mark {
    /// Whether the pair (`source`, `target`) continues this run, which then is one longer.
    pub fn extend(&mut self, source: Offset, target: Offset) -> bool {
        self.join(Self { source, target, count: 1 })
    }

    /// Whether another run continues this one, which then has it all.
    pub fn join(&mut self, other: Self) -> bool {
        let count = self.count as i64;
        let next = self.source + count == other.source && self.target + count == other.target;
        self.count += if next { other.count } else { 0 };
        next
    }
}
