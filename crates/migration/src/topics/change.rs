//! Starting, pausing, resuming and stopping topics: decided by what is wanted of them now, and written to the journal.

use std::{
    collections::{BTreeMap, BTreeSet},
    hash::{BuildHasher, RandomState},
    time::{Duration, Instant},
};

use control_topic::ControlTopic;
use kafka_wire::{Client, Isolation, OffsetSpec};
use link_journal::{Author, Decision, Journal, JournalState, TopicState};
use mirror_types::{Offset, Side};
use offset_marks::{control::Keep, now_ms};
use pipeline::{LinkConfig, TopicPlan};
use serde::Serialize;

use super::{Error, Request, scene::Scene};

/// Why a topic is stopped that is being cleared.
pub(super) const REDO: &str = "redo";
/// Between two looks whether the link's instances have done it.
const LOOK: Duration = Duration::from_millis(200);

/// What is to become of topics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// They are mirrored from now on.
    Start,
    /// They stay where they are.
    Pause,
    /// They go on there.
    Resume,
    /// The link gives them up.
    Stop,
}

/// What came of it.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// The link.
    pub link: String,
    /// Each topic that was asked for.
    pub topics: Vec<Changed>,
    /// Whether the instances of the link have done it.
    pub done: Done,
}

/// A topic.
#[derive(Debug, Clone, Serialize)]
pub struct Changed {
    /// Its name on the source.
    pub topic: String,
    /// What was wanted of it before.
    pub was: &'static str,
    /// What is wanted of it now; the same where there was nothing to change.
    pub state: &'static str,
    /// Where its source begins and ends now; of topics that are started.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub source: Vec<Offsets>,
}

/// A partition of the source.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Offsets {
    /// The partition.
    pub partition: i32,
    /// Its first offset.
    pub first: Offset,
    /// Its log end offset.
    pub end: Offset,
}

/// Whether the link does what was decided.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Done {
    /// It does.
    Yes,
    /// There was nothing to change.
    Nothing,
    /// No instance runs; the next one will.
    NotRunning,
    /// Not within the time there was: of the lanes in these slots.
    NotYet(Vec<i32>),
}

/// Changes it.
pub async fn change(request: &Request, change: Change) -> Result<Report, Error> {
    change_because(request, change, None).await
}

/// Changes it for a reason, and waits until the link does so, whoever has changed it first.
pub(crate) async fn settle(request: &Request, change: Change, why: &str) -> Result<Done, Error> {
    let report = change_because(request, change, Some(why)).await?;
    match report.done {
        Done::Nothing => all_followed(request).await,
        done => Ok(done),
    }
}

/// Waits until the link does all that its journal says by now, in the slots of these topics.
pub(crate) async fn all_followed(request: &Request) -> Result<Done, Error> {
    let scene = Scene::of(request).await?;
    let (Some(control), Some(decided)) = (&scene.control, scene.journal().await?) else {
        return Ok(Done::Nothing);
    };
    let mut slots = scene.slots_of(&distinct(&request.topics)).await?;
    for (slot, from) in &mut slots {
        *from = control.start(*slot).await?;
    }
    followed(&scene, &slots, decided.next(), request.wait).await
}

/// The same where nothing but the target can be asked: of all slots in which lanes have begun.
pub(crate) async fn target_followed(
    link: &LinkConfig,
    client: &Client,
    wait: Duration,
) -> Result<Done, Error> {
    let journal = Journal::ensure(client, &link.link).await?.read().await?.next();
    let Some(control) = ControlTopic::open(client, &link.link).await? else { return Ok(Done::Nothing) };
    let mut slots = BTreeMap::new();
    for (slot, state) in (0..).zip(control.read_all_committed(Keep::Tails).await?) {
        if state.lanes().next().is_some() {
            slots.insert(slot, control.start(slot).await?);
        }
    }
    let error = |error| Error::Cluster { side: Side::Target, cluster: link.target.name.clone(), error };
    until_followed(&control, client, &link.group, &slots, journal, wait).await.map_err(
        |failed| match failed {
            Asked::Control(error) => error.into(),
            Asked::Members(cause) => error(cause),
        },
    )
}

