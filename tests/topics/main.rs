//! Which topics are mirrored, under which names, from where on, and what becomes of them when topics come, grow and
//! go: on real brokers, by the daemon as its operator runs it.
//!
//! - `names`: include, exclude, rename, clashes, internal topics, overrides.
//! - `making`: target topics that are missing or too small; new topics and partitions.
//! - `start`: where a lane starts, and what it remembers.
//! - `gone`: topics that are deleted or made again, on either side.

mod gone;
mod making;
mod names;
mod start;

#[path = "../support/records.rs"]
mod records;
