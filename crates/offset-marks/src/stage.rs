//! The stage: takes acknowledgements, keeps the books, has the marks recorded.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use mirror_types::{Acked, LaneId, TopicPartition};
use tokio::{
    sync::{mpsc, watch},
    task::JoinHandle,
    time::{Instant, MissedTickBehavior, interval, timeout_at},
};
use tracing::{info, warn};

use crate::{
    MarkStore, Metrics, Point, ProgressBoard, StoreError, Unwritten,
    metrics::{LaneMetrics, now_ms},
    progress::Entry,
};

/// How often, and how long at the end.
#[derive(Debug, Clone)]
pub struct Config {
    /// Time between two records of the marks: how much of a lane is read again after a kill -9, for its ledger.
    pub interval: Duration,
    /// How long the last record may take when the daemon stops.
    pub last: Duration,
}

/// The stage.
///
/// Marks are recorded by a task beside it, one at a time: a store that hangs must not hold up acknowledgements.
pub struct OffsetMarks<S> {
    config: Config,
    store: Arc<S>,
    board: ProgressBoard,
    metrics: Metrics,
    input: mpsc::Receiver<Acked>,
    trouble: watch::Sender<Option<String>>,
    lanes: HashMap<LaneId, (Entry, LaneMetrics)>,
    due: HashSet<LaneId>,
}

/// What is being recorded: of each lane, its run and what is written of it.
type Written = Vec<(LaneId, TopicPartition, Unwritten)>;
type Recording = JoinHandle<(Written, Vec<(TopicPartition, StoreError)>)>;

impl<S: MarkStore> OffsetMarks<S> {
    /// A stage at the end of the way. `trouble` says why marks can't be recorded, while that is so.
    pub fn new(
        config: Config,
        store: Arc<S>,
        board: ProgressBoard,
        metrics: Metrics,
        input: mpsc::Receiver<Acked>,
        trouble: watch::Sender<Option<String>>,
    ) -> Self {
        let (lanes, due) = (HashMap::new(), HashSet::new());
        Self { config, store, board, metrics, input, trouble, lanes, due }
    }

    /// Runs until its input ends; then records what is due, for the last time.
    pub async fn run(mut self) -> Result<(), StoreError> {
        let mut tick = interval(self.config.interval);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut recording: Option<Recording> = None;
        loop {
            tokio::select! {
                biased;
                recorded = async { recording.as_mut().expect("checked").await }, if recording.is_some() => {
                    recording = None;
                    let _ = self.recorded(recorded);
                }
                _ = tick.tick(), if recording.is_none() && !self.due.is_empty() => {
                    recording = Some(self.start_recording());
                }
                acked = self.input.recv() => match acked {
                    Some(acked) => self.take(acked),
                    None => break,
                },
            }
        }
        self.record_last(recording).await
    }

    fn take(&mut self, acked: Acked) {
        let id = acked.lane.id();
        if !self.lanes.contains_key(&id) {
            let Some(entry) = self.board.get(id) else { return };
            self.forget_ended();
            let metrics = self.metrics.lane(&acked.lane.source.at, &acked.lane.target.topic);
            self.lanes.insert(id, (entry, metrics));
        }
        let (Entry { at, progress, book }, metrics) = &self.lanes[&id];
        metrics.acked(&acked, now_ms());
        progress.advance(&acked);
        if book.takes_acks {
            let position = Point::new(acked.next, acked.end);
            let entered = book.ledger().acked(&acked.marks, position, Some(book.gap_cause));
            if let Err(error) = entered {
                // The target has acknowledged what it has acknowledged; only its marks are not complete.
                warn!(lane = %at, %error, "marks that do not follow each other");
            }
            self.due.insert(id);
        }
    }

    fn forget_ended(&mut self) {
        self.lanes.retain(|id, _| self.board.get(*id).is_some());
        self.due.retain(|id| self.lanes.contains_key(id));
    }

    fn start_recording(&mut self) -> Recording {
        self.forget_ended();
        let unwritten = |id: &LaneId| {
            let (entry, _) = self.lanes.get(id)?;
            Some((*id, entry.at.clone(), entry.book.ledger().unwritten()))
        };
        let written: Written = self.due.iter().filter_map(unwritten).collect();
        let due = written.iter().map(|(_, at, unwritten)| (at.clone(), unwritten.records.clone())).collect();
        let store = self.store.clone();
        tokio::spawn(async move {
            let failed = store.record(due).await;
            (written, failed)
        })
    }

    /// What has been recorded is no longer due, unless it has moved on; what could not be stays due.
    fn recorded(
        &mut self,
        recorded: Result<(Written, Vec<(TopicPartition, StoreError)>), tokio::task::JoinError>,
    ) -> Result<(), StoreError> {
        let before = self.trouble.borrow().is_some();
        let (written, failed) = recorded.map_err(|panic| StoreError(panic.to_string()))?;
        for (id, _, unwritten) in written.iter().filter(|(_, at, _)| !failed.iter().any(|(f, _)| f == at)) {
            let Some((entry, _)) = self.lanes.get(id) else { continue };
            let mut ledger = entry.book.ledger();
            ledger.written(unwritten.revision);
            if ledger.unwritten().records.is_empty() {
                self.due.remove(id);
            }
        }
        match failed.into_iter().next() {
            None => {
                if before {
                    info!("marks are recorded again");
                    self.trouble.send_replace(None);
                }
                Ok(())
            }
            Some((at, error)) => {
                if !before {
                    warn!(lane = %at, %error, "marks can't be recorded, trying again");
                }
                self.trouble.send_replace(Some(error.to_string()));
                Err(error)
            }
        }
    }

    async fn record_last(&mut self, mut recording: Option<Recording>) -> Result<(), StoreError> {
        let deadline = Instant::now() + self.config.last;
        loop {
            if recording.is_none() && self.due.is_empty() {
                return Ok(());
            }
            let task = match recording.take() {
                Some(task) => task,
                None => self.start_recording(),
            };
            let result = match timeout_at(deadline, task).await {
                Ok(recorded) => self.recorded(recorded),
                Err(_) => return Err(StoreError("no answer before the deadline".to_owned())),
            };
            if let Err(error) = result {
                if Instant::now() + RETRY >= deadline {
                    return Err(error);
                }
                tokio::time::sleep(RETRY).await;
            }
        }
    }
}

const RETRY: Duration = Duration::from_millis(200);
