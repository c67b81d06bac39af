//! Messages of the formats before Kafka 0.11 (magic 0 and 1), which logs keep that are older than their brokers.
//!
//! A message is a batch of one record here, or of all that are compressed in it.

use bytes::{Buf, Bytes};

use super::{Batch, BatchError, BatchHeader, Compression, Record, batch::PREFIX, record::so_many};

/// Checksum, magic, attributes, and the lengths of key and value.
const LEAST: usize = 4 + 1 + 1 + 4 + 4;
/// The checksum covers all from here.
const CRC_FROM: usize = PREFIX + 4;
/// Compression, and whether the time is the broker's.
const KNOWN: i8 = 0b1111;

struct Message {
    magic: i8,
    crc: u32,
    attributes: i8,
    timestamp: i64,
    key: Option<Bytes>,
    value: Option<Bytes>,
}

/// The header that a message stands for; `None` where it is none.
pub(super) fn header(bytes: &Bytes) -> Option<BatchHeader> {
    let mut rest = bytes.clone();
    let (base_offset, batch_length) = (rest.try_get_i64().ok()?, rest.try_get_i32().ok()?);
    let message = message(rest)?;
    Some(BatchHeader {
        base_offset,
        batch_length,
        partition_leader_epoch: -1,
        magic: message.magic,
        crc: message.crc,
        attributes: i16::from(message.attributes & KNOWN),
        last_offset_delta: 0,
        base_timestamp: message.timestamp,
        max_timestamp: message.timestamp,
        producer_id: -1,
        producer_epoch: -1,
        base_sequence: -1,
        record_count: 1,
    })
}

/// What the checksum has to be.
pub(super) fn checksum(bytes: &[u8]) -> u32 {
    crc32fast::hash(bytes.get(CRC_FROM..).unwrap_or_default())
}

/// Its records, decompressed to no more than `limit` bytes.
pub(super) fn records(batch: &Batch, limit: usize) -> Result<Vec<Record>, BatchError> {
    let base_offset = batch.header.base_offset;
    let bad = |reason: &str| BatchError::Records { base_offset, reason: reason.to_owned() };
    let outer = message(batch.bytes.slice(PREFIX..)).ok_or_else(|| bad("the message is not whole"))?;
    if batch.header.compression() == Some(Compression::None) {
        return Ok(vec![record(base_offset, outer.timestamp, outer.key, outer.value)]);
    }
    let mut rest = batch.unpacked(&outer.value.unwrap_or_default(), limit)?;
    let broker_time = batch.header.is_log_append_time().then_some(outer.timestamp);
    let mut records = Vec::new();
    while !rest.is_empty() {
        let (offset, message) = next(&mut rest).ok_or_else(|| bad("a message in it is not whole"))?;
        let timestamp = broker_time.unwrap_or(message.timestamp);
        records.push(record(offset, timestamp, message.key, message.value));
    }
    // Those in it count from the first; its own offset is the last one's.
    if outer.magic > 0
        && let Some(last) = records.last().map(|last| last.offset)
    {
        let from = base_offset.checked_sub(last).ok_or_else(|| bad("the offsets in it overflow"))?;
        for record in &mut records {
            record.offset =
                record.offset.checked_add(from).ok_or_else(|| bad("the offsets in it overflow"))?;
        }
    }
    if !records.is_sorted_by(|one, next| one.offset < next.offset) || records.iter().any(|r| r.offset < 0) {
        return Err(bad("the offsets in it do not grow"));
    }
    Ok(records)
}

fn record(offset: i64, timestamp: i64, key: Option<Bytes>, value: Option<Bytes>) -> Record {
    Record { offset, timestamp, key, value, headers: Vec::new() }
}

fn next(rest: &mut Bytes) -> Option<(i64, Message)> {
    let (offset, length) = (rest.try_get_i64().ok()?, rest.try_get_i32().ok()?);
    let length = usize::try_from(length).ok().filter(|length| *length <= rest.len())?;
    Some((offset, message(rest.split_to(length))?))
}

/// A message, without its offset and length.
fn message(mut bytes: Bytes) -> Option<Message> {
    if bytes.len() < LEAST {
        return None;
    }
    let (crc, magic, attributes) = (bytes.get_u32(), bytes.get_i8(), bytes.get_i8());
    let timestamp = match magic {
        0 => -1,
        1 => bytes.try_get_i64().ok()?,
        _ => return None,
    };
    let (key, value) = (nullable(&mut bytes)?, nullable(&mut bytes)?);
    bytes.is_empty().then_some(Message { magic, crc, attributes, timestamp, key, value })
}

