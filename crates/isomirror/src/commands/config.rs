//! `isomirror config`: the effective configuration, secrets hidden; a link's as a file that can be loaded again.

use crate::{
    cli::{Common, ConfigArg, Output},
    config::{Config, Pair, is_pair},
    exit::Exit,
};

/// Prints it: of a pair's file both links, unless one is named.
pub fn run(args: &ConfigArg, common: &Common) -> anyhow::Result<Exit> {
    let path = args.config.as_deref();
    let text = match (path, args.direction.as_deref()) {
        (Some(path), None) if is_pair(Some(path)) => {
            let pair = Pair::load_here(path)?;
            match common.output {
                Output::Table => pair.to_toml(),
                Output::Json => pair.to_json(),
            }
        }
        (path, direction) => {
            let config = Config::load_here(path, direction)?;
            match common.output {
                Output::Table => config.to_toml(),
                Output::Json => config.to_json(),
            }
        }
    };
    super::print(&text)?;
    Ok(Exit::Done)
}
