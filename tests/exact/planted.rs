//! A comparison that finds nothing proves nothing: here each kind of difference is planted, and must be found.

use std::collections::BTreeMap;

use kafka_harness::{
    Cluster, TestRecord,
    client::{self, Isolation, ProduceOptions, Transaction},
    shared::unique,
};

use crate::{
    clusters::pair,
    compare::{Expected, Offsets, compare},
    content::{NUMBER, STRANGER},
    view::{Log, Reader, Seen, View, view},
};

fn seen(offset: i64, number: u64) -> Seen {
    Seen { offset, digest: number * 1_000_003, key: number % 3, tombstone: false, number: Some(number) }
}

/// One partition with a record of each number at each offset; it ends behind the last.
fn log(records: &[(i64, u64)]) -> View {
    let records: Vec<_> = records.iter().map(|(offset, number)| seen(*offset, *number)).collect();
    let end = records.last().map_or(0, |r| r.offset + 1);
    BTreeMap::from([(0, Log { bounds: (0, end), records })])
}

/// Counts of lost, repeated, moved, changed, foreign, bounds.
#[track_caller]
fn finds(offsets: Offsets, source: &View, target: &View, counts: [u64; 6]) {
    let (verdict, _) = compare(&Expected { offsets, source, history: None }, target);
    assert_eq!(verdict.counts(), counts, "{verdict}");
    assert_eq!(verdict.is_clean(), counts == [0; 6]);
}

const SOURCE: [(i64, u64); 5] = [(0, 10), (1, 11), (3, 13), (4, 14), (7, 17)];

#[test]
fn each_kind_of_difference_is_found_where_offsets_are_the_same() {
    let source = log(&SOURCE);
    let with = |change: fn(&mut Vec<(i64, u64)>)| {
        let mut records = SOURCE.to_vec();
        change(&mut records);
        log(&records)
    };
    let finds = |target: &View, counts| finds(Offsets::Same, &source, target, counts);
    finds(&source, [0; 6]);
    finds(&with(|r| r.retain(|r| r.0 != 1)), [1, 0, 0, 0, 0, 0]);
    finds(&with(|r| r.truncate(4)), [1, 0, 0, 0, 0, 1]);
    finds(&with(|r| r.insert(2, (2, 11))), [0, 1, 0, 0, 0, 0]);
    finds(&with(|r| r.insert(2, (2, 99))), [0, 0, 0, 0, 1, 0]);
    finds(&with(|r| r[2].0 = 2), [0, 0, 1, 0, 0, 0]);
    // A gap that was not filled moves everything behind it.
    finds(&log(&[(0, 10), (1, 11), (2, 13), (3, 14), (4, 17)]), [0, 0, 3, 0, 0, 1]);
    finds(&with(|r| (r[0].1, r[1].1) = (11, 10)), [0, 0, 2, 0, 0, 0]);
    // The last batch again, as a kill before its acknowledgement was seen does it.
    finds(&with(|r| r.extend([(8, 14), (9, 17)])), [0, 2, 0, 0, 0, 1]);
    let mut target = source.clone();
    target.get_mut(&0).unwrap().records[3].digest += 1;
    finds(&target, [0, 0, 0, 1, 0, 0]);
    // A marker at the end that was not filled.
    let mut target = source.clone();
    target.get_mut(&0).unwrap().bounds.1 -= 1;
    finds(&target, [0, 0, 0, 0, 0, 1]);
    let mut target = source.clone();
    target.insert(1, Log::default());
    finds(&target, [0, 0, 0, 0, 0, 1]);
    finds(&BTreeMap::new(), [0, 0, 0, 0, 0, 1]);
}

#[test]
fn each_kind_of_difference_is_found_where_offsets_are_mapped() {
    let source = log(&SOURCE);
    let finds = |target: &[(i64, u64)], counts| finds(Offsets::Mapped, &source, &log(target), counts);
    finds(&SOURCE, [0; 6]);
    finds(&[(100, 10), (101, 11), (105, 13), (106, 14), (107, 17)], [0; 6]);
    finds(&[(100, 10), (101, 11), (105, 13), (107, 17)], [1, 0, 0, 0, 0, 0]);
    finds(&[(100, 10), (101, 11), (102, 10), (103, 11), (105, 13), (106, 14), (107, 17)], [0, 2, 0, 0, 0, 0]);
    finds(&[(100, 10), (101, 13), (102, 11), (106, 14), (107, 17)], [0, 0, 1, 0, 0, 0]);
    finds(&[(99, 99), (100, 10), (101, 11), (105, 13), (106, 14), (107, 17)], [0, 0, 0, 0, 1, 0]);
}

