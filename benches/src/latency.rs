//! How long a record takes from its producer on the source to a consumer on the target, at a steady load.

use std::{
    sync::{
        LazyLock,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    thread::ScopedJoinHandle,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, anyhow, ensure};
use kafka_harness::{Cluster, process::cpu_seconds};
use kafka_wire::{
    ProduceBatch, ProducerIdentity, To,
    records::{BatchBuilder, Compression, Stamp},
};
use serde::{Deserialize, Serialize};
use tokio::time::MissedTickBehavior;

use crate::{
    clusters::Pair,
    mirrors::{Goal, Mirror, Running},
    shapes::Shape,
    stats::quantile,
    wire::{Reader, Window, batches_of, client, runtime, timestamp},
};

/// Whose latency is measured.
pub const MIRRORS: [Mirror; 5] = [Mirror::Batches, Mirror::Records, Mirror::Mm2, Mirror::Bare, Mirror::None];
/// The shape whose throughput a load is a part of, and that its records have.
pub const SHAPE: &str = "1k";
/// For so much of the time that is measured, nothing is before.
pub const WARM_UP: f64 = 0.5;
/// Records are made so often, all that are due in a batch of one partition.
pub const TICK: Duration = Duration::from_millis(2);

/// Records a batch at most, when the producer was held up.
const BATCH: u64 = 900;
/// Requests of the producer on their way at most: a slow answer is not to hold up the next.
const DEPTH: usize = 64;
/// How long the first record may take, and the last once the producer has ended.
const PATIENCE: Duration = Duration::from_secs(120);

/// What the time in a value counts from. Producer and consumer are threads of this process, so their clock is the same.
static EPOCH: LazyLock<Instant> = LazyLock::new(Instant::now);

/// How much is produced.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Load {
    /// A tenth of what MirrorMaker 2, tuned, mirrors.
    Low,
    /// 70 % of what MirrorMaker 2, tuned, mirrors.
    High,
    /// 70 % of what isomirror mirrors, with batches.
    Own,
}

impl Load {
    /// All.
    pub const ALL: [Self; 3] = [Self::Low, Self::High, Self::Own];

    /// For tables.
    pub fn title(self) -> &'static str {
        match self {
            Self::Low => "10 % of MirrorMaker 2's throughput",
            Self::High => "70 % of MirrorMaker 2's throughput",
            Self::Own => "70 % of isomirror's throughput",
        }
    }

    /// For plots.
    pub fn short(self) -> &'static str {
        match self {
            Self::Low => "10 %",
            Self::High => "70 %",
            Self::Own => "70 % of ours",
        }
    }

    /// Of whose throughput it is a part, and which.
    pub fn part(self) -> (Mirror, f64) {
        match self {
            Self::Low => (Mirror::Mm2, 0.1),
            Self::High => (Mirror::Mm2, 0.7),
            Self::Own => (Mirror::Batches, 0.7),
        }
    }

    /// Whether a mirror is measured under it.
    pub fn is_for(self, mirror: Mirror) -> bool {
        self != Self::Own || matches!(mirror, Mirror::Batches | Mirror::Bare | Mirror::None)
    }
}

/// What was measured.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Run {
    /// Records a second, as asked for.
    pub rate: f64,
    /// Records that count.
    pub records: u64,
    /// Half of them took no longer, in seconds.
    pub p50: f64,
    /// 99 % of them.
    pub p99: f64,
    /// 99.9 % of them.
    pub p999: f64,
    /// The one that took longest.
    pub max: f64,
    /// CPU of the mirror meanwhile, in seconds a second.
    pub cpu: f64,
}

/// Measures one mirror under one load, in records a second.
pub fn measure(mirror: Mirror, rate: f64, seconds: f64, pair: &Pair) -> Result<Run> {
    let shape = Shape::named(SHAPE)?;
    let topic = shape.topic();
    for cluster in [&pair.source, &pair.target] {
        cluster.create_topic(&topic, shape.partitions, 1, &[])?;
    }
    let mut process = match mirror {
        Mirror::None => None,
        mirror => Some(mirror.start(Goal::Latency, &shape, &pair.source, &pair.target)?),
    };
    let end = if mirror == Mirror::None { &pair.source } else { &pair.target };
    let run = under_load(process.as_mut(), &shape, rate, seconds, &pair.source, end);
    let run = run.with_context(|| {
        let log = process.as_ref().map(Running::log).unwrap_or_default();
        format!("latency of {} at {rate:.0} records/s; its log ends:\n{log}", mirror.title())
    })?;
    if let Some(process) = process {
        process.stop();
    }
    pair.clean(None)?;
    Ok(run)
}

/// What the threads know of each other.
#[derive(Default)]
struct Shared {
    /// Records made before this do not count, in ns from [`EPOCH`]; none counts while it is 0.
    from: AtomicU64,
    /// The producer is to end.
    enough: AtomicBool,
    /// It has; `sent` is final.
    produced: AtomicBool,
    /// The consumer is to end.
    end: AtomicBool,
    /// One of them has failed.
    failed: AtomicBool,
    sent: AtomicU64,
    received: AtomicU64,
}

