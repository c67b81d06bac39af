//! The ledger of a lane, to be written: as marks come in, while the lane runs.
//!
//! Owns the tail chunk and those that are full and not yet written, and what was declared of records that are on their
//! way: nothing else of the ledger is in memory.

use std::collections::{BTreeMap, VecDeque};

use mirror_types::{Gap, GapCause, Mark, Offset, TopicPartition};

use super::{
    Chunk, LaneStart, Ledger, Overlap, Point,
    chunk::header,
    declared::Declared,
    step::{Step, Tag},
};
use crate::control::{ControlRecord, Key, Record};

/// How large a chunk may get before the next one begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChunkLimits {
    /// Runs.
    pub runs: usize,
    /// Bytes; exceeded by the last run of a chunk at the most.
    pub bytes: usize,
}

impl Default for ChunkLimits {
    /// As the tail is written again and again while it grows, larger chunks cost more traffic; smaller ones cost
    /// more records, each of which costs its key again.
    fn default() -> Self {
        Self { runs: 4096, bytes: 16 * 1024 }
    }
}

/// A mark that does not go on where the ledger ends. Nothing of it was taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the marks of {lane} must go on at {position} or behind, not at {given}")]
pub struct OutOfOrder {
    /// The lane.
    pub lane: TopicPartition,
    /// Where the ledger ends.
    pub position: Point,
    /// What was given.
    pub given: Point,
}

/// The target ends before what it had acknowledged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the target ends at offset {end}, but had acknowledged all before {position}")]
pub struct Shorter {
    /// Where it ends.
    pub end: Offset,
    /// Where the ledger ends.
    pub position: Point,
}

/// A state of the ledger that was handed out to be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Revision {
    number: u64,
    position: Point,
}

/// What has to be written, in this order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unwritten {
    /// The records of the control topic.
    pub records: Vec<ControlRecord>,
    /// Tells [`LedgerWriter::written`] how far they go.
    pub revision: Revision,
    /// The lane's position once they are written.
    pub position: Point,
}

/// Writes a lane's ledger.
#[derive(Debug)]
pub struct LedgerWriter {
    start: LaneStart,
    start_due: bool,
    limits: ChunkLimits,
    tail: Tail,
    position: Point,
    changed: u64,
    saved: u64,
    saved_position: Point,
    full: VecDeque<Full>,
    declared: Declared,
    /// Source offsets that are known to be lost, in order, ahead of the position.
    lost: VecDeque<Gap>,
}

/// The chunk that is growing. Its last step is not in its bytes yet, as it may still become longer.
#[derive(Debug)]
struct Tail {
    number: u32,
    bytes: Vec<u8>,
    steps: usize,
    tag: Tag,
    last: Step,
}

#[derive(Debug)]
struct Full {
    number: u32,
    value: Vec<u8>,
    changed: u64,
}

impl LedgerWriter {
    /// A lane that begins now.
    pub fn begin(start: LaneStart) -> Self {
        let mut writer = Self::resume(start, None, None);
        writer.start_due = true;
        writer.changed += 1;
        writer
    }

    /// A lane that goes on, from the last chunk it has, that chunk's number, and what was declared last.
    pub fn resume(start: LaneStart, last: Option<(u32, &Chunk)>, declared: Option<&Chunk>) -> Self {
        let at = start.at;
        let position = last.map_or(at, |(_, chunk)| chunk.end());
        Self {
            start,
            start_due: false,
            limits: ChunkLimits::default(),
            tail: last.map_or_else(|| Tail::new(0, at), |(number, chunk)| Tail::of(number, chunk)),
            position,
            changed: 0,
            saved: 0,
            saved_position: position,
            full: VecDeque::new(),
            declared: declared.map_or_else(|| Declared::from(position), Declared::of),
            lost: VecDeque::new(),
        }
    }

    /// The same writer with other limits.
    pub fn with_limits(mut self, limits: ChunkLimits) -> Self {
        self.limits = limits;
        self
    }

    /// How the lane began.
    pub fn start(&self) -> &LaneStart {
        &self.start
    }

    /// Notes which configs have to be given back to the target topic, or that none have. The record must be written for
    /// good before they are changed.
    pub fn keep_configs(&mut self, configs: Option<BTreeMap<String, Option<String>>>) -> ControlRecord {
        self.start.configs = configs;
        Record::Lane(self.start.clone()).encode()
    }

