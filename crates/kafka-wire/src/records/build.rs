//! Record batches in the making: message format 2, uncompressed or with one codec.

use bytes::{BufMut, Bytes, BytesMut};

use super::{Compression, HEADER_LENGTH, batch::CRC_FROM, codec::compress};
use crate::ProducerIdentity;

/// The length of a batch counts what comes after it.
const LENGTH_FROM: usize = 12;
/// Where a batch says who wrote it: producer id, epoch, sequence number.
const PRODUCER_AT: usize = 43;
/// This bit of a batch's attributes says that it is part of a transaction.
const TRANSACTIONAL: i16 = 1 << 4;

/// Who writes a batch, and which it is of theirs (KIP-98).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp {
    /// The producer's id and epoch.
    pub producer: ProducerIdentity,
    /// The sequence number of the batch's first record.
    pub sequence: i32,
}

impl Stamp {
    /// The sequence number behind `count` records from this one on; they wrap to 0 behind `i32::MAX`.
    pub fn behind(self, count: i32) -> i32 {
        next_sequence(self.sequence, count)
    }
}

/// The sequence number `count` records on; they wrap to 0 behind `i32::MAX`.
pub fn next_sequence(sequence: i32, count: i32) -> i32 {
    ((i64::from(sequence) + i64::from(count)) % (i64::from(i32::MAX) + 1)) as i32
}

/// A batch in the making.
pub struct BatchBuilder {
    bytes: BytesMut,
    count: i32,
    first_timestamp: i64,
    max_timestamp: i64,
    transactional: bool,
}

impl BatchBuilder {
    /// An empty batch, with room for about `capacity` bytes of records.
    pub fn new(capacity: usize) -> Self {
        let mut bytes = BytesMut::with_capacity(capacity + HEADER_LENGTH);
        bytes.put_bytes(0, HEADER_LENGTH);
        Self { bytes, count: 0, first_timestamp: -1, max_timestamp: -1, transactional: false }
    }

    /// The same, to be part of a transaction of its producer.
    #[must_use]
    pub fn in_transaction(self) -> Self {
        Self { transactional: true, ..self }
    }

    /// Whether it has no record yet; a broker takes no such batch.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Bytes so far, before compression.
    pub fn size(&self) -> usize {
        self.bytes.len()
    }

    /// Adds a record behind the others. `timestamp` is in ms since 1970, or -1.
    pub fn push<'h>(
        &mut self,
        timestamp: i64,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: impl ExactSizeIterator<Item = (&'h [u8], Option<&'h [u8]>)> + Clone,
    ) {
        if self.count == 0 {
            self.first_timestamp = timestamp;
            self.max_timestamp = timestamp;
        }
        self.max_timestamp = self.max_timestamp.max(timestamp);
        let timestamp_delta = zigzag(timestamp.wrapping_sub(self.first_timestamp));
        let offset_delta = zigzag(i64::from(self.count));
        let header_count = zigzag(headers.len() as i64);
        let length = 1
            + varint_size(timestamp_delta)
            + varint_size(offset_delta)
            + field_size(key)
            + field_size(value)
            + varint_size(header_count)
            + headers.clone().map(|(name, value)| field_size(Some(name)) + field_size(value)).sum::<usize>();
        let out = &mut self.bytes;
        out.reserve(length + 5);
        put_varint(out, zigzag(length as i64));
        out.put_u8(0);
        put_varint(out, timestamp_delta);
        put_varint(out, offset_delta);
        put_field(out, key);
        put_field(out, value);
        put_varint(out, header_count);
        for (name, value) in headers {
            put_field(out, Some(name));
            put_field(out, value);
        }
        self.count += 1;
    }

    /// The finished batch. Its base offset and leader epoch are the broker's to fill in.
    pub fn finish(self, stamp: Stamp, compression: Compression, level: Option<i32>) -> Bytes {
        let Self { mut bytes, count, first_timestamp, max_timestamp, transactional } = self;
        if compression != Compression::None {
            let mut packed = BytesMut::with_capacity(bytes.len() / 2 + HEADER_LENGTH);
            packed.put_bytes(0, HEADER_LENGTH);
            compress(compression, level, &bytes[HEADER_LENGTH..], &mut packed);
            bytes = packed;
        }
        let length = (bytes.len() - LENGTH_FROM) as i32;
        let mut header = &mut bytes[..HEADER_LENGTH];
        header.put_i64(0);
        header.put_i32(length);
        header.put_i32(-1);
        header.put_u8(2);
        header.put_u32(0);
        header.put_i16(compression as i16 | if transactional { TRANSACTIONAL } else { 0 });
        header.put_i32(count - 1);
        header.put_i64(first_timestamp);
        header.put_i64(max_timestamp);
        header.put_i64(stamp.producer.id);
        header.put_i16(stamp.producer.epoch);
        header.put_i32(stamp.sequence);
        header.put_i32(count);
        sign(&mut bytes);
        bytes.freeze()
    }
}

