//! What is declared before records are sent, with the target's log end, tells after any crash which source offset lies
//! where: against the plain list of what was sent.

use mirror_types::{Mark, Offset, TopicPartition};
use offset_marks::{
    LaneStart, LedgerWriter, OffsetsMode, Point, Translation, WritersMode,
    control::{ControlRecord, ControlState, Keep, decode},
};
use proptest::{collection::vec, prelude::*};

const START: Point = Point { source: 100, target: 7 };

fn begin() -> LedgerWriter {
    LedgerWriter::begin(LaneStart {
        incarnation: 1,
        since: 0,
        source_topic: "a".to_owned(),
        target_topic: "a".to_owned(),
        partition: 0,
        at: START,
        source_cluster: None,
        target_cluster: None,
        source_topic_id: None,
        target_topic_id: None,
        offsets: OffsetsMode::Translated,
        writers: WritersMode::Exclusive,
        source_end: None,
        configs: None,
        adopted: None,
    })
}

fn state(log: &[ControlRecord]) -> ControlState {
    let mut state = ControlState::new(Keep::Everything);
    for record in log {
        state.take(decode(Some(&record.key), record.value.as_deref()).expect("ours"));
    }
    state
}

/// What happens to a lane.
#[derive(Debug, Clone, Copy)]
enum Happens {
    /// So many records are sent; declarations look so far ahead.
    Send(usize, usize),
    /// So many of those that were sent are acknowledged.
    Ack(usize),
    /// The position moves over what is not visible, once all is acknowledged.
    Move,
    /// The marks are recorded.
    Record,
    /// It is killed; so many of those that were sent and not acknowledged are on the target; and so many of the
    /// source's records behind are compacted away before it starts again.
    Kill(usize, usize),
}

fn happens() -> impl Strategy<Value = Happens> {
    prop_oneof![
        5 => (1..12usize, 1..20usize).prop_map(|(count, ahead)| Happens::Send(count, ahead)),
        4 => (1..12usize).prop_map(Happens::Ack),
        1 => Just(Happens::Move),
        2 => Just(Happens::Record),
        3 => (0..20usize, 0..3usize).prop_map(|(arrived, gone)| Happens::Kill(arrived, gone)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]
    #[test]
    fn after_any_crash_every_offset_is_known(
        gaps in vec(prop_oneof![5 => Just(0), 1 => 1..4i64], 300),
        story in vec(happens(), 0..60),
    ) {
        let mut next = START.source;
        let mut source: Vec<Offset> = gaps.iter().map(|gap| { next += gap + 1; next - 1 }).collect();
        let mut writer = begin();
        let mut log = writer.unwritten().records;
        writer.written(writer.unwritten().revision);
        // Source offsets, in the order of target offsets from START.target on; how many are acknowledged.
        let (mut sent, mut acked): (Vec<Offset>, usize) = (Vec::new(), 0);
        // The source offset that the next target offset has, as it is declared.
        let mut expected = START.source;
        let target = |index: usize| START.target + index as Offset;
        let mut read = 0;
        for what in story {
            match what {
                Happens::Send(count, ahead) => {
                    for _ in 0..count {
                        let Some(offset) = source.get(read) else { break };
                        if *offset != expected {
                            let mut runs: Vec<Mark> = Vec::new();
                            for (index, offset) in source[read..].iter().take(ahead).enumerate() {
                                let target = target(sent.len() + index);
                                if !runs.last_mut().is_some_and(|run| run.extend(*offset, target)) {
                                    runs.push(Mark { source: *offset, target, count: 1 });
                                }
                            }
                            log.push(writer.declare(&runs));
                        }
                        sent.push(*offset);
                        // What was declared goes on one by one, or at the next run.
                        let declared = state(&log).writer(&TopicPartition::new("a", 0)).unwrap();
                        expected = follow(declared, target(sent.len()));
                        read += 1;
                    }
                }
                Happens::Ack(count) => {
                    let upto = (acked + count).min(sent.len());
                    if upto > acked {
                        let marks: Vec<Mark> = (acked..upto)
                            .map(|index| Mark { source: sent[index], target: target(index), count: 1 })
                            .collect();
                        writer.acked(&marks, Point::new(sent[upto - 1] + 1, target(upto)), None).unwrap();
                        acked = upto;
                    }
                }
                Happens::Move => if acked == sent.len() && read < source.len() {
                    writer.acked(&[], Point::new(source[read], target(acked)), None).unwrap();
                }
                Happens::Record => {
                    let unwritten = writer.unwritten();
                    log.extend(unwritten.records);
                    writer.written(unwritten.revision);
                }
                Happens::Kill(arrived, gone) => {
                    sent.truncate((acked + arrived).min(sent.len()));
                    acked = sent.len();
                    read = source.partition_point(|offset| sent.last().is_some_and(|last| offset <= last));
                    source.drain(read..(read + gone).min(source.len()));
                    writer = state(&log).writer(&TopicPartition::new("a", 0)).unwrap();
                    log.extend(writer.settle(target(sent.len()), None).unwrap());
                    let position = writer.position();
                    prop_assert_eq!(position.target, target(sent.len()));
                    prop_assert!(sent.last().is_none_or(|last| position.source > *last));
                    prop_assert!(source.get(read).is_none_or(|next| position.source <= *next));
                    expected = position.source;
                }
            }
        }
        // Whatever is recorded or not: all that was sent is known.
        let mut writer = state(&log).writer(&TopicPartition::new("a", 0)).unwrap();
        writer.settle(target(sent.len()), None).unwrap();
        log.extend(writer.unwritten().records);
        let ledger = state(&log).ledger(&TopicPartition::new("a", 0)).unwrap().unwrap();
        for (index, offset) in sent.iter().enumerate() {
            prop_assert_eq!(ledger.to_source(target(index)), Translation::Exact(Point::new(*offset, target(index))));
            prop_assert_eq!(ledger.to_target(*offset), Translation::Exact(Point::new(*offset, target(index))));
        }
    }
}

/// The source offset that is declared for a target offset.
fn follow(mut writer: LedgerWriter, target: Offset) -> Offset {
    writer.settle(target + 1, None).unwrap();
    writer.position().source - 1
}
