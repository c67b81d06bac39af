//! `isomirror demo`: two clusters in this process, and the real pipeline between them.

use crate::{cli::Common, exit::Exit};

/// Not built yet.
pub fn run(_common: &Common) -> anyhow::Result<Exit> {
    super::not_built("demo")
}
