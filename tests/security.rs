//! Links between secured clusters with ACLs on, as a user that has exactly the rights of docs/acls.md; what is
//! said where a right or a password is wrong; and that no secret is shown anywhere.

#[expect(dead_code, reason = "nobody is a member here")]
#[path = "support/members.rs"]
mod members;

use std::{
    fs,
    path::Path,
    process::Command,
    sync::OnceLock,
    thread,
    time::{Duration, Instant},
};

use kafka_harness::{
    Cluster, NEW_VERSION, Props, Security, TestRecord,
    client::{Isolation, produce, read_all},
    daemon::{Config, Daemon, eventually, isomirror},
    security::password,
    shared::unique,
};
use serde_json::Value;

/// Users of every cluster: one a test, so that no test's ACLs are another's.
const USERS: [&str; 6] = ["least", "shared", "full", "patient", "nobody", "grouped"];

struct Clusters {
    /// SASL_SSL with SCRAM-SHA-512.
    scram: Cluster,
    /// Mutual TLS.
    tls: Cluster,
    /// SASL_PLAINTEXT with PLAIN.
    plain: Cluster,
}

fn clusters() -> &'static Clusters {
    static CLUSTERS: OnceLock<Clusters> = OnceLock::new();
    CLUSTERS.get_or_init(|| {
        let start = |security| Cluster::builder().security(security).start().expect("a cluster");
        thread::scope(|scope| {
            let scram = scope.spawn(move || start(Security::scram(&USERS)));
            let tls = scope.spawn(move || start(Security::mutual_tls(&USERS)));
            let plain = start(Security::plain(&USERS));
            Clusters { scram: scram.join().unwrap(), tls: tls.join().unwrap(), plain }
        })
    })
}

/// A link as `user`, and what its group, its control topic and, with a dot behind, its transactional ids are called.
fn link(source: &Cluster, target: &Cluster, include: &str, user: &str) -> (Config, String) {
    let config = Config::new(source, target, include)
        .source(source.client_properties(user))
        .target(target.client_properties(user));
    let text = config.text();
    let name = text.lines().next().unwrap().trim_start_matches("link = ").trim_matches('"');
    let own = format!("isomirror.{name}");
    (config, own)
}

/// Allows operations on topics: one start of Kafka's tool.
#[track_caller]
fn allow(cluster: &Cluster, user: &str, operations: &[&str], topics: &[&str]) {
    let pair = |flag: &'static str| move |value: &&str| [flag, value].map(str::to_owned);
    let all: Vec<String> = operations
        .iter()
        .flat_map(pair("--operation"))
        .chain(topics.iter().flat_map(pair("--topic")))
        .collect();
    cluster.acl_add(user, &all.iter().map(String::as_str).collect::<Vec<_>>()).unwrap();
}

/// What a link needs on its target whatever it mirrors: its group, and its control topic.
#[track_caller]
fn allow_own(target: &Cluster, user: &str, own: &str) {
    target.acl_add(user, &["--operation", "Read", "--group", own]).unwrap();
    allow(target, user, &CONTROL, &[own]);
}

const CONTROL: [&str; 4] = ["Create", "Read", "Write", "DescribeConfigs"];

fn without(mut properties: Props, key: &str) -> Props {
    properties.retain(|(name, _)| name != key);
    properties
}

fn with(properties: Props, key: &str, value: &str) -> Props {
    let mut properties = without(properties, key);
    properties.push((key.to_owned(), value.to_owned()));
    properties
}

fn fill(cluster: &Cluster, topic: &str, records: usize) {
    let record = |n: usize| TestRecord {
        partition: i32::try_from(n % 2).unwrap(),
        key: Some(format!("k{n}").into_bytes()),
        value: Some(format!("v{n}").into_bytes()),
        headers: Vec::new(),
        // Now: brokers delete what is older than a week before long.
        timestamp: None,
    };
    produce(&cluster.props(), topic, &(0..records).map(record).collect::<Vec<_>>()).unwrap();
}

