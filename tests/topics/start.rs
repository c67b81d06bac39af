//! Where a lane starts that has no position, and that a position wins once there is one.

use kafka_harness::{
    TestRecord, client,
    daemon::{Config, eventually},
    shared::{pair, unique},
};

use crate::records::{numbers, write};

/// 2024-01-01T00:00:00Z.
const NEW_YEAR: i64 = 1_704_067_200_000;

#[test]
fn start_says_which_of_the_records_that_are_there_come_over() {
    let (source, target) = pair();
    let p = unique("from");
    let topics = ["earliest", "latest", "time", "future"].map(|rest| format!("{p}.{rest}"));
    for topic in &topics {
        source.create_topic(topic, 1, 1, &[]).unwrap();
        // A record a second, number 7 a little late.
        let record = |n: i64| TestRecord {
            value: Some(format!("{n:016x}").into_bytes()),
            timestamp: Some(NEW_YEAR + n * 1000 + if n == 7 { 5000 } else { 0 }),
            ..TestRecord::default()
        };
        let records: Vec<_> = (0..20).map(record).collect();
        client::produce(&source.props(), topic, &records).unwrap();
    }
    let rule = |rest: &str, start: &str| format!("[topics.override.'{p}\\.{rest}']\nstart = '{start}'");
    let daemon = Config::new(source, target, &format!("{p}\\..*"))
        .section(&rule("latest", "latest"))
        .section(&rule("time", "2024-01-01T01:00:11+01:00"))
        .section(&rule("future", "2124-01-01T00:00:00Z"))
        .run();
    daemon.wait_ready();
    for topic in &topics {
        write(source, topic, 0, 20..25);
    }
    // Number 7 bears second 12: it is the first that is not older than second 11, and all behind it come too.
    for (topic, first) in topics.iter().zip([0, 20, 7, 20]) {
        let expected: Vec<u64> = (first..25).collect();
        eventually(&format!("{topic} is there from {first} on"), || {
            let found = numbers(target, topic).remove(&0)?;
            assert!(found.first().is_none_or(|n| *n == first), "{topic} begins with {:?}", found.first());
            (found == expected).then_some(())
        });
    }
    daemon.stop().expect(0);
}

#[test]
fn a_recorded_position_wins_over_start() {
    let (source, target) = pair();
    let topic = unique("position");
    source.create_topic(&topic, 1, 1, &[]).unwrap();
    write(source, &topic, 0, 0..5);
    let config = Config::new(source, target, &topic);
    config.run_until_caught_up().expect(0);
    write(source, &topic, 0, 5..10);
    let config = config.topics("start = 'latest'");
    config.run_until_caught_up().expect(0);
    assert_eq!(numbers(target, &topic)[&0], (0..10).collect::<Vec<_>>());
    write(source, &topic, 0, 10..15);
    config.topics("start = '2000-01-01T00:00:00Z'").run_until_caught_up().expect(0);
    assert_eq!(numbers(target, &topic)[&0], (0..15).collect::<Vec<_>>());
}

#[test]
fn a_start_at_the_end_is_remembered_through_a_kill_before_the_first_record() {
    let (source, target) = pair();
    let topic = unique("remembered");
    source.create_topic(&topic, 1, 1, &[]).unwrap();
    write(source, &topic, 0, 0..5);
    let config = Config::new(source, target, &topic).topics("start = 'latest'");
    let config = config.target_property("group.instance.id", "one");
    let daemon = config.run();
    daemon.wait_ready();
    daemon.kill();
    write(source, &topic, 0, 5..10);
    config.run_until_caught_up().expect(0);
    assert_eq!(numbers(target, &topic)[&0], (5..10).collect::<Vec<_>>(), "what came while it was down");
}

#[test]
fn a_partition_that_appeared_while_the_daemon_was_down_is_mirrored_from_its_start() {
    let (source, target) = pair();
    let topic = unique("appeared");
    source.create_topic(&topic, 1, 1, &[]).unwrap();
    write(source, &topic, 0, 0..5);
    let config = Config::new(source, target, &topic).topics("start = 'latest'");
    let daemon = config.run();
    daemon.wait_ready();
    daemon.stop().expect(0);
    source.add_partitions(&topic, 2).unwrap();
    write(source, &topic, 0, 5..10);
    write(source, &topic, 1, 0..10);
    config.run_until_caught_up().expect(0);
    let found = numbers(target, &topic);
    assert_eq!(found[&0], (5..10).collect::<Vec<_>>());
    assert_eq!(found[&1], (0..10).collect::<Vec<_>>());
}

#[test]
fn a_topic_that_was_refused_at_the_start_starts_where_start_says_once_it_is_mended() {
    let (source, target) = pair();
    let topic = unique("mended");
    source.create_topic(&topic, 2, 1, &[]).unwrap();
    target.create_topic(&topic, 1, 1, &[]).unwrap();
    write(source, &topic, 0, 0..5);
    let daemon = Config::new(source, target, &topic).topics("start = 'latest'").run();
    daemon.wait_for_log("topic refused");
    target.add_partitions(&topic, 2).unwrap();
    daemon.wait_ready();
    write(source, &topic, 0, 5..10);
    daemon.wait_for_records(5);
    // The same as if the daemon had been restarted after the fix.
    assert_eq!(numbers(target, &topic)[&0], (5..10).collect::<Vec<_>>());
    daemon.stop().expect(0);
}
