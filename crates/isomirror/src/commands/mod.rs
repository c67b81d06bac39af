//! One module a command: each takes its arguments and says how it ended.

pub mod check;
pub mod config;
pub mod cutover;
pub mod demo;
pub mod groups;
pub mod import;
pub mod marks;
pub mod plan;
pub mod report;
pub mod run;
mod status;
pub mod topics;
pub mod verify;

use std::io::{self, IsTerminal, Write, stderr, stdin, stdout};

pub use status::status;
use status::status_at;

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
