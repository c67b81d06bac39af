//! Real Apache Kafka brokers for tests and benchmarks: fetched by Maven, started on free loopback
//! ports, and gone when the process that started them is, however it ends.
//!
//! ```no_run
//! # fn main() -> anyhow::Result<()> {
//! let (source, target) = kafka_harness::shared::pair();
//! let topic = kafka_harness::shared::unique("orders");
//! source.create_topic(&topic, 4, 1, &[])?;
//! # let _ = target; Ok(()) }
//! ```
//!
//! A missing tool or a broker that does not start is an error that says what to do; nothing is
//! ever skipped.

pub mod admin;
mod broker;
mod builder;
pub mod client;
pub mod cluster;
pub mod daemon;
pub mod dist;
pub mod java;
mod ports;
pub mod process;
pub mod proxy;
pub mod python;
mod reaper;
mod rundir;
pub mod security;
pub mod shared;
pub mod terminal;

pub use builder::Builder;
pub use client::{ReadRecord, TestRecord};
pub use cluster::Cluster;
pub use proxy::Proxy;
pub use security::Security;

/// librdkafka properties, in the order they are set.
pub type Props = Vec<(String, String)>;

/// The Kafka version most tests run on.
pub const MAIN_VERSION: &str = "3.9.1";
/// The newer Kafka version that a smaller set runs on.
pub const NEW_VERSION: &str = "4.1.0";
/// An old Kafka version to mirror from, whose cluster has a ZooKeeper.
pub const OLD_VERSION: &str = "2.8.2";
