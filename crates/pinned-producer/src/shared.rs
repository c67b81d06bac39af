//! A lane whose target partition others write too: its records, and what says where they lie, are written in the same
//! transaction, so that both are there or neither is.
//!
//! ```text
//! Routed ──► queue ──► a few batches ──► begin ─► produce ─► where they lie ─► produce that ─► commit ──► Acked
//! ```
//! A run begins with a new epoch of the lane's transactional id, which fences whoever wrote before and aborts what they
//! had open, and goes on at the position that the last committed transaction tells. Whatever is uncertain ends the run.

use std::{sync::Arc, time::Duration};

use kafka_wire::records::{BatchBuilder, Compression};
use mirror_types::{Lane, LaneEvent, Mark, Offset, Routed, Stop, TopicPartition};
use tokio::{
    sync::mpsc,
    time::{Instant, sleep_until},
};
use tracing::debug;

use crate::{
    Marks, Note, Opening, Takes,
    common::Common,
    drafts::{Draft, Drafts, Step},
    memory::Memory,
    refusal,
    transaction::{IN_FLIGHT, Transactions, Unwritten},
};

/// Bytes of a transaction, unless one batch is larger.
const TRANSACTION: usize = 4 << 20;
/// A transaction begins no sooner after the last one than this, unless so many bytes wait: each costs the target several
/// records of its own.
const PAUSE: Duration = Duration::from_millis(50);
const WORTH_IT: u64 = 256 << 10;
/// A position that moved without records is written down no sooner after the last transaction than this.
const IDLE: Duration = Duration::from_secs(1);

/// One lane's run.
pub(crate) struct SharedWriter {
    common: Arc<Common>,
    lane: Lane,
    marks: Arc<dyn Marks>,
    drafts: Drafts,
    memory: Memory,
    transactions: Transactions,
    pieces: mpsc::UnboundedReceiver<Routed>,
    /// Where the lane's last note went.
    control: Option<TopicPartition>,
    /// The target offset behind the last record of this lane.
    end: Offset,
    /// The position, if it has moved since it was last written down.
    unnoted: Option<Offset>,
    /// When the last transaction began.
    began: Instant,
}

impl SharedWriter {
    pub(crate) fn new(
        common: Arc<Common>,
        opening: Opening,
        takes: Takes,
        memory: Memory,
        transactions: Transactions,
        pieces: mpsc::UnboundedReceiver<Routed>,
    ) -> Self {
        let drafts = Drafts::new(&opening, common.options, common.refused, takes, memory.clone());
        Self {
            lane: opening.lane,
            marks: opening.marks,
            drafts,
            memory,
            transactions,
            pieces,
            control: None,
            end: opening.standing.end,
            unnoted: None,
            began: Instant::now() - IDLE,
            common,
        }
    }

    /// Runs until the pieces end and all of them are committed, or until the lane stops.
    pub(crate) async fn run(mut self) {
        let stop = match self.write().await {
            Ok(stop) => stop,
            Err(stop) => {
                self.transactions.abort().await;
                Some(stop)
            }
        };
        if let Some(stop) = stop {
            let event = LaneEvent::Stopped { lane: self.lane.id(), stop };
            let _ = self.common.events.send(event).await;
        }
    }

    /// An error may leave a transaction open.
    async fn write(&mut self) -> Result<Option<Stop>, Stop> {
        let mut closed = false;
        loop {
            while let Ok(piece) = self.pieces.try_recv() {
                self.drafts.add(piece);
            }
            let due = self.began + PAUSE;
            let worth_it = closed || self.drafts.waiting() >= WORTH_IT || Instant::now() >= due;
            if worth_it && !self.drafts.is_empty() {
                if !self.marks.may_write() {
                    return Err(refusal::not_ours(&self.lane));
                }
                let (drafts, stop) = self.gather().await;
                self.common.returning(&self.lane, self.drafts.take_returning());
                self.transact(drafts).await?;
                if stop.is_some() {
                    self.note_position().await?;
                    return Ok(stop);
                }
                continue;
            }
            if closed {
                self.note_position().await?;
                if self.control.is_some() {
                    self.transactions.seen(&self.lane.target, self.end).await;
                }
                return Ok(None);
            }
            tokio::select! {
                biased;
                piece = self.pieces.recv() => match piece {
                    Some(piece) => self.drafts.add(piece),
                    None => closed = true,
                },
                () = sleep_until(due), if !self.drafts.is_empty() => {}
                () = sleep_until(self.began + IDLE), if self.unnoted.is_some() => {
                    self.note_position().await?;
                }
            }
        }
    }

