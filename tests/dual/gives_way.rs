//! Links that feed a topic into itself and did not see each other when they started, or of which one has come since: one
//! of them gives the topic up, says why, and the others go on.

use std::{
    thread,
    time::{Duration, Instant},
};

use kafka_harness::{
    client::end_offsets,
    daemon::{Config, Daemon, eventually, isomirror},
    shared::unique,
};
use serde_json::Value;

use crate::{
    loops::{plain, refused},
    sites::{Site, sites, wait_for},
};

/// Links look for others every minute; two looks, and some time to spare.
const LOOKS: Duration = Duration::from_secs(150);
/// A look, and some time to spare.
const LOOK: Duration = Duration::from_secs(70);

/// What a daemon says of the first lane of a topic.
fn lane(daemon: &Daemon, topic: &str) -> Option<Value> {
    let status = daemon.status();
    status["lanes"].as_array()?.iter().find(|lane| lane["topic"] == topic).cloned()
}

/// Why a daemon has given a topic up because of other links, if it has.
fn given_up(daemon: &Daemon, topic: &str) -> Option<String> {
    let lane = lane(daemon, topic)?;
    let reason = lane["reason"].as_str().unwrap_or_default();
    let is_chain = lane["state"] == "stopped" && reason.contains("it would come back over other links: ");
    is_chain.then(|| reason.to_owned())
}

/// It has given it up because of these links, or does so. Where its session has ended, its lanes are let go for a moment, and
/// refused again.
#[track_caller]
fn wait_given_up(daemon: &Daemon, topic: &str, links: &[String]) {
    let reason = eventually("it gives the topic up", || given_up(daemon, topic));
    for link in links {
        assert!(reason.contains(&format!("(link {link})")), "{reason}");
    }
}

#[track_caller]
fn wait_running(daemon: &Daemon, topic: &str) {
    eventually("the lane runs", || (lane(daemon, topic)?["state"] == "running").then_some(()));
}

/// Tries for so long; links look for others only now and then.
#[track_caller]
fn within(time: Duration, what: &str, mut done: impl FnMut() -> bool) {
    let end = Instant::now() + time;
    while !done() {
        assert!(Instant::now() < end, "not within {time:?}: {what}");
        thread::sleep(Duration::from_millis(200));
    }
}

fn end(site: &Site, topic: &str) -> i64 {
    end_offsets(&site.cluster.props(), topic).unwrap()[&0]
}

/// The log ends of a topic at these sites, once they stand still.
#[track_caller]
fn still(sites: &[Site], topic: &str) -> Vec<i64> {
    let ends = || sites.iter().map(|site| end(site, topic)).collect::<Vec<_>>();
    eventually("log ends stand still", || {
        let before = ends();
        thread::sleep(Duration::from_secs(1));
        (ends() == before).then_some(before)
    })
}

/// Has a daemon read its configuration again, with this refresh: then it looks for other links at once.
fn reload(daemon: &Daemon, link: &Config, refresh: &str) {
    let reloads = || daemon.metric("isomirror_config_reloads_total", &[("result", "applied")]);
    let before = reloads();
    daemon.rewrite(&link.clone().topics(&format!("refresh = \"{refresh}\"")).text());
    daemon.signal("HUP");
    eventually("it has read its configuration again", || (reloads() > before).then_some(()));
}

/// The first and the last link of a ring.
const BC: usize = 0;
const CA: usize = 2;

/// A topic that goes round over three sites: of its links, none that starts sees the two others.
struct Ring {
    topic: String,
    names: [String; 3],
    links: [Config; 3],
    daemons: [Daemon; 3],
}

impl Ring {
    fn start(topic: &str) -> Self {
        let [a, b, c] = sites();
        let topic = unique(topic);
        for site in [a, b, c] {
            site.create(&topic, 1);
        }
        a.produce(&topic, 0, 0..20);
        let pairs = [(b, c), (a, b), (c, a)];
        let names = pairs.map(|(from, to)| format!("{topic}-{}{}", from.name, to.name));
        let links = [0, 1, 2].map(|which| {
            let (from, to) = pairs[which];
            plain(from, to, &topic).link_name(&names[which]).topics("offsets = \"translated\"")
        });
        let daemons = links.each_ref().map(|link| {
            let daemon = link.run();
            daemon.wait_ready();
            daemon
        });
        eventually("records go round", || (end(a, &topic) > 60).then_some(()));
        Self { topic, names, links, daemons }
    }

