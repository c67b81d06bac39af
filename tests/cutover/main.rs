//! `isomirror cutover` on real brokers with an authorizer: a live producer and a live consumer go over with nothing lost,
//! repeated or misplaced; killed anywhere it goes on; it goes back from anywhere, and leaves no ACL behind; and what must not
//! pass does not.

mod edges;
#[path = "../support/ledgers.rs"]
mod ledgers;
#[expect(dead_code, reason = "consumers here have a login")]
#[path = "../support/members.rs"]
mod members;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::PathBuf,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use kafka_harness::{
    Cluster, Props, Security, TestRecord,
    client::{self, Isolation, ProduceOptions, Transaction},
    daemon::{Config, Daemon, eventually, isomirror},
    process::Process,
    shared::unique,
};
use kafka_wire::{AclOperation, AclPattern, AclPermission, AclResource, AclRule, Client, Settings};
use rdkafka::{
    Message,
    consumer::{BaseConsumer, CommitMode, Consumer},
    error::{KafkaError, RDKafkaErrorCode},
    producer::{FutureProducer, FutureRecord},
};
use serde_json::Value;
use tempfile::TempDir;

use ledgers::{ended, link_of};
use members::MemberOf;

const USERS: [&str; 3] = ["app", "reader", "mover"];
const STEPS: [&str; 9] =
    ["preconditions", "lag", "block", "drain", "groups", "verify", "rights", "clients", "stop"];

/// A source and a target whose brokers have an authorizer; `admin` is a super user, and the link's, unless said otherwise.
fn clusters() -> &'static (Cluster, Cluster) {
    static CLUSTERS: OnceLock<(Cluster, Cluster)> = OnceLock::new();
    CLUSTERS.get_or_init(|| start(1))
}

/// The same, of so many brokers each.
fn start(brokers: u32) -> (Cluster, Cluster) {
    let start = || {
        let builder = Cluster::builder().brokers(brokers).security(Security::plain(&USERS));
        builder.start().expect("a cluster")
    };
    thread::scope(|scope| {
        let source = scope.spawn(start);
        let target = start();
        (source.join().expect("a cluster"), target)
    })
}

// === ACLs ===

fn on<T>(cluster: &Cluster, ask: impl AsyncFnOnce(Client) -> T) -> T {
    let props = cluster.props();
    let settings = Settings::new(props.iter().map(|(key, value)| (&**key, &**value))).unwrap();
    let client = Client::new(settings).with_patience(Duration::from_secs(30));
    tokio::runtime::Runtime::new().unwrap().block_on(ask(client))
}

/// The rules about this name, as text.
fn acls(cluster: &Cluster, name: &str) -> BTreeSet<String> {
    let rules = on(cluster, async |client| client.list_acls().await.unwrap());
    rules.into_iter().filter(|rule| rule.name == name).map(|rule| rule.to_string()).collect()
}

fn make(cluster: &Cluster, rules: &[AclRule]) {
    on(cluster, async |client| {
        client.create_acls(rules).await.into_iter().for_each(|made| made.unwrap());
    });
    eventually("the broker knows the rules", || {
        let known = on(cluster, async |client| client.list_acls().await.unwrap());
        rules.iter().all(|rule| known.contains(rule)).then_some(())
    });
}

fn rule(
    permission: AclPermission,
    user: &str,
    operation: AclOperation,
    resource: AclResource,
    name: &str,
) -> AclRule {
    AclRule {
        resource,
        name: name.to_owned(),
        pattern: AclPattern::Literal,
        principal: format!("User:{user}"),
        permission,
        operation,
        host: "*".to_owned(),
    }
}

fn allow(user: &str, operation: AclOperation, resource: AclResource, name: &str) -> AclRule {
    rule(AclPermission::Allow, user, operation, resource, name)
}

fn may_write(topic: &str) -> [AclRule; 1] {
    [allow("app", AclOperation::Write, AclResource::Topic, topic)]
}

// === topics, links, commands ===

fn record(partition: i32, n: usize) -> TestRecord {
    TestRecord {
        partition,
        key: Some(format!("k{n}").into_bytes()),
        value: Some(format!("v{n}").into_bytes()),
        headers: Vec::new(),
        timestamp: None,
    }
}

