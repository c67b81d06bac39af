//! `isomirror groups`: consumer groups' offsets, from the source to the target.
//!
//! Owns the question before a reset, what a person or a script sees, and the exit code. Which offset becomes which is
//! `migration::groups`' to say, and to commit.

mod show;

pub(super) use show::sum;

use std::io::{Write, stderr};

use anyhow::Context;
use group_offsets::Rule;
use migration::groups::{Prepared, Report, Request, Reset, To, list, prepare, reset};
use topic_rename::Pattern;

use crate::{
    cli::{ChosenArgs, Common, Groups, Output, ResetArgs, SyncArgs},
    config::Config,
    exit::{Exit, Failure},
    link,
};

/// Does what was asked for, and says by the exit code whether all of it was done.
pub fn run(config: &Config, what: &Groups, common: &Common) -> anyhow::Result<Exit> {
    super::interruptible(perform(config, what, common.output), "interrupted; what was committed before stays")
}

async fn perform(config: &Config, what: &Groups, output: Output) -> anyhow::Result<Exit> {
    match what {
        Groups::List(chosen) => {
            let mut request = request(config, chosen, false);
            if request.choice.is_empty() {
                request.choice.include = vec![Pattern::new(".*").context("a pattern")?];
            }
            let listing = list(&request).await.map_err(super::failure)?;
            super::print(&match output {
                Output::Json => serde_json::to_string_pretty(&listing)?,
                Output::Table => show::listing(&listing),
            })?;
            let failed = listing.groups.iter().any(|group| group.trouble.is_some());
            Ok(if failed { Exit::Failed } else { Exit::Done })
        }
        Groups::Plan(args) => {
            let planned = planned(config, args).await?;
            said(&planned.report(), output)
        }
        Groups::Sync(args) => {
            let mut planned = planned(config, args).await?;
            planned.apply().await;
            said(&planned.report(), output)
        }
        Groups::Reset(args) => set(config, args, output).await,
    }
}

fn request(config: &Config, chosen: &ChosenArgs, backwards: bool) -> Request {
    let mut choice = link::groups(config);
    if !chosen.group.is_empty() {
        choice.include.clone_from(&chosen.group);
    }
    Request {
        link: link::config(config, None),
        timeout: super::TIMEOUT,
        choice,
        named: !chosen.group.is_empty(),
        topics: chosen.topic.clone(),
        rule: Rule { backwards },
    }
}

async fn planned(config: &Config, args: &SyncArgs) -> Result<Prepared, Failure> {
    let request = request(config, &args.chosen, args.allow_backwards);
    if request.choice.is_empty() {
        let message = "no groups are named\n  fix: --group PATTERN, or include = [\"…\"] in [groups]";
        return Err(Failure::new(Exit::Usage, message));
    }
    prepare(&request).await.map_err(super::failure)
}

async fn set(config: &Config, args: &ResetArgs, output: Output) -> anyhow::Result<Exit> {
    let to = match (args.to_time, args.to_offset) {
        (Some(time), _) => To::Time(time.as_millisecond()),
        (None, Some(offset)) => To::Offset(offset),
        (None, None) => To::Mark,
    };
    let request = Reset {
        link: link::config(config, None),
        timeout: super::TIMEOUT,
        groups: args.group.clone(),
        new: args.new,
        topics: args.topic.clone(),
        partition: args.partition,
        to,
    };
    if !args.yes && !args.dry_run && !super::may_ask() {
        let message =
            "there is no terminal to ask on\n  fix: --yes sets it without a question, --dry-run shows it";
        return Err(Failure::new(Exit::Usage, message).into());
    }
    let mut planned = reset(&request).await.map_err(super::failure)?;
    if args.dry_run {
        return said(&planned.report(), output);
    }
    if !args.yes {
        let report = planned.report();
        if report.totals.commit == 0 {
            return said(&report, output);
        }
        writeln!(stderr(), "{}", show::report(&report))?;
        let offsets = crate::human::plural(report.totals.commit, "offset", "offsets");
        if !super::agreed(format!("Set {offsets}?")).await? {
            return Err(Failure::new(Exit::Refused, "nothing was set").into());
        }
    }
    planned.apply().await;
    said(&planned.report(), output)
}

/// Prints what would be done, or was, and says how that ends.
fn said(report: &Report, output: Output) -> anyhow::Result<Exit> {
    super::print(&match output {
        Output::Json => serde_json::to_string_pretty(report)?,
        Output::Table => show::report(report),
    })?;
    let totals = &report.totals;
    Ok(if report.is_unreachable() {
        Exit::Unreachable
    } else if totals.groups_failed + totals.failed > 0 {
        Exit::Failed
    } else if totals.refused > 0 {
        Exit::Refused
    } else {
        Exit::Done
    })
}
