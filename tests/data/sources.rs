//! Sources that are not plain: broker timestamps, transactions, compaction.

use std::{collections::BTreeMap, os::unix::fs::FileExt, time::Duration};

use kafka_harness::{
    Cluster, OLD_VERSION, TestRecord,
    client::{self, Isolation, ProduceOptions, TimestampType, Transaction},
    daemon::{Config, eventually},
    shared::{pair, unique},
};

use crate::support::{T, assert_same, contents, create, lane, record, simple};

#[test]
fn from_a_log_append_time_source_the_time_that_its_consumers_see_arrives() {
    let (source, target) = pair();
    let topic = unique("append-time");
    create(source, &topic, 1, &[("message.timestamp.type", "LogAppendTime")]);
    for round in 0..3 {
        let records: Vec<_> = (0..50).map(|i| simple(&format!("{round} {i}"), b"v")).collect();
        let codec = (round == 1).then(|| "zstd".to_owned());
        let options = ProduceOptions { codec, ..Default::default() };
        client::produce_with(&source.props(), &topic, &records, &options).unwrap();
        std::thread::sleep(Duration::from_millis(20));
    }
    let seen = client::read_all(&source.props(), &topic, Isolation::Uncommitted).unwrap();
    assert!(seen[&0].iter().all(|r| r.timestamp_type == TimestampType::LogAppend && r.timestamp > T));

    Config::new(source, target, &topic).run_until_caught_up().expect(0);

    // This looks at the kind of timestamp on the target, too: CreateTime.
    assert_eq!(assert_same(source, target, &topic)[&0].len(), 150);
    let configs = target.topic_config(&topic).unwrap();
    assert!(configs.contains(&("message.timestamp.type".to_owned(), "CreateTime".to_owned())), "{configs:?}");
}

fn transaction(source: &Cluster, topic: &str, name: &str, count: usize, end: Transaction) {
    let records: Vec<_> = (0..count)
        .map(|i| TestRecord { partition: (i % 2) as i32, ..simple(&format!("{name} {i}"), b"v") })
        .collect();
    let options = ProduceOptions { transaction: Some(end), ..Default::default() };
    client::produce_with(&source.props(), topic, &records, &options).unwrap();
}

#[test]
fn of_a_transactional_source_what_is_committed_arrives_and_the_lag_ends_at_0() {
    let (source, target) = pair();
    let topic = unique("transactions");
    create(source, &topic, 3, &[]);
    transaction(source, &topic, "kept", 100, Transaction::Commit);
    transaction(source, &topic, "dropped", 40, Transaction::Abort);
    transaction(source, &topic, "kept too", 60, Transaction::Commit);
    transaction(source, &topic, "dropped at the end", 20, Transaction::Abort);

    let config = Config::new(source, target, &topic);
    config.run_until_caught_up().expect(0);

    let arrived = assert_same(source, target, &topic);
    assert_eq!(arrived.values().map(Vec::len).collect::<Vec<_>>(), [80, 80, 0]);
    let is_dropped = |key: &[u8]| key.starts_with(b"dropped");
    assert!(!arrived.values().flatten().any(|r| r.1.as_deref().is_some_and(is_dropped)));

    // And again as a daemon, with more: a transaction that is aborted while it runs.
    let daemon = config.run();
    daemon.wait_ready();
    transaction(source, &topic, "dropped live", 10, Transaction::Abort);
    let end = client::end_offsets(&source.props(), &topic).unwrap();
    let status = eventually("the position is at the end", || {
        let status = daemon.status();
        let there = |p: i32| lane(&status, &topic, p)["position"] == end[&p];
        (there(0) && there(1) && there(2)).then_some(status)
    });
    assert_eq!((&status["totals"]["records"], &status["totals"]["lag_records"]), (&0.into(), &0.into()));
    // 5 records and their marker.
    let labels = [("topic", &*topic), ("partition", "0"), ("cause", "transaction")];
    assert_eq!(daemon.metric("isomirror_gap_offsets_total", &labels), Some(6.0));
    transaction(source, &topic, "kept live", 10, Transaction::Commit);
    daemon.wait_for_records(10);
    daemon.stop().expect(0);
    assert_eq!(assert_same(source, target, &topic)[&0].len(), 85);
}

