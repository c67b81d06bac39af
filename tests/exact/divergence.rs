//! What can't be mirrored exactly is told, with offsets, and stops its lane before anything is written: retention that
//! overtakes, a recreated or truncated source, a stranger's records on the target. Other lanes go on.

use std::{fs, path::Path, thread::sleep, time::Duration};

use kafka_harness::{
    Cluster, TestRecord,
    client::{self, Isolation, ProduceOptions, Transaction},
    daemon::{Config, eventually},
    shared::unique,
};
use kafka_wire::{Client, ProducerIdentity, Settings, TxnMarker};

use crate::{
    clusters,
    dice::Run,
    modes::{Link, Mode, strange},
    sources::{History, Kind, Source},
    view::{Reader, View, view},
};

const WHILE: Duration = Duration::from_millis(1500);

/// Two lanes: 0 is troubled, 1 must not notice.
fn link<'a>(name: &str, from: &'a Cluster, to: &'a Cluster) -> Link<'a> {
    let source = Source { partitions: 2, ..Source::new(Kind::Idempotent, &unique(name)) };
    Link::new(Mode::Identical, source, from, to)
}

fn write(link: &Link<'_>, run: &Run, part: u32) -> History {
    link.source.write_for(link.from, &run.dice().of(part), WHILE)
}

fn target(link: &Link<'_>) -> View {
    view(link.to, &link.source.topic, Isolation::Uncommitted, Reader::Librdkafka)
}

/// Log end of a partition on both sides.
fn ends(link: &Link<'_>, partition: i32) -> (i64, i64) {
    let end =
        |cluster: &Cluster| client::end_offsets(&cluster.props(), &link.source.topic).unwrap()[&partition];
    (end(link.from), end(link.to))
}

/// A run must end with code 5, with all of these in its log, and leave the troubled lanes as they are.
#[track_caller]
fn refused(link: &Link<'_>, config: &Config, troubled: &[i32], says: &[String]) {
    let before = target(link);
    let ended = config.run_until_caught_up().expect(5);
    for words in says {
        assert!(ended.log.contains(words), "the log does not say {words:?}:\n{}", ended.log);
    }
    let after = target(link);
    for partition in troubled {
        let (before, after) = (&before[partition], &after[partition]);
        assert!(before == after, "[{partition}] ended at {:?}, now {:?}", before.bounds, after.bounds);
    }
    for partition in after.keys().filter(|p| !troubled.contains(p)) {
        let (source, target) = ends(link, *partition);
        assert_eq!(source, target, "[{partition}] went on");
    }
}

#[test]
fn retention_that_overtakes_stops_its_lane_or_is_skipped_with_the_offsets_kept() {
    let run =
        Run::of("divergence::retention_that_overtakes_stops_its_lane_or_is_skipped_with_the_offsets_kept");
    let (from, to) = clusters::pair();
    let link = link("retention", from, to);
    let history = write(&link, &run, 1);
    link.config.run_until_caught_up().expect(0);
    let position = ends(&link, 0).1;
    let history = history.and(write(&link, &run, 2));
    let cut = (position + ends(&link, 0).0) / 2;
    from.delete_records(&link.source.topic, 0, cut).unwrap();

    refused(&link, &link.config, &[0], &[position.to_string(), (cut - 1).to_string()]);

    let Link { config, .. } = link;
    let link = Link { config: config.section("[policy]\nloss = 'skip'"), ..link };
    // It goes on behind the loss, and the exit code tells of it once.
    link.config.run_until_caught_up().expect(5);
    link.config.run_until_caught_up().expect(0);
    link.assert_exact(Some(&history), &[Reader::Librdkafka]);
}

#[test]
fn a_recreated_source_topic_is_not_mixed_with_what_it_was() {
    let run = Run::of("divergence::a_recreated_source_topic_is_not_mixed_with_what_it_was");
    let (from, to) = clusters::pair();
    // Once with fewer records than before, once with more.
    for parts in [1, 3] {
        let link = link("recreated", from, to);
        (0..2).for_each(|part| drop(write(&link, &run, part)));
        link.config.run_until_caught_up().expect(0);
        from.delete_topic(&link.source.topic).unwrap();
        link.source.create(from, 1);
        (0..parts).for_each(|part| drop(write(&link, &run, 10 + part)));
        refused(&link, &link.config, &[0, 1], &["recreated".to_owned()]);
    }
}

