//! What a piece carries: records, or a batch that nobody has opened.

use bytes::Bytes;

use crate::{Offset, RecordBatch};

/// What an unopened batch costs of the link's buffer beside its own bytes.
const BATCH_OVERHEAD: u64 = 256;

/// What a piece carries.
#[derive(Debug)]
pub enum Content {
    /// Records; none where only the position moves (nothing visible up to the piece's end).
    Records(RecordBatch),
    /// A record batch as it was fetched.
    Unopened(UnopenedBatch),
}

/// A record batch (message format 2) as the source's broker sent it, of which it is known that the target's will take
/// it under another header: all its offsets have a record, and none is to be left out.
#[derive(Debug, Clone)]
pub struct UnopenedBatch {
    /// The offset of its first record.
    pub first: Offset,
    /// Its records, whose offsets follow each other.
    pub count: u32,
    /// The largest of their timestamps, in milliseconds since the epoch.
    pub max_timestamp: i64,
    /// All of it, from the base offset to the last record.
    pub bytes: Bytes,
}

/// Batches of fewer bytes cost less when they are put together, though they have to be opened for it: a broker's work for
/// a batch, and ours, is the same whatever its size. (Measured by benches/, `--shapes small`.)
const SMALL: usize = 64 * 1024;
/// The same for those that have to be unpacked and packed again.
const SMALL_COMPRESSED: usize = 8 * 1024;

/// Whether a batch of so many bytes, compressed or not, had better be put together with its neighbours.
pub fn is_small(bytes: usize, compressed: bool) -> bool {
    bytes < if compressed { SMALL_COMPRESSED } else { SMALL }
}

impl UnopenedBatch {
    /// The offset behind its last record.
    pub fn next(&self) -> Offset {
        self.first + Offset::from(self.count)
    }
}

impl Content {
    /// How many records it holds.
    pub fn len(&self) -> usize {
        match self {
            Self::Records(batch) => batch.len(),
            Self::Unopened(batch) => batch.count as usize,
        }
    }

    /// Whether it holds none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The bytes that are mirrored: keys, values and headers, or a batch as it is.
    pub fn bytes(&self) -> u64 {
        match self {
            Self::Records(batch) => batch.bytes(),
            Self::Unopened(batch) => batch.bytes.len() as u64,
        }
    }

    /// What it costs of the link's buffer.
    pub fn cost(&self) -> u64 {
        match self {
            Self::Records(batch) => batch.cost(),
            Self::Unopened(batch) => batch.bytes.len() as u64 + BATCH_OVERHEAD,
        }
    }
}
