//! What an earlier run had sent arrives late: it must not pass for what this run sends, nor push it on unnoticed. And what
//! a run has found wrong on the target, the next ones know.

use std::time::Duration;

use kafka_harness::{
    Cluster,
    client::{self, Isolation},
    daemon::eventually,
    shared::unique,
};
use kafka_wire::{
    Client, Code, ProduceBatch, ProduceOptions, ProducerIdentity, Settings, To, TxnMarker,
    records::{BatchBuilder, BatchHeader, Batches, Compression, Stamp, next_sequence},
};
use tokio::runtime::Runtime;

use crate::{
    clusters,
    dice::Run,
    modes::{Link, Mode},
    sources::{Kind, Source},
    view::{Reader, View, view},
};

const WHILE: Duration = Duration::from_millis(500);

fn wire(cluster: &Cluster) -> Client {
    let props = cluster.props();
    Client::new(Settings::new(props.iter().map(|(k, v)| (k.as_str(), v.as_str()))).unwrap())
}

/// The headers of all batches of the only partition, those of control records too.
fn headers(runtime: &Runtime, cluster: &Cluster, topic: &str) -> Vec<BatchHeader> {
    let client = wire(cluster);
    let end = client::end_offsets(&cluster.props(), topic).unwrap()[&0];
    let mut headers: Vec<BatchHeader> = Vec::new();
    runtime.block_on(async {
        let mut from = 0;
        while from < end {
            let isolation = kafka_wire::Isolation::ReadUncommitted;
            let fetched = client.fetch_raw(topic, 0, from, 1 << 20, isolation).await.unwrap();
            let batches = Batches::new(fetched.records).map_while(Result::ok).map(|batch| batch.header);
            headers.extend(batches.filter(|header| header.base_offset >= from));
            from = headers.last().expect("a batch").next_offset();
        }
    });
    headers
}

/// One that grows with time, as the daemon's do.
fn coordinator_epoch() -> i32 {
    let since = std::time::UNIX_EPOCH.elapsed().unwrap().as_millis() as u64;
    i32::try_from((since - 1_735_689_600_000) / 250).unwrap()
}

/// Who wrote the last batch of records, and the sequence number that follows it.
fn last_writer(headers: &[BatchHeader]) -> (ProducerIdentity, i32) {
    let last = headers.iter().rfind(|header| !header.is_control()).expect("a batch of records");
    let next = next_sequence(last.base_sequence, last.last_offset_delta + 1);
    (ProducerIdentity { id: last.producer_id, epoch: last.producer_epoch }, next)
}

/// Sends a batch as a run that was killed may have sent it.
fn send_late(
    runtime: &Runtime,
    to: &Cluster,
    topic: &str,
    (producer, sequence): (ProducerIdentity, i32),
) -> Result<i64, Code> {
    let mut builder = BatchBuilder::new(0);
    (0..3).for_each(|_| builder.push(1, Some(b"late"), Some(b"late"), [].into_iter()));
    let bytes = builder.finish(Stamp { producer, sequence }, Compression::None, None);
    runtime.block_on(async {
        let connection = wire(to).connection(To::Leader(topic, 0)).await.unwrap();
        let sent = connection.produce(&[ProduceBatch::new(topic, 0, bytes)], &ProduceOptions::default());
        let outcome = sent.await.unwrap().into_iter().next().expect("one");
        outcome.map(|produced| produced.base_offset).map_err(|refused| refused.code)
    })
}

fn target(link: &Link<'_>) -> View {
    view(link.to, &link.source.topic, Isolation::Uncommitted, Reader::Librdkafka)
}

