//! Topics that are not to be mirrored now: those that wait to be asked for, that somebody has paused or stopped, or that the
//! rules name no more. Their lanes end in order: nothing more is read, what is in flight is written and recorded.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use link_journal::JournalState;
use mirror_types::{GapCause, LaneId, Offset, TopicPartition};
use offset_marks::LaneProgress;
use source_consumer::Command;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::{Routes, Topics, Trouble};
use crate::{
    Begin, LinkConfig, TopicPlan,
    book::{LaneEntry, LaneState},
    control::Control,
    plan,
};

/// How long a look waits for what is in flight; the next goes on waiting.
const TO_END: Duration = Duration::from_secs(2);
/// Between two looks whether it is through.
const AGAIN: Duration = Duration::from_millis(10);

/// Topics that are named in one line of the log.
const NAMED: usize = 20;

/// A lane that is to end.
struct Ending {
    at: TopicPartition,
    id: LaneId,
    /// Whether it stays in the book, at rest.
    stays: bool,
}

impl Topics {
    /// Leaves out of the routes what is not to be mirrored now, and has its lanes end. On record is then how far that goes;
    /// why that is not so, or a journal can't be had, keeps no other topic waiting, and is given.
    pub(super) async fn hold(
        &mut self,
        live: &LinkConfig,
        routes: &mut Routes,
        sources: &cluster_admin::Topics,
        targets: &cluster_admin::Topics,
    ) -> Result<Option<Trouble>, Trouble> {
        let control = self.control.clone();
        let there = targets.contains_key(&*control.decisions.journal());
        control.decisions.see(there).await?;
        let decided = control.decisions.known();
        self.decided_to = decided.as_ref().map(|decided| decided.next());
        let waits = self.plans(live, routes, decided.as_deref()).await?;
        let unfinished = self.end_lanes(live, routes).await;
        self.show_paused(live, routes, sources);
        if !unfinished.is_empty() {
            control.look.notify_one();
        }
        let mut done = self.followed(self.decided_to, &unfinished).await;
        if waits && done.is_ok() {
            // Where there is one to follow, it is known at once when somebody asks.
            done = control.decisions.ensure().await;
        }
        Ok(done.err().map(Trouble::from))
    }

    /// Has all lanes end if the link is to rest, whether its source can be asked or not, and puts that on record.
    pub(super) async fn rest(&mut self) -> Result<(), Trouble> {
        let control = self.control.clone();
        // Before it is asked whether the link rests, which may change any moment.
        let decided = control.decisions.known().map(|decided| decided.next());
        if !control.decisions.rests() {
            return Ok(());
        }
        let topics: BTreeSet<String> =
            control.book().lanes.keys().map(|lane| lane.topic.to_string()).collect();
        let routes = Routes { resting: topics, ..Routes::of(BTreeMap::new()) };
        let unfinished = self.end_lanes(&control.live(), &routes).await;
        if !unfinished.is_empty() {
            control.look.notify_one();
        }
        Ok(self.followed(decided, &unfinished).await?)
    }

    /// Puts on record up to where of the journal all is done, but for these lanes.
    async fn followed(
        &self,
        decided: Option<Offset>,
        unfinished: &[TopicPartition],
    ) -> Result<(), control_topic::Error> {
        let Some(decided) = decided else { return Ok(()) };
        if self.control.decisions.rests() {
            // A round that had begun is given up, and no other begins.
            drop(self.control.committing.lock().await);
        }
        self.control.marks.followed(decided, unfinished).await
    }

    /// Whether something was decided since this look has planned.
    pub(super) async fn decided_anew(&self) -> Result<bool, Trouble> {
        let decisions = &self.control.decisions;
        decisions.refresh(None).await?;
        Ok(decisions.known().map(|decided| decided.next()) != self.decided_to)
    }

