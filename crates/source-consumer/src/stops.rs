//! What is said where a lane can't be read on: the same words whichever engine reads it.

use mirror_types::{Gap, GapCause, Offset, Stop, StopKind, TopicPartition};

/// The source topic is another now, of this id: the lane of the old one is to begin again, where that is judged.
pub fn recreated(at: &TopicPartition, id: &str) -> Stop {
    let reason = format!("{at}: the source topic was recreated, it has topic id {id} now");
    Stop::new(StopKind::Interrupted, reason, "nothing; it is looked at again by itself")
}

pub(crate) fn truncated(at: &TopicPartition, reason: String) -> Stop {
    let fix = format!(
        "find out what happened to the source topic; to mirror what it holds now: stop isomirror, delete the target \
         topic, forget its marks (isomirror marks CONFIG forget --topic {}), and start it again",
        at.topic
    );
    Stop::new(StopKind::Diverged, reason, fix)
}

/// The source ends before the lane's position.
pub(crate) fn ends_before(at: &TopicPartition, end: Offset, next: Offset) -> String {
    format!(
        "{at}: the source ends at offset {end}, but the lane stands at {next}: the source was truncated or recreated"
    )
}

/// What is lost of a lane that was to be read from `from`, where all before `low` is deleted: what is before its position is
/// on the target already. None: nothing is.
pub(crate) fn lost_before(low: Offset, from: Offset, position: Offset) -> Option<Gap> {
    let gap = Gap { from: from.max(position), to: low, cause: GapCause::Retention };
    (gap.from < gap.to).then_some(gap)
}

/// What the target has was to be read again, to be compared, and was deleted meanwhile: where the lane begins is decided
/// anew.
pub(crate) fn not_to_be_compared(at: &TopicPartition, low: Offset) -> Stop {
    let reason =
        format!("{at}: the source deleted what is before offset {low} (retention) while the lane started");
    Stop::new(StopKind::Interrupted, reason, "nothing; it is looked at again by itself")
}

pub(crate) fn lost(at: &TopicPartition, gap: Gap) -> Stop {
    let reason = format!(
        "{at}: {} source offsets, {} to {}, were deleted (retention) before they were read",
        gap.to - gap.from,
        gap.from,
        gap.to - 1
    );
    let fix = "to go on behind the loss set policy.loss = \"skip\" and restart; then raise the source's \
               retention or the mirror's throughput";
    Stop::new(StopKind::Lost, reason, fix)
}

pub(crate) fn unreadable(at: &TopicPartition, next: Offset, text: &str) -> Stop {
    Stop::new(
        StopKind::Unreadable,
        format!("{at}: the source does not let us read it at offset {next} ({text})"),
        format!(
            "grant READ and DESCRIBE on topic {} on the source; the lane is tried again by itself",
            at.topic
        ),
    )
}

pub(crate) fn corrupt(at: &TopicPartition, next: Offset, text: &str) -> Stop {
    Stop::new(
        StopKind::Diverged,
        format!("{at}: a corrupt batch at or after offset {next} ({text}); it was not forwarded"),
        "check the source broker's disk; if the records are beyond repair, delete up to them on the source \
         (kafka-delete-records.sh) and set policy.loss = \"skip\"",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_on_the_target_is_not_lost() {
        let lost = |low, from, position| lost_before(low, from, position).map(|gap| (gap.from, gap.to));
        assert_eq!(lost(90, 50, 50), Some((50, 90)));
        assert_eq!(lost(90, 70, 50), Some((70, 90)), "it has been read up to 70");
        assert_eq!(lost(90, 49, 50), Some((50, 90)), "one was to be compared");
        assert_eq!(lost(50, 49, 50), None);
        assert_eq!(lost(45, 40, 50), None);
    }
}
