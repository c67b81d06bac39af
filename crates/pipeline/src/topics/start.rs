//! Which lanes are started, and where: where their marks end, or what is configured.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    sync::{Arc, atomic::Ordering::Relaxed},
    time::{Duration, Instant},
};

use cluster_admin::{Offsets, TopicConfigs};
use futures::{StreamExt, stream};
use mirror_types::{GapCause, Lane, LaneId, LaneOrigins, Offset, SourceLane, Stop, StopKind, TopicPartition};
use offset_marks::{LaneBook, LaneProgress, LaneStart};
use pinned_producer::{Opening, Order, Writing};
use source_consumer::Command;
use tracing::{debug, info};

use super::{
    Topics, Trouble, Wanted,
    begin::{LOOKS, Ready},
};
use crate::{
    Start,
    book::{LaneEntry, LaneState},
    padding::{padded_before, takes_padding},
    resume::Begin,
};

/// A lane that the target or source refused is tried again after this long.
const TRY_AGAIN: Duration = Duration::from_secs(60);

/// How long what is on its way may take to arrive before its lane begins again.
const TO_ARRIVE: Duration = Duration::from_secs(5);

/// A transaction that a lane leaves open is over after this long.
const TRANSACTION: Duration = Duration::from_secs(60);

/// Where lanes start; and what is wrong with those that can't.
#[derive(Default)]
struct Starts {
    at: HashMap<TopicPartition, Where>,
    failed: BTreeMap<TopicPartition, Trouble>,
}

/// Where a lane stands by its marks, or where it starts without any.
pub(super) enum Where {
    Recorded(LaneBook),
    Fresh(Offset),
}

impl Topics {
    /// Partitions of a topic that are this instance's and have no lane yet, or one that can be tried again.
    /// `mended`: the target topic's configs have changed since it refused a record.
    pub(super) fn lanes_to_start(
        &self,
        topic: &str,
        target_topic: &str,
        partitions: i32,
        mended: bool,
    ) -> Vec<i32> {
        let name: Arc<str> = topic.into();
        let book = self.control.book();
        let due = |partition: &i32| match book.lanes.get(&TopicPartition::new(name.clone(), *partition)) {
            None => true,
            Some(lane) => {
                let LaneState::Stopped { stop, at } = &lane.state else {
                    return lane.state == LaneState::Paused;
                };
                let again = match stop.kind {
                    StopKind::Precondition | StopKind::Interrupted => true,
                    StopKind::Refused if mended => true,
                    StopKind::Refused | StopKind::Unreadable => at.elapsed() >= TRY_AGAIN,
                    StopKind::Lost | StopKind::Diverged | StopKind::Foreign => false,
                };
                again || *lane.target.topic != *target_topic
            }
        };
        let ours = |partition: &i32| self.control.marks.owns(&TopicPartition::new(name.clone(), *partition));
        (0..partitions).filter(|p| ours(p) && due(p)).collect()
    }