#[test]
fn an_open_transaction_is_waited_for() {
    use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
    let (source, target) = pair();
    let topic = unique("open");
    create(source, &topic, 1, &[]);
    let mut properties = client::config(&source.props());
    let producer: BaseProducer = properties.set("transactional.id", &topic).create().unwrap();
    let long = Duration::from_secs(30);
    producer.init_transactions(long).unwrap();
    producer.begin_transaction().unwrap();
    producer.send(BaseRecord::to(&topic).partition(0).key("open").payload("v").timestamp(T)).unwrap();
    producer.flush(long).unwrap();
    client::produce(&source.props(), &topic, &[simple("behind", b"v")]).unwrap();

    let daemon = Config::new(source, target, &topic).run();
    daemon.wait_ready();
    std::thread::sleep(Duration::from_secs(1));
    assert_eq!(client::end_offsets(&target.props(), &topic).unwrap()[&0], 0, "not yet committed");
    producer.commit_transaction(long).unwrap();
    daemon.wait_for_records(2);
    daemon.stop().expect(0);
    assert_same(source, target, &topic);
}

#[test]
fn a_compacted_source_with_holes_arrives_tombstones_and_all() {
    let (source, target) = pair();
    let topic = unique("compacted");
    let compacted =
        [("cleanup.policy", "compact"), ("segment.ms", "500"), ("min.cleanable.dirty.ratio", "0.01")];
    create(source, &topic, 1, &compacted);
    // The target's own cleaner must not blur what the mirror did.
    create(target, &topic, 1, &[("cleanup.policy", "compact"), ("min.compaction.lag.ms", "86400000")]);
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_millis() as i64;
    // Each round is a second later by its timestamps, and so rolls the segment, which may then be cleaned.
    let write = |round: i32| {
        let records: Vec<_> = (0..400)
            .filter(|i| round == 0 || i % 3 > 0)
            .map(|i| {
                let value = (i % 5 > 0).then(|| format!("{round} {i}"));
                let key = i.to_string();
                record(
                    0,
                    Some(key.as_bytes()),
                    value.as_ref().map(String::as_bytes),
                    &[],
                    now + i64::from(round) * 1000,
                )
            })
            .collect();
        client::produce(&source.props(), &topic, &records).unwrap();
    };
    (0..4).for_each(write);
    let end = client::end_offsets(&source.props(), &topic).unwrap()[&0];
    let seen = eventually("the source's log cleaner has been here", || {
        let seen = client::read_all(&source.props(), &topic, Isolation::Committed).unwrap().remove(&0)?;
        ((seen.len() as i64) < end - 500).then_some(seen)
    });
    assert!(seen.iter().any(|r| r.value.is_none()), "there are tombstones");

    let daemon = Config::new(source, target, &topic).run();
    let status = daemon.wait_for_records(seen.len() as u64);
    assert_eq!(
        lane(&status, &topic, 0)["position"],
        client::end_offsets(&source.props(), &topic).unwrap()[&0]
    );
    let labels = [("topic", &*topic), ("cause", "compaction")];
    let gaps = daemon.metric("isomirror_gap_offsets_total", &labels);
    daemon.stop().expect(0);

    let arrived =
        client::read_all(&target.props(), &topic, Isolation::Uncommitted).unwrap().remove(&0).unwrap();
    // The cleaner may go on while the mirror reads: compare with what was seen where nothing was cleaned since.
    let keyed = |r: &kafka_harness::ReadRecord| (r.timestamp, r.key.clone(), r.value.clone());
    assert_eq!(arrived.iter().map(keyed).collect::<Vec<_>>(), seen.iter().map(keyed).collect::<Vec<_>>());
    assert_eq!(gaps, Some((end - seen.len() as i64) as f64));
}

