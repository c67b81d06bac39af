//! kill -9: what holds of the target afterwards.

use kafka_harness::{
    Cluster,
    daemon::{Config, eventually},
    shared::{pair, unique},
};

use crate::{assert_equal, producing::Producing, records::numbers};

/// What holds after `kills` kills and a last run that has caught up. Each target partition is the source
/// partition in at most `kills` + 1 pieces: each a run of consecutive source records, the first from the first
/// record on, each other from a record not behind the one that comes next, so that records are repeated and none
/// is left out; and the last ends with the last record.
#[track_caller]
pub fn assert_runs(source: &Cluster, target: &Cluster, topic: &str, kills: usize) {
    let (before, after) = (numbers(source, topic), numbers(target, topic));
    for (partition, before) in &before {
        let after = &after[partition];
        // Numbers are told apart by their place on the source.
        let place = |n: &u64| before.binary_search(n).expect("the target has only what the source has");
        let places: Vec<usize> = after.iter().map(place).collect();
        let at = format!("{topic}[{partition}]");
        assert_eq!(places.first(), (!before.is_empty()).then_some(&0), "{at} begins with the first record");
        let mut runs = 1;
        for two in places.windows(2) {
            assert!(two[1] <= two[0] + 1, "{at}: records between {} and {} are left out", two[0], two[1]);
            runs += usize::from(two[1] != two[0] + 1);
        }
        assert!(runs <= kills + 1, "{at}: {runs} runs after {kills} kills");
        assert_eq!(places.last().map(|last| last + 1).unwrap_or(0), before.len(), "{at} ends with the last");
    }
}

#[test]
fn kill_9_under_load_loses_nothing_and_keeps_the_order() {
    let (source, target) = pair();
    let topic = unique("killed");
    source.create_topic(&topic, 4, 1, &[]).unwrap();
    // With a name it gets its lanes back at once.
    let config = Config::new(source, target, &topic).target_property("group.instance.id", "one");
    let producing = Producing::start(source, &topic, 4);
    let kills = 5;
    for kill in 0..kills {
        let daemon = config.run();
        // Sometimes before marks were recorded, sometimes after.
        let records = [1, 800, 4000][kill % 3];
        eventually("it has mirrored something", || {
            (daemon.status()["totals"]["records"].as_u64() >= Some(records)).then_some(())
        });
        daemon.kill();
    }
    let written = producing.stop();
    config.run_until_caught_up().expect(0);
    assert_runs(source, target, &topic, kills);
    let found: usize = numbers(target, &topic).values().map(Vec::len).sum();
    assert!(found as u64 >= written);
    // And from here on all is as if nothing had been: a further run has nothing to do.
    config.run_until_caught_up().expect(0);
    assert_eq!(numbers(target, &topic).values().map(Vec::len).sum::<usize>(), found);
}

#[test]
fn a_kill_while_idle_repeats_nothing() {
    let (source, target) = pair();
    let topic = unique("idle-kill");
    source.create_topic(&topic, 2, 1, &[]).unwrap();
    let config = Config::new(source, target, &topic).target_property("group.instance.id", "one");
    for round in 0..3 {
        crate::records::write(source, &topic, 1, round * 100..round * 100 + 100);
        let daemon = config.run();
        daemon.wait_for_records(100);
        // Marks are recorded every second.
        std::thread::sleep(std::time::Duration::from_secs(3));
        daemon.kill();
    }
    config.run_until_caught_up().expect(0);
    assert_equal(source, target, &topic);
}
