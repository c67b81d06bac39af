use std::{hint::black_box, time::Instant};

use proptest::{collection::vec, prelude::*, sample::select};

use super::*;
use crate::{
    ProducerIdentity,
    records::{BatchBuilder, Batches, Compression},
};

const OLD: Stamp = Stamp { producer: ProducerIdentity { id: 1 << 40, epoch: 7 }, sequence: 100 };
const NEW: Stamp = Stamp { producer: ProducerIdentity { id: 77, epoch: 3 }, sequence: i32::MAX - 3 };

const ALL: [Compression; 5] =
    [Compression::None, Compression::Gzip, Compression::Snappy, Compression::Lz4, Compression::Zstd];

fn built(values: &[Vec<u8>], stamp: Stamp, compression: Compression, in_transaction: bool) -> Bytes {
    let mut builder = BatchBuilder::new(0);
    if in_transaction {
        builder = builder.in_transaction();
    }
    for (n, value) in values.iter().enumerate() {
        builder.push(1_700_000_000_000 + n as i64, None, Some(value), [].into_iter());
    }
    builder.finish(stamp, compression, None)
}

/// As it comes back from a log: the base offset and the leader's epoch are filled in.
fn logged(batch: &Bytes) -> Batch {
    let mut bytes = batch.to_vec();
    bytes[..8].copy_from_slice(&1234i64.to_be_bytes());
    bytes[12..16].copy_from_slice(&5i32.to_be_bytes());
    Batches::new(bytes.into()).next().unwrap().unwrap()
}

fn with_attributes(batch: &Batch, attributes: i16) -> Batch {
    let mut bytes = batch.bytes.to_vec();
    bytes[CRC_FROM..CRC_FROM + 2].copy_from_slice(&attributes.to_be_bytes());
    checked(bytes)
}

/// With a checksum that fits.
fn checked(mut bytes: Vec<u8>) -> Batch {
    let checksum = crc32c(&bytes[CRC_FROM..]);
    bytes[CRC_AT..CRC_FROM].copy_from_slice(&checksum.to_be_bytes());
    Batches::new(bytes.into()).next().unwrap().unwrap()
}

proptest! {
    #[test]
    fn it_is_what_the_builder_would_have_made(
        values in vec(vec(any::<u8>(), 0..2000), 1..30),
        compression in select(ALL.to_vec()),
        was in any::<bool>(),
        becomes in any::<bool>(),
    ) {
        let old = logged(&built(&values, OLD, compression, was));
        let Restamped { header, payload } = old.restamp(NEW, becomes).unwrap();
        prop_assert_eq!(payload.as_ptr(), old.payload().as_ptr(), "not a copy");
        let expected = built(&values, NEW, compression, becomes);
        prop_assert_eq!([&header[..], &payload[..]].concat(), expected.to_vec());
    }

    #[test]
    fn a_flipped_bit_is_found(size in select(vec![10usize, 20_000]), bit in any::<prop::sample::Index>()) {
        let old = logged(&built(&[vec![7; size]], OLD, Compression::None, false));
        let mut bytes = old.bytes.to_vec();
        // What comes before the checksum is the broker's, and the format.
        let bit = CRC_AT * 8 + bit.index((bytes.len() - CRC_AT) * 8);
        bytes[bit / 8] ^= 1 << (bit % 8);
        let damaged = Batches::new(bytes.into()).next().unwrap().unwrap();
        let refused = damaged.restamp(NEW, false);
        prop_assert!(matches!(refused, Err(BatchError::Checksum { base_offset: 1234, .. })), "{:?}", refused);
    }

    #[test]
    fn no_header_makes_it_panic(header in vec(any::<u8>(), 44), payload in vec(any::<u8>(), 0..50)) {
        let mut bytes = vec![0; CRC_AT];
        bytes[8..12].copy_from_slice(&((HEADER_LENGTH - 12 + payload.len()) as i32).to_be_bytes());
        bytes[16] = 2;
        bytes.extend(header);
        bytes.extend(payload);
        let batch = checked(bytes);
        prop_assert_eq!(batch.restamp(NEW, false).is_ok(), batch.header.is_forwardable());
    }
}

#[test]
fn what_a_broker_would_refuse_or_show_otherwise_is_refused() {
    let good = logged(&built(&[b"a".to_vec(), b"b".to_vec()], OLD, Compression::Lz4, false));
    assert!(with_attributes(&good, 3).restamp(NEW, false).is_ok());
    for attributes in [3 | 1 << 3, 3 | 1 << 5, 3 | 1 << 6, 5, 7] {
        let refused = with_attributes(&good, attributes).restamp(NEW, false);
        assert_eq!(refused, Err(BatchError::NotForwardable { base_offset: 1234 }), "{attributes:#b}");
    }
    // Compaction has taken one; or all.
    for count in [1i32, 0, -1, 3, i32::MIN] {
        let mut bytes = good.bytes.to_vec();
        bytes[57..61].copy_from_slice(&count.to_be_bytes());
        let refused = checked(bytes).restamp(NEW, false);
        assert_eq!(refused, Err(BatchError::NotForwardable { base_offset: 1234 }), "{count} records");
    }
}

#[test]
#[ignore = "measures; run with --release"]
fn what_a_checksum_costs() {
    let time = |doing: &mut dyn FnMut() -> u32| {
        let rounds = 20_000u32;
        let mut best = f64::MAX;
        for _ in 0..5 {
            let start = Instant::now();
            for _ in 0..rounds {
                black_box(doing());
            }
            best = best.min(start.elapsed().as_secs_f64() / f64::from(rounds) * 1e9);
        }
        best
    };
    for size in [512, 1024, 2048, 4096, 8192, 16_384, 32_768, 65_536, 262_144, 1_000_001] {
        let bytes = vec![7; size];
        let crc = time(&mut || crc32c(black_box(&bytes)));
        let shift = time(&mut || crc::shifted(black_box(0x1234_5678), black_box(size)));
        let combine = time(&mut || crc32c::crc32c_combine(black_box(1), black_box(2), black_box(size)));
        let batch = logged(&built(std::slice::from_ref(&bytes), OLD, Compression::None, false));
        let all = time(&mut || batch.restamp(black_box(NEW), false).unwrap().header[20].into());
        println!(
            "{size:>8} B: crc {crc:.0} ns, shift {shift:.0}, crc32c_combine {combine:.0}; restamp {all:.0}"
        );
    }
}
