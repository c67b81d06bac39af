//! Records of one lane, packed into one allocation.
//!
//! A batch is an index and an arena: no allocation a record, and its size in memory is known exactly,
//! which is what the link's buffer limit is counted in.

use crate::Offset;

/// What one record costs beside its own bytes while it waits: the index entry here and the client
/// library's bookkeeping behind it (librdkafka keeps about 200 bytes a message).
const RECORD_OVERHEAD: u64 = 256;

#[derive(Debug, Clone, Copy)]
struct Entry {
    offset: Offset,
    timestamp: i64,
    start: u32,
    key: i32,
    value: i32,
    headers: u32,
    header_count: u32,
}

#[derive(Debug, Clone, Copy)]
struct HeaderEntry {
    start: u32,
    name: u32,
    value: i32,
}

/// A run of records of one lane, in offset order.
#[derive(Debug, Default)]
pub struct RecordBatch {
    codec: u8,
    entries: Vec<Entry>,
    headers: Vec<HeaderEntry>,
    data: Vec<u8>,
}

/// A record header. Names may repeat, and their order is kept; a value may be null.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header<'a> {
    /// The header's name (UTF-8 in well-formed records; carried as bytes).
    pub name: &'a [u8],
    /// Its value; null and empty are not the same.
    pub value: Option<&'a [u8]>,
}

/// One record, as it lies in a batch.
#[derive(Clone, Copy)]
pub struct Record<'a> {
    batch: &'a RecordBatch,
    entry: &'a Entry,
}

fn length(bytes: Option<&[u8]>) -> i32 {
    bytes.map_or(-1, |b| i32::try_from(b.len()).expect("Kafka's own sizes are i32"))
}

impl RecordBatch {
    /// An empty batch with room for `records` records of `bytes` bytes in all.
    pub fn with_capacity(records: usize, bytes: usize) -> Self {
        let (entries, data) = (Vec::with_capacity(records), Vec::with_capacity(bytes));
        Self { codec: 0, entries, headers: Vec::new(), data }
    }

    /// Its records were compressed with the codec of this number (as in a batch's attributes; 0: none), and may be so
    /// again.
    pub fn packed_as(&mut self, codec: u8) {
        self.codec = codec;
    }

    /// The codec that its records were compressed with, as far as that is known.
    pub fn codec(&self) -> u8 {
        self.codec
    }

    /// Adds a record behind the others. `timestamp` is in milliseconds since the epoch, −1 for none.
    pub fn push<'h>(
        &mut self,
        offset: Offset,
        timestamp: i64,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: impl IntoIterator<Item = Header<'h>>,
    ) {
        let start = self.at();
        self.data.extend_from_slice(key.unwrap_or_default());
        self.data.extend_from_slice(value.unwrap_or_default());
        let first = self.headers.len();
        for header in headers {
            let start = self.at();
            self.data.extend_from_slice(header.name);
            self.data.extend_from_slice(header.value.unwrap_or_default());
            let name = header.name.len() as u32;
            self.headers.push(HeaderEntry { start, name, value: length(header.value) });
        }
        self.entries.push(Entry {
            offset,
            timestamp,
            start,
            key: length(key),
            value: length(value),
            headers: first as u32,
            header_count: (self.headers.len() - first) as u32,
        });
    }

    fn at(&self) -> u32 {
        u32::try_from(self.data.len()).expect("a batch is cut far below 4 GiB")
    }

    /// How many records it holds.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether it holds none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Key, value and header bytes of all its records.
    pub fn bytes(&self) -> u64 {
        self.data.len() as u64
    }

    /// What it costs of the link's buffer: its bytes and a fixed overhead a record.
    pub fn cost(&self) -> u64 {
        self.bytes() + RECORD_OVERHEAD * self.len() as u64
    }

    /// Its records, in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = Record<'_>> + Clone {
        self.entries.iter().map(move |entry| Record { batch: self, entry })
    }

    fn slice(&self, start: usize, length: i32) -> Option<&[u8]> {
        usize::try_from(length).ok().map(|length| &self.data[start..start + length])
    }
}

