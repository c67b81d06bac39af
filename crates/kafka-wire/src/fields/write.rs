//! Fields in the making.

use bytes::{BufMut, BytesMut};

/// A message, or a part of one, in the making.
pub(crate) struct Writer {
    pub out: BytesMut,
    /// Whether the version is a flexible one: lengths are varints, and there are tagged fields.
    pub compact: bool,
}

impl Writer {
    pub fn new(compact: bool, capacity: usize) -> Self {
        Self { out: BytesMut::with_capacity(capacity), compact }
    }

    /// A length of an array or of bytes.
    pub fn count(&mut self, count: usize) {
        if self.compact {
            self.varint(count as u64 + 1);
        } else {
            // What would not fit makes a frame that is refused for its size.
            self.out.put_i32(i32::try_from(count).unwrap_or(i32::MAX));
        }
    }

    pub fn varint(&mut self, mut number: u64) {
        while number >= 0x80 {
            self.out.put_u8(number as u8 | 0x80);
            number >>= 7;
        }
        self.out.put_u8(number as u8);
    }

    pub fn text(&mut self, text: Option<&str>) -> Result<(), String> {
        let length =
            text.map_or(Ok(-1), |text| i16::try_from(text.len()).map_err(|_| "a name is too long"))?;
        if self.compact {
            self.varint((i64::from(length) + 1).unsigned_abs());
        } else {
            self.out.put_i16(length);
        }
        self.out.put_slice(text.unwrap_or_default().as_bytes());
        Ok(())
    }

    pub fn no_tags(&mut self) {
        if self.compact {
            self.out.put_u8(0);
        }
    }
}
