//! What the promises cost: identical offsets against translated ones, a source of many small transactions against one
//! without gaps, a start far behind offset 0, and what a link says that has nothing to do.

use std::{
    fmt::Write as _,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use kafka_harness::{
    Cluster,
    client::{self, Load},
    daemon::{self, Config},
    process::cpu_seconds,
};
use kafka_wire::{
    ProduceBatch, ProduceOptions, Purpose, To, TxnMarker,
    records::{BatchBuilder, Compression, Stamp, restamped},
};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};

use crate::{
    mirrors::{isomirror, release_binary},
    run::watch,
    stats::{Spread, shown},
    wire::{client as wire, timestamp},
};

/// The heading of its section in RESULTS.md.
pub const HEADING: &str = "What exactness costs";

const PARTITIONS: i32 = 4;
const TRANSACTIONS: u64 = 100_000;
/// Records of a transaction.
const EACH: u64 = 10;
/// Where a lane starts.
const START: i64 = 1_000_000_000;
/// How long a link is watched that has nothing to do.
const IDLE: Duration = Duration::from_secs(60);

/// A topic that is mirrored again and again.
struct Backlog {
    what: &'static str,
    topic: &'static str,
    /// Its promise, as the configuration has it.
    offsets: &'static str,
    records: u64,
    /// Of each run, [`FIGURES`].
    figures: [Vec<f64>; 4],
}

/// What is measured of a run.
const FIGURES: [&str; 4] = [
    "records/s, whole run",
    "records/s, from the first record",
    "isomirror, CPU-µs/record",
    "target broker, CPU-µs/record",
];

/// Measures all; returns the section for RESULTS.md.
pub fn run(runs: usize, command: &str) -> Result<String> {
    let start = || Cluster::builder().full_jit().heap("1g").start();
    let (source, target) = (start().context("source cluster")?, start().context("target cluster")?);
    let mut text = format!(
        "\n## {HEADING}\n\nMade by `{command}` (after `cargo build --release -p isomirror`): {runs} runs each, which take \
         turns; median (minimum to maximum), and the ratio of medians. {PARTITIONS} partitions.\n"
    );
    let count = TRANSACTIONS * EACH;
    for (topic, count, value_size) in [("exact-1k", 1_000_000, 1024), ("exact-100b", count, 100)] {
        source.create_topic(topic, PARTITIONS, 1, &[])?;
        let load = Load { partitions: PARTITIONS, count, value_size, compressible: false, ..Load::default() };
        client::load(&source.props(), topic, &load)?;
    }
    source.create_topic("exact-small", PARTITIONS, 1, &[])?;
    write_transactions(&source, "exact-small")?;
    let backlog = |what, topic, offsets, records| Backlog {
        what,
        topic,
        offsets,
        records,
        figures: Default::default(),
    };
    text += &compared(
        runs,
        &source,
        &target,
        [
            backlog("1 KiB, no gaps, translated offsets", "exact-1k", "translated", 1_000_000),
            backlog("1 KiB, no gaps, identical offsets", "exact-1k", "identical", 1_000_000),
        ],
    )?;
    text += &compared(
        runs,
        &source,
        &target,
        [
            backlog("100 B, no gaps, identical offsets", "exact-100b", "identical", count),
            backlog(
                "100 B, transactions of 10 records, identical offsets",
                "exact-small",
                "identical",
                count,
            ),
        ],
    )?;
    text += &bare(runs, &target)?;
    text += &start_at_a_billion(&source, &target)?;
    drop((source, target));
    text += &idle()?;
    Ok(text)
}

fn compared(runs: usize, source: &Cluster, target: &Cluster, mut both: [Backlog; 2]) -> Result<String> {
    for n in 0..runs {
        for backlog in &mut both {
            backlog.mirror(source, target)?;
            let last: Vec<String> = backlog.figures.iter().map(|of| shown(of[n])).collect();
            eprintln!("{} {}/{runs}: {}", backlog.what, n + 1, last.join(", "));
        }
    }
    let mut text = format!("\n| | {} |\n|---|{}\n", FIGURES.join(" | "), "---:|".repeat(FIGURES.len()));
    let mut medians = Vec::new();
    for Backlog { what, figures, .. } in &both {
        let spreads = figures.each_ref().map(|of| spread(of));
        writeln!(text, "| {what} | {} |", spreads.map(|of| of.to_string()).join(" | "))?;
        medians.push(spreads.map(|of| of.median));
    }
    let ratio = |of: usize| format!("{:.2}", medians[1][of] / medians[0][of]);
    writeln!(text, "| ratio | {} |", (0..FIGURES.len()).map(ratio).collect::<Vec<_>>().join(" | "))?;
    Ok(text)
}

fn spread(of: &[f64]) -> Spread {
    Spread::of(of.iter().copied()).expect("a run")
}

