//! Where log lines go: standard error, as text or JSON. Standard output is for results.

use std::io::{IsTerminal, stderr};

use tracing_subscriber::EnvFilter;

use crate::{
    cli::{Common, LogFormat},
    exit::{Exit, Failure},
};

/// Starts logging, for the rest of the process; at `level` unless the command line says otherwise.
pub fn init(common: &Common, level: &str) -> Result<(), Failure> {
    let level = common.log_level.as_deref().unwrap_or(match common.verbose {
        0 => level,
        1 => "debug",
        _ => "trace",
    });
    let filter = EnvFilter::try_new(level).map_err(|error| {
        let fix = "write error, warn, info, debug or trace, or \"info,librdkafka=debug\"";
        Failure::new(Exit::Usage, format!("--log-level {level:?}: {error}\n  fix: {fix}"))
    })?;
    let colours = stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty());
    let logs = tracing_subscriber::fmt().with_env_filter(filter).with_writer(stderr).with_ansi(colours);
    match common.log_format {
        LogFormat::Text => logs.init(),
        LogFormat::Json => logs.json().flatten_event(true).init(),
    }
    Ok(())
}
