//! Topics that are not there yet, are deleted, or are made again, on either side.

use kafka_harness::{
    Cluster,
    daemon::{Config, Daemon, eventually},
    shared::{pair, unique},
};

use crate::records::{lane, numbers, stopped, total, write};

/// Two topics of five records, mirrored by a daemon that runs on.
fn two_topics(source: &Cluster, target: &Cluster, name: &str) -> (String, String, Daemon) {
    let p = unique(name);
    let (gone, stays) = (format!("{p}.gone"), format!("{p}.stays"));
    for topic in [&gone, &stays] {
        source.create_topic(topic, 2, 1, &[]).unwrap();
        write(source, topic, 0, 0..5);
    }
    let daemon = Config::new(source, target, &format!("{p}\\..*")).run();
    daemon.wait_for_records(10);
    (gone, stays, daemon)
}

#[test]
fn a_topic_deleted_on_the_source_takes_its_lanes_and_series_with_it() {
    let (source, target) = pair();
    let (gone, stays, daemon) = two_topics(source, target, "deleted");
    assert!(daemon.get("/metrics").1.contains(&gone));

    source.delete_topic(&gone).unwrap();
    eventually("its lanes are gone", || {
        let status = daemon.status();
        (lane(&status, &gone, 0).is_none() && lane(&status, &gone, 1).is_none()).then_some(())
    });
    // Not one series is left, and none comes back.
    std::thread::sleep(std::time::Duration::from_secs(2));
    let (_, metrics) = daemon.get("/metrics");
    assert!(!metrics.contains(&gone), "{metrics}");
    assert!(metrics.contains(&stays));
    daemon.wait_ready();
    write(source, &stays, 1, 0..5);
    eventually("the other topic runs on", || (total(target, &stays) == 10).then_some(()));
    assert_eq!(total(target, &gone), 5, "what was mirrored is the target's to keep");
    assert_eq!(daemon.status()["totals"]["records"], 15, "totals don't forget");
    daemon.stop().expect(0);
}

#[test]
fn a_target_topic_deleted_in_mid_run_stops_its_lanes_with_the_fix_and_no_others() {
    let (source, target) = pair();
    let (gone, stays, daemon) = two_topics(source, target, "target-gone");

    // Nothing is being written: it is noticed all the same.
    target.delete_topic(&gone).unwrap();
    for partition in 0..2 {
        let (reason, fix) = eventually("its lanes stop", || stopped(&daemon.status(), &gone, partition));
        assert!(reason.contains(&gone) && reason.contains("gone"), "{reason}");
        assert!(fix.contains(&format!("create {gone} with 2 partitions")), "{fix}");
    }
    assert_eq!(daemon.get("/readyz").0, 503);
    write(source, &gone, 0, 5..10);
    write(source, &stays, 1, 0..5);
    eventually("the other topic runs on", || (total(target, &stays) == 10).then_some(()));
    assert_eq!(target.partitions(&gone).unwrap(), None, "it is not made again unasked");

    // The fix: its lanes go on by themselves, where they stopped.
    target.create_topic(&gone, 2, 1, &[]).unwrap();
    daemon.wait_ready();
    eventually("it goes on where it stopped", || (total(target, &gone) == 10).then_some(()));
    assert_eq!(numbers(target, &gone)[&0], (5..10).collect::<Vec<_>>());
    daemon.stop().expect(0);
}

#[test]
fn a_target_topic_made_again_behind_the_daemons_back_stops_its_lanes() {
    let (source, target) = pair();
    let topic = unique("target-again");
    source.create_topic(&topic, 1, 1, &[]).unwrap();
    write(source, &topic, 0, 0..50);
    let daemon = Config::new(source, target, &topic).run();
    daemon.wait_for_records(50);
    target.delete_topic(&topic).unwrap();
    target.create_topic(&topic, 1, 1, &[]).unwrap();
    let (reason, fix) = eventually("its lane stops", || stopped(&daemon.status(), &topic, 0));
    assert!(reason.contains(&topic), "{reason}");
    assert!(!fix.is_empty());
    assert_eq!(daemon.get("/readyz").0, 503);
    daemon.stop().expect(0);
}

#[test]
fn a_source_topic_made_again_between_two_looks_stops_its_lanes() {
    let (source, target) = pair();
    let topic = unique("source-again");
    source.create_topic(&topic, 1, 1, &[]).unwrap();
    write(source, &topic, 0, 0..50);
    // Few looks, so that it is never missed.
    let daemon = Config::new(source, target, &topic).topics("refresh = '1h'").run();
    daemon.wait_for_records(50);
    source.delete_topic(&topic).unwrap();
    source.create_topic(&topic, 1, 1, &[]).unwrap();
    write(source, &topic, 0, 100..103);
    let (reason, fix) = eventually("its lane stops", || stopped(&daemon.status(), &topic, 0));
    // By its id, or by where it ends, whichever is noticed first.
    let offset = ["up to offset 50", "stands at 50"].iter().any(|words| reason.contains(words));
    assert!(reason.contains("recreated") && offset, "{reason}");
    assert!(fix.contains(&format!("forget --topic {topic}")), "{fix}");
    assert_eq!(
        numbers(target, &topic)[&0],
        (0..50).collect::<Vec<_>>(),
        "nothing of the new one is mixed in"
    );
    daemon.stop().expect(0);
}

