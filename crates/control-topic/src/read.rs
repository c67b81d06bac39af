//! Reading a partition from its first record to where it ends at the call.

use std::time::{Duration, Instant};

use futures::{StreamExt, TryStreamExt, stream};
use kafka_wire::{
    Fetched, Isolation, OffsetSpec, Visible,
    records::{Batch, Batches},
};
use mirror_types::Offset;
use offset_marks::control::{ControlError, ControlState, Keep, decode};

use crate::{ControlTopic, Error, Right};

/// Bytes of one answer.
const FETCH: i32 = 2 << 20;
/// What a batch may be, decompressed; brokers take a megabyte unless they are told otherwise.
const BATCH_LIMIT: usize = 256 << 20;
/// Partitions that are read at the same time by `read_all`.
const AT_ONCE: usize = 8;
/// Between two looks for what is not readable yet.
const PAUSE: Duration = Duration::from_millis(50);

/// How much of a partition to read.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Scope {
    /// The end: the high watermark, or the last stable offset.
    end: Isolation,
    /// Which records.
    records: Isolation,
}

impl Scope {
    /// All that is committed, once nothing before the high watermark is open any more.
    const SETTLED: Self = Self { end: Isolation::ReadUncommitted, records: Isolation::ReadCommitted };
    /// All that is committed, up to the first transaction that is open now.
    const COMMITTED: Self = Self { end: Isolation::ReadCommitted, records: Isolation::ReadCommitted };
    /// All up to the high watermark.
    pub(crate) const ALL: Self =
        Self { end: Isolation::ReadUncommitted, records: Isolation::ReadUncommitted };
}

impl ControlTopic {
    /// What a partition says: all up to its high watermark at the call that is committed. For a slot's owner, who
    /// must know all that was written before. Waits for transactions that are open, as long as the client is patient.
    pub async fn read(&self, partition: i32, keep: Keep) -> Result<ControlState, Error> {
        self.read_within(partition, keep, Scope::SETTLED).await
    }

    /// What a partition says now, up to the first transaction that is open. For those who only look.
    pub async fn read_committed(&self, partition: i32, keep: Keep) -> Result<ControlState, Error> {
        self.read_within(partition, keep, Scope::COMMITTED).await
    }

    /// What a partition says, with what is in open and aborted transactions: to find out whose they are.
    pub async fn read_uncommitted(&self, partition: i32, keep: Keep) -> Result<ControlState, Error> {
        self.read_within(partition, keep, Scope::ALL).await
    }

    /// [`ControlTopic::read`] of every partition, in their order.
    pub async fn read_all(&self, keep: Keep) -> Result<Vec<ControlState>, Error> {
        self.read_all_within(keep, Scope::SETTLED).await
    }

    /// [`ControlTopic::read_committed`] of every partition, in their order.
    pub async fn read_all_committed(&self, keep: Keep) -> Result<Vec<ControlState>, Error> {
        self.read_all_within(keep, Scope::COMMITTED).await
    }

    async fn read_all_within(&self, keep: Keep, scope: Scope) -> Result<Vec<ControlState>, Error> {
        let reads = (0..self.partitions).map(|partition| self.read_within(partition, keep, scope));
        stream::iter(reads).buffered(AT_ONCE).try_collect().await
    }

    pub(crate) async fn read_within(
        &self,
        partition: i32,
        keep: Keep,
        scope: Scope,
    ) -> Result<ControlState, Error> {
        let from = self.start(partition).await?;
        self.read_from(partition, from, keep, scope).await
    }

    /// What was written to a partition from this offset on, and committed.
    pub async fn read_since(&self, partition: i32, from: Offset, keep: Keep) -> Result<ControlState, Error> {
        self.read_from(partition, from, keep, Scope::COMMITTED).await
    }

    async fn read_from(
        &self,
        partition: i32,
        from: Offset,
        keep: Keep,
        scope: Scope,
    ) -> Result<ControlState, Error> {
        let (mut position, mut state) = (from, ControlState::new(keep));
        self.batches(partition, &mut position, scope, &mut |batch, from| {
            self.records(partition, batch, from, |key, value| {
                state.take(decode(key, value)?);
                Ok(())
            })
        })
        .await?;
        Ok(state)
    }

