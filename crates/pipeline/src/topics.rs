//! Which lanes there are: looks at both clusters' topics again and again, makes the target fit, and starts
//! lanes that are new, that can be tried again, or that were interrupted.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    sync::{Arc, atomic::Ordering::Relaxed},
    time::{Duration, Instant},
};

use cluster_admin::{Offsets, TopicConfigs, TopicInfo};
use mirror_types::{GapCause, LaneId, Offset, Side, SourceLane, Stop, StopKind, TopicPartition};
use offset_marks::LaneProgress;
use pinned_producer::Takes;
use source_consumer::Command;
use tokio_util::sync::CancellationToken;
use topic_rename::RouteError;
use tracing::{debug, info, warn};

use crate::{
    Error, Start, TopicSettings,
    book::{LaneEntry, LaneState},
    decide::{Decision, decide, topic_configs_for_target},
    link::Control,
};

/// A lane that the target or source refused is tried again after this long.
const TRY_AGAIN: Duration = Duration::from_secs(60);
/// A topic is gone when it was missing this many times in a row.
const GONE: u32 = 3;
/// After a look that failed, the next comes sooner than `topics.refresh`.
const AFTER_FAILURE: Duration = Duration::from_secs(2);

/// Keeps the lanes in step with the topics.
pub(crate) struct Topics {
    control: Arc<Control>,
    /// How many times in a row a topic with lanes was not on the source, or not on the target.
    missing: HashMap<(Side, Arc<str>), u32>,
    /// Source topics that were there at the first look: only they start where `topics.start` says.
    old: HashSet<Arc<str>>,
    /// Configs of the target topics that lanes were started on.
    configs: HashMap<String, TopicConfigs>,
    told: Option<String>,
    /// How many looks in a row failed on a cluster that answers other questions.
    failed_while_up: u32,
}

/// Which topics become which, after a look.
struct Routes {
    /// Source topic to target topic.
    ready: BTreeMap<String, String>,
    /// Source topics that match but can't be mirrored now; their lanes say why.
    refused: BTreeSet<String>,
}

impl Routes {
    fn have(&self, topic: &str) -> bool {
        self.ready.contains_key(topic) || self.refused.contains(topic)
    }
}

/// Why a look came to nothing: to be tried again.
type Trouble = cluster_admin::Error;

/// A lane that has to be started.
struct Wanted {
    at: TopicPartition,
    target: TopicPartition,
    settings: TopicSettings,
    /// Its topic has lanes, running or stopped, or positions.
    topic_known: bool,
    /// Where an earlier run in this process got to.
    reached: Option<Offset>,
}

/// Where lanes start; and what is wrong with those that can't.
#[derive(Default)]
struct Starts {
    at: HashMap<TopicPartition, Offset>,
    failed: BTreeMap<TopicPartition, Trouble>,
}

impl Topics {
    pub(crate) fn new(control: Arc<Control>) -> Self {
        Self {
            control,
            missing: HashMap::new(),
            old: HashSet::new(),
            configs: HashMap::new(),
            told: None,
            failed_while_up: 0,
        }
    }

    /// Runs until `shutdown`. What it can't do it tries again; only rules that refuse the topics that there
    /// are at the start end the link.
    pub(crate) async fn run(mut self, shutdown: CancellationToken) -> Result<(), Error> {
        loop {
            let looked = tokio::select! {
                () = shutdown.cancelled() => break,
                looked = self.look() => looked?,
            };
            let pause = match looked {
                Ok(()) => {
                    self.failed_while_up = 0;
                    self.tell(None);
                    self.control.config.refresh
                }
                Err(trouble) => {
                    // That a cluster is down is told where its ends are asked for; this may be less than that.
                    let up = self.control.book().cluster(trouble.side).up == Some(true);
                    self.failed_while_up = if up { self.failed_while_up + 1 } else { 0 };
                    if !trouble.is_unreachable() || self.failed_while_up > 1 {
                        self.tell(Some(trouble.to_string()));
                    }
                    AFTER_FAILURE.min(self.control.config.refresh)
                }
            };
            tokio::select! {
                () = shutdown.cancelled() => break,
                () = tokio::time::sleep(pause) => {}
            }
        }
        // Not an end of its own accord: the link is being stopped.
        std::future::pending().await
    }

