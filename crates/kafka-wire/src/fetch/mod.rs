//! Fetch: batches as they are in the leader's log.

mod answer;
mod request;
mod session;
mod visible;

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use kafka_protocol::{
    messages::FetchRequest,
    protocol::{HeaderVersion, Request as _},
};

use self::{
    answer::FetchAnswer,
    request::{FULL, LAST, NO_SESSION, Request},
};
pub use self::{session::FetchSession, visible::Visible};
use crate::{Cause, Client, Code, Connection, Error, Leader, Response, To, client::repeat};

/// The newest Fetch that is spoken: v13 asks by topic ids (KIP-516), v16 names new leaders (KIP-951); what
/// comes after is for replicas.
const VERSION: i16 = 18;
/// The newest that asks by names.
const BY_NAMES: i16 = 12;

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
    /// The topic's id (KIP-516), so that a topic that was made again is not read as the old one: brokers
    /// from 3.1 answer `UnknownTopicId` then. All zero: unknown. Only where all partitions of a request have
    /// one, it is by ids.
    pub topic_id: [u8; 16],
    /// The partition.
    pub partition: i32,
    /// The offset to begin at. The first batch may begin before it.
    pub offset: i64,
    /// How many bytes at most, but for a first batch that is larger.
    pub max_bytes: i32,
    /// The leader's epoch as far as is known, for the leader to refuse who knows less (`FencedLeaderEpoch`)
    /// or more (`UnknownLeaderEpoch`; KIP-320); -1: unknown.
    pub leader_epoch: i32,
    /// The leader epoch of the last batch before `offset`, for the leader to compare with what it has there
    /// (see [`Fetched::diverging`]; brokers from 2.7); -1: unknown.
    pub last_fetched_epoch: i32,
}

impl FetchFrom {
    /// From `offset` on, up to 1 MiB at a time; nothing is known of ids and epochs.
    pub fn new(topic: impl Into<Arc<str>>, partition: i32, offset: i64) -> Self {
        Self {
            topic: topic.into(),
            topic_id: [0; 16],
            partition,
            offset,
            max_bytes: 1 << 20,
            leader_epoch: -1,
            last_fetched_epoch: -1,
        }
    }

    fn has_id(&self) -> bool {
        self.topic_id != [0; 16]
    }
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

/// Where a leader epoch ends in the leader's log (KIP-320).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EpochEnd {
    /// The epoch: the largest that the leader knows and that is not above the one asked about.
    pub epoch: i32,
    /// The offset after its last record.
    pub end_offset: i64,
}

/// What a leader says of one partition.
#[derive(Debug, Clone)]
pub struct Fetched {
    /// The topic.
    pub topic: Arc<str>,
    /// The partition.
    pub partition: i32,
    /// The offset that it was asked to be read from, which may be another than the one set since.
    pub asked: i64,
    /// Why there is nothing else, where that is so: the offsets are -1 then. `UnknownTopicId` and
    /// `InconsistentTopicId` say that the topic is not, or no longer, the one with this id.
    pub error: Option<Code>,
    /// The offset after the last that all replicas in sync have.
    pub high_watermark: i64,
    /// The offset that no open transaction begins before.
    pub last_stable_offset: i64,
    /// The first offset there is.
    pub log_start_offset: i64,
    /// The aborted transactions among these records, where only committed ones were asked for.
    pub aborted: Vec<Aborted>,
    /// The broker to read from instead (KIP-392), if there is one nearer. It is for a while only; see
    /// [`Client::reader`].
    pub preferred_replica: Option<i32>,
    /// Where the log went another way than what was read before `asked`: all from `end_offset` on has to be
    /// looked at again. There are no records then.
    pub diverging: Option<EpochEnd>,
    /// The partition's leader, where the one asked is not it, or the epoch asked with is not its (KIP-951;
    /// brokers from 3.7).
    pub leader: Option<Leader>,
    /// Batches, the last of which may be cut off; see [`Batches`](crate::records::Batches). A slice of the
    /// whole answer: it keeps all of that in memory.
    pub records: Bytes,
}

