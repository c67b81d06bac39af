//! `isomirror check` on real brokers: each broken situation has its finding, its fix and its exit code; a good
//! link has none; and nothing on either cluster is changed by looking.

use std::{
    fs,
    net::TcpListener,
    time::{SystemTime, UNIX_EPOCH},
};

use kafka_harness::{
    Cluster, TestRecord,
    client::{Load, produce},
    daemon::{Config, isomirror},
    shared::{pair, unique},
};
use rdkafka::consumer::{BaseConsumer, Consumer};
use serde_json::Value;

const FOREVER: &str = "9223372036854775807";

fn link(source: &Cluster, target: &Cluster, include: &str) -> Config {
    Config::new(source, target, include)
}

/// What `check --output json` says, and its exit code.
#[track_caller]
fn check(config: &Config, args: &[&str]) -> (i32, Value) {
    let output = config.command("check", &[&["--output", "json"], args].concat());
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr);
    let report = serde_json::from_str(&text).unwrap_or_else(|e| panic!("{e}: {text}\n{errors}"));
    (output.status.code().expect("an exit code"), report)
}

/// The findings as "severity code subject".
fn findings(report: &Value) -> Vec<String> {
    let word = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let line =
        |f: &Value| format!("{} {} {}", word(&f["severity"]), word(&f["code"]), word(&f["subject"]["name"]));
    report["findings"].as_array().expect("findings").iter().map(line).collect()
}

/// Checks and compares; `words` must be in the text of the findings.
#[track_caller]
fn expect(config: &Config, code: i32, expected: &[&str], words: &str) {
    let (exit, report) = check(config, &[]);
    let (mut found, mut expected) = (findings(&report), expected.to_vec());
    found.sort_unstable();
    expected.sort_unstable();
    assert_eq!(found, expected, "{report:#}");
    assert_eq!(exit, code, "{report:#}");
    assert!(report["findings"].to_string().contains(words), "{words:?} is not in {report:#}");
}

/// Records of two hours ago: older ones would be deleted before long.
fn records(topic: &str, cluster: &Cluster) {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let timestamp = i64::try_from(now.as_millis()).unwrap() - 2 * 3_600_000;
    let record = |partition| TestRecord {
        partition,
        key: Some(b"k".to_vec()),
        value: Some(b"v".to_vec()),
        headers: Vec::new(),
        timestamp: Some(timestamp),
    };
    produce(&cluster.props(), topic, &[record(0), record(1)]).unwrap();
}

fn topics(cluster: &Cluster) -> Vec<(String, usize)> {
    let client: BaseConsumer = kafka_harness::client::config(&cluster.props()).create().unwrap();
    let metadata = client.fetch_metadata(None, std::time::Duration::from_secs(10)).unwrap();
    let mut all: Vec<_> =
        metadata.topics().iter().map(|t| (t.name().to_owned(), t.partitions().len())).collect();
    all.sort();
    all
}

#[test]
fn a_good_link_exits_0_and_looking_changes_nothing() {
    // Clusters of its own: not even the topic of the groups' offsets is there.
    let (source, target) = std::thread::scope(|scope| {
        let source = scope.spawn(|| Cluster::builder().start().unwrap());
        (Cluster::builder().start().unwrap(), source.join().unwrap())
    });
    source.create_topic("there", 2, 1, &[]).unwrap();
    source.create_topic("new", 3, 1, &[("retention.ms", "-1")]).unwrap();
    target.create_topic("there", 2, 1, &[]).unwrap();
    records("there", &source);
    let before = (topics(&source), topics(&target));

    let config = link(&source, &target, "there|new");
    let (exit, report) = check(&config, &[]);
    assert_eq!(findings(&report), ["info target-created new"], "{report:#}");
    assert_eq!(exit, 0);
    assert_eq!(report["ok"], true);
    let summary = &report["summary"];
    assert_eq!((&summary["topics"], &summary["partitions"]), (&Value::from(2), &Value::from(5)));
    assert_eq!((&summary["records"], &summary["create"]), (&Value::from(2), &Value::from(1)));
    let finding = &report["findings"][0];
    assert!(finding["why"].as_str().unwrap().contains("3 partitions"), "{finding}");
    assert!(finding["why"].as_str().unwrap().contains("retention.ms=-1"), "{finding}");

    let output = config.command("check", &[]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("2 topics, 5 partitions, 2 records to mirror"), "{text}");
    assert!(text.contains("all OK: the link would run as asked"), "{text}");
    assert_eq!((topics(&source), topics(&target)), before);

    // What was checked is what happens: and afterwards there is nothing left to say.
    config.run_until_caught_up().expect(0);
    let (exit, report) = check(&config, &[]);
    assert_eq!((exit, findings(&report)), (0, vec![]), "{report:#}");
    assert_eq!(report["summary"]["records"], 0);
}

