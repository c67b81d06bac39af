//! The command line: what can be asked for. Owns the words and their help; does nothing.

mod audit;

use std::{num::NonZeroUsize, path::PathBuf, time::Duration};

use clap::{ArgAction, ArgGroup, Args, Parser, Subcommand, ValueEnum};
use topic_rename::Pattern;

pub use audit::*;

use crate::config::{Block, Depth, Words};

const EXIT_CODES: &str = "\
Exit codes: 0 done; 1 failed; 2 usage or configuration; 3 checked and refused; 4 cluster unreachable; \
5 diverged or data lost; 130 interrupted.

Without a configuration file the container's variables are read: SOURCE, DESTINATION, GROUP_ID, \
FROM_TOPIC_TO_TOPIC or WHITE_LIST, USERNAME, PASSWORD or PASSWORD_FILE, SASL_MECHANISM, CONSUMER_COUNT. \
With a file they are ignored. ISOMIRROR__SECTION__KEY variables are laid over either.";

/// Mirrors Kafka topics from one cluster to another, partition for partition.
#[derive(Debug, Parser)]
#[command(name = "isomirror", version, after_help = EXIT_CODES, max_term_width = 100)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
    /// Flags of every command.
    #[command(flatten)]
    pub common: Common,
}

/// Flags of every command.
#[derive(Debug, Clone, Args)]
pub struct Common {
    /// How results are written: a table for people, JSON for scripts.
    #[arg(long, global = true, value_enum, default_value_t, env = "ISOMIRROR_OUTPUT")]
    pub output: Output,
    /// How logs are written (always to standard error).
    #[arg(long, global = true, value_enum, default_value_t, env = "ISOMIRROR_LOG_FORMAT")]
    pub log_format: LogFormat,
    /// What is logged: error, warn, info, debug or trace, also by module, as in "info,librdkafka=debug".
    #[arg(long, global = true, value_name = "LEVEL", env = "ISOMIRROR_LOG_LEVEL")]
    pub log_level: Option<String>,
    /// Log more: -v for debug, -vv for trace.
    #[arg(short, long, global = true, action = ArgAction::Count, conflicts_with = "log_level")]
    pub verbose: u8,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the daemon: mirror the link until it is told to stop.
    Run(RunArgs),
    /// Mirror between two clusters made for it in this process; needs no set-up.
    Demo,
    /// Check every precondition; exit 0 only if the link would run as asked.
    Check(CheckArgs),
    /// Say what would be made or changed on the target: topics, their configs, ACLs, consumer groups' offsets. Changes
    /// nothing. Exit code 0, whether there is something to change or not; 3 if something of it can't be done.
    Plan(PlanArgs),
    /// Do what `plan` says. Exit code 0 if all of it is done; 3 if something was refused.
    Apply(ApplyArgs),
    /// Show the effective configuration, secrets hidden.
    Config(ConfigArg),
    /// Show a running daemon's lanes, lag and rates.
    Status(StatusArgs),
    /// Show which source offset lies at which target offset, from the marks that are kept on the target.
    Marks(MarksArgs),
    /// Turn MirrorMaker 1 or 2 configuration into a link's; exit 0 only if it can be used as it stands.
    Import(Box<ImportArgs>),
    /// Topics one by one: start, pause, resume and stop them, or begin them anew.
    Topics(TopicsArgs),
    /// Consumer groups' offsets, carried over from the source to the target.
    Groups(GroupsArgs),
    /// Read both sides and compare them, offset by offset; exit 0 only if they hold the same.
    Verify(VerifyArgs),
    /// What a migration has been: topics, start marks, ends, counts, groups, and every decision; as a page or as JSON.
    Report(ReportArgs),
    /// Make the other site of a pair the active one, step by step: block writers, drain, groups, turn the mirror around,
    /// release. Goes on where it was.
    Switchover(SwitchoverArgs),
    /// After a failover (switchover --force): find where the site that is back has parted from the active one, export what it
    /// alone has, and make it a standby again.
    Reconcile(ReconcileArgs),
    /// Send what `reconcile` has exported to a topic, record by record.
    Replay(ReplayArgs),
    /// Finish a migration, step by step: block writers, drain, groups, verify, rights, clients, stop. Goes on where it was.
    Cutover(CutoverArgs),
    /// Before brokers are touched: what is at risk, work orders, and doing them. Needs no link.
    Audit(Box<AuditArgs>),
}