impl Backlog {
    fn mirror(&mut self, source: &Cluster, target: &Cluster) -> Result<()> {
        let offsets: i64 = client::end_offsets(&source.props(), self.topic)?.values().sum();
        target.create_topic(self.topic, PARTITIONS, 1, &[])?;
        let config = Config::new(source, target, self.topic).topics(&format!("offsets = '{}'", self.offsets));
        let broker = target.broker_ids()[0];
        let broker_before = target.cpu_seconds(broker)?;
        let started = Instant::now();
        let mut process = isomirror(&config)?;
        let watched = watch(&mut process, target, self.topic, offsets.unsigned_abs(), started)?;
        let cpu = [cpu_seconds(process.pid())?, target.cpu_seconds(broker)? - broker_before];
        process.stop();
        target.delete_topic(self.topic)?;
        let records = self.records as f64;
        let [ours, theirs] = cpu.map(|seconds| seconds * 1e6 / records);
        let rates = [records / watched.seconds, records / (watched.seconds - watched.first)];
        let figures = [rates[0], rates[1], ours, theirs];
        self.figures.iter_mut().zip(figures).for_each(|(of, figure)| of.push(figure));
        Ok(())
    }
}

/// What the broker makes of the same batches and control records where nothing is read, decided or recorded: the mirror's limit.
fn bare(runs: usize, target: &Cluster) -> Result<String> {
    let topic = "exact-bare";
    let broker = target.broker_ids()[0];
    let (mut rates, mut costs) = (Vec::new(), Vec::new());
    for _ in 0..runs {
        target.create_topic(topic, PARTITIONS, 1, &[])?;
        let (started, before) = (Instant::now(), target.cpu_seconds(broker)?);
        tokio::runtime::Runtime::new()?.block_on(orders(target, topic))?;
        let records = (TRANSACTIONS * EACH) as f64;
        rates.push(records / started.elapsed().as_secs_f64());
        costs.push((target.cpu_seconds(broker)? - before) * 1e6 / records);
        target.delete_topic(topic)?;
    }
    Ok(format!(
        "\nFor comparison with the second, a loop that sends this broker the same batches and control records, of two partitions \
         in an order over either of two connections, and does nothing else: {} records/s, {} CPU-µs/record of the target \
         broker.\n",
        spread(&rates),
        spread(&costs)
    ))
}

/// A batch and a control record for each transaction, of half of the partitions over either of two connections.
async fn orders(target: &Cluster, topic: &'static str) -> Result<()> {
    let client = wire(target)?;
    let producer = client.init_producer_id(None, Duration::from_secs(60)).await?;
    let mut builder = BatchBuilder::new(EACH as usize * 120);
    let now = timestamp();
    (0..EACH).for_each(|_| builder.push(now, None, Some(&[b'x'; 100]), [].into_iter()));
    let batch = builder.finish(Stamp { producer, sequence: 0 }, Compression::None, None);
    let over = |number: u32| {
        let (client, batch) = (client.for_purpose(Purpose::numbered("fill", number)), batch.clone());
        async move {
            let connection = client.connection(To::Leader(topic, 0)).await?;
            let partitions: Vec<i32> = (0..PARTITIONS).filter(|p| p.unsigned_abs() % 2 == number).collect();
            let marker = |partition: &i32| TxnMarker {
                producer,
                coordinator_epoch: 0,
                commit: true,
                topic: topic.into(),
                partition: *partition,
            };
            let markers: Vec<TxnMarker> = partitions.iter().map(marker).collect();
            let mut stamp = Stamp { producer, sequence: 0 };
            for _ in 0..TRANSACTIONS / PARTITIONS as u64 {
                let sent = partitions.iter().map(|p| ProduceBatch::new(topic, *p, restamped(&batch, stamp)));
                connection.produce_ahead(&sent.collect::<Vec<_>>())?;
                let answer = connection.write_txn_markers(&markers).await?;
                ensure!(answer.iter().all(Result::is_ok), "{answer:?}");
                stamp.sequence = stamp.behind(EACH as i32);
            }
            Ok(())
        }
    };
    let (one, other) = tokio::join!(tokio::spawn(over(0)), tokio::spawn(over(1)));
    one??;
    other?
}

/// Each of some records in one partition, by many producers at a time: each waits longest for its markers.
fn write_transactions(cluster: &Cluster, topic: &str) -> Result<()> {
    const PRODUCERS: u64 = 48;
    let long = Duration::from_secs(60);
    let produce = |id: u64| -> Result<()> {
        let mut properties = client::config(&cluster.props());
        let producer: BaseProducer = properties.set("transactional.id", format!("{topic}-{id}")).create()?;
        producer.init_transactions(long)?;
        for transaction in (id..TRANSACTIONS).step_by(PRODUCERS as usize) {
            producer.begin_transaction()?;
            let partition = ((id + transaction / PRODUCERS) % PARTITIONS as u64) as i32;
            for _ in 0..EACH {
                let record = BaseRecord::<[u8], [u8]>::to(topic).partition(partition).payload(&[b'x'; 100]);
                producer.send(record).map_err(|(error, _)| error)?;
            }
            producer.commit_transaction(long)?;
        }
        Ok(())
    };
    std::thread::scope(|scope| {
        let producers: Vec<_> = (0..PRODUCERS).map(|id| scope.spawn(move || produce(id))).collect();
        producers.into_iter().try_for_each(|producer| producer.join().expect("no panic"))
    })
}