    fn tell(&mut self, trouble: Option<String>) {
        if trouble != self.told {
            match &trouble {
                Some(trouble) => warn!("the topics can't be looked after, trying again: {trouble}"),
                None => info!("the topics are looked after again"),
            }
        }
        self.control.book().look_trouble = trouble.clone();
        self.told = trouble;
    }

    /// One look. The outer error ends the link, the inner one is tried again.
    async fn look(&mut self) -> Result<Result<(), Trouble>, Error> {
        let control = self.control.clone();
        let (sources, targets) = match tokio::try_join!(control.source.topics(), control.target.topics()) {
            Ok(topics) => topics,
            Err(trouble) => return Ok(Err(trouble)),
        };
        let first = !control.book().first_look_done;
        if first {
            self.learn_cluster_ids().await;
        }
        let routes = match control.config.rules.route(sources.keys().map(|topic| &**topic)) {
            Ok(ready) => Routes { ready, refused: BTreeSet::new() },
            Err(refused) if first => return Err(Error::Routes(refused)),
            Err(refused) => self.without_refused(refused, &sources),
        };
        if first {
            self.old.extend(routes.ready.keys().map(|topic| Arc::from(topic.as_str())));
        }
        if first && routes.ready.is_empty() {
            warn!("no topic on the source matches topics.include; waiting for one");
            if control.config.until_caught_up.is_some() {
                return Err(Error::NoTopics);
            }
        }
        self.forget_gone(&routes);
        self.stop_without_target(&routes, &sources, &targets);
        Ok(self.bring_up(first, &routes.ready, &sources, &targets).await)
    }

    async fn bring_up(
        &mut self,
        first: bool,
        routes: &BTreeMap<String, String>,
        sources: &cluster_admin::Topics,
        targets: &cluster_admin::Topics,
    ) -> Result<(), Trouble> {
        let control = self.control.clone();
        let mut trouble = None;
        let mut wanted = Vec::new();
        let mended = self.targets_mended().await;
        for (topic, target_topic) in routes {
            let source = match &sources[topic.as_str()] {
                Ok(source) => source,
                Err(error) => {
                    debug!(topic, %error, "the source does not describe it now");
                    continue;
                }
            };
            let mended = mended.contains(target_topic);
            let missing = self.lanes_to_start(topic, target_topic, source.partitions, mended);
            if missing.is_empty() {
                continue;
            }
            let target = match targets.get(target_topic.as_str()) {
                Some(Err(error)) if !error.is_unknown_topic() => {
                    self.refuse(topic, target_topic, 0..source.partitions, not_described(topic, error));
                    continue;
                }
                target => target.and_then(|t| t.as_ref().ok()),
            };
            match self.prepare(first, topic, source, target_topic, target, missing).await {
                Ok(lanes) => wanted.extend(lanes),
                // The other topics go on.
                Err(error) => trouble = Some(error),
            }
        }
        self.start(first, wanted).await?;
        if let Some(trouble) = trouble {
            return Err(trouble);
        }
        control.book().first_look_done = true;
        Ok(())
    }

    async fn learn_cluster_ids(&self) {
        for (side, cluster) in [(Side::Source, &self.control.source), (Side::Target, &self.control.target)] {
            if let Ok(id) = cluster.cluster_id().await {
                self.control.book().cluster(side).id = id;
            }
        }
    }

    /// Topics that can't be routed and have appeared since the start: they are refused, and the rest goes on,
    /// with it the one of several clashing topics that is being mirrored already.
    fn without_refused(&self, refused: RouteError, sources: &cluster_admin::Topics) -> Routes {
        let mut routes = Routes { ready: refused.rest, refused: BTreeSet::new() };
        let mut refuse = |topic: &str, target: &str, reason: String| {
            let fix =
                format!("exclude {topic}, or give it a target topic of its own; then restart isomirror");
            let partitions = sources.get(topic).and_then(|s| s.as_ref().ok()).map_or(0, |s| s.partitions);
            let stop = Stop::new(StopKind::Precondition, format!("{topic}: {reason}"), fix);
            self.refuse(topic, target, 0..partitions, stop);
            routes.refused.insert(topic.to_owned());
        };
        for clash in &refused.clashes {
            let first = clash.sources.iter().find(|topic| self.has_run(topic));
            for topic in clash.sources.iter().filter(|topic| Some(*topic) != first) {
                refuse(topic, &clash.target, clash.to_string());
            }
            if let Some(first) = first {
                routes.ready.insert(first.clone(), clash.target.clone());
            }
        }
        for illegal in &refused.illegal {
            refuse(&illegal.topic, &illegal.target, illegal.to_string());
        }
        routes
    }

