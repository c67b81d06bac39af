use kafka_wire::{
    ProducerIdentity,
    records::{BatchBuilder, Compression, Stamp},
};
use proptest::{collection::vec, prelude::*};

use super::*;

const TRANSACTIONAL: i16 = 1 << 4;
const CONTROL: i16 = 1 << 5;

/// A batch as it lies in a log: records at these distances from its base offset.
fn batch(base: Offset, producer: i64, length: i32, kept: &[i32], size: usize, attributes: i16) -> Vec<u8> {
    let stamp = Stamp { producer: ProducerIdentity { id: producer, epoch: 0 }, sequence: 0 };
    let key = [0, 0, 0, u8::from(attributes & CONTROL == 0 || producer % 2 == 0)];
    let mut builder = BatchBuilder::new(0);
    let value = vec![b'x'; size];
    (0..length).for_each(|_| builder.push(7, Some(&key), Some(&value), [].into_iter()));
    let mut bytes = builder.finish(stamp, Compression::None, None).to_vec();
    if kept.len() < length as usize {
        // As the cleaner leaves it: the length stays in the header, the records that are left keep their places.
        let whole = Batches::new(bytes.clone().into()).next().unwrap().unwrap();
        let payload = whole.payload();
        let each = payload.len() / length as usize;
        assert!(length < 64 && payload.len() == each * length as usize, "all are as long");
        bytes.truncate(61);
        for place in kept {
            bytes.extend_from_slice(&payload[each * *place as usize..each * (*place as usize + 1)]);
        }
        let count = kept.len() as i32;
        bytes[57..61].copy_from_slice(&count.to_be_bytes());
        let rest = (bytes.len() - 12) as i32;
        bytes[8..12].copy_from_slice(&rest.to_be_bytes());
    }
    bytes[..8].copy_from_slice(&base.to_be_bytes());
    let old = i16::from_be_bytes([bytes[21], bytes[22]]);
    bytes[21..23].copy_from_slice(&(old | attributes).to_be_bytes());
    let checksum = crc32c::crc32c(&bytes[21..]);
    bytes[17..21].copy_from_slice(&checksum.to_be_bytes());
    bytes
}

/// The offsets that are handed on, once they are seen to follow each other without a hole between pieces.
fn handed(cut: &Cut, from: Offset) -> (Vec<Offset>, Offset) {
    let (mut offsets, mut next) = (Vec::new(), from);
    for piece in &cut.pieces {
        let before = offsets.len();
        match &piece.content {
            Content::Records(records) => offsets.extend(records.iter().map(|record| record.offset())),
            Content::Unopened(batch) => offsets.extend(batch.first..batch.next()),
        }
        assert!(offsets[before..].iter().all(|offset| (next..piece.next).contains(offset)), "{cut:?}");
        next = piece.next;
    }
    assert!(offsets.is_sorted_by(|one, next| one < next), "{offsets:?}");
    (offsets, next)
}

/// One batch of a made-up log.
#[derive(Debug, Clone)]
struct Made {
    hole: Offset,
    producer: i64,
    length: i32,
    kept: u32,
    size: usize,
    ends: bool,
}

fn made() -> impl Strategy<Value = Made> {
    let hole = prop_oneof![4 => Just(0i64), 1 => 1..5i64];
    let kept = prop_oneof![3 => Just(u32::MAX), 2 => any::<u32>(), 1 => Just(0)];
    let size = prop_oneof![4 => 0..20usize, 1 => 1000..3000usize];
    (hole, 0..4i64, 1..20i32, kept, size, any::<bool>()).prop_map(
        |(hole, producer, length, kept, size, ends)| Made { hole, producer, length, kept, size, ends },
    )
}

