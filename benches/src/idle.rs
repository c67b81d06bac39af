//! What partitions cost in which nothing happens.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use kafka_harness::process::{cpu_seconds, status_bytes};
use kafka_wire::records::Compression;
use serde::{Deserialize, Serialize};

use crate::{
    clusters::Pair,
    load::load,
    mirrors::{Goal, Mirror},
    run::watch,
    shapes::Shape,
};

/// Whose cost is measured.
pub const MIRRORS: [Mirror; 4] = [Mirror::Batches, Mirror::Records, Mirror::Mm2, Mirror::None];
/// How many partitions there are: the difference of the two is what one costs.
pub const PARTITIONS: [i32; 2] = [1, 1000];
/// For so long nothing is measured, once the one record of each partition is mirrored.
const SETTLE: Duration = Duration::from_secs(10);

/// What was measured.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Run {
    /// How many partitions.
    pub partitions: i32,
    /// CPU of the mirror, in seconds a second.
    pub cpu: f64,
    /// Resident memory of the mirror at the end, in bytes.
    pub rss: u64,
    /// CPU of the source broker, in seconds a second.
    pub source_cpu: f64,
    /// CPU of the target broker, in seconds a second.
    pub target_cpu: f64,
}

/// Watches one mirror for so long.
pub fn measure(mirror: Mirror, partitions: i32, seconds: f64, pair: &Pair) -> Result<Run> {
    let shape = Shape {
        name: "idle",
        title: "idle partitions",
        partitions,
        value_size: 1024,
        headers: false,
        compression: Compression::None,
        batch: 1,
        transactional: false,
        away: 0,
    };
    let topic = shape.topic();
    let loaded = load(&shape, 0.0, &pair.source)?;
    pair.target.create_topic(&topic, partitions, 1, &[])?;
    let mut process = match mirror {
        Mirror::None => None,
        mirror => Some(mirror.start(Goal::Throughput, &shape, &pair.source, &pair.target)?),
    };
    if let Some(process) = &mut process {
        watch(process, &pair.target, &topic, mirror.offsets(&loaded), Instant::now())
            .with_context(|| format!("{} on {partitions} idle partitions", mirror.title()))?;
    }
    let cpu = || -> Result<[f64; 3]> {
        let [source, target] = pair.cpu()?;
        Ok([process.as_ref().map_or(Ok(0.0), |process| cpu_seconds(process.pid()))?, source, target])
    };
    std::thread::sleep(SETTLE);
    let (begun, before) = (Instant::now(), cpu()?);
    std::thread::sleep(Duration::from_secs_f64(seconds));
    let (passed, after) = (begun.elapsed().as_secs_f64(), cpu()?);
    let rss = process.as_ref().map_or(Ok(0), |process| status_bytes(process.pid(), "VmRSS:"))?;
    if let Some(mut process) = process {
        process.check()?;
        process.stop();
    }
    pair.clean(None)?;
    let [cpu, source_cpu, target_cpu] = [0, 1, 2].map(|of| (after[of] - before[of]) / passed);
    Ok(Run { partitions, cpu, rss, source_cpu, target_cpu })
}
