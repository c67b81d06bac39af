//! The throttle of a reassignment: set for its replicas alone, and taken off whatever happens.
//!
//! Kafka's throttle is two kinds of config: lists of `partition:broker` on topics, which say whose replication is slowed, and
//! a rate on each broker. Only what nobody has set is set here: so taking it off is deleting it. **Whose it is stands in the
//! list itself**: for each broker whose rate was set it has an entry `<broker>:2147483647`, a partition of a broker that
//! can't be, which brokers pass over. The lists are set before the rates and deleted after them, so whoever comes after a
//! kill -9, on whatever machine, finds by the entry that there is something to take off, and what.

use std::collections::{BTreeMap, BTreeSet};

use cluster_audit::Move;
use kafka_wire::{ConfigsFound, TopicChanges};

use crate::{Cluster, Error};

pub(crate) const LEADER_REPLICAS: &str = "leader.replication.throttled.replicas";
pub(crate) const FOLLOWER_REPLICAS: &str = "follower.replication.throttled.replicas";
const LEADER_RATE: &str = "leader.replication.throttled.rate";
const FOLLOWER_RATE: &str = "follower.replication.throttled.rate";

/// No broker has this id.
const MARK: i32 = i32::MAX;

/// A throttle of ours that was left behind.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LeftOver {
    /// Topics with lists of ours.
    pub topics: BTreeSet<String>,
    /// Brokers whose rates are ours.
    pub brokers: BTreeSet<i32>,
}

impl LeftOver {
    /// Whether there is nothing.
    pub fn is_empty(&self) -> bool {
        self.topics.is_empty() && self.brokers.is_empty()
    }

    /// With another.
    pub(crate) fn and(mut self, other: &Self) -> Self {
        self.topics.extend(other.topics.iter().cloned());
        self.brokers.extend(&other.brokers);
        self
    }
}

/// Partitions and brokers.
type Pairs = BTreeSet<(i32, i32)>;

/// What is to be set for some moves.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Throttle {
    /// For each topic those that send, and those that receive.
    topics: BTreeMap<String, (Pairs, Pairs)>,
    brokers: BTreeSet<i32>,
}

/// Whether a topic's replication is throttled, by whomever.
pub(crate) fn is_throttled(configs: &ConfigsFound) -> bool {
    [LEADER_REPLICAS, FOLLOWER_REPLICAS].iter().any(|key| list(configs, key).is_some())
}

fn list<'a>(configs: &'a ConfigsFound, key: &str) -> Option<&'a str> {
    let found = configs.get(key).filter(|found| found.own)?;
    found.value.as_deref().filter(|value| !value.is_empty())
}

/// The brokers whose rates are ours, by a topic's list; none if the list is not ours.
fn marked(configs: &ConfigsFound) -> Option<BTreeSet<i32>> {
    let pairs = list(configs, LEADER_REPLICAS)?.split(',').filter_map(|pair| pair.trim().split_once(':'));
    let marks = pairs.filter(|(_, broker)| broker.parse() == Ok(MARK));
    let brokers: BTreeSet<i32> = marks.filter_map(|(broker, _)| broker.parse().ok()).collect();
    Some(brokers).filter(|brokers| !brokers.is_empty())
}

// === impl Throttle ===

