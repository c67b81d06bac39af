//! Which topics are mirrored now: clashes that came later, topics that are gone on either side.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use control_topic::ControlTopic;
use mirror_types::{Offset, Side, SourceChange, Stop, StopKind, TopicPartition};
use offset_marks::now_ms;
use topic_rename::RouteError;
use tracing::{debug, info, warn};

use super::{Routes, Topics, Trouble};
use crate::{
    Error, LinkConfig,
    beside::Beside,
    book::{LaneEntry, LaneState},
    chain::{CHAIN_FIX, Chain},
    decide::{Decision, decide},
    loops::{LOOP_FIX, LoopError, loops, nothing_renamed},
};

/// A topic is gone when it was missing this many times in a row.
const GONE: u32 = 3;

impl Topics {
    /// Topics that can't be routed and have appeared since the start: they are refused, and the rest goes on,
    /// with it the one of several clashing topics that is being mirrored already.
    pub(super) fn without_refused(&self, refused: RouteError, sources: &cluster_admin::Topics) -> Routes {
        let mut routes = Routes::of(refused.rest);
        let mut refuse = |topic: &str, target: &str, reason: String| {
            let fix = format!(
                "exclude {topic}, or give it a target topic of its own; then reload or restart isomirror"
            );
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

    /// With one cluster on both sides, topics that would feed themselves: at the start they end the link, later each
    /// is refused.
    pub(super) fn without_loops(
        &self,
        first: bool,
        routes: &mut Routes,
        sources: &cluster_admin::Topics,
    ) -> Result<(), LoopError> {
        let id = {
            let book = self.control.book();
            book.source.id.clone().filter(|id| book.target.id.as_ref() == Some(id))
        };
        let Some(id) = id else { return Ok(()) };
        let live = self.control.live();
        let rules = &live.rules;
        let loops = loops(rules, routes.ready.keys().map(String::as_str));
        if first && (!loops.is_empty() || nothing_renamed(rules)) {
            return Err(LoopError { id, loops });
        }
        for one in loops {
            let reason = format!("{}: source and target are one cluster ({id}), and {one}", one.topic);
            self.refuse_routed(
                routes,
                sources,
                one.topic,
                Stop::new(StopKind::Precondition, reason, LOOP_FIX),
            );
        }
        Ok(())
    }

    /// Topics that would come back over other links: at the start they end the link, later each is refused. Nothing starts
    /// before other links were looked for.
    pub(super) async fn without_chains(
        &mut self,
        first: bool,
        live: &LinkConfig,
        routes: &mut Routes,
        (on_record, sources, targets): (&ControlTopic, &cluster_admin::Topics, &cluster_admin::Topics),
    ) -> Result<Result<(), Trouble>, Error> {
        let control = self.control.clone();
        // In the demo there is no other.
        if live.alone {
            return Ok(Ok(()));
        }
        let ids = control.book().cluster_ids();
        self.judged.retain(|topic, _| !routes.resting.contains(topic));
        let begins_again =
            |topic: &String| !self.judged.contains_key(topic) && self.given_up.contains(topic.as_str());
        let again = !first && routes.ready.keys().any(begins_again);
        if again {
            // As if the link were started with it: whoever has taken its place goes on.
            self.started = now_ms();
        }
        let left_out = self.left_out();
        if again || self.beside.as_ref().is_none_or(Beside::is_old) {
            let (since, both) = ((&ids, self.started), (sources, targets));
            let at = (&control.wire, on_record);
            match Beside::look(live, since, at, both, &left_out, self.beside.as_ref()).await {
                Ok(Some(beside)) => {
                    self.beside = Some(beside);
                    self.judged.clear();
                }
                Ok(None) => {}
                Err(error) if self.beside.is_none() => return Ok(Err(error.into())),
                Err(error) => debug!("other links can't be looked at now: {error}"),
            }
        }
        if let Some(beside) = &self.beside {
            for topic in routes.ready.keys() {
                // Later on, the link of the chain that has started last gives way, and the others go on; one that has given
                // way stays so, whoever starts again.
                let gives_way = |chain: &Chain| first || left_out.contains(topic) || beside.gives_way(chain);
                let judge = || beside.comes_back(topic).filter(gives_way);
                self.judged.entry(topic.clone()).or_insert_with(judge);
            }
        }
        let judged = |topic: &String| self.judged.get(topic).cloned().flatten();
        let chains: Vec<Chain> = routes.ready.keys().filter_map(judged).collect();
        if first && let Some(chain) = chains.first() {
            if let Some(beside) = self.beside.take() {
                beside.withdraw(live, &ids, on_record).await;
            }
            return Err(Error::Chain(chain.clone()));
        }
        let left_out = self.left_out();
        if let Some(beside) = &mut self.beside {
            beside.leave_out(live, &ids, on_record, &left_out).await;
        }
        for chain in chains {
            let reason = format!("{}: it would come back over other links: {chain}", chain.topic);
            let stop = Stop::new(StopKind::Precondition, reason, CHAIN_FIX);
            self.refuse_routed(routes, sources, chain.topic, stop);
        }
        Ok(Ok(()))
    }

    /// Topics that would come back over other links.
    fn left_out(&self) -> BTreeSet<String> {
        let left_out = self.judged.iter().filter(|(_, chain)| chain.is_some());
        left_out.map(|(topic, _)| topic.clone()).collect()
    }

    /// A topic that has a route is not mirrored all the same, or no more.
    fn refuse_routed(&self, routes: &mut Routes, sources: &cluster_admin::Topics, topic: String, stop: Stop) {
        let Some(target) = routes.ready.remove(&topic) else { return };
        let partitions =
            sources.get(topic.as_str()).and_then(|s| s.as_ref().ok()).map_or(0, |s| s.partitions);
        {
            let mut book = self.control.book();
            let runs = |(at, lane): &(&TopicPartition, &mut LaneEntry)| {
                *at.topic == *topic && lane.state == LaneState::Running
            };
            for (at, lane) in book.lanes.iter_mut().filter(runs) {
                self.control.stop(at, lane, stop.clone());
            }
        }
        self.refuse(&topic, &target, 0..partitions, stop);
        routes.refused.insert(topic);
    }

    /// Topics that the configuration names and that are not there: told of once, and waited for.
    pub(super) fn note_missing(&self, sources: &cluster_admin::Topics) {
        let mut book = self.control.book();
        let has_lanes = |topic: &str| book.lanes.keys().any(|at| *at.topic == *topic);
        let named = self.control.live().rules.named();
        let missing: BTreeMap<String, Stop> = named
            .into_iter()
            .filter(|topic| !sources.contains_key(topic.as_str()) && !has_lanes(topic))
            .map(|topic| (topic.clone(), not_there(&topic)))
            .collect();
        for (topic, stop) in missing.iter().filter(|(topic, _)| !book.missing.contains_key(*topic)) {
            warn!(topic, fix = stop.fix, "{}; waiting for it", stop.reason);
        }
        book.missing = missing;
    }

    /// Whether a topic has lanes that run, or have run, in this process.
    pub(super) fn has_run(&self, topic: &str) -> bool {
        let book = self.control.book();
        book.lanes.iter().any(|(at, lane)| *at.topic == *topic && lane.progress.is_some())
    }

    /// Lanes that run while their target topic is gone: without a record to carry they would not notice.
    pub(super) fn stop_without_target(
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
            let settings = (control.live().settings)(topic);
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

    /// Lanes that run on a source topic that was deleted and made again: what their marks make of that is seen when they
    /// start again, at once.
    pub(super) async fn stop_recreated(&self) -> Result<(), Trouble> {
        let control = &self.control;
        let running = |lane: &LaneEntry| lane.state == LaneState::Running && lane.topic_id.is_some();
        // Asked for before the ids: where the old topic ended, if it still was the old one.
        let ends: BTreeMap<TopicPartition, Option<Offset>> = {
            let book = control.book();
            let lanes = book.lanes.iter().filter(|(_, lane)| running(lane));
            lanes.map(|(at, lane)| (at.clone(), lane.source_end)).collect()
        };
        let topics: BTreeSet<&Arc<str>> = ends.keys().map(|at| &at.topic).collect();
        let topics: Vec<String> = topics.into_iter().map(ToString::to_string).collect();
        let ids = control.source.topic_ids(&topics).await?;
        let mut book = control.book();
        for (at, lane) in book.lanes.iter_mut().filter(|(_, lane)| running(lane)) {
            let (Some(end), Some(id)) = (ends.get(at), ids.get(&*at.topic)) else { continue };
            if lane.topic_id.as_ref() == Some(id) {
                lane.seen_end = *end;
                continue;
            }
            control.stop(at, lane, source_consumer::recreated(at, id));
            lane.change = Some(SourceChange::Recreated);
        }
        Ok(())
    }

    /// Lanes of topics that are on the source no more, or that match no more.
    pub(super) fn forget_gone(&mut self, routes: &Routes) {
        let control = self.control.clone();
        let book = control.book();
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
        drop(book);
        for at in gone {
            let _ = control.close(&at);
            control.forget(&at);
        }
    }
}

fn not_there(topic: &str) -> Stop {
    Stop::new(
        StopKind::Precondition,
        format!("{topic}: the configuration names it, but there is no such topic on the source"),
        format!(
            "create {topic} on the source, or take it out of the configuration; if it is there, grant READ and \
             DESCRIBE on it"
        ),
    )
}
