//! A partition of one side, read in order: what a consumer would see of it, a chunk at a time.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use kafka_wire::{
    Client, Code, Fetched, Isolation, OffsetSpec, Visible,
    records::{self, BatchError, Batches, Record},
};
use mirror_types::{Header, LaneOrigins, Offset, TopicPartition};
use pipeline::Throttle;
use prometheus::IntCounter;
use tokio::sync::mpsc;

/// What a batch may be, decompressed; brokers take a megabyte unless they are told otherwise.
const BATCH_LIMIT: usize = 256 << 20;
/// Between two looks for what is not readable yet.
const PAUSE: Duration = Duration::from_millis(50);

/// What to read.
pub(crate) struct Reading {
    pub(crate) client: Client,
    pub(crate) at: TopicPartition,
    pub(crate) from: Offset,
    pub(crate) to: Offset,
    pub(crate) isolation: Isolation,
    /// Bytes of one answer.
    pub(crate) fetch: i32,
    /// How fast, if that is bounded.
    pub(crate) pace: Option<Arc<Pace>>,
}

/// How fast it may be read, over all that is read, and how much was.
pub(crate) struct Pace {
    pub(crate) throttle: Throttle,
    pub(crate) bytes: IntCounter,
}

/// Some of it.
#[derive(Debug, Default)]
pub(crate) struct Chunk {
    /// The records, in order.
    pub(crate) records: Vec<Record>,
    /// Everything before this has been read.
    pub(crate) next: Offset,
    /// Everything before this had been deleted before it could be read.
    pub(crate) deleted_to: Option<Offset>,
}

impl Chunk {
    /// The records of the source as the link writes them to the target, without those that it leaves behind.
    pub(super) fn with_origins(mut self, origins: &LaneOrigins) -> Self {
        self.records.retain_mut(|record| {
            let headers = record.headers.iter().map(|h| Header { name: &h.key, value: h.value.as_deref() });
            let Some(written) = origins.of(record.offset, headers) else { return false };
            record.headers.retain(|header| !origins.headers().have(&header.key));
            let header = |(name, value): (String, String)| records::Header {
                key: name.into(),
                value: Some(value.into()),
            };
            record.headers.extend(written.into_iter().map(header));
            true
        });
        self
    }
}

/// Why it can't be read on.
pub(crate) type Failure = String;

impl Reading {
    /// Reads in a task of its own, one chunk ahead of whoever takes them; ends with its receiver.
    pub(crate) fn start(self) -> mpsc::Receiver<Result<Chunk, Failure>> {
        let (chunks, taken) = mpsc::channel(1);
        tokio::spawn(async move {
            let mut position = self.from;
            while position < self.to {
                let chunk = self.next(position).await;
                let next = chunk.as_ref().map_or(self.to, |chunk| chunk.next);
                if chunks.send(chunk).await.is_err() {
                    return;
                }
                position = next;
            }
        });
        taken
    }

    async fn next(&self, position: Offset) -> Result<Chunk, Failure> {
        let (mut max_bytes, began) = (self.fetch, Instant::now());
        loop {
            let (topic, partition) = (&*self.at.topic, self.at.partition);
            let fetched = self.client.fetch_raw(topic, partition, position, max_bytes, self.isolation).await;
            let fetched = match fetched {
                Err(error) if error.code() == Some(Code::OffsetOutOfRange) => {
                    return self.behind_what_is_deleted(position).await;
                }
                Err(error) if error.is_not_authorized() => {
                    return Err(format!("{error}\n  fix: grant READ on topic {topic} there"));
                }
                fetched => fetched.map_err(|error| error.to_string())?,
            };
            if let Some(pace) = &self.pace {
                pace.keep(fetched.records.len() as u64).await;
            }
            let stable = fetched.last_stable_offset;
            let (chunk, needed) =
                self.cut(fetched, position).map_err(|error| format!("{}: {error}", self.at))?;
            if chunk.next > position {
                return Ok(chunk);
            }
            match needed {
                Some(needed) if needed > max_bytes => max_bytes = needed,
                _ if began.elapsed() < self.client.patience() => tokio::time::sleep(PAUSE).await,
                _ if stable <= position && self.isolation == Isolation::ReadCommitted => {
                    return Err(format!("{}: a transaction that begins at {stable} is still open", self.at));
                }
                _ => return Err(format!("{}: the broker gives nothing from {position} on", self.at)),
            }
        }
    }

    async fn behind_what_is_deleted(&self, position: Offset) -> Result<Chunk, Failure> {
        let asked = [(&*self.at.topic, self.at.partition)];
        let mut listed =
            self.client.list_offsets(&asked, OffsetSpec::Earliest, Isolation::ReadUncommitted).await;
        let low = listed.remove(0).map_err(|error| error.to_string())?.offset;
        if low <= position {
            return Err(format!("{}: it ends before {position} now", self.at));
        }
        let next = low.min(self.to);
        Ok(Chunk { records: Vec::new(), next, deleted_to: Some(next) })
    }

    /// The records of the whole batches of an answer; and how many bytes to ask for where there is not even one.
    fn cut(&self, fetched: Fetched, position: Offset) -> Result<(Chunk, Option<i32>), BatchError> {
        let mut visible = Visible::new(fetched.aborted);
        let mut batches = Batches::new(fetched.records);
        let needed = batches.next_length().and_then(|length| i32::try_from(length).ok());
        let mut chunk = Chunk { next: position, ..Chunk::default() };
        for batch in &mut batches {
            let batch = batch?;
            batch.check_crc()?;
            if visible.sees(&batch)? && batch.header.next_offset() > position {
                for record in batch.records(BATCH_LIMIT)? {
                    let record = record?;
                    // The first batch may begin before what was asked for, the last one end behind it.
                    if (position..self.to).contains(&record.offset) {
                        chunk.records.push(record);
                    }
                }
            }
            chunk.next = chunk.next.max(batch.header.next_offset());
            if chunk.next >= self.to {
                break;
            }
        }
        chunk.next = chunk.next.min(self.to);
        Ok((chunk, needed))
    }
}

impl Pace {
    /// So much was read: waits until that was due.
    async fn keep(&self, bytes: u64) {
        self.bytes.inc_by(bytes);
        tokio::time::sleep(self.throttle.delay(bytes)).await;
    }
}
