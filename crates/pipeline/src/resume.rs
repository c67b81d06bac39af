//! Where a run of a lane begins, from what both sides and the lane's marks show. Pure.
//!
//! With identical offsets the target's log end is the position: nothing else has to be remembered, and nothing that
//! is remembered can be wrong. With translated ones it is what was declared to lie at the target's log end; with shared
//! writers, what was recorded in the last transaction. The last record there is is read again from the source, and must
//! be the same.

use mirror_types::{GapCause, Offset, Stop, StopKind, TopicPartition};
use offset_marks::{
    LaneStart, LedgerWriter, OffsetsMode, Point, WritersMode,
    control::{ControlRecord, EventKind},
};
use pinned_producer::{Offsets, Standing};

use crate::TopicSettings;

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
    /// Both topics are known not to be compacted.
    pub(crate) plain: bool,
    /// It was truncated to here while it was read, though it may be longer again.
    pub(crate) truncated: Option<Offset>,
}

/// What is to be compared with how a lane once began.
pub struct Now<'a> {
    /// The source partition.
    pub at: &'a TopicPartition,
    /// The target partition.
    pub target: &'a TopicPartition,
    /// What is promised of it.
    pub settings: &'a TopicSettings,
    /// The source topic's id, where it has one.
    pub source_topic_id: Option<&'a str>,
    /// The target topic's id, where it has one.
    pub target_topic_id: Option<&'a str>,
    /// The source's log start and end.
    pub source: (Offset, Offset),
    /// Where the source topic ended when it was last seen to be the one that the lane began with.
    pub seen_end: Option<Offset>,
    /// What an earlier run has found on the target that the link had not written, in words.
    pub foreign: Option<String>,
}

/// Why a lane can't go on as it was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// What it stops with.
    pub stop: Stop,
    /// What is lost if it begins anew behind it, as `policy.loss = "skip"` has it; none where it can't.
    pub loss: Option<Loss>,
}

/// A loss that a lane can go on behind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Loss {
    /// What happened.
    pub kind: EventKind,
    /// The source offsets that it is about.
    pub from: Offset,
    /// The first behind them.
    pub to: Offset,
    /// How many of them the target is known to lack for good.
    pub lost: u64,
    /// The source offset where the lane goes on.
    pub at: Offset,
    /// What is known and what is not, in words.
    pub words: String,
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
        /// Where those of them end that were on record before what the target has beyond them was found.
        recorded: Offset,
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
    /// From this source offset on, what the target has beyond its marks must be what the source has.
    pub(crate) strict: Option<Offset>,
    /// What the marks tell of is gone, as the operator knows: the lane begins anew.
    pub(crate) anew: bool,
}

// === impl Place ===

impl Place {
    /// By the marks alone.
    fn of(ledger: &LedgerWriter) -> Self {
        Self::Recorded {
            start: ledger.start().at,
            position: ledger.position(),
            recorded: ledger.position().source,
            last: ledger.last_record(),
            declaration: None,
        }
    }

    /// By what the lane's mode goes by.
    pub(crate) fn now(
        ledger: &mut LedgerWriter,
        standing: &Standing,
        offsets: Offsets,
        shared: bool,
        cause: GapCause,
    ) -> Self {
        match offsets == Offsets::Translated && !shared {
            true => Self::settled(ledger, standing, cause),
            false => Self::of(ledger),
        }
    }

    /// By what was declared to lie at the target's log end. The ledger then has it all.
    fn settled(ledger: &mut LedgerWriter, standing: &Standing, cause: GapCause) -> Self {
        let recorded = ledger.position().source;
        match ledger.settle(standing.end, Some(cause)) {
            Err(shorter) => Self::Shorter(shorter.position),
            Ok(declared) => match Self::of(ledger) {
                Self::Recorded { start, position, last, .. } => {
                    Self::Recorded { start, position, recorded, last, declaration: declared }
                }
                other => other,
            },
        }
    }
}

// === impl Refused ===

impl From<Stop> for Refused {
    fn from(stop: Stop) -> Self {
        Self { stop, loss: None }
    }
}

impl Refused {
    /// A lane that can begin anew behind the loss, unless its offsets are to be the source's.
    fn with(stop: Stop, offsets: Offsets, loss: Loss) -> Self {
        let Stop { kind, reason, fix } = stop;
        match offsets {
            Offsets::Identical => {
                let reason = format!(
                    "{reason}. policy.loss = \"skip\" can't help here: a target with identical offsets can't go back"
                );
                Stop::new(kind, reason, fix).into()
            }
            Offsets::Translated => {
                let fix = format!(
                    "{fix}. Or, to go on behind what the target has, from source offset {}: set policy.loss = \"skip\" and \
                     restart",
                    loss.at
                );
                Self { stop: Stop::new(kind, reason, fix), loss: Some(loss) }
            }
        }
    }
}

