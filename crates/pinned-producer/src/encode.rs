//! Record batches as the target takes them: Kafka's message format 2, uncompressed or with one codec.
//!
//! Owns the bytes of a batch. Source: KIP-98, and `DefaultRecordBatch`'s description of the layout.

use bytes::{BufMut, Bytes, BytesMut};
use kafka_wire::ProducerIdentity;
use mirror_types::Record;

use crate::compression::{Codec, Compression};

/// Everything of a batch before its records.
pub(crate) const HEADER: usize = 61;
/// Where the checksum begins: behind it, up to the end.
const CHECKED_FROM: usize = 21;

/// A record batch's producer id and epoch, and its first sequence number (KIP-98).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stamp {
    pub(crate) producer: ProducerIdentity,
    pub(crate) sequence: i32,
}

/// A batch in the making.
pub(crate) struct BatchBuilder {
    bytes: BytesMut,
    count: i32,
    first_timestamp: i64,
    max_timestamp: i64,
}

impl BatchBuilder {
    /// An empty batch, with room for about `capacity` bytes.
    pub(crate) fn new(capacity: usize) -> Self {
        let mut bytes = BytesMut::with_capacity(capacity + HEADER);
        bytes.put_bytes(0, HEADER);
        Self { bytes, count: 0, first_timestamp: -1, max_timestamp: -1 }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Bytes so far, before compression.
    pub(crate) fn size(&self) -> usize {
        self.bytes.len()
    }

    /// Adds a record behind the others.
    pub(crate) fn push(&mut self, record: &Record<'_>) {
        let timestamp = record.timestamp();
        if self.count == 0 {
            self.first_timestamp = timestamp;
            self.max_timestamp = timestamp;
        }
        self.max_timestamp = self.max_timestamp.max(timestamp);
        let timestamp_delta = zigzag(timestamp.wrapping_sub(self.first_timestamp));
        let offset_delta = zigzag(i64::from(self.count));
        let body = record.body_size() + varint_size(timestamp_delta) + varint_size(offset_delta) + 1;
        let out = &mut self.bytes;
        out.reserve(body + 5);
        put_varint(out, zigzag(body as i64));
        out.put_u8(0);
        put_varint(out, timestamp_delta);
        put_varint(out, offset_delta);
        put_field(out, record.key());
        put_field(out, record.value());
        let headers = record.headers();
        put_varint(out, zigzag(headers.len() as i64));
        for header in headers {
            put_field(out, Some(header.name));
            put_field(out, header.value);
        }
        self.count += 1;
    }

    /// The finished batch. Its base offset and leader epoch are the broker's to fill in.
    pub(crate) fn finish(self, stamp: Stamp, compression: Compression) -> Bytes {
        let Self { mut bytes, count, first_timestamp, max_timestamp } = self;
        if compression.codec != Codec::None {
            let mut packed = BytesMut::with_capacity(bytes.len() / 2 + HEADER);
            packed.put_bytes(0, HEADER);
            compression.compress(&bytes[HEADER..], &mut packed);
            bytes = packed;
        }
        let length = (bytes.len() - 12) as i32;
        let mut header = &mut bytes[..HEADER];
        header.put_i64(0);
        header.put_i32(length);
        header.put_i32(-1);
        header.put_u8(2);
        header.put_u32(0);
        header.put_i16(compression.codec.attribute());
        header.put_i32(count - 1);
        header.put_i64(first_timestamp);
        header.put_i64(max_timestamp);
        header.put_i64(stamp.producer.id);
        header.put_i16(stamp.producer.epoch);
        header.put_i32(stamp.sequence);
        header.put_i32(count);
        let checksum = crc32c::crc32c(&bytes[CHECKED_FROM..]);
        bytes[CHECKED_FROM - 4..CHECKED_FROM].copy_from_slice(&checksum.to_be_bytes());
        bytes.freeze()
    }
}

/// Sequence numbers wrap to 0 behind `i32::MAX`.
pub(crate) fn next_sequence(sequence: i32, count: i32) -> i32 {
    ((i64::from(sequence) + i64::from(count)) % (i64::from(i32::MAX) + 1)) as i32
}

fn zigzag(n: i64) -> u64 {
    ((n << 1) ^ (n >> 63)) as u64
}

fn varint_size(n: u64) -> usize {
    (64 - (n | 1).leading_zeros()).div_ceil(7) as usize
}

fn put_varint(out: &mut BytesMut, mut n: u64) {
    while n >= 0x80 {
        out.put_u8(n as u8 | 0x80);
        n >>= 7;
    }
    out.put_u8(n as u8);
}

fn put_field(out: &mut BytesMut, field: Option<&[u8]>) {
    match field {
        None => put_varint(out, zigzag(-1)),
        Some(field) => {
            put_varint(out, zigzag(field.len() as i64));
            out.put_slice(field);
        }
    }
}

#[cfg(test)]
mod tests {
    use kafka_protocol::records::RecordBatchDecoder;
    use mirror_types::{Header, RecordBatch};
    use proptest::prelude::*;

