//! What an error of the target means for a lane, in words for the operator.

use kafka_wire::Code;
use mirror_types::{Lane, Offset, Stop, StopKind, TopicPartition};

use crate::{Configs, broker::Failure};

/// What the operator has to do.
const BY_ITSELF: &str = "none: the lane starts again by itself";

/// What to do with a record that the target will never take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RefusedPolicy {
    /// Stop the lane before it.
    Stop,
    /// Leave it out, count it, and go on.
    Skip,
}

/// A record that did not get to the target.
#[derive(Debug, Clone)]
pub(crate) struct Refusal {
    pub(crate) stop: Stop,
    /// Whether it is this one record that the target does not want, so that `policy.refused = "skip"` may
    /// leave it out.
    pub(crate) of_this_record: bool,
}

/// The record alone is over what the target topic takes: `size` bytes as it is, `packed` compressed.
pub(crate) fn too_large(lane: &Lane, offset: Offset, size: u64, packed: u64, limit: u64) -> Refusal {
    let (topic, at) = (&lane.target.topic, &lane.source.at);
    Refusal {
        stop: Stop::new(
            StopKind::Refused,
            format!(
                "{at}: the record at source offset {offset} needs a batch of {size} bytes ({packed} compressed), but \
                 target topic {topic} takes max.message.bytes = {limit}"
            ),
            format!(
                "kafka-configs.sh --alter --entity-type topics --entity-name {topic} --add-config \
                 max.message.bytes={size} on the target; the lane is tried again by itself"
            ),
        ),
        of_this_record: true,
    }
}

/// The target's last record is not the source's record of the same offset.
pub(crate) fn not_the_same(lane: &Lane, offset: Offset) -> Stop {
    let (target, at) = (&lane.target, &lane.source.at);
    Stop::new(
        StopKind::Diverged,
        format!(
            "{at}: the record at offset {offset} is not the same on target {target}: somebody else has written \
             there, or the source was truncated or made again"
        ),
        format!(
            "find out which of the two is right; to mirror {at} from its start again, stop isomirror and delete \
             topic {} on the target; to keep what is there, set offsets = \"translated\" for the topic",
            target.topic
        ),
    )
}

