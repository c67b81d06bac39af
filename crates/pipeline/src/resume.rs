//! Where a run of a lane begins, from what both sides and the link's own notes show. Pure.
//!
//! With identical offsets the target's log end is the position: nothing else has to be remembered, and nothing that
//! is remembered can be wrong. The last record there is read again from the source, and must be the same.

use mirror_types::{Offset, Stop, StopKind, TopicPartition};
use pinned_producer::{Offsets, Standing};

/// What is known of a lane that is to be started.
pub(crate) struct Known<'a> {
    /// The source partition.
    pub(crate) at: &'a TopicPartition,
    /// The target partition.
    pub(crate) target: &'a TopicPartition,
    /// How target offsets follow from source offsets.
    pub(crate) offsets: Offsets,
    /// The target partition as it is.
    pub(crate) standing: &'a Standing,
    /// The position that the link has noted, if it has mirrored the partition before.
    pub(crate) recorded: Option<Offset>,
    /// Where it would start if it had not.
    pub(crate) fresh: Offset,
    /// Its target topic was gone, the operator was told so, and it is there again.
    pub(crate) made_again: bool,
    /// The source's log start and end.
    pub(crate) source: (Offset, Offset),
}

/// Where a run of a lane begins.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Begin {
    /// The next source offset that the target lacks.
    pub(crate) position: Offset,
    /// Where to read from: the record before the position too, where it is to be compared.
    pub(crate) from: Offset,
    /// The target holds nothing yet, and has to be padded up to the position.
    pub(crate) pad: bool,
}

/// Decides for one lane.
pub(crate) fn begin(known: &Known<'_>) -> Result<Begin, Stop> {
    let (standing, recorded) = (known.standing, known.recorded);
    let start = recorded.unwrap_or(known.fresh);
    if known.offsets == Offsets::Translated {
        return Ok(Begin { position: start, from: start, pad: false });
    }
    let (first, end) = known.source;
    let is_padding = standing.last.is_some_and(|last| last.is_padding());
    let nothing_yet = standing.end == 0 || is_padding && standing.start < start && standing.end <= start;
    let lost = recorded.is_some_and(|recorded| recorded > first.max(known.fresh));
    if nothing_yet && (!lost || known.made_again) {
        return Ok(Begin { position: start, from: start, pad: start > 0 });
    }
    let position = standing.end;
    if let Some(recorded) = recorded.filter(|recorded| *recorded > position) {
        return Err(shorter(known, recorded));
    }
    if position > end {
        return Err(ahead(known));
    }
    let readable = |offset: &Offset| *offset >= first;
    match standing.last.map(|last| last.offset) {
        Some(last) if recorded.is_none() && !readable(&last) => Err(not_empty(known, last)),
        last => Ok(Begin { position, from: last.filter(readable).unwrap_or(position), pad: false }),
    }
}

fn again(known: &Known<'_>) -> String {
    let Known { at, target, .. } = known;
    format!(
        "find out what happened. To mirror {at} again from its start: stop isomirror, delete topic {} on the target and \
         the positions of {} (kafka-consumer-groups.sh --delete-offsets on the source, for this link's group), and \
         start it again",
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

fn ahead(known: &Known<'_>) -> Stop {
    let Known { at, target, standing, source, .. } = known;
    Stop::new(
        StopKind::Diverged,
        format!(
            "{at}: it ends at offset {}, but target {target} ends at {}: the source was truncated or made again, or \
             somebody else has written to the target",
            source.1, standing.end
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
    ) -> Result<Begin, StopKind> {
        let at = TopicPartition::new("a", 0);
        let standing = Standing { start: target.0, end: target.1, last: None };
        let known = Known {
            at: &at,
            target: &at,
            offsets: Offsets::Identical,
            standing: &standing,
            recorded,
            fresh: 5,
            made_again,
            source: (5, 100),
        };
        begin(&known).map_err(|stop| stop.kind)
    }

    fn at(position: Offset, pad: bool) -> Result<Begin, StopKind> {
        Ok(Begin { position, from: position, pad })
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
