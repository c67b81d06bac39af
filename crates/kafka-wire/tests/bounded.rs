//! How much memory bytes of a broker take, whatever they say of themselves. One test: it looks at what the
//! whole process takes.

use std::{fs, io::Write};

use bytes::{BufMut, Bytes, BytesMut};
use kafka_wire::records::{BatchError, Batches};

const MIB: usize = 1 << 20;
/// What the records may be, decompressed.
const LIMIT: usize = 4 * MIB;
/// What they are.
const BOMB: usize = 512 * MIB;

/// The most memory that the process has had, in bytes.
fn peak() -> usize {
    let status = fs::read_to_string("/proc/self/status").expect("Linux");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("it is there");
    line.trim().trim_end_matches(" kB").parse::<usize>().expect("a number") * 1024
}

fn batch(attributes: i16, payload: &[u8]) -> Bytes {
    let mut bytes = BytesMut::new();
    bytes.put_i64(0);
    bytes.put_i32(49 + payload.len() as i32);
    bytes.put_slice(&[0, 0, 0, 0, 2, 0, 0, 0, 0]);
    bytes.put_i16(attributes);
    bytes.put_bytes(0, 34);
    bytes.put_i32(i32::MAX);
    bytes.put_slice(payload);
    bytes.freeze()
}

/// Writes so many zeros without having them all at once.
fn zeros(mut to: impl Write) {
    let some = vec![0; MIB];
    (0..BOMB / MIB).for_each(|_| to.write_all(&some).expect("it is memory"));
}

#[test]
fn what_promises_much_takes_little() {
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    zeros(&mut gzip);
    let mut lz4 = lz4_flex::frame::FrameEncoder::new(Vec::new());
    zeros(&mut lz4);
    // With the largest window that there is by default: 128 MiB.
    let mut zstd = zstd::stream::write::Encoder::new(Vec::new(), 1).expect("an encoder");
    zstd.window_log(27).expect("the window");
    zeros(&mut zstd);
    // A length of 4 GiB and no more; a block that is a copy of 64 bytes over and over.
    let mut snappy = vec![0xff, 0xff, 0xff, 0xff, 0x0f, 0, 0];
    (0..BOMB / 64).take(MIB).for_each(|_| snappy.extend([0xfe, 1, 0]));
    let bombs = [
        (1, gzip.finish().expect("gzip")),
        (2, snappy),
        (3, lz4.finish().expect("LZ4")),
        (4, zstd.finish().expect("Zstandard")),
    ];
    let before = peak();
    for (codec, payload) in bombs {
        assert!(payload.len() < 8 * MIB, "{codec}: {}", payload.len());
        let batch = Batches::new(batch(codec, &payload)).next().expect("it is whole").expect("a batch");
        let refused = batch.records(LIMIT).expect_err("it is too large");
        assert!(matches!(refused, BatchError::TooLarge { limit: LIMIT, .. }), "{codec}: {refused}");
    }
    // 2^31 - 1 records in no bytes; a record with 2^28 headers; a key of 2^30 bytes; a batch of 2 GiB.
    assert_eq!(Batches::new(batch(0, &[])).next().unwrap().unwrap().records(LIMIT).unwrap().count(), 1);
    for payload in [&b"\x14\0\0\0\x01\x01\xff\xff\xff\xff\x01"[..], b"\x10\0\0\0\xfe\xff\xff\xff\x0f"] {
        let batch = Batches::new(batch(0, payload)).next().unwrap().unwrap();
        let records: Vec<_> = batch.records(LIMIT).unwrap().collect();
        assert!(matches!(&records[..], [Err(BatchError::Records { .. })]), "{records:?}");
    }
    let mut huge = batch(0, &[]).to_vec();
    huge[8..12].copy_from_slice(&i32::MAX.to_be_bytes());
    assert!(Batches::new(huge.into()).next().is_none());
    let grown = peak() - before;
    // Twice the limit while a buffer grows, and what the codecs need.
    assert!(grown < 6 * LIMIT, "{} MiB more", grown / MIB);
}
