//! Other Kafka versions on either side.

use kafka_harness::{MAIN_VERSION, NEW_VERSION, OLD_VERSION, shared::unique};

use crate::{
    chaos, clusters,
    dice::{Run, setting},
    modes::{Link, Mode},
    sources::{Kind, Source},
    view::Reader,
};

fn between(name: &str, source: &str, target: &str) {
    let run = Run::of(&format!("versions::{name}"));
    let mut dice = run.dice();
    let start = |version: &str| clusters::builder().version(version).start().expect("a cluster");
    let (from, to) = (start(source), start(target));
    let kills = setting("CHAOS_KILLS").map_or(2, |kills| kills / 50).max(2);
    for (mode, kind) in [
        (Mode::Identical, Kind::Transactional),
        (Mode::Identical, Kind::Compacted),
        (Mode::Translated, Kind::Transactional),
        (Mode::Shared, Kind::Transactional),
    ] {
        let link = Link::new(mode, Source::new(kind, &unique(&format!("versions-{mode}"))), &from, &to);
        let stranger = link.stranger();
        let writing = link.source.start(&from, &dice);
        writing.wait_for(2000);
        chaos::kills(&link, &mut dice, kills);
        let history = writing.stop();
        drop(stranger);
        // Java's consumer is of the side's own version.
        chaos::prove(&link, &history, &[Reader::Librdkafka, Reader::Java]);
    }
}

#[test]
fn to_a_newer_version() {
    between("to_a_newer_version", MAIN_VERSION, NEW_VERSION);
}

#[test]
fn to_an_older_version() {
    between("to_an_older_version", NEW_VERSION, MAIN_VERSION);
}

#[test]
fn from_an_old_version() {
    between("from_an_old_version", OLD_VERSION, NEW_VERSION);
}
