//! The transactions of one transactional id, one after the other: partitions are added, batches written, and all of it
//! is committed or aborted at once.
//!
//! What passes is tried again within the transaction: a batch goes out as it is, so that it is written once whatever
//! became of its first attempt (KIP-98), and the other orders may be given twice.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::{Duration, Instant},
};

use kafka_wire::{
    Client, Code, Error, Isolation, OffsetSpec, ProduceBatch, ProduceOptions, ProducerIdentity, Purpose, To,
    records::Stamp,
};
use mirror_types::{Lane, Offset, TopicPartition};
use tracing::debug;

use crate::{
    batch_bytes::BatchBytes,
    broker::Failure,
    common::{GONE, Trouble},
};

/// Batches of a partition that a broker can tell to be repetitions.
pub(crate) const IN_FLIGHT: usize = 5;
/// How long one step of a transaction is tried.
const PATIENCE: Duration = Duration::from_secs(20);
/// How long the coordinator is given to abort one that failed; it does so by itself when the id is begun anew.
const FAREWELL: Duration = Duration::from_secs(3);
/// Between the first two looks whether the last transaction's end is written everywhere, and between later ones.
const ENDING: Duration = Duration::from_millis(1);
const LONGEST: Duration = Duration::from_millis(20);
const WRITE: Purpose = Purpose::new("produce in transactions");
const ORDER: Purpose = Purpose::new("transactions");

/// The transactions of a lane.
pub(crate) struct Transactions {
    lane: Lane,
    client: Client,
    id: Arc<str>,
    producer: ProducerIdentity,
    options: ProduceOptions,
    /// The sequence number of the next record in each partition.
    sequences: BTreeMap<TopicPartition, i32>,
    /// The partitions of the open transaction.
    open: BTreeSet<TopicPartition>,
    /// One of its batches may be on its way still.
    unanswered: bool,
}

/// A batch of several that has no offset, and why.
pub(crate) struct Unwritten {
    pub(crate) batch: usize,
    pub(crate) failure: Failure,
}

impl Transactions {
    /// Of an id that has been begun anew as this producer.
    pub(crate) fn new(
        lane: Lane,
        client: &Client,
        id: &str,
        producer: ProducerIdentity,
        replication: Duration,
    ) -> Self {
        let id: Arc<str> = id.into();
        let options = ProduceOptions {
            timeout: replication,
            transactional_id: Some(id.clone()),
            ..ProduceOptions::default()
        };
        Self {
            lane,
            client: client.clone(),
            id,
            producer,
            options,
            sequences: BTreeMap::new(),
            open: BTreeSet::new(),
            unanswered: false,
        }
    }

    /// How the next batch for a partition is to be stamped.
    pub(crate) fn stamp(&self, at: &TopicPartition) -> Stamp {
        Stamp { producer: self.producer, sequence: self.sequences.get(at).copied().unwrap_or(0) }
    }

    /// Makes partitions part of the transaction, which begins with the first.
    pub(crate) async fn add(&mut self, partitions: &[&TopicPartition]) -> Result<(), Error> {
        let new: Vec<_> = partitions.iter().filter(|at| !self.open.contains(**at)).collect();
        if new.is_empty() {
            return Ok(());
        }
        let named: Vec<(&str, i32)> = new.iter().map(|at| (&*at.topic, at.partition)).collect();
        // Even where it fails, it may be open.
        self.open.extend(new.iter().map(|at| TopicPartition::clone(at)));
        let (started, mut pause) = (Instant::now(), ENDING);
        loop {
            let busy = self.client.for_purpose(ORDER).with_patience(Duration::ZERO);
            match busy.add_partitions_to_txn(&self.id, self.producer, &named).await {
                // The last transaction ends in a moment.
                Err(error)
                    if error.code() == Some(Code::ConcurrentTransactions) && started.elapsed() < PATIENCE =>
                {
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(LONGEST);
                }
                Err(error) if error.is_retriable() => break,
                done => return done,
            }
        }
        let patient = self.client.for_purpose(ORDER).with_patience(PATIENCE);
        patient.add_partitions_to_txn(&self.id, self.producer, &named).await
    }

