//! `isomirror cutover`: the end of a migration, step by step.
//!
//! Owns the question before the last step, what a person or a script sees, and the exit code. What the steps do, and in which
//! order, is `migration::cutover`'s.

mod show;

use std::sync::Arc;

use migration::cutover::{
    Block, Cause, Depth, Ending, Hook, Preview, Report, Request, Settings, Step, back, cutover, preview,
    this_process,
};
use tokio::sync::mpsc::unbounded_channel;

pub use self::show::{acls, topics};
use super::{board::Board, topics::author};
use crate::{
    cli::{Common, CutoverArgs, Output},
    config::{self, Config},
    exit::{Exit, Failure},
    link,
};

/// For tests: where to stay for ever, as `drain.entered`, to be killed there.
const HOLD: &str = "ISOMIRROR_TEST_HOLD";

/// Does it, or shows what it would do, and says by the exit code how that ended.
pub fn run(config: &Config, args: &CutoverArgs, common: &Common) -> anyhow::Result<Exit> {
    let asks = !args.yes && !args.dry_run && !args.back;
    if asks && !super::may_ask() {
        let message = "there is no terminal to ask on before the last step, behind which there is no way back\n  fix: \
                       --yes does it without a question, --dry-run shows it";
        return Err(Failure::new(Exit::Usage, message).into());
    }
    let board = Board::new();
    let request = request(config, args, &board)?;
    let done = super::interruptible(
        perform(&request, args, board.clone(), common.output),
        "interrupted; what is done is on record: `isomirror cutover CONFIG` goes on, --back undoes it",
    );
    board.end();
    done
}

async fn perform(
    request: &Request,
    args: &CutoverArgs,
    board: Arc<Board<Step>>,
    output: Output,
) -> anyhow::Result<Exit> {
    if args.dry_run {
        let found = preview(request).await.map_err(super::failure)?;
        super::print(&match output {
            Output::Json => serde_json::to_string_pretty(&found)?,
            Output::Table => show::preview(&found),
        })?;
        return Ok(could(&found));
    }
    let (watcher, mut told) = unbounded_channel();
    let watching = {
        let board = board.clone();
        tokio::spawn(async move {
            while let Some(told) = told.recv().await {
                board.tell(&told);
            }
        })
    };
    let done = match args.back {
        true => back(request, &watcher).await,
        false => cutover(request, &watcher).await,
    };
    drop(watcher);
    watching.await?;
    board.end();
    let report = done.map_err(super::failure)?;
    super::print(&match output {
        Output::Json => serde_json::to_string_pretty(&report)?,
        Output::Table => show::report(&report),
    })?;
    Ok(ended(&report))
}

fn request(config: &Config, args: &CutoverArgs, board: &Arc<Board<Step>>) -> Result<Request, Failure> {
    let given = &config.cutover;
    let hook =
        |run: &Option<String>, back: &Option<String>| run.clone().map(|run| Hook { run, back: back.clone() });
    let block = match args.block.unwrap_or(given.block) {
        config::Block::Acl => Block::Acl(given.writers.clone()),
        config::Block::Quiet => Block::Quiet(given.quiet),
        config::Block::Hook => {
            Block::Hook(hook(&given.block_hook, &given.unblock_hook).ok_or_else(|| {
                let message =
                    "there is no command that blocks writers\n  fix: write block_hook = \"…\" into [cutover]";
                Failure::new(Exit::Usage, message)
            })?)
        }
    };
    let verify = match args.verify.unwrap_or(given.verify) {
        config::Depth::None => Depth::None,
        config::Depth::Tail => Depth::Tail,
        config::Depth::Sample(part) => Depth::Sample(part),
        config::Depth::Full => Depth::Full,
    };
    let (yes, asks, listen) = (args.yes, board.clone(), config.admin.listen);
    Ok(Request {
        link: link::config(config, None),
        timeout: super::TIMEOUT,
        topics: args.topic.clone(),
        by: author(),
        run: this_process(),
        settings: Settings {
            max_lag: args.max_lag.unwrap_or(given.max_lag),
            block,
            verify,
            clients: hook(&given.clients_hook, &given.clients_hook_back),
            step_limit: args.step_limit.unwrap_or(given.step_limit),
        },
        take_over: args.take_over,
        leave_behind: args.back && args.yes,
        leave_late: args.leave_late,
        agrees: Arc::new(move |question: &str| yes || asks.ask(question)),
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

fn ended(report: &Report) -> Exit {
    let cause = match (&report.halted, &report.back) {
        (Some(halted), _) => halted.cause.unwrap_or(Cause::Refused),
        (None, Some(why)) => why.cause,
        (None, None) => return if report.ended == Some(Ending::Done) { Exit::Done } else { Exit::Failed },
    };
    of_cause(cause)
}

/// How it ends because of this.
pub fn of_cause(cause: Cause) -> Exit {
    match cause {
        Cause::Asked => Exit::Done,
        Cause::Refused | Cause::Written | Cause::TooLong => Exit::Refused,
        Cause::Different => Exit::Diverged,
        Cause::Unreachable => Exit::Unreachable,
        Cause::Failed => Exit::Failed,
    }
}
