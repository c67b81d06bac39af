//! The words every stage shares: sides, lanes, records, batches, marks, stops, and who may hold how many bytes.
//!
//! Owns plain data and the arithmetic on it. Must never do I/O, and never name a Kafka client.

mod batch;
mod content;
mod flow;
mod lane;
mod mark;
mod message;
mod origin;
mod stop;

pub use batch::{Header, Record, RecordBatch};
pub use content::{Content, UnopenedBatch, is_small};
pub use flow::{Budget, Credit, Denied, LaneCredit};
pub use lane::{Lane, LaneId, Side, SourceLane, TopicPartition};
pub use mark::{Gap, GapCause, Mark};
pub use message::{Acked, Fetched, LaneEvent, Routed, SourceChange};
pub use origin::{LaneOrigins, Origin, OriginHeaders, Passes, Written};
pub use stop::{Stop, StopKind};

/// A Kafka record offset.
pub type Offset = i64;
