//! The stage: takes acknowledgements, keeps the books, records positions.

use std::{collections::HashMap, sync::Arc, time::Duration};

use mirror_types::{Acked, LaneId, Offset, TopicPartition};
use tokio::{
    sync::{mpsc, watch},
    task::JoinHandle,
    time::{Instant, MissedTickBehavior, interval, timeout_at},
};
use tracing::{info, warn};

use crate::{
    LaneProgress, Metrics, PositionStore, ProgressBoard, StoreError,
    metrics::{LaneMetrics, now_ms},
};

/// How often, and how long at the end.
#[derive(Debug, Clone)]
pub struct Config {
    /// Time between two records of positions: what a kill -9 may make the mirror send again.
    pub interval: Duration,
    /// How often every lane's position is recorded again, moved or not. Kafka forgets the offsets of a group
    /// that commits nothing for `offsets.retention.minutes` (7 days by default).
    pub renewal: Duration,
    /// How long the last record may take when the daemon stops.
    pub last: Duration,
}

/// The stage.
///
/// Positions are recorded by a task beside it, one at a time: a store that hangs must not hold up
/// acknowledgements.
pub struct OffsetMarks<S> {
    config: Config,
    store: Arc<S>,
    board: ProgressBoard,
    metrics: Metrics,
    input: mpsc::Receiver<Acked>,
    trouble: watch::Sender<Option<String>>,
    lanes: HashMap<LaneId, (Arc<LaneProgress>, LaneMetrics)>,
    due: HashMap<TopicPartition, Offset>,
}

impl<S: PositionStore> OffsetMarks<S> {
    /// A stage at the end of the way. `trouble` says why positions can't be recorded, while that is so.
    pub fn new(
        config: Config,
        store: S,
        board: ProgressBoard,
        metrics: Metrics,
        input: mpsc::Receiver<Acked>,
        trouble: watch::Sender<Option<String>>,
    ) -> Self {
        Self {
            config,
            store: Arc::new(store),
            board,
            metrics,
            input,
            trouble,
            lanes: HashMap::new(),
            due: HashMap::new(),
        }
    }

    /// Runs until its input ends; then records what is due, for the last time.
    pub async fn run(mut self) -> Result<(), StoreError> {
        let mut tick = interval(self.config.interval);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut renewal = interval(self.config.renewal);
        renewal.set_missed_tick_behavior(MissedTickBehavior::Delay);
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
                _ = renewal.tick() => {
                    for (at, position) in self.board.positions() {
                        self.due.entry(at).or_insert(position);
                    }
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
            let Some(progress) = self.board.get(id) else { return };
            self.lanes.retain(|id, _| self.board.get(*id).is_some());
            self.lanes
                .insert(id, (progress, self.metrics.lane(&acked.lane.source.at, &acked.lane.target.topic)));
        }
        let (progress, metrics) = &self.lanes[&id];
        metrics.acked(&acked, now_ms());
        progress.advance(&acked);
        self.due.insert(acked.lane.source.at.clone(), acked.next);
    }

    fn start_recording(&self) -> Recording {
        let positions: Vec<_> = self.due.iter().map(|(at, next)| (at.clone(), *next)).collect();
        let store = self.store.clone();
        tokio::spawn(async move { store.record(positions.clone()).await.map(|()| positions) })
    }

    /// What has been recorded is no longer due, unless it has moved on; what could not be stays due.
    fn recorded(&mut self, recorded: Recorded) -> Result<(), StoreError> {
        let before = self.trouble.borrow().is_some();
        match recorded.unwrap_or_else(|panic| Err(StoreError(panic.to_string()))) {
            Ok(positions) => {
                for (at, next) in positions {
                    if self.due.get(&at) == Some(&next) {
                        self.due.remove(&at);
                    }
                }
                if before {
                    info!("positions are recorded again");
                    self.trouble.send_replace(None);
                }
                Ok(())
            }
            Err(error) => {
                if !before {
                    warn!(%error, "positions can't be recorded: after a restart, records would be sent again");
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
            let task = recording.take().unwrap_or_else(|| self.start_recording());
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

type Recorded = Result<Result<Vec<(TopicPartition, Offset)>, StoreError>, tokio::task::JoinError>;
type Recording = JoinHandle<Result<Vec<(TopicPartition, Offset)>, StoreError>>;