#[track_caller]
fn assert_equal(source: &Cluster, target: &Cluster, topic: &str, records: usize) {
    let before = read_all(&source.props(), topic, Isolation::Uncommitted).unwrap();
    let after = read_all(&target.props(), topic, Isolation::Uncommitted).unwrap();
    assert_eq!(before.values().map(Vec::len).sum::<usize>(), records);
    assert_eq!(before, after);
}

/// Runs to the end; the exit code and everything it said.
fn output(command: &mut Command) -> (Option<i32>, String) {
    let output = command.output().unwrap();
    let text = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    (output.status.code(), text.concat())
}

/// What `check --output json` found, as "severity code subject"; its exit code; all it said.
fn check(config: &Config) -> (i32, Vec<String>, String) {
    let output = config.command("check", &["--output", "json"]);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let report: Value = serde_json::from_str(&text).unwrap_or_else(|e| panic!("{e}: {output:?}"));
    let word = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let line =
        |f: &Value| format!("{} {} {}", word(&f["severity"]), word(&f["code"]), word(&f["subject"]["name"]));
    let found = report["findings"].as_array().unwrap().iter().map(line).collect();
    (output.status.code().unwrap(), found, text)
}

/// A lane's status.
fn lane(daemon: &Daemon, topic: &str) -> Option<Value> {
    let status = daemon.status();
    status["lanes"].as_array()?.iter().find(|lane| lane["topic"] == topic).cloned()
}

/// Waits until a topic's first lane is stopped; its reason and its fix.
#[track_caller]
fn stopped(daemon: &Daemon, topic: &str) -> (String, String) {
    let lane = eventually(&format!("{topic} stops; {}", daemon.log()), || {
        lane(daemon, topic).filter(|lane| lane["state"] == "stopped")
    });
    let word = |key: &str| lane[key].as_str().unwrap_or_default().to_owned();
    (word("reason"), word("fix"))
}

/// No password of any user, plain or as it goes over the wire, and no key.
#[track_caller]
fn assert_no_secret(what: &str, text: &str) {
    let shown = |secret: &str| {
        let at = text.find(secret).unwrap_or_default();
        text[at.saturating_sub(200)..].chars().take(300).collect::<String>()
    };
    for user in USERS.iter().copied().chain(["admin"]) {
        let secret = password(user);
        assert!(!text.contains(&secret), "{what} shows a password: {}", shown(&secret));
    }
    assert!(!text.contains("PRIVATE KEY"), "{what} shows a key: {}", shown("PRIVATE KEY"));
}

/// The errors of `check` are these, whatever their order; all it said.
#[track_caller]
fn expect_errors(config: &Config, expected: &[String]) -> String {
    let (exit, found, text) = check(config);
    let mut errors: Vec<&str> = found.iter().filter_map(|found| found.strip_prefix("error ")).collect();
    let mut expected: Vec<&str> = expected.iter().map(String::as_str).collect();
    errors.sort_unstable();
    expected.sort_unstable();
    assert_eq!((errors, exit), (expected.clone(), if expected.is_empty() { 0 } else { 3 }), "{text}");
    text
}

