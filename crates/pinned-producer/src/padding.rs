//! Padding: records of nothing, by which a partition gets to an offset. They are as old as can be: retention goes by the
//! youngest record of a segment, so padding neither keeps a segment nor ends it, and a segment that begins with padding
//! ends before the next record.
//!
//! | where | key | who removes it |
//! |---|---|---|
//! | before the lane's start, in an empty partition | empty, since a compacted topic takes none without | DeleteRecords, before the first record |
//! | in large gaps of a compacted topic, while it is copied for the first time | [`KEY`] | the log cleaner |

use bytes::Bytes;
use kafka_wire::records::{BatchBuilder, Compression, Stamp, restamped};

/// The key of what the log cleaner removes. An application's record of that key would go with it.
pub const KEY: &[u8] = b"isomirror.padding";

/// Offsets that a target fills with padding in a second, over all partitions: 5 to 10 million a partition were measured
/// on 3.9.1, and the brokers' CPU is what bounds it.
pub const PADDING_RATE: u64 = 5_000_000;

/// What one record of that key takes in a batch, at the most.
pub(crate) const SIZE: usize = 32;

/// Records of one batch: brokers make an object of each.
const RECORDS: i64 = 250_000;

/// Batches for the way to the lane's start. All but the last are the same but for their stamps, so the first is kept.
#[derive(Default)]
pub(crate) struct Padding(Option<(Bytes, i32)>);

impl Padding {
    /// A batch of up to `count` records that fits into `limit` bytes; and how many they are.
    pub(crate) fn batch(&mut self, count: i64, limit: usize, stamp: Stamp) -> (Bytes, i32) {
        match &self.0 {
            Some((bytes, kept)) if i64::from(*kept) <= count => (restamped(bytes, stamp), *kept),
            _ => self.0.insert(batch(count, limit, stamp)).clone(),
        }
    }
}

fn batch(count: i64, limit: usize, stamp: Stamp) -> (Bytes, i32) {
    let mut count = count.min(RECORDS);
    loop {
        let mut builder = BatchBuilder::new(count as usize * 9);
        (0..count).for_each(|_| builder.push(0, Some(b""), None, [].into_iter()));
        let bytes = builder.finish(stamp, Compression::Zstd, None);
        if bytes.len() <= limit || count == 1 {
            return (bytes, count as i32);
        }
        count = (count / 2).max(1);
    }
}

/// Adds a record of padding that the log cleaner removes.
pub(crate) fn push(builder: &mut BatchBuilder) {
    builder.push(0, Some(KEY), None, [].into_iter());
}

#[cfg(test)]
mod tests {
    use kafka_wire::{ProducerIdentity, records::Batches};

    use super::*;

    fn stamp(sequence: i32) -> Stamp {
        Stamp { producer: ProducerIdentity { id: 1, epoch: 0 }, sequence }
    }

    #[test]
    fn a_batch_holds_as_many_as_fit_and_no_more_than_are_wanted() {
        for (wanted, limit) in [(5_000_000, 1_048_588), (5_000_000, 10_000), (7, 1_048_588)] {
            let (bytes, count) = Padding::default().batch(wanted, limit, stamp(0));
            assert!(bytes.len() <= limit, "{count} in {} bytes", bytes.len());
            assert!(i64::from(count) == wanted.min(RECORDS) || limit == 10_000 && count > 1000, "{count}");
        }
    }

    #[test]
    fn what_is_kept_of_the_first_batch_is_right_for_all() {
        let mut padding = Padding::default();
        let (mut left, mut sequence) = (2 * RECORDS + 5, 0);
        while left > 0 {
            let (bytes, count) = padding.batch(left, 1_048_588, stamp(sequence));
            let batch = Batches::new(bytes).next().unwrap().unwrap();
            batch.check_crc().unwrap();
            assert_eq!((batch.header.base_sequence, batch.header.record_count), (sequence, count));
            assert_eq!(batch.records(usize::MAX).unwrap().map_while(Result::ok).count(), count as usize);
            (left, sequence) = (left - i64::from(count), sequence + count);
        }
        assert_eq!(left, 0);
    }

    #[test]
    fn a_record_is_no_larger_than_is_said() {
        let mut builder = BatchBuilder::new(0);
        let mut before = builder.size();
        for _ in 0..300_000 {
            push(&mut builder);
            assert!(builder.size() - before <= SIZE);
            before = builder.size();
        }
    }
}
