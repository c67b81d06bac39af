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
};
use kafka_wire::{
    Client, ProduceBatch, ProduceOptions, Settings, To,
    records::{BatchBuilder, Compression, Stamp, restamped},
};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};

use crate::{
    mirrors::{isomirror, release_binary},
    report::median,
    watch,
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
    /// Records a second: of the whole runs, and from their first records on.
    rates: [Vec<f64>; 2],
}

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
    let backlog =
        |what, topic, offsets, records| Backlog { what, topic, offsets, records, rates: Default::default() };
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
    text += &start_at_a_billion(&source, &target)?;
    drop((source, target));
    text += &idle()?;
    Ok(text)
}

fn compared(runs: usize, source: &Cluster, target: &Cluster, mut both: [Backlog; 2]) -> Result<String> {
    for n in 0..runs {
        for backlog in &mut both {
            backlog.mirror(source, target)?;
            let [whole, running] = &backlog.rates;
            eprintln!(
                "{} {}/{runs}: {:.0}/s, {:.0}/s from the first record",
                backlog.what,
                n + 1,
                whole[n],
                running[n]
            );
        }
    }
    let mut text = "\n| records/s | whole run | from the first record |\n|---|---:|---:|\n".to_owned();
    let mut medians = Vec::new();
    for Backlog { what, rates, .. } in &mut both {
        rates.iter_mut().for_each(|rates| rates.sort_by(f64::total_cmp));
        let cell = |v: &Vec<f64>| format!("{:.0} ({:.0}–{:.0})", median(v), v[0], v[v.len() - 1]);
        writeln!(text, "| {what} | {} | {} |", cell(&rates[0]), cell(&rates[1]))?;
        medians.push(rates.each_ref().map(|rates| median(rates)));
    }
    let ratio = |of: usize| medians[1][of] / medians[0][of];
    writeln!(text, "| ratio | {:.2} | {:.2} |", ratio(0), ratio(1))?;
    Ok(text)
}

impl Backlog {
    fn mirror(&mut self, source: &Cluster, target: &Cluster) -> Result<()> {
        let offsets: i64 = client::end_offsets(&source.props(), self.topic)?.values().sum();
        target.create_topic(self.topic, PARTITIONS, 1, &[])?;
        let config = Config::new(source, target, self.topic).topics(&format!("offsets = '{}'", self.offsets));
        let started = Instant::now();
        let process = isomirror(&config)?;
        let watched = watch(&process, target, self.topic, offsets.unsigned_abs(), started)?;
        process.stop();
        target.delete_topic(self.topic)?;
        self.rates[0].push(self.records as f64 / watched.seconds);
        self.rates[1].push(self.records as f64 / (watched.seconds - watched.first));
        Ok(())
    }
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
    let process = isomirror(&config)?;
    let watched = watch(&process, target, topic, START as u64 + 1000, started)?;
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
    let props = cluster.props();
    let settings = Settings::new(props.iter().map(|(k, v)| (k.as_str(), v.as_str())))
        .map_err(|error| anyhow::anyhow!("{error:?}"))?;
    let client = Client::new(settings);
    let mut builder = BatchBuilder::new(RECORDS as usize * 9);
    (0..RECORDS).for_each(|_| builder.push(0, Some(b""), None, [].into_iter()));
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
        let process = isomirror(&config)?;
        watch(&process, target, topic, 1000, started)?;
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
