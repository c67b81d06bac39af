//! Every precondition of a link: what was found, why it matters, and what mends it.
//!
//! ```text
//! clusters ─► gather ─► Facts ─► evaluate (pure) ─► Report
//!                                   ├─ link:    routes, loops on one cluster
//!                                   ├─ others:  other links: loops, two writers, clusters swapped
//!                                   ├─ pace:    retention against the time to catch up
//!                                   ├─ groups:  the consumer groups of [groups]
//!                                   ├─ journal: what operators have decided
//!                                   ├─ topics:  there, partitions, leaders, contents, creation
//!                                   ├─ configs: what would change or refuse records
//!                                   ├─ control: the topic of the link's marks
//!                                   └─ rights:  what this principal may do
//! ```
//! `gather` only reads; where it has to know whether a topic could be created, it asks the cluster to
//! validate that and create nothing, and which rights there are that no broker tells, it tries on what can't be (`trials`).
//! `evaluate` never touches a cluster, and decides what to do about a topic by the same function as the running link
//! ([`pipeline::decide`]).

mod commands;
mod configs;
mod control;
mod count;
mod evaluate;
mod facts;
mod finding;
mod gather;
mod groups;
mod journal;
mod link;
mod others;
mod pace;
mod rights;
#[cfg(test)]
mod tests;
mod topics;
mod trials;

use std::time::Duration;

use pipeline::LinkConfig;

pub use evaluate::evaluate;
pub use facts::{
    Asked, ClusterFacts, ControlFacts, Emptied, Facts, Marks, TargetFacts, TargetRights, TopicFacts,
    Unmatched,
};
pub use finding::{ClusterSummary, Finding, Kind, Report, Severity, Subject, Summary};
pub use gather::gather;
pub(crate) use gather::refused;
pub use groups::GroupFacts;
pub use journal::{Held, JournalFacts};
pub use others::OtherLink;

/// What is to be checked.
#[derive(Clone)]
pub struct Request {
    /// The link, as it would run.
    pub link: LinkConfig,
    /// What each question to a cluster is given.
    pub timeout: Duration,
    /// Whether both sides are to be compared while it runs.
    pub verifies: bool,
}

/// Looks at everything. Only what a cluster refuses to make a client of is an error here; a cluster that
/// can't be reached is in the report.
pub async fn check(request: &Request) -> Result<Report, cluster_admin::Error> {
    Ok(match gather(request).await? {
        Ok(facts) => evaluate(&facts),
        Err(unreachable) => Report::unreachable(request, &unreachable),
    })
}
