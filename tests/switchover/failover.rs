//! The active site is gone: what it alone had is found when it is back, is in files, and goes wherever it is sent; and it is a
//! faithful standby again.

use std::{fs, thread, time::Duration};

use kafka_harness::{
    Cluster, Security, TestRecord,
    client::{self, Isolation},
    daemon::{Daemon, eventually},
    shared::unique,
};
use tempfile::TempDir;

use crate::{
    ledgers::ended,
    support::{Pair, clusters_of, contents, found, mirrored},
};

fn record(partition: i32, value: String) -> TestRecord {
    TestRecord {
        partition,
        key: Some(value.clone().into_bytes()),
        value: Some(value.into_bytes()),
        headers: vec![("h".to_owned(), None)],
        timestamp: None,
    }
}

fn produce(site: &Cluster, topic: &str, partition: i32, name: &str, records: usize) {
    let records: Vec<_> = (0..records).map(|n| record(partition, format!("{name}{n}"))).collect();
    client::produce(&site.props(), topic, &records).unwrap();
}

const FORCE: [&str; 4] = ["--force", "--yes", "--to", "dc2"];

/// Two sites of this test alone, with 50 records in each partition of two topics, and the pair's sections.
fn sites() -> ([Cluster; 2], [String; 2], Pair) {
    let clusters = clusters_of(Security::Plaintext);
    let topics = ["torn", "clean"].map(unique);
    for topic in &topics {
        clusters[0].create_topic(topic, 2, 1, &[]).unwrap();
        (0..2).for_each(|partition| produce(&clusters[0], topic, partition, "old", 50));
    }
    let sections = "[switchover]\nblock = \"quiet\"\nquiet = \"1s\"\nstep_limit = \"40s\"\n";
    let pair = Pair::between([&clusters[0], &clusters[1]], &topics.join("|"), sections);
    (clusters, topics, pair)
}

/// Waits until both sites end alike, and claims that they have the same.
fn same(what: &str, clusters: &[Cluster; 2], topics: &[String], daemon: &Daemon) {
    for topic in topics {
        eventually(&format!("{what}; {}", daemon.log()), || {
            let [one, two] = clusters.each_ref().map(|site| client::end_offsets(&site.props(), topic).ok());
            (one.is_some() && one == two).then_some(())
        });
        assert_eq!(contents(&clusters[0], topic), contents(&clusters[1], topic), "{topic}");
    }
}

#[test]
fn a_site_that_was_gone_gives_up_its_tail_into_files_and_is_a_faithful_standby_again_killed_at_every_step() {
    let (clusters, topics, pair) = sites();
    let ([one, two], [torn, clean]) = (&clusters, &topics);
    let daemon = pair.run(200);

    // Nobody mirrors what comes now, and then the site is gone.
    daemon.signal("STOP");
    produce(one, torn, 0, "orphan", 30);
    let broker = one.broker_ids()[0];
    one.kill(broker).unwrap();
    daemon.signal("CONT");
    let (_, error) = pair.switchover(&["--yes"], 4);
    assert!(error.contains("dc1"), "{error}");
    for step in ["seen", "rest", "assess", "release", "clients"] {
        for moment in ["entered", "acted"] {
            pair.killed_at(&FORCE, &format!("{step}.{moment}"));
        }
    }
    let (report, told) = pair.switchover(&FORCE, 0);
    assert_eq!(report["ended"], "done", "{report} {told}");
    let ends = found(&report, "assess")["ends"].as_array().unwrap().clone();
    assert!(ends.len() == 4 && ends.iter().all(|end| end["target"] == 50), "{report}");
    produce(two, torn, 0, "new", 20);
    produce(two, clean, 1, "new", 7);

    one.start(broker).unwrap();
    // It is back, and no link runs: what it has would land behind what is new.
    thread::sleep(Duration::from_secs(3));
    assert_eq!(client::end_offsets(&two.props(), torn).unwrap()[&0], 70, "{}", daemon.log());
    let (_, error) = pair.switchover(&["--yes"], 3);
    assert!(error.contains("active alone") && error.contains("reconcile"), "{error}");
    let (_, error) = pair.switchover(&FORCE, 3);
    assert!(error.contains("both of dc1 and dc2 answer"), "{error}");
    let (forks, _) = ended(pair.config.command("reconcile", &["--dry-run", "--output", "json"]), 0);
    let forks: serde_json::Value = serde_json::from_str(&forks).unwrap();
    let alone: Vec<_> = forks.as_array().unwrap().iter().filter(|fork| fork["fork"] != fork["end"]).collect();
    assert_eq!(alone.len(), 1, "{forks}");
    assert_eq!(
        (&alone[0]["topic"], &alone[0]["fork"], &alone[0]["end"]),
        (&(**torn).into(), &50.into(), &80.into())
    );

    let folder = TempDir::new().unwrap();
    let export = ["--yes", "--export", folder.path().to_str().unwrap()];
    for step in ["block", "fork", "export", "clear", "follow"] {
        for moment in ["entered", "acted"] {
            pair.command_killed_at("reconcile", &export, &format!("{step}.{moment}"));
        }
    }
    let args = [&export[..], &["--output", "json"]].concat();
    let (report, told) = ended(pair.config.command("reconcile", &args), 0);
    let report: serde_json::Value = serde_json::from_str(&report).unwrap();
    assert_eq!(report["ended"], "done", "{report} {told}");
    let file = folder.path().join(format!("{torn}-0-50.jsonl"));
    let lines = fs::read_to_string(&file).unwrap();
    assert_eq!(lines.lines().count(), 30, "{lines}");
    assert!(lines.starts_with("{\"topic\":") && lines.contains("\"headers\":[[\"h\",null]]"), "{lines}");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "and nothing else");
    same("it is a standby again", &clusters, &topics, &daemon);
    assert_eq!(mirrored(&daemon, &pair.link(1), clean), 7, "what was the same is not copied again");

    let (_, error) = ended(pair.config.command("replay", &[file.to_str().unwrap(), "--to", "dc7"]), 2);
    assert!(error.contains("no site \"dc7\""), "{error}");
    ended(pair.config.command("replay", &[file.to_str().unwrap(), "--to", "dc2"]), 0);
    assert_eq!(client::end_offsets(&two.props(), torn).unwrap()[&0], 100);
    same("what was replayed is on both", &clusters, &topics, &daemon);
    let values = contents(two, torn).join("\n");
    assert!(
        ["old49", "orphan29", "new19"]
            .iter()
            .all(|value| values.contains(&format!("{:?}", value.as_bytes()))),
        "{values}"
    );

    // And back, with nothing lost: planned again.
    let (report, told) = pair.switchover(&["--yes", "--to", "dc1"], 0);
    assert_eq!(report["ended"], "done", "{report} {told}");
    produce(one, torn, 1, "last", 5);
    same("the first site is active again", &clusters, &topics, &daemon);
}