fn under_load(
    process: Option<&mut Running>,
    shape: &Shape,
    rate: f64,
    seconds: f64,
    source: &Cluster,
    end: &Cluster,
) -> Result<Run> {
    LazyLock::force(&EPOCH);
    let shared = Shared::default();
    let (cpu, mut took) = std::thread::scope(|scope| {
        let consumer = scope.spawn(|| shared.watched(consume(end, shape, &shared)));
        let producer = scope.spawn(|| shared.watched(produce(source, shape, rate, &shared)));
        let cpu = steps(process, seconds, &shared);
        shared.enough.store(true, Relaxed);
        shared.end.store(true, Relaxed);
        // Whose mistake ended it says more than that it ended.
        joined(producer).context("the producer")?;
        let took = joined(consumer).context("the consumer")?;
        anyhow::Ok((cpu?, took))
    })?;
    took.sort_by(f64::total_cmp);
    let at = |part| quantile(&took, part).context("no record was measured");
    Ok(Run {
        rate,
        records: took.len() as u64,
        p50: at(0.5)?,
        p99: at(0.99)?,
        p999: at(0.999)?,
        max: at(1.0)?,
        cpu,
    })
}

/// Waits until all is warm, and then for so long; gives the CPU of the mirror meanwhile, in seconds a second.
fn steps(mut process: Option<&mut Running>, seconds: f64, shared: &Shared) -> Result<f64> {
    let mut wait = |what: &str, limit: Duration, done: &dyn Fn() -> bool| -> Result<f64> {
        let begun = Instant::now();
        while !done() && begun.elapsed() < limit {
            ensure!(!shared.failed.load(Relaxed), "{what}: a client has failed");
            if let Some(process) = &mut process {
                process.check()?;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        process.as_ref().map_or(Ok(0.0), |process| cpu_seconds(process.pid()))
    };
    let (received, never) = (|| shared.received.load(Relaxed), || false);
    wait("until the first record", PATIENCE, &|| received() > 0)?;
    ensure!(received() > 0, "no record in {PATIENCE:?}");
    let before = wait("while it warms up", Duration::from_secs_f64(seconds * WARM_UP), &never)?;
    shared.from.store(nanos(), Relaxed);
    let begun = Instant::now();
    let after = wait("while it is measured", Duration::from_secs_f64(seconds), &never)?;
    let measured = begun.elapsed();
    shared.enough.store(true, Relaxed);
    let all = || shared.produced.load(Relaxed) && received() >= shared.sent.load(Relaxed);
    wait("until the last record", PATIENCE, &all)?;
    ensure!(all(), "{} records of {} in {PATIENCE:?}", received(), shared.sent.load(Relaxed));
    Ok((after - before) / measured.as_secs_f64())
}

impl Shared {
    fn watched<T>(&self, outcome: Result<T>) -> Result<T> {
        if outcome.is_err() {
            self.failed.store(true, Relaxed);
        }
        outcome
    }
}

fn joined<T>(thread: ScopedJoinHandle<'_, Result<T>>) -> Result<T> {
    thread.join().map_err(|_| anyhow!("it panicked"))?
}

/// Nanoseconds since [`EPOCH`].
fn nanos() -> u64 {
    EPOCH.elapsed().as_nanos() as u64
}

/// Writes so many records a second, each with its time, until it is enough.
fn produce(source: &Cluster, shape: &Shape, rate: f64, shared: &Shared) -> Result<()> {
    runtime()?.block_on(async {
        let (client, topic) = (client(source)?, shape.topic());
        let mut window = Window::new(client.connection(To::Leader(&topic, 0)).await?, DEPTH);
        let mut ticks = tokio::time::interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let nobody = Stamp { producer: ProducerIdentity { id: -1, epoch: -1 }, sequence: -1 };
        let mut value = vec![b'x'; shape.value_size];
        let (begun, mut sent, mut partition) = (Instant::now(), 0, 0);
        while !shared.enough.load(Relaxed) {
            ticks.tick().await;
            let due = (begun.elapsed().as_secs_f64() * rate) as u64;
            let mut builder = BatchBuilder::new(BATCH as usize * shape.record_bytes());
            value[..8].copy_from_slice(&nanos().to_be_bytes());
            let now = timestamp();
            for _ in 0..BATCH.min(due - sent) {
                builder.push(now, None, Some(&value), [].into_iter());
                sent += 1;
            }
            if builder.is_empty() {
                continue;
            }
            let batch = builder.finish(nobody, Compression::None, None);
            window.send(&[ProduceBatch::new(topic.as_str(), partition, batch)]).await?;
            partition = (partition + 1) % shape.partitions;
        }
        window.finish().await?;
        shared.sent.store(sent, Relaxed);
        shared.produced.store(true, Relaxed);
        Ok(())
    })
}

/// Reads until it is to end; gives what each record that counts has taken, in seconds.
fn consume(cluster: &Cluster, shape: &Shape, shared: &Shared) -> Result<Vec<f64>> {
    runtime()?.block_on(async {
        let mut reader = Reader::open(&client(cluster)?, &shape.topic()).await?;
        let mut took = Vec::new();
        while !shared.end.load(Relaxed) {
            let answer = reader.next().await?;
            let (now, from) = (nanos(), shared.from.load(Relaxed));
            for batch in answer.iter().map(batches_of) {
                for batch in batch? {
                    for record in batch.records(1 << 26)? {
                        let value = record?.value.context("a value")?;
                        let made = value.first_chunk().map(|made| u64::from_be_bytes(*made));
                        let made = made.context("a value with a time")?;
                        shared.received.fetch_add(1, Relaxed);
                        if from > 0 && made >= from {
                            took.push(now.saturating_sub(made) as f64 / 1e9);
                        }
                    }
                }
            }
        }
        Ok(took)
    })
}
