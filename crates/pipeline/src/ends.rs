//! Where source and target end: lag, caught up or not, reachable or not.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::Duration,
};

use cluster_admin::{Isolation, Offsets};
use mirror_types::{Offset, Side, Stop, StopKind, TopicPartition};
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;
use tracing::info;

use crate::{
    Error,
    book::{ClusterEntry, LaneEntry, LaneState},
    control::Control,
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
/// How often the gauges are brought up to date, and arrival is checked.
const TURN: Duration = Duration::from_millis(250);

/// Keeps the ends in the book.
pub(crate) struct Ends {
    control: Arc<Control>,
}

impl Ends {
    pub(crate) fn new(control: Arc<Control>) -> Self {
        Self { control }
    }

    /// Runs until `shutdown`; with `until_caught_up`, until every lane has arrived. One cluster that does not
    /// answer keeps neither the other from being asked nor the gauges from being true.
    pub(crate) async fn run(self, shutdown: CancellationToken) -> Result<(), Error> {
        tokio::select! {
            () = shutdown.cancelled() => Ok(()),
            () = self.keep_asking(Side::Source, SOURCE_EVERY) => unreachable!("it goes on for ever"),
            () = self.keep_asking(Side::Target, TARGET_EVERY) => unreachable!("it goes on for ever"),
            ended = self.turn() => ended,
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
        let mut waits = false;
        loop {
            turn.tick().await;
            let mut book = control.book();
            book.turn();
            control.metrics.show(&book, &control.budget);
            let Some(patience) = control.config.until_caught_up else { continue };
            let looked = book.first_look_done && book.looked == book.taken;
            if looked && book.lanes.values().all(LaneEntry::has_arrived) {
                if control.marks.owns_all() {
                    return Ok(());
                }
                if !std::mem::replace(&mut waits, true) {
                    info!(
                        "caught up, but for lanes that another instance of the link has: waiting until it ends"
                    );
                }
            }
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
            }
        }
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
                            self.control.stop(at, lane, shrunk(at, &lane.target.clone(), before, *end));
                        }
                        lane.target_end = Some(*end);
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

fn shrunk(at: &TopicPartition, target: &TopicPartition, before: Offset, end: Offset) -> Stop {
    Stop::new(
        StopKind::Diverged,
        format!(
            "{at}: target {target} ended at offset {before} and now ends at {end}: it was deleted and made again, or \
             truncated by an unclean leader election"
        ),
        format!(
            "find out what happened to it. To mirror {at} again from its start: stop isomirror, delete topic {} on the \
             target, forget its marks (isomirror marks CONFIG forget --topic {}), and start it again",
            target.topic, at.topic
        ),
    )
}
