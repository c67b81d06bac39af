//! Where logs start and end. One request to each broker, however many partitions it leads.

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
    time::Duration,
};

use kafka_rd::{AdminError, Listed, OffsetSpec};
use mirror_types::{Offset, TopicPartition};
use rdkafka::types::RDKafkaErrorCode as Code;
use tokio::time::sleep;

use crate::{
    Cluster, Error,
    client::Call,
    error::{is_passing, is_unanswered},
};

/// Partitions a call to librdkafka: it merges the brokers' answers in quadratic time.
const CHUNK: usize = 2000;
/// How often to ask again after a leader has moved (librdkafka forgets what it knew of the topic, but does
/// not ask again by itself), and how long to wait before. A partition that stays without a leader costs
/// every call this much, and the second that librdkafka looks for one: so it is little.
const RETRIES: [Duration; 2] = [Duration::from_millis(100), Duration::from_millis(300)];

/// Which records count as the end of a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Isolation {
    /// Those of finished transactions: up to the last stable offset.
    #[default]
    Committed,
    /// All: up to the high watermark.
    Uncommitted,
}

/// An offset for each partition that was asked for, or why there is none.
pub type Offsets = HashMap<TopicPartition, Result<Offset, Error>>;

impl Cluster {
    /// The offset after the last record of each partition.
    pub async fn end_offsets(
        &self,
        partitions: &[TopicPartition],
        isolation: Isolation,
    ) -> Result<Offsets, Error> {
        self.list(partitions, OffsetSpec::End, isolation).await
    }

    /// The offset of the first record of each partition (the next to be written, where it is empty).
    pub async fn start_offsets(&self, partitions: &[TopicPartition]) -> Result<Offsets, Error> {
        self.list(partitions, OffsetSpec::Start, Isolation::Uncommitted).await
    }

    /// The first offset of each partition whose record is not older than `timestamp_ms` (milliseconds
    /// since the epoch); none where all records are older.
    pub async fn offsets_at(
        &self,
        partitions: &[TopicPartition],
        timestamp_ms: i64,
    ) -> Result<HashMap<TopicPartition, Result<Option<Offset>, Error>>, Error> {
        let found =
            self.list(partitions, OffsetSpec::Time(timestamp_ms.max(0)), Isolation::Uncommitted).await?;
        let present = |offset: Offset| (offset >= 0).then_some(offset);
        Ok(found.into_iter().map(|(partition, offset)| (partition, offset.map(present))).collect())
    }

    async fn list(
        &self,
        partitions: &[TopicPartition],
        spec: OffsetSpec,
        isolation: Isolation,
    ) -> Result<Offsets, Error> {
        let what = match spec {
            OffsetSpec::Start => "start",
            OffsetSpec::End => "end",
            OffsetSpec::Time(_) => "timestamp",
        };
        let doing = format!("list {what} offsets");
        let all: Vec<_> = partitions.iter().cloned().collect::<BTreeSet<_>>().into_iter().collect();
        let mut found = HashMap::with_capacity(all.len());
        for chunk in all.chunks(CHUNK) {
            let listed = self.list_retrying(&doing, chunk.to_vec(), spec, isolation).await?;
            found.extend(listed.into_iter().map(|(partition, offset)| {
                let offset = offset
                    .map_err(|error| self.error(&format!("get the {what} offset of {partition}"), error));
                (partition, offset)
            }));
        }
        Ok(found)
    }

    /// Asks again for partitions whose leader was another one than librdkafka believed.
    async fn list_retrying(
        &self,
        doing: &str,
        partitions: Vec<TopicPartition>,
        spec: OffsetSpec,
        isolation: Isolation,
    ) -> Result<HashMap<TopicPartition, Result<Offset, AdminError>>, Error> {
        let mut found = HashMap::with_capacity(partitions.len());
        let mut asked = partitions;
        for wait in RETRIES.into_iter().map(Some).chain([None]) {
            let listed = self.list_once(doing, &asked, spec, isolation).await?;
            let passing =
                |offset: &Result<_, AdminError>| matches!(offset, Err(error) if is_passing(error.code));
            let again: Vec<_> = asked
                .iter()
                .zip(&listed)
                .filter(|(_, offset)| passing(offset))
                .map(|(p, _)| p.clone())
                .collect();
            found.extend(asked.into_iter().zip(listed));
            match wait {
                Some(wait) if !again.is_empty() => sleep(wait).await,
                _ => break,
            }
            asked = again;
        }
        Ok(found)
    }

    async fn list_once(
        &self,
        doing: &str,
        partitions: &[TopicPartition],
        spec: OffsetSpec,
        isolation: Isolation,
    ) -> Result<Listed, Error> {
        if partitions.is_empty() {
            return Ok(Vec::new());
        }
        let asked: Vec<(Arc<str>, i32)> = partitions.iter().map(|p| (p.topic.clone(), p.partition)).collect();
        self.blocking(doing, move |call| {
            // Not only for its reason: while a leader refuses connections, librdkafka tries again without a pause,
            // for as long as a request to it waits (`RD_KAFKA_OP_CONNECT` resets the reconnect backoff).
            call.look()?;
            let listed = match call.admin().list_offsets(&asked, spec, isolation == Isolation::Committed) {
                Err(error) if error.code == Code::NoEnt => call.why_no_leaders(&asked),
                listed => listed,
            }?;
            let silent = |offset: &Result<_, AdminError>| matches!(offset, Err(e) if is_unanswered(e.code));
            if listed.iter().any(silent) {
                call.note_silence();
            }
            Ok(listed)
        })
        .await
    }
}

impl Call {
    /// librdkafka says "no leaders found", no more, where that is true of all partitions.
    fn why_no_leaders(&self, partitions: &[(Arc<str>, i32)]) -> Result<Listed, AdminError> {
        let mut topics = HashMap::new();
        for (topic, _) in partitions {
            if !topics.contains_key(topic) {
                let info = self.metadata(Some(topic))?.into_iter().find(|(name, _)| **name == **topic);
                topics.insert(topic, info.map(|(_, info)| info));
            }
        }
        let why = |(topic, partition): &(Arc<str>, i32)| match &topics[topic] {
            Some(Err(error)) => Err(error.clone()),
            Some(Ok(info)) if *partition < info.partitions => Err(AdminError::new(Code::LeaderNotAvailable)),
            _ => Err(AdminError::new(Code::UnknownTopicOrPartition)),
        };
        Ok(partitions.iter().map(why).collect())
    }
}