    /// This link has given the topic up, and the others go on.
    #[track_caller]
    fn assert_broken(&self, by: usize) {
        for (which, daemon) in self.daemons.iter().enumerate() {
            if which == by {
                wait_given_up(daemon, &self.topic, &self.names);
            } else {
                wait_running(daemon, &self.topic);
            }
        }
    }

    /// Has the first link, and if need be the last, look for others again: whichever sees the ring is then the one that has
    /// started last. The first does where a link of another test has passed on what it saw.
    fn see(&self) -> usize {
        let [bc, _, ca] = &self.daemons;
        let [of_bc, _, of_ca] = &self.links;
        reload(bc, of_bc, "900ms");
        thread::sleep(Duration::from_secs(2));
        let by = eventually("it is given up, or `check` sees the ring", || {
            let sees = || {
                let out = of_ca.command("check", &["--output", "json"]);
                String::from_utf8_lossy(&out.stdout).contains("loop-of-links")
            };
            let first = || given_up(bc, &self.topic).map(|_| BC);
            first().or_else(|| sees().then(|| first().unwrap_or(CA)))
        });
        if by == CA {
            reload(ca, of_ca, "900ms");
        }
        by
    }

    fn stop(self) {
        for daemon in self.daemons {
            daemon.stop().expect(0);
        }
    }
}

#[test]
fn a_ring_that_nobody_saw_is_given_up_by_the_link_that_started_last_and_stays_so() {
    let [a, ..] = sites();
    let ring = Ring::start("unseen");
    let by = ring.see();
    ring.assert_broken(by);
    let ends = still(sites(), &ring.topic);
    // At the next look it is a ring as before, though by what this link has on record now it would be none.
    reload(&ring.daemons[by], &ring.links[by], "800ms");
    thread::sleep(Duration::from_secs(3));
    ring.assert_broken(by);
    assert_eq!(still(sites(), &ring.topic), ends);
    a.produce(&ring.topic, 0, 20..30);
    let gets = [true, true, by != BC];
    let more: Vec<i64> = ends.iter().zip(gets).map(|(end, gets)| end + if gets { 10 } else { 0 }).collect();
    eventually("who is not behind it has it", || (still(sites(), &ring.topic) == more).then_some(()));
    ring.stop();
}

#[test]
#[ignore = "links look for others every minute: takes six"]
fn a_ring_is_given_up_within_two_minutes_and_stays_so_whoever_starts_again() {
    let mut ring = Ring::start("minutes");
    let topic = ring.topic.clone();
    within(LOOKS, "the last gives it up", || given_up(&ring.daemons[2], &topic).is_some());
    ring.assert_broken(CA);
    let ends = still(sites(), &topic);
    thread::sleep(LOOK);
    ring.assert_broken(CA);
    // Now it is another that has started last: it is not refused, and the one that has given way stays so.
    let [bc, ab, ca] = ring.daemons;
    ab.stop().expect(0);
    let ab = ring.links[1].run();
    ab.wait_ready();
    ring.daemons = [bc, ab, ca];
    ring.assert_broken(CA);
    thread::sleep(LOOK);
    ring.assert_broken(CA);
    assert_eq!(still(sites(), &topic), ends);
    // Where there is no ring any more, it goes on.
    let [bc, ab, ca] = ring.daemons;
    ab.stop().expect(0);
    within(LOOKS, "it is taken up again", || {
        lane(&ca, &topic).is_some_and(|lane| lane["state"] == "running")
    });
    for daemon in [bc, ca] {
        daemon.stop().expect(0);
    }
}

/// A topic that the first two sites have.
fn on_both(what: &str) -> String {
    let topic = unique(what);
    sites()[..2].iter().for_each(|site| site.create(&topic, 1));
    topic
}

/// Two links that lead to each other: topics that match come only when both run.
struct Pair {
    topic: String,
    names: [String; 2],
    links: [Config; 2],
    daemons: [Daemon; 2],
}

impl Pair {
    /// The second sees the first, and gives the topic up that the first brings to it.
    fn start() -> Self {
        let [a, b, _] = sites();
        let name = unique("both");
        let topic = format!("{name}.x");
        let names = ["there", "back"].map(|way| format!("{name}-{way}"));
        let pairs = [(a, b), (b, a)];
        let links = [0, 1].map(|which| {
            let (from, to) = pairs[which];
            plain(from, to, &format!("{name}\\..*")).link_name(&names[which])
        });
        let daemons = links.each_ref().map(|link| {
            let daemon = link.run();
            daemon.wait_ready();
            daemon
        });
        a.create(&topic, 1);
        a.produce(&topic, 0, 0..20);
        wait_for(&[b], &topic, 20);
        let pair = Self { topic, names, links, daemons };
        wait_given_up(&pair.daemons[1], &pair.topic, &pair.names);
        pair
    }
}

