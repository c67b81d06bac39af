//! The records in a batch.

use bytes::{Buf, Bytes};

use super::{
    Batch, BatchError,
    codec::{Failure, decompress},
    old,
};

/// A header of a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// Its name. Kafka wants UTF-8 here, and does not look.
    pub key: Bytes,
    /// Its value.
    pub value: Option<Bytes>,
}

/// A record. Its bytes are slices of the whole (decompressed) batch, and keep it in memory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Its offset.
    pub offset: i64,
    /// Its timestamp, in ms since 1970, as a consumer sees it.
    pub timestamp: i64,
    /// Its key.
    pub key: Option<Bytes>,
    /// Its value.
    pub value: Option<Bytes>,
    /// Its headers, in their order, as many of a name as there are.
    pub headers: Vec<Header>,
}

/// What a control record says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Control {
    /// The producer's transaction was aborted.
    Abort,
    /// The producer's transaction was committed.
    Commit,
    /// Something else, of this type.
    Other(i16),
}

impl Record {
    /// What a record of a control batch says, if it says anything.
    pub fn control(&self) -> Option<Control> {
        let mut key = self.key.as_deref()?;
        let (_version, kind) = (key.try_get_i16().ok()?, key.try_get_i16().ok()?);
        Some(match kind {
            0 => Control::Abort,
            1 => Control::Commit,
            other => Control::Other(other),
        })
    }
}

impl Batch {
    /// The batch's records, decompressed to no more than `limit` bytes. The checksum is not looked at.
    pub fn records(&self, limit: usize) -> Result<Records, BatchError> {
        if self.header.magic < 2 {
            return Ok(Records { old: old::records(self, limit)?.into_iter(), ..Records::default() });
        }
        let bytes = self.unpacked(&self.payload(), limit)?;
        Ok(Records {
            base_offset: self.header.base_offset,
            base_timestamp: self.header.base_timestamp,
            log_append_time: self.header.is_log_append_time().then_some(self.header.max_timestamp),
            left: self.header.record_count,
            rest: bytes,
            old: Vec::new().into_iter(),
        })
    }

    /// What is packed as its header says, decompressed to no more than `limit` bytes.
    pub(super) fn unpacked(&self, packed: &Bytes, limit: usize) -> Result<Bytes, BatchError> {
        let base_offset = self.header.base_offset;
        let code = self.header.attributes & 7;
        let compression = self.header.compression().ok_or(BatchError::Compression { base_offset, code })?;
        decompress(compression, packed, limit).map_err(|failure| match failure {
            Failure::TooLarge => BatchError::TooLarge { base_offset, limit },
            Failure::Bad(reason) => BatchError::Records { base_offset, reason },
        })
    }
}

/// The records of a batch, in their order. Ends after the first error.
#[derive(Debug, Clone, Default)]
pub struct Records {
    base_offset: i64,
    base_timestamp: i64,
    log_append_time: Option<i64>,
    left: i32,
    rest: Bytes,
    /// Those of a message of the formats before.
    old: std::vec::IntoIter<Record>,
}

impl Iterator for Records {
    type Item = Result<Record, BatchError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.left <= 0 {
            let reason = match self.left {
                0 if self.rest.is_empty() => return self.old.next().map(Ok),
                0 => "there are bytes after the last",
                _ => "their count is negative",
            };
            (self.left, self.rest) = (0, Bytes::new());
            return Some(Err(self.error(reason)));
        }
        self.left -= 1;
        let record = self.read();
        if record.is_none() {
            (self.left, self.rest) = (0, Bytes::new());
        }
        Some(record.ok_or_else(|| self.error("one of them is not whole")))
    }
}

impl Records {
    fn error(&self, reason: &str) -> BatchError {
        BatchError::Records { base_offset: self.base_offset, reason: reason.to_owned() }
    }

    fn read(&mut self) -> Option<Record> {
        let length =
            usize::try_from(varint(&mut self.rest)?).ok().filter(|length| *length <= self.rest.len())?;
        let mut bytes = self.rest.split_to(length);
        let _attributes = bytes.try_get_i8().ok()?;
        let timestamp = self.base_timestamp.checked_add(varlong(&mut bytes)?)?;
        let offset = self.base_offset.checked_add(varint(&mut bytes)?.into())?;
        let key = nullable(&mut bytes)?;
        let value = nullable(&mut bytes)?;
        let count = usize::try_from(varint(&mut bytes)?).ok()?;
        // Each takes two bytes at least: no room is made for more than there can be.
        if count > bytes.len() / 2 {
            return None;
        }
        let mut headers = Vec::with_capacity(count);
        for _ in 0..count {
            let key = nullable(&mut bytes)??;
            headers.push(Header { key, value: nullable(&mut bytes)? });
        }
        let timestamp = self.log_append_time.unwrap_or(timestamp);
        bytes.is_empty().then_some(Record { offset, timestamp, key, value, headers })
    }
}

/// A length, and so many bytes; -1 is null.
fn nullable(bytes: &mut Bytes) -> Option<Option<Bytes>> {
    let length = varint(bytes)?;
    so_many(bytes, length)
}

/// So many bytes; -1 is null.
pub(super) fn so_many(bytes: &mut Bytes, length: i32) -> Option<Option<Bytes>> {
    match length {
        -1 => Some(None),
        length => {
            let length = usize::try_from(length).ok().filter(|length| *length <= bytes.len())?;
            Some(Some(bytes.split_to(length)))
        }
    }
}

fn varint(bytes: &mut Bytes) -> Option<i32> {
    i32::try_from(varlong(bytes)?).ok()
}

/// A zigzag number in groups of seven bits, the lowest first.
fn varlong(bytes: &mut Bytes) -> Option<i64> {
    let mut number = 0u64;
    for shift in (0..64).step_by(7) {
        let byte = bytes.try_get_u8().ok()?;
        number |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Some((number >> 1) as i64 ^ -((number & 1) as i64));
        }
    }
    None
}

#[cfg(test)]
mod tests;
