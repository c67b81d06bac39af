//! The words of `isomirror audit`.

use std::{path::PathBuf, time::Duration};

use clap::{Args, Subcommand, ValueEnum};
use topic_rename::Pattern;

use super::{ConfigArg, pattern};
use crate::config::{ByteSize, Rate, units};

/// Flags of `audit`.
#[derive(Debug, Clone, Args)]
pub struct AuditArgs {
    /// The clusters: a link's configuration, or one with [source] or [target] alone.
    #[command(flatten)]
    pub config: ConfigArg,
    /// Which cluster; both are looked at unless one is named, and one has to be where something is done.
    #[arg(long, global = true, value_enum)]
    pub cluster: Option<Which>,
    /// Say what would become of partitions while these brokers are down.
    #[arg(long, value_name = "IDS", value_delimiter = ',')]
    pub maintenance: Vec<i32>,
    /// Write a page to this file: one file, with a map of brokers × topics.
    #[arg(long, value_name = "FILE")]
    pub html: Option<PathBuf>,
    /// Name every partition that something is found of, not only some.
    #[arg(long)]
    pub all: bool,
    /// How full a broker's disks may be, or become.
    #[arg(long, global = true, value_name = "PERCENT", default_value = "85%", value_parser = percent)]
    pub watermark: u64,
    /// What else to do.
    #[command(subcommand)]
    pub what: Option<Audit>,
}

/// Which of a configuration's clusters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Which {
    /// [source]
    Source,
    /// [target]
    Target,
}

/// What to do about what is found.
#[derive(Debug, Clone, Subcommand)]
pub enum Audit {
    /// Write work orders into a directory: reassign-NNN.json, rollback-NNN.json, election-NNN.json. Changes nothing.
    Plan(MakeArgs),
    /// Do what work orders say, batch by batch. Goes on where it was; --rollback undoes it.
    Apply(OrdersArgs),
    /// Whether all is as work orders want it; takes off a throttle that was left behind.
    Verify(FilesArgs),
    /// Have preferred leaders elected: those of election-NNN.json, or all that do not lead.
    Elect(ElectArgs),
    /// Move leaders off a broker, before its restart.
    Drain(DrainArgs),
    /// Give a drained broker its leaders back.
    Undrain(DrainArgs),
    /// Whether a broker may go down now, or why not. Exit code 0: it may.
    Safe(SafeArgs),
}

/// Flags of `audit plan`.
#[derive(Debug, Clone, Args)]
pub struct MakeArgs {
    /// The directory; made if it is not there.
    #[arg(long, value_name = "DIR")]
    pub into: PathBuf,
    /// How many replicas each partition is to have at least.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    pub replication: Option<u16>,
    /// Move replicas of partitions that are in fewer racks than they could be.
    #[arg(long)]
    pub spread_racks: bool,
    /// Leave no replica on these brokers.
    #[arg(long, value_name = "IDS", value_delimiter = ',')]
    pub empty: Vec<i32>,
    /// Only topics whose whole name this regular expression matches; may be repeated. Kafka's own are among all.
    #[arg(long, value_name = "PATTERN", value_parser = pattern)]
    pub topic: Vec<Pattern>,
    /// Partitions of a batch.
    #[arg(long, value_name = "N", default_value_t = 100)]
    pub batch: usize,
    /// Bytes that a batch copies, unless one partition alone is larger.
    #[arg(long, value_name = "SIZE", default_value = "100GB", value_parser = size)]
    pub batch_bytes: ByteSize,
    /// What the plan's time is reckoned by: what a broker may send, and receive, for it.
    #[arg(long, value_name = "RATE", default_value = "50MB/s", value_parser = rate)]
    pub throttle: Rate,
}

/// Flags of `audit apply`.
#[derive(Debug, Clone, Args)]
pub struct OrdersArgs {
    /// Which orders.
    #[command(flatten)]
    pub files: FilesArgs,
    /// What a broker may send, and receive, for it; "none" for as fast as it goes.
    #[arg(long, value_name = "RATE", default_value = "50MB/s", value_parser = throttle)]
    pub throttle: Throttle,
    /// How long nothing may get on before what is on its way is taken back.
    #[arg(long, value_name = "TIME", default_value = "5m", value_parser = humantime::parse_duration)]
    pub patience: Duration,
}

/// How fast.
#[derive(Debug, Clone, Copy)]
pub struct Throttle(pub Option<Rate>);

/// Which orders.
#[derive(Debug, Clone, Args)]
pub struct FilesArgs {
    /// Directories of plans, or reassign-NNN.json files.
    #[arg(value_name = "PLAN", required = true)]
    pub plans: Vec<PathBuf>,
    /// Those that undo them, last first.
    #[arg(long)]
    pub rollback: bool,
}

/// Flags of `audit elect`.
#[derive(Debug, Clone, Args)]
pub struct ElectArgs {
    /// Directories of plans, or election-NNN.json files; every partition whose preferred leader does not lead unless one
    /// is named.
    #[arg(value_name = "PLAN")]
    pub plans: Vec<PathBuf>,
    /// Partitions of a batch.
    #[arg(long, value_name = "N", default_value_t = 100)]
    pub batch: usize,
    /// Between two batches.
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = humantime::parse_duration)]
    pub pause: Duration,
}

/// Flags of `audit drain` and `audit undrain`.
#[derive(Debug, Clone, Args)]
pub struct DrainArgs {
    /// The broker's id.
    #[arg(value_name = "ID")]
    pub broker: i32,
    /// The directory for what `undrain` needs; drain-ID unless named.
    #[arg(long, value_name = "DIR")]
    pub dir: Option<PathBuf>,
}

/// Flags of `audit safe`.
#[derive(Debug, Clone, Args)]
pub struct SafeArgs {
    /// The brokers' ids; all unless some are named.
    #[arg(value_name = "ID")]
    pub brokers: Vec<i32>,
    /// Wait so long until it is safe; not where waiting can't mend it.
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
    pub wait: Option<Duration>,
}

fn percent(text: &str) -> Result<u64, String> {
    let number = text.strip_suffix('%').unwrap_or(text).trim().parse().ok();
    number
        .filter(|percent| (0..=100).contains(percent))
        .ok_or_else(|| format!("{text:?} is no part of a disk: write a percentage from 0% to 100%"))
}

fn size(text: &str) -> Result<ByteSize, String> {
    units::size(text).map_err(|(what, fix)| format!("{what}: {fix}"))
}

fn rate(text: &str) -> Result<Rate, String> {
    units::rate(text).map_err(|(what, fix)| format!("{what}: {fix}"))
}

fn throttle(text: &str) -> Result<Throttle, String> {
    match text {
        "none" => Ok(Throttle(None)),
        text => rate(text).map(|rate| Throttle(Some(rate))),
    }
}
