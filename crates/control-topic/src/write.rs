//! Writing to a partition: in order, each record once, acknowledged by all replicas in sync.

use std::{
    collections::VecDeque,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use kafka_wire::{
    Cause, Client, Code, Isolation, OffsetSpec, ProduceBatch, ProduceOptions, ProducerIdentity, Sent, To,
    records::{Stamp, next_sequence},
};
use mirror_types::Offset;
use offset_marks::control::ControlRecord;

use crate::{
    ControlTopic, Error, Right,
    encode::{batch, groups},
};

/// Bytes of a batch, at the most, unless one record alone is larger: below what any broker takes.
const BATCH: usize = 256 << 10;
/// How often a broker may say, in one call, that it does not know what was written before.
const RENEWALS: usize = 3;

impl ControlTopic {
    /// Writes to a partition, once; see [`SlotWriter::write`]. Each call takes a producer id of its own, which the
    /// broker remembers for a day: those who write again and again keep a [`ControlTopic::writer`].
    pub async fn write(&self, partition: i32, records: Vec<ControlRecord>) -> Result<Offset, Error> {
        self.writer(partition).write(records).await
    }
}

/// Writes to one partition, for as long as somebody owns the slot. A new owner takes a new one: what this one could
/// not write must not come behind what another owner wrote meanwhile.
#[derive(Debug)]
pub struct SlotWriter {
    client: Client,
    topic: Arc<str>,
    partition: i32,
    producer: Option<ProducerIdentity>,
    /// The producer id is the caller's, and no other will do.
    given: bool,
    /// That of the first record to be written next.
    sequence: i32,
    /// What is not acknowledged, a batch each. The first may be on the broker already, and is sent again under the
    /// same sequence number, which the broker knows.
    pending: VecDeque<Vec<ControlRecord>>,
    /// Whether the first may be on the broker already.
    sent: bool,
}

/// What to do about a batch that was not taken.
enum Failed {
    /// Nothing, but to try again while there is time.
    Passing(kafka_wire::Error),
    /// The broker does not know the producer id, or not the batch before.
    Forgotten(kafka_wire::Error),
    /// It will not be taken.
    Final(Error),
}

impl SlotWriter {
    pub(crate) fn new(
        client: Client,
        topic: Arc<str>,
        partition: i32,
        producer: Option<ProducerIdentity>,
        sequence: i32,
    ) -> Self {
        let given = producer.is_some();
        Self { client, topic, partition, producer, given, sequence, pending: VecDeque::new(), sent: false }
    }

    /// Writes the records, in their order, and gives the offset behind the last. Tries for as long as the client is
    /// patient.
    ///
    /// After an error that [may pass](Error::is_retriable), or if the call is dropped, some of them may have been
    /// written; the next call first writes the others. After any other error the others are given up.
    pub async fn write(&mut self, records: Vec<ControlRecord>) -> Result<Offset, Error> {
        let left = self.flush().await?;
        self.pending.extend(groups(records, BATCH));
        match self.flush().await?.or(left) {
            Some(end) => Ok(end),
            None => self.end().await,
        }
    }

    async fn flush(&mut self) -> Result<Option<Offset>, Error> {
        let (topic, partition) = (self.topic.clone(), self.partition);
        let leader = To::Leader(&topic, partition);
        let mut attempts = self.client.attempts();
        let (mut end, mut renewals) = (None, 0);
        while let Some(first) = self.pending.front() {
            let count = i32::try_from(first.len()).expect("a batch is small");
            let failed = match self.send().await {
                Ok(written) => {
                    end = written.map(|base| base + Offset::from(count));
                    self.sequence = next_sequence(self.sequence, count);
                    self.pending.pop_front();
                    self.sent = false;
                    attempts = self.client.attempts();
                    continue;
                }
                Err(failed) => failed,
            };
            match failed {
                Failed::Passing(error) => {
                    if !attempts.again(leader, &error).await {
                        return Err(Error::of(error, &topic, Right::Write));
                    }
                }
                Failed::Forgotten(_) if !self.given && renewals < RENEWALS => {
                    // If the batch was written after all, it will be there twice, and say the same.
                    renewals += 1;
                    self.renew();
                }
                Failed::Forgotten(error) => return Err(self.give_up(Error::of(error, &topic, Right::Write))),
                Failed::Final(error) => return Err(self.give_up(error)),
            }
        }
        Ok(end)
    }

    /// Sends the first batch. Gives its base offset, if the broker says it.
    async fn send(&mut self) -> Result<Option<Offset>, Failed> {
        let producer = match self.producer {
            Some(producer) => producer,
            None => {
                let producer = self.client.init_producer_id(None, Duration::from_secs(60)).await;
                *self.producer.insert(producer.map_err(|error| self.failed(error))?)
            }
        };
        let stamp = Stamp { producer, sequence: self.sequence };
        let records = batch(self.pending.front().expect("there is one to send"), stamp, now());
        let connection = self.client.connection(To::Leader(&self.topic, self.partition)).await;
        let connection = connection.map_err(|error| self.failed(error))?;
        let batch = ProduceBatch::new(self.topic.clone(), self.partition, records);
        let sent_before = std::mem::replace(&mut self.sent, true);
        let outcomes = connection.produce(&[batch], &ProduceOptions::default()).await;
        let outcome = outcomes.map_err(|error| {
            self.sent = sent_before || error.sent != Sent::NotSent;
            self.failed(error)
        })?;
        let outcome = outcome.into_iter().next();
        let doing: Arc<str> = format!("write to {}/{}", self.topic, self.partition).into();
        let broker = connection.address().clone();
        let Some(outcome) = outcome else {
            let cause = Cause::Protocol("the batch is not in the answer".into());
            return Err(self.failed(kafka_wire::Error { broker, doing, sent: Sent::MaybeSent, cause }));
        };
        let refused = match outcome {
            Ok(produced) => return Ok(Some(produced.base_offset).filter(|base| *base >= 0)),
            Err(refused) if refused.code == Code::DuplicateSequenceNumber => return Ok(None),
            Err(refused) => refused,
        };
        let code = match refused.code {
            // It is written, but too few have it: so it is with the next attempt, which asks for the same.
            Code::NotEnoughReplicasAfterAppend => Code::NotEnoughReplicas,
            code => {
                self.sent = sent_before || code == Code::RequestTimedOut;
                code
            }
        };
        let cause = Cause::Kafka { code, message: refused.message };
        Err(self.failed(kafka_wire::Error { broker, doing, sent: Sent::Answered, cause }))
    }

    fn failed(&self, error: kafka_wire::Error) -> Failed {
        match error.code() {
            Some(
                Code::OutOfOrderSequenceNumber | Code::UnknownProducerId | Code::InvalidProducerIdMapping,
            ) => Failed::Forgotten(error),
            Some(Code::InvalidProducerEpoch | Code::ProducerFenced) => Failed::Final(Error::Fenced {
                topic: self.topic.to_string(),
                partition: self.partition,
                cause: error,
            }),
            _ if error.is_retriable() => Failed::Passing(error),
            _ => Failed::Final(Error::of(error, &self.topic, Right::Write)),
        }
    }

    /// Gives up what is not written. Where an earlier attempt at it may have come through, the next batch must not
    /// have its sequence number, or it is taken for the same: so it gets another producer id or, where that can't be,
    /// is written behind it.
    fn give_up(&mut self, error: Error) -> Error {
        if !self.given {
            self.renew();
            self.pending.clear();
        } else if self.sent {
            self.pending.truncate(1);
        } else {
            self.pending.clear();
        }
        error
    }

    fn renew(&mut self) {
        (self.producer, self.sequence, self.sent) = (None, 0, false);
    }

    async fn end(&self) -> Result<Offset, Error> {
        let at = [(&*self.topic, self.partition)];
        let listed = self.client.list_offsets(&at, OffsetSpec::Latest, Isolation::ReadUncommitted).await;
        let listed = listed.into_iter().next().expect("one was asked for");
        Ok(listed.map_err(|error| Error::of(error, &self.topic, Right::Write))?.offset)
    }
}

pub(crate) fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
