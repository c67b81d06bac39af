//! The same in the daemon: again and again, throttled, each lane from where the last round got to.
//!
//! A round compares the lanes that this instance has, one after the other, those with least to compare first. It reads over
//! connections of its own, and whatever goes wrong here is said, counted and tried again in the next round: no lane waits
//! for it, and none is stopped by what it finds. How far a lane is goes on record in the control topic, and whoever takes
//! the lane over goes on from there.

mod metrics;
mod seen;

use std::{
    collections::BTreeSet,
    sync::Arc,
    time::{Duration, SystemTime},
};

use kafka_wire::Purpose;
use mirror_types::{Offset, TopicPartition};
use pipeline::{
    Link, LinkConfig, StatusHandle, Throttle, VerifiedRecord,
    status::{LaneStatus, LinkStatus},
};
use prometheus::Registry;
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use self::{
    metrics::Metrics,
    seen::{Next, Seen},
};
use super::{
    Error, Memory, Pace, Progress, Request, Run,
    lane::compare,
    plan::{Admins, LanePlan, admins, both_topics, lanes},
};
use crate::sides::{Clusters, check_clusters, recorded};

/// How long one question may be tried: the next round comes anyway.
const PATIENCE: Duration = Duration::from_secs(5);
/// Lanes whose marks are in memory together.
const TOGETHER: usize = 100;
/// How often the metrics are brought up to date.
const SHOWN_EVERY: Duration = Duration::from_secs(1);
/// How often it is put on record how far lanes are.
const RECORDED_EVERY: Duration = Duration::from_secs(5);
/// How long the last record may take: the link ends after it.
const LAST_RECORD: Duration = Duration::from_millis(500);

/// How often, and how fast.
#[derive(Debug, Clone, Copy)]
pub struct WatchConfig {
    /// Time between the beginnings of two rounds.
    pub every: Duration,
    /// Bytes a second, read of both clusters together.
    pub rate: u64,
}

/// Compares while the link runs.
pub struct Watch {
    request: Request,
    every: Duration,
    run: Arc<Run>,
    admins: Admins,
    status: StatusHandle,
    record: VerifiedRecord,
    seen: Arc<Seen>,
    metrics: Metrics,
}

/// What came of it, for the link's status.
#[derive(Clone)]
pub struct Verified(Arc<Seen>);

impl Watch {
    /// Of the lanes that `link` runs. Nothing is asked of a cluster before `run`.
    pub fn new(
        config: WatchConfig,
        link_config: LinkConfig,
        link: &Link,
        registry: &Registry,
    ) -> Result<Self, Error> {
        let metrics = Metrics::new(registry)?;
        let seen = Arc::new(Seen::default());
        let pace = Pace { throttle: Throttle::new(Some(config.rate)), bytes: metrics.bytes.clone() };
        let run = Run {
            clusters: Clusters::new(&link_config, PATIENCE)?.for_purpose(Purpose::new("verify")),
            show: false,
            progress: Arc::new(Progress::default()),
            notes: seen.clone(),
            memory: Memory::OF_DAEMON,
            pace: Some(Arc::new(pace)),
        };
        Ok(Self {
            every: config.every,
            admins: admins(&link_config, PATIENCE),
            request: Request::of_all(link_config, PATIENCE),
            run: Arc::new(run),
            status: link.status(),
            record: link.verified_record(),
            seen,
            metrics,
        })
    }

    /// What has come of it, at any time.
    pub fn verified(&self) -> Verified {
        Verified(self.seen.clone())
    }

    /// Runs until `shutdown`. The link has to be told after it has ended: what was compared goes on record while the lanes
    /// are still this instance's.
    pub async fn run(self, shutdown: CancellationToken) {
        tokio::select! {
            () = shutdown.cancelled() => {}
            () = self.keep_comparing() => unreachable!("it goes on for ever"),
            () = self.keep_showing() => unreachable!("it goes on for ever"),
            () = self.keep_recording() => unreachable!("it goes on for ever"),
        }
        // What is not written is compared once more.
        let _ = timeout(LAST_RECORD, self.put_on_record()).await;
    }

    async fn keep_comparing(&self) {
        let mut round = ticks(self.every);
        loop {
            round.tick().await;
            let lanes = loop {
                match self.lanes() {
                    Some(lanes) => break lanes,
                    None => sleep(SHOWN_EVERY).await,
                }
            };
            let began = SystemTime::now();
            let failed = self.round(&lanes).await.err();
            match &failed {
                None => self.metrics.whole_round(began),
                Some(_) => self.metrics.failures.inc(),
            }
            if let Some(news) = self.seen.trouble(failed) {
                match news {
                    Some(trouble) => {
                        let trouble = trouble.replace("\n  fix: ", "; fix: ");
                        warn!("both sides can't be compared, trying again: {trouble}");
                    }
                    None => info!("both sides are compared again"),
                }
            }
        }
    }

