//! A running Kafka cluster: builder, start and stop of its brokers, addresses.
//!
//! One broker is a combined node (broker and controller). More brokers get a controller process of
//! their own, which no test touches: any broker, or all, can be killed and metadata lives on.

use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::Signal;

use crate::broker::{self, DEADLINE, Node, Properties};
use crate::dist::{Dist, target_dir};
use crate::ports::Port;
use crate::process::Process;
use crate::proxy::Proxy;
use crate::security::Security;
use crate::{MAIN_VERSION, Props};

const CONTROLLER_ID: u32 = 100;

/// What to start; see [`Cluster::builder`].
#[derive(Debug, Clone)]
pub struct Builder {
    version: String,
    brokers: u32,
    config: Vec<(String, String)>,
    security: Security,
    proxied: bool,
    heap: String,
    full_jit: bool,
    jvm_flags: Vec<String>,
}

/// A cluster of broker processes; gone when dropped, and when this process ends in any way.
#[derive(Debug)]
pub struct Cluster {
    // Dropped in this order: processes before the directory that they write to.
    brokers: Vec<Member>,
    controller: Option<Member>,
    /// Held for a combined node that is stopped and started again.
    _controller_port: Port,
    security: Security,
    dist: Dist,
    dir: RunDir,
}

#[derive(Debug)]
struct Member {
    id: u32,
    node: Node,
    process: Mutex<Option<Process>>,
    client: Port,
    internal: Port,
    proxy: Option<Proxy>,
}

// === impl Builder ===

impl Builder {
    /// The Kafka version; [`MAIN_VERSION`] unless set.
    #[must_use]
    pub fn version(mut self, version: &str) -> Self {
        version.clone_into(&mut self.version);
        self
    }

    /// How many brokers, with ids from 1; one unless set.
    #[must_use]
    pub fn brokers(mut self, brokers: u32) -> Self {
        self.brokers = brokers;
        self
    }

    /// One broker property, over the harness' own.
    #[must_use]
    pub fn broker_config(mut self, key: &str, value: &str) -> Self {
        self.config.push((key.to_owned(), value.to_owned()));
        self
    }

    /// How clients get in; plaintext unless set.
    #[must_use]
    pub fn security(mut self, security: Security) -> Self {
        self.security = security;
        self
    }

    /// Puts a [`Proxy`] before every broker: clients are told the proxy's address.
    #[must_use]
    pub fn proxied(mut self) -> Self {
        self.proxied = true;
        self
    }

    /// The JVM heap of each broker, as `-Xmx` takes it; `512m` unless set.
    #[must_use]
    pub fn heap(mut self, heap: &str) -> Self {
        heap.clone_into(&mut self.heap);
        self
    }

    /// All of the JVM's compilers and its default collector: slower to start, faster to run. For
    /// benchmarks.
    #[must_use]
    pub fn full_jit(mut self) -> Self {
        self.full_jit = true;
        self
    }

    /// One more JVM flag.
    #[must_use]
    pub fn jvm_flag(mut self, flag: &str) -> Self {
        self.jvm_flags.push(flag.to_owned());
        self
    }

