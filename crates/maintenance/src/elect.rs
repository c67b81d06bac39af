//! Preferred leaders, elected in batches with a pause between them.

use std::time::{Duration, Instant};

use cluster_audit::PartitionId;
use kafka_wire::AclOperation;
use serde::Serialize;

use crate::{Cluster, Error, apply::lacking};

/// How often it looks.
const LOOK: Duration = Duration::from_millis(100);
/// How long brokers take to hear of a new leader, at most.
const HEARD: Duration = Duration::from_secs(30);

/// How it is done.
#[derive(Debug, Clone)]
pub struct ElectOptions {
    /// Partitions of a batch.
    pub batch: usize,
    /// Between two.
    pub pause: Duration,
}

/// What came of it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Elected {
    /// Partitions whose preferred replica leads.
    pub elected: usize,
    /// Those where it does not, and why.
    pub failed: Vec<String>,
}

/// Has preferred leaders elected, and sees that they lead.
pub async fn elect(
    cluster: &Cluster,
    partitions: &[PartitionId],
    options: &ElectOptions,
    on: impl Fn(usize),
) -> Result<Elected, Error> {
    let mut done = Elected::default();
    let lacks = lacking(cluster, &[AclOperation::Alter]).await?;
    if !lacks.is_empty() {
        return Err(Error::Refused(lacks));
    }
    for (at, batch) in partitions.chunks(options.batch.max(1)).enumerate() {
        if at > 0 {
            tokio::time::sleep(options.pause).await;
        }
        let asked: Vec<_> = batch.iter().map(|at| (at.topic.clone(), at.partition)).collect();
        let outcomes = cluster.client.elect_preferred(&asked).await.map_err(|error| cluster.error(error))?;
        let mut lead = Vec::new();
        for (at, outcome) in outcomes {
            match outcome {
                Ok(()) => lead.push(PartitionId::new(at.0, at.1)),
                Err(error) => done.failed.push(error.to_string()),
            }
        }
        let late = wait(cluster, &lead).await?;
        done.elected += lead.len() - late.len();
        done.failed.extend(
            late.iter().map(|at| format!("{at}: its preferred replica does not lead after {HEARD:?}")),
        );
        on(done.elected + done.failed.len());
    }
    Ok(done)
}

/// Waits until the first replica of each leads; those where it does not.
async fn wait(cluster: &Cluster, partitions: &[PartitionId]) -> Result<Vec<PartitionId>, Error> {
    let began = Instant::now();
    loop {
        let topics = cluster.client.topics().await.map_err(|error| cluster.error(error))?;
        let leads = |at: &&PartitionId| {
            let found = topics.iter().find(|topic| *topic.name == *at.topic);
            let found = found.and_then(|topic| topic.partitions.get(&at.partition));
            found.is_some_and(|found| {
                found.leader.is_some() && found.leader == found.replicas.first().copied()
            })
        };
        let late: Vec<PartitionId> = partitions.iter().filter(|at| !leads(at)).cloned().collect();
        if late.is_empty() || began.elapsed() > HEARD {
            return Ok(late);
        }
        tokio::time::sleep(LOOK).await;
    }
}
