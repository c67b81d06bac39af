//! isomirror: mirrors Kafka topics from one cluster to another, partition for partition.
//!
//! Owns the command line, the configuration and the exit codes. Never owns what a crate beside it should.

mod admin;
mod cli;
mod commands;
mod config;
mod exit;
mod html;
mod human;
mod link;
mod logging;
mod memory;
mod pair;
mod progress;
mod reload;
mod systemd;
mod table;

use std::{io::Write, process::ExitCode};

use clap::Parser;

use cli::{Cli, Command, ConfigArg};
use config::Config;
use exit::Exit;

fn main() -> ExitCode {
    memory::settle();
    // clap ends the process itself on --help (0) and on what it can't read (2).
    let cli = Cli::parse();
    let exit = dispatch(cli).unwrap_or_else(|error| {
        // Nobody may be left to read it; the exit code still says it.
        let _ = writeln!(std::io::stderr(), "error: {error:#}");
        Exit::of(&error)
    });
    exit.into()
}

fn dispatch(cli: Cli) -> anyhow::Result<Exit> {
    let Cli { command, common } = cli;
    // The demo tells a story; what librdkafka says of clusters that come and go is no part of it.
    let level = if matches!(command, Command::Demo) { "warn,librdkafka=off" } else { "info" };
    logging::init(&common, level)?;
    match command {
        Command::Run(args) => commands::run::run(&args, &common),
        Command::Demo => commands::demo::run(&common),
        Command::Check(args) => commands::check::run(load(&args.config)?, &args, &common),
        Command::Config(args) => commands::config::run(&args, &common),
        Command::Status(args) => commands::status(&args, &common),
        Command::Import(args) => commands::import::run(&args, &common),
        Command::Marks(args) => commands::marks::run(&load(&args.config)?, &args.what, &common),
        Command::Topics(args) => commands::topics::run(&load(&args.config)?, &args.what, &common),
        Command::Plan(args) => commands::plan::plan(&load(&args.config)?, &args, &common),
        Command::Apply(args) => commands::plan::apply(&load(&args.what.config)?, &args, &common),
        Command::Groups(args) => commands::groups::run(&load(&args.config)?, &args.what, &common),
        Command::Verify(args) => commands::verify::run(&load(&args.config)?, &args, &common),
        Command::Report(args) => commands::report::run(&load(&args.config)?, &args, &common),
        Command::Reconcile(args) => commands::reconcile::run(&args, &common),
        Command::Replay(args) => commands::replay::run(&args, &common),
        Command::Switchover(args) => commands::switchover::run(&args, &common),
        Command::Cutover(args) => commands::cutover::run(&load(&args.config)?, &args, &common),
        Command::Audit(args) => commands::audit::run(&args, &common),
    }
}

fn load(args: &ConfigArg) -> anyhow::Result<Config> {
    Ok(Config::load_here(args.config.as_deref(), args.direction.as_deref())?)
}
