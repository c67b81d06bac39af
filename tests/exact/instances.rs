//! Several instances of one link: they share the lanes, take over from each other, and one that was asleep past its
//! session does no harm when it wakes up.

use std::{
    collections::BTreeMap,
    thread::sleep,
    time::{Duration, Instant},
};

use kafka_harness::{
    client,
    daemon::{Daemon, PATIENCE},
    shared::unique,
};

use crate::{
    chaos::{prove, wait_for_progress},
    clusters::{self, SESSION},
    dice::{Dice, Run, setting},
    modes::{Link, Mode},
    sources::{Kind, Source, Writing},
    view::Reader,
};

/// A link with a source that is being written, under way.
fn begin(name: &str, mode: Mode, kind: Kind, dice: &Dice) -> (Link<'static>, Writing) {
    let (from, to) = clusters::pair();
    let link = Link::new(mode, Source { rate: 1000, ..Source::new(kind, &unique(name)) }, from, to);
    let writing = link.source.start(from, dice);
    writing.wait_for(500);
    (link, writing)
}

/// Ends the writing, catches up and compares.
fn finish(link: &Link<'_>, writing: Writing) {
    prove(link, &writing.stop(), &[Reader::Librdkafka]);
}

fn ends(link: &Link<'_>) -> BTreeMap<i32, i64> {
    client::end_offsets(&link.to.props(), &link.source.topic).expect("the target has ends")
}

/// Waits until every partition has more than now.
#[track_caller]
fn wait_for_all_lanes(link: &Link<'_>, why: &str, running: &Daemon) {
    let (then, deadline) = (ends(link), Instant::now() + PATIENCE);
    while !ends(link).iter().all(|(p, end)| *end > then[p]) {
        let now = ends(link);
        assert!(Instant::now() < deadline, "{why}: {then:?} became {now:?}; log:\n{}", running.log());
        sleep(Duration::from_millis(100));
    }
}

fn zombie(name: &str, mode: Mode) {
    let run = Run::of(&format!("instances::{name}"));
    let mut dice = run.dice();
    let (link, writing) = begin("zombie", mode, Kind::Transactional, &dice);
    let stranger = link.stranger();
    let mut first = link.config.run();
    wait_for_progress(&link, &mut first);
    let second = link.config.run();
    second.wait_ready();
    let pair = [first, second];
    for round in 0..setting("CHAOS_KILLS").map_or(2, |kills| kills.div_ceil(40)).max(2) {
        let (asleep, awake) = (&pair[round as usize % 2], &pair[(round as usize + 1) % 2]);
        sleep(dice.millis(0..1000));
        asleep.signal("STOP");
        wait_for_all_lanes(&link, "the other instance has taken over all lanes", awake);
        sleep(Duration::from_millis(SESSION) + dice.millis(0..1000));
        asleep.signal("CONT");
        // Whatever it was about to write, it now tries to.
        sleep(dice.millis(1000..3000));
        wait_for_all_lanes(&link, "both go on", awake);
    }
    for daemon in pair {
        daemon.stop().expect(0);
    }
    drop(stranger);
    finish(&link, writing);
}

#[test]
fn an_identical_zombie_does_no_harm() {
    zombie("an_identical_zombie_does_no_harm", Mode::Identical);
}

#[test]
fn a_translated_zombie_does_no_harm() {
    zombie("a_translated_zombie_does_no_harm", Mode::Translated);
}

#[test]
fn a_shared_zombie_does_no_harm() {
    zombie("a_shared_zombie_does_no_harm", Mode::Shared);
}

