//! Exit codes: the one table that scripts may rely on.

use std::process::ExitCode;

use crate::config::ConfigError;

/// How a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// What was asked for is done.
    Done = 0,
    /// It failed.
    Failed = 1,
    /// The command line or the configuration can't be used.
    Usage = 2,
    /// It was checked, and refused: a difference, or a precondition that does not hold.
    Refused = 3,
    /// A cluster can't be reached.
    Unreachable = 4,
    /// The target is not what the link wrote, or source records were lost.
    Diverged = 5,
    /// Somebody interrupted it before it was done.
    Interrupted = 130,
}

/// An error that knows its exit code.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct Failure {
    /// How the command ends.
    pub exit: Exit,
    /// What a person is told.
    pub message: String,
}

impl Failure {
    /// A failure that ends the command with `exit`.
    pub fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self { exit, message: message.into() }
    }
}

impl Exit {
    /// How a command ends that failed with `error`.
    pub fn of(error: &anyhow::Error) -> Self {
        if let Some(failure) = error.downcast_ref::<Failure>() {
            failure.exit
        } else if error.is::<ConfigError>() {
            Exit::Usage
        } else {
            Exit::Failed
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        ExitCode::from(exit as u8)
    }
}
