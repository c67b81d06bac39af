//! Stopping: cleanly, at once, and by a deadline.

use std::time::{Duration, Instant};

use kafka_harness::{
    Cluster,
    client::{Load, load},
    daemon::{Config, Daemon, eventually},
    shared::{pair, unique},
};

use crate::{all, assert_equal, producing::Producing};

#[test]
fn a_clean_stop_and_start_loses_nothing_and_repeats_nothing() {
    let (source, target) = pair();
    let topic = unique("clean");
    source.create_topic(&topic, 4, 1, &[]).unwrap();
    let config = Config::new(source, target, &topic);
    let producing = Producing::start(source, &topic, 4);
    for signal in ["TERM", "INT", "TERM", "INT"] {
        let daemon = config.run();
        // In the middle of it: what is written meanwhile is in flight.
        eventually("it has mirrored something", || {
            (daemon.status()["totals"]["records"].as_u64() > Some(1500)).then_some(())
        });
        daemon.signal(signal);
        let ended = daemon.wait().expect(0);
        assert!(ended.log.contains("all that was in flight is on the target"), "{}", ended.log);
    }
    let written = producing.stop();
    config.run_until_caught_up().expect(0);
    assert_equal(source, target, &topic);
    assert_eq!(all(target, &topic).values().map(Vec::len).sum::<usize>() as u64, written);
}

/// A daemon with records in flight to a target that has stopped answering.
fn stuck(config: &Config, source: &Cluster, target: &Cluster, topic: &str) -> Daemon {
    source.create_topic(topic, 2, 1, &[]).unwrap();
    let part = Load { partitions: 2, count: 1000, ..Load::default() };
    load(&source.props(), topic, &part).unwrap();
    let daemon = config.run();
    daemon.wait_for_records(1000);
    target.pause(1).unwrap();
    load(&source.props(), topic, &Load { first: 1000, ..part }).unwrap();
    eventually("records wait for the target", || {
        (daemon.status()["totals"]["buffer_bytes"].as_u64() > Some(0)).then_some(())
    });
    daemon
}

#[test]
fn a_second_signal_stops_at_once() {
    let (source, _) = pair();
    let target = Cluster::builder().start().unwrap();
    let topic = unique("second");
    let config = Config::new(source, &target, &topic).section("[limits]\ndrain = '10m'");
    let daemon = stuck(&config, source, &target, &topic);
    daemon.signal("TERM");
    daemon.wait_for_log("stopping: waiting for the target");
    std::thread::sleep(Duration::from_secs(2));
    let (code, why) = daemon.get("/readyz");
    assert!(code == 503 && why.contains("draining"), "it waits for the target: {code} {why}");
    let since = Instant::now();
    daemon.signal("INT");
    let ended = daemon.wait().expect(130);
    assert!(since.elapsed() < Duration::from_secs(10), "{:?}", since.elapsed());
    assert!(ended.log.contains("SIGINT again"), "{}", ended.log);

    // Nothing is lost by it.
    target.resume(1).unwrap();
    config.run_until_caught_up().expect(0);
    assert_no_gap(source, &target, &topic);
}

#[test]
fn a_stop_ends_by_its_deadline_when_the_target_hangs_and_loses_nothing() {
    let (source, _) = pair();
    let target = Cluster::builder().start().unwrap();
    let topic = unique("deadline");
    // Else the daemon would have lost its lanes by then.
    let config = Config::new(source, &target, &topic).target_property("session.timeout.ms", "15000");
    let config = config.section("[limits]\ndrain = '3s'");
    let daemon = stuck(&config, source, &target, &topic);
    let since = Instant::now();
    let ended = daemon.stop().expect(0);
    let took = since.elapsed();
    assert!(took >= Duration::from_secs(3), "it waits for the target: {took:?}");
    assert!(took < Duration::from_secs(15), "and not for longer than it should: {took:?}");
    assert!(ended.log.contains("the target did not take everything before the deadline"), "{}", ended.log);

    target.resume(1).unwrap();
    config.run_until_caught_up().expect(0);
    assert_no_gap(source, &target, &topic);
}

/// The target has every source record, in order; some may have come twice.
#[track_caller]
fn assert_no_gap(source: &Cluster, target: &Cluster, topic: &str) {
    crate::crash::assert_runs(source, target, topic, 1);
}