    /// What goes into the next transaction, and whether the lane stops behind it.
    async fn gather(&mut self) -> (Vec<Draft>, Option<Stop>) {
        let mut drafts: Vec<Draft> = Vec::new();
        let mut bytes = 0;
        let mut stamp = self.transactions.stamp(&self.lane.target);
        while drafts.len() < IN_FLIGHT && bytes < TRANSACTION {
            match self.drafts.step(stamp) {
                Step::Batch(draft) => {
                    bytes += draft.bytes.len();
                    stamp.sequence = stamp.behind(draft.count);
                    drafts.push(draft);
                }
                Step::Moved(draft) => self.moved(&mut drafts, draft).await,
                Step::Skipped(offset, refusal) => self.common.skipped(&self.lane, offset, refusal).await,
                Step::End(offset, refusal) => {
                    let draft = Draft::moved(&self.lane, offset, self.end);
                    self.moved(&mut drafts, draft).await;
                    self.common.count(&self.lane, &refusal);
                    return (drafts, Some(refusal.stop));
                }
                Step::Diverged(stop) => return (drafts, Some(stop)),
                Step::Nothing => break,
                Step::Fill(_) | Step::Declare(_) => unreachable!("records lie where there is room"),
            }
        }
        (drafts, None)
    }

    /// Only the position moves: with the last batch, or at once.
    async fn moved(&mut self, drafts: &mut [Draft], moved: Draft) {
        match drafts.last_mut() {
            Some(last) => {
                last.acked.next = last.acked.next.max(moved.acked.next);
                last.credits.extend(moved.credits);
            }
            None => {
                self.unnoted = Some(moved.acked.next);
                self.acknowledge(Draft::moved(&self.lane, moved.acked.next, self.end)).await;
                drop(moved.credits);
            }
        }
    }

    /// Writes batches, and where they lie, in one transaction.
    async fn transact(&mut self, mut drafts: Vec<Draft>) -> Result<(), Stop> {
        let Some(next) = drafts.last().map(|draft| draft.acked.next) else { return Ok(()) };
        self.began = Instant::now();
        let target = self.lane.target.clone();
        let partitions: Vec<_> = [Some(&target), self.control.as_ref()].into_iter().flatten().collect();
        let added = self.transactions.add(&partitions).await;
        added.map_err(|error| refusal::no_transaction(&self.lane, &error))?;
        let batches: Vec<_> = drafts.iter().map(|draft| (draft.bytes.clone(), draft.count)).collect();
        let bases = match self.transactions.write(&target, &batches).await {
            Ok(bases) => bases,
            Err(unwritten) => return Err(self.refused(&drafts, &unwritten)),
        };
        let mut marks: Vec<Mark> = Vec::new();
        for (draft, base) in drafts.iter_mut().zip(bases) {
            draft.lies_at(base);
            marks.extend(&draft.acked.marks);
            self.end = draft.acked.end;
        }
        self.note(&marks, next).await?;
        for draft in drafts {
            self.acknowledge(draft).await;
        }
        Ok(())
    }

    /// The position has moved without records: writes it down, in a transaction of its own.
    async fn note_position(&mut self) -> Result<(), Stop> {
        match self.unnoted {
            Some(next) => {
                self.began = Instant::now();
                self.note(&[], next).await
            }
            None => Ok(()),
        }
    }

    /// Writes where records lie, and commits.
    async fn note(&mut self, marks: &[Mark], next: Offset) -> Result<(), Stop> {
        let Note { topic, partition, records } = self.marks.within(marks, next);
        if !records.is_empty() {
            let control = TopicPartition::new(topic, partition);
            let added = self.transactions.add(&[&control]).await;
            added.map_err(|error| refusal::no_transaction(&self.lane, &error))?;
            let mut batch = BatchBuilder::new(0).in_transaction();
            for (key, value) in &records {
                batch.push(now_ms(), Some(key), value.as_deref(), [].into_iter());
            }
            let bytes = batch.finish(self.transactions.stamp(&control), Compression::None, None);
            let written = self.transactions.write(&control, &[(bytes.into(), records.len() as i32)]).await;
            written.map_err(|Unwritten { failure, .. }| refusal::no_note(&self.lane, &control, &failure))?;
            self.control = Some(control);
        }
        let committed = self.transactions.commit().await;
        committed.map_err(|error| refusal::no_transaction(&self.lane, &error))?;
        self.unnoted = None;
        Ok(())
    }

    /// What it means that a batch of a transaction was not taken.
    fn refused(&self, drafts: &[Draft], unwritten: &Unwritten) -> Stop {
        let Unwritten { batch, failure } = unwritten;
        let Draft { bytes, offsets, .. } = &drafts[*batch];
        let guilty = failure.guilty(offsets.len());
        for (index, words) in &guilty {
            let offset = offsets.get(*index).expect("guilty of this batch");
            self.memory.refuse(offset, refusal::of(&self.lane, offset, &failure.saying(words)));
        }
        let first = offsets.first().expect("a batch has records");
        let too_large = failure.is_too_large() && offsets.len() > 1;
        if too_large {
            self.memory.lower_batch_limit(bytes.len() / 2);
        }
        if too_large || !guilty.is_empty() {
            return refusal::read_again(&self.lane, first);
        }
        let refusal = refusal::in_transaction(&self.lane, first, failure);
        self.common.count(&self.lane, &refusal);
        refusal.stop
    }

    async fn acknowledge(&mut self, draft: Draft) {
        let Draft { acked, credits, .. } = draft;
        debug!(lane = %self.lane, next = acked.next, end = acked.end, records = acked.records, "committed");
        let _ = self.common.acks.send(acked).await;
        drop(credits);
    }
}

fn now_ms() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.map_or(0, |since| since.as_millis() as i64)
}
