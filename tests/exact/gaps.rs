//! Large gaps of a compacted source: they are padded while it is copied for the first time, the mirror killed meanwhile;
//! and the log cleaner removes the padding, and nothing else.

use std::time::Duration;

use kafka_harness::{
    Cluster, TestRecord,
    client::{self, Isolation, ProduceOptions},
    daemon::eventually,
    shared::unique,
};

use crate::{
    clusters,
    modes::{Link, Mode},
    sources::{Kind, Source},
    view::Reader,
};

const KEY: &[u8] = b"isomirror.padding";
/// Offsets of the gaps, all but the last of each.
const GAPS: [usize; 2] = [600_000, 150_000];

fn record(key: &str, number: usize) -> TestRecord {
    TestRecord {
        key: Some(key.as_bytes().to_vec()),
        value: Some(number.to_be_bytes().to_vec()),
        ..TestRecord::default()
    }
}

/// Records that stay, since no key comes twice.
fn unique_keys(cluster: &Cluster, topic: &str, count: usize) {
    let records: Vec<_> = (0..count).map(|n| record(&unique("key"), n)).collect();
    client::produce(&cluster.props(), topic, &records).unwrap();
}

fn visible(cluster: &Cluster, topic: &str) -> Vec<client::ReadRecord> {
    client::read_all(&cluster.props(), topic, Isolation::Committed).unwrap().remove(&0).unwrap()
}

fn padding(cluster: &Cluster, topic: &str) -> usize {
    let is_padding = |r: &&client::ReadRecord| r.key.as_deref() == Some(KEY) && r.value.is_none();
    visible(cluster, topic).iter().filter(is_padding).count()
}

fn end(cluster: &Cluster, topic: &str) -> i64 {
    client::end_offsets(&cluster.props(), topic).unwrap()[&0]
}

#[test]
fn large_gaps_are_padded_through_kills_and_the_log_cleaner_removes_the_padding() {
    let (from, to) = clusters::pair();
    let source = Source { partitions: 1, ..Source::new(Kind::Compacted, &unique("gaps")) };
    let link = Link::new(Mode::Identical, source, from, to);
    let topic = &link.source.topic;
    client::produce(&from.props(), topic, &[record("", 1)]).unwrap();
    for gap in GAPS {
        unique_keys(from, topic, 50);
        let same: Vec<_> = (0..gap).map(|n| record("same", n)).collect();
        let options = ProduceOptions {
            codec: Some("lz4".to_owned()),
            extra: vec![("batch.size".to_owned(), "100000".to_owned())],
            ..ProduceOptions::default()
        };
        client::produce_with(&from.props(), topic, &same, &options).unwrap();
        unique_keys(from, topic, 50);
    }
    eventually("the source is compacted", || {
        unique_keys(from, topic, 1);
        std::thread::sleep(Duration::from_millis(600));
        let same = visible(from, topic).iter().filter(|r| r.key.as_deref() == Some(b"same")).count();
        (same == 1).then_some(())
    });
    let (first, last) = (51, GAPS[0] as i64 + 50);
    let mut in_the_middle = 0;
    for _ in 0..4 {
        let (then, all) = (end(to, topic), end(from, topic));
        let daemon = link.config.run();
        if then < all {
            client::wait_for_end(&to.props(), topic, then.max(first)).unwrap();
        }
        daemon.kill();
        let now = end(to, topic);
        eprintln!("killed at offset {now}");
        in_the_middle += i32::from(first < now && now < last);
    }
    assert!(in_the_middle > 0, "no kill fell into the padding");
    link.config.run_until_caught_up().expect(0);
    assert_eq!(end(to, topic), end(from, topic));
    let padded = padding(to, topic);
    assert!(padded > GAPS.iter().sum::<usize>() * 9 / 10, "{padded} offsets are padded");

    let aggressive: Vec<_> =
        link.source.kind.topic_config().iter().copied().chain([("min.compaction.lag.ms", "0")]).collect();
    to.alter_topic_config(topic, &aggressive).unwrap();
    eventually("the padding is gone", || {
        // Segments end where something is written behind them.
        unique_keys(from, topic, 1);
        link.config.run_until_caught_up().expect(0);
        (padding(to, topic) == 0).then_some(())
    });
    let empty = |r: &client::ReadRecord| r.key.as_deref() == Some(b"");
    assert!(visible(to, topic).iter().any(empty), "the record with an empty key survives");
    link.assert_exact(None, &[Reader::Librdkafka, Reader::Java]);
}