    /// The batches of a partition that has no transactions, from this offset on and up to where it ends now; and moves on
    /// behind them. They are given with the offset from which on their records are meant.
    pub async fn read_on(
        &self,
        partition: i32,
        position: &mut Offset,
        each: &mut (dyn FnMut(&Batch, Offset) -> Result<(), Error> + Send),
    ) -> Result<(), Error> {
        self.batches(partition, position, Scope::ALL, each).await
    }

    /// Reads the records of a batch from this offset on.
    pub fn records(
        &self,
        partition: i32,
        batch: &Batch,
        from: Offset,
        mut each: impl FnMut(Option<&[u8]>, Option<&[u8]>) -> Result<(), ControlError>,
    ) -> Result<(), Error> {
        let log = |error| Error::Log { topic: self.topic.to_string(), partition, error };
        for record in batch.records(BATCH_LIMIT).map_err(log)? {
            let record = record.map_err(log)?;
            // The first batch may begin before what was asked for.
            if record.offset < from {
                continue;
            }
            let (topic, offset) = (&self.topic, record.offset);
            let wrong = |error| Error::Record { topic: topic.to_string(), partition, offset, error };
            each(record.key.as_deref(), record.value.as_deref()).map_err(wrong)?;
        }
        Ok(())
    }

    async fn batches(
        &self,
        partition: i32,
        position: &mut Offset,
        scope: Scope,
        each: &mut (dyn FnMut(&Batch, Offset) -> Result<(), Error> + Send),
    ) -> Result<(), Error> {
        let end = self.offset(partition, OffsetSpec::Latest, scope.end).await?;
        let (mut max_bytes, mut moved) = (FETCH, Instant::now());
        while *position < end {
            let fetched =
                self.client.fetch_raw(&self.topic, partition, *position, max_bytes, scope.records).await;
            let fetched = fetched.map_err(|error| self.error(error, Right::Read))?;
            let stable = fetched.last_stable_offset;
            let before = *position;
            max_bytes = self.take(partition, fetched, position, each)?.unwrap_or(FETCH);
            if *position > before {
                moved = Instant::now();
            } else if moved.elapsed() < self.client.patience() {
                tokio::time::sleep(PAUSE).await;
            } else {
                let reason = if stable < end {
                    format!("a transaction that begins at {stable} is still open")
                } else {
                    format!("the broker gives nothing from {position} on")
                };
                return Err(Error::Unsettled { topic: self.topic.to_string(), partition, end, reason });
            }
        }
        Ok(())
    }

    /// Where a partition begins.
    pub async fn start(&self, partition: i32) -> Result<Offset, Error> {
        self.offset(partition, OffsetSpec::Earliest, Isolation::ReadUncommitted).await
    }

    /// Where a partition ends now.
    pub async fn end(&self, partition: i32) -> Result<Offset, Error> {
        self.offset(partition, OffsetSpec::Latest, Isolation::ReadUncommitted).await
    }

    pub(crate) async fn offset(
        &self,
        partition: i32,
        spec: OffsetSpec,
        isolation: Isolation,
    ) -> Result<Offset, Error> {
        let listed = self.client.list_offsets(&[(&*self.topic, partition)], spec, isolation).await;
        let listed = listed.into_iter().next().expect("one was asked for");
        Ok(listed.map_err(|error| self.error(error, Right::Read))?.offset)
    }

    /// Takes the whole batches of an answer. Gives how many bytes to ask for where there is not even one.
    fn take(
        &self,
        partition: i32,
        fetched: Fetched,
        position: &mut Offset,
        each: &mut (dyn FnMut(&Batch, Offset) -> Result<(), Error> + Send),
    ) -> Result<Option<i32>, Error> {
        let log = |error| Error::Log { topic: self.topic.to_string(), partition, error };
        let mut visible = Visible::new(fetched.aborted);
        let mut batches = Batches::new(fetched.records);
        let needed = batches.next_length().and_then(|length| i32::try_from(length).ok());
        let before = *position;
        for batch in &mut batches {
            let batch = batch.map_err(log)?;
            batch.check_crc().map_err(log)?;
            if visible.sees(&batch).map_err(log)? {
                each(&batch, before)?;
            }
            *position = batch.header.next_offset().max(*position);
        }
        Ok(if *position > before { None } else { needed })
    }
}
