//! What systemd is told (Type=notify): ready, reloading, stopping, still alive. Does nothing under anything else.

use std::time::Duration;

use pipeline::StatusHandle;
use sd_notify::NotifyState;
use tokio::time::{MissedTickBehavior, interval};
use tracing::debug;

/// Tells systemd something; nobody listens where there is no systemd.
fn tell(state: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        debug!(%error, "systemd was not told");
    }
}

/// The daemon runs: a cluster that is down now is waited for, and shows in its readiness.
pub fn ready() {
    tell(&[NotifyState::Ready]);
}

/// The daemon reads its configuration again; [`ready`] says that it has.
pub fn reloading() {
    match NotifyState::monotonic_usec_now() {
        Ok(now) => tell(&[NotifyState::Reloading, now]),
        Err(error) => debug!(%error, "systemd was not told"),
    }
}

/// The daemon drains.
pub fn stopping() {
    tell(&[NotifyState::Stopping]);
}

/// Feeds the watchdog while the links' keepers turn round, and shows a line of status; for ever.
pub async fn keep_alive(links: &[StatusHandle]) {
    let limit = sd_notify::watchdog_enabled();
    let mut tick = interval(limit.map_or(Duration::from_secs(30), |limit| limit / 3));
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tick.tick().await;
        let reports: Vec<_> = links.iter().map(StatusHandle::report).collect();
        let report = reports.iter().find(|report| !report.resting).unwrap_or(&reports[0]);
        let totals = &report.totals;
        let line = format!(
            "{}: {} of {} lanes running, lag {} records",
            if report.ready { "ready" } else { "not ready" },
            totals.running,
            totals.lanes,
            totals.lag_records
        );
        tell(&[NotifyState::Status(&line)]);
        if limit.is_some() && links.iter().all(StatusHandle::is_alive) {
            tell(&[NotifyState::Watchdog]);
        }
    }
}