/// Which configuration.
#[derive(Debug, Clone, Args)]
pub struct ConfigArg {
    /// The link's TOML file; without it the container's variables are read.
    #[arg(value_name = "CONFIG")]
    pub config: Option<PathBuf>,
    /// With a pair's file: which of its links, as dc1-dc2; for `run` also `follow`, the default there: the one that the
    /// journal says, now and later.
    #[arg(long, value_name = "LINK", requires = "config")]
    pub direction: Option<String>,
}

/// Flags of `check`.
#[derive(Debug, Clone, Args)]
pub struct CheckArgs {
    /// The link's configuration.
    #[command(flatten)]
    pub config: ConfigArg,
    /// Look at the configuration only, and ask no cluster.
    #[arg(long)]
    pub config_only: bool,
}

/// Flags of `run`.
#[derive(Debug, Clone, Args)]
pub struct RunArgs {
    /// The link's configuration.
    #[command(flatten)]
    pub config: ConfigArg,
    /// Stop, with exit code 0, once the source's end as it is now is on the target.
    #[arg(long)]
    pub until_caught_up: bool,
    /// With --until-caught-up: give up, with exit code 4, on a cluster that can't be reached for this long.
    #[arg(long, value_name = "TIME", default_value = "2m", value_parser = humantime::parse_duration, requires = "until_caught_up")]
    pub give_up_after: Duration,
}

/// Flags of `verify`.
#[derive(Debug, Clone, Args)]
pub struct VerifyArgs {
    /// The link's configuration.
    #[command(flatten)]
    pub config: ConfigArg,
    /// Only lanes of this topic, by its name on the source; may be repeated.
    #[arg(long)]
    pub topic: Vec<String>,
    /// Only records of this time or later, as 2026-01-31T08:00:00Z.
    #[arg(long, value_name = "TIME")]
    pub since: Option<jiff::Timestamp>,
    /// Only so much of each lane, as 5%, in pieces spread over it; what came last is always in it.
    #[arg(long, value_name = "PERCENT", value_parser = percent, conflicts_with = "resume")]
    pub sample: Option<f64>,
    /// Where the pieces of a sample lie: the same seed, the same pieces. Another each time unless given.
    #[arg(long, value_name = "N", requires = "sample")]
    pub seed: Option<u64>,
    /// Lanes that are compared at the same time; each takes some megabytes of memory.
    #[arg(long, value_name = "N", default_value = "4")]
    pub parallel: NonZeroUsize,
    /// Note in this file how far each lane was compared, and go on from what is noted there.
    #[arg(long, value_name = "FILE")]
    pub resume: Option<PathBuf>,
    /// Show what is in the records that differ.
    #[arg(long)]
    pub show_values: bool,
}

/// Reads `5%` or `0.5 %`, as a part of 1.
fn percent(text: &str) -> Result<f64, String> {
    let number = text.strip_suffix('%').unwrap_or(text).trim().parse().ok();
    let part = number.map(|percent: f64| percent / 100.0).filter(|part| *part > 0.0 && *part <= 1.0);
    part.ok_or_else(|| format!("{text:?} is no part of a lane: write a percentage over 0% and up to 100%"))
}

/// Flags of `plan`.
#[derive(Debug, Clone, Args)]
pub struct PlanArgs {
    /// The link's configuration.
    #[command(flatten)]
    pub config: ConfigArg,
    /// Look at this only; may be repeated. At all of it unless one is given.
    #[arg(long, value_enum)]
    pub only: Vec<Only>,
}

/// Flags of `apply`.
#[derive(Debug, Clone, Args)]
pub struct ApplyArgs {
    /// What.
    #[command(flatten)]
    pub what: PlanArgs,
    /// Do it only if it is still what this file says, which `plan --output json` has written: the same topics, configs and
    /// ACLs. (Consumer groups' offsets go on all the time.)
    #[arg(long, value_name = "FILE")]
    pub plan: Option<PathBuf>,
}

