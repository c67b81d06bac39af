use std::{collections::BTreeMap, sync::Arc};

use kafka_wire::{ProducerIdentity, records::Batches};
use mirror_types::{
    Budget, Content, Header, LaneId, OriginHeaders, Passes, RecordBatch, SourceLane, TopicPartition,
};
use proptest::{collection::vec, prelude::*};

use super::*;
use crate::{BoxFuture, Configs, Last, Marks, Note, Standing, digest::Digest};

const STAMP: Stamp = Stamp { producer: ProducerIdentity { id: 1, epoch: 0 }, sequence: 0 };

/// Nobody asks it anything here.
struct Unasked;

impl Marks for Unasked {
    fn declare(&self, _: Vec<Mark>) -> BoxFuture<'_, Result<(), Stop>> {
        unreachable!("drafts do no I/O")
    }

    fn keep_configs(&self, _: Option<Configs>) -> BoxFuture<'_, Result<(), Stop>> {
        unreachable!("drafts do no I/O")
    }

    fn within(&self, _: &[Mark], _: Offset) -> Note {
        unreachable!("drafts do no I/O")
    }
}

fn lane() -> Lane {
    let at = TopicPartition::new("a", 0);
    let credit = Budget::new(u64::MAX / 8).lane();
    Lane { source: Arc::new(SourceLane { id: LaneId(1), at: at.clone(), credit }), target: at }
}

/// A lane whose target ends at `end`.
fn identical(lane: &Lane, end: Offset, last: Option<Last>) -> Opening {
    Opening {
        lane: lane.clone(),
        standing: Standing { start: 0, end, last },
        offsets: Offsets::Identical,
        start: None,
        padded: -1,
        configs: None,
        adopted: None,
        position: -1,
        check: None,
        strict: None,
        writing: Writing::Exclusive,
        marks: Arc::new(Unasked),
    }
}

fn translated(lane: &Lane, position: Offset, end: Offset) -> Opening {
    Opening { offsets: Offsets::Translated, position, ..identical(lane, end, None) }
}

fn drafts(opening: &Opening, takes: Takes, policy: RefusedPolicy) -> Drafts {
    Drafts::new(opening, Options::new(|_| None).unwrap(), policy, takes, Memory::default())
}

/// A piece that begins where the one before it ended, or before.
fn piece(lane: &Lane, batch: RecordBatch, next: Offset) -> Routed {
    piece_of(lane, Content::Records(batch), next)
}

fn piece_of(lane: &Lane, content: Content, next: Offset) -> Routed {
    Routed { lane: lane.clone(), first: 0, content, next, credit: lane.source.credit.take(1).unwrap() }
}

/// These records as a batch that nobody has opened, if they can be one.
fn unopened(records: RecordBatch) -> Content {
    let offsets = || records.iter().map(|record| record.offset());
    let neighbours = offsets().zip(offsets().skip(1)).all(|(one, next)| one + 1 == next);
    if records.is_empty() || !neighbours || records.iter().any(|record| record.key().is_none()) {
        return Content::Records(records);
    }
    let mut builder = BatchBuilder::new(0);
    records.iter().for_each(|record| push(&mut builder, &record));
    let mut bytes = builder.finish(STAMP, Compression::None, None).to_vec();
    let first = offsets().next().unwrap();
    bytes[..8].copy_from_slice(&first.to_be_bytes());
    let count = records.len() as u32;
    Content::Unopened(UnopenedBatch { first, count, max_timestamp: 7, bytes: bytes.into() })
}

/// A record at each of these offsets.
fn records(offsets: impl IntoIterator<Item = Offset>) -> RecordBatch {
    let mut batch = RecordBatch::default();
    offsets.into_iter().for_each(|offset| batch.push(offset, 7, Some(b"k"), Some(b"v"), []));
    batch
}

fn run(source: Offset, target: Offset, count: u64) -> Mark {
    Mark { source, target, count }
}