/// The same batch (a whole one, as it was finished) under another stamp, which is far cheaper than making it again.
pub fn restamped(batch: &[u8], stamp: Stamp) -> Bytes {
    let mut bytes = BytesMut::from(batch);
    let mut producer = &mut bytes[PRODUCER_AT..HEADER_LENGTH];
    producer.put_i64(stamp.producer.id);
    producer.put_i16(stamp.producer.epoch);
    producer.put_i32(stamp.sequence);
    sign(&mut bytes);
    bytes.freeze()
}

fn sign(bytes: &mut [u8]) {
    let checksum = crc32c::crc32c(&bytes[CRC_FROM..]);
    bytes[CRC_FROM - 4..CRC_FROM].copy_from_slice(&checksum.to_be_bytes());
}

fn zigzag(n: i64) -> u64 {
    ((n << 1) ^ (n >> 63)) as u64
}

fn varint_size(n: u64) -> usize {
    (64 - (n | 1).leading_zeros()).div_ceil(7) as usize
}

fn field_size(field: Option<&[u8]>) -> usize {
    field.map_or(1, |field| varint_size(zigzag(field.len() as i64)) + field.len())
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
    use proptest::{collection::vec, option, prelude::*, sample::select};

    use super::*;
    use crate::records::Batches;

    const STAMP: Stamp = Stamp { producer: ProducerIdentity { id: 77, epoch: 3 }, sequence: i32::MAX - 3 };
    type Owned = (Option<Vec<u8>>, Option<Vec<u8>>, Vec<(String, Option<Vec<u8>>)>, i64);

    fn encoded(records: &[Owned], compression: Compression) -> Bytes {
        let mut builder = BatchBuilder::new(0);
        for (key, value, headers, timestamp) in records {
            let headers = headers.iter().map(|(name, value)| (name.as_bytes(), value.as_deref()));
            builder.push(*timestamp, key.as_deref(), value.as_deref(), headers);
        }
        builder.finish(STAMP, compression, None)
    }

    fn owned() -> impl Strategy<Value = Owned> {
        let bytes = || option::of(vec(any::<u8>(), 0..300));
        // The other decoder keeps headers in a map, so their names are told apart here.
        let headers = proptest::collection::btree_map("[a-z]{0,5}", bytes(), 0..4);
        let headers = headers.prop_map(|headers| headers.into_iter().collect());
        (bytes(), bytes(), headers, -1..=i64::MAX / 4)
    }

    proptest! {
        #[test]
        fn two_decoders_read_back_what_was_pushed(
            records in vec(owned(), 1..50),
            compression in select(vec![
                Compression::None, Compression::Gzip, Compression::Snappy, Compression::Lz4, Compression::Zstd,
            ]),
        ) {
            let bytes = encoded(&records, compression);
            let own = Batches::new(bytes.clone()).next().unwrap().unwrap();
            own.check_crc().unwrap();
            prop_assert_eq!(own.header.compression(), Some(compression));
            let back: Vec<Owned> = own
                .records(usize::MAX)
                .unwrap()
                .map(|record| {
                    let record = record.unwrap();
                    let header = |h: &super::super::Header| {
                        (String::from_utf8(h.key.to_vec()).unwrap(), h.value.as_ref().map(|v| v.to_vec()))
                    };
                    let headers = record.headers.iter().map(header).collect();
                    let bytes = |field: Option<Bytes>| field.map(|f| f.to_vec());
                    (bytes(record.key), bytes(record.value), headers, record.timestamp)
                })
                .collect();
            prop_assert_eq!(&back, &records);
            // The other decoder is built without codecs.
            if compression == Compression::None {
                let other = RecordBatchDecoder::decode(&mut bytes.clone()).unwrap().records;
                prop_assert_eq!(other.len(), records.len());
                for (i, (other, record)) in other.into_iter().zip(records).enumerate() {
                    prop_assert_eq!(other.offset, i as i64);
                    prop_assert_eq!((other.producer_id, other.producer_epoch), (77, 3));
                    let headers = other.headers.into_iter();
                    let headers = headers.map(|(n, v)| (n.to_string(), v.map(|v| v.to_vec()))).collect();
                    let (key, value) = (other.key.map(|k| k.to_vec()), other.value.map(|v| v.to_vec()));
                    prop_assert_eq!((key, value, headers, other.timestamp), record);
                }
            }
        }
    }

    #[test]
    fn a_batch_under_another_stamp_is_as_if_it_was_made_under_it() {
        let made = |stamp| {
            let mut builder = BatchBuilder::new(0);
            (0..100).for_each(|n| builder.push(n, Some(b"key"), None, [].into_iter()));
            builder.finish(stamp, Compression::Zstd, None)
        };
        let other = Stamp { producer: ProducerIdentity { id: 1 << 40, epoch: 7 }, sequence: 12 };
        assert_eq!(restamped(&made(STAMP), other), made(other));
    }

    #[test]
    fn sequence_numbers_wrap_to_0() {
        assert_eq!(STAMP.behind(3), i32::MAX);
        assert_eq!(STAMP.behind(4), 0);
        assert_eq!(STAMP.behind(14), 10);
    }
}
