//! Other links: what they lead where, by the rules that they have on record on either cluster; and what this one leads, on
//! record for them. Looked at when this one starts, and every minute.
//!
//! A link's control topic is on its target. So those on our target write there beside us, and those on our source feed it.
//! What may not be seen is left out: the topics of other links are nothing that this one needs.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use cluster_admin::Topics;
use control_topic::{ControlTopic, journal_of, link_of};
use futures::{StreamExt as _, stream};
use kafka_wire::{Client, Settings};
use link_journal::{Journal, JournalState, TopicState};
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
/// How often others are looked for.
const EVERY: Duration = Duration::from_secs(60);
/// How often this link's rules are written again, so that others can tell that it still runs.
const AGAIN: Duration = Duration::from_secs(5 * 60);
/// What was passed on counts for so long.
const PASSED_ON: Duration = Duration::from_secs(15 * 60);

/// A link is known by its target and its name.
type Known = BTreeMap<Key, Rules>;

/// What other links lead where.
pub(crate) struct Beside {
    own: OtherLink,
    /// What this link has on record.
    said: Rules,
    found: Vec<Found>,
    others: Vec<Rules>,
    links: Vec<OtherLink>,
    /// What an earlier start had on record, or another instance has.
    before: Option<Rules>,
    looked: Instant,
}

/// A control topic that is on one of the clusters.
#[derive(Debug, Clone)]
pub struct Found {
    /// The id of the cluster.
    pub cluster: String,
    /// Its link.
    pub link: String,
    /// The rules in it: the link's own, and those of links that it has seen.
    pub rules: Vec<Rules>,
    /// Whether it counts: whether it runs.
    pub runs: bool,
}

/// The rules of all links that were found, or seen by those that run. What a link says of itself counts, where it is there;
/// otherwise what was seen of it last, for a while.
pub fn merged(found: &[Found]) -> Vec<Rules> {
    let key =
        |cluster: &str, link: &str| Key::Rules { target_cluster: cluster.to_owned(), link: link.to_owned() };
    let there: BTreeSet<Key> = found.iter().map(|found| key(&found.cluster, &found.link)).collect();
    let mut known = Known::new();
    for (key, rules) in
        found.iter().filter(|found| found.runs).flat_map(|found| found.rules.iter().map(keyed))
    {
        let is_newest = known.get(&key).is_none_or(|other: &Rules| other.since < rules.since);
        if !there.contains(&key) && age(&rules) <= PASSED_ON && is_newest {
            known.insert(key, rules);
        }
    }
    for found in found.iter().filter(|found| found.runs) {
        let own = found.rules.iter().find(|rules| rules.link == found.link);
        known.extend(own.map(keyed));
    }
    known.into_values().collect()
}

impl Beside {
    /// Puts this link's rules on record, and looks for those of others that run. `left_out`: topics that are refused;
    /// `earlier`: what was seen before, which still counts of a link that can't be looked at now. None where a cluster has no
    /// id.
    pub(crate) async fn look(
        config: &LinkConfig,
        (ids, started): (&ClusterIds, i64),
        (target, topic): (&Client, &ControlTopic),
        (sources, targets): (&Topics, &Topics),
        left_out: &BTreeSet<String>,
        earlier: Option<&Self>,
    ) -> Result<Option<Self>, control_topic::Error> {
        let Ok(source) = Settings::new(config.source.properties.iter()).map(Client::new) else {
            return Ok(None);
        };
        let Some(all) = rules_of(config, ids) else { return Ok(None) };
        let Some(own) = said(config, (ids, started), left_out) else { return Ok(None) };
        let on_record = topic.read_committed(PARTITION, Keep::Tails).await?;
        let on_record: Known = on_record.rules().map(keyed).collect();
        let key = keyed(&own).0;
        let before = on_record.get(&key).cloned();
        let is_same =
            |before: &Rules| age(before) <= AGAIN && *before == Rules { since: before.since, ..own.clone() };
        // On record before others are looked for: of two that start together, at least one sees the other.
        if !before.as_ref().is_some_and(is_same) {
            topic.write(PARTITION, vec![Record::Rules(own.clone()).encode()]).await?;
        }
        let known = earlier.map_or(&[][..], |earlier| &earlier.found);
        let mut found = links_on(target, &own.target_cluster, targets, known).await;
        found.retain(|found| found.link != config.link);
        if own.source_cluster != own.target_cluster {
            found.extend(links_on(&source, &own.source_cluster, sources, known).await);
        }
        let others: Vec<Rules> = merged(&found).into_iter().filter(|rules| keyed(rules).0 != key).collect();
        let known: Known = others.iter().map(keyed).collect();
        let gone = on_record.keys().filter(|before| **before != key && !known.contains_key(before));
        let news = known.iter().filter(|(key, rules)| on_record.get(key) != Some(rules));
        let news = news.map(|(_, rules)| Record::Rules(rules.clone()).encode());
        let news: Vec<ControlRecord> = gone.map(Key::tombstone).chain(news).collect();
        if !news.is_empty() {
            topic.write(PARTITION, news).await?;
        }
        // Of a pair, one of the two rests.
        let is_partner = |rules: &&Rules| {
            config.reverse.as_ref() == Some(&rules.link)
                && (&rules.source_cluster, &rules.target_cluster)
                    == (&own.target_cluster, &own.source_cluster)
        };
        let links = others.iter().filter(|rules| !is_partner(rules)).filter_map(OtherLink::new).collect();
        let looked = Instant::now();
        Ok(OtherLink::new(&all).map(|all| Self { own: all, said: own, found, others, links, before, looked }))
    }

