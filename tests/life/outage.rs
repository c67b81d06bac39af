//! Clusters that are down at the start, stop in mid-run, lose a leader or freeze: the link goes on when they are back,
//! says so once per change, and neither loses nor repeats a record.

use std::time::{Duration, Instant};

use kafka_harness::{
    Cluster,
    daemon::{Config, Daemon, eventually},
    process::cpu_seconds,
    shared::{pair, unique},
};

use crate::{assert_equal, producing::Producing, records::total};

/// Waits until /readyz says that this side can't be reached.
#[track_caller]
fn wait_down(daemon: &Daemon, side: &str) {
    eventually(&format!("/readyz says that the {side} is down"), || {
        let (code, why) = daemon.get("/readyz");
        (code == 503 && why.contains(&format!("{side} {side} is not reachable"))).then_some(())
    });
    let labels = [("side", side)];
    eventually("the metric says so", || {
        (daemon.metric("isomirror_cluster_up", &labels) == Some(0.0)).then_some(())
    });
    assert_eq!(daemon.get("/healthz").0, 200, "alive all the same");
}

/// How often the log says that a side went down, and that it came back.
fn changes(log: &str, side: &str) -> (usize, usize) {
    let down = log.matches(&format!("{side} {side} is not reachable")).count();
    (down, log.matches(&format!("{side} {side} is reachable again")).count())
}

/// One side is down at the start, comes up, and is stopped and started in mid-run; the other is shared.
fn down_at_start_and_in_mid_run(source: &Cluster, target: &Cluster, mortal: &Cluster, side: &str) {
    let topic = unique(&format!("{side}-down"));
    source.create_topic(&topic, 3, 1, &[]).unwrap();
    crate::records::write(source, &topic, 0, 0..10);
    mortal.stop(1).unwrap();

    let daemon = Config::new(source, target, &topic).run();
    wait_down(&daemon, side);
    mortal.start(1).unwrap();
    daemon.wait_ready();
    daemon.wait_for_records(10);
    assert_eq!(changes(&daemon.log(), side), (1, 1), "{}", daemon.log());

    let producing = Producing::start(source, &topic, 3);
    eventually("records flow", || (total(target, &topic) > 1000).then_some(()));
    mortal.stop(1).unwrap();
    wait_down(&daemon, side);
    // Long enough for many attempts, which are neither told of nor busy.
    let before = cpu_seconds(daemon.pid()).unwrap();
    std::thread::sleep(Duration::from_secs(6));
    let spent = cpu_seconds(daemon.pid()).unwrap() - before;
    assert!(spent < 2.0, "waiting for a cluster took {spent} s of CPU time in 6 s");
    mortal.start(1).unwrap();
    daemon.wait_ready();
    let log = daemon.log();
    assert_eq!(changes(&log, side), (2, 2), "{log}");
    let other = if side == "source" { "target" } else { "source" };
    assert_eq!(changes(&log, other), (0, 0), "{log}");
    assert!(log.lines().count() < 60, "an outage is told of in a few lines:\n{log}");

    let written = producing.stop() + 10;
    eventually("all has arrived", || (total(target, &topic) >= written).then_some(()));
    assert_equal(source, target, &topic);
    daemon.stop().expect(0);
}

#[test]
fn a_source_that_is_down_at_the_start_and_stopped_in_mid_run_is_waited_for() {
    let (_, target) = pair();
    let source = Cluster::builder().start().unwrap();
    down_at_start_and_in_mid_run(&source, target, &source, "source");
}

#[test]
fn a_target_that_is_down_at_the_start_and_stopped_in_mid_run_is_waited_for() {
    let (source, _) = pair();
    let target = Cluster::builder().start().unwrap();
    down_at_start_and_in_mid_run(source, &target, &target, "target");
}

#[test]
fn a_target_that_loses_a_leader_by_kill_9_loses_and_repeats_nothing() {
    let (source, _) = pair();
    let target = Cluster::builder().brokers(3).broker_config("min.insync.replicas", "2").start().unwrap();
    let topic = unique("leader");
    source.create_topic(&topic, 6, 1, &[]).unwrap();
    let daemon = Config::new(source, &target, &topic).topics("replication_factor = 3").run();
    daemon.wait_ready();
    // Created with the replicas that were asked for.
    target.wait_isr(&topic, 3).unwrap();
    let producing = Producing::start(source, &topic, 6);
    eventually("records flow", || (total(&target, &topic) > 2000).then_some(()));
    let leader = target.leader(&topic, 0).unwrap().expect("a leader");
    target.kill(leader).unwrap();
    target.wait_leader_other_than(&topic, 0, leader).unwrap();
    let then = total(&target, &topic);
    eventually("records flow again", || (total(&target, &topic) > then + 2000).then_some(()));
    target.start(leader).unwrap();
    let written = producing.stop();
    // Not by what the daemon counts: what was in flight when its session ended is on the target without its knowing.
    eventually("all has arrived", || (total(&target, &topic) >= written).then_some(()));
    daemon.wait_ready();
    assert_equal(source, &target, &topic);
    daemon.stop().expect(0);
}

