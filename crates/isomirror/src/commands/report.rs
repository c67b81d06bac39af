//! `isomirror report`: what a migration has been, as a page that can be printed, or as JSON. Changes nothing anywhere.
//!
//! Owns the file and the exit code. What there is to tell is `migration::history`'s.

mod page;

use std::{fs, time::Duration};

use migration::{history, topics};

use super::topics::author;
use crate::{
    cli::{Common, Output, ReportArgs},
    config::Config,
    exit::{Exit, Failure},
    link,
};

/// Puts it together, and writes it.
pub fn run(config: &Config, args: &ReportArgs, common: &Common) -> anyhow::Result<Exit> {
    if args.html.is_none() && common.output != Output::Json {
        let message = "there is nothing to write it to\n  fix: --html FILE, or --output json";
        return Err(Failure::new(Exit::Usage, message).into());
    }
    let request = topics::Request {
        link: link::config(config, None),
        timeout: super::TIMEOUT,
        topics: args.topic.clone(),
        by: author(),
        wait: Duration::ZERO,
    };
    super::interruptible(write(&request, args, common.output), "interrupted; nothing was written")
}

async fn write(request: &topics::Request, args: &ReportArgs, output: Output) -> anyhow::Result<Exit> {
    let found = history::history(request).await.map_err(super::failure)?;
    if let Some(path) = &args.html {
        fs::write(path, page::render(&found)).map_err(|error| {
            Failure::new(Exit::Failed, format!("cannot write {}: {error}", path.display()))
        })?;
    }
    match output {
        Output::Json => super::print(&serde_json::to_string_pretty(&found)?)?,
        Output::Table => {
            let path = args.html.as_ref().map(|path| path.display().to_string()).unwrap_or_default();
            super::print(&format!("{path} has the report of link {}", found.link))?;
        }
    }
    Ok(Exit::Done)
}
