//! One lane's trouble is that lane's alone.

use std::time::Instant;

use kafka_harness::{
    Cluster, TestRecord,
    client::{self, Isolation, Load},
    daemon::{Config, Daemon, eventually},
    shared::{pair, unique},
};

use crate::support::{alone, assert_same, create, lane, simple};

/// Three records in partition 0, the second of 20 kB; ten in partition 1.
fn with_a_large_one(source: &Cluster, topic: &str) {
    create(source, topic, 2, &[]);
    let mut records =
        vec![simple("before", b"v"), simple("large", &client::noise(20_000)), simple("after", b"v")];
    records.extend(vec![TestRecord { partition: 1, ..simple("fine", b"v") }; 10]);
    client::produce(&source.props(), topic, &records).unwrap();
}

#[test]
fn a_refused_record_stops_its_lane_and_no_other() {
    let (source, target) = pair();
    let name = unique("refused");
    let (narrow, wide) = (format!("{name}-narrow"), format!("{name}-wide"));
    with_a_large_one(source, &narrow);
    create(target, &narrow, 2, &[("max.message.bytes", "10000")]);
    create(source, &wide, 4, &[]);
    let load = Load { partitions: 4, count: 200_000, value_size: 200, ..Load::default() };
    client::load(&source.props(), &wide, &load).unwrap();

    let daemon = Config::new(source, target, &format!("{name}-.*")).run();
    let status = eventually("all that can be mirrored is", || {
        let status = daemon.status();
        let done = |lane: &serde_json::Value| lane["state"] == "stopped" || lane["lag_records"] == 0;
        let lanes = status["lanes"].as_array().unwrap();
        let arrived = status["totals"]["records"].as_u64() == Some(200_011);
        (arrived && lanes.len() == 6 && lanes.iter().all(done)).then_some(status)
    });
    let stopped = lane(&status, &narrow, 0);
    assert_eq!((&stopped["state"], &stopped["position"]), (&"stopped".into(), &1.into()), "{status:#}");
    let (reason, fix) = (stopped["reason"].as_str().unwrap(), stopped["fix"].as_str().unwrap());
    assert!(reason.contains("source offset 1 ") && reason.contains("max.message.bytes = 10000"), "{reason}");
    assert!(fix.contains("--add-config max.message.bytes="), "{fix}");
    assert_eq!((&status["totals"]["running"], &status["totals"]["stopped"]), (&5.into(), &1.into()));
    let labels = [("topic", &*narrow), ("partition", "0")];
    assert_eq!(daemon.metric("isomirror_refused_records_total", &labels), Some(1.0));
    assert_eq!(daemon.get("/readyz").0, 503);

    // More comes for the lanes beside it.
    client::produce(&source.props(), &narrow, &[TestRecord { partition: 1, ..simple("more", b"v") }])
        .unwrap();
    eventually("partition 1 goes on", || {
        (lane(&daemon.status(), &narrow, 1)["position"] == 11).then_some(())
    });
    daemon.stop().expect(0);
    assert_same(source, target, &wide);
    let arrived = client::count(&target.props(), &narrow, Isolation::Uncommitted).unwrap();
    assert_eq!(arrived.into_values().collect::<Vec<_>>(), [1, 11], "nothing behind the refused record");
}

#[test]
fn a_refused_record_is_left_out_where_the_policy_says_so() {
    let (source, target) = pair();
    let topic = unique("skipped");
    with_a_large_one(source, &topic);
    create(target, &topic, 2, &[("max.message.bytes", "10000")]);

    let daemon = Config::new(source, target, &topic).section("[policy]\nrefused = \"skip\"").run();
    let status = daemon.wait_for_records(12);
    assert_eq!(lane(&status, &topic, 0)["position"], 3, "{status:#}");
    let labels = [("topic", &*topic), ("partition", "0")];
    assert_eq!(daemon.metric("isomirror_refused_records_total", &labels), Some(1.0));
    daemon.wait_ready();
    daemon.stop().expect(0);
    let arrived = client::read_all(&target.props(), &topic, Isolation::Uncommitted).unwrap();
    let keys: Vec<_> = arrived[&0].iter().filter_map(|r| r.key.as_deref()).collect();
    assert_eq!(keys, [b"before".as_slice(), b"after"]);
}

fn position(daemon: &Daemon, topic: &str, partition: i32) -> i64 {
    lane(&daemon.status(), topic, partition)["position"].as_i64().expect("a position")
}

/// Records `first..` of each topic, in 4 partitions of 1000 each: 500 kB a lane.
fn write(source: &Cluster, topics: &[&str], first: u64) {
    for topic in topics {
        let load = Load { partitions: 4, count: 4000, first, value_size: 500, ..Load::default() };
        client::load(&source.props(), topic, &load).unwrap();
    }
}

/// First partitions whose only replica is on a frozen broker, then a topic that lacks the replicas it insists
/// on, beside others. Each time the load of a blocked lane is more than it may hold of the buffer.
#[test]
fn a_lane_that_the_target_can_not_take_blocks_no_other() {
    let _alone = alone();
    let source = pair().0;
    let target = Cluster::builder().brokers(2).start().unwrap();
    let run = |topic: &str| Config::new(source, &target, topic).section("[limits]\nbuffer = \"16MiB\"").run();

    let single = unique("single");
    create(source, &single, 4, &[]);
    create(&target, &single, 4, &[]);
    let daemon = run(&single);
    write(source, &[&single], 0);
    daemon.wait_for_records(4000);
    let frozen = |p: &i32| target.leader(&single, *p).unwrap() == Some(2);
    let (frozen, free): (Vec<i32>, Vec<i32>) = (0..4).partition(frozen);
    assert_eq!((frozen.len(), free.len()), (2, 2), "both brokers lead");
    target.pause(2).unwrap();
    let since = Instant::now();
    (1..=10).for_each(|round| write(source, &[&single], round * 4000));
    eventually("the lanes that have a broker go on", || {
        free.iter().all(|p| position(&daemon, &single, *p) == 11_000).then_some(())
    });
    eprintln!("beside a frozen broker: {:.1?}", since.elapsed());
    assert!(frozen.iter().all(|p| position(&daemon, &single, *p) < 11_000), "what has none does not");
    target.resume(2).unwrap();
    daemon.wait_for_records(44_000);
    daemon.stop().expect(0);
    assert_same(source, &target, &single);

    let name = unique("replicated");
    let (strict, lax) = (format!("{name}-strict"), format!("{name}-lax"));
    for (topic, min) in [(&strict, "2"), (&lax, "1")] {
        create(source, topic, 4, &[]);
        target.create_topic(topic, 4, 2, &[("min.insync.replicas", min)]).unwrap();
    }
    let daemon = run(&format!("{name}-.*"));
    write(source, &[&strict, &lax], 0);
    daemon.wait_for_records(8000);
    target.kill(2).unwrap();
    let since = Instant::now();
    (1..=10).for_each(|round| write(source, &[&strict, &lax], round * 4000));
    // A produce request that waits for replicas holds up its connection, for request.timeout.ms (30 s) at most:
    // the broker answers in order.
    eventually("the lanes that have replicas enough go on", || {
        (0..4).all(|p| position(&daemon, &lax, p) == 11_000).then_some(())
    });
    eprintln!("beside a topic that lacks replicas: {:.1?}", since.elapsed());
    assert!((0..4).all(|p| position(&daemon, &strict, p) < 11_000), "what lacks them does not");
    target.start(2).unwrap();
    daemon.wait_for_records(88_000);
    daemon.stop().expect(0);
    for topic in [&strict, &lax] {
        assert_same(source, &target, topic);
    }
}
