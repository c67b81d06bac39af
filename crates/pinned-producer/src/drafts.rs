//! What a lane does next: a batch of the records that wait, a gap to fill, runs to declare, a record to leave out, the
//! end. No I/O.
//!
//! ```text
//! pieces ──► Drafts ──► Step
//! ```
//! With identical offsets a batch holds neighbours only, and where the source has nothing the target is filled up, so
//! that each record's batch begins at its own offset. Large gaps of a compacted topic are filled by padding, in the same
//! batches, while it is copied for the first time. With translated ones nothing is sent unless it is declared which
//! source offset will lie at each of the target offsets that it takes, for all that wait at once.

use std::{collections::VecDeque, sync::Arc};

use kafka_wire::records::{BatchBuilder, Compression, Stamp};
use mirror_types::{
    Acked, Content, Credit, Lane, LaneOrigins, Mark, Offset, Record, RecordBatch, Routed, Stop,
    UnopenedBatch, is_small,
};

use crate::{
    Offsets, Opening, RefusedPolicy, Takes, Writing,
    batch_bytes::BatchBytes,
    course::{Course, Place},
    had::Had,
    memory::Memory,
    padding,
    properties::Options,
    refusal::{self, Refusal},
    source_offsets::SourceOffsets,
    unopened,
};

/// Runs that are declared at once, at the most.
const RUNS: usize = 10_000;
/// Room that a batch has at first.
const SMALL: usize = 4096;

/// One lane's records on their way into batches.
pub(crate) struct Drafts {
    lane: Lane,
    options: Options,
    policy: RefusedPolicy,
    takes: Takes,
    memory: Memory,
    in_transactions: bool,
    origins: Option<Arc<LaneOrigins>>,
    /// Records that have stayed behind, as the target is where they came from.
    returning: u64,
    /// Pieces not yet in a batch, and how many records of the first are.
    queue: VecDeque<Routed>,
    taken: usize,
    /// Where the piece behind those that are done with has to begin.
    reached: Offset,
    course: Course,
    had: Had,
    /// Bytes of the last batch that was made here.
    last: usize,
}

/// What to do next.
pub(crate) enum Step {
    /// Send this.
    Batch(Draft),
    /// Once all before is acknowledged, fill the target up to this offset.
    Fill(Offset),
    /// Before any more is sent, declare these runs.
    Declare(Vec<Mark>),
    /// Nothing is to be written: only the position moves, or it is told what the target had.
    Moved(Draft),
    /// A record is left out, as the policy says.
    Skipped(Offset, Refusal),
    /// The lane stops before this source offset, once all before is through.
    End(Offset, Refusal),
    /// The target is not what it should be.
    Diverged(Stop),
    /// There is nothing to do.
    Nothing,
}

/// A batch, and what to say once it is acknowledged.
pub(crate) struct Draft {
    pub(crate) bytes: BatchBytes,
    pub(crate) count: i32,
    /// The target offset of its first record, which its marks count from.
    pub(crate) base: Offset,
    pub(crate) acked: Acked,
    /// Source offset of each record, and of each that is padding.
    pub(crate) offsets: SourceOffsets,
    /// Of the pieces that end in it.
    pub(crate) credits: Vec<Credit>,
}

impl Drafts {
    pub(crate) fn new(
        opening: &Opening,
        options: Options,
        policy: RefusedPolicy,
        takes: Takes,
        memory: Memory,
    ) -> Self {
        let Opening { lane, standing, offsets, start, position, check, strict, writing, padded, .. } =
            opening;
        // What an earlier run has left out is a hole.
        let strict = strict.filter(|_| policy == RefusedPolicy::Stop);
        let last = standing.last.as_ref();
        let (course, had) = match (writing, offsets, start) {
            (Writing::Shared { .. }, ..) => (Course::shared(*position, standing.end), Had::default()),
            (_, Offsets::Translated, _) => {
                let had = Had::default().checked(check.zip(last)).strict(strict);
                (Course::translated(*position, standing.end), had)
            }
            (_, Offsets::Identical, Some(start)) => {
                (Course::identical(*start).padded_before(*padded), Had::default())
            }
            (_, Offsets::Identical, None) => {
                let had = Had::identical().checked(last.map(|last| (last.offset, last))).strict(strict);
                (Course::identical(standing.end).padded_before(*padded), had)
            }
        };
        Self {
            lane: lane.clone(),
            options,
            policy,
            takes,
            memory,
            in_transactions: matches!(writing, Writing::Shared { .. }),
            origins: match writing {
                Writing::Shared { origins, .. } => origins.clone(),
                Writing::Exclusive => None,
            },
            returning: 0,
            queue: VecDeque::new(),
            taken: 0,
            reached: course.from(),
            course,
            had,
            last: 0,
        }
    }

