//! One cluster's administration: topics, configs, rights, offsets.
//!
//! Owns one librdkafka client for a cluster, makes it anew when it has stopped answering, and turns every failure into an [`Error`] that says which cluster, what was being done, and why. Must never know
//! of links, lanes or the other cluster.
//!
//! No call here blocks the runtime, or its shutdown: librdkafka is waited for on threads of this crate, each
//! time for about as long as the timeout given at [`Cluster::connect`] at most.

mod client;
mod configs;
mod error;
mod native;
mod offsets;
mod rights;
mod topics;

pub use client::Cluster;
pub use configs::{BrokerConfigs, ConfigSource, ConfigValue, TopicConfigs};
pub use error::Error;
pub use kafka_rd::AclOperation;
pub use offsets::{Isolation, Offsets};
pub use rights::Rights;
pub use topics::{TopicInfo, Topics};
