//! The command line: what can be asked for. Owns the words and their help; does nothing.

use std::{path::PathBuf, time::Duration};

use clap::{ArgAction, ArgGroup, Args, Parser, Subcommand, ValueEnum};

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
    /// Show the effective configuration, secrets hidden.
    Config(ConfigArg),
    /// Show a running daemon's lanes, lag and rates.
    Status(StatusArgs),
    /// Show which source offset lies at which target offset, from the marks that are kept on the target.
    Marks(MarksArgs),
}

/// Which configuration.
#[derive(Debug, Clone, Args)]
pub struct ConfigArg {
    /// The link's TOML file; without it the container's variables are read.
    #[arg(value_name = "CONFIG")]
    pub config: Option<PathBuf>,
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
    fn global_flags_stand_before_or_behind_the_command() {
        for line in ["isomirror --output json config a.toml", "isomirror config a.toml --output json"] {
            let cli = Cli::parse_from(line.split(' '));
            assert_eq!(cli.common.output, Output::Json);
            assert!(matches!(cli.command, Command::Config(ConfigArg { config: Some(_) })));
        }
    }
}
