//! The daemon's `[verify]` on real brokers: what it says is the same follows what is mirrored, through restarts and other
//! instances; what is made to differ is found, told once, and stops nothing.

#[path = "support/cleaned.rs"]
mod cleaned;
#[path = "support/ledgers.rs"]
mod ledgers;
#[path = "support/numbered.rs"]
mod numbered;

use std::{
    collections::BTreeSet,
    process::Output,
    thread,
    time::{Duration, Instant},
};

use kafka_harness::{
    Cluster, Security, TestRecord,
    client::{self, ProduceOptions, Transaction},
    daemon::{Config, Daemon, eventually, isomirror},
    shared::{pair, unique},
};
use offset_marks::{LaneStart, LedgerWriter, OffsetsMode, Point};
use serde_json::{Value, json};

use ledgers::{ended, link_of, start, write};
use numbered::record;

/// The records are years old.
const KEPT: &[(&str, &str)] = &[("retention.ms", "-1")];
const VERIFIED: &str = "isomirror_verified_offset";
const DIFFERENCES: &str = "isomirror_verify_differences_total";
const BYTES: &str = "isomirror_verify_bytes_total";

fn produce(cluster: &Cluster, topic: &str, partition: i32, numbers: std::ops::Range<i64>) {
    let records: Vec<_> = numbers.map(|n| record(partition, n)).collect();
    client::produce(&cluster.props(), topic, &records).unwrap();
}

fn in_transaction(cluster: &Cluster, topic: &str, partition: i32, end: Transaction) {
    let options = ProduceOptions { transaction: Some(end), ..ProduceOptions::default() };
    let records = [record(partition, 1), record(partition, 2)];
    client::produce_with(&cluster.props(), topic, &records, &options).unwrap();
}

fn end(cluster: &Cluster, topic: &str, partition: i32) -> i64 {
    client::end_offsets(&cluster.props(), topic).unwrap()[&partition]
}

fn of_lane(daemon: &Daemon, metric: &str, topic: &str, partition: i32) -> Option<f64> {
    daemon.metric(metric, &[("topic", topic), ("partition", &partition.to_string())])
}

fn verified(daemon: &Daemon, topic: &str, partition: i32) -> Option<i64> {
    of_lane(daemon, VERIFIED, topic, partition).map(|offset| offset as i64)
}

/// Waits until these partitions are the same to the source's end, and no record differs.
#[track_caller]
fn wait_until_verified(daemon: &Daemon, topic: &str, partitions: std::ops::Range<i32>) {
    for partition in partitions {
        let end = end(pair().0, topic, partition);
        eventually(&format!("{topic}[{partition}] is verified up to {end}: {}", daemon.log()), || {
            (verified(daemon, topic, partition) == Some(end)).then_some(())
        });
        let differing = of_lane(daemon, DIFFERENCES, topic, partition);
        assert_eq!(differing, Some(0.0), "{topic}[{partition}]: {}", daemon.log());
    }
}

/// What the daemon's status says of a lane's comparison.
fn lane(daemon: &Daemon, topic: &str, partition: i32) -> Value {
    let status = daemon.status();
    let lanes = status["lanes"].as_array().expect("a list");
    let lane = lanes.iter().find(|lane| lane["topic"] == topic && lane["partition"] == partition);
    lane.unwrap_or_else(|| panic!("{status}")).clone()
}

fn status_of(daemon: &Daemon) -> Output {
    isomirror().arg("status").arg(daemon.url()).output().expect("it runs")
}

