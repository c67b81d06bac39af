//! Lag, lane states, cluster and buffer metrics: what only the whole link knows.

use mirror_types::{Budget, Side, TopicPartition};
use prometheus::{Gauge, GaugeVec, IntGauge, IntGaugeVec, Opts, Registry};

use crate::{
    Error,
    book::{Book, LaneEntry, LaneState},
    config::LinkConfig,
};

const LANE: [&str; 3] = ["topic", "target_topic", "partition"];

/// The link's own metrics.
pub(crate) struct Metrics {
    lag_records: IntGaugeVec,
    lag_bytes: IntGaugeVec,
    lag_seconds: GaugeVec,
    source_end: IntGaugeVec,
    lane_state: IntGaugeVec,
    cluster_up: IntGaugeVec,
    buffer: IntGauge,
}

impl Metrics {
    pub(crate) fn new(registry: &Registry, config: &LinkConfig) -> Result<Self, Error> {
        let gauge = |name, help, labels: &[&str]| {
            let gauge = IntGaugeVec::new(Opts::new(name, help), labels)?;
            registry.register(Box::new(gauge.clone()))?;
            prometheus::Result::Ok(gauge)
        };
        let lag_seconds = GaugeVec::new(
            Opts::new(
                "isomirror_lag_seconds",
                "Age in seconds of the oldest source record that the target lacks; 0 when there is none.",
            ),
            &LANE,
        )?;
        registry.register(Box::new(lag_seconds.clone()))?;
        let state: Vec<&str> = LANE.into_iter().chain(["state"]).collect();
        let metrics = Self {
            lag_records: gauge("isomirror_lag_records", "Source offsets that the target lacks.", &LANE)?,
            lag_bytes: gauge(
                "isomirror_lag_bytes",
                "Bytes that the target lacks, estimated from the mean size of the records mirrored.",
                &LANE,
            )?,
            lag_seconds,
            source_end: gauge(
                "isomirror_source_end_offset",
                "The source partition's end: its last stable offset, or with read_uncommitted its log end.",
                &LANE,
            )?,
            lane_state: gauge(
                "isomirror_lane_state",
                "1 for the state that the lane is in, else 0.",
                &state,
            )?,
            cluster_up: gauge(
                "isomirror_cluster_up",
                "1 if the cluster answered the last request.",
                &["side"],
            )?,
            buffer: IntGauge::new(
                "isomirror_buffer_bytes",
                "Bytes of records held between source and target.",
            )?,
        };
        registry.register(Box::new(metrics.buffer.clone()))?;
        let limit = IntGauge::new("isomirror_buffer_limit_bytes", "limits.buffer, in bytes.")?;
        limit.set(i64::try_from(config.buffer).unwrap_or(i64::MAX));
        registry.register(Box::new(limit))?;
        let build = Opts::new("isomirror_build_info", "Always 1; the version is a label.");
        let build = Gauge::with_opts(build.const_label("version", config.version))?;
        build.set(1.0);
        registry.register(Box::new(build))?;
        Ok(metrics)
    }

    /// Brings every gauge up to what the book says.
    pub(crate) fn show(&self, book: &Book, budget: &Budget) {
        self.buffer.set(i64::try_from(budget.used()).unwrap_or(i64::MAX));
        for (side, cluster) in [(Side::Source, &book.source), (Side::Target, &book.target)] {
            let side = side.to_string();
            self.cluster_up.with_label_values(&[&side]).set(i64::from(cluster.up == Some(true)));
        }
        for (at, lane) in &book.lanes {
            self.show_lane(at, lane);
        }
    }

    fn show_lane(&self, at: &TopicPartition, lane: &LaneEntry) {
        let partition = at.partition.to_string();
        let labels: [&str; 3] = [&at.topic, &lane.target.topic, &partition];
        self.lag_records.with_label_values(&labels).set(lane.lag() as i64);
        self.lag_bytes.with_label_values(&labels).set(lane.lag_bytes() as i64);
        self.lag_seconds.with_label_values(&labels).set(lane.lag_seconds());
        if let Some(end) = lane.source_end.max(lane.position()) {
            self.source_end.with_label_values(&labels).set(end);
        }
        for state in LaneState::ALL {
            let labels = [labels[0], labels[1], labels[2], state];
            self.lane_state.with_label_values(&labels).set(i64::from(lane.state.as_str() == state));
        }
    }

    /// Forgets a lane that is gone.
    pub(crate) fn remove(&self, at: &TopicPartition, target_topic: &str) {
        let partition = at.partition.to_string();
        let labels: [&str; 3] = [&at.topic, target_topic, &partition];
        let _ = self.lag_records.remove_label_values(&labels);
        let _ = self.lag_bytes.remove_label_values(&labels);
        let _ = self.lag_seconds.remove_label_values(&labels);
        let _ = self.source_end.remove_label_values(&labels);
        for state in LaneState::ALL {
            let _ = self.lane_state.remove_label_values(&[labels[0], labels[1], labels[2], state]);
        }
    }
}