#[test]
fn partitions_and_contents_of_the_target() {
    let (source, target) = pair();
    let [fewer, more, full, absent] = ["fewer", "more", "full", "absent"].map(unique);
    for name in [&fewer, &more, &full, &absent] {
        source.create_topic(name, 2, 1, &[]).unwrap();
    }
    target.create_topic(&fewer, 1, 1, &[]).unwrap();
    target.create_topic(&more, 3, 1, &[]).unwrap();
    target.create_topic(&full, 2, 1, &[]).unwrap();
    records(&full, target);
    let command = format!("--alter --topic {fewer} --partitions 2");
    expect(&link(source, target, &fewer), 3, &[&format!("error target-fewer-partitions {fewer}")], &command);
    expect(&link(source, target, &more), 0, &[&format!("warning target-more-partitions {more}")], "3 part");
    expect(&link(source, target, &full), 0, &[&format!("warning target-not-empty {full}")], "2 records");
    let config = link(source, target, &absent).topics("create = false");
    let command = format!("--create --topic {absent} --partitions 2");
    expect(&config, 3, &[&format!("error target-missing {absent}")], &command);
    let config = link(source, target, &absent).topics("replication_factor = 3");
    expect(&config, 3, &[&format!("error target-replication {absent}")], "at most 1");

    // A topic that this link has mirrored would be grown, and one that is gone is not made again.
    let config = link(source, target, &absent);
    config.run_until_caught_up().expect(0);
    source.add_partitions(&absent, 4).unwrap();
    expect(&config, 0, &[&format!("info target-grows {absent}")], "2 partitions");
    target.delete_topic(&absent).unwrap();
    expect(&config, 3, &[&format!("error target-gone {absent}")], "marks CONFIG forget");
}

/// What the daemon would refuse by its marks, in its words, before it is started.
#[test]
fn lanes_that_would_not_go_on_by_the_links_marks() {
    let (source, target) = pair();
    let [topic, other] = ["marks", "marks-other"].map(unique);
    source.create_topic(&topic, 2, 1, &[]).unwrap();
    target.create_topic(&other, 2, 1, &[]).unwrap();
    records(&topic, source);
    let config = link(source, target, &topic);
    config.run_until_caught_up().expect(0);
    expect(&config, 0, &[], "");

    let setting = format!("error marks-of-another-setting {topic}");
    let renamed = config.clone().topics(&format!("rename = {{ '{topic}' = '{other}' }}"));
    expect(&renamed, 3, &[&setting, &setting], "is now told to mirror it to");
    let translated = config.clone().topics("offsets = 'translated'");
    expect(&translated, 3, &[&setting, &setting], "it was begun with identical offsets");

    source.delete_topic(&topic).unwrap();
    source.create_topic(&topic, 2, 1, &[]).unwrap();
    records(&topic, source);
    records(&topic, source);
    let diverged = format!("error marks-diverged {topic}");
    expect(&config, 3, &[&diverged, &diverged], "this link has mirrored topic id");
    let ended = config.run_until_caught_up().expect(5);
    let (_, report) = check(&config, &[]);
    let found = report["findings"][0]["found"].as_str().unwrap();
    // The log escapes quotes.
    let found = found.split('"').next().unwrap();
    assert!(ended.log.contains(found), "the daemon says the same: {found}\n{}", ended.log);
}

