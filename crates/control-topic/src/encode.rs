//! Control records as a record batch: Kafka's message format 2, uncompressed.
//!
//! Owns the bytes. Chunks are packed already, and a few records at a time leave little to compress.

use bytes::{BufMut, Bytes, BytesMut};
use kafka_wire::{ProducerIdentity, records::HEADER_LENGTH};
use offset_marks::control::ControlRecord;

/// The checksum covers all from here.
const CHECKED_FROM: usize = 21;
/// The length of a batch counts what comes after it.
const LENGTH_FROM: usize = 12;
/// What a record takes beside its key and value, at the most.
const RECORD_OVERHEAD: usize = 40;

/// Where a batch stands among a producer's.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Stamp {
    pub(crate) producer: ProducerIdentity,
    pub(crate) sequence: i32,
    pub(crate) timestamp: i64,
}

/// One batch of all the records, of which there is at least one.
pub(crate) fn batch(records: &[ControlRecord], stamp: Stamp) -> Bytes {
    let count = i32::try_from(records.len()).expect("a batch is small");
    let mut bytes = BytesMut::with_capacity(HEADER_LENGTH + records.iter().map(size).sum::<usize>());
    bytes.put_bytes(0, HEADER_LENGTH);
    let mut body = BytesMut::new();
    for (delta, record) in (0i64..).zip(records) {
        body.put_u8(0);
        put_varint(&mut body, 0);
        put_varint(&mut body, delta);
        put_field(&mut body, Some(&record.key));
        put_field(&mut body, record.value.as_deref());
        put_varint(&mut body, 0);
        put_varint(&mut bytes, body.len() as i64);
        bytes.put_slice(&body);
        body.clear();
    }
    let length = i32::try_from(bytes.len() - LENGTH_FROM).expect("a batch is small");
    let mut header = &mut bytes[..HEADER_LENGTH];
    header.put_i64(0);
    header.put_i32(length);
    header.put_i32(-1);
    header.put_u8(2);
    header.put_u32(0);
    header.put_i16(0);
    header.put_i32(count - 1);
    header.put_i64(stamp.timestamp);
    header.put_i64(stamp.timestamp);
    header.put_i64(stamp.producer.id);
    header.put_i16(stamp.producer.epoch);
    header.put_i32(stamp.sequence);
    header.put_i32(count);
    let checksum = crc32c::crc32c(&bytes[CHECKED_FROM..]);
    bytes[CHECKED_FROM - 4..CHECKED_FROM].copy_from_slice(&checksum.to_be_bytes());
    bytes.freeze()
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

fn put_field(out: &mut BytesMut, field: Option<&[u8]>) {
    match field {
        None => put_varint(out, -1),
        Some(field) => {
            put_varint(out, field.len() as i64);
            out.put_slice(field);
        }
    }
}

fn put_varint(out: &mut BytesMut, n: i64) {
    let mut n = ((n << 1) ^ (n >> 63)) as u64;
    while n >= 0x80 {
        out.put_u8(n as u8 | 0x80);
        n >>= 7;
    }
    out.put_u8(n as u8);
}

#[cfg(test)]
mod tests {
    use kafka_wire::{kafka_protocol::records::RecordBatchDecoder, records::Batches};
    use proptest::{collection::vec, prelude::*};

    use super::*;

    const STAMP: Stamp = Stamp {
        producer: ProducerIdentity { id: 77, epoch: 3 },
        sequence: 1_000_000,
        timestamp: 1_700_000_000_000,
    };

    fn records() -> impl Strategy<Value = Vec<ControlRecord>> {
        let record = (vec(any::<u8>(), 0..300), proptest::option::of(vec(any::<u8>(), 0..20_000)));
        vec(record.prop_map(|(key, value)| ControlRecord { key, value }), 1..40)
    }

    proptest! {
        #[test]
        fn two_decoders_read_back_what_was_written(records in records()) {
            let bytes = batch(&records, STAMP);
            let own = Batches::new(bytes.clone()).next().unwrap().unwrap();
            own.check_crc().unwrap();
            for (own, record) in own.records(usize::MAX).unwrap().zip(&records) {
                let own = own.unwrap();
                prop_assert_eq!(own.key.as_deref(), Some(&record.key[..]));
                prop_assert_eq!(own.value.as_deref(), record.value.as_deref());
                prop_assert_eq!(own.timestamp, STAMP.timestamp);
            }
            let other = RecordBatchDecoder::decode(&mut bytes.clone()).unwrap().records;
            prop_assert_eq!(other.len(), records.len());
            for (n, (other, record)) in other.into_iter().zip(&records).enumerate() {
                prop_assert_eq!((other.offset, other.sequence), (n as i64, 1_000_000 + n as i32));
                prop_assert_eq!((other.producer_id, other.producer_epoch), (77, 3));
                prop_assert_eq!(other.key.as_deref(), Some(&record.key[..]));
                prop_assert_eq!(other.value.as_deref(), record.value.as_deref());
            }
        }

        #[test]
        fn groups_keep_the_order_and_their_batches_the_limit(records in records(), limit in 100..60_000usize) {
            let groups = groups(records.clone(), limit);
            for group in &groups {
                prop_assert!(group.len() == 1 || batch(group, STAMP).len() <= limit);
            }
            prop_assert_eq!(groups.concat(), records);
        }
    }
}
