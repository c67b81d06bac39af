//! Setting configs of topics and brokers (IncrementalAlterConfigs): what is not named stays as it is. And reading some of
//! them of many at once (DescribeConfigs).

use std::collections::BTreeMap;

use kafka_protocol::messages::{
    DescribeConfigsRequest, IncrementalAlterConfigsRequest,
    describe_configs_request::DescribeConfigsResource,
    incremental_alter_configs_request::{AlterConfigsResource, AlterableConfig},
};

use crate::{Client, Code, Error, To, client::repeat, names};

const VERSION: i16 = 1;
const DESCRIBE_VERSION: i16 = 4;
/// Topics of one request.
const AT_ONCE: usize = 100;
/// Topics of which one request reads a few configs.
const READ_AT_ONCE: usize = 1_000;
const TOPIC: i8 = 2;
const BROKER: i8 = 4;

/// What is to be set on a topic, by key; none: what is set there is taken away.
pub type TopicChanges = BTreeMap<String, Option<String>>;

/// A config as a broker tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigFound {
    /// Its value; none where it has none, or is a secret.
    pub value: Option<String>,
    /// Whether it was set on the topic, or on the broker while it ran: not a default, nor from a file.
    pub own: bool,
}

/// Configs by key.
pub type ConfigsFound = BTreeMap<String, ConfigFound>;

impl Client {
    /// Sets topics' configs, all of a topic's or none. What became of each topic. Tried again while no broker answers.
    /// Other brokers hear of it a moment later.
    pub async fn set_topic_configs(
        &self,
        topics: &BTreeMap<String, TopicChanges>,
    ) -> BTreeMap<String, Result<(), Error>> {
        let all: Vec<(&String, &TopicChanges)> = topics.iter().collect();
        let mut done = BTreeMap::new();
        for part in all.chunks(AT_ONCE) {
            let set = repeat!(self, To::Any, self.set_topic_configs_once(part));
            let failed =
                |error: Error| part.iter().map(|(topic, _)| ((*topic).clone(), Err(error.clone()))).collect();
            done.extend(set.unwrap_or_else(failed));
        }
        done
    }

    /// The same, of a few topics, once.
    pub async fn set_topic_configs_once(
        &self,
        topics: &[(&String, &TopicChanges)],
    ) -> Result<BTreeMap<String, Result<(), Error>>, Error> {
        self.set_configs_once(To::Any, TOPIC, topics, false).await
    }

    /// Whether a broker would set these configs: what it says to each topic. Sets nothing.
    pub async fn try_topic_configs(
        &self,
        topics: &BTreeMap<String, TopicChanges>,
    ) -> Result<BTreeMap<String, Result<(), Error>>, Error> {
        let all: Vec<(&String, &TopicChanges)> = topics.iter().collect();
        let mut said = BTreeMap::new();
        for part in all.chunks(AT_ONCE) {
            said.extend(repeat!(self, To::Any, self.set_configs_once(To::Any, TOPIC, part, true))?);
        }
        Ok(said)
    }

    /// Sets what can be set of a broker while it runs; no other takes it for it (tried on 3.9.1). Needs ALTER_CONFIGS on the
    /// cluster. Tried again while the broker does not answer.
    pub async fn set_broker_configs(&self, broker: i32, changes: &TopicChanges) -> Result<(), Error> {
        let (name, to) = (broker.to_string(), To::Broker(broker));
        let resource = [(&name, changes)];
        let mut said = repeat!(self, to, self.set_configs_once(to, BROKER, &resource, false))?;
        said.remove(&name).unwrap_or(Ok(()))
    }

