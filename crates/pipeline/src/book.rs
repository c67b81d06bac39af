//! The book: every lane and both clusters, as the link's tasks know them now. Plain data; no I/O.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
    time::{Duration, Instant},
};

use mirror_types::{Budget, LaneId, Offset, Side, SourceChange, SourceLane, Stop, StopKind, TopicPartition};
use offset_marks::{LaneProgress, now_ms};
use pinned_producer::Offsets;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::{
    TopicPlan,
    config::LinkConfig,
    marks::ClusterIds,
    status::{ClusterStatus, LaneStatus, LinkStatus, Totals},
};

/// Rates are over this long.
const RATE_WINDOW: Duration = Duration::from_secs(10);
/// A keeper that has not turned round for this long is stuck.
const STUCK: Duration = Duration::from_secs(60);

/// Whether a lane runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum LaneState {
    /// Known, but its position is not.
    Starting,
    /// Being mirrored.
    Running,
    /// At rest, as somebody has asked for.
    Paused,
    /// In trouble.
    Stopped { stop: Stop, at: Instant },
}

impl LaneState {
    pub(crate) const ALL: [&'static str; 4] = ["starting", "running", "paused", "stopped"];

    pub(crate) fn as_str(&self) -> &'static str {
        match self {
            LaneState::Starting => "starting",
            LaneState::Running => "running",
            LaneState::Paused => "paused",
            LaneState::Stopped { .. } => "stopped",
        }
    }
}

/// One lane.
#[derive(Debug)]
pub(crate) struct LaneEntry {
    pub(crate) id: LaneId,
    pub(crate) target: TopicPartition,
    pub(crate) state: LaneState,
    /// The id of the source topic that it mirrors, where that is known.
    pub(crate) topic_id: Option<String>,
    /// The run, and how the source has changed under it, if that ended it.
    pub(crate) source: Option<Arc<SourceLane>>,
    pub(crate) change: Option<SourceChange>,
    /// It is to end; cancelled once nothing more of it is read.
    pub(crate) ending: Option<CancellationToken>,
    /// Where the source ended when the topic was last seen to be that one.
    pub(crate) seen_end: Option<Offset>,
    pub(crate) progress: Option<Arc<LaneProgress>>,
    /// Why its last run stopped, for not saying so twice.
    pub(crate) last_stop: Option<Stop>,
    /// Of earlier runs of the lane in this process.
    pub(crate) earlier: (u64, u64),
    pub(crate) source_end: Option<Offset>,
    pub(crate) target_end: Option<Offset>,
    /// Where nobody else writes the target partition: how its offsets follow, and where it ended when the run began.
    pub(crate) alone: Option<(Offsets, Offset)>,
    /// Where the target ended when it was last asked, if that is behind all that the lane can have written.
    pub(crate) beyond: Option<Offset>,
    /// Since when the source, asked after the target, has not explained that.
    pub(crate) unexplained: Option<Instant>,
    /// The source's end when the lane was started, for `until_caught_up`.
    pub(crate) goal: Option<Offset>,
    /// Wall clock at which nothing was missing, or the lane was started; milliseconds since the epoch.
    current_at: i64,
}

impl LaneEntry {
    pub(crate) fn new(id: LaneId, target: TopicPartition) -> Self {
        Self {
            id,
            target,
            state: LaneState::Starting,
            topic_id: None,
            source: None,
            change: None,
            ending: None,
            seen_end: None,
            progress: None,
            last_stop: None,
            earlier: (0, 0),
            source_end: None,
            target_end: None,
            alone: None,
            beyond: None,
            unexplained: None,
            goal: None,
            current_at: now_ms(),
        }
    }

    /// Whether it stopped for what its target holds.
    pub(crate) fn is_foreign(&self) -> bool {
        matches!(&self.state, LaneState::Stopped { stop, .. } if stop.kind == StopKind::Foreign)
    }

    pub(crate) fn position(&self) -> Option<Offset> {
        self.progress.as_ref().map(|p| p.position())
    }

    /// Source offsets that the target lacks.
    pub(crate) fn lag(&self) -> u64 {
        let lag = self.source_end.zip(self.position()).map_or(0, |(end, position)| end - position);
        u64::try_from(lag).unwrap_or(0)
    }

    /// Their bytes, if they are like those already mirrored.
    pub(crate) fn lag_bytes(&self) -> u64 {
        let (records, bytes) = self.moved();
        if records == 0 { 0 } else { (self.lag() as f64 * (bytes as f64 / records as f64)) as u64 }
    }