fn produce_as(props: &Props, topic: &str, partition: i32, records: usize) -> anyhow::Result<()> {
    client::produce(props, topic, &(0..records).map(|n| record(partition, n)).collect::<Vec<_>>())
}

/// A topic on the source that `app` may write, with some records.
fn topic(name: &str, partitions: i32) -> String {
    topic_on(&clusters().0, name, partitions, 1)
}

fn topic_on(source: &Cluster, name: &str, partitions: i32, replication: i32) -> String {
    let topic = unique(name);
    source.create_topic(&topic, partitions, replication, &[]).unwrap();
    make(source, &may_write(&topic));
    (0..partitions).for_each(|p| produce_as(&source.props(), &topic, p, 50).unwrap());
    topic
}

fn link(topic: &str, cutover: &str) -> Config {
    link_between(clusters(), topic, cutover)
}

fn link_between((source, target): &(Cluster, Cluster), topic: &str, cutover: &str) -> Config {
    Config::new(source, target, topic).section(&format!("[cutover]\n{cutover}"))
}

fn running(config: &Config, records: u64) -> Daemon {
    let daemon = config.run();
    daemon.wait_ready();
    daemon.wait_for_records(records);
    daemon
}

/// Runs it to this end: what it says as JSON, and what it tells on the way.
#[track_caller]
fn cutover(config: &Config, args: &[&str], code: i32) -> (Value, String) {
    let (out, told) = ended(config.command("cutover", &[args, &["--output", "json"]].concat()), code);
    (serde_json::from_str(&out).unwrap_or(Value::Null), told)
}

fn state<'v>(report: &'v Value, step: &str) -> &'v str {
    let steps = report["steps"].as_array().expect("a list");
    let step = steps.iter().find(|found| found["step"] == step).unwrap_or_else(|| panic!("{report}"));
    step["state"].as_str().unwrap_or_default()
}

fn found<'v>(report: &'v Value, step: &str) -> &'v Value {
    report["steps"].as_array().unwrap().iter().find(|found| found["step"] == step).unwrap()
}

/// A cutover that runs beside the test.
struct Running {
    process: Process,
    log: PathBuf,
    _folders: (TempDir, TempDir),
}

impl Running {
    fn start(config: &Config, args: &[&str], hold: Option<&str>) -> Self {
        let (folder, path) = config.write();
        let out = TempDir::new().unwrap();
        let log = out.path().join("log");
        let mut command = isomirror();
        command.arg("cutover").arg(path).args(args);
        if let Some(hold) = hold {
            command.env("ISOMIRROR_TEST_HOLD", hold);
        }
        Self { process: Process::spawn(command, &log).unwrap(), log, _folders: (folder, out) }
    }

    fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    #[track_caller]
    fn wait_for(&mut self, text: &str) {
        eventually(&format!("it says {text:?}; it says {}", self.log()), || {
            let ended = self.process.ended();
            assert!(ended.is_none() || self.log().contains(text), "{ended:?}: {}", self.log());
            self.log().contains(text).then_some(())
        });
    }

    /// Its exit code, and all it said.
    #[track_caller]
    fn end(mut self) -> (Option<i32>, String) {
        let status = eventually(&format!("it ends; it says {}", self.log()), || self.process.ended());
        (status.code(), self.log())
    }

    fn kill(self) {
        self.process.kill();
    }

    /// Ctrl-C.
    fn interrupt(&self) {
        self.process.signal(rustix::process::Signal::INT).unwrap();
    }
}

/// Runs it to this moment, and kills it there with SIGKILL.
#[track_caller]
fn killed_at(config: &Config, args: &[&str], moment: &str) {
    let mut running = Running::start(config, args, Some(moment));
    running.wait_for(&format!("held at {moment}"));
    running.kill();
}

// === a live application ===

