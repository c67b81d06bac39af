//! One module a command: each takes its arguments and says how it ended.

pub mod check;
pub mod config;
pub mod demo;
pub mod groups;
pub mod import;
pub mod marks;
pub mod plan;
pub mod run;
mod status;
pub mod verify;

use std::io::{self, Write, stdout};

pub use status::status;

/// Prints what a command has to say.
fn print(text: &str) -> anyhow::Result<()> {
    match writeln!(stdout().lock(), "{}", text.trim_end()) {
        // A reader that has seen enough (`| head`) is no failure.
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(()),
    }
}
