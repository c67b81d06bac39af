//! Fields as a broker sent them. No room is made for more than has arrived, whatever a length promises.

use bytes::{Buf, Bytes, TryGetError};

/// What is wrong with a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Bad(pub &'static str);

impl From<TryGetError> for Bad {
    fn from(_: TryGetError) -> Self {
        Self("it is cut off")
    }
}

/// A message, or what is left of it.
pub(crate) struct Fields {
    rest: Bytes,
    /// Whether the version is a flexible one: lengths are varints, and there are tagged fields.
    compact: bool,
}

impl Fields {
    pub fn new(rest: Bytes, compact: bool) -> Self {
        Self { rest, compact }
    }

    pub fn i16(&mut self) -> Result<i16, Bad> {
        Ok(self.rest.try_get_i16()?)
    }

    pub fn i32(&mut self) -> Result<i32, Bad> {
        Ok(self.rest.try_get_i32()?)
    }

    pub fn i64(&mut self) -> Result<i64, Bad> {
        Ok(self.rest.try_get_i64()?)
    }

    pub fn uuid(&mut self) -> Result<[u8; 16], Bad> {
        Ok(self.rest.try_get_u128()?.to_be_bytes())
    }

    /// How many elements an array has, each of which takes `least` bytes at the least; none where it is null.
    pub fn count(&mut self, least: usize) -> Result<usize, Bad> {
        let count = if self.compact { self.length()? } else { self.long_length()? }.unwrap_or(0);
        if count > self.rest.len() / least {
            return Err(Bad("it promises more elements than there is room for"));
        }
        Ok(count)
    }

    /// A slice, not a copy.
    pub fn bytes(&mut self) -> Result<Option<Bytes>, Bad> {
        let length = if self.compact { self.length()? } else { self.long_length()? };
        length.map(|length| self.take(length)).transpose()
    }

    /// The same, of what should be UTF-8.
    pub fn text(&mut self) -> Result<Option<Bytes>, Bad> {
        let length = if self.compact {
            self.length()?
        } else {
            match self.rest.try_get_i16()? {
                -1 => None,
                length => Some(usize::try_from(length).map_err(|_| Bad("a length is negative"))?),
            }
        };
        length.map(|length| self.take(length)).transpose()
    }

    /// Calls `each` for each tagged field, with its number and what is in it.
    pub fn tags(&mut self, mut each: impl FnMut(u32, Self) -> Result<(), Bad>) -> Result<(), Bad> {
        if !self.compact {
            return Ok(());
        }
        for _ in 0..self.varint()? {
            let tag = self.varint()?;
            let length = self.varint()? as usize;
            each(tag, Self::new(self.take(length)?, true))?;
        }
        Ok(())
    }

    pub fn no_tags(&mut self) -> Result<(), Bad> {
        self.tags(|_, _| Ok(()))
    }

    fn take(&mut self, length: usize) -> Result<Bytes, Bad> {
        if length > self.rest.len() {
            return Err(Bad("it promises more bytes than there are"));
        }
        Ok(self.rest.split_to(length))
    }

    fn length(&mut self) -> Result<Option<usize>, Bad> {
        Ok((self.varint()? as usize).checked_sub(1))
    }

    fn long_length(&mut self) -> Result<Option<usize>, Bad> {
        match self.rest.try_get_i32()? {
            -1 => Ok(None),
            length => Ok(Some(usize::try_from(length).map_err(|_| Bad("a length is negative"))?)),
        }
    }

    fn varint(&mut self) -> Result<u32, Bad> {
        let mut number = 0u32;
        for shift in (0..35).step_by(7) {
            let byte = self.rest.try_get_u8()?;
            number |= u32::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(number);
            }
        }
        Err(Bad("a varint does not end"))
    }
}