#[test]
fn a_stranger_on_the_target_is_noticed_before_anything_is_written_behind_it() {
    let run = Run::of("divergence::a_stranger_on_the_target_is_noticed_before_anything_is_written_behind_it");
    let (from, to) = clusters::pair();
    let link = link("stranger", from, to);
    write(&link, &run, 1);
    link.config.run_until_caught_up().expect(0);
    let at = ends(&link, 0).1;
    strange(to, &link.source.topic, 0, 1);
    // The target is ahead; then the source is, too.
    refused(&link, &link.config, &[0], &[at.to_string()]);
    write(&link, &run, 2);
    refused(&link, &link.config, &[0], &[at.to_string()]);
}

/// What a stranger leaves behind the last record where no consumer sees it: a lone control record, as the abort of a
/// hanging transaction leaves it; or a record of its own, and the transaction's end behind it.
#[test]
fn a_strangers_transaction_on_the_target_is_noticed_by_every_exclusive_lane() {
    let run = Run::of("divergence::a_strangers_transaction_on_the_target_is_noticed_by_every_exclusive_lane");
    let (from, to) = clusters::pair();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    for (mode, lone) in [
        (Mode::Identical, true),
        (Mode::Identical, false),
        (Mode::Translated, true),
        (Mode::Translated, false),
    ] {
        let source = Source { partitions: 1, ..Source::new(Kind::Idempotent, &unique("behind")) };
        let link = Link::new(mode, source, from, to);
        let topic = &link.source.topic;
        write(&link, &run, 1);
        link.config.run_until_caught_up().expect(0);
        if lone {
            let props = to.props();
            let settings = Settings::new(props.iter().map(|(k, v)| (k.as_str(), v.as_str()))).unwrap();
            let client = Client::new(settings);
            let producer = ProducerIdentity { id: 1_000_000, epoch: 0 };
            let marker = TxnMarker {
                producer,
                coordinator_epoch: 0,
                commit: false,
                topic: topic.as_str().into(),
                partition: 0,
            };
            let written = runtime.block_on(client.write_txn_markers(1, &[marker])).unwrap();
            assert_eq!(written, [Ok(())]);
        } else {
            let record = TestRecord { value: Some(b"a stranger's".to_vec()), ..TestRecord::default() };
            let options =
                ProduceOptions { transaction: Some(Transaction::Commit), ..ProduceOptions::default() };
            client::produce_with(&to.props(), topic, &[record], &options).unwrap();
        }
        let before = target(&link);
        write(&link, &run, 2);
        let ended = link.config.run_until_caught_up().expect(5);
        assert!(ended.log.contains("somebody else has written"), "{mode}, {lone}: {}", ended.log);
        assert!(target(&link) == before, "{mode}, {lone}: nothing is written behind it");
    }
}

#[test]
fn a_fresh_link_does_not_take_an_emptied_target_for_a_copy() {
    let run = Run::of("divergence::a_fresh_link_does_not_take_an_emptied_target_for_a_copy");
    let (from, to) = clusters::pair();
    let source = Source { partitions: 1, ..Source::new(Kind::Idempotent, &unique("emptied")) };
    let link = Link::new(Mode::Identical, source, from, to);
    write(&link, &run, 1);
    strange(to, &link.source.topic, 0, 10);
    to.delete_records(&link.source.topic, 0, 10).unwrap();
    let ended = link.config.run_until_caught_up().expect(3);
    assert!(ended.log.contains("holds no record"), "{}", ended.log);
    assert_eq!(ends(&link, 0).1, 10, "nothing is written to it");
    let checked = link.config.command("check", &["--output", "json"]);
    let said = String::from_utf8_lossy(&checked.stdout);
    assert_eq!(checked.status.code(), Some(3), "{said}");
    assert!(said.contains("target-emptied"), "{said}");
}

