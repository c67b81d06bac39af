//! isomirror against other mirrors, and against what the brokers can do: two real clusters, one backlog, each mirror in turn,
//! several times.
//!
//! `cargo build --release -p isomirror && cargo run --release -p isomirror-benches -- --write` measures all, and writes
//! `benches/RESULTS.md`, its plots, and every run in `benches/results.json`. `--parts`, `--shapes` and `--mirrors` measure a
//! part of it again, in the place of what was there. `--failover` counts instead what consumers read again on the target,
//! `--exactness` measures what the promises cost, `--scale` what commands take on a large link; each writes only the section
//! on that.

mod bare;
mod clusters;
mod exactness;
mod failover;
mod idle;
mod latency;
mod load;
mod mirrors;
mod plots;
mod report;
mod results;
mod run;
mod scale;
mod shapes;
mod stats;
mod wire;

use std::{
    fs,
    path::{Path, PathBuf},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use anyhow::{Context, Result, bail, ensure};
use clap::{Parser, Subcommand, ValueEnum};

use clusters::{Pair, ensure_room};
use latency::Load;
use mirrors::Mirror;
use results::{Results, replace};
use shapes::{BACKLOG, SHAPES, Shape};

/// Measure isomirror and other mirrors on the same backlogs.
#[derive(Parser)]
struct Args {
    /// Counted runs of each mirror on each shape.
    #[arg(long, default_value_t = 3)]
    runs: usize,
    /// Which parts.
    #[arg(long, value_enum, value_delimiter = ',', default_values = ["backlogs", "latency", "idle"])]
    parts: Vec<Part>,
    /// Which backlogs; all unless given.
    #[arg(long, value_delimiter = ',', default_values = SHAPES.map(|shape| shape.name))]
    shapes: Vec<String>,
    /// Which mirrors, as far as a part has them; all unless given.
    #[arg(long, value_enum, value_delimiter = ',')]
    mirrors: Vec<Mirror>,
    /// Size of each backlog but the long one, in GB of keys, values and headers.
    #[arg(long, default_value_t = 2.0)]
    gb: f64,
    /// Size of the long backlog, in GB.
    #[arg(long, default_value_t = 10.0)]
    backlog_gb: f64,
    /// For how long a latency is measured, after half as long for warming up.
    #[arg(long, default_value_t = 60.0)]
    latency_seconds: f64,
    /// For how long idle partitions are watched.
    #[arg(long, default_value_t = 60.0)]
    idle_seconds: f64,
    /// Instead: what consumers read again and miss on the target, over so many failovers.
    #[arg(long, value_name = "TIMES", num_args = 0..=1, default_missing_value = "10")]
    failover: Option<usize>,
    /// Instead: what the promises cost, in so many runs of each.
    #[arg(long, value_name = "RUNS", num_args = 0..=1, default_missing_value = "5", conflicts_with = "failover")]
    exactness: Option<usize>,
    /// Instead: what commands take on a link of 2,000 partitions and 500 consumer groups.
    #[arg(long, conflicts_with_all = ["failover", "exactness"])]
    scale: bool,
    /// Write benches/RESULTS.md, with what belongs to it, after each shape; otherwise it is printed at the end.
    #[arg(long)]
    write: bool,
    /// Where RESULTS.md and the rest are, instead of benches/.
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    #[command(subcommand)]
    command: Option<Own>,
}

/// What can be measured by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Part {
    /// Backlogs.
    Backlogs,
    /// End-to-end latencies, at parts of the throughputs that were measured.
    Latency,
    /// Idle partitions.
    Idle,
    /// Nothing: the report is made again of what was measured before.
    None,
}

/// What this program calls itself for.
#[derive(Subcommand)]
enum Own {
    /// The bare loop.
    #[command(hide = true)]
    Bare(bare::Bare),
}

fn main() -> Result<()> {
    let args = Args::parse();
    if let Some(Own::Bare(bare)) = &args.command {
        return bare.run();
    }
    let dir = args.dir.clone().unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).to_owned());
    let (heading, section) = match (args.failover, args.exactness) {
        (Some(times), _) => (failover::HEADING, failover::run(times, &command_line())?),
        (_, Some(runs)) => (exactness::HEADING, exactness::run(runs, &command_line())?),
        (None, None) if args.scale => (scale::HEADING, scale::run(&command_line())?),
        (None, None) => return Bench::new(args, dir)?.run(),
    };
    let path = dir.join(report::FILE);
    let text = report::with_section(&fs::read_to_string(&path).unwrap_or_default(), heading, &section);
    println!("{text}");
    if args.write {
        fs::write(&path, text).with_context(|| format!("failed to write {}", path.display()))?;
    }
    Ok(())
}

/// What was called, without what does not change the figures.
fn command_line() -> String {
    let mut args: Vec<String> = std::env::args().skip(1).filter(|arg| arg != "--write").collect();
    if let Some(at) = args.iter().position(|arg| arg == "--dir") {
        args.drain(at..(at + 2).min(args.len()));
    }
    let release = if cfg!(debug_assertions) { "" } else { "--release " };
    format!("cargo run {release}-p isomirror-benches -- --write {}", args.join(" ")).trim_end().to_owned()
}

/// The whole benchmark, or the part of it that was asked for.
struct Bench {
    args: Args,
    dir: PathBuf,
    results: Results,
    command: String,
    /// When it began, in seconds since 1970.
    session: u64,
}

