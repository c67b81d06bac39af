//! The ledger against a plain map of every offset; through flushes, crashes, compaction and late writers; and its size.

use std::{collections::BTreeMap, time::Instant};

use mirror_types::{Gap, GapCause, Mark, Offset, Side, TopicPartition};
use offset_marks::{
    ChunkLimits, LaneStart, LaneSummary, Ledger, LedgerWriter, OffsetsMode, Point, Stretch, Translated,
    Translation, WritersMode,
    control::{ControlRecord, ControlState, Keep, decode},
};
use proptest::{collection::vec, prelude::*};

fn start(at: Point) -> LaneStart {
    LaneStart {
        incarnation: 1,
        since: 1_763_800_000_000,
        source_topic: "orders".to_owned(),
        target_topic: "orders_v2".to_owned(),
        partition: 3,
        at,
        source_cluster: Some("a".to_owned()),
        target_cluster: Some("b".to_owned()),
        source_topic_id: None,
        target_topic_id: None,
        offsets: OffsetsMode::Translated,
        writers: WritersMode::Exclusive,
        source_end: None,
        configs: None,
        adopted: None,
    }
}

fn lane() -> TopicPartition {
    TopicPartition::new("orders", 3)
}

/// What a lane goes through.
#[derive(Debug, Clone, Copy)]
enum Step {
    Mark { source_gap: i64, target_gap: i64, count: u64 },
    Gap { source: i64, target: i64, cause: Option<GapCause> },
}

/// What happens to its writer in between.
#[derive(Debug, Clone, Copy)]
enum Then {
    Nothing,
    /// All is written.
    Flush,
    /// So many records are written, then the process dies.
    Crash(usize),
    /// Records are taken out, more steps follow, and only then are they known to be written.
    SlowFlush,
    /// The log cleaner runs.
    Compact,
}

fn steps() -> impl Strategy<Value = Step> {
    let gap = || prop_oneof![4 => Just(0), 3 => 1..4i64, 1 => 60..70i64];
    let cause = prop_oneof![
        Just(None),
        Just(Some(GapCause::Compaction)),
        Just(Some(GapCause::Transaction)),
        Just(Some(GapCause::Retention)),
    ];
    prop_oneof![
        (gap(), gap(), prop_oneof![1..4u64, 126..130u64])
            .prop_map(|(source_gap, target_gap, count)| Step::Mark { source_gap, target_gap, count }),
        (1..4i64, 1..3u64).prop_map(|(gap, count)| Step::Mark { source_gap: gap, target_gap: gap, count }),
        (gap(), gap(), cause)
            .prop_filter("a gap has offsets", |(source, target, _)| source + target > 0)
            .prop_map(|(source, target, cause)| Step::Gap { source, target, cause }),
    ]
}

fn thens() -> impl Strategy<Value = Then> {
    prop_oneof![
        4 => Just(Then::Nothing),
        2 => Just(Then::Flush),
        1 => (0..4usize).prop_map(Then::Crash),
        1 => Just(Then::SlowFlush),
        1 => Just(Then::Compact),
    ]
}

fn limits() -> impl Strategy<Value = ChunkLimits> {
    (1..6usize, 5..40usize).prop_map(|(runs, bytes)| ChunkLimits { runs, bytes })
}

/// Every offset in a map of its own.
struct Naive {
    start: Point,
    position: Point,
    to_target: BTreeMap<Offset, Offset>,
    source_causes: BTreeMap<Offset, Option<GapCause>>,
    target_causes: BTreeMap<Offset, Option<GapCause>>,
    in_gap: Option<Option<GapCause>>,
}

impl Naive {
    fn new(start: Point) -> Self {
        Self {
            start,
            position: start,
            to_target: BTreeMap::new(),
            source_causes: BTreeMap::new(),
            target_causes: BTreeMap::new(),
            in_gap: None,
        }
    }

    fn gap(&mut self, source: i64, target: i64, cause: Option<GapCause>) {
        if source + target == 0 {
            return;
        }
        // Steps of the target alone belong to the gap in front of them.
        let cause = if source == 0 { self.in_gap.unwrap_or(cause) } else { cause };
        self.in_gap = Some(cause);
        for offset in self.position.source..self.position.source + source {
            self.source_causes.insert(offset, cause);
        }
        for offset in self.position.target..self.position.target + target {
            self.target_causes.insert(offset, cause);
        }
        self.position = Point::new(self.position.source + source, self.position.target + target);
    }

