//! What is said where a lane can't be read on: the same words whichever engine reads it.

use mirror_types::{Gap, Offset, Stop, StopKind, TopicPartition};

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
