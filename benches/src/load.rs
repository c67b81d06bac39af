//! Puts a backlog on the source, as fast as its broker takes it: some batches are made beforehand and written again and again.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use kafka_harness::Cluster;
use kafka_wire::{
    Client, ProduceBatch, ProduceOptions, ProducerIdentity, Purpose, To,
    records::{BatchBuilder, Stamp, restamped},
};

use crate::{
    shapes::{HEADER_SIZE, HEADERS, KEY_SIZE, Shape},
    wire::{Ends, Window, client, timestamp},
};

/// Batches that differ.
const POOL: u64 = 32;
/// Bytes a request, about.
const REQUEST: usize = 4 << 20;
/// Producers that have a transaction open at a time.
const TRANSACTIONS: u64 = 32;
/// One transaction in so many is aborted.
const ABORTED: u64 = 21;
const LONG: Duration = Duration::from_secs(60);

/// What was put there.
#[derive(Debug, Clone, Copy)]
pub struct Loaded {
    /// Records that readers with read_committed see.
    pub records: u64,
    /// Bytes of their keys, values and headers.
    pub bytes: u64,
    /// Records of transactions that were aborted.
    pub aborted: u64,
    /// Offsets of all partitions together: records, and what ends transactions.
    pub offsets: u64,
}

/// Makes the shape's topic and fills it.
pub fn load(shape: &Shape, gb: f64, source: &Cluster) -> Result<Loaded> {
    let topic = shape.topic();
    source.create_topic(&topic, shape.partitions, 1, &[])?;
    let batches = shape.batches(gb);
    let writer = Writer {
        client: client(source)?,
        topic: topic.as_str().into(),
        partitions: (0..shape.partitions).collect(),
        batch: shape.batch,
        pool: (0..POOL.min(batches)).map(|n| batch(shape, n)).collect(),
    };
    let partitions = u64::from(shape.partitions.unsigned_abs());
    let rounds = batches / partitions;
    // One more for each 20 that are committed.
    let aborted = if shape.transactional { rounds / (ABORTED - 1) } else { 0 };
    let runtime = tokio::runtime::Runtime::new()?;
    match shape.transactional {
        true => runtime.block_on(transactions(writer, rounds + aborted))?,
        false => runtime.block_on(rounds_of_all(writer, rounds))?,
    }
    let ends = Ends::of(source, &topic)?;
    let (begun, offsets) = (Instant::now(), ends.sum()?);
    while ends.stable()? < ends.sum()? {
        ensure!(begun.elapsed() < LONG, "{topic}: transactions stay open");
        std::thread::sleep(Duration::from_millis(50));
    }
    let records = batches * shape.batch;
    let aborted = aborted * partitions * shape.batch;
    ensure!(offsets >= records + aborted, "{topic} has {offsets} offsets, not {records}");
    Ok(Loaded { records, bytes: records * shape.record_bytes() as u64, aborted, offsets: ends.sum()? })
}

#[derive(Clone)]
struct Writer {
    client: Client,
    topic: Arc<str>,
    partitions: Vec<i32>,
    /// Records a batch.
    batch: u64,
    pool: Arc<[Bytes]>,
}

impl Writer {
    /// A batch of the pool for each of these partitions, the `round`th of their producer's.
    fn batches(&self, producer: ProducerIdentity, round: u64, partitions: &[i32]) -> Vec<ProduceBatch> {
        let sequence = (round * self.batch % (1 << 31)) as i32;
        let one = |partition: &i32| {
            let at = (round * 7 + partition.unsigned_abs() as u64) % self.pool.len() as u64;
            let bytes = restamped(&self.pool[at as usize], Stamp { producer, sequence });
            ProduceBatch::new(self.topic.clone(), *partition, bytes)
        };
        partitions.iter().map(one).collect()
    }

    async fn rounds(self, number: u32, rounds: u64) -> Result<()> {
        let client = self.client.for_purpose(Purpose::numbered("load", number));
        let producer = client.init_producer_id(None, LONG).await?;
        let first = *self.partitions.first().context("no partition")?;
        let connection = client.connection(To::Leader(&self.topic, first)).await?;
        let mut window = Window::new(connection, Window::IDEMPOTENT);
        let together = (REQUEST / self.pool[0].len()).max(1);
        for round in 0..rounds {
            for partitions in self.partitions.chunks(together) {
                window.send(&self.batches(producer, round, partitions)).await?;
            }
        }
        window.finish().await
    }

    async fn transactions(self, number: u64, next: &AtomicU64, count: u64) -> Result<()> {
        let id = format!("{}-{number}", self.topic);
        let producer = self.client.init_producer_id(Some(&id), LONG).await?;
        let connection = self.client.connection(To::Leader(&self.topic, 0)).await?;
        let partitions: Vec<(&str, i32)> = self.partitions.iter().map(|p| (&*self.topic, *p)).collect();
        let options =
            ProduceOptions { transactional_id: Some(id.as_str().into()), ..ProduceOptions::default() };
        for round in 0.. {
            let transaction = next.fetch_add(1, Relaxed);
            if transaction >= count {
                break;
            }
            self.client.add_partitions_to_txn(&id, producer, &partitions).await?;
            let batches = self.batches(producer, round, &self.partitions);
            let refused = connection.produce(&batches, &options).await?.into_iter().find_map(Result::err);
            ensure!(refused.is_none(), "a batch was refused: {refused:?}");
            self.client.end_txn(&id, producer, transaction % ABORTED != ABORTED - 1).await?;
        }
        Ok(())
    }
}

