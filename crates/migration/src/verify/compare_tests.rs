use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use kafka_wire::records::{Header, Record};
use mirror_types::{Mark, Offset, Side};
use proptest::prelude::*;

use super::{super::side::Chunk, *};

fn record(offset: Offset, key: &str, value: Option<&str>) -> Record {
    let bytes = |text: &str| Bytes::copy_from_slice(text.as_bytes());
    Record {
        offset,
        timestamp: offset * 10,
        key: Some(bytes(key)),
        value: value.map(bytes),
        headers: Vec::new(),
    }
}

/// `n` records with keys and values of their own.
fn records(n: Offset) -> Vec<Record> {
    (0..n).map(|at| record(at, &format!("k{at}"), Some(&format!("v{at}")))).collect()
}

fn chunk(records: &[Record], next: Offset) -> Chunk {
    Chunk { records: records.to_vec(), next, deleted_to: None }
}

const KEYS: usize = 100;
const NEITHER: BySide<bool> = BySide { source: false, target: false };
const BOTH: BySide<bool> = BySide { source: true, target: true };

/// Compares offsets `0..end`, fed in the chunks that it asks for, so many records at a time.
fn compared_by(
    mapping: Mapping,
    cleaned: BySide<bool>,
    source: &[Record],
    target: &[Record],
    ends: [Offset; 2],
    by: usize,
) -> Found {
    let mut comparison = Comparison::new(mapping, cleaned, 0..ends[0], KEYS, Found::default());
    let mut rest = [source, target];
    while let Some(side) = comparison.wants() {
        let (rest, end) = match side {
            Side::Source => (&mut rest[0], ends[0]),
            Side::Target => (&mut rest[1], ends[1]),
        };
        let (now, later) = rest.split_at(by.min(rest.len()));
        *rest = later;
        comparison.take(side, chunk(now, later.first().map_or(end, |record| record.offset)));
    }
    comparison.finish(true)
}

fn compared(cleaned: BySide<bool>, source: &[Record], target: &[Record]) -> Found {
    let end = source.iter().chain(target).map(|record| record.offset + 1).max().unwrap_or(0);
    let found = compared_by(Mapping::Same, cleaned, source, target, [end, end], 3);
    for by in [1, 2, 1000] {
        let other = compared_by(Mapping::Same, cleaned, source, target, [end, end], by);
        assert_eq!(found, other, "whatever comes together");
    }
    found
}

#[test]
fn what_is_the_same_is_equal_and_has_the_same_digest() {
    let found = compared(NEITHER, &records(10), &records(10));
    assert_eq!((found.counts.equal, found.counts.differing()), (10, 0));
    assert_eq!(found.source_digest, found.target_digest);
    assert_eq!(found.counts.bytes, 40);
    assert_ne!(found.source_digest, compared(NEITHER, &records(9), &records(9)).source_digest);
}

#[test]
fn every_part_of_a_record_counts() {
    let header = |key: &'static str, value: Option<&'static str>| Header {
        key: Bytes::from_static(key.as_bytes()),
        value: value.map(|value| Bytes::from_static(value.as_bytes())),
    };
    let mut original = record(1, "key", Some("value"));
    original.headers = vec![header("a", Some("1")), header("a", None), header("b", Some(""))];
    type Change = fn(&mut Record);
    let changes: [(Change, Field); 9] = [
        (|r| r.timestamp += 1, Field::Timestamp),
        (|r| r.key = None, Field::Key),
        (|r| r.key = Some(Bytes::new()), Field::Key),
        (|r| r.value = None, Field::Value),
        (|r| r.value = Some(Bytes::from_static(b"valuE")), Field::Value),
        (|r| r.headers.swap(0, 1), Field::Headers),
        (|r| r.headers[1].value = Some(Bytes::new()), Field::Headers),
        (|r| r.headers[2].value = None, Field::Headers),
        (|r| drop(r.headers.pop()), Field::Headers),
    ];
    for (change, field) in changes {
        let mut other = original.clone();
        change(&mut other);
        let found =
            compared(NEITHER, &[record(0, "a", None), original.clone()], &[record(0, "a", None), other]);
        assert_eq!((found.counts.equal, found.counts.changed, found.counts.differing()), (1, 1, 1));
        assert_ne!(found.source_digest, found.target_digest, "{field:?}");
        let first = found.first_difference.unwrap();
        assert_eq!((first.kind, first.fields, first.source_offset), (Kind::Changed, vec![field], Some(1)));
    }
}

