//! What takes too long for every day: partitions of millions of offsets, and the speed through 100,000 transactions.
//! Ignored unless `scripts/chaos` asks for it.

use std::time::{Duration, Instant};

use kafka_harness::{
    Cluster,
    client::{self, Load},
    daemon::Config,
    shared::unique,
};
use kafka_wire::{
    Client, ProduceBatch, ProduceOptions, Settings, To,
    records::{BatchBuilder, Compression, Stamp, restamped},
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

/// On brokers as operators run them, with all of the JVM's compilers; the two take turns, and medians are compared.
#[test]
#[ignore = "long"]
fn small_transactions_are_mirrored_at_no_less_than_a_third_of_the_rate() {
    let start = || clusters::builder().full_jit().heap("1g").start().expect("a cluster");
    let (from, to) = (start(), start());
    let transactions = setting("CHAOS_TRANSACTIONS").unwrap_or(100_000);
    let link = |kind: Kind| Link::new(Mode::Identical, Source::new(kind, &unique("speed")), &from, &to);
    let (plain, small) = (link(Kind::Idempotent), link(Kind::Transactional));
    let load = Load { partitions: 4, count: transactions * 10, value_size: 100, ..Load::default() };
    client::load(&from.props(), &plain.source.topic, &load).unwrap();
    let begun = Instant::now();
    burst(&from, &small.source.topic, 4, transactions, 10);
    eprintln!("written in {:?}", begun.elapsed());
    let rate = |link: &Link<'_>| {
        let Source { topic, partitions, kind, .. } = &link.source;
        to.delete_topic(topic).unwrap();
        to.create_topic(topic, *partitions, 1, kind.target_config()).unwrap();
        // A link of its own each time, which knows nothing of the last.
        let config = Config::new(&from, &to, topic).topics("offsets = \"identical\"");
        let begun = Instant::now();
        config.run_until_caught_up().expect(0);
        let took = begun.elapsed();
        eprintln!("{kind:?}: {} records in {took:?}", transactions * 10);
        (transactions * 10) as f64 / took.as_secs_f64()
    };
    let mut rates: Vec<[f64; 2]> = (0..5).map(|_| [rate(&plain), rate(&small)]).collect();
    let mut median = |of: usize| {
        rates.sort_by(|one, other| one[of].total_cmp(&other[of]));
        rates[rates.len() / 2][of]
    };
    let (plain, small) = (median(0), median(1));
    eprintln!("medians: {plain:.0} records/s without transactions, {small:.0} with: {:.2}", small / plain);
    assert!(small * 3.0 >= plain, "{small:.0} records/s, without transactions {plain:.0}");
}

#[test]
#[ignore = "long"]
fn a_lane_starts_at_a_billion_in_less_than_five_minutes() {
    const START: i64 = 1_000_000_000;
    let (from, to) = clusters::pair();
    let source = Source { partitions: 1, ..Source::new(Kind::Idempotent, &unique("billion")) };
    let link = Link::new(Mode::Identical, source, from, to);
    let topic = &link.source.topic;
    pad(from, topic, START);
    from.delete_records(topic, 0, START).unwrap();
    let load = Load { partitions: 1, count: 1000, value_size: 100, ..Load::default() };
    client::load(&from.props(), topic, &load).unwrap();
    let check = link.config.command("check", &[]);
    let words = String::from_utf8_lossy(&check.stdout);
    assert!(words.contains("about 4 min"), "{words}");
    let begun = Instant::now();
    link.config.run_until_caught_up().expect(0);
    let took = begun.elapsed();
    eprintln!("started at {START} in {took:?}: {:.1} M offsets/s", START as f64 / took.as_secs_f64() / 1e6);
    link.assert_exact(None, &[Reader::Librdkafka]);
    assert!(took < Duration::from_secs(300), "{took:?}");
}

/// Fills an empty partition up to an offset.
fn pad(cluster: &Cluster, topic: &str, to: i64) {
    const RECORDS: i64 = 1_000_000;
    let settings = Settings::new(cluster.props().iter().map(|(k, v)| (k.as_str(), v.as_str()))).unwrap();
    let client = Client::new(settings);
    let mut builder = BatchBuilder::new(RECORDS as usize * 9);
    (0..RECORDS).for_each(|_| builder.push(0, Some(b""), None, [].into_iter()));
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let producer = client.init_producer_id(None, Duration::from_secs(60)).await.unwrap();
        let mut stamp = Stamp { producer, sequence: 0 };
        let batch = builder.finish(stamp, Compression::Zstd, None);
        for _ in 0..to / RECORDS {
            let connection = client.connection(To::Leader(topic, 0)).await.unwrap();
            let sent = ProduceBatch::new(topic, 0, restamped(&batch, stamp));
            let answer = connection.produce(&[sent], &ProduceOptions::default()).await.unwrap();
            answer.into_iter().for_each(|outcome| drop(outcome.expect("it is taken")));
            stamp.sequence = stamp.behind(RECORDS as i32);
        }
    });
}

/// What a link that has nothing to do says to its target and hears from it, with the default intervals.
#[test]
#[ignore = "long"]
fn an_idle_link_costs_less_than_1_kb_a_second() {
    const WHILE: Duration = Duration::from_secs(60);
    let start = || clusters::builder().proxied().start().expect("a cluster behind a proxy");
    let (from, to) = (start(), start());
    for mode in [Mode::Identical, Mode::Translated, Mode::Shared] {
        let link = Link::new(mode, Source::new(Kind::Idempotent, &unique("idle")), &from, &to);
        drop(link.source.write_for(&from, &Run::of("long::idle").dice(), Duration::from_secs(1)));
        let config = link.config.clone().topics("refresh = \"5s\"");
        let config =
            config.target(to.client_properties("admin")).target_property("session.timeout.ms", "20000");
        let daemon = config.run();
        let all = client::end_offsets(&from.props(), &link.source.topic).unwrap();
        let count: i64 = all.values().sum();
        daemon.wait_for_records(count as u64);
        // Until the last marks are written.
        std::thread::sleep(Duration::from_secs(5));
        let bytes = || [&from, &to].map(|cluster| cluster.proxy(1).bytes()).map(|(up, down)| up + down);
        let before = bytes();
        std::thread::sleep(WHILE);
        let after = bytes();
        let rate = |side: usize| (after[side] - before[side]) / WHILE.as_secs();
        eprintln!("{mode}, idle: {} B/s to and from the source, {} B/s the target", rate(0), rate(1));
        assert!(rate(1) < 1000, "{} B/s", rate(1));
        daemon.stop().expect(0);
    }
}
