//! Topics one by one, on real brokers, by the daemon and the commands as their operator runs them.
//!
//! - `asked`: topics that wait to be asked for, and their start marks.
//! - `pause`: pausing and resuming under load, stopping and starting; with the daemon down; with two instances.
//! - `redo`: a topic is cleared and begun anew, or not, with the reason.
//! - `names`: what is unknown, and what makes no sense; what `list` tells.
//! - `reload`: SIGHUP: taken over, refused, broken.
//! - `rights`: with those of docs/acls.md and no more; and what is said without them.

mod asked;
mod names;
mod pause;
mod redo;
mod reload;
mod rights;

#[expect(dead_code, reason = "no lane is written by hand here")]
#[path = "../support/ledgers.rs"]
mod ledgers;
#[expect(dead_code, reason = "other tests need more")]
#[path = "../support/records.rs"]
mod records;

use std::collections::BTreeMap;

use kafka_harness::{
    Cluster, ReadRecord,
    client::{self, Isolation},
    daemon::{Config, Daemon, eventually},
};
use serde_json::Value;

use ledgers::ended;

/// Runs `topics` to this end; what it says as JSON.
#[track_caller]
fn topics(config: &Config, args: &[&str], code: i32) -> Value {
    let (out, _) = ended(config.command("topics", &[args, &["--output", "json"]].concat()), code);
    serde_json::from_str(&out).unwrap()
}

/// Runs `topics` to an end that is none; what it says.
#[track_caller]
fn refused(config: &Config, args: &[&str], code: i32) -> String {
    ended(config.command("topics", args), code).1
}

/// The state that `topics list` tells of a topic.
fn state_of(config: &Config, topic: &str) -> String {
    let listing = topics(config, &["list"], 0);
    row(&listing, topic)["state"].as_str().expect("a word").to_owned()
}

fn row<'a>(listing: &'a Value, topic: &str) -> &'a Value {
    let rows = listing["topics"].as_array().expect("a list");
    rows.iter().find(|row| row["topic"] == topic).unwrap_or_else(|| panic!("{topic} is not in {listing:#}"))
}

/// The lanes that `marks list` tells of a topic.
fn marks(config: &Config, topic: &str) -> Vec<Value> {
    let (out, _) = ended(config.command("marks", &["list", "--output", "json"]), 0);
    let listing: Value = serde_json::from_str(&out).unwrap();
    let lanes = listing["lanes"].as_array().expect("a list").iter();
    lanes.filter(|lane| lane["start"]["source_topic"] == topic).cloned().collect()
}

fn read(cluster: &Cluster, topic: &str) -> BTreeMap<i32, Vec<ReadRecord>> {
    client::read_all(&cluster.props(), topic, Isolation::Uncommitted).expect("it can be read")
}

/// Both sides hold the same records at the same offsets.
#[track_caller]
fn assert_identical(source: &Cluster, target: &Cluster, topic: &str) {
    let (before, after) = (read(source, topic), read(target, topic));
    assert!(before.keys().eq(after.keys()), "{:?} {:?}", before.keys(), after.keys());
    for (partition, before) in &before {
        for (before, after) in before.iter().zip(&after[partition]) {
            assert_eq!(before, after, "{topic}[{partition}]");
        }
        assert_eq!(before.len(), after[partition].len(), "{topic}[{partition}]");
    }
}

/// Waits until a topic's lanes are all in this state, in the status of one daemon.
#[track_caller]
fn wait_for_state(daemon: &Daemon, topic: &str, state: &str) -> Value {
    eventually(&format!("{topic} is {state}; the log:\n{}", daemon.log()), || {
        let status = daemon.status();
        let lanes = status["lanes"].as_array().expect("a list");
        let mut lanes = lanes.iter().filter(|lane| lane["topic"] == topic).peekable();
        (lanes.peek().is_some() && lanes.all(|lane| lane["state"] == state)).then(|| status.clone())
    })
}

/// Waits until a topic has no lanes.
#[track_caller]
fn wait_for_no_lanes(daemon: &Daemon, topic: &str) {
    eventually(&format!("{topic} has no lanes; the log:\n{}", daemon.log()), || {
        let status = daemon.status();
        let lanes = status["lanes"].as_array().expect("a list");
        lanes.iter().all(|lane| lane["topic"] != topic).then_some(())
    });
}