#[test]
fn what_one_side_lacks_is_named_with_its_offset() {
    let all = records(6);
    let without: Vec<Record> = all.iter().filter(|record| record.offset != 3).cloned().collect();
    let missing = compared(NEITHER, &all, &without);
    assert_eq!((missing.counts.missing, missing.counts.differing(), missing.counts.equal), (1, 1, 5));
    let first = missing.first_difference.unwrap();
    assert_eq!((first.kind, first.source_offset, first.target_offset), (Kind::Missing, Some(3), None));
    assert_eq!(first.source.unwrap().key.unwrap().bytes, 2);
    let extra = compared(NEITHER, &without, &all);
    let first = extra.first_difference.unwrap();
    assert_eq!((first.kind, first.source_offset, first.target_offset), (Kind::Extra, Some(3), Some(3)));
    // The last ones, and all of them.
    assert_eq!(compared(NEITHER, &all, &all[..4]).counts.missing, 2);
    assert_eq!(compared(NEITHER, &[], &all).counts.extra, 6);
}

#[test]
fn a_record_at_another_offset_is_missing_there_and_extra_here() {
    let mut moved = records(4);
    moved[3].offset = 4;
    let found = compared(NEITHER, &records(4), &moved);
    assert_eq!((found.counts.equal, found.counts.missing, found.counts.extra), (3, 1, 1));
}

#[test]
fn contents_are_shown_only_where_that_is_asked_for() {
    let (source, target) = ([record(0, "secret", Some("a"))], [record(0, "secret", Some("b"))]);
    for show in [false, true] {
        let mut comparison =
            Comparison::new(Mapping::Same, NEITHER, 0..1, KEYS, Found::default()).showing(show);
        comparison.take(Side::Source, chunk(&source, 1));
        comparison.take(Side::Target, chunk(&target, 1));
        let told = serde_json::to_string(&comparison.finish(true)).unwrap();
        assert_eq!(told.contains("secret"), show, "{told}");
    }
}

#[test]
fn a_cleaner_takes_what_has_a_later_record_and_tombstones_and_nothing_else() {
    let all = [
        record(0, "a", Some("1")),
        record(1, "b", Some("1")),
        record(2, "c", None),
        record(3, "a", Some("2")),
    ];
    let but = |gone: &[Offset]| {
        all.iter().filter(|record| !gone.contains(&record.offset)).cloned().collect::<Vec<_>>()
    };
    let on_target = compared(BOTH, &all, &but(&[0, 2]));
    assert_eq!((on_target.counts.compacted_on_target, on_target.counts.differing()), (2, 0));
    let on_source = compared(BOTH, &but(&[0, 2]), &all);
    assert_eq!((on_source.counts.compacted_on_source, on_source.counts.differing()), (2, 0));
    // The only record of its key: no cleaner takes it.
    let lost = compared(BOTH, &all, &but(&[1]));
    assert_eq!((lost.counts.missing, lost.counts.compacted_on_target), (1, 0));
    assert_eq!(lost.first_difference.unwrap().source_offset, Some(1));
    // Where nothing is compacted, nothing is taken.
    assert_eq!(compared(NEITHER, &all, &but(&[0, 2])).counts.missing, 2);
    let target_only = BySide { source: false, target: true };
    assert_eq!(compared(target_only, &but(&[0]), &all).counts.extra, 1);
}

