//! The bare loop: batches are fetched, get another producer's stamp, and are sent on. No marks, no gaps, no checks: what is
//! left of a mirror when all that makes it one is taken away, and so the limit of every other. Half of it shows what either
//! broker does by itself.
//!
//! It is a process of its own, so that it is measured as the mirrors are.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
    time::Duration,
};

use anyhow::Result;
use clap::ValueEnum;
use kafka_wire::{
    Client, Fetched, Isolation, OffsetSpec, ProduceBatch, ProducerIdentity, Purpose, To, Topic,
    records::{Batch, Restamped, Stamp},
};

use crate::wire::{Reader, Window, batches_of, client_of, runtime};

/// What it prints once it has fetched something.
pub const FIRST: &str = "the first batch is there";
/// What it prints once it has fetched all there was when it started.
pub const DONE: &str = "all batches were there";

/// Bytes a Produce request, about.
const REQUEST: usize = 4 << 20;

/// What to do, and where.
#[derive(clap::Args)]
pub struct Bare {
    /// Which half, or both.
    #[arg(value_enum)]
    what: What,
    /// The source's address.
    source: String,
    /// The target's address.
    target: String,
    /// The topic, on both sides.
    topic: String,
}

/// Which half of the loop.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum What {
    /// Fetch and produce.
    Copy,
    /// Fetch all there is, and drop it.
    Fetch,
    /// Fetch a few batches of one partition, and produce them to all, again and again.
    Produce,
}

impl Bare {
    /// Does it until it is killed.
    pub fn run(&self) -> Result<()> {
        runtime()?.block_on(async {
            let (source, target) = (client_of(&self.source)?, client_of(&self.target)?);
            let mut reader = Reader::open(&source, &self.topic).await?;
            match self.what {
                What::Copy => copy(&mut reader, &target).await,
                What::Fetch => fetch(&mut reader, &source).await,
                What::Produce => produce(&mut reader, &target).await,
            }
        })
    }
}

async fn copy(reader: &mut Reader, target: &Client) -> Result<()> {
    let mut writer = Writer::open(target, &reader.topic).await?;
    loop {
        let mut turns = Vec::new();
        for fetched in reader.next().await? {
            let batches = data_of(&fetched)?;
            turns.push((fetched.partition, VecDeque::from(batches)));
        }
        // A request takes one batch of a partition.
        while !turns.is_empty() {
            for (partition, batches) in &mut turns {
                if let Some(batch) = batches.pop_front() {
                    writer.put(*partition, &batch).await?;
                }
            }
            writer.send().await?;
            turns.retain(|(_, batches)| !batches.is_empty());
        }
    }
}

async fn fetch(reader: &mut Reader, source: &Client) -> Result<()> {
    let partitions: Vec<(&str, i32)> =
        reader.topic.partitions.keys().map(|p| (&*reader.topic.name, *p)).collect();
    let ends = source.list_offsets(&partitions, OffsetSpec::Latest, Isolation::default()).await;
    let ends = ends.into_iter().map(|end| Ok(end?.offset)).collect::<Result<Vec<i64>>>()?;
    let (mut left, mut first) = (ends.iter().sum::<i64>(), true);
    while left > 0 {
        for fetched in reader.next().await? {
            left -= batches_of(&fetched)?.last().map_or(0, |last| last.header.next_offset() - fetched.asked);
            if std::mem::take(&mut first) {
                println!("{FIRST}");
            }
        }
    }
    println!("{DONE}");
    std::future::pending().await
}

async fn produce(reader: &mut Reader, target: &Client) -> Result<()> {
    let mut batches = Vec::new();
    while batches.is_empty() {
        for fetched in reader.next().await? {
            batches.extend(data_of(&fetched)?);
        }
    }
    let mut writer = Writer::open(target, &reader.topic).await?;
    for batch in batches.iter().cycle() {
        for partition in reader.topic.partitions.keys() {
            writer.put(*partition, batch).await?;
        }
        writer.send().await?;
    }
    Ok(())
}

/// The batches that have records; what ends a transaction has none.
fn data_of(fetched: &Fetched) -> Result<Vec<Batch>> {
    Ok(batches_of(fetched)?.into_iter().filter(|batch| !batch.header.is_control()).collect())
}

/// Requests of one batch a partition, under a producer id of their own.
struct Writer {
    window: Window,
    producer: ProducerIdentity,
    topic: Arc<str>,
    sequences: BTreeMap<i32, i32>,
    request: Vec<ProduceBatch>,
    bytes: usize,
}

impl Writer {
    async fn open(target: &Client, topic: &Topic) -> Result<Self> {
        let producer = target.init_producer_id(None, Duration::from_secs(60)).await?;
        let target = target.for_purpose(Purpose::new("produce"));
        let connection = target.connection(To::Leader(&topic.name, 0)).await?;
        Ok(Self {
            window: Window::new(connection, Window::IDEMPOTENT),
            producer,
            topic: topic.name.clone(),
            sequences: BTreeMap::new(),
            request: Vec::new(),
            bytes: 0,
        })
    }

    /// Adds a batch to the request, and sends that once it is large.
    async fn put(&mut self, partition: i32, batch: &Batch) -> Result<()> {
        let sequence = self.sequences.entry(partition).or_default();
        let stamp = Stamp { producer: self.producer, sequence: *sequence };
        *sequence = stamp.behind(batch.header.record_count);
        let Restamped { header, payload } = batch.restamp(stamp, false)?;
        self.bytes += batch.bytes.len();
        let records = vec![header, payload];
        self.request.push(ProduceBatch { topic: self.topic.clone(), partition, records });
        if self.bytes >= REQUEST { self.send().await } else { Ok(()) }
    }

    async fn send(&mut self) -> Result<()> {
        if !self.request.is_empty() {
            self.window.send(&self.request).await?;
            (self.request, self.bytes) = (Vec::new(), 0);
        }
        Ok(())
    }
}