#[test]
fn configs_that_break_fidelity() {
    /// Configs on the source and on the target; exit code, findings, and words in them.
    type Case<'a> = (&'a [(&'a str, &'a str)], &'a [(&'a str, &'a str)], i32, &'a [&'a str], &'a str);
    let (source, target) = pair();
    let small: &[(&str, &str)] = &[("max.message.bytes", "1000")];
    let table: [Case<'_>; 11] = [
        (&[], &[("message.timestamp.type", "LogAppendTime")], 3, &["error timestamp-type"], "CreateTime"),
        (&[("message.timestamp.type", "LogAppendTime")], &[], 0, &["info timestamp-type"], "as they should"),
        (&[], small, 3, &["error max-message-bytes"], "max.message.bytes=1048588"),
        (small, &[], 0, &[], ""),
        (&[], &[("compression.type", "gzip")], 0, &["warning compression"], "compression.type=producer"),
        (&[], &[("cleanup.policy", "compact")], 3, &["error cleanup-policy"], "without a key"),
        (
            &[("cleanup.policy", "compact")],
            &[("retention.ms", "-1")],
            0,
            &["warning cleanup-policy"],
            "compact",
        ),
        (&[], &[("retention.ms", "1000")], 0, &["warning retention"], "retention.ms=604800000"),
        (&[], &[("message.timestamp.before.max.ms", "3600000")], 3, &["error timestamp-before"], FOREVER),
        (&[], &[("message.timestamp.after.max.ms", "1000")], 0, &["warning timestamp-after"], FOREVER),
        (&[], &[("min.insync.replicas", "2")], 3, &["error min-insync-replicas"], "replication factor 1"),
    ];
    for (of_source, of_target, code, expected, words) in table {
        let name = unique("configs");
        source.create_topic(&name, 2, 1, of_source).unwrap();
        target.create_topic(&name, 2, 1, of_target).unwrap();
        records(&name, source);
        let expected: Vec<String> = expected.iter().map(|code| format!("{code} {name}")).collect();
        let expected: Vec<&str> = expected.iter().map(String::as_str).collect();
        expect(&link(source, target, &name), code, &expected, words);
    }
}

#[test]
fn names_and_loops() {
    let (source, target) = pair();
    let base = unique("names");
    for part in ["a", "b"] {
        source.create_topic(&format!("{base}.{part}"), 1, 1, &[]).unwrap();
    }
    let include = format!("{base}\\..");
    let nothing = link(source, target, "nothing.*");
    expect(&nothing, 3, &[&format!("error no-topics {}", link_name(&nothing))], "topics.include");
    let absent = format!("{base}-absent");
    for rules in [format!("include = ['{base}\\.a', '{absent}']"), format!("rename = {{ '{absent}' = 'x' }}")]
    {
        let missing = link(source, target, &format!("{base}\\.a|{absent}")).topics(&rules);
        let expected = [format!("error topic-missing {absent}"), format!("info target-created {base}.a")];
        let words = format!("create {absent} on the source");
        expect(&missing, 3, &expected.each_ref().map(String::as_str), &words);
    }
    let clash =
        link(source, target, &include).topics(&format!("rename = {{ \"^{base}..$\" = \"{base}.x\" }}"));
    expect(&clash, 3, &[&format!("error rename-clash {base}.x")], "topics.rename");
    let long = "x".repeat(249);
    let illegal =
        link(source, target, &include).topics(&format!("rename = {{ \"^({base}.a)$\" = \"{long}$1\" }}"));
    let expected = [format!("error rename-illegal {base}.a"), format!("info target-created {base}.b")];
    expect(&illegal, 3, &expected.each_ref().map(String::as_str), "at most 249");
    let some = Config::new(source, target, &include)
        .topics(&format!("include = [\"{base}.a\", \"nothing.*\"]"))
        .topics("offsets = \"translated\"");
    let expected =
        [format!("warning include-unmatched {}", link_name(&some)), format!("info target-created {base}.a")];
    expect(&some, 0, &expected.each_ref().map(String::as_str), "nothing.*");

    // One cluster by another address: the configuration can't tell, the cluster's id can.
    let mut elsewhere = source.props();
    elsewhere[0].1 = source.internal_bootstrap();
    let onto_itself = link(source, target, &include).target(elsewhere.clone());
    expect(&onto_itself, 3, &[&format!("error loop {base}.a"), &format!("error loop {base}.b")], "itself");
    let renamed = link(source, target, &include)
        .target(elsewhere)
        .topics(&format!("rename = {{ \"^({base}..)$\" = \"copy.$1\" }}"));
    let expected = [
        format!("warning one-cluster {}", link_name(&renamed)),
        format!("info target-created copy.{base}.a"),
        format!("info target-created copy.{base}.b"),
    ];
    expect(&renamed, 0, &expected.each_ref().map(String::as_str), "is it meant?");
}

