//! Target topics that are missing or too small, and topics and partitions that appear while the daemon runs.

use std::time::{Duration, Instant};

use kafka_harness::{
    daemon::{Config, eventually},
    shared::{pair, unique},
};

use crate::records::{count, lane, numbers, run_fix, stopped, total, write};

#[test]
fn a_missing_target_topic_is_made_like_its_source() {
    let (source, target) = pair();
    let topic = unique("made");
    let copied = [
        ("cleanup.policy", "compact,delete"),
        ("max.message.bytes", "2000000"),
        ("min.insync.replicas", "1"),
        ("retention.ms", "123456789"),
        ("segment.bytes", "10485760"),
        ("compression.type", "lz4"),
    ];
    let not_copied = [
        ("message.timestamp.type", "LogAppendTime"),
        ("message.timestamp.before.max.ms", "86400000"),
        ("message.timestamp.after.max.ms", "86400000"),
        ("unclean.leader.election.enable", "true"),
        ("leader.replication.throttled.replicas", "0:1"),
        ("follower.replication.throttled.replicas", "0:1"),
    ];
    let all: Vec<_> = copied.into_iter().chain(not_copied).collect();
    source.create_topic(&topic, 3, 1, &all).unwrap();

    let config = Config::new(source, target, &topic).topics("replication_factor = 1");
    config.run_until_caught_up().expect(0);

    assert_eq!(target.partitions(&topic).unwrap(), Some(3));
    let mut made = target.topic_config(&topic).unwrap();
    made.sort();
    let mut expected: Vec<(String, String)> = copied
        .into_iter()
        .chain([("message.timestamp.type", "CreateTime")])
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .collect();
    expected.sort();
    assert_eq!(made, expected);
}

#[test]
fn new_topics_and_partitions_arrive_within_15_s_and_whole_even_with_start_latest() {
    let (source, target) = pair();
    let p = unique("growing");
    let (old, new) = (format!("{p}.old"), format!("{p}.new"));
    source.create_topic(&old, 2, 1, &[]).unwrap();
    write(source, &old, 0, 0..10);
    // The default refresh is the one that the promise is made for.
    let daemon = Config::new(source, target, &format!("{p}\\..*"))
        .topics("start = 'latest'")
        .topics("refresh = '5s'")
        .run();
    daemon.wait_ready();

    let since = Instant::now();
    source.create_topic(&new, 3, 1, &[]).unwrap();
    source.add_partitions(&old, 4).unwrap();
    // Written before the daemon can know of them.
    for partition in 0..3 {
        write(source, &new, partition, 0..10);
    }
    for partition in 0..4 {
        write(source, &old, partition, 10..20);
    }
    eventually("everything new is on the target", || {
        (count(target, &old) == 40 && count(target, &new) == 30).then_some(())
    });
    let took = since.elapsed();
    assert!(took < Duration::from_secs(15), "{took:?}");

    assert_eq!(target.partitions(&old).unwrap(), Some(4));
    assert_eq!(target.partitions(&new).unwrap(), Some(3));
    let expected: Vec<u64> = (10..20).collect();
    assert!(numbers(target, &old).values().all(|found| *found == expected), "from the end, and no less");
    let expected: Vec<u64> = (0..10).collect();
    assert!(numbers(target, &new).values().all(|found| *found == expected), "from the start");
    let log = daemon.log();
    let at = |text: &str| log.rfind(text).unwrap_or_else(|| panic!("{text} is not in the log:\n{log}"));
    assert!(at("growing the target topic") < at("lanes started"), "the target is grown first:\n{log}");
    daemon.stop().expect(0);
}

#[test]
fn a_target_topic_with_fewer_partitions_is_refused_until_its_fix_is_run() {
    let (source, target) = pair();
    let p = unique("fewer");
    let (small, fine) = (format!("{p}.small"), format!("{p}.fine"));
    for topic in [&small, &fine] {
        source.create_topic(topic, 3, 1, &[]).unwrap();
        write(source, topic, 0, 0..5);
        write(source, topic, 2, 0..5);
    }
    target.create_topic(&small, 2, 1, &[]).unwrap();
    let config = Config::new(source, target, &format!("{p}\\..*"));

    // A batch run tells it by its exit code, and has carried the other topic.
    let ended = config.run_until_caught_up().expect(3);
    assert!(ended.log.contains("has 2 partitions, the source has 3"), "{}", ended.log);
    assert_eq!((total(target, &fine), total(target, &small)), (10, 0));

    let daemon = config.run();
    let (reason, fix) = eventually("the small topic is refused", || stopped(&daemon.status(), &small, 0));
    assert!(reason.contains(&small) && reason.contains("has 2 partitions, the source has 3"), "{reason}");
    let status = daemon.status();
    assert!(stopped(&status, &small, 1).is_some() && stopped(&status, &small, 2).is_some(), "{status:#}");
    eventually("the other topic's lane runs", || {
        (lane(&daemon.status(), &fine, 0)?["state"] == "running").then_some(())
    });
    let (code, why) = daemon.get("/readyz");
    // The lane is named once.
    let said = format!("{small}[0] is stopped: {}", reason.trim_start_matches(&format!("{small}: ")));
    assert!(code == 503 && why.contains(&said), "{code}: {why}");
    let labels = [("topic", small.as_str()), ("partition", "0"), ("state", "stopped")];
    eventually("the metric says so", || {
        (daemon.metric("isomirror_lane_state", &labels) == Some(1.0)).then_some(())
    });
    write(source, &fine, 1, 0..5);
    eventually("the other topic runs", || (total(target, &fine) == 15).then_some(()));
    assert_eq!(total(target, &small), 0, "not one lane of the refused topic");

    run_fix(target, &fix);
    daemon.wait_ready();
    daemon.wait_for_records(15);
    assert_eq!(numbers(target, &small), numbers(source, &small));
    assert_eq!(daemon.log().matches("topic refused").count(), 1, "said once:\n{}", daemon.log());
    daemon.stop().expect(0);
}

#[test]
fn with_create_false_nothing_is_made_and_each_fix_is_enough() {
    let (source, target) = pair();
    let topic = unique("not-made");
    source.create_topic(&topic, 2, 1, &[]).unwrap();
    write(source, &topic, 1, 0..5);
    let daemon = Config::new(source, target, &topic).topics("create = false").run();
    let (reason, fix) = eventually("the topic is refused", || stopped(&daemon.status(), &topic, 1));
    assert!(reason.contains("does not exist") && reason.contains("topics.create = false"), "{reason}");
    std::thread::sleep(Duration::from_secs(2));
    assert_eq!(target.partitions(&topic).unwrap(), None);

    run_fix(target, &fix);
    daemon.wait_for_records(5);

    // A new partition is not made either: the old ones run on.
    source.add_partitions(&topic, 3).unwrap();
    write(source, &topic, 2, 0..5);
    let (reason, fix) = eventually("the new partition is refused", || stopped(&daemon.status(), &topic, 2));
    assert!(reason.contains("has 2 partitions, the source has 3"), "{reason}");
    write(source, &topic, 0, 0..5);
    eventually("the old partitions run", || (total(target, &topic) == 10).then_some(()));
    assert_eq!(target.partitions(&topic).unwrap(), Some(2));
    run_fix(target, &fix);
    daemon.wait_ready();
    daemon.wait_for_records(15);
    assert_eq!(numbers(target, &topic), numbers(source, &topic));
    daemon.stop().expect(0);
}
