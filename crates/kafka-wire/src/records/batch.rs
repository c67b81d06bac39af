//! The headers of batches.

use bytes::{Buf, Bytes};
use crc32c::crc32c;

use super::old;

/// How long a batch's header is, in bytes, with its base offset and length.
pub const HEADER_LENGTH: usize = 61;
/// What comes before what the length counts.
pub(super) const PREFIX: usize = 12;
const MAGIC_AT: usize = 16;
pub(super) const CRC_AT: usize = 17;
/// The checksum covers all from here.
pub(super) const CRC_FROM: usize = 21;

/// How the records of a batch are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Compression {
    /// Not at all.
    None,
    /// gzip.
    Gzip,
    /// Snappy, in the blocks of the Java library or not.
    Snappy,
    /// LZ4, framed.
    Lz4,
    /// Zstandard.
    Zstd,
}

impl Compression {
    /// That of this number in a batch's attributes; `None` for what Kafka does not have.
    pub fn of(number: u8) -> Option<Self> {
        [Self::None, Self::Gzip, Self::Snappy, Self::Lz4, Self::Zstd].get(usize::from(number)).copied()
    }
}

/// The header of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatchHeader {
    /// The offset of the first record that was in it when it was written; of an old message the last that is in it.
    pub base_offset: i64,
    /// How many bytes come after this length.
    pub batch_length: i32,
    /// The epoch of the leader that wrote it. Not covered by the checksum.
    pub partition_leader_epoch: i32,
    /// The format: 2, or 0 or 1 for a message from before Kafka 0.11, of which the fields below are made up.
    pub magic: i8,
    /// The CRC-32C of all from `attributes` on.
    pub crc: u32,
    /// The bits that the methods below read.
    pub attributes: i16,
    /// The offset of the last record that was in it when it was written, from the first. (Compaction may
    /// have taken it.)
    pub last_offset_delta: i32,
    /// What the records' timestamps count from, in ms since 1970; with a delete horizon, that.
    pub base_timestamp: i64,
    /// The largest timestamp of its records, in ms since 1970.
    pub max_timestamp: i64,
    /// The producer's id, or -1.
    pub producer_id: i64,
    /// The producer's epoch, or -1.
    pub producer_epoch: i16,
    /// The sequence number of the first record that was in it when it was written, or -1.
    pub base_sequence: i32,
    /// How many records it has.
    pub record_count: i32,
}

/// What is wrong with bytes that should be batches.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BatchError {
    /// A length that no batch has.
    #[error("the batch at offset {base_offset} claims a length of {length}")]
    Length {
        /// Its base offset.
        base_offset: i64,
        /// What it claims.
        length: i32,
    },
    /// The checksum does not fit.
    #[error("the batch at offset {base_offset} is damaged: CRC {found:#010x}, not {expected:#010x}")]
    Checksum {
        /// Its base offset.
        base_offset: i64,
        /// What the header says.
        expected: u32,
        /// What it is.
        found: u32,
    },
    /// A compression that Kafka does not have.
    #[error("the batch at offset {base_offset} has compression {code}, which is unknown")]
    Compression {
        /// Its base offset.
        base_offset: i64,
        /// Its code.
        code: i16,
    },
    /// Records that can't be read.
    #[error("the records of the batch at offset {base_offset} can't be read: {reason}")]
    Records {
        /// Its base offset.
        base_offset: i64,
        /// Why.
        reason: String,
    },
    /// A batch that can't go on as it is; see [`BatchHeader::is_forwardable`].
    #[error("the batch at offset {base_offset} can't go on as it is")]
    NotForwardable {
        /// Its base offset.
        base_offset: i64,
    },
    /// Records that are larger than was allowed, decompressed.
    #[error("the records of the batch at offset {base_offset} are larger than {limit} bytes")]
    TooLarge {
        /// Its base offset.
        base_offset: i64,
        /// What was allowed.
        limit: usize,
    },
}

impl BatchHeader {
    /// Reads a header; `None` where the bytes do not have a whole one.
    pub fn read(mut bytes: &[u8]) -> Option<Self> {
        if bytes.len() < HEADER_LENGTH {
            return None;
        }
        Some(Self {
            base_offset: bytes.get_i64(),
            batch_length: bytes.get_i32(),
            partition_leader_epoch: bytes.get_i32(),
            magic: bytes.get_i8(),
            crc: bytes.get_u32(),
            attributes: bytes.get_i16(),
            last_offset_delta: bytes.get_i32(),
            base_timestamp: bytes.get_i64(),
            max_timestamp: bytes.get_i64(),
            producer_id: bytes.get_i64(),
            producer_epoch: bytes.get_i16(),
            base_sequence: bytes.get_i32(),
            record_count: bytes.get_i32(),
        })
    }