#[test]
fn it_follows_lanes_that_are_written_to_and_goes_on_after_a_restart() {
    let (source, target) = pair();
    let name = unique("followed");
    let all = ["identical", "translated", "shared"].map(|kind| format!("{name}-{kind}"));
    let [identical, translated, shared] = &all;
    for topic in &all {
        source.create_topic(topic, 2, 1, KEPT).unwrap();
    }
    for topic in [translated, shared] {
        target.create_topic(topic, 2, 1, KEPT).unwrap();
        produce(target, topic, 0, 900..907);
    }
    let config = Config::new(source, target, &format!("{name}-.*"))
        .section(&format!("[topics.override.\"{translated}\"]\noffsets = \"translated\""))
        .section(&format!("[topics.override.\"{shared}\"]\noffsets = \"translated\"\nwriters = \"shared\""))
        .section("[verify]\nevery = \"1s\"");
    let daemon = config.run();
    for round in 0..6 {
        for topic in &all {
            produce(source, topic, 0, round * 1000..round * 1000 + 1000);
            in_transaction(source, topic, 0, Transaction::Abort);
            in_transaction(source, topic, 1, Transaction::Commit);
        }
        produce(target, shared, 0, 900..903);
        thread::sleep(Duration::from_millis(300));
    }
    for topic in &all {
        wait_until_verified(&daemon, topic, 0..2);
        let found = lane(&daemon, topic, 0);
        let expected = json!({
            "offset": end(source, topic, 0), "equal": 6000, "differences": 0, "unproven": 0, "difference": null,
            "fix": null, "trouble": null
        });
        assert_eq!((&found["verified"], &found["state"]), (&expected, &json!("running")));
    }
    let (table, _) = ended(status_of(&daemon), 0);
    assert!(table.contains("\nverify 6 of 6 lanes compared, all the same so far\n"), "{table}");
    let began = daemon.metric("isomirror_verify_last_round_timestamp_seconds", &[]).unwrap();
    assert!(began > 1_700_000_000.0, "{began}");
    let read = daemon.metric(BYTES, &[]).unwrap();
    assert!(read > 200_000.0, "{read}");
    assert_eq!(daemon.metric("isomirror_verify_failures_total", &[]), Some(0.0));

    // A topic that is gone has no series.
    source.delete_topic(translated).unwrap();
    eventually("its series are gone", || {
        (verified(&daemon, translated, 0), of_lane(&daemon, DIFFERENCES, translated, 1))
            .eq(&(None, None))
            .then_some(())
    });
    daemon.stop().expect(0);

    // What was compared is not read again.
    produce(source, identical, 0, 0..10);
    let daemon = config.run();
    wait_until_verified(&daemon, identical, 0..2);
    let read = daemon.metric(BYTES, &[]).unwrap();
    assert!(read > 0.0 && read < 50_000.0, "{read}");
    assert_eq!(lane(&daemon, identical, 0)["verified"]["equal"], 10);
    daemon.stop().expect(0);
}

#[test]
fn a_difference_is_told_once_shown_everywhere_and_stops_nothing() {
    let (source, target) = pair();
    let topic = unique("planted");
    for cluster in [source, target] {
        cluster.create_topic(&topic, 1, 1, KEPT).unwrap();
    }
    // A stranger's record lies at 6, and what is behind it is the same.
    produce(source, &topic, 0, 0..20);
    produce(target, &topic, 0, 0..6);
    let other = TestRecord { value: Some(b"a secret".to_vec()), ..record(0, 6) };
    client::produce(&target.props(), &topic, &[other]).unwrap();
    produce(target, &topic, 0, 7..20);
    let config = Config::new(source, target, &topic).section("[verify]\nevery = \"1s\"");
    let begun = LaneStart { offsets: OffsetsMode::Identical, ..start(&topic, &topic, 0, Point::new(0, 0)) };
    write(target, &link_of(&config), &[LedgerWriter::begin(begun)]);
    let daemon = config.run();
    let told = || daemon.log().matches("the target is NOT what the source is").count();
    eventually(&format!("it is found: {}", daemon.log()), || (told() > 0).then_some(()));
    produce(source, &topic, 0, 20..50);
    eventually("what is behind it is compared, too", || {
        (lane(&daemon, &topic, 0)["verified"]["equal"] == 49).then_some(())
    });
    let found = lane(&daemon, &topic, 0);
    assert_eq!((&found["position"], &found["state"]), (&json!(50), &json!("running")), "{found}");
    let verified_of = &found["verified"];
    assert_eq!((&verified_of["offset"], &verified_of["differences"]), (&json!(6), &json!(1)), "{found}");
    assert_eq!(verified_of["difference"], "the record at offset 6 differs in value");
    eventually("it is counted", || (of_lane(&daemon, DIFFERENCES, &topic, 0) == Some(1.0)).then_some(()));
    assert_eq!(verified(&daemon, &topic, 0), Some(6));
    assert_eq!((told(), daemon.get("/readyz").0), (1, 200), "{}", daemon.log());
    let fix = format!("isomirror verify CONFIG --topic {topic} --show-values");
    for (what, text) in [
        ("the log", daemon.log()),
        ("the page", daemon.get("/").1),
        ("status", ended(status_of(&daemon), 0).0),
    ] {
        assert!(text.contains("the record at offset 6 differs in value"), "{what}: {text}");
        assert!(text.contains(&fix) && !text.contains("a secret"), "{what}: {text}");
    }
    ended(config.command("verify", &["--topic", &topic]), 3);
    daemon.stop().expect(0);

    // It is not forgotten.
    let daemon = config.run();
    daemon.wait_for_log("the target is NOT what the source is");
    eventually("it stands there", || (verified(&daemon, &topic, 0) == Some(6)).then_some(()));
    daemon.stop().expect(0);
}

