//! MirrorMaker's configuration through the real binary: what comes of it, what is left to do, and the exit code.
//!
//! Proves: what is said to be usable is taken by `check --config-only`; no secret is in any output, and each is in its
//! file alone; nothing is overwritten unasked; what can't be used is refused with its place and a fix. And between real
//! clusters, what either MirrorMaker mirrored is mirrored by what was imported.

#[expect(dead_code, reason = "no member of a group is needed here")]
#[path = "support/members.rs"]
mod members;

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::Path,
    process::{Command, Output},
    thread,
};

use kafka_harness::{
    Cluster, Security,
    client::{self, Load},
};
use tempfile::TempDir;

const SECRET: &str = "hunter2";

/// In the form of Kafka's own config/consumer.properties.
const CONSUMER: &str = "\
# see org.apache.kafka.clients.consumer.ConsumerConfig for more details
bootstrap.servers=localhost:9092
client.id=test-consumer
isolation.level=read_uncommitted
group.id=test-consumer-group
auto.offset.reset=earliest
partition.assignment.strategy=org.apache.kafka.clients.consumer.CooperativeStickyAssignor
key.deserializer=org.apache.kafka.common.serialization.StringDeserializer
value.deserializer=org.apache.kafka.common.serialization.StringDeserializer
enable.auto.commit=true
auto.commit.interval.ms=5000
session.timeout.ms=30000
heartbeat.interval.ms=10000
max.poll.interval.ms=300000
retry.backoff.ms=100
retry.backoff.max.ms=1000
request.timeout.ms=40000
connections.max.idle.ms=540000
#security.protocol=SASL_SSL
fetch.min.bytes=1
fetch.max.wait.ms=500
fetch.max.bytes=52428800
max.partition.fetch.bytes=1048576
max.poll.records=500
";

/// In the form of Kafka's own config/producer.properties.
const PRODUCER: &str = "\
############################# Producer Basics #############################
bootstrap.servers=localhost:9093
compression.type=none
partitioner.class=org.apache.kafka.clients.producer.RoundRobinPartitioner
request.timeout.ms=30000
max.block.ms=60000
linger.ms=5
max.request.size=1048576
batch.size=16384
buffer.memory=33554432
";

/// In the form of Kafka's own config/connect-mirror-maker.properties.
const MIRROR_MAKER_2: &str = "\
# specify any number of cluster aliases
clusters = A, B
A.bootstrap.servers = A_host1:9092, A_host2:9092, A_host3:9092
B.bootstrap.servers = B_host1:9092, B_host2:9092, B_host3:9092
A->B.enabled = true
A->B.topics = .*
B->A.enabled = true
B->A.topics = .*
replication.factor=1
checkpoints.topic.replication.factor=1
heartbeats.topic.replication.factor=1
offset-syncs.topic.replication.factor=1
offset.storage.replication.factor=1
status.storage.replication.factor=1
config.storage.replication.factor=1
# replication.policy.separator = _
";

const LOGIN: &str = "security.protocol=SASL_PLAINTEXT\nsasl.mechanism=PLAIN\nsasl.jaas.config=\
    org.apache.kafka.common.security.plain.PlainLoginModule required username=\"u\" password=\"hunter2\";\n";

const OLD: [&str; 5] =
    ["import", "consumer.properties", "producer.properties", "--whitelist", "orders|pay.*"];

fn isomirror(folder: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_isomirror"))
        .args(arguments)
        .env_clear()
        .current_dir(folder)
        .output()
        .expect("the binary starts")
}

fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// A folder with MirrorMaker 1's two files, lines put behind them, and with MirrorMaker 2's.
fn folder(consumer: &str, producer: &str) -> TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    for (name, text) in [
        ("consumer.properties", [CONSUMER, consumer].concat()),
        ("producer.properties", [PRODUCER, producer].concat()),
        ("mm2.properties", MIRROR_MAKER_2.to_owned()),
    ] {
        fs::write(folder.path().join(name), text).expect("a file");
    }
    folder
}

