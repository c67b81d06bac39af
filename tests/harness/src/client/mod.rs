//! The second client: writes test records to a topic and reads a topic back, by rdkafka, on its
//! own and knowing nothing of isomirror.

mod load;
mod offsets;
mod produce;
mod read;

use rdkafka::ClientConfig;

pub use load::{Load, load, noise, value_number};
pub use offsets::{end_offsets, start_offsets, wait_for_end, watermarks};
pub use produce::{ProduceOptions, TestRecord, Transaction, produce, produce_with};
pub use read::{Isolation, ReadRecord, TimestampType, count, read_all, read_each};

/// A client configuration from properties.
pub fn config(props: &[(String, String)]) -> ClientConfig {
    let mut config = ClientConfig::new();
    for (key, value) in props {
        config.set(key, value);
    }
    config
}
