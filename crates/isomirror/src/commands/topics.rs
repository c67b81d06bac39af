//! `isomirror topics`: topics one by one.
//!
//! Owns the question before a topic is cleared, what a person or a script sees, and the exit code. What may be done with a
//! topic is `migration::topics`' to say, and to do.

mod show;

use std::{
    io::{Write, stderr},
    time::Duration,
};

use link_journal::Author;
use migration::topics::{Change, Done, Report, Request, change, list, redo};

use crate::{
    cli::{Common, NamedArgs, Output, RedoArgs, Topics},
    config::Config,
    exit::{Exit, Failure},
    human, link,
};

/// Does what was asked for, and says by the exit code whether all of it is done.
pub fn run(config: &Config, what: &Topics, common: &Common) -> anyhow::Result<Exit> {
    super::interruptible(
        perform(config, what, common.output),
        "interrupted; what is decided stays: isomirror topics CONFIG list",
    )
}

async fn perform(config: &Config, what: &Topics, output: Output) -> anyhow::Result<Exit> {
    let (named, change_to) = match what {
        Topics::List => {
            let listing = list(&request(config, &[], Duration::ZERO)).await.map_err(super::failure)?;
            super::print(&match output {
                Output::Json => serde_json::to_string_pretty(&listing)?,
                Output::Table => show::listing(&listing),
            })?;
            return Ok(Exit::Done);
        }
        Topics::Redo(args) => return begin_anew(config, args, output).await,
        Topics::Start(named) => (named, Change::Start),
        Topics::Pause(named) => (named, Change::Pause),
        Topics::Resume(named) => (named, Change::Resume),
        Topics::Stop(named) => (named, Change::Stop),
    };
    let report = change(&of(config, named), change_to).await.map_err(super::failure)?;
    said(&report, output)
}

fn of(config: &Config, named: &NamedArgs) -> Request {
    request(config, &named.names, named.wait)
}

fn request(config: &Config, names: &[String], wait: Duration) -> Request {
    Request {
        link: link::config(config, None),
        timeout: super::TIMEOUT,
        topics: names.to_vec(),
        by: author(),
        wait,
    }
}

/// Who asks: this machine, and who is logged in, or was before `sudo`.
pub(super) fn author() -> Author {
    let user = ["SUDO_USER", "USER", "LOGNAME"].iter().find_map(|name| std::env::var(name).ok());
    Author { host: link::host(), user: user.filter(|user| !user.is_empty()) }
}

async fn begin_anew(config: &Config, args: &RedoArgs, output: Output) -> anyhow::Result<Exit> {
    if !args.yes && !args.dry_run && !super::may_ask() {
        let message =
            "there is no terminal to ask on\n  fix: --yes does it without a question, --dry-run shows what";
        return Err(Failure::new(Exit::Usage, message).into());
    }
    let planned = redo(&of(config, &args.named)).await.map_err(super::failure)?;
    if args.dry_run {
        super::print(&match output {
            Output::Json => serde_json::to_string_pretty(planned.clearings())?,
            Output::Table => show::clearings(planned.clearings(), &config.target.name),
        })?;
        return Ok(Exit::Done);
    }
    if !args.yes {
        writeln!(stderr(), "{}", show::clearings(planned.clearings(), &config.target.name))?;
        let topics = human::plural(planned.clearings().len(), "topic", "topics");
        if !super::agreed(format!("Delete {topics} on {}, and begin anew?", config.target.name)).await? {
            return Err(Failure::new(Exit::Refused, "nothing was deleted").into());
        }
    }
    let tell = |step: &str| {
        // Nobody may be left to read it.
        let _ = writeln!(stderr(), "{}", human::plain(step));
    };
    let report = planned.apply(tell).await.map_err(super::failure)?;
    said(&report, output)
}

/// Prints what was done, and says how that ends.
fn said(report: &Report, output: Output) -> anyhow::Result<Exit> {
    super::print(&match output {
        Output::Json => serde_json::to_string_pretty(report)?,
        Output::Table => show::report(report),
    })?;
    Ok(match report.done {
        Done::Yes | Done::Nothing | Done::NotRunning => Exit::Done,
        Done::NotYet(_) => Exit::Failed,
    })
}