/// Writes numbered values, one after the other; goes over to the target once it is told to, with the value that was refused.
fn app(source: Props, target: Props, topics: [String; 2], moved: PathBuf, stop: Arc<AtomicBool>) -> Written {
    let producer = |props: &Props| -> FutureProducer {
        client::config(props)
            .set("enable.idempotence", "true")
            .set("topic.metadata.refresh.interval.ms", "500")
            .create()
            .expect("a producer")
    };
    let (mut own, mut to) = (producer(&source), &topics[0]);
    let mut written = Written::default();
    for n in 0_u64.. {
        let (partition, value) = (i32::try_from(n % 3).unwrap(), n.to_string());
        loop {
            let record = FutureRecord::to(to).partition(partition).key("k").payload(&value);
            match futures::executor::block_on(own.send(record, Duration::from_secs(30))) {
                Ok(_) => break,
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::TopicAuthorizationFailed), _)) => {
                    written.refused += 1;
                    if moved.exists() && to == &topics[0] {
                        (own, to) = (producer(&target), &topics[1]);
                    }
                    thread::sleep(Duration::from_millis(50));
                }
                Err((error, _)) => panic!("{value}: {error}"),
            }
        }
        written.values.entry(partition).or_default().push(value);
        if stop.load(Relaxed) {
            return written;
        }
    }
    unreachable!("numbers do not end")
}

#[derive(Default)]
struct Written {
    values: BTreeMap<i32, Vec<String>>,
    refused: u64,
}

/// Reads as a member of a group and commits behind each record, until it is told to stop and all that it is to have has come.
fn reader(
    props: Props,
    group: String,
    topic: String,
    stop: Arc<AtomicBool>,
) -> JoinHandle<BTreeMap<i32, Vec<String>>> {
    thread::spawn(move || {
        let consumer: BaseConsumer = client::config(&props)
            .set("group.id", &group)
            .set("client.id", "the-reader")
            .set("enable.auto.commit", "false")
            .set("auto.offset.reset", "earliest")
            .create()
            .expect("a consumer");
        consumer.subscribe(&[&topic]).expect("it subscribes");
        let mut values: BTreeMap<i32, Vec<String>> = BTreeMap::new();
        while !stop.load(Relaxed) {
            let Some(message) = consumer.poll(Duration::from_millis(50)) else { continue };
            let message = message.unwrap_or_else(|error| panic!("{error}"));
            let value = String::from_utf8_lossy(message.payload().unwrap_or_default()).into_owned();
            values.entry(message.partition()).or_default().push(value);
            consumer.commit_message(&message, CommitMode::Sync).expect("it is committed");
        }
        consumer.unsubscribe();
        values
    })
}

