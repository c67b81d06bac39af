//! The source's writers and its consumer groups.

use std::{collections::HashSet, ops::Range, time::Duration};

use anyhow::{Context, Result, ensure};
use kafka_harness::{
    Cluster,
    client::{self, value_number},
};
use rdkafka::{
    Message, Offset, TopicPartitionList,
    consumer::{BaseConsumer, CommitMode, Consumer},
    producer::{BaseProducer, BaseRecord, Producer},
};

use super::{PARTITIONS, PATIENCE, Resume, TOPIC};

const LONG: Duration = Duration::from_secs(60);

/// Numbers that look random (SplitMix64), the same each time.
pub struct Dice(u64);

impl Dice {
    /// Those of a seed.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// One of the range.
    pub fn within(&mut self, range: Range<u64>) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        range.start + (z ^ (z >> 31)) % (range.end - range.start)
    }
}

/// Writes in transactions; each record's value is its number.
pub struct Writer {
    producer: BaseProducer,
    next: u64,
    /// How many records are committed.
    pub committed: u64,
}

impl Writer {
    /// A transactional producer.
    pub fn new(source: &Cluster) -> Result<Self> {
        let mut config = client::config(&source.props());
        config.set("transactional.id", TOPIC).set("linger.ms", "0");
        let producer: BaseProducer = config.create().context("a transactional producer")?;
        producer.init_transactions(LONG)?;
        Ok(Self { producer, next: 0, committed: 0 })
    }

    /// So many transactions of 1 to 50 records; 30 % are aborted.
    pub fn write(&mut self, transactions: u64, dice: &mut Dice) -> Result<()> {
        for _ in 0..transactions {
            self.producer.begin_transaction()?;
            let records = dice.within(1..51);
            for _ in 0..records {
                let (value, partition) =
                    (format!("{:016x}", self.next), dice.within(0..PARTITIONS as u64) as i32);
                let record = BaseRecord::<(), str>::to(TOPIC).partition(partition).payload(&value);
                self.producer.send(record).map_err(|(error, _)| error)?;
                self.next += 1;
            }
            // Aborted, too, only when the records are in the log.
            self.producer.flush(LONG)?;
            if dice.within(0..100) < 30 {
                self.producer.abort_transaction(LONG)?;
            } else {
                self.producer.commit_transaction(LONG)?;
                self.committed += records;
            }
        }
        Ok(())
    }
}

/// A consumer group, and what it has read.
pub struct Group {
    /// Its name, on both sides.
    pub name: &'static str,
    /// The numbers of the records before its offsets.
    pub processed: HashSet<u64>,
}

impl Group {
    /// One that has read nothing yet.
    pub fn new(name: &'static str) -> Self {
        Self { name, processed: HashSet::new() }
    }

    /// Goes on from what it has committed, reads so many records, commits, and leaves.
    pub fn read(&mut self, source: &Cluster, records: u64) -> Result<()> {
        let consumer = self.consumer(source)?;
        consumer.subscribe(&[TOPIC])?;
        let begun = std::time::Instant::now();
        for _ in 0..records {
            let message = loop {
                ensure!(begun.elapsed() < PATIENCE, "{} does not get to read {records} records", self.name);
                if let Some(message) = consumer.poll(Duration::from_millis(200)) {
                    break message?;
                }
            };
            let number = message.payload().and_then(value_number).context("a numbered record")?;
            ensure!(self.processed.insert(number), "{} reads record {number} again on the source", self.name);
        }
        consumer.commit_consumer_state(CommitMode::Sync).context("failed to commit")
    }

    /// What is committed for it.
    pub fn committed(&self, cluster: &Cluster, topic: &str) -> Result<Resume> {
        let mut partitions = TopicPartitionList::new();
        partitions.add_partition_range(topic, 0, PARTITIONS - 1);
        let committed = self.consumer(cluster)?.committed_offsets(partitions, LONG)?;
        let offset = |offset| if let Offset::Offset(offset) = offset { Some(offset) } else { None };
        Ok(committed.elements().iter().map(|at| (at.partition(), offset(at.offset()))).collect())
    }

    fn consumer(&self, cluster: &Cluster) -> Result<BaseConsumer> {
        let mut config = client::config(&cluster.props());
        config
            .set("group.id", self.name)
            .set("isolation.level", "read_committed")
            .set("auto.offset.reset", "earliest")
            .set("enable.auto.commit", "false");
        config.create().context("a consumer")
    }
}
