//! What is done to a running mirror, kill -9 at random moments, and what must hold in the end.

use std::time::Instant;

use kafka_harness::daemon::{Daemon, PATIENCE};

use crate::{
    dice::Dice,
    marks,
    modes::{Link, Mode},
    sources::History,
    view::Reader,
};

/// Kills the link's daemon so many times with kill -9, each time started anew. Half of the kills fall anywhere from its
/// first moment on; for the others it is first seen to write. Returns the ends of the killed ones' logs.
pub fn kills(link: &Link<'_>, dice: &mut Dice, kills: u64) -> Vec<String> {
    let mut logs = Vec::new();
    for kill in 0..kills {
        let mut daemon = link.config.run();
        if kill == 0 || dice.percent(50) {
            wait_for_progress(link, &mut daemon);
            std::thread::sleep(dice.millis(0..600));
        } else {
            std::thread::sleep(dice.millis(5..1500));
        }
        assert!(!daemon.has_ended(), "it ended by itself; its log:\n{}", daemon.log());
        let log = daemon.kill().log;
        let lines: Vec<&str> = log.lines().collect();
        logs.push(lines[lines.len().saturating_sub(15)..].join("\n"));
    }
    logs
}

/// Waits until the target has more than now. A dead predecessor's session may have to time out first.
#[track_caller]
pub fn wait_for_progress(link: &Link<'_>, daemon: &mut Daemon) {
    let (then, deadline) = (link.arrived(), Instant::now() + PATIENCE);
    while link.arrived() <= then {
        assert!(
            Instant::now() < deadline && !daemon.has_ended(),
            "nothing arrives; the daemon's log:\n{}",
            daemon.log()
        );
        std::thread::sleep(std::time::Duration::from_millis(30));
    }
}

/// Catches up, and proves the link's promise: both sides compared, and every offset's mark where it is not the offset.
#[track_caller]
pub fn prove(link: &Link<'_>, history: &History, readers: &[Reader]) {
    link.config.run_until_caught_up().expect(0);
    let places = link.assert_exact(Some(history), readers);
    if link.mode != Mode::Identical {
        marks::assert_all(link, &places);
    }
}