#[test]
fn a_live_producer_and_a_live_consumer_go_over_and_nothing_is_lost_repeated_or_misplaced() {
    let (source, target) = clusters();
    let (topic, group) = (unique("live"), unique("readers"));
    let copy = format!("{topic}.copy");
    source.create_topic(&topic, 3, 1, &[]).unwrap();
    let other = unique("other");
    let of_reader = [
        allow("reader", AclOperation::Read, AclResource::Topic, &topic),
        allow("reader", AclOperation::Read, AclResource::Group, &group),
    ];
    make(source, &[&may_write(&topic)[..], &of_reader, &may_write(&other)].concat());
    let folder = TempDir::new().unwrap();
    let moved = folder.path().join("moved");
    let hook = format!(
        "clients_hook = \"echo $ISOMIRROR_LINK $ISOMIRROR_STEP $ISOMIRROR_TOPICS $ISOMIRROR_TARGET_TOPICS; touch {}\"",
        moved.display()
    );
    let config = link(&topic, &hook)
        .topics(&format!("rename = {{ \"{topic}\" = \"{copy}\" }}"))
        .section(&format!("[groups]\ninclude = [\"{group}\"]\nsync = \"1s\""));
    let daemon = config.run();
    daemon.wait_ready();
    ended(config.command("apply", &["--only", "acls"]), 0);
    assert_eq!(acls(target, &copy), [format!("Allow User:reader Read on Topic {copy}")].into());

    let [stop_app, stop_reader] = [(); 2].map(|()| Arc::new(AtomicBool::new(false)));
    let writing = {
        let (from, to) = (source.client_properties("app"), target.client_properties("app"));
        let (topics, moved, stop) = ([topic.clone(), copy.clone()], moved.clone(), stop_app.clone());
        thread::spawn(move || app(from, to, topics, moved, stop))
    };
    let reading =
        reader(source.client_properties("reader"), group.clone(), topic.clone(), stop_reader.clone());
    eventually("both live", || (daemon.status()["totals"]["records"].as_u64() > Some(200)).then_some(()));

    let before = acls(source, &topic);
    let mut running = Running::start(&config, &["--yes"], None);
    // The consumer is asked to stop once writers are blocked.
    running.wait_for("has the member the-reader");
    stop_reader.store(true, Relaxed);
    let first = reading.join().unwrap();
    let (code, log) = running.end();
    assert_eq!(code, Some(0), "{log}");
    assert!(log.contains(&format!("| {} clients {topic} {copy}", link_of(&config))), "{log}");
    assert!(log.contains("Nobody could write for ") && log.contains("is cut over to target."), "{log}");
    assert!(moved.exists());

    // What writers do now goes to the target, and stays there.
    let on_target = AtomicBool::new(false).into();
    let rest =
        reader(target.client_properties("reader"), group.clone(), copy.clone(), Arc::clone(&on_target));
    thread::sleep(Duration::from_secs(1));
    stop_app.store(true, Relaxed);
    let written = writing.join().unwrap();
    assert!(written.refused > 0, "it has written all the while");
    let all: usize = written.values.values().map(Vec::len).sum();
    eventually("the target has all", || {
        let there = client::count(&target.props(), &copy, Isolation::Committed).unwrap();
        (usize::try_from(there.values().sum::<u64>()).unwrap() == all).then_some(())
    });
    // Time for what would come twice.
    thread::sleep(Duration::from_secs(2));
    on_target.store(true, Relaxed);
    let second = rest.join().unwrap();
    assert!(
        first.values().map(Vec::len).sum::<usize>() > 0 && second.values().map(Vec::len).sum::<usize>() > 0
    );
    for (partition, values) in &written.values {
        let read: Vec<&String> =
            [&first, &second].iter().flat_map(|part| part.get(partition)).flatten().collect();
        let (lost, repeated) = (
            values.iter().filter(|value| !read.contains(value)).count(),
            read.len() - read.iter().collect::<BTreeSet<_>>().len(),
        );
        assert_eq!((lost, repeated), (0, 0), "partition {partition}");
        assert_eq!(read, values.iter().collect::<Vec<_>>(), "misplaced in partition {partition}");
    }

    // On the source writers stay blocked, and nothing else has changed.
    let mut blocked = before;
    blocked.insert(format!("Deny User:* Write on Topic {topic}"));
    assert_eq!(acls(source, &topic), blocked);
    let rights = ["User:reader Read", "User:app Write"].map(|right| format!("Allow {right} on Topic {copy}"));
    assert_eq!(acls(target, &copy), rights.into());
    assert!(acls(target, &other).is_empty(), "a topic that is not cut over");
    let (list, _) = ended(config.command("topics", &["list", "--output", "json"]), 0);
    let list: Value = serde_json::from_str(&list).unwrap();
    assert_eq!(list["topics"][0]["state"], "stopped", "{list}");
    assert!(list["topics"][0]["why"].as_str().unwrap().starts_with("cutover "), "{list}");

    // All of it is told afterwards.
    let page = folder.path().join("report.html");
    ended(config.command("report", &["--html", &page.display().to_string()]), 0);
    let page = fs::read_to_string(page).unwrap();
    for words in [&*topic, &*copy, &*group, "Nobody could write for", ">done<", "stopped"] {
        assert!(page.contains(words), "{words}: {page}");
    }
    let (report, _) = ended(config.command("report", &["--output", "json"]), 0);
    let report: Value = serde_json::from_str(&report).unwrap();
    assert_eq!(report["topics"][0]["lanes"].as_array().unwrap().len(), 3, "{report}");
    assert_eq!(report["cutovers"][0]["ended"], "done", "{report}");
    assert_eq!(report["decisions"].as_array().unwrap().len(), 2, "paused, then stopped: {report}");
    ended(config.command("report", &[]), 2);

    // Once more, it is done; and there is no way back.
    let (report, _) = cutover(&config, &["--yes"], 0);
    assert_eq!((&report["ended"], &report["halted"]), (&"done".into(), &Value::Null), "{report}");
    assert!(found(&report, "verify")["verified"]["records"].as_u64() > Some(200), "{report}");
    assert_eq!(found(&report, "groups")["groups"][0]["partitions"], 3, "{report}");
    assert_eq!(found(&report, "drain")["ends"].as_array().unwrap().len(), 3, "{report}");
    let (_, told) = cutover(&config, &["--back"], 3);
    assert!(told.contains("there is no way back"), "{told}");
    daemon.stop().expect(0);
}

