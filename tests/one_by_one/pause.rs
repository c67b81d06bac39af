//! Pausing, resuming, stopping and starting: by the log ends, the records and the marks of both sides.

use std::{
    sync::atomic::{AtomicBool, Ordering::Relaxed},
    thread::{scope, sleep},
    time::{Duration, Instant},
};

use kafka_harness::{
    Cluster, TestRecord, client,
    daemon::{Config, Daemon, eventually},
    shared::{pair, unique},
};
use serde_json::json;

use crate::{
    assert_identical, marks,
    records::{count, lane, total, write},
    row, state_of, topics, wait_for_no_lanes, wait_for_state,
};

/// Writes to all partitions, 500 records at a time, until it is told to stop.
fn keep_writing(cluster: &Cluster, topic: &str, stop: &AtomicBool) {
    let partitions = client::end_offsets(&cluster.props(), topic).unwrap().len() as i64;
    let record = |n: i64| TestRecord {
        partition: (n % partitions) as i32,
        value: Some(format!("{n}").into_bytes()),
        ..TestRecord::default()
    };
    let mut next = 0;
    while !stop.load(Relaxed) {
        let records: Vec<_> = (next..next + 500).map(record).collect();
        client::produce(&cluster.props(), topic, &records).unwrap();
        next += 500;
    }
}

/// Where all is still: no lane of the topic writes any more.
fn is_still(target: &Cluster, topic: &str) -> bool {
    let before = total(target, topic);
    sleep(Duration::from_millis(1500));
    total(target, topic) == before
}

fn wait_for(cluster: &Cluster, topic: &str, records: u64) {
    eventually(&format!("{records} records in {topic}"), || (total(cluster, topic) >= records).then_some(()));
}

/// Pauses and resumes under load, with as many daemons as there are.
fn paused_and_resumed(config: &Config, topic: &str, daemons: &[&Daemon]) {
    let (source, target) = pair();
    let stop = AtomicBool::new(false);
    scope(|threads| {
        threads.spawn(|| keep_writing(source, topic, &stop));
        for round in 1..=2 {
            wait_for(target, topic, total(target, topic) + 1000);
            let asked = Instant::now();
            let report = topics(config, &["pause", topic], 0);
            assert_eq!(report["done"], "yes", "{report:#}");
            assert!(asked.elapsed() < Duration::from_secs(8), "round {round}: {:?}", asked.elapsed());
            // It is done when the command says so, and not a moment later.
            let ends = client::end_offsets(&target.props(), topic).unwrap();
            assert!(is_still(target, topic), "round {round}");
            for lane in marks(config, topic) {
                let partition = lane["start"]["partition"].as_i64().unwrap() as i32;
                assert_eq!(
                    lane["position"]["target"],
                    json!(ends[&partition]),
                    "what is written is marked: {lane:#}"
                );
            }
            for daemon in daemons {
                assert_eq!(daemon.get("/readyz").0, 200, "{}", daemon.get("/readyz").1);
                let lanes = daemon.status()["lanes"].as_array().unwrap().clone();
                assert!(
                    lanes.iter().filter(|lane| lane["topic"] == topic).all(|lane| lane["state"] == "paused")
                );
            }
            topics(config, &["resume", topic], 0);
        }
        stop.store(true, Relaxed);
    });
    let written = total(source, topic);
    wait_for(target, topic, written);
    assert_identical(source, target, topic);
}

#[test]
fn a_paused_topic_stays_where_it_is_and_goes_on_exactly_there() {
    let (source, target) = pair();
    let p = unique("pause");
    let (topic, other) = (format!("{p}.loaded"), format!("{p}.other"));
    for topic in [&topic, &other] {
        source.create_topic(topic, 2, 1, &[]).unwrap();
    }
    let config = Config::new(source, target, &format!("{p}\\..*"));
    let daemon = config.run();
    daemon.wait_ready();
    paused_and_resumed(&config, &topic, &[&daemon]);

    // Its lag is measured, others go on, and pages and metrics say what it is.
    topics(&config, &["pause", &topic], 0);
    (0..2).for_each(|partition| write(source, &topic, partition, 0..7));
    write(source, &other, 0, 0..3);
    eventually("the other goes on", || (count(target, &other) == 3).then_some(()));
    eventually("its lag is measured", || {
        (lane(&daemon.status(), &topic, 0)?["lag_records"] == 7).then_some(())
    });
    let labels = |state| [("topic", topic.as_str()), ("partition", "0"), ("state", state)];
    assert_eq!(daemon.metric("isomirror_lane_state", &labels("paused")), Some(1.0));
    assert_eq!(daemon.metric("isomirror_lane_state", &labels("running")), Some(0.0));
    assert_eq!(daemon.metric("isomirror_lag_records", &labels("paused")[..2]), Some(7.0));
    assert!(daemon.get("/").1.contains("2 paused"));
    let status = daemon.status();
    assert_eq!(status["held"], json!({ topic.clone(): "paused" }));
    assert_eq!((&status["ready"], &status["totals"]["paused"]), (&json!(true), &json!(2)));

    // Through a restart, and what it is then told while nothing runs.
    daemon.stop().expect(0);
    let daemon = config.run();
    daemon.wait_ready();
    let status = wait_for_state(&daemon, &topic, "paused");
    assert_eq!(status["lanes"].as_array().unwrap().len(), 4, "{status:#}");
    eventually("its lag is known", || (lane(&daemon.status(), &topic, 1)?["lag_records"] == 7).then_some(()));
    assert!(daemon.metric("isomirror_position", &labels("paused")[..2]).is_some());
    daemon.stop().expect(0);
    let report = topics(&config, &["resume", &topic], 0);
    assert_eq!(report["done"], "not_running", "{report:#}");
    config.run_until_caught_up().expect(0);
    assert_identical(source, target, &topic);
}

