//! Setting topics' configs (IncrementalAlterConfigs): what is not named stays as it is.

use std::collections::BTreeMap;

use kafka_protocol::messages::{
    IncrementalAlterConfigsRequest,
    incremental_alter_configs_request::{AlterConfigsResource, AlterableConfig},
};

use crate::{Client, Code, Error, To, client::repeat, names};

const VERSION: i16 = 1;
/// Topics of one request.
const AT_ONCE: usize = 100;
const TOPIC: i8 = 2;

/// What is to be set on a topic, by key; none: what is set there is taken away.
pub type TopicChanges = BTreeMap<String, Option<String>>;

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
                .with_resource_type(TOPIC)
                .with_resource_name(names::text(topic))
                .with_configs(configs.iter().map(config).collect())
        };
        let request =
            IncrementalAlterConfigsRequest::default().with_resources(topics.iter().map(resource).collect());
        let connection = self.connection(To::Any).await?;
        let answer = connection.send(&request, VERSION).await?;
        let outcome = |(topic, configs): &(&String, &TopicChanges)| {
            let doing = || format!("set {} of topic {topic}", shown(configs));
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
}

/// As Kafka's tools take it.
fn shown(configs: &TopicChanges) -> String {
    let one = |(key, value): (&String, &Option<String>)| match value {
        Some(value) => format!("{key}={value}"),
        None => format!("{key} (to the default)"),
    };
    configs.iter().map(one).collect::<Vec<_>>().join(", ")
}
