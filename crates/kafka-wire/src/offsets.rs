//! Where logs begin and end (ListOffsets, OffsetForLeaderEpoch), and making them begin later (DeleteRecords).

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use futures::future::join_all;
use kafka_protocol::messages::{
    DeleteRecordsRequest, ListOffsetsRequest, OffsetForLeaderEpochRequest,
    delete_records_request::{DeleteRecordsPartition, DeleteRecordsTopic},
    list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic},
    offset_for_leader_epoch_request::{OffsetForLeaderPartition, OffsetForLeaderTopic},
};

use crate::{Client, Code, Error, Isolation, To, client::repeat, names};

/// v7 knows the largest timestamp; later ones know tiers.
const LIST_VERSION: i16 = 7;
const EPOCH_VERSION: i16 = 4;
const DELETE_VERSION: i16 = 2;

/// Which offset of a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OffsetSpec {
    /// The first there is.
    Earliest,
    /// The high watermark; the last stable offset where only committed records count.
    Latest,
    /// That of the record with the largest timestamp (KIP-734; brokers from 3.0).
    MaxTimestamp,
    /// The first record of this time, in ms since 1970, or later.
    Timestamp(i64),
}

/// An offset that was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Listed {
    /// It; -1 where there is no record of the time asked for, or later.
    pub offset: i64,
    /// The record's timestamp in ms since 1970, where a time was asked for; else -1.
    pub timestamp: i64,
    /// The epoch of the leader that wrote the record; -1 where unknown.
    pub leader_epoch: i32,
}

/// The end of a leader's log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogEnd {
    /// The offset that the next record gets, unless the leader changes. Not before the high watermark.
    pub offset: i64,
    /// The leader.
    pub leader: i32,
    /// Its epoch: as long as it is the same, the log does not become shorter.
    pub leader_epoch: i32,
}

type Partition = (Arc<str>, i32);

impl Client {
    /// Offsets of partitions, in the order in which they are given; each has its own error. Tried again
    /// while leaders change.
    pub async fn list_offsets(
        &self,
        partitions: &[(&str, i32)],
        spec: OffsetSpec,
        isolation: Isolation,
    ) -> Vec<Result<Listed, Error>> {
        let mut found: BTreeMap<Partition, Result<Listed, Error>> = BTreeMap::new();
        let own = |(topic, partition): &(&str, i32)| (Arc::from(*topic), *partition);
        let mut missing: Vec<Partition> = partitions.iter().map(own).collect();
        let mut attempts = self.attempts();
        loop {
            for (partition, outcome) in self.list_once(&missing, spec, isolation).await {
                found.insert(partition, outcome);
            }
            let failed = |partition: &Partition| match found.get(partition) {
                Some(Err(error)) if error.is_retriable() => Some(error.clone()),
                _ => None,
            };
            missing.retain(|partition| failed(partition).is_some());
            missing.dedup();
            let Some((first, others)) = missing.split_first() else { break };
            for other in others {
                if let Some(error) = failed(other) {
                    self.forget_for(To::Leader(&other.0, other.1), &error);
                }
            }
            let Some(error) = failed(first) else { break };
            if !attempts.again(To::Leader(&first.0, first.1), &error).await {
                break;
            }
        }
        let result = |asked: &(&str, i32)| {
            let found = found.get(&own(asked)).cloned();
            found.unwrap_or_else(|| Err(missing_answer(&"".into(), "list offsets of", asked.0, asked.1)))
        };
        partitions.iter().map(result).collect()
    }

    async fn list_once(
        &self,
        partitions: &[Partition],
        spec: OffsetSpec,
        isolation: Isolation,
    ) -> Vec<(Partition, Result<Listed, Error>)> {
        let mut outcomes = Vec::new();
        let mut by_leader: BTreeMap<i32, Vec<(Partition, i32)>> = BTreeMap::new();
        for partition in partitions {
            match self.leader(&partition.0, partition.1).await {
                Ok(leader) => {
                    by_leader.entry(leader.broker).or_default().push((partition.clone(), leader.epoch));
                }
                Err(error) => outcomes.push((partition.clone(), Err(error))),
            }
        }
        let asks = by_leader.into_iter().map(|(leader, partitions)| async move {
            match self.list_at(leader, &partitions, spec, isolation).await {
                Ok(outcomes) => outcomes,
                Err(error) => partitions.into_iter().map(|(at, _)| (at, Err(error.clone()))).collect(),
            }
        });
        outcomes.extend(join_all(asks).await.into_iter().flatten());
        outcomes
    }

