//! What keeps a link from starting, or ends it.

use topic_rename::RouteError;

use crate::{
    chain::{CHAIN_FIX, Chain},
    loops::LoopError,
};

/// Why the link can't start or go on. One lane's trouble is in the status, not here.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A client of one of the clusters could not be made.
    #[error(transparent)]
    Cluster(#[from] cluster_admin::Error),
    /// The source-consumer failed.
    #[error(transparent)]
    Source(#[from] source_consumer::Error),
    /// The pinned-producer failed.
    #[error(transparent)]
    Target(#[from] pinned_producer::Error),
    /// A property of the link's membership in its group can't be used.
    #[error("[target.kafka] {0}")]
    Group(#[from] ownership::ConfigError),
    /// The source can't be asked about consumer groups.
    #[error("[source.kafka] can't be used to ask about consumer groups ([groups]): {0}")]
    Groups(String),
    /// The source can't be asked about ACLs.
    #[error("[source.kafka] can't be used to ask about ACLs ([acls]): {0}")]
    Acls(String),
    /// Metrics of one name were registered twice.
    #[error("failed to register metrics: {0}")]
    Metrics(#[from] prometheus::Error),
    /// The topics there are can't be mirrored under the rules there are.
    #[error("the link is refused: {0}")]
    Routes(RouteError),
    /// The link would feed itself.
    #[error("the link is refused: {0}")]
    Loop(#[from] LoopError),
    /// What it mirrors would come back to it, over other links.
    #[error(
        "the link is refused: what it mirrors would come back to it, again and again: {0}; fix: {CHAIN_FIX}"
    )]
    Chain(Chain),
    /// The link's marks are on what is its source now, and tell of the target as its source.
    #[error(
        "the link is refused: the marks of link {link} are on {on}, which is its source here, and they are those of a \
         link from {target}; fix: see [source.kafka] and [target.kafka], which may have been swapped; a link the other way \
         round needs a name of its own"
    )]
    Swapped {
        /// The link.
        link: String,
        /// The source cluster's name.
        on: String,
        /// The target cluster's name.
        target: String,
    },
    /// A cluster that `run --until-caught-up` waited for in vain.
    #[error("gave up after {after:?}: {reason}")]
    Unreachable {
        /// How long it was waited for.
        after: std::time::Duration,
        /// What was wrong with it at last.
        reason: String,
    },
    /// No topic matches, so `run --until-caught-up` has nothing to do.
    #[error("no topic on the source matches topics.include; fix: see `isomirror check`")]
    NoTopics,
    /// A stage ended by a panic: a fault of isomirror.
    #[error("a stage of the data path panicked; this is a fault of isomirror, report it: {0}")]
    Panicked(String),
}
