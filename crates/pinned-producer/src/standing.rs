//! Where a target partition stands: its ends, its last visible record, and who wrote that.
//!
//! The target's log end is the checkpoint of a lane that has the partition to itself; this is how it is read.

use std::time::Duration;

use kafka_wire::{
    Client, Code, Error, Isolation, OffsetSpec, ProducerIdentity,
    records::{Batch, BatchHeader, Batches, Record, next_sequence},
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
        if let Some(tail) = tail(client, at, from, end).await? {
            return Ok(tail.last());
        }
        if from == start || back >= FAR {
            return Ok(None);
        }
        back *= 16;
    }
}

/// The end of a log, from its last batch with records on.
struct Tail {
    batch: Batch,
    writer: ProducerIdentity,
    /// The sequence number that follows, if there are any.
    next: Option<i32>,
}

/// What there is between two offsets.
async fn tail(
    client: &Client,
    at: &TopicPartition,
    mut from: Offset,
    end: Offset,
) -> Result<Option<Tail>, Error> {
    let mut tail: Option<Tail> = None;
    while from < end {
        let isolation = Isolation::ReadUncommitted;
        let fetched = client.fetch_raw(&at.topic, at.partition, from, FETCH, isolation).await?;
        let before = from;
        for batch in Batches::new(fetched.records).map_while(Result::ok) {
            from = from.max(batch.header.next_offset());
            if !batch.header.is_control() && batch.header.record_count > 0 {
                tail = Some(Tail::new(batch));
            } else if let Some(tail) = &mut tail {
                tail.goes_on(&batch.header);
            }
        }
        if from == before {
            break;
        }
    }
    Ok(tail)
}

impl Tail {
    fn new(batch: Batch) -> Self {
        let (writer, next) = numbers(&batch.header);
        Self { batch, writer, next }
    }

    /// Of the same producer there may be a batch that compaction has emptied, and kept for its numbers; or a marker of a later
    /// epoch, in which numbers begin anew.
    fn goes_on(&mut self, header: &BatchHeader) {
        let (writer, next) = numbers(header);
        if writer.id != self.writer.id || writer.epoch < self.writer.epoch {
            return;
        }
        match header.is_control() {
            false => self.next = next,
            true if writer.epoch > self.writer.epoch => self.next = self.next.map(|_| 0),
            true => {}
        }
        self.writer = writer;
    }

    fn last(&self) -> Option<Last> {
        let record = self.batch.records(UNPACKED).ok()?.map_while(Result::ok).last()?;
        let writer = self.next.filter(|_| self.writer.id >= 0).map(|next| (self.writer, next));
        Some(Last { offset: record.offset, digest: digest(&record), writer })
    }
}

/// Who wrote a batch, and the sequence number that follows; compaction keeps them.
fn numbers(header: &BatchHeader) -> (ProducerIdentity, Option<i32>) {
    let next = next_sequence(header.base_sequence, header.last_offset_delta + 1);
    let writer = ProducerIdentity { id: header.producer_id, epoch: header.producer_epoch };
    (writer, (header.base_sequence >= 0).then_some(next))
}

fn digest(record: &Record) -> Digest {
    let headers = record.headers.iter().map(|h| Header { name: &h.key, value: h.value.as_deref() });
    Digest::of_parts(record.timestamp, record.key.as_deref(), record.value.as_deref(), headers)
}

#[cfg(test)]
mod tests {
    use kafka_wire::records::{BatchBuilder, Compression, Stamp};

    use super::*;

    const ID: i64 = 7;

    /// A batch of as many records, by this epoch's sequence number.
    fn batch(id: i64, epoch: i16, sequence: i32, count: usize) -> Batch {
        let mut builder = BatchBuilder::new(0);
        (0..count).for_each(|_| builder.push(1, Some(b"k"), Some(b"v"), [].into_iter()));
        let stamp = Stamp { producer: ProducerIdentity { id, epoch }, sequence };
        let bytes = builder.finish(stamp, Compression::None, None);
        Batches::new(bytes).next().expect("one").expect("whole")
    }

    /// Who follows a batch of 3 records, 10 and on of epoch 1, if these headers are behind it.
    fn follows(behind: &[BatchHeader]) -> Option<(i16, i32)> {
        let mut tail = Tail::new(batch(ID, 1, 10, 3));
        behind.iter().for_each(|header| tail.goes_on(header));
        tail.last().expect("it has records").writer.map(|(writer, next)| (writer.epoch, next))
    }

    #[test]
    fn numbers_go_on_behind_all_that_the_producer_has_written() {
        let marker = |id, epoch| {
            let mut header = batch(id, epoch, -1, 1).header;
            header.attributes |= 0x30;
            header
        };
        let emptied =
            |epoch, sequence| BatchHeader { record_count: 0, ..batch(ID, epoch, sequence, 5).header };
        assert_eq!(follows(&[]), Some((1, 13)));
        assert_eq!(follows(&[marker(ID, 1)]), Some((1, 13)), "a marker of the same epoch moves no number");
        assert_eq!(follows(&[marker(ID, 2), marker(ID, 2)]), Some((2, 0)));
        assert_eq!(follows(&[marker(8, 2)]), Some((1, 13)), "somebody else's");
        assert_eq!(follows(&[emptied(1, 13)]), Some((1, 18)));
        assert_eq!(follows(&[marker(ID, 2), emptied(2, 0)]), Some((2, 5)));
        assert_eq!(follows(&[emptied(2, 0), marker(ID, 2)]), Some((2, 5)));
        assert_eq!(Tail::new(batch(-1, -1, -1, 1)).last().expect("a record").writer, None);
    }
}
