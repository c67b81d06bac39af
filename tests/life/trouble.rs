//! Records that the target refuses and records that the source has lost: the lane stops before them with reason and
//! fix, or goes on as the policy says, and no other lane notices.

use std::time::Duration;

use kafka_harness::{
    TestRecord, client,
    daemon::{Config, eventually},
    shared::{pair, unique},
};

use crate::{
    assert_equal,
    records::{count, lane, numbers, run_fix, stopped, total, write},
};

/// A record of `size` bytes that bears a number.
fn large(number: u64, size: usize) -> TestRecord {
    let mut value = format!("{number:016x}").into_bytes();
    // What can be compressed would fit all the same.
    value.extend(client::noise(size - value.len()));
    TestRecord { key: Some(b"k".to_vec()), value: Some(value), ..TestRecord::default() }
}

#[test]
fn a_record_too_large_stops_its_lane_before_it_until_the_fix_is_run() {
    let (source, target) = pair();
    let topic = unique("large");
    source.create_topic(&topic, 2, 1, &[]).unwrap();
    target.create_topic(&topic, 2, 1, &[("max.message.bytes", "10000")]).unwrap();
    write(source, &topic, 0, 0..5);
    client::produce(&source.props(), &topic, &[large(5, 20_000)]).unwrap();
    write(source, &topic, 0, 6..10);
    let daemon = Config::new(source, target, &topic).run();

    let (reason, fix) = eventually("its lane stops", || stopped(&daemon.status(), &topic, 0));
    let named = ["source offset 5", "max.message.bytes = 10000", topic.as_str()];
    assert!(named.iter().all(|what| reason.contains(what)), "{reason}");
    assert_eq!(numbers(target, &topic)[&0], [0, 1, 2, 3, 4], "all before it, and nothing behind it");
    let status = daemon.status();
    assert_eq!(lane(&status, &topic, 0).unwrap()["position"], 5);
    let labels = [("topic", topic.as_str()), ("partition", "0")];
    assert_eq!(daemon.metric("isomirror_refused_records_total", &labels), Some(1.0));
    write(source, &topic, 1, 0..5);
    eventually("the other lane goes on", || (numbers(target, &topic)[&1].len() == 5).then_some(()));
    assert_eq!(daemon.get("/readyz").0, 503);
    // Looked at again and again, it is said and counted once.
    std::thread::sleep(Duration::from_secs(3));
    assert_eq!(daemon.metric("isomirror_refused_records_total", &labels), Some(1.0));
    assert_eq!(daemon.log().matches("lane stopped").count(), 1, "{}", daemon.log());

    run_fix(target, &fix);
    daemon.wait_for_records(15);
    daemon.wait_ready();
    assert_equal(source, target, &topic);
    daemon.stop().expect(0);
}

#[test]
fn with_refused_skip_exactly_the_record_too_large_is_left_out_and_counted() {
    let (source, target) = pair();
    let topic = unique("skipped");
    source.create_topic(&topic, 1, 1, &[]).unwrap();
    target.create_topic(&topic, 1, 1, &[("max.message.bytes", "10000")]).unwrap();
    write(source, &topic, 0, 0..5);
    client::produce(&source.props(), &topic, &[large(5, 20_000), large(6, 9_000), large(7, 10_000)]).unwrap();
    write(source, &topic, 0, 8..10);
    let daemon = Config::new(source, target, &topic).section("[policy]\nrefused = 'skip'").run();
    daemon.wait_for_records(8);
    assert_eq!(numbers(target, &topic)[&0], [0, 1, 2, 3, 4, 6, 8, 9], "5 and 7 need more than 10000 bytes");
    let labels = [("topic", topic.as_str()), ("partition", "0")];
    assert_eq!(daemon.metric("isomirror_refused_records_total", &labels), Some(2.0));
    let log = daemon.log();
    assert_eq!(log.matches("a record that the target refused is skipped").count(), 2, "{log}");
    assert!(log.contains("offset=5") && log.contains("offset=7"), "{log}");
    daemon.wait_ready();
    daemon.stop().expect(0);
}