/// Runs it, with the exit code that is expected; all that it says.
#[track_caller]
fn ends(folder: &TempDir, arguments: &[&str], code: i32) -> String {
    let output = isomirror(folder.path(), arguments);
    let told = text(&output);
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {told}");
    assert!(!told.contains(SECRET), "{told}");
    told
}

/// Writes what `import` prints to a file, and has it checked.
#[track_caller]
fn prints_what_check_takes(folder: &TempDir, arguments: &[&str]) {
    let output = isomirror(folder.path(), arguments);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output));
    fs::write(folder.path().join("link.toml"), &output.stdout).expect("a file");
    ends(folder, &["check", "--config-only", "link.toml"], 0);
}

#[test]
fn what_can_be_used_as_it_stands_is_taken_by_check() {
    let folder = folder("", "");
    prints_what_check_takes(&folder, &OLD);
    let flags = "import --consumer.config consumer.properties --producer.config=producer.properties --new.consumer \
                 --num.streams 3 --include orders|x --offset.commit.interval.ms 1000 --abort.on.send.failure=false \
                 --message.handler com.opencore.RenameTopicHandler --message.handler.args orders,o2;x,y";
    let flags: Vec<&str> = flags.split_whitespace().collect();
    prints_what_check_takes(&folder, &flags);
    let link = fs::read_to_string(folder.path().join("link.toml")).expect("a file");
    for part in
        ["link = \"test-consumer-group\"", "consumers = 3", "refused = \"skip\"", "\"orders\" = \"o2\""]
    {
        assert!(link.contains(part), "{part}: {link}");
    }
    assert!(!link.contains("not known"), "{link}");
    prints_what_check_takes(&folder, &["import", "mm2.properties", "--flow", "B->A", "--link", "back"]);
    let variables = ["DC1", "DC2"].map(|name| format!("bootstrap.servers=${{env:{name}}}\n"));
    for (name, text) in ["c", "d"].into_iter().zip(variables) {
        fs::write(folder.path().join(name), text).expect("a file");
    }
    let told = ends(&folder, &["import", "c", "d", "--whitelist", "a"], 0);
    assert!(told.contains("\"bootstrap.servers\" = { env = \"DC2\" }"), "{told}");
    let tls = "security.protocol=SSL\nssl.truststore.type=PEM\nssl.truststore.certificates=";
    let certificate = "-----BEGIN CERTIFICATE----- MIIBfDCCASOgAwIBAgIUQzBBQUFBQUFBQUFBQUFBQUFBQUE= -----END CERTIFICATE-----\n";
    fs::write(folder.path().join("p.properties"), [PRODUCER, tls, certificate].concat()).expect("a file");
    ends(&folder, &["import", "consumer.properties", "p.properties", "--whitelist", "a"], 0);
}

#[test]
fn each_flow_gets_a_file_that_check_takes() {
    let folder = folder("", "");
    let told = ends(&folder, &["import", "mm2.properties"], 2);
    assert!(told.contains("there are several flows: A->B, B->A") && told.contains("--into DIR"), "{told}");
    let told = ends(&folder, &["import", "mm2.properties", "--into", "links"], 0);
    assert!(told.contains("wrote links/A-B.toml\nwrote links/B-A.toml\n"), "{told}");
    for link in ["links/A-B.toml", "links/B-A.toml"] {
        ends(&folder, &["check", "--config-only", link], 0);
        let text = fs::read_to_string(folder.path().join(link)).expect("a file");
        assert!(!text.contains("not known"), "{text}");
    }
    let output = isomirror(folder.path(), &["import", "mm2.properties", "--output", "json"]);
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!((output.status.code(), output.stderr.len()), (Some(0), 0), "{json}");
    let flow = &json["flows"][1];
    assert_eq!((flow["link"].as_str(), flow["usable"].as_bool()), (Some("B-A"), Some(true)));
    assert!(flow["toml"].as_str().is_some_and(|toml| toml.contains("name = \"B\"")), "{flow}");
    let notes = flow["notes"].as_array().expect("notes");
    let note = notes.iter().find(|note| note["key"] == "offset.storage.replication.factor").expect("a note");
    assert_eq!((note["file"].as_str(), note["line"].as_u64()), (Some("mm2.properties"), Some(13)));
    assert_eq!((note["severity"].as_str(), note["message"].is_string()), (Some("info"), true));
}