    /// Finds where each lane starts, records that, and starts it.
    pub(super) async fn start(&mut self, first: bool, wanted: Vec<Wanted>) -> Result<(), Trouble> {
        if wanted.is_empty() {
            return Ok(());
        }
        self.read_given_up(&wanted).await?;
        let control = &self.control;
        self.finish_changed(&wanted).await;
        let at: Vec<TopicPartition> = wanted.iter().map(|w| w.at.clone()).collect();
        let ends = control.source.end_offsets(&at, control.config.isolation()).await?;
        let (causes, plain) = self.gap_causes(&wanted).await;
        let mut writings = self.take_transactions(&wanted).await?;
        let Starts { at: starts, failed } = self.starts(&wanted, &ends, &causes).await?;
        let mut trouble = self.without_start(&wanted, failed);
        let (mut ready, passing) = self.begins(&wanted, starts, &causes, &plain).await?;
        trouble = trouble.or(passing);
        let mut book = control.book();
        let mut begun = 0;
        for lane in wanted {
            let Some(Ready { begin, standing, book: marks }) = ready.remove(&lane.at) else { continue };
            let source_end = ends.get(&lane.at).and_then(|end| end.as_ref().ok().copied());
            if source_end.is_none() && control.config.until_caught_up.is_some() {
                debug!(lane = %lane.at, "how far it has to get is not known yet");
                continue;
            }
            let Begin { position, from, pad, check, strict, anew } = begin;
            // The slot may have gone meanwhile.
            let Some(of_lane) = control.marks.of_lane(&lane.slot, &lane.at, &marks) else { continue };
            let writing = match lane.settings.shared {
                false => Writing::Exclusive,
                true => match writings.remove(&lane.at) {
                    Some(writing) => writing,
                    None => continue,
                },
            };
            let id = LaneId(control.next_id.fetch_add(1, Relaxed));
            let source = Arc::new(SourceLane { id, at: lane.at.clone(), credit: control.budget.lane() });
            let progress = LaneProgress::starting_at(position);
            let LaneStart { at, source_end: begun_end, configs, adopted, source_topic_id: topic_id, .. } =
                marks.ledger().start().clone();
            let copied = at.source..begun_end.unwrap_or(-1);
            let gap_cause = causes[&lane.at.topic];
            let padded = match gap_cause {
                GapCause::Compaction if self.takes_padding(&lane.target.topic) => padded_before(&copied),
                _ => -1,
            };
            if position < padded {
                info!(lane = %lane.at, before = padded, "large gaps are filled by padding, which compaction removes");
            }
            control.board.add(&source, progress.clone(), marks);
            control.stage_metrics.marks.lane_started(&lane.at, &lane.target.topic, position);
            control.stage_metrics.target.lane_started(&lane.at, &lane.target.topic);
            let target_end = standing.end;
            let opening = Opening {
                lane: Lane { source: source.clone(), target: lane.target.clone() },
                standing,
                offsets: lane.settings.offsets,
                start: pad.then_some(position),
                padded,
                configs,
                adopted,
                position,
                check,
                strict,
                writing,
                marks: of_lane,
            };
            let _ = control.openings.send(Order::Open(Box::new(opening)));
            let target_topic = lane.target.topic.clone();
            let mut entry = LaneEntry::new(id, lane.target);
            if let Some(before) = book.lanes.get(&lane.at) {
                entry.earlier = before.moved();
                entry.goal = before.goal.filter(|_| !anew);
                entry.last_stop = before.last_stop.clone();
                control.board.remove(before.id);
            }
            entry.state = LaneState::Running;
            entry.topic_id.clone_from(&topic_id);
            entry.source = Some(source.clone());
            entry.progress = Some(progress);
            entry.alone = (!lane.settings.shared).then_some((lane.settings.offsets, target_end));
            entry.source_end = source_end;
            // A slot may come later than the first look; its lanes are waited for, too.
            let was_there = self.old.contains(&lane.at.topic) && entry.goal.is_none();
            if first || was_there && control.config.until_caught_up.is_some() {
                entry.goal = entry.source_end;
            }
            let mut targets = control.targets.lock().expect("nothing panics under this lock");
            targets.insert(lane.at.topic.clone(), target_topic);
            let command = Command::Start { lane: source, from, position, gap_cause, topic_id };
            let _ = control.consumer_of(&lane.at).send(command);
            book.lanes.insert(lane.at, entry);
            begun += 1;
        }
        if begun > 0 {
            info!(lanes = begun, "lanes started");
        }
        trouble.map_or(Ok(()), Err)
    }

    /// Topics that were given up may have been cleared since, and their marks deleted.
    async fn read_given_up(&mut self, wanted: &[Wanted]) -> Result<(), Trouble> {
        let lanes = wanted.iter().filter(|lane| self.given_up.contains(&lane.at.topic));
        let lanes: Vec<_> = lanes.map(|lane| (&lane.at, &lane.slot)).collect();
        self.control.marks.read_again(&lanes).await?;
        for (at, _) in lanes {
            self.given_up.remove(&at.topic);
        }
        Ok(())
    }

