//! The mirrors: how each is configured and started.

use std::{fs, path::Path, time::Duration};

use anyhow::{Context, Result};
use kafka_harness::{
    Cluster,
    daemon::{self, Config},
    dist::{Dist, target_dir},
    process::Process,
};
use tempfile::TempDir;

use crate::shapes::Shape;

/// Who mirrors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mirror {
    /// The release build of this workspace, with `limits.buffer` at its default, 64 MiB.
    Isomirror,
    /// Apache Kafka's, in dedicated mode, with the settings in `MIRROR_MAKER_2`.
    MirrorMaker2,
}

/// A mirror that runs.
pub struct Running {
    process: Process,
    _dir: TempDir,
}

/// MirrorMaker 2 as its users tune it: two tasks for two cores, larger batches, nothing but records.
pub const MIRROR_MAKER_2: &str = "\
clusters = a, b
a->b.enabled = true
b->a.enabled = false
tasks.max = 2
replication.factor = 1
checkpoints.topic.replication.factor = 1
heartbeats.topic.replication.factor = 1
offset-syncs.topic.replication.factor = 1
offset.storage.replication.factor = 1
status.storage.replication.factor = 1
config.storage.replication.factor = 1
replication.policy.class = org.apache.kafka.connect.mirror.IdentityReplicationPolicy
sync.topic.configs.enabled = false
sync.topic.acls.enabled = false
emit.heartbeats.enabled = false
emit.checkpoints.enabled = false
refresh.topics.interval.seconds = 5
a.consumer.auto.offset.reset = earliest
b.producer.batch.size = 131072
b.producer.linger.ms = 10
a->b.producer.override.batch.size = 131072
a->b.producer.override.linger.ms = 10
";

impl Mirror {
    /// For tables.
    pub fn name(self) -> &'static str {
        match self {
            Mirror::Isomirror => "isomirror (records)",
            Mirror::MirrorMaker2 => "MirrorMaker 2 (3.9.1)",
        }
    }

    /// Starts it on a shape.
    pub fn start(self, shape: &Shape, source: &Cluster, target: &Cluster) -> Result<Running> {
        let dir = TempDir::new()?;
        let command = match self {
            Mirror::Isomirror => {
                let path = dir.path().join("link.toml");
                fs::write(&path, Config::new(source, target, shape.topic).text())?;
                let mut command = daemon::isomirror_at(&release_binary()?);
                command.arg("run").arg(path);
                command
            }
            Mirror::MirrorMaker2 => {
                let path = dir.path().join("mm2.properties");
                let clusters = format!(
                    "a.bootstrap.servers = {}\nb.bootstrap.servers = {}\na->b.topics = {}\n",
                    source.bootstrap(),
                    target.bootstrap(),
                    shape.topic,
                );
                fs::write(&path, clusters + MIRROR_MAKER_2)?;
                let mut command = Dist::get(kafka_harness::MAIN_VERSION)?.mirror_maker_command()?;
                command.args(["-Xmx1g", "org.apache.kafka.connect.mirror.MirrorMaker"]).arg(path);
                command
            }
        };
        let process = Process::spawn(command, &dir.path().join("log"))?;
        Ok(Running { process, _dir: dir })
    }
}

fn release_binary() -> Result<std::path::PathBuf> {
    let path = target_dir().join("release/isomirror");
    let built = Path::exists(&path).then_some(path);
    built.context("target/release/isomirror is not built: cargo build --release -p isomirror")
}

impl Running {
    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// The end of its log.
    pub fn log(&self) -> String {
        self.process.log_tail()
    }

    /// Ends it.
    pub fn stop(self) {
        if let Err(error) = self.process.stop(Duration::from_secs(60)) {
            eprintln!("{error:#}");
        }
    }
}
