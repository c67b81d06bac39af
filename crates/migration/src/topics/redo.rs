//! Beginning topics anew: the target topic is deleted and made again, the marks are forgotten, and the topic is started.
//!
//! Each step can be the last one before a crash: done again, it goes on from there. The topic is stopped meanwhile, whoever
//! runs the link; nothing is deleted before all that run it have let it go.

use std::collections::{BTreeMap, BTreeSet};

use cluster_admin::{Cluster, TopicConfigs};
use kafka_wire::{Code, OffsetSpec, Topic};
use link_journal::{Decision, Journal, JournalState, TopicState};
use mirror_types::{Offset, Side};
use offset_marks::{LaneStart, OffsetsMode, WritersMode, control::Keep};
use pipeline::{NewTopic, TopicPlan};
use serde::Serialize;

use super::{
    Error, Report, Request,
    change::{Changed, Done, REDO, decision, distinct, followed},
    scene::Scene,
};
use crate::sides::{admin, topics};

/// How often a topic is asked for that was deleted a moment ago, and is still there for some broker.
const ATTEMPTS: u32 = 20;

/// What would be cleared, and what it takes to do it.
pub struct Redo {
    request: Request,
    scene: Scene,
    clearings: Vec<Clearing>,
}

/// A target topic that is to be cleared.
#[derive(Debug, Clone, Serialize)]
pub struct Clearing {
    /// The topic on the source.
    pub topic: String,
    /// The one that is deleted.
    pub target_topic: String,
    /// Whether it is there.
    pub there: bool,
    /// Its partitions.
    pub partitions: usize,
    /// The offsets it holds: so many records, or fewer.
    pub offsets: u64,
    #[serde(skip)]
    id: Option<String>,
}

/// Finds out what would be cleared. Changes nothing.
pub async fn redo(request: &Request) -> Result<Redo, Error> {
    let scene = Scene::of(request).await?;
    let decided = scene.journal().await?;
    let topics_asked = distinct(&request.topics);
    scene.check_known(&topics_asked, decided.as_ref())?;
    let targets = topics(&scene.clusters, Side::Target).await?;
    let mut clearings = Vec::new();
    for topic in &topics_asked {
        at_rest(&scene, topic, decided.as_ref())?;
        let target_topic = target_of(&scene, topic)?;
        let target = targets.get(&target_topic).map(|target| &**target);
        let mut clearing = Clearing {
            topic: topic.clone(),
            there: target.is_some(),
            partitions: target.map_or(0, |target| target.partitions.len()),
            offsets: 0,
            id: target.and_then(Topic::id_text),
            target_topic,
        };
        if let Some(target) = target {
            clearing.offsets = held(&scene, &clearing, target).await?;
        }
        clearings.push(clearing);
    }
    Ok(Redo { request: request.clone(), scene, clearings })
}

fn refused<T>(what: String, fix: impl Into<String>) -> Result<T, Error> {
    Err(Error::Refused { what, fix: fix.into() })
}

/// Whether nobody mirrors it now.
fn at_rest(scene: &Scene, topic: &str, decided: Option<&JournalState>) -> Result<(), Error> {
    if !scene.link.rules.includes(topic) || !scene.sources.contains_key(topic) {
        return refused(
            format!("{topic} can't be begun anew: the link does not mirror it, or it is not on the source"),
            "see topics.include",
        );
    }
    match scene.plan(topic, decided) {
        TopicPlan::Pause | TopicPlan::Stop => Ok(()),
        TopicPlan::Rest => refused(
            format!("{topic} is the pair's other link's to mirror"),
            "what it would clear is the active site's",
        ),
        TopicPlan::Run => {
            refused(format!("{topic} is being mirrored"), format!("isomirror topics CONFIG pause {topic}"))
        }
        TopicPlan::Wait => {
            refused(format!("{topic} has not begun"), format!("isomirror topics CONFIG start {topic}"))
        }
    }
}

/// The target topic of a topic that this link has filled, and nobody else.
fn target_of(scene: &Scene, topic: &str) -> Result<String, Error> {
    let target = scene.link.rules.resolve(topic).ok().flatten();
    let Some(target) = target else {
        return refused(format!("no rule leads topic {topic} anywhere"), "see topics.rename");
    };
    let by_hand = format!(
        "if it is to be deleted all the same: stop isomirror, delete topic {target} on the target, isomirror marks CONFIG forget \
         --topic {topic}, isomirror topics CONFIG start {topic}, and start isomirror"
    );
    if let Some(lane) = scene.lanes_of(topic).find(|lane| lane.target_topic != target) {
        let what = format!("{topic} was mirrored to {}, and would now be to {target}", lane.target_topic);
        return refused(what, "take the change of topics.rename back first");
    }
    if let Some(lane) =
        scene.lanes.iter().find(|lane| lane.target_topic == target && lane.source_topic != topic)
    {
        let what = format!("topic {} was mirrored to {target}, too", lane.source_topic);
        return refused(what, by_hand);
    }
    if scene.lanes_of(topic).any(|lane| lane.writers == WritersMode::Shared) {
        return refused(format!("others write to topic {target}, too: their records would go"), by_hand);
    }
    let behind = |lane: &&LaneStart| lane.offsets == OffsetsMode::Translated && lane.at.target > 0;
    if let Some(lane) = scene.lanes_of(topic).find(behind) {
        let what = format!(
            "{target}[{}] held something when this link began to write behind it, at offset {}: that would go, too",
            lane.partition, lane.at.target
        );
        return refused(what, by_hand);
    }
    Ok(target)
}

