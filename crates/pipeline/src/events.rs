//! What happened to lanes: told to the operator once, and noted in the book.

use std::{sync::Arc, time::Instant};

use mirror_types::{LaneEvent, LaneId, Offset, SourceChange, Stop, StopKind, TopicPartition};
use offset_marks::control::EventKind;
use source_consumer::{Command, LossPolicy};
use tokio::{sync::mpsc, task::JoinSet, time::timeout};
use tracing::{debug, error, warn};

use crate::{
    book::{LaneEntry, LaneState},
    control::Control,
    marks::LAST_NOTES,
};

/// Listens to the stages until the last of them is gone.
pub(crate) struct Events {
    control: Arc<Control>,
    events: mpsc::Receiver<LaneEvent>,
    notes: JoinSet<()>,
}

impl Events {
    pub(crate) fn new(control: Arc<Control>, events: mpsc::Receiver<LaneEvent>) -> Self {
        Self { control, events, notes: JoinSet::new() }
    }

    pub(crate) async fn run(mut self) {
        while let Some(event) = self.events.recv().await {
            while self.notes.try_join_next().is_some() {}
            match event {
                LaneEvent::Stopped { lane, stop } => self.stopped(lane, None, stop),
                LaneEvent::Changed { lane, change, stop } => self.stopped(lane, Some(change), stop),
                LaneEvent::Lost { lane, gap } => {
                    let at = self.lane(lane);
                    if let Some(at) = &at {
                        self.control.marks.lost(at, gap);
                    }
                    self.control.book().lost += 1;
                    let (from, last, count) = (gap.from, gap.to - 1, gap.to - gap.from);
                    let words = format!("{count} source offsets were deleted before they were read");
                    self.note(at.as_ref(), EventKind::Retention, gap.from, gap.to, words);
                    let lane = shown(at);
                    warn!(lane, from, to = last, count, "source records are lost (retention); skipped");
                }
                LaneEvent::Skipped { lane, offset, stop } => {
                    let at = self.lane(lane);
                    let words = stop.reason.clone();
                    self.note(at.as_ref(), EventKind::Refused, offset, offset + 1, words);
                    let lane = shown(at);
                    warn!(lane, offset, reason = stop.reason, "a record that the target refused is skipped");
                }
            }
        }
        let _ = timeout(LAST_NOTES, self.notes.join_all()).await;
    }

    fn stopped(&mut self, id: LaneId, change: Option<SourceChange>, stop: Stop) {
        // What the lane could go on behind is seen when it starts again.
        let skips = self.control.config.loss == LossPolicy::Skip && change.is_some();
        let stopped = {
            let mut book = self.control.book();
            let lane = book.lanes.iter_mut().find(|(_, lane)| lane.id == id);
            lane.map(|(at, lane)| {
                let news = lane.last_stop.as_ref() != Some(&stop);
                let stop = match skips {
                    true => Stop { kind: StopKind::Interrupted, ..stop.clone() },
                    false => stop.clone(),
                };
                self.control.stop(at, lane, stop);
                lane.change = change;
                (at.clone(), lane.position().unwrap_or(-1), news)
            })
        };
        let kind = match stop.kind {
            _ if skips => return,
            StopKind::Diverged if change.is_some() => EventKind::Truncated,
            StopKind::Diverged => EventKind::Diverged,
            StopKind::Foreign => EventKind::Foreign,
            StopKind::Lost => EventKind::Retention,
            _ => return,
        };
        if let Some((at, position, true)) = stopped {
            self.note(Some(&at), kind, position, position, stop.reason);
        }
    }

    /// Puts it on the lane's record; whoever is stopped or skipped meanwhile does not wait for it.
    fn note(
        &mut self,
        at: Option<&TopicPartition>,
        kind: EventKind,
        from: Offset,
        to: Offset,
        words: String,
    ) {
        let Some(at) = at else { return };
        let (marks, at) = (self.control.marks.clone(), at.clone());
        self.notes.spawn(async move { marks.note(&at, kind, from..to, words).await });
    }

    fn lane(&self, id: LaneId) -> Option<TopicPartition> {
        let book = self.control.book();
        book.lanes.iter().find(|(_, lane)| lane.id == id).map(|(at, _)| at.clone())
    }
}

fn shown(at: Option<TopicPartition>) -> String {
    at.map(|at| at.to_string()).unwrap_or_default()
}

impl Control {
    /// Stops a lane that runs, whoever found the reason, and tells the operator.
    pub(crate) fn stop(&self, at: &TopicPartition, lane: &mut LaneEntry, stop: Stop) {
        // Of a lane that is at rest only old news can come.
        if lane.state == LaneState::Paused {
            return;
        }
        // Whichever stage stopped it, the consumer is to read it no more.
        let _ = self.consumer_of(at).send(Command::Stop(lane.id));
        if stop.kind == StopKind::Interrupted {
            debug!(lane = %at, reason = stop.reason, "lane interrupted; it starts again");
            self.look.notify_one();
        } else if lane.last_stop.as_ref() != Some(&stop) {
            // A lane that is tried again and stops for the same reason is not told of again.
            error!(lane = %at, reason = stop.reason, fix = stop.fix, "lane stopped");
        }
        lane.last_stop = Some(stop.clone());
        lane.state = LaneState::Stopped { stop, at: Instant::now() };
    }
}
