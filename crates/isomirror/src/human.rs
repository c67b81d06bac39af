//! Numbers as a person reads them: counts, bytes, rates and durations, for tables, the page and progress.
//!
//! Owns wording only. Never used where a machine reads: JSON and metrics carry plain numbers in base units.

use std::collections::BTreeMap;

use bytesize::ByteSize;
use pipeline::status::{ClusterHealth, LaneStatus, LinkStatus, VerifiedStatus};

/// What stands where there is no value.
pub const NONE: &str = "–";

/// Somebody else's text on one line, and without what a terminal would obey.
pub fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// `1234567` as `1,234,567`.
pub fn count(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// An offset, or a dash while it is not known.
pub fn offset(n: Option<i64>) -> String {
    n.map_or_else(|| NONE.to_owned(), |n| n.to_string())
}

/// `1536` as `1.5 KiB`: powers of 1024, the units the configuration takes.
pub fn bytes(n: u64) -> String {
    ByteSize(n).display().iec().to_string()
}

/// An estimate of bytes, or that there is none yet.
pub fn bytes_if_known(n: Option<u64>) -> String {
    n.map_or_else(|| "size not known yet".to_owned(), bytes)
}

/// Why nobody can say when all is caught up: lanes that are stopped.
pub fn no_estimate(stopped: usize) -> String {
    format!("no estimate: {} stopped", plural(stopped, "lane is", "lanes are"))
}

/// Topics that are not to be mirrored now: `audit (waiting), orders (paused)`; so many by name.
pub fn held(topics: &BTreeMap<String, String>) -> String {
    const NAMED: usize = 10;
    let named: Vec<_> =
        topics.iter().take(NAMED).map(|(topic, state)| format!("{topic} ({state})")).collect();
    let named = named.join(", ");
    match topics.len().saturating_sub(NAMED) {
        0 => named,
        more => format!("{named} and {more} more"),
    }
}

/// What came of comparing both sides while the link runs, over all lanes; none where that is not done.
pub fn compared(status: &LinkStatus) -> Option<String> {
    let compared = status.lanes.iter().filter(|lane| lane.verified.is_some()).count();
    let different = status.lanes.iter().filter(|lane| lane.differs().is_some()).count();
    let of = plural(status.lanes.len(), "lane", "lanes");
    match (compared, different) {
        (0, _) => None,
        (compared, 0) => Some(format!("{} of {of} compared, all the same so far", count(compared as u64))),
        (compared, different) => Some(format!(
            "{} of {of} compared, {} NOT the same",
            count(compared as u64),
            count(different as u64)
        )),
    }
}

/// How a cluster's brokers and replicas are.
pub fn health(health: &ClusterHealth) -> String {
    let (seen, ills) = (&health.seen, health.seen.ills());
    let mut said = match (health.age_seconds, ills.is_empty()) {
        (None, _) => "not audited yet".to_owned(),
        (Some(_), true) => format!(
            "{}, {}: all well",
            plural(seen.brokers, "broker", "brokers"),
            plural(seen.partitions, "partition", "partitions")
        ),
        (Some(_), false) => {
            format!("{}: {}", plural(seen.partitions, "partition", "partitions"), ills.join(", "))
        }
    };
    if let Some(trouble) = &health.trouble {
        said += &format!("; could not be audited since: {}", plain(trouble));
    }
    said
}

/// Lanes that differ, or that could not be compared.
pub fn compared_in_vain(lanes: &[LaneStatus]) -> impl Iterator<Item = (&LaneStatus, &VerifiedStatus)> {
    let verified = lanes.iter().filter_map(|lane| Some((lane, lane.verified.as_ref()?)));
    verified.filter(|(_, verified)| verified.difference.is_some() || verified.trouble.is_some())
}

/// What is to be said of such a lane, and what to do about it.
pub struct Said<'a> {
    pub what: String,
    pub fix: Option<&'a str>,
}

/// Says it.
pub fn said(verified: &VerifiedStatus) -> Said<'_> {
    let trouble = verified.trouble.as_deref().unwrap_or_default();
    let (trouble, trouble_fix) = match trouble.split_once("\n  fix: ") {
        Some((trouble, fix)) => (trouble, Some(fix)),
        None => (trouble, None),
    };
    match &verified.difference {
        Some(difference) => Said {
            what: format!(
                "the target is NOT what the source is: {difference}; all before source offset {} is the same, {} so far",
                verified.offset,
                plural(verified.differences as usize, "difference", "differences")
            ),
            fix: verified.fix.as_deref(),
        },
        None => Said {
            what: format!("it could not be compared beyond source offset {}: {trouble}", verified.offset),
            fix: trouble_fix,
        },
    }
}

/// `86012.4` as `86,012 records/s`; small rates keep one decimal, so that a trickle is not shown as zero.
pub fn records_rate(per_second: f64) -> String {
    let rate = at_least_zero(per_second);
    if rate > 0.0 && rate < 10.0 {
        format!("{} records/s", decimal(rate))
    } else {
        format!("{} records/s", count(whole(rate)))
    }
}

/// `2097152.0` as `2.0 MiB/s`.
pub fn bytes_rate(per_second: f64) -> String {
    format!("{}/s", bytes(whole(at_least_zero(per_second))))
}

