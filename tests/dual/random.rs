//! Random operations at two sites that write one topic: produce at either, kill mirrors and brokers, pause mirrors, cut the
//! network between the sites, grow the topic, move all writers to one site. Whatever comes, each site has every record once.
//! `DUAL_OPERATIONS` says how many (288: one each five minutes of a day), `CHAOS_SEED` which.

use std::{collections::BTreeMap, thread};

use kafka_harness::{daemon::Daemon, shared::unique};

use crate::{
    dice::{Dice, Run, setting},
    sites::{Site, assert_exact, link, rough_sites, wait_for},
};

const FEW: u64 = 20;
const DAY: u64 = 288;
const MOST_PARTITIONS: i32 = 5;

struct World {
    topic: String,
    /// How many records each site has produced to each partition.
    produced: BTreeMap<(&'static str, i32), u64>,
    /// Where producers are.
    writing: Vec<&'static Site>,
    mirrors: Vec<Option<Daemon>>,
    partitions: i32,
}

fn mirror(topic: &str, which: usize) -> Daemon {
    let [a, b] = rough_sites();
    let (from, to) = if which == 0 { (a, b) } else { (b, a) };
    // The same name each time: the lanes come back at once.
    let name = ["there", "back"][which];
    link(from, to, topic)
        .link_name(&format!("{topic}-{name}"))
        .target_property("group.instance.id", "one")
        .run()
}

impl World {
    fn produce(&mut self, dice: &mut Dice) {
        let site = self.writing[dice.within(0..self.writing.len() as u64) as usize];
        // Another site may have grown it, and the mirror is not there yet.
        let there = site.cluster.partitions(&self.topic).unwrap().unwrap() as i32;
        let partition = dice.within(0..there as u64) as i32;
        let count = self.produced.entry((site.name, partition)).or_default();
        let more = dice.within(1..200);
        site.produce(&self.topic, partition, *count..*count + more);
        *count += more;
    }

    fn operate(&mut self, dice: &mut Dice) -> &'static str {
        let [a, b] = rough_sites();
        let site = if dice.percent(50) { a } else { b };
        let which = dice.within(0..2) as usize;
        match dice.within(0..100) {
            0..=54 => {
                self.produce(dice);
                "produce"
            }
            55..=69 => {
                self.mirrors[which].take().expect("it runs").kill();
                self.mirrors[which] = Some(mirror(&self.topic, which));
                "kill a mirror"
            }
            70..=77 => {
                let mirror = self.mirrors[which].as_ref().expect("it runs");
                mirror.signal("STOP");
                self.produce(dice);
                thread::sleep(dice.millis(500..4000));
                self.mirrors[which].as_ref().expect("it runs").signal("CONT");
                "pause a mirror"
            }
            78..=87 => {
                site.cluster.proxy(1).set_down(true);
                self.produce(dice);
                thread::sleep(dice.millis(300..2500));
                site.cluster.proxy(1).set_down(false);
                "cut the network"
            }
            88..=91 => {
                site.cluster.kill(1).unwrap();
                site.cluster.start(1).unwrap();
                "kill a broker"
            }
            92..=95 => {
                if self.partitions < MOST_PARTITIONS
                    && site.cluster.partitions(&self.topic).unwrap().unwrap() as i32 == self.partitions
                {
                    self.partitions += 1;
                    site.cluster.add_partitions(&self.topic, self.partitions).unwrap();
                }
                "grow the topic"
            }
            _ => {
                self.writing = if dice.percent(50) { vec![a, b] } else { vec![site] };
                "move the writers"
            }
        }
    }
}

fn survives(name: &str, operations: u64) {
    let run = Run::of(&format!("random::{name}"));
    let mut dice = run.dice();
    let [a, b] = rough_sites();
    let topic = unique("random");
    a.create(&topic, 1);
    b.create(&topic, 1);
    let mirrors = [0, 1].map(|which| Some(mirror(&topic, which))).into();
    let mut world = World {
        topic: topic.clone(),
        produced: BTreeMap::new(),
        writing: vec![a, b],
        mirrors,
        partitions: 1,
    };
    // A topic that a link has not begun is none that it grows.
    for site in [a, b] {
        site.produce(&topic, 0, 0..1);
        world.produced.insert((site.name, 0), 1);
    }
    wait_for(&[a, b], &topic, 2);
    let mut done: BTreeMap<&str, u64> = BTreeMap::new();
    for _ in 0..operations {
        *done.entry(world.operate(&mut dice)).or_default() += 1;
    }
    eprintln!("{name}: {done:?}, {} records", world.produced.values().sum::<u64>());
    wait_for(&[a, b], &topic, world.produced.values().sum());
    assert_exact(&[a, b], &topic, &world.produced);
    for daemon in world.mirrors.into_iter().flatten() {
        daemon.stop().expect(0);
    }
}

#[test]
fn an_hour_or_two_of_random_operations_loses_and_repeats_nothing() {
    survives("an_hour_or_two_of_random_operations_loses_and_repeats_nothing", FEW);
}

#[test]
#[ignore = "takes ten minutes: cargo test --workspace --test dual -- --ignored"]
fn a_day_of_random_operations_loses_and_repeats_nothing() {
    let operations = setting("DUAL_OPERATIONS").unwrap_or(DAY);
    survives("a_day_of_random_operations_loses_and_repeats_nothing", operations);
}
