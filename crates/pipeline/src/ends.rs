//! Where source and target end: lag, caught up or not, reachable or not.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use cluster_admin::{Isolation, Offsets};
use mirror_types::{LaneId, Offset, Side, Stop, StopKind, TopicPartition};
use offset_marks::control::EventKind;
use tokio::{
    task::JoinSet,
    time::{MissedTickBehavior, interval, timeout},
};
use tokio_util::sync::CancellationToken;
use tracing::info;

use crate::{
    Error,
    book::{ClusterEntry, LaneEntry, LaneState},
    control::Control,
    elsewhere::Elsewhere,
    marks::LAST_NOTES,
    slots::membership,
};

/// How often the source is asked where its partitions end.
const SOURCE_EVERY: Duration = Duration::from_secs(1);
/// How often the target is: its end also comes with every acknowledgement.
const TARGET_EVERY: Duration = Duration::from_secs(2);
/// How long an answer may take. Two that take longer are news ([`Book::answered`]), and so the longest that a
/// cluster can hang unnoticed is twice this and the pauses.
///
/// [`Book::answered`]: crate::book::Book::answered
const PATIENCE: Duration = Duration::from_secs(4);
/// Less patience than this would take a busy cluster for a dead one.
const LEAST_PATIENCE: Duration = Duration::from_secs(1);
/// What a request may take beyond its time before its error is there.
const GRACE: Duration = Duration::from_secs(1);
/// A target that has what its lane can't have written is a stranger's once that has been so for this long.
const CERTAIN: Duration = Duration::from_secs(3);
/// How often is read how far the lanes of others are, for a run that waits for them.
const OTHERS_EVERY: Duration = Duration::from_secs(2);
/// How often the gauges are brought up to date, and arrival is checked.
const TURN: Duration = Duration::from_millis(250);

/// Keeps the ends in the book.
pub(crate) struct Ends {
    control: Arc<Control>,
    /// With `until_caught_up`: whether all but the lanes of other instances have arrived, and whether those have.
    waits: AtomicBool,
    others_have: AtomicBool,
    /// What is being put on lanes' records.
    notes: Mutex<JoinSet<()>>,
}

impl Ends {
    pub(crate) fn new(control: Arc<Control>) -> Self {
        Self {
            control,
            waits: AtomicBool::new(false),
            others_have: AtomicBool::new(false),
            notes: Mutex::default(),
        }
    }

    /// Runs until `shutdown`; with `until_caught_up`, until every lane has arrived. One cluster that does not
    /// answer keeps neither the other from being asked nor the gauges from being true.
    pub(crate) async fn run(self, shutdown: CancellationToken) -> Result<(), Error> {
        let ended = tokio::select! {
            () = shutdown.cancelled() => Ok(()),
            () = self.keep_asking(Side::Source, SOURCE_EVERY) => unreachable!("it goes on for ever"),
            () = self.keep_asking(Side::Target, TARGET_EVERY) => unreachable!("it goes on for ever"),
            ended = self.keep_asking_others() => ended,
            ended = self.turn() => ended,
        };
        let notes = std::mem::take(&mut *self.notes.lock().unwrap_or_else(PoisonError::into_inner));
        let _ = timeout(LAST_NOTES, notes.join_all()).await;
        ended
    }

    fn have_arrived(&self) -> bool {
        let taken = self.control.marks.taken();
        self.control.book().have_arrived(taken)
    }

    /// Finds out whether the lanes of other instances have arrived; only goes on for ever.
    async fn keep_asking_others(&self) -> Result<(), Error> {
        let session = membership(&self.control.config, "", 0)?.session_timeout;
        let mut elsewhere = Elsewhere::new(session);
        loop {
            tokio::time::sleep(OTHERS_EVERY).await;
            if self.waits.load(Relaxed) && elsewhere.have_arrived(&self.control).await {
                self.others_have.store(true, Relaxed);
            }
        }
    }

