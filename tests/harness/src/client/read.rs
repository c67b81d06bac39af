//! Reads a topic from its start to its end as of now, record by record.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};
use rdkafka::consumer::Consumer;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, Headers, Message};
use rdkafka::{Offset, Timestamp, TopicPartitionList};

use super::offsets::{consumer, query};
use crate::cluster::POLL;

/// How long nothing may arrive before reading is given up.
const STALLED: Duration = Duration::from_secs(60);
/// A leader that has just been elected may not know yet how far the log is replicated, and says too early that a reader
/// is at its end. So that is believed only once nothing has come for this long.
const ENDED: Duration = Duration::from_secs(1);

/// Which records are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Isolation {
    /// Those of open and aborted transactions too.
    Uncommitted,
    /// Only what is committed, up to the last stable offset.
    Committed,
}

/// Where a record's timestamp comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TimestampType {
    /// There is none.
    None,
    /// The producer set it.
    Create,
    /// The broker set it.
    LogAppend,
}

/// A record as it was read.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ReadRecord {
    /// Its offset.
    pub offset: i64,
    /// Milliseconds; -1 if there is none.
    pub timestamp: i64,
    /// Where the timestamp comes from.
    pub timestamp_type: TimestampType,
    /// `None` is null.
    pub key: Option<Vec<u8>>,
    /// `None` is null.
    pub value: Option<Vec<u8>>,
    /// In order.
    pub headers: Vec<(String, Option<Vec<u8>>)>,
}

/// All records of a topic; every partition has an entry, if only an empty one.
pub fn read_all(
    props: &[(String, String)],
    topic: &str,
    isolation: Isolation,
) -> Result<BTreeMap<i32, Vec<ReadRecord>>> {
    let mut all: BTreeMap<i32, Vec<ReadRecord>> = BTreeMap::new();
    let partitions = read_each(props, topic, isolation, |message| {
        all.entry(message.partition()).or_default().push(ReadRecord::from(message));
    })?;
    for partition in partitions {
        all.entry(partition).or_default();
    }
    Ok(all)
}

/// How many records each partition holds, by reading them.
pub fn count(props: &[(String, String)], topic: &str, isolation: Isolation) -> Result<BTreeMap<i32, u64>> {
    let mut counts: BTreeMap<i32, u64> = BTreeMap::new();
    let partitions = read_each(props, topic, isolation, |m| *counts.entry(m.partition()).or_default() += 1)?;
    for partition in partitions {
        counts.entry(partition).or_default();
    }
    Ok(counts)
}

/// Hands every record of a topic to `each`, in order within a partition; returns the partitions.
pub fn read_each(
    props: &[(String, String)],
    topic: &str,
    isolation: Isolation,
    mut each: impl FnMut(&BorrowedMessage<'_>),
) -> Result<Vec<i32>> {
    let consumer = consumer(props, isolation)?;
    // With read_committed this is the last stable offset.
    let ends = query(&consumer, topic, Offset::End)?;
    let starts = query(&consumer, topic, Offset::Beginning)?;
    let mut left: BTreeMap<i32, i64> = BTreeMap::new();
    let mut assignment = TopicPartitionList::new();
    for (&partition, &end) in &ends {
        let start = *starts.get(&partition).context("a partition has no start")?;
        if start < end {
            left.insert(partition, end);
            assignment.add_partition_offset(topic, partition, Offset::Offset(start))?;
        }
    }
    if !left.is_empty() {
        consumer.assign(&assignment).context("failed to assign")?;
    }
    let mut heard = Instant::now();
    // Where control records and gaps at the end are seen by no one, the leader says that it has no more.
    let mut ended: BTreeMap<i32, Instant> = BTreeMap::new();
    while !left.is_empty() {
        left.retain(|partition, _| ended.get(partition).is_none_or(|since| since.elapsed() < ENDED));
        match consumer.poll(POLL) {
            Some(Ok(message)) => {
                heard = Instant::now();
                let (partition, offset) = (message.partition(), message.offset());
                ended.remove(&partition);
                let Some(&end) = left.get(&partition) else { continue };
                if offset < end {
                    each(&message);
                }
                if offset + 1 >= end {
                    left.remove(&partition);
                }
            }
            Some(Err(KafkaError::PartitionEOF(partition))) => {
                heard = Instant::now();
                ended.insert(partition, heard);
            }
            Some(Err(error)) if passing(&error) => {}
            Some(Err(error)) => return Err(anyhow!(error).context(format!("failed to read {topic}"))),
            None => {}
        }
        if heard.elapsed() > STALLED {
            bail!("nothing read from {topic} for {STALLED:?}; not at their ends: {left:?}");
        }
    }
    Ok(ends.into_keys().collect())
}

/// Errors that librdkafka reports and gets over by itself. The group ones come from looking for a
/// coordinator that a reader without a group does not need.
fn passing(error: &KafkaError) -> bool {
    matches!(
        error.rdkafka_error_code(),
        Some(
            RDKafkaErrorCode::BrokerTransportFailure
                | RDKafkaErrorCode::AllBrokersDown
                | RDKafkaErrorCode::OperationTimedOut
                | RDKafkaErrorCode::GroupAuthorizationFailed
                | RDKafkaErrorCode::CoordinatorNotAvailable
        )
    )
}

impl From<&BorrowedMessage<'_>> for ReadRecord {
    fn from(message: &BorrowedMessage<'_>) -> Self {
        let (timestamp, timestamp_type) = match message.timestamp() {
            Timestamp::NotAvailable => (-1, TimestampType::None),
            Timestamp::CreateTime(time) => (time, TimestampType::Create),
            Timestamp::LogAppendTime(time) => (time, TimestampType::LogAppend),
        };
        let headers = message
            .headers()
            .map(|headers| headers.iter().map(|h| (h.key.to_owned(), h.value.map(<[u8]>::to_vec))).collect());
        Self {
            offset: message.offset(),
            timestamp,
            timestamp_type,
            key: message.key().map(<[u8]>::to_vec),
            value: message.payload().map(<[u8]>::to_vec),
            headers: headers.unwrap_or_default(),
        }
    }
}
