//! How a run of a lane begins on the target.

use mirror_types::{Lane, Offset};

use crate::Standing;

/// How target offsets follow from source offsets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Offsets {
    /// They are the same.
    Identical,
    /// They follow each other without gaps, from wherever the target's log ended.
    Translated,
}

/// What the writer of a lane has to know before its first piece.
#[derive(Debug, Clone)]
pub struct Opening {
    /// The run of the lane.
    pub lane: Lane,
    /// The target partition, as it was found.
    pub standing: Standing,
    /// Where its records are to lie.
    pub offsets: Offsets,
    /// The partition holds nothing but padding, if that, and the lane starts at this offset: it is to be padded up to
    /// there, and the padding to be deleted.
    pub start: Option<Offset>,
}
