//! Record batches (magic 2, KIP-98) as they are in a log: their headers without a copy, their records when
//! they are asked for. No bytes make any of it panic.

mod batch;
mod codec;
mod record;

pub use self::{
    batch::{Batch, BatchError, BatchHeader, Batches, Compression, HEADER_LENGTH},
    record::{Control, Header, Record, Records},
};
