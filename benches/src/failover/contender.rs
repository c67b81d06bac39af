//! The mirrors that are compared, and where each sends a group.

use std::{fs, path::PathBuf};

use anyhow::{Context, Result, ensure};
use kafka_harness::{
    Cluster, TestRecord,
    client::{self, Isolation, value_number},
    daemon::{Config, isomirror_at},
};
use rdkafka::Message;
use serde_json::Value;
use tempfile::TempDir;

use super::{PARTITIONS, Resume, TOPIC, traffic::Group};
use crate::mirrors::{ONE_WAY, Running, mirror_maker_2};

/// MirrorMaker 2 with everything that its documentation has for failover, at intervals far below their defaults of 60 s
/// and 10 min; and without what transactions aborted.
pub const MIRROR_MAKER_2: &str = "\
SRC->DST.topics = failover
SRC->DST.groups = failover-.*
tasks.max = 2
emit.heartbeats.enabled = false
emit.checkpoints.interval.seconds = 1
sync.group.offsets.enabled = true
sync.group.offsets.interval.seconds = 1
refresh.groups.interval.seconds = 5
refresh.topics.interval.seconds = 5
SRC.consumer.auto.offset.reset = earliest
SRC.consumer.isolation.level = read_committed
";

/// A mirror that runs.
pub struct Contender {
    /// For the table.
    pub name: &'static str,
    /// Its topic on the target.
    pub topic: String,
    offsets: Offsets,
    _process: Running,
}

/// What says where a group goes on.
enum Offsets {
    /// Those that the mirror commits for it on the target.
    Synced,
    /// The source's own.
    Same,
    /// The marks of the link with this configuration.
    Marks(PathBuf),
}

impl Contender {
    /// Starts them all.
    pub fn all(source: &Cluster, target: &Cluster) -> Result<Vec<Self>> {
        let peer = |name, more: &str| -> Result<Self> {
            let (process, alias) =
                mirror_maker_2(&format!("{ONE_WAY}{MIRROR_MAKER_2}{more}"), source, target)?;
            Ok(Self { name, topic: format!("{alias}.{TOPIC}"), offsets: Offsets::Synced, _process: process })
        };
        let ours = |name, offsets: &str| -> Result<Self> {
            let topic = format!("{TOPIC}-{offsets}");
            let config = Config::new(source, target, TOPIC)
                .topics(&format!("rename = {{ \"{TOPIC}\" = \"{topic}\" }}"))
                .topics(&format!("offsets = \"{offsets}\""));
            let dir = TempDir::new()?;
            let path = dir.path().join("link.toml");
            fs::write(&path, config.text())?;
            let mut command = isomirror_at(&binary()?);
            command.arg("run").arg(&path);
            let offsets = if offsets == "identical" { Offsets::Same } else { Offsets::Marks(path) };
            Ok(Self { name, topic, offsets, _process: Running::spawn(command, dir)? })
        };
        // What is there before keeps translated offsets apart from the source's.
        let before = format!("{TOPIC}-translated");
        target.create_topic(&before, PARTITIONS, 1, &[("retention.ms", "-1")])?;
        let record = |partition| TestRecord { partition, ..TestRecord::default() };
        let records: Vec<_> = (0..PARTITIONS).flat_map(|p| vec![record(p); 1000]).collect();
        client::produce(&target.props(), &before, &records)?;
        Ok(vec![
            peer("MirrorMaker 2 (3.9.1)", "")?,
            peer("MirrorMaker 2 (3.9.1), offset.lag.max = 0", "offset.lag.max = 0\n")?,
            ours("isomirror, identical offsets", "identical")?,
            ours("isomirror, translated offsets", "translated")?,
        ])
    }

    /// Whether it commits for groups on the target.
    pub fn syncs_groups(&self) -> bool {
        matches!(self.offsets, Offsets::Synced)
    }

    /// How many of the source's records are on the target; none, while there is no topic.
    pub fn arrived(&self, target: &Cluster) -> Result<u64> {
        if target.partitions(&self.topic)?.is_none() {
            return Ok(0);
        }
        let mut arrived = 0;
        client::read_each(&target.props(), &self.topic, Isolation::Committed, |message| {
            arrived += u64::from(message.payload().and_then(value_number).is_some());
        })?;
        Ok(arrived)
    }

    /// Where a group goes on that has committed this on the source.
    pub fn resume(&self, target: &Cluster, group: &Group, committed: &Resume) -> Result<Resume> {
        match &self.offsets {
            Offsets::Synced => group.committed(target, &self.topic),
            Offsets::Same => Ok(committed.clone()),
            Offsets::Marks(config) => committed
                .iter()
                .map(|(partition, offset)| {
                    Ok((*partition, offset.map(|offset| translate(config, *partition, offset)).transpose()?))
                })
                .collect(),
        }
    }
}

/// Asks `isomirror marks`.
fn translate(config: &PathBuf, partition: i32, offset: i64) -> Result<i64> {
    let mut command = isomirror_at(&binary()?);
    command.arg("marks").arg(config).args(["translate", "--output", "json", "--topic", TOPIC]);
    command.args(["--partition", &partition.to_string(), "--offset", &offset.to_string()]);
    let output = command.output().context("isomirror marks")?;
    let text = String::from_utf8_lossy(&output.stdout);
    ensure!(output.status.success(), "isomirror marks: {text}{}", String::from_utf8_lossy(&output.stderr));
    let answer: Value = serde_json::from_str(&text).context("isomirror marks gave no JSON")?;
    answer["resume_at"]["target"].as_i64().with_context(|| format!("no place to resume at: {text}"))
}

/// The one of the same build as this program: counting can do without the release build.
fn binary() -> Result<PathBuf> {
    let path = std::env::current_exe()?.with_file_name("isomirror");
    ensure!(
        path.exists(),
        "{} is not built: cargo build, with --release as here, -p isomirror",
        path.display()
    );
    Ok(path)
}
