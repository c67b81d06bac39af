//! `isomirror check`: every precondition of a link.

use crate::{cli::Common, config::Config, exit::Exit};

/// Not built yet.
pub fn run(_config: Config, _common: &Common) -> anyhow::Result<Exit> {
    super::not_built("check")
}
