//! What this principal may do that no broker says: tried, on what can't be.
//!
//! Brokers look at rights first. So a request about a partition of a number that no partition has, or of a member that
//! the group does not have, is refused for want of the right, or else for what it asks; either way nothing comes of it.
//! Any broker answers, so that no coordinator is looked for either, which would make the topics that they keep things in.
//! Tried on Apache Kafka 3.9.1 and 4.1.0.

use std::{sync::Arc, time::Duration};

use cluster_admin::{AclOperation, Error};
use kafka_wire::{
    Cause, Client, Code, FetchFrom, FetchOptions, ProduceBatch, ProduceOptions, ProducerIdentity, To,
    TxnMarker,
    kafka_protocol::{
        messages::{
            AddPartitionsToTxnRequest, DeleteRecordsRequest, DescribeGroupsRequest, GroupId,
            HeartbeatRequest, IncrementalAlterConfigsRequest, TopicName, TransactionalId,
            add_partitions_to_txn_request::AddPartitionsToTxnTopic,
            delete_records_request::{DeleteRecordsPartition, DeleteRecordsTopic},
            incremental_alter_configs_request::{AlterConfigsResource, AlterableConfig},
        },
        protocol::StrBytes,
    },
    records::{BatchBuilder, Compression, Stamp},
};
use mirror_types::Side;
use rdkafka::types::RDKafkaErrorCode;

/// No topic has so many.
const NO_PARTITION: i32 = i32::MAX;
/// Nobody.
const NOBODY: ProducerIdentity = ProducerIdentity { id: -1, epoch: -1 };

/// Tries things on a cluster.
pub(crate) struct Trials {
    client: Client,
    side: Side,
    cluster: Arc<str>,
}

/// What a broker said: a code, or nothing at all where all is well.
type Answer = Result<Option<Code>, kafka_wire::Error>;

impl Trials {
    pub(crate) fn new(client: Client, side: Side, cluster: &str) -> Self {
        Self { client, side, cluster: cluster.into() }
    }

    /// Whether control records may be written (ClusterAction); none where that can't be told.
    pub(crate) async fn markers(&self, topic: &str) -> Result<Option<bool>, Error> {
        let marker = TxnMarker {
            producer: NOBODY,
            coordinator_epoch: 0,
            commit: true,
            topic: topic.into(),
            partition: NO_PARTITION,
        };
        let ask = async || {
            let connection = self.client.connection(To::Any).await?;
            let outcomes = connection.write_txn_markers(std::slice::from_ref(&marker)).await?;
            Ok(outcomes.into_iter().find_map(Result::err))
        };
        self.told(Code::ClusterAuthorizationFailed, ask).await
    }

    /// Whether a transactional id may be used.
    pub(crate) async fn transactional_id(&self, id: &str, topic: &str) -> Result<Option<bool>, Error> {
        let partition = AddPartitionsToTxnTopic::default()
            .with_name(TopicName(text(topic)))
            .with_partitions(vec![NO_PARTITION]);
        let request = AddPartitionsToTxnRequest::default()
            .with_v3_and_below_transactional_id(TransactionalId(text(id)))
            .with_v3_and_below_producer_id(NOBODY.id.into())
            .with_v3_and_below_producer_epoch(NOBODY.epoch)
            .with_v3_and_below_topics(vec![partition]);
        let ask = async || {
            // v4 and later are for brokers.
            let answer = self.client.call(To::Any, &request, 3).await?;
            let partitions = answer.results_by_topic_v3_and_below.into_iter();
            let mut codes = partitions.flat_map(|topic| topic.results_by_partition);
            Ok(codes.find_map(|found| Code::try_from_code(found.partition_error_code)))
        };
        self.told(Code::TransactionalIdAuthorizationFailed, ask).await
    }

    /// Whether a group may be joined.
    pub(crate) async fn group(&self, group: &str) -> Result<Option<bool>, Error> {
        let request = HeartbeatRequest::default()
            .with_group_id(GroupId(text(group)))
            .with_generation_id(0)
            .with_member_id(StrBytes::from_static_str("isomirror-check"));
        let ask = async || {
            let answer = self.client.call(To::Any, &request, 4).await?;
            Ok(Code::try_from_code(answer.error_code))
        };
        self.told(Code::GroupAuthorizationFailed, ask).await
    }

    /// Whether a group may be described.
    pub(crate) async fn describes_group(&self, group: &str) -> Result<Option<bool>, Error> {
        let request = DescribeGroupsRequest::default().with_groups(vec![GroupId(text(group))]);
        let ask = async || {
            let answer = self.client.call(To::Any, &request, 5).await?;
            Ok(answer.groups.first().and_then(|found| Code::try_from_code(found.error_code)))
        };
        self.told(Code::GroupAuthorizationFailed, ask).await
    }

