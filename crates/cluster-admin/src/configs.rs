//! Configurations of topics and brokers: reading them, and what the mirror asks of them.

use std::{collections::BTreeMap, ops::Deref};

use kafka_rd::{AdminError, ConfigEntry, ConfigResource};
use rdkafka::types::RDKafkaErrorCode as Code;

use crate::{Cluster, Error};

/// Where a value was set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConfigSource {
    /// On the topic itself.
    Topic,
    /// On the broker or for all brokers, dynamically or in its file.
    Broker,
    /// Nowhere: it is Kafka's own default.
    Default,
    /// Somewhere else.
    Other,
}

/// The value of one key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigValue {
    /// The value; none where the broker keeps it to itself.
    pub value: Option<String>,
    /// Whether nobody has set it.
    pub is_default: bool,
    /// Where it was set.
    pub source: ConfigSource,
    /// Whether it is a secret, and so has no value here.
    pub sensitive: bool,
}

/// The configuration of one broker.
pub type BrokerConfigs = BTreeMap<String, ConfigValue>;

/// The configuration of a topic: every key, with the value that counts.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TopicConfigs(pub BTreeMap<String, ConfigValue>);

impl Cluster {
    /// The configurations of topics. A topic that there is not, or that this principal may not ask about,
    /// has an error of its own.
    pub async fn topic_configs(
        &self,
        names: &[String],
    ) -> Result<BTreeMap<String, Result<TopicConfigs, Error>>, Error> {
        if names.is_empty() {
            return Ok(BTreeMap::new());
        }
        let asked = names.to_vec();
        let call = self.read("describe topic configs", move |admin, _| {
            let names: Vec<&str> = asked.iter().map(String::as_str).collect();
            admin.describe_configs(ConfigResource::Topic, &names)
        });
        let context = |(name, entries): (String, Result<Vec<_>, _>)| {
            let configs = entries.map(|entries| TopicConfigs(values(entries)));
            let configs =
                configs.map_err(|error| self.error(&format!("describe configs of topic {name}"), error));
            (name, configs)
        };
        Ok(call.await?.into_iter().map(context).collect())
    }

    /// The configuration of one broker: one that is up.
    pub async fn broker_configs(&self) -> Result<BrokerConfigs, Error> {
        let found = self.read("describe broker configs", |admin, broker| {
            let broker = broker.to_string();
            let mut found = admin.describe_configs(ConfigResource::Broker, &[&broker])?;
            found.remove(&broker).unwrap_or_else(|| Err(AdminError::new(Code::NoEnt)))
        });
        Ok(values(found.await?))
    }
}

fn values(entries: Vec<ConfigEntry>) -> BTreeMap<String, ConfigValue> {
    let source = |source| match source {
        1 => ConfigSource::Topic,
        2..=4 => ConfigSource::Broker,
        5 => ConfigSource::Default,
        _ => ConfigSource::Other,
    };
    let value = |entry: ConfigEntry| ConfigValue {
        value: entry.value,
        is_default: entry.is_default,
        source: source(entry.source),
        sensitive: entry.is_sensitive,
    };
    entries.into_iter().map(|mut entry| (std::mem::take(&mut entry.name), value(entry))).collect()
}

// === impl TopicConfigs ===

impl TopicConfigs {
    /// The value of a key, where the broker tells it.
    pub fn text(&self, key: &str) -> Option<&str> {
        self.0.get(key)?.value.as_deref()
    }

    /// The value of a key as a number.
    pub fn number(&self, key: &str) -> Option<i64> {
        self.text(key)?.parse().ok()
    }

    /// The largest record batch the topic takes, in bytes.
    pub fn max_message_bytes(&self) -> Option<u64> {
        self.number("max.message.bytes").and_then(|bytes| u64::try_from(bytes).ok())
    }

    /// `delete`, `compact`, or both.
    pub fn cleanup_policy(&self) -> Option<&str> {
        self.text("cleanup.policy")
    }

    /// Whether the log cleaner removes records that have newer versions.
    pub fn is_compacted(&self) -> bool {
        self.cleanup_policy().is_some_and(|policy| policy.split(',').any(|part| part.trim() == "compact"))
    }

    /// `CreateTime` or `LogAppendTime`.
    pub fn message_timestamp_type(&self) -> Option<&str> {
        self.text("message.timestamp.type")
    }

    /// The codec the broker stores records in; `producer` leaves them as they come.
    pub fn compression_type(&self) -> Option<&str> {
        self.text("compression.type")
    }

    /// How long records are kept, in milliseconds; −1 for ever.
    pub fn retention_ms(&self) -> Option<i64> {
        self.number("retention.ms")
    }

    /// How many bytes of a partition are kept; −1 for all.
    pub fn retention_bytes(&self) -> Option<i64> {
        self.number("retention.bytes")
    }

    /// How many replicas must have a record before it is acknowledged to `acks=all`.
    pub fn min_insync_replicas(&self) -> Option<i64> {
        self.number("min.insync.replicas")
    }

    /// The keys that were set on the topic itself, with their values.
    pub fn set_on_topic(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0
            .iter()
            .filter(|(_, entry)| entry.source == ConfigSource::Topic)
            .filter_map(|(key, entry)| entry.value.as_deref().map(|value| (key.as_str(), value)))
    }
}

impl Deref for TopicConfigs {
    type Target = BTreeMap<String, ConfigValue>;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn getters_read_what_the_broker_says() {
        let entry = |name: &str, value: &str, source| ConfigEntry {
            name: name.to_owned(),
            value: Some(value.to_owned()),
            source,
            is_default: source == 5,
            is_sensitive: false,
        };
        let configs = TopicConfigs(values(vec![
            entry("max.message.bytes", "1048588", 5),
            entry("cleanup.policy", "compact,delete", 1),
            entry("retention.ms", "-1", 4),
        ]));
        assert_eq!(configs.max_message_bytes(), Some(1_048_588));
        assert!(configs.is_compacted());
        assert_eq!(configs.retention_ms(), Some(-1));
        assert_eq!(configs["retention.ms"].source, ConfigSource::Broker);
        assert_eq!(configs.set_on_topic().collect::<Vec<_>>(), [("cleanup.policy", "compact,delete")]);
        assert_eq!(configs.message_timestamp_type(), None);
    }
}