/// What a target topic holds that this link has filled.
async fn held(scene: &Scene, clearing: &Clearing, target: &Topic) -> Result<u64, Error> {
    let Clearing { topic, target_topic, id, .. } = clearing;
    let other = |lane: &&LaneStart| {
        lane.target_topic_id.as_ref().zip(id.as_ref()).is_some_and(|(then, now)| then != now)
    };
    if scene.lanes_of(topic).any(|lane| other(&lane)) {
        return refused(
            format!(
                "topic {target_topic} is not the one that this link has filled: it was deleted and made again since"
            ),
            format!(
                "see what it is; if it is to be filled from its start: delete it, and isomirror topics CONFIG redo {topic}"
            ),
        );
    }
    let begun: BTreeSet<i32> = scene.lanes_of(topic).map(|lane| lane.partition).collect();
    let partitions: Vec<i32> = target.partitions.keys().copied().collect();
    let asked: Vec<(&str, i32)> =
        partitions.iter().map(|partition| (target_topic.as_str(), *partition)).collect();
    let client = scene.clusters.client(Side::Target);
    let isolation = kafka_wire::Isolation::ReadUncommitted;
    let firsts = client.list_offsets(&asked, OffsetSpec::Earliest, isolation).await;
    let ends = client.list_offsets(&asked, OffsetSpec::Latest, isolation).await;
    let mut held = 0;
    for ((partition, first), end) in partitions.into_iter().zip(firsts).zip(ends) {
        let offset = |listed: Result<kafka_wire::Listed, _>| -> Result<Offset, Error> {
            Ok(listed.map_err(|error| scene.clusters.error(Side::Target, error))?.offset)
        };
        let holds = (offset(end)? - offset(first)?).unsigned_abs();
        if holds > 0 && !begun.contains(&partition) {
            return refused(
                format!(
                    "{target_topic}[{partition}] holds {holds} offsets, and this link has no marks of it: it has not filled it"
                ),
                format!(
                    "see who has; to mirror {topic} there, delete topic {target_topic} on the target first"
                ),
            );
        }
        held += holds;
    }
    Ok(held)
}

impl Redo {
    /// What would be cleared.
    pub fn clearings(&self) -> &[Clearing] {
        &self.clearings
    }

    /// Does it; `tell` is told each step before it is done.
    pub async fn apply(self, tell: impl Fn(&str)) -> Result<Report, Error> {
        let Self { request, scene, clearings } = self;
        let link = &scene.link;
        let topics: Vec<String> = clearings.iter().map(|clearing| clearing.topic.clone()).collect();
        let named = topics.join(", ");
        let source = admin(link, Side::Source, request.timeout)?;
        let target = admin(link, Side::Target, request.timeout)?;
        let mut new = Vec::new();
        for clearing in &clearings {
            new.push(new_topic(&scene, &source, &target, clearing).await?);
        }
        let journal = Journal::ensure(scene.clusters.client(Side::Target), &link.link).await?;

        tell(&format!("stopping {named}"));
        let ends = scene.slots_of(&topics).await?;
        let mut was = BTreeMap::new();
        let stopped = journal
            .append::<Error>(|decided| {
                let stop = |topic: &String| -> Result<Decision, Error> {
                    at_rest(&scene, topic, Some(decided))?;
                    was.insert(topic.clone(), scene.plan(topic, Some(decided)));
                    Ok(decision(topic, TopicState::Stopped, Some(REDO), &request.by, decided))
                };
                topics.iter().map(stop).collect()
            })
            .await?;
        if let Done::NotYet(slots) = followed(&scene, &ends, stopped.state.next(), request.wait).await? {
            return refused(
                format!(
                    "not all instances of link {} have let {named} go within {:?} (slots {slots:?}); nothing was deleted, and \
                     they are stopped",
                    link.link, request.wait
                ),
                "see their logs: an instance has to be allowed to READ the link's journal; then do this again",
            );
        }

        still_ours(&topics, &stopped.decisions, &journal.read().await?)?;

        for (clearing, new) in clearings.iter().zip(&new) {
            let Clearing { topic, target_topic, id, .. } = clearing;
            if clearing.there {
                tell(&format!("deleting topic {target_topic}"));
                match scene.clusters.client(Side::Target).fresh_topic(target_topic).await {
                    Ok(now) if now.id_text() != *id => {
                        return refused(
                            format!("topic {target_topic} was made again meanwhile; it is left as it is"),
                            "see who has",
                        );
                    }
                    // Nothing is deleted of which it is not known what it is.
                    Err(error) if error.code() != Some(Code::UnknownTopicOrPartition) => {
                        return Err(scene.clusters.error(Side::Target, error));
                    }
                    _ => {}
                }
                target.delete_topic(target_topic).await?;
            }
            tell(&format!("forgetting the marks of {topic}"));
            forget(&scene, topic).await?;
            tell(&format!("creating topic {target_topic}"));
            create(&target, new).await?;
        }

        tell(&format!("starting {named}"));
        let ends = scene.slots_of(&topics).await?;
        let started = journal
            .append::<Error>(|decided| {
                still_ours(&topics, &stopped.decisions, decided)?;
                let start =
                    |topic: &String| decision(topic, TopicState::Running, Some(REDO), &request.by, decided);
                Ok(topics.iter().map(start).collect())
            })
            .await?;
        let done = followed(&scene, &ends, started.state.next(), request.wait).await?;
        let row = |topic: String| Changed {
            was: was[&topic].as_str(),
            state: TopicPlan::Run.as_str(),
            source: Vec::new(),
            topic,
        };
        Ok(Report { link: link.link.clone(), topics: topics.into_iter().map(row).collect(), done })
    }
}

