//! `begin = "asked"`: topics begin one by one, each with its start mark.

use std::time::{Duration, Instant};

use kafka_harness::{
    client,
    daemon::{Config, eventually},
    shared::{pair, unique},
};
use serde_json::json;

use crate::{
    assert_identical, marks,
    records::{count, total, write},
    row, state_of, topics, wait_for_state,
};

#[test]
fn topics_begin_one_by_one_and_each_leaves_its_start_mark() {
    let (source, target) = pair();
    let p = unique("asked");
    let (first, second, free) = (format!("{p}.first"), format!("{p}.second"), format!("{p}.free"));
    for topic in [&first, &second, &free] {
        source.create_topic(topic, 2, 1, &[]).unwrap();
        (0..2).for_each(|partition| write(source, topic, partition, 0..10));
    }
    let config = Config::new(source, target, &format!("{p}\\..*"))
        .topics("begin = \"asked\"")
        .section(&format!("[topics.override.'{p}\\.free']\nbegin = 'at once'"));
    let daemon = config.run();
    daemon.wait_ready();
    wait_for_state(&daemon, &free, "running");
    daemon.wait_for_log("topics that wait to be asked for");
    let status = daemon.status();
    assert_eq!(status["held"], json!({ first.clone(): "waiting", second.clone(): "waiting" }), "{status:#}");
    assert_eq!(
        (total(target, &first), total(target, &second)),
        (0, 0),
        "their target topics are not made either"
    );
    assert_eq!(state_of(&config, &first), "waiting");

    // Asked for: within two seconds on all that has been written by then, and the command tells from where.
    let asked = Instant::now();
    let report = topics(&config, &["start", &first], 0);
    assert_eq!(report["done"], "yes", "{report:#}");
    let started = &report["topics"][0];
    assert_eq!((&started["was"], &started["state"]), (&json!("waiting"), &json!("running")));
    let source_now =
        json!([{"partition": 0, "first": 0, "end": 10}, {"partition": 1, "first": 0, "end": 10}]);
    assert_eq!(started["source"], source_now);
    wait_for_state(&daemon, &first, "running");
    assert!(asked.elapsed() < Duration::from_secs(6), "{:?}", asked.elapsed());
    eventually("all of it is there", || (count(target, &first) == 20).then_some(()));
    assert_identical(source, target, &first);
    assert_eq!(daemon.status()["held"], json!({ second.clone(): "waiting" }));
    assert_eq!(total(target, &second), 0);

    // What is written meanwhile counts, too.
    (0..2).for_each(|partition| write(source, &second, partition, 10..15));
    topics(&config, &["start", &second], 0);
    eventually("all of it is there", || (count(target, &second) == 30).then_some(()));
    assert_identical(source, target, &second);
    let listing = topics(&config, &["list"], 0);
    for (topic, lanes) in [(&first, 2), (&second, 2), (&free, 2)] {
        let listed = row(&listing, topic);
        assert_eq!((&listed["state"], &listed["lanes"]), (&json!("running"), &json!(lanes)), "{listing:#}");
        assert_eq!(listed["since"].is_null(), topic == &free, "{listing:#}");
        assert!(listed["began"].is_i64(), "{listing:#}");
    }
    let mut since = Vec::new();
    for lane in marks(&config, &second) {
        let start = &lane["start"];
        assert_eq!((&start["source"], &start["target"]), (&json!(0), &json!(0)), "{lane:#}");
        for id in ["source_cluster", "target_cluster", "source_topic_id", "target_topic_id"] {
            assert!(start[id].as_str().is_some_and(|id| id.len() > 10), "{id} of {lane:#}");
        }
        since.push(start["since"].as_i64().unwrap());
    }
    let begun_at: Vec<i64> =
        marks(&config, &first).iter().map(|l| l["start"]["since"].as_i64().unwrap()).collect();
    assert!(since.len() == 2 && begun_at.iter().max() < since.iter().min(), "one after the other");
    daemon.stop().expect(0);
}

#[test]
fn a_topic_that_has_begun_goes_on_though_begin_says_asked_by_now() {
    let (source, target) = pair();
    let topic = unique("begun");
    source.create_topic(&topic, 1, 1, &[]).unwrap();
    write(source, &topic, 0, 0..5);
    let config = Config::new(source, target, &topic);
    config.run_until_caught_up().expect(0);
    write(source, &topic, 0, 5..10);
    config.topics("begin = \"asked\"").run_until_caught_up().expect(0);
    assert_eq!(count(target, &topic), 10);
}

#[test]
fn what_is_started_while_nothing_runs_begins_with_the_next_run_where_start_says() {
    let (source, target) = pair();
    let p = unique("down");
    let (one, other) = (format!("{p}.one"), format!("{p}.other"));
    for topic in [&one, &other] {
        source.create_topic(topic, 1, 1, &[]).unwrap();
        write(source, topic, 0, 0..5);
    }
    let config = Config::new(source, target, &format!("{p}\\..*"))
        .topics("begin = \"asked\"")
        .topics("start = \"latest\"");
    let report = topics(&config, &["start", &one], 0);
    assert_eq!(report["done"], "not_running", "{report:#}");
    let ended = config.run_until_caught_up().expect(0);
    assert!(ended.log.contains(&format!("left out, as asked for: {other} (waiting)")), "{}", ended.log);
    write(source, &one, 0, 5..9);
    config.run_until_caught_up().expect(0);
    assert_eq!(client::end_offsets(&target.props(), &one).unwrap()[&0], 9, "at its own offset");
    assert_eq!(count(target, &one), 4, "it began at its end");
    assert_eq!(total(target, &other), 0);
}
