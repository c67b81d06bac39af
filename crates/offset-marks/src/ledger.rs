//! The ledger of a lane: which source offset lies at which target offset, for every offset, both ways.
//!
//! Owns the arithmetic and the bytes. Must never talk to a broker: chunks come from and go to whoever calls.
//!
//! ```text
//! LaneStart   when, between which clusters and topics, from which source offset to which target offset
//! Chunk 0     gap, run, gap, run, …      full: never changes again
//! Chunk 1     gap, run, …                the tail: written again as it grows
//!                          ▲ position: every source offset before it is mirrored or in a gap
//! Declared    gap, run, …                where records on their way are going to lie (translated offsets only)
//! ```
//!
//! What is kept in memory is the bytes as they are stored, two or three a run: an offset is looked up by a binary
//! search for the chunk, and a walk through that chunk.

mod chunk;
mod declared;
mod point;
mod start;
mod step;
mod stretch;
mod summary;
mod translation;
mod writer;

pub use chunk::{Chunk, ChunkError};
pub use point::Point;
pub use start::{LaneStart, OffsetsMode, WritersMode};
pub use stretch::Stretch;
pub use summary::{GapCount, LaneSummary, Translated};
pub use translation::Translation;
pub use writer::{ChunkLimits, LedgerWriter, OutOfOrder, Revision, Shorter, Unwritten};

use mirror_types::{GapCause, Mark, Offset, Side, TopicPartition};
use serde::Serialize;

/// A lane's ledger, to be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ledger {
    start: LaneStart,
    chunks: Vec<Chunk>,
}

/// Two chunks of one lane that can't both be true.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the marks of {lane} contradict each other: some end at {end}, those behind them begin at {base}")]
pub struct Overlap {
    /// The lane.
    pub lane: TopicPartition,
    /// Where one chunk ends.
    pub end: Point,
    /// Where the next begins, before that.
    pub base: Point,
}

/// A part of a lane with nothing visible in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct LedgerGap {
    /// Where it begins.
    pub from: Point,
    /// Where it ends.
    pub to: Point,
    /// Why it is there; not always known.
    pub cause: Option<GapCause>,
}

/// A part of a lane whose marks are missing. Only marks that were deleted, or an owner that wrote an older version
/// of a chunk after it had lost the lane, can make one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Hole {
    /// Where it begins.
    pub from: Point,
    /// Where it ends.
    pub to: Point,
}

impl Ledger {
    /// The ledger of the lane that began at `start`, from all its chunks in order.
    pub fn new(start: LaneStart, chunks: impl IntoIterator<Item = Chunk>) -> Result<Self, Overlap> {
        let chunks: Vec<Chunk> = chunks.into_iter().collect();
        let mut end = start.at;
        for chunk in &chunks {
            if end.span_to(chunk.base()).is_none() {
                return Err(Overlap { lane: start.lane(), end, base: chunk.base() });
            }
            end = chunk.end();
        }
        Ok(Self { start, chunks })
    }

    /// This one, but from where the other begins on, that: `later` is the end of the same ledger, as it was later.
    pub fn followed_by(&self, later: &Ledger) -> Result<Ledger, Overlap> {
        if self.start.incarnation != later.start.incarnation {
            return Ok(later.clone());
        }
        let at = |chunk: &Chunk| (chunk.base().source, chunk.base().target);
        let from = later.chunks.first().map(at);
        let before = self.chunks.iter().filter(|chunk| from.is_none_or(|from| at(chunk) < from));
        Ledger::new(later.start.clone(), before.chain(&later.chunks).cloned())
    }

    /// How the lane began.
    pub fn start(&self) -> &LaneStart {
        &self.start
    }

    /// The lane's position: every source offset before it is mirrored or in a gap.
    pub fn position(&self) -> Point {
        self.chunks.last().map_or(self.start.at, Chunk::end)
    }

    /// The chunks, in order.
    pub fn chunks(&self) -> &[Chunk] {
        &self.chunks
    }

    /// Where a source offset is on the target.
    pub fn to_target(&self, source: Offset) -> Translation {
        self.translate(Side::Source, source)
    }

    /// Where a target offset comes from.
    pub fn to_source(&self, target: Offset) -> Translation {
        self.translate(Side::Target, target)
    }