/// Whether nobody has decided something else meanwhile.
fn still_ours(topics: &[String], stopped: &[Decision], decided: &JournalState) -> Result<(), Error> {
    let is_ours = |topic: &&String| decided.topic(topic).is_some_and(|last| stopped.contains(last));
    match topics.iter().find(|topic| !is_ours(topic)) {
        None => Ok(()),
        Some(topic) => {
            let by = decided.topic(topic).map_or_else(String::new, |last| last.by.to_string());
            refused(
                format!("{by} has decided something else about {topic} meanwhile"),
                "isomirror topics CONFIG list",
            )
        }
    }
}

/// How the target topic is made: as the daemon would; where it makes none, as it was.
async fn new_topic(
    scene: &Scene,
    source: &Cluster,
    target: &Cluster,
    clearing: &Clearing,
) -> Result<NewTopic, Error> {
    let Clearing { topic, target_topic, .. } = clearing;
    let settings = (scene.link.settings)(topic);
    let partitions = i32::try_from(scene.partitions(topic).len()).unwrap_or(i32::MAX);
    if settings.create {
        let configs = configs(source, topic).await?;
        return Ok(NewTopic::of(partitions, Some(&configs), target_topic, &settings));
    }
    let Some(was) = target.topic(target_topic).await? else {
        return refused(
            format!("topic {target_topic} is not there, and topics.create = false: how it was can't be told"),
            format!("create {target_topic} with {partitions} partitions on the target, and do this again"),
        );
    };
    let configs = configs(target, target_topic).await?;
    let configs = configs.set_on_topic().map(|(key, value)| (key.to_owned(), value.to_owned())).collect();
    Ok(NewTopic {
        name: target_topic.clone(),
        partitions: was.partitions,
        replication: was.replication,
        configs,
    })
}

async fn configs(cluster: &Cluster, topic: &str) -> Result<TopicConfigs, Error> {
    let mut configs = cluster.topic_configs(&[topic.to_owned()]).await?;
    Ok(configs.remove(topic).transpose()?.unwrap_or_default())
}

async fn create(target: &Cluster, new: &NewTopic) -> Result<(), Error> {
    for _ in 0..ATTEMPTS {
        if new.make(target).await? || target.topic(&new.name).await?.is_some() {
            return Ok(());
        }
        // Some broker has not heard yet that it is gone.
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    refused(
        format!("topic {} was deleted, and can't be made again yet", new.name),
        "do this again: it goes on here",
    )
}

/// Deletes the marks of a topic's lanes; what happened to them stays on record.
async fn forget(scene: &Scene, topic: &str) -> Result<(), Error> {
    let Some(control) = &scene.control else { return Ok(()) };
    for slot in scene.slots_of(&[topic.to_owned()]).await?.into_keys() {
        let state = control.read(slot, Keep::Everything).await?;
        let lanes = state.lanes().map(LaneStart::lane).filter(|lane| *lane.topic == *topic);
        let records: Vec<_> = lanes.flat_map(|lane| state.deletion(&lane)).collect();
        if !records.is_empty() {
            control.write(slot, records).await?;
        }
    }
    Ok(())
}