/// Each partition so many batches, over two connections.
async fn rounds_of_all(writer: Writer, rounds: u64) -> Result<()> {
    let (even, odd): (Vec<i32>, Vec<i32>) = writer.partitions.iter().partition(|p| *p % 2 == 0);
    let mut tasks = tokio::task::JoinSet::new();
    for (number, partitions) in [(0, even), (1, odd)] {
        if !partitions.is_empty() {
            tasks.spawn(Writer { partitions, ..writer.clone() }.rounds(number, rounds));
        }
    }
    while let Some(done) = tasks.join_next().await {
        done??;
    }
    Ok(())
}

/// So many transactions, of one batch in each partition, by many producers.
async fn transactions(writer: Writer, count: u64) -> Result<()> {
    let next = Arc::new(AtomicU64::new(0));
    let mut tasks = tokio::task::JoinSet::new();
    for number in 0..TRANSACTIONS.min(count) {
        let (writer, next) = (writer.clone(), next.clone());
        tasks.spawn(async move { writer.transactions(number, &next, count).await });
    }
    while let Some(done) = tasks.join_next().await {
        done??;
    }
    Ok(())
}

/// The `number`th batch of the pool.
fn batch(shape: &Shape, number: u64) -> Bytes {
    let now = timestamp();
    let mut dice = Dice(number + 1);
    let mut builder = BatchBuilder::new((shape.record_bytes() + 20) * shape.batch as usize);
    for record in number * shape.batch..(number + 1) * shape.batch {
        let value = value(&mut dice, record, shape.value_size);
        if shape.headers {
            let text = |n: u64| format!("{n:0HEADER_SIZE$x}").into_bytes();
            let key = format!("{:0KEY_SIZE$x}", dice.next() % 1_000_000);
            let values = [text(dice.next()), text(dice.next()), text(7), text(dice.next() % 8)];
            let headers = HEADERS.iter().zip(&values).map(|(name, of)| (name.as_bytes(), Some(&of[..])));
            builder.push(now, Some(key.as_bytes()), Some(&value), headers);
        } else {
            builder.push(now, None, Some(&value), [].into_iter());
        }
    }
    let nobody = Stamp { producer: ProducerIdentity { id: -1, epoch: -1 }, sequence: -1 };
    builder.finish(nobody, shape.compression, None)
}

/// An event in JSON, or as much of it as there is room for. Much of it is in every other, too: it compresses as such do.
fn value(dice: &mut Dice, number: u64, size: usize) -> Vec<u8> {
    const FIELDS: [&str; 12] = [
        "\"action\":\"viewed\",\"page\":\"/catalogue/items\",",
        "\"currency\":\"EUR\",\"country\":\"DE\",\"language\":\"de-DE\",",
        "\"client\":\"android\",\"version\":\"7.41.2\",",
        "\"campaign\":\"autumn-sale\",\"variant\":\"b\",",
        "\"status\":\"accepted\",\"reason\":null,\"retry\":false,",
        "\"warehouse\":\"eu-central-2\",\"carrier\":\"rail\",",
        "\"customer\":{\"segment\":\"returning\",\"consent\":true},",
        "\"action\":\"ordered\",\"page\":\"/checkout/payment\",",
        "\"currency\":\"GBP\",\"country\":\"UK\",\"language\":\"en-GB\",",
        "\"client\":\"browser\",\"version\":\"128.0.1\",",
        "\"status\":\"refused\",\"reason\":\"limit\",\"retry\":true,",
        "\"session\":{\"device\":\"phone\",\"network\":\"mobile\"},",
    ];
    let mut text = format!("{{\"id\":\"{number:016x}\",\"user\":{},", 100_000 + dice.next() % 900_000);
    while text.len() < size {
        text += FIELDS[(dice.next() % FIELDS.len() as u64) as usize];
        text += "\"ref\":\"";
        text.extend((0..13).map(|_| dice.letter()));
        text += "\",";
    }
    text.truncate(size);
    text.into_bytes()
}

/// xorshift64: the same each time.
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        for _ in 0..2 {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
        }
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 16
    }

    fn letter(&mut self) -> char {
        const LETTERS: &[u8; 62] = b"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
        char::from(LETTERS[(self.next() % 62) as usize])
    }
}

#[cfg(test)]
mod tests {
    use super::batch;
    use crate::shapes::{SHAPES, Shape};
    use kafka_wire::records::{Batches, Compression};

    #[test]
    fn records_have_the_bytes_that_a_gb_is_counted_by() {
        for shape in SHAPES {
            let made = Batches::new(batch(&shape, 1)).next().unwrap().unwrap();
            let records: Vec<_> = made.records(1 << 24).unwrap().map(Result::unwrap).collect();
            assert_eq!(records.len() as u64, shape.batch);
            for record in records {
                let size = |of: &Option<bytes::Bytes>| of.as_ref().map_or(0, bytes::Bytes::len);
                let headers: usize = record.headers.iter().map(|h| h.key.len() + size(&h.value)).sum();
                assert_eq!(size(&record.key) + size(&record.value) + headers, shape.record_bytes());
            }
            assert_eq!(shape.batches(0.1) % u64::from(shape.partitions.unsigned_abs()), 0);
        }
    }

    #[test]
    fn values_compress_as_events_do() {
        for shape in SHAPES.into_iter().filter(|shape| shape.compression != Compression::None) {
            let plain = Shape { compression: Compression::None, ..shape };
            let ratio = batch(&plain, 3).len() as f64 / batch(&shape, 3).len() as f64;
            println!("{}: {ratio:.2}", shape.name);
            assert!((2.5..6.5).contains(&ratio), "{}: {ratio:.2}", shape.name);
        }
    }
}