/// A length, and so many bytes; -1 is null.
fn nullable(bytes: &mut Bytes) -> Option<Option<Bytes>> {
    let length = bytes.try_get_i32().ok()?;
    so_many(bytes, length)
}

#[cfg(test)]
mod tests {
    use bytes::{BufMut, BytesMut};
    use proptest::{collection::vec, option, prelude::*};

    use super::{super::Batches, *};

    type Simple = (i64, Option<Vec<u8>>, Option<Vec<u8>>);

    fn put(into: &mut BytesMut, offset: i64, magic: i8, attributes: i8, (time, key, value): &Simple) {
        let mut body = BytesMut::new();
        body.put_i8(magic);
        body.put_i8(attributes);
        if magic == 1 {
            body.put_i64(*time);
        }
        for part in [key, value] {
            body.put_i32(part.as_ref().map_or(-1, |part| part.len() as i32));
            body.put_slice(part.as_deref().unwrap_or_default());
        }
        into.put_i64(offset);
        into.put_i32(body.len() as i32 + 4);
        into.put_u32(crc32fast::hash(&body));
        into.put_slice(&body);
    }

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut out = BytesMut::new();
        super::super::codec::compress(Compression::Gzip, None, bytes, &mut out);
        out.to_vec()
    }

    fn read(bytes: BytesMut) -> Vec<Record> {
        let batches = Batches::new(bytes.freeze()).map(|batch| batch.unwrap());
        let records = batches.flat_map(|batch| {
            batch.check_crc().unwrap();
            assert!(!batch.header.is_forwardable());
            batch.records(1 << 20).unwrap().collect::<Result<Vec<_>, _>>().unwrap()
        });
        records.collect()
    }

    proptest! {
        #[test]
        fn what_was_written_is_read(
            magic in 0..2i8,
            packed in any::<bool>(),
            messages in vec((0..i64::MAX, option::of(vec(any::<u8>(), 0..9)), option::of(vec(any::<u8>(), 0..9))), 1..9),
        ) {
            let mut bytes = BytesMut::new();
            for (at, message) in (0..).zip(&messages) {
                // Packed, with magic 1, offsets count from the first.
                let offset = if packed && magic == 1 { at } else { 100 + at };
                put(&mut bytes, offset, magic, 0, message);
            }
            if packed {
                let all = gzip(&bytes);
                bytes.clear();
                put(&mut bytes, 100 + messages.len() as i64 - 1, magic, 1, &(7, None, Some(all)));
            }
            let found = read(bytes);
            prop_assert_eq!(found.len(), messages.len());
            for ((at, (time, key, value)), record) in (0..).zip(messages).zip(found) {
                prop_assert_eq!(record.offset, 100 + at);
                prop_assert_eq!(record.timestamp, if magic == 1 { time } else { -1 });
                prop_assert_eq!(record.key.as_deref(), key.as_deref());
                prop_assert_eq!(record.value.as_deref(), value.as_deref());
            }
        }

        #[test]
        fn no_bytes_make_it_panic(
            messages in vec((any::<i64>(), any::<i8>(), vec(any::<u8>(), 0..30)), 1..5),
            at in any::<prop::sample::Index>(),
            byte in any::<u8>(),
        ) {
            let mut inner = BytesMut::new();
            for (offset, attributes, value) in messages {
                put(&mut inner, offset, 1, attributes, &(0, None, Some(value)));
            }
            let mut bytes = BytesMut::new();
            put(&mut bytes, 5, 1, 1, &(0, None, Some(gzip(&inner))));
            bytes.extend_from_slice(&inner);
            let place = at.index(bytes.len());
            bytes[place] = byte;
            for batch in Batches::new(bytes.freeze()).flatten() {
                let _ = batch.check_crc();
                if let Ok(records) = batch.records(1 << 16) {
                    prop_assert!(records.count() < 10);
                }
            }
        }
    }

    #[test]
    fn the_brokers_time_is_that_of_all_that_are_packed() {
        let (mut inner, mut bytes) = (BytesMut::new(), BytesMut::new());
        put(&mut inner, 0, 1, 0, &(1, None, None));
        put(&mut bytes, 3, 1, 1 | 1 << 3, &(9, None, Some(gzip(&inner))));
        assert_eq!(read(bytes)[0].timestamp, 9);
    }

    #[test]
    fn a_damaged_message_is_known_by_its_checksum() {
        let mut bytes = BytesMut::new();
        put(&mut bytes, 3, 1, 0, &(9, None, Some(vec![1, 2, 3])));
        let last = bytes.len() - 1;
        bytes[last] = 4;
        let batch = Batches::new(bytes.freeze()).next().unwrap().unwrap();
        assert!(matches!(batch.check_crc(), Err(BatchError::Checksum { base_offset: 3, .. })));
    }
}