    /// What was read of lanes whose source has changed under them can't be read again: it gets its time to arrive. Then
    /// nothing more is sent of those runs.
    async fn finish_changed(&self, wanted: &[Wanted]) {
        let control = &self.control;
        let changed: Vec<(TopicPartition, Arc<SourceLane>)> = {
            let book = control.book();
            let lanes = wanted.iter().filter_map(|lane| book.lanes.get_key_value(&lane.at));
            let lanes = lanes.filter(|(_, lane)| lane.change.is_some());
            lanes.filter_map(|(at, lane)| Some((at.clone(), lane.source.clone()?))).collect()
        };
        let arrived = || changed.iter().all(|(_, source)| source.credit.used() == 0);
        let until = Instant::now() + TO_ARRIVE;
        while !arrived() && Instant::now() < until {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        for closed in changed.iter().filter_map(|(at, _)| control.close(at)) {
            let _ = closed.await;
        }
    }

    /// Begins the transactional ids of shared lanes anew: whoever wrote under them is shut out, and what it had not
    /// committed is gone. Only then is read what it has committed.
    async fn take_transactions(
        &self,
        wanted: &[Wanted],
    ) -> Result<HashMap<TopicPartition, Writing>, Trouble> {
        let control = &self.control;
        let mut beginnings = Vec::new();
        for Wanted { at, target, .. } in wanted.iter().filter(|lane| lane.settings.shared) {
            let Ok(origins) = self.origins(at, target) else { continue };
            let id = control.marks.transactional_id(&target.topic, at.partition);
            let (at, topic, wire) = (at.clone(), target.topic.clone(), control.wire.clone());
            beginnings.push(async move {
                let producer = wire.init_producer_id(Some(&id), TRANSACTION).await;
                (at, topic, id, origins, producer)
            });
        }
        let begun: Vec<_> = stream::iter(beginnings).buffered(LOOKS).collect().await;
        let mut writings = HashMap::new();
        for (at, topic, transactional_id, origins, producer) in begun {
            match producer {
                Ok(producer) => {
                    writings.insert(
                        at,
                        Writing::Shared { transactional_id, producer, origins: origins.map(Arc::new) },
                    );
                }
                Err(error) if error.is_retriable() || error.is_unreachable() => {
                    debug!(lane = %at, %error, "its transactional id is not to be had yet");
                    control.look.notify_one();
                }
                Err(error) => {
                    let fix = format!(
                        "grant WRITE on transactional id isomirror.{}. (prefixed) on the target; the lane is tried \
                         again by itself",
                        control.config.link
                    );
                    let stop = Stop::new(StopKind::Precondition, format!("{at}: {error}"), fix);
                    self.refuse(&at.topic, &topic, [at.partition], stop);
                }
            }
        }
        let lanes = wanted.iter().filter(|lane| writings.contains_key(&lane.at));
        let lanes: Vec<_> = lanes.map(|lane| (&lane.at, &lane.slot)).collect();
        control.marks.read_again(&lanes).await?;
        Ok(writings)
    }

    /// What is to be written on the records of a shared lane. A lane is refused where a cluster has no id to write.
    fn origins(&self, at: &TopicPartition, target: &TopicPartition) -> Result<Option<LaneOrigins>, ()> {
        let control = &self.control;
        let origins = control.config.origins_of(&control.book().cluster_ids(), at, target);
        origins.map_err(|side| {
            let stop = Stop::new(
                StopKind::Precondition,
                format!(
                    "{at}: the {side} cluster has no id, so where records come from can't be written on them"
                ),
                "set topics.origin_header = \"\" to write nothing on them, if no other link leads back",
            );
            self.refuse(&at.topic, &target.topic, [at.partition], stop);
        })
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

    /// The position of each lane: where its marks end, else as configured.
    async fn starts(
        &self,
        wanted: &[Wanted],
        ends: &Offsets,
        causes: &HashMap<Arc<str>, GapCause>,
    ) -> Result<Starts, Trouble> {
        let control = &self.control;
        let mut starts = Starts::default();
        let mut by_rule: HashMap<(u8, i64), Vec<TopicPartition>> = HashMap::new();
        for lane in wanted {
            let cause = causes[&lane.at.topic];
            if let Some(book) = lane.slot.book(&lane.at, cause, lane.settings.shared) {
                starts.at.insert(lane.at.clone(), Where::Recorded(book));
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
                    Ok(Some(offset)) => drop(starts.at.insert(at, Where::Fresh(offset))),
                    Ok(None) => {}
                    Err(error) => drop(starts.failed.insert(at, error.into())),
                }
            }
        }
        Ok(starts)
    }

    fn takes_padding(&self, target_topic: &str) -> bool {
        self.configs.get(target_topic).is_some_and(takes_padding)
    }

    /// What gaps are taken for: on a compacted topic the log cleaner makes most of them. And which of the source topics are
    /// known not to be compacted, nor their targets.
    async fn gap_causes(&self, wanted: &[Wanted]) -> (HashMap<Arc<str>, GapCause>, HashSet<Arc<str>>) {
        let names: BTreeSet<&Arc<str>> = wanted.iter().map(|lane| &lane.at.topic).collect();
        let asked: Vec<String> = names.iter().map(|name| name.to_string()).collect();
        let configs = self.control.source.topic_configs(&asked).await.unwrap_or_default();
        let compacted = |name: &str| configs.get(name)?.as_ref().ok().map(TopicConfigs::is_compacted);
        let cause = |name: &Arc<str>| match compacted(name) {
            Some(true) => GapCause::Compaction,
            _ => GapCause::Transaction,
        };
        let causes = names.into_iter().map(|name| (name.clone(), cause(name))).collect();
        let is_plain = |lane: &&Wanted| {
            let target = self.configs.get(&*lane.target.topic).map(TopicConfigs::is_compacted);
            [compacted(&lane.at.topic), target] == [Some(false); 2]
        };
        let plain = wanted.iter().filter(is_plain).map(|lane| lane.at.topic.clone()).collect();
        (causes, plain)
    }
}
