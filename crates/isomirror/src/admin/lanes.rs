//! Which lanes a person sees first, when there are too many to show. Pure.

use std::cmp::Reverse;

use pipeline::status::LaneStatus;

/// The lanes to show, and how many were left out.
#[derive(Debug)]
pub struct Shown<'a> {
    /// Every stopped lane, then those with most lag.
    pub lanes: Vec<&'a LaneStatus>,
    /// Lanes in no trouble, with less lag than any shown.
    pub left_out: usize,
}

/// All stopped lanes, by name, then the `limit` others with most lag.
pub fn worst_first(lanes: &[LaneStatus], limit: usize) -> Shown<'_> {
    let (mut shown, mut others): (Vec<_>, Vec<_>) = lanes.iter().partition(|lane| is_stopped(lane));
    shown.sort_by_key(|lane| name(lane));
    others.sort_by(|a, b| {
        let lag = |lane: &LaneStatus| Reverse(lane.lag_records);
        lag(a)
            .cmp(&lag(b))
            .then_with(|| b.lag_seconds.total_cmp(&a.lag_seconds))
            .then_with(|| name(a).cmp(&name(b)))
    });
    let left_out = others.len().saturating_sub(limit);
    others.truncate(limit);
    shown.append(&mut others);
    Shown { lanes: shown, left_out }
}

/// Whether the lane stopped in trouble.
pub fn is_stopped(lane: &LaneStatus) -> bool {
    lane.state == "stopped"
}

fn name(lane: &LaneStatus) -> (&str, i32) {
    (&lane.topic, lane.partition)
}
