//! `topics redo`: the target topic is made again and filled from the start; and when it must not be.

use kafka_harness::{
    client,
    daemon::{Config, eventually},
    shared::{pair, unique},
};
use serde_json::json;

use crate::{
    assert_identical, marks, read,
    records::{count, total, write},
    refused, state_of, topics,
};

#[test]
fn a_topic_is_cleared_and_filled_again_while_the_link_runs() {
    let (source, target) = pair();
    let p = unique("redo");
    let (identical, translated) = (format!("{p}.identical"), format!("{p}.translated"));
    for topic in [&identical, &translated] {
        source.create_topic(topic, 2, 1, &[("max.message.bytes", "2000000")]).unwrap();
        (0..2).for_each(|partition| write(source, topic, partition, 0..40));
    }
    // It does not begin at 0.
    source.delete_records(&identical, 0, 10).unwrap();
    let config = Config::new(source, target, &format!("{p}\\..*"))
        .section(&format!("[topics.override.'{p}\\.translated']\noffsets = 'translated'"));
    let daemon = config.run();
    daemon.wait_for_records(150);
    let ids = |topic: &str| -> Vec<String> {
        marks(&config, topic)
            .iter()
            .map(|l| l["start"]["target_topic_id"].as_str().unwrap().to_owned())
            .collect()
    };
    let error = refused(&config, &["redo", &identical, "--yes"], 3);
    assert!(error.contains("is being mirrored") && error.contains("topics CONFIG pause"), "{error}");

    for topic in [&identical, &translated] {
        let before = ids(topic);
        topics(&config, &["pause", topic], 0);
        // Somebody else has written to it: what the link has been waiting to be told.
        write(target, topic, 1, 7000..7003);
        let error = refused(&config, &["redo", topic], 2);
        assert!(error.contains("there is no terminal to ask on") && error.contains("--yes"), "{error}");
        let shown = topics(&config, &["redo", topic, "--dry-run"], 0);
        let offsets = 80 + 3 - if topic == &identical { 10 } else { 0 };
        let expected = json!([{
            "topic": topic, "target_topic": topic, "there": true, "partitions": 2, "offsets": offsets
        }]);
        assert_eq!(shown, expected);
        assert_eq!(state_of(&config, topic), "paused", "nothing was done yet");
        assert_eq!(ids(topic), before);

        let report = topics(&config, &["redo", topic, "--yes"], 0);
        assert_eq!(report["done"], "yes", "{report:#}");
        let records = if topic == &identical { 70 } else { 80 };
        eventually(&format!("{topic} is filled again; the log:\n{}", daemon.log()), || {
            (count(target, topic) == records).then_some(())
        });
        assert_eq!(state_of(&config, topic), "running");
        let after = ids(topic);
        assert!(after.len() == 2 && after.iter().all(|id| !before.contains(id)), "{before:?} {after:?}");
        let configs = target.topic_config(topic).unwrap();
        assert!(configs.contains(&("max.message.bytes".to_owned(), "2000000".to_owned())), "{configs:?}");
        // It goes on like any other.
        (0..2).for_each(|partition| write(source, topic, partition, 40..45));
        eventually("what comes is there, too", || (count(target, topic) == records + 10).then_some(()));
    }
    assert_identical(source, target, &identical);
    let values =
        |cluster| read(cluster, &translated).into_values().flatten().map(|r| r.value).collect::<Vec<_>>();
    assert_eq!(values(source), values(target));
    assert_eq!(daemon.get("/readyz").0, 200, "{}", daemon.get("/readyz").1);
    daemon.stop().expect(0);
}

