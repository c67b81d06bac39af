//! Two sites, a pair's file, and commands about it.

use std::{
    collections::BTreeSet,
    fs,
    net::TcpListener,
    path::{Path, PathBuf},
    sync::OnceLock,
    thread,
    time::Duration,
};

use kafka_harness::{
    Builder, Cluster, Props, Security, TestRecord,
    client::{self, Isolation, value_number},
    daemon::{Config, Daemon, eventually, isomirror},
    process::Process,
    shared::unique,
};
use kafka_wire::{AclOperation, AclPattern, AclPermission, AclResource, AclRule, Client, Settings};
use serde_json::Value;
use tempfile::TempDir;

use crate::{count::Seen, ledgers::ended};

const USERS: [&str; 2] = ["app", "reader"];
pub const STEPS: [&str; 10] = [
    "preconditions",
    "block",
    "stragglers",
    "even",
    "groups",
    "flip",
    "follow",
    "release",
    "clients",
    "leave",
];

/// Two clusters whose brokers have an authorizer; `admin` is a super user, and the mirror's.
pub fn clusters() -> &'static [Cluster; 2] {
    static CLUSTERS: OnceLock<[Cluster; 2]> = OnceLock::new();
    CLUSTERS.get_or_init(|| clusters_of(Security::plain(&USERS)))
}

/// Two of a test's own: it takes them away.
pub fn clusters_of(security: Security) -> [Cluster; 2] {
    started([(); 2].map(|()| Cluster::builder().security(security.clone())))
}

