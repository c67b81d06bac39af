//! Why something could not be done.

use std::path::PathBuf;

/// Why.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A question to the cluster has no answer, or a bad one.
    #[error("cluster {cluster}: {error}")]
    Cluster {
        /// The cluster's name.
        cluster: String,
        /// What was asked, and what came of it.
        error: kafka_wire::Error,
    },
    /// A file can't be used.
    #[error("{}: {why}\n  fix: {fix}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        why: String,
        /// What to do.
        fix: &'static str,
    },
    /// It must not be begun.
    #[error("refused:{}", bullets(.0))]
    Refused(Vec<String>),
    /// It went wrong on the way.
    #[error("{what}\n  {done}")]
    Trouble {
        /// What.
        what: String,
        /// What was done about it.
        done: String,
    },
    /// Somebody stopped it.
    #[error("stopped: {0}")]
    Stopped(String),
}

impl Error {
    /// Whether the cluster could not be reached.
    pub fn is_unreachable(&self) -> bool {
        matches!(self, Self::Cluster { error, .. } if error.is_unreachable() || error.is_authentication())
    }

    /// Whether nothing was begun, for reasons that are named.
    pub fn is_refused(&self) -> bool {
        match self {
            Self::Refused(_) => true,
            Self::Cluster { error, .. } => error.is_not_authorized(),
            _ => false,
        }
    }

    /// Whether somebody stopped it.
    pub fn is_stopped(&self) -> bool {
        matches!(self, Self::Stopped(_))
    }

    /// Whether what was given can't be used.
    pub fn is_usage(&self) -> bool {
        matches!(self, Self::File { .. })
    }
}

fn bullets(reasons: &[String]) -> String {
    match reasons {
        [one] => format!(" {one}"),
        many => many.iter().map(|reason| format!("\n  - {reason}")).collect(),
    }
}
