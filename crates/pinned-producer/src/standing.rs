//! Where a target partition stands: its ends, its last visible record, and who wrote that.
//!
//! The target's log end is the checkpoint of a lane that has the partition to itself; this is how it is read.

use std::time::Duration;

use kafka_wire::{
    Client, Code, Error, Isolation, OffsetSpec, ProducerIdentity,
    records::{Batch, Batches, Record, next_sequence},
};
use mirror_types::{Header, Offset, TopicPartition};
use tracing::{debug, warn};

use crate::digest::Digest;

/// Bytes of a fetch that looks for the last visible record.
const FETCH: i32 = 1024 * 1024;
/// Bytes that a batch may have decompressed.
pub(crate) const UNPACKED: usize = 256 * 1024 * 1024;
/// How far back from the end to look for it: a partition that ends in more control records than this has none.
const FAR: Offset = 1 << 20;
/// What an earlier writer had on its way when it was killed is written within this time, if at all.
const SETTLED: Duration = Duration::from_millis(300);

/// A target partition, as a new run of its lane finds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// The log start offset.
    pub start: Offset,
    /// The log end offset: the leader's own, and what all in-sync replicas have.
    pub end: Offset,
    /// The last record that a consumer sees, if there is one not far from the end.
    pub last: Option<Last>,
}

/// A partition's last visible record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Last {
    /// Its offset.
    pub offset: Offset,
    /// Of its key, value, headers and timestamp.
    pub(crate) digest: Digest,
    /// What wrote it, and the sequence number that follows; `None` if it was no idempotent producer.
    pub(crate) writer: Option<(ProducerIdentity, i32)>,
}

impl Last {
    /// Whether it is padding before a lane's start that an earlier run has not deleted yet. (Padding of gaps is another:
    /// where the last record is of that kind, the source has none at its offset, and there is nothing to compare.)
    pub fn is_padding(&self) -> bool {
        self.digest == Digest::of_parts(0, Some(b""), None, [].into_iter())
    }
}

impl Standing {
    /// Asks where the partition begins and ends at this moment, for a lane that shares it with other writers: it need not
    /// settle, and its last record is not of interest.
    pub async fn at_present(client: &Client, at: &TopicPartition) -> Result<Self, Error> {
        let end = offset(client, at, OffsetSpec::Latest).await?;
        Ok(Self { start: offset(client, at, OffsetSpec::Earliest).await?, end, last: None })
    }

    /// Asks the partition's leader, until what was on its way has arrived and all in-sync replicas have it. `begun`: an
    /// earlier run of the lane may have written; without one, a partition that is empty has nothing on its way to it.
    pub async fn of(client: &Client, at: &TopicPartition, begun: bool) -> Result<Self, Error> {
        let end = match begun {
            true => settled_end(client, at).await?,
            false => match ends(client, at).await? {
                (0, 0) => 0,
                _ => settled_end(client, at).await?,
            },
        };
        let start = offset(client, at, OffsetSpec::Earliest).await?;
        let last = match last(client, at, start, end).await {
            Err(error) if error.is_not_authorized() => {
                warn!(target = %at, "its last record can't be compared with the source's: grant READ on the topic");
                None
            }
            last => last?,
        };
        Ok(Self { start, end, last })
    }
}

/// The log end, once nothing moves it any more and all in-sync replicas have it.
pub(crate) async fn settled_end(client: &Client, at: &TopicPartition) -> Result<Offset, Error> {
    let mut before = None;
    loop {
        let (replicated, end) = ends(client, at).await?;
        if before == Some(end) && replicated == end {
            return Ok(end);
        }
        debug!(target = %at, end, replicated, "waiting for the target to settle");
        before = Some(end);
        tokio::time::sleep(SETTLED).await;
    }
}

/// Up to where all in-sync replicas have it, and the leader's own log end.
async fn ends(client: &Client, at: &TopicPartition) -> Result<(Offset, Offset), Error> {
    let replicated = offset(client, at, OffsetSpec::Latest).await?;
    let end = match client.with_patience(SETTLED).log_end(&at.topic, at.partition).await {
        Ok(end) => end.offset,
        // librdkafka's mock cluster has no answer for a partition that was never written to.
        Err(error) if error.code() == Some(Code::OffsetNotAvailable) && replicated == 0 => 0,
        Err(error) => return Err(error),
    };
    Ok((replicated, end))
}

async fn offset(client: &Client, at: &TopicPartition, spec: OffsetSpec) -> Result<Offset, Error> {
    let asked = [(&*at.topic, at.partition)];
    let mut answer = client.list_offsets(&asked, spec, Isolation::ReadUncommitted).await;
    answer.remove(0).map(|listed| listed.offset)
}

/// The last visible record: looked for from ever farther back, since control records may be behind it.
async fn last(
    client: &Client,
    at: &TopicPartition,
    start: Offset,
    end: Offset,
) -> Result<Option<Last>, Error> {
    let mut back = 1;
    loop {
        let from = (end - back).max(start);
        if let Some(batch) = last_batch(client, at, from, end).await? {
            return Ok(last_of(&batch));
        }
        if from == start || back >= FAR {
            return Ok(None);
        }
        back *= 16;
    }
}

/// The last batch with records between two offsets.
async fn last_batch(
    client: &Client,
    at: &TopicPartition,
    mut from: Offset,
    end: Offset,
) -> Result<Option<Batch>, Error> {
    let mut found = None;
    while from < end {
        let isolation = Isolation::ReadUncommitted;
        let fetched = client.fetch_raw(&at.topic, at.partition, from, FETCH, isolation).await?;
        let before = from;
        for batch in Batches::new(fetched.records).map_while(Result::ok) {
            from = from.max(batch.header.next_offset());
            if !batch.header.is_control() && batch.header.record_count > 0 {
                found = Some(batch);
            }
        }
        if from == before {
            break;
        }
    }
    Ok(found)
}

fn last_of(batch: &Batch) -> Option<Last> {
    let record = batch.records(UNPACKED).ok()?.map_while(Result::ok).last()?;
    let header = &batch.header;
    let writer = ProducerIdentity { id: header.producer_id, epoch: header.producer_epoch };
    // Compaction keeps the numbers that the batch was written with.
    let next = next_sequence(header.base_sequence, header.last_offset_delta + 1);
    let writer = (writer.id >= 0 && header.base_sequence >= 0).then_some((writer, next));
    Some(Last { offset: record.offset, digest: digest(&record), writer })
}

fn digest(record: &Record) -> Digest {
    let headers = record.headers.iter().map(|h| Header { name: &h.key, value: h.value.as_deref() });
    Digest::of_parts(record.timestamp, record.key.as_deref(), record.value.as_deref(), headers)
}
