//! What is mirrored: a topic, its records, and who is measured on it.

use anyhow::{Result, bail};
use kafka_harness::{
    Cluster,
    client::{self, Load},
};

/// One backlog.
#[derive(Debug, Clone)]
pub struct Shape {
    /// For the report.
    pub title: &'static str,
    /// The topic, on both sides.
    pub topic: &'static str,
    /// Its partitions.
    pub partitions: i32,
    /// Records in all.
    pub records: u64,
    /// Bytes a value.
    pub value_size: usize,
    /// Whether MirrorMaker 2 is measured too.
    pub against_peer: bool,
}

impl Shape {
    /// A shape by its name on the command line.
    pub fn named(name: &str, backlog_gb: u64) -> Result<Self> {
        let shape = |title, topic, partitions, records, value_size, against_peer| Self {
            title,
            topic,
            partitions,
            records,
            value_size,
            against_peer,
        };
        Ok(match name {
            "1k" => shape("1 KiB values", "bench-1k", 8, 2_000_000, 1024, true),
            "100b" => shape("100 B values", "bench-100b", 8, 10_000_000, 100, true),
            "partitions" => shape("1,000 partitions, 1 KiB values", "bench-wide", 1000, 500_000, 1024, false),
            "backlog" => {
                let records = backlog_gb * 1_000_000_000 / 1024;
                shape("a long backlog, 1 KiB values", "bench-backlog", 8, records, 1024, false)
            }
            other => bail!("no shape {other:?}; there are 1k, 100b, partitions, backlog"),
        })
    }

    /// Key, value and header bytes in all: what a GB is counted by.
    pub fn bytes(&self) -> u64 {
        self.records * self.value_size as u64
    }

    /// Puts the backlog on the source.
    pub fn load(&self, source: &Cluster) -> Result<()> {
        source.create_topic(self.topic, self.partitions, 1, &[])?;
        client::load(
            &source.props(),
            self.topic,
            &Load {
                partitions: self.partitions,
                count: self.records,
                value_size: self.value_size,
                compressible: false,
                ..Load::default()
            },
        )
    }
}
