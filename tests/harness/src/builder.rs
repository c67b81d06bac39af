//! What a cluster is made of: the nodes' properties, ports and JVM flags, and the first start.

use std::path::Path;
use std::sync::Mutex;

use anyhow::{Result, bail};

use crate::MAIN_VERSION;
use crate::broker::{self, Node, Properties};
use crate::cluster::{Cluster, Member, ZOOKEEPER_SESSION};
use crate::dist::Dist;
use crate::ports::Port;
use crate::proxy::Proxy;
use crate::rundir::RunDir;
use crate::security::Security;

/// The node id of a controller of its own; brokers count from 1.
const CONTROLLER_ID: u32 = 100;

/// What to start; see [`Cluster::builder`].
#[derive(Debug, Clone)]
pub struct Builder {
    version: String,
    brokers: u32,
    config: Vec<(String, String)>,
    security: Security,
    proxied: bool,
    racks: bool,
    heap: String,
    full_jit: bool,
    jvm_flags: Vec<String>,
}

impl Default for Builder {
    fn default() -> Self {
        Self {
            version: MAIN_VERSION.to_owned(),
            brokers: 1,
            config: Vec::new(),
            security: Security::Plaintext,
            proxied: false,
            racks: false,
            heap: "512m".to_owned(),
            full_jit: false,
            jvm_flags: Vec::new(),
        }
    }
}

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

    /// Puts every broker into a rack of its own, named by its id; consumers are sent to the replica in theirs (KIP-392).
    #[must_use]
    pub fn racks(mut self) -> Self {
        self.racks = true;
        self.broker_config(
            "replica.selector.class",
            "org.apache.kafka.common.replica.RackAwareReplicaSelector",
        )
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
        self.security.prepare(dir.path())?;
        let users = self.security.scram_users();
        let zookeeper = dist.needs_zookeeper();
        if zookeeper && !users.is_empty() {
            bail!("the harness does not make SCRAM users for a cluster with a ZooKeeper");
        }
        let checkpoint = (!zookeeper).then(|| dist.bootstrap_checkpoint(&users)).transpose()?;
        let cluster_id = broker::random_id()?;
        let controller_port = Port::reserve()?;
        let voter = if self.brokers == 1 { 1 } else { CONTROLLER_ID };
        let voters = format!("{voter}@127.0.0.1:{}", controller_port.number());

        let make = |id: u32, roles: &str| -> Result<Member> {
            let (client, internal) = (Port::reserve()?, Port::reserve()?);
            let proxied = self.proxied && roles.contains("broker");
            let proxy = proxied.then(|| Proxy::start(client.number())).transpose()?;
            let advertised = proxy.as_ref().map_or(client.number(), Proxy::port);
            let mut properties = self.common_properties(dir.path(), zookeeper);
            if zookeeper {
                properties.set("zookeeper.connect", format!("127.0.0.1:{}", controller_port.number()));
                // A killed broker is noticed by its silence: default 18 s.
                let session = ZOOKEEPER_SESSION.as_millis().to_string();
                properties.set("zookeeper.session.timeout.ms", session);
            } else {
                properties.set("process.roles", roles).set("controller.quorum.voters", voters.as_str());
                properties.set("controller.listener.names", "CONTROLLER");
            }
            let mut listeners = Vec::new();
            if roles.contains("broker") {
                listeners.push(format!("CLIENT://127.0.0.1:{}", client.number()));
                listeners.push(format!("INTERNAL://127.0.0.1:{}", internal.number()));
                properties.set("inter.broker.listener.name", "INTERNAL").set(
                    "advertised.listeners",
                    format!("CLIENT://127.0.0.1:{advertised},INTERNAL://127.0.0.1:{}", internal.number()),
                );
            }
            if roles.contains("controller") && !zookeeper {
                listeners.push(format!("CONTROLLER://127.0.0.1:{}", controller_port.number()));
            }
            properties.set("listeners", listeners.join(","));
            if self.racks {
                properties.set("broker.rack", id.to_string());
            }
            for (key, value) in &self.config {
                properties.set(key, value);
            }
            let node_dir = dir.path().join(format!("node-{id}"));
            let node = match &checkpoint {
                Some(checkpoint) => {
                    Node::create(&dist, &node_dir, id, &cluster_id, checkpoint, properties, &self.flags())?
                }
                None => Node::create_unformatted(&dist, &node_dir, id, properties, &self.flags())?,
            };
            Ok(Member { id, node, process: Mutex::new(None), client, internal, proxy })
        };
        let roles = if self.brokers == 1 { "broker,controller" } else { "broker" };
        let brokers = (1..=self.brokers).map(|id| make(id, roles)).collect::<Result<Vec<_>>>()?;
        let controller = if zookeeper {
            let node_dir = dir.path().join("zookeeper");
            let node = Node::create_zookeeper(&dist, &node_dir, controller_port.number())?;
            let (client, internal) = (Port::reserve()?, Port::reserve()?);
            Some(Member { id: CONTROLLER_ID, node, process: Mutex::new(None), client, internal, proxy: None })
        } else {
            (self.brokers > 1).then(|| make(CONTROLLER_ID, "controller")).transpose()?
        };
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

    fn common_properties(&self, dir: &Path, zookeeper: bool) -> Properties {
        let replicas = self.brokers.min(3).to_string();
        let mut map = format!("CLIENT:{},INTERNAL:PLAINTEXT", self.security.protocol());
        if !zookeeper {
            map += ",CONTROLLER:PLAINTEXT";
        }
        let mut properties = Properties::default();
        properties
            .set("listener.security.protocol.map", map)
            .set("auto.create.topics.enable", "false")
            .set("group.initial.rebalance.delay.ms", "0")
            // A test can't wait for sessions of six seconds, the least unless set.
            .set("group.min.session.timeout.ms", "100")
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
        if self.brokers > 1 && !zookeeper {
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
