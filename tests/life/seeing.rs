//! What the daemon tells of itself: `isomirror status`, its pages, its logs.

use std::fs;

use kafka_harness::{
    daemon::{Config, isomirror},
    shared::{pair, unique},
};
use serde_json::Value;

use crate::records::write;

#[test]
fn status_asks_a_running_daemon_by_its_address_or_its_configuration() {
    let (source, target) = pair();
    let topic = unique("status");
    source.create_topic(&topic, 2, 1, &[]).unwrap();
    write(source, &topic, 1, 0..7);
    let config = Config::new(source, target, &topic);
    let daemon = config.run();
    daemon.wait_for_records(7);
    let url = daemon.url();

    // The configuration with the port that the daemon was given.
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("link.toml");
    fs::write(&file, config.text().replace("127.0.0.1:0", url.trim_start_matches("http://"))).unwrap();

    for place in [url.as_str(), file.to_str().unwrap()] {
        let table = isomirror().args(["status", place]).output().unwrap();
        assert_eq!(table.status.code(), Some(0));
        let table = String::from_utf8(table.stdout).unwrap();
        let row = table.lines().find(|line| line.trim_start().starts_with(&topic) && line.contains(" 1 "));
        let row = row.unwrap_or_else(|| panic!("no row of the lane:\n{table}"));
        assert!(row.contains("running") && row.ends_with(" 7"), "{row}");
        assert!(table.contains("2 running, 0 stopped"), "{table}");

        let json = isomirror().args(["status", place, "--output", "json"]).output().unwrap();
        assert_eq!(json.status.code(), Some(0));
        let json: Value = serde_json::from_slice(&json.stdout).unwrap();
        assert_eq!((&json["totals"]["records"], &json["totals"]["lag_records"]), (&7.into(), &0.into()));
        assert_eq!(json["ready"], true);
        assert_eq!(json["lanes"].as_array().unwrap().len(), 2);
    }

    daemon.stop().expect(0);
    let nobody = isomirror().args(["status", &url]).output().unwrap();
    assert_eq!(nobody.status.code(), Some(4), "nobody is there any more");
}

#[test]
fn the_pages_answer_and_json_logs_parse_line_by_line() {
    let (source, target) = pair();
    let topic = unique("pages");
    source.create_topic(&topic, 2, 1, &[]).unwrap();
    // Trouble, so that there is something to tell.
    target.create_topic(&topic, 1, 1, &[]).unwrap();
    let daemon = Config::new(source, target, &topic).run_with(&["--log-format", "json"]);
    daemon.wait_for_log("topic refused");
    let (code, body) = daemon.get("/healthz");
    assert_eq!((code, body.as_str()), (200, "ok\n"));
    let (code, page) = daemon.get("/");
    assert!(code == 200 && page.contains("<html") && page.contains(&topic), "{code}: {page}");
    assert!(page.contains("has 1 partitions, the source has 2"), "the page says why:\n{page}");
    assert_eq!(daemon.get("/nowhere").0, 404);
    let ended = daemon.stop().expect(0);

    let lines: Vec<Value> = ended
        .log
        .lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}")))
        .collect();
    for line in &lines {
        let text = |key: &str| line[key].as_str().unwrap_or_else(|| panic!("no {key}: {line}"));
        assert!(["INFO", "WARN", "ERROR"].contains(&text("level")), "{line}");
        assert!(!text("timestamp").is_empty() && !text("target").is_empty() && !text("message").is_empty());
    }
    let refused = lines.iter().find(|line| line["message"] == "topic refused").expect("it is told");
    assert_eq!((&refused["topic"], &refused["level"]), (&topic.as_str().into(), &"ERROR".into()));
    assert!(refused["fix"].as_str().is_some_and(|fix| fix.contains("kafka-topics.sh --alter")), "{refused}");
    assert!(lines.iter().any(|line| line["message"].as_str().is_some_and(|m| m.starts_with("stopped:"))));
}