/// A part of what there is to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Only {
    /// Topics to be made, and partitions to be added.
    Topics,
    /// Configs of topics that are there.
    Configs,
    /// ACLs.
    Acls,
    /// Consumer groups' offsets, of those that [groups] names.
    Groups,
}

/// Flags of `report`.
#[derive(Debug, Clone, Args)]
pub struct ReportArgs {
    /// The link's configuration.
    #[command(flatten)]
    pub config: ConfigArg,
    /// Only this topic, by its name on the source; may be repeated.
    #[arg(long)]
    pub topic: Vec<String>,
    /// Write a page to this file: one file, that can be printed.
    #[arg(long, value_name = "FILE")]
    pub html: Option<PathBuf>,
}

/// Flags of `cutover`.
#[derive(Debug, Clone, Args)]
pub struct CutoverArgs {
    /// The link's configuration.
    #[command(flatten)]
    pub config: ConfigArg,
    /// Only this topic, by its name on the source; may be repeated. All that the link mirrors unless one is given.
    #[arg(long)]
    pub topic: Vec<String>,
    /// Show for each step what it would do, and whether it could do that now; change nothing.
    #[arg(long, conflicts_with_all = ["back", "yes"])]
    pub dry_run: bool,
    /// Undo what is done, in reverse; possible until the last step.
    #[arg(long)]
    pub back: bool,
    /// Go on with what another process has begun that is certainly gone.
    #[arg(long)]
    pub take_over: bool,
    /// Once clients are moved: go on though somebody has written to the source since, and leave that there.
    #[arg(long, conflicts_with_all = ["back", "dry_run"])]
    pub leave_late: bool,
    /// Don't ask before the last step; with --back: leave behind what clients have written to the target.
    #[arg(long)]
    pub yes: bool,
    /// How many records the target may lack when writers are blocked. cutover.max_lag unless given.
    #[arg(long, value_name = "N")]
    pub max_lag: Option<u64>,
    /// How writers are blocked: acl, hook or quiet. cutover.block unless given.
    #[arg(long, value_name = "HOW", value_parser = block)]
    pub block: Option<Block>,
    /// How much is compared: none, tail, full, or a part, as 5%. cutover.verify unless given.
    #[arg(long, value_name = "HOW MUCH")]
    pub verify: Option<Depth>,
    /// How long a step may take. cutover.step_limit unless given.
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
    pub step_limit: Option<Duration>,
}

/// Flags of `switchover`.
#[derive(Debug, Clone, Args)]
pub struct SwitchoverArgs {
    /// The pair's TOML file.
    #[arg(value_name = "PAIR")]
    pub config: PathBuf,
    /// The site that is to be active; the other one unless given.
    #[arg(long, value_name = "SITE")]
    pub to: Option<String>,
    /// Show for each step what it would do, and whether it could do that now; change nothing.
    #[arg(long, conflicts_with_all = ["back", "yes"])]
    pub dry_run: bool,
    /// Undo what is done, in reverse; once writers are released on the new site, a switchover the other way.
    #[arg(long)]
    pub back: bool,
    /// The active site is gone: make the other one active without it, and say what is missing there as far as it is known.
    /// With --back, the other one is: undo what is under way without it.
    #[arg(long, conflicts_with = "dry_run")]
    pub force: bool,
    /// With --force: although both sites answer, as one may that does nothing else any more.
    #[arg(long, requires_all = ["force", "to"])]
    pub regardless: bool,
    /// Go on with what another process has begun that is certainly gone.
    #[arg(long)]
    pub take_over: bool,
    /// Don't ask before it begins.
    #[arg(long)]
    pub yes: bool,
    /// How many records the standby may lack when writers are blocked. switchover.max_lag unless given.
    #[arg(long, value_name = "N")]
    pub max_lag: Option<u64>,
    /// How writers are blocked: acl, hook or quiet. switchover.block unless given.
    #[arg(long, value_name = "HOW", value_parser = block)]
    pub block: Option<Block>,
    /// How much is compared: none, tail, full, or a part, as 5%. switchover.verify unless given.
    #[arg(long, value_name = "HOW MUCH")]
    pub verify: Option<Depth>,
    /// How long a step may take. switchover.step_limit unless given.
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
    pub step_limit: Option<Duration>,
}

