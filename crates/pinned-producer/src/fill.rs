//! Filling gaps with control records, which no consumer sees.
//!
//! `WriteTxnMarkers` writes one a marker, for any producer and with no transaction open; it needs ClusterAction on
//! the target's cluster. Without that right, empty transactions write one each, which takes far longer.
//!
//! A fill can't be sent again as it is, as a batch can: what is not certain is looked up, once nothing should be on its
//! way any more. Markers carry the lane's producer id and a coordinator epoch that grows with time, from run to run and
//! with each order that was not answered: once one is written, the broker refuses all with a smaller epoch, so that an
//! older order can't be carried out late.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicI32, Ordering::Relaxed},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use kafka_wire::{Client, Code, Error, ProducerIdentity, Purpose, Sent, TxnMarker};
use mirror_types::{Offset, TopicPartition};
use tracing::{debug, info};

use crate::{
    Marks,
    batch_bytes::BatchBytes,
    markers::{MARKERS, Markers},
    standing::settled_end,
};

/// What an unanswered order may still bring about, it brings about within this time.
const SETTLED: Duration = Duration::from_secs(3);
const PAUSE: Duration = Duration::from_millis(200);
const TRANSACTION: Duration = Duration::from_secs(60);
/// Coordinator epochs count quarters of a second from here, 2025 (32 bits last until 2042).
const EPOCHS_FROM: u64 = 1_735_689_600;
/// Where another clock was ahead: an hour.
const EPOCHS_AHEAD: i32 = 4 * 3600;

/// Fills gaps, by the way that the target allows.
pub(crate) struct Filler {
    client: Client,
    markers: Markers,
    /// The transactional id of a lane's empty transactions begins with this.
    name: String,
    /// The coordinator epoch of the next markers.
    epoch: AtomicI32,
    /// ClusterAction was refused: by empty transactions, from now on.
    no_markers: AtomicBool,
}

/// Why a gap is not filled.
pub(crate) enum Unfilled {
    /// The target's log is not what it was left as: its end is here.
    Moved(Offset),
    /// The partition is not this instance's to write any more.
    NotOurs,
    /// Neither way is allowed, or the target does not know the partition.
    Refused(Error),
}

impl Filler {
    pub(crate) fn new(client: Client, link: &str) -> Self {
        let client = client.for_purpose(Purpose::new("fill"));
        Self {
            markers: Markers::new(client.clone()),
            client,
            name: format!("isomirror.{link}"),
            epoch: AtomicI32::new(epoch_now()),
            no_markers: AtomicBool::new(false),
        }
    }

    /// A lane begins: whoever had it before must not have a coordinator epoch ahead of its own.
    pub(crate) fn lane_begins(&self) {
        self.epoch.fetch_max(epoch_now(), Relaxed);
    }

    /// Fills a partition whose log ends at `from`, until it ends at `to`. After an order of which nothing is known, what
    /// it has done is looked up first.
    pub(crate) async fn fill(
        &self,
        producer: ProducerIdentity,
        marks: &Arc<dyn Marks>,
        at: &TopicPartition,
        (from, to): (Offset, Offset),
        unknown: Option<Error>,
    ) -> Result<(), Unfilled> {
        let (mut end, mut failed) = (from, unknown);
        loop {
            match failed.take() {
                None => {}
                // Nothing was written: somebody with a clock ahead of ours has been here.
                Some(error) if error.code() == Some(Code::TransactionCoordinatorFenced) => {
                    debug!(target = %at, "a smaller coordinator epoch than the last");
                    self.epoch.fetch_add(EPOCHS_AHEAD, Relaxed);
                }
                Some(error) if error.code() == Some(Code::ClusterAuthorizationFailed) => {
                    info!(
                        "the target does not let us write markers (ClusterAction): filling by empty transactions"
                    );
                    self.no_markers.store(true, Relaxed);
                }
                Some(error) => {
                    end = self.look(at, &error).await?;
                    if end < from || end > to {
                        return Err(Unfilled::Moved(end));
                    }
                }
            }
            if end >= to {
                return Ok(());
            }
            if !self.writes_markers() {
                match self.by_transactions(marks, at, end, to).await {
                    Err(Unfilled::Refused(error)) if passes(&error) => {
                        debug!(target = %at, %error, "an empty transaction failed");
                        tokio::time::sleep(PAUSE).await;
                        continue;
                    }
                    done => return done,
                }
            }
            let count = (to - end).min(MARKERS as Offset);
            match self.order(None, producer, marks, at, count).await? {
                Ok(()) => end += count,
                Err(error) => failed = Some(error),
            }
        }
    }