    fn take(&mut self, step: Step) {
        match step {
            Step::Gap { source, target, cause } => self.gap(source, target, cause),
            Step::Mark { source_gap, target_gap, count } => {
                self.gap(source_gap, target_gap, None);
                for _ in 0..count {
                    self.to_target.insert(self.position.source, self.position.target);
                    self.position = Point::new(self.position.source + 1, self.position.target + 1);
                }
                self.in_gap = None;
            }
        }
    }

    fn translate(&self, side: Side, offset: Offset) -> Translation {
        if offset < self.start.on(side) {
            return Translation::BeforeStart { start: self.start };
        }
        if offset >= self.position.on(side) {
            let ahead = (offset - self.position.on(side)) as u64;
            return Translation::NotYet { position: self.position, ahead };
        }
        let (next, causes) = match side {
            Side::Source => (self.to_target.range(offset..).next(), &self.source_causes),
            Side::Target => {
                (self.to_target.iter().find(|(_, target)| **target >= offset), &self.target_causes)
            }
        };
        let next = next.map(|(source, target)| Point::new(*source, *target));
        match next {
            Some(at) if at.on(side) == offset => Translation::Exact(at),
            next => Translation::Gap {
                cause: causes[&offset],
                next: next.unwrap_or(self.position),
                visible: next.is_some(),
            },
        }
    }
}

fn write(writer: &mut LedgerWriter, step: Step) {
    let Point { source, target } = writer.position();
    match step {
        Step::Gap { source: s, target: t, cause } => writer.gap(Point::new(source + s, target + t), cause),
        Step::Mark { source_gap, target_gap, count } => {
            writer.mark(Mark { source: source + source_gap, target: target + target_gap, count })
        }
    }
    .expect("in order");
}

fn read(log: &[ControlRecord], keep: Keep) -> ControlState {
    let mut state = ControlState::new(keep);
    for record in log {
        state.take(decode(Some(&record.key), record.value.as_deref()).expect("we wrote it"));
    }
    state
}

fn compact(log: &mut Vec<ControlRecord>) {
    let last: BTreeMap<Vec<u8>, usize> =
        log.iter().enumerate().map(|(at, record)| (record.key.clone(), at)).collect();
    let mut at = 0..;
    log.retain(|record| last[&record.key] == at.next().expect("endless"));
}

fn ledger(log: &[ControlRecord]) -> Ledger {
    read(log, Keep::Everything).ledger(&lane()).expect("the lane has begun").expect("no chunks overlap")
}

fn in_one_walk(ledger: &Ledger, side: Side) -> Vec<(Offset, Translation)> {
    let all = |stretch: Stretch| (stretch.from..stretch.to).map(move |offset| (offset, stretch.at(offset)));
    ledger.stretches(side).flat_map(all).collect()
}

fn one_by_one(ledger: &Ledger, side: Side) -> Vec<(Offset, Translation)> {
    let offsets = ledger.start().at.on(side)..ledger.position().on(side);
    offsets.map(|offset| (offset, ledger.translate(side, offset))).collect()
}

fn agree(ledger: &Ledger, naive: &Naive) -> Result<(), TestCaseError> {
    prop_assert_eq!(ledger.position(), naive.position);
    for side in [Side::Source, Side::Target] {
        for offset in naive.start.on(side) - 3..naive.position.on(side) + 4 {
            let (found, expected) = (ledger.translate(side, offset), naive.translate(side, offset));
            prop_assert_eq!(found, expected, "{} offset {}", side, offset);
        }
        prop_assert_eq!(in_one_walk(ledger, side), one_by_one(ledger, side));
    }
    let marked: BTreeMap<Offset, Offset> = ledger
        .runs()
        .flat_map(|run| (0..run.count as i64).map(move |i| (run.source + i, run.target + i)))
        .collect();
    prop_assert_eq!(&marked, &naive.to_target);
    let mut in_gaps = BTreeMap::new();
    for gap in ledger.gaps() {
        in_gaps.extend((gap.from.source..gap.to.source).map(|offset| (offset, gap.cause)));
    }
    prop_assert_eq!(&in_gaps, &naive.source_causes);
    prop_assert_eq!(ledger.missing().count(), 0);
    Ok(())
}