    pub(crate) fn add(&mut self, mut piece: Routed) {
        if let Content::Records(records) = piece.content {
            piece.content = Content::Records(self.with_origins(records));
        }
        self.queue.push_back(piece);
    }

    /// How many records have stayed behind since this was asked last.
    pub(crate) fn take_returning(&mut self) -> u64 {
        std::mem::take(&mut self.returning)
    }

    /// Each with where it was produced written on it, where that is asked for.
    fn with_origins(&mut self, records: RecordBatch) -> RecordBatch {
        let Some(origins) = self.origins.as_ref().filter(|_| !records.is_empty()) else { return records };
        let (stamped, returning) = origins.stamped(&records);
        self.returning += returning;
        stamped
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// Bytes that wait, and a little for each record.
    pub(crate) fn waiting(&self) -> u64 {
        self.queue.iter().map(|piece| piece.content.cost()).sum()
    }

    /// What to do next; batches are stamped with `stamp`.
    pub(crate) fn step(&mut self, stamp: Stamp) -> Step {
        let limit = self.memory.batch_limit(self.options.batch_for(self.takes.max_message_bytes));
        // As much as the last one took, or a little more: what waits may be many small ones, with gaps between.
        let waits = usize::try_from(self.waiting()).unwrap_or(limit);
        let room = limit.min(waits).min((2 * self.last).max(SMALL));
        let mut builder = self.builder(room);
        let mut codec = 0;
        let mut draft = Draft::new(&self.lane, self.course.target());
        'done: while let Some(piece) = self.queue.front() {
            // Not a gap: something was lost on the way here.
            if piece.first > self.reached {
                if draft.says_something() {
                    break;
                }
                return Step::Diverged(refusal::piece_missing(&self.lane, self.reached, piece.first));
            }
            let records = match &piece.content {
                Content::Records(records) => records,
                Content::Unopened(batch) => {
                    let batch = batch.clone();
                    if let Some(missing) = self.had.missing_before(batch.first) {
                        return Step::Diverged(self.not_there(missing));
                    }
                    let begun = !builder.is_empty();
                    if !self.goes_as_it_is(&batch) || self.goes_with_others(&batch, begun) {
                        match unopened::opened(&self.lane, &batch) {
                            Ok(records) => {
                                let records = self.with_origins(records);
                                self.first_is_now(Content::Records(records));
                            }
                            Err(_) if draft.says_something() => break,
                            Err(corrupt) => return Step::Diverged(corrupt),
                        }
                        continue;
                    }
                    draft.had(self.had.marks(), self.course.from());
                    // What is begun goes first.
                    if draft.says_something()
                        || !draft.pad(&mut builder, &mut self.course, batch.first, limit)
                        || draft.says_something()
                    {
                        break;
                    }
                    return self.forward(&batch, stamp, draft);
                }
            };
            codec = records.codec();
            if records.is_empty() {
                self.had.nothing_in(piece.first..piece.next);
            }
            for record in records.iter().skip(self.taken) {
                let offset = record.offset();
                if let Some(missing) = self.had.missing_before(offset) {
                    return Step::Diverged(self.not_there(missing));
                }
                if !draft.pad(&mut builder, &mut self.course, offset, limit) {
                    break 'done;
                }
                let place = self.course.place(offset);
                if place == Place::Had {
                    if !self.had.take(&record) {
                        return Step::Diverged(self.not_there(offset));
                    }
                    self.taken += 1;
                    if self.had.is_full() {
                        draft.had(self.had.marks(), offset + 1);
                        break 'done;
                    }
                    continue;
                }
                draft.had(self.had.marks(), self.course.from());
                let verdict = self.verdict(&record);
                let fits = builder.size() + record.batch_size() as usize <= limit;
                let plain = place == Place::Next && verdict.is_none();
                // What is begun goes first.
                let begun = if plain { !builder.is_empty() && !fits } else { draft.says_something() };
                if begun {
                    break 'done;
                }
                let alone = match (verdict, self.too_large(&record)) {
                    (Some(refusal), _) => Err(refusal),
                    (None, Some(limit)) if plain => self.alone(&record, stamp, limit).map(Some),
                    _ => Ok(None),
                };
                match (alone, place) {
                    // What is left out is a gap before the next record.
                    (Err(refusal), _) if self.skips(&refusal) => {
                        if draft.says_something() {
                            break 'done;
                        }
                        self.taken += 1;
                        return Step::Skipped(offset, refusal);
                    }
                    (_, Place::Unfilled) => {
                        self.course.filled(offset);
                        return Step::Fill(offset);
                    }
                    (Err(refusal), _) => {
                        if draft.says_something() {
                            break 'done;
                        }
                        self.memory.forget(offset);
                        return Step::End(offset, refusal);
                    }
                    (Ok(_), Place::Undeclared) => {
                        let runs = self.runs();
                        self.course.declared(&runs);
                        return Step::Declare(runs);
                    }
                    (Ok(alone), _) => {
                        self.taken += 1;
                        self.course.advance(offset);
                        draft.push(&record);
                        match alone {
                            Some(bytes) => {
                                return Step::Batch(Draft { count: 1, bytes, ..draft });
                            }
                            None => push(&mut builder, &record),
                        }
                    }
                }
            }
            let next = piece.next;
            if next >= self.course.from() {
                draft.had(self.had.marks(), self.course.from());
                if !draft.pad(&mut builder, &mut self.course, next, limit) {
                    break;
                }
                if self.course.must_fill(next) {
                    if draft.says_something() {
                        break;
                    }
                    self.course.filled(next);
                    return Step::Fill(next);
                }
                draft.acked.next = next.max(draft.acked.next);
                draft.acked.end = draft.acked.end.max(self.course.target());
            }
            let Routed { credit, .. } = self.queue.pop_front().expect("seen above");
            self.taken = 0;
            self.reached = self.reached.max(next);
            draft.credits.push(credit);
        }
        match builder.is_empty() {
            false => {
                let usual = if draft.is_padded() { Some(Compression::Zstd) } else { Compression::of(codec) };
                let codec = self.codec(usual.unwrap_or(Compression::None));
                self.last = builder.size();
                let bytes = builder.finish(stamp, codec, self.options.level).into();
                Step::Batch(Draft { count: draft.offsets.len() as i32, bytes, ..draft })
            }
            true if draft.says_something() => Step::Moved(draft),
            true => Step::Nothing,
        }
    }