fn link_name(config: &Config) -> String {
    let text = config.text();
    text.lines().next().unwrap().trim_start_matches("link = ").trim_matches('"').to_owned()
}

/// Links that write to one of the two clusters, whatever they are called: by what they have on record there.
#[test]
fn other_links_that_lead_back_or_write_to_the_same_topic() {
    let (source, target) = pair();
    let [topic, copy] = ["beside", "beside-copy"].map(unique);
    source.create_topic(&topic, 2, 1, &[]).unwrap();
    records(&topic, source);
    let renamed = |from: &str, to: &str| format!("rename = {{ '{from}' = '{to}' }}");
    let there = link(source, target, &topic).topics(&renamed(&topic, &copy));
    let daemon = there.run();
    daemon.wait_for_records(2);

    // The way back, and a second one there.
    let back = link(target, source, &copy).topics(&renamed(&copy, &topic));
    let twin = link(source, target, &topic).topics(&renamed(&topic, &copy));
    let looped = format!("loop-of-links {copy}");
    let theirs = format!("target-of-another-link {copy}");
    // What is on a target already is told beside it.
    let words = format!(
        "{copy} → {topic} (link {}) → {copy} (link {}); the link that leads back runs",
        link_name(&back),
        link_name(&there)
    );
    let not_empty = |topic: &str| format!("warning target-not-empty {topic}");
    let all = [format!("error {looped}"), not_empty(&topic)];
    expect(&back, 3, &all.each_ref().map(String::as_str), &words);
    let all = [format!("error {theirs}"), not_empty(&copy)];
    expect(&twin, 3, &all.each_ref().map(String::as_str), "mirrors");
    // From another topic there is nothing to say of them.
    let elsewhere = back.clone().topics(&renamed(&copy, &format!("{copy}.back")));
    expect(&elsewhere, 0, &[&format!("info target-created {copy}.back")], "");

    daemon.stop().expect(0);
    let all = [format!("warning {looped}"), not_empty(&topic)];
    expect(&back, 0, &all.each_ref().map(String::as_str), "does not run now");
    let all = [format!("warning {theirs}"), not_empty(&copy)];
    expect(&twin, 0, &all.each_ref().map(String::as_str), "does not run now");

    // Once it has given the topic up, it is nobody's any more, and that is told of the link itself.
    let stopped = there.command("topics", &["stop", &topic]);
    assert_eq!(stopped.status.code(), Some(0), "{stopped:?}");
    expect(&back, 0, &[&not_empty(&topic)], "");
    expect(&twin, 0, &[&not_empty(&copy)], "");
    expect(&there, 0, &[&format!("warning topic-held {topic}")], &format!("topics CONFIG start {topic}"));
}