/// Flags of `reconcile`.
#[derive(Debug, Clone, Args)]
pub struct ReconcileArgs {
    /// The pair's TOML file.
    #[arg(value_name = "PAIR")]
    pub config: PathBuf,
    /// The folder for records that the site that is back has alone.
    #[arg(long, value_name = "FOLDER", default_value = "orphaned")]
    pub export: PathBuf,
    /// Say where the sites have parted; change nothing.
    #[arg(long, conflicts_with = "yes")]
    pub dry_run: bool,
    /// Go on with what another process has begun that is certainly gone.
    #[arg(long)]
    pub take_over: bool,
    /// Don't ask before topics are deleted on the site that is back.
    #[arg(long)]
    pub yes: bool,
}

/// Flags of `replay`.
#[derive(Debug, Clone, Args)]
pub struct ReplayArgs {
    /// The pair's TOML file.
    #[arg(value_name = "PAIR")]
    pub config: PathBuf,
    /// The files, as `reconcile` has written them.
    #[arg(value_name = "FILE", required = true)]
    pub files: Vec<PathBuf>,
    /// The site that gets them.
    #[arg(long, value_name = "SITE")]
    pub to: String,
    /// The topic that gets them; unless given, the one that they were in.
    #[arg(long)]
    pub topic: Option<String>,
}

fn block(text: &str) -> Result<Block, String> {
    let known = Block::WORDS.iter().find(|(word, _)| *word == text).map(|(_, block)| *block);
    known.ok_or_else(|| format!("{text:?} is none of acl, hook and quiet"))
}

/// Flags of `status`.
#[derive(Debug, Clone, Args)]
pub struct StatusArgs {
    /// The daemon's address, as http://127.0.0.1:9464, or its configuration file, which says where it listens.
    #[arg(value_name = "CONFIG|URL")]
    pub target: Option<String>,
}

/// Flags of `marks`.
#[derive(Debug, Clone, Args)]
pub struct MarksArgs {
    /// The link's configuration.
    #[command(flatten)]
    pub config: ConfigArg,
    /// What to do with them.
    #[command(subcommand)]
    pub what: Marks,
}

/// What to do with the marks.
#[derive(Debug, Clone, Subcommand)]
pub enum Marks {
    /// Every lane: since when, from where, how far, and its gaps.
    List,
    /// Where source offsets are on the target.
    Translate(OffsetsArgs),
    /// Where target offsets come from.
    Reverse(OffsetsArgs),
    /// Forget the lanes of a topic, so that they begin anew. The link must not run.
    Forget(ForgetArgs),
}

/// Which lanes.
#[derive(Debug, Clone, Args)]
pub struct ForgetArgs {
    /// The topic, by its name on the source.
    #[arg(long)]
    pub topic: String,
    /// The partition; all of them unless one is named.
    #[arg(long, value_parser = clap::value_parser!(i32).range(0..))]
    pub partition: Option<i32>,
}

/// Which offsets of which lane.
#[derive(Debug, Clone, Args)]
#[command(group = ArgGroup::new("offsets").required(true).args(["offset", "all"]))]
pub struct OffsetsArgs {
    /// The topic, by its name on the source; for reverse also by that on the target.
    #[arg(long)]
    pub topic: String,
    /// The partition.
    #[arg(long, value_parser = clap::value_parser!(i32).range(0..))]
    pub partition: i32,
    /// An offset; may be repeated. "-" reads offsets from standard input.
    #[arg(long, value_name = "N|-", value_parser = asked)]
    pub offset: Vec<Asked>,
    /// Every offset that the marks know. The table has a line for each run and each gap, JSON one for each offset.
    #[arg(long)]
    pub all: bool,
}