/// A time in milliseconds since the epoch as `2026-01-31 08:00:00Z`.
pub fn time(millis: i64) -> String {
    jiff::Timestamp::from_millisecond(millis)
        .map_or_else(|_| NONE.to_owned(), |time| time.strftime("%Y-%m-%d %H:%M:%SZ").to_string())
}

/// Seconds as their two largest units: `0.4 s`, `42 s`, `3 min 20 s`, `2 h 5 min`, `3 d 4 h`.
pub fn duration(seconds: f64) -> String {
    let seconds = at_least_zero(seconds);
    // 9.96 would round to "10.0 s": from there on, whole seconds.
    if seconds < 9.95 {
        return if seconds < 0.05 && seconds > 0.0 {
            "<0.1 s".to_owned()
        } else {
            format!("{} s", decimal(seconds))
        };
    }
    let all = whole(seconds);
    let (days, hours, minutes, secs) = (all / 86_400, all / 3_600 % 24, all / 60 % 60, all % 60);
    let (large, small) = match (days, hours, minutes) {
        (0, 0, 0) => return format!("{secs} s"),
        (0, 0, _) => (format!("{minutes} min"), part(secs, "s")),
        (0, ..) => (format!("{hours} h"), part(minutes, "min")),
        _ => (format!("{} d", count(days)), part(hours, "h")),
    };
    large + &small
}

/// A duration that may not be known, or never end: a dash then.
pub fn eta(seconds: Option<f64>) -> String {
    seconds.map_or_else(|| NONE.to_owned(), duration)
}

/// Some names, and how many there are more.
pub fn few(names: &[String]) -> String {
    const NAMED: usize = 5;
    match names.len().checked_sub(NAMED) {
        None | Some(0) => names.join(", "),
        Some(more) => format!("{} and {more} more", names[..NAMED].join(", ")),
    }
}

/// `1 lane`, `2 lanes`.
pub fn plural(n: usize, one: &str, many: &str) -> String {
    format!("{} {}", count(n as u64), if n == 1 { one } else { many })
}

fn part(n: u64, unit: &str) -> String {
    if n == 0 { String::new() } else { format!(" {n} {unit}") }
}

fn decimal(n: f64) -> String {
    let text = format!("{n:.1}");
    text.strip_suffix(".0").map_or_else(|| text.clone(), str::to_owned)
}

/// Not a number and negative are shown as zero: neither says anything to a person.
fn at_least_zero(n: f64) -> f64 {
    n.max(0.0)
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "never negative here, and a cast of what is too large gives the largest"
)]
fn whole(n: f64) -> u64 {
    n.round() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_grouped_by_three() {
        for (n, text) in [
            (0, "0"),
            (999, "999"),
            (1_000, "1,000"),
            (123_456, "123,456"),
            (1_234_567, "1,234,567"),
            (u64::MAX, "18,446,744,073,709,551,615"),
        ] {
            assert_eq!(count(n), text);
        }
    }

    #[test]
    fn bytes_use_the_units_of_the_configuration() {
        for (n, text) in [
            (0, "0 B"),
            (1_023, "1023 B"),
            (1_024, "1.0 KiB"),
            (1_536, "1.5 KiB"),
            (64 << 20, "64.0 MiB"),
            (4 << 30, "4.0 GiB"),
        ] {
            assert_eq!(bytes(n), text);
        }
    }

    #[test]
    fn a_trickle_is_not_shown_as_zero() {
        assert_eq!(records_rate(0.0), "0 records/s");
        assert_eq!(records_rate(0.4), "0.4 records/s");
        assert_eq!(records_rate(86_012.4), "86,012 records/s");
        assert_eq!(bytes_rate(2_097_152.0), "2.0 MiB/s");
    }

    #[test]
    fn durations_show_their_two_largest_units() {
        for (seconds, text) in [
            (0.0, "0 s"),
            (0.01, "<0.1 s"),
            (0.44, "0.4 s"),
            (3.0, "3 s"),
            (9.97, "10 s"),
            (42.4, "42 s"),
            (59.6, "1 min"),
            (200.0, "3 min 20 s"),
            (7_500.0, "2 h 5 min"),
            (273_600.0, "3 d 4 h"),
        ] {
            assert_eq!(duration(seconds), text, "{seconds}");
        }
    }

    #[test]
    fn what_is_not_a_number_never_reaches_a_person() {
        for odd in [f64::NAN, -1.0] {
            assert_eq!(duration(odd), "0 s");
            assert_eq!(records_rate(odd), "0 records/s");
            assert_eq!(bytes_rate(odd), "0 B/s");
        }
        assert_eq!(records_rate(f64::INFINITY), "18,446,744,073,709,551,615 records/s");
        assert_eq!(eta(None), NONE);
        assert_eq!(eta(Some(90.0)), "1 min 30 s");
        assert_eq!(offset(None), NONE);
        assert_eq!(offset(Some(7)), "7");
        assert_eq!(plural(1, "lane", "lanes"), "1 lane");
        assert_eq!(plural(2_000, "lane", "lanes"), "2,000 lanes");
    }
}
