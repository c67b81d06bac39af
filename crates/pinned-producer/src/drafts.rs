//! What a lane does next: a batch of the records that wait, a gap to fill, a record to leave out, the end. No I/O.
//!
//! ```text
//! pieces ──► Drafts ──► Step
//! ```
//! With identical offsets a batch holds neighbours only, and where the source has nothing the target is filled up, so
//! that each record's batch begins at its own offset.

use std::collections::VecDeque;

use bytes::Bytes;
use mirror_types::{Acked, Credit, Lane, Mark, Offset, Record, Routed};

use crate::{
    RefusedPolicy, Takes,
    compression::{Codec, Compression},
    digest::Digest,
    encode::{BatchBuilder, Stamp},
    memory::Memory,
    properties::Options,
    refusal::{self, Refusal},
};

/// One lane's records on their way into batches.
pub(crate) struct Drafts {
    lane: Lane,
    options: Options,
    policy: RefusedPolicy,
    takes: Takes,
    memory: Memory,
    /// Pieces not yet in a batch, and how many records of the first are.
    queue: VecDeque<Routed>,
    taken: usize,
    /// Where the next record must lie on the target, where that is its offset on the source.
    identical: Option<Offset>,
    /// The last record that the target had when this run began: it is read again, and must be the same.
    check: Option<(Offset, Digest)>,
}

/// What to do next.
pub(crate) enum Step {
    /// Send this.
    Batch(Draft),
    /// Once all before is acknowledged, fill the target up to this offset.
    Fill(Offset),
    /// Nothing is to be written: only the position moves.
    Moved(Draft),
    /// A record is left out, as the policy says.
    Skipped(Offset, Refusal),
    /// The lane stops before this source offset, once all before is through.
    End(Offset, Refusal),
    /// There is nothing to do.
    Nothing,
}

/// A batch, and what to say once it is acknowledged.
pub(crate) struct Draft {
    pub(crate) bytes: Bytes,
    pub(crate) count: i32,
    /// Its marks are relative to the batch until it is acknowledged.
    pub(crate) acked: Acked,
    /// Source offset of each record.
    pub(crate) offsets: Vec<Offset>,
    /// Of the pieces that end in it.
    pub(crate) credits: Vec<Credit>,
}

impl Drafts {
    pub(crate) fn new(
        lane: Lane,
        options: Options,
        policy: RefusedPolicy,
        takes: Takes,
        memory: Memory,
    ) -> Self {
        Self {
            lane,
            options,
            policy,
            takes,
            memory,
            queue: VecDeque::new(),
            taken: 0,
            identical: None,
            check: None,
        }
    }

    /// Every record is to lie at its own offset; `next` is the target's log end.
    pub(crate) fn identical_from(&mut self, next: Offset) {
        self.identical = Some(next);
    }

    /// This record was the target's last; should it be read, it must be the same.
    pub(crate) fn check(&mut self, offset: Offset, digest: Digest) {
        self.check = Some((offset, digest));
    }

