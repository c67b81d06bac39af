//! Other links, by what they have on record on either cluster: those that lead back, those that write to the same topics,
//! and this link the other way round.
//!
//! A link's control topic is on its target. So those on our target write there beside us, and those on our source feed it.
//! What may not be seen is left out: the topics of other links are nothing that this one needs.

use std::collections::BTreeSet;

use cluster_admin::Topics;
use control_topic::{ControlTopic, Error, journal_of, link_of};
use futures::{StreamExt as _, stream};
use kafka_wire::Client;
use link_journal::{Journal, TopicState};
use mirror_types::Side;
use offset_marks::control::{Keep, Rules};
use pipeline::{CHAIN_FIX, stopped_in};

use super::{Facts, Finding, Severity, Subject, TargetFacts, TopicFacts};

/// Links that are looked at at a time.
const AT_ONCE: usize = 4;

/// Another link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OtherLink {
    /// Which of our clusters is its target.
    pub side: Side,
    /// Its name.
    pub name: String,
    /// The id of its source cluster, if it has noted one.
    pub source_cluster: Option<String>,
    /// Whether it runs: its group has members; none where that may not be seen.
    pub runs: Option<bool>,
    /// Its lanes' topics, on its source and on its target, without those that were stopped.
    pub routes: BTreeSet<(String, String)>,
    /// Its rules, and those of links that it has seen; nothing where it is of an earlier version.
    pub rules: Vec<Rules>,
}

/// The links whose target this cluster is.
pub(crate) async fn look(client: &Client, side: Side, topics: &Topics) -> Vec<OtherLink> {
    let named = topics.keys().filter_map(|topic| link_of(topic));
    let one = |link: String| async move {
        let has_journal = topics.contains_key(&*journal_of(&link));
        let found = other(client, side, &link, has_journal).await;
        found
            .inspect_err(|error| tracing::debug!("link {link} on the {side} is not looked at: {error}"))
            .ok()?
    };
    stream::iter(named.map(str::to_owned))
        .map(one)
        .buffered(AT_ONCE)
        .filter_map(async |found| found)
        .collect()
        .await
}

async fn other(
    client: &Client,
    side: Side,
    name: &str,
    has_journal: bool,
) -> Result<Option<OtherLink>, Error> {
    let Some(topic) = ControlTopic::open(client, name).await? else { return Ok(None) };
    let Some(claim) = topic.link().await? else { return Ok(None) };
    let journal = if has_journal { Journal::open(client, name).await? } else { None };
    let decided = match journal {
        Some(journal) => Some(journal.read().await?),
        None => None,
    };
    let is_stopped = |topic: &str| {
        let decision = decided.as_ref().and_then(|decided| decided.topic(topic));
        decision.is_some_and(|decision| decision.state == TopicState::Stopped)
    };
    let states = topic.read_all_committed(Keep::Tails).await?;
    let lanes = states.iter().flat_map(|state| state.lanes()).filter(|lane| !is_stopped(&lane.source_topic));
    let stopped = decided.as_ref().map(stopped_in).unwrap_or_default();
    let mut rules: Vec<Rules> = states.first().into_iter().flat_map(|state| state.rules().cloned()).collect();
    for own in rules.iter_mut().filter(|rules| rules.link == name) {
        own.exclude.extend(stopped.iter().cloned());
    }
    let members = client.group_members(topic.name()).await;
    Ok(Some(OtherLink {
        side,
        name: name.to_owned(),
        source_cluster: claim.source_cluster,
        runs: members.ok().map(|members| members > 0),
        routes: lanes.map(|lane| (lane.source_topic.clone(), lane.target_topic.clone())).collect(),
        rules,
    }))
}

pub(crate) fn findings(facts: &Facts, found: &mut Vec<Finding>) {
    found.extend(swapped(facts));
    for topic in &facts.topics {
        let chain = comes_back(facts, topic);
        found.extend(facts.others.iter().filter_map(|other| match other.side {
            Side::Source if chain.is_some() || facts.rules.is_some() && !other.rules.is_empty() => None,
            Side::Source => leads_back(facts, topic, other),
            Side::Target => writes_too(topic, other),
        }));
        found.extend(chain);
        found.extend(comes_twice(facts, topic));
    }
}

