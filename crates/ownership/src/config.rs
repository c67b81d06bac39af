//! How to be a member of the group.

use std::{ops::RangeInclusive, time::Duration};

const SESSION: &str = "session.timeout.ms";
const HEARTBEAT: &str = "heartbeat.interval.ms";
const INSTANCE: &str = "group.instance.id";

/// More than the 9 s after which a cluster misses a broker: when that of the coordinator is killed, lanes stay where they are.
const DEFAULT_SESSION: Duration = Duration::from_secs(20);
/// The least that a group waits for its members to join again.
const LEAST_REBALANCE: Duration = Duration::from_secs(60);

/// How to be a member of a link's group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// The group. All its members must be instances of the link.
    pub group: String,
    /// The instance's name (`group.instance.id`, KIP-345), if it has one: whoever starts under it anew gets the slots
    /// of who had it before, at once, and whoever still runs under it loses them. No two may run at the same time.
    pub instance: Option<String>,
    /// The topic whose partitions stand for the slots.
    pub topic: String,
    /// How many slots there are. All instances must say the same.
    pub slots: i32,
    /// After how long without a heartbeat an instance is taken for gone (`session.timeout.ms`). The brokers have
    /// limits for it (`group.min.session.timeout.ms`, `group.max.session.timeout.ms`).
    pub session_timeout: Duration,
    /// How often an instance says that it is there, and asks whether anything has changed (`heartbeat.interval.ms`).
    /// Others' leaving and joining is noticed with the next.
    pub heartbeat: Duration,
    /// How long the group waits for an instance to join again, and how long an instance may take to release slots.
    pub rebalance_timeout: Duration,
}

/// A property that can't be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{property}: {reason}")]
pub struct ConfigError {
    /// Its name.
    pub property: String,
    /// What is wrong with it, and what is possible.
    pub reason: String,
}

impl Config {
    /// The configuration of an instance of the link with this group and control topic, by librdkafka's names of
    /// properties: `session.timeout.ms` (20 s unless set), `heartbeat.interval.ms` (a twentieth of that unless set,
    /// between 100 and 500 ms), `group.instance.id`.
    pub fn new<'a>(
        group: impl Into<String>,
        topic: impl Into<String>,
        slots: i32,
        property: impl Fn(&str) -> Option<&'a str>,
    ) -> Result<Self, ConfigError> {
        let session_timeout = millis(SESSION, property(SESSION), 1..=3_600_000)?.unwrap_or(DEFAULT_SESSION);
        let limit = session_timeout / 3;
        let usual = (session_timeout / 20).clamp(Duration::from_millis(100), Duration::from_millis(500));
        let heartbeat = millis(HEARTBEAT, property(HEARTBEAT), 1..=3_600_000)?;
        if heartbeat.is_some_and(|heartbeat| heartbeat > limit) {
            let most = limit.as_millis();
            let reason = format!("must be at most a third of {SESSION}, so {most} here");
            return Err(ConfigError { property: HEARTBEAT.to_owned(), reason });
        }
        let instance = property(INSTANCE).map(str::trim).filter(|name| !name.is_empty());
        if let Some(name) = instance
            && !is_legal(name)
        {
            let reason = format!("{name:?} must be of letters, digits, '.', '_' and '-', 249 at the most");
            return Err(ConfigError { property: INSTANCE.to_owned(), reason });
        }
        Ok(Self {
            group: group.into(),
            instance: instance.map(str::to_owned),
            topic: topic.into(),
            slots,
            session_timeout,
            heartbeat: heartbeat.unwrap_or(usual.min(limit)).max(Duration::from_millis(1)),
            rebalance_timeout: LEAST_REBALANCE.max(session_timeout * 3),
        })
    }
}

fn millis(
    property: &str,
    value: Option<&str>,
    range: RangeInclusive<u64>,
) -> Result<Option<Duration>, ConfigError> {
    let Some(value) = value else { return Ok(None) };
    match value.trim().parse::<u64>() {
        Ok(millis) if range.contains(&millis) => Ok(Some(Duration::from_millis(millis))),
        _ => {
            let (least, most) = range.into_inner();
            let reason = format!("{value:?} is not a number of milliseconds from {least} to {most}");
            Err(ConfigError { property: property.to_owned(), reason })
        }
    }
}

/// As Kafka's own client has it: what a topic may be called.
fn is_legal(name: &str) -> bool {
    let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    name.len() <= 249 && name.chars().all(legal) && !matches!(name, "." | "..")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(properties: &[(&str, &'static str)]) -> Result<Config, ConfigError> {
        let find = |name: &str| properties.iter().find(|(have, _)| *have == name).map(|(_, value)| *value);
        Config::new("isomirror.a", "isomirror.a", 16, find)
    }

    #[test]
    fn defaults_follow_the_session() {
        let (second, milli) = (Duration::from_secs(1), Duration::from_millis(1));
        let usual = config(&[]).unwrap();
        assert_eq!(
            (usual.session_timeout, usual.heartbeat, usual.instance),
            (20 * second, 500 * milli, None)
        );
        assert_eq!(usual.rebalance_timeout, 60 * second);
        for (session, heartbeat) in [("2000", 100), ("6000", 300), ("45000", 500), ("30", 10), ("1", 1)] {
            assert_eq!(config(&[(SESSION, session)]).unwrap().heartbeat, heartbeat * milli, "{session}");
        }
        let short = config(&[(SESSION, "2000"), (HEARTBEAT, "400"), (INSTANCE, "pod-0")]).unwrap();
        assert_eq!((short.heartbeat, short.instance.as_deref()), (400 * milli, Some("pod-0")));
        assert_eq!(config(&[(SESSION, "45000")]).unwrap().rebalance_timeout, 135 * second);
    }

    #[test]
    fn errors_name_the_property() {
        for (property, value, says) in [
            (SESSION, "10s", "\"10s\" is not a number of milliseconds"),
            (SESSION, "0", "from 1 to"),
            (HEARTBEAT, "-1", "milliseconds"),
            (HEARTBEAT, "7000", "at most a third of session.timeout.ms, so 6666 here"),
            (INSTANCE, "a b", "letters"),
        ] {
            let error = config(&[(property, value)]).unwrap_err();
            assert!(error.property == property && error.to_string().contains(says), "{error}");
        }
    }
}