/// The time to catch up is estimated by a sample; what the source keeps for less is refused.
#[test]
fn retention_that_is_faster_than_catching_up() {
    let (source, target) = pair();
    let [short, long] = ["short", "long"].map(unique);
    for (topic, kept) in [(&short, "60000"), (&long, "604800000")] {
        source.create_topic(topic, 2, 1, &[("retention.ms", kept)]).unwrap();
        let load =
            Load { partitions: 2, count: 2000, value_size: 500, compressible: false, ..Load::default() };
        kafka_harness::client::load(&source.props(), topic, &load).unwrap();
    }
    let config = link(source, target, &format!("{short}|{long}"));
    let created = [&short, &long].map(|topic| format!("info target-created {topic}"));
    let created = created.each_ref().map(String::as_str);
    expect(&config, 0, &created, "");
    // 2 MB at 10 kB/s.
    let slow = config.section("[limits]\nthrottle = \"10kB/s\"");
    let overtaken = format!("error retention-catch-up {short}");
    expect(&slow, 3, &[&created[..], &[&overtaken]].concat(), "it keeps records for 60 s (retention.ms)");
    let (_, report) = check(&slow, &[]);
    let (bytes, seconds) = (&report["summary"]["bytes"], &report["summary"]["seconds"]);
    let near =
        |value: &Value, wanted: u64| value.as_u64().is_some_and(|value| value.abs_diff(wanted) < wanted / 5);
    assert!(near(bytes, 2_100_000) && near(seconds, 210), "{report:#}");
    let text = String::from_utf8(slow.command("check", &[]).stdout).unwrap();
    assert!(
        text.contains(" MB as they are stored, about ") && text.contains("at 10.0 kB/s (limits.throttle)"),
        "{text}"
    );
}

#[test]
fn a_cluster_that_is_down_is_exit_4_and_named() {
    let (source, _) = pair();
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let dead = vec![("bootstrap.servers".to_owned(), format!("127.0.0.1:{port}"))];
    let config = link(source, source, "x").target(dead);
    let (exit, report) = check(&config, &[]);
    assert_eq!((exit, findings(&report)), (4, vec!["error unreachable target".to_owned()]), "{report:#}");
    let found = report["findings"][0]["found"].as_str().unwrap();
    assert!(found.contains("refused") && found.contains(&port.to_string()), "{found}");
    let text = String::from_utf8(config.command("check", &[]).stdout).unwrap();
    assert!(text.contains("target cluster target: it can't be reached"), "{text}");
    // With no cluster asked, there is nothing wrong.
    let (exit, report) = check(&config, &["--config-only"]);
    assert_eq!((exit, &report["ok"]), (0, &Value::from(true)));
}

#[test]
fn a_bad_configuration_is_exit_2() {
    let (source, target) = pair();
    let forced = |mut properties: Vec<(String, String)>, key: &str, value: &str| {
        properties.push((key.to_owned(), value.to_owned()));
        properties
    };
    let to = || target.client_properties("admin");
    let from = || source.client_properties("admin");
    for (config, words) in [
        (link(source, target, "x").topics("bogus = 1"), "bogus"),
        (link(source, target, "x").target(forced(to(), "acks", "1")), "`acks` can't be set to `1`"),
        (
            link(source, target, "x").source(forced(from(), "auto.offset.reset", "latest")),
            "auto.offset.reset",
        ),
    ] {
        for args in [&["--config-only"][..], &[]] {
            let output = config.command("check", args);
            let text = String::from_utf8_lossy(&output.stderr);
            assert_eq!(output.status.code(), Some(2), "{text}");
            assert!(text.contains(words), "{words:?} is not in {text}");
        }
    }
    let folder = tempfile::tempdir().unwrap();
    let none = folder.path().join("none.toml");
    let output = isomirror().args(["check", none.to_str().unwrap()]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    fs::write(&none, "link = ").unwrap();
    let output = isomirror().args(["check", "--config-only", none.to_str().unwrap()]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
}
