//! What a fetch has brought of one lane, cut into pieces. No I/O.
//!
//! A batch goes on unopened if nothing of it has to be left out or changed. Neighbours that are small are opened and
//! become one: a broker's work for a batch is the same whatever its size. Control records and what was aborted are gaps.

use std::collections::HashSet;

use bytes::Bytes;
use kafka_wire::{
    Aborted,
    records::{Batch, BatchError, Batches, Control},
};
use mirror_types::{Content, GapCause, Header, Offset, RecordBatch, UnopenedBatch, is_small};

use crate::epochs::Epochs;

/// Bytes of batches that are put together.
const TOGETHER: usize = 128 * 1024;
/// Bytes that a batch may have decompressed.
const UNPACKED: usize = 256 * 1024 * 1024;

/// Where a lane stands, and what is known of what was fetched.
pub(super) struct Place {
    /// The next source offset to hand on.
    pub(super) next: Offset,
    /// Gaps before this have been counted by an earlier run.
    pub(super) position: Offset,
}

/// A piece: what it carries, and where the next one begins.
#[derive(Debug)]
pub(super) struct Piece {
    pub(super) content: Content,
    pub(super) next: Offset,
}

/// What came of it.
#[derive(Debug, Default)]
pub(super) struct Cut {
    /// The pieces, in order, one behind the other.
    pub(super) pieces: Vec<Piece>,
    /// Offsets of nothing, by cause.
    pub(super) compacted: u64,
    pub(super) transactional: u64,
    /// The leader epochs of the batches.
    pub(super) epochs: Epochs,
    /// What can't be read, at or behind this offset; nothing goes on behind it.
    pub(super) corrupt: Option<(Offset, BatchError)>,
    /// There was no whole batch; the first needs so many bytes.
    pub(super) needs: Option<usize>,
}

impl Cut {
    /// Offsets of nothing, by cause, where there are any.
    pub(super) fn gaps(&self) -> impl Iterator<Item = (GapCause, u64)> + use<> {
        let causes = [(GapCause::Compaction, self.compacted), (GapCause::Transaction, self.transactional)];
        causes.into_iter().filter(|(_, offsets)| *offsets > 0)
    }
}

/// Cuts what was fetched of a lane. `aborted` are the aborted transactions in it, where those are to be left out.
pub(super) fn cut(records: Bytes, aborted: Vec<Aborted>, place: Place) -> Cut {
    let mut cutter = Cutter::new(aborted, place);
    let mut batches = Batches::new(records);
    let mut any = false;
    let mut read = Ok(());
    while let Some(batch) = batches.next().filter(|_| read.is_ok()) {
        any = true;
        read = batch.and_then(|batch| cutter.take(batch));
    }
    if !any {
        cutter.cut.needs = batches.next_length();
    }
    // What is before a corrupt batch goes on.
    let flushed = cutter.flush();
    cutter.cut.corrupt = read.and(flushed).err().map(|error| (cutter.handed, error));
    cutter.cut
}

struct Cutter {
    aborted: std::iter::Peekable<std::vec::IntoIter<Aborted>>,
    /// Producers whose records are being left out.
    aborting: HashSet<i64>,
    position: Offset,
    /// Behind what has been looked at.
    next: Offset,
    /// Where the next piece begins.
    handed: Offset,
    /// Batches that will become one, and their bytes.
    together: Vec<Batch>,
    bytes: usize,
    cut: Cut,
}

impl Cutter {
    fn new(mut aborted: Vec<Aborted>, place: Place) -> Self {
        aborted.sort_unstable_by_key(|aborted| aborted.first_offset);
        Self {
            aborted: aborted.into_iter().peekable(),
            aborting: HashSet::new(),
            position: place.position,
            next: place.next,
            handed: place.next,
            together: Vec::new(),
            bytes: 0,
            cut: Cut::default(),
        }
    }

    fn take(&mut self, batch: Batch) -> Result<(), BatchError> {
        let header = batch.header;
        let end = header.next_offset();
        if header.magic < 2 {
            return self.take_old(batch, end);
        }
        while let Some(aborted) = self.aborted.next_if(|aborted| aborted.first_offset <= header.last_offset())
        {
            self.aborting.insert(aborted.producer_id);
        }
        if header.is_control() {
            batch.check_crc()?;
            if control(&batch)? == Some(Control::Abort) {
                self.aborting.remove(&header.producer_id);
            }
        }
        if end <= self.next {
            return Ok(());
        }
        self.cut.epochs.read(header.partition_leader_epoch, end);
        let first = header.base_offset.max(self.next);
        // Nothing is left of the batches that were there.
        self.cut.compacted += self.uncounted(self.next, first);
        let is_aborted = header.is_transactional() && self.aborting.contains(&header.producer_id);
        let count = Offset::from(header.record_count.max(0));
        // What passes it over is in what the CRC covers; a control batch's is checked above.
        if !header.is_control() && (is_aborted || count == 0) {
            batch.check_crc()?;
        }
        if header.is_control() || is_aborted {
            self.cut.transactional += self.uncounted(first, end);
            self.next = end;
            return Ok(());
        }
        if count == 0 {
            self.cut.compacted += self.uncounted(first, end);
            self.next = end;
            return Ok(());
        }
        let is_whole = header.is_forwardable() && header.base_offset >= self.next;
        if is_whole && !is_small(batch.bytes.len(), codec(&batch) != 0) {
            self.flush()?;
            self.hand_on_unopened(&batch, end);
            self.next = end;
            return Ok(());
        }
        self.put_together(batch, end)
    }

