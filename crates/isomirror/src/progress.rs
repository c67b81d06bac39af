//! The progress bar of a run that has an end, on a terminal.

use std::{
    io::{IsTerminal, stderr},
    time::Duration,
};

use indicatif::{ProgressBar, ProgressStyle};
use pipeline::StatusHandle;

use crate::human;

/// Whether there is a terminal to draw on.
pub fn is_drawn() -> bool {
    stderr().is_terminal()
}

/// A bar with words beside it.
pub fn bar() -> ProgressBar {
    let style = ProgressStyle::with_template("{bar:40} {percent:>3} %  {msg}").expect("a fixed template");
    ProgressBar::new(0).with_style(style)
}

/// Draws until it is dropped; for ever. Where there is no terminal, only waits.
pub async fn keep_drawn(update: impl Fn(&ProgressBar)) {
    if !is_drawn() {
        return std::future::pending().await;
    }
    let bar = bar();
    loop {
        update(&bar);
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

/// Draws how far a link is; for ever.
pub async fn draw(status: StatusHandle) {
    keep_drawn(|bar| {
        let report = status.report();
        let totals = &report.totals;
        bar.set_length((totals.records + totals.lag_records).max(1));
        bar.set_position(totals.records);
        bar.set_message(format!(
            "{} records, {}, {}, {} left, ETA {}",
            human::count(totals.records),
            human::bytes(totals.bytes),
            human::bytes_rate(totals.bytes_per_second),
            human::count(totals.lag_records),
            human::eta(totals.eta_seconds),
        ));
    })
    .await;
}
