//! Where a source offset lies on the target, for whoever has read everything before it. Pure.

use std::collections::BTreeMap;

use mirror_types::{Offset, Side, TopicPartition};
use offset_marks::{Ledger, Point, Translation};
use serde::Serialize;

/// What has to be known of a lane.
#[derive(Debug, Clone)]
pub struct Lane {
    /// The source topic.
    pub topic: String,
    /// The target topic.
    pub target_topic: String,
    /// The partition, on both sides.
    pub partition: i32,
    /// The first mark: where the lane began.
    pub start: Point,
    /// How target offsets follow.
    pub map: Map,
    /// Where the source's log begins, if that is known.
    pub source_low: Option<Offset>,
    /// Where the target's log begins, if that is known.
    pub target_low: Option<Offset>,
    /// Where the target's log ends.
    pub target_end: Offset,
    /// Where others write the target, too, and what they write comes to the source: the first record on the target that someone
    /// has not read who has read the source before each of these offsets; where that is not where the marks lead.
    pub of_others: BTreeMap<Offset, Offset>,
    /// Why nothing can be said of this lane, if that is so, and what to do.
    pub trouble: Option<String>,
}

/// How target offsets follow from source offsets.
#[derive(Debug, Clone)]
pub enum Map {
    /// They are the same.
    Identical,
    /// As the marks say.
    Marks(Box<Ledger>),
}

/// Where someone goes on, on the target, who has read everything before an offset of the source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// At this offset.
    pub target: Offset,
    /// Source offsets that are read again: the target does not have all yet that was read on the source.
    pub read_again: u64,
    /// Source offsets from the one asked for to the lane's start: never mirrored, so not read.
    pub absent: u64,
    /// How it was found.
    pub why: Why,
}

/// How a place was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Why {
    /// The offset has its counterpart.
    Exact,
    /// Nothing visible lies at the offset: it is the next record's.
    Gap,
    /// The offset is not mirrored yet: it is where the mirrored part ends.
    NotMirroredYet,
    /// The offset lies before the lane's start: it is the start's.
    BeforeStart,
    /// Both sides have the records of several sites in orders of their own: it is that of the first record that was not read,
    /// and behind it lie some that were.
    TwoOrders,
}

/// Marks that are missing: what lies between two source offsets is not known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Missing {
    pub from: Offset,
    pub to: Offset,
}

impl Lane {
    /// The lane's name: the partition that is read.
    pub fn at(&self) -> TopicPartition {
        TopicPartition::new(&*self.topic, self.partition)
    }

    /// Where someone goes on who has read everything before `source`.
    pub(crate) fn place(&self, source: Offset) -> Result<Place, Missing> {
        let place = self.by_marks(source)?;
        let Some(target) = self.of_others.get(&source).map(|target| *target.min(&self.target_end)) else {
            return Ok(place);
        };
        if target >= place.target {
            return Ok(Place { target, ..place });
        }
        let read_again = self.read_again(source, Some(target)).unwrap_or(place.read_again);
        Ok(Place { target, read_again, why: Why::TwoOrders, ..place })
    }

    /// Where the marks lead someone on the target who has read everything before `source`; none where they are missing.
    pub fn by_marks_alone(&self, source: Offset) -> Option<Offset> {
        self.by_marks(source).ok().map(|place| place.target)
    }

    fn by_marks(&self, source: Offset) -> Result<Place, Missing> {
        if source < self.start.source {
            let absent = source.abs_diff(self.start.source);
            let target = self.start.target.min(self.target_end);
            return Ok(Place { target, read_again: 0, absent, why: Why::BeforeStart });
        }
        let (target, read_again, why) = match &self.map {
            Map::Identical => (source, 0, Why::Exact),
            Map::Marks(ledger) => match ledger.to_target(source) {
                Translation::Exact(at) => (at.target, 0, Why::Exact),
                Translation::Gap { next, .. } => (next.target, 0, Why::Gap),
                // The target may end further on, but which of its records those are is not recorded yet.
                Translation::NotYet { position, ahead: 0 } => (position.target, 0, Why::Exact),
                Translation::NotYet { position, ahead } => (position.target, ahead, Why::NotMirroredYet),
                Translation::BeforeStart { start } => (start.target, 0, Why::BeforeStart),
                Translation::Missing { from, to } => {
                    return Err(Missing { from: from.source, to: to.source });
                }
            },
        };
        let end = self.target_end;
        if target <= end {
            return Ok(Place { target, read_again, absent: 0, why });
        }
        // Never past the end: it would be out of range, or skip what comes.
        let read_again = self.read_again(source, Some(end)).unwrap_or(read_again);
        Ok(Place { target: end, read_again, absent: 0, why: Why::NotMirroredYet })
    }

    /// Whether a source offset is not known to be mirrored, but may be: the target goes on behind the marks, which are
    /// recorded a moment after the records.
    pub fn awaits_marks(&self, source: Offset) -> bool {
        match &self.map {
            Map::Identical => false,
            Map::Marks(ledger) => {
                let position = ledger.position();
                source > position.source && self.target_end > position.target
            }
        }
    }

    /// Source offsets before `source` that are read again by who goes on at `target` of the target's; without any, from the
    /// lane's start on. None where marks are missing.
    pub fn read_again(&self, source: Offset, target: Option<Offset>) -> Option<u64> {
        let from = match target {
            None => self.start.source,
            Some(target) => self.stands_for(target)?,
        };
        Some(u64::try_from(source - from).unwrap_or(0))
    }

    /// Whether the marks that are here tell where a source offset lies.
    pub fn knows_source(&self, source: Offset) -> bool {
        self.place(source).is_ok()
    }

    /// Whether the marks that are here tell where a target offset comes from.
    pub fn knows_target(&self, target: Offset) -> bool {
        self.stands_for(target).is_some()
    }

    /// The source offset of the next record behind everything that lies before a target offset.
    fn stands_for(&self, target: Offset) -> Option<Offset> {
        match &self.map {
            Map::Identical => Some(target.max(self.start.source)),
            Map::Marks(ledger) => match ledger.translate(Side::Target, target) {
                Translation::Exact(at) => Some(at.source),
                Translation::Gap { next, .. } => Some(next.source),
                Translation::NotYet { position, .. } => Some(position.source),
                Translation::BeforeStart { start } => Some(start.source),
                Translation::Missing { .. } => None,
            },
        }
    }
}