    /// Takes all before this offset, which is the same on both sides, for mirrored: others have written it to the target, and it
    /// is equal. An error where the ledger goes further than that.
    pub fn adopt(&mut self, end: Offset) -> Result<(), OutOfOrder> {
        let Point { source, target } = self.position;
        let Ok(count) = u64::try_from(end - source) else {
            return Err(self.out_of_order(Point::new(end, end)));
        };
        self.start.adopted = Some(end);
        self.start_due = true;
        self.changed += 1;
        self.mark(Mark { source, target, count })
    }

    /// The lane's position: every source offset before it is mirrored or in a gap.
    pub fn position(&self) -> Point {
        self.position
    }

    /// Takes a run that was acknowledged. What lies between the position and the run is taken for a gap whose cause
    /// is not known.
    pub fn mark(&mut self, mark: Mark) -> Result<(), OutOfOrder> {
        let from = Point::new(mark.source, mark.target);
        let run = Step { count: mark.count, ..Step::default() }.run();
        let end = from.after(run).ok_or_else(|| self.out_of_order(from))?;
        self.gap(from, None)?;
        if mark.count > 0 {
            self.tail.last.count += mark.count;
            self.position = end;
            self.changed += 1;
        }
        Ok(())
    }

    /// Takes what was acknowledged: runs, and the position behind them. What the ledger has already is passed over.
    pub fn acked(
        &mut self,
        marks: &[Mark],
        position: Point,
        cause: Option<GapCause>,
    ) -> Result<(), OutOfOrder> {
        for mark in marks {
            let known = u64::try_from(self.position.source - mark.source).unwrap_or(0);
            if known < mark.count {
                let (source, target) = (mark.source + known as Offset, mark.target + known as Offset);
                self.gap_with_losses(Point::new(source, target), cause)?;
                self.mark(Mark { source, target, count: mark.count - known })?;
            }
        }
        if position.source > self.position.source {
            self.gap_with_losses(position, cause)?;
        }
        Ok(())
    }

    /// Says that these source offsets are lost, before the position has passed them.
    pub fn lost(&mut self, gap: Gap) {
        self.lost.push_back(gap);
    }

    /// A gap, of which some was lost.
    fn gap_with_losses(&mut self, to: Point, cause: Option<GapCause>) -> Result<(), OutOfOrder> {
        // Where it was filled, both sides go on alike.
        let shift = to.target - to.source;
        let filled = self.position.target - self.position.source == shift;
        let at = |source: Offset, here: Point| {
            Point::new(source, if filled { source + shift } else { here.target })
        };
        while let Some(lost) = self.lost.front().copied().filter(|lost| lost.from < to.source) {
            let (from, end) = (lost.from.max(self.position.source), lost.to.min(to.source));
            if from < end {
                self.gap(at(from, self.position), cause)?;
                self.gap(at(end, self.position), Some(lost.cause))?;
            }
            if lost.to > to.source {
                break;
            }
            self.lost.pop_front();
        }
        self.gap(to, cause)
    }

    /// Takes everything up to `to` for a gap. `to.target` is where the next record would go: further on than the
    /// position where the gap was filled, the same where it was not (yet).
    ///
    /// A step on the target alone belongs to the gap in front of it: it is how that was filled.
    pub fn gap(&mut self, to: Point, cause: Option<GapCause>) -> Result<(), OutOfOrder> {
        let gap = self.position.span_to(to).ok_or_else(|| self.out_of_order(to))?;
        if self.position == to {
            return Ok(());
        }
        let last = &mut self.tail.last;
        if last.count == 0 && (last.is_empty() || last.cause == cause || gap.source == 0) {
            if last.is_empty() {
                last.cause = cause;
            }
            last.gap.source += gap.source;
            last.gap.target += gap.target;
        } else {
            self.begin_step(Step { cause, gap, count: 0 });
        }
        self.position = to;
        self.changed += 1;
        Ok(())
    }

    /// The end of the ledger as it is now, to be read: what lies before the chunks that are in memory is missing in it.
    pub fn recent(&self) -> Result<Ledger, Overlap> {
        let tail = if self.tail.is_empty() { self.tail.bytes.clone() } else { self.tail.encode() };
        let held = self.full.iter().map(|full| &full.value).chain([&tail]);
        Ledger::new(self.start.clone(), held.filter_map(|value| Chunk::decode(value).ok()))
    }

    /// The source offset of the last record, if it is known.
    pub fn last_record(&self) -> Option<Offset> {
        let Step { gap, count, .. } = self.tail.last;
        let before = self.tail.steps > 1 || self.tail.number > 0;
        let behind = if count > 0 { 0 } else { Offset::try_from(gap.source).ok()? };
        (count > 0 || before).then(|| self.position.source - 1 - behind)
    }

