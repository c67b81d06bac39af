//! What a cluster's topics risk when brokers go down, and where their replicas should be.
//!
//! ```text
//! Facts ─┬─► findings            what is at risk now, by severity
//!        ├─► predict(brokers)    what becomes unwritable, unreadable or is lost while these are down
//!        ├─► plan(aim) ─► batches ─► files     work orders in the formats of Kafka's own tools
//!        └─► drain, heat         leaders off a broker; brokers × topics
//! ```
//! Pure: facts in, words and work orders out. Never talks to a cluster.

mod batches;
mod drain;
mod facts;
mod files;
mod findings;
mod health;
mod heat;
mod plan;
mod predict;
mod safe;

pub use batches::{Batch, Estimate, Limits, batches, estimate};
pub use drain::{Drain, Undrainable, drain};
pub use facts::{Broker, Dir, Facts, Moving, Partition, PartitionId, Topic, partitions};
pub use files::{BadFile, Placed, election_json, read_election, read_reassignment, reassignment_json};
pub use findings::{Finding, Kind, Severity, findings};
pub use health::Health;
pub use heat::{Heat, Row, heat};
pub use plan::{Aim, Move, Refusal, not_preferred, plan, preferred_after};
pub use predict::{Outcome, Prediction, outcome, predict};
pub use safe::{never_safe, unsafe_now};
