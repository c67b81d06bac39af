//! Where a run of a lane begins, from what both sides and the lane's marks show. Pure.
//!
//! With identical offsets the target's log end is the position: nothing else has to be remembered, and nothing that
//! is remembered can be wrong. With translated ones it is what was declared to lie at the target's log end; with shared
//! writers, what was recorded in the last transaction. The last record there is is read again from the source, and must
//! be the same.

use mirror_types::{GapCause, Offset, Stop, StopKind, TopicPartition};
use offset_marks::{LedgerWriter, Point, control::ControlRecord};
use pinned_producer::{Offsets, Standing};

/// What is known of a lane that is to be started.
pub(crate) struct Known<'a> {
    /// The source partition.
    pub(crate) at: &'a TopicPartition,
    /// The target partition.
    pub(crate) target: &'a TopicPartition,
    /// How target offsets follow from source offsets.
    pub(crate) offsets: Offsets,
    /// Whether others write the target partition, too.
    pub(crate) shared: bool,
    /// The target partition as it is.
    pub(crate) standing: &'a Standing,
    /// Where the lane stands by its marks, or where it starts.
    pub(crate) place: &'a Place,
    /// Its target topic was gone, the operator was told so, and it is there again.
    pub(crate) made_again: bool,
    /// The source's log start and end.
    pub(crate) source: (Offset, Offset),
}

/// Where a lane stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Place {
    /// It has no marks, and starts at this source offset.
    Fresh(Offset),
    /// It has begun, and got here.
    Recorded {
        /// Where it once began.
        start: Point,
        /// Where its marks end.
        position: Point,
        /// The source offset of the last record that they tell of.
        last: Option<Offset>,
        /// What has to be on record before anything is sent.
        declaration: Option<ControlRecord>,
    },
    /// The target ends before all that it had acknowledged up to here.
    Shorter(Point),
}

/// Where a run of a lane begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Begin {
    /// The next source offset that the target lacks.
    pub(crate) position: Offset,
    /// Where to read from: the record before the position too, where it is to be compared, and what the marks lack.
    pub(crate) from: Offset,
    /// The target holds nothing yet, and has to be padded up to the position.
    pub(crate) pad: bool,
    /// The source offset of the target's last record, if that is to be compared (translated offsets).
    pub(crate) check: Option<Offset>,
    /// What the marks tell of is gone, as the operator knows: the lane begins anew.
    pub(crate) anew: bool,
}

// === impl Place ===

impl Place {
    /// By the marks alone.
    pub(crate) fn of(ledger: &LedgerWriter) -> Self {
        Self::Recorded {
            start: ledger.start().at,
            position: ledger.position(),
            last: ledger.last_record(),
            declaration: None,
        }
    }

    /// By what was declared to lie at the target's log end. The ledger then has it all.
    pub(crate) fn settled(ledger: &mut LedgerWriter, standing: &Standing, cause: GapCause) -> Self {
        match ledger.settle(standing.end, Some(cause)) {
            Err(shorter) => Self::Shorter(shorter.position),
            Ok(declared) => match Self::of(ledger) {
                Self::Recorded { start, position, last, .. } => {
                    Self::Recorded { start, position, last, declaration: declared }
                }
                other => other,
            },
        }
    }
}

/// Decides for one lane.
pub(crate) fn begin(known: &Known<'_>) -> Result<Begin, Stop> {
    match known.offsets {
        Offsets::Identical => identical(known),
        Offsets::Translated => translated(known),
    }
}

fn from(position: Offset) -> Begin {
    Begin { position, from: position, pad: false, check: None, anew: false }
}

fn translated(known: &Known<'_>) -> Result<Begin, Stop> {
    let (first, end) = known.source;
    match *known.place {
        Place::Fresh(start) => Ok(from(start)),
        Place::Shorter(recorded) if known.made_again => Ok(Begin { anew: true, ..from(recorded.source) }),
        Place::Shorter(recorded) => Err(shorter(known, recorded.source)),
        Place::Recorded { position, .. } if position.source > end => Err(ahead(known, position.source)),
        Place::Recorded { start, position, last, .. } => {
            let stands = known.standing;
            // Somebody's marker may lie behind the last record.
            let is_last =
                stands.last.is_some_and(|last| last.offset == stands.end - 1 && stands.end > start.target);
            let check = last.filter(|last| is_last && !known.shared && *last >= first);
            Ok(Begin { from: check.unwrap_or(position.source), check, ..from(position.source) })
        }
    }
}

