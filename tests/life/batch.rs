//! `run --until-caught-up`: where it ends, and how it says what happened.

use std::time::{Duration, Instant};

use kafka_harness::{
    Cluster,
    client::{Load, load},
    daemon::{Config, eventually},
    shared::{pair, unique},
};

use crate::{
    producing::Producing,
    records::{numbers, total, write},
};

const UNTIL: &str = "--until-caught-up";

#[test]
fn it_ends_at_the_end_as_it_was_at_the_start_though_records_and_topics_keep_coming() {
    let (source, target) = pair();
    let p = unique("batch");
    let topic = format!("{p}.old");
    source.create_topic(&topic, 2, 1, &[]).unwrap();
    load(&source.props(), &topic, &Load { partitions: 2, count: 4000, ..Load::default() }).unwrap();
    let producing = Producing::start(source, &topic, 2);
    eventually("the producer is at work", || (producing.written() > 0).then_some(()));
    let at_start = total(source, &topic);
    // Slow enough that a topic that appears meanwhile is noticed before the end.
    let daemon = Config::new(source, target, &format!("{p}\\..*"))
        .section("[limits]\nthrottle = '1MB/s'")
        .run_with(&[UNTIL]);
    daemon.wait_for_log("lanes started");
    let late = format!("{p}.late");
    source.create_topic(&late, 1, 1, &[]).unwrap();
    write(source, &late, 0, 0..10);
    let ended = daemon.wait().expect(0);
    // The producer is still at work: the run did not wait for it.
    let before = producing.written();
    eventually("the producer is at work", || (producing.written() > before).then_some(()));
    producing.stop();
    assert!(ended.log.matches("lanes started").count() > 1, "the late topic was noticed:\n{}", ended.log);
    assert!(total(target, &topic) >= at_start, "what was there at the start is on the target");
    assert!(total(target, &topic) < total(source, &topic), "and it did not go on for ever");
    for (partition, found) in numbers(target, &topic) {
        let source = &numbers(source, &topic)[&partition];
        assert_eq!(found, source[..found.len()], "partition {partition}");
    }
}

#[test]
fn interrupted_it_says_so_and_goes_on_where_it_was() {
    let (source, target) = pair();
    let topic = unique("interrupted");
    source.create_topic(&topic, 2, 1, &[]).unwrap();
    load(&source.props(), &topic, &Load { partitions: 2, count: 4000, ..Load::default() }).unwrap();
    let slow = Config::new(source, target, &topic).section("[limits]\nthrottle = '500KB/s'");
    for signal in ["INT", "TERM"] {
        let before = total(target, &topic);
        let daemon = slow.run_with(&[UNTIL]);
        eventually("it is at work", || (total(target, &topic) > before).then_some(()));
        daemon.signal(signal);
        daemon.wait().expect(130);
        assert!(total(target, &topic) < 4000, "it was interrupted before the end");
    }
    slow.run_until_caught_up().expect(0);
    crate::assert_equal(source, target, &topic);
}

#[test]
fn a_partition_without_a_leader_is_waited_for() {
    let source = Cluster::builder().brokers(2).heap("320m").start().expect("two brokers");
    let (_, target) = pair();
    let topic = unique("leaderless");
    source.create_topic(&topic, 3, 1, &[]).unwrap();
    let config = Config::new(&source, target, &topic);
    let write_all = |numbers: std::ops::Range<u64>| {
        for partition in 0..3 {
            write(&source, &topic, partition, numbers.clone());
        }
    };
    write_all(0..100);
    // Its lanes have marks then: they need nothing of the source to know where they begin.
    config.run_until_caught_up().expect(0);
    write_all(100..200);
    let leader = source.leader(&topic, 1).unwrap().expect("a leader");
    source.kill(leader).unwrap();
    eventually("it has no leader", || source.leader(&topic, 1).ok()?.is_none().then_some(()));
    let mut batch = config.run_with(&[UNTIL]);
    eventually("what has a leader is mirrored", || (total(target, &topic) >= 400).then_some(()));
    std::thread::sleep(Duration::from_secs(3));
    assert!(!batch.has_ended(), "it ended without what has no leader:\n{}", batch.log());
    source.start(leader).unwrap();
    batch.wait().expect(0);
    crate::assert_equal(&source, target, &topic);
}

/// The configuration of a link one side of which is an address where nobody listens.
fn nobody_at(side: &str) -> Config {
    let (source, target) = pair();
    let config = Config::new(source, target, "never");
    let nobody = vec![("bootstrap.servers".to_owned(), "127.0.0.1:1".to_owned())];
    if side == "source" { config.source(nobody) } else { config.target(nobody) }
}

#[test]
fn it_gives_up_on_a_cluster_that_is_down() {
    for side in ["source", "target"] {
        let since = Instant::now();
        let ended = nobody_at(side).run_with(&[UNTIL, "--give-up-after", "3s"]).wait().expect(4);
        let took = since.elapsed();
        assert!(took >= Duration::from_secs(3) && took < Duration::from_secs(8), "{side}: {took:?}");
        assert!(ended.log.contains("gave up after 3s"), "{}", ended.log);
        assert!(
            ended.log.contains(side) && ended.log.contains("127.0.0.1:1"),
            "it says which:\n{}",
            ended.log
        );
    }
}

#[test]
fn it_gives_up_on_a_cluster_that_goes_down_on_the_way() {
    let (_, target) = pair();
    let source = Cluster::builder().start().unwrap();
    let topic = unique("lost-source");
    source.create_topic(&topic, 1, 1, &[]).unwrap();
    load(&source.props(), &topic, &Load { count: 10_000, ..Load::default() }).unwrap();
    let daemon = Config::new(&source, target, &topic)
        .section("[limits]\nthrottle = '300KB/s'\nbuffer = '1MiB'")
        .run_with(&[UNTIL, "--give-up-after", "4s"]);
    eventually("it is at work", || (total(target, &topic) > 0).then_some(()));
    source.kill(1).unwrap();
    let ended = daemon.wait().expect(4);
    assert!(ended.log.contains("gave up after 4s"), "{}", ended.log);
}

#[test]
fn the_daemon_waits_for_a_wrong_address_says_so_once_and_stops_at_once() {
    let daemon = nobody_at("target").run();
    eventually("it says why it is not ready", || {
        let (code, why) = daemon.get("/readyz");
        (code == 503 && why.contains("target target is not reachable") && why.contains("127.0.0.1:1"))
            .then_some(())
    });
    assert_eq!(daemon.get("/healthz").0, 200, "it is alive all the same");
    std::thread::sleep(Duration::from_secs(5));
    let log = daemon.log();
    assert_eq!(log.matches("is not reachable").count(), 1, "{log}");
    let since = Instant::now();
    daemon.stop().expect(0);
    assert!(since.elapsed() < Duration::from_secs(10), "nothing is in flight: {:?}", since.elapsed());
}
