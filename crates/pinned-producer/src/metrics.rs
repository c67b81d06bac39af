//! What the stage counts.

use mirror_types::{Lane, TopicPartition};
use prometheus::{IntCounter, IntCounterVec, Opts, Registry};

/// Counters of the pinned-producer.
#[derive(Debug, Clone)]
pub struct Metrics {
    refused: IntCounterVec,
}

impl Metrics {
    /// Registers the counters with `registry`.
    pub fn new(registry: &Registry) -> prometheus::Result<Self> {
        let refused = IntCounterVec::new(
            Opts::new(
                "isomirror_refused_records_total",
                "Records that the target refused: the lane stopped there, or they were skipped (policy.refused).",
            ),
            &["topic", "target_topic", "partition"],
        )?;
        registry.register(Box::new(refused.clone()))?;
        Ok(Self { refused })
    }

    pub(crate) fn refused(&self, lane: &Lane) -> IntCounter {
        let partition = lane.target.partition.to_string();
        self.refused.with_label_values(&[&*lane.source.at.topic, &*lane.target.topic, &partition])
    }

    /// Shows a lane's series from its start, at 0.
    pub fn lane_started(&self, at: &TopicPartition, target_topic: &str) {
        self.refused.with_label_values(&[&*at.topic, target_topic, &at.partition.to_string()]);
    }

    /// Forgets a lane that is gone.
    pub fn remove(&self, at: &TopicPartition, target_topic: &str) {
        let _ = self.refused.remove_label_values(&[&*at.topic, target_topic, &at.partition.to_string()]);
    }
}
