//! kill -9 at random moments, each promise with each kind of source; afterwards both sides are compared. `CHAOS_KILLS`
//! says how many kills there are over all of these tests; without it, so many that each promise sees twenty over both
//! engines (`scripts/test`).

use kafka_harness::shared::unique;

use crate::{
    chaos, clusters,
    dice::{Run, setting},
    modes::{Link, Mode},
    sources::{Kind, Source},
    view::Reader,
};

/// How many tests share the kills.
const TESTS: u64 = 12;

fn survives(name: &str, mode: Mode, kind: Kind) {
    let run = Run::of(&format!("kills::{name}"));
    let mut dice = run.dice();
    let (from, to) = clusters::pair();
    let mut link = Link::new(mode, Source::new(kind, &unique(&name.replace("::", "-"))), from, to);
    // Half of them have a name, and get their lanes back at once; the others have to wait for the dead one's session.
    if dice.percent(50) {
        link.config = link.config.target_property("group.instance.id", "one");
    }
    let kills = setting("CHAOS_KILLS").map_or(3, |all| all.div_ceil(TESTS)).max(1);

    let stranger = link.stranger();
    let writing = link.source.start(from, &dice);
    writing.wait_for(3000);
    let logs = chaos::kills(&link, &mut dice, kills);
    let history = writing.stop();
    drop(stranger);
    assert!(history.certain, "the source's own broker was left alone");
    eprintln!("{name}: {kills} kills, {} records", history.count());
    let failed = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        chaos::prove(&link, &history, &[Reader::Librdkafka, Reader::Java]);
    }));
    if let Err(failure) = failed {
        eprintln!("--- the ends of the killed daemons' logs ---\n{}", logs.join("\n--- kill ---\n"));
        std::panic::resume_unwind(failure);
    }
}

macro_rules! each {
    ($($(#[$attribute:meta])* $name:ident: $mode:ident, $kind:ident;)*) => {
        $(#[test]
        $(#[$attribute])*
        fn $name() {
            survives(stringify!($name), Mode::$mode, Kind::$kind);
        })*
    };
}

each! {
    identical_idempotent: Identical, Idempotent;
    identical_transactional: Identical, Transactional;
    identical_compacted: Identical, Compacted;
    identical_compacted_transactional: Identical, CompactedTransactional;
    translated_idempotent: Translated, Idempotent;
    translated_transactional: Translated, Transactional;
    translated_compacted: Translated, Compacted;
    translated_compacted_transactional: Translated, CompactedTransactional;
    shared_idempotent: Shared, Idempotent;
    shared_transactional: Shared, Transactional;
    shared_compacted: Shared, Compacted;
    shared_compacted_transactional: Shared, CompactedTransactional;
}
