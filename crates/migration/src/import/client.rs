//! One side's Java client properties as librdkafka's.
//!
//! Owns which are carried over, and the reason for each that is not. What a side's stage would refuse is never set.

use std::{collections::BTreeMap, ops::RangeInclusive};

use mirror_types::Side;

use super::{
    common::start_latest,
    draft::{Draft, Section},
    note::{ImportError, Place},
    properties::{Entry, Properties},
    security,
    value::{Providers, Value},
};
use crate::check::Severity;

/// A property of a client, as MirrorMaker would give it.
pub(super) struct Given {
    pub value: Value,
    pub place: Place,
}

/// The properties of one side, by Java's names.
pub(super) type Client = BTreeMap<String, Given>;

impl Given {
    /// An entry of a file.
    pub fn of(file: &Properties, entry: &Entry, providers: &Providers) -> Self {
        let value = match entry.key.ends_with("sasl.jaas.config") {
            true => providers.read_login(&entry.value),
            false => providers.read(&entry.value),
        };
        Self { value, place: file.place(entry) }
    }

    /// The text of a value that has to be known while it is imported.
    pub fn text(&self) -> Result<&str, ImportError> {
        match &self.value {
            Value::Text(text) => Ok(text),
            _ => {
                let fix = "write the value itself there while it is imported";
                Err(ImportError::new(self.place.clone(), "its value comes from a config provider", fix))
            }
        }
    }
}

/// For speed: Java's name, librdkafka's, what makes sense there, and Kafka's default, which is not carried over.
const CARRIED: [(&str, &str, RangeInclusive<i64>, &[i64]); 8] = [
    ("fetch.min.bytes", "fetch.min.bytes", 1..=100_000_000, &[1]),
    ("fetch.max.wait.ms", "fetch.wait.max.ms", 0..=50_000, &[500]),
    ("fetch.wait.max.ms", "fetch.wait.max.ms", 0..=50_000, &[100]),
    ("fetch.max.bytes", "fetch.max.bytes", 1000..=512 << 20, &[50 << 20]),
    ("max.partition.fetch.bytes", "fetch.message.max.bytes", 1000..=512 << 20, &[1 << 20]),
    ("fetch.message.max.bytes", "fetch.message.max.bytes", 1000..=512 << 20, &[1 << 20]),
    ("receive.buffer.bytes", "socket.receive.buffer.bytes", 1..=100_000_000, &[64 << 10, 32 << 10, -1]),
    ("send.buffer.bytes", "socket.send.buffer.bytes", 1..=100_000_000, &[128 << 10, -1]),
];

/// What isomirror decides itself, or has no use for: keys, or beginnings of them, and why.
const OURS: [(&str, &str); 16] = [
    ("acks request.required.acks", "always all: anything less loses records with their leader"),
    (
        "enable.idempotence transactional.id transaction.* max.in.flight.* retries retry.* message.send.max.retries",
        "isomirror itself sees to it that records keep their order and arrive once",
    ),
    ("delivery.timeout.ms max.block.ms", "a lane tries until the target takes its records"),
    (
        "enable.auto.commit auto.commit.* offsets.* dual.commit.enabled consumer.timeout.ms",
        "isomirror's position is the end of the target's log, not a committed offset",
    ),
    (
        "isolation.level",
        "isomirror mirrors what is committed, as read_committed shows it, unless [source.kafka] says read_uncommitted",
    ),
    (
        "compression.* compressed.topics",
        "batches stay compressed as they are on the source; \"compression.type\" in [target.kafka] has all made anew",
    ),
    (
        "linger.ms batch.size batch.num.messages queue.* queued.* producer.type",
        "batches go on as the source has them, and isomirror puts small ones together",
    ),
    ("max.request.size", "how large a record may be is up to the target topic's max.message.bytes alone"),
    ("key.* value.* serializer.class", "records go through as bytes"),
    ("partitioner.*", "a record of partition p lands in partition p"),
    (
        "session.timeout.ms heartbeat.* group.* max.poll.* partition.assignment.strategy rebalance.*",
        "isomirror's instances share the work in a group of their own, on the target; its session.timeout.ms (20 s) can \
         be set in [target.kafka]",
    ),
    (
        "metric* auto.include.jmx.reporter enable.metrics.push",
        "isomirror's metrics are at /metrics of admin.listen",
    ),
    (
        "request.timeout.ms default.api.timeout.ms metadata.* reconnect.* connections.* socket.* client.dns.lookup",
        "isomirror has its own times: \"socket.timeout.ms\" and \"reconnect.backoff.ms\" can be set",
    ),
    ("topic.metadata.* refresh.*", "topics are looked at every `refresh` of [topics]"),
    (
        "exclude.internal.topics allow.auto.create.topics check.crcs",
        "internal topics are never mirrored, `create` of [topics] says who makes topics, checksums are always looked at",
    ),
    ("zookeeper.* zk.* num.consumer.fetchers config.providers* security.providers", "isomirror needs none"),
];