/// SCRAM over TLS to mutual TLS, same offsets, with the least rights of docs/acls.md, of which `check` names each that is
/// missing until none is. The source's first records are gone, so that the target's partitions have to be padded.
#[test]
fn the_least_rights_carry_a_link_from_scram_to_mutual_tls() {
    let Clusters { scram: source, tls: target, .. } = clusters();
    let [there, new] = ["least-there", "least-new"].map(unique);
    for topic in [&there, &new] {
        source.create_topic(topic, 2, 1, &[]).unwrap();
        fill(source, topic, 120);
        (0..2).for_each(|partition| source.delete_records(topic, partition, 10).unwrap());
    }
    target.create_topic(&there, 2, 1, &[]).unwrap();
    let (config, own) = link(source, target, "least-.*", "least");
    let both = |code: &str| [&there, &new].map(|topic| format!("{code} {topic}"));
    let (group, control) = (format!("group-right {own}"), format!("control-topic-right {own}"));

    // Without any right nothing is even seen.
    let link = own.trim_start_matches("isomirror.");
    expect_errors(&config, &[format!("no-topics {link}"), group.clone(), control.clone()]);

    allow(source, "least", &["Read"], &[&there, &new]);
    let own_rights = [vec![group, control.clone()], both("target-write-right").to_vec()].concat();
    let text = expect_errors(&config, &[own_rights.clone(), vec!["fill-right target".to_owned()]].concat());
    for words in ["ClusterAction --cluster", "--transactional-id isomirror.", "offsets = \\\"translated"] {
        assert!(text.contains(words), "{words:?} is not in {text}");
    }
    assert!(text.contains("kafka-acls.sh") && text.contains("--operation Write"), "{text}");

    target.acl_add("least", &["--operation", "ClusterAction", "--cluster"]).unwrap();
    expect_errors(&config, &own_rights);

    target.acl_add("least", &["--operation", "Read", "--group", &own]).unwrap();
    allow(target, "least", &["Read"], &[&own]);
    let text = expect_errors(&config, &own_rights[1..]);
    assert!(text.contains("no CREATE, WRITE, DESCRIBE_CONFIGS right"), "{text}");

    allow(target, "least", &CONTROL, &[&own]);
    allow(target, "least", &["Write"], &[&there, &new]);
    let padding = both("target-padding-right");
    let create = format!("target-create-right {new}");
    let text = expect_errors(&config, &[&padding[..], &[create]].concat());
    assert!(text.contains(&format!("--operation Delete --topic {there}")), "{text}");

    allow(target, "least", &["Create"], &[&new]);
    expect_errors(&config, &padding);

    allow(target, "least", &["Delete"], &[&there, &new]);
    expect_errors(&config, &[]);
    let (_, found, text) = check(&config);
    let warnings: Vec<&String> = found.iter().filter(|found| found.starts_with("warning")).collect();
    let expected = [
        ["source-configs-right", "target-alter-right", "target-configs-right", "target-read-right"]
            .map(|code| format!("warning {code} {there}"))
            .to_vec(),
        ["source-configs-right", "target-read-right"].map(|code| format!("warning {code} {new}")).to_vec(),
    ]
    .concat();
    assert!(expected.iter().all(|wanted| warnings.contains(&wanted)), "{text}");
    assert_eq!(warnings.len(), expected.len(), "{text}");
    assert_eq!(
        (target.partitions(&new).unwrap(), target.partitions(&own).unwrap()),
        (None, None),
        "it made a topic"
    );

    config.run_until_caught_up().expect(0);
    for topic in [&there, &new] {
        assert_equal(source, target, topic, 100);
    }
    expect_errors(&config, &[]);

    // To compare, the target has to be read, too.
    let verify = |code| {
        let output = config.command("verify", &[]);
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert_eq!(output.status.code(), Some(code), "{text}{}", String::from_utf8_lossy(&output.stderr));
        text
    };
    let text = verify(1);
    assert!(text.contains(&format!("fix: grant READ on topic {there}")), "{text}");
    allow(target, "least", &["Read"], &[&there, &new]);
    let text = verify(0);
    assert!(text.contains("All 4 lanes are equal: 200 records"), "{text}");
    assert!(text.contains("DescribeConfigs on it would tell"), "{text}");
}

