//! What an error of the target means for a lane, in words for the operator.

use mirror_types::{Lane, Offset, Stop, StopKind};
use rdkafka::types::RDKafkaErrorCode as Code;

/// A record that did not get to the target.
#[derive(Debug)]
pub(crate) struct Refusal {
    pub(crate) stop: Stop,
    /// Whether it is this one record that the target does not want, so that `policy.refused = "skip"` may
    /// leave it out.
    pub(crate) of_this_record: bool,
}

/// The record's own size is over what the target topic takes.
pub(crate) fn too_large(lane: &Lane, offset: Offset, size: u64, limit: u64) -> Refusal {
    let (topic, at) = (&lane.target.topic, &lane.source.at);
    Refusal {
        stop: Stop::new(
            StopKind::Refused,
            format!(
                "{at}: the record at source offset {offset} needs a batch of {size} bytes, but target topic {topic} \
                 takes max.message.bytes = {limit}"
            ),
            format!(
                "kafka-configs.sh --alter --entity-type topics --entity-name {topic} --add-config \
                 max.message.bytes={size} on the target; the lane is tried again by itself"
            ),
        ),
        of_this_record: true,
    }
}

/// The record has no key, and the target topic is compacted.
pub(crate) fn without_key(lane: &Lane, offset: Offset) -> Refusal {
    let (topic, at) = (&lane.target.topic, &lane.source.at);
    Refusal {
        stop: Stop::new(
            StopKind::Refused,
            format!(
                "{at}: the record at source offset {offset} has no key, and target topic {topic} is compacted: it \
                 takes no record without a key"
            ),
            format!(
                "kafka-configs.sh --alter --entity-type topics --entity-name {topic} --add-config \
                 cleanup.policy=delete on the target, or set policy.refused = \"skip\"; the lane is tried again by \
                 itself"
            ),
        ),
        of_this_record: true,
    }
}

/// librdkafka's or the target's error for the record at `offset`.
pub(crate) fn of(lane: &Lane, offset: Offset, code: Code, text: &str) -> Refusal {
    let (target, at) = (&lane.target, &lane.source.at);
    let topic = &target.topic;
    let what = if text.is_empty() { code.to_string() } else { text.to_owned() };
    let refused = |fix: String| {
        let reason = format!("{at}: target {target} refused the record at source offset {offset}: {what}");
        Stop::new(StopKind::Refused, reason, fix)
    };
    let interrupted = || {
        Stop::new(
            StopKind::Interrupted,
            format!("{at}: the record at source offset {offset} was not delivered: {what}"),
            "none: the lane starts again by itself".to_owned(),
        )
    };
    let mut of_this_record = false;
    let stop = match code {
        Code::TopicAuthorizationFailed => refused(format!(
            "grant WRITE on topic {topic} on the target (kafka-acls.sh --add --allow-principal User:… --operation \
             Write --topic {topic}); the lane is tried again by itself"
        )),
        Code::ClusterAuthorizationFailed => refused(
            "grant IDEMPOTENT_WRITE on the target cluster (brokers before 2.8 ask for it); the lane is tried again \
             by itself"
                .to_owned(),
        ),
        Code::MessageSizeTooLarge => refused(format!(
            "raise max.message.bytes of target topic {topic} (kafka-configs.sh --alter --entity-type topics \
             --entity-name {topic} --add-config max.message.bytes=…); the lane is tried again by itself"
        )),
        // The others of a refused batch: they are sent again.
        Code::InvalidRecord if text.contains("part of a batch") => interrupted(),
        Code::InvalidRecord => {
            of_this_record = true;
            refused(format!(
                "see what the target's log says of it: a compacted topic takes no record without a key, and \
                 message.timestamp.before.max.ms / after.max.ms bound timestamps; change the configuration of \
                 {topic}, or set policy.refused = \"skip\""
            ))
        }
        Code::InvalidTimestamp => refused(format!(
            "remove message.timestamp.before.max.ms and message.timestamp.after.max.ms from target topic {topic}; \
             the lane is tried again by itself"
        )),
        Code::NotImplemented => Stop::new(
            StopKind::Refused,
            format!(
                "{at}: the record at source offset {offset} has timestamp 0, which this build's librdkafka can't write \
                 (it would become the present time)"
            ),
            "use a build with the librdkafka that isomirror comes with; the lane goes on from there",
        ),
        Code::UnknownTopicOrPartition | Code::UnknownTopic | Code::UnknownPartition => Stop::new(
            StopKind::Precondition,
            format!("{at}: target {target} does not exist (any more): {what}"),
            format!("make topic {topic} on the target again, with as many partitions as the source's"),
        ),
        Code::Fatal
        | Code::PurgeQueue
        | Code::PurgeInflight
        | Code::MessageTimedOut
        | Code::InvalidDifferentRecord => interrupted(),
        _ => refused("look the error up in the target broker's log; the lane is tried again by itself".to_owned()),
    };
    Refusal { stop, of_this_record }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use mirror_types::{Budget, LaneId, SourceLane, TopicPartition};

    use super::*;

    #[test]
    fn the_others_of_a_refused_batch_are_sent_again_and_never_skipped() {
        let at = TopicPartition::new("a", 0);
        let credit = Budget::new(1).lane();
        let lane =
            Lane { source: Arc::new(SourceLane { id: LaneId(1), at: at.clone(), credit }), target: at };
        // librdkafka's words for them, and the broker's for the guilty one.
        let other =
            "Failed to append record because it was part of a batch which had one more more invalid records";
        let guilty = "One or more records have been rejected due to 1 record errors in total";
        for (text, of_this_record, kind) in
            [(other, false, StopKind::Interrupted), (guilty, true, StopKind::Refused)]
        {
            let refusal = of(&lane, 7, Code::InvalidRecord, text);
            assert_eq!((refusal.of_this_record, refusal.stop.kind), (of_this_record, kind), "{text}");
        }
    }
}