/// What a lane of this configuration promises.
pub(crate) fn modes(settings: &TopicSettings) -> (OffsetsMode, WritersMode) {
    let offsets = match settings.offsets {
        Offsets::Identical => OffsetsMode::Identical,
        Offsets::Translated => OffsetsMode::Translated,
    };
    (offsets, if settings.shared { WritersMode::Shared } else { WritersMode::Exclusive })
}

/// Whether the marks of a lane, which end at `position`, are about what is there now. `made_again`: the target topic is,
/// as the operator was told.
pub(crate) fn same_story(
    start: &LaneStart,
    position: Offset,
    now: &Now<'_>,
    made_again: bool,
) -> Result<(), Refused> {
    let Now { at, target, settings, .. } = now;
    let forget = format!(
        "find out what happened. To mirror {at} from its start again: stop isomirror, delete topic {} on the target, \
         forget its marks (isomirror marks CONFIG forget --topic {}), and start it again",
        target.topic, at.topic
    );
    let other = |then: &Option<String>, now: Option<&str>| {
        then.as_deref()
            .zip(now)
            .filter(|(then, now)| then != now)
            .map(|(then, now)| (then.to_owned(), now.to_owned()))
    };
    if start.target_topic != *target.topic {
        let reason = format!(
            "{at}: this link has mirrored it to {}, and is now told to mirror it to {}",
            start.target_topic, target.topic
        );
        let fix = format!(
            "take the rename back; or, to mirror it to {} from its start: stop isomirror, forget its marks (isomirror \
             marks CONFIG forget --topic {}), and start it again",
            target.topic, at.topic
        );
        return Err(Stop::new(StopKind::Precondition, reason, fix).into());
    }
    let (offsets, writers) = modes(settings);
    if (start.offsets, start.writers) != (offsets, writers) {
        let reason = format!(
            "{at}: it was begun with {} offsets and {} writers, and is now to have {} offsets and {} writers",
            start.offsets, start.writers, offsets, writers
        );
        let fix = format!(
            "take the change back; or, to begin anew behind what the target holds: stop isomirror, forget its marks \
             (isomirror marks CONFIG forget --topic {}), and start it again",
            at.topic
        );
        return Err(Stop::new(StopKind::Precondition, reason, fix).into());
    }
    if let Some(words) = &now.foreign {
        let reason = format!("{words} (found by an earlier run)");
        return Err(Stop::new(StopKind::Foreign, reason, forget).into());
    }
    let target_made_again = other(&start.target_topic_id, now.target_topic_id).is_some() && !made_again;
    if let Some((then, id)) = other(&start.source_topic_id, now.source_topic_id) {
        let reason = format!(
            "{at}: the source topic was recreated (deleted and made again): this link has mirrored topic id {then} up to \
             offset {position}, now it is {id}"
        );
        let stop = Stop::new(StopKind::Diverged, reason, forget);
        if target_made_again {
            return Err(stop.into());
        }
        let loss = recreated(position, now.source.0, now.seen_end);
        return Err(Refused::with(stop, settings.offsets, loss));
    }
    if target_made_again && settings.offsets == Offsets::Translated {
        let reason = format!("{at}: target topic {} was deleted and made again", target.topic);
        return Err(Stop::new(StopKind::Diverged, reason, forget).into());
    }
    Ok(())
}

/// The source topic is another: all that the old one had behind the lane's position is lost.
fn recreated(position: Offset, first: Offset, seen_end: Option<Offset>) -> Loss {
    let end = seen_end.unwrap_or(position).max(position);
    let lost = end.abs_diff(position);
    let known = match lost {
        0 => format!("whether it had records from offset {position} on, and how many, is not known"),
        _ => format!(
            "{lost} of its offsets, {position} to {}, are lost; what came behind is not known",
            end - 1
        ),
    };
    let words = format!(
        "the source topic was deleted and made again: {known}; the lane goes on with the first record of the new one, \
         offset {first}"
    );
    Loss { kind: EventKind::Recreated, from: position, to: end, lost, at: first, words }
}

