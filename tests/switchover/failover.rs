//! The active site is gone: what it alone had is found when it is back, is in files, and goes wherever it is sent; and it is a
//! faithful standby again.

use std::{fs, thread, time::Duration};

use kafka_harness::{Cluster, TestRecord, client, daemon::eventually, shared::unique};
use tempfile::TempDir;

use crate::{
    ledgers::ended,
    support::{Pair, contents, found},
};

fn record(partition: i32, value: String) -> TestRecord {
    TestRecord {
        partition,
        key: Some(value.clone().into_bytes()),
        value: Some(value.into_bytes()),
        headers: vec![("h".to_owned(), None)],
        timestamp: Some(1_700_000_000_000),
    }
}

fn produce(site: &Cluster, topic: &str, partition: i32, name: &str, records: usize) {
    let records: Vec<_> = (0..records).map(|n| record(partition, format!("{name}{n}"))).collect();
    client::produce(&site.props(), topic, &records).unwrap();
}

#[test]
fn a_site_that_was_gone_gives_up_its_tail_into_files_and_is_a_faithful_standby_again() {
    let start = || Cluster::builder().start().expect("a cluster");
    let [one, two] = thread::scope(|scope| {
        let one = scope.spawn(start);
        let two = start();
        [one.join().expect("a cluster"), two]
    });
    let [torn, clean] = ["torn", "clean"].map(unique);
    for topic in [&torn, &clean] {
        one.create_topic(topic, 2, 1, &[]).unwrap();
        (0..2).for_each(|partition| produce(&one, topic, partition, "old", 50));
    }
    let sections = "[switchover]\nblock = \"quiet\"\nquiet = \"1s\"\nstep_limit = \"40s\"\n";
    let pair = Pair::between([&one, &two], &format!("{torn}|{clean}"), sections);
    let daemon = pair.run(200);

    // Nobody mirrors what comes now, and then the site is gone.
    daemon.signal("STOP");
    produce(&one, &torn, 0, "orphan", 30);
    let broker = one.broker_ids()[0];
    one.kill(broker).unwrap();
    daemon.signal("CONT");
    let (_, error) = pair.switchover(&["--yes"], 4);
    assert!(error.contains("dc1"), "{error}");
    let (report, told) = pair.switchover(&["--force", "--yes", "--to", "dc2"], 0);
    assert_eq!(report["ended"], "done", "{report} {told}");
    let ends = found(&report, "assess")["ends"].as_array().unwrap().clone();
    assert!(ends.len() == 4 && ends.iter().all(|end| end["target"] == 50), "{report}");
    produce(&two, &torn, 0, "new", 20);
    produce(&two, &clean, 1, "new", 7);

    one.start(broker).unwrap();
    // It is back, and no link runs: what it has would land behind what is new.
    thread::sleep(Duration::from_secs(3));
    assert_eq!(client::end_offsets(&two.props(), &torn).unwrap()[&0], 70, "{}", daemon.log());
    let (_, error) = pair.switchover(&["--yes"], 3);
    assert!(error.contains("active alone") && error.contains("reconcile"), "{error}");
    let (forks, _) = ended(pair.config.command("reconcile", &["--dry-run", "--output", "json"]), 0);
    let forks: serde_json::Value = serde_json::from_str(&forks).unwrap();
    let alone: Vec<_> = forks.as_array().unwrap().iter().filter(|fork| fork["fork"] != fork["end"]).collect();
    assert_eq!(alone.len(), 1, "{forks}");
    assert_eq!(
        (&alone[0]["topic"], &alone[0]["fork"], &alone[0]["end"]),
        (&(*torn).into(), &50.into(), &80.into())
    );

    let folder = TempDir::new().unwrap();
    let export = folder.path().to_str().unwrap();
    let args = ["--yes", "--export", export, "--output", "json"];
    let (report, told) = ended(pair.config.command("reconcile", &args), 0);
    let report: serde_json::Value = serde_json::from_str(&report).unwrap();
    assert_eq!(report["ended"], "done", "{report} {told}");
    let file = folder.path().join(format!("{torn}-0-50.jsonl"));
    let lines = fs::read_to_string(&file).unwrap();
    assert_eq!(lines.lines().count(), 30, "{lines}");
    assert!(lines.starts_with("{\"topic\":") && lines.contains("\"headers\":[[\"h\",null]]"), "{lines}");
    let same = |what: &str| {
        eventually(&format!("{what}; {}", daemon.log()), || {
            let ends = |site: &Cluster, topic: &str| client::end_offsets(&site.props(), topic).ok();
            [&torn, &clean]
                .iter()
                .all(|topic| {
                    let ends = (ends(&one, topic), ends(&two, topic));
                    ends.0.is_some() && ends.0 == ends.1
                })
                .then_some(())
        });
        for topic in [&torn, &clean] {
            assert_eq!(contents(&one, topic), contents(&two, topic), "{topic}");
        }
    };
    same("it is a standby again");

    let (_, error) = ended(pair.config.command("replay", &[file.to_str().unwrap(), "--to", "dc7"]), 2);
    assert!(error.contains("no site \"dc7\""), "{error}");
    ended(pair.config.command("replay", &[file.to_str().unwrap(), "--to", "dc2"]), 0);
    assert_eq!(client::end_offsets(&two.props(), &torn).unwrap()[&0], 100);
    same("what was replayed is on both");
    let values = contents(&two, &torn).join("\n");
    assert!(
        ["old49", "orphan29", "new19"]
            .iter()
            .all(|value| values.contains(&format!("{:?}", value.as_bytes()))),
        "{values}"
    );

    // And back, with nothing lost: planned again.
    let (report, told) = pair.switchover(&["--yes", "--to", "dc1"], 0);
    assert_eq!(report["ended"], "done", "{report} {told}");
    produce(&one, &torn, 1, "last", 5);
    same("the first site is active again");
}
