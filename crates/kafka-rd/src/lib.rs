//! librdkafka at arm's length: its properties (with their secrets), its logs, and the few calls that the
//! safe `rdkafka` crate lacks or makes dear.
//!
//! Owns the only unsafe code of data path and administration (the modules `raw…`). Must never know of lanes, links or mirroring.

mod context;
mod properties;
mod raw;
mod raw_admin;
mod raw_log;

pub use context::{ConnectionError, LogContext, is_authentication};
pub use properties::{Properties, PropertyError, is_secret};
pub use raw::{FetchQueue, Message, Polled};
pub use raw_admin::{
    AclOperation, Admin, AdminError, ClusterDescription, ConfigEntry, ConfigResource, Listed, NewTopic,
    OffsetSpec, TopicDescription, describe,
};
