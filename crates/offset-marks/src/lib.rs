//! Records how far each lane is, once the target has acknowledged it.
//!
//! Owns positions, progress, and the store they are kept in (behind a trait). Must never talk to a broker
//! itself.
//!
//! ```text
//! pinned-producer ──[Acked, bounded]──► OffsetMarks ──► PositionStore
//! ```

mod metrics;
mod progress;
mod stage;
mod store;

pub use metrics::Metrics;
pub use progress::{LaneProgress, ProgressBoard};
pub use stage::{Config, OffsetMarks};
pub use store::{PositionStore, StoreError};