async fn change_because(request: &Request, change: Change, why: Option<&str>) -> Result<Report, Error> {
    let scene = Scene::of(request).await?;
    let topics = distinct(&request.topics);
    scene.check_known(&topics, scene.journal().await?.as_ref())?;
    let ends = scene.slots_of(&topics).await?;
    let mut source = match change {
        Change::Start => source_offsets(&scene, &topics).await?,
        _ => BTreeMap::new(),
    };
    let journal = Journal::ensure(scene.clusters.client(Side::Target), &scene.link.link).await?;
    let mut was = BTreeMap::new();
    let appended = journal
        .append::<Error>(|decided| {
            let mut decisions = Vec::new();
            for topic in &topics {
                let plan = scene.plan(topic, Some(decided));
                was.insert(topic.clone(), plan);
                if let Some(state) = next(topic, change, plan, is_redone(topic, decided))? {
                    decisions.push(decision(topic, state, why, &request.by, decided));
                }
            }
            Ok(decisions)
        })
        .await?;
    let done = match appended.decisions.is_empty() {
        true => Done::Nothing,
        false => followed(&scene, &ends, appended.state.next(), request.wait).await?,
    };
    let row = |topic: String| Changed {
        was: was[&topic].as_str(),
        state: scene.plan(&topic, Some(&appended.state)).as_str(),
        source: source.remove(&topic).unwrap_or_default(),
        topic,
    };
    Ok(Report { link: scene.link.link.clone(), topics: topics.into_iter().map(row).collect(), done })
}

/// Whether somebody is clearing it, or has been and was interrupted.
fn is_redone(topic: &str, decided: &JournalState) -> bool {
    let last = decided.topic(topic);
    last.is_some_and(|last| last.state == TopicState::Stopped && last.why.as_deref() == Some(REDO))
}

/// What a topic is to be, if that is another than it is. `redone`: it is being cleared.
fn next(topic: &str, change: Change, plan: TopicPlan, redone: bool) -> Result<Option<TopicState>, Error> {
    let refused = |what: &str, fix: &str| {
        Err(Error::Refused {
            what: format!("{topic} {what}; nothing was changed"),
            fix: format!("isomirror topics CONFIG {fix}"),
        })
    };
    match (change, plan) {
        (_, TopicPlan::Rest) => Err(Error::Refused {
            what: format!("{topic} is the pair's other link's to mirror; nothing was changed"),
            fix: "name that link with --direction; isomirror switchover turns the pair around".to_owned(),
        }),
        (Change::Start, TopicPlan::Stop) if redone => {
            refused("is being cleared, or was left so", &format!("redo {topic}, or stop it first"))
        }
        (Change::Stop, TopicPlan::Stop) if redone => Ok(Some(TopicState::Stopped)),
        (Change::Start, TopicPlan::Wait | TopicPlan::Stop) => Ok(Some(TopicState::Running)),
        (Change::Start, TopicPlan::Pause) => refused("is paused", &format!("resume {topic}")),
        (Change::Resume, TopicPlan::Pause) => Ok(Some(TopicState::Running)),
        (Change::Resume, TopicPlan::Wait) => refused("has not begun", &format!("start {topic}")),
        (Change::Resume, TopicPlan::Stop) => refused("is stopped", &format!("start {topic}")),
        (Change::Start | Change::Resume, TopicPlan::Run) => Ok(None),
        (Change::Pause, TopicPlan::Run) => Ok(Some(TopicState::Paused)),
        (Change::Pause, TopicPlan::Pause) => Ok(None),
        (Change::Pause, TopicPlan::Wait) => {
            refused("has not begun", &format!("start {topic}, then pause it"))
        }
        (Change::Pause, TopicPlan::Stop) => refused("is stopped", &format!("start {topic}, then pause it")),
        (Change::Stop, TopicPlan::Stop) => Ok(None),
        (Change::Stop, _) => Ok(Some(TopicState::Stopped)),
    }
}

pub(super) fn distinct(topics: &[String]) -> Vec<String> {
    topics.iter().collect::<BTreeSet<_>>().into_iter().cloned().collect()
}

/// A decision of now, or of a moment after the last one about the topic: no two have the same key.
pub(super) fn decision(
    topic: &str,
    state: TopicState,
    why: Option<&str>,
    by: &Author,
    decided: &JournalState,
) -> Decision {
    let last = decided.topic(topic).map_or(0, |last| last.when + 1);
    Decision {
        topic: topic.to_owned(),
        state,
        when: now_ms().max(last),
        by: by.clone(),
        why: why.map(str::to_owned),
        token: RandomState::new().hash_one(topic),
    }
}

