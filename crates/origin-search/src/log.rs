//! A partition, read forwards or backwards until a record is found.

use std::time::{Duration, Instant};

use kafka_wire::{
    Client, Code, Isolation, OffsetSpec, Visible,
    records::{BatchError, Batches, Record},
};
use mirror_types::{Offset, TopicPartition};

/// Bytes of one answer.
const FETCH: i32 = 1 << 20;
/// What a batch may be, decompressed; brokers take a megabyte unless they are told otherwise.
const BATCH_LIMIT: usize = 256 << 20;
/// Offsets that are read at once on the way back, at first; then twice as many each time, up to a limit.
pub(crate) const BACK: Offset = 500;
pub(crate) const MOST_BACK: Offset = 64_000;
/// Between two looks for what is not readable yet.
const PAUSE: Duration = Duration::from_millis(50);

/// A record, as far as it matters here.
pub(crate) type Found = Record;

/// Why a partition can't be searched.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    /// The broker does not give its records.
    #[error("{0}: {1}")]
    Kafka(TopicPartition, kafka_wire::Error),
    /// They are damaged.
    #[error("{0}: {1}")]
    Records(TopicPartition, String),
    /// There is nothing to be had for now.
    #[error("{0}: the broker gives nothing from offset {1} on")]
    Nothing(TopicPartition, Offset),
}

pub(crate) struct Log {
    client: Client,
    at: TopicPartition,
    isolation: Isolation,
}

impl Log {
    pub(crate) fn new(client: &Client, at: TopicPartition, isolation: Isolation) -> Self {
        Self { client: client.clone(), at, isolation }
    }

    /// Where it begins, and where that ends which can be read now.
    pub(crate) async fn bounds(&self) -> Result<(Offset, Offset), Error> {
        let offset = async |spec, isolation| {
            let asked = [(&*self.at.topic, self.at.partition)];
            let listed = self.client.list_offsets(&asked, spec, isolation).await.remove(0);
            listed.map(|listed| listed.offset).map_err(|error| Error::Kafka(self.at.clone(), error))
        };
        let from = offset(OffsetSpec::Earliest, Isolation::ReadUncommitted).await?;
        Ok((from, offset(OffsetSpec::Latest, self.isolation).await?))
    }

    /// The first record from an offset on, and before another, or before the end, that is like this.
    pub(crate) async fn first(
        &self,
        from: Offset,
        to: Option<Offset>,
        is_it: impl Fn(&Found) -> bool,
    ) -> Result<Option<Found>, Error> {
        let mut first = None;
        self.each(from, to, |record| {
            let found = is_it(&record);
            if found {
                first = Some(record);
            }
            !found
        })
        .await?;
        Ok(first)
    }

    /// What is made of the records between two offsets, in order.
    pub(crate) async fn all<T>(
        &self,
        from: Offset,
        to: Offset,
        of: impl Fn(&Found) -> Option<T>,
    ) -> Result<Vec<T>, Error> {
        let mut all = Vec::new();
        self.each(from, Some(to), |record| {
            all.extend(of(&record));
            true
        })
        .await?;
        Ok(all)
    }

    /// The last record before an offset, and not before another, that is like this.
    pub(crate) async fn last(
        &self,
        from: Offset,
        before: Offset,
        is_it: impl Fn(&Found) -> bool,
    ) -> Result<Option<Found>, Error> {
        let (low, end) = self.bounds().await?;
        let low = from.max(low);
        let (mut to, mut back) = (before.min(end), BACK);
        while to > low {
            let from = (to - back).max(low);
            let mut last = None;
            self.each(from, Some(to), |record| {
                if is_it(&record) {
                    last = Some(record);
                }
                true
            })
            .await?;
            if last.is_some() {
                return Ok(last);
            }
            (to, back) = (from, (back * 2).min(MOST_BACK));
        }
        Ok(None)
    }

    /// Gives each record, in order, until that says false.
    async fn each(
        &self,
        from: Offset,
        to: Option<Offset>,
        mut each: impl FnMut(Found) -> bool,
    ) -> Result<(), Error> {
        let (low, end) = self.bounds().await?;
        let (mut position, to) = (from.max(low), to.unwrap_or(end).min(end));
        let (mut max_bytes, mut since) = (FETCH, Instant::now());
        while position < to {
            let (topic, partition) = (&*self.at.topic, self.at.partition);
            let fetched = self.client.fetch_raw(topic, partition, position, max_bytes, self.isolation).await;
            let fetched = match fetched {
                // Deleted meanwhile.
                Err(error) if error.code() == Some(Code::OffsetOutOfRange) => {
                    position = self.bounds().await?.0.max(position + 1);
                    continue;
                }
                fetched => fetched.map_err(|error| Error::Kafka(self.at.clone(), error))?,
            };
            let damaged = |error: BatchError| Error::Records(self.at.clone(), error.to_string());
            let mut visible = Visible::new(fetched.aborted);
            let mut batches = Batches::new(fetched.records);
            let needed = batches.next_length().and_then(|length| i32::try_from(length).ok());
            let before = position;
            for batch in &mut batches {
                let batch = batch.map_err(damaged)?;
                batch.check_crc().map_err(damaged)?;
                if visible.sees(&batch).map_err(damaged)? && batch.header.next_offset() > position {
                    for record in batch.records(BATCH_LIMIT).map_err(damaged)? {
                        let record = record.map_err(damaged)?;
                        if (position..to).contains(&record.offset) && !each(record) {
                            return Ok(());
                        }
                    }
                }
                position = position.max(batch.header.next_offset());
                if position >= to {
                    return Ok(());
                }
            }
            match needed {
                _ if position > before => since = Instant::now(),
                Some(needed) if needed > max_bytes => max_bytes = needed,
                _ if since.elapsed() < self.client.patience() => tokio::time::sleep(PAUSE).await,
                _ => return Err(Error::Nothing(self.at.clone(), position)),
            }
        }
        Ok(())
    }
}