    /// Which of these operations are not allowed on a topic that is not there. What can't be told is left out.
    pub(crate) async fn lacking(
        &self,
        topic: &str,
        operations: &[AclOperation],
    ) -> Result<Vec<AclOperation>, Error> {
        let mut lacking = Vec::new();
        for operation in operations {
            let ask = async || match operation {
                AclOperation::Read => self.read(topic).await,
                AclOperation::Write => self.write(topic).await,
                AclOperation::Delete => self.delete(topic).await,
                AclOperation::AlterConfigs => self.alter_configs(topic).await,
                _ => Ok(None),
            };
            if self.told(Code::TopicAuthorizationFailed, ask).await? == Some(false) {
                lacking.push(*operation);
            }
        }
        Ok(lacking)
    }

    async fn read(&self, topic: &str) -> Answer {
        let from = FetchFrom { max_bytes: 1, ..FetchFrom::new(topic, NO_PARTITION, 0) };
        let options = FetchOptions { max_wait: Duration::ZERO, min_bytes: 0, ..FetchOptions::default() };
        let fetched = self.client.connection(To::Any).await?.fetch(&[from], &options, "").await?;
        Ok(fetched.into_iter().find_map(|fetched| fetched.error))
    }

    async fn write(&self, topic: &str) -> Answer {
        let mut builder = BatchBuilder::new(0);
        builder.push(0, None, None, [].into_iter());
        let stamp = Stamp { producer: NOBODY, sequence: -1 };
        let batch = ProduceBatch::new(topic, NO_PARTITION, builder.finish(stamp, Compression::None, None));
        let connection = self.client.connection(To::Any).await?;
        let outcomes = connection.produce(&[batch], &ProduceOptions::default()).await?;
        Ok(outcomes.into_iter().find_map(Result::err).map(|refused| refused.code))
    }

    async fn delete(&self, topic: &str) -> Answer {
        let partition = DeleteRecordsPartition::default().with_partition_index(NO_PARTITION).with_offset(0);
        let ask =
            DeleteRecordsTopic::default().with_name(TopicName(text(topic))).with_partitions(vec![partition]);
        let request = DeleteRecordsRequest::default().with_topics(vec![ask]).with_timeout_ms(1000);
        let answer = self.client.call(To::Any, &request, 2).await?;
        let mut partitions = answer.topics.into_iter().flat_map(|topic| topic.partitions);
        Ok(partitions.find_map(|found| Code::try_from_code(found.error_code)))
    }

    async fn alter_configs(&self, topic: &str) -> Answer {
        const TOPIC: i8 = 2;
        let config = AlterableConfig::default()
            .with_name(StrBytes::from_static_str("cleanup.policy"))
            .with_value(Some(StrBytes::from_static_str("compact")));
        let resource = AlterConfigsResource::default()
            .with_resource_type(TOPIC)
            .with_resource_name(text(topic))
            .with_configs(vec![config]);
        let request =
            IncrementalAlterConfigsRequest::default().with_resources(vec![resource]).with_validate_only(true);
        let answer = self.client.call(To::Any, &request, 1).await?;
        Ok(answer.responses.into_iter().find_map(|found| Code::try_from_code(found.error_code)))
    }

    /// What an answer tells of a right that is refused with this code; none where it tells nothing. An error where there
    /// is no answer.
    async fn told(&self, refusal: Code, ask: impl AsyncFn() -> Answer) -> Result<Option<bool>, Error> {
        let mut attempts = self.client.attempts();
        loop {
            let error = match ask().await {
                Ok(code) => return Ok(Some(code != Some(refusal))),
                Err(error) => error,
            };
            if !error.is_unreachable() && !error.is_authentication() {
                return Ok((error.code() == Some(refusal)).then_some(false));
            }
            if !attempts.again(To::Any, &error).await {
                return Err(unanswered(self.side, &self.cluster, &error));
            }
        }
    }
}

/// No answer of a cluster, as the rest of the check tells it.
pub(crate) fn unanswered(side: Side, cluster: &str, error: &kafka_wire::Error) -> Error {
    Error {
        side,
        cluster: cluster.into(),
        doing: error.doing.to_string(),
        code: match &error.cause {
            Cause::Tls(_) => RDKafkaErrorCode::SSL,
            _ if error.is_authentication() => RDKafkaErrorCode::Authentication,
            _ => RDKafkaErrorCode::BrokerTransportFailure,
        },
        reason: error.to_string(),
    }
}

fn text(text: &str) -> StrBytes {
    StrBytes::from_string(text.to_owned())
}
