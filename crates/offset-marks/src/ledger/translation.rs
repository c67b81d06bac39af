//! What became of one offset on the other side.

use std::fmt;

use mirror_types::GapCause;
use serde::Serialize;

use super::Point;

/// The answer to "where is this offset on the other side?". Points hold the offsets of both sides, so that the
/// same answer serves both directions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(tag = "found", rename_all = "snake_case")]
pub enum Translation {
    /// There is a record at the offset, and this is where it lies.
    Exact(Point),
    /// Nothing visible is at the offset.
    Gap {
        /// Why; not always known.
        cause: Option<GapCause>,
        /// What comes behind the gap.
        next: Point,
        /// Whether a record lies at `next` already; if not, it is where the next one will lie.
        visible: bool,
    },
    /// The offset lies before the lane's first one: it was never mirrored.
    BeforeStart {
        /// Where the lane began.
        start: Point,
    },
    /// The offset lies behind everything that is mirrored so far.
    NotYet {
        /// The lane's position.
        position: Point,
        /// How many offsets lie between that and the one asked for; 0: it is the next to be mirrored.
        ahead: u64,
    },
    /// A part of the ledger is missing, and the offset lies in it.
    Missing {
        /// Where that part begins.
        from: Point,
        /// Where it ends.
        to: Point,
    },
}

impl Translation {
    /// Where someone goes on who has read everything before the offset on one side, and now reads the other. That
    /// is what a committed offset means.
    ///
    /// None where this can't be said without reading again or leaving something out: before the lane's start, more
    /// than the position ahead, and where the ledger has a hole. The fields say what there is to choose from.
    pub fn resume_at(&self) -> Option<Point> {
        match *self {
            Translation::Exact(at) => Some(at),
            Translation::Gap { next, .. } => Some(next),
            Translation::NotYet { position, ahead: 0 } => Some(position),
            Translation::NotYet { .. } | Translation::BeforeStart { .. } | Translation::Missing { .. } => {
                None
            }
        }
    }
}

impl fmt::Display for Translation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Translation::Exact(at) => write!(f, "{at}"),
            Translation::Gap { cause, next, visible } => {
                let cause = cause.map_or("cause not known", GapCause::as_str);
                let next_is = if *visible { "the next record is at" } else { "the next record will be at" };
                write!(f, "in a gap ({cause}); {next_is} {next}")
            }
            Translation::BeforeStart { start } => {
                write!(f, "never mirrored: the lane began at {start}")
            }
            Translation::NotYet { position, ahead: 0 } => {
                write!(f, "the next to be mirrored: {position}")
            }
            Translation::NotYet { position, ahead } => {
                write!(f, "not mirrored yet: {ahead} ahead of the position ({position})")
            }
            Translation::Missing { from, to } => {
                write!(f, "not known: the marks from {from} to {to} are missing")
            }
        }
    }
}