/// Offsets that are asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asked {
    /// This one.
    Offset(i64),
    /// Those on standard input.
    Stdin,
}

fn asked(text: &str) -> Result<Asked, String> {
    if text == "-" { Ok(Asked::Stdin) } else { offset(text).map(Asked::Offset) }
}

/// Reads an offset.
pub fn offset(text: &str) -> Result<i64, String> {
    text.parse().ok().filter(|offset| *offset >= 0).ok_or_else(|| format!("{text:?} is not an offset"))
}

/// Flags of `topics`.
#[derive(Debug, Clone, Args)]
pub struct TopicsArgs {
    /// The link's configuration.
    #[command(flatten)]
    pub config: ConfigArg,
    /// What to do with them.
    #[command(subcommand)]
    pub what: Topics,
}

/// What to do with topics. It holds whether the link runs now or not.
#[derive(Debug, Clone, Subcommand)]
pub enum Topics {
    /// All topics of the link: what is wanted of each, since when, and by whom.
    List,
    /// Mirror topics that wait to be asked for, or that were stopped; shows where their source begins and ends.
    Start(NamedArgs),
    /// Let topics stay where they are: nothing more is read, what is in flight is written. Their lag is still measured.
    Pause(NamedArgs),
    /// Go on with paused topics, exactly where they are.
    Resume(NamedArgs),
    /// Give topics up: their lanes are let go. Their marks stay, and `start` goes on by them.
    Stop(NamedArgs),
    /// Delete the target topics of paused or stopped topics, make them again, and begin anew.
    Redo(RedoArgs),
}

/// Which topics.
#[derive(Debug, Clone, Args)]
pub struct NamedArgs {
    /// The topics, by their names on the source.
    #[arg(value_name = "NAME", required = true)]
    pub names: Vec<String>,
    /// How long to wait until the instances of the link have done it.
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = humantime::parse_duration)]
    pub wait: Duration,
}

/// Flags of `topics redo`.
#[derive(Debug, Clone, Args)]
pub struct RedoArgs {
    /// Which.
    #[command(flatten)]
    pub named: NamedArgs,
    /// Don't ask.
    #[arg(long)]
    pub yes: bool,
    /// Show what would be deleted, and delete nothing.
    #[arg(long, conflicts_with = "yes")]
    pub dry_run: bool,
}

/// Flags of `groups`.
#[derive(Debug, Clone, Args)]
pub struct GroupsArgs {
    /// The link's configuration.
    #[command(flatten)]
    pub config: ConfigArg,
    /// What to do with them.
    #[command(subcommand)]
    pub what: Groups,
}

/// What to do with groups.
#[derive(Debug, Clone, Subcommand)]
pub enum Groups {
    /// Groups on both sides: what they are doing, and how far behind they are. All, unless some are named.
    List(ChosenArgs),
    /// What `sync` would do, partition by partition; changes nothing.
    Plan(SyncArgs),
    /// Commit on the target what the groups have committed on the source: never past the target's end, and never for a
    /// group that has members there.
    Sync(SyncArgs),
    /// Set groups' offsets on the target to a time, to where the lanes began, or to an offset of the source.
    Reset(ResetArgs),
}

/// Which groups, and which topics of theirs.
#[derive(Debug, Clone, Args)]
pub struct ChosenArgs {
    /// Only groups whose whole name this regular expression matches; may be repeated. Those of groups.include unless
    /// one is given.
    #[arg(long, value_name = "PATTERN", value_parser = pattern)]
    pub group: Vec<Pattern>,
    /// Only this topic, by its name on the source; may be repeated.
    #[arg(long)]
    pub topic: Vec<String>,
}

/// Flags of `groups plan` and `groups sync`.
#[derive(Debug, Clone, Args)]
pub struct SyncArgs {
    /// Which.
    #[command(flatten)]
    pub chosen: ChosenArgs,
    /// Also where the group has a larger offset on the target: it reads again there what it has read.
    #[arg(long)]
    pub allow_backwards: bool,
}

