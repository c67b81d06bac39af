//! What would be made or changed on the target, and doing it: topics, their configs, ACLs, consumer groups' offsets.
//!
//! ```text
//! clusters ─► gather ─► Facts ─► evaluate (pure) ─► Report ─► apply ─► the same report, with what came of each step
//! ```
//! The rules are those of the daemon: [`pipeline::decide`] and [`pipeline::NewTopic`] for topics, `target_diff` for configs
//! and ACLs, [`crate::groups`] for groups. `apply` does what the report says, and nothing is ever taken away.

mod apply;
mod evaluate;
mod facts;
mod gather;
mod report;
#[cfg(test)]
mod tests;

use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use cluster_admin::Cluster;
use group_offsets::Choice;
use pipeline::LinkConfig;

pub use self::{
    evaluate::evaluate,
    facts::{AclFacts, Facts, TopicFacts},
    report::{
        AclPart, ConfigKept, ConfigStep, GroupPart, NotDone, Outcome, Refusal, Report, Step, TopicStep,
        Totals,
    },
};
pub use crate::sides::Error;
use crate::{
    groups,
    sides::{Clusters, refuse_at_rest},
};

/// A part of what there is to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    /// Topics to be made, and partitions to be added.
    Topics,
    /// Configs of topics that are there.
    Configs,
    /// ACLs.
    Acls,
    /// Consumer groups' offsets.
    Groups,
}

/// What is to be planned.
#[derive(Clone)]
pub struct Request {
    /// The link.
    pub link: LinkConfig,
    /// What each question to a cluster is given.
    pub timeout: Duration,
    /// What is looked at.
    pub parts: BTreeSet<Part>,
    /// Which consumer groups are carried over.
    pub choice: Choice,
}

/// What would be done, and what it takes to do it.
pub struct Prepared {
    report: Report,
    target: Cluster,
    clusters: Clusters,
    groups: Option<groups::Prepared>,
    progress: Arc<Progress>,
}

/// How far it is.
#[derive(Debug, Default)]
pub struct Progress {
    done: AtomicUsize,
    of: AtomicUsize,
}

/// Finds out what would be done. Changes nothing.
pub async fn prepare(request: &Request) -> Result<Prepared, Error> {
    refuse_at_rest(&request.link, &Clusters::new(&request.link, request.timeout)?).await?;
    let gathered = gather::gather(request).await?;
    let mut report = evaluate(&gathered.facts);
    report.groups = gathered.groups;
    report.unreachable = gathered.prepared.as_ref().is_some_and(groups::Prepared::is_unreachable);
    Ok(Prepared {
        report,
        target: gathered.target,
        clusters: gathered.clusters,
        groups: gathered.prepared,
        progress: Arc::default(),
    })
}

// === impl Prepared ===

impl Prepared {
    /// What would be done, or was.
    pub fn report(&self) -> &Report {
        &self.report
    }

    /// To see how far `apply` is.
    pub fn progress(&self) -> Arc<Progress> {
        self.progress.clone()
    }
}

// === impl Progress ===

impl Progress {
    /// Steps that are done, and all.
    pub fn now(&self) -> (usize, usize) {
        (self.done.load(Relaxed), self.of.load(Relaxed))
    }

    fn start(&self, steps: usize) {
        self.of.store(steps, Relaxed);
    }

    fn add(&self, steps: usize) {
        self.done.fetch_add(steps, Relaxed);
    }
}