#[test]
fn a_stranger_beside_a_running_link_stops_the_lane() {
    let run = Run::of("divergence::a_stranger_beside_a_running_link_stops_the_lane");
    let (from, to) = clusters::pair();
    let link = link("beside", from, to);
    let writing = link.source.start(from, &run.dice());
    let mut daemon = link.config.run();
    crate::chaos::wait_for_progress(&link, &mut daemon);
    strange(to, &link.source.topic, 0, 1);
    let state = |partition: i64| {
        let status = daemon.status();
        let lanes = status["lanes"].as_array().expect("lanes").clone();
        lanes.into_iter().find(|lane| lane["partition"] == partition).expect("a lane")
    };
    let stopped = eventually("its lane stops", || Some(state(0)).filter(|lane| lane["state"] == "stopped"));
    let reason = stopped["reason"].as_str().expect("a reason");
    assert!(reason.contains(|c: char| c.is_ascii_digit()), "{reason}");
    let stands = ends(&link, 0).1;
    sleep(Duration::from_secs(2));
    assert_eq!(ends(&link, 0).1, stands, "nothing more is written to it");
    drop(writing.stop());
    eventually("the other lane is whole", || {
        let (source, target) = ends(&link, 1);
        (source == target).then_some(())
    });
    daemon.stop();
}

#[test]
fn a_stranger_beside_a_link_that_has_nothing_to_do_stops_the_lane() {
    let run = Run::of("divergence::a_stranger_beside_a_link_that_has_nothing_to_do_stops_the_lane");
    let (from, to) = clusters::pair();
    for mode in [Mode::Identical, Mode::Translated] {
        let source = Source { partitions: 2, ..Source::new(Kind::Transactional, &unique("idle")) };
        let link = Link::new(mode, source, from, to);
        write(&link, &run, 1);
        let daemon = link.config.run();
        let lane = |partition: i64| {
            let status = daemon.status();
            let lanes = status["lanes"].as_array().expect("lanes").clone();
            lanes.into_iter().find(|lane| lane["partition"] == partition)
        };
        eventually("all is mirrored", || {
            let idle =
                |p: i64| lane(p).is_some_and(|lane| lane["state"] == "running" && lane["lag_records"] == 0);
            (idle(0) && idle(1)).then_some(())
        });
        // Ends are asked for all the time, and explain themselves.
        sleep(Duration::from_secs(5));
        assert!(!daemon.log().contains("lane stopped"), "{mode:?}: {}", daemon.log());
        let at = ends(&link, 0).1;
        strange(to, &link.source.topic, 0, 3);
        let stopped = eventually("its lane stops", || lane(0).filter(|lane| lane["state"] == "stopped"));
        let reason = stopped["reason"].as_str().expect("a reason");
        assert!(reason.contains("somebody else has written"), "{mode:?}: {reason}");
        assert!(reason.contains(&format!("ends at offset {}", at + 3)), "{mode:?}: {reason}");
        write(&link, &run, 2);
        eventually("the other lane goes on", || {
            lane(1).is_some_and(|lane| lane["state"] == "running" && lane["lag_records"] == 0).then_some(())
        });
        assert_eq!(ends(&link, 0).1, at + 3, "{mode:?}: nothing is written behind it");
        daemon.stop();
        link.config.run_until_caught_up().expect(5);
    }
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a folder");
    for entry in fs::read_dir(from).expect("a folder").map(|entry| entry.expect("an entry")) {
        let into = to.join(entry.file_name());
        if entry.file_type().expect("a type").is_dir() {
            copy(&entry.path(), &into);
        } else {
            fs::copy(entry.path(), into).expect("a copy");
        }
    }
}

/// The source's disk is restored from a copy: it forgets records that were mirrored, and later has others in their place.
#[test]
fn a_source_that_was_restored_from_a_backup_is_noticed() {
    let run = Run::of("divergence::a_source_that_was_restored_from_a_backup_is_noticed");
    let (_, to) = clusters::pair();
    let from = clusters::builder().start().expect("a cluster");
    let link = link("restored", &from, to);
    drop(write(&link, &run, 1));
    let data = from.data_dir(1).unwrap();
    let backup = tempfile::tempdir().expect("a folder");
    from.stop(1).unwrap();
    copy(&data, backup.path());
    from.start(1).unwrap();
    drop(write(&link, &run, 2));
    link.config.run_until_caught_up().expect(0);

    from.stop(1).unwrap();
    fs::remove_dir_all(&data).expect("removed");
    copy(backup.path(), &data);
    from.start(1).unwrap();
    let (source, target) = ends(&link, 0);
    assert!(source < target, "the source went back: {source}, {target}");
    refused(&link, &link.config, &[0, 1], &[source.to_string(), target.to_string()]);
    // Now it is longer than the target, and its records there are not the target's.
    (3..6).for_each(|part| drop(write(&link, &run, part)));
    assert!(ends(&link, 0).0 > target);
    refused(&link, &link.config, &[0, 1], &[]);
}