#[test]
fn instances_compare_the_lanes_that_they_have_and_take_over() {
    let (source, target) = pair();
    let topic = unique("instances");
    source.create_topic(&topic, 8, 1, KEPT).unwrap();
    (0..8).for_each(|partition| produce(source, &topic, partition, 0..2000));
    let config = Config::new(source, target, &topic).section("[verify]\nevery = \"1s\"");
    let one = config.run();
    wait_until_verified(&one, &topic, 0..8);
    let control = format!("isomirror.{}", link_of(&config));
    eventually("it is on record", || {
        let all = client::read_all(&target.props(), &control, client::Isolation::Committed).unwrap();
        let of = |record: &&client::ReadRecord| {
            let key = String::from_utf8_lossy(record.key.as_deref().unwrap_or_default()).into_owned();
            let value = String::from_utf8_lossy(record.value.as_deref().unwrap_or_default()).into_owned();
            key.starts_with("verified/") && value.contains("\"through\":2000")
        };
        (all.values().flatten().filter(of).count() == 8).then_some(())
    });
    let two = config.run();
    let lanes_of = |daemon: &Daemon| -> BTreeSet<i32> {
        (0..8).filter(|partition| verified(daemon, &topic, *partition).is_some()).collect()
    };
    (0..8).for_each(|partition| produce(source, &topic, partition, 2000..2100));
    eventually(&format!("they share them: {} {}", one.log(), two.log()), || {
        let (of_one, of_two) = (lanes_of(&one), lanes_of(&two));
        let all = (0..8).all(|partition| {
            let of = if of_one.contains(&partition) { &one } else { &two };
            verified(of, &topic, partition) == Some(2100)
        });
        (all && of_one.is_disjoint(&of_two) && !of_one.is_empty() && !of_two.is_empty()).then_some(())
    });
    // The second has gone on from where the first was.
    let read = two.metric(BYTES, &[]).unwrap();
    assert!(read < 200_000.0, "{read}");
    one.kill();
    (0..8).for_each(|partition| produce(source, &topic, partition, 2100..2110));
    wait_until_verified(&two, &topic, 0..8);
    two.stop().expect(0);
}

#[test]
fn what_a_log_cleaner_has_taken_is_no_difference() {
    let (topic, config) = cleaned::on_source(|topic| {
        Config::new(pair().0, pair().1, topic).section("[verify]\nevery = \"1s\"")
    });
    let daemon = config.run();
    for _ in 0..4 {
        cleaned::produce(&topic, 0..7);
        thread::sleep(Duration::from_millis(800));
    }
    wait_until_verified(&daemon, &topic, 0..1);
    let found = lane(&daemon, &topic, 0);
    assert_eq!(found["verified"]["unproven"], 0, "{found}");
    daemon.stop().expect(0);
}

