//! `isomirror switchover`: makes the other site of a pair the active one, step by step, and back.
//!
//! Owns the question before it begins, what a person or a script sees, and the exit code. What the steps do, and in which order,
//! is `migration::switchover`'s.

pub mod show;

use std::{path::Path, sync::Arc};

use migration::{
    failover,
    operation::{Steps, Told},
    switchover::{
        Block, Cause, Consumers, Depth, Ending, Error, Hook, Pair, Preview, Report, Request, Settings,
        Watcher, back, preview, switchover, this_process,
    },
};
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};

use super::{board::Board, topics::author};
use crate::{
    cli::{Common, Output, SwitchoverArgs},
    config,
    exit::{Exit, Failure},
    link,
};

/// For tests: where to stay for ever, as `flip.entered`, to be killed there.
const HOLD: &str = "ISOMIRROR_TEST_HOLD";

/// Does it, or shows what it would do, and says by the exit code how that ended.
pub fn run(args: &SwitchoverArgs, common: &Common) -> anyhow::Result<Exit> {
    let pair = config::Pair::load_here(Path::new(&args.config))?;
    let asks = !args.yes && !args.dry_run && !args.back;
    if asks && !super::may_ask() {
        let message = "there is no terminal to ask on whether writers may be blocked\n  fix: --yes does it without a question, \
                       --dry-run shows it";
        return Err(Failure::new(Exit::Usage, message).into());
    }
    let request = request(&pair, args)?;
    let interrupted =
        "interrupted; what is done is on record: `isomirror switchover PAIR` goes on, --back undoes it";
    match args.force && !args.back {
        true => super::interruptible(force(&request, asks, common.output), interrupted),
        false => super::interruptible(perform(&request, args, asks, common.output), interrupted),
    }
}

/// Without the site that was active.
async fn force(request: &Request, asks: bool, output: Output) -> anyhow::Result<Exit> {
    let question = "Make the other site active without the one that is gone? What only that one has is lost until it is back";
    if asks && !super::agreed(question.to_owned()).await? {
        return Err(Failure::new(Exit::Refused, "nothing was done: nobody agreed").into());
    }
    let report =
        watched(async |watcher: &failover::Watcher| failover::failover(request, watcher).await).await?;
    let ending = |from: &str, to: &str| {
        format!(
            "{to} is active now, alone. Once {from} is back, `isomirror reconcile PAIR` makes it the standby."
        )
    };
    super::print(&match output {
        Output::Json => serde_json::to_string_pretty(&report)?,
        Output::Table => show::report(&report, ending),
    })?;
    Ok(ended(&report))
}

/// Does it, and shows meanwhile what happens.
pub async fn watched<S: Steps, T>(
    done: impl AsyncFnOnce(&UnboundedSender<Told<S>>) -> Result<T, Error>,
) -> anyhow::Result<T> {
    let board = Board::new();
    let (watcher, mut told) = unbounded_channel();
    let watching = {
        let board = board.clone();
        tokio::spawn(async move {
            while let Some(told) = told.recv().await {
                board.tell(&told);
            }
        })
    };
    let done = done(&watcher).await;
    drop(watcher);
    watching.await?;
    board.end();
    Ok(done.map_err(super::failure)?)
}

async fn perform(
    request: &Request,
    args: &SwitchoverArgs,
    asks: bool,
    output: Output,
) -> anyhow::Result<Exit> {
    if args.dry_run || asks {
        let found = preview(request).await.map_err(super::failure)?;
        let text = match output {
            Output::Json => serde_json::to_string_pretty(&found)?,
            Output::Table => show::preview(&found),
        };
        if args.dry_run {
            super::print(&text)?;
            return Ok(could(&found));
        }
        let question = format!("{}\n\nBlock writers, and switch over?", show::preview(&found));
        if !super::agreed(question).await? {
            return Err(Failure::new(Exit::Refused, "nothing was done: nobody agreed").into());
        }
    }
    let report = watched(async |watcher: &Watcher| match args.back {
        true => back(request, watcher).await,
        false => switchover(request, watcher).await,
    })
    .await?;
    super::print(&match output {
        Output::Json => serde_json::to_string_pretty(&report)?,
        Output::Table => {
            show::report(&report, |from, to| format!("{to} is active now, and {from} is its standby."))
        }
    })?;
    Ok(ended(&report))
}

/// The pair as the switchover has it.
pub fn of_pair(pair: &config::Pair) -> Pair {
    Pair {
        sites: pair.sites.clone(),
        links: pair.links.each_ref().map(|config| link::config(config, None)),
        active: pair.switchover.active.clone(),
    }
}

/// What is asked for, as the command line and the file say.
pub fn request(pair: &config::Pair, args: &SwitchoverArgs) -> Result<Request, Failure> {
    let given = &pair.switchover;
    let block = match args.block.unwrap_or(given.block) {
        config::Block::Acl => Block::Acl(given.writers.clone().unwrap_or_default()),
        config::Block::Quiet => Block::Quiet(given.quiet),
        config::Block::Hook => {
            let run = given.block_hook.clone().ok_or_else(|| {
                let message =
                    "there is no command that blocks writers\n  fix: write block_hook = \"…\" into [switchover]";
                Failure::new(Exit::Usage, message)
            })?;
            Block::Hook(Hook { run, back: given.unblock_hook.clone() })
        }
    };
    let verify = match args.verify.unwrap_or(given.verify) {
        config::Depth::None => Depth::None,
        config::Depth::Tail => Depth::Tail,
        config::Depth::Sample(part) => Depth::Sample(part),
        config::Depth::Full => Depth::Full,
    };
    let listen = pair.links[0].admin.listen;
    Ok(Request {
        pair: of_pair(pair),
        to: args.to.clone(),
        timeout: super::TIMEOUT,
        by: author(),
        run: this_process(),
        settings: Settings {
            max_lag: args.max_lag.unwrap_or(given.max_lag),
            block,
            consumers: match given.consumers {
                config::Consumers::CaughtUp => Consumers::CaughtUp,
                config::Consumers::Any => Consumers::Any,
            },
            verify,
            clients: given.clients_hook.clone(),
            leave_limit: given.leave_limit,
            step_limit: args.step_limit.unwrap_or(given.step_limit),
        },
        take_over: args.take_over,
        alone: args.force && args.back,
        regardless: args.regardless,
        status: Arc::new(move || super::status_at(listen?)),
        hold: std::env::var(HOLD).ok(),
    })
}

fn could(preview: &Preview) -> Exit {
    match preview.steps.iter().any(|step| step.trouble.is_some()) {
        true => Exit::Refused,
        false => Exit::Done,
    }
}

/// How it ends, by what came of it.
pub fn ended<S>(report: &Report<S>) -> Exit {
    let cause = match (&report.halted, &report.back) {
        (Some(halted), _) => halted.cause.unwrap_or(Cause::Refused),
        (None, Some(why)) => why.cause,
        (None, None) => return if report.ended == Some(Ending::Done) { Exit::Done } else { Exit::Failed },
    };
    super::cutover::of_cause(cause)
}