/// Why a lane that has begun would not go on, by its marks and by where both sides begin and end: what the daemon finds
/// before it has read a record. `ledger` is then as the daemon would have it.
pub fn unlike(ledger: &mut LedgerWriter, now: &Now<'_>, target_end: Offset) -> Result<(), Refused> {
    let start = ledger.start().clone();
    same_story(&start, ledger.position().source, now, false)?;
    let standing = Standing { start: 0, end: target_end, last: None };
    let TopicSettings { offsets, shared, .. } = *now.settings;
    let place = Place::now(ledger, &standing, offsets, shared, GapCause::Transaction);
    let known = Known {
        at: now.at,
        target: now.target,
        offsets,
        shared,
        standing: &standing,
        place: &place,
        made_again: false,
        source: now.source,
        plain: false,
        truncated: None,
    };
    begin(&known).map(drop)
}

impl Known<'_> {
    /// Up to where the source has what was read.
    fn agrees_to(&self) -> Offset {
        self.truncated.unwrap_or(self.source.1).min(self.source.1)
    }
}

/// Decides for one lane.
pub(crate) fn begin(known: &Known<'_>) -> Result<Begin, Refused> {
    match known.offsets {
        Offsets::Identical => identical(known),
        Offsets::Translated => translated(known),
    }
}

impl Begin {
    /// Behind a loss: with nothing before that could be compared.
    pub(crate) fn anew(position: Offset) -> Self {
        Self { anew: true, ..from(position) }
    }
}

fn from(position: Offset) -> Begin {
    Begin { position, from: position, pad: false, check: None, strict: None, anew: false }
}

fn translated(known: &Known<'_>) -> Result<Begin, Refused> {
    let (first, end) = (known.source.0, known.agrees_to());
    match *known.place {
        Place::Fresh(start) => Ok(from(start)),
        Place::Shorter(recorded) if known.made_again => Ok(Begin { anew: true, ..from(recorded.source) }),
        Place::Shorter(recorded) => Err(shorter(known, recorded.source).into()),
        // What is on record of a shared lane was committed together with the records.
        Place::Recorded { position, .. } if known.shared && known.standing.end < position.target => {
            match known.made_again {
                true => Ok(Begin { anew: true, ..from(position.source) }),
                false => Err(shorter(known, position.source).into()),
            }
        }
        // If its marks went no further than the source does, records that are not the source's make the difference.
        Place::Recorded { position, recorded, .. } if position.source > end => match recorded > end {
            true => Err(ahead(known, position.source)),
            false => Err(foreign(known, position.source).into()),
        },
        Place::Recorded { start, position, last, .. } => {
            let stands = known.standing;
            let written = stands.end > start.target && !known.shared;
            // An exclusive lane writes records alone, so its last one is the last offset.
            let behind = stands.last.filter(|last| written && last.offset < stands.end - 1);
            if let Some(last) = behind.filter(|_| known.plain) {
                return Err(not_ours_behind(known, last.offset).into());
            }
            let check =
                last.filter(|last| written && behind.is_none() && stands.last.is_some() && *last >= first);
            let strict = check.filter(|_| known.plain);
            Ok(Begin { from: check.unwrap_or(position.source), check, strict, ..from(position.source) })
        }
    }
}