    /// Puts on record which topics are refused, if those are others than before: no other link is to be refused for them, or
    /// each is again.
    pub(crate) async fn leave_out(
        &mut self,
        config: &LinkConfig,
        ids: &ClusterIds,
        topic: &ControlTopic,
        left_out: &BTreeSet<String>,
    ) {
        let Some(own) = said(config, (ids, self.said.started), left_out) else { return };
        if own.exclude == self.said.exclude {
            return;
        }
        match topic.write(PARTITION, vec![Record::Rules(own.clone()).encode()]).await {
            Ok(_) => self.said = own,
            Err(error) => not_on_record(&error),
        }
    }

    /// Whether it is time to look again.
    pub(crate) fn is_old(&self) -> bool {
        self.looked.elapsed() >= EVERY
    }

    /// How a source topic comes back to itself, if it does.
    pub(crate) fn comes_back(&self, topic: &str) -> Option<Chain> {
        comes_back(&self.own, &self.links, topic)
    }

    /// Whether this link is the one of a chain to give way: it has started last.
    pub(crate) fn gives_way(&self, chain: &Chain) -> bool {
        let in_chain = |rules: &&Rules| chain.hops.iter().any(|(link, _)| *link == rules.link);
        self.others.iter().filter(in_chain).all(|rules| rules.started <= self.said.started)
    }

    /// The link does not start, and must not be in others' way. Another instance of it may run, with what was on record.
    pub(crate) async fn withdraw(self, config: &LinkConfig, ids: &ClusterIds, topic: &ControlTopic) {
        let Some(own) = rules_of(config, ids) else { return };
        let record = match self.before {
            Some(before) => Record::Rules(before).encode(),
            None => Record::Rules(own).key().tombstone(),
        };
        if let Err(error) = topic.write(PARTITION, vec![record]).await {
            not_on_record(&error);
        }
    }
}

/// What a link leads where, between clusters with these ids; none where one has no id.
pub fn rules_of(config: &LinkConfig, ids: &ClusterIds) -> Option<Rules> {
    let rules = config.rules.config().clone();
    let (source_cluster, target_cluster) = (ids.source.clone()?, ids.target.clone()?);
    // Within one cluster none is written.
    let one_cluster = source_cluster == target_cluster;
    Some(Rules {
        link: config.link.clone(),
        group: config.group.clone(),
        include: rules.include,
        exclude: rules.exclude,
        rename: rules.rename,
        origin_headers: if one_cluster { Vec::new() } else { config.origins.by_topic.clone() },
        source_cluster,
        target_cluster,
        started: 0,
        since: now_ms(),
    })
}

/// What a link has on record. What is refused is left out for others alone: here it has to be found again each time.
fn said(
    config: &LinkConfig,
    (ids, started): (&ClusterIds, i64),
    left_out: &BTreeSet<String>,
) -> Option<Rules> {
    let mut own = Rules { started, ..rules_of(config, ids)? };
    own.exclude.extend(left_out.iter().map(|topic| Pattern::exactly(topic).as_str().to_owned()));
    Some(own)
}

fn keyed(rules: &Rules) -> (Key, Rules) {
    (Record::Rules(rules.clone()).key(), rules.clone())
}

fn age(rules: &Rules) -> Duration {
    Duration::from_millis(now_ms().saturating_sub(rules.since).unsigned_abs())
}

fn not_on_record(error: &control_topic::Error) {
    warn!("what this link mirrors can't be put on record for other links, which may lead it back: {error}");
}

/// Patterns of the topics that are stopped by what was decided.
pub fn stopped_in(decided: &JournalState) -> Vec<String> {
    let stopped = decided.topics().filter(|(_, state)| *state == TopicState::Stopped);
    stopped.map(|(topic, _)| Pattern::exactly(topic).as_str().to_owned()).collect()
}

/// Patterns of the topics that somebody has stopped this link for.
async fn stopped(client: &Client, link: &str, topics: &Topics) -> Result<Vec<String>, Error> {
    if !topics.contains_key(&*journal_of(link)) {
        return Ok(Vec::new());
    }
    let Some(journal) = Journal::open(client, link).await? else { return Ok(Vec::new()) };
    Ok(stopped_in(&journal.read().await?))
}

