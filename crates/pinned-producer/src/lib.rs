//! Writes each lane's records to its one target partition, in order, and says what the target acknowledged.
//!
//! Owns idempotent writes to the pinned partition, the check of every acknowledgement, and what a refusal
//! means. Must never choose a partition.
//!
//! ```text
//! topic-rename ──[Routed, bounded]──► PinnedProducer ──► a LaneWriter a lane ──[Acked, bounded]──► offset-marks
//!                                                          │ batch    ▲ answer └─[LaneEvent]──► supervisor
//!                                                          ▼          │
//!                                                        a Sender a broker ──► target
//! ```

mod broker;
mod common;
mod course;
mod digest;
mod drafts;
mod error;
mod fill;
mod had;
mod lane;
mod limits;
mod memory;
mod metrics;
mod opening;
mod padding;
mod producer_id;
mod properties;
mod refusal;
mod shared;
mod stage;
mod standing;
mod transaction;

pub use error::Error;
pub use limits::{Limits, Takes};
pub use metrics::Metrics;
pub use opening::{BoxFuture, Marks, Note, Offsets, Opening, Writing};
pub use properties::check;
pub use refusal::RefusedPolicy;
pub use stage::{Config, Order, PinnedProducer};
pub use standing::{Last, Standing};
