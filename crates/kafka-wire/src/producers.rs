//! Which producers a partition's leader knows (DescribeProducers, KIP-664; brokers from 2.8).

use kafka_protocol::messages::{DescribeProducersRequest, describe_producers_request::TopicRequest};

use crate::{Client, Code, Error, To, client::repeat, names};

const VERSION: i16 = 0;

/// A producer that a leader knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ActiveProducer {
    /// Its id.
    pub id: i64,
    /// Its epoch.
    pub epoch: i32,
    /// The sequence number of the last record it has written here; -1 where that is a control record.
    pub last_sequence: i32,
    /// When that was, in ms since 1970.
    pub last_timestamp: i64,
    /// The epoch of the coordinator that has last ended a transaction of it here; -1 where none has.
    pub coordinator_epoch: i32,
    /// Where its open transaction begins, if it has one here.
    pub transaction_start: Option<i64>,
}

impl Client {
    /// The producers that the leader of a partition remembers. Needs Read on the topic. Tried again while
    /// leaders change.
    pub async fn describe_producers(
        &self,
        topic: &str,
        partition: i32,
    ) -> Result<Vec<ActiveProducer>, Error> {
        let to = To::Leader(topic, partition);
        repeat!(self, to, self.describe_producers_once(topic, partition))
    }

    async fn describe_producers_once(
        &self,
        topic: &str,
        partition: i32,
    ) -> Result<Vec<ActiveProducer>, Error> {
        let ask =
            TopicRequest::default().with_name(names::topic(topic)).with_partition_indexes(vec![partition]);
        let connection = self.connection(To::Leader(topic, partition)).await?;
        let request = DescribeProducersRequest::default().with_topics(vec![ask]);
        let answer = connection.send(&request, VERSION).await?;
        let mut found = answer.topics.into_iter().flat_map(|topic| topic.partitions);
        let doing = || format!("describe the producers of {topic}/{partition}");
        let found = found.find(|found| found.partition_index == partition);
        let found = found.ok_or_else(|| {
            Error::senseless(connection.address(), doing(), "the partition is not in the answer")
        })?;
        if let Some(code) = Code::try_from_code(found.error_code) {
            let message = found.error_message.as_deref().unwrap_or_default();
            return Err(Error::answered_with(connection.address(), doing(), code, message));
        }
        let own = |producer: &kafka_protocol::messages::describe_producers_response::ProducerState| {
            ActiveProducer {
                id: producer.producer_id.0,
                epoch: producer.producer_epoch,
                last_sequence: producer.last_sequence,
                last_timestamp: producer.last_timestamp,
                coordinator_epoch: producer.coordinator_epoch,
                transaction_start: Some(producer.current_txn_start_offset).filter(|offset| *offset >= 0),
            }
        };
        Ok(found.active_producers.iter().map(own).collect())
    }
}
