//! The target topics: made, grown, or refused with the reason; and what they take.

use std::{
    collections::{BTreeSet, HashSet},
    sync::Arc,
    time::Instant,
};

use cluster_admin::{TopicConfigs, TopicInfo};
use mirror_types::{LaneId, Stop, StopKind, TopicPartition};
use pinned_producer::Takes;
use tracing::{info, warn};

use super::{Topics, Trouble, Wanted};
use crate::{
    TopicSettings,
    book::{LaneEntry, LaneState},
    decide::{Decision, NewTopic, decide},
};

impl Topics {
    /// Target topics that refused a record, and whose configs have changed since: to be tried again now.
    pub(super) async fn targets_mended(&self) -> HashSet<String> {
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

    /// Makes the target topic fit; says which lanes can be started.
    pub(super) async fn prepare(
        &mut self,
        first: bool,
        topic: &str,
        source: &TopicInfo,
        target_topic: &str,
        target: Option<&TopicInfo>,
        missing: Vec<i32>,
    ) -> Result<Vec<Wanted>, Trouble> {
        let control = self.control.clone();
        let settings = (control.live().settings)(topic);
        let name: Arc<str> = topic.into();
        let known = self.has_run(topic) || control.marks.has_begun(topic);
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
                return Err(error.into());
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
        let wanted = |partition| {
            let at = TopicPartition::new(name.clone(), partition);
            // It may have gone meanwhile.
            let slot = control.marks.held(&at)?;
            Some(Wanted {
                at,
                slot,
                target: TopicPartition::new(target.clone(), partition),
                settings: settings.clone(),
                topic_known: known || !(first || self.old.contains(&name)),
            })
        };
        Ok(missing.into_iter().filter_map(wanted).collect())
    }

    async fn create(
        &self,
        topic: &str,
        partitions: i32,
        target_topic: &str,
        settings: &TopicSettings,
    ) -> Result<(), cluster_admin::Error> {
        let control = &self.control;
        let configs = match control.source.topic_configs(&[topic.to_owned()]).await {
            Ok(mut configs) => configs.remove(topic).transpose(),
            Err(error) => Err(error),
        };
        let configs = match configs {
            Ok(configs) => configs,
            Err(error) if error.is_unreachable() => return Err(error),
            Err(error) => {
                warn!(topic, %error, "its configs can't be read; the target topic gets the brokers' defaults");
                None
            }
        };
        let new = NewTopic::of(partitions, configs.as_ref(), target_topic, settings);
        info!(
            topic = target_topic,
            partitions,
            replication = new.replication,
            configs = ?new.configs,
            "creating the target topic"
        );
        new.make(&control.target).await.map(drop)
    }

    /// Lanes of a topic that must not run: each says why, in the book.
    pub(super) fn refuse(
        &self,
        topic: &str,
        target_topic: &str,
        partitions: impl IntoIterator<Item = i32>,
        stop: Stop,
    ) {
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
}
