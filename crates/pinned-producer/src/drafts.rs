//! What a lane does next: a batch of the records that wait, a gap to fill, a record to leave out, the end. No I/O.
//!
//! ```text
//! pieces ──► Drafts ──► Step
//! ```
//! With identical offsets a batch holds neighbours only, and where the source has nothing the target is filled up, so
//! that each record's batch begins at its own offset.

use std::collections::VecDeque;

use bytes::Bytes;
use kafka_wire::records::{BatchBuilder, Compression, Stamp};
use mirror_types::{Acked, Credit, Lane, Mark, Offset, Record, Routed};

use crate::{
    RefusedPolicy, Takes,
    digest::Digest,
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
                push(&mut builder, &record);
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
                let bytes = builder.finish(stamp, self.options.compression, self.options.level);
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
            Compression::None => Compression::Zstd,
            chosen => chosen,
        };
        let mut alone = BatchBuilder::new(record.batch_size() as usize);
        push(&mut alone, record);
        let bytes = alone.finish(stamp, compression, self.options.level);
        if bytes.len() as u64 > limit {
            let size = record.batch_size();
            return Err(refusal::too_large(&self.lane, record.offset(), size, bytes.len() as u64, limit));
        }
        Ok(bytes)
    }
}

fn push(builder: &mut BatchBuilder, record: &Record<'_>) {
    let headers = record.headers().map(|header| (header.name, header.value));
    builder.push(record.timestamp(), record.key(), record.value(), headers);
}

// === impl Draft ===

impl Draft {
    pub(crate) fn new(lane: &Lane) -> Self {
        let acked = Acked {
            lane: lane.clone(),
            marks: Vec::new(),
            next: -1,
            end: -1,
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

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use kafka_wire::ProducerIdentity;
    use mirror_types::{Budget, LaneId, RecordBatch, SourceLane, TopicPartition};
    use proptest::{collection::vec, prelude::*};

    use super::*;

    const STAMP: Stamp = Stamp { producer: ProducerIdentity { id: 1, epoch: 0 }, sequence: 0 };

    fn lane() -> Lane {
        let at = TopicPartition::new("a", 0);
        let credit = Budget::new(u64::MAX / 8).lane();
        Lane { source: Arc::new(SourceLane { id: LaneId(1), at: at.clone(), credit }), target: at }
    }

    fn drafts(lane: &Lane, takes: Takes, policy: RefusedPolicy) -> Drafts {
        let options = Options::new(|_| None).unwrap();
        Drafts::new(lane.clone(), options, policy, takes, Memory::default())
    }

    /// Pieces of records: each has so many offsets of nothing before it, and its value so many bytes.
    fn pieces(
        lane: &Lane,
        from: Offset,
        pieces: &[(Vec<(Offset, usize)>, Offset)],
    ) -> (Vec<Routed>, Vec<Offset>) {
        let (mut next, mut offsets) = (from, Vec::new());
        let mut piece = |(records, behind): &(Vec<(Offset, usize)>, Offset)| {
            let mut batch = RecordBatch::default();
            for (gap, size) in records {
                next += gap;
                batch.push(next, 7, Some(b"k"), Some(&vec![b'x'; *size]), []);
                offsets.push(next);
                next += 1;
            }
            next += behind;
            Routed { lane: lane.clone(), batch, next, credit: lane.source.credit.take(1).unwrap() }
        };
        (pieces.iter().map(&mut piece).collect(), offsets)
    }

    proptest! {
        /// With identical offsets each record lies at its own, whatever the gaps, the pieces and the batches; and all
        /// that the target had when the run began is left out.
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
            let mut drafts = drafts(&lane, takes, RefusedPolicy::Stop);
            drafts.identical_from(start);
            let (mut end, mut seen, mut position) = (start, Vec::new(), start);
            for piece in pieces {
                drafts.add(piece);
                loop {
                    match drafts.step(STAMP) {
                        Step::Batch(draft) => {
                            prop_assert!(draft.bytes.len() as u64 <= limit);
                            prop_assert!(draft.offsets.iter().copied().eq(end..end + i64::from(draft.count)));
                            end += i64::from(draft.count);
                            seen.extend(draft.offsets);
                            prop_assert!(draft.acked.next >= position && draft.acked.next <= end.max(position));
                            position = draft.acked.next;
                        }
                        Step::Fill(to) => {
                            prop_assert!(to > end);
                            end = to;
                        }
                        Step::Moved(draft) => position = position.max(draft.acked.next),
                        Step::Skipped(..) | Step::End(..) => prop_assert!(false, "nothing is refused"),
                        Step::Nothing => break,
                    }
                }
            }
            let expected: Vec<Offset> = offsets.into_iter().filter(|offset| *offset >= start).collect();
            prop_assert_eq!((seen, end, position), (expected, last, last));
        }
    }

    #[test]
    fn what_is_refused_ends_the_lane_there_or_becomes_a_gap() {
        let lane = lane();
        let takes = Takes { max_message_bytes: Some(200), only_keyed: false };
        for policy in [RefusedPolicy::Stop, RefusedPolicy::Skip] {
            let mut drafts = drafts(&lane, takes, policy);
            drafts.identical_from(0);
            let mut batch = RecordBatch::default();
            batch.push(0, 7, None, Some(b"small"), []);
            // Random enough not to fit compressed either.
            let large: Vec<u8> = (0..1000u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
            batch.push(1, 7, None, Some(&large), []);
            batch.push(2, 7, None, Some(b"small"), []);
            let credit = lane.source.credit.take(1).unwrap();
            drafts.add(Routed { lane: lane.clone(), batch, next: 3, credit });
            assert!(matches!(drafts.step(STAMP), Step::Batch(draft) if draft.offsets == [0]));
            match policy {
                RefusedPolicy::Stop => {
                    let Step::End(1, refusal) = drafts.step(STAMP) else { panic!("the lane ends before it") };
                    assert!(
                        refusal.stop.reason.contains("source offset 1 needs a batch of"),
                        "{:?}",
                        refusal.stop
                    );
                }
                RefusedPolicy::Skip => {
                    assert!(matches!(drafts.step(STAMP), Step::Skipped(1, _)));
                    assert!(matches!(drafts.step(STAMP), Step::Fill(2)));
                    assert!(matches!(drafts.step(STAMP), Step::Batch(draft) if draft.offsets == [2]));
                }
            }
        }
    }

    #[test]
    fn the_targets_last_record_must_be_the_sources() {
        let lane = lane();
        let mut batch = RecordBatch::default();
        batch.push(4, 7, Some(b"k"), Some(b"v"), []);
        batch.push(5, 7, Some(b"k"), Some(b"w"), []);
        let digest = Digest::of(&batch.iter().next().unwrap());
        for (digest, same) in [(digest, true), (Digest::of(&batch.iter().last().unwrap()), false)] {
            let mut drafts = drafts(&lane, Takes::default(), RefusedPolicy::Skip);
            drafts.identical_from(5);
            drafts.check(4, digest);
            let mut piece = RecordBatch::default();
            batch.iter().for_each(|r| piece.push(r.offset(), r.timestamp(), r.key(), r.value(), []));
            let credit = lane.source.credit.take(1).unwrap();
            drafts.add(Routed { lane: lane.clone(), batch: piece, next: 6, credit });
            match drafts.step(STAMP) {
                Step::Batch(draft) => assert!(same && draft.offsets == [5]),
                Step::End(4, refusal) => assert!(!same && refusal.stop.reason.contains("not the same")),
                _ => panic!("there is a record to send, or a difference"),
            }
        }
    }
}