    /// The target has no record, or another, where that of this source offset was put.
    fn not_there(&self, offset: Offset) -> Stop {
        match self.course.is_identical() {
            true => refusal::not_the_same(&self.lane, offset),
            false => refusal::not_the_last(&self.lane, offset),
        }
    }

    /// Whether a batch that came unopened can go on so: nothing is to be written on its records, all of it is the next,
    /// nothing is known against it, and it is compressed as was asked for.
    fn goes_as_it_is(&self, batch: &UnopenedBatch) -> bool {
        let limit = self.takes.max_message_bytes.and_then(|limit| usize::try_from(limit).ok());
        let place = self.course.place(batch.first);
        self.origins.is_none()
            && place != Place::Had
            && (place == Place::Undeclared || self.course.runs_on(batch.count.into()))
            && batch.bytes.len() <= self.memory.batch_limit(limit.unwrap_or(usize::MAX))
            && !self.memory.has_verdict_in(batch.first..batch.next())
            && (self.options.compression == Compression::None
                || unopened::compression(batch) == Some(self.options.compression))
    }

    /// Whether a batch that came unopened is small, and so is what goes before it or what waits behind: few batches are on
    /// their way at a time, and where the target is far they would be all that a round trip brings.
    fn goes_with_others(&self, batch: &UnopenedBatch, begun: bool) -> bool {
        let small = |batch: &UnopenedBatch| {
            is_small(batch.bytes.len(), unopened::compression(batch) != Some(Compression::None))
        };
        let behind = || {
            let next = self.queue.get(1).filter(|next| next.first == batch.next());
            next.is_some_and(|next| match &next.content {
                Content::Records(records) => !records.is_empty(),
                Content::Unopened(next) => small(next),
            })
        };
        small(batch) && (begun || behind())
    }

