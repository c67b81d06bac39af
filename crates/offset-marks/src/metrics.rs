//! What the target has acknowledged, as metrics.

use mirror_types::{Acked, Offset, TopicPartition};
use prometheus::{IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry};

use crate::delays::{self, Delays, DelaysVec};

const LANE: [&str; 3] = ["topic", "target_topic", "partition"];

/// Metrics of acknowledged records.
#[derive(Debug, Clone)]
pub struct Metrics {
    records: IntCounterVec,
    bytes: IntCounterVec,
    position: IntGaugeVec,
    target_end: IntGaugeVec,
    replication: DelaysVec,
}

/// One lane's series, looked up once.
pub(crate) struct LaneMetrics {
    records: IntCounter,
    bytes: IntCounter,
    position: IntGauge,
    target_end: IntGauge,
    replication: Delays,
}

impl Metrics {
    /// Registers the metrics with `registry`.
    pub fn new(registry: &Registry) -> prometheus::Result<Self> {
        let counter = |name, help| IntCounterVec::new(Opts::new(name, help), &LANE);
        let gauge = |name, help| IntGaugeVec::new(Opts::new(name, help), &LANE);
        let metrics = Self {
            records: counter("isomirror_records_total", "Records that the target has acknowledged.")?,
            bytes: counter(
                "isomirror_bytes_total",
                "Key, value and header bytes that the target has acknowledged.",
            )?,
            position: gauge("isomirror_position", "The next source offset that the target lacks.")?,
            target_end: gauge("isomirror_target_end_offset", "The target partition's log end offset.")?,
            replication: delays::vec(
                Opts::new(
                    "isomirror_replication_seconds",
                    "From a record's timestamp to the target's acknowledgement, in seconds.",
                ),
                &LANE[..2],
            )?,
        };
        registry.register(Box::new(metrics.records.clone()))?;
        registry.register(Box::new(metrics.bytes.clone()))?;
        registry.register(Box::new(metrics.position.clone()))?;
        registry.register(Box::new(metrics.target_end.clone()))?;
        registry.register(Box::new(metrics.replication.clone()))?;
        Ok(metrics)
    }

    pub(crate) fn lane(&self, at: &TopicPartition, target_topic: &str) -> LaneMetrics {
        let partition = at.partition.to_string();
        let labels: [&str; 3] = [&at.topic, target_topic, &partition];
        LaneMetrics {
            records: self.records.with_label_values(&labels),
            bytes: self.bytes.with_label_values(&labels),
            position: self.position.with_label_values(&labels),
            target_end: self.target_end.with_label_values(&labels),
            replication: self.replication.with_label_values(&labels[..2]),
        }
    }

    /// Shows a lane's series from its start, before anything is acknowledged; but for the target's end, which
    /// has to be asked for first.
    pub fn lane_started(&self, at: &TopicPartition, target_topic: &str, position: Offset) {
        let partition = at.partition.to_string();
        let labels: [&str; 3] = [&at.topic, target_topic, &partition];
        self.records.with_label_values(&labels);
        self.bytes.with_label_values(&labels);
        self.position.with_label_values(&labels).set(position);
        self.replication.with_label_values(&labels[..2]);
    }

    /// The target's log end offset, when it was asked for.
    pub fn target_end(&self, at: &TopicPartition, target_topic: &str, offset: Offset) {
        let partition = at.partition.to_string();
        self.target_end.with_label_values(&[&*at.topic, target_topic, &partition]).set(offset);
    }

    /// Forgets a lane that is gone; with the last of a topic, the topic too.
    pub fn remove(&self, at: &TopicPartition, target_topic: &str, last: bool) {
        let partition = at.partition.to_string();
        let labels = [&at.topic, target_topic, &partition];
        let _ = self.records.remove_label_values(&labels);
        let _ = self.bytes.remove_label_values(&labels);
        let _ = self.position.remove_label_values(&labels);
        let _ = self.target_end.remove_label_values(&labels);
        if last {
            let _ = self.replication.remove_label_values(&labels[..2]);
        }
    }
}

impl LaneMetrics {
    pub(crate) fn acked(&self, acked: &Acked, now_ms: i64) {
        self.records.inc_by(acked.records);
        self.bytes.inc_by(acked.bytes);
        self.position.set(acked.next);
        self.target_end.set(acked.end.max(self.target_end.get()));
        for (timestamp, records) in acked.timestamps.iter().filter(|(timestamp, _)| *timestamp >= 0) {
            let seconds = (now_ms - timestamp).max(0) as f64 / 1000.0;
            self.replication.observe(seconds, *records);
        }
    }
}

/// Milliseconds since the epoch.
pub fn now_ms() -> i64 {
    std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .map_or(0, |since| since.as_millis() as i64)
}