async fn source_offsets(scene: &Scene, topics: &[String]) -> Result<BTreeMap<String, Vec<Offsets>>, Error> {
    let client = scene.clusters.client(Side::Source);
    let mut found = BTreeMap::new();
    for topic in topics.iter().filter(|topic| scene.sources.contains_key(*topic)) {
        let partitions = scene.partitions(topic);
        let asked: Vec<(&str, i32)> =
            partitions.iter().map(|partition| (topic.as_str(), *partition)).collect();
        let isolation = Isolation::ReadUncommitted;
        let firsts = client.list_offsets(&asked, OffsetSpec::Earliest, isolation).await;
        let ends = client.list_offsets(&asked, OffsetSpec::Latest, isolation).await;
        let mut offsets = Vec::new();
        for ((partition, first), end) in partitions.into_iter().zip(firsts).zip(ends) {
            let error = |error| scene.clusters.error(Side::Source, error);
            let (first, end) = (first.map_err(error)?.offset, end.map_err(error)?.offset);
            offsets.push(Offsets { partition, first, end });
        }
        found.insert(topic.clone(), offsets);
    }
    Ok(found)
}

/// Waits until whoever has the slots has put on record that all is done which the journal says before this offset.
pub(super) async fn followed(
    scene: &Scene,
    ends: &BTreeMap<i32, Offset>,
    journal: Offset,
    wait: Duration,
) -> Result<Done, Error> {
    let Some(control) = &scene.control else { return Ok(Done::NotRunning) };
    let target = scene.clusters.client(Side::Target);
    let done = until_followed(control, target, &scene.link.group, ends, journal, wait).await;
    done.map_err(|failed| match failed {
        Asked::Control(error) => error.into(),
        Asked::Members(error) => scene.clusters.error(Side::Target, error),
    })
}

/// What could not be asked.
enum Asked {
    Control(control_topic::Error),
    Members(kafka_wire::Error),
}

async fn until_followed(
    control: &ControlTopic,
    target: &Client,
    group: &str,
    ends: &BTreeMap<i32, Offset>,
    journal: Offset,
    wait: Duration,
) -> Result<Done, Asked> {
    let until = Instant::now() + wait;
    let mut left: BTreeMap<i32, Offset> = ends.clone();
    loop {
        let mut done = Vec::new();
        for (slot, end) in &left {
            let since = control.read_since(*slot, *end, Keep::Tails).await.map_err(Asked::Control)?;
            if since.followed(*slot).is_some_and(|followed| followed.journal >= journal) {
                done.push(*slot);
            }
        }
        left.retain(|slot, _| !done.contains(slot));
        if left.is_empty() {
            return Ok(Done::Yes);
        }
        if target.group_members(group).await.map_err(Asked::Members)? == 0 {
            return Ok(Done::NotRunning);
        }
        if Instant::now() >= until {
            return Ok(Done::NotYet(left.into_keys().collect()));
        }
        tokio::time::sleep(LOOK).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_so_already_is_no_change_and_what_makes_no_sense_is_refused() {
        use Change::{Pause, Resume, Start, Stop};
        let outcome =
            |change, plan| next("t", change, plan, false).ok().map(|state| state.map(TopicState::as_str));
        let plans = [TopicPlan::Run, TopicPlan::Wait, TopicPlan::Pause, TopicPlan::Stop];
        let row = |change| plans.map(|plan| outcome(change, plan));
        let (same, no) = (Some(None), None);
        let to = |state| Some(Some(state));
        assert_eq!(row(Start), [same, to("running"), no, to("running")]);
        assert_eq!(row(Resume), [same, no, to("running"), no]);
        assert_eq!(row(Pause), [to("paused"), no, same, no]);
        assert_eq!(row(Stop), [to("stopped"), to("stopped"), to("stopped"), same]);
        let error = next("t", Start, TopicPlan::Pause, false).unwrap_err().to_string();
        let redone = |change| next("t", change, TopicPlan::Stop, true).ok();
        assert_eq!(
            (redone(Start), redone(Stop)),
            (None, Some(Some(TopicState::Stopped))),
            "it is given up first"
        );
        assert!(error.contains("t is paused") && error.contains("topics CONFIG resume t"), "{error}");
    }
}
