//! Where partitions begin and end, with one request a broker however many there are.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::{Offset, TopicPartitionList};

use super::{Isolation, config};
use crate::{cluster::POLL, daemon::PATIENCE};

pub(super) const TIMEOUT: Duration = Duration::from_secs(30);

/// The log end of every partition of a topic (control records count).
pub fn end_offsets(props: &[(String, String)], topic: &str) -> Result<BTreeMap<i32, i64>> {
    query(&consumer(props, Isolation::Uncommitted)?, topic, Offset::End)
}

/// The log start of every partition of a topic.
pub fn start_offsets(props: &[(String, String)], topic: &str) -> Result<BTreeMap<i32, i64>> {
    query(&consumer(props, Isolation::Uncommitted)?, topic, Offset::Beginning)
}

/// Log start and log end of every partition of a topic.
pub fn watermarks(props: &[(String, String)], topic: &str) -> Result<BTreeMap<i32, (i64, i64)>> {
    let consumer = consumer(props, Isolation::Uncommitted)?;
    let ends = query(&consumer, topic, Offset::End)?;
    let starts = query(&consumer, topic, Offset::Beginning)?;
    Ok(starts.into_iter().filter_map(|(p, start)| Some((p, (start, *ends.get(&p)?)))).collect())
}

/// Waits until a topic's first partition ends behind an offset: asks over one connection and without a pause, for whoever
/// is to be there in time.
pub fn wait_for_end(props: &[(String, String)], topic: &str, behind: i64) -> Result<i64> {
    let consumer = consumer(props, Isolation::Uncommitted)?;
    let deadline = Instant::now() + PATIENCE;
    loop {
        let end = query(&consumer, topic, Offset::End)?.get(&0).copied().context("no partition 0")?;
        if end > behind {
            return Ok(end);
        }
        ensure!(
            Instant::now() < deadline,
            "{topic}[0] ends at {end}, not behind {behind}, after {PATIENCE:?}"
        );
    }
}

pub(super) fn consumer(props: &[(String, String)], isolation: Isolation) -> Result<BaseConsumer> {
    let level = match isolation {
        Isolation::Uncommitted => "read_uncommitted",
        Isolation::Committed => "read_committed",
    };
    config(props)
        // It is never joined, but librdkafka assigns no partitions without a name.
        .set("group.id", "kafka-harness-reader")
        .set("enable.auto.commit", "false")
        .set("enable.partition.eof", "true")
        .set("auto.offset.reset", "error")
        .set("isolation.level", level)
        .set("check.crcs", "true")
        .set("fetch.message.max.bytes", "8388608")
        .set("queued.max.messages.kbytes", "131072")
        // With the default of 1 s a full queue makes reading crawl.
        .set("fetch.queue.backoff.ms", "5")
        .create()
        .context("failed to make a consumer")
}

pub(super) fn query(consumer: &BaseConsumer, topic: &str, at: Offset) -> Result<BTreeMap<i32, i64>> {
    let metadata = consumer.fetch_metadata(Some(topic), TIMEOUT).context("failed to get metadata")?;
    let found =
        metadata.topics().iter().find(|t| t.name() == topic).with_context(|| format!("no topic {topic}"))?;
    if let Some(error) = found.error() {
        let code = rdkafka::types::RDKafkaErrorCode::from(error);
        bail!("topic {topic}: {code}");
    }
    let mut list = TopicPartitionList::new();
    for partition in found.partitions() {
        list.add_partition_offset(topic, partition.id(), at)?;
    }
    let end = Instant::now() + TIMEOUT;
    loop {
        match ask(consumer, list.clone()) {
            Err(error) if settling(&error) && Instant::now() < end => std::thread::sleep(POLL),
            answer => return answer.with_context(|| format!("failed to get offsets of {topic}")),
        }
    }
}

fn ask(consumer: &BaseConsumer, list: TopicPartitionList) -> Result<BTreeMap<i32, i64>, KafkaError> {
    let mut offsets = BTreeMap::new();
    for element in consumer.offsets_for_times(list, TIMEOUT)?.elements() {
        element.error()?;
        let Offset::Offset(offset) = element.offset() else {
            return Err(KafkaError::OffsetFetch(RDKafkaErrorCode::InvalidTimestamp));
        };
        offsets.insert(element.partition(), offset);
    }
    Ok(offsets)
}

/// Whether a partition is about to be led: a new one is in the metadata before its leader has made
/// its log, which takes seconds for a thousand of them.
fn settling(error: &KafkaError) -> bool {
    matches!(
        error.rdkafka_error_code(),
        Some(
            RDKafkaErrorCode::NotLeaderForPartition
                | RDKafkaErrorCode::LeaderNotAvailable
                | RDKafkaErrorCode::ReplicaNotAvailable
                | RDKafkaErrorCode::UnknownLeaderEpoch
                | RDKafkaErrorCode::FencedLeaderEpoch
                | RDKafkaErrorCode::BrokerTransportFailure
        )
    )
}