/// Pieces of records, some of them unopened: each has so many offsets of nothing before it, and its value so many bytes.
fn pieces(
    lane: &Lane,
    from: Offset,
    pieces: &[(Vec<(Offset, usize)>, Offset)],
) -> (Vec<Routed>, Vec<Offset>) {
    let (mut next, mut offsets) = (from, Vec::new());
    let mut one = |(records, behind): &(Vec<(Offset, usize)>, Offset)| {
        let mut batch = RecordBatch::default();
        for (gap, size) in records {
            next += gap;
            batch.push(next, 7, Some(b"k"), Some(&vec![b'x'; *size]), []);
            offsets.push(next);
            next += 1;
        }
        next += behind;
        let content = if batch.len() % 2 == 1 { unopened(batch) } else { Content::Records(batch) };
        piece_of(lane, content, next)
    };
    (pieces.iter().map(&mut one).collect(), offsets)
}

/// Each pair of marks that follow each other.
fn pairs(marks: &[Mark]) -> impl Iterator<Item = (Offset, Offset)> {
    marks.iter().flat_map(|mark| (0..mark.count as Offset).map(|n| (mark.source + n, mark.target + n)))
}

proptest! {
    /// With identical offsets each record lies at its own, whatever the gaps, the pieces and the batches; all that the
    /// target had when the run began is left out; and every record is told of once, also of those.
    #[test]
    fn every_record_lies_at_its_own_offset(
        shape in vec((vec((prop_oneof![4 => Just(0i64), 1 => 1..5i64], 0..60usize), 0..20), 0..3i64), 1..10),
        from in 0..1000i64,
        had in 0..60i64,
        limit in 100..2000u64,
    ) {
        let lane = lane();
        let (pieces, offsets) = pieces(&lane, from, &shape);
        let last = pieces.last().unwrap().next;
        let start = (from + had).min(last);
        let takes = Takes { max_message_bytes: Some(limit), only_keyed: false };
        let mut drafts = drafts(&identical(&lane, start, None), takes, RefusedPolicy::Stop);
        let (mut end, mut seen, mut position, mut told) = (start, Vec::new(), start, Vec::new());
        let mut records = 0;
        for piece in pieces {
            drafts.add(piece);
            loop {
                let acked = match drafts.step(STAMP) {
                    Step::Batch(draft) => {
                        prop_assert!(draft.bytes.len() as u64 <= limit);
                        prop_assert_eq!(draft.base, end);
                        prop_assert!(draft.offsets.all().into_iter().eq(end..end + i64::from(draft.count)));
                        end += i64::from(draft.count);
                        seen.extend(draft.offsets.all());
                        draft.acked
                    }
                    Step::Fill(to) => {
                        prop_assert!(to > end);
                        end = to;
                        continue;
                    }
                    Step::Moved(draft) => draft.acked,
                    Step::Nothing => break,
                    _ => panic!("nothing is refused or declared"),
                };
                prop_assert_eq!((acked.next, acked.end), (end, end));
                prop_assert!(acked.next >= position);
                position = acked.next;
                records += acked.records;
                told.extend(pairs(&acked.marks));
            }
        }
        prop_assert!(told.into_iter().eq(offsets.iter().map(|offset| (*offset, *offset))));
        let expected: Vec<Offset> = offsets.into_iter().filter(|offset| *offset >= start).collect();
        prop_assert_eq!(records, expected.len() as u64);
        prop_assert_eq!((seen, end, position), (expected, last, last));
    }
}

/// What lies at an offset of the target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Lies {
    Record,
    Padding,
    Marker,
}

/// What lies at each offset of a batch.
fn lies(draft: &Draft) -> Vec<Lies> {
    let batch = Batches::new(draft.bytes.whole()).next().unwrap().unwrap();
    let records = batch.records(usize::MAX).unwrap().map(|record| {
        let record = record.unwrap();
        match (record.key.as_deref(), record.value) {
            (Some(padding::KEY), None) => Lies::Padding,
            (Some(b"k"), Some(_)) => Lies::Record,
            other => panic!("{other:?}"),
        }
    });
    records.collect()
}