    /// Where `offset` of `side` is on the other side.
    pub fn translate(&self, side: Side, offset: Offset) -> Translation {
        let (start, position) = (self.start.at, self.position());
        if offset < start.on(side) {
            return Translation::BeforeStart { start };
        }
        if offset >= position.on(side) {
            return Translation::NotYet { position, ahead: offset.abs_diff(position.on(side)) };
        }
        // Of several chunks that begin at the offset all but the last span no offset on this side.
        let behind = self.chunks.partition_point(|chunk| chunk.base().on(side) <= offset);
        let before = behind.checked_sub(1).map(|chunk| &self.chunks[chunk]);
        match before {
            Some(chunk) if offset < chunk.end().on(side) => self.look_up(behind - 1, side, offset),
            // The position lies behind the offset, so there is a chunk behind.
            _ => Translation::Missing {
                from: before.map_or(start, Chunk::end),
                to: self.chunks[behind].base(),
            },
        }
    }

    fn look_up(&self, chunk: usize, side: Side, offset: Offset) -> Translation {
        let mut in_gap = None;
        for (from, step) in self.chunks[chunk].steps() {
            let run = from.after(step.gap).expect("the chunk was checked");
            if in_gap.is_none() && offset < run.on(side) {
                in_gap = Some(step.cause);
            }
            match in_gap {
                Some(cause) if step.count > 0 => {
                    return Translation::Gap { cause, next: run, visible: true };
                }
                Some(_) => {}
                None => {
                    let into = offset.abs_diff(run.on(side));
                    if into < step.count {
                        let at = run.after(point::Span { source: into, target: into });
                        return Translation::Exact(at.expect("the chunk was checked"));
                    }
                }
            }
        }
        let cause = in_gap.expect("the offset lies in the chunk");
        let (next, visible) = self.next_after(chunk);
        Translation::Gap { cause, next, visible }
    }

    /// The first record behind a chunk, and whether there is one; else how far it is known that there is none.
    fn next_after(&self, chunk: usize) -> (Point, bool) {
        let mut end = self.chunks[chunk].end();
        for chunk in &self.chunks[chunk + 1..] {
            if chunk.base() != end {
                break;
            }
            if let Some((from, step)) = chunk.steps().find(|(_, step)| step.count > 0) {
                return (from.after(step.gap).expect("the chunk was checked"), true);
            }
            end = chunk.end();
        }
        (end, false)
    }

    /// Every run of records, in order.
    pub fn runs(&self) -> impl Iterator<Item = Mark> {
        self.chunks.iter().flat_map(runs)
    }

    /// Those from the chunk on that a source offset lies in, for whoever goes on without the ledger: of one chunk at a time
    /// they are in memory.
    pub fn runs_from(&self, source: Offset) -> impl Iterator<Item = Mark> + Send + 'static {
        let behind = self.chunks.partition_point(|chunk| chunk.base().source <= source);
        let chunks = self.chunks[behind.saturating_sub(1)..].to_vec();
        chunks.into_iter().flat_map(|chunk| runs(&chunk).collect::<Vec<_>>())
    }

    /// Every gap, in order.
    pub fn gaps(&self) -> impl Iterator<Item = LedgerGap> {
        self.chunks.iter().flat_map(Chunk::steps).filter(|(_, step)| step.gap != Default::default()).map(
            |(from, step)| {
                let to = from.after(step.gap).expect("the chunk was checked");
                LedgerGap { from, to, cause: step.cause }
            },
        )
    }

    /// Every part that is missing, in order.
    pub fn missing(&self) -> impl Iterator<Item = Hole> {
        let ends = std::iter::once(self.start.at).chain(self.chunks.iter().map(Chunk::end));
        ends.zip(&self.chunks)
            .map(|(from, chunk)| Hole { from, to: chunk.base() })
            .filter(|hole| hole.from != hole.to)
    }
}

/// The runs of records in a chunk, in order.
fn runs(chunk: &Chunk) -> impl Iterator<Item = Mark> {
    chunk.steps().filter(|(_, step)| step.count > 0).map(|(from, step)| {
        let Point { source, target } = from.after(step.gap).expect("the chunk was checked");
        Mark { source, target, count: step.count }
    })
}
