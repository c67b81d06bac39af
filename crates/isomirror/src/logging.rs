//! Where log lines go: standard error, as text or JSON. Standard output is for results. And which of them: that may change
//! while the process runs.

use std::{
    io::{IsTerminal, stderr},
    sync::OnceLock,
};

use tracing_subscriber::{EnvFilter, filter::ParseError};

use crate::{
    cli::{Common, LogFormat},
    exit::{Exit, Failure},
};

/// How a level is written.
pub const FIX: &str = "write error, warn, info, debug or trace, or \"info,librdkafka=debug\"";

/// Has another level count, for the rest of the process.
type Change = Box<dyn Fn(EnvFilter) + Send + Sync>;
static CHANGE: OnceLock<Change> = OnceLock::new();

/// Starts logging, for the rest of the process; at `level` unless the command line says otherwise.
pub fn init(common: &Common, level: &str) -> Result<(), Failure> {
    let level = asked(common).unwrap_or(level);
    let filter = filter(level).map_err(|error| {
        Failure::new(Exit::Usage, format!("--log-level {level:?}: {error}\n  fix: {FIX}"))
    })?;
    let colours = stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty());
    let logs = tracing_subscriber::fmt().with_env_filter(filter).with_writer(stderr).with_ansi(colours);
    let change: Change = match common.log_format {
        LogFormat::Text => {
            let logs = logs.with_filter_reloading();
            let handle = logs.reload_handle();
            logs.init();
            Box::new(move |filter| drop(handle.reload(filter)))
        }
        LogFormat::Json => {
            let logs = logs.json().flatten_event(true).with_filter_reloading();
            let handle = logs.reload_handle();
            logs.init();
            Box::new(move |filter| drop(handle.reload(filter)))
        }
    };
    // It is started once.
    let _ = CHANGE.set(change);
    Ok(())
}

/// Goes on at the level that the configuration says, unless the command line says one.
pub fn follow(common: &Common, level: &str) {
    if let (None, Some(change), Ok(filter)) = (asked(common), CHANGE.get(), filter(level)) {
        change(filter);
    }
}

/// What a level lets through, if it is one.
pub fn filter(level: &str) -> Result<EnvFilter, ParseError> {
    EnvFilter::try_new(level)
}

/// The level that the command line says.
fn asked(common: &Common) -> Option<&str> {
    let by_number = match common.verbose {
        0 => None,
        1 => Some("debug"),
        _ => Some("trace"),
    };
    common.log_level.as_deref().or(by_number)
}