    async fn keep_showing(&self) {
        let mut turn = ticks(SHOWN_EVERY);
        loop {
            turn.tick().await;
            let lanes = self.status.report().lanes;
            self.seen.keep(&lanes.iter().map(at).collect());
            self.metrics.show(&self.seen);
        }
    }

    async fn keep_recording(&self) {
        let mut turn = ticks(RECORDED_EVERY);
        loop {
            turn.tick().await;
            self.put_on_record().await;
        }
    }

    /// Those that could not be recorded stay due.
    async fn put_on_record(&self) {
        let due = self.seen.unrecorded();
        let failed = self.record.write(due.clone()).await;
        let written = due.into_iter().filter(|due| failed.iter().all(|(lane, _)| *lane != due.lane()));
        written.for_each(|written| self.seen.recorded(&written));
    }

    /// The lanes that have more than was compared, those with least of it first; none if there is no lane yet.
    fn lanes(&self) -> Option<Vec<TopicPartition>> {
        let known = self.status.report().lanes;
        let begun: Vec<_> = known.iter().filter(|lane| lane.state != "starting").collect();
        let mut lanes: Vec<(Offset, TopicPartition)> = begun
            .iter()
            .map(|lane| {
                let at = at(lane);
                let left = lane.position.map_or(Offset::MAX, |end| end - self.seen.done(&at).unwrap_or(0));
                (left, at)
            })
            .filter(|(left, _)| *left > 0)
            .collect();
        lanes.sort();
        (!begun.is_empty()).then(|| lanes.into_iter().map(|(_, at)| at).collect())
    }

    /// Looks at all these lanes once. Gives why some could not be compared.
    async fn round(&self, lanes: &[TopicPartition]) -> Result<(), String> {
        let mut troubles = Vec::new();
        for lanes in lanes.chunks(TOGETHER) {
            let wanted: BTreeSet<TopicPartition> = lanes.iter().cloned().collect();
            let mut plans = self.plan(&wanted).await.map_err(|error| error.to_string())?;
            plans.sort_by_key(LanePlan::offsets);
            for plan in plans {
                let at = plan.report.at();
                if let Some(trouble) = self.lane(plan).await.map_err(|error| error.to_string())? {
                    troubles.push(format!("{at}: {trouble}"));
                }
            }
        }
        match &troubles[..] {
            [] => Ok(()),
            [one] => Err(one.clone()),
            [first, ..] => Err(format!("{} lanes, the first of them {first}", troubles.len())),
        }
    }

    /// What there is to compare of these lanes.
    async fn plan(&self, wanted: &BTreeSet<TopicPartition>) -> Result<Vec<LanePlan>, Error> {
        let (link, clusters) = (&self.request.link, &self.run.clusters);
        let recorded = recorded(link, clusters, wanted).await?;
        for lane in &recorded {
            if let Some(through) = lane.verified {
                self.seen.recall(lane.ledger.start(), through);
            }
        }
        let ledgers: Vec<_> = recorded.into_iter().map(|lane| lane.ledger).collect();
        check_clusters(link, clusters, &ledgers).await?;
        let topics = both_topics(clusters).await?;
        Ok(lanes(&self.request, clusters, &self.admins, &topics, ledgers, &*self.seen, None).await)
    }

    /// Compares a lane as far as its target goes. Gives why that could not be done. A difference is told when a second look
    /// has found it too: what is deleted, or made again, while it is read may look like one.
    async fn lane(&self, mut plan: LanePlan) -> Result<Option<String>, Error> {
        let at = plan.report.at();
        loop {
            plan.to_first_difference = !self.seen.is_different(&at);
            let report = compare(self.run.clone(), plan).await?;
            match self.seen.judge(&report) {
                Next::Over => return Ok(report.trouble),
                Next::LookAgain => {}
                Next::Tell(words) => error!("{words}"),
            }
            match self.plan(&[at.clone()].into()).await?.pop() {
                Some(again) => plan = again,
                // Its marks were forgotten.
                None => return Ok(None),
            }
        }
    }
}

fn at(lane: &LaneStatus) -> TopicPartition {
    TopicPartition::new(&*lane.topic, lane.partition)
}

fn ticks(every: Duration) -> tokio::time::Interval {
    let mut ticks = interval(every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks
}

// === impl Verified ===

impl Verified {
    /// Puts it beside what the link says of its lanes.
    pub fn show_in(&self, status: &mut LinkStatus) {
        for lane in &mut status.lanes {
            lane.verified = self.0.status(&at(lane));
        }
    }
}