#[test]
fn a_dry_run_says_what_each_step_would_do_and_changes_nothing() {
    let (source, target) = clusters();
    let (topic, group) = (topic("dry", 2), unique("dry-readers"));
    let config = link(&topic, "verify = \"5%\"").section(&format!("[groups]\ninclude = [\"{group}\"]"));
    let _daemon = running(&config, 100);
    let before = (acls(source, &topic), acls(target, &topic));
    let (plan, _) = cutover(&config, &["--dry-run"], 0);
    let steps = plan["steps"].as_array().unwrap();
    assert_eq!(steps.iter().map(|step| step["step"].as_str().unwrap()).collect::<Vec<_>>(), STEPS);
    assert!(steps.iter().all(|step| step["trouble"].is_null()), "{plan}");
    assert_eq!(found(&plan, "block")["acls"][0]["principal"], "User:*", "{plan}");
    assert_eq!(found(&plan, "rights")["acls"][0]["principal"], "User:app", "{plan}");

    // A consumer is in the way of it now.
    let member =
        MemberOf::join(source, &group, &topic, &[("auto.offset.reset", "earliest"), ("client.id", "early")]);
    let (text, _) = ended(config.command("cutover", &["--dry-run"]), 3);
    assert!(text.contains(&format!("group {group} has the member early")), "{text}");
    assert!(text.contains("Nothing was changed. 1 step could NOT be done now."), "{text}");
    member.leave();

    assert_eq!((acls(source, &topic), acls(target, &topic)), before);
    let journal = format!("isomirror.{}.journal", link_of(&config));
    assert_eq!(target.partitions(&journal).unwrap(), None, "it made a journal");
    produce_as(&source.client_properties("app"), &topic, 0, 1).unwrap();
    // Without anybody to ask, it does not begin.
    let (_, error) = ended(config.command("cutover", &[]), 2);
    assert!(error.contains("--yes"), "{error}");
    assert_eq!(target.partitions(&journal).unwrap(), None);
}

#[test]
fn killed_at_every_step_it_goes_on_to_the_end() {
    let (source, target) = clusters();
    let topic = topic("killed", 2);
    // A transaction's end that nobody sees is at the end of one of the logs.
    let options = ProduceOptions { transaction: Some(Transaction::Abort), ..ProduceOptions::default() };
    client::produce_with(&source.props(), &topic, &[record(0, 7)], &options).unwrap();
    // A denial of somebody else's, and one that is the cutover's own word for word.
    let theirs = [
        rule(AclPermission::Deny, "other", AclOperation::Write, AclResource::Topic, &topic),
        rule(AclPermission::Deny, "old", AclOperation::Write, AclResource::Topic, &topic),
    ];
    make(source, &theirs);
    let config = link(&topic, "writers = [\"User:app\", \"User:old\"]\nclients_hook = \"true\"")
        .topics("offsets = \"translated\"");
    let daemon = running(&config, 100);
    let mut before = acls(source, &topic);
    for step in STEPS {
        for moment in ["entered", "acted"] {
            killed_at(&config, &["--yes"], &format!("{step}.{moment}"));
        }
    }
    let (report, told) = cutover(&config, &["--yes"], 0);
    assert!(told.contains("going on with the cutover that is under way"), "{told}");
    assert_eq!((&report["ended"], &report["back"]), (&"done".into(), &Value::Null), "{report}");
    assert!(STEPS.iter().all(|step| state(&report, step) == "done"), "{report}");
    before.insert(format!("Deny User:app Write on Topic {topic}"));
    assert_eq!(acls(source, &topic), before);
    let rights: BTreeSet<String> = [("Allow", "app"), ("Deny", "other")]
        .map(|(what, who)| format!("{what} User:{who} Write on Topic {topic}"))
        .into();
    assert_eq!(acls(target, &topic), rights, "the block itself does not go over");
    let gone = daemon.status()["lanes"].as_array().unwrap().is_empty();
    assert!(gone, "the link has given them up: {}", daemon.status());
}