    /// Fetches Kafka if need be, starts the brokers and waits until all of them serve clients.
    pub fn start(self) -> Result<Cluster> {
        if self.brokers == 0 || self.brokers >= CONTROLLER_ID {
            bail!("{} brokers make no cluster", self.brokers);
        }
        let dist = Dist::get(&self.version)?;
        let dir = RunDir::create()?;
        self.security.prepare(&dir.0)?;
        let checkpoint = dist.bootstrap_checkpoint(&self.security.scram_users())?;
        let cluster_id = broker::random_id()?;
        let controller_port = Port::reserve()?;
        let voter = if self.brokers == 1 { 1 } else { CONTROLLER_ID };
        let voters = format!("{voter}@127.0.0.1:{}", controller_port.number());

        let make = |id: u32, roles: &str| -> Result<Member> {
            let (client, internal) = (Port::reserve()?, Port::reserve()?);
            let proxied = self.proxied && roles.contains("broker");
            let proxy = proxied.then(|| Proxy::start(client.number())).transpose()?;
            let advertised = proxy.as_ref().map_or(client.number(), Proxy::port);
            let mut properties = self.common_properties(&dir.0);
            properties.set("process.roles", roles).set("controller.quorum.voters", voters.as_str());
            let mut listeners = Vec::new();
            if roles.contains("broker") {
                listeners.push(format!("CLIENT://127.0.0.1:{}", client.number()));
                listeners.push(format!("INTERNAL://127.0.0.1:{}", internal.number()));
                properties.set("inter.broker.listener.name", "INTERNAL").set(
                    "advertised.listeners",
                    format!("CLIENT://127.0.0.1:{advertised},INTERNAL://127.0.0.1:{}", internal.number()),
                );
            }
            if roles.contains("controller") {
                listeners.push(format!("CONTROLLER://127.0.0.1:{}", controller_port.number()));
            }
            properties.set("listeners", listeners.join(","));
            for (key, value) in &self.config {
                properties.set(key, value);
            }
            let node_dir = dir.0.join(format!("node-{id}"));
            let node =
                Node::create(&dist, &node_dir, id, &cluster_id, &checkpoint, properties, &self.flags())?;
            Ok(Member { id, node, process: Mutex::new(None), client, internal, proxy })
        };
        let roles = if self.brokers == 1 { "broker,controller" } else { "broker" };
        let brokers = (1..=self.brokers).map(|id| make(id, roles)).collect::<Result<Vec<_>>>()?;
        let controller = (self.brokers > 1).then(|| make(CONTROLLER_ID, "controller")).transpose()?;
        let cluster = Cluster {
            brokers,
            controller,
            _controller_port: controller_port,
            security: self.security,
            dist,
            dir,
        };
        for member in cluster.controller.iter().chain(&cluster.brokers) {
            member.spawn()?;
        }
        for member in &cluster.brokers {
            member.wait_port()?;
        }
        cluster.wait_brokers(cluster.brokers.len())?;
        Ok(cluster)
    }

    fn common_properties(&self, dir: &Path) -> Properties {
        let replicas = self.brokers.min(3).to_string();
        let map = format!("CLIENT:{},INTERNAL:PLAINTEXT,CONTROLLER:PLAINTEXT", self.security.protocol());
        let mut properties = Properties::default();
        properties
            .set("listener.security.protocol.map", map)
            .set("controller.listener.names", "CONTROLLER")
            .set("auto.create.topics.enable", "false")
            .set("group.initial.rebalance.delay.ms", "0")
            .set("offsets.topic.num.partitions", "4")
            .set("offsets.topic.replication.factor", replicas.as_str())
            .set("transaction.state.log.num.partitions", "4")
            .set("transaction.state.log.replication.factor", replicas.as_str())
            .set("transaction.state.log.min.isr", if self.brokers >= 3 { "2" } else { "1" })
            .set("log.cleaner.dedupe.buffer.size", "33554432");
        if self.version.starts_with('4') {
            properties
                .set("share.coordinator.state.topic.num.partitions", "1")
                .set("share.coordinator.state.topic.replication.factor", replicas.as_str())
                .set("share.coordinator.state.topic.min.isr", "1");
        }
        if self.brokers > 1 {
            // A killed broker is noticed by its silence: default 9 s.
            properties.set("broker.session.timeout.ms", "4000").set("broker.heartbeat.interval.ms", "500");
        }
        self.security.broker_properties(dir, &mut properties);
        properties
    }

    fn flags(&self) -> Vec<String> {
        let mut flags = vec![format!("-Xmx{}", self.heap)];
        if !self.full_jit {
            flags.extend(["-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC"].map(str::to_owned));
        }
        flags.extend(self.jvm_flags.iter().cloned());
        flags
    }
}