proptest! {
    #[test]
    fn every_offset_is_translated_both_ways_as_by_a_plain_map(
        source in 0..5i64, target in 0..5i64, steps in vec(steps(), 0..25), limits in limits()
    ) {
        let at = Point::new(source, target);
        let mut naive = Naive::new(at);
        let mut writer = LedgerWriter::begin(start(at)).with_limits(limits);
        for step in steps {
            naive.take(step);
            write(&mut writer, step);
        }
        agree(&ledger(&writer.unwritten().records), &naive)?;
    }

    #[test]
    fn whenever_it_is_flushed_or_dies_the_ledger_says_the_same(
        steps in vec((steps(), thens(), limits()), 1..40)
    ) {
        let at = Point::new(7, 4);
        let mut naive = Naive::new(at);
        let mut writer = LedgerWriter::begin(start(at));
        let (mut log, mut done) = (writer.unwritten().records, vec![(at, None)]);
        writer.written(writer.unwritten().revision);
        let mut slow = None;
        for (step, then, limits) in steps {
            naive.take(step);
            write(&mut writer, step);
            done.push((naive.position, Some(step)));
            match then {
                Then::Nothing => {}
                Then::Flush => {
                    let unwritten = writer.unwritten();
                    log.extend(unwritten.records);
                    writer.written(unwritten.revision);
                    prop_assert!(writer.unwritten().records.is_empty());
                }
                Then::SlowFlush => {
                    if let Some(revision) = slow.take() {
                        writer.written(revision);
                    }
                    let unwritten = writer.unwritten();
                    log.extend(unwritten.records);
                    slow = Some(unwritten.revision);
                }
                Then::Compact => compact(&mut log),
                Then::Crash(written) => {
                    slow = None;
                    log.extend(writer.unwritten().records.into_iter().take(written));
                    writer = read(&log, Keep::Tails).writer(&lane()).expect("its start was written");
                    writer = writer.with_limits(limits);
                    // Whatever came behind what was written comes again.
                    let from = writer.position();
                    let last = done.iter().rposition(|(position, _)| *position == from);
                    for (_, step) in &done[last.expect("a position there was") + 1..] {
                        write(&mut writer, step.expect("only the first has none"));
                    }
                    prop_assert_eq!(writer.position(), naive.position);
                }
            }
        }
        log.extend(writer.unwritten().records);
        agree(&ledger(&log), &naive)?;
        compact(&mut log);
        agree(&ledger(&log), &naive)?;
    }

    #[test]
    fn resuming_leaves_out_nothing_and_repeats_nothing(steps in vec(steps(), 0..25)) {
        let at = Point::new(2, 0);
        let mut naive = Naive::new(at);
        let mut writer = LedgerWriter::begin(start(at)).with_limits(ChunkLimits { runs: 3, bytes: 100 });
        for step in steps {
            naive.take(step);
            write(&mut writer, step);
        }
        let ledger = ledger(&writer.unwritten().records);
        for offset in at.source..=naive.position.source {
            let resume = ledger.to_target(offset).resume_at().expect("in the lane, or at its end");
            for (source, target) in &naive.to_target {
                prop_assert_eq!(*source < offset, *target < resume.target);
            }
        }
        for offset in at.target..=naive.position.target {
            let resume = ledger.to_source(offset).resume_at().expect("in the lane, or at its end");
            for (source, target) in &naive.to_target {
                prop_assert_eq!(*target < offset, *source < resume.source);
            }
        }
        prop_assert_eq!(ledger.to_target(at.source - 1).resume_at(), None);
        prop_assert_eq!(ledger.to_target(naive.position.source + 1).resume_at(), None);
    }
}

#[test]
fn marks_that_go_back_are_refused_and_change_nothing() {
    let mut writer = LedgerWriter::begin(start(Point::new(10, 20)));
    writer.mark(Mark { source: 10, target: 20, count: 5 }).expect("in order");
    let before = writer.unwritten();
    for (source, target, count) in [(14, 25, 1), (15, 24, 1), (0, 0, 0), (15, 25, u64::MAX)] {
        let error = writer.mark(Mark { source, target, count }).expect_err("out of order");
        assert_eq!(error.position, Point::new(15, 25));
    }
    let error = writer.gap(Point::new(14, 30), None).expect_err("out of order");
    assert_eq!(
        error.to_string(),
        "the marks of orders[3] must go on at source 15, target 25 or behind, not at source 14, target 30"
    );
    assert_eq!(writer.unwritten(), before);
}

#[test]
fn runs_that_continue_each_other_are_one() {
    let mut writer = LedgerWriter::begin(start(Point::new(0, 0)));
    for i in 0..1000 {
        writer.mark(Mark { source: i * 10, target: i * 10, count: 10 }).expect("in order");
    }
    let records = writer.unwritten().records;
    assert_eq!(ledger(&records).runs().collect::<Vec<_>>(), [Mark { source: 0, target: 0, count: 10_000 }]);
    assert_eq!(records[1].value.as_ref().expect("a chunk").len(), 6, "ten thousand records, six bytes");
}