impl Throttle {
    /// For the replicas that these moves copy: from whoever has them, to whoever gets them.
    pub(crate) fn of<'a>(moves: impl IntoIterator<Item = &'a Move>) -> Self {
        let mut throttle = Self::default();
        for one in moves {
            let added: Vec<i32> = one.added().collect();
            if added.is_empty() {
                continue;
            }
            let (senders, receivers) = throttle.topics.entry(one.at.topic.clone()).or_default();
            // Whoever of them leads: that may change meanwhile.
            senders.extend(one.before.iter().map(|broker| (one.at.partition, *broker)));
            receivers.extend(added.iter().map(|broker| (one.at.partition, *broker)));
            throttle.brokers.extend(one.before.iter().chain(&added));
        }
        throttle
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.topics.is_empty()
    }

    /// The topics' lists, with entries that say whose they are.
    pub(crate) fn lists(&self, ours: &BTreeSet<i32>) -> BTreeMap<String, TopicChanges> {
        let text = |pairs: &mut dyn Iterator<Item = (i32, i32)>| {
            let pairs: Vec<String> = pairs.map(|(left, right)| format!("{left}:{right}")).collect();
            Some(pairs.join(","))
        };
        let lists = self.topics.iter().map(|(topic, (senders, receivers))| {
            let marks = ours.iter().map(|broker| (*broker, MARK));
            let changes = [
                (LEADER_REPLICAS.to_owned(), text(&mut senders.iter().copied().chain(marks))),
                (FOLLOWER_REPLICAS.to_owned(), text(&mut receivers.iter().copied())),
            ];
            (topic.clone(), changes.into())
        });
        lists.collect()
    }

    /// What there is to take off once it is set. A broker that has a rate keeps it, unless it is of a throttle `before` of ours.
    pub(crate) async fn to_set(
        &self,
        cluster: &Cluster,
        live: &BTreeSet<i32>,
        before: &LeftOver,
    ) -> Result<LeftOver, Error> {
        // What an earlier run has set and this one does not need still has to be taken off.
        let mut brokers = before.brokers.clone();
        for broker in self.brokers.intersection(live).filter(|broker| !before.brokers.contains(broker)) {
            if !has_rate(cluster, *broker).await? {
                brokers.insert(*broker);
            }
        }
        Ok(LeftOver { topics: self.topics.keys().cloned().collect(), brokers })
    }

    /// Sets it on these brokers, at so many bytes a second.
    pub(crate) async fn set(&self, cluster: &Cluster, rate: u64, ours: &BTreeSet<i32>) -> Result<(), Error> {
        for outcome in cluster.client.set_topic_configs(&self.lists(ours)).await.into_values() {
            outcome.map_err(|error| cluster.error(error))?;
        }
        let rate = Some(rate.to_string());
        let changes = [(LEADER_RATE.to_owned(), rate.clone()), (FOLLOWER_RATE.to_owned(), rate)].into();
        for broker in ours {
            let set = cluster.client.set_broker_configs(*broker, &changes).await;
            set.map_err(|error| cluster.error(error))?;
        }
        Ok(())
    }

    /// The topics that it is for.
    pub(crate) fn topics(&self) -> impl Iterator<Item = &String> {
        self.topics.keys()
    }
}

async fn has_rate(cluster: &Cluster, broker: i32) -> Result<bool, Error> {
    let found = cluster.client.broker_configs(broker, &[LEADER_RATE, FOLLOWER_RATE]).await;
    let found = found.map_err(|error| cluster.error(error))?;
    Ok([LEADER_RATE, FOLLOWER_RATE].iter().any(|key| list(&found, key).is_some()))
}

/// The topics that somebody else has throttled, of these.
pub(crate) async fn foreign(cluster: &Cluster, topics: &[String]) -> Result<Vec<String>, Error> {
    let found = lists_of(cluster, topics).await?;
    let foreign = found.into_iter().filter(|(_, configs)| is_throttled(configs) && marked(configs).is_none());
    Ok(foreign.map(|(topic, _)| topic).collect())
}

/// What was left behind of a throttle of ours, by whichever process, on all topics that may be seen.
pub async fn left_over(cluster: &Cluster) -> Result<LeftOver, Error> {
    let topics = cluster.client.topics().await.map_err(|error| cluster.error(error))?;
    let names: Vec<String> = topics.iter().map(|topic| topic.name.to_string()).collect();
    let mut left = LeftOver::default();
    for (topic, configs) in lists_of(cluster, &names).await? {
        if let Some(brokers) = marked(&configs) {
            left.topics.insert(topic);
            left.brokers.extend(brokers);
        }
    }
    Ok(left)
}

