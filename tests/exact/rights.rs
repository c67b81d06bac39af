//! Which rights on the target the fills need: ClusterAction, or else transactional ids; without either, the check says so.

use std::{sync::OnceLock, time::Duration};

use kafka_harness::{Cluster, Security, shared::unique};

use crate::{
    chaos, clusters,
    dice::Run,
    modes::{Link, Mode},
    sources::{Kind, Source},
    view::Reader,
};

fn secured() -> &'static Cluster {
    static SECURED: OnceLock<Cluster> = OnceLock::new();
    SECURED.get_or_init(|| {
        let users = Security::scram(&["markers", "transactions", "neither"]);
        clusters::builder().security(users).start().expect("a target with rights")
    })
}

/// A link whose user on the target may do what any mirror must, and these things besides.
fn link(user: &str, more: &[&[&str]]) -> Link<'static> {
    let (from, to) = (clusters::pair().0, secured());
    let mut link = Link::new(Mode::Identical, Source::new(Kind::Transactional, &unique(user)), from, to);
    let topic = link.source.topic.as_str();
    let own: [&[&str]; 5] = [
        &["--operation", "Read", "--operation", "Write", "--operation", "Describe", "--topic", topic],
        &["--operation", "DescribeConfigs", "--operation", "Delete", "--topic", topic],
        // The control topic, which it creates.
        &["--operation", "All", "--topic", "isomirror.", "--resource-pattern-type", "prefixed"],
        &["--operation", "All", "--group", "isomirror.", "--resource-pattern-type", "prefixed"],
        &["--operation", "Describe", "--operation", "IdempotentWrite", "--cluster"],
    ];
    for rights in own.iter().chain(more) {
        to.acl_add(user, rights).expect("allowed");
    }
    let config = link.config.target(to.client_properties(user));
    link.config = config;
    link
}

fn exact(name: &str, link: &Link<'_>) {
    let run = Run::of(&format!("rights::{name}"));
    let mut dice = run.dice();
    let writing = link.source.start(link.from, &dice);
    writing.wait_for(1000);
    chaos::kills(link, &mut dice, 2);
    let history = writing.stop();
    chaos::prove(link, &history, &[Reader::Librdkafka]);
}

#[test]
fn with_cluster_action_gaps_are_filled_by_markers() {
    let link = link("markers", &[&["--operation", "ClusterAction", "--cluster"], &TRANSACTIONS]);
    exact("with_cluster_action_gaps_are_filled_by_markers", &link);
}

#[test]
fn without_cluster_action_gaps_are_filled_by_empty_transactions() {
    let link = link("transactions", &[&TRANSACTIONS]);
    exact("without_cluster_action_gaps_are_filled_by_empty_transactions", &link);
}

const TRANSACTIONS: [&str; 6] =
    ["--operation", "Write", "--operation", "Describe", "--transactional-id", "*"];

#[test]
fn without_either_the_check_refuses_and_says_what_to_do() {
    let link = link("neither", &[]);
    drop(link.source.write_for(link.from, &Run::of("rights").dice(), Duration::from_secs(1)));
    let output = link.config.command("check", &[]);
    let text =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(3), "{text}");
    assert!(["ClusterAction", "translated"].iter().all(|words| text.contains(words)), "{text}");
}
