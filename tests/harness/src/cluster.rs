//! A running Kafka cluster: start and stop of its brokers, addresses.
//!
//! One broker is a combined node (broker and controller). More brokers get a controller process of
//! their own, which no test touches: any broker, or all, can be killed and metadata lives on. Versions
//! before 3 have a ZooKeeper in its place, however many brokers there are.

use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::Signal;

use crate::Props;
use crate::broker::{self, DEADLINE, Node};
use crate::builder::Builder;
use crate::dist::Dist;
use crate::ports::Port;
use crate::process::Process;
use crate::proxy::Proxy;
use crate::rundir::RunDir;
use crate::security::Security;

/// A cluster of broker processes; gone when dropped, and when this process ends in any way.
#[derive(Debug)]
pub struct Cluster {
    // Dropped in this order: processes before the directory that they write to.
    pub(crate) brokers: Vec<Member>,
    pub(crate) controller: Option<Member>,
    /// Held for a combined node that is stopped and started again.
    pub(crate) _controller_port: Port,
    pub(crate) security: Security,
    pub(crate) dist: Dist,
    pub(crate) dir: RunDir,
}

#[derive(Debug)]
pub(crate) struct Member {
    pub(crate) id: u32,
    pub(crate) node: Node,
    pub(crate) process: Mutex<Option<Process>>,
    pub(crate) client: Port,
    pub(crate) internal: Port,
    pub(crate) proxy: Option<Proxy>,
}

// === impl Cluster ===

impl Cluster {
    /// One plaintext broker of [`crate::MAIN_VERSION`], unless told otherwise.
    pub fn builder() -> Builder {
        Builder::default()
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
        props.extend(self.security.client_properties(self.dir.path(), user));
        props
    }

    /// The directory of this cluster: logs, data, certificates.
    pub fn dir(&self) -> &Path {
        self.dir.path()
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
        if self.dist.needs_zookeeper() {
            // A killed one's registration keeps it out until its session is over.
            std::thread::sleep(ZOOKEEPER_SESSION + Duration::from_secs(1));
        }
        member.spawn()?;
        member.wait_port()?;
        self.wait_listed(broker)?;
        if self.dist.needs_zookeeper() {
            // It listens before it has been told of any topic.
            for topic in logs(&member.node.data())? {
                self.wait_known(&topic)?;
            }
        }
        Ok(())
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

    pub(crate) fn spawn(&self) -> Result<()> {
        let mut process = self.lock();
        if process.is_some() {
            bail!("node {} is already running", self.id);
        }
        *process = Some(self.node.spawn()?);
        Ok(())
    }

    pub(crate) fn wait_port(&self) -> Result<()> {
        let mut process = self.lock();
        let process = process.as_mut().context("not started")?;
        broker::wait_port(process, self.client.number(), Instant::now() + DEADLINE)
            .with_context(|| format!("broker {}", self.id))
    }
}

/// The topics that a log directory has logs of.
fn logs(data: &Path) -> Result<std::collections::BTreeSet<String>> {
    let entries = std::fs::read_dir(data).with_context(|| format!("failed to list {}", data.display()))?;
    let names = entries.flatten().filter_map(|entry| entry.file_name().into_string().ok());
    let topic = |name: String| {
        let (topic, partition) = name.rsplit_once('-')?;
        // One that is being deleted ends in another word.
        partition.parse::<u32>().ok().map(|_| topic.to_owned())
    };
    Ok(names.filter_map(topic).collect())
}

fn join(ports: impl Iterator<Item = u16>) -> String {
    ports.map(|port| format!("127.0.0.1:{port}")).collect::<Vec<_>>().join(",")
}

/// How often a condition on the cluster is looked at again.
pub(crate) const POLL: Duration = Duration::from_millis(50);

/// When a broker that was killed is given up by its ZooKeeper.
pub(crate) const ZOOKEEPER_SESSION: Duration = Duration::from_secs(3);