fn identical(known: &Known<'_>) -> Result<Begin, Refused> {
    let standing = known.standing;
    let (recorded, fresh) = match *known.place {
        Place::Fresh(start) => (None, start),
        Place::Recorded { start, position, .. } => (Some(position.source), start.source),
        Place::Shorter(position) => return Err(shorter(known, position.source).into()),
    };
    let start = recorded.unwrap_or(fresh);
    let (first, end) = (known.source.0, known.agrees_to());
    let is_padding = standing.last.is_some_and(|last| last.is_padding());
    let is_empty = standing.last.is_none() && standing.start == standing.end;
    // Padding lies before where the lane once began, whatever it has recorded since; retention may have taken it.
    let is_padded = is_padding && standing.start < fresh
        || is_empty && recorded.is_some_and(|recorded| recorded == fresh);
    let nothing_yet = standing.end == 0 || is_padded && standing.end <= fresh;
    // The source need not have what the target has lost.
    let lost = recorded.is_some_and(|recorded| recorded > fresh);
    if nothing_yet && (!lost || known.made_again) {
        let anew = recorded.is_some_and(|recorded| recorded > fresh);
        return Ok(Begin { pad: start > 0, anew, ..from(start) });
    }
    let position = standing.end;
    if let Some(recorded) = recorded.filter(|recorded| *recorded > position) {
        return Err(shorter(known, recorded).into());
    }
    if position > end {
        return Err(ahead(known, position));
    }
    let last = standing.last.map(|last| last.offset);
    if let Some(last) = last.filter(|last| recorded.is_none() && *last < first) {
        return Err(not_empty(known, last).into());
    }
    // Without marks nobody knows what was there.
    if recorded.is_none() && is_empty && position > first.max(fresh) {
        return Err(emptied(known).into());
    }
    // What the marks lack is read again, too.
    let again = [last, recorded].into_iter().flatten().min().unwrap_or(position);
    let read_from = again.max(first).min(position);
    let strict = recorded.filter(|_| known.plain && last.is_some_and(|last| last >= read_from));
    Ok(Begin { from: read_from, strict, ..from(position) })
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

fn ahead(known: &Known<'_>, position: Offset) -> Refused {
    let Known { at, target, source, .. } = known;
    let to = known.agrees_to();
    let reason = match to < source.1 {
        true => {
            format!("{at}: it was truncated to offset {to}, but target {target} has all up to {position}")
        }
        false => format!(
            "{at}: it ends at offset {to}, but target {target} has all up to {position}: the source was truncated or made \
             again, or somebody else has written to the target"
        ),
    };
    let words = format!(
        "the source was truncated: what the target has of offsets {to} to {}, before its offset {}, is not on the source any \
         more; the lane goes on at source offset {to}. What the source lost beside that is not known",
        position - 1,
        known.standing.end
    );
    let loss = Loss { kind: EventKind::Truncated, from: to, to: position, lost: 0, at: to, words };
    Refused::with(Stop::new(StopKind::Diverged, reason, again(known)), known.offsets, loss)
}

/// The target has more than was recorded and declared, and the source does not.
fn foreign(known: &Known<'_>, position: Offset) -> Stop {
    let Known { at, target, source, .. } = known;
    let reason = format!(
        "{at}: the source ends at offset {}, but by target {target}'s log end, {}, all up to {position} would be there: \
         somebody else has written to the target, or the source was truncated or made again",
        source.1, known.standing.end
    );
    Stop::new(StopKind::Diverged, reason, again(known))
}

/// Behind the lane's last record there is something that is none.
fn not_ours_behind(known: &Known<'_>, last: Offset) -> Stop {
    let Known { at, target, standing, .. } = known;
    let reason = format!(
        "{at}: target {target} ends at {}, but its last record lies at {last}: somebody else has written there (a \
         transaction's end is a control record), and this link has not",
        standing.end
    );
    let fix =
        format!("{}; if others are to write to it, set writers = \"shared\" for the topic", again(known));
    Stop::new(StopKind::Diverged, reason, fix)
}

/// The target had records, and nobody knows which.
fn emptied(known: &Known<'_>) -> Stop {
    let Known { at, target, source, standing, .. } = known;
    Stop::new(
        StopKind::Precondition,
        format!(
            "{at}: target {target} ends at offset {} and holds no record, this link has no marks of it, and the source \
             begins at offset {}: whether it ever had the records between can't be told",
            standing.end, source.0
        ),
        format!("delete topic {} on the target, and it is mirrored from where `start` says", target.topic),
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
            recorded: position,
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
            plain: true,
            truncated: None,
        };
        begin(&known).map(|begin| (begin.position, begin.pad)).map_err(|refused| refused.stop.kind)
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
            // Nobody knows what was there; but where the source has nothing before it either, nothing is passed over.
            assert_eq!(decided(None, (end, end), false), Err(StopKind::Precondition));
        }
        assert_eq!(decided(None, (5, 5), false), at(5, false));
        assert_eq!(decided(Some(5), (3, 3), false), at(5, true), "retention has taken the padding");
        assert_eq!(decided(Some(60), (60, 60), false), at(60, false), "and here all that was mirrored");
    }

    #[test]
    fn what_can_not_be_the_same_story_is_a_divergence() {
        assert_eq!(decided(Some(60), (0, 0), false), Err(StopKind::Diverged), "made again behind our back");
        assert_eq!(decided(Some(60), (0, 0), true), at(60, true), "made again as the operator was told");
        assert_eq!(decided(Some(60), (0, 40), true), Err(StopKind::Diverged), "truncated");
        assert_eq!(decided(Some(60), (0, 101), false), Err(StopKind::Diverged), "ahead of the source");
        assert_eq!(decided(None, (0, 101), false), Err(StopKind::Diverged));
    }

    #[test]
    fn a_shared_target_that_ends_before_what_is_on_record_was_cut() {
        let at = TopicPartition::new("a", 0);
        let place = Place::Recorded {
            start: Point::new(0, 100),
            position: Point::new(60, 170),
            recorded: 60,
            last: Some(59),
            declaration: None,
        };
        let begins = |end, made_again| {
            let standing = Standing { start: 0, end, last: None };
            let begun = begin(&Known {
                at: &at,
                target: &at,
                offsets: Offsets::Translated,
                shared: true,
                standing: &standing,
                place: &place,
                made_again,
                source: (0, 100),
                plain: true,
                truncated: None,
            });
            begun.map(|begin| (begin.position, begin.anew)).map_err(|refused| refused.stop.kind)
        };
        assert_eq!(begins(170, false), Ok((60, false)));
        assert_eq!(begins(500, false), Ok((60, false)), "others write it");
        assert_eq!(begins(169, false), Err(StopKind::Diverged));
        assert_eq!(begins(0, true), Ok((60, true)), "made again as the operator was told");
    }

    fn settings(offsets: Offsets) -> TopicSettings {
        TopicSettings {
            create: true,
            replication: -1,
            begin: crate::Begin::AtOnce,
            start: crate::Start::Earliest,
            offsets,
            shared: false,
        }
    }

    /// A lane that has mirrored 60 records behind 100 of others, to a target that has them all.
    fn judged(
        offsets: Offsets,
        topic_id: &str,
        source: (Offset, Offset),
        seen_end: Option<Offset>,
    ) -> Result<(), Refused> {
        judged_with(offsets, topic_id, source, seen_end, 0)
    }

    /// The same, where the target has some more that nobody has declared.
    fn judged_with(
        offsets: Offsets,
        topic_id: &str,
        source: (Offset, Offset),
        seen_end: Option<Offset>,
        more: Offset,
    ) -> Result<(), Refused> {
        let at = TopicPartition::new("a", 0);
        let settings = settings(offsets);
        let to = if offsets == Offsets::Identical { 0 } else { 100 };
        let (offsets, writers) = modes(&settings);
        let mut ledger = LedgerWriter::begin(LaneStart {
            incarnation: 1,
            since: 0,
            source_topic: "a".to_owned(),
            target_topic: "a".to_owned(),
            partition: 0,
            at: Point::new(0, to),
            source_cluster: None,
            target_cluster: None,
            source_topic_id: Some("old".to_owned()),
            target_topic_id: None,
            offsets,
            writers,
            source_end: None,
            configs: None,
            adopted: None,
        });
        ledger.mark(mirror_types::Mark { source: 0, target: to, count: 60 }).unwrap();
        let now = Now {
            at: &at,
            target: &at,
            settings: &settings,
            source_topic_id: Some(topic_id),
            target_topic_id: None,
            source,
            seen_end,
            foreign: None,
        };
        unlike(&mut ledger, &now, to + 60 + more)
    }

    #[test]
    fn a_translated_lane_can_begin_anew_behind_what_the_source_has_lost() {
        let translated = |id, source, seen| judged(Offsets::Translated, id, source, seen);
        assert_eq!(translated("old", (0, 60), None), Ok(()));
        let loss = |id, source, seen| translated(id, source, seen).unwrap_err().loss.unwrap();
        let again = loss("new", (3, 500), Some(75));
        assert_eq!(
            (again.kind, again.from, again.to, again.lost, again.at),
            (EventKind::Recreated, 60, 75, 15, 3)
        );
        assert!(again.words.contains("15 of its offsets, 60 to 74"), "{}", again.words);
        let again = loss("new", (0, 500), None);
        assert_eq!((again.lost, again.at), (0, 0));
        assert!(again.words.contains("not known"), "{}", again.words);
        let cut = loss("old", (0, 40), None);
        assert_eq!((cut.kind, cut.from, cut.to, cut.lost, cut.at), (EventKind::Truncated, 40, 60, 0, 40));
        assert!(cut.words.contains("40 to 59"), "{}", cut.words);
    }

    #[test]
    fn what_a_stranger_wrote_is_not_taken_for_a_truncation() {
        let judged = |end, more| judged_with(Offsets::Translated, "old", (0, end), None, more);
        assert_eq!(judged(65, 5), Ok(()), "it may be ours, and is compared with the source");
        let Refused { stop, loss } = judged(63, 5).unwrap_err();
        assert_eq!((stop.kind, loss), (StopKind::Diverged, None));
        assert!(stop.reason.contains("somebody else has written"), "{}", stop.reason);
        assert!(judged(40, 5).unwrap_err().loss.is_some(), "the source has less than is on record");
    }

    #[test]
    fn an_identical_lane_can_not_go_back_and_says_so() {
        for (id, source) in [("new", (0, 500)), ("old", (0, 40))] {
            let Refused { stop, loss } = judged(Offsets::Identical, id, source, None).unwrap_err();
            assert_eq!((stop.kind, loss), (StopKind::Diverged, None));
            assert!(stop.reason.contains("can't go back"), "{}", stop.reason);
            assert!(stop.fix.contains("marks CONFIG forget --topic a"), "{}", stop.fix);
        }
    }
}
