//! The mirrors: how each is configured and started.

mod mirror_maker;

use std::{
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::{Context, Result, bail};
use clap::ValueEnum;
use kafka_harness::{
    Cluster,
    daemon::{self, Config},
    dist::target_dir,
    process::Process,
};
use serde::{Deserialize, Serialize};
use tempfile::TempDir;

pub use self::mirror_maker::{ONE_WAY, mirror_maker_2};
use crate::{load::Loaded, shapes::Shape};

/// Who mirrors, and what there is to compare mirrors with. In the order of the report's columns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mirror {
    /// The release build of this workspace, with `engine = "batches"`; all else at its default.
    Batches,
    /// The same with `engine = "records"`.
    Records,
    /// Apache Kafka's MirrorMaker 2, in dedicated mode, tuned.
    Mm2,
    /// The same with its defaults.
    Mm2Default,
    /// Apache Kafka's first MirrorMaker, tuned.
    Mm1,
    /// The bare loop.
    Bare,
    /// Its first half: what the source broker does.
    FetchOnly,
    /// Its second half: what the target broker does.
    ProduceOnly,
    /// No mirror: what is produced to the source is consumed there. For latencies only.
    None,
}

/// What a mirror is to be good at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Goal {
    /// Many records.
    Throughput,
    /// Early records.
    Latency,
}

impl Mirror {
    /// Those that mirror a backlog, and its limits.
    pub const ON_BACKLOGS: [Self; 8] = [
        Self::Batches,
        Self::Records,
        Self::Mm2,
        Self::Mm2Default,
        Self::Mm1,
        Self::Bare,
        Self::FetchOnly,
        Self::ProduceOnly,
    ];

    /// Those that are measured on a shape: the bare loop asks for too little at a time for a source that is far away.
    pub fn on(shape: &Shape) -> Vec<Self> {
        let near = |mirror: &Self| !matches!(mirror, Self::Bare | Self::FetchOnly | Self::ProduceOnly);
        Self::ON_BACKLOGS.into_iter().filter(|mirror| shape.away == 0 || near(mirror)).collect()
    }

    /// For tables.
    pub fn title(self) -> &'static str {
        match self {
            Self::Batches => "isomirror, batches",
            Self::Records => "isomirror, records",
            Self::Mm2 => "MirrorMaker 2, tuned",
            Self::Mm2Default => "MirrorMaker 2, defaults",
            Self::Mm1 => "MirrorMaker 1",
            Self::Bare => "the bare loop",
            Self::FetchOnly => "source broker alone",
            Self::ProduceOnly => "target broker alone",
            Self::None => "no mirror",
        }
    }

    /// How many offsets the target has once all is there.
    pub fn offsets(self, loaded: &Loaded) -> u64 {
        match self {
            // What ends transactions, and what was aborted, has offsets there, too.
            Self::Batches | Self::Records => loaded.offsets,
            Self::Bare => loaded.records + loaded.aborted,
            _ => loaded.records,
        }
    }

    /// Starts it on a shape's topic.
    pub fn start(self, goal: Goal, shape: &Shape, source: &Cluster, target: &Cluster) -> Result<Running> {
        let topic = shape.topic();
        let bare = |what: &str| -> Result<Running> {
            let mut command = Command::new(std::env::current_exe()?);
            let addresses = [source, target].map(Cluster::bootstrap);
            command.args(["bare", what]).args(addresses).arg(&topic);
            Running::spawn(command, TempDir::new()?)
        };
        match self {
            Self::Batches => with_engine("batches", None, source, target, &topic),
            Self::Records => {
                with_engine("records", mirror_maker::codec(shape.compression), source, target, &topic)
            }
            Self::Mm2 => mirror_maker::tuned(goal, shape.compression).start(&topic, source, target),
            Self::Mm2Default => mirror_maker::defaults().start(&topic, source, target),
            Self::Mm1 => mirror_maker::mirror_maker_1(&topic, shape.compression, source, target),
            Self::Bare => bare("copy"),
            Self::FetchOnly => bare("fetch"),
            Self::ProduceOnly => bare("produce"),
            Self::None => bail!("that is no mirror"),
        }
    }
}

/// How the mirrors are configured, for the report.
pub fn configurations() -> String {
    format!(
        "isomirror has its defaults, for throughput and for latency (`limits.buffer = \"64MiB\"`, `offsets = \"identical\"`), \
         and its `engine`; on a compressed shape, \
         `engine = \"records\"` has `compression.type` set to the source's codec in `[target.kafka]`, and `batches` needs no \
         such thing. The bare loop fetches up to 16 MiB at a time, 1 MiB a partition, and has up to 5 requests on their way \
         to the target; it has one thread.\n\n{}",
        mirror_maker::configurations()
    )
}

/// With a codec where it compresses by itself; batches stay as they were.
fn with_engine(
    engine: &'static str,
    codec: Option<String>,
    source: &Cluster,
    target: &Cluster,
    topic: &str,
) -> Result<Running> {
    // The defaults, and not what makes tests quick.
    let config = Config::new(source, target, topic)
        .engine(engine)
        .topics("refresh = \"5s\"")
        .target_property("session.timeout.ms", "20000");
    isomirror(&match codec {
        Some(codec) => config.target_property("compression.type", &codec),
        None => config,
    })
}

/// Starts the release build of isomirror.
pub fn isomirror(config: &Config) -> Result<Running> {
    let (dir, command) = config.run_by(daemon::isomirror_at(&release_binary()?));
    Running::spawn(command, dir)
}

/// `ISOMIRROR_BIN`, or the release build of this workspace.
pub fn binary() -> Result<PathBuf> {
    std::env::var_os("ISOMIRROR_BIN").map_or_else(release_binary, |path| Ok(path.into()))
}

/// The release build of this workspace.
pub fn release_binary() -> Result<PathBuf> {
    let path = target_dir().join("release/isomirror");
    let built = Path::exists(&path).then_some(path);
    built.context("target/release/isomirror is not built: cargo build --release -p isomirror")
}

/// A mirror that runs.
pub struct Running {
    process: Process,
    _dir: TempDir,
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

    /// An error, if it has ended by itself.
    pub fn check(&mut self) -> Result<()> {
        match self.process.ended() {
            None => Ok(()),
            Some(status) => bail!("it ended by itself ({status}):\n{}", self.log()),
        }
    }

    /// Ends it.
    pub fn stop(self) {
        if let Err(error) = self.process.stop(Duration::from_secs(60)) {
            eprintln!("{error:#}");
        }
    }
}