    async fn list_at(
        &self,
        leader: i32,
        partitions: &[(Partition, i32)],
        spec: OffsetSpec,
        isolation: Isolation,
    ) -> Result<Vec<(Partition, Result<Listed, Error>)>, Error> {
        let timestamp = match spec {
            OffsetSpec::Latest => -1,
            OffsetSpec::Earliest => -2,
            OffsetSpec::MaxTimestamp => -3,
            OffsetSpec::Timestamp(time) => time.max(0),
        };
        let mut topics: BTreeMap<&str, Vec<ListOffsetsPartition>> = BTreeMap::new();
        for ((topic, partition), epoch) in partitions {
            let ask = ListOffsetsPartition::default()
                .with_partition_index(*partition)
                .with_current_leader_epoch(*epoch)
                .with_timestamp(timestamp);
            topics.entry(topic).or_default().push(ask);
        }
        let topics = topics.into_iter().map(|(topic, partitions)| {
            ListOffsetsTopic::default().with_name(names::topic(topic)).with_partitions(partitions)
        });
        let request = ListOffsetsRequest::default()
            .with_replica_id((-1).into())
            .with_isolation_level(isolation.level())
            .with_topics(topics.collect());
        let connection = self.connection(To::Broker(leader)).await?;
        if spec == OffsetSpec::MaxTimestamp && connection.version_of::<ListOffsetsRequest>(LIST_VERSION)? < 7
        {
            let cause = crate::Cause::Unsupported("the broker can't find the largest timestamp".into());
            return Err(Error::not_sent(connection.address(), "ListOffsets", cause));
        }
        let answer = connection.send(&request, LIST_VERSION).await?;
        let mut outcomes = Vec::new();
        for topic in answer.topics {
            let name: Arc<str> = Arc::from(&**topic.name);
            for found in topic.partitions {
                let at = (name.clone(), found.partition_index);
                let outcome = match Code::try_from_code(found.error_code) {
                    None => Ok(Listed {
                        offset: found.offset,
                        timestamp: found.timestamp,
                        leader_epoch: found.leader_epoch,
                    }),
                    Some(code) => {
                        let doing = format!("list offsets of {}/{}", at.0, at.1);
                        Err(Error::answered(connection.address(), doing, code))
                    }
                };
                outcomes.push((at, outcome));
            }
        }
        Ok(outcomes)
    }

    /// Where the leader's own log ends: the offset that the next record gets. The high watermark may be
    /// behind it. (OffsetForLeaderEpoch for the leader's own epoch, KIP-279; needs Describe on the topic.)
    /// Tried again while leaders change.
    pub async fn log_end(&self, topic: &str, partition: i32) -> Result<LogEnd, Error> {
        let to = To::Leader(topic, partition);
        repeat!(self, to, self.log_end_once(topic, partition))
    }

    async fn log_end_once(&self, topic: &str, partition: i32) -> Result<LogEnd, Error> {
        let leader = self.leader(topic, partition).await?;
        let doing = || format!("find the end of {topic}/{partition}");
        let ask = OffsetForLeaderPartition::default()
            .with_partition(partition)
            .with_current_leader_epoch(leader.epoch)
            .with_leader_epoch(leader.epoch);
        let ask = OffsetForLeaderTopic::default().with_topic(names::topic(topic)).with_partitions(vec![ask]);
        let connection = self.connection(To::Broker(leader.broker)).await?;
        // A consumer that only looks (-1): as one, no replica is taken to have the records before it.
        let request =
            OffsetForLeaderEpochRequest::default().with_replica_id((-1).into()).with_topics(vec![ask]);
        let answer = connection.send(&request, EPOCH_VERSION).await?;
        let found = answer.topics.into_iter().flat_map(|topic| topic.partitions);
        let found = found
            .into_iter()
            .find(|found| found.partition == partition)
            .ok_or_else(|| missing_answer(connection.address(), "find the end of", topic, partition))?;
        if let Some(code) = Code::try_from_code(found.error_code) {
            return Err(Error::answered(connection.address(), doing(), code));
        }
        if found.leader_epoch != leader.epoch || found.end_offset < 0 {
            // It leads, but its log does not have its epoch yet.
            return Err(Error::answered(connection.address(), doing(), Code::OffsetNotAvailable));
        }
        Ok(LogEnd { offset: found.end_offset, leader: leader.broker, leader_epoch: leader.epoch })
    }

    /// Deletes the records before an offset (-1: the high watermark), and gives where the log starts then.
    /// On a topic that is only compacted it fails (`PolicyViolation`). Tried again while leaders change.
    pub async fn delete_records(&self, topic: &str, partition: i32, before: i64) -> Result<i64, Error> {
        let to = To::Leader(topic, partition);
        repeat!(self, to, self.delete_once(topic, partition, before))
    }

    async fn delete_once(&self, topic: &str, partition: i32, before: i64) -> Result<i64, Error> {
        let connection = self.connection(To::Leader(topic, partition)).await?;
        let timeout = self.settings().request_timeout.max(Duration::from_secs(1));
        let ask = DeleteRecordsPartition::default().with_partition_index(partition).with_offset(before);
        let ask = DeleteRecordsTopic::default().with_name(names::topic(topic)).with_partitions(vec![ask]);
        let request = DeleteRecordsRequest::default()
            .with_topics(vec![ask])
            .with_timeout_ms(i32::try_from(timeout.as_millis()).unwrap_or(i32::MAX));
        let answer = connection.send_within(&request, DELETE_VERSION, timeout).await?;
        let mut found = answer.topics.into_iter().flat_map(|topic| topic.partitions);
        let found = found
            .find(|found| found.partition_index == partition)
            .ok_or_else(|| missing_answer(connection.address(), "delete records of", topic, partition))?;
        match Code::try_from_code(found.error_code) {
            None => Ok(found.low_watermark),
            Some(code) => {
                let doing = format!("delete records of {topic}/{partition} before {before}");
                Err(Error::answered(connection.address(), doing, code))
            }
        }
    }
}

fn missing_answer(broker: &Arc<str>, doing: &str, topic: &str, partition: i32) -> Error {
    Error::senseless(broker, format!("{doing} {topic}/{partition}"), "the partition is not in the answer")
}