#[test]
fn later_records_tell_of_a_cleaner_too_and_unread_ones_do_not() {
    let feed = |later: &[Record], whole| {
        let mut comparison = Comparison::new(Mapping::Same, BOTH, 0..1, KEYS, Found::default());
        comparison.take(Side::Source, chunk(&[record(0, "a", Some("1"))], 1));
        comparison.take(Side::Target, chunk(&[], 1));
        assert!(comparison.has_open_keys());
        later.iter().for_each(|record| comparison.later(record));
        comparison.finish(whole).counts
    };
    assert_eq!(feed(&[record(9, "a", Some("2"))], true).compacted_on_target, 1);
    assert_eq!(feed(&[record(9, "b", Some("2"))], true).missing, 1);
    let unread = feed(&[], false);
    assert_eq!((unread.unproven, unread.differing()), (1, 0));
}

#[test]
fn the_first_difference_is_the_one_that_lies_first_though_it_is_known_last() {
    let source = [record(0, "a", Some("1")), record(1, "b", Some("1")), record(2, "c", Some("1"))];
    let changed = Record { value: None, ..source[1].clone() };
    let found = compared(BOTH, &source, &[changed, source[2].clone()]);
    assert_eq!((found.counts.changed, found.counts.missing), (1, 1));
    let mut first = found.first_difference.unwrap();
    assert_eq!((first.kind, first.place), (Kind::Missing, 0));
    // What it is was not kept, and is read once more.
    assert_eq!((&first.source, first.unseen()), (&None, Some((Side::Source, 0))));
    first.seen(&source[0], false);
    assert_eq!((first.source.as_ref().unwrap().key.as_ref().unwrap().bytes, first.unseen()), (1, None));
    assert_eq!(first.to_string(), "the record at source offset 0 is missing on the target");
}

#[test]
fn there_is_room_for_so_many_keys_and_what_has_none_is_not_proved() {
    let source = records(10);
    let mut comparison = Comparison::new(Mapping::Same, BOTH, 0..10, 4, Found::default());
    comparison.take(Side::Source, chunk(&source, 10));
    comparison.take(Side::Target, chunk(&[], 10));
    let counts = comparison.finish(true).counts;
    assert_eq!((counts.missing, counts.unproven), (4, 6));
}

#[test]
fn what_retention_has_deleted_is_no_difference() {
    let all = records(10);
    let mut comparison = Comparison::new(Mapping::Same, NEITHER, 0..10, KEYS, Found::default());
    comparison.take(Side::Target, chunk(&all[..8], 8));
    comparison.take(Side::Source, chunk(&all[..2], 2));
    comparison.take(Side::Source, Chunk { records: Vec::new(), next: 6, deleted_to: Some(6) });
    comparison.take(Side::Source, chunk(&all[6..], 10));
    comparison.take(Side::Target, chunk(&all[9..], 10));
    let counts = comparison.finish(true).counts;
    assert_eq!((counts.equal, counts.deleted_on_source, counts.missing, counts.extra), (5, 4, 1, 0));
}

