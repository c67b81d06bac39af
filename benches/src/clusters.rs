//! The two clusters that are mirrored between, for one shape after the other.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use kafka_harness::{
    Builder, Cluster,
    dist::{Dist, target_dir},
};
use kafka_wire::{Coordinator, To};

use crate::wire::{client, runtime};

/// A source and a target, of one broker each.
pub struct Pair {
    /// Where records come from.
    pub source: Cluster,
    /// Where they go.
    pub target: Cluster,
}

impl Pair {
    /// Starts both, as brokers run in production: all of the JVM's compilers, and its default collector.
    pub fn start() -> Result<Self> {
        Self::of(builder())
    }

    /// The same, with so much added to the way to the source and back.
    pub fn far(added: Duration) -> Result<Self> {
        let pair = Self::of(builder().proxied())?;
        pair.source.proxy(pair.source.broker_ids()[0]).set_latency(added / 2);
        Ok(pair)
    }

    fn of(source: Builder) -> Result<Self> {
        // No mirror's start is to pay for what is made only once: jars, and the brokers' own topic for groups.
        Dist::get(kafka_harness::MAIN_VERSION)?.mirror_maker_command()?;
        let [source, target] =
            [source.start().context("source cluster")?, builder().start().context("target cluster")?];
        for cluster in [&source, &target] {
            let (client, to) = (client(cluster)?, To::Coordinator(Coordinator::Group("benches")));
            runtime()?.block_on(async {
                let mut attempts = client.attempts();
                loop {
                    match client.connection(to).await {
                        // It is made when it is asked for, and takes a moment.
                        Err(error) if attempts.again(to, &error).await => {}
                        outcome => break outcome,
                    }
                }
            })?;
        }
        Ok(Self { source, target })
    }

    /// Deletes all topics but one of the source: what mirrors have left behind, too.
    pub fn clean(&self, keep: Option<&str>) -> Result<()> {
        for (cluster, keep) in [(&self.source, keep), (&self.target, None)] {
            let topics = runtime()?.block_on(client(cluster)?.topics())?;
            for topic in topics.iter().filter(|topic| !topic.internal && Some(&*topic.name) != keep) {
                cluster.delete_topic(&topic.name)?;
            }
        }
        Ok(())
    }

    /// User and system time of the source's broker and the target's so far, in seconds.
    pub fn cpu(&self) -> Result<[f64; 2]> {
        let of = |cluster: &Cluster| cluster.cpu_seconds(cluster.broker_ids()[0]);
        Ok([of(&self.source)?, of(&self.target)?])
    }

    /// Bytes that the target has of a topic.
    pub fn stored(&self, topic: &str) -> Result<u64> {
        let mut bytes = 0;
        for partition in std::fs::read_dir(self.target.data_dir(self.target.broker_ids()[0])?)? {
            let partition = partition?;
            let name = partition.file_name();
            let of_topic =
                name.to_str().and_then(|name| name.rsplit_once('-')).is_some_and(|(t, _)| t == topic);
            if !of_topic {
                continue;
            }
            for file in std::fs::read_dir(partition.path())? {
                let file = file?;
                if file.path().extension().is_some_and(|extension| extension == "log") {
                    bytes += file.metadata()?.len();
                }
            }
        }
        Ok(bytes)
    }
}

fn builder() -> Builder {
    // What a run has written makes room for the next soon: default a minute.
    Cluster::builder().full_jit().heap("1g").broker_config("log.segment.delete.delay.ms", "1000")
}

/// An error, where the disk has no room for so many bytes on both sides, and once more for what is being deleted.
pub fn ensure_room(bytes: u64) -> Result<()> {
    let disk = rustix::fs::statvfs(target_dir()).context("failed to look at the disk")?;
    let (free, needed) = (disk.f_bavail * disk.f_frsize, 3 * bytes + 1_000_000_000);
    ensure!(
        free >= needed,
        "{} MB are free on the disk, {} MB are needed",
        free / 1_000_000,
        needed / 1_000_000
    );
    Ok(())
}