/// [groups] and begin = "asked" ask for more: each right is named until none is missing, and then all of it works.
#[test]
fn what_groups_and_the_journal_need_is_named_right_by_right() {
    let Clusters { plain: source, scram: target, .. } = clusters();
    let [topic, group] = ["grouped", "grouped-readers"].map(unique);
    source.create_topic(&topic, 2, 1, &[]).unwrap();
    target.create_topic(&topic, 2, 1, &[]).unwrap();
    fill(source, &topic, 20);
    members::commit(source, &group, &[(&topic, 0, 4)]);
    let (config, own) = link(source, target, &topic, "grouped");
    let config =
        config.topics("begin = \"asked\"").section(&format!("[groups]\ninclude = ['{group}']\nsync = '1s'"));
    allow(source, "grouped", &["Read"], &[&topic]);
    allow_own(target, "grouped", &own);
    allow(target, "grouped", &["Write"], &[&topic]);
    target.acl_add("grouped", &["--operation", "ClusterAction", "--cluster"]).unwrap();

    let journal = format!("{own}.journal");
    let [seen, set] = ["group-describe-right", "group-commit-right"].map(|code| format!("{code} {group}"));
    let (read, decided) = (format!("target-read-right {topic}"), format!("journal-right {journal}"));
    let text = expect_errors(&config, &[seen.clone(), set.clone(), read.clone(), decided.clone()]);
    for words in [
        format!("--operation Describe --group {group}"),
        format!("--operation Read --group {group}"),
        format!("--operation Read --topic {topic}, or leave [groups] out"),
        format!(
            "--operation Create --operation Read --operation Write --operation DescribeConfigs --topic {journal}"
        ),
    ] {
        assert!(text.contains(&words), "{words:?} is not in {text}");
    }
    source.acl_add("grouped", &["--operation", "Describe", "--group", &group]).unwrap();
    expect_errors(&config, &[set, read.clone(), decided.clone()]);
    target.acl_add("grouped", &["--operation", "Read", "--group", &group]).unwrap();
    expect_errors(&config, &[read, decided.clone()]);
    allow(target, "grouped", &["Read"], &[&topic]);
    expect_errors(&config, std::slice::from_ref(&decided));
    allow(target, "grouped", &CONTROL[..2], &[&journal]);
    let text = expect_errors(&config, &[decided]);
    assert!(text.contains("no WRITE, DESCRIBE_CONFIGS right"), "{text}");
    allow(target, "grouped", &CONTROL, &[&journal]);
    expect_errors(&config, &[]);
    assert_eq!(target.partitions(&journal).unwrap(), None, "it made the journal");

    let daemon = config.run();
    let started = config.command("topics", &["start", &topic]);
    assert_eq!(started.status.code(), Some(0), "{started:?}");
    eventually("the group is carried over", || {
        (members::committed(target, &group, &topic, 2) == [Some(4), None]).then_some(())
    });
    daemon.stop().expect(0);
}

