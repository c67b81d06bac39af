//! Records of every shape that librdkafka can write.

use kafka_harness::{
    client::{self, ProduceOptions},
    daemon::Config,
    shared::{pair, unique},
};

use crate::support::{T, assert_same, create, record, simple};

#[test]
fn odd_records_arrive_as_they_were() {
    let (source, target) = pair();
    let topic = unique("odd");
    create(source, &topic, 2, &[]);
    let long_name = "n".repeat(40_000);
    let mut records = vec![
        record(0, None, None, &[], T),
        record(0, Some(b""), Some(b""), &[], T),
        record(0, None, Some(b"no key"), &[], T),
        record(0, Some(b"tombstone"), None, &[], T),
        record(
            1,
            Some(b"k"),
            Some(b"v"),
            &[("a", None), ("a", Some(b"")), ("b", Some(b"x")), ("a", Some(b"2")), ("a", Some(b"2"))],
            T,
        ),
        record(1, Some(b"k"), Some(b"v"), &[("", Some(b"empty name")), ("", None), ("", Some(b""))], T),
        record(1, None, None, &[("z\u{e4}\u{1f600}\u{202e}", Some(&[0, 255, 1]))], T),
        record(1, Some(&[0, 1, 255]), Some(&[0; 1000]), &[(&long_name, Some(&[7; 50_000]))], T),
        record(0, Some(b"no time"), Some(b"v"), &[], -1),
        record(0, Some(b"no time either"), None, &[("h", None)], -1),
        record(0, Some(b"first millisecond"), Some(b"v"), &[], 1),
        record(0, Some(b"1999"), Some(b"v"), &[], 915_148_800_000),
        record(0, Some(b"9999"), Some(b"v"), &[], 253_402_300_799_999),
        record(0, Some(b"later"), Some(b"earlier"), &[], T - 1_000_000),
        record(1, Some(b"many"), None, &[("same", Some(b"x".as_slice())); 500], T),
        record(1, Some(&[b'k'; 100_000]), Some(b"a key larger than its value"), &[], T),
    ];
    let fields = [None, Some(b"".as_slice()), Some(b"x".as_slice())];
    for key in fields {
        for value in fields {
            for header in fields {
                records.push(record(0, key, value, &[], T));
                records.push(record(1, key, value, &[("h", header)], T));
            }
        }
    }
    // Without time, in front of others in one batch and behind them.
    records.insert(0, record(0, Some(b"no time, first"), None, &[], -1));
    client::produce(&source.props(), &topic, &records).unwrap();

    Config::new(source, target, &topic).run_until_caught_up().expect(0);

    let arrived = assert_same(source, target, &topic);
    for (partition, arrived) in arrived {
        let sent = records.iter().filter(|r| r.partition == partition);
        let sent = sent.map(|r| (r.timestamp.unwrap(), r.key.clone(), r.value.clone(), r.headers.clone()));
        assert!(sent.eq(arrived), "partition {partition}");
    }
}

#[test]
fn records_in_every_codec_arrive_as_they_were() {
    let (source, target) = pair();
    let name = unique("codec");
    for codec in ["none", "gzip", "snappy", "lz4", "zstd"] {
        let topic = format!("{name}-{codec}");
        create(source, &topic, 2, &[]);
        let value = |i: u32| format!("{i} all work and no play ").repeat(i as usize % 40).into_bytes();
        let header = |i: u32| i.to_be_bytes();
        let records: Vec<_> = (0..5000_u32)
            .map(|i| {
                record(
                    (i % 2) as i32,
                    Some(&i.to_be_bytes()),
                    Some(&value(i)),
                    &[("i", Some(&header(i)))],
                    T + i64::from(i),
                )
            })
            .collect();
        let options = ProduceOptions { codec: Some(codec.to_owned()), ..Default::default() };
        client::produce_with(&source.props(), &topic, &records, &options).unwrap();
    }

    Config::new(source, target, &format!("{name}-.*")).run_until_caught_up().expect(0);

    for codec in ["none", "gzip", "snappy", "lz4", "zstd"] {
        let arrived = assert_same(source, target, &format!("{name}-{codec}"));
        assert_eq!(arrived.values().map(Vec::len).sum::<usize>(), 5000, "{codec}");
    }
}

#[test]
fn the_target_may_be_compressed_on_its_way() {
    let (source, target) = pair();
    let name = unique("squeezed");
    create(source, &name, 1, &[]);
    let records: Vec<_> = (0..3000).map(|i| simple(&i.to_string(), &[b'a'; 700])).collect();
    client::produce(&source.props(), &name, &records).unwrap();
    for codec in ["gzip", "snappy", "lz4", "zstd"] {
        let topic = format!("{name}-{codec}");
        let mut properties = target.client_properties("admin");
        properties.push(("compression.type".to_owned(), codec.to_owned()));
        Config::new(source, target, &name)
            .topics(&format!("rename = {{ \"{name}\" = \"{topic}\" }}"))
            .target(properties)
            .run_until_caught_up()
            .expect(0);
        let before = client::read_all(&source.props(), &name, client::Isolation::Uncommitted).unwrap();
        let after = client::read_all(&target.props(), &topic, client::Isolation::Uncommitted).unwrap();
        assert!(before == after, "{codec}");
        let log = target.data_dir(1).unwrap().join(format!("{topic}-0/00000000000000000000.log"));
        let size = log.metadata().unwrap().len();
        assert!(size < 3000 * 700 / 2, "{codec}: {size} bytes");
    }
}
