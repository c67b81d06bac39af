//! Fetch: batches as they are in the leader's log.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use kafka_protocol::messages::{
    FetchRequest,
    fetch_request::{FetchPartition, FetchTopic},
    fetch_response::PartitionData,
};

use crate::{Client, Code, Connection, Error, To, client::repeat, names};

/// The newest Fetch that is spoken; v13 asks by topic ids.
const VERSION: i16 = 12;

/// Which records are there for a reader.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Isolation {
    /// All up to the high watermark.
    #[default]
    ReadUncommitted,
    /// All up to the last stable offset: the first of a transaction that is still open. The answer lists
    /// the aborted ones before it.
    ReadCommitted,
}

impl Isolation {
    pub(crate) fn level(self) -> i8 {
        match self {
            Self::ReadUncommitted => 0,
            Self::ReadCommitted => 1,
        }
    }
}

/// Where to read in one partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FetchFrom {
    /// The topic.
    pub topic: Arc<str>,
    /// The partition.
    pub partition: i32,
    /// The offset to begin at. The first batch may begin before it.
    pub offset: i64,
    /// How many bytes at most, but for a first batch that is larger.
    pub max_bytes: i32,
    /// The leader's epoch as far as is known, for the leader to refuse who knows less or more; -1: unknown.
    pub leader_epoch: i32,
}

/// What all partitions of a request have in common.
#[derive(Debug, Clone)]
pub struct FetchOptions {
    /// Which records.
    pub isolation: Isolation,
    /// How long the broker may wait until there are `min_bytes`.
    pub max_wait: Duration,
    /// How many bytes to wait for; 0 for what there is.
    pub min_bytes: i32,
    /// How many bytes at most, over all partitions, but for a first batch that is larger.
    pub max_bytes: i32,
}

impl Default for FetchOptions {
    fn default() -> Self {
        Self {
            isolation: Isolation::default(),
            max_wait: Duration::from_millis(500),
            min_bytes: 1,
            max_bytes: 50 << 20,
        }
    }
}

/// A transaction that was aborted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Aborted {
    /// Its producer's id.
    pub producer_id: i64,
    /// Its first offset in this partition.
    pub first_offset: i64,
}

/// What a leader says of one partition.
#[derive(Debug, Clone)]
pub struct Fetched {
    /// The topic.
    pub topic: Arc<str>,
    /// The partition.
    pub partition: i32,
    /// Why there is nothing else, where that is so: the offsets are -1 then.
    pub error: Option<Code>,
    /// The offset after the last that all replicas in sync have.
    pub high_watermark: i64,
    /// The offset that no open transaction begins before.
    pub last_stable_offset: i64,
    /// The first offset there is.
    pub log_start_offset: i64,
    /// The aborted transactions among these records, where only committed ones were asked for.
    pub aborted: Vec<Aborted>,
    /// The broker to read from instead (KIP-392), if there is one nearer.
    pub preferred_replica: Option<i32>,
    /// Batches, the last of which may be cut off; see [`Batches`](crate::records::Batches). A slice of the
    /// whole answer: it keeps all of that in memory.
    pub records: Bytes,
}

impl Connection {
    /// Reads partitions that the broker at the other end leads (or follows). In the queue when this
    /// returns. Without a session (KIP-227): every request lists all its partitions.
    pub fn fetch(
        &self,
        from: &[FetchFrom],
        options: &FetchOptions,
        rack: &str,
    ) -> impl Future<Output = Result<Vec<Fetched>, Error>> + Send + 'static + use<> {
        let mut topics: Vec<FetchTopic> = Vec::new();
        for ask in from {
            let partition = FetchPartition::default()
                .with_partition(ask.partition)
                .with_current_leader_epoch(ask.leader_epoch)
                .with_fetch_offset(ask.offset)
                .with_partition_max_bytes(ask.max_bytes);
            match topics.iter_mut().find(|topic| **topic.topic == *ask.topic) {
                Some(topic) => topic.partitions.push(partition),
                None => {
                    let topic = FetchTopic::default().with_topic(names::topic(&ask.topic));
                    topics.push(topic.with_partitions(vec![partition]));
                }
            }
        }
        let request = FetchRequest::default()
            .with_max_wait_ms(i32::try_from(options.max_wait.as_millis()).unwrap_or(i32::MAX))
            .with_min_bytes(options.min_bytes)
            .with_max_bytes(options.max_bytes)
            .with_isolation_level(options.isolation.level())
            .with_rack_id(names::text(rack))
            .with_topics(topics);
        let answer = self.send_within(&request, VERSION, options.max_wait);
        let address = self.address().clone();
        async move {
            let answer = answer.await?;
            if let Some(code) = Code::try_from_code(answer.error_code) {
                return Err(Error::answered(&address, "Fetch", code));
            }
            let mut fetched = Vec::new();
            for topic in answer.responses {
                let name: Arc<str> = Arc::from(&**topic.topic);
                fetched.extend(topic.partitions.into_iter().map(|data| fetched_of(name.clone(), data)));
            }
            Ok(fetched)
        }
    }
}

fn fetched_of(topic: Arc<str>, data: PartitionData) -> Fetched {
    let aborted = data.aborted_transactions.unwrap_or_default();
    let aborted = aborted
        .iter()
        .map(|a| Aborted { producer_id: a.producer_id.0, first_offset: a.first_offset })
        .collect();
    Fetched {
        topic,
        partition: data.partition_index,
        error: Code::try_from_code(data.error_code),
        high_watermark: data.high_watermark,
        last_stable_offset: data.last_stable_offset,
        log_start_offset: data.log_start_offset,
        aborted,
        preferred_replica: Some(data.preferred_read_replica.0).filter(|id| *id >= 0),
        records: data.records.unwrap_or_default(),
    }
}

impl Client {
    /// Reads from a partition's leader what there is from `offset` on, without waiting for more. Tried
    /// again while leaders change. A code of the partition (`OffsetOutOfRange`) is an error here.
    pub async fn fetch_raw(
        &self,
        topic: &str,
        partition: i32,
        offset: i64,
        max_bytes: i32,
        isolation: Isolation,
    ) -> Result<Fetched, Error> {
        let to = To::Leader(topic, partition);
        repeat!(self, to, self.fetch_once(topic, partition, offset, max_bytes, isolation))
    }

    async fn fetch_once(
        &self,
        topic: &str,
        partition: i32,
        offset: i64,
        max_bytes: i32,
        isolation: Isolation,
    ) -> Result<Fetched, Error> {
        let leader = self.leader(topic, partition).await?;
        let connection = self.connection(To::Broker(leader.broker)).await?;
        let from =
            FetchFrom { topic: topic.into(), partition, offset, max_bytes, leader_epoch: leader.epoch };
        let options = FetchOptions { isolation, max_wait: Duration::ZERO, min_bytes: 0, max_bytes };
        let fetched = connection.fetch(&[from], &options, "").await?.pop();
        let doing = || format!("fetch {topic}/{partition} from {offset}");
        let fetched = fetched.filter(|fetched| fetched.partition == partition).ok_or_else(|| {
            Error::senseless(connection.address(), doing(), "the partition is not in the answer")
        })?;
        match fetched.error {
            Some(code) => Err(Error::answered(connection.address(), doing(), code)),
            None => Ok(fetched),
        }
    }
}
