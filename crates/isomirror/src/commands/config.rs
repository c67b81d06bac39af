//! `isomirror config`: the effective configuration, secrets hidden, as a file that can be loaded again.

use std::io::{self, Write, stdout};

use crate::{
    cli::{Common, Output},
    config::Config,
    exit::Exit,
};

/// Prints it.
pub fn run(config: &Config, common: &Common) -> anyhow::Result<Exit> {
    let text = match common.output {
        Output::Table => config.to_toml(),
        Output::Json => config.to_json(),
    };
    match writeln!(stdout().lock(), "{}", text.trim_end()) {
        // A reader that has seen enough (`| head`) is no failure.
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(Exit::Done),
    }
}
