//! A histogram that takes many records of the same age at once. prometheus' own takes one at a time, and a batch has
//! thousands: that was a sixth of the daemon's CPU (benches/, `--shapes 100b-lz4`).

use std::sync::{Arc, Mutex, PoisonError};

use prometheus::{
    Opts, Result,
    core::{MetricVec, MetricVecBuilder},
    proto,
};

/// Upper bounds of its buckets, in seconds.
const BOUNDS: [f64; 15] =
    [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 3600.0];

/// One for each choice of labels.
pub(crate) type DelaysVec = MetricVec<Builder>;

/// How long records took.
#[derive(Debug, Clone)]
pub(crate) struct Delays {
    labels: Vec<proto::LabelPair>,
    counts: Arc<Mutex<Counts>>,
}

#[derive(Debug, Default)]
struct Counts {
    /// Each bucket's own, not those of the smaller ones; the last is of what is over all bounds.
    buckets: [u64; BOUNDS.len() + 1],
    seconds: f64,
}

/// Makes them, for [`DelaysVec`].
#[derive(Debug, Clone)]
pub(crate) struct Builder;

pub(crate) fn vec(opts: Opts, labels: &[&str]) -> Result<DelaysVec> {
    let labels = labels.iter().map(|label| (*label).to_owned()).collect();
    MetricVec::create(proto::MetricType::HISTOGRAM, Builder, opts.variable_labels(labels))
}

impl Delays {
    /// So many records took so long.
    pub(crate) fn observe(&self, seconds: f64, records: u64) {
        let bucket = BOUNDS.partition_point(|bound| *bound < seconds);
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        counts.buckets[bucket] += records;
        counts.seconds += seconds * records as f64;
    }
}

impl prometheus::core::Metric for Delays {
    fn metric(&self) -> proto::Metric {
        let counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let mut up_to = 0;
        let mut buckets = Vec::with_capacity(BOUNDS.len());
        for (bound, count) in BOUNDS.iter().zip(counts.buckets) {
            up_to += count;
            let mut bucket = proto::Bucket::default();
            bucket.set_upper_bound(*bound);
            bucket.set_cumulative_count(up_to);
            buckets.push(bucket);
        }
        let mut histogram = proto::Histogram::default();
        histogram.set_bucket(buckets);
        histogram.set_sample_count(counts.buckets.iter().sum());
        histogram.set_sample_sum(counts.seconds);
        let mut metric = proto::Metric::from_label(self.labels.clone());
        metric.set_histogram(histogram);
        metric
    }
}

impl MetricVecBuilder for Builder {
    type M = Delays;
    type P = Opts;

    fn build<V: AsRef<str>>(&self, opts: &Opts, values: &[V]) -> Result<Delays> {
        let pair = |(name, value): (&String, &V)| {
            let mut pair = proto::LabelPair::default();
            pair.set_name(name.clone());
            pair.set_value(value.as_ref().to_owned());
            pair
        };
        let mut labels: Vec<_> = opts.variable_labels.iter().zip(values).map(pair).collect();
        labels.sort();
        Ok(Delays { labels, counts: Arc::default() })
    }
}

#[cfg(test)]
mod tests {
    use prometheus::{Encoder, Histogram, HistogramOpts, HistogramVec, Registry, TextEncoder};

    use super::*;

    fn shown(registry: &Registry) -> String {
        let mut text = Vec::new();
        TextEncoder::new().encode(&registry.gather(), &mut text).unwrap();
        String::from_utf8(text).unwrap()
    }

    #[test]
    fn it_says_what_prometheus_own_says_of_the_same_records() {
        let records = [(0.0, 3), (0.005, 2), (0.0051, 5000), (7.0, 1), (3600.0, 4), (3601.0, 6), (1e9, 1)];
        let (ours, theirs) = (Registry::new(), Registry::new());
        let delays = vec(Opts::new("took_seconds", "Took."), &["topic", "target_topic"]).unwrap();
        ours.register(Box::new(delays.clone())).unwrap();
        let opts = HistogramOpts::new("took_seconds", "Took.").buckets(BOUNDS.to_vec());
        let single = HistogramVec::new(opts, &["topic", "target_topic"]).unwrap();
        theirs.register(Box::new(single.clone())).unwrap();

        let delays = delays.with_label_values(&["a", "b"]);
        let single: Histogram = single.with_label_values(&["a", "b"]);
        for (seconds, count) in records {
            delays.observe(seconds, count);
            (0..count).for_each(|_| single.observe(seconds));
        }
        let lines = |text: &str| -> Vec<String> {
            text.lines().filter(|line| !line.contains("_sum")).map(str::to_owned).collect()
        };
        assert_eq!(lines(&shown(&ours)), lines(&shown(&theirs)));
        let sum: f64 = records.iter().map(|(seconds, count)| seconds * *count as f64).sum();
        assert!(
            shown(&ours).contains(&format!("took_seconds_sum{{target_topic=\"b\",topic=\"a\"}} {sum}\n"))
        );
    }
}