    /// The age of the oldest record that the target lacks. It came after the last one that was
    /// acknowledged, and after the last time that none was missing; the later of the two bounds its age.
    pub(crate) fn lag_seconds(&self) -> f64 {
        if self.lag() == 0 {
            return 0.0;
        }
        let last = self.progress.as_ref().and_then(|p| p.last_timestamp()).unwrap_or(i64::MIN);
        (now_ms() - last.max(self.current_at)).max(0) as f64 / 1000.0
    }

    /// Notes the time at which nothing was missing; called when the ends have just been asked for.
    pub(crate) fn note_if_current(&mut self) {
        if self.lag() == 0 && self.source_end.is_some() && self.progress.is_some() {
            self.current_at = now_ms();
        }
    }

    /// The target ends at least behind what it has acknowledged.
    pub(crate) fn note_acknowledged(&mut self) {
        self.target_end = self.target_end.max(self.progress.as_ref().and_then(|p| p.target_end()));
    }

    /// Whether the target, ending here, has what this lane can't have written. Certain where the source was asked for
    /// its end after the target was: a lane writes one record for each source offset at the most.
    pub(crate) fn is_beyond(&self, end: Offset) -> bool {
        let (Some((offsets, begun)), Some(progress), Some(source_end)) =
            (self.alone, &self.progress, self.source_end)
        else {
            return false;
        };
        let position = progress.position();
        let most = match offsets {
            Offsets::Identical => source_end.max(position),
            Offsets::Translated => {
                progress.target_end().unwrap_or(begun) + source_end.saturating_sub(position).max(0)
            }
        };
        self.state == LaneState::Running && end > most
    }

    /// Notes where the target ends.
    pub(crate) fn note_target(&mut self, end: Offset) {
        self.target_end = Some(end);
        self.beyond = self.is_beyond(end).then_some(end);
        self.unexplained = self.unexplained.filter(|_| self.beyond.is_some());
    }

    /// The source has been asked since the target ended at `end`: for how long that has not explained it.
    pub(crate) fn unexplained_for(&mut self, end: Offset) -> Duration {
        match self.is_beyond(end) {
            true => self.unexplained.get_or_insert_with(Instant::now).elapsed(),
            false => {
                self.unexplained = None;
                Duration::ZERO
            }
        }
    }

    pub(crate) fn moved(&self) -> (u64, u64) {
        let now = self.progress.as_ref().map_or((0, 0), |p| (p.records(), p.bytes()));
        (self.earlier.0 + now.0, self.earlier.1 + now.1)
    }

    pub(crate) fn has_arrived(&self) -> bool {
        match &self.state {
            LaneState::Stopped { stop, .. } => stop.kind != StopKind::Interrupted,
            LaneState::Starting => false,
            // It is left out.
            LaneState::Paused => true,
            // A lane without a goal was not there at the start.
            LaneState::Running => self.goal.zip(self.position()).is_none_or(|(goal, at)| at >= goal),
        }
    }
}

/// One cluster.
#[derive(Debug, Default)]
pub(crate) struct ClusterEntry {
    pub(crate) id: Option<String>,
    /// `None` until the first answer or failure.
    pub(crate) up: Option<bool>,
    pub(crate) error: Option<String>,
    /// Why the last request was not answered, if it was not: news only when it happens twice.
    pub(crate) last_error: Option<String>,
    /// When the first of the requests was made that have not been answered since.
    asked_at: Option<Instant>,
    /// Requests in a row that were not answered.
    unanswered: u32,
}

impl ClusterEntry {
    /// Notes that it is being asked something.
    pub(crate) fn asked(&mut self) {
        self.asked_at.get_or_insert_with(Instant::now);
    }

    /// How long it has been asked without an answer.
    pub(crate) fn silent_for(&self) -> Duration {
        self.asked_at.map_or(Duration::ZERO, |at| at.elapsed())
    }

    /// Whether the last request came to nothing.
    pub(crate) fn is_silent(&self) -> bool {
        self.unanswered > 0
    }
}

/// Everything that is known of the link.
pub(crate) struct Book {
    pub(crate) lanes: BTreeMap<TopicPartition, LaneEntry>,
    pub(crate) source: ClusterEntry,
    pub(crate) target: ClusterEntry,
    /// Whether the topics of both clusters have been seen, and all lanes there are have been started.
    pub(crate) first_look_done: bool,
    /// How many slots this instance had taken over at the beginning of the last look that brought up all their lanes.
    pub(crate) looked: u64,
    /// Why the last look at the topics failed, other than a cluster being down.
    pub(crate) look_trouble: Option<String>,
    /// Why slots can't be had, or taken over.
    pub(crate) slots_trouble: Option<String>,
    /// Topics that the configuration names and that are not on the source.
    pub(crate) missing: BTreeMap<String, Stop>,
    /// Topics that the rules name, and that are not to be mirrored now.
    pub(crate) held: BTreeMap<String, TopicPlan>,
    /// How many times source records were lost and skipped.
    pub(crate) lost: u64,
    phase: &'static str,
    started: Instant,
    turned: Instant,
    samples: VecDeque<(Instant, u64, u64)>,
    /// Moved by lanes that are gone.
    gone: (u64, u64),
}

