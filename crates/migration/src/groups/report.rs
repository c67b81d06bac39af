//! What came of it: plain data, as JSON or for a person.

use group_offsets::{GroupPlan, Outcome};
use pipeline::LinkConfig;
use serde::Serialize;

/// All groups.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// The link.
    pub link: String,
    /// The source cluster's name.
    pub source: String,
    /// The target cluster's name.
    pub target: String,
    /// Over all groups.
    pub totals: Totals,
    /// Each group that was asked for.
    pub groups: Vec<GroupPlan>,
    /// Groups that were asked for and that nothing is done for.
    pub left_out: Vec<LeftOut>,
}

/// A group that nothing is done for.
#[derive(Debug, Clone, Serialize)]
pub struct LeftOut {
    /// Its name.
    pub group: String,
    /// Why.
    pub reason: String,
}

/// How many partitions, all groups together.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Totals {
    /// Groups.
    pub groups: usize,
    /// Groups of which nothing could be found out, or done.
    pub groups_failed: usize,
    /// Offsets to be committed.
    pub commit: usize,
    /// Offsets that were committed.
    pub committed: usize,
    /// Offsets that were there already.
    pub same: usize,
    /// Offsets that must not be committed.
    pub refused: usize,
    /// Offsets that could not be read or committed.
    pub failed: usize,
    /// Source offsets that consumers read again that go on there.
    pub read_again: u64,
}

impl Totals {
    pub(super) fn of(groups: &[GroupPlan]) -> Self {
        let mut totals = Totals { groups: groups.len(), ..Totals::default() };
        for group in groups {
            totals.groups_failed += usize::from(group.trouble.is_some());
            for step in &group.partitions {
                let count = match step.outcome {
                    Outcome::Commit => &mut totals.commit,
                    Outcome::Committed => &mut totals.committed,
                    Outcome::Same => &mut totals.same,
                    Outcome::Refused => &mut totals.refused,
                    Outcome::Failed => &mut totals.failed,
                };
                *count += 1;
                totals.read_again += step.read_again;
            }
        }
        totals
    }
}

impl Report {
    pub(super) fn new(link: &LinkConfig, groups: &[GroupPlan], left_out: &[LeftOut]) -> Self {
        Self {
            link: link.link.clone(),
            source: link.source.name.clone(),
            target: link.target.name.clone(),
            totals: Totals::of(groups),
            groups: groups.to_vec(),
            left_out: left_out.to_vec(),
        }
    }

    /// Whether some group could not be looked after because a cluster was not reached.
    pub fn is_unreachable(&self) -> bool {
        self.groups.iter().any(|group| group.unreachable)
    }
}