#[test]
fn only_the_tail_is_written_again() {
    let mut writer =
        LedgerWriter::begin(start(Point::new(0, 0))).with_limits(ChunkLimits { runs: 2, bytes: 1000 });
    let mut keys: Vec<Vec<String>> = Vec::new();
    for i in 0..5 {
        writer.mark(Mark { source: i * 3, target: i, count: 1 }).expect("in order");
        let unwritten = writer.unwritten();
        keys.push(unwritten.records.iter().map(|r| String::from_utf8_lossy(&r.key).into_owned()).collect());
        writer.written(unwritten.revision);
    }
    let chunk = |number| format!("chunk/orders/3/1/{number}");
    let expected: [Vec<String>; 5] = [
        vec!["lane/orders/3".to_owned(), chunk(0)],
        vec![chunk(0)],
        vec![chunk(1)],
        vec![chunk(1)],
        vec![chunk(2)],
    ];
    assert_eq!(keys, expected);
    assert!(writer.unwritten().records.is_empty(), "nothing has changed since");
}

#[test]
fn a_late_write_of_an_owner_that_lost_the_lane_does_not_count() {
    let mut writer = LedgerWriter::begin(start(Point::new(0, 0)));
    writer.mark(Mark { source: 0, target: 0, count: 5 }).expect("in order");
    let early = writer.unwritten().records;
    writer.mark(Mark { source: 9, target: 5, count: 5 }).expect("in order");
    let log = [early.clone(), writer.unwritten().records, early].concat();
    assert_eq!(ledger(&log).position(), Point::new(14, 10));
}

#[test]
fn marks_that_are_missing_are_said_to_be_missing() {
    let mut writer =
        LedgerWriter::begin(start(Point::new(0, 0))).with_limits(ChunkLimits { runs: 1, bytes: 1000 });
    for i in 0..4 {
        writer.mark(Mark { source: i * 10, target: i, count: 1 }).expect("in order");
    }
    writer.gap(Point::new(40, 4), Some(GapCause::Compaction)).expect("in order");
    let mut log = writer.unwritten().records;
    assert_eq!(log.remove(2).key, b"chunk/orders/3/1/1");
    let ledger = ledger(&log);
    let missing = Translation::Missing { from: Point::new(1, 1), to: Point::new(11, 2) };
    assert_eq!(ledger.to_target(5), missing);
    assert_eq!(ledger.to_source(1), missing);
    assert_eq!(ledger.to_target(0), Translation::Exact(Point::new(0, 0)));
    assert_eq!(ledger.to_target(20), Translation::Exact(Point::new(20, 2)));
    assert_eq!(ledger.missing().count(), 1);
    for side in [Side::Source, Side::Target] {
        assert_eq!(in_one_walk(&ledger, side), one_by_one(&ledger, side));
    }
}

#[test]
fn what_a_command_shows_is_plain_json() {
    let mut writer = LedgerWriter::begin(start(Point::new(5, 0)));
    writer.mark(Mark { source: 5, target: 0, count: 10 }).expect("in order");
    writer.gap(Point::new(20, 10), Some(GapCause::Compaction)).expect("in order");
    writer.gap(Point::new(30, 10), Some(GapCause::Retention)).expect("in order");
    writer.mark(Mark { source: 30, target: 10, count: 1 }).expect("in order");
    let ledger = ledger(&writer.unwritten().records);
    let summary = serde_json::to_value(LaneSummary::of(&ledger)).expect("plain");
    assert_eq!(
        summary,
        serde_json::json!({
            "start": {
                "incarnation": 1, "since": 1_763_800_000_000_i64, "source_topic": "orders",
                "target_topic": "orders_v2", "partition": 3, "source": 5, "target": 0, "source_cluster": "a",
                "target_cluster": "b", "offsets": "translated", "writers": "exclusive",
            },
            "position": {"source": 31, "target": 11},
            "records": 11,
            "runs": 2,
            "last": {"source": 30, "target": 10, "count": 1},
            "gaps": {
                "compaction": {"gaps": 1, "source_offsets": 5, "target_offsets": 0},
                "retention": {"gaps": 1, "source_offsets": 10, "target_offsets": 0},
            },
            "chunks": 1,
            "bytes": 11,
        })
    );
    let asked = serde_json::to_value(Translated::of(&ledger, Side::Source, 17)).expect("plain");
    assert_eq!(
        asked,
        serde_json::json!({
            "source_topic": "orders", "target_topic": "orders_v2", "partition": 3, "side": "source", "offset": 17,
            "translation": {
                "found": "gap", "cause": "compaction", "next": {"source": 30, "target": 10}, "visible": true,
            },
            "resume_at": {"source": 30, "target": 10},
        })
    );
    assert_eq!(
        ledger.to_target(17).to_string(),
        "in a gap (compaction); the next record is at source 30, target 10"
    );
}