    async fn keep_asking(&self, side: Side, every: Duration) {
        loop {
            self.ask(side).await;
            // Whether a cluster that did not answer is gone should be known soon.
            let silent = self.control.book().cluster(side).is_silent();
            tokio::time::sleep(if silent { SOURCE_EVERY.min(every) } else { every }).await;
        }
    }

    async fn turn(&self) -> Result<(), Error> {
        let control = &self.control;
        let mut turn = interval(TURN);
        turn.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            turn.tick().await;
            {
                let mut book = control.book();
                book.turn();
                control.metrics.show(&book, &control.budget);
            }
            let Some(patience) = control.config.until_caught_up else { continue };
            // In this order: what has come since is then seen.
            let others = !control.marks.owns_all();
            if self.have_arrived() {
                if !others || self.others_have.load(Relaxed) {
                    return Ok(());
                }
                if !self.waits.swap(true, Relaxed) {
                    info!("caught up, but for lanes that other instances of the link have: waiting for them");
                }
            }
            let mut book = control.book();
            for (side, name) in
                [(Side::Source, &control.config.source.name), (Side::Target, &control.config.target.name)]
            {
                if let Some(reason) = gave_up(book.cluster(side), patience) {
                    let reason = reason.unwrap_or_else(|| format!("{side} {name} does not answer"));
                    return Err(Error::Unreachable { after: patience, reason });
                }
            }
        }
    }

    /// Asks one side for the ends of all its lanes; that it answers shows that it is there.
    async fn ask(&self, side: Side) {
        let control = &self.control;
        let (cluster, isolation) = match side {
            Side::Source => (&control.source, control.config.isolation()),
            Side::Target => (&control.target, Isolation::Uncommitted),
        };
        let most = control.config.until_caught_up.map_or(PATIENCE, |patience| patience.max(LEAST_PATIENCE));
        let cluster = cluster.within(PATIENCE.min(most));
        control.book().cluster(side).asked();
        let partitions = self.partitions(side);
        let suspects = if side == Side::Source { self.suspects() } else { Vec::new() };
        if side == Side::Target {
            // What was acknowledged before the question is part of any honest answer.
            let mut book = control.book();
            book.lanes.values_mut().for_each(LaneEntry::note_acknowledged);
        }
        let answer = if partitions.is_empty() {
            cluster.cluster_id().await.map(|_| Offsets::new())
        } else {
            cluster.end_offsets(&partitions, isolation).await
        };
        match answer {
            Err(error) => {
                control.book().answered(side, cluster.name(), Some(error.to_string()));
            }
            Ok(ends) => {
                let any = ends.values().any(Result::is_ok) || ends.is_empty();
                let error = ends.values().find_map(|end| end.as_ref().err().filter(|e| e.is_unreachable()));
                let error = error.filter(|_| !any).map(ToString::to_string);
                let ends = ends.into_iter().filter_map(|(at, end)| Some((at, end.ok()?))).collect();
                let mut book = control.book();
                book.answered(side, cluster.name(), error);
                self.note(&mut book.lanes, side, &ends);
                // One whose leader has not answered is as it was.
                let asked = suspects.into_iter().filter(|(at, ..)| ends.contains_key(at)).collect();
                self.judge(&mut book.lanes, asked);
            }
        }
    }

    /// Lanes whose target has more than they can have written, by what was known of the source till now.
    fn suspects(&self) -> Vec<(TopicPartition, LaneId, Offset)> {
        let book = self.control.book();
        let beyond = |(at, lane): (&TopicPartition, &LaneEntry)| Some((at.clone(), lane.id, lane.beyond?));
        book.lanes.iter().filter_map(beyond).collect()
    }

    /// The source has been asked since: what its end does not explain is somebody else's.
    fn judge(
        &self,
        lanes: &mut BTreeMap<TopicPartition, LaneEntry>,
        suspects: Vec<(TopicPartition, LaneId, Offset)>,
    ) {
        for (at, id, end) in suspects {
            let Some(lane) = lanes.get_mut(&at).filter(|lane| lane.id == id) else { continue };
            if lane.unexplained_for(end) >= CERTAIN {
                let stop = foreign(&at, lane, end);
                self.diverged(&at, lane, EventKind::Foreign, stop);
            }
        }
    }

    /// Stops a lane whose target is not what it wrote, and puts that on its record.
    fn diverged(&self, at: &TopicPartition, lane: &mut LaneEntry, kind: EventKind, stop: Stop) {
        let position = lane.position().unwrap_or(-1);
        let (marks, lane_at, words) = (self.control.marks.clone(), at.clone(), stop.reason.clone());
        // Nobody waits for it: the target may not answer now.
        let mut notes = self.notes.lock().unwrap_or_else(PoisonError::into_inner);
        while notes.try_join_next().is_some() {}
        notes.spawn(async move { marks.note(&lane_at, kind, position..position, words).await });
        self.control.stop(at, lane, stop);
    }

    fn partitions(&self, side: Side) -> Vec<TopicPartition> {
        let book = self.control.book();
        let known = book.lanes.iter().filter(|(_, lane)| lane.progress.is_some());
        match side {
            Side::Source => known.map(|(at, _)| at.clone()).collect(),
            Side::Target => known.map(|(_, lane)| lane.target.clone()).collect(),
        }
    }

    fn note(
        &self,
        lanes: &mut BTreeMap<TopicPartition, LaneEntry>,
        side: Side,
        ends: &HashMap<TopicPartition, Offset>,
    ) {
        for (at, lane) in lanes {
            match side {
                Side::Source => {
                    if let Some(end) = ends.get(at) {
                        lane.source_end = Some(*end);
                        lane.note_if_current();
                    }
                }
                Side::Target => {
                    if let Some(end) = ends.get(&lane.target) {
                        // A partition's end never goes back, whatever retention does.
                        if let Some(before) = lane.target_end.filter(|before| before > end)
                            && lane.state == LaneState::Running
                        {
                            let stop = shrunk(at, &lane.target, before, *end);
                            self.diverged(at, lane, EventKind::Diverged, stop);
                        }
                        lane.note_target(*end);
                        self.control.stage_metrics.marks.target_end(at, &lane.target.topic, *end);
                    }
                }
            }
        }
    }
}