    /// Sorts the topics by what is planned; says whether some wait to be asked for.
    async fn plans(
        &mut self,
        live: &LinkConfig,
        routes: &mut Routes,
        decided: Option<&JournalState>,
    ) -> Result<bool, Trouble> {
        let control = self.control.clone();
        let rests = control.decisions.rests();
        let of = |topic: &str| decided.and_then(|decided| Some(decided.topic(topic)?.state));
        let asked = |topic: &str| (live.settings)(topic).begin == Begin::Asked && of(topic).is_none();
        if !self.begun_known && routes.ready.keys().any(|topic| asked(topic)) {
            control.marks.learn_topics().await?;
            self.begun_known = true;
        }
        let mut held = BTreeMap::new();
        for topic in routes.ready.keys() {
            if rests {
                held.insert(topic.clone(), TopicPlan::Rest);
                continue;
            }
            let begun = !asked(topic) || self.has_run(topic) || control.marks.has_begun(topic);
            match plan(of(topic), (live.settings)(topic).begin, begun) {
                TopicPlan::Run => {}
                plan => drop(held.insert(topic.clone(), plan)),
            }
        }
        for (topic, plan) in &held {
            let Some(target) = routes.ready.remove(topic) else { continue };
            if *plan == TopicPlan::Pause {
                routes.paused.insert(topic.clone(), target);
                continue;
            }
            routes.resting.insert(topic.clone());
            if matches!(plan, TopicPlan::Stop | TopicPlan::Rest) {
                // Somebody may clear it, or mark where it goes on, as long as it is so.
                self.given_up.insert(topic.as_str().into());
                control.marks.forget_begun(topic);
            }
        }
        let waits = held.values().any(|plan| *plan == TopicPlan::Wait);
        let mut book = control.book();
        if book.held != held {
            tell(&held);
            book.held = held;
        }
        Ok(waits)
    }

    /// Has the lanes end that are not to run; gives those that are not through yet.
    async fn end_lanes(&mut self, live: &LinkConfig, routes: &Routes) -> Vec<TopicPartition> {
        let control = self.control.clone();
        let endings = self.endings(live, routes);
        if endings.is_empty() {
            return Vec::new();
        }
        let until = Instant::now() + TO_END;
        let mut left = endings;
        let mut through = Vec::new();
        loop {
            let (now, rest): (Vec<_>, Vec<_>) = left.into_iter().partition(|lane| control.is_through(lane));
            through.extend(now);
            left = rest;
            if left.is_empty() || Instant::now() >= until {
                break;
            }
            tokio::time::sleep(AGAIN).await;
        }
        let closed: Vec<_> = through.iter().filter_map(|lane| control.close(&lane.at)).collect();
        futures::future::join_all(closed).await;
        let unrecorded = control.record(&through, until.max(Instant::now() + TO_END)).await;
        let (late, done): (Vec<_>, Vec<_>) =
            through.into_iter().partition(|lane| unrecorded.contains(&lane.id));
        done.iter().for_each(|lane| self.ended(lane));
        if !done.is_empty() {
            info!(lanes = done.len(), "lanes ended: they are paused, or given up");
        }
        left.into_iter().chain(late).map(|lane| lane.at).collect()
    }

    /// The lanes that are not to run; nothing more of them is read.
    fn endings(&self, live: &LinkConfig, routes: &Routes) -> Vec<Ending> {
        let control = &self.control;
        let mut book = control.book();
        let mut endings = Vec::new();
        for (at, lane) in &mut book.lanes {
            let goes = routes.resting.contains(&*at.topic) || !live.rules.includes(&at.topic);
            let rests = routes.paused.contains_key(&*at.topic) && lane.state != LaneState::Paused;
            // One that has begun to end does so, and begins again where it may.
            if !goes && !rests && lane.ending.is_none() {
                continue;
            }
            if lane.ending.is_none() {
                let ending = CancellationToken::new();
                let guard = ending.clone().drop_guard();
                let _ = control.consumer_of(at).send(Command::End(lane.id, guard));
                lane.ending = Some(ending);
            }
            endings.push(Ending { at: at.clone(), id: lane.id, stays: !goes });
        }
        endings
    }