impl Bench {
    fn new(args: Args, dir: PathBuf) -> Result<Self> {
        ensure!(args.runs > 0, "no runs, no medians");
        let session = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        Ok(Self { results: Results::read(&dir)?, dir, command: command_line(), session, args })
    }

    fn run(mut self) -> Result<()> {
        let shapes = self.args.shapes.iter().map(|name| Shape::named(name)).collect::<Result<Vec<_>>>()?;
        for part in self.args.parts.clone() {
            match part {
                Part::Backlogs => self.backlogs(&shapes)?,
                Part::Latency => self.latency()?,
                Part::Idle => self.idle()?,
                Part::None => self.save()?,
            }
        }
        if !self.args.write {
            println!("{}", report::text(&self.results));
        }
        Ok(())
    }

    fn backlogs(&mut self, shapes: &[Shape]) -> Result<()> {
        let (near, far): (Vec<Shape>, Vec<Shape>) = shapes.iter().partition(|shape| shape.away == 0);
        if !near.is_empty() {
            let pair = Pair::start()?;
            near.iter().try_for_each(|shape| self.backlog(shape, &pair))?;
        }
        far.iter()
            .try_for_each(|shape| self.backlog(shape, &Pair::far(Duration::from_millis(shape.away.into()))?))
    }

    fn backlog(&mut self, shape: &Shape, pair: &Pair) -> Result<()> {
        let gb = if shape.name == BACKLOG { self.args.backlog_gb } else { self.args.gb };
        ensure_room((gb * 1e9) as u64)?;
        let loaded = load::load(shape, gb, &pair.source)?;
        let mirrors = self.those_of(&Mirror::on(shape));
        // They do not count: for brokers whose compilers have seen what each asks for.
        for mirror in &mirrors {
            run::measure(*mirror, shape, &loaded, pair)?;
        }
        let runs = self
            .in_turns(&mirrors, shape.name, |mirror| Ok(vec![run::measure(mirror, shape, &loaded, pair)?]))?;
        pair.clean(None)?;
        let results = self.results.shapes.entry(shape.name.to_owned()).or_default();
        replace(results, self.session, &self.command, runs);
        self.save()
    }

    fn latency(&mut self) -> Result<()> {
        let pair = Pair::start()?;
        // It does not count: for brokers that are warm.
        latency::measure(Mirror::Bare, self.rate(Load::High)?, self.args.latency_seconds, &pair)?;
        for load in Load::ALL {
            let rate = self.rate(load)?;
            let mut mirrors = self.those_of(&latency::MIRRORS);
            mirrors.retain(|mirror| load.is_for(*mirror));
            let seconds = self.args.latency_seconds;
            let runs = self.in_turns(&mirrors, load.title(), |mirror| {
                Ok(vec![latency::measure(mirror, rate, seconds, &pair)?])
            })?;
            replace(self.results.latency.entry(load).or_default(), self.session, &self.command, runs);
            self.save()?;
        }
        Ok(())
    }

    /// Records a second of a load, by what was measured before.
    fn rate(&self, load: Load) -> Result<f64> {
        let (mirror, part) = load.part();
        let series = self.results.on(latency::SHAPE, mirror);
        let rates = series
            .and_then(|of| stats::Spread::of(of.runs.iter().map(|run| run.records as f64 / run.running())));
        let Some(rates) = rates else {
            bail!(
                "the load is a part of the throughput of {} on shape {}: measure that before",
                mirror.title(),
                latency::SHAPE
            )
        };
        Ok(rates.median * part)
    }

    fn idle(&mut self) -> Result<()> {
        let pair = Pair::start()?;
        let mirrors = self.those_of(&idle::MIRRORS);
        let seconds = self.args.idle_seconds;
        let runs = self.in_turns(&mirrors, "idle partitions", |mirror| {
            idle::PARTITIONS.map(|count| idle::measure(mirror, count, seconds, &pair)).into_iter().collect()
        })?;
        replace(&mut self.results.idle, self.session, &self.command, runs);
        self.save()
    }

    /// Those of a part's mirrors that were asked for.
    fn those_of(&self, all: &[Mirror]) -> Vec<Mirror> {
        let asked = &self.args.mirrors;
        all.iter().copied().filter(|mirror| asked.is_empty() || asked.contains(mirror)).collect()
    }

    /// One run of each mirror after the other, again and again.
    fn in_turns<T: std::fmt::Debug>(
        &self,
        mirrors: &[Mirror],
        what: &str,
        mut measure: impl FnMut(Mirror) -> Result<Vec<T>>,
    ) -> Result<Vec<(Mirror, Vec<T>)>> {
        let mut all: Vec<(Mirror, Vec<T>)> = mirrors.iter().map(|mirror| (*mirror, Vec::new())).collect();
        for n in 1..=self.args.runs {
            for (mirror, runs) in &mut all {
                let new = measure(*mirror)?;
                eprintln!("{what} {n}/{} {}: {new:?}", self.args.runs, mirror.title());
                runs.extend(new);
            }
        }
        Ok(all)
    }

    fn save(&self) -> Result<()> {
        if !self.args.write {
            return Ok(());
        }
        self.results.write(&self.dir)?;
        let old = fs::read_to_string(self.dir.join(report::FILE)).unwrap_or_default();
        report::write(
            &self.results,
            &old,
            &[failover::HEADING, exactness::HEADING, scale::HEADING],
            &self.dir,
        )
    }
}
