//! Command lines of Kafka's own tools, ready to be pasted into a shell.
//!
//! Owns their spelling. Secrets never get here: a secured cluster's tools are told to read them from a file.

use super::ClusterFacts;

impl ClusterFacts {
    /// A tool with the arguments that every tool needs.
    fn tool(&self, tool: &str, arguments: &str) -> String {
        let secrets = if self.secured { " --command-config admin.properties" } else { "" };
        format!("{tool} --bootstrap-server {}{secrets} {arguments}", quoted(&self.bootstrap))
    }

    /// Creates a topic; replication −1 is the brokers' default.
    pub(crate) fn create_topic(
        &self,
        topic: &str,
        partitions: i32,
        replication: i32,
        configs: &[(&str, &str)],
    ) -> String {
        let mut arguments = format!("--create --topic {topic} --partitions {partitions}");
        if replication > 0 {
            arguments += &format!(" --replication-factor {replication}");
        }
        for (key, value) in configs {
            arguments += &format!(" --config {}", quoted(&format!("{key}={value}")));
        }
        self.tool("kafka-topics.sh", &arguments)
    }

    /// Grows a topic.
    pub(crate) fn grow_topic(&self, topic: &str, partitions: i32) -> String {
        self.tool("kafka-topics.sh", &format!("--alter --topic {topic} --partitions {partitions}"))
    }

    /// Shows what is there of a topic.
    pub(crate) fn describe_topic(&self, topic: &str) -> String {
        self.tool("kafka-topics.sh", &format!("--describe --topic {topic}"))
    }

    /// Sets a topic's config.
    pub(crate) fn set_config(&self, topic: &str, key: &str, value: &str) -> String {
        // The tool takes a comma for the start of another key.
        let value = if value.contains(',') { format!("[{value}]") } else { value.to_owned() };
        let config = quoted(&format!("{key}={value}"));
        let arguments = format!("--alter --entity-type topics --entity-name {topic} --add-config {config}");
        self.tool("kafka-configs.sh", &arguments)
    }

    /// Grants operations on a resource, as in `["Read"]` and `--topic orders`.
    pub(crate) fn grant(&self, operations: &[&str], resource: &str) -> String {
        let principal = match &self.principal {
            Some(principal) => quoted(&format!("User:{principal}")),
            None => "User:…".to_owned(),
        };
        let mut arguments = format!("--add --allow-principal {principal}");
        for operation in operations {
            arguments += &format!(" --operation {operation}");
        }
        self.tool("kafka-acls.sh", &format!("{arguments} {resource}"))
    }
}

/// As one word of a POSIX shell.
pub(crate) fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "._-:/=,@%+".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::quoted;

    #[test]
    fn words_stay_one_word_in_a_shell() {
        for (word, expected) in
            [("a:9092", "a:9092"), ("a b", "'a b'"), ("", "''"), ("it's", r"'it'\''s'"), ("$x", "'$x'")]
        {
            assert_eq!(quoted(word), expected);
        }
    }
}
