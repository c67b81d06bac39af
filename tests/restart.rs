//! What survives: clean restarts, kill -9, brokers that stop and start, a leader that dies, all in mid-run.
//!
//! A producer writes numbered records to the source the whole time. Afterwards a second client reads both sides:
//! where nothing may be repeated they must be the same, number by number; after a kill -9 each number must be
//! there, and each number's first copy in order.

#[path = "support/records.rs"]
mod records;

use std::{
    collections::{BTreeMap, HashSet},
    sync::atomic::{AtomicBool, Ordering::Relaxed},
    thread,
    time::Duration,
};

use kafka_harness::{
    Cluster,
    client::{self, Load},
    daemon::{Config, Daemon, eventually},
    shared::{pair, unique},
};

use records::{numbers, total};

const PARTITIONS: i32 = 4;
const CHUNK: u64 = 2000;

/// Runs `meanwhile` while a producer writes to `topic` on the source; returns what was written.
fn under_load(source: &Cluster, topic: &str, meanwhile: impl FnOnce()) -> BTreeMap<i32, Vec<u64>> {
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut first = 0;
            while !done.load(Relaxed) {
                let load =
                    Load { partitions: PARTITIONS, count: CHUNK, first, value_size: 200, ..Load::default() };
                // A source that is down takes no records; that is not what is tested here.
                if client::load(&source.props(), topic, &load).is_ok() {
                    first += CHUNK;
                }
                thread::sleep(Duration::from_millis(50));
            }
        });
        // Also when `meanwhile` panics: the scope waits for the producer.
        let _end = OnDrop(|| done.store(true, Relaxed));
        meanwhile();
    });
    numbers(source, topic)
}

struct OnDrop<F: Fn()>(F);

impl<F: Fn()> Drop for OnDrop<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}

fn catch_up(config: &Config) {
    config.run_until_caught_up().expect(0);
}

/// Waits until the target has more of `topic` than it has now: the mirror is at work.
fn more_arrives(target: &Cluster, topic: &str) {
    let before = total(target, topic);
    eventually("more records arrive", || (total(target, topic) > before).then_some(()));
}

fn topic(source: &Cluster, name: &str) -> String {
    let topic = unique(name);
    source.create_topic(&topic, PARTITIONS, 1, &[]).expect("a new topic");
    topic
}

#[test]
fn clean_restarts_under_load_lose_nothing_and_repeat_nothing() {
    let (source, target) = pair();
    let topic = topic(source, "clean");
    let config = Config::new(source, target, &topic);
    let written = under_load(source, &topic, || {
        for signal in ["TERM", "INT", "TERM"] {
            let daemon = config.run();
            more_arrives(target, &topic);
            daemon.signal(signal);
            daemon.wait().expect(0);
        }
    });
    catch_up(&config);
    assert_eq!(numbers(target, &topic), written);
}

#[test]
fn kill_9_under_load_loses_nothing_and_keeps_the_order_of_first_copies() {
    let (source, target) = pair();
    let topic = topic(source, "killed");
    let config = Config::new(source, target, &topic);
    let written = under_load(source, &topic, || {
        for _ in 0..5 {
            let daemon = config.run();
            more_arrives(target, &topic);
            assert_eq!(daemon.kill().code(), None, "killed by a signal");
        }
    });
    catch_up(&config);
    for (partition, numbers) in numbers(target, &topic) {
        let mut seen = HashSet::new();
        let first_copies: Vec<u64> = numbers.into_iter().filter(|n| seen.insert(*n)).collect();
        assert!(first_copies == written[&partition], "partition {partition}: lost, or out of order");
    }
}

/// How often the log says that `side` has become unreachable, and reachable again.
fn changes(daemon: &Daemon, side: &str) -> (usize, usize) {
    let log = daemon.log();
    let count = |what: &str| log.lines().filter(|l| l.contains(&format!("{side} {side} is {what}"))).count();
    (count("not reachable"), count("reachable again"))
}

#[test]
fn a_broker_that_stops_and_starts_in_mid_run_is_waited_for_and_told_of_once() {
    let start = || Cluster::builder().start().expect("a cluster");
    let (source, target) = (start(), start());
    let topic = topic(&source, "bounced");
    let config = Config::new(&source, &target, &topic);
    let daemon = config.run();
    let written = under_load(&source, &topic, || {
        more_arrives(&target, &topic);
        for (side, cluster) in [("target", &target), ("source", &source)] {
            cluster.stop(1).expect("it stops");
            eventually("readiness says so", || {
                let (code, reasons) = daemon.get("/readyz");
                (code == 503 && reasons.contains(&format!("{side} {side} is not reachable"))).then_some(())
            });
            cluster.start(1).expect("it starts");
            daemon.wait_ready();
            more_arrives(&target, &topic);
            assert_eq!(changes(&daemon, side), (1, 1), "{}", daemon.log());
        }
    });
    daemon.stop().expect(0);
    catch_up(&config);
    assert_eq!(numbers(&target, &topic), written);
}

#[test]
fn a_leader_killed_in_mid_run_costs_no_record() {
    let (source, _) = pair();
    let target = Cluster::builder().brokers(3).start().expect("a cluster of three");
    let topic = topic(source, "leaders");
    let replicated = [("min.insync.replicas", "2")];
    target.create_topic(&topic, PARTITIONS, 3, &replicated).expect("a replicated topic");
    let config = Config::new(source, &target, &topic);
    let daemon = config.run();
    let written = under_load(source, &topic, || {
        more_arrives(&target, &topic);
        let leader = target.leader(&topic, 0).expect("metadata").expect("a leader");
        target.kill(leader).expect("it dies");
        target.wait_leader_other_than(&topic, 0, leader).expect("another leader");
        more_arrives(&target, &topic);
        target.start(leader).expect("it comes back");
        target.wait_isr(&topic, 3).expect("it catches up");
    });
    daemon.stop().expect(0);
    catch_up(&config);
    assert_eq!(numbers(&target, &topic), written);
}