    pub(crate) fn add(&mut self, piece: Routed) {
        self.queue.push_back(piece);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// What to do next; batches are stamped with `stamp`.
    pub(crate) fn step(&mut self, stamp: Stamp) -> Step {
        let limit = self.memory.batch_limit(self.options.batch_for(self.takes.max_message_bytes));
        let waiting: u64 = self.queue.iter().map(|piece| piece.batch.cost()).sum();
        let mut builder = BatchBuilder::new(limit.min(usize::try_from(waiting).unwrap_or(limit)));
        let mut draft = Draft::new(&self.lane);
        'full: while let Some(piece) = self.queue.front() {
            for record in piece.batch.iter().skip(self.taken) {
                let offset = record.offset();
                if let Some(next) = self.identical.filter(|next| offset < *next) {
                    self.taken += 1;
                    draft.acked.next = next;
                    match self.check.take_if(|(checked, _)| *checked == offset) {
                        Some((_, digest)) if Digest::of(&record) != digest => {
                            return Step::End(offset, refusal::not_the_same(&self.lane, offset));
                        }
                        _ => continue,
                    }
                }
                let verdict = self.verdict(&record);
                let gap = self.identical.is_some_and(|next| offset > next);
                let fits = builder.size() + record.batch_size() as usize <= limit;
                if !builder.is_empty() && (!fits || gap || verdict.is_some()) {
                    break 'full;
                }
                let alone = match (verdict, self.too_large(&record)) {
                    (Some(refusal), _) => Err(refusal),
                    (None, Some(limit)) if !gap => self.alone(&record, stamp, limit).map(Some),
                    _ => Ok(None),
                };
                match alone {
                    // What is left out is a gap, filled before the next record.
                    Err(refusal) if self.policy == RefusedPolicy::Skip && refusal.of_this_record => {
                        self.taken += 1;
                        return Step::Skipped(offset, refusal);
                    }
                    Err(refusal) => {
                        self.memory.forget(offset);
                        return Step::End(offset, refusal);
                    }
                    Ok(_) if gap => {
                        self.identical = Some(offset);
                        return Step::Fill(offset);
                    }
                    Ok(Some(bytes)) => {
                        self.taken += 1;
                        self.identical = self.identical.map(|next| next + 1);
                        draft.push(&record);
                        return Step::Batch(Draft { count: 1, bytes, ..draft });
                    }
                    Ok(None) => {}
                }
                self.taken += 1;
                builder.push(&record);
                draft.push(&record);
                self.identical = self.identical.map(|next| next + 1);
            }
            let next = piece.next;
            if self.identical.is_some_and(|identical| identical < next) {
                if !builder.is_empty() {
                    break;
                }
                self.identical = Some(next);
                return Step::Fill(next);
            }
            let Routed { next, credit, .. } = self.queue.pop_front().expect("seen above");
            self.taken = 0;
            draft.acked.next = next.max(draft.acked.next);
            draft.credits.push(credit);
        }
        match builder.is_empty() {
            false => {
                let bytes = builder.finish(stamp, self.options.compression);
                Step::Batch(Draft { count: draft.offsets.len() as i32, bytes, ..draft })
            }
            true if draft.acked.next >= 0 => Step::Moved(draft),
            true => Step::Nothing,
        }
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
    fn alone(&self, record: &Record<'_>, stamp: Stamp, limit: u64) -> Result<Bytes, Refusal> {
        let compression = match self.options.compression {
            Compression { codec: Codec::None, .. } => Compression { codec: Codec::Zstd, level: -1 },
            chosen => chosen,
        };
        let mut alone = BatchBuilder::new(record.batch_size() as usize);
        alone.push(record);
        let bytes = alone.finish(stamp, compression);
        if bytes.len() as u64 > limit {
            let size = record.batch_size();
            return Err(refusal::too_large(&self.lane, record.offset(), size, bytes.len() as u64, limit));
        }
        Ok(bytes)
    }
}

// === impl Draft ===

impl Draft {
    pub(crate) fn new(lane: &Lane) -> Self {
        let acked = Acked {
            lane: lane.clone(),
            marks: Vec::new(),
            next: -1,
            records: 0,
            bytes: 0,
            timestamps: Vec::new(),
        };
        Self { bytes: Bytes::new(), count: 0, acked, offsets: Vec::new(), credits: Vec::new() }
    }

    fn push(&mut self, record: &Record<'_>) {
        let (source, target) = (record.offset(), self.offsets.len() as Offset);
        if !self.acked.marks.last_mut().is_some_and(|mark| mark.extend(source, target)) {
            self.acked.marks.push(Mark { source, target, count: 1 });
        }
        self.offsets.push(source);
        self.acked.records += 1;
        self.acked.bytes += record.bytes();
        self.acked.timestamps.push(record.timestamp());
        self.acked.next = source + 1;
    }
}
