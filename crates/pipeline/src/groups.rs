//! Keeps consumer groups' offsets on the target in step with the source's: those of the lanes that this instance has.
//!
//! A round looks at what the groups have committed on both sides, and commits what has changed. The rules are
//! `group_offsets`'. It asks over connections of its own, and whatever goes wrong here is said, counted and tried again in
//! the next round: no lane waits for it.

mod lanes;
mod metrics;
mod of_others;
mod seen;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use futures::{StreamExt, future::try_join, stream};
use group_offsets::{Choice, Chosen, GroupPlan, Outcome, Rule, commit, plan};
use kafka_wire::{Client, GroupOffsets, Purpose, Settings};
use mirror_types::TopicPartition;
use prometheus::Registry;
use tokio::time::{Interval, MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use self::{
    lanes::{Needs, lanes},
    metrics::Metrics,
    of_others::OfOthers,
    seen::Seen,
};
use crate::{Error, control::Control};

/// Groups that are asked about at the same time: coordinators have other things to do.
const AT_ONCE: usize = 4;
/// How long one question may be tried: the next round comes anyway.
const PATIENCE: Duration = Duration::from_secs(5);
/// How often the gauges are brought up to date: they grow while nothing can be asked.
const SHOWN_EVERY: Duration = Duration::from_secs(1);

/// Keeps groups in step.
pub(crate) struct Groups {
    control: Arc<Control>,
    source: Client,
    target: Client,
    metrics: Metrics,
    seen: Mutex<Seen>,
    of_others: OfOthers,
}

/// What a group has committed.
struct Found {
    group: String,
    source: GroupOffsets,
    target: GroupOffsets,
}

impl Groups {
    /// None where no groups are named, nor can be.
    pub(crate) fn new(control: &Arc<Control>, registry: &Registry) -> Result<Option<Self>, Error> {
        let config = &control.config;
        let source = match Settings::new(config.source.properties.iter()) {
            Ok(settings) => Client::new(settings),
            Err(_) if config.groups.choice.is_empty() => return Ok(None),
            Err(error) => return Err(Error::Groups(error.to_string())),
        };
        let purpose = Purpose::new("groups");
        Ok(Some(Self {
            control: control.clone(),
            source: source.for_purpose(purpose).with_patience(PATIENCE),
            target: control.wire.for_purpose(purpose).with_patience(PATIENCE),
            metrics: Metrics::new(registry)?,
            seen: Mutex::default(),
            of_others: OfOthers::default(),
        }))
    }

    /// Runs until `shutdown`.
    pub(crate) async fn run(self, shutdown: CancellationToken) -> Result<(), Error> {
        tokio::select! {
            () = shutdown.cancelled() => {}
            () = self.keep_in_step() => unreachable!("it goes on for ever"),
            () = self.keep_showing() => unreachable!("it goes on for ever"),
        }
        Ok(())
    }

    async fn keep_in_step(&self) {
        let mut groups = self.control.live().groups.clone();
        let mut round = round_of(groups.every);
        loop {
            round.tick().await;
            // They may have changed.
            let now = self.control.live().groups.clone();
            if now.every != groups.every {
                round = round_of(now.every);
            }
            groups = now;
            if groups.choice.is_empty() {
                self.seen().keep(&BTreeSet::new());
                continue;
            }
            // Before that it is not known which lanes there are, nor that these are two clusters.
            if !self.control.book().first_look_done {
                continue;
            }
            let _committing = self.control.committing.lock().await;
            // Of a pair, the other link looks after them: what is found here must not be committed behind its back.
            let failed = tokio::select! {
                biased;
                () = self.control.decisions.until_rests() => {
                    self.seen().keep(&BTreeSet::new());
                    continue;
                }
                done = self.round(&groups.choice) => done.err(),
            };
            if failed.is_some() {
                self.metrics.failed();
            }
            self.metrics.show(&self.seen());
            if let Some(news) = self.seen().trouble(failed) {
                match news {
                    Some(trouble) => {
                        warn!("consumer groups can't be looked after, trying again: {trouble}");
                    }
                    None => info!("consumer groups are looked after again"),
                }
            }
        }
    }

    async fn keep_showing(&self) {
        let mut turn = interval(SHOWN_EVERY);
        turn.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            turn.tick().await;
            self.metrics.show(&self.seen());
        }
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Looks at all groups once. An error is a cluster's, and no group's own: what is left of the round is given up.
    async fn round(&self, choice: &Choice) -> Result<(), String> {
        let began = Instant::now();
        let listed = self.source.list_groups().await.map_err(|error| format!("source: {error}"))?;
        let mut chosen = BTreeSet::new();
        for group in listed.values() {
            match choice.of(group) {
                Chosen::Yes => drop(chosen.insert(group.name.clone())),
                Chosen::No => {}
                Chosen::LeftOut(reason) => {
                    if self.seen().is_news(&group.name) {
                        info!("group {} is left out: {reason}", group.name);
                    }
                }
            }
        }
        if let Some(Some(nothing)) = self.seen().nothing(chosen.is_empty()) {
            info!("{nothing}");
        }
        // What was committed is looked at before what was mirrored: all that was read before is there then, if it is.
        let (mut found, mut there) = (Vec::new(), BTreeSet::new());
        let mut asked = stream::iter(chosen).map(|group| self.ask(group)).buffered(AT_ONCE);
        while let Some((group, asked)) = asked.next().await {
            match asked {
                Ok((source, target)) if !source.is_empty() => {
                    there.insert(group.clone());
                    if !self.seen().is_settled(began, &group, &source, &target) {
                        found.push(Found { group, source, target });
                    }
                }
                // It has nothing for a lane of this instance.
                Ok(_) => {}
                Err((side, error)) if error.is_unreachable() => return Err(format!("{side}: {error}")),
                Err((side, error)) => {
                    there.insert(group.clone());
                    self.note(began, &GroupPlan::failed(&group, &error, side));
                }
            }
        }
        self.seen().keep(&there);
        let needs = needs(&found);
        let mut lanes = lanes(&self.control, &needs).await;
        self.of_others.find(&self.control, (&self.source, &self.target), &needs, &mut lanes).await;
        let (target, lanes, rule) = (&self.target, &lanes, Rule::default());
        let work = |found: Found| async move {
            let planned = plan(&found.group, &found.source, &found.target, None, lanes, |_| true, rule);
            (found, commit(target, &planned, lanes, rule).await)
        };
        let mut done = stream::iter(found).map(work).buffered(AT_ONCE);
        while let Some((found, plan)) = done.next().await {
            if plan.unreachable {
                return Err(plan.trouble.unwrap_or_default());
            }
            let again = plan.partitions.iter().filter_map(|step| {
                let at = TopicPartition::new(&*step.topic, step.partition);
                lanes.get(&at)?.read_again(step.source_offset?, step.target_offset())
            });
            self.seen().read_again(&found.group, again.sum());
            self.note(began, &plan);
            if plan.is_in_step() && !plan.has(Outcome::Committed) {
                self.seen().settle(&found.group, &found.source, &found.target);
            }
        }
        Ok(())
    }

    /// What a group has committed on both sides, for lanes of this instance.
    async fn ask(
        &self,
        group: String,
    ) -> (String, Result<(GroupOffsets, GroupOffsets), (&'static str, kafka_wire::Error)>) {
        let both = try_join(
            async { self.source.group_offsets(&group).await.map_err(|error| ("source", error)) },
            async { self.target.group_offsets(&group).await.map_err(|error| ("target", error)) },
        );
        let asked = both.await.map(|(mut source, target)| {
            let book = self.control.book();
            source.retain(|(topic, partition), _| {
                book.lanes.contains_key(&TopicPartition::new(topic.clone(), *partition))
            });
            (source, target)
        });
        (group, asked)
    }

    /// Keeps what came of a group, and tells what is news.
    fn note(&self, began: Instant, plan: &GroupPlan) {
        if plan.trouble.is_some() || plan.has(Outcome::Failed) {
            self.metrics.failed();
        }
        let Some(news) = self.seen().note(began, plan) else { return };
        match news {
            Some(trouble) => {
                let trouble = trouble.replace("\n  fix: ", "; fix: ");
                warn!("group {} is not kept in step: {trouble}", plan.group);
            }
            None => info!("group {} is in step again", plan.group),
        }
    }
}

fn round_of(every: Duration) -> Interval {
    let mut round = interval(every);
    round.set_missed_tick_behavior(MissedTickBehavior::Delay);
    round
}

/// The offsets that have to be found in each lane's marks.
fn needs(found: &[Found]) -> Needs {
    let mut needs: Needs = BTreeMap::new();
    for Found { source, target, .. } in found {
        for ((topic, partition), committed) in source {
            let Ok(committed) = committed else { continue };
            let at = TopicPartition::new(topic.clone(), *partition);
            let needed = needs.entry(at).or_default();
            needed.source.insert(committed.offset);
            let target = target.iter().filter(|((_, other), _)| other == partition);
            needed.target.extend(
                target.filter_map(|((topic, _), c)| Some((topic.to_string(), c.as_ref().ok()?.offset))),
            );
        }
    }
    needs
}