/// Takes what a switchover has noted last out of a journal.
fn forget_the_last_note(site: &Cluster, journal: &str) {
    let all = client::read_all(&site.props(), journal, Isolation::Uncommitted).unwrap().remove(&0).unwrap();
    let is_one = |key: &Vec<u8>| key.starts_with(b"operation/switchover/");
    let last = all.into_iter().rev().filter_map(|record| record.key).find(is_one);
    let deletion = TestRecord { key: Some(last.expect("there is one")), ..TestRecord::default() };
    client::produce(&site.props(), journal, &[deletion]).unwrap();
}

#[test]
#[ignore = "a minute: cargo test --workspace --test switchover lost -- --ignored"]
fn a_site_that_is_lost_in_the_middle_of_a_switchover_is_gone_on_without_whichever_it_is() {
    let (clusters, topics, pair) = sites();
    let ([one, two], [torn, _]) = (&clusters, &topics);
    let daemon = pair.run(200);

    // The standby, before the mirror has turned, and after it has; and before what stands in its journal is in the other one.
    for (moment, is_copied) in [("even.acted", true), ("follow.acted", true), ("flip.entered", false)] {
        pair.killed_at(&["--yes"], moment);
        if !is_copied {
            forget_the_last_note(one, &format!("isomirror.{}.journal", pair.link(1)));
        }
        let broker = two.broker_ids()[0];
        two.kill(broker).unwrap();
        let (_, error) = pair.switchover(&["--back"], 4);
        assert!(error.contains("dc2"), "{error}");
        let (_, error) = pair.switchover(&["--force", "--yes", "--to", "dc1"], 3);
        assert!(error.contains("--back --force"), "{error}");
        let (report, told) = pair.switchover(&["--back", "--force"], 0);
        assert_eq!(report["ended"], "back", "{report} {told}");
        produce(one, torn, 0, "on", 5);
        two.start(broker).unwrap();
        let (report, _) = pair.switchover(&["--back"], 0);
        assert_eq!(report["ended"], "back", "the site that was gone knows it, too: {report}");
        same("it is mirrored on", &clusters, &topics, &daemon);
    }

    // The active site, after the mirror has turned, and before writers were let go to the other one.
    pair.killed_at(&["--yes"], "follow.acted");
    let broker = one.broker_ids()[0];
    one.kill(broker).unwrap();
    let (report, told) = pair.switchover(&["--force", "--yes"], 0);
    assert_eq!((&report["ended"], &report["turn"]["to"]), (&"done".into(), &"dc2".into()), "{report} {told}");
    produce(two, torn, 1, "new", 9);
    one.start(broker).unwrap();
    let folder = TempDir::new().unwrap();
    let export = ["--yes", "--export", folder.path().to_str().unwrap()];
    let (said, _) = ended(pair.config.command("reconcile", &export), 0);
    assert!(said.contains("nothing to export") && said.contains("nothing to delete"), "{said}");
    same("nothing was to be made good", &clusters, &topics, &daemon);

    // The site that has just become active, after writers were let go to it.
    pair.killed_at(&["--yes", "--to", "dc1"], "leave.entered");
    let old = two.broker_ids()[0];
    two.kill(old).unwrap();
    let (_, error) = pair.switchover(&["--force", "--yes", "--to", "dc1"], 3);
    assert!(error.contains("clients_hook may not have run"), "{error}");
    two.start(old).unwrap();
    one.kill(broker).unwrap();
    let (_, error) = pair.switchover(&["--back", "--force"], 3);
    assert!(error.contains("--force makes the other site active"), "{error}");
    let (report, told) = pair.switchover(&["--force", "--yes", "--to", "dc2"], 0);
    assert_eq!((&report["ended"], &report["turn"]["to"]), (&"done".into(), &"dc2".into()), "{report} {told}");
    produce(two, torn, 0, "newer", 9);
    one.start(broker).unwrap();
    ended(pair.config.command("reconcile", &export), 0);
    same("it is a standby again", &clusters, &topics, &daemon);
}