/// A topic that would come back over other links, by their rules.
fn comes_back(facts: &Facts, topic: &TopicFacts) -> Option<Finding> {
    let own = pipeline::OtherLink::new(facts.rules.as_ref()?)?;
    let found = |other: &OtherLink| {
        let cluster = if other.side == Side::Target { &facts.target.id } else { &facts.source.id };
        let (cluster, link) = (cluster.clone()?, other.name.clone());
        Some(pipeline::Found { cluster, link, rules: other.rules.clone(), runs: true })
    };
    let all = pipeline::merged(&facts.others.iter().filter_map(found).collect::<Vec<_>>());
    let all = all.iter().filter(|rules| (&rules.target_cluster, &rules.link) != own.name());
    let all: Vec<_> = all.filter_map(pipeline::OtherLink::new).collect();
    let chain = pipeline::comes_back(&own, &all, &topic.topic)?;
    let others = facts.others.iter().filter(|other| chain.hops.iter().any(|(link, _)| *link == other.name));
    let states: Vec<_> = others.map(severity_of).collect();
    let doubt = states.iter().find(|(severity, _)| *severity == Severity::Warning);
    let (severity, state) = doubt.copied().unwrap_or((Severity::Error, "runs"));
    let finding = Finding::new(
        severity,
        "loop-of-links",
        Subject::topic(Side::Source, &topic.topic),
        format!("it would come back over other links: {chain}; the link that leads back {state}"),
        "what one of the links writes, the next would read: a loop, or links that stop each other",
    );
    Some(finding.fix(CHAIN_FIX))
}

/// Records of a third cluster that come to the target over this link, and over another that comes from there.
fn comes_twice(facts: &Facts, topic: &TopicFacts) -> Option<Finding> {
    if !topic.is_shared() || facts.only_own {
        return None;
    }
    let to = |side, topic: &str| {
        let topic = topic.to_owned();
        let others =
            facts.others.iter().filter(move |other| other.side == side && other.source_cluster.is_some());
        others.filter(move |other| other.routes.iter().any(|(_, target)| *target == topic))
    };
    let (other, feeds) = to(Side::Target, &topic.target_topic).find_map(|other| {
        let feeds =
            to(Side::Source, &topic.topic).find(|feeds| feeds.source_cluster == other.source_cluster)?;
        (other.source_cluster != facts.source.id).then_some((other, feeds))
    })?;
    let finding = Finding::new(
        Severity::Error,
        "records-come-twice",
        Subject::topic(Side::Source, &topic.topic),
        format!(
            "link {} brings records of a third cluster to it, and link {} brings the same to {}",
            feeds.name, other.name, topic.target_topic
        ),
        "each of those records would be on the target twice",
    );
    Some(finding.fix(
        "set topics.origins = \"own\": each link then brings what was produced on its source, and no more",
    ))
}

/// This link, the other way round.
fn swapped(facts: &Facts) -> Option<Finding> {
    let is_it = |other: &&OtherLink| {
        let from_target = other.source_cluster.is_none() || other.source_cluster == facts.target.id;
        other.side == Side::Source && other.name == facts.link && from_target
    };
    facts.others.iter().find(is_it).filter(|_| matches!(facts.control.topic, TargetFacts::Missing { .. }))?;
    let (source, target) = (&facts.source.name, &facts.target.name);
    let finding = Finding::new(
        Severity::Error,
        "clusters-swapped",
        Subject::link(&facts.link),
        format!("its marks are on {source}, which is its source here, and there are none on {target}"),
        "source and target may have been swapped; the link does not start",
    );
    Some(
        finding
            .fix("see [source.kafka] and [target.kafka]; a link the other way round needs a name of its own"),
    )
}

/// A link that mirrors from our target topic to our source topic.
fn leads_back(facts: &Facts, topic: &TopicFacts, other: &OtherLink) -> Option<Finding> {
    let from_target = facts.target.id.is_some() && other.source_cluster == facts.target.id;
    let back = (topic.target_topic.clone(), topic.topic.clone());
    if !from_target || !other.routes.contains(&back) {
        return None;
    }
    let (severity, state) = severity_of(other);
    let name = &other.name;
    let finding = Finding::new(
        severity,
        "loop-of-links",
        Subject::topic(Side::Source, &topic.topic),
        format!(
            "link {name} mirrors {} of {} back to it, and {state}",
            topic.target_topic, facts.target.name
        ),
        "what one of the two links writes, the other would read: a loop, or two that stop each other",
    );
    Some(finding.fix(format!(
        "stop link {name} for the topic first (isomirror topics ITS-CONFIG stop {}), or rename on one of the two ways",
        topic.target_topic
    )))
}

/// A link that writes to our target topic.
fn writes_too(topic: &TopicFacts, other: &OtherLink) -> Option<Finding> {
    let theirs = other.routes.iter().find(|(_, target)| *target == topic.target_topic)?;
    if topic.is_shared() {
        return None;
    }
    let (severity, state) = severity_of(other);
    let name = &other.name;
    let finding = Finding::new(
        severity,
        "target-of-another-link",
        Subject::topic(Side::Target, &topic.target_topic),
        format!("link {name} mirrors {} to it, and {state}", theirs.0),
        "a lane is the only writer of its target partition: it would find the other's records, and stop",
    );
    Some(finding.fix(format!(
        "stop link {name} for the topic (isomirror topics ITS-CONFIG stop {}), or rename on one of the two",
        theirs.0
    )))
}

fn severity_of(other: &OtherLink) -> (Severity, &'static str) {
    match other.runs {
        Some(true) => (Severity::Error, "runs"),
        Some(false) => (Severity::Warning, "does not run now"),
        None => (Severity::Warning, "whether it runs may not be seen"),
    }
}
