//! What is mirrored: a topic, and what its records and batches are like.

use anyhow::{Context, Result};
use kafka_wire::records::Compression;

/// One backlog, however large.
#[derive(Debug, Clone, Copy)]
pub struct Shape {
    /// Its name on the command line, and for its topic.
    pub name: &'static str,
    /// For the report.
    pub title: &'static str,
    /// The topic's partitions.
    pub partitions: i32,
    /// Bytes a value.
    pub value_size: usize,
    /// Whether records have a key and four headers.
    pub headers: bool,
    /// How batches are compressed.
    pub compression: Compression,
    /// Records a batch.
    pub batch: u64,
    /// Whether it is written in transactions, of one batch in each partition; one more in 20 is aborted.
    pub transactional: bool,
    /// Milliseconds added to the way to the source broker and back.
    pub away: u32,
}

/// One with large batches and nothing special.
const fn large(
    name: &'static str,
    title: &'static str,
    value_size: usize,
    compression: Compression,
) -> Shape {
    let batch = 512_000 / value_size as u64;
    Shape {
        name,
        title,
        partitions: 8,
        value_size,
        headers: false,
        compression,
        batch,
        transactional: false,
        away: 0,
    }
}

/// The most that is written in one turn.
pub const BACKLOG: &str = "backlog";
/// What is read from far away.
pub const FAR: &str = "far";

const PLAIN: Shape = large("1k", "1 KiB", 1024, Compression::None);

/// All, in the order in which they are measured and reported.
pub const SHAPES: [Shape; 14] = [
    PLAIN,
    large("1k-lz4", "1 KiB, lz4", 1024, Compression::Lz4),
    large("1k-zstd", "1 KiB, zstd", 1024, Compression::Zstd),
    large("100b", "100 B", 100, Compression::None),
    large("100b-lz4", "100 B, lz4", 100, Compression::Lz4),
    Shape { headers: true, ..large("headers", "400 B, a key and four headers", 400, Compression::None) },
    Shape { name: "small", title: "1 KiB, 20 records a batch", batch: 20, ..PLAIN },
    Shape {
        name: "small-lz4",
        title: "1 KiB, lz4, 20 records a batch",
        batch: 20,
        compression: Compression::Lz4,
        ..PLAIN
    },
    Shape { name: "one-partition", title: "1 KiB, one partition", partitions: 1, ..PLAIN },
    Shape { name: "64-partitions", title: "1 KiB, 64 partitions", partitions: 64, ..PLAIN },
    Shape { name: "wide", title: "1 KiB, 1,000 partitions", partitions: 1000, batch: 100, ..PLAIN },
    Shape { name: "transactional", title: "1 KiB, transactions", batch: 100, transactional: true, ..PLAIN },
    Shape { name: BACKLOG, title: "1 KiB, a long backlog", ..PLAIN },
    Shape { name: FAR, title: "1 KiB, one partition, 100 ms away", partitions: 1, away: 100, ..PLAIN },
];

impl Shape {
    /// A shape by its name on the command line.
    pub fn named(name: &str) -> Result<Self> {
        let names = || SHAPES.map(|shape| shape.name).join(", ");
        let found = SHAPES.into_iter().find(|shape| shape.name == name);
        found.with_context(|| format!("no shape {name:?}; there are {}", names()))
    }

    /// The topic, on both sides.
    pub fn topic(&self) -> String {
        format!("bench-{}", self.name)
    }

    /// Bytes of key, value and headers of one record: what a GB is counted by.
    pub fn record_bytes(&self) -> usize {
        let headers = HEADERS.map(|name| name.len() + HEADER_SIZE).iter().sum::<usize>();
        self.value_size + if self.headers { KEY_SIZE + headers } else { 0 }
    }

    /// Batches in all, for at least so many bytes: as many in each partition.
    pub fn batches(&self, gb: f64) -> u64 {
        let partitions = self.partitions.unsigned_abs().into();
        let bytes = (gb * 1e9) as u64;
        bytes.div_ceil(self.batch * self.record_bytes() as u64).max(1).next_multiple_of(partitions)
    }

    /// For the report.
    pub fn about(&self) -> String {
        let codec = match self.compression {
            Compression::None => "no compression".to_owned(),
            codec => format!("{codec:?}").to_lowercase(),
        };
        let transactions = match self.transactional {
            true => ", in transactions of one batch in each partition (of 21, one is aborted)",
            false => "",
        };
        let partitions = if self.partitions == 1 { "partition" } else { "partitions" };
        let away = match self.away {
            0 => String::new(),
            ms => format!(", {ms} ms added to each answer of the source broker, half of it each way"),
        };
        format!(
            "{} {partitions}, records of {} B (key, value and headers), {} records a batch, {codec}{transactions}{away}",
            self.partitions,
            self.record_bytes(),
            self.batch
        )
    }
}

/// The names of the headers that records have, if they have any.
pub const HEADERS: [&str; 4] = ["trace-id", "span-id", "content-type", "origin"];
/// Bytes a header's value.
pub const HEADER_SIZE: usize = 16;
/// Bytes a key.
pub const KEY_SIZE: usize = 16;
