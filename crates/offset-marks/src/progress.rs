//! How far each lane is, for whoever wants to look: status, lag, `--until-caught-up`.

use std::{
    collections::HashMap,
    sync::{
        Arc, RwLock,
        atomic::{AtomicI64, AtomicU64, Ordering::Relaxed},
    },
};

use mirror_types::{Acked, LaneId, Offset, SourceLane, TopicPartition};

/// One lane's progress since it was started.
#[derive(Debug)]
pub struct LaneProgress {
    position: AtomicI64,
    last_timestamp: AtomicI64,
    target_end: AtomicI64,
    records: AtomicU64,
    bytes: AtomicU64,
}

impl LaneProgress {
    /// A lane that starts at `position`.
    pub fn starting_at(position: Offset) -> Arc<Self> {
        Arc::new(Self {
            position: AtomicI64::new(position),
            last_timestamp: AtomicI64::new(-1),
            target_end: AtomicI64::new(-1),
            records: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
        })
    }

    /// The next source offset that the target lacks.
    pub fn position(&self) -> Offset {
        self.position.load(Relaxed)
    }

    /// The timestamp of the last acknowledged record, in milliseconds since the epoch.
    pub fn last_timestamp(&self) -> Option<i64> {
        Some(self.last_timestamp.load(Relaxed)).filter(|t| *t >= 0)
    }

    /// The target offset behind the last acknowledged record.
    pub fn target_end(&self) -> Option<Offset> {
        Some(self.target_end.load(Relaxed)).filter(|end| *end >= 0)
    }

    /// Records acknowledged.
    pub fn records(&self) -> u64 {
        self.records.load(Relaxed)
    }

    /// Their key, value and header bytes.
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Relaxed)
    }

    pub(crate) fn advance(&self, acked: &Acked) {
        self.position.store(acked.next, Relaxed);
        self.records.fetch_add(acked.records, Relaxed);
        self.bytes.fetch_add(acked.bytes, Relaxed);
        if let Some(timestamp) = acked.timestamps.last() {
            self.last_timestamp.store(*timestamp, Relaxed);
        }
        if let Some(mark) = acked.marks.last() {
            self.target_end.store(mark.target + mark.count as i64, Relaxed);
        }
    }
}

/// Every lane's progress, by the lane's run.
#[derive(Debug, Clone, Default)]
pub struct ProgressBoard(Arc<RwLock<HashMap<LaneId, Entry>>>);

type Entry = (TopicPartition, Arc<LaneProgress>);

impl ProgressBoard {
    /// Puts a lane on the board, before its first record is read.
    pub fn add(&self, lane: &SourceLane, progress: Arc<LaneProgress>) {
        let mut board = self.0.write().expect("nothing panics under this lock");
        board.insert(lane.id, (lane.at.clone(), progress));
    }

    /// Takes a lane off the board.
    pub fn remove(&self, lane: LaneId) {
        self.0.write().expect("nothing panics under this lock").remove(&lane);
    }

    pub(crate) fn get(&self, lane: LaneId) -> Option<Arc<LaneProgress>> {
        self.0
            .read()
            .expect("nothing panics under this lock")
            .get(&lane)
            .map(|(_, progress)| progress.clone())
    }

    pub(crate) fn positions(&self) -> Vec<(TopicPartition, Offset)> {
        let board = self.0.read().expect("nothing panics under this lock");
        board.values().map(|(at, progress)| (at.clone(), progress.position())).collect()
    }
}