#[test]
fn secrets_are_left_to_do_or_written_for_their_owner_alone() {
    let folder = folder(LOGIN, LOGIN);
    let told = ends(&folder, &OLD, 3);
    assert!(told.contains("link test-consumer-group: 2 things to do before it can run\n"), "{told}");
    for part in
        ["\"sasl.password\" = { file = \"source-password\" }", "consumer.properties:27 sasl.jaas.config"]
    {
        assert!(told.contains(part), "{part}: {told}");
    }
    ends(&folder, &[&OLD[..], &["--output", "json"]].concat(), 3);
    let into = [&OLD[..], &["--into", "links"]].concat();
    let told = ends(&folder, &into, 0);
    assert!(told.contains("it can be used as it stands"), "{told}");
    let path = |name: &str| folder.path().join("links").join(name);
    for name in [
        "test-consumer-group.toml",
        "test-consumer-group-source-password",
        "test-consumer-group-target-password",
    ] {
        let mode = fs::metadata(path(name)).expect(name).permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
        let holds_it = fs::read_to_string(path(name)).expect(name).contains(SECRET);
        assert_eq!(holds_it, name.ends_with("password"), "{name}");
    }
    ends(&folder, &["check", "--config-only", "links/test-consumer-group.toml"], 0);

    // Nothing is overwritten unasked, and then not only a part of it.
    let password = path("test-consumer-group-source-password");
    fs::write(&password, "mine").expect("a file");
    fs::set_permissions(&password, fs::Permissions::from_mode(0o644)).expect("a mode");
    fs::remove_file(path("test-consumer-group.toml")).expect("a file");
    let told = ends(&folder, &into, 1);
    assert!(
        told.contains("test-consumer-group-source-password is there already; nothing was written"),
        "{told}"
    );
    assert!(!path("test-consumer-group.toml").exists());
    assert_eq!(fs::read_to_string(&password).expect("a file"), "mine");
    ends(&folder, &[&into[..], &["--force"]].concat(), 0);
    assert_eq!(fs::read_to_string(&password).expect("a file"), "hunter2\n");
    assert_eq!(fs::metadata(&password).expect("a file").permissions().mode() & 0o777, 0o600);
    assert_eq!(fs::read_dir(path("")).expect("a folder").count(), 3, "nothing else is left there");
}

#[test]
fn what_has_to_be_done_first_is_named_and_done_it_is_enough() {
    let folder = folder(&LOGIN.replace("hunter2", "${file:/run/x:hunter2}"), "");
    let told = ends(&folder, &[&OLD[..], &["--into", "links"]].concat(), 3);
    let name = "test-consumer-group-source-password";
    assert!(
        told.contains(&format!("it comes from a config provider: put it into the file {name}")),
        "{told}"
    );
    fs::write(folder.path().join("links").join(name), "hunter2\n").expect("a file");
    ends(&folder, &["check", "--config-only", "links/test-consumer-group.toml"], 0);
    for (lines, part) in [
        (
            "security.protocol=SSL\nssl.truststore.location=/x/t.jks\nssl.truststore.password=hunter2\n",
            "keytool -list -rfc",
        ),
        ("security.protocol=SASL_PLAINTEXT\nsasl.kerberos.service.name=kafka\n", "Kerberos can't be used"),
        ("security.protocol=SASL_PLAINTEXT\nsasl.mechanism=PLAIN\n", "java.security.auth.login.config"),
    ] {
        fs::write(folder.path().join("consumer.properties"), [CONSUMER, lines].concat()).expect("a file");
        let told = ends(&folder, &OLD, 3);
        assert!(told.contains(part) && told.contains("# TODO consumer.properties:"), "{told}");
    }
}