    /// Whether a topic has lanes that run, or have run, in this process.
    fn has_run(&self, topic: &str) -> bool {
        let book = self.control.book();
        book.lanes.iter().any(|(at, lane)| *at.topic == *topic && lane.progress.is_some())
    }

    /// Target topics that refused a record, and whose configs have changed since: to be tried again now.
    async fn targets_mended(&self) -> HashSet<String> {
        let refused: BTreeSet<String> = {
            let book = self.control.book();
            let refused = |lane: &&LaneEntry| matches!(&lane.state, LaneState::Stopped { stop, .. } if stop.kind == StopKind::Refused);
            book.lanes.values().filter(refused).map(|lane| lane.target.topic.to_string()).collect()
        };
        let names: Vec<String> = refused.into_iter().collect();
        let now = self.control.target.topic_configs(&names).await.unwrap_or_default();
        let changed = |(topic, configs): (String, Result<TopicConfigs, _>)| {
            let before = self.configs.get(&topic)?;
            configs.is_ok_and(|now| now != *before).then_some(topic)
        };
        now.into_iter().filter_map(changed).collect()
    }

    /// Partitions of a topic that have no lane yet, or one that can be tried again; with where it got to.
    /// `mended`: the target topic's configs have changed since it refused a record.
    fn lanes_to_start(
        &self,
        topic: &str,
        target_topic: &str,
        partitions: i32,
        mended: bool,
    ) -> Vec<(i32, Option<Offset>)> {
        let book = self.control.book();
        let due = |partition: &i32| match book.lanes.get(&TopicPartition::new(topic, *partition)) {
            None => Some((*partition, None)),
            Some(lane) => {
                let LaneState::Stopped { stop, at } = &lane.state else { return None };
                let again = match stop.kind {
                    StopKind::Precondition | StopKind::Interrupted => true,
                    StopKind::Refused if mended => true,
                    StopKind::Refused | StopKind::Unreadable => at.elapsed() >= TRY_AGAIN,
                    StopKind::Lost | StopKind::Diverged => false,
                };
                (again || *lane.target.topic != *target_topic).then(|| (*partition, lane.position()))
            }
        };
        (0..partitions).filter_map(|p| due(&p)).collect()
    }

    /// Makes the target topic fit; says which lanes can be started.
    async fn prepare(
        &mut self,
        first: bool,
        topic: &str,
        source: &TopicInfo,
        target_topic: &str,
        target: Option<&TopicInfo>,
        missing: Vec<(i32, Option<Offset>)>,
    ) -> Result<Vec<Wanted>, Trouble> {
        let control = self.control.clone();
        let settings = (control.config.settings)(topic);
        let name: Arc<str> = topic.into();
        let all: Vec<_> = (0..source.partitions).map(|p| TopicPartition::new(name.clone(), p)).collect();
        let known = self.has_run(topic) || self.has_positions(&all).await?;
        let decision = decide(topic, source, target_topic, target, &settings, known);
        let done = match &decision {
            Decision::Ready => Ok(()),
            Decision::Create => self.create(topic, source.partitions, target_topic, &settings).await,
            Decision::Grow => {
                info!(topic = target_topic, partitions = source.partitions, "growing the target topic");
                control.target.grow_topic(target_topic, source.partitions).await
            }
            Decision::Refuse(stop) => {
                self.refuse(topic, target_topic, 0..source.partitions, stop.clone());
                return Ok(Vec::new());
            }
        };
        if let Err(error) = done {
            if error.is_retriable() {
                return Err(error);
            }
            let stop = Stop::new(
                StopKind::Precondition,
                format!("{topic}: {error}"),
                format!(
                    "grant CREATE and ALTER on the target, or create {target_topic} there with {} partitions",
                    source.partitions
                ),
            );
            self.refuse(topic, target_topic, 0..source.partitions, stop);
            return Ok(Vec::new());
        }
        if let Ok(mut configs) = control.target.topic_configs(&[target_topic.to_owned()]).await
            && let Some(Ok(configs)) = configs.remove(target_topic)
        {
            let takes =
                Takes { max_message_bytes: configs.max_message_bytes(), only_keyed: configs.is_compacted() };
            control.limits.set(target_topic, takes);
            self.configs.insert(target_topic.to_owned(), configs);
        }
        let target: Arc<str> = target_topic.into();
        let wanted = |(partition, reached)| Wanted {
            at: TopicPartition::new(name.clone(), partition),
            target: TopicPartition::new(target.clone(), partition),
            settings: settings.clone(),
            topic_known: known || !(first || self.old.contains(&name)),
            reached,
        };
        Ok(missing.into_iter().map(wanted).collect())
    }