/// A cleaner may remove from the source what was superseded, whether or not it was mirrored before; nothing else.
#[test]
fn what_a_cleaner_removed_may_be_on_the_target_in_its_place_and_nowhere_else() {
    let (history, source) = (log(&SOURCE), log(&[(1, 11), (7, 17)]));
    let counts = |offsets, target: &[(i64, u64)]| {
        let mut target = log(target);
        target.get_mut(&0).unwrap().bounds = source[&0].bounds;
        let expected = Expected { offsets, source: &source, history: Some(&history) };
        compare(&expected, &target).0.counts()
    };
    for offsets in [Offsets::Same, Offsets::Mapped] {
        assert_eq!(counts(offsets, &SOURCE), [0; 6]);
        assert_eq!(counts(offsets, &[(1, 11), (3, 13), (7, 17)]), [0; 6]);
        assert_eq!(counts(offsets, &[(1, 11), (7, 17)]), [0; 6]);
        assert_eq!(counts(offsets, &[(3, 13), (7, 17)]), [1, 0, 0, 0, 0, 0]);
        assert_eq!(counts(offsets, &[(1, 11), (3, 13), (4, 13), (7, 17)]), [0, 1, 0, 0, 0, 0]);
        assert_eq!(counts(offsets, &[(1, 11), (2, 12), (7, 17)]), [0, 0, 0, 0, 1, 0]);
    }
    assert_eq!(counts(Offsets::Same, &[(1, 11), (4, 13), (7, 17)]), [0, 0, 1, 0, 0, 0]);
    assert_eq!(counts(Offsets::Mapped, &[(1, 11), (4, 14), (5, 13), (7, 17)]), [0, 0, 1, 0, 0, 0]);
}

#[test]
fn a_long_list_of_differences_is_named_in_part_and_counted_in_full() {
    let all: Vec<_> = (0..10_000).map(|n| (n, n as u64)).collect();
    let expected = Expected { offsets: Offsets::Same, source: &log(&all), history: None };
    let (verdict, _) = compare(&expected, &log(&all[..1]));
    let text = verdict.to_string();
    assert_eq!(verdict.lost.count, 9999);
    assert!(text.lines().count() < 15 && text.contains("… and 9991 more"), "{text}");
    assert!(text.contains("lost: [0] 1 (#1)"), "{text}");
}

fn record(number: u64) -> TestRecord {
    TestRecord {
        partition: (number % 2) as i32,
        key: (!number.is_multiple_of(5)).then(|| format!("{}", number % 7).into_bytes()),
        value: (!number.is_multiple_of(3)).then(|| format!("value {number}").into_bytes()),
        headers: vec![
            (NUMBER.to_owned(), Some(number.to_be_bytes().to_vec())),
            ("empty \u{e4}".to_owned(), Some(Vec::new())),
            ("null".to_owned(), None),
        ],
        timestamp: Some(1_700_000_000_000 + number as i64),
    }
}

fn write(cluster: &Cluster, topic: &str, records: &[TestRecord], transaction: Option<Transaction>) {
    let options = ProduceOptions { transaction, ..ProduceOptions::default() };
    client::produce_with(&cluster.props(), topic, records, &options).unwrap();
}

/// On brokers, read by each consumer: they agree on every digest, and see what was done to a copy.
#[test]
fn differences_on_real_brokers_are_found_by_every_reader() {
    let (source, target) = pair();
    let topic = unique("planted");
    let all: Vec<_> = (0..200).map(record).collect();
    let mut stranger = record(7);
    stranger.headers.push((STRANGER.to_owned(), None));
    for cluster in [source, target] {
        cluster.create_topic(&topic, 2, 1, &[("retention.ms", "-1")]).unwrap();
    }
    write(source, &topic, &all[..100], Some(Transaction::Commit));
    write(source, &topic, &all[50..60], Some(Transaction::Abort));
    write(source, &topic, &all[100..], Some(Transaction::Commit));
    write(source, &topic, &[stranger], None);
    // The copy lacks the aborted ones and markers, one record, has one twice, and one is another.
    let mut copy = all.clone();
    copy[20].headers.swap(1, 2);
    copy.insert(60, record(40));
    copy.remove(150);
    write(target, &topic, &copy, None);

    let mut views = Vec::new();
    for reader in [Reader::Librdkafka, Reader::Java, Reader::Aiokafka] {
        let before = view(source, &topic, Isolation::Committed, reader);
        let uncommitted = view(source, &topic, Isolation::Uncommitted, reader);
        let after = view(target, &topic, Isolation::Committed, reader);
        let count = |view: &View| view.values().map(|log| log.records.len()).sum::<usize>();
        assert_eq!((count(&before), count(&uncommitted), count(&after)), (200, 210, 200), "{reader:?}");
        let expected = Expected { offsets: Offsets::Mapped, source: &before, history: None };
        let (verdict, _) = compare(&expected, &after);
        assert_eq!(verdict.counts(), [1, 1, 0, 1, 0, 0], "{verdict}");
        let (verdict, _) = compare(&Expected { offsets: Offsets::Same, ..expected }, &after);
        assert!(verdict.moved.count > 90 && verdict.bounds.count == 2, "{verdict}");
        // Aborted records are repeated ones to who sees them.
        let (verdict, _) = compare(&expected, &uncommitted);
        assert_eq!(verdict.counts(), [0, 10, 0, 0, 0, 0], "{verdict}");
        views.push((before, uncommitted, after));
    }
    assert!(views.iter().all(|view| *view == views[0]), "all readers see the same");
}
