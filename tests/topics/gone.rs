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
    assert!(reason.contains("ends at offset") && reason.contains("stands at 50"), "{reason}");
    assert!(fix.contains(&format!("forget --topic {topic}")), "{fix}");
    assert_eq!(
        numbers(target, &topic)[&0],
        (0..50).collect::<Vec<_>>(),
        "nothing of the new one is mixed in"
    );
    daemon.stop().expect(0);
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
