//! What takes too long for every day: partitions of millions of offsets, and the speed through 100,000 transactions.
//! Ignored unless `scripts/chaos` asks for it.

use std::time::{Duration, Instant};

use kafka_harness::{
    client::{self, Load},
    shared::unique,
};

use crate::{
    chaos, clusters,
    dice::{Run, setting},
    modes::{Link, Mode},
    sources::{Kind, Source, burst, gaps},
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

#[test]
#[ignore = "long"]
fn small_transactions_are_mirrored_at_no_less_than_a_third_of_the_rate() {
    let (from, to) = clusters::pair();
    let transactions = setting("CHAOS_TRANSACTIONS").unwrap_or(100_000);
    let rate = |kind: Kind| {
        let link = Link::new(Mode::Identical, Source::new(kind, &unique("speed")), from, to);
        if kind == Kind::Transactional {
            let begun = Instant::now();
            burst(from, &link.source.topic, 4, transactions, 10);
            eprintln!("written in {:?}", begun.elapsed());
        } else {
            let load = Load { partitions: 4, count: transactions * 10, value_size: 100, ..Load::default() };
            client::load(&from.props(), &link.source.topic, &load).unwrap();
        }
        let begun = Instant::now();
        link.config.run_until_caught_up().expect(0);
        let took = begun.elapsed();
        eprintln!("{kind:?}: {} records in {took:?}", transactions * 10);
        (transactions * 10) as f64 / took.as_secs_f64()
    };
    let (plain, small) = (rate(Kind::Idempotent), rate(Kind::Transactional));
    assert!(small * 3.0 >= plain, "{small:.0} records/s, without transactions {plain:.0}");
}