#[test]
fn two_instances_pause_together_and_two_commands_at_once_are_both_heard() {
    let (source, target) = pair();
    let topic = unique("two");
    // A lane for each slot: both have some.
    source.create_topic(&topic, 16, 1, &[]).unwrap();
    let config = Config::new(source, target, &topic);
    let daemons = [config.run(), config.run()];
    daemons.iter().for_each(Daemon::wait_ready);
    eventually("they share the lanes", || {
        let lanes = |daemon: &Daemon| daemon.status()["lanes"].as_array().map_or(0, Vec::len);
        (daemons.iter().map(lanes).sum::<usize>() == 16 && daemons.iter().all(|d| lanes(d) > 0)).then_some(())
    });
    paused_and_resumed(&config, &topic, &[&daemons[0], &daemons[1]]);

    // Whoever comes second finds what the first has decided: one of them has something to do, the other has not.
    let outcomes: Vec<_> = scope(|threads| {
        let commands: Vec<_> =
            (0..4).map(|_| threads.spawn(|| topics(&config, &["pause", &topic], 0))).collect();
        commands.into_iter().map(|command| command.join().unwrap()).collect()
    });
    let changed = outcomes.iter().filter(|report| report["done"] != "nothing").count();
    assert_eq!(changed, 1, "{outcomes:#?}");
    // One that is killed leaves its lanes to the other, which leaves them where they are.
    let [first, second] = daemons;
    (0..2).for_each(|partition| write(source, &topic, partition, 0..5));
    first.kill();
    eventually("the other has all lanes", || {
        let lanes = second.status()["lanes"].as_array()?.clone();
        (lanes.len() == 16 && lanes.iter().all(|lane| lane["state"] == "paused")).then_some(())
    });
    assert!(is_still(target, &topic));
    topics(&config, &["resume", &topic], 0);
    wait_for(target, &topic, total(source, &topic));
    assert_identical(source, target, &topic);
    second.stop().expect(0);
}

#[test]
fn a_stopped_topic_is_let_go_and_started_again_by_its_marks() {
    let (source, target) = pair();
    let p = unique("stop");
    let (identical, translated) = (format!("{p}.identical"), format!("{p}.translated"));
    for topic in [&identical, &translated] {
        source.create_topic(topic, 1, 1, &[]).unwrap();
        write(source, topic, 0, 0..50);
    }
    target.create_topic(&translated, 1, 1, &[]).unwrap();
    write(target, &translated, 0, 900..907);
    let config = Config::new(source, target, &format!("{p}\\..*"))
        .section(&format!("[topics.override.'{p}\\.translated']\noffsets = 'translated'"));
    let daemon = config.run();
    daemon.wait_for_records(100);
    let report = topics(&config, &["stop", &identical, &translated], 0);
    assert_eq!(report["done"], "yes", "{report:#}");
    for topic in [&identical, &translated] {
        wait_for_no_lanes(&daemon, topic);
        let labels = [("topic", topic.as_str())];
        for series in
            ["isomirror_lag_records", "isomirror_position", "isomirror_lane_state", "isomirror_records_total"]
        {
            assert_eq!(daemon.metric(series, &labels), None, "{series} of {topic}");
        }
        write(source, topic, 0, 50..60);
    }
    assert_eq!(daemon.get("/readyz").0, 200);
    assert!(is_still(target, &identical));
    let before = marks(&config, &translated);
    assert_eq!(
        before[0]["position"],
        json!({"source": 50, "target": 57}),
        "marks stay on record: {before:#?}"
    );
    assert_eq!(state_of(&config, &identical), "stopped");

    topics(&config, &["start", &identical, &translated], 0);
    eventually("they go on", || {
        (total(target, &identical) == 60 && total(target, &translated) == 67).then_some(())
    });
    assert_identical(source, target, &identical);
    let values = |cluster| -> Vec<_> {
        let records = crate::read(cluster, &translated).remove(&0).unwrap_or_default();
        records.into_iter().map(|record| record.value).collect()
    };
    assert_eq!(values(target)[7..], values(source), "each once, behind what was there");
    let after = marks(&config, &translated);
    assert_eq!(after[0]["start"], before[0]["start"], "it is the same lane still");
    assert_eq!(row(&topics(&config, &["list"], 0), &identical)["state"], "running");
    daemon.stop().expect(0);
}
