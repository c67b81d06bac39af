//! One module a command: each takes its arguments and says how it ended.

pub mod check;
pub mod config;
pub mod demo;
pub mod run;
mod status;

use crate::exit::{Exit, Failure};

pub use status::status;

fn not_built(command: &str) -> anyhow::Result<Exit> {
    Err(Failure::new(Exit::Failed, format!("`isomirror {command}` is not built yet")).into())
}
