//! Writes each lane's records to its one target partition, in order, and says what the target acknowledged.
//!
//! Owns idempotent and transactional writes to the pinned partition, the check of every acknowledgement, and what a
//! refusal means. Must never choose a partition.
//!
//! ```text
//! topic-rename ──[Routed, bounded]──► PinnedProducer ──► a writer a lane ──[Acked, bounded]──► offset-marks
//!                                                          │ batch    ▲ answer └─[LaneEvent]──► supervisor
//!                                                          ▼          │
//!                                                        a Sender a broker ──► target
//! ```
//!
//! There are three kinds of lanes, and `Drafts` knows what each does next:
//!
//! | offsets, writers | where records lie | what is known after a kill |
//! |---|---|---|
//! | identical, exclusive | at their own offsets; gaps are filled | the target's log end is the position |
//! | translated, exclusive | one behind the other, as declared before they are sent | the declarations say which source offset lies, or is to lie, at the target's log end |
//! | translated, shared | wherever there is room | the last committed transaction says the position, and where its records lie |

mod ahead;
mod batch_bytes;
mod broker;
mod cleanup;
mod common;
mod course;
mod digest;
mod drafts;
mod error;
mod fill;
mod had;
mod lane;
mod limits;
mod markers;
mod memory;
mod metrics;
mod opening;
mod padding;
mod producer_id;
mod properties;
mod refusal;
mod shared;
mod source_offsets;
mod stage;
mod standing;
mod transaction;
mod unopened;

pub use cleanup::deleting;
pub use error::Error;
pub use limits::{Limits, Takes};
pub use metrics::Metrics;
pub use opening::{BoxFuture, Configs, Marks, Note, Offsets, Opening, Writing};
pub use padding::{KEY as PADDING_KEY, PADDING_RATE};
pub use properties::check;
pub use refusal::RefusedPolicy;
pub use stage::{Config, Order, PinnedProducer};
pub use standing::{Last, Standing};