    /// Writes batches to a partition of the transaction, in order and [`IN_FLIGHT`] at the most, which hold so many
    /// records each and are stamped one behind the other. Gives their base offsets.
    pub(crate) async fn write(
        &mut self,
        at: &TopicPartition,
        batches: &[(BatchBytes, i32)],
    ) -> Result<Vec<Offset>, Unwritten> {
        let mut trouble: Option<Trouble> = None;
        let mut answers: Vec<Option<Offset>> = vec![None; batches.len()];
        while answers.contains(&None) {
            let Some((batch, failure)) = self.attempt(at, batches, &mut answers).await else { continue };
            let trouble = trouble.get_or_insert_with(Trouble::new);
            let patience = if failure.is_unknown_topic() { GONE } else { PATIENCE };
            if !failure.passes() || trouble.lasting() > patience {
                return Err(Unwritten { batch, failure });
            }
            let pause = trouble.goes_on(&self.lane, &failure);
            debug!(lane = %self.lane, partition = %at, %failure, ?pause, "sent again");
            tokio::time::sleep(pause).await;
            self.client.forget(&at.topic);
        }
        if let Some(trouble) = trouble {
            trouble.is_over(&self.lane);
        }
        let mut stamp = self.stamp(at);
        for (_, count) in batches {
            stamp.sequence = stamp.behind(*count);
        }
        self.sequences.insert(at.clone(), stamp.sequence);
        Ok(answers.into_iter().flatten().collect())
    }

    /// Sends what has no offset yet; but the first batch alone, since until it has that, a broker takes any of this
    /// producer's for the first. Gives the first of those sent that has none still, and why.
    async fn attempt(
        &mut self,
        at: &TopicPartition,
        batches: &[(BatchBytes, i32)],
        answers: &mut [Option<Offset>],
    ) -> Option<(usize, Failure)> {
        let first = answers.iter().position(Option::is_none)?;
        let client = self.client.for_purpose(WRITE);
        let connection = match client.connection(To::Leader(&at.topic, at.partition)).await {
            Ok(connection) => connection,
            Err(error) => return Some((first, Failure::NoAnswer(error.into()))),
        };
        let known = first > 0 || self.sequences.contains_key(at);
        let missing = (first..batches.len()).filter(|batch| answers[*batch].is_none());
        let sent: Vec<_> = missing
            .take(if known { IN_FLIGHT } else { 1 })
            .map(|batch| {
                let records = batches[batch].0.chunks();
                let request = ProduceBatch { topic: at.topic.clone(), partition: at.partition, records };
                (batch, connection.produce(&[request], &self.options))
            })
            .collect();
        let mut failed = None;
        for (batch, answer) in sent {
            let failure = match answer.await.map(|outcomes| outcomes.into_iter().next()) {
                Ok(Some(Ok(produced))) => {
                    answers[batch] = Some(produced.base_offset);
                    continue;
                }
                Ok(Some(Err(refused))) => Failure::Refused(refused.into()),
                Ok(None) => Failure::Missing,
                Err(error) => Failure::NoAnswer(error.into()),
            };
            self.unanswered |= failure.may_arrive();
            failed.get_or_insert((batch, failure));
        }
        failed
    }

    /// Commits; an error leaves open whether it is committed.
    pub(crate) async fn commit(&mut self) -> Result<(), Error> {
        if self.open.is_empty() {
            return Ok(());
        }
        let client = self.client.for_purpose(ORDER).with_patience(PATIENCE);
        client.end_txn(&self.id, self.producer, true).await?;
        self.open.clear();
        self.unanswered = false;
        Ok(())
    }

    /// Waits until what was committed before `end` can be read: a transaction's end is written a moment after it is
    /// answered. Somebody else's transaction that is open there is not waited for for long.
    pub(crate) async fn seen(&self, at: &TopicPartition, end: Offset) {
        let client = self.client.for_purpose(ORDER).with_patience(PATIENCE);
        let asked = [(&*at.topic, at.partition)];
        let started = Instant::now();
        while started.elapsed() < PATIENCE {
            let listed = client.list_offsets(&asked, OffsetSpec::Latest, Isolation::ReadCommitted).await;
            if listed.into_iter().all(|stable| stable.is_ok_and(|stable| stable.offset >= end)) {
                break;
            }
            tokio::time::sleep(LONGEST).await;
        }
    }

    /// Aborts what is open, if that is possible soon, so that nobody who reads behind it has to wait. Not where a batch was
    /// not answered: it may arrive after the end, and under the same epoch brokers before 3.6 would take it for the first of
    /// another transaction (KIP-890). Then whoever begins the id anew ends it, under another epoch.
    pub(crate) async fn abort(&mut self) {
        if !self.open.is_empty() && !self.unanswered {
            let client = self.client.for_purpose(ORDER).with_patience(FAREWELL);
            if let Err(error) = client.end_txn(&self.id, self.producer, false).await {
                debug!(lane = %self.lane, %error, "its transaction is not aborted");
            }
        }
        self.open.clear();
    }
}
