//! Topic configs under which records would arrive changed, be refused, or not last.
//!
//! A topic that is not there yet is judged by what it would have: what it would be created with, over the
//! target brokers' defaults.

use std::collections::BTreeMap;

use cluster_admin::{BrokerConfigs, ConfigSource, ConfigValue, TopicConfigs};
use mirror_types::Side;
use pipeline::{PADDING_KEY, takes_padding};

use super::{Facts, Finding, Severity, Subject, TargetFacts, TopicFacts};

/// How Kafka's brokers call their defaults of topic configs, and milliseconds or bytes in one of theirs.
const BROKER_KEYS: [(&str, &str, i64); 12] = [
    ("max.message.bytes", "message.max.bytes", 1),
    ("compression.type", "compression.type", 1),
    ("cleanup.policy", "log.cleanup.policy", 1),
    ("retention.bytes", "log.retention.bytes", 1),
    ("retention.ms", "log.retention.ms", 1),
    ("retention.ms", "log.retention.minutes", 60_000),
    ("retention.ms", "log.retention.hours", 3_600_000),
    ("min.insync.replicas", "min.insync.replicas", 1),
    ("message.timestamp.before.max.ms", "log.message.timestamp.before.max.ms", 1),
    ("message.timestamp.after.max.ms", "log.message.timestamp.after.max.ms", 1),
    ("message.timestamp.difference.max.ms", "log.message.timestamp.difference.max.ms", 1),
    ("message.timestamp.type", "log.message.timestamp.type", 1),
];

/// Clocks are never this far apart without anybody looking; it is Kafka 4's default.
const HOUR: i64 = 3_600_000;

pub(crate) fn findings(facts: &Facts, topic: &TopicFacts, found: &mut Vec<Finding>) {
    let planned;
    let (target, exists, replication) = match &topic.target {
        TargetFacts::There { info, configs: Ok(configs), .. } => (configs, true, info.replication),
        TargetFacts::Missing { creation: Some(Ok(())), configs, .. } => {
            planned = would_be(facts.target.configs.as_ref(), configs);
            (&planned, false, replication_of_new(facts, topic))
        }
        _ => return,
    };
    let look = Look { facts, topic, source: topic.configs.as_ref().ok(), target, exists };
    found.extend(look.timestamp_type());
    found.extend(look.max_message_bytes());
    found.extend(look.compression());
    found.extend(look.cleanup());
    found.extend(look.retention());
    found.extend(look.too_old());
    found.extend(look.too_new());
    found.extend(look.insync(replication));
    found.extend(look.gaps());
}

/// The configs of a topic that is not there, as far as the brokers tell their defaults.
fn would_be(broker: Option<&BrokerConfigs>, configs: &[(String, String)]) -> TopicConfigs {
    let value = |value: String, source| ConfigValue {
        value: Some(value),
        is_default: false,
        source,
        sensitive: false,
    };
    let mut found: BTreeMap<String, ConfigValue> = BTreeMap::new();
    for (key, of_broker, unit) in BROKER_KEYS {
        let Some(text) = broker.and_then(|configs| configs.get(of_broker)?.value.clone()) else { continue };
        let text = match text.parse::<i64>() {
            Ok(number) if number > 0 => number.saturating_mul(unit).to_string(),
            _ => text,
        };
        found.entry(key.to_owned()).or_insert_with(|| value(text, ConfigSource::Broker));
    }
    for (key, text) in configs {
        found.insert(key.clone(), value(text.clone(), ConfigSource::Topic));
    }
    TopicConfigs(found)
}

fn replication_of_new(facts: &Facts, topic: &TopicFacts) -> i32 {
    let default = || {
        let configs = facts.target.configs.as_ref()?;
        configs.get("default.replication.factor")?.value.as_ref()?.parse().ok()
    };
    if topic.settings.replication > 0 { topic.settings.replication } else { default().unwrap_or(0) }
}

/// The oldest (or newest) a record may be, in milliseconds; none where any will do.
pub(crate) fn timestamp_bound(configs: &TopicConfigs, key: &str) -> Option<i64> {
    // Brokers before 3.6 have but one key for both.
    let keys = [key, "message.timestamp.difference.max.ms"];
    keys.iter().filter_map(|key| configs.number(key)).min().filter(|bound| *bound < i64::MAX)
}

