//! Frames: a length of four bytes, and so many bytes.
//!
//! Small ones are cut out of what is read at a time. A large one (a fetch's) is read into a buffer of its own, which is
//! used again once nobody holds a slice of it: making and clearing memory costs more than what is done with it.

use std::{
    collections::VecDeque,
    io::{self, IoSlice},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
};

use bytes::{Buf, BufMut, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt};

use crate::lock;

/// What is asked of the system at a time, at least.
const READ: usize = 64 * 1024;
/// The same behind a large frame, of which there is likely another: its beginning has to be moved.
const PEEK: usize = 512;
/// How much is made room for ahead of what has arrived, at most. The system gives memory as it is written to.
const AHEAD: usize = 32 * 1024 * 1024;
/// A frame that is longer has a buffer of its own.
const LARGE: usize = 64 * 1024;
/// Buffers that are kept for the next large frames.
const KEPT: usize = 2;

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
    large: Option<Large>,
    was_large: bool,
    store: Arc<Store>,
}

/// A large frame that is arriving.
struct Large {
    bytes: Vec<u8>,
    length: usize,
}

/// Where the buffers of large frames come from, and go.
#[derive(Default)]
pub(crate) struct Store {
    kept: Mutex<Vec<Vec<u8>>>,
    held: AtomicUsize,
}

/// A large frame that has arrived.
struct Arrived {
    bytes: Vec<u8>,
    store: Arc<Store>,
}

/// A frame longer than what is taken.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct TooLong {
    pub length: u32,
}

impl Frames {
    /// With buffers from there.
    pub fn new(store: Arc<Store>) -> Self {
        Self { store, ..Self::default() }
    }

    /// The next whole frame, without its length, if it has arrived.
    pub fn next(&mut self, max: usize) -> Result<Option<Bytes>, TooLong> {
        if let Some(large) = &self.large {
            if large.missing() > 0 {
                return Ok(None);
            }
            let bytes = self.large.take().map(|large| large.bytes).unwrap_or_default();
            return Ok(Some(self.store.hand_out(bytes)));
        }
        let Some(length) = self.buffer.first_chunk::<4>().map(|bytes| u32::from_be_bytes(*bytes)) else {
            return Ok(None);
        };
        let frame = length as usize;
        if frame > max {
            return Err(TooLong { length });
        }
        self.was_large = frame > LARGE;
        if self.buffer.len() >= 4 + frame {
            self.buffer.advance(4);
            return Ok(Some(self.buffer.split_to(frame).freeze()));
        }
        if self.was_large {
            self.buffer.advance(4);
            let mut bytes = self.store.take(frame.min(AHEAD));
            bytes.extend_from_slice(&self.buffer);
            self.buffer.clear();
            self.large = Some(Large { bytes, length: frame });
        }
        Ok(None)
    }

    /// Whether a frame has begun to arrive.
    pub fn is_begun(&self) -> bool {
        self.large.is_some() || !self.buffer.is_empty()
    }

    /// Reads what has arrived, once; 0 is the end. May be cancelled without loss.
    pub async fn read(&mut self, from: &mut (impl AsyncRead + Unpin)) -> io::Result<usize> {
        if let Some(large) = &mut self.large {
            if large.bytes.capacity() == large.bytes.len() {
                // Double at most, so that it is copied a few times and not once a read.
                large.bytes.reserve(large.missing().min(AHEAD.max(large.bytes.len())));
            }
            let missing = large.missing();
            return from.read_buf(&mut (&mut large.bytes).limit(missing)).await;
        }
        if self.buffer.capacity() - self.buffer.len() < READ {
            self.buffer.reserve(READ);
        }
        let room = if self.was_large && self.buffer.is_empty() { PEEK } else { usize::MAX };
        from.read_buf(&mut (&mut self.buffer).limit(room)).await
    }
}

impl Large {
    fn missing(&self) -> usize {
        self.length - self.bytes.len()
    }
}

impl Store {
    /// Bytes of large frames of which somebody holds a slice.
    pub fn held(&self) -> usize {
        self.held.load(Relaxed)
    }

    fn take(&self, room: usize) -> Vec<u8> {
        let mut bytes = lock(&self.kept).pop().unwrap_or_default();
        bytes.reserve_exact(room);
        bytes
    }

    fn hand_out(self: &Arc<Self>, bytes: Vec<u8>) -> Bytes {
        self.held.fetch_add(bytes.capacity(), Relaxed);
        Bytes::from_owner(Arrived { bytes, store: self.clone() })
    }
}

impl AsRef<[u8]> for Arrived {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Arrived {
    fn drop(&mut self) {
        self.store.held.fetch_sub(self.bytes.capacity(), Relaxed);
        let mut bytes = std::mem::take(&mut self.bytes);
        let mut kept = lock(&self.store.kept);
        if kept.len() < KEPT && bytes.capacity() <= AHEAD {
            bytes.clear();
            kept.push(bytes);
        }
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
                prop_assert!(frames.buffer.capacity() <= 2 * READ);
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
        let room = frames.large.as_ref().unwrap().bytes.capacity();
        assert!(room <= AHEAD, "{room}");
    }

    #[test]
    fn large_frames_are_cut_wherever_the_reads_end_and_their_buffers_used_again() {
        let frame = |length: usize, fill: u8| {
            let mut frame = (length as u32).to_be_bytes().to_vec();
            frame.resize(4 + length, fill);
            frame
        };
        let expected = [(LARGE + 1, 1), (3, 2), (2 * LARGE, 3), (5 * LARGE, 4), (LARGE, 5), (1, 6)];
        let stream = expected.map(|(length, fill)| frame(length, fill)).concat();
        for part in [PEEK - 1, READ, LARGE + 7, stream.len()] {
            let (mut frames, mut found) = (Frames::default(), Vec::new());
            let mut rest = &stream[..];
            while !rest.is_empty() {
                let mut arriving = &rest[..part.min(rest.len())];
                let length = arriving.len();
                let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
                runtime.block_on(frames.read(&mut arriving)).unwrap();
                rest = &rest[length - arriving.len()..];
                while let Some(frame) = frames.next(1 << 30).unwrap() {
                    assert!(frame.iter().all(|byte| *byte == frame[0]));
                    found.push((frame.len(), frame[0]));
                    let held = frames.store.held();
                    assert!(held <= 6 * LARGE, "{held}");
                }
            }
            assert_eq!(found, expected, "in reads of {part}");
            assert_eq!(frames.store.held(), 0, "nobody holds a slice");
            let kept = lock(&frames.store.kept).len();
            assert_eq!(kept, 1, "one was enough for all");
        }
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