    async fn has_positions(&self, partitions: &[TopicPartition]) -> Result<bool, Trouble> {
        let committed = self.control.source.committed(&self.control.config.group, partitions).await?;
        Ok(committed.values().any(|position| matches!(position, Ok(Some(_)))))
    }

    async fn create(
        &self,
        topic: &str,
        partitions: i32,
        target_topic: &str,
        settings: &TopicSettings,
    ) -> Result<(), Trouble> {
        let control = &self.control;
        let configs = match control.source.topic_configs(&[topic.to_owned()]).await {
            Ok(mut configs) => configs.remove(topic).transpose(),
            Err(error) => Err(error),
        };
        let configs = match configs {
            Ok(configs) => configs.unwrap_or_default(),
            Err(error) if error.is_unreachable() => return Err(error),
            Err(error) => {
                warn!(topic, %error, "its configs can't be read; the target topic gets the brokers' defaults");
                Default::default()
            }
        };
        let configs = topic_configs_for_target(&configs, settings.replication);
        info!(
            topic = target_topic,
            partitions,
            replication = settings.replication,
            ?configs,
            "creating the target topic"
        );
        control.target.create_topic(target_topic, partitions, settings.replication, &configs).await?;
        Ok(())
    }

    /// Lanes of a topic that must not run: each says why, in the book.
    fn refuse(&self, topic: &str, target_topic: &str, partitions: impl IntoIterator<Item = i32>, stop: Stop) {
        let mut book = self.control.book();
        let (topic, target): (Arc<str>, Arc<str>) = (topic.into(), target_topic.into());
        let mut news = false;
        for partition in partitions {
            let at = TopicPartition::new(topic.clone(), partition);
            let fresh = || LaneEntry::new(LaneId(0), TopicPartition::new(target.clone(), partition));
            let lane = book.lanes.entry(at).or_insert_with(fresh);
            if lane.state == LaneState::Running {
                continue;
            }
            news |= lane.last_stop.as_ref() != Some(&stop);
            lane.last_stop = Some(stop.clone());
            lane.state = LaneState::Stopped { stop: stop.clone(), at: Instant::now() };
        }
        if news {
            tracing::error!(topic = &*topic, reason = stop.reason, fix = stop.fix, "topic refused");
        }
    }

    /// Finds where each lane starts, records that, and starts it.
    async fn start(&self, first: bool, wanted: Vec<Wanted>) -> Result<(), Trouble> {
        if wanted.is_empty() {
            return Ok(());
        }
        let control = &self.control;
        let at: Vec<TopicPartition> = wanted.iter().map(|w| w.at.clone()).collect();
        let ends = control.source.end_offsets(&at, control.config.isolation()).await?;
        let Starts { at: starts, failed } = self.starts(&wanted, &ends).await?;
        let trouble = self.without_start(&wanted, failed);
        let compacted = self.compacted(&wanted).await;
        let mut book = control.book();
        let mut begun = 0;
        for lane in wanted {
            let Some(from) = starts.get(&lane.at).copied() else { continue };
            let id = LaneId(control.next_id.fetch_add(1, Relaxed));
            let source = Arc::new(SourceLane { id, at: lane.at.clone(), credit: control.budget.lane() });
            let progress = LaneProgress::starting_at(from);
            control.board.add(&source, progress.clone());
            control.stage_metrics.marks.lane_started(&lane.at, &lane.target.topic, from);
            control.stage_metrics.target.lane_started(&lane.at, &lane.target.topic);
            let mut entry = LaneEntry::new(id, lane.target);
            if let Some(before) = book.lanes.get(&lane.at) {
                entry.earlier = before.moved();
                entry.goal = before.goal;
                entry.last_stop = before.last_stop.clone();
                control.board.remove(before.id);
            }
            entry.state = LaneState::Running;
            entry.progress = Some(progress);
            entry.source_end = ends.get(&lane.at).and_then(|end| end.as_ref().ok().copied());
            if first {
                entry.goal = entry.source_end;
            }
            let gap_cause = match compacted.get(&lane.at.topic) {
                Some(true) => GapCause::Compaction,
                _ => GapCause::Transaction,
            };
            let _ = control.consumer_of(&lane.at).send(Command::Start { lane: source, from, gap_cause });
            book.lanes.insert(lane.at, entry);
            begun += 1;
        }
        if begun > 0 {
            info!(lanes = begun, "lanes started");
        }
        trouble.map_or(Ok(()), Err)
    }

