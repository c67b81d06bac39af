//! Reads the lanes' source partitions and hands their records on, in pieces of one lane each.
//!
//! Owns fetching, gaps and their causes, retention and truncation events, the throttle, and pausing a lane
//! that the target does not take. Must never know the target.
//!
//! ```text
//! Command ──► SourceConsumer ──[Fetched, bounded]──► topic-rename
//!                   └────────[LaneEvent, bounded]──► supervisor
//! ```

mod batches;
mod epochs;
mod error;
mod lanes;
mod metrics;
mod properties;
mod stage;
mod stops;
mod throttle;

pub use batches::{BatchConfig, BatchConsumer};
pub use error::Error;
pub use metrics::Metrics;
pub use properties::complete;
pub use stage::{Command, Config, LossPolicy, SourceConsumer};
pub use stops::recreated;
pub use throttle::Throttle;
