//! A planned switchover: what it leaves behind, however often, and wherever it is killed.

use kafka_harness::{client, daemon::eventually};
use kafka_wire::{AclOperation, AclResource};
use serde_json::Value;

use crate::{
    ledgers::ended,
    members,
    support::{
        Pair, STEPS, acls, allow, clusters, contents, found, make, mirrored, produce_as, state, topic,
    },
};

fn app(site: usize) -> kafka_harness::Props {
    clusters()[site].client_properties("app")
}

#[test]
fn ten_turns_in_a_row_leave_both_sites_identical_and_copy_nothing_again() {
    let topic = topic("turns", 3);
    let pair = Pair::new(&topic, "[switchover]\nverify = \"full\"\n");
    let daemon = pair.run(150);
    let (mut written, mut due) = (150, 170);
    for turn in 0..10 {
        let (from, to) = (turn % 2, 1 - turn % 2);
        produce_as(&app(from), &topic, i32::try_from(turn).unwrap() % 3, 20).unwrap();
        written += 20;
        // Since it runs, the link has mirrored what is new, and nothing else.
        eventually(&format!("{due} are mirrored at turn {turn}; {}", daemon.log()), || {
            (daemon.status()["totals"]["lag_records"] == 0
                && mirrored(&daemon, &pair.link(from), &topic) == due)
                .then_some(())
        });
        due = 20;
        let (report, told) = pair.switchover(&["--yes", "--to", ["dc1", "dc2"][to]], 0);
        assert_eq!(report["ended"], "done", "{report}\n{told}");
        assert_eq!(report["turn"]["to"], ["dc1", "dc2"][to], "{report}");
        produce_as(&app(from), &topic, 0, 1).unwrap_err();
    }
    produce_as(&app(0), &topic, 1, 5).unwrap();
    written += 5;
    let [one, two] = clusters();
    let ends = || [one, two].map(|site| client::end_offsets(&site.props(), &topic).unwrap());
    eventually("the last are mirrored", || {
        let [a, b] = ends();
        (a == b && a.values().sum::<i64>() == written).then_some(())
    });
    assert_eq!(contents(one, &topic), contents(two, &topic));
    assert_eq!(mirrored(&daemon, &pair.link(0), &topic), 5);
    let status = daemon.status();
    assert_eq!((&status["link"], &status["ready"]), (&pair.link(0).into(), &true.into()), "{status}");
    for from in [0, 1] {
        let args = ["--direction", &pair.link(from), "--output", "json"];
        let (report, _) = ended(pair.config.command("verify", &args), 0);
        let report: Value = serde_json::from_str(&report).unwrap();
        assert_eq!(report["totals"]["equal"], written, "{report}");
    }
}

#[test]
fn killed_at_every_step_it_goes_on_to_the_end_and_so_does_the_way_back() {
    let topic = topic("killed", 2);
    let pair = Pair::new(&topic, "[switchover]\nclients_hook = \"true\"\n");
    let daemon = pair.run(100);
    let before = acls(&clusters()[0], &topic);
    for step in STEPS {
        for moment in ["entered", "acted"] {
            pair.killed_at(&["--yes"], &format!("{step}.{moment}"));
        }
    }
    let (report, told) = pair.switchover(&["--yes"], 0);
    assert!(told.contains("going on with the switchover that is under way"), "{told}");
    assert!(STEPS.iter().all(|step| state(&report, step) == "done"), "{report}");
    let mut blocked = before.clone();
    blocked.insert(format!("Deny User:app Write on Topic {topic}"));
    assert_eq!(acls(&clusters()[0], &topic), blocked);
    let rights = |site: usize| {
        acls(&clusters()[site], &topic).into_iter().filter(|rule| rule.contains("app")).collect::<Vec<_>>()
    };
    assert_eq!(
        rights(1),
        [format!("Allow User:app Write on Topic {topic}")],
        "the block itself does not go over"
    );
    produce_as(&app(1), &topic, 0, 10).unwrap();
    eventually("the other way round", || {
        (client::end_offsets(&clusters()[0].props(), &topic).unwrap()[&0] == 60).then_some(())
    });
    // A daemon that was not there finds its way by the journal.
    daemon.kill();
    let daemon = pair.config.run();
    daemon.wait_ready();
    assert_eq!(daemon.status()["link"], pair.link(1));
    let (report, _) = pair.switchover(&["--back"], 0);
    assert_eq!((&report["ended"], &report["turn"]["to"]), (&"done".into(), &"dc1".into()), "{report}");
    assert_eq!(acls(&clusters()[0], &topic), before, "writers are released where they were blocked");
    assert_eq!(rights(1).len(), 2, "{:?}", rights(1));
    produce_as(&app(0), &topic, 1, 10).unwrap();
    eventually("as at first", || {
        (client::end_offsets(&clusters()[1].props(), &topic).unwrap()[&1] == 60).then_some(())
    });
    assert_eq!(contents(&clusters()[0], &topic), contents(&clusters()[1], &topic));
}