// === impl Cluster ===

impl Cluster {
    /// One plaintext broker of [`MAIN_VERSION`], unless told otherwise.
    pub fn builder() -> Builder {
        Builder {
            version: MAIN_VERSION.to_owned(),
            brokers: 1,
            config: Vec::new(),
            security: Security::Plaintext,
            proxied: false,
            heap: "512m".to_owned(),
            full_jit: false,
            jvm_flags: Vec::new(),
        }
    }

    /// Where clients connect (through the proxies, if there are any).
    pub fn bootstrap(&self) -> String {
        let port = |m: &Member| m.proxy.as_ref().map_or(m.client.number(), Proxy::port);
        join(self.brokers.iter().map(port))
    }

    /// The harness' own way in: plain, super user, around every proxy.
    pub fn internal_bootstrap(&self) -> String {
        join(self.brokers.iter().map(|m| m.internal.number()))
    }

    /// librdkafka properties for the internal listener, to prepare and to check, whatever the
    /// cluster's security and proxies.
    pub fn props(&self) -> Props {
        let mut props = vec![("bootstrap.servers".to_owned(), self.internal_bootstrap())];
        // A restarted broker is found again soon.
        props.push(("reconnect.backoff.max.ms".to_owned(), "500".to_owned()));
        props
    }

    /// librdkafka properties with which `user` gets in, `bootstrap.servers` included. Without
    /// security the user does not matter.
    pub fn client_properties(&self, user: &str) -> Props {
        let mut props = vec![("bootstrap.servers".to_owned(), self.bootstrap())];
        props.extend(self.security.client_properties(&self.dir.0, user));
        props
    }

    /// The directory of this cluster: logs, data, certificates.
    pub fn dir(&self) -> &Path {
        &self.dir.0
    }

    /// The log directory of one broker.
    pub fn data_dir(&self, broker: u32) -> Result<PathBuf> {
        Ok(self.member(broker)?.node.data())
    }

    /// The output of one broker so far.
    pub fn log(&self, broker: u32) -> Result<String> {
        let path = self.member(broker)?.node.log();
        std::fs::read_to_string(&path).with_context(|| format!("failed to read {}", path.display()))
    }

    /// The distribution it runs on, for tools and Java programs.
    pub fn dist(&self) -> &Dist {
        &self.dist
    }

    /// The ids of its brokers.
    pub fn broker_ids(&self) -> Vec<u32> {
        self.brokers.iter().map(|m| m.id).collect()
    }

    /// The proxy before one broker.
    ///
    /// # Panics
    /// If the cluster was not built with [`Builder::proxied`] or has no such broker.
    pub fn proxy(&self, broker: u32) -> &Proxy {
        let member = self.member(broker).expect("a broker of this cluster");
        member.proxy.as_ref().expect("a cluster that was built `proxied`")
    }

    /// The process id of a running broker.
    pub fn pid(&self, broker: u32) -> Result<u32> {
        self.with(broker, |p| Ok(p.pid()))
    }

    /// Stops a broker as its service manager would (SIGTERM) and waits until it is gone.
    pub fn stop(&self, broker: u32) -> Result<()> {
        let process = self.take(broker)?;
        process.signal(Signal::CONT)?;
        process.stop(DEADLINE)
    }

    /// Kills a broker (SIGKILL); it is gone when this returns.
    pub fn kill(&self, broker: u32) -> Result<()> {
        self.take(broker)?.kill();
        Ok(())
    }

    /// Starts a stopped or killed broker again, on its port and data, and waits until it serves.
    pub fn start(&self, broker: u32) -> Result<()> {
        let member = self.member(broker)?;
        member.spawn()?;
        member.wait_port()?;
        self.wait_listed(broker)
    }