proptest! {
    /// Whatever the log is made of, every record that a consumer sees from an offset on is handed on once, in order, and
    /// all else is a gap of its cause. Producers 0 and 1 write without transactions; 2 commits, 3 aborts.
    #[test]
    fn what_a_consumer_sees_is_handed_on(log in vec(made(), 1..20), skip in 0..40i64, ahead in 0..10i64) {
        let (mut at, mut bytes, mut visible) = (5i64, Vec::new(), Vec::new());
        let (mut aborted, mut open) = (Vec::new(), [false; 4]);
        let (mut empty, mut transactional) = (Vec::new(), Vec::new());
        for made in &log {
            empty.extend(at..at + made.hole);
            at += made.hole;
            let producer = made.producer;
            let is_aborted = producer == 3;
            let kept: Vec<i32> = (0..made.length).filter(|n| made.kept >> (n % 32) & 1 == 1).collect();
            let attributes = if producer > 1 { TRANSACTIONAL } else { 0 };
            bytes.extend(batch(at, producer, made.length, &kept, made.size, attributes));
            if is_aborted && !open[3] {
                aborted.push(Aborted { producer_id: 3, first_offset: at });
            }
            open[producer as usize] = producer > 1;
            for n in 0..made.length {
                let offset = at + Offset::from(n);
                match (is_aborted, kept.contains(&n)) {
                    (true, _) => transactional.push(offset),
                    (false, true) => visible.push(offset),
                    (false, false) => empty.push(offset),
                }
            }
            at += Offset::from(made.length);
            if made.ends && producer > 1 {
                bytes.extend(batch(at, producer, 1, &[0], 0, TRANSACTIONAL | CONTROL));
                transactional.push(at);
                open[producer as usize] = false;
                at += 1;
            }
        }
        let next = 5 + skip.min(at - 5);
        let position = next + ahead;
        let cut = cut(bytes.into(), aborted, Place { next, position });
        prop_assert!(cut.corrupt.is_none(), "{:?}", cut.corrupt);
        let expected: Vec<Offset> = visible.into_iter().filter(|offset| *offset >= next).collect();
        let (offsets, end) = handed(&cut, next);
        prop_assert_eq!(offsets, expected);
        prop_assert_eq!(end, at);
        let counted = |offsets: &[Offset]| offsets.iter().filter(|offset| **offset >= position).count() as u64;
        prop_assert_eq!((cut.compacted, cut.transactional), (counted(&empty), counted(&transactional)));
    }

    /// Bytes that are changed anywhere are never taken for others: what goes on is what was there, up to some batch.
    #[test]
    fn what_is_corrupt_does_not_go_on(
        sizes in vec((1..10i32, prop_oneof![0..20usize, 1000..3000usize]), 1..10),
        place in any::<proptest::sample::Index>(),
        bit in 0..8u32,
    ) {
        let (mut at, mut bytes) = (0, Vec::new());
        for (length, size) in &sizes {
            bytes.extend(batch(at, 0, *length, &(0..*length).collect::<Vec<_>>(), *size, 0));
            at += Offset::from(*length);
        }
        let place = place.index(bytes.len());
        bytes[place] ^= 1 << bit;
        let cut = cut(bytes.into(), Vec::new(), Place { next: 0, position: 0 });
        for piece in &cut.pieces {
            if let Content::Records(records) = &piece.content {
                prop_assert!(records.iter().all(|record| record.value().is_some_and(|v| v.iter().all(|b| *b == b'x'))));
            }
        }
    }
}

#[test]
fn small_neighbours_become_one_and_one_alone_stays_as_it_is() {
    let small = |base| batch(base, 0, 2, &[0, 1], 10, 0);
    let large = |base| batch(base, 0, 2, &[0, 1], 40_000, 0);
    let at = || Place { next: 0, position: 0 };
    let kinds = |bytes: Vec<u8>| -> Vec<(bool, usize)> {
        let is = |piece: &Piece| (matches!(piece.content, Content::Unopened(_)), piece.content.len());
        cut(bytes.into(), Vec::new(), at()).pieces.iter().map(is).collect()
    };
    assert_eq!(kinds(small(0)), [(true, 2)]);
    assert_eq!(kinds([small(0), small(2), small(4)].concat()), [(false, 6)]);
    assert_eq!(kinds([small(0), large(2), small(4), small(6)].concat()), [(true, 2), (true, 2), (false, 4)]);
    assert_eq!(kinds(large(0)[..500].to_vec()), []);
    let needs = cut(large(0)[..500].to_vec().into(), Vec::new(), at()).needs;
    assert_eq!(needs, Some(large(0).len()));
}

/// What is empty, aborted or a marker by a damaged header is none of that.
#[test]
fn nothing_is_passed_over_unchecked() {
    let aborted = || vec![Aborted { producer_id: 3, first_offset: 0 }];
    let plain = batch(0, 1, 2, &[0, 1], 10, 0);
    // The record count; the attributes' low byte: transactional, control; a producer that aborts, of a plain batch.
    for (at, to) in
        [(57..61, vec![0; 4]), (57..61, vec![0xff; 4]), (22..23, vec![0x10]), (22..23, vec![0x20])]
    {
        let mut bytes = plain.clone();
        bytes[at.clone()].copy_from_slice(&to);
        bytes[43..51].copy_from_slice(&3_i64.to_be_bytes());
        let cut = cut(bytes.into(), aborted(), Place { next: 0, position: 0 });
        assert_eq!(cut.corrupt.as_ref().map(|(offset, _)| *offset), Some(0), "{at:?}: {cut:?}");
        assert_eq!((cut.compacted, cut.transactional, handed(&cut, 0).1), (0, 0, 0), "{at:?}");
    }
}
