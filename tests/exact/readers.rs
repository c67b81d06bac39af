//! Clients of three makers read an identical target through its fills, at either isolation level: each sees the source's
//! records, and no other. Their readers are asked one by one (see `view`), for the source as for the target.

use kafka_harness::{client::Isolation, daemon::eventually, java, shared::unique};

use crate::{
    clusters,
    content::NUMBER,
    dice::Run,
    modes::{Link, Mode},
    sources::{History, Kind, Source, gaps},
    view::{Reader, view},
};

const ALL: [Reader; 3] = [Reader::Librdkafka, Reader::Java, Reader::Aiokafka];

/// Mirrors it, with the target's batches compressed, and has everyone read both sides.
fn prove(mut link: Link<'_>, history: Option<&History>, codec: &str) {
    link.config = link.config.target_property("compression.type", codec);
    link.config.run_until_caught_up().expect(0);
    link.assert_exact(history, &ALL);
    let target = view(link.to, &link.source.topic, Isolation::Uncommitted, Reader::Librdkafka);
    for (partition, fills) in gaps(&target) {
        assert!(fills > 20, "[{partition}]: {fills} fills are none to speak of");
    }
}

#[test]
fn no_client_sees_the_fills_of_transactions() {
    let run = Run::of("readers::no_client_sees_the_fills_of_transactions");
    let (from, to) = clusters::pair();
    let link = Link::new(Mode::Identical, Source::new(Kind::Transactional, &unique("readers")), from, to);
    let writing = link.source.start(from, &run.dice());
    writing.wait_for(1500);
    prove(link, Some(&writing.stop()), "lz4");
}

#[test]
fn no_client_sees_the_fills_of_what_compaction_took() {
    let run = Run::of("readers::no_client_sees_the_fills_of_what_compaction_took");
    let (from, to) = clusters::pair();
    let link = Link::new(Mode::Identical, Source::new(Kind::Compacted, &unique("readers")), from, to);
    let writing = link.source.start(from, &run.dice());
    writing.wait_for(3000);
    let history = writing.stop();
    eventually("the cleaner has been everywhere", || {
        let left = view(from, &link.source.topic, Isolation::Committed, Reader::Librdkafka);
        gaps(&left).values().all(|gaps| *gaps > 100).then_some(())
    });
    prove(link, Some(&history), "zstd");
}

#[test]
fn what_java_wrote_is_the_same_to_every_client() {
    let run = Run::of("readers::what_java_wrote_is_the_same_to_every_client");
    let (from, to) = clusters::pair();
    let source = Source { partitions: 2, ..Source::new(Kind::Transactional, &unique("java")) };
    let link = Link::new(Mode::Identical, source, from, to);
    let seed = run.dice().within(0..1 << 32).to_string();
    let args = [&*from.internal_bootstrap(), &link.source.topic, "2", NUMBER, &seed];
    let written = java::run(from.dist(), "Write", include_str!("Write.java"), &args).expect("Java writes");
    let committed: usize = written.trim().parse().expect("a number");
    for reader in ALL {
        let seen = view(from, &link.source.topic, Isolation::Committed, reader);
        let records: usize = seen.values().map(|log| log.records.len()).sum();
        assert_eq!(records, committed, "{reader:?}");
    }
    prove(link, None, "snappy");
}