impl Book {
    pub(crate) fn new() -> Self {
        Self {
            lanes: BTreeMap::new(),
            source: ClusterEntry::default(),
            target: ClusterEntry::default(),
            first_look_done: false,
            looked: 0,
            look_trouble: None,
            slots_trouble: None,
            missing: BTreeMap::new(),
            held: BTreeMap::new(),
            lost: 0,
            phase: "starting",
            started: Instant::now(),
            turned: Instant::now(),
            samples: VecDeque::new(),
            gone: (0, 0),
        }
    }

    pub(crate) fn cluster_ids(&self) -> ClusterIds {
        ClusterIds { source: self.source.id.clone(), target: self.target.id.clone() }
    }

    pub(crate) fn set_phase(&mut self, phase: &'static str) {
        self.phase = phase;
    }

    /// The keepers have turned round.
    pub(crate) fn turn(&mut self) {
        self.turned = Instant::now();
        let (records, bytes) = self.moved();
        self.samples.push_back((self.turned, records, bytes));
        while self.samples.len() > 2 && self.samples[1].0 + RATE_WINDOW < self.turned {
            self.samples.pop_front();
        }
    }

    /// Whether all lanes of this instance, which has taken over so many slots, have got where `until_caught_up` wants them.
    pub(crate) fn have_arrived(&self, taken: u64) -> bool {
        self.first_look_done && self.looked == taken && self.lanes.values().all(LaneEntry::has_arrived)
    }

    pub(crate) fn is_alive(&self) -> bool {
        self.turned.elapsed() < STUCK
    }

    pub(crate) fn cluster(&mut self, side: Side) -> &mut ClusterEntry {
        match side {
            Side::Source => &mut self.source,
            Side::Target => &mut self.target,
        }
    }

    /// Notes whether a cluster answered, and tells the operator when that has changed. One request that is not
    /// answered, of a cluster that was there, is not news: a connection may break for many reasons.
    pub(crate) fn answered(&mut self, side: Side, name: &str, error: Option<String>) {
        let cluster = self.cluster(side);
        let up = error.is_none();
        let silence = cluster.silent_for();
        if up {
            (cluster.unanswered, cluster.asked_at) = (0, None);
        } else {
            cluster.unanswered += 1;
        }
        cluster.last_error.clone_from(&error);
        if cluster.up == Some(true) && cluster.unanswered == 1 {
            return;
        }
        if cluster.up != Some(up) {
            match (&error, cluster.up) {
                (Some(error), _) => warn!("{side} {name} is not reachable, trying until it is: {error}"),
                // From its first question on that was not answered, not from when that was told.
                (None, Some(_)) => info!("{side} {name} is reachable again, after {silence:.0?}"),
                (None, None) => info!("{side} {name} is reachable"),
            }
        }
        cluster.up = Some(up);
        cluster.error = error;
    }

    /// Takes a lane out.
    pub(crate) fn remove(&mut self, at: &TopicPartition) -> Option<LaneEntry> {
        let lane = self.lanes.remove(at)?;
        let (records, bytes) = lane.moved();
        self.gone = (self.gone.0 + records, self.gone.1 + bytes);
        Some(lane)
    }

    /// Why each stopped lane stopped, and which topics never had one.
    pub(crate) fn stops(&self) -> Vec<(String, Stop)> {
        let stop = |lane: &LaneEntry| match &lane.state {
            LaneState::Stopped { stop, .. } => Some(stop.clone()),
            _ => None,
        };
        let stopped = self.lanes.iter().filter_map(|(at, lane)| Some((at.to_string(), stop(lane)?)));
        stopped.chain(self.missing.clone()).collect()
    }

    /// Whether some lane has been cut off with records in flight, perhaps.
    pub(crate) fn is_interrupted(&self) -> bool {
        let interrupted = |lane: &LaneEntry| matches!(&lane.state, LaneState::Stopped { stop, .. } if stop.kind == StopKind::Interrupted);
        self.lanes.values().any(interrupted)
    }

    fn moved(&self) -> (u64, u64) {
        self.lanes.values().map(LaneEntry::moved).fold(self.gone, |a, b| (a.0 + b.0, a.1 + b.1))
    }

    fn rates(&self) -> (f64, f64) {
        let now = (Instant::now(), self.moved());
        let Some(first) = self.samples.iter().find(|s| s.0 + RATE_WINDOW >= now.0) else { return (0.0, 0.0) };
        let seconds = (now.0 - first.0).as_secs_f64().max(0.001);
        ((now.1.0 - first.1) as f64 / seconds, (now.1.1 - first.2) as f64 / seconds)
    }