fn identical(known: &Known<'_>) -> Result<Begin, Stop> {
    let standing = known.standing;
    let (recorded, fresh) = match *known.place {
        Place::Fresh(start) => (None, start),
        Place::Recorded { start, position, .. } => (Some(position.source), start.source),
        Place::Shorter(position) => return Err(shorter(known, position.source)),
    };
    let start = recorded.unwrap_or(fresh);
    let (first, end) = known.source;
    let is_padding = standing.last.is_some_and(|last| last.is_padding());
    // Padding lies before where the lane once began, whatever it has recorded since.
    let nothing_yet = standing.end == 0 || is_padding && standing.start < fresh && standing.end <= fresh;
    let lost = recorded.is_some_and(|recorded| recorded > first.max(fresh));
    if nothing_yet && (!lost || known.made_again) {
        let anew = recorded.is_some_and(|recorded| recorded > fresh);
        return Ok(Begin { pad: start > 0, anew, ..from(start) });
    }
    let position = standing.end;
    if let Some(recorded) = recorded.filter(|recorded| *recorded > position) {
        return Err(shorter(known, recorded));
    }
    if position > end {
        return Err(ahead(known, position));
    }
    let last = standing.last.map(|last| last.offset);
    if let Some(last) = last.filter(|last| recorded.is_none() && *last < first) {
        return Err(not_empty(known, last));
    }
    // What the marks lack is read again, too.
    let again = [last, recorded].into_iter().flatten().min().unwrap_or(position);
    Ok(Begin { from: again.max(first).min(position), ..from(position) })
}

fn again(known: &Known<'_>) -> String {
    let Known { at, target, .. } = known;
    format!(
        "find out what happened. To mirror {at} again from its start: stop isomirror, delete topic {} on the target, \
         forget its marks (isomirror marks CONFIG forget --topic {}), and start it again",
        target.topic, at.topic
    )
}

fn shorter(known: &Known<'_>, recorded: Offset) -> Stop {
    let Known { at, target, standing, .. } = known;
    Stop::new(
        StopKind::Diverged,
        format!(
            "{at}: this link has mirrored up to offset {recorded}, but target {target} ends at {}: it was deleted and \
             made again, or truncated by an unclean leader election",
            standing.end
        ),
        again(known),
    )
}

fn ahead(known: &Known<'_>, position: Offset) -> Stop {
    let Known { at, target, source, .. } = known;
    Stop::new(
        StopKind::Diverged,
        format!(
            "{at}: it ends at offset {}, but target {target} has all up to {position}: the source was truncated or made \
             again, or somebody else has written to the target",
            source.1
        ),
        again(known),
    )
}

fn not_empty(known: &Known<'_>, last: Offset) -> Stop {
    let Known { at, target, source, .. } = known;
    Stop::new(
        StopKind::Precondition,
        format!(
            "{at}: target {target} holds records up to offset {last} that this link has not written, and the source \
             begins at offset {}: whether they are the same can't be told",
            source.0
        ),
        format!(
            "set offsets = \"translated\" for topic {} to write behind them, or delete topic {} on the target",
            at.topic, target.topic
        ),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A lane whose source holds offsets 5 to 99; recorded, and where the target starts and ends.
    fn decided(
        recorded: Option<Offset>,
        target: (Offset, Offset),
        made_again: bool,
    ) -> Result<(Offset, bool), StopKind> {
        let at = TopicPartition::new("a", 0);
        let place = recorded.map_or(Place::Fresh(5), |position| Place::Recorded {
            start: Point::new(5, 5),
            position: Point::new(position, position),
            last: None,
            declaration: None,
        });
        let standing = Standing { start: target.0, end: target.1, last: None };
        let known = Known {
            at: &at,
            target: &at,
            offsets: Offsets::Identical,
            shared: false,
            standing: &standing,
            place: &place,
            made_again,
            source: (5, 100),
        };
        begin(&known).map(|begin| (begin.position, begin.pad)).map_err(|stop| stop.kind)
    }

    fn at(position: Offset, pad: bool) -> Result<(Offset, bool), StopKind> {
        Ok((position, pad))
    }

    #[test]
    fn the_targets_end_is_the_position_and_an_empty_target_is_padded() {
        assert_eq!(decided(None, (0, 0), false), at(5, true));
        assert_eq!(decided(Some(5), (0, 0), false), at(5, true), "stopped before its first record");
        for end in [10, 50, 100] {
            assert_eq!(decided(Some(10), (0, end), false), at(end, false), "what is recorded may be behind");
            assert_eq!(decided(None, (end, end), false), at(end, false));
        }
    }

    #[test]
    fn what_can_not_be_the_same_story_is_a_divergence() {
        assert_eq!(decided(Some(60), (0, 0), false), Err(StopKind::Diverged), "made again behind our back");
        assert_eq!(decided(Some(60), (0, 0), true), at(60, true), "made again as the operator was told");
        assert_eq!(decided(Some(60), (0, 40), true), Err(StopKind::Diverged), "truncated");
        assert_eq!(decided(Some(60), (0, 101), false), Err(StopKind::Diverged), "ahead of the source");
        assert_eq!(decided(None, (0, 101), false), Err(StopKind::Diverged));
    }
}
