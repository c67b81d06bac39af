//! Whether all is as planned: every replica where it is to be and in sync, nothing on its way, no throttle left.

use cluster_audit::PartitionId;
use serde::Serialize;

use crate::{Cluster, Error, Order, gather, left_over, take_off};

/// How a partition stands to what was planned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Standing {
    /// Where it is to be, all in sync.
    Done,
    /// Where it is to be, and some replica is not in sync.
    NotInSync,
    /// On its way.
    Moving,
    /// Where it was.
    Before,
    /// Elsewhere, or gone.
    Elsewhere,
}

/// What is found.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Verified {
    /// Partitions that are done.
    pub done: usize,
    /// The others.
    pub not_done: Vec<(PartitionId, Standing)>,
    /// Topics whose throttle of ours was left behind, and is taken off now.
    pub throttles_taken_off: Vec<String>,
    /// Topics whose throttle stays, as partitions are on their way.
    pub throttled: Vec<String>,
}

impl Verified {
    /// Whether all is as planned.
    pub fn is_done(&self) -> bool {
        self.not_done.is_empty() && self.throttled.is_empty()
    }
}

/// Looks, and takes off a throttle that an `apply` has left behind that was killed.
pub async fn verify(cluster: &Cluster, orders: &[Order]) -> Result<Verified, Error> {
    let facts = gather(cluster).await?.facts;
    let mut found = Verified::default();
    for (order, placed) in
        orders.iter().flat_map(|order| order.after.iter().map(move |placed| (order, placed)))
    {
        let standing = match facts.partition(&placed.at) {
            None => Standing::Elsewhere,
            Some(partition) if partition.moving.is_some() => Standing::Moving,
            Some(partition) if partition.replicas == placed.replicas => {
                match placed.replicas.iter().all(|id| partition.in_sync.contains(id)) {
                    true => Standing::Done,
                    false => Standing::NotInSync,
                }
            }
            Some(partition) if order.before.get(&placed.at) == Some(&partition.replicas) => Standing::Before,
            Some(_) => Standing::Elsewhere,
        };
        match standing {
            Standing::Done => found.done += 1,
            standing => found.not_done.push((placed.at.clone(), standing)),
        }
    }
    let left = left_over(cluster).await?;
    let topics = left.topics.iter().cloned().collect();
    if facts.moving().next().is_some() {
        found.throttled = topics;
    } else {
        take_off(cluster, &left).await?;
        found.throttles_taken_off = topics;
    }
    Ok(found)
}