/// Turns a side's properties into its section. What is said of topics and limits goes there.
pub(super) fn convert(
    draft: &mut Draft,
    side: Side,
    mut client: Client,
    providers: &Providers,
) -> Result<(), ImportError> {
    let section = Section::of(side);
    if let Some(given) = client.remove("bootstrap.servers") {
        let value = match &given.value {
            Value::Variable(name) => Value::Variable(name.clone()),
            _ => Value::Text(servers(given.text()?, &given.place)?),
        };
        draft.property(side, "bootstrap.servers", &value, &given.place);
    }
    security::convert(draft, side, &mut client, providers);
    let mut rest: Vec<(String, Given)> = client.into_iter().collect();
    rest.sort_by_key(|(_, given)| given.place.line);
    for (name, given) in rest {
        let Given { value, place } = &given;
        match name.as_str() {
            "client.id" | "client.rack" => draft.property(side, &name, value, place),
            "auto.offset.reset" if side == Side::Source => start(draft, &given),
            "buffer.memory" if side == Side::Target => buffer(draft, &given),
            "interceptor.classes" => {
                let message = "an interceptor is code, and can't be carried over";
                draft.note(section, Severity::Warning, place.clone(), message);
            }
            name => match CARRIED.iter().find(|(java, ..)| *java == name) {
                Some((_, property, range, defaults)) => {
                    number(draft, section, &given, (property, range, defaults))
                }
                None => match reason(&OURS, name) {
                    Some(why) => draft.note(section, Severity::Info, place.clone(), *why),
                    None => draft.note(section, Severity::Warning, place.clone(), unknown(place)),
                },
            },
        }
    }
    Ok(())
}

/// The entry of a table that a key matches: by its name, or by a beginning that ends in `*`.
pub(super) fn reason<'t, T>(table: &'t [(&str, T)], key: &str) -> Option<&'t T> {
    let matches = |known: &str| match known.strip_suffix('*') {
        Some(beginning) => key.starts_with(beginning),
        None => key == known,
    };
    table.iter().find(|(keys, _)| keys.split_whitespace().any(matches)).map(|(_, entry)| entry)
}

pub(super) fn unknown(place: &Place) -> &'static str {
    match place.key {
        Some(_) => "not known, so not carried over",
        None => "not known, so not carried over (its name is not shown: it may be a piece of a secret)",
    }
}

/// The list of brokers without blanks and protocols. A login in it is not shown.
fn servers(list: &str, place: &Place) -> Result<String, ImportError> {
    let entry = |entry: &str| {
        let server = entry.rsplit_once("://").map_or(entry, |(_, server)| server).trim_end_matches('/');
        let port = server.rsplit_once(':').is_some_and(|(host, port)| {
            !host.is_empty() && !host.contains('@') && port.parse::<u16>().is_ok_and(|port| port > 0)
        });
        port.then(|| server.to_owned())
    };
    let entries = list.split(',').map(str::trim).filter(|server| !server.is_empty());
    match entries.map(entry).collect::<Option<Vec<_>>>() {
        Some(servers) if !servers.is_empty() => Ok(servers.join(",")),
        _ => {
            let fix = "write host:port, as in broker-1:9092, and a comma between two of them";
            Err(ImportError::new(place.clone(), "it is no list of brokers", fix))
        }
    }
}

fn number(draft: &mut Draft, section: Section, given: &Given, to: (&str, &RangeInclusive<i64>, &[i64])) {
    let (property, range, defaults) = to;
    let number = match &given.value {
        Value::Text(text) => text.parse::<i64>().ok(),
        _ => None,
    };
    let (severity, message) = match number {
        Some(number) if defaults.contains(&number) => {
            (Severity::Info, "it is Kafka's default; isomirror's own follows from limits.buffer".to_owned())
        }
        Some(number) if range.contains(&number) => return draft.set_number(section, property, number),
        _ => {
            let (least, most) = (range.start(), range.end());
            (Severity::Warning, format!("not carried over: \"{property}\" takes {least} to {most}"))
        }
    };
    draft.note(section, severity, given.place.clone(), message);
}

/// Where MirrorMaker starts without a committed offset.
fn start(draft: &mut Draft, given: &Given) {
    let text = match &given.value {
        Value::Text(text) => text.to_ascii_lowercase(),
        _ => String::new(),
    };
    match text.as_str() {
        "earliest" | "smallest" => draft.set(Section::Topics, "start", "earliest"),
        "latest" | "largest" => start_latest(draft, given.place.clone()),
        _ => {
            draft.set(Section::Topics, "start", "earliest");
            let message = "there is no start like it: topics start at their first record; \"latest\" and a time are possible";
            draft.note(Section::Topics, Severity::Warning, given.place.clone(), message);
        }
    }
}

fn buffer(draft: &mut Draft, given: &Given) {
    const DEFAULT: u64 = 64 << 20;
    let bytes = match &given.value {
        Value::Text(text) => text.parse::<u64>().ok(),
        _ => None,
    };
    match bytes {
        Some(bytes) if (DEFAULT + 1..=64 << 30).contains(&bytes) => {
            draft.set(Section::Limits, "buffer", &format!("{bytes}B"));
        }
        _ => {
            let message =
                "limits.buffer bounds what isomirror holds in memory; it stays at its default, 64MiB";
            draft.note(Section::Limits, Severity::Info, given.place.clone(), message);
        }
    }
}
