//! librdkafka at arm's length: its properties (with their secrets), its logs, and the few calls that the
//! safe `rdkafka` crate lacks or makes dear.
//!
//! Owns the only unsafe code of the workspace (`raw`). Must never know of lanes, links or mirroring.

mod properties;
mod raw;

pub use properties::{Properties, PropertyError, is_secret};
pub use raw::{Delivery, FetchQueue, Message, Outgoing, PinnedSender, Polled, TopicHandle};