/// The same for writers = "shared", to a newer Kafka: WRITE on transactional ids, and neither ClusterAction nor DELETE.
#[test]
fn the_least_rights_carry_shared_writers_to_a_newer_kafka() {
    let source = &clusters().scram;
    let target = &Cluster::builder().version(NEW_VERSION).security(Security::plain(&USERS)).start().unwrap();
    let topic = unique("shared");
    source.create_topic(&topic, 2, 1, &[]).unwrap();
    fill(source, &topic, 120);
    (0..2).for_each(|partition| source.delete_records(&topic, partition, 10).unwrap());
    let (config, own) = link(source, target, &topic, "shared");
    let ids = format!("{own}.");
    allow(source, "shared", &["Read"], &[&topic]);
    let rights = ["group-right", "control-topic-right"].map(|code| format!("{code} {own}"));
    let write = format!("target-write-right {topic}");
    // What needs the same rights with the same offsets, as this Kafka tells.
    expect_errors(&config, &[&rights[..], &["fill-right target".to_owned(), write.clone()]].concat());

    let config = config.topics("offsets = \"translated\"").topics("writers = \"shared\"");
    let transactions = format!("transactional-id-right {ids}");
    expect_errors(&config, &[&rights[..], &[transactions, write.clone()]].concat());
    let prefixed = ["--transactional-id", &ids, "--resource-pattern-type", "prefixed"];
    target.acl_add("shared", &[&["--operation", "Write"][..], &prefixed].concat()).unwrap();
    expect_errors(&config, &[&rights[..], std::slice::from_ref(&write)].concat());
    allow_own(target, "shared", &own);
    expect_errors(&config, &[write]);
    allow(target, "shared", &["Write", "Create"], &[&topic]);
    expect_errors(&config, &[]);
    assert_eq!(target.partitions("__transaction_state").unwrap(), None, "it made a topic");
    assert_eq!(target.partitions("__consumer_offsets").unwrap(), None, "it made a topic");

    config.run_until_caught_up().expect(0);
    let values = |cluster: &Cluster| {
        let all = read_all(&cluster.props(), &topic, Isolation::Committed).unwrap();
        all.into_values().map(|records| records.into_iter().map(|r| r.value).collect()).collect()
    };
    let (before, after): (Vec<Vec<_>>, Vec<Vec<_>>) = (values(source), values(target));
    assert_eq!(before.iter().map(Vec::len).sum::<usize>(), 100);
    assert_eq!(before, after);

    // With ClusterAction alone, or transactional ids alone, gaps can be filled.
    let identical = config.topics("offsets = \"identical\"").topics("writers = \"exclusive\"");
    let (_, found, text) = check(&identical);
    assert!(found.contains(&"info fill-right target".to_owned()), "{text}");
    target.acl_add("shared", &["--operation", "ClusterAction", "--cluster"]).unwrap();
    let (_, found, text) = check(&identical);
    assert!(!found.iter().any(|found| found.contains("fill-right")), "{text}");
}

