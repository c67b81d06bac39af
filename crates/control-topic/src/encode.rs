//! Control records as record batches, uncompressed: chunks are packed already, and a few records at a time leave
//! little to compress.

use bytes::Bytes;
use kafka_wire::records::{BatchBuilder, Compression, HEADER_LENGTH, Stamp};
use offset_marks::control::ControlRecord;

/// What a record takes beside its key and value, at the most.
const RECORD_OVERHEAD: usize = 40;

/// One batch of all the records, of which there is at least one. `timestamp` is in ms since 1970.
pub(crate) fn batch(records: &[ControlRecord], stamp: Stamp, timestamp: i64) -> Bytes {
    let mut batch = BatchBuilder::new(records.iter().map(size).sum());
    for record in records {
        batch.push(timestamp, Some(&record.key), record.value.as_deref(), [].into_iter());
    }
    batch.finish(stamp, Compression::None, None)
}

/// The records in groups whose batches have `limit` bytes at the most, or one record.
pub(crate) fn groups(records: Vec<ControlRecord>, limit: usize) -> Vec<Vec<ControlRecord>> {
    let mut groups: Vec<Vec<ControlRecord>> = Vec::new();
    let mut room = 0;
    for record in records {
        let size = size(&record);
        match groups.last_mut() {
            Some(group) if size <= room => group.push(record),
            _ => {
                groups.push(vec![record]);
                room = limit.saturating_sub(HEADER_LENGTH);
            }
        }
        room = room.saturating_sub(size);
    }
    groups
}

/// Bytes of a record in a batch, at the most.
fn size(record: &ControlRecord) -> usize {
    RECORD_OVERHEAD + record.key.len() + record.value.as_ref().map_or(0, Vec::len)
}

#[cfg(test)]
mod tests {
    use kafka_wire::{ProducerIdentity, records::Batches};
    use proptest::{collection::vec, prelude::*};

    use super::*;

    const STAMP: Stamp = Stamp { producer: ProducerIdentity { id: 77, epoch: 3 }, sequence: 1_000_000 };
    const NOW: i64 = 1_700_000_000_000;

    fn records() -> impl Strategy<Value = Vec<ControlRecord>> {
        let record = (vec(any::<u8>(), 0..300), proptest::option::of(vec(any::<u8>(), 0..20_000)));
        vec(record.prop_map(|(key, value)| ControlRecord { key, value }), 1..40)
    }

    proptest! {
        #[test]
        fn what_was_written_is_read_back(records in records()) {
            let batch = Batches::new(batch(&records, STAMP, NOW)).next().unwrap().unwrap();
            batch.check_crc().unwrap();
            prop_assert_eq!(batch.header.record_count as usize, records.len());
            for (back, record) in batch.records(usize::MAX).unwrap().zip(&records) {
                let back = back.unwrap();
                prop_assert_eq!(back.key.as_deref(), Some(&record.key[..]));
                prop_assert_eq!(back.value.as_deref(), record.value.as_deref());
                prop_assert_eq!(back.timestamp, NOW);
            }
        }

        #[test]
        fn groups_keep_the_order_and_their_batches_the_limit(records in records(), limit in 100..60_000usize) {
            let groups = groups(records.clone(), limit);
            for group in &groups {
                prop_assert!(group.len() == 1 || batch(group, STAMP, NOW).len() <= limit);
            }
            prop_assert_eq!(groups.concat(), records);
        }
    }
}
