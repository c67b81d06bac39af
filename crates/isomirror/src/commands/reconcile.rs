//! `isomirror reconcile`: makes the site that is back after a failover a standby again.
//!
//! Owns the question before topics are deleted, what a person or a script sees, and the exit code.

use std::{path::Path, sync::Arc};

use migration::reconcile::{Fork, Request, Watcher, look, reconcile};

use super::switchover::{ended, request, show, watched};
use crate::{
    cli::{Common, Output, ReconcileArgs, SwitchoverArgs},
    config::Pair,
    exit::{Exit, Failure},
    human::{self, plain},
    table,
};

/// Does it, or shows where the sites have parted.
pub fn run(args: &ReconcileArgs, common: &Common) -> anyhow::Result<Exit> {
    let pair = Pair::load_here(Path::new(&args.config))?;
    if !args.yes && !args.dry_run && !super::may_ask() {
        let message = "there is no terminal to ask on before topics are deleted on the site that is back\n  fix: --yes does it \
                       without a question, --dry-run shows which";
        return Err(Failure::new(Exit::Usage, message).into());
    }
    let of = request(&pair, &as_switchover(args))?;
    let yes = args.yes;
    let request = Request {
        of,
        folder: std::path::absolute(&args.export)?,
        agrees: Arc::new(move |question: &str| yes || super::ask(question).unwrap_or(false)),
    };
    super::interruptible(
        perform(&request, args.dry_run, common.output),
        "interrupted; what is done is on record: `isomirror reconcile PAIR` goes on",
    )
}

async fn perform(request: &Request, dry_run: bool, output: Output) -> anyhow::Result<Exit> {
    if dry_run {
        let (_, forks) = look(&request.of).await.map_err(super::failure)?;
        super::print(&match output {
            Output::Json => serde_json::to_string_pretty(&forks)?,
            Output::Table => parted(&forks),
        })?;
        return Ok(Exit::Done);
    }
    let report = watched(async |watcher: &Watcher| reconcile(request, watcher).await).await?;
    let ending = |from: &str, to: &str| format!("{from} is the standby of {to} again.");
    super::print(&match output {
        Output::Json => serde_json::to_string_pretty(&report)?,
        Output::Table => show::report(&report, ending),
    })?;
    Ok(ended(&report))
}

fn parted(forks: &[Fork]) -> String {
    let mut table = table::with(&["topic", "p", "the same before", "ends", "alone", ""], &[1, 2, 3, 4]);
    for fork in forks {
        let what = if fork.alone() == 0 { "goes on" } else { "exported; the topic begins anew" };
        table.add_row([
            &plain(&fork.topic),
            &fork.partition.to_string(),
            &fork.fork.to_string(),
            &fork.end.to_string(),
            &human::count(fork.alone()),
            what,
        ]);
    }
    format!("{}\nNothing was changed.", table::trimmed(&table))
}

/// What it has in common with a switchover.
fn as_switchover(args: &ReconcileArgs) -> SwitchoverArgs {
    SwitchoverArgs {
        config: args.config.clone(),
        to: None,
        dry_run: false,
        back: false,
        force: false,
        regardless: false,
        take_over: args.take_over,
        yes: args.yes,
        max_lag: None,
        block: None,
        verify: None,
        step_limit: None,
    }
}