    async fn set_configs_once(
        &self,
        to: To<'_>,
        kind: i8,
        topics: &[(&String, &TopicChanges)],
        try_only: bool,
    ) -> Result<BTreeMap<String, Result<(), Error>>, Error> {
        let config = |(key, value): (&String, &Option<String>)| {
            const SET: i8 = 0;
            const DELETE: i8 = 1;
            AlterableConfig::default()
                .with_name(names::text(key))
                .with_config_operation(if value.is_some() { SET } else { DELETE })
                .with_value(value.as_deref().map(names::text))
        };
        let resource = |(topic, configs): &(&String, &TopicChanges)| {
            AlterConfigsResource::default()
                .with_resource_type(kind)
                .with_resource_name(names::text(topic))
                .with_configs(configs.iter().map(config).collect())
        };
        let request = IncrementalAlterConfigsRequest::default()
            .with_resources(topics.iter().map(resource).collect())
            .with_validate_only(try_only);
        let connection = self.connection(to).await?;
        let answer = connection.send(&request, VERSION).await?;
        let outcome = |(topic, configs): &(&String, &TopicChanges)| {
            let what = if kind == BROKER { "broker" } else { "topic" };
            let doing = || format!("set {} of {what} {topic}", shown(configs));
            let found = answer.responses.iter().find(|found| *found.resource_name == ***topic);
            let outcome = match found
                .map(|found| (Code::try_from_code(found.error_code), &found.error_message))
            {
                Some((None, _)) => Ok(()),
                Some((Some(code), message)) => {
                    let message = message.as_deref().unwrap_or_default();
                    Err(Error::answered_with(connection.address(), doing(), code, message))
                }
                None => Err(Error::senseless(connection.address(), doing(), "it is missing in the answer")),
            };
            ((*topic).clone(), outcome)
        };
        Ok(topics.iter().map(outcome).collect())
    }

    /// Some configs of topics; each topic has its own error. Needs DESCRIBE_CONFIGS on them. Tried again while no broker
    /// answers.
    pub async fn topic_configs(
        &self,
        topics: &[String],
        keys: &[&str],
    ) -> Result<BTreeMap<String, Result<ConfigsFound, Error>>, Error> {
        let mut found = BTreeMap::new();
        for part in topics.chunks(READ_AT_ONCE) {
            found.extend(repeat!(self, To::Any, self.configs_once(To::Any, TOPIC, part, keys))?);
        }
        Ok(found)
    }

    /// Some configs of a broker, as any broker knows those that were set while it ran. Needs DESCRIBE_CONFIGS on the cluster.
    /// Tried again while the broker does not answer.
    pub async fn broker_configs(&self, broker: i32, keys: &[&str]) -> Result<ConfigsFound, Error> {
        let name = broker.to_string();
        let (to, names) = (To::Broker(broker), std::slice::from_ref(&name));
        let mut found = repeat!(self, to, self.configs_once(to, BROKER, names, keys))?;
        found.remove(&name).unwrap_or_else(|| Ok(BTreeMap::new()))
    }

    async fn configs_once(
        &self,
        to: To<'_>,
        kind: i8,
        resources: &[String],
        keys: &[&str],
    ) -> Result<BTreeMap<String, Result<ConfigsFound, Error>>, Error> {
        let resource = |name: &String| {
            DescribeConfigsResource::default()
                .with_resource_type(kind)
                .with_resource_name(names::text(name))
                .with_configuration_keys(Some(keys.iter().map(|key| names::text(key)).collect()))
        };
        let request =
            DescribeConfigsRequest::default().with_resources(resources.iter().map(resource).collect());
        let connection = self.connection(to).await?;
        let answer = connection.send(&request, DESCRIBE_VERSION).await?;
        // Set on the topic; set on this broker, or on all, while it ran.
        let own = |source: i8| matches!(source, 1..=3);
        let found = answer.results.into_iter().map(|found| {
            let name = found.resource_name.to_string();
            let outcome = match Code::try_from_code(found.error_code) {
                None => Ok(found
                    .configs
                    .into_iter()
                    .map(|config| {
                        let value = config.value.map(|value| value.to_string());
                        (config.name.to_string(), ConfigFound { value, own: own(config.config_source) })
                    })
                    .collect()),
                Some(code) => {
                    let message = found.error_message.as_deref().unwrap_or_default();
                    let doing = format!("describe the configs of {name}");
                    Err(Error::answered_with(connection.address(), doing, code, message))
                }
            };
            (name, outcome)
        });
        Ok(found.collect())
    }
}

/// As Kafka's tools take it.
fn shown(configs: &TopicChanges) -> String {
    let one = |(key, value): (&String, &Option<String>)| match value {
        Some(value) => format!("{key}={value}"),
        None => format!("{key} (to the default)"),
    };
    configs.iter().map(one).collect::<Vec<_>>().join(", ")
}