proptest! {
    /// Large gaps before an offset are filled by padding, all others are not; each record lies at its own offset all the
    /// same, and padding is told of to nobody.
    #[test]
    fn large_gaps_of_the_first_copy_are_padded(
        shape in vec((vec((prop_oneof![3 => Just(0i64), 1 => 1..12i64, 1 => 12..90i64], 0..60usize), 0..20), 0..30i64), 1..10),
        from in 0..1000i64,
        had in 0..60i64,
        padded in 0..1500i64,
        limit in 200..2000u64,
    ) {
        let lane = lane();
        let (pieces, offsets) = pieces(&lane, from, &shape);
        let last = pieces.last().unwrap().next;
        let start = (from + had).min(last);
        let padded = from + padded;
        let takes = Takes { max_message_bytes: Some(limit), only_keyed: true };
        let opening = Opening { padded, ..identical(&lane, start, None) };
        let mut drafts = drafts(&opening, takes, RefusedPolicy::Stop);
        let (mut log, mut told, mut position, mut records) = (Vec::new(), Vec::new(), start, 0);
        let ends = pieces.iter().map(|piece| piece.next).collect::<Vec<_>>();
        for piece in pieces {
            drafts.add(piece);
            loop {
                let end = start + log.len() as Offset;
                let acked = match drafts.step(STAMP) {
                    Step::Batch(draft) => {
                        prop_assert!(draft.bytes.len() as u64 <= limit);
                        prop_assert_eq!(draft.base, end);
                        let lies = lies(&draft);
                        prop_assert_eq!(lies.len() as i32, draft.count);
                        log.extend(lies);
                        draft.acked
                    }
                    Step::Fill(to) => {
                        prop_assert!(to > end);
                        log.resize((to - start) as usize, Lies::Marker);
                        continue;
                    }
                    Step::Moved(draft) => draft.acked,
                    Step::Nothing => break,
                    _ => panic!("nothing is refused or declared"),
                };
                if acked.next >= 0 {
                    prop_assert!(acked.next >= position && acked.next <= start + log.len() as Offset);
                    prop_assert_eq!(acked.next, acked.end);
                    position = acked.next;
                }
                records += acked.records;
                told.extend(pairs(&acked.marks));
            }
        }
        prop_assert!(told.into_iter().eq(offsets.iter().map(|offset| (*offset, *offset))));
        prop_assert_eq!(position, last);
        let there = |offset: Offset| offsets.binary_search(&offset).is_ok();
        prop_assert_eq!(records, (start..last).filter(|offset| there(*offset)).count() as u64);
        // A piece that ends in a gap ends the gap: nothing is known yet of what is behind.
        let mut expected = Vec::new();
        let mut at = start;
        while at < last {
            let ends_here = |to: Offset| to == last || there(to) || ends.contains(&to);
            let gap_end = if there(at) { at } else { (at + 1..).find(|to| ends_here(*to)).unwrap() };
            let to = gap_end.min(padded);
            let pads = if to - at >= 10 { to - at } else { 0 };
            expected.extend(vec![Lies::Padding; pads as usize]);
            expected.extend(vec![Lies::Marker; (gap_end - at - pads) as usize]);
            at = gap_end;
            if there(at) {
                expected.push(Lies::Record);
                at += 1;
            }
        }
        prop_assert_eq!(log, expected);
    }
}

#[test]
fn padding_is_compressed_and_fills_batches_that_are_no_larger_than_they_may_be() {
    let lane = lane();
    let opening = Opening { padded: 2_000_000, ..identical(&lane, 0, None) };
    let mut drafts = drafts(&opening, Takes::default(), RefusedPolicy::Stop);
    drafts.add(piece(&lane, records([1_000_000]), 1_000_001));
    let (mut batches, mut bytes, mut offsets) = (0, 0, 0);
    while let Step::Batch(draft) = drafts.step(STAMP) {
        (batches, bytes) = (batches + 1, bytes + draft.bytes.len());
        offsets += Offset::from(draft.count);
    }
    assert_eq!(offsets, 1_000_001);
    assert!(batches < 50 && bytes < 2_000_000, "{bytes} bytes in {batches} batches");
}

/// What is kept of a translated lane whatever happens to the mirror: the target's log, as the source offset of each
/// record; and what was declared, as the first source offset of each run by its target offset.
struct Kept {
    base: Offset,
    log: Vec<Offset>,
    declared: BTreeMap<Offset, Offset>,
}

