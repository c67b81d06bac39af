//! The codecs: compression, and decompression of no more than so many bytes.

use std::io::{self, Read, Write};

use bytes::{BufMut, Bytes, BytesMut};

use super::Compression;

/// What the Java library puts before its Snappy blocks, and how long that is with its two versions.
const XERIAL: &[u8; 8] = b"\x82SNAPPY\0";
const XERIAL_HEADER: usize = 16;
/// Snappy's best is a copy of 64 bytes in three.
const SNAPPY_BEST: usize = 32;

/// The header of the Java library's version 1, and the size of its blocks.
const XERIAL_1: &[u8; XERIAL_HEADER] = b"\x82SNAPPY\0\0\0\0\x01\0\0\0\x01";
const XERIAL_BLOCK: usize = 32 * 1024;

/// Appends `bytes`, compressed, to `out`. Without a level, the codec's own.
pub(super) fn compress(compression: Compression, level: Option<i32>, bytes: &[u8], out: &mut BytesMut) {
    let writer = (&mut *out).writer();
    let done = match compression {
        Compression::None => return out.put_slice(bytes),
        Compression::Snappy => return compress_snappy(bytes, out),
        Compression::Gzip => {
            let level = level
                .map_or(flate2::Compression::default(), |l| flate2::Compression::new(l.clamp(0, 9) as u32));
            let mut encoder = flate2::write::GzEncoder::new(writer, level);
            encoder.write_all(bytes).and_then(|()| encoder.finish().map(drop))
        }
        Compression::Lz4 => {
            let mut encoder = lz4_flex::frame::FrameEncoder::new(writer);
            encoder.write_all(bytes).and_then(|()| Ok(encoder.finish().map(drop)?))
        }
        Compression::Zstd => zstd::stream::copy_encode(bytes, writer, level.unwrap_or(0)),
    };
    done.expect("writing to memory can't fail");
}

fn compress_snappy(bytes: &[u8], out: &mut BytesMut) {
    out.put_slice(XERIAL_1);
    for block in bytes.chunks(XERIAL_BLOCK) {
        let packed =
            snap::raw::Encoder::new().compress_vec(block).expect("a block is far below Snappy's limit");
        out.put_u32(packed.len() as u32);
        out.put_slice(&packed);
    }
}

/// Why bytes can't be decompressed.
#[derive(Debug)]
pub(super) enum Failure {
    TooLarge,
    Bad(String),
}

/// Decompresses all of `bytes`; those that are not compressed are shared and not copied.
pub(super) fn decompress(compression: Compression, bytes: &Bytes, limit: usize) -> Result<Bytes, Failure> {
    let input = &bytes[..];
    match compression {
        Compression::None if bytes.len() > limit => Err(Failure::TooLarge),
        Compression::None => Ok(bytes.clone()),
        Compression::Gzip => read_all(flate2::read::MultiGzDecoder::new(input), limit),
        Compression::Lz4 => read_all(lz4_flex::frame::FrameDecoder::new(input), limit),
        Compression::Zstd => {
            let decoder = zstd::stream::read::Decoder::with_buffer(input);
            read_all(decoder.map_err(|error| Failure::Bad(error.to_string()))?, limit)
        }
        Compression::Snappy => snappy(input, limit),
    }
}

fn read_all(from: impl Read, limit: usize) -> Result<Bytes, Failure> {
    let mut out = Vec::new();
    let more = u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1);
    from.take(more).read_to_end(&mut out).map_err(|error: io::Error| Failure::Bad(error.to_string()))?;
    if out.len() > limit { Err(Failure::TooLarge) } else { Ok(out.into()) }
}

fn snappy(input: &[u8], limit: usize) -> Result<Bytes, Failure> {
    let mut out = Vec::new();
    if !input.starts_with(XERIAL) {
        snappy_block(input, limit, &mut out)?;
        return Ok(out.into());
    }
    let mut rest =
        input.get(XERIAL_HEADER..).ok_or_else(|| Failure::Bad("a cut off Snappy header".to_owned()))?;
    while !rest.is_empty() {
        let cut = || Failure::Bad("a cut off Snappy block".to_owned());
        let (length, blocks) = rest.split_first_chunk::<4>().ok_or_else(cut)?;
        let length = u32::from_be_bytes(*length) as usize;
        let (block, next) = blocks.split_at_checked(length).ok_or_else(cut)?;
        snappy_block(block, limit, &mut out)?;
        rest = next;
    }
    Ok(out.into())
}

fn snappy_block(block: &[u8], limit: usize, out: &mut Vec<u8>) -> Result<(), Failure> {
    let bad = |error: snap::Error| Failure::Bad(error.to_string());
    let length = snap::raw::decompress_len(block).map_err(bad)?;
    let before = out.len();
    if length > limit.saturating_sub(before) {
        return Err(Failure::TooLarge);
    }
    // Before there is room made for what a few bytes promise.
    if length > block.len().saturating_mul(SNAPPY_BEST) {
        return Err(Failure::Bad("a Snappy block promises more than it can hold".to_owned()));
    }
    out.resize(before + length, 0);
    let written = snap::raw::Decoder::new().decompress(block, &mut out[before..]).map_err(bad)?;
    out.truncate(before + written);
    Ok(())
}
