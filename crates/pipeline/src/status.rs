//! What the daemon says of itself: one value, for /status, /readyz, the page, the progress bar and `status`.

use std::collections::BTreeMap;

use cluster_audit::Health;
use serde::{Deserialize, Serialize};

/// The whole link, at one moment.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct LinkStatus {
    /// The link's name.
    pub link: String,
    /// isomirror's version.
    pub version: String,
    /// What carries the records: `batches` or `records`. Empty: the daemon is older than the word.
    #[serde(default)]
    pub engine: String,
    /// Seconds since the daemon started.
    pub uptime_seconds: f64,
    /// `starting`, `running`, `draining` or `stopped`.
    pub phase: String,
    /// Every lane is running, or paused as somebody has asked for, and both clusters are reachable.
    pub ready: bool,
    /// Why it is not ready, a sentence each.
    pub not_ready: Vec<String>,
    /// Of a pair, the other link runs, or neither does.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub resting: bool,
    /// Of a pair's daemon: both sites.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pair: Option<PairStatus>,
    /// The cluster that is read.
    pub source: ClusterStatus,
    /// The cluster that is written.
    pub target: ClusterStatus,
    /// All lanes together.
    pub totals: Totals,
    /// Topics that the rules name and that are not to be mirrored now: `waiting`, `paused` or `stopped`.
    #[serde(default)]
    pub held: BTreeMap<String, String>,
    /// Every lane, by topic and partition.
    pub lanes: Vec<LaneStatus>,
}

/// Two sites, and what a switchover between them would cost now.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PairStatus {
    /// The site that is active; none while neither link runs.
    pub active: Option<String>,
    /// The other one.
    pub standby: Option<String>,
    /// Records that would have to be drained.
    pub drain_records: u64,
    /// For how many seconds nobody could write, as a guess; none where that can't be told.
    pub seconds_without_writes: Option<f64>,
    /// Records that groups would read again that went over now, without waiting for them to catch up.
    pub read_again_records: u64,
    /// The age in seconds of the oldest of the groups' offsets on the standby; none if no group is kept in step.
    pub group_staleness_seconds: Option<f64>,
}

/// One of the two clusters.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ClusterStatus {
    /// The name it has in the configuration.
    pub name: String,
    /// Its cluster id, once known.
    pub cluster_id: Option<String>,
    /// Whether the last request to it was answered.
    pub reachable: bool,
    /// Why not, if not.
    pub error: Option<String>,
    /// How its brokers and replicas are; none where that is not asked for, or not yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub health: Option<ClusterHealth>,
}

/// How a cluster's brokers and replicas are.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct ClusterHealth {
    /// How long ago that was seen, in seconds; none where it never was.
    pub age_seconds: Option<f64>,
    /// What was seen then.
    #[serde(flatten)]
    pub seen: Health,
    /// Why it could not be seen since.
    pub trouble: Option<String>,
}

/// All lanes together.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Totals {
    /// Lanes there are.
    pub lanes: usize,
    /// Lanes that run.
    pub running: usize,
    /// Lanes that somebody has paused.
    #[serde(default)]
    pub paused: usize,
    /// Lanes that stopped in trouble.
    pub stopped: usize,
    /// Records acknowledged by the target since the daemon started.
    pub records: u64,
    /// Their key, value and header bytes.
    pub bytes: u64,
    /// Records that the target lacks.
    pub lag_records: u64,
    /// Their bytes, estimated from what was mirrored; 0 as long as nothing was.
    pub lag_bytes: u64,
    /// The oldest such record's age in seconds, over all lanes.
    pub lag_seconds: f64,
    /// Records acknowledged a second, over the last ten seconds.
    pub records_per_second: f64,
    /// Bytes acknowledged a second, over the last ten seconds.
    pub bytes_per_second: f64,
    /// Seconds until the target has all but what paused lanes lack, at the present rates; none if it does not come nearer,
    /// or if lanes that lack something are stopped.
    pub eta_seconds: Option<f64>,
    /// Bytes of the link's buffer in use.
    pub buffer_bytes: u64,
    /// Bytes the link's buffer has.
    pub buffer_limit_bytes: u64,
}

/// One lane.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct LaneStatus {
    /// The source topic.
    pub topic: String,
    /// The target topic.
    pub target_topic: String,
    /// The partition, on both sides.
    pub partition: i32,
    /// `starting`, `running`, `paused` or `stopped`.
    pub state: String,
    /// Why it stopped.
    pub reason: Option<String>,
    /// What to do about it.
    pub fix: Option<String>,
    /// The next source offset that the target lacks.
    pub position: Option<i64>,
    /// The source's log end offset.
    pub source_end: Option<i64>,
    /// The target's log end offset.
    pub target_end: Option<i64>,
    /// Records acknowledged since the daemon started.
    pub records: u64,
    /// Their key, value and header bytes.
    pub bytes: u64,
    /// Source offsets that the target lacks.
    pub lag_records: u64,
    /// Their bytes, estimated from what was mirrored.
    pub lag_bytes: u64,
    /// The age in seconds of the oldest record that the target lacks; 0 when there is none.
    pub lag_seconds: f64,
    /// What came of comparing both sides; none where that is not done, or not yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verified: Option<VerifiedStatus>,
}

/// What came of comparing both sides of a lane while it runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VerifiedStatus {
    /// The source offset before which nothing differs.
    pub offset: i64,
    /// Records that were compared and are the same, since the daemon started.
    pub equal: u64,
    /// Records that differ.
    pub differences: u64,
    /// Records on one side only of which it could not be told whether a log cleaner has taken the other.
    pub unproven: u64,
    /// The first that differs, and how.
    pub difference: Option<String>,
    /// What to do about it.
    pub fix: Option<String>,
    /// Why it could not be compared to its end when that was last tried.
    pub trouble: Option<String>,
}

// === impl LinkStatus ===

impl LinkStatus {
    /// Stopped lanes that lack something, or of which that is not known: nobody can say when they are caught up.
    pub fn held_back(&self) -> usize {
        self.lanes.iter().filter(|lane| lane.is_held_back()).count()
    }

    /// The bytes that the target lacks, estimated; none where no lane that lacks any has mirrored a record yet.
    pub fn lag_bytes(&self) -> Option<u64> {
        let lagging = || self.lanes.iter().filter(|lane| lane.lag_records > 0);
        let unknown = lagging().count() > 0 && lagging().all(|lane| lane.lag_bytes().is_none());
        (!unknown).then_some(self.totals.lag_bytes)
    }
}

// === impl LaneStatus ===

impl LaneStatus {
    /// The first record that differs, if the lane was compared and some do.
    pub fn differs(&self) -> Option<&str> {
        self.verified.as_ref()?.difference.as_deref()
    }

    /// Why it stopped, without its own name: for a line that begins with that.
    pub fn why(&self) -> Option<&str> {
        let reason = self.reason.as_deref()?;
        let rest = reason.strip_prefix(&*self.topic).unwrap_or(reason);
        let rest = rest.strip_prefix(&format!("[{}]", self.partition)).unwrap_or(rest);
        Some(rest.strip_prefix(": ").unwrap_or(reason))
    }

    /// The bytes that the target lacks, estimated; none where there is nothing yet to estimate from.
    pub fn lag_bytes(&self) -> Option<u64> {
        (self.lag_records == 0 || self.records > 0).then_some(self.lag_bytes)
    }

    pub(crate) fn is_held_back(&self) -> bool {
        self.state == "stopped" && (self.lag_records > 0 || self.position.is_none())
    }
}