    /// The first piece's batch as it is, unless something is to be done before.
    fn forward(&mut self, batch: &UnopenedBatch, stamp: Stamp, mut draft: Draft) -> Step {
        match self.course.place(batch.first) {
            Place::Next => {}
            Place::Had => unreachable!("it is opened"),
            Place::Unfilled => {
                self.course.filled(batch.first);
                return Step::Fill(batch.first);
            }
            Place::Undeclared => {
                let runs = self.runs();
                self.course.declared(&runs);
                return Step::Declare(runs);
            }
        }
        let bytes = match unopened::stamped(&self.lane, batch, stamp, self.in_transactions) {
            Ok(bytes) => bytes,
            Err(corrupt) => return Step::Diverged(corrupt),
        };
        self.course.advance_by(batch.first, batch.count.into());
        draft.take(batch);
        // What is behind the batch, nothing that is seen, is another step's.
        self.first_is_now(Content::Records(RecordBatch::default()));
        if self.queue.front().is_some_and(|piece| piece.next == batch.next()) {
            let Routed { credit, .. } = self.queue.pop_front().expect("just seen");
            self.reached = self.reached.max(batch.next());
            draft.credits.push(credit);
        }
        Step::Batch(Draft { count: batch.count as i32, bytes, ..draft })
    }

    fn first_is_now(&mut self, content: Content) {
        self.queue.front_mut().expect("there is a first").content = content;
        self.taken = 0;
    }

    /// Where all records that wait are going to lie, as far as they are to be written.
    fn runs(&self) -> Vec<Mark> {
        let mut runs: Vec<Mark> = Vec::new();
        let mut target = self.course.target();
        let mut taken = self.taken;
        for piece in &self.queue {
            let declared = match &piece.content {
                Content::Records(records) => {
                    let records = records.iter().skip(std::mem::take(&mut taken));
                    self.runs_of(records, &mut runs, &mut target)
                }
                // Each of its records is judged once it is opened.
                Content::Unopened(batch) if self.memory.has_verdict_in(batch.first..batch.next()) => false,
                Content::Unopened(batch) => add_run(&mut runs, &mut target, batch.first, batch.count.into()),
            };
            if !declared {
                break;
            }
        }
        runs
    }

    /// Adds the runs of these records. False: there is something before which no more can be said.
    fn runs_of<'a>(
        &self,
        records: impl Iterator<Item = Record<'a>>,
        runs: &mut Vec<Mark>,
        target: &mut Offset,
    ) -> bool {
        for record in records {
            match self.verdict(&record) {
                Some(refusal) if self.skips(&refusal) => continue,
                Some(_) => return false,
                None if add_run(runs, target, record.offset(), 1) => {}
                None => return false,
            }
        }
        true
    }

    fn skips(&self, refusal: &Refusal) -> bool {
        self.policy == RefusedPolicy::Skip && refusal.of_this_record
    }

    /// Why a record must not be sent at all.
    fn verdict(&self, record: &Record<'_>) -> Option<Refusal> {
        if self.takes.only_keyed && record.key().is_none() {
            return Some(refusal::without_key(&self.lane, record.offset()));
        }
        self.memory.verdict(record.offset())
    }

    /// What the target takes, where the record needs more, uncompressed.
    fn too_large(&self, record: &Record<'_>) -> Option<u64> {
        self.takes.max_message_bytes.filter(|limit| record.batch_size() > *limit)
    }

    /// A record that is too large as it is may fit compressed, as it did on the source.
    fn alone(&self, record: &Record<'_>, stamp: Stamp, limit: u64) -> Result<BatchBytes, Refusal> {
        let mut alone = self.builder(record.batch_size() as usize);
        push(&mut alone, record);
        let bytes = alone.finish(stamp, self.codec(Compression::Zstd), self.options.level);
        if bytes.len() as u64 > limit {
            let size = record.batch_size();
            return Err(refusal::too_large(&self.lane, record.offset(), size, bytes.len() as u64, limit));
        }
        Ok(bytes.into())
    }

    /// The codec that was chosen; this one, where none was.
    fn codec(&self, otherwise: Compression) -> Compression {
        match self.options.compression {
            Compression::None => otherwise,
            chosen => chosen,
        }
    }

    fn builder(&self, room: usize) -> BatchBuilder {
        let builder = BatchBuilder::new(room);
        if self.in_transactions { builder.in_transaction() } else { builder }
    }
}