    /// One order: `count` control records, and the batch ahead of them, if there is one. If that fails, the batch is to be
    /// sent again as it is, and the rest to be filled with this error known.
    pub(crate) async fn order(
        &self,
        batch: Option<BatchBytes>,
        producer: ProducerIdentity,
        marks: &Arc<dyn Marks>,
        at: &TopicPartition,
        count: Offset,
    ) -> Result<Result<(), Error>, Unfilled> {
        let marker = TxnMarker {
            producer,
            coordinator_epoch: self.epoch.load(Relaxed),
            commit: true,
            topic: at.topic.clone(),
            partition: at.partition,
        };
        self.markers.write(batch, marker, count as usize, marks).await.ok_or(Unfilled::NotOurs)
    }

    /// Whether it fills by markers, as far as is known.
    pub(crate) fn writes_markers(&self) -> bool {
        !self.no_markers.load(Relaxed)
    }

    /// Whether so many offsets can be filled behind a batch in one order.
    pub(crate) fn can_fill_behind(&self, count: Offset) -> bool {
        count <= MARKERS as Offset && self.writes_markers()
    }

    /// Whether the log ends there, and not elsewhere.
    pub(crate) async fn ends_at(&self, at: &TopicPartition, expected: Offset) -> Result<(), Unfilled> {
        loop {
            match self.client.log_end(&at.topic, at.partition).await {
                Ok(end) if end.offset == expected => return Ok(()),
                Ok(end) => return Err(Unfilled::Moved(end.offset)),
                Err(error) if passes(&error) => tokio::time::sleep(PAUSE).await,
                Err(error) => return Err(Unfilled::Refused(error)),
            }
        }
    }

    /// Where the log ends after an order that failed.
    async fn look(&self, at: &TopicPartition, error: &Error) -> Result<Offset, Unfilled> {
        debug!(target = %at, %error, "a fill failed");
        self.epoch.fetch_add(1, Relaxed);
        let certain = error.sent == Sent::NotSent;
        if !certain && !passes(error) {
            return Err(Unfilled::Refused(error.clone()));
        }
        self.client.forget(&at.topic);
        let mut waits = !certain;
        loop {
            // A broker that was silent may carry out the order when it is back: the time counts from its first answer.
            let end = match waits {
                true => self.client.log_end(&at.topic, at.partition).await.map(|end| end.offset),
                false => settled_end(&self.client, at).await,
            };
            match end {
                Ok(_) if waits => {
                    tokio::time::sleep(SETTLED).await;
                    waits = false;
                }
                Ok(end) => return Ok(end),
                Err(error) if passes(&error) => tokio::time::sleep(PAUSE).await,
                Err(error) => return Err(Unfilled::Refused(error)),
            }
        }
    }

    /// One control record a transaction. The coordinator writes it soon after the transaction has ended.
    async fn by_transactions(
        &self,
        marks: &Arc<dyn Marks>,
        at: &TopicPartition,
        from: Offset,
        to: Offset,
    ) -> Result<(), Unfilled> {
        let id = format!("{}./{}/{}", self.name, at.topic, at.partition);
        let refused = Unfilled::Refused;
        let producer = self.client.init_producer_id(Some(&id), TRANSACTION).await.map_err(refused)?;
        let mut end = self.client.log_end(&at.topic, at.partition).await.map_err(refused)?.offset;
        if end < from || end > to {
            return Err(Unfilled::Moved(end));
        }
        while end < to {
            if !marks.may_write() {
                return Err(Unfilled::NotOurs);
            }
            let partition = [(&*at.topic, at.partition)];
            self.client.add_partitions_to_txn(&id, producer, &partition).await.map_err(refused)?;
            self.client.end_txn(&id, producer, true).await.map_err(refused)?;
            let wanted = end + 1;
            while end < wanted {
                end = self.client.log_end(&at.topic, at.partition).await.map_err(refused)?.offset;
                if end < wanted {
                    tokio::time::sleep(Duration::from_millis(2)).await;
                }
            }
            // A coordinator that took over may have written a transaction's end again.
            if end > to {
                return Err(Unfilled::Moved(end));
            }
        }
        Ok(())
    }
}

/// Whether it may go better later, with nothing changed by anyone.
fn passes(error: &Error) -> bool {
    match error.code() {
        Some(Code::UnknownTopicOrPartition) => false,
        Some(Code::NotEnoughReplicasAfterAppend) => true,
        _ => error.is_retriable() || error.is_unreachable(),
    }
}

fn epoch_now() -> i32 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64);
    i32::try_from(now.saturating_sub(EPOCHS_FROM * 1000) / 250).unwrap_or(i32::MAX)
}