/// A xorshift generator: the same numbers on every run.
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// Mostly small, sometimes large: what compaction leaves.
    fn length(&mut self) -> u64 {
        1 + (self.next() % 16).pow(if self.next().is_multiple_of(50) { 3 } else { 1 })
    }
}

#[test]
fn millions_of_gaps_cost_under_four_bytes_a_run_and_bounded_memory() {
    const RUNS: u64 = 2_000_000;
    for identical in [true, false] {
        let began = Instant::now();
        let mut numbers = Numbers(42);
        let at = Point::new(8_000_000_000, if identical { 8_000_000_000 } else { 0 });
        let mut writer = LedgerWriter::begin(start(at));
        let (mut state, mut samples, mut most) = (ControlState::new(Keep::Everything), Vec::new(), 0);
        let mut flush = |writer: &mut LedgerWriter| {
            let unwritten = writer.unwritten();
            for record in unwritten.records {
                state.take(decode(Some(&record.key), record.value.as_deref()).expect("we wrote it"));
            }
            writer.written(unwritten.revision);
        };
        for run in 0..RUNS {
            let (gap, count, cause) = match numbers.next() % 5 {
                0 => (1, numbers.length(), GapCause::Transaction),
                _ => (numbers.length() as i64, numbers.length(), GapCause::Compaction),
            };
            let Point { source, target } = writer.position();
            let to = Point::new(source + gap, if identical { target + gap } else { target });
            writer.gap(to, Some(cause)).expect("in order");
            writer.mark(Mark { source: to.source, target: to.target, count }).expect("in order");
            if run % 10_000 == 0 {
                samples.push((to, gap));
                most = most.max(writer.held_bytes());
                flush(&mut writer);
            }
        }
        flush(&mut writer);
        let written = began.elapsed();
        let ledger = state.ledger(&lane()).expect("begun").expect("no overlap");
        for (at, gap) in samples {
            assert_eq!(ledger.to_target(at.source), Translation::Exact(at));
            assert_eq!(ledger.to_source(at.target), Translation::Exact(at));
            assert_eq!(ledger.to_target(at.source - gap).resume_at(), Some(at));
        }
        let looked_up = began.elapsed() - written;
        let summary = LaneSummary::of(&ledger);
        assert_eq!(summary.runs, RUNS);
        let each = summary.bytes as f64 / RUNS as f64;
        println!(
            "identical={identical}: {each:.2} bytes a run in {} chunks, at most {most} bytes held; written in \
             {written:?}, 600 look-ups in {looked_up:?}",
            summary.chunks
        );
        assert!(each < 4.0, "{each} bytes a run");
        assert!(most < 64 * 1024, "{most} bytes held");
    }
}

#[test]
fn what_was_lost_is_told_from_other_gaps() {
    // Translated: nothing is filled. Identical: everything.
    for filled in [false, true] {
        let mut writer = LedgerWriter::begin(start(Point::new(0, 0)));
        let target = |source: i64, else_at: i64| if filled { source } else { else_at };
        writer.acked(&[Mark { source: 0, target: 0, count: 5 }], Point::new(5, 5), None).unwrap();
        writer.lost(Gap { from: 8, to: 20, cause: GapCause::Retention });
        let marks = [Mark { source: 22, target: target(22, 5), count: 3 }];
        let cause = Some(GapCause::Transaction);
        writer.acked(&marks, Point::new(25, target(25, 8)), cause).unwrap();
        let gaps: Vec<_> = ledger(&writer.unwritten().records)
            .gaps()
            .map(|gap| (gap.from.source, gap.to.source, gap.to.target, gap.cause))
            .collect();
        let expected = [
            (5, 8, target(8, 5), cause),
            (8, 20, target(20, 5), Some(GapCause::Retention)),
            (20, 22, target(22, 5), cause),
        ];
        assert_eq!(gaps, expected, "filled: {filled}");
    }
}
