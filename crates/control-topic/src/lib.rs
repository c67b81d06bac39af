//! The control topic of a link, `isomirror.<link>` on the target: made, read and written.
//!
//! Owns the I/O for the records whose format is `offset_marks::control`'s. Must never decide anything about a lane:
//! it neither knows what a mark means nor who owns a slot.
//!
//! ```text
//! ensure / open ─► ControlTopic ─┬─ claim   whose topic it is        partition 0
//!                                ├─ read    what a partition says    ► ControlState
//!                                └─ writer  ◄ ControlRecords, in order, each once
//! ```

mod claim;
mod encode;
mod ensure;
mod error;
mod read;
mod topic;
mod write;

pub use claim::Claim;
pub use ensure::{CONFIGS, REPLICATION};
pub use error::{Error, Right};
pub use topic::{ControlTopic, is_link, journal_of, link_of, name_of};
pub use write::SlotWriter;
