//! Topic configs: with which a target topic is made, and what is to be set on one that is there.

use std::{borrow::Cow, collections::BTreeMap};

use cluster_admin::{ConfigSource, TopicConfigs};
use kafka_wire::TopicChanges;
use serde::Serialize;

/// Topic configs that a target topic does not take over from its source, and why.
const TARGET_IGNORES: [(&str, &str); 11] = [
    ("message.timestamp.type", "always CreateTime, so that timestamps arrive as they were"),
    ("message.timestamp.difference.max.ms", "would refuse old records"),
    ("message.timestamp.before.max.ms", "would refuse old records"),
    ("message.timestamp.after.max.ms", "would refuse records from clocks that run ahead"),
    ("message.format.version", "obsolete"),
    ("unclean.leader.election.enable", "the target cluster's own choice between availability and loss"),
    ("leader.replication.throttled.replicas", "names brokers of the source"),
    ("follower.replication.throttled.replicas", "names brokers of the source"),
    ("remote.storage.enable", "the target may have no tiered storage"),
    ("local.retention.ms", "of tiered storage"),
    ("local.retention.bytes", "of tiered storage"),
];

const MAX_BYTES: &str = "max.message.bytes";
const MIN_INSYNC: &str = "min.insync.replicas";

/// The configs to create a target topic with: what was set on the source topic, less what makes no sense
/// there (`min.insync.replicas` goes over where there are at least so many replicas).
pub fn topic_configs_for_target(source: &TopicConfigs, replication: i32) -> Vec<(String, String)> {
    let fits = |key: &str, value: &str| match key {
        MIN_INSYNC => replication > 0 && value.parse().is_ok_and(|min: i32| min <= replication),
        _ => ignored(key).is_none(),
    };
    let mut configs: Vec<(String, String)> = source
        .set_on_topic()
        .filter(|(key, value)| fits(key, value))
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .collect();
    configs.push(("message.timestamp.type".to_owned(), "CreateTime".to_owned()));
    // Whatever the source takes must fit, also where its brokers' default says so and not the topic.
    if let Some(max) = source.get(MAX_BYTES)
        && max.source == ConfigSource::Broker
        && let Some(value) = &max.value
    {
        configs.push((MAX_BYTES.to_owned(), value.clone()));
    }
    configs
}

fn ignored(key: &str) -> Option<&'static str> {
    TARGET_IGNORES.iter().find(|(ignored, _)| *ignored == key).map(|(_, why)| *why)
}

/// How many replicas a target topic has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Replicas {
    /// By the configuration; −1 for the target brokers' default.
    pub asked: i32,
    /// As they are.
    pub there: i32,
}

/// A config to be set on a target topic.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Change {
    /// Its key.
    pub key: String,
    /// What it is.
    pub now: Option<String>,
    /// What it is to be.
    pub then: String,
}

/// A config that differs, and is left as it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Kept {
    /// Its key.
    pub key: String,
    /// What it is on the source.
    pub source: Option<String>,
    /// What it is on the target.
    pub target: Option<String>,
    /// Why it is left.
    pub reason: Cow<'static, str>,
}

/// How a target topic's configs differ from its source topic's.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ConfigDiff {
    /// What is to be set.
    pub changes: Vec<Change>,
    /// What is left.
    pub kept: Vec<Kept>,
}

/// Compares. What was set on the source topic is to be so on the target; what was not, is the target's own. `shared`: others
/// write the target topic, too. `moment`: what isomirror sets on a target topic for the moment, and gives back.
pub fn config_diff(
    source: &TopicConfigs,
    target: &TopicConfigs,
    replicas: Replicas,
    shared: bool,
    moment: &TopicChanges,
) -> ConfigDiff {
    let mut diff = ConfigDiff::default();
    // Only what is compacted alone has to be changed for that.
    let in_a_moment = source.cleanup_policy() == Some("compact")
        && moment.iter().all(|(key, value)| is_set(target, key) && target.text(key) == value.as_deref());
    let fitting = if replicas.asked > 0 { replicas.there } else { -1 };
    let wanted: BTreeMap<String, String> = topic_configs_for_target(source, fitting).into_iter().collect();
    for (key, then) in &wanted {
        let Some(now) = target.get(key) else {
            diff.keep(source, target, key, "the target's brokers don't know it");
            continue;
        };
        let enough = key == MAX_BYTES && !is_set(source, key) && target.number(key) >= source.number(key);
        if enough || same(key, now.value.as_deref(), Some(then)) {
            continue;
        }
        if in_a_moment && moment.contains_key(key) {
            diff.keep(source, target, key, "isomirror sets it while it deletes padding, and gives it back");
        } else if shared {
            diff.keep(source, target, key, "others write the topic, too: it is not this link's alone");
        } else {
            diff.changes.push(Change { key: key.clone(), now: now.value.clone(), then: then.clone() });
        }
    }
    let of_both = source.keys().chain(target.keys().filter(|key| !source.contains_key(*key)));
    for key in of_both.filter(|key| !wanted.contains_key(*key)) {
        if same(key, target.text(key), source.text(key)) {
            continue;
        }
        let why_ignored = ignored(key);
        if is_set(source, key) {
            let reason: Cow<'static, str> = match (key.as_str(), why_ignored) {
                (MIN_INSYNC, _) if replicas.asked <= 0 => {
                    "the number of replicas is the target brokers' choice (topics.replication_factor)".into()
                }
                (MIN_INSYNC, _) => format!("the target topic has {fitting} replicas").into(),
                (_, why) => why.unwrap_or("it has no value").into(),
            };
            diff.keep(source, target, key, reason);
        } else if is_set(target, key) && why_ignored.is_none() {
            let reason = match in_a_moment && moment.contains_key(key) {
                true => "isomirror sets it while it deletes padding, and gives it back",
                false => "it is set on the target, and not on the source",
            };
            diff.keep(source, target, key, reason);
        }
    }
    diff
}