    use super::*;

    const STAMP: Stamp = Stamp { producer: ProducerIdentity { id: 77, epoch: 3 }, sequence: 1_000_000 };
    type Owned = (Option<Vec<u8>>, Option<Vec<u8>>, Vec<(String, Option<Vec<u8>>)>, i64);

    fn batch(records: &[Owned]) -> RecordBatch {
        let mut batch = RecordBatch::default();
        for (i, (key, value, headers, timestamp)) in records.iter().enumerate() {
            let headers = headers.iter().map(|(n, v)| Header { name: n.as_bytes(), value: v.as_deref() });
            batch.push(100 + 2 * i as i64, *timestamp, key.as_deref(), value.as_deref(), headers);
        }
        batch
    }

    fn encoded(records: &RecordBatch, codec: Codec) -> Bytes {
        let mut builder = BatchBuilder::new(0);
        records.iter().for_each(|record| builder.push(&record));
        builder.finish(STAMP, Compression { codec, level: -1 })
    }

    fn owned() -> impl Strategy<Value = Owned> {
        let bytes = || proptest::option::of(proptest::collection::vec(any::<u8>(), 0..300));
        // Another decoder keeps headers in a map, so their names are told apart here.
        let headers = proptest::collection::btree_map("[a-z]{0,5}", bytes(), 0..4);
        let headers = headers.prop_map(|headers| headers.into_iter().collect());
        (bytes(), bytes(), headers, -1..=i64::MAX / 4)
    }

    proptest! {
        #[test]
        fn another_decoder_reads_back_what_was_pushed(
            records in proptest::collection::vec(owned(), 1..50),
        ) {
            let mut bytes = encoded(&batch(&records), Codec::None);
            let back = RecordBatchDecoder::decode(&mut bytes).unwrap().records;
            prop_assert_eq!(back.len(), records.len());
            for (i, (back, record)) in back.into_iter().zip(records).enumerate() {
                prop_assert_eq!(back.offset, i as i64);
                prop_assert_eq!((back.producer_id, back.producer_epoch), (77, 3));
                prop_assert_eq!(back.sequence, 1_000_000 + i as i32);
                let headers: Vec<_> = back
                    .headers
                    .into_iter()
                    .map(|(name, value)| (name.to_string(), value.map(|v| v.to_vec())))
                    .collect();
                let back = (back.key.map(|k| k.to_vec()), back.value.map(|v| v.to_vec()), headers, back.timestamp);
                prop_assert_eq!(back, record);
            }
        }
    }

    #[test]
    fn a_record_alone_is_as_large_as_was_said() {
        for size in [0, 1, 63, 64, 100, 8000, 8191, 8192, 1_048_000] {
            let headers = vec![("h".to_owned(), None), ("i".to_owned(), Some(vec![1; size / 2]))];
            for key in [None, Some(vec![2; size])] {
                let batch = batch(&[(key, Some(vec![3; size]), headers.clone(), 1_700_000_000_000)]);
                let said = batch.iter().next().unwrap().batch_size();
                assert_eq!(encoded(&batch, Codec::None).len() as u64, said);
            }
        }
    }
}
