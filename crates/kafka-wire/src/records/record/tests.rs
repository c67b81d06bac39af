use kafka_protocol::{
    indexmap::IndexMap,
    protocol::StrBytes,
    records::{
        Compression as TheirCompression, Record as TheirRecord, RecordBatchEncoder, RecordEncodeOptions,
        TimestampType,
    },
};
use proptest::prelude::*;

use super::*;
use crate::records::{BatchHeader, Batches, Compression, HEADER_LENGTH};

const LIMIT: usize = 1 << 20;

fn their_record(offset: i64, key: Option<&[u8]>, value: Option<Vec<u8>>) -> TheirRecord {
    let mut headers = IndexMap::new();
    headers.insert(StrBytes::from_static_str("null"), None);
    headers.insert(StrBytes::from_static_str("some"), Some(Bytes::from_static(b"\0\xff")));
    TheirRecord {
        transactional: true,
        control: false,
        delete_horizon: false,
        partition_leader_epoch: 3,
        producer_id: 1 << 40,
        producer_epoch: 7,
        timestamp_type: TimestampType::Creation,
        offset,
        sequence: offset as i32 + 100,
        timestamp: 1_700_000_000_000 + offset,
        key: key.map(Bytes::copy_from_slice),
        value: value.map(Bytes::from),
        headers,
    }
}

fn records() -> Vec<TheirRecord> {
    vec![
        their_record(0, None, None),
        their_record(1, Some(b""), Some(Vec::new())),
        their_record(2, Some(b"key"), Some(vec![b'x'; 100_000])),
    ]
}

fn compress(compression: TheirCompression, bytes: &[u8]) -> Vec<u8> {
    use std::io::Write;
    match compression {
        TheirCompression::None => bytes.to_vec(),
        TheirCompression::Gzip => {
            let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            encoder.write_all(bytes).unwrap();
            encoder.finish().unwrap()
        }
        TheirCompression::Snappy => {
            let mut out = b"\x82SNAPPY\0\0\0\0\x01\0\0\0\x01".to_vec();
            for block in bytes.chunks(32 * 1024) {
                let block = snap::raw::Encoder::new().compress_vec(block).unwrap();
                out.extend((block.len() as u32).to_be_bytes());
                out.extend(block);
            }
            out
        }
        TheirCompression::Lz4 => {
            let mut encoder = lz4_flex::frame::FrameEncoder::new(Vec::new());
            encoder.write_all(bytes).unwrap();
            encoder.finish().unwrap()
        }
        TheirCompression::Zstd => zstd::encode_all(bytes, 1).unwrap(),
    }
}

fn encode(compression: TheirCompression) -> Bytes {
    let mut out = bytes::BytesMut::new();
    let options = RecordEncodeOptions { version: 2, compression };
    let compressor = |from: &mut bytes::BytesMut, to: &mut bytes::BytesMut, compression| {
        to.extend_from_slice(&compress(compression, from));
        Ok(())
    };
    RecordBatchEncoder::encode_with_custom_compression(&mut out, &records(), &options, Some(compressor))
        .unwrap();
    out.freeze()
}

const ALL: [(TheirCompression, Compression); 5] = [
    (TheirCompression::None, Compression::None),
    (TheirCompression::Gzip, Compression::Gzip),
    (TheirCompression::Snappy, Compression::Snappy),
    (TheirCompression::Lz4, Compression::Lz4),
    (TheirCompression::Zstd, Compression::Zstd),
];

#[test]
fn what_the_library_encodes_is_read_in_every_compression() {
    for (theirs, ours) in ALL {
        let mut batches = Batches::new(encode(theirs));
        let batch = batches.next().unwrap().unwrap();
        assert!(batches.next().is_none() && batches.rest().is_empty());
        batch.check_crc().unwrap();
        let header = batch.header;
        assert_eq!(header.compression(), Some(ours));
        assert_eq!((header.base_offset, header.last_offset(), header.next_offset()), (0, 2, 3));
        assert_eq!((header.producer_id, header.producer_epoch, header.base_sequence), (1 << 40, 7, 100));
        assert_eq!((header.record_count, header.partition_leader_epoch, header.magic), (3, 3, 2));
        assert_eq!((header.base_timestamp, header.max_timestamp), (1_700_000_000_000, 1_700_000_000_002));
        assert!(header.is_transactional() && !header.is_control() && !header.is_log_append_time());
        let read: Vec<Record> = batch.records(LIMIT).unwrap().collect::<Result<_, _>>().unwrap();
        for (read, written) in read.iter().zip(records()) {
            assert_eq!((read.offset, read.timestamp), (written.offset, written.timestamp));
            assert_eq!((&read.key, &read.value), (&written.key, &written.value));
            let headers: Vec<_> = read.headers.iter().map(|h| (h.key.clone(), h.value.clone())).collect();
            assert_eq!(
                headers,
                [("null".into(), None), ("some".into(), Some(Bytes::from_static(b"\0\xff")))]
            );
        }
        assert_eq!(read.len(), 3);
        let too_large = batch.records(50_000);
        assert!(matches!(too_large, Err(BatchError::TooLarge { limit: 50_000, .. })), "{ours:?}");
    }
}