impl Connection {
    /// Reads partitions that the broker at the other end leads (or follows). In the queue when this
    /// returns. Without a session: every request lists all its partitions; see [`FetchSession`].
    pub fn fetch(
        &self,
        from: &[FetchFrom],
        options: &FetchOptions,
        rack: &str,
    ) -> impl Future<Output = Result<Vec<Fetched>, Error>> + Send + 'static + use<> {
        let asked: Vec<&FetchFrom> = from.iter().collect();
        let session = (NO_SESSION, LAST);
        let request = Request { options, rack, session, from: &asked, forgotten: &[] };
        let answer = self.send_fetch(&request, from.iter().all(FetchFrom::has_id));
        let address = self.address().clone();
        let from = from.to_vec();
        async move {
            let answer = answer.await?;
            if let Some(code) = answer.error {
                return Err(Error::answered(&address, "Fetch", code));
            }
            let mut fetched = answer.partitions.into_iter();
            let mut known = Vec::with_capacity(fetched.len());
            for topic in &answer.topics {
                let is = |from: &FetchFrom| match topic.by_id() {
                    Some(id) => from.topic_id == id,
                    None => *topic.name == *from.topic.as_bytes(),
                };
                for mut fetched in fetched.by_ref().take(topic.partitions) {
                    let of = from.iter().find(|from| from.partition == fetched.partition && is(from));
                    if let Some(of) = of {
                        (fetched.topic, fetched.asked) = (of.topic.clone(), of.offset);
                        known.push(fetched);
                    }
                }
            }
            Ok(known)
        }
    }

    /// Whether a request can go by topic ids.
    fn knows_ids(&self) -> bool {
        self.version_of::<FetchRequest>(VERSION).is_ok_and(|version| version >= request::IDS)
    }

    fn send_fetch(&self, request: &Request<'_>, by_ids: bool) -> Response<FetchAnswer> {
        let version = match self.version_of::<FetchRequest>(if by_ids { VERSION } else { BY_NAMES }) {
            Ok(version) => version,
            Err(error) => return self.failed(error),
        };
        match request.encode(version) {
            Ok(body) => {
                let header = FetchRequest::header_version(version);
                let wait = request.options.max_wait;
                self.send_chunks(FetchRequest::KEY, version, header, vec![body], wait)
            }
            Err(reason) => {
                self.failed(Error::not_sent(self.address(), "Fetch", Cause::Invalid(reason.into())))
            }
        }
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
        let options = FetchOptions { isolation, max_wait: Duration::ZERO, min_bytes: 0, max_bytes };
        repeat!(self, to, self.fetch_once(topic, partition, offset, &options))
    }

    /// Waits until a partition's leader has something from `offset` on, but no longer than `wait`; says whether
    /// it has. One request, which the broker holds; tried again as [`Client::fetch_raw`].
    pub async fn await_records(
        &self,
        topic: &str,
        partition: i32,
        offset: i64,
        wait: Duration,
    ) -> Result<bool, Error> {
        let to = To::Leader(topic, partition);
        let options = FetchOptions { max_wait: wait, min_bytes: 1, max_bytes: 1, ..FetchOptions::default() };
        let fetched = repeat!(self, to, self.fetch_once(topic, partition, offset, &options));
        Ok(!fetched?.records.is_empty())
    }

    async fn fetch_once(
        &self,
        topic: &str,
        partition: i32,
        offset: i64,
        options: &FetchOptions,
    ) -> Result<Fetched, Error> {
        let leader = self.leader(topic, partition).await?;
        let connection = self.connection(To::Broker(leader.broker)).await?;
        let max_bytes = options.max_bytes;
        let from =
            FetchFrom { max_bytes, leader_epoch: leader.epoch, ..FetchFrom::new(topic, partition, offset) };
        let fetched = connection.fetch(&[from], options, "").await?.pop();
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