fn is_set(configs: &TopicConfigs, key: &str) -> bool {
    configs.get(key).is_some_and(|value| value.source == ConfigSource::Topic)
}

/// Whether two values mean the same.
fn same(key: &str, one: Option<&str>, other: Option<&str>) -> bool {
    let words = |text: &str| {
        let mut words: Vec<String> = text.split(',').map(|word| word.trim().to_owned()).collect();
        words.sort_unstable();
        words
    };
    match key {
        "cleanup.policy" => one.map(words) == other.map(words),
        _ => one == other,
    }
}

impl ConfigDiff {
    fn keep(
        &mut self,
        source: &TopicConfigs,
        target: &TopicConfigs,
        key: &str,
        reason: impl Into<Cow<'static, str>>,
    ) {
        let text = |of: &TopicConfigs| of.text(key).map(str::to_owned);
        let (source, target) = (text(source), text(target));
        self.kept.push(Kept { key: key.to_owned(), source, target, reason: reason.into() });
    }

    /// As it is to be set.
    pub fn to_set(&self) -> TopicChanges {
        self.changes.iter().map(|change| (change.key.clone(), Some(change.then.clone()))).collect()
    }
}

#[cfg(test)]
mod tests {
    use cluster_admin::ConfigValue;

    use super::*;

    fn configs(defaults: &[(&str, &str)], broker: &[(&str, &str)], topic: &[(&str, &str)]) -> TopicConfigs {
        let value = |value: &str, source| ConfigValue {
            value: Some(value.to_owned()),
            is_default: source == ConfigSource::Default,
            source,
            sensitive: false,
        };
        let base = [
            ("cleanup.policy", "delete"),
            ("max.message.bytes", "1048588"),
            ("message.timestamp.type", "CreateTime"),
            ("min.insync.replicas", "1"),
            ("retention.bytes", "-1"),
            ("retention.ms", "604800000"),
            ("unclean.leader.election.enable", "false"),
        ];
        let mut all = BTreeMap::new();
        let parts = [
            (&base[..], ConfigSource::Default),
            (defaults, ConfigSource::Default),
            (broker, ConfigSource::Broker),
            (topic, ConfigSource::Topic),
        ];
        for (part, source) in parts {
            all.extend(part.iter().map(|(key, text)| ((*key).to_owned(), value(text, source))));
        }
        TopicConfigs(all)
    }

    fn set(topic: &[(&str, &str)]) -> TopicConfigs {
        configs(&[], &[], topic)
    }

    fn moment() -> TopicChanges {
        let set = [("cleanup.policy", "compact,delete"), ("retention.ms", "-1"), ("retention.bytes", "-1")];
        set.iter().map(|(key, value)| ((*key).to_owned(), Some((*value).to_owned()))).collect()
    }

    fn diff(source: &TopicConfigs, target: &TopicConfigs) -> (Vec<String>, Vec<String>) {
        diff_of(source, target, Replicas { asked: -1, there: 3 }, false)
    }

    fn diff_of(
        source: &TopicConfigs,
        target: &TopicConfigs,
        replicas: Replicas,
        shared: bool,
    ) -> (Vec<String>, Vec<String>) {
        let diff = config_diff(source, target, replicas, shared, &moment());
        let changes = diff.changes.iter().map(|c| format!("{} {}", c.key, c.then)).collect();
        (changes, diff.kept.iter().map(|k| format!("{}: {}", k.key, k.reason)).collect())
    }

    fn nothing() -> (Vec<String>, Vec<String>) {
        (Vec::new(), Vec::new())
    }