#[test]
fn it_goes_back_from_every_step_and_leaves_everything_as_it_was() {
    let (source, target) = clusters();
    let topic = topic("back", 2);
    let folder = TempDir::new().unwrap();
    let told = folder.path().join("told");
    let hooks = format!(
        "clients_hook = \"echo $ISOMIRROR_STEP >> {0}\"\nclients_hook_back = \"echo $ISOMIRROR_STEP >> {0}\"",
        told.display()
    );
    let config = link(&topic, &hooks);
    let daemon = running(&config, 100);
    let before = (acls(source, &topic), acls(target, &topic));
    let mut records = 100;
    for step in &STEPS[..8] {
        killed_at(&config, &["--yes"], &format!("{step}.acted"));
        if *step == "rights" {
            // Killed on its way back, too.
            killed_at(&config, &["--back"], "block.undoing");
        }
        let blocked = *step != "preconditions" && *step != "lag";
        assert_eq!(acls(source, &topic) != before.0, blocked, "{step}");
        let (report, _) = cutover(&config, &["--back"], 0);
        assert_eq!(
            (&report["ended"], &report["back"]["cause"]),
            (&"back".into(), &"asked".into()),
            "{report}"
        );
        assert_eq!((acls(source, &topic), acls(target, &topic)), before, "{step}");
        produce_as(&source.client_properties("app"), &topic, 1, 1).unwrap();
        records += 1;
        daemon.wait_for_records(records);
    }
    assert_eq!(fs::read_to_string(told).unwrap(), "clients\nclients-back\n");
    // Asked again, it is back already.
    let (report, _) = cutover(&config, &["--back"], 0);
    assert_eq!(report["ended"], "back", "{report}");
    let (_, error) = ended(link("nothing-here", "").command("cutover", &["--back"]), 3);
    assert!(error.contains("nothing to go back from"), "{error}");
}

#[test]
fn a_super_user_who_writes_after_the_block_is_noticed_and_it_goes_back() {
    let (source, target) = clusters();
    let (topic, group) = (topic("late", 2), unique("late-readers"));
    let config = link(&topic, "").section(&format!("[groups]\ninclude = [\"{group}\"]"));
    let _daemon = running(&config, 100);
    let before = (acls(source, &topic), acls(target, &topic));
    let member = MemberOf::join(source, &group, &topic, &[("auto.offset.reset", "earliest")]);
    let mut running = Running::start(&config, &["--yes"], None);
    running.wait_for("has the member");
    produce_as(&source.client_properties("app"), &topic, 1, 1).unwrap_err();
    produce_as(&source.client_properties("admin"), &topic, 1, 1).unwrap();
    let (code, log) = running.end();
    assert_eq!(code, Some(3), "{log}");
    let words = format!("{topic}[1] ended at 50, and ends at 51 now (the last producer there has the id ");
    assert!(log.contains("somebody has written to the source") && log.contains(&words), "{log}");
    assert_eq!((acls(source, &topic), acls(target, &topic)), before);
    produce_as(&source.client_properties("app"), &topic, 1, 1).unwrap();
    member.leave();
}

#[test]
fn an_active_member_and_an_open_transaction_are_waited_for_and_named_and_then_it_goes_back() {
    let (source, target) = clusters();
    let (topic, group) = (topic("active", 1), unique("active-readers"));
    let config = link(&topic, "step_limit = \"20s\"\nverify = \"none\"")
        .section(&format!("[groups]\ninclude = [\"{group}\"]"));
    let _daemon = running(&config, 50);
    let before = acls(source, &topic);
    // On the target, somebody is early.
    let member =
        MemberOf::join(target, &group, &topic, &[("auto.offset.reset", "earliest"), ("client.id", "early")]);
    let (report, told) = cutover(&config, &["--yes"], 3);
    assert_eq!(
        (&report["back"]["step"], &report["back"]["cause"]),
        (&"groups".into(), &"too_long".into()),
        "{report}"
    );
    let words = format!("group {group} has the member early (127.0.0.1) on the target");
    assert!(report["back"]["what"].as_str().unwrap().contains(&words), "{report}");
    assert!(told.contains(&words), "{told}");
    assert_eq!(acls(source, &topic), before);
    member.leave();

    let mut open = client::config(&source.props());
    let open: rdkafka::producer::BaseProducer =
        open.set("transactional.id", unique("open")).create().unwrap();
    use rdkafka::producer::{BaseRecord, Producer};
    open.init_transactions(Duration::from_secs(30)).unwrap();
    open.begin_transaction().unwrap();
    open.send(BaseRecord::<(), str>::to(&topic).partition(0).payload("open"))
        .map_err(|(error, _)| error)
        .unwrap();
    open.flush(Duration::from_secs(30)).unwrap();
    let (report, _) = cutover(&config, &["--yes"], 3);
    assert_eq!(report["back"]["step"], "drain", "{report}");
    let words = format!("a transaction is open in {topic}[0], of producer id ");
    assert!(report["back"]["what"].as_str().unwrap().contains(&words), "{report}");
    assert_eq!(acls(source, &topic), before);
    open.abort_transaction(Duration::from_secs(30)).unwrap();
}

