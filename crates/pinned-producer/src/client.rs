//! The librdkafka producer: what correctness needs of its properties, and one client a batch size.
//!
//! librdkafka's `batch.size` is one for all topics of a client, and a batch over a topic's
//! `max.message.bytes` is refused whole. So topics that take less than the usual size get a client of
//! their own.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering::Relaxed},
};

use kafka_rd::{LogContext, PinnedSender, Properties};

use crate::Error;

/// librdkafka's own default: 1 MB less what Kafka's default `max.message.bytes` (1,048,588) leaves for headers.
const USUAL_BATCH: u64 = 1_000_000;

const FORCED: [(&str, &str, &str); 2] = [
    ("enable.idempotence", "true", "order and one copy of each record depend on it"),
    ("delivery.report.only.error", "false", "every acknowledgement is checked"),
];

/// A producer for topics that take batches of its size.
pub(crate) struct Client {
    pub(crate) sender: Arc<PinnedSender>,
    /// It has failed for good: librdkafka's idempotent producer does so rather than risk a wrong order.
    dead: AtomicBool,
}

impl Client {
    pub(crate) fn new(properties: &Properties, context: LogContext, batch: u64) -> Result<Arc<Self>, Error> {
        let properties = complete(properties.clone(), batch)?;
        let sender = PinnedSender::new(&properties.client_config(), context).map_err(Error::Client)?;
        Ok(Arc::new(Self { sender, dead: AtomicBool::new(false) }))
    }

    pub(crate) fn is_dead(&self) -> bool {
        self.dead.load(Relaxed)
    }

    pub(crate) fn check(&self) {
        if !self.is_dead() && self.sender.fatal().is_some() {
            self.dead.store(true, Relaxed);
        }
    }
}

/// The batch size for a topic that takes `limit` bytes.
pub(crate) fn batch_size(limit: Option<u64>) -> u64 {
    match limit {
        Some(limit) if limit < USUAL_BATCH => 1 << limit.max(2).ilog2(),
        _ => USUAL_BATCH,
    }
}

fn complete(mut properties: Properties, batch: u64) -> Result<Properties, Error> {
    for (property, value, why) in FORCED {
        match properties.get(property) {
            Some(set) if set != value => {
                return Err(Error::Forced { property, value: set.to_owned(), why });
            }
            _ => properties.set(property, value),
        };
    }
    for (acks, why) in
        [("acks", "anything less loses records with their leader"), ("request.required.acks", "as acks")]
    {
        if let Some(value) = properties.get(acks).filter(|v| !matches!(*v, "all" | "-1")) {
            return Err(Error::Forced {
                property: if acks == "acks" { "acks" } else { "request.required.acks" },
                value: value.to_owned(),
                why,
            });
        }
    }
    if properties.get("transactional.id").is_some() {
        return Err(Error::Forced {
            property: "transactional.id",
            value: "…".to_owned(),
            why: "isomirror does not write in transactions",
        });
    }
    if properties.get("queue.buffering.max.ms").is_none() {
        properties.set_default("linger.ms", 5);
    }
    if properties.get("batch.size").is_none_or(|set| set.parse().is_ok_and(|set: u64| set > batch)) {
        properties.set("batch.size", batch.to_string());
    }
    properties
        .set_default("client.id", "isomirror")
        // What waits here is bounded by the link's buffer, record by record; these must not bound it again.
        .set_default("queue.buffering.max.messages", 0)
        .set_default("queue.buffering.max.kbytes", 2_147_483_647)
        // How large a record may be is the target topic's to say.
        .set_default("message.max.bytes", 1_000_000_000)
        // A record is tried until the target is back, however long that takes.
        .set_default("message.timeout.ms", 0)
        // How long a topic that was grown or made again may go unnoticed; the default is 5 minutes.
        .set_default("topic.metadata.refresh.interval.ms", 10_000)
        .set_default("reconnect.backoff.max.ms", 2000)
        .set_default("socket.keepalive.enable", true);
    Ok(properties)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_never_exceeds_what_the_topic_takes() {
        for limit in [1, 100, 65_536, 100_000, 999_999, 1_000_000, 1_048_588, 10_000_000] {
            let batch = batch_size(Some(limit));
            assert!(batch <= limit.max(2) && batch <= USUAL_BATCH, "{limit}: {batch}");
        }
        assert_eq!(batch_size(None), USUAL_BATCH);
    }

    #[test]
    fn less_than_acks_all_is_refused() {
        let mut properties = Properties::new();
        properties.set("acks", "1");
        assert!(
            complete(properties, USUAL_BATCH).unwrap_err().to_string().contains("`acks` can't be set to `1`")
        );
    }
}