    /// Lanes whose start can't be found or recorded: what passes by itself is returned, to be tried again
    /// at the next look; the rest is these lanes' own trouble and stops them, not the others.
    fn without_start(&self, wanted: &[Wanted], failed: BTreeMap<TopicPartition, Trouble>) -> Option<Trouble> {
        let mut passing = None;
        let mut refused: BTreeMap<Arc<str>, (Trouble, Vec<i32>)> = BTreeMap::new();
        for (at, error) in failed {
            if error.is_retriable() || error.is_unknown_topic() {
                passing.get_or_insert(error);
            } else {
                refused.entry(at.topic).or_insert((error, Vec::new())).1.push(at.partition);
            }
        }
        for (topic, (error, partitions)) in refused {
            let fix = if error.is_not_authorized() {
                format!(
                    "grant READ and DESCRIBE on topic {topic} on the source; the lane is tried again by itself"
                )
            } else {
                "look the error up in the source broker's log; the lane is tried again by itself".to_owned()
            };
            let stop = Stop::new(StopKind::Unreadable, format!("{topic}: {error}"), fix);
            if let Some(lane) = wanted.iter().find(|lane| lane.at.topic == topic) {
                self.refuse(&topic, &lane.target.topic, partitions, stop);
            }
        }
        passing
    }

    /// The position of each lane: where it got to, else what is recorded, else as configured. A start that is
    /// not recorded yet is recorded first, so that a crash before the first record does not move it.
    async fn starts(&self, wanted: &[Wanted], ends: &Offsets) -> Result<Starts, Trouble> {
        let control = &self.control;
        let unknown: Vec<TopicPartition> =
            wanted.iter().filter(|w| w.reached.is_none()).map(|w| w.at.clone()).collect();
        let committed = control.source.committed(&control.config.group, &unknown).await?;
        let mut starts = Starts::default();
        let mut by_rule: HashMap<(u8, i64), Vec<TopicPartition>> = HashMap::new();
        for lane in wanted {
            let recorded = match committed.get(&lane.at).cloned().transpose() {
                Ok(recorded) => recorded.flatten(),
                Err(error) => {
                    starts.failed.insert(lane.at.clone(), error);
                    continue;
                }
            };
            if let Some(position) = lane.reached.or(recorded) {
                starts.at.insert(lane.at.clone(), position);
                continue;
            }
            // What appears while the link runs is new as a whole, and none of it may be left out.
            let start = if lane.topic_known { Start::Earliest } else { lane.settings.start };
            let rule = match start {
                Start::Earliest => (0, 0),
                Start::Latest => (1, 0),
                Start::At(time) => (2, time),
            };
            by_rule.entry(rule).or_default().push(lane.at.clone());
        }
        let mut fresh = Vec::new();
        for ((rule, time), partitions) in by_rule {
            let earliest = control.source.start_offsets(&partitions).await?;
            let at_time = match rule {
                2 => control.source.offsets_at(&partitions, time).await?,
                _ => HashMap::new(),
            };
            for at in partitions {
                let end = || ends.get(&at).cloned().transpose();
                let offset = match rule {
                    0 => earliest.get(&at).cloned().transpose(),
                    1 => end(),
                    _ => match at_time.get(&at).cloned().transpose().map(Option::flatten) {
                        Ok(None) => end(),
                        found => found,
                    },
                };
                match offset {
                    Ok(offset) => fresh.extend(offset.map(|offset| (at, offset))),
                    Err(error) => drop(starts.failed.insert(at, error)),
                }
            }
        }
        for (at, recorded) in control.source.commit(&control.config.group, &fresh).await? {
            if let Err(error) = recorded {
                debug!(lane = %at, %error, "its start can't be recorded");
                starts.failed.insert(at, error);
            }
        }
        fresh.retain(|(at, _)| !starts.failed.contains_key(at));
        starts.at.extend(fresh);
        Ok(starts)
    }

