//! How far both sides were found to be the same, and what was not.

use std::{
    collections::BTreeSet,
    sync::{Mutex, PoisonError},
    time::{SystemTime, UNIX_EPOCH},
};

use prometheus::{Gauge, IntCounter, IntCounterVec, IntGaugeVec, Opts, Registry, core::Collector};

use super::seen::Seen;

const LANE: [&str; 3] = ["topic", "target_topic", "partition"];

/// The comparison's metrics.
pub(super) struct Metrics {
    verified: IntGaugeVec,
    differences: IntCounterVec,
    last_round: Gauge,
    pub(super) bytes: IntCounter,
    pub(super) failures: IntCounter,
    /// The labels of lanes that have series.
    shown: Mutex<BTreeSet<[String; 3]>>,
}

impl Metrics {
    pub(super) fn new(registry: &Registry) -> prometheus::Result<Self> {
        let opts = Opts::new;
        let metrics = Self {
            verified: IntGaugeVec::new(
                opts(
                    "isomirror_verified_offset",
                    "The source offset before which both sides were read and are the same.",
                ),
                &LANE,
            )?,
            differences: IntCounterVec::new(
                opts("isomirror_verify_differences_total", "Records that differ between source and target."),
                &LANE,
            )?,
            last_round: Gauge::new(
                "isomirror_verify_last_round_timestamp_seconds",
                "When the last round began that has compared every lane.",
            )?,
            bytes: IntCounter::new(
                "isomirror_verify_bytes_total",
                "Bytes that were read of both clusters to compare them.",
            )?,
            failures: IntCounter::new(
                "isomirror_verify_failures_total",
                "Rounds in which not every lane could be compared.",
            )?,
            shown: Mutex::default(),
        };
        let all: [Box<dyn Collector>; 5] = [
            Box::new(metrics.verified.clone()),
            Box::new(metrics.differences.clone()),
            Box::new(metrics.last_round.clone()),
            Box::new(metrics.bytes.clone()),
            Box::new(metrics.failures.clone()),
        ];
        all.into_iter().try_for_each(|collector| registry.register(collector))?;
        Ok(metrics)
    }

    /// A round that began then has compared every lane.
    pub(super) fn whole_round(&self, began: SystemTime) {
        self.last_round.set(began.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64());
    }

    /// Brings lanes up to what is known; series of lanes that are gone go away.
    pub(super) fn show(&self, seen: &Seen) {
        let mut now = BTreeSet::new();
        for (at, target, verified, differing) in seen.lanes() {
            let labels = [at.topic.to_string(), target, at.partition.to_string()];
            self.verified.with_label_values(&labels).set(verified);
            let counter = self.differences.with_label_values(&labels);
            counter.inc_by(differing.saturating_sub(counter.get()));
            now.insert(labels);
        }
        let mut shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        for gone in shown.difference(&now) {
            let _ = self.verified.remove_label_values(gone);
            let _ = self.differences.remove_label_values(gone);
        }
        *shown = now;
    }
}
