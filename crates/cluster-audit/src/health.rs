//! A cluster's health in a few numbers, for metrics.

use serde::{Deserialize, Serialize};

use crate::{Facts, not_preferred};

/// How many of what.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Health {
    /// Brokers that there are, or that replicas are assigned to.
    pub brokers: usize,
    /// Those of them that are down.
    pub brokers_down: usize,
    /// Partitions.
    pub partitions: usize,
    /// Partitions without a leader.
    pub offline: usize,
    /// Partitions that refuse acks=all.
    pub under_min_isr: usize,
    /// Partitions of which a replica is not in sync.
    pub under_replicated: usize,
    /// Partitions that have one replica.
    pub single_replica: usize,
    /// Partitions whose preferred leader could lead, and does not.
    pub not_preferred: usize,
}

impl Health {
    /// The numbers.
    pub fn of(facts: &Facts) -> Self {
        let mut health = Self {
            brokers: facts.brokers.len(),
            brokers_down: facts.brokers.values().filter(|broker| !broker.live).count(),
            not_preferred: not_preferred(facts).len(),
            ..Self::default()
        };
        for (_, topic, _, partition) in facts.partitions() {
            let in_sync = partition.in_sync.iter().filter(|id| facts.is_live(**id)).count();
            health.partitions += 1;
            health.offline += usize::from(partition.leader.is_none());
            health.under_min_isr += usize::from(partition.leader.is_some() && in_sync < topic.min_in_sync());
            health.under_replicated += usize::from(in_sync < partition.settled());
            health.single_replica += usize::from(partition.settled() == 1);
        }
        health
    }
    /// What is not well, in words, the worst first; nothing if all is.
    pub fn ills(&self) -> Vec<String> {
        let ills = [
            (self.offline, "offline"),
            (self.under_min_isr, "under min.insync.replicas"),
            (self.brokers_down, "brokers down"),
            (self.under_replicated, "under-replicated"),
            (self.single_replica, "with one replica"),
            (self.not_preferred, "not led by the preferred replica"),
        ];
        let ills = ills.into_iter().filter(|(count, _)| *count > 0);
        ills.map(|(count, what)| format!("{count} {what}")).collect()
    }

    /// Whether something can't be used now.
    pub fn is_bad(&self) -> bool {
        self.offline + self.under_min_isr + self.brokers_down > 0
    }
}