impl Kept {
    fn end(&self) -> Offset {
        self.base + self.log.len() as Offset
    }

    /// The source offset that lies, or is to lie, at a target offset.
    fn source_of(&self, target: Offset) -> Offset {
        let (at, source) = self.declared.range(..=target).next_back().expect("the lane's start");
        source + target - at
    }

    fn declare(&mut self, runs: &[Mark]) {
        self.declared.split_off(&runs[0].target);
        self.declared.extend(runs.iter().map(|run| (run.target, run.source)));
    }
}

/// One life of a mirror.
#[derive(Debug, Clone)]
struct Life {
    /// Steps until it is killed.
    steps: usize,
    /// How many of the batches on their way arrive all the same.
    arrive: usize,
    /// How many records it reads again, and how many it puts into a piece.
    again: usize,
    piece: usize,
    /// How many pieces wait at the same time.
    wait: usize,
    /// Which of the records to come the source's log cleaner removes before: every so manieth.
    compaction: usize,
}

fn life() -> impl Strategy<Value = Life> {
    let number = |to| 0..to;
    (number(40usize), number(4usize), number(6usize), 1..20usize, 1..6usize, 2..30usize).prop_map(
        |(steps, arrive, again, piece, wait, compaction)| Life {
            steps,
            arrive,
            again,
            piece,
            wait,
            compaction,
        },
    )
}

proptest! {
    /// Whenever the mirror is killed, what was declared and where the target ends say exactly which record is next.
    #[test]
    fn translated_lanes_go_on_exactly_where_they_were_killed(
        gaps in vec(prop_oneof![5 => Just(0i64), 1 => 1..4i64, 1 => Just(1i64)], 1..200),
        keyless in vec(any::<proptest::sample::Index>(), 0..5),
        lives in vec(life(), 0..12),
        (start, base) in (0..100i64, 0..100i64),
        limit in 100..600u64,
    ) {
        let lane = lane();
        let mut next = start;
        let mut source: Vec<(Offset, bool)> = gaps
            .iter()
            .map(|gap| {
                next += gap + 1;
                (next - 1, true)
            })
            .collect();
        keyless.iter().for_each(|index| index.get_mut(&mut source).1 = false);
        let last = next;
        let mut kept = Kept { base, log: Vec::new(), declared: [(base, start)].into() };
        let mut written = Vec::new();
        let forever = Life { steps: usize::MAX, arrive: 0, again: 3, piece: 7, wait: 3, compaction: usize::MAX };
        for life in lives.into_iter().chain([forever]) {
            let (position, end) = (kept.source_of(kept.end()), kept.end());
            // What is on the target stays known; of the rest, some is gone.
            let mut n = 0;
            source.retain(|(offset, _)| {
                n += usize::from(*offset >= position);
                *offset < position || n % life.compaction != 0
            });
            let next = source.partition_point(|(offset, _)| *offset < position);
            let mut reader = source[next.saturating_sub(life.again)..].chunks(life.piece).peekable();
            let takes = Takes { max_message_bytes: Some(limit), only_keyed: true };
            let mut drafts = drafts(&translated(&lane, position, end), takes, RefusedPolicy::Skip);
            let (mut on_the_way, mut at) = (Vec::new(), position);
            for _ in 0..life.steps {
                while drafts.queue.len() < life.wait && let Some(records) = reader.next() {
                    let mut batch = RecordBatch::default();
                    for (offset, keyed) in records {
                        batch.push(*offset, 7, keyed.then_some(b"k"), Some(&[b'x'; 20]), []);
                    }
                    let next = reader.peek().map_or(last, |behind| behind[0].0);
                    let content = if next % 2 == 1 { unopened(batch) } else { Content::Records(batch) };
                    drafts.add(piece_of(&lane, content, next));
                }
                match drafts.step(STAMP) {
                    Step::Declare(runs) => kept.declare(&runs),
                    Step::Batch(draft) => {
                        let way: usize = on_the_way.iter().map(|d: &Draft| d.offsets.len()).sum();
                        prop_assert_eq!(draft.base, kept.end() + way as Offset);
                        for (n, offset) in draft.offsets.all().iter().enumerate() {
                            prop_assert_eq!(kept.source_of(draft.base + n as Offset), *offset);
                        }
                        on_the_way.push(draft);
                    }
                    Step::Moved(moved) => {
                        prop_assert!(moved.acked.marks.is_empty() && moved.acked.next >= at);
                        match on_the_way.last_mut() {
                            Some(last) => last.acked.next = moved.acked.next,
                            None => at = moved.acked.next,
                        }
                    }
                    Step::Skipped(..) => {}
                    Step::Nothing if reader.peek().is_none() => break,
                    Step::Nothing => {}
                    _ => panic!("nothing is filled, and nothing ends"),
                }
                if on_the_way.len() > 3 {
                    let draft = on_the_way.remove(0);
                    prop_assert!(draft.acked.next >= at);
                    at = draft.acked.next;
                    let behind = draft.base + i64::from(draft.count);
                    prop_assert_eq!(draft.acked.end, behind);
                    let pairs: Vec<_> = pairs(&draft.acked.marks).collect();
                    prop_assert!(pairs.into_iter().eq(draft.offsets.all().into_iter().zip(draft.base..)));
                    kept.log.extend(draft.offsets.all());
                }
            }
            let arrive = if life.steps == usize::MAX { on_the_way.len() } else { life.arrive };
            on_the_way.into_iter().take(arrive).for_each(|draft| kept.log.extend(draft.offsets.all()));
            written.clone_from(&kept.log);
        }
        // Each record once, in order: those that are still there, and those that were taken in time.
        prop_assert!(written.is_sorted_by(|one, next| one < next));
        let there: Vec<Offset> = source.iter().filter(|(_, keyed)| *keyed).map(|(offset, _)| *offset).collect();
        prop_assert!(there.iter().all(|offset| written.binary_search(offset).is_ok()));
    }
}

