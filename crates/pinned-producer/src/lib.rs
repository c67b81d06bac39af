//! Writes each lane's records to its one target partition, in order, and says what the target acknowledged.
//!
//! Owns idempotent writes to the pinned partition, the check of every acknowledgement, and what a refusal
//! means. Must never choose a partition.
//!
//! ```text
//! topic-rename ──[Routed, bounded]──► sender ──► librdkafka ──► deliveries ──[Acked, bounded]──► offset-marks
//!                                        └────────────────────────┴──[LaneEvent, bounded]──► supervisor
//! ```

mod client;
mod deliveries;
mod error;
mod lane;
mod limits;
mod metrics;
mod refusal;
mod stage;

pub use error::Error;
pub use limits::{Limits, Takes};
pub use metrics::Metrics;
pub use stage::{Config, PinnedProducer, RefusedPolicy};