#[test]
fn what_cannot_be_used_is_refused_with_its_place_and_a_fix() {
    let folder = folder("", "");
    let write = |name: &str, bytes: &[u8]| fs::write(folder.path().join(name), bytes).expect("a file");
    write("empty", b"");
    write("binary", b"\x7fELF\0\0");
    write("login", [CONSUMER, "bootstrap.servers=u:hunter2@a:1\n"].concat().as_bytes());
    write("same", PRODUCER.replace("9093", "9092").as_bytes());
    write("pem", b"-----BEGIN PRIVATE KEY-----\nhunter2\n-----END PRIVATE KEY-----\n");
    fs::create_dir(folder.path().join("dir")).expect("a folder");
    let old =
        |consumer, producer, more: &'static [&'static str]| [&["import", consumer, producer], more].concat();
    let a = &["--whitelist", "a"];
    for (arguments, parts) in [
        (vec!["import"], &["FILE"] as &[_]),
        (vec!["import", "gone"], &["cannot read gone: No such file", "fix: "]),
        (vec!["import", "dir"], &["cannot read dir: Is a directory", "fix: "]),
        (vec!["import", "/dev/zero"], &["larger than any configuration", "fix: "]),
        (vec!["import", "empty"], &["empty: there is no property in it", "fix: "]),
        (vec!["import", "binary"], &["binary: is no text file", "fix: "]),
        (vec!["import", "pem"], &["pem: MirrorMaker 1 has two files", "fix: "]),
        (
            vec!["import", "consumer.properties"],
            &["two files, and this is one alone, by its keys the consumer's", "fix: "],
        ),
        (
            old("producer.properties", "consumer.properties", a),
            &["producer.properties: this is a producer's file", "fix: "],
        ),
        (
            old("consumer.properties", "consumer.properties", a),
            &["consumer.properties: this is a consumer's file", "fix: "],
        ),
        (
            old("consumer.properties", "producer.properties", &[]),
            &["which topics are mirrored", "add --whitelist"],
        ),
        (
            old("consumer.properties", "mm2.properties", a),
            &["mm2.properties: this is a MirrorMaker 2 file", "fix: "],
        ),
        (
            old("login", "producer.properties", a),
            &["login:25 bootstrap.servers: it is no list of brokers", "fix: "],
        ),
        (
            old("consumer.properties", "same", a),
            &["test-consumer-group.toml:", "source and target are one cluster", "fix: "],
        ),
        (
            old("consumer.properties", "producer.properties", &["--whitelist", "a(?<!b)|c"]),
            &["--whitelist: the pattern \"a(?<!b)\": ", "look-around", "fix: "],
        ),
        (
            old("consumer.properties", "producer.properties", &["--whitelist", "a", "--num.streams", "x"]),
            &["--num.streams: ", "fix: "],
        ),
        (vec!["import", "mm2.properties", "--flow", "A->C"], &["--flow takes one of A->B, B->A"]),
        (
            vec!["import", "mm2.properties", "--flow", "A->B", "--whitelist", "a"],
            &["--whitelist is MirrorMaker 1's"],
        ),
        (vec!["import", "mm2.properties", "--force"], &["--into"]),
    ] {
        let told = ends(&folder, &arguments, 2);
        for part in parts {
            assert!(told.contains(part), "{arguments:?}: {part}: {told}");
        }
    }
}

#[test]
fn a_file_may_have_windows_line_ends_a_mark_at_its_beginning_and_ten_thousand_lines() {
    let folder = folder("", "");
    let more: String = (0..10_000).map(|n| format!("some.key.n{n}=hunter2\nother.key={n}\n")).collect();
    let consumer =
        format!("\u{feff}{CONSUMER}{more}client.rack=a\\\n  b\\u0063\nfoo.bar=1").replace('\n', "\r\n");
    fs::write(folder.path().join("consumer.properties"), consumer).expect("a file");
    let told = ends(&folder, &OLD, 0);
    assert!(
        told.contains("\"client.rack\" = \"abc\"\n") && told.contains("20027 foo.bar: not known"),
        "{told}"
    );
}

// === real clusters ===

const TOPICS: [&str; 2] = ["orders", "returns"];

