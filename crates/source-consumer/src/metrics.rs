//! What the stage counts.

use mirror_types::{GapCause, TopicPartition};
use prometheus::{IntCounterVec, Opts, Registry};

const LANE: [&str; 2] = ["topic", "partition"];

/// Counters of the source-consumer.
#[derive(Debug, Clone)]
pub struct Metrics {
    gaps: IntCounterVec,
    lost: IntCounterVec,
}

impl Metrics {
    /// Registers the counters with `registry`.
    pub fn new(registry: &Registry) -> prometheus::Result<Self> {
        let gaps = IntCounterVec::new(
            Opts::new(
                "isomirror_gap_offsets_total",
                "Source offsets with nothing visible at them, by cause: compaction, transaction, retention, recreated.",
            ),
            &[LANE[0], LANE[1], "cause"],
        )?;
        let lost = IntCounterVec::new(
            Opts::new(
                "isomirror_lost_records_total",
                "Source offsets that were gone before they could be read.",
            ),
            &LANE,
        )?;
        registry.register(Box::new(gaps.clone()))?;
        registry.register(Box::new(lost.clone()))?;
        Ok(Self { gaps, lost })
    }

    pub(crate) fn lane_started(&self, at: &TopicPartition) {
        self.lost.with_label_values(&[&at.topic, &*at.partition.to_string()]);
    }

    /// Counts source offsets with nothing visible at them.
    pub fn gap(&self, at: &TopicPartition, cause: GapCause, offsets: u64) {
        let partition = at.partition.to_string();
        self.gaps.with_label_values(&[&*at.topic, &partition, cause.as_str()]).inc_by(offsets);
        if cause.is_loss() {
            self.lost.with_label_values(&[&*at.topic, &partition]).inc_by(offsets);
        }
    }

    /// Forgets a lane that is gone.
    pub fn remove(&self, at: &TopicPartition) {
        let partition = at.partition.to_string();
        for cause in [GapCause::Compaction, GapCause::Transaction, GapCause::Retention, GapCause::Recreated] {
            let _ = self.gaps.remove_label_values(&[&*at.topic, &partition, cause.as_str()]);
        }
        let _ = self.lost.remove_label_values(&[&*at.topic, &partition]);
    }
}