/// Flags of `groups reset`.
#[derive(Debug, Clone, Args)]
#[command(group = ArgGroup::new("to").required(true).args(["to_time", "to_mark", "to_offset"]))]
pub struct ResetArgs {
    /// The group, by its name; may be repeated.
    #[arg(long, value_name = "NAME", required = true)]
    pub group: Vec<String>,
    /// Only this topic, by its name on the source; may be repeated. Those that the group has offsets for unless one is
    /// given.
    #[arg(long)]
    pub topic: Vec<String>,
    /// Only this partition.
    #[arg(long, value_parser = clap::value_parser!(i32).range(0..), requires = "topic")]
    pub partition: Option<i32>,
    /// To the first record of this time or later, as 2026-01-31T08:00:00Z.
    #[arg(long, value_name = "TIME", value_parser = past)]
    pub to_time: Option<jiff::Timestamp>,
    /// To where the lanes began.
    #[arg(long)]
    pub to_mark: bool,
    /// To this offset of the source.
    #[arg(long, value_name = "N", value_parser = offset, requires = "topic")]
    pub to_offset: Option<i64>,
    /// The group may be one that there is on neither side.
    #[arg(long)]
    pub new: bool,
    /// Don't ask.
    #[arg(long)]
    pub yes: bool,
    /// Show what would be set, and set nothing.
    #[arg(long, conflicts_with = "yes")]
    pub dry_run: bool,
}

fn pattern(text: &str) -> Result<Pattern, String> {
    Pattern::new(text).map_err(|error| error.to_string())
}

/// Reads a time that is not in the future.
fn past(text: &str) -> Result<jiff::Timestamp, String> {
    let time: jiff::Timestamp = text.parse().map_err(|error: jiff::Error| error.to_string())?;
    match time > jiff::Timestamp::now() {
        true => Err(format!("{time} lies in the future: no record is of that time yet")),
        false => Ok(time),
    }
}

/// What is imported, and how.
#[derive(Debug, Clone, Args)]
pub struct ImportArgs {
    /// MirrorMaker 2's file, or its MirrorSourceConnector's (.properties or JSON), or MirrorMaker 1's two: the consumer's,
    /// then the producer's.
    #[arg(value_name = "FILE", required_unless_present = "consumer_config")]
    pub files: Vec<PathBuf>,
    /// Write each link as DIR/LINK.toml, its secrets as files beside it, all for their owner alone.
    #[arg(long, value_name = "DIR")]
    pub into: Option<PathBuf>,
    /// With --into: overwrite what is there.
    #[arg(long, requires = "into")]
    pub force: bool,
    /// Which of MirrorMaker 2's flows, as 'A->B'; those that are enabled unless one is named.
    #[arg(long, value_name = "A->B")]
    pub flow: Option<String>,
    /// The link's name; MirrorMaker 1's group.id or MirrorMaker 2's A-B unless one is given.
    #[arg(long, value_name = "NAME")]
    pub link: Option<String>,
    /// The rest of MirrorMaker 1's command line.
    #[command(flatten, next_help_heading = "Flags of kafka-mirror-maker.sh (MirrorMaker 1)")]
    pub mirror_maker: MirrorMakerArgs,
}

