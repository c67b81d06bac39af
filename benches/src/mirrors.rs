//! The mirrors: how each is configured and started.

use std::{
    fs,
    path::Path,
    process::Command,
    sync::atomic::{AtomicU32, Ordering::Relaxed},
    time::Duration,
};

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

/// Counts MirrorMaker's runs, for names of their own.
static RUN: AtomicU32 = AtomicU32::new(0);

/// A mirror that runs.
pub struct Running {
    process: Process,
    _dir: TempDir,
}

/// MirrorMaker 2 as its users tune it: two tasks for two cores, larger batches, nothing but records. `SRC` and `DST`
/// stand for aliases that are new in each run: it keeps its positions in topics named after them, and a second run
/// under the same names would find nothing left to do.
pub const MIRROR_MAKER_2: &str = "\
clusters = SRC, DST
SRC->DST.enabled = true
DST->SRC.enabled = false
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
SRC.consumer.auto.offset.reset = earliest
DST.producer.batch.size = 131072
DST.producer.linger.ms = 10
SRC->DST.producer.override.batch.size = 131072
SRC->DST.producer.override.linger.ms = 10
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
        match self {
            Mirror::Isomirror => isomirror(&Config::new(source, target, shape.topic)),
            Mirror::MirrorMaker2 => {
                let properties = format!("{MIRROR_MAKER_2}SRC->DST.topics = {}\n", shape.topic);
                Ok(mirror_maker_2(&properties, source, target)?.0)
            }
        }
    }
}

/// Starts the release build of isomirror.
pub fn isomirror(config: &Config) -> Result<Running> {
    let (dir, path) = config.write();
    let mut command = daemon::isomirror_at(&release_binary()?);
    command.arg("run").arg(path);
    Running::spawn(command, dir)
}

/// Starts MirrorMaker 2 with these properties and the clusters' addresses; returns its alias of the source, too.
pub fn mirror_maker_2(properties: &str, source: &Cluster, target: &Cluster) -> Result<(Running, String)> {
    let run = RUN.fetch_add(1, Relaxed);
    let (from, to) = (format!("a{run}"), format!("b{run}"));
    let text = format!(
        "{properties}SRC.bootstrap.servers = {}\nDST.bootstrap.servers = {}\n",
        source.bootstrap(),
        target.bootstrap(),
    );
    let dir = TempDir::new()?;
    let path = dir.path().join("mm2.properties");
    fs::write(&path, text.replace("SRC", &from).replace("DST", &to))?;
    let mut command = Dist::get(kafka_harness::MAIN_VERSION)?.mirror_maker_command()?;
    command.args(["-Xmx1g", "org.apache.kafka.connect.mirror.MirrorMaker"]).arg(path);
    Ok((Running::spawn(command, dir)?, from))
}

/// The release build of this workspace.
pub fn release_binary() -> Result<std::path::PathBuf> {
    let path = target_dir().join("release/isomirror");
    let built = Path::exists(&path).then_some(path);
    built.context("target/release/isomirror is not built: cargo build --release -p isomirror")
}

impl Running {
    /// Starts it; the folder, in which its log goes too, is gone when it is.
    pub fn spawn(command: Command, dir: TempDir) -> Result<Self> {
        let process = Process::spawn(command, &dir.path().join("log"))?;
        Ok(Self { process, _dir: dir })
    }

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
