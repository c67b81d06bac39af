//! What stands between a broker's bytes and the library's decoders, which make room for as many elements as
//! an array's length promises before they look whether there are any.

use std::ops::Range;

use bytes::{Buf, Bytes, TryGetError};
use kafka_protocol::protocol::buf::{ByteBuf, NotEnoughBytesError};

/// Tags are varints too, and may be larger than what is left behind them.
const TAGS: u64 = 1000;

/// The bytes of an answer in a flexible version: a varint that promises more than there is (each element
/// takes a byte at the least) is an error, as if the bytes ended in it.
///
/// Varints are the only fields that the library reads by single bytes, but for booleans, which are small.
/// Lengths in versions that are not flexible look like any number; see [`old_array`].
pub(crate) struct Guarded {
    rest: Bytes,
    varint: u64,
    shift: u32,
}

impl Guarded {
    pub fn new(rest: Bytes) -> Self {
        Self { rest, varint: 0, shift: 0 }
    }
}

impl Buf for Guarded {
    fn remaining(&self) -> usize {
        self.rest.remaining()
    }

    fn chunk(&self) -> &[u8] {
        self.rest.chunk()
    }

    fn advance(&mut self, count: usize) {
        (self.varint, self.shift) = (0, 0);
        self.rest.advance(count);
    }

    fn try_get_u8(&mut self) -> Result<u8, TryGetError> {
        let byte = self.rest.try_get_u8()?;
        self.varint |= u64::from(byte & 0x7f).checked_shl(self.shift).unwrap_or(0);
        self.shift += 7;
        // The library takes what it has after five, whether it ends there or not.
        if byte < 0x80 || self.shift >= 35 {
            let promised = std::mem::take(&mut self.varint);
            self.shift = 0;
            if promised > self.rest.len() as u64 + TAGS {
                let requested = usize::try_from(promised).unwrap_or(usize::MAX);
                return Err(TryGetError { requested, available: self.rest.len() });
            }
        }
        Ok(byte)
    }
}

impl ByteBuf for Guarded {
    fn peek_bytes(&mut self, range: Range<usize>) -> Bytes {
        self.rest.peek_bytes(range)
    }

    fn get_bytes(&mut self, size: usize) -> Bytes {
        self.rest.get_bytes(size)
    }

    fn try_get_bytes(&mut self, size: usize) -> Result<Bytes, NotEnoughBytesError> {
        self.rest.try_get_bytes(size)
    }
}

/// Whether an array in the old form, whose length is at `at`, may be as long as it says it is.
pub(crate) fn old_array(bytes: &[u8], at: usize) -> bool {
    let length = bytes.get(at..).and_then(|bytes| bytes.first_chunk::<4>());
    length.is_none_or(|length| i64::from(i32::from_be_bytes(*length)) <= (bytes.len() - at - 4) as i64)
}

#[cfg(test)]
mod tests {
    use kafka_protocol::{
        messages::{MetadataResponse, metadata_response::MetadataResponseTopic},
        protocol::{Decodable, Encodable},
    };

    use super::*;

    #[test]
    fn a_promise_of_more_than_there_is_takes_no_memory() {
        // Throttle time, then 2^32 - 1 brokers: with 100 bytes each, no machine has that. Whether it ends or not.
        for last in [0x0f, 0xff] {
            let bytes = Bytes::copy_from_slice(&[0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, last, 0, 0, 0]);
            assert!(MetadataResponse::decode(&mut Guarded::new(bytes), 9).is_err());
        }
    }

    #[test]
    fn what_is_whole_is_read_as_ever() {
        let topics = vec![MetadataResponseTopic::default(); 300];
        let mut bytes = bytes::BytesMut::new();
        let answer = MetadataResponse::default().with_topics(topics);
        answer.encode(&mut bytes, 12).unwrap();
        let read = MetadataResponse::decode(&mut Guarded::new(bytes.freeze()), 12).unwrap();
        assert_eq!(read, answer);
    }

    #[test]
    fn an_old_array_is_no_longer_than_what_follows_it() {
        assert!(old_array(&[9, 0, 0, 0, 2, 1, 1], 1));
        assert!(!old_array(&[9, 0, 0, 0, 3, 1, 1], 1));
        assert!(!old_array(&[0x7f, 0xff, 0xff, 0xff], 0));
        assert!(old_array(&[0xff, 0xff, 0xff, 0xff], 0) && old_array(&[0, 0], 0));
    }
}