/// The links whose target this cluster is, of this id. Of one that does not answer now, what is `known` of it still counts;
/// one that may not be seen is left out.
async fn links_on(client: &Client, id: &str, topics: &Topics, known: &[Found]) -> Vec<Found> {
    let named: Vec<String> = topics.keys().filter_map(|topic| link_of(topic)).map(str::to_owned).collect();
    let one = |link: String| async move {
        found(client, id, &link, topics).await.unwrap_or_else(|error| {
            debug!("link {link} is not looked at: {error}");
            let known = known.iter().find(|known| (&*known.cluster, &known.link) == (id, &link));
            known.filter(|_| error.is_retriable()).cloned()
        })
    };
    let found: Vec<Option<Found>> = stream::iter(named).map(one).buffered(AT_ONCE).collect().await;
    found.into_iter().flatten().collect()
}

async fn found(client: &Client, id: &str, link: &str, topics: &Topics) -> Result<Option<Found>, Error> {
    let Some(topic) = ControlTopic::open(client, link).await? else { return Ok(None) };
    let state = topic.read_committed(PARTITION, Keep::Tails).await?;
    let mut rules: Vec<Rules> = state.rules().cloned().collect();
    let Some(own) = rules.iter_mut().find(|rules| rules.link == link) else { return Ok(None) };
    match stopped(client, link, topics).await {
        Err(error) if error.is_retriable() => return Err(error),
        stopped => own.exclude.extend(stopped.unwrap_or_default()),
    }
    let just_started = age(own) <= JUST_STARTED && own.started >= own.since - JUST_STARTED.as_millis() as i64;
    let runs = just_started || has_members(client, &own.group).await?;
    Ok(Some(Found { cluster: id.to_owned(), link: link.to_owned(), rules, runs }))
}

/// Whether a group has members, as far as that may be seen.
async fn has_members(client: &Client, group: &str) -> Result<bool, Error> {
    match client.group_members(group).await {
        Err(error) if error.is_retriable() => Err(error.into()),
        members => Ok(members.is_ok_and(|members| members > 0)),
    }
}

/// What can't be seen of another link.
#[derive(Debug, thiserror::Error)]
enum Error {
    #[error(transparent)]
    Topic(#[from] control_topic::Error),
    #[error(transparent)]
    Group(#[from] kafka_wire::Error),
}

impl Error {
    fn is_retriable(&self) -> bool {
        match self {
            Self::Topic(error) => error.is_retriable(),
            Self::Group(error) => error.is_retriable(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(link: &str, topic: &str, since: i64) -> Rules {
        let (from, to) = link.split_once('-').expect("two clusters");
        Rules {
            link: link.to_owned(),
            source_cluster: from.to_owned(),
            target_cluster: to.to_owned(),
            group: String::new(),
            include: vec![topic.to_owned()],
            exclude: Vec::new(),
            rename: Vec::new(),
            origin_headers: Vec::new(),
            started: 0,
            since,
        }
    }

    fn found(link: &str, runs: bool, rules: Vec<Rules>) -> Found {
        let cluster = link.split_once('-').expect("two clusters").1.to_owned();
        Found { cluster, link: link.to_owned(), rules, runs }
    }

    /// Which topics the link from a to b leads, by what was found.
    fn leads(found: &[Found]) -> Vec<String> {
        let of_it = merged(found).into_iter().filter(|rules| rules.link == "a-b");
        of_it.flat_map(|rules| rules.include).collect()
    }

    #[test]
    fn what_a_link_says_of_itself_counts_and_nothing_of_one_that_does_not_run() {
        let now = now_ms();
        let passed_on = found("b-c", true, vec![rules("b-c", "x", now), rules("a-b", "seen", now)]);
        assert_eq!(leads(std::slice::from_ref(&passed_on)), ["seen"]);
        let own = |runs| found("a-b", runs, vec![rules("a-b", "own", now - 1000)]);
        assert_eq!(leads(&[passed_on.clone(), own(true)]), ["own"]);
        assert!(
            leads(&[passed_on.clone(), own(false)]).is_empty(),
            "it was stopped, and b-c has not looked since"
        );
        let stopped = Found { runs: false, ..passed_on };
        assert!(leads(&[stopped]).is_empty());
    }

    #[test]
    fn of_what_was_passed_on_the_newest_counts_and_is_forgotten_after_a_while() {
        let now = now_ms();
        let passed_on =
            |link, topic, since| found(link, true, vec![rules(link, "x", now), rules("a-b", topic, since)]);
        let both = [passed_on("b-c", "older", now - 2000), passed_on("b-d", "newer", now - 1000)];
        assert_eq!(leads(&both), ["newer"]);
        let [older, newer] = both;
        assert_eq!(leads(&[newer, older]), ["newer"]);
        assert!(leads(&[passed_on("b-c", "old", now - 2 * PASSED_ON.as_millis() as i64)]).is_empty());
    }
}
