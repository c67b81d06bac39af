//! A small asynchronous Kafka client, for what librdkafka can't do: requests in the caller's own order and
//! batches, with the caller's own producer ids, and an answer to the question whether a failed request may
//! have been done.
//!
//! - [`Settings`]: librdkafka-style properties.
//! - [`Connection`]: one broker; requests go out in the order of the calls, many at once.
//! - [`Client`]: a cluster; who leads what, connections as they are needed, one request at a time.
//!
//! What brokers send takes no more memory than it has bytes, give or take a factor, whatever lengths it
//! promises. The exception is an answer of a trusted broker in a version from before KIP-482 (2.4): the
//! protocol library makes room for as many elements as an array's length promises.

mod acls;
pub mod base64;
mod client;
mod committed;
mod configs;
mod connection;
mod error;
mod fetch;
mod fields;
mod group_members;
mod group_states;
mod groups;
mod log_dirs;
mod names;
mod oauthbearer;
mod offsets;
mod produce;
mod producers;
mod reassignments;
pub mod records;
mod rights;
mod scram;
mod settings;
mod transactions;

use std::sync::{Mutex, MutexGuard, PoisonError};

pub use kafka_protocol;

pub use crate::{
    acls::{AclOperation, AclPattern, AclPermission, AclResource, AclRule},
    client::{Attempts, Broker, Client, Coordinator, Leader, Partition, Purpose, To, Topic},
    committed::{Commit, Committed, GroupOffsets},
    configs::{ConfigFound, ConfigsFound, TopicChanges},
    connection::{Answer, Connection, RawResponse, Response, Versions},
    error::{Cause, Code, Error, Sent, words},
    fetch::{Aborted, EpochEnd, FetchFrom, FetchOptions, FetchSession, Fetched, Isolation, Visible},
    group_members::GroupMember,
    group_states::{DescribedGroup, ListedGroup},
    groups::{Joined, Member, Membership},
    log_dirs::{LogDir, LogDirReplica},
    offsets::{Listed, LogEnd, OffsetSpec},
    produce::{Outcomes, ProduceBatch, ProduceOptions, Produced, Producing, Refused},
    producers::ActiveProducer,
    reassignments::{Reassign, Reassignment},
    settings::{Settings, SettingsError},
    transactions::{ProducerIdentity, TxnMarker},
};

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
