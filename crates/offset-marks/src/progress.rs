//! How far each lane is, for whoever wants to look: status, lag, `--until-caught-up`; and the ledgers of those that run.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, RwLock,
        atomic::{
            AtomicI64, AtomicU64,
            Ordering::{Acquire, Relaxed, Release},
        },
    },
};

use mirror_types::{Acked, GapCause, LaneId, Offset, SourceLane, TopicPartition};

use crate::LedgerWriter;

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

    /// The next source offset that the target lacks. What is asked for after this is at least as far.
    pub fn position(&self) -> Offset {
        self.position.load(Acquire)
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
        self.target_end.store(acked.end, Relaxed);
        self.records.fetch_add(acked.records, Relaxed);
        self.bytes.fetch_add(acked.bytes, Relaxed);
        if let Some((timestamp, _)) = acked.timestamps.last() {
            self.last_timestamp.store(*timestamp, Relaxed);
        }
        self.position.store(acked.next, Release);
    }
}

/// A lane's ledger while the lane runs. Clones share it.
#[derive(Debug, Clone)]
pub struct LaneBook {
    ledger: Arc<Mutex<LedgerWriter>>,
    /// What gaps are taken for, where nothing else is known.
    pub gap_cause: GapCause,
    /// Whether acknowledgements are to be entered here: not where the marks are a part of what was acknowledged.
    pub takes_acks: bool,
}

impl LaneBook {
    /// A book for this ledger.
    pub fn new(ledger: LedgerWriter, gap_cause: GapCause, takes_acks: bool) -> Self {
        Self { ledger: Arc::new(Mutex::new(ledger)), gap_cause, takes_acks }
    }

    /// The ledger, for as short a time as possible, and never across an await.
    pub fn ledger(&self) -> MutexGuard<'_, LedgerWriter> {
        self.ledger.lock().expect("nothing panics under this lock")
    }
}

/// A lane that runs.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) at: TopicPartition,
    pub(crate) progress: Arc<LaneProgress>,
    pub(crate) book: LaneBook,
}

/// Every lane's progress and ledger, by the lane's run.
#[derive(Debug, Clone, Default)]
pub struct ProgressBoard(Arc<RwLock<HashMap<LaneId, Entry>>>);

impl ProgressBoard {
    /// Puts a lane on the board, before its first record is read.
    pub fn add(&self, lane: &SourceLane, progress: Arc<LaneProgress>, book: LaneBook) {
        let mut board = self.0.write().expect("nothing panics under this lock");
        board.insert(lane.id, Entry { at: lane.at.clone(), progress, book });
    }

    /// Takes a lane off the board.
    pub fn remove(&self, lane: LaneId) {
        self.0.write().expect("nothing panics under this lock").remove(&lane);
    }

    /// Whether something of a lane's ledger is not recorded yet.
    pub fn is_due(&self, lane: LaneId) -> bool {
        let takes =
            |entry: &Entry| entry.book.takes_acks && !entry.book.ledger().unwritten().records.is_empty();
        self.get(lane).is_some_and(|entry| takes(&entry))
    }

    pub(crate) fn get(&self, lane: LaneId) -> Option<Entry> {
        self.0.read().expect("nothing panics under this lock").get(&lane).cloned()
    }
}