#[test]
fn two_at_once_are_refused_swapped_clusters_too_and_one_that_is_gone_is_taken_over() {
    let (source, target) = clusters();
    let topic = topic("twice", 1);
    let config = link(&topic, "");
    let daemon = running(&config, 50);
    let mut first = Running::start(&config, &["--yes"], Some("drain.entered"));
    first.wait_for("held at drain.entered");
    for args in [&["--yes"][..], &["--back"]] {
        let (_, error) = ended(config.command("cutover", args), 3);
        assert!(error.contains("is under way") && error.contains("--take-over"), "{error}");
        let pid = format!("process {}", first.process.pid());
        assert!(error.contains(&pid), "{pid}: {error}");
    }
    let (plan, _) = cutover(&config, &["--dry-run"], 0);
    assert!(plan["note"].as_str().unwrap().contains("one is under way"), "{plan}");
    // Of this link, the other way round: its marks tell.
    let swapped = Config::new(target, source, &topic).text();
    let swapped = swapped.replace(&link_of_text(&swapped), &link_of(&config));
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("swapped.toml");
    fs::write(&file, swapped).unwrap();
    let (_, error) = ended(isomirror().arg("cutover").arg(&file).arg("--yes").output().unwrap(), 3);
    assert!(error.contains("may have been swapped"), "{error}");
    // Whoever takes it over from one that lives has it.
    let (report, _) = cutover(&config, &["--yes", "--take-over"], 0);
    assert_eq!(report["ended"], "done", "{report}");
    first.kill();
    let status = daemon.status();
    assert!(status["lanes"].as_array().unwrap().is_empty(), "{status}");
}

fn link_of_text(text: &str) -> String {
    text.lines().next().unwrap().trim_start_matches("link = ").trim_matches('"').to_owned()
}

/// What docs/acls.md asks for, and nothing else.
#[test]
fn the_least_rights_carry_a_cutover_and_a_missing_one_is_named_first() {
    use AclOperation::{Alter, ClusterAction, Create, Describe, DescribeConfigs, Read, Write};
    use AclResource::{Cluster as OfCluster, Group, Topic};
    let (source, target) = clusters();
    let (topic, group) = (topic("least", 2), unique("least-readers"));
    members::commit(source, &group, &[(&topic, 0, 50), (&topic, 1, 20)]);
    let as_admin = link(&topic, "").section(&format!("[groups]\ninclude = [\"{group}\"]"));
    let config =
        as_admin.clone().source(source.client_properties("mover")).target(target.client_properties("mover"));
    let own = format!("isomirror.{}", link_of(&config));
    let journal = format!("{own}.journal");
    let all = |operations: &[AclOperation], resource, name: &str| {
        operations.iter().map(|operation| allow("mover", *operation, resource, name)).collect::<Vec<_>>()
    };
    let on_source = [
        all(&[Read], Topic, &topic),
        all(&[Describe], Group, &group),
        all(&[Describe], OfCluster, "kafka-cluster"),
    ];
    make(source, &on_source.concat());
    let on_target = [
        all(&[Read], Group, &own),
        all(&[Create, Read, Write, DescribeConfigs], Topic, &own),
        all(&[Create, Read, Write, DescribeConfigs], Topic, &journal),
        all(&[Read, Write], Topic, &topic),
        all(&[Read], Group, &group),
        all(&[ClusterAction, Describe, Alter], OfCluster, "kafka-cluster"),
    ];
    make(target, &on_target.concat());
    let _daemon = running(&as_admin, 100);
    let (report, _) = cutover(&config, &["--yes"], 3);
    assert_eq!(report["back"]["step"], "preconditions", "{report}");
    let what = report["back"]["what"].as_str().unwrap();
    assert!(what.contains("grant ALTER on the cluster on the source"), "{what}");
    make(source, &all(&[Alter], OfCluster, "kafka-cluster"));
    let (report, _) = cutover(&config, &["--yes"], 0);
    assert_eq!(report["ended"], "done", "{report}");
    assert_eq!(members::committed(target, &group, &topic, 2), [Some(50), Some(20)]);
    produce_as(&target.client_properties("app"), &topic, 0, 1).unwrap();
}

