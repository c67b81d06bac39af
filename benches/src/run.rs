//! One mirror's run over one backlog, measured.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use kafka_harness::{
    Cluster,
    process::{cpu_seconds, status_bytes},
};
use serde::{Deserialize, Serialize};

use crate::{
    bare,
    clusters::Pair,
    load::Loaded,
    mirrors::{Goal, Mirror, Running},
    shapes::Shape,
    wire::Ends,
};

/// For so long nothing may arrive.
const STALLED: Duration = Duration::from_secs(300);
/// So long a run may take.
const LIMIT: Duration = Duration::from_secs(3600);

/// What was measured.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Run {
    /// Records of the backlog, without those that were aborted.
    pub records: u64,
    /// Bytes of their keys, values and headers.
    pub bytes: u64,
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
    /// CPU of the source broker meanwhile, in seconds.
    pub source_cpu: f64,
    /// CPU of the target broker meanwhile, in seconds.
    pub target_cpu: f64,
    /// Bytes of the topic on the target's disk.
    pub stored: u64,
}

impl Run {
    /// 10⁹ bytes of keys, values and headers.
    pub fn gb(&self) -> f64 {
        self.bytes as f64 / 1e9
    }

    /// From the first record on, in seconds.
    pub fn running(&self) -> f64 {
        self.seconds - self.first
    }
}

/// Has one mirror copy what was loaded.
pub fn measure(mirror: Mirror, shape: &Shape, loaded: &Loaded, pair: &Pair) -> Result<Run> {
    let topic = shape.topic();
    // The topic is there beforehand for all, so that none pays for making it.
    pair.target.create_topic(&topic, shape.partitions, 1, &[])?;
    let before = pair.cpu()?;
    let started = Instant::now();
    let mut process = mirror.start(Goal::Throughput, shape, &pair.source, &pair.target)?;
    let goal = mirror.offsets(loaded);
    let watched = match mirror {
        Mirror::FetchOnly => watch_with(&mut process, goal, started, |process| {
            let log = process.log();
            let first = u64::from(log.contains(bare::FIRST));
            Ok(if log.contains(bare::DONE) { goal } else { first })
        }),
        _ => watch(&mut process, &pair.target, &topic, goal, started),
    };
    let Watched { seconds, first, cpu_first } =
        watched.with_context(|| format!("{} on {}", mirror.title(), shape.title))?;
    let cpu = cpu_seconds(process.pid())?;
    let after = pair.cpu()?;
    let peak_rss = status_bytes(process.pid(), "VmHWM:")?;
    process.stop();
    let run = Run {
        records: loaded.records,
        bytes: loaded.bytes,
        seconds,
        first,
        cpu,
        cpu_running: cpu - cpu_first,
        peak_rss,
        source_cpu: after[0] - before[0],
        target_cpu: after[1] - before[1],
        stored: pair.stored(&topic)?,
    };
    pair.clean(Some(&topic))?;
    Ok(run)
}

/// What is seen of a run on its target.
pub struct Watched {
    /// From the start to the last record, in seconds.
    pub seconds: f64,
    /// From the start to the first record, in seconds.
    pub first: f64,
    /// The process' user and system time up to there, in seconds.
    pub cpu_first: f64,
}

/// Waits until a topic of the target holds so many offsets.
pub fn watch(
    process: &mut Running,
    target: &Cluster,
    topic: &str,
    offsets: u64,
    started: Instant,
) -> Result<Watched> {
    let ends = Ends::of(target, topic)?;
    watch_with(process, offsets, started, |_| ends.sum())
}

/// Waits until something has come so far.
fn watch_with(
    process: &mut Running,
    goal: u64,
    started: Instant,
    come: impl Fn(&Running) -> Result<u64>,
) -> Result<Watched> {
    let mut first = None;
    let (mut last, mut since) = (0, Instant::now());
    loop {
        let there = come(process)?;
        if there > 0 && first.is_none() {
            first = Some((started.elapsed().as_secs_f64(), cpu_seconds(process.pid())?));
        }
        if let Some((first, cpu_first)) = first
            && there >= goal
        {
            return Ok(Watched { seconds: started.elapsed().as_secs_f64(), first, cpu_first });
        }
        if there != last {
            (last, since) = (there, Instant::now());
        }
        process.check()?;
        if since.elapsed() > STALLED || started.elapsed() > LIMIT {
            let (still, all) = (since.elapsed(), started.elapsed());
            bail!(
                "{there} of {goal} offsets after {all:.0?}, the last of them {still:.0?} ago:\n{}",
                process.log()
            );
        }
        std::thread::sleep(Duration::from_millis(if first.is_none() { 20 } else { 50 }));
    }
}
