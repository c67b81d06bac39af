//! What takes too long for every day: a partition of millions of offsets.
//! Ignored unless `scripts/chaos` asks for it.

use std::time::{Duration, Instant};

use kafka_harness::{client, shared::unique};

use crate::{
    chaos, clusters,
    dice::{Run, setting},
    modes::{Link, Mode},
    sources::{Kind, Source, gaps},
    view::{Reader, view},
};

#[test]
#[ignore = "long"]
fn every_offset_of_millions_is_translated() {
    let run = Run::of("long::every_offset_of_millions_is_translated");
    let (from, to) = clusters::pair();
    let offsets = setting("CHAOS_OFFSETS").unwrap_or(2_000_000);
    let source = Source {
        partitions: 1,
        writers: 24,
        rate: 1_000_000,
        ..Source::new(Kind::Transactional, &unique("millions"))
    };
    let link = Link::new(Mode::Translated, source, from, to);
    let writing = link.source.start(from, &run.dice());
    let begun = Instant::now();
    while client::end_offsets(&from.props(), &link.source.topic).unwrap()[&0] < offsets as i64 {
        assert!(begun.elapsed() < Duration::from_secs(3600), "{} records", writing.written());
        std::thread::sleep(Duration::from_secs(2));
    }
    let history = writing.stop();
    chaos::prove(&link, &history, &[Reader::Librdkafka]);
    let seen = view(from, &link.source.topic, client::Isolation::Committed, Reader::Librdkafka);
    eprintln!("{} records, {:?} offsets without", history.count(), gaps(&seen));
}
