//! Which slots of a link this instance has.
//!
//! The instances of a link are members of one Kafka consumer group on the target; the slots are the partitions of
//! the link's control topic. The group's coordinator sees who is there, and hands out what the leading member has
//! worked out; all that is ours is the assignor. Owns the membership. Must never know what a slot is for.
//!
//! ```text
//!            ┌─ enter: join ─► (leader: assign) ─► sync ─► Holdings ──► Change
//! Ownership ─┤                                              ▲
//!            └─ Duty, at all times: heartbeats, the lease's end, what is released, shutdown
//! ```
//!
//! A slot moves in two steps. The generation of the group that decides it gives the slot to nobody; its owner is
//! told [`Change::Leaving`], and joins again once its lanes have stopped. The next generation gives it to its new
//! owner. All other slots go on meanwhile.
//!
//! What the [`Lease`] rests on: a coordinator gives a slot away only in a generation of the group that its owner is
//! not part of, or has not claimed it in. That takes a session without a heartbeat, or a rebalance that its owner
//! does not join in time; so much time cannot have passed since we *sent* what was answered well. What it can't
//! hold against:
//! - another process that starts under the same `group.instance.id`: the coordinator gives it everything at once;
//! - somebody who removes members by hand (`kafka-consumer-groups.sh --delete`, AdminClient);
//! - a coordinator that is cut off from its cluster, and doesn't know it, but not from us.

mod assignor;
mod change;
mod clock;
mod config;
mod duty;
mod group;
mod heart;
mod holdings;
mod lease;
mod ownership;
mod protocol;
mod trouble;

pub use self::{
    change::Change,
    config::{Config, ConfigError},
    lease::Lease,
    ownership::Ownership,
    protocol::PROTOCOL,
};