async fn lists_of(cluster: &Cluster, topics: &[String]) -> Result<BTreeMap<String, ConfigsFound>, Error> {
    let keys = [LEADER_REPLICAS, FOLLOWER_REPLICAS];
    let found = cluster.client.topic_configs(topics, &keys).await.map_err(|error| cluster.error(error))?;
    // A topic that is gone since has none.
    Ok(found.into_iter().filter_map(|(topic, configs)| Some((topic, configs.ok()?))).collect())
}

/// Takes a throttle off: the rates first, then what says whose they are. A broker that is down keeps its rate, which no list
/// is for any more; that it is ours stays on record, in the list of one topic, for who comes when it is up again.
pub async fn take_off(cluster: &Cluster, left: &LeftOver) -> Result<(), Error> {
    if left.is_empty() {
        return Ok(());
    }
    let live = cluster.client.brokers().await.map_err(|error| cluster.error(error))?;
    let rates: TopicChanges = [LEADER_RATE, FOLLOWER_RATE].map(|key| (key.to_owned(), None)).into();
    for broker in left.brokers.iter().filter(|broker| live.contains_key(broker)) {
        let gone = cluster.client.set_broker_configs(*broker, &rates).await;
        gone.map_err(|error| cluster.error(error))?;
    }
    let down = left.brokers.iter().filter(|broker| !live.contains_key(broker));
    let mut marks = Some(down.map(|broker| format!("{broker}:{MARK}")).collect::<Vec<_>>().join(","));
    let mut changes = BTreeMap::new();
    for topic in &left.topics {
        let kept = marks.take().filter(|marks| !marks.is_empty());
        let lists = [(LEADER_REPLICAS.to_owned(), kept), (FOLLOWER_REPLICAS.to_owned(), None)];
        changes.insert(topic.clone(), lists.into());
    }
    for outcome in cluster.client.set_topic_configs(&changes).await.into_values() {
        match outcome {
            // It went away, and its list with it.
            Err(error) if error.code() == Some(kafka_wire::Code::UnknownTopicOrPartition) => {}
            outcome => outcome.map_err(|error| cluster.error(error))?,
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use cluster_audit::PartitionId;
    use kafka_wire::ConfigFound;

    use super::*;

    fn moved(partition: i32, before: &[i32], after: &[i32]) -> Move {
        let at = PartitionId::new("t", partition);
        Move { at, before: before.to_vec(), after: after.to_vec(), leader: None, bytes: 0 }
    }

    fn configs(lists: &TopicChanges) -> ConfigsFound {
        let found = |(key, value): (&String, &Option<String>)| {
            (key.clone(), ConfigFound { value: value.clone(), own: true })
        };
        lists.iter().map(found).collect()
    }

    #[test]
    fn only_what_is_copied_is_throttled_and_the_list_says_whose_it_is() {
        let throttle = Throttle::of([&moved(0, &[1, 2], &[1, 2, 3]), &moved(1, &[1, 2], &[2, 1])]);
        let lists = throttle.lists(&[1, 3].into());
        let list = |key: &str| lists["t"][key].as_deref().unwrap();
        assert_eq!(list(LEADER_REPLICAS), "0:1,0:2,1:2147483647,3:2147483647");
        assert_eq!(list(FOLLOWER_REPLICAS), "0:3");
        assert_eq!(marked(&configs(&lists["t"])), Some([1, 3].into()));
        assert!(Throttle::of([&moved(1, &[1, 2], &[2, 1])]).is_empty());
    }

    #[test]
    fn somebody_elses_list_is_not_ours() {
        for value in ["0:1,0:2", "*", "none", ""] {
            let lists = [(LEADER_REPLICAS.to_owned(), Some(value.to_owned()))].into();
            assert_eq!(marked(&configs(&lists)), None, "{value}");
        }
    }
}