/// Logs that are older than their brokers have messages of the formats before Kafka 0.11; brokers from 4.0 have none.
/// (librdkafka 2.12 can't read them: it hangs, or aborts the process.)
#[test]
fn messages_of_the_old_formats_arrive() {
    let source = Cluster::builder().version(OLD_VERSION).start().unwrap();
    let target = pair().1;
    let name = unique("old-format");
    let formats =
        [("0.9.0", &["none", "gzip", "snappy"][..]), ("0.10.2", &["none", "gzip", "snappy", "lz4"])];
    let mut expected = BTreeMap::new();
    for (format, codecs) in formats {
        let topic = format!("{name}-{format}");
        create(&source, &topic, 1, &[("message.format.version", format)]);
        let mut written = Vec::new();
        for codec in codecs {
            let value = |i: u32| format!("{codec} {i}").repeat(i as usize % 9);
            let one = |i: u32| {
                let (key, value) = (i.to_be_bytes(), value(i));
                record(0, Some(&key), Some(value.as_bytes()), &[], T + i64::from(i))
            };
            let records: Vec<_> = (0..2000).map(one).collect();
            let extra = vec![("enable.idempotence".to_owned(), "false".to_owned())];
            let options = ProduceOptions { codec: Some((*codec).to_owned()), extra, ..Default::default() };
            client::produce_with(&source.props(), &topic, &records, &options).unwrap();
            written.extend(records);
        }
        if format == "0.9.0" {
            written.iter_mut().for_each(|record| record.timestamp = Some(-1));
        }
        // The topic was upgraded later: its log has both.
        source.alter_topic_config(&topic, &[("message.format.version", "2.8")]).unwrap();
        let new = record(0, None, Some(b"new"), &[("h", None)], T);
        client::produce(&source.props(), &topic, std::slice::from_ref(&new)).unwrap();
        written.push(new);
        expected.insert(topic, written);
    }

    let config = Config::new(&source, target, &format!("{name}-.*"));
    config.engine("batches").run_until_caught_up().expect(0);

    for (topic, written) in expected {
        let arrived = contents(client::read_all(&target.props(), &topic, Isolation::Uncommitted).unwrap());
        assert_eq!(arrived[&0].len(), written.len(), "{topic}");
        for (offset, (record, arrived)) in written.into_iter().zip(&arrived[&0]).enumerate() {
            let record = (record.timestamp.unwrap(), record.key, record.value, record.headers);
            assert!(record == *arrived, "{topic} {offset}: {record:?} became {arrived:?}");
        }
    }
}

/// Changes a bit of a batch in a partition's log, as a bad disk does.
fn damage(cluster: &Cluster, topic: &str, batch: usize) {
    let folder = cluster.data_dir(1).unwrap().join(format!("{topic}-0"));
    let path = folder.join("00000000000000000000.log");
    let log = std::fs::read(&path).unwrap();
    let mut at = 0;
    for _ in 0..batch {
        at += 12 + i32::from_be_bytes(log[at + 8..at + 12].try_into().unwrap()) as usize;
    }
    // In place: the broker has the file open.
    let file = std::fs::OpenOptions::new().write(true).open(path).unwrap();
    file.write_all_at(&[log[at + 100] ^ 4], at as u64 + 100).unwrap();
}

#[test]
fn a_corrupt_batch_stops_its_lane_and_what_is_before_it_arrives() {
    let (source, target) = pair();
    let name = unique("corrupt");
    // Batches that go on as they are, and small ones that are put together.
    for (kind, count) in [("large", 20), ("small", 3)] {
        let topic = format!("{name}-{kind}");
        create(source, &topic, 2, &[]);
        for _ in 0..4 {
            client::produce(&source.props(), &topic, &vec![simple("k", &[7; 1000]); count]).unwrap();
        }
        client::produce(&source.props(), &topic, &[record(1, None, Some(b"whole"), &[], T)]).unwrap();
        damage(source, &topic, 2);
    }

    let ended = Config::new(source, target, &format!("{name}-.*")).run_until_caught_up().expect(5);

    for (kind, count) in [("large", 20), ("small", 3)] {
        let topic = format!("{name}-{kind}");
        let ends = client::end_offsets(&target.props(), &topic).unwrap();
        assert_eq!(ends.into_values().collect::<Vec<_>>(), [2 * count, 1], "{kind}:\n{}", ended.log);
        let named = |line: &str| {
            line.contains("corrupt")
                && line.contains(&format!("{topic}[0]"))
                && line.contains(&format!(" {} ", 2 * count))
        };
        assert!(ended.log.lines().any(named), "{topic}, offset {}:\n{}", 2 * count, ended.log);
    }
}