/// Adds a run behind the others, unless they are too many.
fn add_run(runs: &mut Vec<Mark>, target: &mut Offset, source: Offset, count: u64) -> bool {
    let run = Mark { source, target: *target, count };
    *target += count as Offset;
    if !runs.last_mut().is_some_and(|last| last.join(run)) {
        if runs.len() == RUNS {
            return false;
        }
        runs.push(run);
    }
    true
}

fn push(builder: &mut BatchBuilder, record: &Record<'_>) {
    let headers = record.headers().map(|header| (header.name, header.value));
    builder.push(record.timestamp(), record.key(), record.value(), headers);
}

// === impl Draft ===

impl Draft {
    /// Nothing, on a target that ends at `end`.
    pub(crate) fn new(lane: &Lane, end: Offset) -> Self {
        let acked = Acked {
            lane: lane.clone(),
            marks: Vec::new(),
            next: -1,
            end,
            records: 0,
            bytes: 0,
            timestamps: Vec::new(),
        };
        let (bytes, offsets) = (BatchBytes::default(), SourceOffsets::default());
        Self { bytes, count: 0, base: end, acked, offsets, credits: Vec::new() }
    }

    /// Only the position moves.
    pub(crate) fn moved(lane: &Lane, next: Offset, end: Offset) -> Self {
        let mut draft = Self::new(lane, end);
        draft.acked.next = next;
        draft
    }

    /// It was not put where it was thought to be, but here.
    pub(crate) fn lies_at(&mut self, base: Offset) {
        let by = base - self.base;
        self.base = base;
        self.acked.end += by;
        self.acked.marks.iter_mut().for_each(|mark| mark.target += by);
    }

    /// Whether anything is to be written or acknowledged.
    fn says_something(&self) -> bool {
        self.acked.next >= 0 || !self.offsets.is_empty()
    }

    fn is_padded(&self) -> bool {
        self.offsets.len() as u64 > self.acked.records
    }

    /// Pads the gap before a source offset, if padding is what fills it. False: the batch is full before that.
    fn pad(&mut self, builder: &mut BatchBuilder, course: &mut Course, offset: Offset, limit: usize) -> bool {
        let Some(to) = course.padding_to(offset) else { return true };
        while course.target() < to {
            if builder.size() + padding::SIZE > limit && !builder.is_empty() {
                return false;
            }
            padding::push(builder);
            self.offsets.push(course.target());
            course.filled(course.target() + 1);
        }
        true
    }

    /// What the target had already, up to `next`, at the same offsets.
    fn had(&mut self, marks: Vec<Mark>, next: Offset) {
        if !marks.is_empty() {
            self.acked.marks = marks;
            (self.acked.next, self.acked.end) = (next, next);
        }
    }

    /// A batch as it is, and nothing else.
    fn take(&mut self, batch: &UnopenedBatch) {
        let (count, target) = (u64::from(batch.count), self.base);
        self.acked.marks.push(Mark { source: batch.first, target, count });
        self.offsets.extend(batch.first, batch.count as usize);
        self.acked.records = count;
        self.acked.bytes = batch.bytes.len() as u64;
        self.acked.timestamps.push((batch.max_timestamp, count));
        (self.acked.next, self.acked.end) = (batch.next(), target + count as Offset);
    }

    fn push(&mut self, record: &Record<'_>) {
        let source = record.offset();
        let target = self.base + self.offsets.len() as Offset;
        if !self.acked.marks.last_mut().is_some_and(|mark| mark.extend(source, target)) {
            self.acked.marks.push(Mark { source, target, count: 1 });
        }
        self.offsets.push(source);
        self.acked.records += 1;
        self.acked.bytes += record.bytes();
        self.acked.timestamps.push((record.timestamp(), 1));
        (self.acked.next, self.acked.end) = (source + 1, target + 1);
    }
}

#[cfg(test)]
mod tests;