/// The same of these.
pub fn started([one, two]: [Builder; 2]) -> [Cluster; 2] {
    thread::scope(|scope| {
        let one = scope.spawn(|| one.start().expect("a cluster"));
        let two = two.start().expect("a cluster");
        [one.join().expect("a cluster"), two]
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
pub fn acls(cluster: &Cluster, name: &str) -> BTreeSet<String> {
    let rules = on(cluster, async |client| client.list_acls().await.unwrap());
    rules.into_iter().filter(|rule| rule.name == name).map(|rule| rule.to_string()).collect()
}

pub fn make(cluster: &Cluster, rules: &[AclRule]) {
    on(cluster, async |client| {
        client.create_acls(rules).await.into_iter().for_each(|made| made.unwrap());
    });
    eventually("the broker knows the rules", || {
        let known = on(cluster, async |client| client.list_acls().await.unwrap());
        rules.iter().all(|rule| known.contains(rule)).then_some(())
    });
}

pub fn allow(user: &str, operation: AclOperation, resource: AclResource, name: &str) -> AclRule {
    AclRule {
        resource,
        name: name.to_owned(),
        pattern: AclPattern::Literal,
        principal: format!("User:{user}"),
        permission: AclPermission::Allow,
        operation,
        host: "*".to_owned(),
    }
}

// === topics and records ===

fn record(partition: i32, n: usize) -> TestRecord {
    TestRecord {
        partition,
        key: Some(format!("k{n}").into_bytes()),
        value: Some(format!("v{n}").into_bytes()),
        headers: Vec::new(),
        timestamp: None,
    }
}

pub fn produce_as(props: &Props, topic: &str, partition: i32, records: usize) -> anyhow::Result<()> {
    client::produce(props, topic, &(0..records).map(|n| record(partition, n)).collect::<Vec<_>>())
}

/// A topic on the first site, that `app` may write there and `reader` read on both, with 50 records in each partition.
pub fn topic(name: &str, partitions: i32) -> String {
    let topic = unique(name);
    clusters()[0].create_topic(&topic, partitions, 1, &[]).unwrap();
    make(&clusters()[0], &[allow("app", AclOperation::Write, AclResource::Topic, &topic)]);
    for cluster in clusters() {
        make(cluster, &[allow("reader", AclOperation::Read, AclResource::Topic, &topic)]);
    }
    (0..partitions).for_each(|p| produce_as(&clusters()[0].props(), &topic, p, 50).unwrap());
    topic
}

/// All that a consumer sees of a topic on a site, with offsets.
pub fn contents(cluster: &Cluster, topic: &str) -> Vec<String> {
    let records = client::read_all(&cluster.props(), topic, Isolation::Committed).expect("it is read");
    records.iter().map(|record| format!("{record:?}")).collect()
}

/// The same of numbered records: where each lies.
pub fn seen_of(cluster: &Cluster, topic: &str) -> Vec<Seen> {
    let all = client::read_all(&cluster.props(), topic, Isolation::Committed).expect("it is read");
    let records = all
        .into_iter()
        .flat_map(|(partition, records)| records.into_iter().map(move |record| (partition, record)));
    records
        .map(|(partition, record)| Seen {
            partition,
            offset: record.offset,
            number: value_number(&record.value.unwrap_or_default()).expect("all are numbered"),
        })
        .collect()
}

/// The numbered records in the files that `reconcile` has written into a folder, and where they lay.
pub fn exported(folder: &Path) -> Vec<(String, Seen)> {
    let mut all = Vec::new();
    for file in fs::read_dir(folder).into_iter().flatten() {
        for line in fs::read_to_string(file.unwrap().path()).unwrap().lines() {
            let record: Value = serde_json::from_str(line).unwrap();
            let value = kafka_wire::base64::decode(record["value"].as_str().unwrap()).unwrap();
            let number = |key: &str| record[key].as_i64().unwrap();
            let seen = Seen {
                partition: number("partition") as i32,
                offset: number("offset"),
                number: value_number(&value).unwrap(),
            };
            all.push((record["topic"].as_str().unwrap().to_owned(), seen));
        }
    }
    all
}

/// Records that a link's lanes of a topic have mirrored since they run.
pub fn mirrored(daemon: &Daemon, link: &str, topic: &str) -> u64 {
    let status = daemon.status();
    let lanes = status["lanes"].as_array().into_iter().flatten();
    let of_topic = lanes.filter(|lane| status["link"] == *link && lane["topic"] == *topic);
    of_topic.filter_map(|lane| lane["records"].as_u64()).sum()
}

// === the pair ===

/// A pair's file and its daemon.
pub struct Pair {
    pub config: Config,
    prefix: String,
}

impl Pair {
    /// Of both sites, for one topic; `more` are its other sections.
    pub fn new(topic: &str, more: &str) -> Self {
        let [one, two] = clusters();
        Self::between([one, two], topic, more)
    }

    /// The same of other clusters.
    pub fn between(sites: [&Cluster; 2], topic: &str, more: &str) -> Self {
        Self::called(&unique("pair"), sites, topic, more)
    }

    /// The same under this name; without one, if it is empty.
    pub fn called(name: &str, sites: [&Cluster; 2], topic: &str, more: &str) -> Self {
        let (mut text, mut prefix) = (String::new(), String::new());
        if !name.is_empty() {
            (text, prefix) = (format!("pair = \"{name}\"\n"), format!("{name}."));
        }
        for (site, cluster) in ["dc1", "dc2"].iter().zip(sites) {
            text.push_str(&format!("[sites.{site}.kafka]\n\"session.timeout.ms\" = \"10000\"\n"));
            for (key, value) in cluster.client_properties("admin") {
                text.push_str(&format!("\"{key}\" = {}\n", serde_json::to_string(&value).unwrap()));
            }
        }
        let topics = format!("[topics]\ninclude = [\"{topic}\"]\nrefresh = \"1s\"\n");
        // Commands ask the daemon there.
        let port = TcpListener::bind("127.0.0.1:0").and_then(|port| port.local_addr()).expect("a port");
        text.push_str(&format!("{topics}{more}\n[admin]\nlisten = \"{port}\"\n"));
        Self { config: Config::of(text), prefix }
    }

    /// The link from one site to the other.
    pub fn link(&self, from: usize) -> String {
        let names = ["dc1", "dc2"];
        format!("{}{}-{}", self.prefix, names[from], names[1 - from])
    }

    /// The same file for a daemon that is asked elsewhere.
    pub fn elsewhere(&self) -> Config {
        let text = self.config.text();
        let (rest, _) = text.rsplit_once("listen = ").expect("it has one");
        Config::of(format!("{rest}listen = \"127.0.0.1:0\"\n"))
    }

    /// Its daemon, once so many records are mirrored.
    pub fn run(&self, records: u64) -> Daemon {
        let daemon = self.config.run();
        daemon.wait_ready();
        daemon.wait_for_records(records);
        daemon
    }

    /// Runs a switchover to this end: what it says as JSON, and what it tells on the way.
    #[track_caller]
    pub fn switchover(&self, args: &[&str], code: i32) -> (Value, String) {
        let args = [args, &["--output", "json"]].concat();
        let (out, told) = ended(self.config.command("switchover", &args), code);
        (serde_json::from_str(&out).unwrap_or(Value::Null), told)
    }

    /// Runs it to this moment, and kills it there with SIGKILL.
    #[track_caller]
    pub fn killed_at(&self, args: &[&str], moment: &str) {
        self.command_killed_at("switchover", args, moment);
    }

    /// The same with another command.
    #[track_caller]
    pub fn command_killed_at(&self, command: &str, args: &[&str], moment: &str) {
        let mut running = Running::of(self, command, args, Some(moment));
        running.wait_for(&format!("held at {moment}"));
        running.kill();
    }
}

pub fn state<'v>(report: &'v Value, step: &str) -> &'v str {
    found(report, step)["state"].as_str().unwrap_or_default()
}

pub fn found<'v>(report: &'v Value, step: &str) -> &'v Value {
    let steps = report["steps"].as_array().unwrap_or_else(|| panic!("{report}"));
    steps.iter().find(|found| found["step"] == step).unwrap_or_else(|| panic!("{report}"))
}

/// A switchover that runs beside the test.
pub struct Running {
    process: Process,
    log: PathBuf,
    _folders: (TempDir, TempDir),
}

impl Running {
    pub fn start(pair: &Pair, args: &[&str], hold: Option<&str>) -> Self {
        Self::of(pair, "switchover", args, hold)
    }

    pub fn of(pair: &Pair, command: &str, args: &[&str], hold: Option<&str>) -> Self {
        let (folder, path) = pair.config.write();
        let out = TempDir::new().unwrap();
        let log = out.path().join("log");
        let name = command;
        let mut command = isomirror();
        command.arg(name).arg(path).args(args);
        if let Some(hold) = hold {
            command.env("ISOMIRROR_TEST_HOLD", hold);
        }
        Self { process: Process::spawn(command, &log).unwrap(), log, _folders: (folder, out) }
    }

    pub fn has_ended(&mut self) -> bool {
        self.process.ended().is_some()
    }

    pub fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    #[track_caller]
    pub fn wait_for(&mut self, text: &str) {
        eventually(&format!("it says {text:?}; it says {}", self.log()), || {
            let ended = self.process.ended();
            assert!(ended.is_none() || self.log().contains(text), "{ended:?}: {}", self.log());
            self.log().contains(text).then_some(())
        });
    }

    pub fn kill(self) {
        self.process.kill();
    }
}
