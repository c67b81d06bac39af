//! One topic that all sites write.

use std::{collections::BTreeMap, thread, time::Duration};

use kafka_harness::{
    daemon::{Daemon, eventually},
    shared::unique,
};
use serde_json::{Value, json};

use crate::sites::{
    ORIGIN, assert_exact, header, link, mesh, name, produce_in_turns, sites, wait_for, wait_for_some,
};

fn produced(names: &[&'static str], partitions: i32, each: u64) -> BTreeMap<(&'static str, i32), u64> {
    let all = names.iter().flat_map(|name| (0..partitions).map(move |partition| ((*name, partition), each)));
    all.collect()
}

#[test]
fn a_record_comes_to_the_other_site_once_and_not_back_whatever_is_killed() {
    for (engine, rounds, kills) in [("batches", 24, 4), ("records", 8, 2)] {
        let [a, b, _] = sites();
        let topic = unique("shared");
        a.create(&topic, 2);
        b.create(&topic, 2);
        let links = [(a, b), (b, a)].map(|(from, to)| {
            link(from, to, &topic).engine(engine).target_property("group.instance.id", "one")
        });
        let mut daemons: Vec<Daemon> = links.iter().map(|link| link.run()).collect();
        let producing = thread::spawn({
            let topic = topic.clone();
            move || produce_in_turns(&[a, b], &topic, 2, rounds, 50)
        });
        for kill in 0..kills {
            thread::sleep(Duration::from_millis(700));
            daemons.remove(0).kill();
            daemons.push(links[kill % 2].run());
        }
        producing.join().unwrap();
        wait_for(&[a, b], &topic, 2 * 2 * rounds * 50);
        // Nothing more comes.
        thread::sleep(Duration::from_secs(1));
        assert_exact(&[a, b], &topic, &produced(&["a", "b"], 2, rounds * 50));
        // What came from there is counted, and not waited for.
        for daemon in &daemons {
            eventually("all is mirrored", || {
                let lag = daemon.metric("isomirror_lag_records", &[("topic", &topic), ("partition", "1")])?;
                (lag == 0.0).then_some(())
            });
        }
        let (checked, verified) = (links[0].command("check", &[]), links[1].command("verify", &[]));
        for (what, out) in [("check", checked), ("verify", verified)] {
            let text = String::from_utf8_lossy(&out.stdout);
            assert_eq!(out.status.code(), Some(0), "{what}: {text}{}", String::from_utf8_lossy(&out.stderr));
        }
        marks_tell_where_each_record_lies(&links, &topic);
        for daemon in daemons {
            let counted = daemon.metric("isomirror_returning_records_total", &[("topic", &topic)]);
            assert!(counted.is_some(), "it is counted");
            daemon.stop().expect(0);
        }
    }
}

/// Of all records of a partition, both ways, by both links.
fn marks_tell_where_each_record_lies(links: &[kafka_harness::daemon::Config; 2], topic: &str) {
    let [a, b, _] = sites();
    let place = |site: &crate::sites::Site| -> BTreeMap<_, _> {
        site.read(topic)[&1].iter().map(|record| (name(record), record.offset)).collect()
    };
    let (at_a, at_b) = (place(a), place(b));
    let some: Vec<_> = at_a.iter().step_by(97).map(|(name, at)| (*at, at_b[name])).collect();
    for (link, turned) in links.iter().zip([false, true]) {
        for (command, ask_b) in [("translate", turned), ("reverse", !turned)] {
            let mut args = vec!["--topic", topic, "--partition", "1", "--output", "json"];
            let asked: Vec<String> =
                some.iter().map(|(a, b)| if ask_b { b } else { a }).map(ToString::to_string).collect();
            asked.iter().for_each(|offset| args.extend(["--offset", offset]));
            let (_dir, path) = link.write();
            let out = kafka_harness::daemon::isomirror()
                .arg("marks")
                .arg(path)
                .arg(command)
                .args(&args)
                .output()
                .unwrap();
            let text = String::from_utf8(out.stdout).unwrap();
            assert_eq!(out.status.code(), Some(0), "{text}{}", String::from_utf8_lossy(&out.stderr));
            let answers: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
            assert_eq!(answers.len(), some.len());
            for (answer, (at_a, at_b)) in answers.iter().zip(&some) {
                let (source, target) = if turned { (at_b, at_a) } else { (at_a, at_b) };
                let found = &answer["translation"];
                assert_eq!(found["found"], "exact", "{answer}");
                assert_eq!(
                    (&found["source"], &found["target"]),
                    (&json!(source), &json!(target)),
                    "{answer}"
                );
            }
        }
    }
}

#[test]
fn over_three_sites_in_a_ring_each_has_every_record_once() {
    let [a, b, c] = sites();
    let topic = unique("ring");
    for site in [a, b, c] {
        site.create(&topic, 1);
    }
    let ring = [(a, b), (b, c), (c, a)].map(|(from, to)| link(from, to, &topic));
    let daemons = ring.each_ref().map(|link| link.run());
    produce_in_turns(&[a, b, c], &topic, 1, 20, 20);
    wait_for(&[a, b, c], &topic, 3 * 400);
    thread::sleep(Duration::from_secs(1));
    assert_exact(&[a, b, c], &topic, &produced(&["a", "b", "c"], 1, 400));
    let of_c = b.read(&topic)[&0].iter().find(|record| name(record).0 == "c").cloned().expect("one of c");
    assert_eq!(header(&of_c, &format!("{ORIGIN}.via")), Some(a.id()), "it came over a");
    for daemon in daemons {
        daemon.stop().expect(0);
    }
}

#[test]
fn where_all_sites_are_linked_with_each_other_each_link_brings_its_own() {
    let [a, b, c] = sites();
    let topic = unique("mesh");
    let links = mesh(&topic, |link, _| link);
    let daemons = links.each_ref().map(|link| link.run());
    produce_in_turns(&[a, b, c], &topic, 1, 10, 20);
    wait_for(&[a, b, c], &topic, 3 * 200);
    thread::sleep(Duration::from_secs(1));
    assert_exact(&[a, b, c], &topic, &produced(&["a", "b", "c"], 1, 200));
    // With `all` they would come twice, and `check` says so.
    let all = links[0].clone().topics("origins = \"all\"").command("check", &["--output", "json"]);
    let text = String::from_utf8_lossy(&all.stdout);
    assert_eq!(all.status.code(), Some(3), "{text}");
    assert!(text.contains("records-come-twice"), "{text}");
    for daemon in daemons {
        daemon.stop().expect(0);
    }
}

#[test]
fn what_a_link_that_was_down_has_missed_comes_over_it_alone_and_once() {
    let [a, b, c] = sites();
    let topic = unique("mesh-down");
    let links = mesh(&topic, |link, _| link);
    let mut daemons: Vec<Daemon> = links.iter().map(|link| link.run()).collect();
    thread::scope(|scope| {
        scope.spawn(|| produce_in_turns(&[a, b, c], &topic, 2, 30, 10));
        // Somewhere in the middle of that.
        wait_for_some(b, &topic, 100);
        daemons.remove(0).stop().expect(0);
    });
    let all = 3 * 2 * 300;
    wait_for(&[a, c], &topic, all);
    // Over c it does not come: with what is to come it would be there twice.
    thread::sleep(Duration::from_secs(2));
    let lacks = all - b.count(&topic);
    assert!((1..2 * 300).contains(&lacks), "b lacks {lacks} records of a");
    let of_a = b.read(&topic).values().flatten().filter(|record| name(record).0 == "a").count() as u64;
    assert_eq!(of_a + lacks, 2 * 300, "it lacks none of the others");
    daemons.push(links[0].run());
    wait_for(&[b], &topic, all);
    thread::sleep(Duration::from_secs(1));
    assert_exact(&[a, b, c], &topic, &produced(&["a", "b", "c"], 2, 300));
    for daemon in daemons {
        daemon.stop().expect(0);
    }
}