    async fn compacted(&self, wanted: &[Wanted]) -> HashMap<Arc<str>, bool> {
        let mut names: Vec<String> = wanted.iter().map(|w| w.at.topic.to_string()).collect();
        names.sort_unstable();
        names.dedup();
        let configs = self.control.source.topic_configs(&names).await.unwrap_or_default();
        configs.into_iter().filter_map(|(topic, c)| Some((topic.into(), c.ok()?.is_compacted()))).collect()
    }

    /// Lanes that run while their target topic is gone: without a record to carry they would not notice.
    fn stop_without_target(
        &mut self,
        routes: &Routes,
        sources: &cluster_admin::Topics,
        targets: &cluster_admin::Topics,
    ) {
        let control = self.control.clone();
        let mut book = control.book();
        for (topic, target_topic) in &routes.ready {
            let key = (Side::Target, Arc::from(topic.as_str()));
            let there = targets.get(target_topic.as_str());
            let (false, Some(Ok(source))) = (
                there.is_some_and(|there| !there.as_ref().is_err_and(cluster_admin::Error::is_unknown_topic)),
                sources.get(topic.as_str()),
            ) else {
                self.missing.remove(&key);
                continue;
            };
            let times = self.missing.entry(key).or_default();
            *times += 1;
            if *times < GONE {
                continue;
            }
            let settings = (control.config.settings)(topic);
            let Decision::Refuse(stop) = decide(topic, source, target_topic, None, &settings, true) else {
                continue;
            };
            let of_topic = book.lanes.iter_mut().filter(|(at, lane)| {
                *at.topic == **topic
                    && *lane.target.topic == **target_topic
                    && lane.state == LaneState::Running
            });
            for (at, lane) in of_topic {
                control.stop(at, lane, stop.clone());
            }
        }
    }

    /// Lanes of topics that are on the source no more, or that match no more.
    fn forget_gone(&mut self, routes: &Routes) {
        let control = self.control.clone();
        let mut book = control.book();
        let mut gone: Vec<TopicPartition> = Vec::new();
        let topics: Vec<Arc<str>> = book.lanes.keys().map(|at| at.topic.clone()).collect();
        self.missing.retain(|(side, topic), _| *side == Side::Target || !routes.have(topic));
        for topic in topics.into_iter().collect::<BTreeSet<_>>() {
            if routes.have(&topic) {
                continue;
            }
            let times = self.missing.entry((Side::Source, topic.clone())).or_default();
            *times += 1;
            let unreadable = |lane: &LaneEntry| matches!(&lane.state, LaneState::Stopped { stop, .. } if stop.kind == StopKind::Unreadable);
            // A topic that may not be read may not be seen either: that is a lane's trouble, not its end.
            if *times >= GONE && !book.lanes.iter().any(|(at, lane)| at.topic == topic && unreadable(lane)) {
                gone.extend(book.lanes.keys().filter(|at| at.topic == topic).cloned());
                self.missing.remove(&(Side::Source, topic.clone()));
                self.old.remove(&topic);
                info!(topic = &*topic, "the topic is gone from the source; its lanes are forgotten");
            }
        }
        for at in gone {
            let Some(lane) = book.remove(&at) else { continue };
            let _ = control.consumer_of(&at).send(Command::Stop(lane.id));
            control.board.remove(lane.id);
            let last = !book.lanes.keys().any(|other| other.topic == at.topic);
            control.metrics.remove(&at, &lane.target.topic);
            control.stage_metrics.source.remove(&at);
            control.stage_metrics.target.remove(&at, &lane.target.topic);
            control.stage_metrics.marks.remove(&at, &lane.target.topic, last);
        }
    }
}

fn not_described(topic: &str, error: &cluster_admin::Error) -> Stop {
    Stop::new(
        StopKind::Precondition,
        format!("{topic}: {error}"),
        "grant DESCRIBE and WRITE on the topic on the target",
    )
}
