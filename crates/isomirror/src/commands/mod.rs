//! One module a command: each takes its arguments and says how it ended.

pub mod audit;
mod board;
pub mod check;
pub mod config;
pub mod cutover;
pub mod demo;
pub mod groups;
pub mod import;
pub mod marks;
pub mod plan;
pub mod reconcile;
pub mod replay;
pub mod report;
pub mod run;
mod status;
pub mod switchover;
pub mod topics;
pub mod verify;

use std::{
    io::{self, IsTerminal, Write, stderr, stdin, stdout},
    time::Duration,
};

use anyhow::Context;

pub use status::status;
use status::status_at;

use crate::exit::{Exit, Failure};

/// What each question to a cluster is given.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Does what can be interrupted with Ctrl-C, which then says this.
fn interruptible(
    done: impl Future<Output = anyhow::Result<Exit>>,
    interrupted: &str,
) -> anyhow::Result<Exit> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.context("failed to start the runtime")?;
    let done = runtime.block_on(async {
        tokio::select! {
            done = done => done,
            _ = tokio::signal::ctrl_c() => Err(Failure::new(Exit::Interrupted, interrupted).into()),
        }
    });
    // Whatever is still being asked is of no use any more.
    runtime.shutdown_background();
    done
}

/// How a command ends that could not do what it looked at both clusters for.
fn failure(error: migration::groups::Error) -> Failure {
    let exit = match &error {
        error if error.is_unreachable() => Exit::Unreachable,
        error if error.is_usage() => Exit::Usage,
        error if error.is_refused() => Exit::Refused,
        _ => Exit::Failed,
    };
    Failure::new(exit, error.to_string())
}

/// Whether there is a terminal to ask a question on.
fn may_ask() -> bool {
    stdin().is_terminal() && stderr().is_terminal()
}

/// Asks on the terminal; yes or no.
async fn agreed(question: String) -> anyhow::Result<bool> {
    Ok(tokio::task::spawn_blocking(move || ask(&question)).await??)
}

/// The same for who may wait.
fn ask(question: &str) -> io::Result<bool> {
    write!(stderr(), "{question} [y/N] ")?;
    stderr().flush()?;
    let mut answer = String::new();
    stdin().read_line(&mut answer)?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}

/// Prints what a command has to say.
fn print(text: &str) -> anyhow::Result<()> {
    match writeln!(stdout().lock(), "{}", text.trim_end()) {
        // A reader that has seen enough (`| head`) is no failure.
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(()),
    }
}
