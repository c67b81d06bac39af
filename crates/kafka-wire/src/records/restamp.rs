//! Batches that go on as they are, under another producer's name: the header is made anew, the records are
//! neither opened nor copied.

use bytes::{BufMut, Bytes, BytesMut};
use crc32c::{crc32c, crc32c_append};

use super::{
    Batch, BatchError, BatchHeader, HEADER_LENGTH, Stamp,
    batch::{CRC_AT, CRC_FROM},
    crc,
};

/// The attributes that are kept: the compression.
const KEPT: i16 = 7;
const TRANSACTIONAL: i16 = 1 << 4;

/// A batch for [`ProduceBatch::records`](crate::ProduceBatch::records), in two pieces.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Restamped {
    /// Its header, of [`HEADER_LENGTH`] bytes.
    pub header: Bytes,
    /// Its records, compressed where they were: a slice of the batch it was made from.
    pub payload: Bytes,
}

impl BatchHeader {
    /// Whether a broker takes such a batch as it is, and consumers see in it what they saw before. Not so:
    /// one with holes (from compaction) or without records, a control batch, one whose base timestamp is a
    /// delete horizon, and one with LogAppendTime, whose records' own timestamps are others.
    pub fn is_forwardable(&self) -> bool {
        self.magic == 2
            && self.compression().is_some()
            && !(self.is_control() || self.has_delete_horizon() || self.is_log_append_time())
            && self.record_count > 0
            && self.last_offset_delta == self.record_count - 1
    }
}

impl Batch {
    /// The same records under another stamp, as part of a transaction or not: base offset 0, no leader
    /// epoch, the compression and the timestamps kept. Its checksum is looked at, too, in the same pass over
    /// the bytes.
    ///
    /// # Errors
    /// [`BatchError::Checksum`], and [`BatchError::NotForwardable`] where
    /// [`is_forwardable`](BatchHeader::is_forwardable) says no: its records have to be read.
    pub fn restamp(&self, stamp: Stamp, in_transaction: bool) -> Result<Restamped, BatchError> {
        let old = &self.header;
        let base_offset = old.base_offset;
        let payload = self.payload();
        let found = crc32c(self.bytes.get(CRC_FROM..).unwrap_or_default());
        if found != old.crc {
            return Err(BatchError::Checksum { base_offset, expected: old.crc, found });
        }
        if !old.is_forwardable() {
            return Err(BatchError::NotForwardable { base_offset });
        }
        let attributes = old.attributes & KEPT | if in_transaction { TRANSACTIONAL } else { 0 };
        let mut header = BytesMut::with_capacity(HEADER_LENGTH);
        header.put_i64(0);
        header.put_i32(old.batch_length);
        header.put_i32(-1);
        header.put_i8(old.magic);
        header.put_u32(0);
        header.put_i16(attributes);
        header.put_i32(old.last_offset_delta);
        header.put_i64(old.base_timestamp);
        header.put_i64(old.max_timestamp);
        header.put_i64(stamp.producer.id);
        header.put_i16(stamp.producer.epoch);
        header.put_i32(stamp.sequence);
        header.put_i32(old.record_count);
        let of_header = crc32c(&header[CRC_FROM..]);
        let checksum = if payload.len() < crc::SHIFT_FROM {
            crc32c_append(of_header, &payload)
        } else {
            // It is linear: what the payload adds is in the old one already.
            found ^ crc::shifted(of_header ^ crc32c(&self.bytes[CRC_FROM..HEADER_LENGTH]), payload.len())
        };
        header[CRC_AT..CRC_FROM].copy_from_slice(&checksum.to_be_bytes());
        Ok(Restamped { header: header.freeze(), payload })
    }
}

#[cfg(test)]
mod tests;
