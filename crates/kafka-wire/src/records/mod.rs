//! Record batches (magic 2, KIP-98) as they are in a log: their headers without a copy, their records when
//! they are asked for; and as they are made. Messages of the formats before are read too. No bytes make any of
//! it panic.

mod batch;
mod build;
mod codec;
mod crc;
mod old;
mod record;
mod restamp;

pub use self::{
    batch::{Batch, BatchError, BatchHeader, Batches, Compression, HEADER_LENGTH},
    build::{BatchBuilder, Stamp, next_sequence, restamped},
    record::{Control, Header, Record, Records},
    restamp::Restamped,
};