/// PLAIN to SCRAM over TLS with all the rights of docs/acls.md, so that check has nothing to say; passwords from
/// a file and from the environment, which no log at the highest level, page or command shows.
#[test]
fn no_secret_is_shown_with_all_rights_from_plain_to_scram() {
    let Clusters { plain: source, scram: target, .. } = clusters();
    let topic = unique("full");
    source.create_topic(&topic, 2, 1, &[]).unwrap();
    target.create_topic(&topic, 2, 1, &[]).unwrap();
    fill(source, &topic, 100);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("password");
    fs::write(&file, password("full") + "\n").unwrap();
    let (config, own) = link(source, target, &topic, "full");
    let no_password = |cluster: &Cluster| without(cluster.client_properties("full"), "sasl.password");
    let config = config
        .source(with(no_password(source), "debug", "all"))
        .target(with(no_password(target), "debug", "all"))
        .section(&format!("[source.kafka.sasl]\npassword = {{ file = {file:?} }}"));
    let from_variable = "[target.kafka.sasl]\npassword = { env = \"TARGET_PASSWORD\" }";
    let one_shot = config_file(folder.path(), &format!("{}{from_variable}\n", config.text()));
    let run_as = |engine: &str, args: &[&str]| {
        let mut command = isomirror();
        command.env("TARGET_PASSWORD", password("full")).env("ISOMIRROR__ENGINE", engine);
        let (code, text) = output(command.args(args).arg(&one_shot));
        assert_no_secret(&args.join(" "), &text);
        (code, text)
    };
    let run = |args: &[&str]| run_as("auto", args);
    allow(source, "full", &["Read", "DescribeConfigs"], &[&topic]);
    let all = ["Read", "Write", "DescribeConfigs", "AlterConfigs", "Alter", "Create", "Delete"];
    allow(target, "full", &all, &[&topic]);
    allow_own(target, "full", &own);
    target.acl_add("full", &["--operation", "ClusterAction", "--cluster"]).unwrap();
    let ids = ["--transactional-id", &format!("{own}."), "--resource-pattern-type", "prefixed"];
    target.acl_add("full", &[&["--operation", "Write"][..], &ids].concat()).unwrap();

    let (code, text) = run(&["config"]);
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains("TARGET_PASSWORD"), "{text}");
    let (code, text) = run(&["check", "--log-level", "error"]);
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains("all OK: "), "{text}");
    let (code, text) = run(&["check", "-vv"]);
    assert_eq!((code, text.contains("[redacted]")), (Some(0), true), "librdkafka's own words are not there");
    for engine in ["batches", "records"] {
        let (code, text) = run_as(engine, &["run", "--until-caught-up", "-vv"]);
        assert_eq!(code, Some(0), "{text}");
        let says_much = text.contains("TRACE") && (engine == "batches" || text.contains("SASL PLAIN"));
        assert!(says_much, "{engine}: this is not the highest level");
    }
    assert_equal(source, target, &topic, 100);
    let (code, text) = run(&["verify", "-vv"]);
    assert_eq!((code, text.contains("All 2 lanes are equal: 100 records")), (Some(0), true), "{text}");

    // The pages of a daemon, with both passwords from a file.
    let daemon =
        config.section(&format!("[target.kafka.sasl]\npassword = {{ file = {file:?} }}")).run_with(&["-vv"]);
    daemon.wait_ready();
    for page in ["/", "/status", "/metrics", "/readyz", "/healthz"] {
        let (code, text) = daemon.get(page);
        assert_eq!(code, 200, "{text}");
        assert_no_secret(page, &text);
    }
    assert_no_secret("the daemon", &daemon.stop().expect(0).log);

    // What is wrong with the configuration is said without what is secret in it.
    let bad = format!(
        "{}[target.kafka.sasl]\npassword = \"{}\"\nbogus = 1\n",
        config_text(&one_shot, from_variable),
        password("full")
    );
    let bad = config_file(folder.path(), &bad);
    for command in ["check", "run", "config"] {
        let (code, text) = output(isomirror().args([command, "-vv"]).arg(&bad));
        assert_eq!(code, Some(2), "{text}");
        assert!(text.contains("bogus"), "{text}");
        assert_no_secret(command, &text);
    }
}

fn config_file(folder: &Path, text: &str) -> std::path::PathBuf {
    let path = folder.join(format!("{}.toml", unique("link")));
    fs::write(&path, text).unwrap();
    path
}

/// The text of a file up to a section.
fn config_text(path: &Path, section: &str) -> String {
    fs::read_to_string(path).unwrap().split(section).next().unwrap().to_owned()
}