    pub(crate) fn report(&self, config: &LinkConfig, budget: &Budget, trouble: Option<String>) -> LinkStatus {
        let lanes: Vec<LaneStatus> = self.lanes.iter().map(|(at, lane)| lane_status(at, lane)).collect();
        let count = |state| lanes.iter().filter(|l| l.state == state).count();
        let (records, bytes) = self.moved();
        let (records_per_second, bytes_per_second) = self.rates();
        let lag_records: u64 = lanes.iter().map(|l| l.lag_records).sum();
        let lag_paused: u64 = lanes.iter().filter(|l| l.state == "paused").map(|l| l.lag_records).sum();
        let held_back = lanes.iter().any(LaneStatus::is_held_back);
        let totals = Totals {
            lanes: lanes.len(),
            running: count("running"),
            paused: count("paused"),
            stopped: count("stopped"),
            records,
            bytes,
            lag_records,
            lag_bytes: lanes.iter().map(|l| l.lag_bytes).sum(),
            lag_seconds: lanes.iter().map(|l| l.lag_seconds).fold(0.0, f64::max),
            records_per_second,
            bytes_per_second,
            eta_seconds: eta(lag_records - lag_paused, records_per_second).filter(|_| !held_back),
            buffer_bytes: budget.used(),
            buffer_limit_bytes: config.buffer,
        };
        let not_ready = self.not_ready(config, &lanes, trouble);
        LinkStatus {
            link: config.link.clone(),
            version: config.version.to_owned(),
            engine: config.engine.to_string(),
            uptime_seconds: self.started.elapsed().as_secs_f64(),
            phase: self.phase.to_owned(),
            ready: not_ready.is_empty(),
            not_ready,
            resting: false,
            pair: None,
            source: cluster_status(&config.source.name, &self.source),
            target: cluster_status(&config.target.name, &self.target),
            totals,
            held: self.held.iter().map(|(topic, plan)| (topic.clone(), plan.as_str().to_owned())).collect(),
            lanes,
        }
    }

    fn not_ready(&self, config: &LinkConfig, lanes: &[LaneStatus], trouble: Option<String>) -> Vec<String> {
        let mut reasons = Vec::new();
        for (side, name, cluster) in
            [("source", &config.source.name, &self.source), ("target", &config.target.name, &self.target)]
        {
            match (cluster.up, &cluster.error) {
                (Some(false), Some(error)) => {
                    reasons.push(format!("{side} {name} is not reachable: {error}"))
                }
                (None, _) => reasons.push(format!("{side} {name} has not answered yet")),
                _ => {}
            }
        }
        if self.phase != "running" {
            reasons.push(format!("the link is {}", self.phase));
        } else if !self.first_look_done && reasons.is_empty() {
            reasons.push("the topics are being looked at for the first time".to_owned());
        }
        reasons.extend(self.look_trouble.clone());
        reasons.extend(self.slots_trouble.clone());
        reasons.extend(trouble.map(|trouble| format!("marks can't be recorded: {trouble}")));
        for lane in lanes.iter().filter(|l| !["running", "paused"].contains(&&*l.state)) {
            let why = lane.why().unwrap_or("its position is not known yet");
            reasons.push(format!("{}[{}] is {}: {why}", lane.topic, lane.partition, lane.state));
        }
        reasons
    }
}

fn eta(lag: u64, rate: f64) -> Option<f64> {
    match lag {
        0 => Some(0.0),
        lag => (rate > 0.0).then(|| lag as f64 / rate),
    }
}

fn cluster_status(name: &str, entry: &ClusterEntry) -> ClusterStatus {
    ClusterStatus {
        name: name.to_owned(),
        cluster_id: entry.id.clone(),
        reachable: entry.up == Some(true),
        error: entry.error.clone(),
        health: None,
    }
}

fn lane_status(at: &TopicPartition, lane: &LaneEntry) -> LaneStatus {
    let (records, bytes) = lane.moved();
    let stop = match &lane.state {
        LaneState::Stopped { stop, .. } => Some(stop),
        _ => None,
    };
    LaneStatus {
        topic: at.topic.to_string(),
        target_topic: lane.target.topic.to_string(),
        partition: at.partition,
        state: lane.state.as_str().to_owned(),
        reason: stop.map(|s| s.reason.clone()),
        fix: stop.map(|s| s.fix.clone()),
        position: lane.position(),
        source_end: lane.source_end.max(lane.position()),
        target_end: lane.target_end,
        records,
        bytes,
        lag_records: lane.lag(),
        lag_bytes: lane.lag_bytes(),
        lag_seconds: lane.lag_seconds(),
        verified: None,
    }
}
