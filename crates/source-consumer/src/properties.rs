//! The librdkafka properties of the source consumer: what correctness needs, and sizes that follow from the
//! link's buffer. What the user set for speed stays as set.

use kafka_rd::Properties;

use crate::Error;

/// What correctness needs, and why it can't be otherwise.
const FORCED: [(&str, &str, &str); 4] = [
    ("enable.auto.commit", "false", "positions are recorded only after the target has acknowledged"),
    ("enable.auto.offset.store", "false", "positions are recorded only after the target has acknowledged"),
    ("auto.offset.reset", "error", "a reset would hide lost records"),
    ("enable.partition.eof", "true", "the end of a partition is how a lane knows that it is caught up"),
];

const KIB: u64 = 1024;
const MIB: u64 = 1024 * KIB;

/// Completes the user's properties for a consumer that may prefetch `prefetch` bytes.
pub fn complete(mut properties: Properties, prefetch: u64) -> Result<Properties, Error> {
    for (property, value, why) in FORCED {
        match properties.get(property) {
            Some(set) if set != value => {
                return Err(Error::Forced { property, value: set.to_owned(), why });
            }
            _ => properties.set(property, value),
        };
    }
    // The prefetch queue counts payload only, and librdkafka keeps some 400 bytes a message beside it; so the
    // number of messages is bounded too, as if each had 1 KiB.
    let fetch = (prefetch / 2).clamp(64 * KIB, 8 * MIB);
    properties
        .set_default("client.id", "isomirror")
        .set_default("queued.max.messages.kbytes", (prefetch / 2 / KIB).max(1))
        .set_default("queued.min.messages", (prefetch / KIB).clamp(100, 100_000))
        .set_default("fetch.max.bytes", fetch)
        .set_default("fetch.message.max.bytes", (fetch / 2).min(MIB))
        // A full queue is looked at again after this long; the default, one second, would stall a small buffer.
        .set_default("fetch.queue.backoff.ms", 10)
        .set_default("fetch.error.backoff.ms", 100)
        // How long a topic that was made again may go unnoticed; the default is 5 minutes.
        .set_default("topic.metadata.refresh.interval.ms", 10_000)
        .set_default("receive.message.max.bytes", 1_000_000_000)
        .set_default("reconnect.backoff.max.ms", 2000)
        .set_default("socket.keepalive.enable", true)
        .set_default("check.crcs", true);
    // What it learns of topics, the change of an id above all; see `LogContext::topic_ids`.
    let debug = properties.get("debug").filter(|debug| !debug.is_empty());
    let debug = debug.map_or_else(|| "metadata".to_owned(), |debug| format!("{debug},metadata"));
    properties.set("debug", debug);
    // librdkafka refuses fetch.max.bytes below message.max.bytes, which is the producer's.
    properties.set("message.max.bytes", "1000");
    Ok(properties)
}
