//! What the stage counts.

use mirror_types::{Lane, TopicPartition};
use prometheus::{IntCounter, IntCounterVec, Opts, Registry};

/// Counters of the pinned-producer.
#[derive(Debug, Clone)]
pub struct Metrics {
    refused: IntCounterVec,
    returning: IntCounterVec,
}

const LABELS: [&str; 3] = ["topic", "target_topic", "partition"];

impl Metrics {
    /// Registers the counters with `registry`.
    pub fn new(registry: &Registry) -> prometheus::Result<Self> {
        let refused = IntCounterVec::new(
            Opts::new(
                "isomirror_refused_records_total",
                "Records that the target refused: the lane stopped there, or they were skipped (policy.refused).",
            ),
            &LABELS,
        )?;
        let returning = IntCounterVec::new(
            Opts::new(
                "isomirror_returning_records_total",
                "Records that were not mirrored, as their origin says that they come to the target, or came from it, without \
                 this link (writers = \"shared\").",
            ),
            &LABELS,
        )?;
        registry.register(Box::new(refused.clone()))?;
        registry.register(Box::new(returning.clone()))?;
        Ok(Self { refused, returning })
    }

    pub(crate) fn returning(&self, lane: &Lane) -> IntCounter {
        let partition = lane.target.partition.to_string();
        self.returning.with_label_values(&[&*lane.source.at.topic, &*lane.target.topic, &partition])
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
        let partition = at.partition.to_string();
        for counters in [&self.refused, &self.returning] {
            let _ = counters.remove_label_values(&[&*at.topic, target_topic, &partition]);
        }
    }
}