#[test]
fn it_goes_on_where_it_was_left_and_works_while_nothing_runs() {
    let (source, target) = pair();
    let topic = unique("left");
    source.create_topic(&topic, 1, 1, &[]).unwrap();
    write(source, &topic, 0, 0..20);
    let config = Config::new(source, target, &topic);
    config.run_until_caught_up().expect(0);
    topics(&config, &["stop", &topic], 0);
    // As if it had been killed once the topic was deleted.
    target.delete_topic(&topic).unwrap();
    let shown = topics(&config, &["redo", &topic, "--dry-run"], 0);
    assert_eq!(shown[0]["there"], false, "{shown}");
    let report = topics(&config, &["redo", &topic, "--yes"], 0);
    assert_eq!(report["done"], "not_running", "{report:#}");
    assert_eq!(total(target, &topic), 0);
    assert!(client::end_offsets(&target.props(), &topic).is_ok(), "it was made again");
    config.run_until_caught_up().expect(0);
    assert_identical(source, target, &topic);
    // And as if it had been killed before it was started again.
    topics(&config, &["stop", &topic], 0);
    topics(&config, &["redo", &topic, "--yes"], 0);
    topics(&config, &["stop", &topic], 0);
    topics(&config, &["redo", &topic, "--yes"], 0);
    config.run_until_caught_up().expect(0);
    assert_identical(source, target, &topic);

    // By a daemon that has known its marks since it began, and never ran a lane of it.
    topics(&config, &["stop", &topic], 0);
    let daemon = config.run();
    daemon.wait_ready();
    assert_eq!(topics(&config, &["redo", &topic, "--yes"], 0)["done"], "yes");
    eventually(&format!("it is filled again; the log:\n{}", daemon.log()), || {
        (count(target, &topic) == 20).then_some(())
    });
    assert_identical(source, target, &topic);
    assert_eq!(daemon.get("/readyz").0, 200, "{}", daemon.get("/readyz").1);
    daemon.stop().expect(0);
}

#[test]
fn what_the_link_has_not_filled_is_left_alone() {
    let (source, target) = pair();
    let topic = |name: &str, partitions| {
        let topic = unique(name);
        source.create_topic(&topic, partitions, 1, &[]).unwrap();
        write(source, &topic, 0, 0..5);
        topic
    };
    // It held something before.
    let behind = topic("behind", 1);
    target.create_topic(&behind, 1, 1, &[]).unwrap();
    write(target, &behind, 0, 100..105);
    let config = Config::new(source, target, &behind).topics("offsets = \"translated\"");
    config.run_until_caught_up().expect(0);
    topics(&config, &["stop", &behind], 0);
    let error = refused(&config, &["redo", &behind, "--yes"], 3);
    assert!(
        error.contains("held something when this link began") && error.contains("marks CONFIG forget"),
        "{error}"
    );
    assert_eq!(count(target, &behind), 10);

    // It was made again by somebody.
    let again = topic("again", 1);
    let config = Config::new(source, target, &again);
    config.run_until_caught_up().expect(0);
    topics(&config, &["stop", &again], 0);
    target.delete_topic(&again).unwrap();
    target.create_topic(&again, 1, 1, &[]).unwrap();
    write(target, &again, 0, 0..1);
    let error = refused(&config, &["redo", &again, "--yes"], 3);
    assert!(error.contains("is not the one that this link has filled"), "{error}");
    assert_eq!(count(target, &again), 1);

    // Somebody has written where the link never has.
    let wide = topic("wide", 1);
    target.create_topic(&wide, 2, 1, &[]).unwrap();
    let config = Config::new(source, target, &wide);
    config.run_until_caught_up().expect(0);
    topics(&config, &["stop", &wide], 0);
    write(target, &wide, 1, 0..4);
    let error = refused(&config, &["redo", &wide, "--yes"], 3);
    assert!(
        error.contains(&format!("{wide}[1] holds 4 offsets, and this link has no marks of it")),
        "{error}"
    );
    assert_eq!(count(target, &wide), 9);

    // Others write there, too.
    let shared = topic("shared", 1);
    let config = Config::new(source, target, &shared)
        .topics("offsets = \"translated\"")
        .topics("writers = \"shared\"");
    config.run_until_caught_up().expect(0);
    topics(&config, &["stop", &shared], 0);
    let error = refused(&config, &["redo", &shared, "--yes"], 3);
    assert!(error.contains("others write to topic"), "{error}");
    assert_eq!(count(target, &shared), 5);
}