#[test]
fn it_keeps_to_its_rate_and_ends_at_once() {
    let (source, target) = pair();
    let topic = unique("slow");
    source.create_topic(&topic, 1, 1, KEPT).unwrap();
    let large = |n: i64| TestRecord { value: Some(vec![n as u8; 1000]), ..record(0, n) };
    let all: Vec<_> = (0..600).map(large).collect();
    client::produce(&source.props(), &topic, &all).unwrap();
    let config = |rate: &str| {
        Config::new(source, target, &topic).section(&format!("[verify]\nevery = \"1s\"\nrate = \"{rate}\""))
    };
    let daemon = config("300kB/s").run();
    daemon.wait_for_records(600);
    eventually("it has begun", || (daemon.metric(BYTES, &[])? > 0.0).then_some(()));
    let began = Instant::now();
    wait_until_verified(&daemon, &topic, 0..1);
    let (took, read) = (began.elapsed().as_secs_f64(), daemon.metric(BYTES, &[]).unwrap());
    // What was read before the first look, and one answer a side, may be ahead.
    assert!(took > (read - 3.0 * 262_144.0) / 300_000.0, "{read} bytes in {took} s");
    assert!(took > 1.0, "{read} bytes in {took} s");
    daemon.stop().expect(0);

    let daemon = config("1kB/s").run();
    client::produce(&source.props(), &topic, &all).unwrap();
    eventually("it has begun", || (daemon.metric(BYTES, &[])? > 0.0).then_some(()));
    let stopped = Instant::now();
    daemon.stop().expect(0);
    assert!(stopped.elapsed() < Duration::from_secs(5), "{:?}", stopped.elapsed());
}

#[test]
fn without_the_right_to_read_the_target_check_refuses_and_the_daemon_says_so() {
    let source = pair().0;
    let target = Cluster::builder().security(Security::plain(&["watch"])).start().unwrap();
    let topic = unique("rights");
    source.create_topic(&topic, 1, 1, KEPT).unwrap();
    produce(source, &topic, 0, 0..20);
    let admin = Config::new(source, &target, &topic);
    admin.run_until_caught_up().expect(0);
    let config = admin.clone().target(target.client_properties("watch")).section("[verify]\nevery = \"1s\"");
    let own = format!("isomirror.{}", link_of(&config));
    let allow = |rights: &[&str]| target.acl_add("watch", rights).unwrap();
    let control = ["Create", "Read", "Write", "DescribeConfigs"].map(|right| ["--operation", right]).concat();
    allow(&[&control[..], &["--topic", &own]].concat());
    allow(&["--operation", "Read", "--group", &own]);
    allow(&["--operation", "Write", "--topic", &topic]);
    allow(&["--operation", "ClusterAction", "--cluster"]);
    let (found, _) = ended(config.command("check", &[]), 3);
    assert!(found.contains("[verify] can't compare it with the source"), "{found}");

    let daemon = config.run();
    daemon.wait_for_log("both sides can't be compared, trying again: ");
    assert!(daemon.log().contains("fix: grant DESCRIBE_CONFIGS on it there"), "{}", daemon.log());
    assert!(daemon.metric("isomirror_verify_failures_total", &[]).unwrap() >= 2.0);
    let (table, _) = ended(status_of(&daemon), 0);
    assert!(table.contains("it could not be compared beyond source offset 0: "), "{table}");
    allow(&["--operation", "DescribeConfigs", "--topic", &topic]);
    eventually("then it has to be read", || {
        let trouble = lane(&daemon, &topic, 0)["verified"]["trouble"].clone();
        trouble.as_str()?.contains(&format!("fix: grant READ on topic {topic} there")).then_some(())
    });
    ended(config.command("check", &[]), 3);
    allow(&["--operation", "Read", "--topic", &topic]);
    daemon.wait_for_log("both sides are compared again");
    wait_until_verified(&daemon, &topic, 0..1);
    daemon.stop().expect(0);
    ended(config.command("check", &[]), 0);
}
