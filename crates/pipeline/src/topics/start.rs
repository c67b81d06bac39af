//! Which lanes are started, and where: at what they reached, what is recorded, or what is configured.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};

use cluster_admin::{Isolation, Offsets};
use futures::{StreamExt, stream};
use mirror_types::{GapCause, Lane, LaneId, Mark, Offset, SourceLane, Stop, StopKind, TopicPartition};
use offset_marks::LaneProgress;
use pinned_producer::{BoxFuture, Marks, Note, Opening, Standing, Writing};
use source_consumer::Command;
use tracing::{debug, info};

use super::{Topics, Trouble, Wanted};
use crate::{
    Start,
    book::{LaneEntry, LaneState},
    resume::{Begin, Known, begin},
};

/// A lane that the target or source refused is tried again after this long.
const TRY_AGAIN: Duration = Duration::from_secs(60);

/// Target partitions that are asked at the same time where they stand.
const LOOKS: usize = 256;

/// Where a lane stands by the link's own notes, or where it starts without any.
#[derive(Clone, Copy)]
enum Place {
    Recorded(Offset),
    Fresh(Offset),
}

/// Where lanes start; and what is wrong with those that can't.
#[derive(Default)]
struct Starts {
    at: HashMap<TopicPartition, Place>,
    failed: BTreeMap<TopicPartition, Trouble>,
}

/// Marks that nobody keeps yet.
struct Unkept;

impl Marks for Unkept {
    fn declare(&self, _: Vec<Mark>) -> BoxFuture<'_, Result<(), Stop>> {
        Box::pin(std::future::ready(Ok(())))
    }

    fn within(&self, _: &[Mark], _: Offset) -> Note {
        Note { topic: "".into(), partition: 0, records: Vec::new() }
    }
}

impl Topics {
    /// Partitions of a topic that have no lane yet, or one that can be tried again; with where it got to.
    /// `mended`: the target topic's configs have changed since it refused a record.
    pub(super) fn lanes_to_start(
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

    /// Finds where each lane starts, records that, and starts it.
    pub(super) async fn start(&self, first: bool, wanted: Vec<Wanted>) -> Result<(), Trouble> {
        if wanted.is_empty() {
            return Ok(());
        }
        let control = &self.control;
        let at: Vec<TopicPartition> = wanted.iter().map(|w| w.at.clone()).collect();
        let ends = control.source.end_offsets(&at, control.config.isolation()).await?;
        let Starts { at: starts, failed } = self.starts(&wanted, &ends).await?;
        let trouble = self.without_start(&wanted, failed);
        let mut begins = self.begins(&wanted, starts).await?;
        let compacted = self.compacted(&wanted).await;
        let mut book = control.book();
        let mut begun = 0;
        for lane in wanted {
            let Some((Begin { position, from, pad }, standing)) = begins.remove(&lane.at) else { continue };
            let id = LaneId(control.next_id.fetch_add(1, Relaxed));
            let source = Arc::new(SourceLane { id, at: lane.at.clone(), credit: control.budget.lane() });
            let progress = LaneProgress::starting_at(position);
            control.board.add(&source, progress.clone());
            control.stage_metrics.marks.lane_started(&lane.at, &lane.target.topic, position);
            control.stage_metrics.target.lane_started(&lane.at, &lane.target.topic);
            let opening = Opening {
                lane: Lane { source: source.clone(), target: lane.target.clone() },
                standing,
                offsets: lane.settings.offsets,
                start: pad.then_some(position),
                position,
                check: None,
                writing: Writing::Exclusive,
                marks: Arc::new(Unkept),
            };
            let _ = control.openings.send(opening);
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
            let _ = control.consumer_of(&lane.at).send(Command::Start {
                lane: source,
                from,
                position,
                gap_cause,
            });
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
                starts.at.insert(lane.at.clone(), Place::Recorded(position));
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
        starts.at.extend(fresh.into_iter().map(|(at, offset)| (at, Place::Fresh(offset))));
        Ok(starts)
    }

    /// Where each lane begins on both sides; those that can't say why, in the book.
    async fn begins(
        &self,
        wanted: &[Wanted],
        places: HashMap<TopicPartition, Place>,
    ) -> Result<HashMap<TopicPartition, (Begin, Standing)>, Trouble> {
        let control = &self.control;
        let at: Vec<TopicPartition> = places.keys().cloned().collect();
        let firsts = control.source.start_offsets(&at).await?;
        let lanes: Vec<_> = wanted.iter().filter_map(|lane| Some((lane, *places.get(&lane.at)?))).collect();
        let targets: Vec<TopicPartition> = lanes.iter().map(|(lane, _)| lane.target.clone()).collect();
        let wire = &control.wire;
        let standing = |at: TopicPartition| async move { Standing::of(wire, &at).await };
        let standings: Vec<_> =
            stream::iter(targets.into_iter().map(standing)).buffered(LOOKS).collect().await;
        // Asked for after the target: whoever else writes it can't get ahead of this.
        let ends = control.source.end_offsets(&at, Isolation::Uncommitted).await?;
        let mut begins = HashMap::new();
        for ((lane, place), standing) in lanes.into_iter().zip(standings) {
            let (Some(Ok(first)), Some(Ok(end))) = (firsts.get(&lane.at), ends.get(&lane.at)) else {
                continue;
            };
            let standing = match standing {
                Ok(standing) => standing,
                Err(error) => {
                    self.not_standing(lane, &error);
                    continue;
                }
            };
            let (recorded, fresh) = match (place, lane.settings.start) {
                (Place::Fresh(start), _) => (None, start),
                (Place::Recorded(position), Start::Earliest) => (Some(position), *first),
                // What was recorded may be the start, with nothing mirrored yet.
                (Place::Recorded(position), _) => (Some(position), position),
            };
            let told = |lane: &LaneEntry| matches!(&lane.state, LaneState::Stopped { stop, .. } if stop.kind == StopKind::Precondition);
            let made_again = control.book().lanes.get(&lane.at).is_some_and(told);
            let known = Known {
                at: &lane.at,
                target: &lane.target,
                offsets: lane.settings.offsets,
                standing: &standing,
                recorded,
                fresh,
                made_again,
                source: (*first, *end),
            };
            match begin(&known) {
                Ok(begin) => drop(begins.insert(lane.at.clone(), (begin, standing))),
                Err(stop) => self.refuse(&lane.at.topic, &lane.target.topic, [lane.at.partition], stop),
            }
        }
        Ok(begins)
    }

    /// The target does not say where its partition stands: what passes is tried again at the next look.
    fn not_standing(&self, lane: &Wanted, error: &kafka_wire::Error) {
        if error.is_retriable() || error.is_unreachable() {
            debug!(lane = %lane.at, %error, "the target does not say where it stands");
            self.control.look.notify_one();
            return;
        }
        let (at, topic) = (&lane.at, &lane.target.topic);
        let fix = format!(
            "grant READ and DESCRIBE on topic {topic} on the target; the lane is tried again by itself"
        );
        let stop = Stop::new(StopKind::Precondition, format!("{at}: {error}"), fix);
        self.refuse(&at.topic, topic, [at.partition], stop);
    }

    async fn compacted(&self, wanted: &[Wanted]) -> HashMap<Arc<str>, bool> {
        let mut names: Vec<String> = wanted.iter().map(|w| w.at.topic.to_string()).collect();
        names.sort_unstable();
        names.dedup();
        let configs = self.control.source.topic_configs(&names).await.unwrap_or_default();
        configs.into_iter().filter_map(|(topic, c)| Some((topic.into(), c.ok()?.is_compacted()))).collect()
    }
}
