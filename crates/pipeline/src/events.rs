//! What happened to lanes: told to the operator once, and noted in the book.

use std::{sync::Arc, time::Instant};

use mirror_types::{LaneEvent, LaneId, Stop, StopKind, TopicPartition};
use source_consumer::Command;
use tokio::sync::mpsc;
use tracing::{debug, error, warn};

use crate::{
    book::{LaneEntry, LaneState},
    control::Control,
};

/// Listens to the stages until the last of them is gone.
pub(crate) struct Events {
    control: Arc<Control>,
    events: mpsc::Receiver<LaneEvent>,
}

impl Events {
    pub(crate) fn new(control: Arc<Control>, events: mpsc::Receiver<LaneEvent>) -> Self {
        Self { control, events }
    }

    pub(crate) async fn run(mut self) {
        while let Some(event) = self.events.recv().await {
            match event {
                LaneEvent::Stopped { lane, stop } => self.stopped(lane, stop),
                LaneEvent::Lost { lane, gap } => {
                    let lane = self.name(lane);
                    self.control.book().lost += (gap.to - gap.from) as u64;
                    warn!(
                        lane,
                        from = gap.from,
                        to = gap.to - 1,
                        "source records are lost (retention); skipped"
                    );
                }
                LaneEvent::Skipped { lane, offset, stop } => {
                    let lane = self.name(lane);
                    warn!(lane, offset, reason = stop.reason, "a record that the target refused is skipped");
                }
            }
        }
    }

    fn stopped(&self, id: LaneId, stop: Stop) {
        let mut book = self.control.book();
        if let Some((at, lane)) = book.lanes.iter_mut().find(|(_, lane)| lane.id == id) {
            self.control.stop(at, lane, stop);
        }
    }

    fn name(&self, id: LaneId) -> String {
        let book = self.control.book();
        book.lanes.iter().find(|(_, lane)| lane.id == id).map_or_else(String::new, |(at, _)| at.to_string())
    }
}

impl Control {
    /// Stops a lane that runs, whoever found the reason, and tells the operator.
    pub(crate) fn stop(&self, at: &TopicPartition, lane: &mut LaneEntry, stop: Stop) {
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
