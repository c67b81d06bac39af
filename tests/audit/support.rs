//! The cluster, the command, and what is looked at from outside.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::PathBuf,
    process::{Child, Command, Output, Stdio},
    sync::{Mutex, MutexGuard, OnceLock, PoisonError},
    time::Duration,
};

use kafka_harness::{
    Cluster,
    daemon::{eventually, isomirror},
};
use kafka_wire::{Client, Settings, Topic};
use serde_json::Value;
use tempfile::TempDir;

pub const BROKERS: usize = 4;
const RATES: [&str; 2] = ["leader.replication.throttled.rate", "follower.replication.throttled.rate"];
const LISTS: [&str; 2] = ["leader.replication.throttled.replicas", "follower.replication.throttled.replicas"];

/// Four brokers, each in a rack of its own; groups' offsets and transactions have one replica. All is in sync, and the guard is
/// held by who uses it.
pub fn cluster() -> (&'static Cluster, MutexGuard<'static, ()>) {
    static CLUSTER: OnceLock<Cluster> = OnceLock::new();
    static TURN: Mutex<()> = Mutex::new(());
    let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let cluster = CLUSTER.get_or_init(|| {
        let builder = Cluster::builder()
            .brokers(u32::try_from(BROKERS).unwrap())
            .racks()
            .broker_config("offsets.topic.replication.factor", "1")
            .broker_config("transaction.state.log.replication.factor", "1")
            .broker_config("transaction.state.log.min.isr", "1")
            .broker_config("auto.leader.rebalance.enable", "false")
            .broker_config("controlled.shutdown.enable", "true");
        builder.start().unwrap()
    });
    wait_in_sync(cluster);
    (cluster, turn)
}

/// The command, with a configuration of one cluster and a directory of its own to work in.
pub struct Work {
    dir: TempDir,
}

impl Work {
    pub fn new(cluster: &Cluster) -> Self {
        Self::with(&cluster.internal_bootstrap(), "")
    }

    pub fn with(bootstrap: &str, more: &str) -> Self {
        let dir = TempDir::new().unwrap();
        let text = format!(
            "[target]\nname = \"dc2\"\n[target.kafka]\n\"bootstrap.servers\" = \"{bootstrap}\"\n{more}"
        );
        fs::write(dir.path().join("audit.toml"), text).unwrap();
        Self { dir }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = isomirror();
        command.current_dir(self.dir.path()).args(["audit", "audit.toml"]).args(args);
        // The brokers' disks are this machine's, as full as they are.
        if !args.contains(&"--watermark") {
            command.args(["--watermark", "100%"]);
        }
        command
    }

    pub fn output(&self, args: &[&str]) -> Output {
        self.command(args).output().unwrap()
    }

    /// What it says on standard output; it has to end like this.
    #[track_caller]
    pub fn said(&self, args: &[&str], code: i32) -> String {
        self.ended(args, code).0
    }

    /// What it says on standard error; it has to end like this.
    #[track_caller]
    pub fn complained(&self, args: &[&str], code: i32) -> String {
        self.ended(args, code).1
    }

    #[track_caller]
    fn ended(&self, args: &[&str], code: i32) -> (String, String) {
        let output = self.output(args);
        let [out, err] =
            [&output.stdout, &output.stderr].map(|said| String::from_utf8_lossy(said).into_owned());
        assert_eq!(output.status.code(), Some(code), "{args:?}\n{out}\n{err}");
        (out, err)
    }

    #[track_caller]
    pub fn json(&self, args: &[&str], code: i32) -> Value {
        serde_json::from_str(&self.said(&[args, &["--output", "json"]].concat(), code)).unwrap()
    }

    /// Begins it.
    pub fn begin(&self, args: &[&str]) -> Running {
        let log = fs::File::create(self.path("log")).unwrap();
        let mut command = self.command(args);
        command.stdout(log.try_clone().unwrap()).stderr(log).stdin(Stdio::null());
        Running { child: command.spawn().unwrap(), log: self.path("log") }
    }
}

/// The command while it runs; killed if it is let go.
pub struct Running {
    child: Child,
    log: PathBuf,
}

impl Running {
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    pub fn signal(&self, name: &str) {
        let sent = Command::new("kill").arg(format!("-{name}")).arg(self.child.id().to_string()).status();
        assert!(sent.unwrap().success());
    }

    #[track_caller]
    pub fn expect(mut self, code: i32) -> String {
        let status = self.child.wait().unwrap();
        let log = fs::read_to_string(&self.log).unwrap();
        assert_eq!(status.code(), Some(code), "{log}");
        log
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub fn client(cluster: &Cluster) -> Client {
    let props = cluster.props();
    let settings = Settings::new(props.iter().map(|(k, v)| (&**k, &**v))).unwrap();
    Client::new(settings).with_patience(Duration::from_secs(30))
}

pub fn block_on<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Runtime::new().unwrap().block_on(work)
}

pub fn topic(cluster: &Cluster, name: &str) -> Topic {
    block_on(async { Topic::clone(&*client(cluster).fresh_topic(name).await.unwrap()) })
}

/// Where a topic's replicas are.
pub fn replicas(cluster: &Cluster, name: &str) -> BTreeMap<i32, Vec<i32>> {
    topic(cluster, name).partitions.into_iter().map(|(number, found)| (number, found.replicas)).collect()
}

/// Waits until all brokers are up and everything is in sync.
#[track_caller]
pub fn wait_in_sync(cluster: &Cluster) {
    eventually("all replicas are in sync", || {
        block_on(async {
            let client = client(cluster);
            let whole = client.brokers().await.ok()?.len() == BROKERS;
            let topics = client.topics().await.ok()?;
            let mut partitions = topics.iter().flat_map(|topic| topic.partitions.values());
            let in_sync = |found: &kafka_wire::Partition| {
                found.leader.is_some() && found.in_sync.len() == found.replicas.len()
            };
            (whole && partitions.all(in_sync)).then_some(())
        })
    });
}

/// Every trace of a throttle: topics with lists, brokers with rates.
pub fn throttles(cluster: &Cluster) -> BTreeSet<String> {
    block_on(async {
        let client = client(cluster);
        let topics = client.topics().await.unwrap();
        let names: Vec<String> = topics.iter().map(|topic| topic.name.to_string()).collect();
        let is_set = |found: &kafka_wire::ConfigsFound| {
            found.values().any(|config| config.own && config.value.as_deref().is_some_and(|v| !v.is_empty()))
        };
        let lists = client.topic_configs(&names, &LISTS).await.unwrap();
        let lists = lists.into_iter().filter(|(_, found)| found.as_ref().is_ok_and(is_set));
        let mut found: BTreeSet<String> = lists.map(|(topic, _)| topic).collect();
        for broker in client.brokers().await.unwrap().into_keys() {
            if is_set(&client.broker_configs(broker, &RATES).await.unwrap()) {
                found.insert(format!("broker {broker}"));
            }
        }
        found
    })
}

/// Whether a reassignment goes on.
pub fn moving(cluster: &Cluster) -> bool {
    block_on(async { !client(cluster).list_reassignments().await.unwrap().is_empty() })
}

/// No trace of a throttle is left, and nothing is on its way. Brokers learn what was changed a moment later, each for itself.
#[track_caller]
pub fn nothing_left(cluster: &Cluster) {
    eventually("neither throttle nor reassignment is left", || {
        (throttles(cluster).is_empty() && !moving(cluster)).then_some(())
    });
}
