//! The stage: says of each piece where it leads.

use std::{collections::HashMap, sync::Arc};

use mirror_types::{Fetched, Lane, LaneEvent, Routed, Stop, StopKind, TopicPartition};
use tokio::sync::{mpsc, watch};

use crate::Rules;

/// Stamps every piece with its target topic, by the link's rules.
pub struct TopicRename {
    rules: watch::Receiver<Arc<Rules>>,
    /// A topic's target never changes while it is mirrored.
    known: HashMap<Arc<str>, Arc<str>>,
    input: mpsc::Receiver<Fetched>,
    output: mpsc::Sender<Routed>,
    events: mpsc::Sender<LaneEvent>,
}

impl TopicRename {
    /// A stage between two channels. Rules that come later are for topics that are not mirrored yet.
    pub fn new(
        rules: watch::Receiver<Arc<Rules>>,
        input: mpsc::Receiver<Fetched>,
        output: mpsc::Sender<Routed>,
        events: mpsc::Sender<LaneEvent>,
    ) -> Self {
        Self { rules, known: HashMap::new(), input, output, events }
    }

    /// Runs until its input ends, or nobody wants its output.
    pub async fn run(mut self) {
        while let Some(Fetched { lane: source, first, content, next, credit }) = self.input.recv().await {
            let Some(topic) = self.target(&source.at.topic) else {
                let reason = format!("{}: no rule leads topic {} anywhere", source.at, source.at.topic);
                let stop =
                    Stop::new(StopKind::Precondition, reason, "this is a fault of isomirror; report it");
                let _ = self.events.send(LaneEvent::Stopped { lane: source.id, stop }).await;
                continue;
            };
            let target = TopicPartition { topic, partition: source.at.partition };
            let routed = Routed { lane: Lane { source, target }, first, content, next, credit };
            if self.output.send(routed).await.is_err() {
                return;
            }
        }
    }

    fn target(&mut self, topic: &Arc<str>) -> Option<Arc<str>> {
        if let Some(target) = self.known.get(topic) {
            return Some(target.clone());
        }
        let target: Option<Arc<str>> = self.rules.borrow().target(topic).map(Arc::from);
        if let Some(target) = &target {
            self.known.insert(topic.clone(), target.clone());
        }
        target
    }
}