impl<'a> Record<'a> {
    /// Its source offset.
    pub fn offset(&self) -> Offset {
        self.entry.offset
    }

    /// Its timestamp in milliseconds since the epoch, −1 for none.
    pub fn timestamp(&self) -> i64 {
        self.entry.timestamp
    }

    /// Its key, if it is not null.
    pub fn key(&self) -> Option<&'a [u8]> {
        self.batch.slice(self.entry.start as usize, self.entry.key)
    }

    /// Its value; null in a tombstone.
    pub fn value(&self) -> Option<&'a [u8]> {
        self.batch.slice(self.entry.start as usize + self.entry.key.max(0) as usize, self.entry.value)
    }

    /// Its headers, in order.
    pub fn headers(&self) -> impl ExactSizeIterator<Item = Header<'a>> + Clone + use<'a> {
        let batch = self.batch;
        let first = self.entry.headers as usize;
        batch.headers[first..first + self.entry.header_count as usize].iter().map(move |h| {
            let (start, name) = (h.start as usize, h.name as usize);
            Header { name: &batch.data[start..start + name], value: batch.slice(start + name, h.value) }
        })
    }

    /// Its key, value and header bytes.
    pub fn bytes(&self) -> u64 {
        let len = |bytes: Option<&[u8]>| bytes.map_or(0, <[u8]>::len) as u64;
        len(self.key())
            + len(self.value())
            + self.headers().map(|h| h.name.len() as u64 + len(h.value)).sum::<u64>()
    }

    /// The size of its key, value and headers in message format 2, each with its length in front.
    fn body_size(&self) -> usize {
        let field = |bytes: Option<&[u8]>| bytes.map_or(1, |bytes| varint(bytes.len()) + bytes.len());
        let headers = self.headers();
        field(self.key())
            + field(self.value())
            + varint(headers.len())
            + headers.map(|h| field(Some(h.name)) + field(h.value)).sum::<usize>()
    }

    /// The exact size of an uncompressed record batch (message format 2) that holds this record alone:
    /// what the target compares with `max.message.bytes`.
    pub fn batch_size(&self) -> u64 {
        const BATCH_HEADER: usize = 61;
        const ATTRIBUTES_AND_DELTAS: usize = 3;
        let record = ATTRIBUTES_AND_DELTAS + self.body_size();
        (BATCH_HEADER + varint(record) + record) as u64
    }
}

/// The length of a zigzag varint of a non-negative number.
fn varint(n: usize) -> usize {
    (usize::BITS - (n << 1 | 1).leading_zeros()).div_ceil(7) as usize
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    type Owned = (Option<Vec<u8>>, Option<Vec<u8>>, Vec<(Vec<u8>, Option<Vec<u8>>)>, i64);

    proptest! {
        #[test]
        fn a_batch_gives_back_what_was_pushed(
            records in proptest::collection::vec(any::<Owned>(), 0..20)
        ) {
            let mut batch = RecordBatch::default();
            for (i, (key, value, headers, timestamp)) in records.iter().enumerate() {
                let headers = headers.iter().map(|(n, v)| Header { name: n, value: v.as_deref() });
                batch.push(7 + i as i64, *timestamp, key.as_deref(), value.as_deref(), headers);
            }
            let back: Vec<Owned> = batch.iter().map(|r| (
                r.key().map(<[u8]>::to_vec),
                r.value().map(<[u8]>::to_vec),
                r.headers().map(|h| (h.name.to_vec(), h.value.map(<[u8]>::to_vec))).collect(),
                r.timestamp(),
            )).collect();
            prop_assert_eq!(back, records);
            prop_assert!(batch.iter().map(|r| r.offset()).eq(7..7 + batch.len() as i64));
        }
    }
}