#[test]
fn commands_block_and_move_and_one_that_fails_stays_until_somebody_decides() {
    let (source, target) = clusters();
    let topic = topic("hooks", 2);
    let folder = TempDir::new().unwrap();
    let (told, broken) = (folder.path().join("told"), folder.path().join("broken"));
    fs::write(&broken, "").unwrap();
    let tell =
        |key: &str, more: &str| format!("{key} = \"echo $ISOMIRROR_STEP >> {}{more}\"\n", told.display());
    let fails = format!("; echo it is broken >&2; test ! -e {}", broken.display());
    let cutover_section =
        ["block = \"hook\"\nverify = \"5%\"\n".to_owned(), tell("block_hook", ""), tell("unblock_hook", "")]
            .concat()
            + &tell("clients_hook", &fails)
            + &tell("clients_hook_back", "");
    let config = link(&topic, &cutover_section);
    let _daemon = running(&config, 100);
    let (report, _) = cutover(&config, &["--yes"], 1);
    assert_eq!((&report["ended"], state(&report, "clients")), (&Value::Null, "running"), "{report}");
    let halted = report["halted"]["what"].as_str().unwrap();
    assert!(halted.contains("it is broken") && halted.contains("run it again, or --back"), "{halted}");

    // A client has gone over all the same: nothing goes back over what it has written.
    produce_as(&target.client_properties("admin"), &topic, 0, 3).unwrap();
    let (report, _) = cutover(&config, &["--back"], 3);
    assert!(
        report["halted"]["what"].as_str().unwrap().contains("have written 3 records to the target"),
        "{report}"
    );
    let (report, _) = cutover(&config, &["--back", "--yes"], 0);
    assert_eq!(report["ended"], "back", "{report}");
    assert!(
        found(&report, "clients")["says"].as_str().unwrap().contains("3 records are left behind"),
        "{report}"
    );
    assert_eq!(fs::read_to_string(&told).unwrap(), "block\nclients\nclients-back\nunblock\n");
    assert!(!acls(source, &topic).iter().any(|rule| rule.starts_with("Deny")));
}

#[test]
fn who_waits_for_quiet_goes_on_once_nobody_writes_and_topics_may_go_one_after_the_other() {
    let (source, target) = clusters();
    let [one, two] = ["quiet-one", "quiet-two"].map(|name| topic(name, 1));
    let config = link(&format!("{one}|{two}"), "block = \"quiet\"\nquiet = \"2s\"");
    let _daemon = running(&config, 100);
    let stop = Arc::new(AtomicBool::new(false));
    let writing = {
        let (props, topic, stop) = (source.props(), one.clone(), stop.clone());
        thread::spawn(move || {
            while !stop.load(Relaxed) {
                produce_as(&props, &topic, 0, 1).unwrap();
            }
        })
    };
    let mut running = Running::start(&config, &["--yes", "--topic", &one], None);
    running.wait_for(&format!("somebody writes to {one}[0]"));
    stop.store(true, Relaxed);
    writing.join().unwrap();
    let (code, log) = running.end();
    assert_eq!(code, Some(0), "{log}");
    let of = |cluster: &Cluster| client::end_offsets(&cluster.props(), &one).unwrap();
    assert_eq!(of(source), of(target));

    // A paused topic is no candidate; the one that is done is left out.
    ended(config.command("topics", &["pause", &two]), 0);
    let (_, error) = ended(config.command("cutover", &["--yes"]), 3);
    assert!(error.contains(&format!("{two} is paused")), "{error}");
    ended(config.command("topics", &["resume", &two]), 0);
    let (_, error) = ended(config.command("cutover", &["--yes", "--topic", "unheard-of"]), 3);
    assert!(error.contains("unheard-of"), "{error}");
    let (report, _) = cutover(&config, &["--yes"], 0);
    assert_eq!(report["topics"].as_array().unwrap().len(), 1, "{report}");
    assert_eq!(report["topics"][0]["topic"], *two, "{report}");
    let (report, _) = cutover(&config, &["--yes", "--topic", &one], 0);
    assert_eq!(report["topics"][0]["topic"], *one, "{report}");
}