#[test]
fn a_link_that_starts_again_is_not_refused_for_what_another_was_refused_for_because_of_it() {
    let [a, b, _] = sites();
    let Pair { topic, names, links: [of_ab, _], daemons: [mut ab, ba] } = Pair::start();
    for again in 1..3 {
        match again {
            1 => ab.stop().expect(0),
            _ => ab.kill(),
        };
        ab = of_ab.run();
        ab.wait_ready();
        a.produce(&topic, 0, again * 20..(again + 1) * 20);
        wait_for(&[b], &topic, (again + 1) * 20);
        wait_given_up(&ba, &topic, &names);
        assert_eq!(a.count(&topic), (again + 1) * 20, "nothing has come back");
    }
    for daemon in [ab, ba] {
        daemon.stop().expect(0);
    }
}

#[test]
#[ignore = "links look for others every minute: takes three"]
fn a_link_that_has_given_way_stays_so_when_the_other_starts_again_and_goes_on_when_that_is_gone() {
    let [a, b, _] = sites();
    let Pair { topic, names, links: [of_ab, _], daemons: [ab, ba] } = Pair::start();
    ab.stop().expect(0);
    let ab = of_ab.run();
    ab.wait_ready();
    thread::sleep(LOOK);
    wait_given_up(&ba, &topic, &names);
    wait_running(&ab, &topic);
    a.produce(&topic, 0, 20..40);
    wait_for(&[b], &topic, 40);
    ab.stop().expect(0);
    within(LOOK, "it is taken up", || lane(&ba, &topic).is_some_and(|lane| lane["state"] == "running"));
    b.produce(&topic, 0, 0..5);
    wait_for(&[a], &topic, 45);
    ba.stop().expect(0);
}

#[test]
fn of_a_topic_that_was_stopped_for_a_link_the_other_way_the_one_that_starts_it_again_gives_way() {
    let [a, b, _] = sites();
    let topic = on_both("turned");
    let translated = |from, to| plain(from, to, &topic).topics("offsets = \"translated\"");
    let names = ["there", "back"].map(|way| format!("{topic}-{way}"));
    let of_ab = translated(a, b).link_name(&names[0]);
    let ab = of_ab.run();
    a.produce(&topic, 0, 0..10);
    wait_for(&[b], &topic, 10);
    let (_dir, path) = of_ab.write();
    let topics = |what: &str| {
        let out = isomirror().arg("topics").arg(&path).args([what, &topic]).output().unwrap();
        assert_eq!(out.status.code(), Some(0), "{}", String::from_utf8_lossy(&out.stderr));
    };
    topics("stop");
    let ba = translated(b, a).link_name(&names[1]).topics("start = \"latest\"").run();
    ba.wait_ready();
    b.produce(&topic, 0, 0..10);
    wait_for(&[a], &topic, 20);
    topics("start");
    wait_given_up(&ab, &topic, &names);
    wait_running(&ba, &topic);
    assert_eq!(still(&sites()[..2], &topic), [20, 20], "nothing has gone round");
    b.produce(&topic, 0, 10..15);
    wait_for(&[a], &topic, 25);
    for daemon in [ab, ba] {
        daemon.stop().expect(0);
    }
}

#[test]
#[ignore = "a link that was stopped counts for a minute: takes more than that"]
fn a_link_that_was_stopped_is_in_no_ones_way_and_gives_way_when_it_starts_again() {
    let [a, b, _] = sites();
    let topic = on_both("stopped");
    let (there, back) = (plain(a, b, &topic), plain(b, a, &topic).link_name(&format!("{topic}-back")));
    let started = Instant::now();
    let daemon = there.run();
    daemon.wait_ready();
    daemon.stop().expect(0);
    let said = refused(&back);
    assert!(said.contains("a link that does not run any more counts for a minute"), "{said}");
    thread::sleep((started + LOOK).saturating_duration_since(Instant::now()));
    let daemon = back.run();
    daemon.wait_ready();
    let said = refused(&there);
    assert!(said.contains(&format!("(link {topic}-back)")), "{said}");
    // Nor is it after that.
    daemon.stop().expect(0);
    let daemon = back.run();
    daemon.wait_ready();
    b.produce(&topic, 0, 0..10);
    wait_for(&[a], &topic, 10);
    daemon.stop().expect(0);
}
