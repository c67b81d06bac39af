//! Records how far each lane is, once the target has acknowledged it, and which offset became which.
//!
//! Owns positions, progress, and the store they are kept in (behind a trait); the ledger, and the format of the
//! control topic that it is kept in. Must never talk to a broker itself.
//!
//! ```text
//! pinned-producer ──[Acked, bounded]──► OffsetMarks ──► PositionStore
//! ```

pub mod control;
mod ledger;
mod metrics;
mod progress;
mod slot;
mod stage;
mod store;

pub use ledger::{
    Chunk, ChunkError, ChunkLimits, GapCount, Hole, LaneStart, LaneSummary, Ledger, LedgerGap, LedgerWriter,
    OffsetsMode, OutOfOrder, Overlap, Point, Revision, Stretch, Translated, Translation, Unwritten,
    WritersMode,
};
pub use metrics::Metrics;
pub use progress::{LaneProgress, ProgressBoard};
pub use slot::slot_of;
pub use stage::{Config, OffsetMarks};
pub use store::{PositionStore, StoreError};
