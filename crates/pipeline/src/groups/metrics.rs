//! How far groups on the target are from what they are on the source.

use prometheus::{GaugeVec, IntCounter, IntGaugeVec, Opts, Registry};

use super::seen::Seen;

/// The groups' metrics.
pub(super) struct Metrics {
    staleness: GaugeVec,
    read_again: IntGaugeVec,
    failures: IntCounter,
}

impl Metrics {
    pub(super) fn new(registry: &Registry) -> prometheus::Result<Self> {
        let metrics = Self {
            staleness: GaugeVec::new(
                Opts::new(
                    "isomirror_group_offset_staleness_seconds",
                    "Seconds since the group's offsets on the target were last seen to be what they were on the source.",
                ),
                &["group"],
            )?,
            read_again: IntGaugeVec::new(
                Opts::new(
                    "isomirror_group_reread_if_failed_over_records",
                    "Records that the group would read again if its consumers went on on the target now.",
                ),
                &["group"],
            )?,
            failures: IntCounter::new(
                "isomirror_group_sync_failures_total",
                "Times that groups, or a group's offsets, could not be looked at or committed.",
            )?,
        };
        registry.register(Box::new(metrics.staleness.clone()))?;
        registry.register(Box::new(metrics.read_again.clone()))?;
        registry.register(Box::new(metrics.failures.clone()))?;
        Ok(metrics)
    }

    pub(super) fn failed(&self) {
        self.failures.inc();
    }

    /// Brings the gauges up to what is known; series of groups that are gone go away.
    pub(super) fn show(&self, seen: &Seen) {
        for group in seen.gone() {
            let _ = self.staleness.remove_label_values(&[group]);
            let _ = self.read_again.remove_label_values(&[group]);
        }
        for (group, staleness, read_again) in seen.groups() {
            self.staleness.with_label_values(&[group]).set(staleness.as_secs_f64());
            let read_again = i64::try_from(read_again).unwrap_or(i64::MAX);
            self.read_again.with_label_values(&[group]).set(read_again);
        }
    }
}