    /// How the records are compressed; `None` for what Kafka does not have.
    pub fn compression(&self) -> Option<Compression> {
        Compression::of(self.attributes as u8 & 7)
    }

    /// Whether the timestamps are the broker's (LogAppendTime): then all records have the largest one.
    pub fn is_log_append_time(&self) -> bool {
        self.attributes & 1 << 3 != 0
    }

    /// Whether it is part of a transaction.
    pub fn is_transactional(&self) -> bool {
        self.attributes & 1 << 4 != 0
    }

    /// Whether it is a control batch, whose records no consumer sees.
    pub fn is_control(&self) -> bool {
        self.attributes & 1 << 5 != 0
    }

    /// Whether compaction has put a time in the place of the base timestamp, after which its tombstones go.
    pub fn has_delete_horizon(&self) -> bool {
        self.attributes & 1 << 6 != 0
    }

    /// The offset of the last record that was in it when it was written.
    pub fn last_offset(&self) -> i64 {
        self.base_offset.saturating_add(self.last_offset_delta.into())
    }

    /// The offset after all of its own.
    pub fn next_offset(&self) -> i64 {
        self.last_offset().saturating_add(1)
    }
}

/// A batch: its header, and all its bytes, the header's too.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batch {
    /// Its header.
    pub header: BatchHeader,
    /// Its bytes, from the base offset to the last record: a slice of what it was read from.
    pub bytes: Bytes,
}

impl Batch {
    /// Whether the checksum fits: all that it covers is as it was written.
    pub fn check_crc(&self) -> Result<(), BatchError> {
        let found = match self.header.magic {
            2 => crc32c(self.bytes.get(CRC_FROM..).unwrap_or_default()),
            _ => old::checksum(&self.bytes),
        };
        let BatchHeader { base_offset, crc: expected, .. } = self.header;
        if found == expected { Ok(()) } else { Err(BatchError::Checksum { base_offset, expected, found }) }
    }

    /// What comes after the header: the records, compressed where the batch is.
    pub fn payload(&self) -> Bytes {
        self.bytes.slice(HEADER_LENGTH.min(self.bytes.len())..)
    }
}

/// The batches in some bytes: of a fetch, say. Ends at the first that is not whole, which is what a fetch
/// may end with, or after the first error.
#[derive(Debug, Clone)]
pub struct Batches {
    rest: Bytes,
    failed: bool,
}

impl Batches {
    /// Those in `bytes`.
    pub fn new(bytes: Bytes) -> Self {
        Self { rest: bytes, failed: false }
    }

    /// What has not been read: when the iterator has ended, the part of a batch that is not whole, if any.
    pub fn rest(&self) -> &Bytes {
        &self.rest
    }

    /// The length in bytes of the next batch, where so much of it is there that it can be told.
    pub fn next_length(&self) -> Option<usize> {
        let length = self.rest.get(8..PREFIX)?.try_into().map(i32::from_be_bytes).ok()?;
        usize::try_from(length).ok()?.checked_add(PREFIX)
    }
}

impl Iterator for Batches {
    type Item = Result<Batch, BatchError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed || self.rest.len() <= MAGIC_AT {
            return None;
        }
        let next = read_batch(&mut self.rest);
        self.failed = matches!(next, Some(Err(_)));
        next
    }
}

fn read_batch(rest: &mut Bytes) -> Option<Result<Batch, BatchError>> {
    let (mut offset, mut length) = (rest.get(..8)?, rest.get(8..PREFIX)?);
    let (base_offset, length, magic) = (offset.get_i64(), length.get_i32(), *rest.get(MAGIC_AT)? as i8);
    let whole = usize::try_from(length).ok().and_then(|length| length.checked_add(PREFIX));
    let least = if (0..2).contains(&magic) { MAGIC_AT } else { HEADER_LENGTH };
    let Some(whole) = whole.filter(|whole| (0..=2).contains(&magic) && *whole >= least) else {
        return Some(Err(BatchError::Length { base_offset, length }));
    };
    if rest.len() < whole {
        return None;
    }
    let bytes = rest.split_to(whole);
    let header = if magic == 2 { BatchHeader::read(&bytes) } else { old::header(&bytes) };
    Some(header.map(|header| Batch { header, bytes }).ok_or(BatchError::Length { base_offset, length }))
}

const _: () = assert!(CRC_AT + 4 == CRC_FROM && CRC_FROM < HEADER_LENGTH);
