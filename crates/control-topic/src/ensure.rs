//! Making the topic, and seeing that it keeps what is written to it.

use std::{sync::Arc, time::Duration};

use kafka_wire::{
    Cause, Client, Code, Sent, To, Topic,
    kafka_protocol::{
        messages::{
            CreateTopicsRequest, DescribeConfigsRequest, TopicName,
            create_topics_request::{CreatableTopic, CreatableTopicConfig},
            describe_configs_request::DescribeConfigsResource,
        },
        protocol::StrBytes,
    },
};
use tracing::info;

use crate::{
    ControlTopic, Error, Right,
    topic::{name_of, own},
};

/// v4 takes -1 for the brokers' default replication factor; v7 gives topic ids.
const CREATE_VERSION: i16 = 5;
const DESCRIBE_VERSION: i16 = 4;
/// DescribeConfigs' number for topics.
const TOPIC: i8 = 2;

/// Replicas of a new one, the first of these that there are brokers for, else as many as the brokers' default: it must
/// outlive one, and take what needs two in sync.
pub const REPLICATION: [i16; 2] = [3, 2];

/// The configuration of a new control topic.
///
/// Whoever takes over a slot reads its partition from the start, while its lanes wait: what compaction has not
/// reached (the last segment, and a share of the others) must stay small. Batches are far below the largest.
pub const CONFIGS: [(&str, &str); 5] = [
    ("cleanup.policy", "compact"),
    ("segment.bytes", "8388608"),
    ("min.cleanable.dirty.ratio", "0.3"),
    ("message.timestamp.type", "CreateTime"),
    ("max.message.bytes", "1048588"),
];

impl ControlTopic {
    /// The control topic of a link, made if it is not there: with `slots` partitions and `replication` replicas (-1:
    /// the brokers' default). One that is there must be compacted, and has the number of partitions that it has.
    pub async fn ensure(client: &Client, link: &str, slots: i32, replication: i16) -> Result<Self, Error> {
        Self::ensure_named(client, &name_of(link), slots, replication).await
    }

    /// The same by the topic's name, with [as many replicas](REPLICATION) as there are brokers for.
    pub async fn ensure_replicated(client: &Client, name: &str, partitions: i32) -> Result<Self, Error> {
        for replication in REPLICATION {
            match Self::ensure_named(client, name, partitions, replication).await {
                Err(Error::Kafka { cause, .. }) if cause.code() == Some(Code::InvalidReplicationFactor) => {}
                ensured => return ensured,
            }
        }
        Self::ensure_named(client, name, partitions, -1).await
    }

    async fn ensure_named(client: &Client, name: &str, slots: i32, replication: i16) -> Result<Self, Error> {
        let client = own(client);
        let mut attempts = client.attempts();
        let mut created = false;
        loop {
            let error = match find(&client, name, created.then_some(slots)).await {
                Ok(topic) => {
                    check(&client, name).await?;
                    return Ok(Self::of(client, &topic));
                }
                Err(error) if error.code() == Some(Code::UnknownTopicOrPartition) && !created => {
                    match create(&client, name, slots, replication).await {
                        Ok(()) => {
                            created = true;
                            attempts = client.attempts();
                            continue;
                        }
                        Err(error) if attempts.again(To::Controller, &error).await => continue,
                        Err(error) => return Err(Error::of(error, name, Right::Create)),
                    }
                }
                Err(error) => error,
            };
            if !attempts.again(To::Leader(name, 0), &error).await {
                return Err(Error::of(error, name, Right::Read));
            }
        }
    }
}

/// The topic; one that was made just now with so many partitions, once all of it is known and has leaders.
async fn find(client: &Client, name: &str, made: Option<i32>) -> Result<Arc<Topic>, kafka_wire::Error> {
    let topic = client.fresh_topic(name).await?;
    for partition in 0..made.unwrap_or(0) {
        client.leader(name, partition).await?;
    }
    Ok(topic)
}

async fn create(client: &Client, name: &str, slots: i32, replication: i16) -> Result<(), kafka_wire::Error> {
    let config = |(name, value): &(&'static str, &'static str)| {
        let value = Some(StrBytes::from_static_str(value));
        CreatableTopicConfig::default().with_name(StrBytes::from_static_str(name)).with_value(value)
    };
    let topic = CreatableTopic::default()
        .with_name(TopicName(text(name)))
        .with_num_partitions(slots)
        .with_replication_factor(replication)
        .with_configs(CONFIGS.iter().map(config).collect());
    let timeout = client.settings().request_timeout.max(Duration::from_secs(1));
    let request = CreateTopicsRequest::default()
        .with_topics(vec![topic])
        .with_timeout_ms(i32::try_from(timeout.as_millis()).unwrap_or(i32::MAX));
    let connection = client.connection(To::Controller).await?;
    let answer = connection.send_within(&request, CREATE_VERSION, timeout).await?;
    let found = answer.topics.first();
    let code = found.and_then(|found| Code::try_from_code(found.error_code));
    match (code, found.and_then(|found| found.error_message.as_deref())) {
        (None, _) => info!(topic = name, partitions = slots, "control topic created"),
        // Somebody was faster, or an answer got lost.
        (Some(Code::TopicAlreadyExists), _) => {}
        (Some(code), message) => {
            return Err(answered(connection.address(), format!("create topic {name}"), code, message));
        }
    }
    Ok(())
}

/// Whether the topic is compacted, and nothing else.
async fn check(client: &Client, name: &str) -> Result<(), Error> {
    let mut attempts = client.attempts();
    let policy = loop {
        match cleanup_policy(client, name).await {
            Ok(policy) => break policy,
            Err(error) if attempts.again(To::Any, &error).await => {}
            // A mock cluster has no configurations.
            Err(kafka_wire::Error { cause: Cause::Unsupported(_), .. }) => return Ok(()),
            Err(error) => return Err(Error::of(error, name, Right::DescribeConfigs)),
        }
    };
    match policy {
        Some(policy) if policy != "compact" => Err(Error::NotCompacted { topic: name.to_owned(), policy }),
        _ => Ok(()),
    }
}

async fn cleanup_policy(client: &Client, name: &str) -> Result<Option<String>, kafka_wire::Error> {
    let ask = DescribeConfigsResource::default()
        .with_resource_type(TOPIC)
        .with_resource_name(text(name))
        .with_configuration_keys(Some(vec![StrBytes::from_static_str("cleanup.policy")]));
    let connection = client.connection(To::Any).await?;
    let request = DescribeConfigsRequest::default().with_resources(vec![ask]);
    let answer = connection.send(&request, DESCRIBE_VERSION).await?;
    let Some(found) = answer.results.into_iter().next() else { return Ok(None) };
    if let Some(code) = Code::try_from_code(found.error_code) {
        let doing = format!("look at the configuration of topic {name}");
        return Err(answered(connection.address(), doing, code, found.error_message.as_deref()));
    }
    let policy = found.configs.into_iter().find(|config| &*config.name == "cleanup.policy");
    Ok(policy.and_then(|config| config.value).map(|value| value.to_string()))
}

fn answered(broker: &Arc<str>, doing: String, code: Code, message: Option<&str>) -> kafka_wire::Error {
    let cause = Cause::Kafka { code, message: message.unwrap_or_default().into() };
    kafka_wire::Error { broker: broker.clone(), doing: doing.into(), sent: Sent::Answered, cause }
}

fn text(text: &str) -> StrBytes {
    StrBytes::from_string(text.to_owned())
}
