//! Frames: a length of four bytes, and so many bytes.

use std::{
    collections::VecDeque,
    io::{self, IoSlice},
};

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt};

/// What is asked of the system at a time, at least.
const READ: usize = 64 * 1024;
/// How much is made room for ahead of what has arrived, at most.
const AHEAD: usize = 4 * 1024 * 1024;

/// Bytes in several pieces, to be written in one go.
pub(crate) struct Chunks(pub VecDeque<Bytes>);

impl Buf for Chunks {
    fn remaining(&self) -> usize {
        self.0.iter().map(Bytes::len).sum()
    }

    fn chunk(&self) -> &[u8] {
        self.0.iter().find(|chunk| !chunk.is_empty()).map_or(&[], |chunk| chunk)
    }

    fn chunks_vectored<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        let chunks = self.0.iter().filter(|chunk| !chunk.is_empty());
        slices.iter_mut().zip(chunks).map(|(slice, chunk)| *slice = IoSlice::new(chunk)).count()
    }

    fn advance(&mut self, mut count: usize) {
        while let Some(first) = self.0.front_mut() {
            if count < first.len() {
                return first.advance(count);
            }
            count -= first.len();
            self.0.pop_front();
        }
        debug_assert_eq!(count, 0, "more was written than there is");
    }

    fn has_remaining(&self) -> bool {
        self.0.iter().any(|chunk| !chunk.is_empty())
    }
}

/// Cuts what arrives into frames. Memory grows with what has arrived, not with what a length promises.
#[derive(Default)]
pub(crate) struct Frames {
    buffer: BytesMut,
}

/// A frame longer than what is taken.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct TooLong {
    pub length: u32,
}

impl Frames {
    /// The next whole frame, without its length, if it has arrived.
    pub fn next(&mut self, max: usize) -> Result<Option<Bytes>, TooLong> {
        let Some(length) = self.buffer.first_chunk::<4>().map(|bytes| u32::from_be_bytes(*bytes)) else {
            return Ok(None);
        };
        if length as usize > max {
            return Err(TooLong { length });
        }
        if self.buffer.len() < 4 + length as usize {
            return Ok(None);
        }
        self.buffer.advance(4);
        Ok(Some(self.buffer.split_to(length as usize).freeze()))
    }

    /// Reads what has arrived, once; 0 is the end. May be cancelled without loss.
    pub async fn read(&mut self, from: &mut (impl AsyncRead + Unpin)) -> io::Result<usize> {
        let missing = match self.buffer.first_chunk::<4>() {
            Some(length) => (4 + u32::from_be_bytes(*length) as usize).saturating_sub(self.buffer.len()),
            None => 0,
        };
        // Double at most, so that a large frame is copied a few times and not once a read.
        let room = missing.min(AHEAD.max(self.buffer.len())).max(READ);
        if self.buffer.capacity() - self.buffer.len() < room.min(READ) || self.buffer.is_empty() {
            self.buffer.reserve(room);
        }
        from.read_buf(&mut self.buffer).await
    }
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;

    fn ready(frames: &mut Frames, mut bytes: &[u8]) -> usize {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(frames.read(&mut bytes)).unwrap()
    }

    #[test]
    fn frames_are_cut_wherever_the_reads_end() {
        let stream = [0, 0, 0, 2, 7, 8, 0, 0, 0, 0, 0, 0, 0, 1, 9];
        for cut in 0..stream.len() {
            let (mut frames, mut found) = (Frames::default(), Vec::new());
            for part in [&stream[..cut], &stream[cut..]] {
                ready(&mut frames, part);
                while let Some(frame) = frames.next(10).unwrap() {
                    found.push(frame.to_vec());
                }
            }
            assert_eq!(found, [vec![7, 8], vec![], vec![9]]);
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic_or_take_much(
            reads in vec(vec(prop_oneof![Just(0u8), any::<u8>()], 1..50), 1..20),
        ) {
            let mut frames = Frames::default();
            for read in reads {
                ready(&mut frames, &read);
                while let Ok(Some(frame)) = frames.next(100) {
                    prop_assert!(frame.len() <= 100);
                }
                prop_assert!(frames.buffer.capacity() <= 2 * AHEAD);
            }
        }
    }

    #[test]
    fn a_length_alone_takes_no_memory() {
        let mut frames = Frames::default();
        ready(&mut frames, &(1u32 << 30).to_be_bytes());
        assert_eq!(frames.next(1 << 20), Err(TooLong { length: 1 << 30 }));
        assert_eq!(frames.next(1 << 30), Ok(None));
        ready(&mut frames, &[0; 10]);
        assert!(frames.buffer.capacity() <= 2 * AHEAD, "{}", frames.buffer.capacity());
    }

    #[test]
    fn chunks_are_written_in_order_and_empty_ones_left_out() {
        let chunks = ["ab", "", "c", "def"].map(|text| Bytes::from_static(text.as_bytes()));
        let mut chunks = Chunks(chunks.into());
        let mut slices = [IoSlice::new(&[]); 4];
        assert_eq!(chunks.chunks_vectored(&mut slices), 3);
        let mut written = Vec::new();
        while chunks.has_remaining() {
            written.push(chunks.chunk()[0]);
            chunks.advance(1);
        }
        assert_eq!(written, b"abcdef");
        assert_eq!(chunks.remaining(), 0);
    }
}