#[test]
fn a_record_without_a_key_stops_its_lane_before_a_compacted_target_until_that_is_changed() {
    let (source, target) = pair();
    let topic = unique("no-key");
    source.create_topic(&topic, 1, 1, &[]).unwrap();
    target.create_topic(&topic, 1, 1, &[("cleanup.policy", "compact")]).unwrap();
    write(source, &topic, 0, 0..5);
    client::produce(&source.props(), &topic, &[TestRecord { key: None, ..large(5, 16) }]).unwrap();
    write(source, &topic, 0, 6..10);
    let daemon = Config::new(source, target, &topic).run();
    let (reason, fix) = eventually("its lane stops", || stopped(&daemon.status(), &topic, 0));
    assert!(reason.contains("source offset 5") && reason.contains(&topic), "{reason}");
    assert!(reason.contains("has no key"), "{reason}");
    std::thread::sleep(Duration::from_secs(1));
    assert_eq!(numbers(target, &topic)[&0], [0, 1, 2, 3, 4], "all before it, and nothing behind it");
    run_fix(target, &fix);
    daemon.wait_for_records(10);
    daemon.wait_ready();
    assert_equal(source, target, &topic);
    daemon.stop().expect(0);
}

#[test]
fn records_lost_to_retention_stop_their_lane_or_are_skipped_and_counted_exactly() {
    let (source, target) = pair();
    let topic = unique("lost");
    source.create_topic(&topic, 2, 1, &[]).unwrap();
    let config = Config::new(source, target, &topic);
    for partition in 0..2 {
        write(source, &topic, partition, 0..10);
    }
    config.run_until_caught_up().expect(0);
    for partition in 0..2 {
        write(source, &topic, partition, 10..20);
    }
    source.delete_records(&topic, 0, 15).unwrap();

    // policy.loss = "stop" is the default.
    let ended = config.run_until_caught_up().expect(5);
    assert!(ended.log.contains("10 to 14, were deleted"), "{}", ended.log);
    let daemon = config.run();
    let (reason, fix) = eventually("its lane stops", || stopped(&daemon.status(), &topic, 0));
    assert!(
        reason.contains("5 source offsets, 10 to 14, were deleted") && reason.contains(&topic),
        "{reason}"
    );
    assert!(fix.contains("policy.loss = \"skip\""), "{fix}");
    let labels = [("topic", topic.as_str()), ("partition", "0")];
    assert_eq!(daemon.metric("isomirror_lost_records_total", &labels), Some(5.0));
    write(source, &topic, 1, 20..25);
    eventually("the other lane goes on", || (numbers(target, &topic)[&1].len() == 25).then_some(()));
    assert_eq!(numbers(target, &topic)[&0], (0..10).collect::<Vec<_>>(), "nothing behind the loss");
    assert_eq!(daemon.get("/readyz").0, 503);
    daemon.stop().expect(0);

    let config = config.section("[policy]\nloss = 'skip'");
    let daemon = config.run();
    daemon.wait_for_records(5);
    daemon.wait_ready();
    assert_eq!(daemon.metric("isomirror_lost_records_total", &labels), Some(5.0));
    let other = [("topic", topic.as_str()), ("partition", "1")];
    assert_eq!(daemon.metric("isomirror_lost_records_total", &other), Some(0.0));
    let kept: Vec<u64> = (0..10).chain(15..20).collect();
    assert_eq!(numbers(target, &topic)[&0], kept);
    assert!(daemon.log().contains("from=10 to=14"), "{}", daemon.log());
    daemon.stop().expect(0);

    // A batch run goes on behind a loss, and its exit code tells of it; the next has nothing to tell.
    write(source, &topic, 0, 20..30);
    source.delete_records(&topic, 0, 29).unwrap();
    config.run_until_caught_up().expect(5);
    assert_eq!(numbers(target, &topic)[&0].last(), Some(&29));
    config.run_until_caught_up().expect(0);
    assert_eq!(count(target, &topic), 16 + 25);
    assert_eq!(total(target, &topic), total(source, &topic), "what is lost is filled");
}