/// The flags of kafka-mirror-maker.sh, under their own names.
#[derive(Debug, Clone, Args)]
pub struct MirrorMakerArgs {
    /// The consumer's file.
    #[arg(
        long = "consumer.config",
        value_name = "FILE",
        conflicts_with = "files",
        requires = "producer_config"
    )]
    pub consumer_config: Option<PathBuf>,
    /// The producer's file.
    #[arg(
        long = "producer.config",
        value_name = "FILE",
        conflicts_with = "files",
        requires = "consumer_config"
    )]
    pub producer_config: Option<PathBuf>,
    /// The topics, as a Java regular expression.
    #[arg(long, value_name = "PATTERN", conflicts_with = "include")]
    pub whitelist: Option<String>,
    /// The same, as newer ones call it.
    #[arg(long, value_name = "PATTERN")]
    pub include: Option<String>,
    /// All topics but these, as old ones take it.
    #[arg(long, value_name = "PATTERN", conflicts_with_all = ["include", "whitelist"])]
    pub blacklist: Option<String>,
    /// How many streams read the source.
    #[arg(long = "num.streams", value_name = "N")]
    pub streams: Option<String>,
    /// Whether a record that the target refuses stops it.
    #[arg(long = "abort.on.send.failure", value_name = "true|false")]
    pub abort: Option<String>,
    /// A class that changes records; one whose arguments are pairs of topics is taken for one that renames them.
    #[arg(long = "message.handler", value_name = "CLASS")]
    pub handler: Option<String>,
    /// Its arguments, as "a,b;c,d".
    #[arg(long = "message.handler.args", value_name = "TEXT", allow_hyphen_values = true)]
    pub handler_args: Option<String>,
    /// Not needed.
    #[arg(long = "offset.commit.interval.ms", value_name = "MS")]
    pub commit_interval: Option<String>,
    /// Code, which can't be carried over.
    #[arg(long = "consumer.rebalance.listener", value_name = "CLASS")]
    pub listener: Option<String>,
    /// Its arguments.
    #[arg(long = "rebalance.listener.args", value_name = "TEXT", allow_hyphen_values = true)]
    pub listener_args: Option<String>,
    /// Not needed.
    #[arg(long = "new.consumer")]
    pub new_consumer: bool,
}

/// How results are written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// For people.
    #[default]
    Table,
    /// For scripts.
    Json,
}

/// How logs are written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// One line an event, coloured on a terminal.
    #[default]
    Text,
    /// One JSON object an event.
    Json,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        Cli::command().debug_assert();
    }

    #[test]
    fn marks_are_asked_for_with_a_file_or_without() {
        let parse = |line: &str| {
            let cli = Cli::try_parse_from(line.split(' ')).map_err(|error| error.to_string())?;
            let Command::Marks(MarksArgs { config, what }) = cli.command else { panic!("{line}") };
            Ok::<_, String>((config.config.is_some(), what))
        };
        assert!(matches!(parse("isomirror marks a.toml list"), Ok((true, Marks::List))));
        assert!(matches!(parse("isomirror marks list"), Ok((false, Marks::List))));
        let line = "isomirror marks a.toml translate --topic t --partition 0";
        let Ok((_, Marks::Translate(args))) = parse(&format!("{line} --offset 7 --offset -")) else {
            panic!()
        };
        assert_eq!(args.offset, [Asked::Offset(7), Asked::Stdin]);
        assert!(parse(&format!("{line} --all")).is_ok());
        for wrong in ["", " --offset -1", " --offset x", " --all --offset 1"] {
            assert!(parse(&format!("{line}{wrong}")).is_err(), "{wrong}");
        }
    }

    #[test]
    fn topics_are_named_behind_what_is_done_with_them() {
        let parse = |line: &str| {
            let cli = Cli::try_parse_from(line.split(' ')).map_err(|error| error.to_string())?;
            let Command::Topics(TopicsArgs { config, what }) = cli.command else { panic!("{line}") };
            Ok::<_, String>((config.config.is_some(), what))
        };
        let Ok((true, Topics::Pause(args))) = parse("isomirror topics a.toml pause x y") else { panic!() };
        assert_eq!(args.names, ["x", "y"]);
        assert!(matches!(parse("isomirror topics list"), Ok((false, Topics::List))));
        assert!(matches!(
            parse("isomirror topics a.toml redo x --yes"),
            Ok((_, Topics::Redo(RedoArgs { yes: true, .. })))
        ));
        for wrong in ["pause", "redo x --yes --dry-run", "unheard-of x"] {
            assert!(parse(&format!("isomirror topics a.toml {wrong}")).is_err(), "{wrong}");
        }
    }

    #[test]
    fn global_flags_stand_before_or_behind_the_command() {
        for line in ["isomirror --output json config a.toml", "isomirror config a.toml --output json"] {
            let cli = Cli::parse_from(line.split(' '));
            assert_eq!(cli.common.output, Output::Json);
            assert!(matches!(cli.command, Command::Config(ConfigArg { config: Some(_), .. })));
        }
    }
}