#[test]
fn all_that_waits_is_declared_at_once_and_then_sent_across_gaps() {
    let lane = lane();
    let mut drafts = drafts(&translated(&lane, 10, 100), Takes::default(), RefusedPolicy::Stop);
    drafts.add(piece(&lane, records([10, 11, 13]), 14));
    drafts.add(piece(&lane, records([15, 16, 18]), 20));
    assert!(matches!(drafts.step(STAMP), Step::Batch(draft) if draft.offsets.all() == [10, 11]));
    let Step::Declare(runs) = drafts.step(STAMP) else { panic!("13 is not what follows") };
    assert_eq!(runs, [run(13, 102, 1), run(15, 103, 2), run(18, 105, 1)]);
    let Step::Batch(draft) = drafts.step(STAMP) else { panic!("all of it is declared") };
    assert_eq!((draft.base, &*draft.offsets.all()), (102, &[13, 15, 16, 18][..]));
    assert_eq!((draft.acked.next, draft.acked.end), (20, 106));
    assert_eq!(draft.acked.marks, runs);
    // Behind the last run source offsets go on one by one.
    drafts.add(piece(&lane, records([19, 21]), 22));
    assert!(matches!(drafts.step(STAMP), Step::Batch(draft) if draft.offsets.all() == [19]));
    assert!(matches!(drafts.step(STAMP), Step::Declare(runs) if runs == [run(21, 107, 1)]));
}

#[test]
fn a_shared_lane_declares_nothing_and_batches_are_of_a_transaction() {
    let lane = lane();
    let producer = ProducerIdentity { id: 5, epoch: 0 };
    let writing = Writing::Shared { transactional_id: "id".to_owned(), producer, origins: None };
    let opening = Opening { writing, ..translated(&lane, 10, 100) };
    let mut drafts = drafts(&opening, Takes::default(), RefusedPolicy::Stop);
    drafts.add(piece(&lane, records([8, 9, 10, 12, 15]), 16));
    let Step::Batch(draft) = drafts.step(STAMP) else { panic!("there are records") };
    assert_eq!((&*draft.offsets.all(), draft.base, draft.acked.next), (&[10, 12, 15][..], 100, 16));
    let batch = kafka_wire::records::Batches::new(draft.bytes.whole()).next().unwrap().unwrap();
    assert!(batch.header.is_transactional());
    batch.check_crc().unwrap();
}