    /// Freezes a broker (SIGSTOP): connections stay open, nothing answers.
    pub fn pause(&self, broker: u32) -> Result<()> {
        self.with(broker, |p| p.signal(Signal::STOP))
    }

    /// Lets a frozen broker go on.
    pub fn resume(&self, broker: u32) -> Result<()> {
        self.with(broker, |p| p.signal(Signal::CONT))
    }

    /// CPU time that a broker has used, in seconds.
    pub fn cpu_seconds(&self, broker: u32) -> Result<f64> {
        self.with(broker, Process::cpu_seconds)
    }

    /// Resident memory of a broker, in bytes.
    pub fn rss(&self, broker: u32) -> Result<u64> {
        self.with(broker, Process::rss)
    }

    /// An error, with the end of its output, if a starting broker has ended.
    pub(crate) fn check_alive(&self) -> Result<()> {
        for member in self.controller.iter().chain(&self.brokers) {
            if let Some(process) = member.lock().as_mut() {
                broker::check_alive(process).with_context(|| format!("node {}", member.id))?;
            }
        }
        Ok(())
    }

    /// The ends of all outputs, for a message about a cluster that does not come up.
    pub(crate) fn log_tails(&self) -> String {
        let nodes = self.controller.iter().chain(&self.brokers);
        nodes.map(|m| crate::dist::log_end(&m.node.log())).collect::<Vec<_>>().join("\n")
    }

    fn member(&self, broker: u32) -> Result<&Member> {
        self.brokers.iter().find(|m| m.id == broker).with_context(|| format!("no broker {broker}"))
    }

    fn with<T>(&self, broker: u32, work: impl FnOnce(&Process) -> Result<T>) -> Result<T> {
        let process = self.member(broker)?.lock();
        work(process.as_ref().with_context(|| format!("broker {broker} is not running"))?)
    }

    fn take(&self, broker: u32) -> Result<Process> {
        self.member(broker)?.lock().take().with_context(|| format!("broker {broker} is not running"))
    }
}

// === impl Member ===

impl Member {
    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Process>> {
        // A panic in another test must not hide this one's result.
        self.process.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn spawn(&self) -> Result<()> {
        let mut process = self.lock();
        if process.is_some() {
            bail!("node {} is already running", self.id);
        }
        *process = Some(self.node.spawn()?);
        Ok(())
    }

    fn wait_port(&self) -> Result<()> {
        let mut process = self.lock();
        let process = process.as_mut().context("not started")?;
        broker::wait_port(process, self.client.number(), Instant::now() + DEADLINE)
            .with_context(|| format!("broker {}", self.id))
    }
}

// === impl RunDir ===

/// `<target>/harness/<pid>-<n>`, removed when dropped unless a test has failed.
#[derive(Debug)]
struct RunDir(PathBuf);

impl RunDir {
    fn create() -> Result<Self> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let root = target_dir().join("harness");
        remove_stale(&root);
        let dir = root.join(format!("{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed)));
        let _ = std::fs::remove_dir_all(&dir); // of an earlier process with our id
        std::fs::create_dir_all(&dir).with_context(|| format!("failed to create {}", dir.display()))?;
        Ok(Self(dir))
    }
}

impl Drop for RunDir {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }
}

/// Removes what processes that are gone have left behind.
fn remove_stale(root: &Path) {
    let Ok(entries) = std::fs::read_dir(root) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let pid = name.to_str().and_then(|n| n.split('-').next()).and_then(|p| p.parse::<u32>().ok());
        if pid.is_some_and(|pid| !Path::new(&format!("/proc/{pid}")).exists()) {
            let _ = std::fs::remove_dir_all(entry.path());
        }
    }
}

fn join(ports: impl Iterator<Item = u16>) -> String {
    ports.map(|port| format!("127.0.0.1:{port}")).collect::<Vec<_>>().join(",")
}

/// How often a condition on the cluster is looked at again.
pub(crate) const POLL: Duration = Duration::from_millis(50);
