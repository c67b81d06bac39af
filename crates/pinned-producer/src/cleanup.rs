//! Deleting the padding before a lane's start. A topic that is only compacted does not allow that, and is made to for the
//! moment.
//!
//! ```text
//! DeleteRecords ── refused ──► note the configs ──► change them ──► DeleteRecords ──► give them back ──► forget the note
//! ```
//! While they are changed nothing is deleted but what is asked for: neither by age nor by size. After a kill the lane's
//! next run finds the note, and gives back what was. Lanes of one topic take turns; those of other instances look again
//! when the policy is changed back under them.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use kafka_wire::{
    Client, Code, Error, To,
    kafka_protocol::{
        messages::{DescribeConfigsRequest, describe_configs_request::DescribeConfigsResource},
        protocol::StrBytes,
    },
};
use mirror_types::{Offset, Stop, TopicPartition};
use tokio::sync::Mutex as AsyncMutex;
use tracing::{debug, info, warn};

use crate::{Configs, Marks};

/// Under which records may be deleted, and no others are.
const DELETING: [(&str, &str); 3] =
    [("cleanup.policy", "compact,delete"), ("retention.ms", "-1"), ("retention.bytes", "-1")];
const PAUSE: Duration = Duration::from_millis(100);
/// How often is asked before it is believed that configs are not changed: brokers hear of a change a moment later.
const LOOKS: u32 = 10;
/// How often deleting is tried.
const TRIES: u32 = 100;
const TOPIC: i8 = 2;

/// The target's topics whose configs are changed for the moment.
pub(crate) struct Cleanups {
    client: Client,
    turns: Mutex<HashMap<Arc<str>, Arc<AsyncMutex<()>>>>,
}

/// Why the padding is still there, or the configs are not what they were.
pub(crate) enum Undone {
    /// The target refused.
    Refused(Error),
    /// The lane can't go on.
    Stop(Stop),
}

impl From<Error> for Undone {
    fn from(error: Error) -> Self {
        Self::Refused(error)
    }
}

impl Cleanups {
    pub(crate) fn new(client: Client) -> Self {
        Self { client, turns: Mutex::default() }
    }

    /// Deletes all before an offset. `noted`: what an earlier run has not given back.
    pub(crate) async fn delete(
        &self,
        at: &TopicPartition,
        before: Offset,
        noted: Option<Configs>,
        marks: &dyn Marks,
    ) -> Result<(), Undone> {
        let delete = || self.client.delete_records(&at.topic, at.partition, before);
        if noted.is_none() {
            match delete().await {
                Err(error) if error.code() == Some(Code::PolicyViolation) => {}
                done => return Ok(done.map(drop)?),
            }
        }
        let turn = self.turn(&at.topic);
        let _turn = turn.lock().await;
        let (mut was, mut changed) = (noted, false);
        let mut deleted = delete().await;
        for _ in 0..TRIES {
            match &deleted {
                Err(error) if error.code() == Some(Code::PolicyViolation) => {}
                _ => break,
            }
            let now = self.read(&at.topic).await?;
            if now != deleting() {
                info!(topic = &*at.topic, was = ?now, "its padding can't be deleted: changing its configs for the moment");
                marks.keep_configs(Some(now.clone())).await.map_err(Undone::Stop)?;
                was = Some(now);
                if marks.may_write() {
                    self.set(&at.topic, &deleting()).await?;
                    changed = true;
                }
            }
            tokio::time::sleep(PAUSE).await;
            deleted = delete().await;
        }
        match was {
            Some(was) if changed => {
                self.set(&at.topic, &was).await?;
                marks.keep_configs(None).await.map_err(Undone::Stop)?;
            }
            Some(was) => self.settle(&at.topic, &was, marks).await?,
            None => {}
        }
        Ok(deleted.map(drop)?)
    }

    /// Gives back what an earlier run has not given back.
    pub(crate) async fn give_back(
        &self,
        topic: &Arc<str>,
        was: &Configs,
        marks: &dyn Marks,
    ) -> Result<(), Undone> {
        let turn = self.turn(topic);
        let _turn = turn.lock().await;
        self.settle(topic, was, marks).await
    }

    async fn settle(&self, topic: &str, was: &Configs, marks: &dyn Marks) -> Result<(), Undone> {
        for _ in 0..LOOKS {
            let now = self.read(topic).await?;
            if now == deleting() {
                info!(topic, ?was, "giving its configs back, which an earlier run has changed");
                self.set(topic, was).await?;
                break;
            }
            if now != *was {
                warn!(topic, ?now, "its configs were changed since: they are left as they are");
                break;
            }
            debug!(topic, "its configs seem to be as they were");
            tokio::time::sleep(PAUSE).await;
        }
        marks.keep_configs(None).await.map_err(Undone::Stop)
    }

    fn turn(&self, topic: &Arc<str>) -> Arc<AsyncMutex<()>> {
        self.turns.lock().expect("nothing panics under this lock").entry(topic.clone()).or_default().clone()
    }

    /// What is set on the topic itself.
    async fn read(&self, topic: &str) -> Result<Configs, Error> {
        let keys = DELETING.map(|(key, _)| StrBytes::from_static_str(key)).to_vec();
        let resource = DescribeConfigsResource::default()
            .with_resource_type(TOPIC)
            .with_resource_name(StrBytes::from_string(topic.to_owned()))
            .with_configuration_keys(Some(keys));
        let request = DescribeConfigsRequest::default().with_resources(vec![resource]);
        let answer = self.client.call(To::Any, &request, 1).await?;
        let doing = || format!("describe configs of {topic}");
        let mut configs: Configs = DELETING.iter().map(|(key, _)| ((*key).to_owned(), None)).collect();
        for result in answer.results {
            if let Some(code) = Code::try_from_code(result.error_code) {
                return Err(Error::answered(&"target".into(), doing(), code));
            }
            for config in result.configs {
                const ON_TOPIC: i8 = 1;
                if config.config_source == ON_TOPIC
                    && let Some(kept) = configs.get_mut(config.name.as_str())
                {
                    *kept = config.value.map(|value| value.to_string());
                }
            }
        }
        Ok(configs)
    }

    async fn set(&self, topic: &str, configs: &Configs) -> Result<(), Error> {
        // Not again and again: by then it may not be ours to change.
        let done = self.client.set_topic_configs_once(&[(&topic.to_owned(), configs)]).await?;
        done.into_values().collect()
    }
}

/// What a topic has while padding is deleted from it.
pub fn deleting() -> Configs {
    DELETING.iter().map(|(key, value)| ((*key).to_owned(), Some((*value).to_owned()))).collect()
}
