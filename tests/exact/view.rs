//! What a client sees of a topic: every record's place and a digest of its content, read by librdkafka's consumer, by
//! Kafka's own (`Dump.java`) or by aiokafka's (`Dump.py`), none of which shares code with the mirror's way of reading.

use std::collections::BTreeMap;

use kafka_harness::{
    Cluster,
    client::{self, Isolation, read_each},
    java, python,
};
use rdkafka::message::{Headers, Message};

use crate::content::{NUMBER, STRANGER, digest, fnv};

/// A record as far as comparing needs it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seen {
    /// Where it lies.
    pub offset: i64,
    /// Timestamp, key, value and headers.
    pub digest: u64,
    /// The key alone.
    pub key: u64,
    /// Whether its value is null.
    pub tombstone: bool,
    /// The number that its writer gave it; none, if it is not of our sources.
    pub number: Option<u64>,
}

/// One partition.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Log {
    /// Log start and log end, whatever the isolation level.
    pub bounds: (i64, i64),
    /// In the order they were read.
    pub records: Vec<Seen>,
}

/// All partitions of a topic.
pub type View = BTreeMap<i32, Log>;

/// Who reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reader {
    /// rdkafka's.
    Librdkafka,
    /// Kafka's.
    Java,
    /// That of Python, which has nothing of either.
    Aiokafka,
}

/// Reads a topic to its end as of now. Records of strangers (see [`STRANGER`]) are left out.
pub fn view(cluster: &Cluster, topic: &str, isolation: Isolation, reader: Reader) -> View {
    let bounds = client::watermarks(&cluster.props(), topic).expect("the topic has bounds");
    let mut view: View =
        bounds.into_iter().map(|(p, bounds)| (p, Log { bounds, records: Vec::new() })).collect();
    let partitions = view.len();
    let mut add = |partition: i32, seen: Seen| {
        view.get_mut(&partition).expect("a known partition").records.push(seen);
    };
    match reader {
        Reader::Librdkafka => {
            read_each(&cluster.props(), topic, isolation, |message| {
                let headers = message.headers().map(|h| h.iter().map(|h| (h.key, h.value)).collect());
                let mut headers: Vec<(&str, Option<&[u8]>)> = headers.unwrap_or_default();
                // What the mirror itself writes on records of shared topics is no content.
                headers.retain(|(name, _)| !name.starts_with("isomirror.origin"));
                if headers.iter().any(|(name, _)| *name == STRANGER) {
                    return;
                }
                let time = message.timestamp().to_millis().unwrap_or(-1);
                add(
                    message.partition(),
                    Seen {
                        offset: message.offset(),
                        digest: digest(time, message.key(), message.payload(), &headers),
                        key: fnv(message.key().unwrap_or_default()),
                        tombstone: message.payload().is_none(),
                        number: headers.iter().find(|(name, _)| *name == NUMBER).and_then(|(_, value)| {
                            Some(u64::from_be_bytes(value.as_ref()?[..].try_into().ok()?))
                        }),
                    },
                );
            })
            .expect("the topic can be read");
        }
        Reader::Java => {
            let args = [&*cluster.internal_bootstrap(), topic, level(isolation), NUMBER, STRANGER];
            let lines = java::run(cluster.dist(), "Dump", include_str!("Dump.java"), &args);
            parse_all(&lines.expect("Kafka's consumer reads the topic"), add);
        }
        Reader::Aiokafka => {
            let (bootstrap, partitions) = (cluster.internal_bootstrap(), partitions.to_string());
            let args = [&*bootstrap, topic, &partitions, level(isolation), NUMBER, STRANGER];
            let lines = python::run(include_str!("requirements.txt"), include_str!("Dump.py"), &args);
            parse_all(&lines.expect("aiokafka's consumer reads the topic"), add);
        }
    }
    view
}

fn level(isolation: Isolation) -> &'static str {
    match isolation {
        Isolation::Committed => "read_committed",
        Isolation::Uncommitted => "read_uncommitted",
    }
}

fn parse_all(lines: &str, mut add: impl FnMut(i32, Seen)) {
    for line in lines.lines() {
        let (partition, seen) = parse(line).unwrap_or_else(|| panic!("a Dump printed {line:?}"));
        add(partition, seen);
    }
}

/// A line of a `Dump`: partition, offset, digest, key, whether it is a tombstone, number or `-`.
fn parse(line: &str) -> Option<(i32, Seen)> {
    let fields: Vec<&str> = line.split(' ').collect();
    let [partition, offset, digest, key, tombstone, number] = fields[..] else { return None };
    let hex = |text: &str| u64::from_str_radix(text, 16).ok();
    Some((
        partition.parse().ok()?,
        Seen {
            offset: offset.parse().ok()?,
            digest: hex(digest)?,
            key: hex(key)?,
            tombstone: tombstone == "1",
            number: if number == "-" { None } else { Some(hex(number)?) },
        },
    ))
}
