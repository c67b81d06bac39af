//! Kafka's codecs, for batches on their way out.

use std::io::Write;

use bytes::{BufMut, BytesMut};
use flate2::write::GzEncoder;
use lz4_flex::frame::FrameEncoder;

/// What Kafka's snappy blocks are framed with: xerial's snappy-java, version 1.
const XERIAL: &[u8; 16] = b"\x82SNAPPY\0\0\0\0\x01\0\0\0\x01";
/// snappy-java's own block size.
const SNAPPY_BLOCK: usize = 32 * 1024;

/// A codec of Kafka's message format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Codec {
    None,
    Gzip,
    Snappy,
    Lz4,
    Zstd,
}

/// A codec and how hard it tries; −1 (librdkafka's default) is the codec's own default.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Compression {
    pub(crate) codec: Codec,
    pub(crate) level: i32,
}

impl Codec {
    pub(crate) fn named(name: &str) -> Option<Self> {
        Some(match name {
            "none" => Self::None,
            "gzip" => Self::Gzip,
            "snappy" => Self::Snappy,
            "lz4" => Self::Lz4,
            "zstd" => Self::Zstd,
            _ => return None,
        })
    }

    /// The codec's bits in a batch's attributes.
    pub(crate) fn attribute(self) -> i16 {
        self as i16
    }
}

impl Compression {
    /// Appends `records`, compressed, to `out`.
    pub(crate) fn compress(self, records: &[u8], out: &mut BytesMut) {
        let level = u32::try_from(self.level).ok();
        let writer = out.writer();
        let done = match self.codec {
            Codec::None => return out.put_slice(records),
            Codec::Snappy => return snappy(records, out),
            Codec::Gzip => {
                let level =
                    level.map_or(flate2::Compression::default(), |l| flate2::Compression::new(l.min(9)));
                let mut encoder = GzEncoder::new(writer, level);
                encoder.write_all(records).and_then(|()| encoder.finish()).map(drop)
            }
            Codec::Lz4 => {
                let mut encoder = FrameEncoder::new(writer);
                encoder.write_all(records).and_then(|()| Ok(encoder.finish().map(drop)?))
            }
            Codec::Zstd => zstd::stream::copy_encode(records, writer, level.map_or(0, |level| level as i32)),
        };
        done.expect("writing to memory can't fail");
    }
}

fn snappy(records: &[u8], out: &mut BytesMut) {
    out.put_slice(XERIAL);
    for block in records.chunks(SNAPPY_BLOCK) {
        let packed =
            snap::raw::Encoder::new().compress_vec(block).expect("a block is far below snappy's limit");
        out.put_u32(packed.len() as u32);
        out.put_slice(&packed);
    }
}