#[test]
fn brokers_that_freeze_for_10_s_on_either_side_are_waited_for() {
    let (source, target) = (Cluster::builder().start().unwrap(), Cluster::builder().start().unwrap());
    let topic = unique("frozen");
    source.create_topic(&topic, 3, 1, &[]).unwrap();
    let daemon = Config::new(&source, &target, &topic).run();
    let producing = Producing::start(&source, &topic, 3);
    for frozen in [&target, &source] {
        let then = total(&target, &topic);
        eventually("records flow", || (total(&target, &topic) > then + 1000).then_some(()));
        frozen.pause(1).unwrap();
        std::thread::sleep(Duration::from_secs(10));
        assert_eq!(daemon.get("/healthz").0, 200, "it answers while a cluster hangs");
        frozen.resume(1).unwrap();
    }
    let written = producing.stop();
    eventually("all has arrived", || (total(&target, &topic) >= written).then_some(()));
    daemon.wait_ready();
    assert_equal(&source, &target, &topic);
    daemon.stop().expect(0);
}

/// The length that the log gives to the only outage of a side, in seconds.
fn told_length(log: &str, side: &str) -> f64 {
    let told = log.split(&format!("{side} {side} is reachable again, after ")).nth(1).expect("it is told");
    let told = told.lines().next().expect("a line").trim_end_matches('s');
    told.parse().unwrap_or_else(|_| panic!("no length: {told}"))
}

#[test]
fn an_idle_link_says_within_12_s_that_a_cluster_hangs_and_how_long_it_did() {
    let (source, target) = (Cluster::builder().start().unwrap(), Cluster::builder().start().unwrap());
    let topic = unique("idle");
    source.create_topic(&topic, 1, 1, &[]).unwrap();
    crate::records::write(&source, &topic, 0, 0..3);
    let daemon = Config::new(&source, &target, &topic).topics("refresh = '5s'").run();
    daemon.wait_for_records(3);
    for (hung, side) in [(&target, "target"), (&source, "source")] {
        daemon.wait_ready();
        std::thread::sleep(Duration::from_secs(2));
        hung.pause(1).unwrap();
        let since = Instant::now();
        wait_down(&daemon, side);
        let took = since.elapsed();
        assert!(took < Duration::from_secs(12), "{side}: {took:?}");
        // Whoever asks is told the same.
        let status = daemon.status();
        assert_eq!(
            (&status["ready"], &status[side]["reachable"]),
            (&false.into(), &false.into()),
            "{status:#}"
        );
        hung.resume(1).unwrap();
        daemon.wait_ready();
        let (down, told) = (since.elapsed().as_secs_f64(), told_length(&daemon.log(), side));
        assert!(told <= down + 1.0 && told + 5.0 > down, "{side} hung {down} s and {told} s are told of");
    }
    daemon.stop().expect(0);
}

#[test]
fn a_target_that_hangs_for_half_a_minute_again_and_again_is_reached_again() {
    let (source, _) = pair();
    let target = Cluster::builder().start().unwrap();
    let topic = unique("hung");
    source.create_topic(&topic, 2, 1, &[]).unwrap();
    let daemon = Config::new(source, &target, &topic).run();
    let mut written = 0;
    for hang in [27, 29] {
        crate::records::write(source, &topic, 0, written..written + 10);
        written += 10;
        eventually("all has arrived", || (total(&target, &topic) >= written).then_some(()));
        daemon.wait_ready();
        target.pause(1).unwrap();
        std::thread::sleep(Duration::from_secs(hang));
        target.resume(1).unwrap();
        // Not only reachable: new topics are made, and old ones looked after.
        let since = Instant::now();
        daemon.wait_ready();
        assert!(since.elapsed() < Duration::from_secs(30), "{:?}", since.elapsed());
    }
    crate::records::write(source, &topic, 1, 0..10);
    daemon.wait_for_records(written + 10);
    assert_equal(source, &target, &topic);
    daemon.stop().expect(0);
}