struct Look<'a> {
    facts: &'a Facts,
    topic: &'a TopicFacts,
    source: Option<&'a TopicConfigs>,
    target: &'a TopicConfigs,
    exists: bool,
}

impl Look<'_> {
    fn finding(
        &self,
        severity: Severity,
        code: &'static str,
        found: impl Into<String>,
        why: &str,
    ) -> Finding {
        let found = found.into();
        let found = if self.exists { found } else { format!("it would be created with {found}") };
        Finding::new(severity, code, Subject::topic(Side::Target, &self.topic.target_topic), found, why)
    }

    /// How to set a config: on the topic, or by creating the topic with it.
    fn set(&self, key: &str, value: &str) -> String {
        let cluster = &self.facts.target;
        match (&self.topic.target, &self.topic.info) {
            (TargetFacts::Missing { configs, .. }, Ok(info)) => {
                let others = configs.iter().map(|(k, v)| (k.as_str(), v.as_str())).filter(|(k, _)| *k != key);
                let all: Vec<_> = others.chain([(key, value)]).collect();
                let replication = self.topic.settings.replication;
                cluster.create_topic(&self.topic.target_topic, info.partitions, replication, &all)
            }
            _ => cluster.set_config(&self.topic.target_topic, key, value),
        }
    }

    fn timestamp_type(&self) -> Option<Finding> {
        let of_source = self.source.and_then(TopicConfigs::message_timestamp_type);
        match self.target.message_timestamp_type()? {
            "LogAppendTime" => {
                let finding = self.finding(
                    Severity::Error,
                    "timestamp-type",
                    "message.timestamp.type=LogAppendTime",
                    "the target would put its own time in the place of each record's timestamp",
                );
                Some(finding.fix(self.set("message.timestamp.type", "CreateTime")))
            }
            _ if of_source == Some("LogAppendTime") => Some(self.finding(
                Severity::Info,
                "timestamp-type",
                "message.timestamp.type=CreateTime, on the source it is LogAppendTime",
                "records keep the time that a consumer sees on the source, as they should",
            )),
            _ => None,
        }
    }

    fn max_message_bytes(&self) -> Option<Finding> {
        let (source, target) = (self.source?.max_message_bytes()?, self.target.max_message_bytes()?);
        if target >= source {
            return None;
        }
        let finding = self.finding(
            Severity::Error,
            "max-message-bytes",
            format!("max.message.bytes={target}, on the source it is {source}"),
            "records that the source takes would be refused, and their lanes stop",
        );
        Some(finding.fix(self.set("max.message.bytes", &source.to_string())))
    }

    fn compression(&self) -> Option<Finding> {
        let codec = self.target.compression_type().filter(|codec| *codec != "producer")?;
        let finding = self.finding(
            Severity::Warning,
            "compression",
            format!("compression.type={codec}"),
            "the target's brokers compress everything again, at several times the CPU",
        );
        Some(finding.fix(self.set("compression.type", "producer")))
    }

    fn cleanup(&self) -> Option<Finding> {
        let (source, target) = (self.source?, self.target);
        let (of_source, of_target) = (source.cleanup_policy()?, target.cleanup_policy()?);
        if words(of_source) == words(of_target) {
            return None;
        }
        let (severity, why) = if target.is_compacted() && !source.is_compacted() {
            let why = "the target would refuse records without a key, and delete all but the last of a key";
            (Severity::Error, why)
        } else if source.is_compacted() && !target.is_compacted() {
            (Severity::Warning, "the target would delete by age what the source keeps as the last of its key")
        } else {
            (Severity::Warning, "one side keeps records that the other deletes")
        };
        let found = format!("cleanup.policy={of_target}, on the source it is {of_source}");
        Some(self.finding(severity, "cleanup-policy", found, why).fix(self.set("cleanup.policy", of_source)))
    }

    fn retention(&self) -> Option<Finding> {
        let source = self.source?;
        if !words(self.target.cleanup_policy()?).contains(&"delete") {
            return None;
        }
        let endless = |kept: i64| if kept < 0 { i64::MAX } else { kept };
        // A source that is only compacted keeps what it has whatever these say.
        let keeps_all = !words(source.cleanup_policy()?).contains(&"delete");
        let shorter = |key: &'static str| {
            let (of_source, of_target) = (source.number(key)?, self.target.number(key)?);
            let of_source = if keeps_all { -1 } else { of_source };
            (endless(of_target) < endless(of_source)).then_some((key, of_source, of_target))
        };
        let (key, of_source, of_target) =
            ["retention.ms", "retention.bytes"].into_iter().find_map(shorter)?;
        let finding = self.finding(
            Severity::Warning,
            "retention",
            format!("{key}={of_target}, on the source it is {of_source}"),
            "the target would delete records that the source still has, some of them as soon as they arrive",
        );
        Some(finding.fix(self.set(key, &of_source.to_string())))
    }

    fn too_old(&self) -> Option<Finding> {
        let key = "message.timestamp.before.max.ms";
        let bound = timestamp_bound(self.target, key)?;
        let (severity, why) = match self.topic.too_old {
            Some(true) => {
                (Severity::Error, "the source has records older than that, which the target would refuse")
            }
            _ => (
                Severity::Warning,
                "the target would refuse records older than that: late ones, or all after a long stop",
            ),
        };
        self.timestamp_bound_finding(severity, key, bound, why)
    }

    fn too_new(&self) -> Option<Finding> {
        let key = "message.timestamp.after.max.ms";
        let bound = timestamp_bound(self.target, key)?;
        let of_source = self.source.and_then(|source| timestamp_bound(source, key));
        if of_source.is_some_and(|of_source| of_source <= bound) {
            return None;
        }
        let severity = if bound >= HOUR { Severity::Info } else { Severity::Warning };
        let why = "the target would refuse records of clocks that run further ahead, which the source takes";
        self.timestamp_bound_finding(severity, key, bound, why)
    }

    fn timestamp_bound_finding(
        &self,
        severity: Severity,
        key: &'static str,
        bound: i64,
        why: &str,
    ) -> Option<Finding> {
        // With the target's own time on every record nothing is refused; that is a finding of its own.
        if self.target.message_timestamp_type() == Some("LogAppendTime") {
            return None;
        }
        let code = if key.contains("before") { "timestamp-before" } else { "timestamp-after" };
        let one_key = self.target.number(key).is_none_or(|of_key| of_key > bound);
        let key = if one_key { "message.timestamp.difference.max.ms" } else { key };
        let found = format!("{key}={bound}");
        // Not by taking the key away: Kafka 4 bounds timestamps by default.
        let fix = self.set(key, &i64::MAX.to_string());
        Some(self.finding(severity, code, found, why).fix(fix))
    }

    /// Which way of filling gaps would be taken, where it is one that consumers may see.
    fn gaps(&self) -> Option<Finding> {
        let compacted = self.source.is_some_and(TopicConfigs::is_compacted) && takes_padding(self.target);
        if !(self.topic.gaps_padded && compacted) {
            return None;
        }
        let key = String::from_utf8_lossy(PADDING_KEY);
        Some(Finding::new(
            Severity::Info,
            "gaps-padded",
            Subject::topic(Side::Target, &self.topic.target_topic),
            "until it has what the source has now, gaps of 10 offsets and more are filled by padding, not by control records",
            format!(
                "that is many times faster; until the log cleaner has been over it, whoever reads the topic sees null \
                 values of key {key} there; of the last one, until delete.retention.ms later"
            ),
        ))
    }

    fn insync(&self, replication: i32) -> Option<Finding> {
        let least = self.target.min_insync_replicas()?;
        let brokers = self.facts.target.brokers.len();
        let up = i64::try_from(brokers).unwrap_or(i64::MAX);
        let (found, to) = if replication > 0 && least > i64::from(replication) {
            (
                format!("min.insync.replicas={least}, but it has replication factor {replication}"),
                i64::from(replication),
            )
        } else if least > up {
            (format!("min.insync.replicas={least}, but only {brokers} brokers are up"), up)
        } else {
            return None;
        };
        let finding = self.finding(
            Severity::Error,
            "min-insync-replicas",
            found,
            "no record would be acknowledged: isomirror writes with acks=all",
        );
        Some(finding.fix(self.set("min.insync.replicas", &to.max(1).to_string())))
    }
}

fn words(policy: &str) -> Vec<&str> {
    let mut words: Vec<&str> = policy.split(',').map(str::trim).collect();
    words.sort_unstable();
    words
}
