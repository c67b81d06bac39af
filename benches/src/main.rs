//! isomirror against MirrorMaker 2: two real clusters, one backlog, each mirror in turn, several times.
//!
//! `cargo build --release -p isomirror && cargo run --release -p isomirror-benches -- --write` measures and
//! writes `benches/RESULTS.md`. Medians are what to quote: the machine is shared. `--failover` counts instead what consumers
//! read again on the target, `--exactness` measures what the promises cost; each writes only the section on that.

mod exactness;
mod failover;
mod mirrors;
mod report;
mod shapes;

use std::{
    fs,
    path::Path,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use clap::Parser;
use kafka_harness::{
    Cluster, client,
    process::{cpu_seconds, status_bytes},
};

use mirrors::{Mirror, Running};
use shapes::Shape;

/// Measure isomirror and MirrorMaker 2 on the same backlog.
#[derive(Parser)]
struct Args {
    /// Counted runs of each mirror on each shape.
    #[arg(long, default_value_t = 3)]
    runs: usize,
    /// Which shapes: 1k, 100b, partitions, backlog.
    #[arg(long, value_delimiter = ',', default_value = "1k,100b,partitions,backlog")]
    shapes: Vec<String>,
    /// Leave MirrorMaker 2 out.
    #[arg(long)]
    alone: bool,
    /// Bytes of the backlog of shape `backlog`, in GB.
    #[arg(long, default_value_t = 4)]
    backlog_gb: u64,
    /// Instead: what consumers read again and miss on the target, over so many failovers.
    #[arg(long, value_name = "TIMES", num_args = 0..=1, default_missing_value = "10")]
    failover: Option<usize>,
    /// Instead: what the promises cost, in so many runs of each.
    #[arg(long, value_name = "RUNS", num_args = 0..=1, default_missing_value = "5", conflicts_with = "failover")]
    exactness: Option<usize>,
    /// Write benches/RESULTS.md.
    #[arg(long)]
    write: bool,
}

/// One mirror's run over one backlog.
#[derive(Debug, Clone)]
pub struct Run {
    /// Process start to the last record on the target, in seconds.
    pub seconds: f64,
    /// Process start to the first record on the target, in seconds.
    pub first: f64,
    /// User and system time of the mirror's process, with its start, in seconds.
    pub cpu: f64,
    /// The same, from the first record on.
    pub cpu_running: f64,
    /// Peak resident memory of the mirror's process, in bytes.
    pub peak_rss: u64,
    /// CPU of the target broker meanwhile, in seconds.
    pub target_cpu: f64,
}

fn main() -> Result<()> {
    let args = Args::parse();
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("RESULTS.md");
    let old = fs::read_to_string(&path).unwrap_or_default();
    let text = match (args.failover, args.exactness) {
        (Some(times), _) => {
            report::with_section(&old, failover::HEADING, &failover::run(times, &command_line())?)
        }
        (_, Some(runs)) => {
            report::with_section(&old, exactness::HEADING, &exactness::run(runs, &command_line())?)
        }
        (None, None) => {
            [exactness::HEADING, failover::HEADING].iter().fold(speed(&args)?, |text, heading| {
                report::with_section(&text, heading, report::section_of(&old, heading))
            })
        }
    };
    println!("{text}");
    if args.write {
        fs::write(&path, text).with_context(|| format!("failed to write {}", path.display()))?;
    }
    Ok(())
}

/// Measures all shapes; returns the report.
fn speed(args: &Args) -> Result<String> {
    let source = Cluster::builder().full_jit().heap("1g").start().context("source cluster")?;
    let target = Cluster::builder().full_jit().heap("1g").start().context("target cluster")?;
    let mut results = Vec::new();
    for name in &args.shapes {
        let shape = Shape::named(name, args.backlog_gb)?;
        shape.load(&source)?;
        let mirrors: &[Mirror] = match args.alone || !shape.against_peer {
            true => &[Mirror::Isomirror],
            false => &[Mirror::Isomirror, Mirror::MirrorMaker2],
        };
        let mut runs = vec![Vec::new(); mirrors.len()];
        for n in 0..args.runs {
            for (mirror, runs) in mirrors.iter().zip(&mut runs) {
                let run = measure(*mirror, &shape, &source, &target)?;
                eprintln!("{name} run {}/{} {}: {run:?}", n + 1, args.runs, mirror.name());
                runs.push(run);
            }
        }
        source.delete_topic(shape.topic)?;
        results.extend(mirrors.iter().zip(runs).map(|(mirror, runs)| (shape.clone(), *mirror, runs)));
    }
    Ok(report::text(&results, &command_line()))
}

fn command_line() -> String {
    let args: Vec<String> = std::env::args().skip(1).filter(|arg| arg != "--write").collect();
    let release = if cfg!(debug_assertions) { "" } else { "--release " };
    format!("cargo run {release}-p isomirror-benches -- --write {}", args.join(" ")).trim_end().to_owned()
}

fn measure(mirror: Mirror, shape: &Shape, source: &Cluster, target: &Cluster) -> Result<Run> {
    // The topic is there beforehand for both, so that neither pays for making it.
    target.create_topic(shape.topic, shape.partitions, 1, &[])?;
    let broker = target.broker_ids()[0];
    let broker_before = target.cpu_seconds(broker)?;
    let started = Instant::now();
    let process = mirror.start(shape, source, target)?;
    let watched = watch(&process, target, shape.topic, shape.records, started)?;
    let Watched { seconds, first, cpu_first } = watched;
    let cpu = cpu_seconds(process.pid())?;
    let run = Run {
        seconds,
        first,
        cpu,
        cpu_running: cpu - cpu_first,
        peak_rss: status_bytes(process.pid(), "VmHWM:")?,
        target_cpu: target.cpu_seconds(broker)? - broker_before,
    };
    process.stop();
    target.delete_topic(shape.topic)?;
    Ok(run)
}

/// What is seen of a run on its target.
struct Watched {
    /// From the start to the last record, in seconds.
    seconds: f64,
    /// From the start to the first record, in seconds.
    first: f64,
    /// The process' user and system time up to there, in seconds.
    cpu_first: f64,
}

/// Waits until a topic of the target holds so many offsets.
fn watch(
    process: &Running,
    target: &Cluster,
    topic: &str,
    offsets: u64,
    started: Instant,
) -> Result<Watched> {
    let limit = Duration::from_secs(900);
    let mut first = None;
    loop {
        let there: u64 = client::end_offsets(&target.props(), topic)?.values().map(|end| *end as u64).sum();
        if there > 0 && first.is_none() {
            first = Some((started.elapsed().as_secs_f64(), cpu_seconds(process.pid())?));
        }
        if let Some((first, cpu_first)) = first
            && there >= offsets
        {
            return Ok(Watched { seconds: started.elapsed().as_secs_f64(), first, cpu_first });
        }
        ensure!(started.elapsed() < limit, "{topic}: not done in {limit:?}:\n{}", process.log());
        std::thread::sleep(Duration::from_millis(if first.is_none() { 20 } else { 100 }));
    }
}