/// Whether `--give-up-after` is over for a cluster, and what is wrong with it as far as that is known.
fn gave_up(cluster: &ClusterEntry, patience: Duration) -> Option<Option<String>> {
    let silence = cluster.silent_for();
    let known = cluster.last_error.is_some() || silence >= patience + GRACE;
    (silence >= patience && known).then(|| cluster.last_error.clone())
}

fn foreign(at: &TopicPartition, lane: &LaneEntry, end: Offset) -> Stop {
    let target = &lane.target;
    let known = |offset: Option<Offset>| offset.map_or("?".to_owned(), |offset| offset.to_string());
    Stop::new(
        StopKind::Foreign,
        format!(
            "{at}: target {target} ends at offset {end}, which this link can't have written: all up to source offset {} \
             is on the target, and the source ends at {}: somebody else has written to it, or the source was truncated",
            known(lane.position()),
            known(lane.source_end)
        ),
        format!(
            "{}; if others are to write to it, set writers = \"shared\" for the topic",
            again(at, target)
        ),
    )
}

/// What to do about a target that is not what this link has made of it.
fn again(at: &TopicPartition, target: &TopicPartition) -> String {
    format!(
        "find out what happened to it. To mirror {at} again from its start: stop isomirror, delete topic {} on the \
         target, forget its marks (isomirror marks CONFIG forget --topic {}), and start it again",
        target.topic, at.topic
    )
}

fn shrunk(at: &TopicPartition, target: &TopicPartition, before: Offset, end: Offset) -> Stop {
    Stop::new(
        StopKind::Diverged,
        format!(
            "{at}: target {target} ended at offset {before} and now ends at {end}: it was deleted and made again, or \
             truncated by an unclean leader election"
        ),
        again(at, target),
    )
}
