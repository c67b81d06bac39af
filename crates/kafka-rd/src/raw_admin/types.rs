//! What the admin calls take and give: plain data, and errors in the broker's own words.

use rdkafka::types::RDKafkaErrorCode;

/// Why an admin call failed, or one of the things it asked for.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{reason}")]
pub struct AdminError {
    /// Kafka's or librdkafka's code for it.
    pub code: RDKafkaErrorCode,
    /// The code in words, and the broker's own words where it gave any.
    pub reason: String,
}

impl AdminError {
    /// An error known by its code only.
    pub fn new(code: RDKafkaErrorCode) -> Self {
        Self { code, reason: describe(code) }
    }

    /// An error and what was said about it, unless that only repeats the code.
    pub(super) fn with_detail(code: RDKafkaErrorCode, detail: &str) -> Self {
        let name = describe(code);
        let detail = strip(detail);
        let plain = detail.trim_end_matches('.').to_lowercase();
        let (long, short) = (name.to_lowercase(), plain.as_str());
        let repeats = long.ends_with(short) || short.ends_with(&long);
        let reason = if repeats { name } else { format!("{name}: {detail}") };
        Self { code, reason }
    }

    pub(super) fn invalid(detail: &str) -> Self {
        Self::with_detail(RDKafkaErrorCode::InvalidArgument, detail)
    }
}

/// The code in Kafka's words ("Topic authorization failed").
pub fn describe(code: RDKafkaErrorCode) -> String {
    // `Display` of the code is `Name (words)`.
    let shown = code.to_string();
    let words = shown.split_once(" (").and_then(|(_, words)| words.strip_suffix(')'));
    strip(words.unwrap_or(&shown)).to_owned()
}

/// Without librdkafka's note on which end an error code belongs to.
fn strip(words: &str) -> &str {
    let words = words.trim();
    words.strip_prefix("Broker: ").or_else(|| words.strip_prefix("Local: ")).unwrap_or(words)
}

/// What a principal may do to a topic, a group or the cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[expect(missing_docs, reason = "the names are Kafka's")]
pub enum AclOperation {
    Read,
    Write,
    Create,
    Delete,
    Alter,
    Describe,
    ClusterAction,
    DescribeConfigs,
    AlterConfigs,
    IdempotentWrite,
}

/// The operations that are allowed; none where the broker doesn't say.
pub type Operations = Option<Vec<AclOperation>>;

/// What a config resource is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConfigResource {
    /// A topic, by its name.
    Topic,
    /// A broker, by its id.
    Broker,
}

/// One entry of a topic's or broker's configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigEntry {
    /// The key.
    pub name: String,
    /// The value; none where the broker keeps it to itself.
    pub value: Option<String>,
    /// Kafka's number for where the value was set: 1 topic, 2 to 4 broker, 5 Kafka's own default.
    pub source: u32,
    /// Whether nobody has set it.
    pub is_default: bool,
    /// Whether it is a secret, and so has no value here.
    pub is_sensitive: bool,
}

/// A cluster as one of its brokers describes it.
#[derive(Debug, Clone)]
pub struct ClusterDescription {
    /// The cluster's id, where it has one.
    pub id: Option<String>,
    /// The ids of its brokers that are up, ascending.
    pub brokers: Vec<i32>,
    /// What this principal may do to it; none where the broker doesn't say.
    pub operations: Operations,
}

/// A topic as a broker describes it.
#[derive(Debug, Clone)]
pub struct TopicDescription {
    /// Its id, as Kafka prints it; brokers before 2.8 give none.
    pub id: Option<String>,
    /// What this principal may do to it; none where the broker doesn't say.
    pub operations: Operations,
}

/// A topic to make.
#[derive(Debug, Clone, Copy)]
pub struct NewTopic<'a> {
    /// Its name.
    pub name: &'a str,
    /// Partitions, −1 for the broker's default.
    pub partitions: i32,
    /// Replicas of each partition, −1 for the broker's default.
    pub replication: i32,
    /// Its configuration where it differs from the broker's defaults.
    pub configs: &'a [(String, String)],
}

/// Where in a partition to look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OffsetSpec {
    /// The first offset there is.
    Start,
    /// The offset after the last: the last stable one for `committed`.
    End,
    /// The first offset whose record is not older than this: milliseconds since the epoch, at least 0.
    Time(i64),
}

/// Some listed offsets: in the order asked for, −1 where the partition has no such offset.
pub type Listed = Vec<Result<i64, AdminError>>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_brokers_own_words_are_kept_where_they_say_more() {
        let reason =
            |detail| AdminError::with_detail(RDKafkaErrorCode::TopicAuthorizationFailed, detail).reason;
        for detail in [
            "",
            "Broker: Topic authorization failed",
            "Authorization failed.",
            "X worker failed: Broker: Topic authorization failed",
        ] {
            assert_eq!(reason(detail), "Topic authorization failed");
        }
        assert_eq!(reason("not on Sundays."), "Topic authorization failed: not on Sundays.");
    }
}