/// A lane that lacks a right stops with the reason and what grants it, the others run; granting makes it go on.
#[test]
fn a_lane_without_its_right_stops_alone_and_goes_on_once_it_is_granted() {
    let Clusters { scram: source, tls: target, .. } = clusters();
    let [good, unwritable, unreadable] =
        ["patient-good", "patient-unwritable", "patient-unreadable"].map(unique);
    for topic in [&good, &unwritable, &unreadable] {
        source.create_topic(topic, 2, 1, &[]).unwrap();
        target.create_topic(topic, 2, 1, &[]).unwrap();
        fill(source, topic, 100);
    }
    let (config, own) = link(source, target, "patient-.*", "patient");
    let config = config.topics("offsets = \"translated\"");
    allow(source, "patient", &["Describe"], &[&unreadable]);
    allow(source, "patient", &["Read"], &[&good, &unwritable]);
    allow(target, "patient", &["Describe"], &[&unwritable]);
    allow(target, "patient", &["Write"], &[&good, &unreadable]);
    allow(target, "patient", &CONTROL, &[&own]);

    // Without its group nothing runs, and everybody is told.
    let missing = [
        format!("group-right {own}"),
        format!("source-read-right {unreadable}"),
        format!("target-write-right {unwritable}"),
    ];
    expect_errors(&config, &missing);
    let daemon = config.run();
    eventually(&format!("it says that the group is refused; {}", daemon.log()), || {
        let (code, text) = daemon.get("/readyz");
        (code == 503 && text.to_lowercase().contains("group")).then_some(())
    });

    target.acl_add("patient", &["--operation", "Read", "--group", &own]).unwrap();
    eventually(&format!("the lane with all rights runs; {}", daemon.log()), || {
        (lane(&daemon, &good)?["state"] == "running").then_some(())
    });
    let (reason, fix) = stopped(&daemon, &unwritable);
    assert!(reason.contains("authorization failed"), "{reason}");
    assert!(fix.contains("WRITE") && fix.contains(&unwritable), "{fix}");
    let (reason, fix) = stopped(&daemon, &unreadable);
    assert!(reason.contains("authoriz"), "{reason}");
    assert!(fix.contains("READ") && fix.contains(&unreadable), "{fix}");
    let (code, text) = daemon.get("/readyz");
    assert!(code == 503 && text.contains(&unwritable) && text.contains(&unreadable), "{text}");
    assert_equal(source, target, &good, 100);

    allow(source, "patient", &["Read"], &[&unreadable]);
    allow(target, "patient", &["Write"], &[&unwritable]);
    // It tries again once a minute.
    let deadline = Instant::now() + Duration::from_secs(100);
    loop {
        let status = daemon.status();
        let totals = &status["totals"];
        if totals["records"] == 300 && totals["stopped"] == 0 && totals["lag_records"] == 0 {
            break;
        }
        assert!(Instant::now() < deadline, "{status:#}\n{}", daemon.log());
        thread::sleep(Duration::from_millis(200));
    }
    daemon.stop().expect(0);
    for topic in [&unwritable, &unreadable] {
        assert_equal(source, target, topic, 100);
    }
}

/// Credentials that are refused, by either end, are told by `check`, the log and /readyz in words that say so.
#[test]
fn refused_credentials_say_authentication_and_exit_4() {
    let Clusters { scram, tls, plain } = clusters();
    let dir = |cluster: &Cluster, file: &str| cluster.dir().join(file).display().to_string();
    let own = |cluster: &Cluster| cluster.client_properties("nobody");
    let wrong_scram = with(own(scram), "sasl.password", "least-secret");
    let wrong_plain = with(own(plain), "sasl.password", "least-secret");
    let unknown_ca = with(own(scram), "ssl.ca.location", &dir(tls, "ca.pem"));
    let no_certificate = without(without(own(tls), "ssl.certificate.location"), "ssl.key.location");
    for (source, target, side, word) in [
        (wrong_scram.clone(), own(tls), "source", "authentication"),
        (own(scram), wrong_plain.clone(), "target", "authentication"),
        (unknown_ca, own(tls), "source", "certificate"),
        (own(scram), no_certificate, "target", "certificate"),
    ] {
        let config = Config::new(scram, tls, "nobody-.*").source(source).target(target);
        let (exit, found, text) = check(&config);
        assert_eq!((exit, &found[..]), (4, &[format!("error unreachable {side}")][..]), "{text}");
        assert!(text.to_lowercase().contains(word), "{word:?} is not in {text}");
        assert_no_secret("check", &text);
    }
    let config = Config::new(scram, plain, "nobody-.*").source(wrong_scram).target(wrong_plain);
    let daemon = config.run_with(&["-vv"]);
    eventually(&format!("/readyz says why; {}", daemon.log()), || {
        let (code, text) = daemon.get("/readyz");
        let said = |side: &str| {
            text.lines().any(|line| line.contains(side) && line.to_lowercase().contains("authentication"))
        };
        (code == 503 && said("source") && said("target")).then_some(())
    });
    let ended = daemon.stop().expect(0);
    assert!(ended.log.to_lowercase().contains("authentication"), "{}", ended.log);
    assert_no_secret("the daemon", &ended.log);
}