    /// A message from before Kafka 0.11: which offsets are in it, from the last one's on, is known when it is opened.
    fn take_old(&mut self, batch: Batch, end: Offset) -> Result<(), BatchError> {
        if end <= self.next {
            return Ok(());
        }
        let reached = self.together.last().map_or(self.handed, |last| last.header.next_offset());
        if reached < self.next {
            self.flush()?;
        }
        self.put_together(batch, end)
    }

    fn put_together(&mut self, batch: Batch, end: Offset) -> Result<(), BatchError> {
        let differs = self.together.last().is_some_and(|last| codec(last) != codec(&batch));
        if differs || self.bytes + batch.bytes.len() > TOGETHER {
            self.flush()?;
        }
        self.bytes += batch.bytes.len();
        self.together.push(batch);
        self.next = end;
        Ok(())
    }

    /// Hands on what was put together, and what gaps there are behind it.
    fn flush(&mut self) -> Result<(), BatchError> {
        let together = std::mem::take(&mut self.together);
        self.bytes = 0;
        match &together[..] {
            [] => {}
            [one] if one.header.is_forwardable() && one.header.base_offset >= self.handed => {
                self.hand_on_unopened(one, one.header.next_offset());
            }
            several => {
                let (mut records, mut next) = (RecordBatch::default(), self.handed);
                let compacted = self.cut.compacted;
                for (at, batch) in several.iter().enumerate() {
                    if let Err(error) = self.open(batch, next, &mut records) {
                        // What is before it goes on, and nothing behind.
                        (self.cut.compacted, self.next) = (compacted, next);
                        self.together = several[..at].to_vec();
                        return self.flush().and(Err(error));
                    }
                    next = batch.header.next_offset();
                }
                self.hand_on(Content::Records(records), next);
            }
        }
        if self.handed < self.next {
            match self.cut.pieces.last_mut() {
                Some(last) => last.next = self.next,
                None => {
                    let next = self.next;
                    self.cut.pieces.push(Piece { content: Content::Records(RecordBatch::default()), next });
                }
            }
            self.handed = self.next;
        }
        Ok(())
    }

    fn hand_on_unopened(&mut self, batch: &Batch, next: Offset) {
        let batch = UnopenedBatch {
            first: batch.header.base_offset,
            count: batch.header.record_count as u32,
            max_timestamp: batch.header.max_timestamp,
            bytes: batch.bytes.clone(),
        };
        self.hand_on(Content::Unopened(batch), next);
    }

    fn hand_on(&mut self, content: Content, next: Offset) {
        self.cut.pieces.push(Piece { content, next });
        self.handed = next;
    }

    /// Adds a batch's records, from `next` on.
    fn open(&mut self, batch: &Batch, next: Offset, into: &mut RecordBatch) -> Result<(), BatchError> {
        batch.check_crc()?;
        into.packed_as(batch.header.attributes as u8 & 7);
        let mut next = if batch.header.magic < 2 { next } else { batch.header.base_offset.max(next) };
        for record in batch.records(UNPACKED)? {
            let record = record?;
            if record.offset < next {
                continue;
            }
            self.cut.compacted += self.uncounted(next, record.offset);
            let headers = record.headers.iter().map(|h| Header { name: &h.key, value: h.value.as_deref() });
            let (key, value) = (record.key.as_deref(), record.value.as_deref());
            into.push(record.offset, record.timestamp, key, value, headers);
            next = record.offset + 1;
        }
        self.cut.compacted += self.uncounted(next, batch.header.next_offset());
        Ok(())
    }

    /// How many offsets of a gap no run has counted yet.
    fn uncounted(&self, from: Offset, to: Offset) -> u64 {
        u64::try_from(to - from.max(self.position)).unwrap_or(0)
    }
}

fn control(batch: &Batch) -> Result<Option<Control>, BatchError> {
    let first = batch.records(UNPACKED)?.next().transpose()?;
    Ok(first.and_then(|record| record.control()))
}

/// The codec of its records; 0 is none.
fn codec(batch: &Batch) -> i16 {
    batch.header.attributes & 7
}

#[cfg(test)]
mod tests;