/// A lane of a topic that both sites write, whose clusters have these ids.
fn of_two_sites(lane: &Lane) -> Opening {
    let headers = OriginHeaders::new("o").unwrap();
    let sides = (("A".to_owned(), lane.source.at.clone()), ("B".to_owned(), lane.target.clone()));
    let writing = Writing::Shared {
        transactional_id: "id".to_owned(),
        producer: ProducerIdentity { id: 5, epoch: 0 },
        origins: Some(Arc::new(LaneOrigins::new(headers, Passes::All, sides.0, sides.1))),
    };
    Opening { writing, ..translated(lane, 10, 100) }
}

/// Records, each with what is written on it: that it was produced on cluster `of`, at this offset.
fn written_on(records: &[(Offset, &str, Offset)]) -> RecordBatch {
    let mut batch = RecordBatch::default();
    for (offset, of, at) in records {
        let at = format!("a/0/{at}");
        let headers = [("o", *of), ("o.at", &at)];
        let headers = headers.map(|(n, v)| Header { name: n.as_bytes(), value: Some(v.as_bytes()) });
        batch.push(*offset, 7, Some(b"k"), Some(b"v"), headers.into_iter().filter(|_| !of.is_empty()));
    }
    batch
}

#[test]
fn what_comes_from_the_target_stays_behind_and_the_rest_says_where_it_comes_from_opened_or_not() {
    for content in [Content::Records, unopened] {
        let lane = lane();
        let mut drafts = drafts(&of_two_sites(&lane), Takes::default(), RefusedPolicy::Stop);
        let records = [(10, "", 0), (11, "B", 70), (12, "C", 5), (13, "B", 71)];
        drafts.add(piece_of(&lane, content(written_on(&records)), 14));
        let Step::Batch(draft) = drafts.step(STAMP) else { panic!("there are records") };
        assert_eq!((&*draft.offsets.all(), draft.acked.next), (&[10, 12][..], 14));
        assert_eq!(drafts.take_returning(), 2);
        let batch = Batches::new(draft.bytes.whole()).next().unwrap().unwrap();
        let headers = |record: kafka_wire::records::Record| {
            let header = |h: &kafka_wire::records::Header| {
                [h.key.clone(), h.value.clone().unwrap()]
                    .map(|b| String::from_utf8(b.to_vec()).unwrap())
                    .join("=")
            };
            record.headers.iter().map(header).collect::<Vec<_>>()
        };
        let all: Vec<_> = batch.records(1 << 20).unwrap().map(|record| headers(record.unwrap())).collect();
        assert_eq!(all, [vec!["o=A", "o.at=a/0/10"], vec!["o=C", "o.at=a/0/5", "o.via=A"]]);
        // A piece of nothing else only moves the position.
        drafts.add(piece_of(&lane, content(written_on(&[(14, "B", 72)])), 15));
        assert!(matches!(drafts.step(STAMP), Step::Moved(draft) if draft.acked.next == 15));
        assert_eq!(drafts.take_returning(), 1);
    }
}