#[test]
fn translated_offsets_are_compared_by_the_marks() {
    // Source 0..3 and 5..8 lie at target 100..103 and 104..107; what is between and behind is of others.
    let marks = || vec![Mark { source: 0, target: 100, count: 3 }, Mark { source: 5, target: 104, count: 3 }];
    let source: Vec<Record> = records(8).into_iter().filter(|r| !(3..5).contains(&r.offset)).collect();
    let of =
        |target: Offset, source: Offset| Record { offset: target, ..records(8)[source as usize].clone() };
    let own: Vec<Record> = (0..3).map(|n| of(100 + n, n)).chain((0..3).map(|n| of(104 + n, 5 + n))).collect();
    let mapping = |shared| Mapping::Marks(Marks::new(marks().into_iter(), 8, shared));
    for by in [1, 2, 100] {
        let found = compared_by(mapping(false), NEITHER, &source, &own, [8, 107], by);
        assert_eq!((found.counts.equal, found.counts.differing()), (6, 0));
        let mut with_others = own.clone();
        with_others.insert(3, record(103, "x", None));
        let shared = compared_by(mapping(true), NEITHER, &source, &with_others, [8, 107], by);
        assert_eq!((shared.counts.equal, shared.counts.of_others, shared.counts.differing()), (6, 1, 0));
        let alone = compared_by(mapping(false), NEITHER, &source, &with_others, [8, 107], by);
        assert_eq!((alone.counts.extra, alone.first_difference.unwrap().target_offset), (1, Some(103)));
        let mut and_another = with_others.clone();
        and_another[1].value = None;
        let both = compared_by(mapping(false), NEITHER, &source, &and_another, [8, 107], by);
        assert_eq!(
            (both.counts.differing(), both.first_difference.unwrap().place),
            (2, 1),
            "the first of both"
        );
        let without: Vec<Record> = own.iter().filter(|record| record.offset != 105).cloned().collect();
        let lost = compared_by(mapping(false), NEITHER, &source, &without, [8, 107], by);
        assert_eq!((lost.counts.missing, lost.first_difference.unwrap().source_offset), (1, Some(6)));
    }
}

#[test]
fn going_on_with_what_was_found_is_the_same_as_all_at_once() {
    let (source, mut target) = (records(20), records(20));
    target[4].value = None;
    let whole = compared(NEITHER, &source, &target);
    let mut first = Comparison::new(Mapping::Same, NEITHER, 0..7, KEYS, Found::default());
    first.take(Side::Source, chunk(&source[..7], 7));
    first.take(Side::Target, chunk(&target[..7], 7));
    let noted = serde_json::to_string(&first.finish(true)).unwrap();
    let mut second =
        Comparison::new(Mapping::Same, NEITHER, 7..20, KEYS, serde_json::from_str(&noted).unwrap());
    second.take(Side::Source, chunk(&source[7..], 20));
    second.take(Side::Target, chunk(&target[7..], 20));
    assert_eq!(second.finish(true), whole);
}

proptest! {
    /// Both sides lose records and have others changed at random; what is counted is what was done.
    #[test]
    fn what_was_done_to_either_side_is_what_is_counted(
        gone_on_source in prop::collection::btree_set(0..60_i64, 0..10),
        gone_on_target in prop::collection::btree_set(0..60_i64, 0..10),
        changed in prop::collection::btree_set(0..60_i64, 0..10),
        by in 1..20_usize,
    ) {
        let without = |gone: &BTreeSet<Offset>| {
            records(60).into_iter().filter(|record| !gone.contains(&record.offset)).collect::<Vec<_>>()
        };
        let source = without(&gone_on_source);
        let mut target = without(&gone_on_target);
        for record in target.iter_mut().filter(|record| changed.contains(&record.offset)) {
            record.value = None;
        }
        let found = compared_by(Mapping::Same, NEITHER, &source, &target, [60, 60], by);
        let on_source: BTreeMap<_, _> = source.iter().map(|r| (r.offset, r)).collect();
        let on_target: BTreeMap<_, _> = target.iter().map(|r| (r.offset, r)).collect();
        let both = on_source.keys().filter(|at| on_target.contains_key(at));
        let (changed, equal): (Vec<&i64>, Vec<&i64>) = both.partition(|at| changed.contains(at));
        let counts = &found.counts;
        prop_assert_eq!(counts.equal, equal.len() as u64);
        prop_assert_eq!(counts.changed, changed.len() as u64);
        prop_assert_eq!(counts.missing, on_source.keys().filter(|at| !on_target.contains_key(at)).count() as u64);
        prop_assert_eq!(counts.extra, on_target.keys().filter(|at| !on_source.contains_key(at)).count() as u64);
        prop_assert_eq!(found.first_difference.is_none(), counts.differing() == 0);
    }
}