/// From its first gap on a run numbers its batches by itself: what the source has deleted since the last run moves them.
#[test]
fn an_earlier_runs_batch_is_refused_once_a_gap_was_filled() {
    let run = Run::of("late::an_earlier_runs_batch_is_refused_once_a_gap_was_filled");
    let (from, to) = clusters::pair();
    let runtime = Runtime::new().unwrap();
    // Each transaction's end is a gap; the last record before it is the first run's last.
    let source = Source { partitions: 1, ..Source::new(Kind::Transactional, &unique("late")) };
    let link = Link::new(Mode::Identical, source, from, to);
    let topic = &link.source.topic;
    let write = |part| link.source.write_for(from, &run.dice().of(part), WHILE);
    let history = write(1);
    link.config.run_until_caught_up().expect(0);
    let first = last_writer(&headers(&runtime, to, topic));

    let history = history.and(write(2));
    link.config.run_until_caught_up().expect(0);
    let second = last_writer(&headers(&runtime, to, topic));
    assert_eq!(second.0.id, first.0.id, "the id is gone on with");
    assert_eq!(second.0.epoch, first.0.epoch + 1, "under an epoch of its own");
    // The number that would have followed, and the one that would now.
    for late in [first, (first.0, second.1)] {
        assert_eq!(send_late(&runtime, to, topic, late), Err(Code::InvalidProducerEpoch), "{late:?}");
    }

    // A run that ends behind the fill, before a batch of its own: the next one knows by the markers.
    let at = client::end_offsets(&to.props(), topic).unwrap()[&0];
    let marker = |producer| TxnMarker {
        producer,
        coordinator_epoch: coordinator_epoch(),
        commit: true,
        topic: topic.as_str().into(),
        partition: 0,
    };
    let next = ProducerIdentity { epoch: second.0.epoch + 1, ..second.0 };
    let nobody = ProducerIdentity { id: 1_000_000, epoch: 0 };
    for (cluster, producer) in [(from, nobody), (to, next)] {
        let written = runtime.block_on(wire(cluster).write_txn_markers(1, &[marker(producer)])).unwrap();
        assert_eq!(written, [Ok(())]);
    }
    let history = history.and(write(3));
    link.config.run_until_caught_up().expect(0);
    let headers = headers(&runtime, to, topic);
    let third =
        headers.iter().find(|header| header.base_offset > at && !header.is_control()).expect("a batch");
    assert_eq!((third.producer_id, third.base_sequence), (next.id, 0), "it goes on behind the marker");
    // Where the first transaction is an aborted one, the first gap comes before the first record.
    assert!((next.epoch..=next.epoch + 1).contains(&third.producer_epoch), "{}", third.producer_epoch);
    link.assert_exact(Some(&history), &[Reader::Librdkafka]);
}

/// Compaction may take records on either side, so a control record behind the last record says nothing by itself.
#[test]
fn what_was_found_on_the_target_is_known_to_later_runs() {
    let run = Run::of("late::what_was_found_on_the_target_is_known_to_later_runs");
    let (from, to) = clusters::pair();
    let runtime = Runtime::new().unwrap();
    let source = Source { partitions: 1, ..Source::new(Kind::Compacted, &unique("found")) };
    let link = Link::new(Mode::Identical, source, from, to);
    let topic = &link.source.topic;
    let history = link.source.write_for(from, &run.dice().of(1), WHILE);
    let daemon = link.config.run();
    let lane = || {
        let status = daemon.status();
        status["lanes"].as_array().and_then(|lanes| lanes.first().cloned())
    };
    eventually("all is mirrored", || {
        lane().filter(|lane| lane["state"] == "running" && lane["lag_records"] == 0).map(drop)
    });
    let end = client::end_offsets(&to.props(), topic).unwrap()[&0];
    let marker = TxnMarker {
        producer: ProducerIdentity { id: 1_000_000, epoch: 0 },
        coordinator_epoch: 0,
        commit: false,
        topic: topic.as_str().into(),
        partition: 0,
    };
    assert_eq!(runtime.block_on(wire(to).write_txn_markers(1, &[marker])).unwrap(), [Ok(())]);
    eventually("its lane stops", || lane().filter(|lane| lane["state"] == "stopped").map(drop));
    eventually("it is on record", || {
        let checked = link.config.command("check", &[]);
        let told = String::from_utf8_lossy(&checked.stdout).contains("found by an earlier run");
        (told && checked.status.code() == Some(3)).then_some(())
    });
    daemon.stop();

    // The source has a record where the stranger's lies.
    let history = history.and(link.source.write_for(from, &run.dice().of(2), WHILE));
    let before = target(&link);
    let ended = link.config.run_until_caught_up().expect(5);
    let says = [&format!("ends at offset {}", end + 1), "found by an earlier run", "marks CONFIG forget"];
    for words in says {
        assert!(ended.log.contains(words), "{words}: {}", ended.log);
    }
    assert!(target(&link) == before, "nothing is written behind it");
    // As it says.
    to.delete_topic(topic).unwrap();
    to.create_topic(topic, 1, 1, link.source.kind.target_config()).unwrap();
    let forgotten = link.config.command("marks", &["forget", "--topic", topic]);
    assert!(forgotten.status.success(), "{}", String::from_utf8_lossy(&forgotten.stderr));
    link.config.run_until_caught_up().expect(0);
    link.assert_exact(Some(&history), &[Reader::Librdkafka]);
}
