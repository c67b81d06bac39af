//! The sources are what the other tests take them for.

use std::time::Duration;

use kafka_harness::{client::Isolation, daemon::eventually, shared::unique};

use crate::{
    clusters,
    compare::{Expected, Offsets, compare},
    dice::Run,
    sources::{Kind, Source, gaps},
    view::{Reader, view},
};

#[test]
fn what_is_written_without_a_cleaner_is_what_is_there() {
    let run = Run::of("sources_check::what_is_written_without_a_cleaner_is_what_is_there");
    let (source, _) = clusters::pair();
    for kind in [Kind::Idempotent, Kind::Transactional] {
        let written = Source::new(kind, &unique("source"));
        written.create(source, 1);
        let history = written.write_for(source, &run.dice(), Duration::from_secs(4));
        let seen = view(source, &written.topic, Isolation::Committed, Reader::Librdkafka);
        assert!(history.certain && history.count() > 1000, "{}", history.count());
        let records = |v: &crate::view::View| v.values().map(|log| log.records.clone()).collect::<Vec<_>>();
        assert!(records(&seen) == records(&history.view), "{kind:?}");
        let gaps: i64 = gaps(&seen).values().sum();
        let all = history.count() as i64 + gaps;
        match kind {
            Kind::Idempotent => assert_eq!(gaps, 0),
            // Aborted records, and a marker for each transaction.
            _ => assert!((all / 5..all * 3 / 5).contains(&gaps), "{gaps} of {all}"),
        }
    }
}

#[test]
fn a_cleaner_leaves_gaps_everywhere_and_takes_nothing_but_what_is_superseded() {
    let run =
        Run::of("sources_check::a_cleaner_leaves_gaps_everywhere_and_takes_nothing_but_what_is_superseded");
    let (source, _) = clusters::pair();
    for kind in [Kind::Compacted, Kind::CompactedTransactional] {
        let written = Source::new(kind, &unique("cleaned"));
        written.create(source, 1);
        let history = written.write_for(source, &run.dice(), Duration::from_secs(6));
        // On a busy machine not everywhere at the same time.
        let seen = eventually("the cleaner has been everywhere", || {
            let seen = view(source, &written.topic, Isolation::Committed, Reader::Librdkafka);
            let left: usize = seen.values().map(|log| log.records.len()).sum();
            let many = |(partition, gaps): (&i32, &i64)| {
                let (first, end) = seen[partition].bounds;
                gaps * 4 > end - first
            };
            (left as u64 * 3 < history.count() * 2 && gaps(&seen).iter().all(many)).then_some(seen)
        });
        let tombstones = |view: &crate::view::View| {
            view.values().flat_map(|log| &log.records).filter(|r| r.tombstone).count() as u64
        };
        let share = tombstones(&history.view) * 100 / history.count();
        assert!((35..45).contains(&share), "{share} % tombstones");
        // Each key's last value is there.
        for (partition, log) in &history.view {
            let mut last = std::collections::BTreeMap::new();
            for record in &log.records {
                last.insert(record.key, record);
            }
            let left = &seen[partition].records;
            let there = |r: &crate::view::Seen| r.tombstone || left.contains(r);
            assert!(last.values().all(|r| there(r)), "{kind:?} [{partition}]");
        }
        let expected = Expected { offsets: Offsets::Same, source: &seen, history: Some(&history.view) };
        let (verdict, _) = compare(&expected, &seen);
        assert!(verdict.is_clean(), "{verdict}");
    }
}
