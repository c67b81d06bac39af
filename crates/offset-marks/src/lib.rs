//! Records how far each lane is, once the target has acknowledged it, and which offset became which.
//!
//! Owns progress, the ledgers, and the format of the control topic that they are kept in (behind a trait). Must never
//! talk to a broker itself.
//!
//! ```text
//! pinned-producer ──[Acked, bounded]──► OffsetMarks ──► MarkStore
//! ```

pub mod control;
mod delays;
mod ledger;
mod metrics;
mod progress;
mod slot;
mod stage;
mod store;

pub use ledger::{
    Chunk, ChunkError, ChunkLimits, GapCount, Hole, LaneStart, LaneSummary, Ledger, LedgerGap, LedgerWriter,
    OffsetsMode, OutOfOrder, Overlap, Point, Revision, Shorter, Stretch, Translated, Translation, Unwritten,
    WritersMode,
};
pub use metrics::{Metrics, now_ms};
pub use progress::{LaneBook, LaneProgress, ProgressBoard};
pub use slot::slot_of;
pub use stage::{Config, OffsetMarks};
pub use store::{MarkStore, StoreError};