#[test]
fn what_is_refused_ends_the_lane_there_or_becomes_a_gap() {
    let lane = lane();
    let takes = Takes { max_message_bytes: Some(200), only_keyed: false };
    // Random enough not to fit compressed either.
    let large: Vec<u8> = (0..1000u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let filled = |policy| {
        let mut drafts = drafts(&identical(&lane, 0, None), takes, policy);
        let mut batch = records([0]);
        batch.push(1, 7, None, Some(&large), []);
        batch.push(2, 7, None, Some(b"small"), []);
        drafts.add(piece(&lane, batch, 3));
        drafts
    };
    let mut drafts = filled(RefusedPolicy::Stop);
    assert!(matches!(drafts.step(STAMP), Step::Batch(draft) if draft.offsets.all() == [0]));
    let Step::End(1, refusal) = drafts.step(STAMP) else { panic!("the lane ends before it") };
    assert!(refusal.stop.reason.contains("source offset 1 needs a batch of"), "{:?}", refusal.stop);
    let mut drafts = filled(RefusedPolicy::Skip);
    assert!(matches!(drafts.step(STAMP), Step::Batch(draft) if draft.offsets.all() == [0]));
    assert!(matches!(drafts.step(STAMP), Step::Skipped(1, _)));
    assert!(matches!(drafts.step(STAMP), Step::Fill(2)));
    assert!(matches!(drafts.step(STAMP), Step::Batch(draft) if draft.offsets.all() == [2]));
}

#[test]
fn the_gap_before_a_refused_record_is_filled_before_the_lane_ends() {
    let lane = lane();
    let takes = Takes { max_message_bytes: None, only_keyed: true };
    let mut drafts = drafts(&identical(&lane, 0, None), takes, RefusedPolicy::Stop);
    let mut batch = records([0]);
    batch.push(5, 7, None, Some(b"v"), []);
    drafts.add(piece(&lane, batch, 6));
    assert!(matches!(drafts.step(STAMP), Step::Batch(draft) if draft.offsets.all() == [0]));
    assert!(matches!(drafts.step(STAMP), Step::Fill(5)));
    assert!(matches!(drafts.step(STAMP), Step::End(5, _)));
}

#[test]
fn what_the_target_had_is_told_once_its_last_record_is_the_sources() {
    let lane = lane();
    let digest = |offset| Digest::of(&records([offset]).iter().next().unwrap());
    let mut other = RecordBatch::default();
    other.push(4, 7, Some(b"k"), Some(b"w"), []);
    let other = Digest::of(&other.iter().next().unwrap());
    for (digest, same) in [(digest(4), true), (other, false)] {
        let last = Last { offset: 4, digest, writer: None };
        let mut drafts = drafts(&identical(&lane, 6, Some(last)), Takes::default(), RefusedPolicy::Skip);
        drafts.add(piece(&lane, records([0, 1, 3]), 4));
        assert!(matches!(drafts.step(STAMP), Step::Nothing));
        drafts.add(piece(&lane, records([4, 6]), 7));
        match drafts.step(STAMP) {
            Step::Batch(Draft { offsets, acked, .. }) => {
                assert!(same && offsets.all() == [6]);
                assert_eq!(acked.marks, [run(0, 0, 2), run(3, 3, 2), run(6, 6, 1)]);
                assert_eq!((acked.records, acked.next, acked.end), (1, 7, 7));
            }
            Step::Diverged(stop) => assert!(!same && stop.reason.contains("offset 4 is not the same")),
            _ => panic!("there is a record to send, or a difference"),
        }
    }
}

#[test]
fn a_translated_lane_compares_the_record_that_is_the_targets_last() {
    let lane = lane();
    let last = |offset| Last {
        offset: 99,
        digest: Digest::of(&records([offset]).iter().next().unwrap()),
        writer: None,
    };
    let standing = Standing { start: 0, end: 100, last: Some(last(4)) };
    let opening = Opening { standing, check: Some(4), ..translated(&lane, 6, 100) };
    let mut drafts = drafts(&opening, Takes::default(), RefusedPolicy::Stop);
    drafts.add(piece(&lane, records([3]), 4));
    let mut differs = RecordBatch::default();
    differs.push(4, 8, Some(b"k"), Some(b"v"), []);
    drafts.add(piece(&lane, differs, 6));
    assert!(matches!(drafts.step(STAMP), Step::Diverged(_)));
}

#[test]
fn a_piece_that_is_lost_on_the_way_is_no_gap() {
    let lane = lane();
    for opening in [identical(&lane, 0, None), translated(&lane, 0, 50)] {
        let mut drafts = drafts(&opening, Takes::default(), RefusedPolicy::Stop);
        drafts.add(Routed { first: 0, ..piece(&lane, records([0, 1]), 2) });
        drafts.add(Routed { first: 3, ..piece(&lane, records([3]), 4) });
        let Step::Batch(draft) = drafts.step(STAMP) else { panic!("the first piece is there") };
        assert_eq!(draft.offsets.all(), [0, 1]);
        let Step::Diverged(stop) = drafts.step(STAMP) else { panic!("offset 2 is missing") };
        assert!(stop.reason.contains("offsets 2 to 2"), "{stop}");
    }
}

#[test]
fn a_batch_that_can_go_on_as_it_is_is_not_opened() {
    let lane = lane();
    let batch = |first: Offset| unopened(records(first..first + 3));
    let step = |opening: &Opening, limit: u64, content: Content| {
        let takes = Takes { max_message_bytes: Some(limit), only_keyed: false };
        let mut drafts = drafts(opening, takes, RefusedPolicy::Stop);
        drafts.add(piece_of(&lane, content, 20));
        drafts.step(STAMP)
    };
    for opening in [identical(&lane, 10, None), translated(&lane, 10, 50)] {
        let Step::Batch(draft) = step(&opening, 1000, batch(10)) else { panic!("it is the next") };
        let made = Batches::new(draft.bytes.whole()).next().unwrap().unwrap();
        assert!(draft.bytes.chunks().len() == 2 && made.check_crc().is_ok());
        assert_eq!((draft.count, draft.acked.next, draft.acked.records), (3, 13, 3));
        // The target takes no batch of three; or it has the first already.
        for (limit, first, expected) in [(75, 10, vec![10]), (1000, 9, vec![10, 11])] {
            let Step::Batch(draft) = step(&opening, limit, batch(first)) else { panic!("opened") };
            assert_eq!((draft.bytes.chunks().len(), draft.offsets.all()), (1, expected));
        }
    }
}

/// Few batches are on their way at a time: small ones that wait go together, as far as they are neighbours.
#[test]
fn small_batches_that_wait_go_together() {
    let lane = lane();
    for opening in [identical(&lane, 10, None), translated(&lane, 10, 50)] {
        let mut drafts = drafts(&opening, Takes::default(), RefusedPolicy::Stop);
        let large = RecordBatch::default();
        let large = (22..24).fold(large, |mut batch, offset| {
            batch.push(offset, 7, Some(b"k"), Some(&[b'x'; 40_000]), []);
            batch
        });
        let mut first = 10;
        for (batch, next) in
            [(records(10..13), 13), (records(13..14), 14), (records(20..22), 22), (large, 24)]
        {
            drafts.add(Routed { first, ..piece_of(&lane, unopened(batch), next) });
            first = next;
        }
        let mut sent = Vec::new();
        loop {
            match drafts.step(STAMP) {
                Step::Batch(draft) => sent.push((draft.count, draft.acked.next)),
                Step::Nothing => break,
                Step::Fill(_) | Step::Declare(_) | Step::Moved(_) => {}
                _ => panic!("nothing is wrong"),
            }
        }
        assert_eq!(sent, [(4, 14), (2, 22), (2, 24)]);
    }
}

/// What was said of records before the run begins is not kept.
#[test]
fn verdicts_of_what_is_done_with_are_forgotten() {
    let (lane, memory) = (lane(), Memory::default());
    for offset in [3, 9, 10, 12] {
        memory.refuse(offset, refusal::without_key(&lane, offset));
    }
    memory.forget_before(10);
    assert!(!memory.has_verdict_in(0..10) && memory.verdict(10).is_some() && memory.verdict(12).is_some());
}

#[test]
fn a_corrupt_batch_is_never_forwarded() {
    let lane = lane();
    for (byte, end) in [(70, 10), (30, 10), (70, 11)] {
        let Content::Unopened(mut batch) = unopened(records(10..14)) else { panic!("neighbours") };
        let mut bytes = batch.bytes.to_vec();
        bytes[byte] ^= 1;
        batch.bytes = bytes.into();
        let mut drafts = drafts(&identical(&lane, end, None), Takes::default(), RefusedPolicy::Stop);
        drafts.add(piece_of(&lane, Content::Unopened(batch), 14));
        let Step::Diverged(stop) = drafts.step(STAMP) else { panic!("byte {byte} is another") };
        assert!(stop.reason.contains("offsets 10 to 13 is corrupt"), "{stop}");
    }
}
