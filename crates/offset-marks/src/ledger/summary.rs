//! What `isomirror marks` shows: plain data, as JSON or as the rows of a table.

use std::collections::BTreeMap;

use mirror_types::{GapCause, Mark, Offset, Side};
use serde::Serialize;

use super::{Hole, LaneStart, Ledger, Point, Translation, point::Span};

/// One lane, as `marks list` shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LaneSummary {
    /// How the lane began, and between what.
    pub start: LaneStart,
    /// The lane's position.
    pub position: Point,
    /// Records mirrored since it began.
    pub records: u64,
    /// Runs of records without a gap.
    pub runs: u64,
    /// The last run.
    pub last: Option<Mark>,
    /// Gaps by cause; `unknown` where none was recorded.
    pub gaps: BTreeMap<&'static str, GapCount>,
    /// Control records that the ledger takes.
    pub chunks: usize,
    /// The bytes of their values.
    pub bytes: u64,
    /// Parts of the ledger that are missing; there should be none.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub missing: Vec<Hole>,
}

/// How many gaps of one cause there are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct GapCount {
    /// Gaps.
    pub gaps: u64,
    /// Source offsets in them.
    pub source_offsets: u64,
    /// Target offsets in them: control records that fill the gap, or are the target's own.
    pub target_offsets: u64,
}

/// One offset, as `marks translate` and `marks reverse` show it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Translated {
    /// The source topic.
    pub source_topic: String,
    /// The target topic.
    pub target_topic: String,
    /// The partition, on both sides.
    pub partition: i32,
    /// The side that `offset` is on.
    pub side: Side,
    /// The offset that was asked for.
    pub offset: Offset,
    /// What became of it.
    pub translation: Translation,
    /// Where a consumer goes on whose committed offset it is.
    pub resume_at: Option<Point>,
}

impl LaneSummary {
    /// The summary of `ledger`; goes through all of it.
    pub fn of(ledger: &Ledger) -> Self {
        let mut summary = Self {
            start: ledger.start().clone(),
            position: ledger.position(),
            records: 0,
            runs: 0,
            last: None,
            gaps: BTreeMap::new(),
            chunks: ledger.chunks().len(),
            bytes: ledger.chunks().iter().map(|chunk| chunk.as_bytes().len() as u64).sum(),
            missing: ledger.missing().collect(),
        };
        for run in ledger.runs() {
            summary.records += run.count;
            summary.runs += 1;
            summary.last = Some(run);
        }
        for gap in ledger.gaps() {
            let count = summary.gaps.entry(gap.cause.map_or("unknown", GapCause::as_str)).or_default();
            let Span { source, target } = gap.from.span_to(gap.to).unwrap_or_default();
            count.gaps += 1;
            count.source_offsets += source;
            count.target_offsets += target;
        }
        summary
    }
}

impl Translated {
    /// What became of `offset` of one `side`.
    pub fn of(ledger: &Ledger, side: Side, offset: Offset) -> Self {
        Self::with(ledger.start(), side, offset, ledger.translate(side, offset))
    }

    /// The same where it is known already.
    pub fn with(start: &LaneStart, side: Side, offset: Offset, translation: Translation) -> Self {
        Self {
            source_topic: start.source_topic.clone(),
            target_topic: start.target_topic.clone(),
            partition: start.partition,
            side,
            offset,
            translation,
            resume_at: translation.resume_at(),
        }
    }
}
