//! The network between the daemon and either cluster is cut, silent, slow, or delivers what a dead daemon sent when
//! another has long taken over.

use std::{
    sync::{Mutex, MutexGuard, OnceLock, PoisonError},
    thread::sleep,
    time::Duration,
};

use kafka_harness::{Cluster, shared::unique};

use crate::{
    chaos::{prove, wait_for_progress},
    clusters,
    dice::{Run, setting},
    modes::{Link, Mode},
    sources::{Kind, Source},
    view::Reader,
};

/// Clusters behind proxies, which one test at a time may disturb; what one that failed has left of that is undone.
pub fn proxied() -> MutexGuard<'static, (Cluster, Cluster)> {
    static PROXIED: OnceLock<Mutex<(Cluster, Cluster)>> = OnceLock::new();
    let clusters = PROXIED.get_or_init(|| {
        let start = || clusters::builder().proxied().start().expect("a cluster behind a proxy");
        Mutex::new((start(), start()))
    });
    let clusters = clusters.lock().unwrap_or_else(PoisonError::into_inner);
    for cluster in [&clusters.0, &clusters.1] {
        let proxy = cluster.proxy(1);
        proxy.thaw();
        proxy.set_down(false);
        proxy.set_black_hole(false);
        proxy.set_latency(Duration::ZERO);
    }
    clusters
}

/// Something that happens to the network.
#[derive(Debug, Clone, Copy)]
enum Trouble {
    /// All connections are reset.
    Cut,
    /// Nothing gets through, and no one is told.
    Silent,
    /// Connections are refused.
    Down,
    /// Every byte is late.
    Slow,
    /// The daemon is killed with requests on their way, which arrive when the next one writes.
    LateFromTheDead,
}

const TROUBLES: [Trouble; 5] =
    [Trouble::Cut, Trouble::Silent, Trouble::Down, Trouble::Slow, Trouble::LateFromTheDead];

fn survives(name: &str, mode: Mode) {
    let run = Run::of(&format!("network::{name}"));
    let mut dice = run.dice();
    let clusters = proxied();
    let (from, to) = &*clusters;
    let link = Link::new(mode, Source::new(Kind::Transactional, &unique("network")), from, to);
    let stranger = link.stranger();
    let writing = link.source.start(from, &dice);
    let mut daemon = link.config.run();
    wait_for_progress(&link, &mut daemon);
    let steps = setting("CHAOS_KILLS").map_or(6, |kills| kills / 5).max(6);
    let first = dice.within(0..TROUBLES.len() as u64);
    for step in first..first + steps {
        let trouble = TROUBLES[step as usize % TROUBLES.len()];
        // What comes late can only do harm where it is written.
        let at_target = dice.percent(70) || matches!(trouble, Trouble::LateFromTheDead);
        let proxy = if at_target { to.proxy(1) } else { from.proxy(1) };
        eprintln!("{name}: {}: {trouble:?}", if at_target { "target" } else { "source" });
        match trouble {
            Trouble::Cut => {
                for _ in 0..dice.within(1..10) {
                    proxy.cut();
                    sleep(dice.millis(0..300));
                }
            }
            Trouble::Silent => {
                proxy.set_black_hole(true);
                sleep(dice.millis(500..8000));
                proxy.set_black_hole(false);
            }
            Trouble::Down => {
                proxy.set_down(true);
                sleep(dice.millis(200..4000));
                proxy.set_down(false);
            }
            Trouble::Slow => {
                proxy.set_latency(dice.millis(50..400));
                sleep(dice.millis(1000..4000));
                proxy.set_latency(Duration::ZERO);
            }
            Trouble::LateFromTheDead => {
                proxy.freeze();
                sleep(dice.millis(50..500));
                daemon.kill();
                daemon = link.config.run();
                wait_for_progress(&link, &mut daemon);
                sleep(dice.millis(0..1000));
                proxy.thaw();
                // From here on the dead one's last batches and the new one's go to the broker at once.
                sleep(Duration::from_secs(1));
            }
        }
        wait_for_progress(&link, &mut daemon);
    }
    drop(stranger);
    let history = writing.stop();
    daemon.stop().expect(0);
    prove(&link, &history, &[Reader::Librdkafka]);
}

#[test]
fn identical_through_network_trouble() {
    survives("identical_through_network_trouble", Mode::Identical);
}

#[test]
fn translated_through_network_trouble() {
    survives("translated_through_network_trouble", Mode::Translated);
}

#[test]
fn shared_through_network_trouble() {
    survives("shared_through_network_trouble", Mode::Shared);
}

/// The way to the target is so long that sessions end while lanes are being started: their slots are lost, and gained
/// again before the start has come to its end.
fn survives_slots_that_come_and_go(name: &str, mode: Mode) {
    let run = Run::of(&format!("network::{name}"));
    let mut dice = run.dice();
    let clusters = proxied();
    let (from, to) = &*clusters;
    let link = Link::new(mode, Source::new(Kind::Transactional, &unique("slots")), from, to);
    let writing = link.source.start(from, &dice);
    let mut daemon = link.config.run();
    wait_for_progress(&link, &mut daemon);
    for _ in 0..setting("CHAOS_KILLS").map_or(3, |kills| kills / 10).max(3) {
        to.proxy(1).set_latency(dice.millis(250..700));
        sleep(dice.millis(4000..12_000));
        to.proxy(1).set_latency(Duration::ZERO);
        wait_for_progress(&link, &mut daemon);
    }
    let history = writing.stop();
    let log = daemon.stop().expect(0).log;
    let lost = log.matches("slots lost").count();
    assert!(lost > 0, "no slot was lost:\n{log}");
    prove(&link, &history, &[Reader::Librdkafka]);
}

#[test]
fn translated_while_slots_come_and_go() {
    survives_slots_that_come_and_go("translated_while_slots_come_and_go", Mode::Translated);
}

#[test]
fn shared_while_slots_come_and_go() {
    survives_slots_that_come_and_go("shared_while_slots_come_and_go", Mode::Shared);
}