    /// Declares where records are going to lie that are not sent yet: runs that replace what was declared of target
    /// offsets from the first one's on. Behind the last, source offsets go on one by one with target offsets.
    ///
    /// The record must be written for good before any of them is sent.
    pub fn declare(&mut self, runs: &[Mark]) -> ControlRecord {
        for run in runs {
            self.declared.push(Point::new(run.source, run.target));
        }
        self.declaration()
    }

    /// Takes all that the target has up to its log end, by what was declared, and goes on from there. If a record
    /// comes back, it must be written for good before anything is sent.
    pub fn settle(&mut self, end: Offset, cause: Option<GapCause>) -> Result<Option<ControlRecord>, Shorter> {
        if end < self.position.target {
            return Err(Shorter { end, position: self.position });
        }
        while self.position.target < end {
            let mark = self.declared.run_at(self.position.target, end);
            let behind = Point::new(mark.source + mark.count as Offset, mark.target + mark.count as Offset);
            if self.acked(&[mark], behind, cause).is_err() || self.position != behind {
                // What was declared lies before what is recorded: not this ledger's.
                return Err(Shorter { end, position: self.position });
            }
        }
        let changed = self.declared.go_on(self.position);
        Ok(changed.then(|| self.declaration()))
    }

    fn declaration(&mut self) -> ControlRecord {
        self.declared.forget_before(self.saved_position.target);
        let key = Key::Declared { lane: self.start.lane(), incarnation: self.start.incarnation };
        ControlRecord { key: key.encode(), value: Some(self.declared.encode()) }
    }

    /// What has to be written now: the lane's start if it is new, chunks that have become full, the tail as it is.
    /// Ask again whenever there is time, and after a write that failed; everything is there until `written` is told.
    pub fn unwritten(&self) -> Unwritten {
        let mut records = Vec::new();
        if self.start_due {
            records.push(Record::Lane(self.start.clone()).encode());
        }
        for full in &self.full {
            records.push(self.record(full.number, full.value.clone()));
        }
        if self.changed > self.saved && !self.tail.is_empty() {
            records.push(self.record(self.tail.number, self.tail.encode()));
        }
        let revision = Revision { number: self.changed, position: self.position };
        Unwritten { records, revision, position: self.position }
    }

    /// Says that the records of this revision are on the target for good.
    pub fn written(&mut self, revision: Revision) {
        self.start_due = false;
        if revision.number > self.saved {
            (self.saved, self.saved_position) = (revision.number, revision.position);
        }
        self.full.retain(|full| full.changed > revision.number);
    }

    /// The bytes of this ledger that are in memory. They grow where marks come in and nothing can be written.
    pub fn held_bytes(&self) -> usize {
        self.tail.bytes.len() + self.full.iter().map(|full| full.value.len()).sum::<usize>()
    }

    fn begin_step(&mut self, step: Step) {
        if self.tail.steps >= self.limits.runs || self.tail.bytes.len() >= self.limits.bytes {
            let next = Tail::new(self.tail.number + 1, self.position);
            let full = std::mem::replace(&mut self.tail, next);
            if self.changed > self.saved {
                let value = full.encode();
                self.full.push_back(Full { number: full.number, value, changed: self.changed });
            }
            self.tail.last = step;
        } else {
            self.tail.push(step);
        }
    }

    fn record(&self, number: u32, value: Vec<u8>) -> ControlRecord {
        let key = Key::Chunk { lane: self.start.lane(), incarnation: self.start.incarnation, number };
        ControlRecord { key: key.encode(), value: Some(value) }
    }

    fn out_of_order(&self, given: Point) -> OutOfOrder {
        OutOfOrder { lane: self.start.lane(), position: self.position, given }
    }
}

impl Tail {
    fn new(number: u32, base: Point) -> Self {
        Self { number, bytes: header(base), steps: 1, tag: Tag::default(), last: Step::default() }
    }

    fn of(number: u32, chunk: &Chunk) -> Self {
        match chunk.last_step() {
            None => Self::new(number, chunk.base()),
            Some(last) => Self {
                number,
                bytes: chunk.as_bytes()[..last.body].to_vec(),
                steps: last.steps,
                tag: last.tag,
                last: last.step,
            },
        }
    }

    fn is_empty(&self) -> bool {
        self.last.is_empty()
    }

    fn push(&mut self, step: Step) {
        self.last.put(&mut self.tag, &mut self.bytes);
        self.last = step;
        self.steps += 1;
    }

    fn encode(&self) -> Vec<u8> {
        let (mut bytes, mut tag) = (self.bytes.clone(), self.tag);
        self.last.put(&mut tag, &mut bytes);
        bytes
    }
}
