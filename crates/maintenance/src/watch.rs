//! Clusters' health beside a link that runs: asked for again and again, for metrics and the page.
//!
//! Nothing waits for it, and nothing stops by what it finds.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use cluster_audit::Health;
use prometheus::{GaugeVec, IntGaugeVec, Opts, Registry};

use crate::{Cluster, gather_without_disks};

const SIDE: [&str; 1] = ["side"];

/// Looks while the link runs.
pub struct Watch {
    clusters: Vec<(&'static str, Cluster)>,
    every: Duration,
    metrics: Metrics,
    seen: Seen,
}

/// What was last seen of each cluster.
#[derive(Clone, Default)]
pub struct Seen(Arc<Mutex<BTreeMap<&'static str, Look>>>);

/// What was seen.
#[derive(Debug, Clone)]
pub struct Look {
    /// When it was last seen.
    pub at: Option<Instant>,
    /// What was seen then.
    pub health: Health,
    /// Why it could not be seen since.
    pub trouble: Option<String>,
}

/// One of the numbers.
type Count = fn(&Health) -> usize;

struct Metrics {
    counts: [(IntGaugeVec, Count); 8],
    time: GaugeVec,
}

impl Metrics {
    fn new(registry: &Registry) -> prometheus::Result<Self> {
        let gauge = |name: &str, help: &str, of: Count| {
            let gauge = IntGaugeVec::new(Opts::new(format!("isomirror_cluster_{name}"), help), &SIDE)?;
            registry.register(Box::new(gauge.clone()))?;
            Ok::<_, prometheus::Error>((gauge, of))
        };
        let counts = [
            gauge("brokers", "Brokers that the cluster has, those that are down included.", |h| h.brokers)?,
            gauge("brokers_down", "Brokers that replicas are assigned to and that are down.", |h| {
                h.brokers_down
            })?,
            gauge("partitions", "Partitions of all topics, Kafka's own included.", |h| h.partitions)?,
            gauge("offline_partitions", "Partitions without a leader.", |h| h.offline)?,
            gauge("under_min_isr_partitions", "Partitions that refuse acks=all.", |h| h.under_min_isr)?,
            gauge("under_replicated_partitions", "Partitions of which a replica is not in sync.", |h| {
                h.under_replicated
            })?,
            gauge("single_replica_partitions", "Partitions that have one replica.", |h| h.single_replica)?,
            gauge(
                "not_preferred_leaders",
                "Partitions whose preferred leader could lead, and does not.",
                |h| h.not_preferred,
            )?,
        ];
        let time = GaugeVec::new(
            Opts::new("isomirror_cluster_audit_timestamp_seconds", "When the cluster was last looked at."),
            &SIDE,
        )?;
        registry.register(Box::new(time.clone()))?;
        Ok(Self { counts, time })
    }

    fn show(&self, side: &str, health: &Health) {
        for (gauge, of) in &self.counts {
            gauge.with_label_values(&[side]).set(i64::try_from(of(health)).unwrap_or(i64::MAX));
        }
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        self.time.with_label_values(&[side]).set(now.as_secs_f64());
    }
}

impl Seen {
    /// What was last seen of a side.
    pub fn of(&self, side: &str) -> Option<Look> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(side).cloned()
    }

    fn note(&self, side: &'static str, outcome: Result<Health, String>) {
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let look =
            seen.entry(side).or_insert_with(|| Look { at: None, health: Health::default(), trouble: None });
        match outcome {
            Ok(health) => *look = Look { at: Some(Instant::now()), health, trouble: None },
            Err(trouble) => look.trouble = Some(trouble),
        }
    }
}

impl Watch {
    /// Of these clusters, by their sides. Nothing is asked of them before `run`.
    pub fn new(
        clusters: Vec<(&'static str, Cluster)>,
        every: Duration,
        registry: &Registry,
    ) -> prometheus::Result<Self> {
        Ok(Self { clusters, every, metrics: Metrics::new(registry)?, seen: Seen::default() })
    }

    /// What it sees.
    pub fn seen(&self) -> Seen {
        self.seen.clone()
    }

    /// Looks, for ever.
    pub async fn run(self) {
        let mut rounds = tokio::time::interval(self.every);
        rounds.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut told = BTreeMap::new();
        loop {
            rounds.tick().await;
            for (side, cluster) in &self.clusters {
                let found = gather_without_disks(cluster).await;
                if let Ok(found) = &found
                    && told.insert(*side, found.hidden.clone()).unwrap_or_default() != found.hidden
                    && !found.hidden.is_empty()
                {
                    tracing::warn!(
                        "the {side} is audited without what is not seen: {}",
                        found.hidden.join("; ")
                    );
                }
                let found = found.map(|found| Health::of(&found.facts));
                match &found {
                    Ok(health) => self.metrics.show(side, health),
                    Err(error) => tracing::warn!("the {side} could not be audited: {error}"),
                }
                self.seen.note(side, found.map_err(|error| error.to_string()));
            }
        }
    }
}