#[test]
fn it_goes_back_from_every_step_until_writers_are_released() {
    let topic = topic("back", 2);
    let pair = Pair::new(&topic, "");
    let daemon = pair.run(100);
    let before = [0, 1].map(|site| acls(&clusters()[site], &topic));
    for (n, step) in STEPS[..7].iter().enumerate() {
        pair.killed_at(&["--yes"], &format!("{step}.acted"));
        if *step == "follow" {
            // Killed on its way back, too.
            pair.killed_at(&["--back"], "flip.undoing");
            pair.killed_at(&["--back"], "block.undoing");
        }
        let (report, _) = pair.switchover(&["--back"], 0);
        assert_eq!(
            (&report["ended"], &report["back"]["cause"]),
            (&"back".into(), &"asked".into()),
            "{report}"
        );
        assert_eq!([0, 1].map(|site| acls(&clusters()[site], &topic)), before, "{step}");
        produce_as(&app(0), &topic, 1, 1).unwrap();
        let end = 51 + i64::try_from(n).unwrap();
        eventually(&format!("it is mirrored on after {step}; {}", daemon.log()), || {
            (client::end_offsets(&clusters()[1].props(), &topic).unwrap()[&1] == end).then_some(())
        });
    }
    // Asked again, it is back already.
    let (report, _) = pair.switchover(&["--back"], 0);
    assert_eq!(report["ended"], "back", "{report}");
}

#[test]
fn groups_that_have_left_and_topics_that_have_grown_go_over_too() {
    let (topic, group) = (topic("grown", 1), kafka_harness::shared::unique("idle"));
    let groups = format!(
        "[groups]\ninclude = [\"{group}\"]\nsync = \"1s\"\n[configs]\nsync = \"1s\"\n[acls]\nsync = \"1s\"\n"
    );
    let pair = Pair::new(&format!("{topic}(-new)?"), &groups);
    let [one, two] = clusters();
    members::commit(one, &group, &[(&topic, 0, 20)]);
    let daemon = pair.run(50);
    let (report, _) = pair.switchover(&["--yes"], 0);
    assert_eq!(found(&report, "groups")["groups"][0]["group"], *group, "{report}");
    assert_eq!(members::committed(two, &group, &topic, 1), [Some(20)]);
    // What is made on the active site comes to the standby: topics, partitions, configs, who may read, what a group commits.
    let new = format!("{topic}-new");
    two.create_topic(&new, 2, 1, &[("retention.bytes", "123456789")]).unwrap();
    produce_as(&two.props(), &new, 1, 4).unwrap();
    two.add_partitions(&topic, 3).unwrap();
    two.alter_topic_config(&topic, &[("retention.ms", "86400123")]).unwrap();
    eventually("the standby has grown", || (one.partitions(&topic).unwrap() == Some(3)).then_some(()));
    produce_as(&app(1), &topic, 2, 7).unwrap();
    for topic in [&topic, &new] {
        make(two, &[allow("other", AclOperation::Read, AclResource::Topic, topic)]);
    }
    members::commit(two, &group, &[(&topic, 0, 30), (&topic, 2, 7)]);
    eventually(&format!("the standby follows; {}", daemon.log()), || {
        let rule = acls(one, &topic).contains(&format!("Allow User:other Read on Topic {topic}"));
        let there = client::end_offsets(&one.props(), &topic).unwrap().get(&2) == Some(&7);
        (rule && there && members::committed(one, &group, &topic, 3)[0] == Some(30)).then_some(())
    });
    let has = |topic: &str, key: &str, value: &str| {
        let configs = one.topic_config(topic).unwrap_or_default();
        configs.iter().any(|(k, v)| (&**k, &**v) == (key, value))
    };
    eventually(&format!("topics and configs, too; {}", daemon.log()), || {
        let there = client::end_offsets(&one.props(), &new).is_ok_and(|ends| ends.get(&1) == Some(&4));
        let configs = has(&new, "retention.bytes", "123456789") && has(&topic, "retention.ms", "86400123");
        (there && configs).then_some(())
    });
    let deny = format!("Deny User:app Write on Topic {topic}");
    assert!(
        acls(one, &topic).contains(&deny) && !acls(two, &topic).contains(&deny),
        "the block stays where it is"
    );
    // A group that went back on the active site goes back on the other one, too: nothing is skipped.
    members::commit(two, &group, &[(&topic, 0, 10), (&topic, 2, 7)]);
    pair.switchover(&["--back"], 0);
    assert_eq!(members::committed(one, &group, &topic, 3), [Some(10), None, Some(7)]);
}
