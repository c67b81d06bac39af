//! What the writers of all lanes have in common.

use std::time::{Duration, Instant};

use kafka_wire::{Client, ProducerIdentity};
use mirror_types::{Acked, Lane, LaneEvent, Offset, StopKind};
use tokio::sync::mpsc;
use tracing::{info, warn};

use crate::{
    Metrics, RefusedPolicy, broker::Brokers, cleanup::Cleanups, fill::Filler, producer_id::ProducerIds,
    properties::Options, refusal::Refusal, transaction::Transactions,
};

/// How long the target may answer with passing trouble before the operator is told.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long a partition may be unknown to the target before it counts as gone.
pub(crate) const GONE: Duration = Duration::from_secs(5);

/// What they share.
pub(crate) struct Common {
    pub(crate) options: Options,
    pub(crate) client: Client,
    pub(crate) producer_ids: ProducerIds,
    pub(crate) brokers: Brokers,
    pub(crate) filler: Filler,
    pub(crate) cleanups: Cleanups,
    pub(crate) refused: RefusedPolicy,
    pub(crate) acks: mpsc::Sender<Acked>,
    pub(crate) events: mpsc::Sender<LaneEvent>,
    pub(crate) metrics: Metrics,
}

/// Trouble that passes, and since when it has lasted.
pub(crate) struct Trouble {
    since: Instant,
    tries: u32,
    told: bool,
}

impl Common {
    /// The transactions of a lane.
    pub(crate) fn transactions(&self, lane: &Lane, id: &str, producer: ProducerIdentity) -> Transactions {
        Transactions::new(lane.clone(), &self.client, id, producer, self.options.replication)
    }

    /// Counts a record that the target refused.
    pub(crate) fn count(&self, lane: &Lane, refusal: &Refusal) {
        if refusal.stop.kind == StopKind::Refused {
            self.metrics.refused(lane).inc();
        }
    }

    /// Counts records that stay behind, as the target is where they came from.
    pub(crate) fn returning(&self, lane: &Lane, records: u64) {
        if records > 0 {
            self.metrics.returning(lane).inc_by(records);
        }
    }

    /// Counts a record that is left out, and says so.
    pub(crate) async fn skipped(&self, lane: &Lane, offset: Offset, refusal: Refusal) {
        self.metrics.refused(lane).inc();
        let event = LaneEvent::Skipped { lane: lane.id(), offset, stop: refusal.stop };
        let _ = self.events.send(event).await;
    }
}

impl Trouble {
    pub(crate) fn new() -> Self {
        Self { since: Instant::now(), tries: 0, told: false }
    }

    pub(crate) fn lasting(&self) -> Duration {
        self.since.elapsed()
    }

    /// It goes on, as `why` says: the operator is told, once. Gives how long to wait before the next attempt.
    pub(crate) fn goes_on(&mut self, lane: &Lane, why: &dyn std::fmt::Display) -> Duration {
        if self.lasting() > PATIENCE && !self.told {
            self.told = true;
            warn!(%lane, "the target does not take its records, trying on: {why}");
        }
        self.tries += 1;
        Duration::from_millis(50 << self.tries.min(6)).min(Duration::from_secs(2))
    }

    /// It is over.
    pub(crate) fn is_over(&self, lane: &Lane) {
        if self.told {
            info!(%lane, "the target takes its records again, after {:.0?}", self.lasting());
        }
    }
}