#[test]
fn raw_snappy_is_read_too() {
    let text = Bytes::from(vec![b'a'; 10_000]);
    let raw = Bytes::from(snap::raw::Encoder::new().compress_vec(&text).unwrap());
    assert_eq!(decompress(Compression::Snappy, &raw, LIMIT).unwrap(), text);
}

#[test]
fn a_changed_byte_is_noticed() {
    let mut bytes = encode(TheirCompression::None).to_vec();
    bytes[HEADER_LENGTH + 5] ^= 1;
    let batch = Batches::new(bytes.into()).next().unwrap().unwrap();
    assert!(matches!(batch.check_crc(), Err(BatchError::Checksum { base_offset: 0, .. })));
}

#[test]
fn a_batch_that_is_cut_off_ends_it_and_is_left() {
    let whole = encode(TheirCompression::Zstd);
    let two = Bytes::from([&whole[..], &whole[..]].concat());
    for cut in whole.len()..two.len() {
        let mut batches = Batches::new(two.slice(..cut));
        assert!(batches.next().unwrap().is_ok());
        assert!(batches.next().is_none());
        assert_eq!(batches.rest().len(), cut - whole.len());
        let known = cut - whole.len() >= 12;
        assert_eq!(batches.next_length(), known.then_some(whole.len()));
    }
}

#[test]
fn unknown_formats_and_bad_lengths_are_errors_that_end_it() {
    for magic in [1, 3, 0xff] {
        let mut other = encode(TheirCompression::None).to_vec();
        other[16] = magic;
        let mut batches = Batches::new(other.into());
        assert!(matches!(batches.next(), Some(Err(BatchError::Length { base_offset: 0, .. }))));
        assert!(batches.next().is_none());
    }
    for length in [-1, 0, 48, i32::MIN] {
        let mut bad = encode(TheirCompression::None).to_vec();
        bad[8..12].copy_from_slice(&length.to_be_bytes());
        let mut batches = Batches::new(bad.into());
        assert_eq!(batches.next(), Some(Err(BatchError::Length { base_offset: 0, length })));
        assert!(batches.next().is_none());
    }
}

#[test]
fn control_records_say_what_they_are() {
    let record = |key: Option<&'static [u8]>| Record {
        offset: 0,
        timestamp: 0,
        key: key.map(Bytes::from_static),
        value: None,
        headers: Vec::new(),
    };
    assert_eq!(record(Some(&[0, 0, 0, 0])).control(), Some(Control::Abort));
    assert_eq!(record(Some(&[0, 0, 0, 1])).control(), Some(Control::Commit));
    assert_eq!(record(Some(&[0, 0, 0, 4])).control(), Some(Control::Other(4)));
    assert_eq!(record(Some(&[0, 0, 0])).control(), None);
    assert_eq!(record(None).control(), None);
}

fn read_everything(bytes: Bytes) {
    for batch in Batches::new(bytes).flatten() {
        let _ = batch.check_crc();
        if let Ok(records) = batch.records(1 << 16) {
            assert!(records.filter_map(Result::ok).count() <= 1 << 16);
        }
    }
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        read_everything(bytes.into());
    }

    #[test]
    fn no_damage_makes_it_panic(
        which in 0usize..5,
        damage in proptest::collection::vec((any::<proptest::sample::Index>(), any::<u8>()), 1..8),
        cut in any::<proptest::sample::Index>(),
    ) {
        let mut bytes = encode(ALL[which].0).to_vec();
        for (at, byte) in damage {
            let at = at.index(bytes.len());
            // The lengths stay right often enough that the rest is looked at.
            bytes[if at < 17 { HEADER_LENGTH + at } else { at }] = byte;
        }
        read_everything(bytes.clone().into());
        bytes.truncate(cut.index(bytes.len()));
        read_everything(bytes.into());
    }

    #[test]
    fn no_records_make_it_panic(
        payload in proptest::collection::vec(any::<u8>(), 0..200),
        attributes in any::<i16>(),
        count in any::<i32>(),
        base in any::<i64>(),
    ) {
        let mut bytes = base.to_be_bytes().to_vec();
        bytes.extend((49 + payload.len() as i32).to_be_bytes());
        bytes.extend([0, 0, 0, 0, 2, 0, 0, 0, 0]);
        bytes.extend(attributes.to_be_bytes());
        bytes.extend([0x7f; 34]);
        bytes.extend(count.to_be_bytes());
        bytes.extend(payload);
        prop_assert!(BatchHeader::read(&bytes).is_some());
        read_everything(bytes.into());
    }
}
