//! `isomirror config`: the effective configuration, secrets hidden, as a file that can be loaded again.

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
    super::print(&text)?;
    Ok(Exit::Done)
}