/// All in-sync replicas die and one that was behind leads: what was mirrored from them is no more.
#[test]
fn an_unclean_election_on_the_source_is_noticed() {
    let run = Run::of("divergence::an_unclean_election_on_the_source_is_noticed");
    let (_, to) = clusters::pair();
    let from = clusters::builder().brokers(3).heap("320m").start().expect("three brokers");
    let link = |mode: Mode| {
        let source = Source { partitions: 1, ..Source::new(Kind::Idempotent, &unique("unclean")) };
        let link = Link::new(mode, source, &from, to);
        from.alter_topic_config(&link.source.topic, &[("unclean.leader.election.enable", "true")]).unwrap();
        from.wait_isr(&link.source.topic, 3).unwrap();
        link
    };
    let skipping = |mode: Mode| {
        let link = link(mode);
        Link { config: link.config.clone().section("[policy]\nloss = 'skip'"), ..link }
    };
    // One that stops, one that goes on behind the loss, and one that does so while it runs.
    let (stops, skips, runs) =
        (link(Mode::Identical), skipping(Mode::Translated), skipping(Mode::Translated));
    let all = [&stops, &skips, &runs];
    let write_all = |part| all.iter().for_each(|link| drop(write(link, &run, part)));
    write_all(1);
    let daemon = runs.config.run();
    // The last one alive leads in an epoch of its own: the point of the truncation lies in the one before.
    let first = from.leader(&runs.source.topic, 0).unwrap().expect("a leader");
    let leader = from.broker_ids().into_iter().find(|id| *id != first).expect("three brokers");
    let others: Vec<u32> = from.broker_ids().into_iter().filter(|id| *id != leader).collect();
    for other in &others {
        from.kill(*other).unwrap();
    }
    write_all(2);
    stops.config.run_until_caught_up().expect(0);
    skips.config.run_until_caught_up().expect(0);
    let mirrored = [&skips, &runs].map(|link| numbers(&from, link));
    eventually("all is mirrored", || (numbers(to, &runs) == mirrored[1]).then_some(()));

    from.kill(leader).unwrap();
    for other in &others {
        from.start(*other).unwrap();
    }
    for link in all {
        from.wait_leader_other_than(&link.source.topic, 0, leader).unwrap();
    }
    from.start(leader).unwrap();
    for link in all {
        from.wait_isr(&link.source.topic, 3).unwrap();
    }
    let (source, target) = ends(&stops, 0);
    assert!(source < target, "the source went back: {source}, {target}");
    refused(&stops, &stops.config, &[0], &[source.to_string(), target.to_string()]);
    let cut = [&skips, &runs].map(|link| numbers(&from, link).len());
    let lost = "source records are lost (truncated); skipped";
    eventually("it is noticed while it runs", || daemon.log().contains(lost).then_some(()));
    // The exit code tells of it once.
    let ended = skips.config.run_until_caught_up().expect(5);
    assert!(ended.log.contains(lost), "{}", ended.log);
    (3..6).for_each(write_all);
    assert!(ends(&stops, 0).0 > target);
    refused(&stops, &stops.config, &[0], &[]);

    // All that was mirrored stays, and all that came after the truncation is behind it.
    skips.config.run_until_caught_up().expect(0);
    for ((link, mirrored), cut) in [&skips, &runs].into_iter().zip(mirrored).zip(cut) {
        let now = numbers(&from, link);
        assert_eq!(mirrored[..cut], now[..cut], "what the source kept");
        let expected = [&mirrored[..], &now[cut..]].concat();
        eventually("what is left is mirrored", || (numbers(to, link).len() >= expected.len()).then_some(()));
        assert!(numbers(to, link) == expected, "{}", link.source.topic);
    }
    daemon.stop().expect(0);
}

/// The numbers of the records in the only partition; a stranger's have none.
fn numbers(cluster: &Cluster, link: &Link<'_>) -> Vec<u64> {
    let view = view(cluster, &link.source.topic, Isolation::Uncommitted, Reader::Librdkafka);
    view[&0].records.iter().filter_map(|seen| seen.number).collect()
}