    fn ended(&mut self, Ending { at, id, stays }: &Ending) {
        let control = &self.control;
        {
            let mut book = control.book();
            // It may be another run by now, or another instance's.
            let Some(lane) = book.lanes.get_mut(at).filter(|lane| lane.id == *id) else { return };
            control.board.remove(*id);
            if *stays {
                (lane.state, lane.ending) = (LaneState::Paused, None);
                // It has no part in the buffer any more.
                (lane.source, lane.change) = (None, None);
                return;
            }
        }
        control.marks.give_up(at);
        control.forget(at);
        self.given_up.insert(at.topic.clone());
    }

    /// Lanes of paused topics that have not run in this process: where they stand by their marks.
    fn show_paused(&self, live: &LinkConfig, routes: &Routes, sources: &cluster_admin::Topics) {
        let control = &self.control;
        for (topic, target) in &routes.paused {
            let Some(Ok(source)) = sources.get(topic.as_str()) else { continue };
            let shared = (live.settings)(topic).shared;
            for partition in 0..source.partitions {
                let at = TopicPartition::new(topic.as_str(), partition);
                let Some(slot) = control.marks.held(&at) else { continue };
                let mut book = control.book();
                if book.lanes.contains_key(&at) {
                    continue;
                }
                let mut lane = LaneEntry::new(LaneId(0), TopicPartition::new(target.as_str(), partition));
                lane.state = LaneState::Paused;
                if let Some(recorded) = slot.book(&at, GapCause::Transaction, shared) {
                    let position = recorded.ledger().position().source;
                    control.stage_metrics.marks.lane_started(&at, target, position);
                    lane.progress = Some(LaneProgress::starting_at(position));
                }
                book.lanes.insert(at, lane);
            }
        }
    }
}

impl Control {
    /// Whether nothing more of a lane is read, and all that was is on the target, or given up.
    fn is_through(&self, lane: &Ending) -> bool {
        let book = self.book();
        let Some(entry) = book.lanes.get(&lane.at).filter(|entry| entry.id == lane.id) else { return true };
        let read = entry.ending.as_ref().is_none_or(CancellationToken::is_cancelled);
        read && entry.source.as_ref().is_none_or(|source| source.credit.used() == 0)
    }

    /// Waits until what was acknowledged of these lanes is recorded; gives those of which it is not.
    async fn record(&self, lanes: &[Ending], until: Instant) -> Vec<LaneId> {
        // All acknowledgements of them are on their way into the books, or there.
        let entered = || self.acks.upgrade().is_none_or(|acks| acks.capacity() == acks.max_capacity());
        while !entered() && Instant::now() < until {
            tokio::time::sleep(AGAIN).await;
        }
        loop {
            tokio::time::sleep(AGAIN).await;
            let unrecorded: Vec<LaneId> =
                lanes.iter().map(|lane| lane.id).filter(|id| self.board.is_due(*id)).collect();
            if unrecorded.is_empty() || Instant::now() >= until {
                return unrecorded;
            }
        }
    }
}

/// Tells which topics are not mirrored now.
fn tell(held: &BTreeMap<String, TopicPlan>) {
    if !held.is_empty() && held.values().all(|plan| *plan == TopicPlan::Rest) {
        return info!(topics = held.len(), "the link rests: its pair's other one runs, or neither does yet");
    }
    let kinds = [
        (TopicPlan::Wait, "wait to be asked for (isomirror topics CONFIG start NAME)"),
        (TopicPlan::Pause, "somebody has paused"),
        (TopicPlan::Stop, "somebody has stopped"),
    ];
    for (wanted, what) in kinds {
        let of_kind = || held.iter().filter(|(_, plan)| **plan == wanted).map(|(topic, _)| topic.as_str());
        let first: Vec<&str> = of_kind().take(NAMED).collect();
        if !first.is_empty() {
            warn!(topics = of_kind().count(), "topics that {what}: {}", first.join(", "));
        }
    }
    if held.is_empty() {
        info!("all topics that the rules name are to be mirrored");
    }
}
