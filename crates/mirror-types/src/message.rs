//! What travels through the channels between the stages, in the order of a record's way.

use std::sync::Arc;

use crate::{Content, Credit, Gap, Lane, LaneId, Mark, Offset, SourceLane, Stop};

/// source-consumer → topic-rename: a piece of one lane, in offset order.
#[derive(Debug)]
pub struct Fetched {
    /// The lane it belongs to.
    pub lane: Arc<SourceLane>,
    /// Where it begins: the `next` of the piece before it. Offsets from here on without a record are gaps.
    pub first: Offset,
    /// The records; none where only the position moves (nothing visible up to `next`).
    pub content: Content,
    /// The lane's position once this piece is on the target.
    pub next: Offset,
    /// The bytes of the link's buffer that this piece holds until it is dropped.
    pub credit: Credit,
}

/// topic-rename → pinned-producer: the same piece, and where it goes.
#[derive(Debug)]
pub struct Routed {
    /// The lane, both halves.
    pub lane: Lane,
    /// Where it begins.
    pub first: Offset,
    /// The records.
    pub content: Content,
    /// The lane's position once this piece is on the target.
    pub next: Offset,
    /// The bytes of the link's buffer that this piece holds until it is dropped.
    pub credit: Credit,
}

/// pinned-producer → offset-marks: a piece that the target has acknowledged, whole and in order.
#[derive(Debug, Clone)]
pub struct Acked {
    /// The lane.
    pub lane: Lane,
    /// Where each record lies now.
    pub marks: Vec<Mark>,
    /// The lane's position: every source offset before it is on the target or in a gap.
    pub next: Offset,
    /// The target's log end as this lane knows it: everything of the piece lies before it. With identical offsets it
    /// is `next`.
    pub end: Offset,
    /// Records in the piece.
    pub records: u64,
    /// Bytes that were mirrored: keys, values and headers, or batches as they are.
    pub bytes: u64,
    /// Their timestamps, in milliseconds since the epoch, in order, and how many records each is of; of a batch that was
    /// not opened it is the largest.
    pub timestamps: Vec<(i64, u64)>,
}

/// How a source partition is not what a lane has read any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SourceChange {
    /// Its topic was deleted and made again.
    Recreated,
    /// It has forgotten what was at this offset and behind; other records may be there by now.
    Truncated(Offset),
}

/// Any stage → the supervisor: something happened to a lane that someone must hear of.
#[derive(Debug)]
pub enum LaneEvent {
    /// The lane can't go on; the stage has let go of it.
    Stopped {
        /// Which run of which lane.
        lane: LaneId,
        /// Why.
        stop: Stop,
    },
    /// The source is not what the lane has read any more; the source's stage has let go of the lane.
    Changed {
        /// Which run of which lane.
        lane: LaneId,
        /// How.
        change: SourceChange,
        /// What is to be said of it.
        stop: Stop,
    },
    /// Records were lost and, as the policy says, skipped; the lane goes on behind them.
    Lost {
        /// Which run of which lane.
        lane: LaneId,
        /// What is gone.
        gap: Gap,
    },
    /// The target refused a record and, as the policy says, it was skipped; the lane goes on.
    Skipped {
        /// Which run of which lane.
        lane: LaneId,
        /// The record's source offset.
        offset: Offset,
        /// Why.
        stop: Stop,
    },
}
