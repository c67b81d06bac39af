//! Other links, when this one starts: what they lead where, by the rules that they have on record on either cluster; and what
//! this one leads, on record for those that start later.
//!
//! A link's control topic is on its target. So those on our target write there beside us, and those on our source feed it.
//! What may not be seen is left out: the topics of other links are nothing that this one needs.

use std::{collections::BTreeMap, time::Duration};

use cluster_admin::Topics;
use control_topic::{ControlTopic, journal_of, link_of};
use futures::{StreamExt as _, stream};
use kafka_wire::{Client, Settings};
use link_journal::{Journal, TopicState};
use offset_marks::{
    control::{ControlRecord, Keep, Key, Record, Rules},
    now_ms,
};
use topic_rename::Pattern;
use tracing::{debug, warn};

use crate::{
    LinkConfig,
    chain::{Chain, OtherLink, comes_back},
    marks::ClusterIds,
};

/// Where rules are.
const PARTITION: i32 = 0;
/// Links that are looked at at a time.
const AT_ONCE: usize = 4;
/// A link whose rules are no older than this may be about to join its group.
const JUST_STARTED: Duration = Duration::from_secs(60);

/// A link is known by its target and its name.
type Known = BTreeMap<Key, Rules>;

/// What other links lead where.
pub(crate) struct Beside {
    own: OtherLink,
    others: Vec<OtherLink>,
}

impl Beside {
    /// Puts this link's rules on record, and looks for those of others that run. None where they are not to be had.
    pub(crate) async fn look(
        config: &LinkConfig,
        ids: &ClusterIds,
        target: &Client,
        (sources, targets): (&Topics, &Topics),
    ) -> Option<Self> {
        let source = Client::new(Settings::new(config.source.properties.iter()).ok()?);
        let own = rules_of(config, ids)?;
        let topic = ControlTopic::open(target, &config.link).await.ok()??;
        let before = topic.read_committed(PARTITION, Keep::Tails).await.ok()?;
        let before: Known = before.rules().map(keyed).collect();
        // On record before others are looked for: of two that start together, at least one sees the other.
        write(&topic, vec![Record::Rules(own.clone()).encode()]).await;
        let key = Record::Rules(own.clone()).key();
        let mut known = running(target, targets).await;
        known.extend(running(&source, sources).await);
        known.remove(&key);
        let gone = before.keys().filter(|before| **before != key && !known.contains_key(before));
        let news = known.iter().filter(|(key, rules)| before.get(key) != Some(rules));
        let news = news.map(|(_, rules)| Record::Rules(rules.clone()).encode());
        write(&topic, gone.map(Key::tombstone).chain(news).collect()).await;
        // Of a pair, one of the two rests.
        let is_partner = |rules: &&Rules| {
            config.reverse.as_ref() == Some(&rules.link)
                && (&rules.source_cluster, &rules.target_cluster)
                    == (&own.target_cluster, &own.source_cluster)
        };
        let others = known.values().filter(|rules| !is_partner(rules)).filter_map(OtherLink::new).collect();
        Some(Self { own: OtherLink::new(&own)?, others })
    }

    /// How a source topic comes back to itself, if it does.
    pub(crate) fn comes_back(&self, topic: &str) -> Option<Chain> {
        comes_back(&self.own, &self.others, topic)
    }
}

/// The link does not start, and must not be in others' way.
pub(crate) async fn withdraw(config: &LinkConfig, ids: &ClusterIds, target: &Client) {
    let Some(own) = rules_of(config, ids) else { return };
    if let Ok(Some(topic)) = ControlTopic::open(target, &config.link).await {
        write(&topic, vec![Record::Rules(own).key().tombstone()]).await;
    }
}

/// What a link leads where, between clusters with these ids; none where one has no id.
pub fn rules_of(config: &LinkConfig, ids: &ClusterIds) -> Option<Rules> {
    let rules = config.rules.config().clone();
    Some(Rules {
        link: config.link.clone(),
        source_cluster: ids.source.clone()?,
        target_cluster: ids.target.clone()?,
        group: config.group.clone(),
        include: rules.include,
        exclude: rules.exclude,
        rename: rules.rename,
        origin_headers: config.origins.by_topic.clone(),
        since: now_ms(),
    })
}

fn keyed(rules: &Rules) -> (Key, Rules) {
    (Record::Rules(rules.clone()).key(), rules.clone())
}

async fn write(topic: &ControlTopic, records: Vec<ControlRecord>) {
    if records.is_empty() {
        return;
    }
    if let Err(error) = topic.write(PARTITION, records).await {
        warn!(
            "what this link mirrors can't be put on record for other links, which may lead it back: {error}"
        );
    }
}

/// Patterns of the topics that somebody has stopped this link for.
async fn stopped(client: &Client, link: &str, topics: &Topics) -> Vec<String> {
    if !topics.contains_key(&*journal_of(link)) {
        return Vec::new();
    }
    let Ok(Some(journal)) = Journal::open(client, link).await else { return Vec::new() };
    let Ok(decided) = journal.read().await else { return Vec::new() };
    let stopped = decided.topics().filter(|(_, state)| *state == TopicState::Stopped);
    stopped.map(|(topic, _)| Pattern::exactly(topic).as_str().to_owned()).collect()
}

/// The links whose target this cluster is, and that run; with those that they have seen.
async fn running(client: &Client, topics: &Topics) -> Known {
    let named: Vec<String> = topics.keys().filter_map(|topic| link_of(topic)).map(str::to_owned).collect();
    let one = |link: String| async move {
        let topic = ControlTopic::open(client, &link).await.ok()??;
        let state = topic.read_committed(PARTITION, Keep::Tails).await;
        let state = state.inspect_err(|error| debug!("link {link} is not looked at: {error}")).ok()?;
        let mut all: Known = state.rules().map(keyed).collect();
        let own = all.values_mut().find(|rules| rules.link == link)?;
        own.exclude.extend(stopped(client, &link, topics).await);
        let age = Duration::from_millis(now_ms().saturating_sub(own.since).max(0) as u64);
        let runs =
            age <= JUST_STARTED || client.group_members(&own.group).await.is_ok_and(|members| members > 0);
        runs.then_some(all)
    };
    let found = stream::iter(named).map(one).buffered(AT_ONCE).filter_map(async |found| found);
    let mut known = Known::new();
    for rules in found.collect::<Vec<_>>().await.into_iter().flatten().map(|(_, rules)| rules) {
        // What a link says of itself is newer than what others have seen of it.
        let (key, rules) = keyed(&rules);
        match known.get(&key) {
            Some(other) if other.since >= rules.since => {}
            _ => drop(known.insert(key, rules)),
        }
    }
    known
}