    #[test]
    fn what_is_set_on_the_source_is_to_be_so_on_the_target_and_what_is_not_stays() {
        assert_eq!(diff(&set(&[]), &set(&[])), nothing());
        let source = set(&[("retention.ms", "1000")]);
        assert_eq!(diff(&source, &set(&[])).0, ["retention.ms 1000"]);
        assert_eq!(diff(&source, &set(&[("retention.ms", "1000")])), nothing());
        // However the target comes to it.
        assert_eq!(diff(&source, &configs(&[], &[("retention.ms", "1000")], &[])), nothing());
        let own = set(&[("retention.ms", "5")]);
        let (changes, kept) = diff(&set(&[]), &own);
        assert_eq!(
            (changes.len(), &kept[..]),
            (0, &["retention.ms: it is set on the target, and not on the source".to_owned()][..])
        );
        // Another default of the target's brokers is nobody's business.
        assert_eq!(diff(&set(&[]), &configs(&[], &[("retention.ms", "5")], &[])), nothing());
    }

    #[test]
    fn what_a_topic_is_created_with_is_no_difference_afterwards() {
        let source = configs(
            &[],
            &[("max.message.bytes", "2000000")],
            &[
                ("cleanup.policy", "compact"),
                ("message.timestamp.type", "LogAppendTime"),
                ("min.insync.replicas", "2"),
                ("unclean.leader.election.enable", "true"),
            ],
        );
        for (asked, there) in [(-1, 3), (1, 1), (2, 2), (3, 3)] {
            let made = topic_configs_for_target(&source, asked);
            let made: Vec<_> = made.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
            let (changes, _) = diff_of(&source, &set(&made), Replicas { asked, there }, false);
            assert_eq!(changes, Vec::<String>::new(), "{asked} {made:?}");
        }
    }

    #[test]
    fn more_replicas_in_sync_than_there_are_would_stop_all_writing() {
        let source = set(&[("min.insync.replicas", "2")]);
        let with = |asked, there| diff_of(&source, &set(&[]), Replicas { asked, there }, false);
        assert_eq!(with(3, 3).0, ["min.insync.replicas 2"]);
        assert_eq!(with(3, 1).1, ["min.insync.replicas: the target topic has 1 replicas"]);
        assert!(with(-1, 3).1[0].contains("topics.replication_factor"));
    }

    #[test]
    fn timestamps_have_to_arrive_as_they_were_and_records_to_fit() {
        let own = set(&[("message.timestamp.type", "LogAppendTime")]);
        assert_eq!(diff(&set(&[]), &own).0, ["message.timestamp.type CreateTime"]);
        let source = configs(&[], &[("max.message.bytes", "2000000")], &[]);
        assert_eq!(diff(&source, &set(&[])).0, ["max.message.bytes 2000000"]);
        assert_eq!(diff(&source, &set(&[("max.message.bytes", "9000000")])), nothing(), "larger is as good");
        let source = set(&[("max.message.bytes", "2000000")]);
        assert_eq!(diff(&source, &set(&[("max.message.bytes", "9000000")])).0, ["max.message.bytes 2000000"]);
    }

    #[test]
    fn words_have_no_order_and_unknown_keys_are_not_set() {
        let (one, other) =
            (set(&[("cleanup.policy", "delete, compact")]), set(&[("cleanup.policy", "compact,delete")]));
        assert_eq!(diff(&one, &other), nothing());
        let new = set(&[("a.new.key", "x")]);
        assert_eq!(diff(&new, &set(&[])).1, ["a.new.key: the target's brokers don't know it"]);
    }

    #[test]
    fn what_the_mirror_must_not_copy_is_named() {
        let source = set(&[("unclean.leader.election.enable", "true")]);
        let (changes, kept) = diff(&source, &set(&[]));
        assert_eq!(changes, Vec::<String>::new());
        assert_eq!(
            kept,
            ["unclean.leader.election.enable: the target cluster's own choice between availability and loss"]
        );
        let own = set(&[("unclean.leader.election.enable", "true")]);
        assert_eq!(diff(&set(&[]), &own), nothing(), "it is the target's own, as it should be");
    }

    #[test]
    fn what_is_set_for_the_moment_and_what_is_others_too_is_left_alone() {
        let source = set(&[("cleanup.policy", "compact")]);
        let deleting =
            set(&[("cleanup.policy", "compact,delete"), ("retention.ms", "-1"), ("retention.bytes", "-1")]);
        let (changes, kept) = diff(&source, &deleting);
        assert_eq!((changes.len(), kept.len()), (0, 2), "{kept:?}");
        assert!(kept.iter().all(|kept| kept.contains("gives it back")), "{kept:?}");
        // The same by the brokers' defaults, or where the source deletes, is nobody's moment.
        let by_default = set(&[("cleanup.policy", "compact,delete"), ("retention.ms", "-1")]);
        assert_eq!(diff(&source, &by_default).0, ["cleanup.policy compact"]);
        let shorter = set(&[("cleanup.policy", "compact,delete"), ("retention.ms", "1000")]);
        assert_eq!(diff(&shorter, &deleting).0, ["retention.ms 1000"]);
        let (changes, kept) = diff_of(&source, &set(&[]), Replicas { asked: -1, there: 1 }, true);
        assert_eq!((changes.len(), kept.len()), (0, 1));
        assert!(kept[0].contains("others write the topic"), "{kept:?}");
    }
}
