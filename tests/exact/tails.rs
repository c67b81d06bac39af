//! The last offsets of a source that is still: when nothing more comes, the log ends are the same, whatever the last
//! offsets hold; and what is not committed yet is not there.

use std::time::Duration;

use kafka_harness::{
    TestRecord,
    client::{self, ProduceOptions, Transaction},
    daemon::eventually,
    shared::unique,
};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};

use crate::{
    clusters,
    modes::{Link, Mode},
    sources::{Kind, Source},
    view::Reader,
};

#[test]
fn log_ends_become_the_same_behind_markers_and_aborted_records() {
    let (from, to) = clusters::pair();
    let source = Source { partitions: 2, ..Source::new(Kind::Transactional, &unique("tail")) };
    let link = Link::new(Mode::Identical, source, from, to);
    let topic = &link.source.topic;
    let ends = |cluster: &kafka_harness::Cluster| client::end_offsets(&cluster.props(), topic).unwrap();
    let daemon = link.config.run();
    daemon.wait_ready();
    let mut number = 0_u64;
    for end in [
        Some(Transaction::Commit),
        Some(Transaction::Abort),
        None,
        Some(Transaction::Abort),
        Some(Transaction::Abort),
        Some(Transaction::Commit),
    ] {
        let records: Vec<_> = (0..20)
            .map(|_| {
                number += 1;
                TestRecord {
                    partition: (number % 2) as i32,
                    value: Some(number.to_be_bytes().to_vec()),
                    ..TestRecord::default()
                }
            })
            .collect();
        let options = ProduceOptions { transaction: end, ..ProduceOptions::default() };
        client::produce_with(&from.props(), topic, &records, &options).unwrap();
        eventually(&format!("the log ends are the same after {end:?}; log:\n{}", daemon.log()), || {
            (ends(from) == ends(to)).then_some(())
        });
    }

    // An open transaction holds up what is behind it, and nothing is said of it before its end.
    let before = ends(to);
    let mut properties = client::config(&from.props());
    let producer: BaseProducer = properties.set("transactional.id", topic).create().unwrap();
    let long = Duration::from_secs(30);
    producer.init_transactions(long).unwrap();
    for commit in [true, false] {
        let before = if commit { before.clone() } else { ends(to) };
        producer.begin_transaction().unwrap();
        producer.send(BaseRecord::<str, str>::to(topic).partition(0).payload("open")).unwrap();
        producer.flush(long).unwrap();
        let behind = TestRecord { value: Some(vec![u8::from(commit)]), ..TestRecord::default() };
        client::produce(&from.props(), topic, &[behind]).unwrap();
        std::thread::sleep(Duration::from_secs(2));
        assert_eq!(ends(to), before, "not while the transaction is open");
        let done = if commit { producer.commit_transaction(long) } else { producer.abort_transaction(long) };
        done.unwrap();
        eventually("the log ends are the same", || (ends(from) == ends(to)).then_some(()));
    }
    daemon.stop().expect(0);
    link.assert_exact(None, &[Reader::Librdkafka, Reader::Java]);
}

/// Small batches go ahead of the fills behind them, unanswered. One that only the target can tell to be wrong must stop its
/// lane before it all the same, with nothing in its place; and the others, whose batches went with it, must not notice.
#[test]
fn a_batch_that_is_refused_ahead_of_a_fill_stops_its_lane_and_no_other() {
    let (from, to) = clusters::pair();
    let source = Source { partitions: 4, ..Source::new(Kind::Transactional, &unique("ahead")) };
    let link = Link::new(Mode::Identical, source, from, to);
    let topic = &link.source.topic;
    let day = [("message.timestamp.before.max.ms", "86400000")];
    to.alter_topic_config(topic, &day).unwrap();
    let mut properties = client::config(&from.props());
    let producer: BaseProducer = properties.set("transactional.id", topic).create().unwrap();
    let long = Duration::from_secs(30);
    producer.init_transactions(long).unwrap();
    const REFUSED: i32 = 150;
    for transaction in 0..300 {
        producer.begin_transaction().unwrap();
        for partition in 0..4 {
            for record in 0..3 {
                let payload = format!("{transaction}-{record}");
                let record = BaseRecord::<str, str>::to(topic).partition(partition).payload(&payload);
                let old = transaction == REFUSED && partition == 0;
                producer.send(if old { record.timestamp(1) } else { record }).map_err(|(e, _)| e).unwrap();
            }
        }
        producer.commit_transaction(long).unwrap();
    }
    let ends = |cluster: &kafka_harness::Cluster| client::end_offsets(&cluster.props(), topic).unwrap();

    let ended = link.config.run_with(&["--until-caught-up", "-v"]).wait().expect(1);
    let log = &ended.log;
    assert!(log.contains("a batch and a fill failed together"), "it did not go ahead:\n{log}");
    // Three records and a marker each.
    let refused = i64::from(REFUSED) * 4;
    assert!(log.contains(&format!("source offset {refused}")), "{log}");
    assert_eq!(ends(to)[&0], refused, "all before it, and nothing in its place");
    for partition in 1..4 {
        assert_eq!(ends(to)[&partition], ends(from)[&partition], "[{partition}] went on");
    }
    to.alter_topic_config(topic, &[(day[0].0, &i64::MAX.to_string())]).unwrap();
    link.config.run_until_caught_up().expect(0);
    link.assert_exact(None, &[Reader::Librdkafka]);
}