fn start_at_a_billion(source: &Cluster, target: &Cluster) -> Result<String> {
    let topic = "exact-billion";
    source.create_topic(topic, 1, 1, &[])?;
    target.create_topic(topic, 1, 1, &[])?;
    pad(source, topic, START)?;
    source.delete_records(topic, 0, START)?;
    client::load(
        &source.props(),
        topic,
        &Load { partitions: 1, count: 1000, value_size: 100, ..Load::default() },
    )?;
    let config = Config::new(source, target, topic).topics("offsets = 'identical'");
    let (_dir, path) = config.write();
    let checked = daemon::isomirror_at(&release_binary()?).arg("check").arg(path).output()?;
    let words = String::from_utf8_lossy(&checked.stdout).into_owned();
    let said = words.split("about ").nth(1).and_then(|rest| rest.split(" at ").next());
    let said = said.with_context(|| format!("check does not say how long it takes:\n{words}"))?.to_owned();
    let started = Instant::now();
    let mut process = isomirror(&config)?;
    let watched = watch(&mut process, target, topic, START as u64 + 1000, started)?;
    process.stop();
    let rate = START as f64 / watched.seconds / 1e6;
    Ok(format!(
        "\nA lane that starts at offset {START}: {:.0} s to its last record ({rate:.1} million offsets a second; one run). \
         `check` says before: about {said}.\n",
        watched.seconds
    ))
}

/// Fills an empty partition up to an offset.
fn pad(cluster: &Cluster, topic: &str, to: i64) -> Result<()> {
    const RECORDS: i64 = 1_000_000;
    let client = wire(cluster)?;
    let mut builder = BatchBuilder::new(RECORDS as usize * 9);
    let now = timestamp();
    (0..RECORDS).for_each(|_| builder.push(now, Some(b""), None, [].into_iter()));
    tokio::runtime::Runtime::new()?.block_on(async {
        let producer = client.init_producer_id(None, Duration::from_secs(60)).await?;
        let mut stamp = Stamp { producer, sequence: 0 };
        let batch = builder.finish(stamp, Compression::Zstd, None);
        for _ in 0..to / RECORDS {
            let connection = client.connection(To::Leader(topic, 0)).await?;
            let sent = ProduceBatch::new(topic, 0, restamped(&batch, stamp));
            let answer = connection.produce(&[sent], &ProduceOptions::default()).await?;
            ensure!(answer.iter().all(Result::is_ok), "{answer:?}");
            stamp.sequence = stamp.behind(RECORDS as i32);
        }
        Ok(())
    })
}

/// Bytes to and from each cluster, all connections together.
fn idle() -> Result<String> {
    let counted = || Cluster::builder().proxied().start();
    let (source, target) = (&counted()?, &counted()?);
    let mut text = "\n| a link with nothing to do, bytes/s | source | target |\n|---|---:|---:|\n".to_owned();
    for (what, lines) in [
        ("identical offsets", &["offsets = 'identical'"][..]),
        ("translated offsets", &["offsets = 'translated'"][..]),
        ("shared writers", &["offsets = 'translated'", "writers = 'shared'"][..]),
    ] {
        let topic = "exact-idle";
        for cluster in [source, target] {
            cluster.create_topic(topic, PARTITIONS, 1, &[])?;
        }
        let load = Load { partitions: PARTITIONS, count: 1000, value_size: 100, ..Load::default() };
        client::load(&source.props(), topic, &load)?;
        // The defaults, and not what makes tests quick.
        let config = Config::new(source, target, topic)
            .topics("refresh = '5s'")
            .target_property("session.timeout.ms", "20000");
        let config = lines.iter().fold(config, |config, line| config.topics(line));
        let started = Instant::now();
        let mut process = isomirror(&config)?;
        watch(&mut process, target, topic, 1000, started)?;
        // Until the last marks are written.
        std::thread::sleep(Duration::from_secs(10));
        let bytes = || [source, target].map(|cluster| cluster.proxy(1).bytes()).map(|(up, down)| up + down);
        let before = bytes();
        std::thread::sleep(IDLE);
        let after = bytes();
        process.stop();
        let rate = |side: usize| (after[side] - before[side]) / IDLE.as_secs();
        writeln!(text, "| {what} | {} | {} |", rate(0), rate(1))?;
        for cluster in [source, target] {
            cluster.delete_topic(topic)?;
        }
    }
    Ok(text)
}