/// One to three instances at any time; they are started, stopped and killed.
fn come_and_go(name: &str, mode: Mode) {
    let run = Run::of(&format!("instances::{name}"));
    let mut dice = run.dice();
    let (link, writing) = begin("crowd", mode, Kind::Transactional, &dice);
    let stranger = link.stranger();
    let mut running = vec![link.config.run()];
    for _ in 0..setting("CHAOS_KILLS").map_or(10, |kills| kills / 5).max(10) {
        let leaves = running.len() == 3 || (running.len() > 1 && dice.percent(50));
        if leaves {
            let daemon = running.remove(dice.within(0..running.len() as u64) as usize);
            if dice.percent(50) {
                daemon.stop().expect(0);
            } else {
                daemon.kill();
            }
        } else {
            running.push(link.config.run());
        }
        sleep(dice.millis(0..2500));
        if dice.percent(30) {
            wait_for_progress(&link, &mut running[0]);
        }
    }
    for daemon in running {
        daemon.stop().expect(0);
    }
    drop(stranger);
    finish(&link, writing);
}

#[test]
fn identical_instances_come_and_go() {
    come_and_go("identical_instances_come_and_go", Mode::Identical);
}

#[test]
fn translated_instances_come_and_go() {
    come_and_go("translated_instances_come_and_go", Mode::Translated);
}

#[test]
fn shared_instances_come_and_go() {
    come_and_go("shared_instances_come_and_go", Mode::Shared);
}

#[test]
fn batch_runs_beside_each_other_and_beside_a_daemon_all_end() {
    let run = Run::of("instances::batch_runs_beside_each_other_and_beside_a_daemon_all_end");
    for mode in [Mode::Identical, Mode::Translated, Mode::Shared] {
        let (link, writing) = begin("batches", mode, Kind::Transactional, &run.dice());
        let history = writing.stop();
        let both = [(), ()].map(|()| link.config.run_with(&["--until-caught-up"]));
        for batch in both {
            batch.wait().expect(0);
        }
        let daemon = link.config.run();
        daemon.wait_ready();
        let ended = link.config.run_until_caught_up().expect(0);
        assert!(ended.log.contains("lanes that other instances of the link have"), "{}", ended.log);
        daemon.stop().expect(0);
        prove(&link, &history, &[Reader::Librdkafka]);
    }
}

/// The longest time in which a partition of the target did not grow.
struct Stall {
    since: BTreeMap<i32, (i64, Instant)>,
    longest: Duration,
}

impl Stall {
    fn watch(&mut self, link: &Link<'_>) {
        for (partition, end) in ends(link) {
            let last = self.since.entry(partition).or_insert((end, Instant::now()));
            self.longest = self.longest.max(last.1.elapsed());
            if end > last.0 {
                *last = (end, Instant::now());
            }
        }
    }
}

#[test]
fn a_clean_handover_stops_no_lane_for_2_s_and_a_kill_for_a_session() {
    let run = Run::of("instances::a_clean_handover_stops_no_lane_for_2_s_and_a_kill_for_a_session");
    let (link, writing) = begin("handover", Mode::Identical, Kind::Idempotent, &run.dice());
    let allowed = [
        ("TERM", Duration::from_secs(2)),
        // The next owner has to read where it takes over, too.
        ("KILL", Duration::from_millis(SESSION) + Duration::from_secs(3)),
    ];
    let mut daemon = link.config.run();
    wait_for_progress(&link, &mut daemon);
    for (signal, allowed) in allowed {
        let next = link.config.run();
        next.wait_ready();
        // Joining moves lanes, too.
        sleep(Duration::from_secs(3));
        wait_for_all_lanes(&link, "both have lanes", &next);
        let mut stall = Stall { since: BTreeMap::new(), longest: Duration::ZERO };
        stall.watch(&link);
        daemon.signal(signal);
        let begun = Instant::now();
        while begun.elapsed() < allowed + Duration::from_secs(3) {
            stall.watch(&link);
            sleep(Duration::from_millis(20));
        }
        daemon.wait();
        eprintln!("after {signal} no lane stood still for longer than {:?}", stall.longest);
        assert!(stall.longest <= allowed, "{signal}: a lane stood still for {:?}", stall.longest);
        daemon = next;
    }
    daemon.stop().expect(0);
    finish(&link, writing);
}
