//! Topic configs: what was set on a source topic is set on its target topic.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use cluster_admin::TopicConfigs;
use kafka_wire::{Client, Purpose, TopicChanges};
use pinned_producer::deleting;
use prometheus::{IntCounter, Registry};
use target_diff::{ConfigDiff, Replicas, config_diff};
use tracing::info;

use super::{InStep, PATIENCE, counter, first_of, mirrored, with_fix};
use crate::{Error, control::Control};

/// Keeps configs in step.
pub(crate) struct Configs {
    control: Arc<Control>,
    every: Duration,
    target: Client,
    failures: IntCounter,
}

impl Configs {
    /// None where nobody asks for it.
    pub(crate) fn new(control: &Arc<Control>, registry: &Registry) -> Result<Option<Self>, Error> {
        let Some(every) = control.config.configs_every else { return Ok(None) };
        Ok(Some(Self {
            control: control.clone(),
            every,
            target: control.wire.for_purpose(Purpose::new("in-step")).with_patience(PATIENCE),
            failures: counter(
                registry,
                "isomirror_config_sync_failures_total",
                "Times that topic configs could not be looked at, or not all be set.",
            )?,
        }))
    }

    /// How each target topic differs, and what could not be found out.
    async fn differences(&self) -> Result<(BTreeMap<String, ConfigDiff>, Vec<String>), cluster_admin::Error> {
        let (control, live) = (&self.control, self.control.live());
        let (sources, targets) = tokio::try_join!(control.source.topics(), control.target.topics())?;
        let routes = mirrored(control, &live.rules, &sources, &targets);
        let (from, to): (Vec<String>, Vec<String>) = routes.clone().into_iter().unzip();
        let (mut of_source, mut of_target) =
            tokio::try_join!(control.source.topic_configs(&from), control.target.topic_configs(&to))?;
        let moment = deleting();
        let (mut diffs, mut trouble) = (BTreeMap::new(), Vec::new());
        for (topic, target_topic) in routes {
            let settings = (live.settings)(&topic);
            let both = [of_source.remove(&topic), of_target.remove(&target_topic)];
            let both: Result<Vec<TopicConfigs>, _> = both.into_iter().flatten().collect();
            match (both.as_deref(), targets.get(target_topic.as_str())) {
                (Ok([source, target]), Some(Ok(info))) => {
                    let replicas = Replicas { asked: settings.replication, there: info.replication };
                    let diff = config_diff(source, target, replicas, settings.shared, &moment);
                    diffs.insert(target_topic, diff);
                }
                (Err(error), _) => {
                    trouble.push(with_fix(error, error.is_not_authorized(), "DESCRIBE_CONFIGS on the topic"));
                }
                _ => {}
            }
        }
        Ok((diffs, trouble))
    }
}

impl InStep for Configs {
    const WHAT: &'static str = "topic configs";

    fn every(&self) -> Duration {
        self.every
    }

    fn failures(&self) -> &IntCounter {
        &self.failures
    }

    async fn round(&self) -> Result<(), String> {
        let (diffs, mut trouble) = self.differences().await.map_err(|error| error.to_string())?;
        let to_set: BTreeMap<String, TopicChanges> = diffs
            .iter()
            .filter(|(_, diff)| !diff.changes.is_empty())
            .map(|(topic, diff)| (topic.clone(), diff.to_set()))
            .collect();
        for (topic, outcome) in self.target.set_topic_configs(&to_set).await {
            match outcome {
                Ok(()) => {
                    for change in &diffs[&topic].changes {
                        let was = change.now.as_deref().unwrap_or_default();
                        info!(topic, key = change.key, was, now = change.then, "config set as on the source");
                    }
                }
                Err(error) => {
                    let right = format!("ALTER_CONFIGS on topic {topic} on the target");
                    trouble.push(with_fix(&error, error.is_not_authorized(), &right));
                }
            }
        }
        first_of(&trouble)
    }
}