/// The new topic is longer than the old one was before anyone looks: librdkafka would read it on from the old one's
/// offset, and its records would look like the next.
#[test]
fn a_source_topic_made_again_and_longer_at_once_is_not_mixed_with_the_old_one() {
    let (source, target) = pair();
    let topic = unique("source-longer");
    source.create_topic(&topic, 2, 1, &[]).unwrap();
    write(source, &topic, 0, 0..50);
    let daemon = Config::new(source, target, &topic).topics("refresh = '1h'").run();
    daemon.wait_for_records(50);
    source.delete_topic(&topic).unwrap();
    source.create_topic(&topic, 2, 1, &[]).unwrap();
    for partition in 0..2 {
        write(source, &topic, partition, 100..400);
    }
    for partition in 0..2 {
        let (reason, _) = eventually("its lane stops", || stopped(&daemon.status(), &topic, partition));
        assert!(reason.contains("recreated"), "{reason}");
    }
    let there = numbers(target, &topic);
    assert_eq!(there[&0], (0..50).collect::<Vec<_>>(), "nothing of the new one is mixed in");
    assert!(!there.contains_key(&1) || there[&1].is_empty(), "{there:?}");
    daemon.stop().expect(0);
}

/// With `policy.loss = "skip"`, where the target's offsets are its own: all of the old topic that was read, then all of the
/// new one. The daemon is not restarted, and the loss is told.
#[test]
fn with_loss_skip_a_translated_lane_goes_on_with_the_topic_that_was_made_again() {
    let (source, target) = pair();
    for writers in ["exclusive", "shared"] {
        let topic = unique("goes-on");
        let again = |from: u64, to: u64| {
            source.delete_topic(&topic).unwrap();
            source.create_topic(&topic, 1, 1, &[]).unwrap();
            write(source, &topic, 0, from..to);
        };
        source.create_topic(&topic, 1, 1, &[]).unwrap();
        write(source, &topic, 0, 0..50);
        let config = Config::new(source, target, &topic)
            .topics("offsets = 'translated'")
            .topics(&format!("writers = '{writers}'"))
            .section("[policy]\nloss = 'skip'");
        let daemon = config.run();
        daemon.wait_for_records(50);
        // Once with as many records as before, once with more.
        let mut all: Vec<u64> = (0..50).collect();
        for new in [100..150, 150..400] {
            again(new.start, new.end);
            all.extend(new);
            eventually("the new one is there", || (total(target, &topic) >= all.len() as u64).then_some(()));
        }
        daemon.wait_ready();
        assert_eq!(numbers(target, &topic)[&0], all);
        let log = daemon.log();
        assert!(log.contains("source records are lost (recreated); skipped"), "{log}");
        daemon.stop().expect(0);

        // The same while no daemon runs: a batch run's exit code tells of it, once.
        again(500, 510);
        config.run_until_caught_up().expect(5);
        let all: Vec<u64> = all.into_iter().chain(500..510).collect();
        assert_eq!(numbers(target, &topic)[&0], all);
        write(source, &topic, 0, 510..512);
        config.run_until_caught_up().expect(0);
        assert_eq!(numbers(target, &topic)[&0].len(), all.len() + 2);
    }
}

#[test]
fn with_loss_skip_an_identical_lane_stops_all_the_same_and_says_why() {
    let (source, target) = pair();
    let topic = unique("no-way-back");
    source.create_topic(&topic, 1, 1, &[]).unwrap();
    write(source, &topic, 0, 0..50);
    let config = Config::new(source, target, &topic).section("[policy]\nloss = 'skip'");
    config.run_until_caught_up().expect(0);
    source.delete_topic(&topic).unwrap();
    source.create_topic(&topic, 1, 1, &[]).unwrap();
    write(source, &topic, 0, 100..400);
    let ended = config.run_until_caught_up().expect(5);
    assert!(ended.log.contains("recreated") && ended.log.contains("can't go back"), "{}", ended.log);
    assert_eq!(numbers(target, &topic)[&0], (0..50).collect::<Vec<_>>());
}

#[test]
fn a_topic_that_is_named_and_not_there_is_waited_for_but_fails_a_batch_run() {
    let (source, target) = pair();
    let (there, absent) = (unique("there"), unique("absent"));
    source.create_topic(&there, 1, 1, &[]).unwrap();
    write(source, &there, 0, 0..5);
    let config = Config::new(source, target, "").topics(&format!("include = ['{there}', '{absent}']"));
    let ended = config.run_until_caught_up().expect(3);
    let told = format!("{absent}: the configuration names it, but there is no such topic on the source");
    assert!(ended.log.contains(&told), "{}", ended.log);
    assert_eq!(total(target, &there), 5, "the other topic is mirrored all the same");

    let daemon = config.run();
    daemon.wait_for_log(&told);
    daemon.wait_ready();
    std::thread::sleep(std::time::Duration::from_secs(3));
    assert_eq!(daemon.log().matches(&told).count(), 1, "said once:\n{}", daemon.log());
    source.create_topic(&absent, 1, 1, &[]).unwrap();
    write(source, &absent, 0, 0..5);
    daemon.wait_for_records(5);
    daemon.stop().expect(0);
    config.run_until_caught_up().expect(0);
}

#[test]
fn a_link_whose_topics_are_not_there_yet_waits_for_them_but_a_batch_run_is_refused() {
    let (source, target) = pair();
    let topic = unique("not-yet");
    let config = Config::new(source, target, &topic).topics("start = 'latest'");
    let ended = config.run_until_caught_up().expect(3);
    assert!(ended.log.contains("no topic on the source matches topics.include"), "{}", ended.log);

    let daemon = config.run();
    daemon.wait_for_log("no topic on the source matches topics.include; waiting for one");
    daemon.wait_ready();
    source.create_topic(&topic, 2, 1, &[]).unwrap();
    write(source, &topic, 1, 0..5);
    daemon.wait_for_records(5);
    assert_eq!(numbers(target, &topic), numbers(source, &topic));
    assert_eq!(daemon.log().matches("waiting for one").count(), 1, "said once");
    daemon.stop().expect(0);
}