/// Two clusters that ask for a login, and have ACLs; the source has some records, and a group that has read a part of them.
fn clusters() -> (Cluster, Cluster) {
    let start = || Cluster::builder().security(Security::plain(&[])).start().expect("a cluster");
    let (source, target) = thread::scope(|scope| {
        let source = scope.spawn(start);
        let target = start();
        (source.join().expect("a cluster"), target)
    });
    for topic in TOPICS {
        source.create_topic(topic, 2, 1, &[]).expect("a topic");
        let load = Load { partitions: 2, count: 500, value_size: 50, keys: true, ..Load::default() };
        client::load(&source.props(), topic, &load).expect("it is written");
    }
    members::commit(&source, "billing", &[("orders", 0, 200), ("orders", 1, 250)]);
    (source, target)
}

/// A login as Java's clients have it; each line behind `prefix`.
fn login(cluster: &Cluster, prefix: &str) -> String {
    let module = "org.apache.kafka.common.security.plain.PlainLoginModule";
    [
        format!("bootstrap.servers={}", cluster.bootstrap()),
        "security.protocol=SASL_PLAINTEXT".to_owned(),
        "sasl.mechanism=PLAIN".to_owned(),
        format!("sasl.jaas.config={module} required username=\"admin\" password=\"admin-secret\";"),
    ]
    .map(|line| format!("{prefix}{line}\n"))
    .concat()
}

/// What an operator does with what was imported, up to that it has mirrored all.
#[track_caller]
fn mirrors(folder: &TempDir, link: &str, made: &[&str]) {
    let does = |arguments: &[&str], parts: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_isomirror"))
            .args(arguments)
            .env_clear()
            .env("ISOMIRROR__ADMIN__LISTEN", "127.0.0.1:0")
            .current_dir(folder.path())
            .output()
            .expect("the binary starts");
        let told = text(&output);
        assert_eq!(output.status.code(), Some(0), "{arguments:?}: {told}");
        assert!(parts.iter().all(|part| told.contains(part)), "{arguments:?}: {parts:?}: {told}");
    };
    does(&["check", link], &["2 topics, 4 partitions, 1,000 records to mirror", "all OK"]);
    does(&["plan", link], made);
    does(&["apply", link], made);
    does(&["run", link, "--until-caught-up"], &[]);
    // Groups' offsets go as far as records are mirrored.
    does(&["apply", link], &[]);
    does(&["plan", link], &["Nothing to change."]);
    does(&["verify", link], &["All 4 lanes are equal: 1,000 records"]);
}

#[test]
fn what_mirror_maker_mirrored_between_real_clusters_is_checked_planned_applied_and_mirrored() {
    let (source, target) = clusters();
    let folder = tempfile::tempdir().expect("a folder");
    let write = |name: &str, text: String| fs::write(folder.path().join(name), text).expect("a file");
    let own = |text: &str| {
        text.lines()
            .filter(|line| !line.starts_with("bootstrap"))
            .fold(String::new(), |all, line| all + line + "\n")
    };

    write("consumer.properties", own(CONSUMER) + &login(&source, ""));
    write("producer.properties", own(PRODUCER) + &login(&target, ""));
    let handler = [
        "--message.handler",
        "com.opencore.RenameTopicHandler",
        "--message.handler.args",
        "orders,orders_v2",
    ];
    let old = [
        "import",
        "consumer.properties",
        "producer.properties",
        "--whitelist",
        "orders|returns",
        "--into",
        "links",
    ];
    ends(&folder, &[&old[..], &handler].concat(), 0);
    mirrors(&folder, "links/test-consumer-group.toml", &["orders_v2 (from orders)", "returns"]);

    let flow = "clusters = old, new\nold->new.enabled = true\nold->new.topics = orders|returns\n\
                old->new.sync.group.offsets.enabled = true\nreplication.factor = 1\n";
    write("mm2.properties", flow.to_owned() + &login(&source, "old.") + &login(&target, "new."));
    ends(&folder, &["import", "mm2.properties", "--into", "links"], 0);
    mirrors(&folder, "links/old-new.toml", &["old.orders (from orders)", "old.returns (from returns)"]);
    assert_eq!(members::committed(&target, "billing", "old.orders", 2), [Some(200), Some(250)]);
}
