//! Three brokers on either side: killed, restarted one after the other, frozen, down to the last in-sync replicas; and
//! the daemon is killed in the midst of that.

use std::{
    sync::{Mutex, OnceLock, PoisonError},
    thread::sleep,
};

use kafka_harness::{Cluster, shared::unique};

use crate::{
    chaos::{prove, wait_for_progress},
    clusters,
    dice::{Dice, Run, setting},
    modes::{Link, Mode},
    sources::{Kind, Source},
    view::Reader,
};

/// The clusters, which one test at a time may break.
fn threes() -> &'static Mutex<(Cluster, Cluster)> {
    static THREES: OnceLock<Mutex<(Cluster, Cluster)>> = OnceLock::new();
    THREES.get_or_init(|| {
        let builder =
            || clusters::builder().brokers(3).heap("320m").broker_config("min.insync.replicas", "2");
        let start = move || builder().start().expect("three brokers");
        std::thread::scope(|scope| {
            let source = scope.spawn(start);
            let target = start();
            Mutex::new((source.join().expect("started"), target))
        })
    })
}

/// Something that happens to a cluster.
#[derive(Debug, Clone, Copy)]
enum Trouble {
    /// The leader of a partition dies by kill -9, and comes back.
    LeaderKilled,
    /// All brokers are restarted, one after the other.
    Rolling,
    /// A broker hangs for some seconds, mostly past its session.
    Frozen,
    /// A broker is away for a while: no more in-sync replicas than must be.
    MinimalIsr,
    /// The leader hangs, the daemon is killed meanwhile, and the leader wakes up to what it had sent.
    FrozenAndDaemonKilled,
}

const TROUBLES: [Trouble; 5] = [
    Trouble::LeaderKilled,
    Trouble::Rolling,
    Trouble::Frozen,
    Trouble::MinimalIsr,
    Trouble::FrozenAndDaemonKilled,
];

fn survives(name: &str, mode: Mode) {
    let run = Run::of(&format!("brokers::{name}"));
    let mut dice = run.dice();
    let clusters = threes().lock().unwrap_or_else(PoisonError::into_inner);
    let (from, to) = &*clusters;
    for broken in [from, to] {
        heal(broken);
    }
    let source = Source { rate: 1000, ..Source::new(Kind::Transactional, &unique("brokers")) };
    let mut link = Link::new(mode, source, from, to);
    // Shorter than a broker may hang, so that orders time out which it carries out later.
    let patience = dice.within(2..10) * 1000;
    link.config = link.config.target_property("request.timeout.ms", &patience.to_string());
    for side in [from, to] {
        side.wait_isr(&link.source.topic, 3).expect("all replicas");
    }
    let stranger = link.stranger();
    let writing = link.source.start(from, &dice);
    let mut daemon = link.config.run();
    wait_for_progress(&link, &mut daemon);
    // Every kind at least once on either side in the long set.
    let steps = setting("CHAOS_KILLS").map_or(3, |kills| kills / 10).max(3);
    let first = dice.within(0..10);
    for step in first..first + steps {
        let (side, cluster) = if step % 2 == 0 { ("target", to) } else { ("source", from) };
        let trouble = TROUBLES[(step / 2) as usize % TROUBLES.len()];
        eprintln!("{name}: {side}: {trouble:?}");
        let leader = cluster.leader(&link.source.topic, dice.within(0..4) as i32).expect("metadata");
        let leader = leader.unwrap_or(1);
        match trouble {
            Trouble::LeaderKilled => {
                cluster.kill(leader).expect("killed");
                sleep(dice.millis(0..6000));
                cluster.start(leader).expect("started");
            }
            Trouble::Rolling => {
                for broker in cluster.broker_ids() {
                    cluster.stop(broker).expect("stopped");
                    cluster.start(broker).expect("started");
                    cluster.wait_isr(&link.source.topic, 3).expect("all replicas");
                }
            }
            Trouble::Frozen => frozen(cluster, leader, &mut dice, || ()),
            Trouble::MinimalIsr => {
                cluster.kill(leader).expect("killed");
                cluster.wait_leader_other_than(&link.source.topic, 0, leader).expect("another leader");
                wait_for_progress(&link, &mut daemon);
                sleep(dice.millis(1000..5000));
                cluster.start(leader).expect("started");
            }
            Trouble::FrozenAndDaemonKilled => {
                let old = daemon;
                let config = &link.config;
                let mut new = None;
                frozen(cluster, leader, &mut dice, || {
                    old.kill();
                    new = Some(config.run());
                });
                daemon = new.expect("started");
            }
        }
        cluster.wait_isr(&link.source.topic, 3).expect("all replicas");
        wait_for_progress(&link, &mut daemon);
    }
    drop(stranger);
    let history = writing.stop();
    daemon.stop().expect(0);
    prove(&link, &history, &[Reader::Librdkafka]);
}

fn frozen(cluster: &Cluster, broker: u32, dice: &mut Dice, meanwhile: impl FnOnce()) {
    cluster.pause(broker).expect("paused");
    sleep(dice.millis(200..2000));
    meanwhile();
    sleep(dice.millis(1000..8000));
    cluster.resume(broker).expect("resumed");
}

/// Undoes what a test that failed has left behind.
fn heal(cluster: &Cluster) {
    for broker in cluster.broker_ids() {
        if cluster.resume(broker).is_err() {
            cluster.start(broker).expect("started again");
        }
    }
}

#[test]
fn identical_through_broker_trouble() {
    survives("identical_through_broker_trouble", Mode::Identical);
}

#[test]
fn translated_through_broker_trouble() {
    survives("translated_through_broker_trouble", Mode::Translated);
}

#[test]
fn shared_through_broker_trouble() {
    survives("shared_through_broker_trouble", Mode::Shared);
}
