//! Large records, and topics that take only small batches.

use kafka_harness::{
    client::{self, Load, ProduceOptions},
    daemon::{Config, eventually},
    shared::{pair, unique},
};

use crate::support::{assert_same, create, lane, simple};

#[test]
fn records_up_to_the_sources_limit_arrive() {
    let (source, target) = pair();
    let name = unique("large");
    let (mebi, five, usual) = (format!("{name}-1m"), format!("{name}-5m"), format!("{name}-usual"));
    create(source, &mebi, 1, &[("max.message.bytes", "2000000")]);
    create(source, &five, 2, &[("max.message.bytes", "5000000")]);
    create(source, &usual, 1, &[]);
    let value = |size: usize| (0..size).map(|i| (i * i % 251) as u8).collect::<Vec<u8>>();
    let small = simple("small", b"between");
    let big = [simple("1", &value(1 << 20)), small.clone(), simple("2", &value(1 << 20)), small.clone()];
    let big: Vec<_> = big.iter().cycle().take(20).cloned().collect();
    client::produce(&source.props(), &mebi, &big).unwrap();
    let mut huge = vec![simple("1", &value(4_900_000)), small.clone(), simple("2", &value(4_999_800))];
    huge.push(kafka_harness::TestRecord { partition: 1, ..simple("key", &[9; 3_000_000]) });
    client::produce(&source.props(), &five, &huge).unwrap();
    // As large as Kafka's default lets pass: 1,048,588 bytes with the batch around it.
    let most = [simple("k", &value(1_048_588 - 61 - 16)), small];
    client::produce(&source.props(), &usual, &most).unwrap();

    Config::new(source, target, &format!("{name}-.*"))
        .section("[limits]\nbuffer = \"16MiB\"")
        .run_until_caught_up()
        .expect(0);

    for (topic, records) in [(&mebi, 20), (&five, 4), (&usual, 2)] {
        let arrived = assert_same(source, target, topic);
        assert_eq!(arrived.values().map(Vec::len).sum::<usize>(), records, "{topic}");
    }
}

#[test]
fn batches_stay_below_what_a_target_topic_takes() {
    let (source, target) = pair();
    let topic = unique("narrow");
    create(source, &topic, 2, &[("max.message.bytes", "100000")]);
    let small =
        ProduceOptions { extra: vec![("batch.size".to_owned(), "60000".to_owned())], ..Default::default() };
    let sizes = [10, 1000, 30_000, 99_000, 65_000, 99_900];
    let records: Vec<_> = (0..600_usize).map(|i| simple(&i.to_string(), &vec![7; sizes[i % 6]])).collect();
    client::produce_with(&source.props(), &topic, &records, &small).unwrap();

    Config::new(source, target, &topic).run_until_caught_up().expect(0);

    assert_eq!(assert_same(source, target, &topic)[&0].len(), 600);
    let configs = target.topic_config(&topic).unwrap();
    assert!(configs.contains(&("max.message.bytes".to_owned(), "100000".to_owned())), "{configs:?}");
}

/// A batch's limit counts compressed bytes: what fits the source only compressed goes over compressed, and what does
/// not fit the target even so is refused with the way out.
#[test]
fn a_record_that_fits_only_compressed_arrives_and_one_that_does_not_fit_at_all_is_refused() {
    let (source, target) = pair();
    let topic = unique("squeezable");
    create(source, &topic, 1, &[]);
    create(target, &topic, 1, &[("max.message.bytes", "100000")]);
    let noise = client::noise(150_000);
    let records = [
        simple("before", b"v"),
        simple("large", &[b'a'; 3_000_000]),
        simple("after", b"v"),
        simple("noise", &noise),
    ];
    for codec in ["zstd", "gzip"] {
        let compressed = ProduceOptions { codec: Some(codec.to_owned()), ..Default::default() };
        client::produce_with(&source.props(), &topic, &records[..3], &compressed).unwrap();
    }
    client::produce(&source.props(), &topic, &records[3..]).unwrap();

    let daemon = Config::new(source, target, &topic).run();
    daemon.wait_for_log("max.message.bytes=");
    let status = daemon.status();
    let stopped = lane(&status, &topic, 0);
    assert_eq!((&stopped["state"], &stopped["position"]), (&"stopped".into(), &6.into()), "{stopped:#}");
    target.alter_topic_config(&topic, &[("max.message.bytes", "200000")]).unwrap();
    eventually("it goes on", || (lane(&daemon.status(), &topic, 0)["position"] == 7).then_some(()));
    daemon.stop().expect(0);
    assert_same(source, target, &topic);
}

#[test]
fn a_record_larger_than_the_whole_buffer_passes() {
    let (source, target) = pair();
    let topic = unique("giant");
    create(source, &topic, 3, &[("max.message.bytes", "30000000")]);
    let load = Load { partitions: 3, count: 9, value_size: 25_000_000, ..Load::default() };
    client::load(&source.props(), &topic, &load).unwrap();

    Config::new(source, target, &topic)
        .section("[limits]\nbuffer = \"16MiB\"")
        .run_until_caught_up()
        .expect(0);

    assert_same(source, target, &topic);
}