/// With translated offsets, the target's last record is not the source's record that was put there.
pub(crate) fn not_the_last(lane: &Lane, offset: Offset) -> Stop {
    let (target, at) = (&lane.target, &lane.source.at);
    Stop::new(
        StopKind::Diverged,
        format!(
            "{at}: the record at source offset {offset} is not the last on target {target}, where it was put: \
             somebody else has written there, or the source was truncated or made again"
        ),
        format!(
            "find out which of the two is right; to mirror {at} from its start again, stop isomirror and delete \
             topic {} on the target; if others are to write to it, set writers = \"shared\" for the topic",
            target.topic
        ),
    )
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

/// What was behind a batch that has to be made anew is read again from `offset` on.
pub(crate) fn read_again(lane: &Lane, offset: Offset) -> Stop {
    interrupted(lane, offset, "its batch is made anew")
}

/// An acknowledged batch lies where it should not.
pub(crate) fn moved(lane: &Lane, expected: Offset, base: Offset) -> Stop {
    foreign(lane, format!("what was written to it at offset {expected} landed at offset {base}"))
}

/// The target ends where it should not. Where it is shorter, what to do about it is seen when the lane starts again.
pub(crate) fn end_moved(lane: &Lane, expected: Offset, end: Offset) -> Stop {
    let stop = foreign(lane, format!("it ended at offset {expected} and now ends at {end}"));
    if end < expected { Stop { kind: StopKind::Diverged, ..stop } } else { stop }
}

/// Another run has begun since this one did.
pub(crate) fn epoch_over(lane: &Lane, offset: Offset) -> Stop {
    interrupted(lane, offset, "the target has a later producer epoch than this run's")
}

fn foreign(lane: &Lane, what: String) -> Stop {
    let (target, at) = (&lane.target, &lane.source.at);
    Stop::new(
        StopKind::Foreign,
        format!(
            "{at}: target {target} is not what this link wrote: {what}; somebody else writes to it, or it was \
                 truncated or made again"
        ),
        format!(
            "find out who writes to {target} (kafka-transactions.sh describe-producers shows every producer) and \
             stop that; isomirror must be its only writer. The lane stays stopped. To mirror {at} from its start again, stop \
             isomirror, delete topic {} on the target, forget its marks (isomirror marks CONFIG forget --topic {}), and \
             start it again",
            target.topic, at.topic
        ),
    )
}

/// A gap can't be filled.
pub(crate) fn unfilled(lane: &Lane, error: &kafka_wire::Error) -> Stop {
    let at = &lane.source.at;
    Stop::new(
        StopKind::Precondition,
        format!("{at}: target {} can't be filled where the source has nothing: {error}", lane.target),
        format!(
            "identical offsets need CLUSTER_ACTION on the target cluster, or WRITE and DESCRIBE on transactional ids \
             that begin with isomirror. (kafka-acls.sh --add --operation ClusterAction --cluster); or set offsets = \
             \"translated\" for topic {}",
            at.topic
        ),
    )
}

/// Padding could not be deleted.
pub(crate) fn not_unpadded(lane: &Lane, start: Offset, error: &kafka_wire::Error) -> Stop {
    let at = &lane.source.at;
    Stop::new(
        StopKind::Precondition,
        format!(
            "{at}: it starts at offset {start}, and the padding before that can't be deleted from target {}: {error}",
            lane.target
        ),
        format!(
            "grant DELETE and ALTER_CONFIGS on topic {} on the target, or set offsets = \"translated\"; the lane is \
             tried again by itself",
            lane.target.topic
        ),
    )
}

/// The target topic's configs were changed for the moment, and can't be given back.
pub(crate) fn not_given_back(lane: &Lane, was: &Configs, error: &kafka_wire::Error) -> Stop {
    let topic = &lane.target.topic;
    let was: Vec<String> = was
        .iter()
        .map(|(key, value)| match value {
            Some(value) => format!("{key}={value}"),
            None => format!("{key} not set"),
        })
        .collect();
    Stop::new(
        StopKind::Precondition,
        format!(
            "{}: padding was deleted from target {}, and the configs that topic {topic} had before can't be given back: \
             {error}",
            lane.source.at, lane.target
        ),
        format!(
            "grant ALTER_CONFIGS on topic {topic} on the target, or set them by hand ({}); the lane is tried again by \
             itself",
            was.join(", ")
        ),
    )
}

fn interrupted(lane: &Lane, offset: Offset, why: &str) -> Stop {
    Stop::new(
        StopKind::Interrupted,
        format!("{}: the record at source offset {offset} was not delivered: {why}", lane.source.at),
        BY_ITSELF,
    )
}

/// A transaction of the lane can't be begun or ended.
pub(crate) fn no_transaction(lane: &Lane, error: &kafka_wire::Error) -> Stop {
    let (at, topic) = (&lane.source.at, &lane.target.topic);
    let reason = format!("{at}: target {} is written in transactions, which fails: {error}", lane.target);
    let right = match error.code() {
        Some(Code::TransactionalIdAuthorizationFailed) => {
            "WRITE and DESCRIBE on transactional ids that begin with isomirror. (kafka-acls.sh --add --operation Write \
             --operation Describe --transactional-id isomirror. --resource-pattern-type prefixed)"
                .to_owned()
        }
        Some(Code::TopicAuthorizationFailed) => {
            format!("WRITE on topic {topic} and on the link's control topic (isomirror.…)")
        }
        Some(Code::ClusterAuthorizationFailed) => {
            "IDEMPOTENT_WRITE on the target cluster (brokers before 2.8 ask for it)".to_owned()
        }
        code if code.is_some_and(is_fenced) => return taken_over(lane),
        _ => return Stop::new(StopKind::Interrupted, reason, BY_ITSELF),
    };
    let fix = format!("grant {right} on the target; the lane is tried again by itself");
    Stop::new(StopKind::Precondition, reason, fix)
}

/// Where the records of a transaction lie can't be written down.
pub(crate) fn no_note(lane: &Lane, control: &TopicPartition, failure: &Failure) -> Stop {
    let reason =
        format!("{}: where its records lie can't be written to {control}: {failure}", lane.source.at);
    let fix = match failure.code() {
        Some(Code::TopicAuthorizationFailed) => {
            format!("grant WRITE on topic {} on the target", control.topic)
        }
        Some(Code::MessageTooLarge | Code::RecordListTooLarge) => {
            format!("remove max.message.bytes from topic {} on the target", control.topic)
        }
        Some(Code::InvalidRecord | Code::InvalidTimestamp | Code::UnknownTopicOrPartition) => {
            format!(
                "look at the configuration of topic {} on the target, and its broker's log",
                control.topic
            )
        }
        code if code.is_some_and(is_fenced) => return taken_over(lane),
        _ => return Stop::new(StopKind::Interrupted, reason, BY_ITSELF),
    };
    Stop::new(StopKind::Precondition, reason, format!("{fix}; the lane is tried again by itself"))
}

/// The target's error for the record at `offset`, in a transaction: what is not about the records, ends it.
pub(crate) fn in_transaction(lane: &Lane, offset: Offset, failure: &Failure) -> Refusal {
    let stop = match failure.code() {
        code if code.is_some_and(is_fenced) => taken_over(lane),
        Some(
            Code::TopicAuthorizationFailed
            | Code::ClusterAuthorizationFailed
            | Code::MessageTooLarge
            | Code::RecordListTooLarge
            | Code::InvalidRecord
            | Code::InvalidTimestamp
            | Code::UnknownTopicOrPartition,
        ) => return of(lane, offset, failure),
        _ => interrupted(lane, offset, &failure.to_string()),
    };
    Refusal { stop, of_this_record: false }
}

/// Whether the transactional id has a newer epoch.
fn is_fenced(code: Code) -> bool {
    matches!(code, Code::ProducerFenced | Code::InvalidProducerEpoch)
}

/// The partition may be another instance's to write.
pub(crate) fn not_ours(lane: &Lane) -> Stop {
    let reason = format!("{lane}: it may be another instance's by now");
    Stop::new(StopKind::Interrupted, reason, BY_ITSELF)
}

/// What comes next does not begin where the last ended.
pub(crate) fn piece_missing(lane: &Lane, from: Offset, to: Offset) -> Stop {
    let reason = format!("{lane}: offsets {from} to {} were read but have not come here", to - 1);
    Stop::new(
        StopKind::Interrupted,
        reason,
        "this is a fault of isomirror; report it. The lane begins again by itself",
    )
}

fn taken_over(lane: &Lane) -> Stop {
    let reason = format!("{lane}: another instance has taken over its transactions, or one took too long");
    Stop::new(StopKind::Interrupted, reason, BY_ITSELF)
}

/// The target's error for the record at `offset`.
pub(crate) fn of(lane: &Lane, offset: Offset, failure: &Failure) -> Refusal {
    let (target, at) = (&lane.target, &lane.source.at);
    let topic = &target.topic;
    let refused = |fix: String| {
        let reason = format!("{at}: target {target} refused the record at source offset {offset}: {failure}");
        Stop::new(StopKind::Refused, reason, fix)
    };
    let mut of_this_record = false;
    let stop = match failure.code() {
        Some(Code::TopicAuthorizationFailed) => refused(format!(
            "grant WRITE on topic {topic} on the target (kafka-acls.sh --add --allow-principal User:… --operation \
             Write --topic {topic}); the lane is tried again by itself"
        )),
        Some(Code::ClusterAuthorizationFailed) => refused(
            "grant IDEMPOTENT_WRITE on the target cluster (brokers before 2.8 ask for it); the lane is tried again \
             by itself"
                .to_owned(),
        ),
        Some(Code::MessageTooLarge | Code::RecordListTooLarge) => {
            of_this_record = true;
            refused(format!(
                "raise max.message.bytes of target topic {topic} (kafka-configs.sh --alter --entity-type topics \
                 --entity-name {topic} --add-config max.message.bytes=…), or set compression.type in target.kafka; \
                 the lane is tried again by itself"
            ))
        }
        Some(Code::InvalidRecord) => {
            of_this_record = true;
            refused(format!(
                "see what the target's log says of it: a compacted topic takes no record without a key, and \
                 message.timestamp.before.max.ms / after.max.ms bound timestamps; change the configuration of \
                 {topic}, or set policy.refused = \"skip\""
            ))
        }
        Some(Code::InvalidTimestamp) => {
            of_this_record = true;
            refused(format!(
                "remove message.timestamp.before.max.ms and message.timestamp.after.max.ms from target topic {topic}, \
                 or set policy.refused = \"skip\"; the lane is tried again by itself"
            ))
        }
        Some(Code::UnknownTopicOrPartition) => Stop::new(
            StopKind::Precondition,
            format!("{at}: target {target} does not exist (any more): {failure}"),
            format!("make topic {topic} on the target again, with as many partitions as the source's"),
        ),
        // The broker does not know what we wrote before, or knows more: the lane finds out where it stands.
        Some(
            Code::OutOfOrderSequenceNumber
            | Code::DuplicateSequenceNumber
            | Code::UnknownProducerId
            | Code::InvalidProducerEpoch
            | Code::ProducerFenced
            | Code::InvalidProducerIdMapping,
        ) => interrupted(lane, offset, &failure.to_string()),
        None => interrupted(lane, offset, &failure.to_string()),
        _ => refused("look the error up in the target broker's log; the lane is tried again by itself".to_owned()),
    };
    Refusal { stop, of_this_record }
}
