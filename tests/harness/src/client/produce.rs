//! Writes given records to given partitions, with every delivery checked.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{DeliveryResult, Header, Message, OwnedHeaders};
use rdkafka::producer::{BaseRecord, Producer, ProducerContext, ThreadedProducer};
use rdkafka::{ClientConfig, ClientContext};

use super::config;
use crate::Props;

const FLUSH: Duration = Duration::from_secs(120);

/// A record to write.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TestRecord {
    /// Where to; never hashed.
    pub partition: i32,
    /// `None` is a null key, empty is an empty key.
    pub key: Option<Vec<u8>>,
    /// `None` is a tombstone.
    pub value: Option<Vec<u8>>,
    /// In order; names may repeat.
    pub headers: Vec<(String, Option<Vec<u8>>)>,
    /// Milliseconds; `None` is now. (librdkafka takes 0 for now, too.)
    pub timestamp: Option<i64>,
}

/// How a transaction around the records ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transaction {
    /// Committed: the records are visible.
    Commit,
    /// Aborted after all records are in the log.
    Abort,
}

/// How to write; the default is idempotent, uncompressed and without a transaction.
#[derive(Debug, Clone, Default)]
pub struct ProduceOptions {
    /// `gzip`, `snappy`, `lz4`, `zstd` or none.
    pub codec: Option<String>,
    /// In one transaction, if set.
    pub transaction: Option<Transaction>,
    /// More librdkafka properties, over all others.
    pub extra: Props,
}

/// Writes the records in their order and waits until all are acknowledged.
pub fn produce(props: &[(String, String)], topic: &str, records: &[TestRecord]) -> Result<()> {
    produce_with(props, topic, records, &ProduceOptions::default())
}

/// [`produce`] with options.
pub fn produce_with(
    props: &[(String, String)],
    topic: &str,
    records: &[TestRecord],
    options: &ProduceOptions,
) -> Result<()> {
    let mut config = config(props);
    config.set("enable.idempotence", "true").set("linger.ms", "5").set("message.max.bytes", "100000000");
    if let Some(codec) = &options.codec {
        config.set("compression.type", codec);
    }
    if options.transaction.is_some() {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let id = format!("kafka-harness-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        config.set("transactional.id", id);
    }
    for (key, value) in &options.extra {
        config.set(key, value);
    }
    let producer = producer(&config)?;
    if options.transaction.is_some() {
        producer.init_transactions(FLUSH).context("failed to init transactions")?;
        producer.begin_transaction().context("failed to begin a transaction")?;
    }
    for record in records {
        let headers = (!record.headers.is_empty()).then(|| {
            let empty = OwnedHeaders::new_with_capacity(record.headers.len());
            record
                .headers
                .iter()
                .fold(empty, |all, (key, value)| all.insert(Header { key, value: value.as_ref() }))
        });
        let mut message = BaseRecord::<[u8], [u8]>::to(topic).partition(record.partition);
        message.key = record.key.as_deref();
        message.payload = record.value.as_deref();
        message.timestamp = record.timestamp;
        message.headers = headers;
        send(&producer, message)?;
    }
    finish(&producer, records.len())?;
    match options.transaction {
        None => Ok(()),
        Some(Transaction::Commit) => producer.commit_transaction(FLUSH).context("failed to commit"),
        Some(Transaction::Abort) => producer.abort_transaction(FLUSH).context("failed to abort"),
    }
}

/// Counts deliveries and keeps the first failure.
#[derive(Debug, Default)]
pub(super) struct Reports {
    delivered: AtomicUsize,
    failure: Mutex<Option<(i32, KafkaError)>>,
}

impl ClientContext for Reports {}

impl ProducerContext for Reports {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        match result {
            Ok(_) => {
                self.delivered.fetch_add(1, Ordering::Relaxed);
            }
            Err((error, message)) => {
                let mut failure = self.failure.lock().expect("no panic while locked");
                failure.get_or_insert_with(|| (message.partition(), error.clone()));
            }
        }
    }
}

pub(super) fn producer(config: &ClientConfig) -> Result<ThreadedProducer<Reports>> {
    config.create_with_context(Reports::default()).context("failed to make a producer")
}

/// Queues a record, waiting while the queue is full.
pub(super) fn send(producer: &ThreadedProducer<Reports>, record: BaseRecord<'_, [u8], [u8]>) -> Result<()> {
    let mut record = record;
    loop {
        match producer.send(record) {
            Ok(()) => return Ok(()),
            Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), back)) => {
                record = back;
                std::thread::sleep(Duration::from_millis(2));
            }
            Err((error, record)) => {
                return Err(error).with_context(|| {
                    format!("failed to queue a record for partition {:?}", record.partition)
                });
            }
        }
    }
}

/// Waits for all deliveries, of which there must be `expected`.
pub(super) fn finish(producer: &ThreadedProducer<Reports>, expected: usize) -> Result<()> {
    let flushed = producer.flush(FLUSH);
    let reports = producer.context();
    // The reason of a failure is worth more than that there was one.
    if let Some((partition, error)) = reports.failure.lock().expect("no panic while locked").take() {
        return Err(error).with_context(|| format!("a record for partition {partition} was not delivered"));
    }
    flushed.context("failed to flush")?;
    // Flushed means sent and answered; the last reports may still be on their way to us.
    for _ in 0..1000 {
        if reports.delivered.load(Ordering::Relaxed) >= expected {
            return Ok(());
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    bail!("{} of {expected} records were acknowledged", reports.delivered.load(Ordering::Relaxed))
}
