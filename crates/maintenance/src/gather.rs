//! A cluster's facts, asked for all at once: metadata, configs, log directories, reassignments. Changes nothing.

use std::collections::BTreeMap;

use cluster_audit::{Broker, Dir, Facts, Moving, Partition, PartitionId, Topic};
use futures::future::join_all;
use kafka_wire::{Client, ConfigsFound, LogDir, Reassignment};
use serde::Serialize;

use crate::{Error, throttle};

const MIN_IN_SYNC: &str = "min.insync.replicas";
const UNCLEAN: &str = "unclean.leader.election.enable";

/// A cluster, and what it is called.
#[derive(Debug, Clone)]
pub struct Cluster {
    /// Its name in the configuration.
    pub name: String,
    /// Its client.
    pub client: Client,
}

/// What was found out, and what was not.
#[derive(Debug, Clone, Serialize)]
pub struct Gathered {
    /// The facts.
    pub facts: Facts,
    /// What could not be asked for, and why.
    pub hidden: Vec<String>,
}

impl Cluster {
    pub(crate) fn error(&self, error: kafka_wire::Error) -> Error {
        Error::Cluster { cluster: self.name.clone(), error }
    }
}

/// The cluster as it is. What this principal may not see is left out, and said; a cluster that does not answer is an error.
pub async fn gather(cluster: &Cluster) -> Result<Gathered, Error> {
    gathered(cluster, true).await
}

/// The same without log directories, which are a long answer of each broker: for who looks again and again.
pub async fn gather_without_disks(cluster: &Cluster) -> Result<Gathered, Error> {
    gathered(cluster, false).await
}

async fn gathered(cluster: &Cluster, disks: bool) -> Result<Gathered, Error> {
    let client = &cluster.client;
    let brokers = client.brokers().await.map_err(|error| cluster.error(error))?;
    let cluster_id = client.cluster_id().await.map_err(|error| cluster.error(error))?;
    let topics = client.topics().await.map_err(|error| cluster.error(error))?;
    let names: Vec<String> = topics.iter().map(|topic| topic.name.to_string()).collect();
    let keys = [MIN_IN_SYNC, UNCLEAN, throttle::LEADER_REPLICAS, throttle::FOLLOWER_REPLICAS];
    let dirs = async {
        let ask = |id: &i32| {
            let id = *id;
            async move { (id, client.log_dirs(id).await) }
        };
        join_all(brokers.keys().filter(|_| disks).map(ask)).await
    };
    let (configs, dirs, moving) =
        tokio::join!(client.topic_configs(&names, &keys), dirs, client.list_reassignments());

    let mut hidden = Vec::new();
    let configs = seen(cluster, configs, "topics' configs", &mut hidden)?;
    let moving = seen(cluster, moving, "reassignments that go on", &mut hidden)?;
    let mut found_dirs = BTreeMap::new();
    for (id, outcome) in dirs {
        // One that has gone down since is down.
        match outcome {
            Ok(dirs) => drop(found_dirs.insert(id, dirs)),
            Err(error) => hidden.push(format!("log directories of broker {id}: {error}")),
        }
    }
    let sizes = sizes_of(&found_dirs);
    let mut facts = Facts { cluster_id: cluster_id.map(|id| id.to_string()), ..Facts::default() };
    for (id, broker) in &brokers {
        let dirs = found_dirs.get(id).map(|dirs| dirs.iter().map(dir).collect());
        let rack = broker.rack.as_deref().map(str::to_owned);
        facts.brokers.insert(*id, Broker { live: true, rack, dirs });
    }
    for found in topics {
        let own = configs.get(&*found.name).and_then(|found| found.as_ref().ok());
        let partition = |(number, partition): (&i32, &kafka_wire::Partition)| {
            let at = (found.name.to_string(), *number);
            let partition = Partition {
                leader: partition.leader,
                replicas: partition.replicas.clone(),
                in_sync: partition.in_sync.clone(),
                bytes: sizes.get(&at).copied(),
                moving: moving.get(&at).map(of_reassignment),
            };
            (*number, partition)
        };
        // Brokers that are down are known by what is assigned to them.
        for id in found.partitions.values().flat_map(|partition| &partition.replicas) {
            facts.brokers.entry(*id).or_default();
        }
        let topic = Topic {
            internal: found.internal,
            partitions: found.partitions.iter().map(partition).collect(),
            min_in_sync: own.and_then(|own| value(own, MIN_IN_SYNC)?.parse().ok()),
            unclean: own.and_then(|own| value(own, UNCLEAN)?.parse().ok()),
            throttled: own.is_some_and(throttle::is_throttled),
        };
        facts.topics.insert(found.name.to_string(), topic);
    }
    Ok(Gathered { facts, hidden })
}

/// The answer; empty, with a word about it, where this principal may not have it or the cluster can't give it.
fn seen<T: Default>(
    cluster: &Cluster,
    outcome: Result<T, kafka_wire::Error>,
    what: &str,
    hidden: &mut Vec<String>,
) -> Result<T, Error> {
    match outcome {
        Ok(found) => Ok(found),
        Err(error)
            if error.is_not_authorized() || matches!(error.cause, kafka_wire::Cause::Unsupported(_)) =>
        {
            hidden.push(format!("{what}: {error}"));
            Ok(T::default())
        }
        Err(error) => Err(cluster.error(error)),
    }
}

fn value<'a>(configs: &'a ConfigsFound, key: &str) -> Option<&'a str> {
    configs.get(key)?.value.as_deref()
}

fn dir(found: &LogDir) -> Dir {
    Dir {
        path: found.path.clone(),
        error: found.error.map(kafka_wire::words),
        total: found.total,
        usable: found.usable,
    }
}

fn of_reassignment(found: &Reassignment) -> Moving {
    Moving { adding: found.adding.clone(), removing: found.removing.clone() }
}

/// How large each partition is: its largest replica.
fn sizes_of(dirs: &BTreeMap<i32, Vec<LogDir>>) -> BTreeMap<(String, i32), u64> {
    let mut sizes = BTreeMap::new();
    for found in dirs.values().flatten().flat_map(|dir| &dir.replicas).filter(|found| !found.future) {
        let size: &mut u64 = sizes.entry((found.topic.clone(), found.partition)).or_default();
        *size = (*size).max(found.bytes);
    }
    sizes
}

/// How large each of these brokers' replicas of these partitions is; what does not answer has none.
pub(crate) async fn sizes(
    cluster: &Cluster,
    brokers: impl IntoIterator<Item = i32>,
) -> BTreeMap<(PartitionId, i32), u64> {
    let client = &cluster.client;
    let ask = |id: i32| async move { (id, client.log_dirs_once(kafka_wire::To::Broker(id)).await) };
    let mut sizes = BTreeMap::new();
    for (id, dirs) in join_all(brokers.into_iter().map(ask)).await {
        for found in dirs.iter().flatten().flat_map(|dir| &dir.replicas).filter(|found| !found.future) {
            sizes.insert((PartitionId::new(&*found.topic, found.partition), id), found.bytes);
        }
    }
    sizes
}
