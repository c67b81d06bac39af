//! Numbered records, what a daemon says of a lane, and the commands that it tells its operator to run.

use std::{collections::BTreeMap, ops::Range};

use kafka_harness::{
    Cluster, TestRecord,
    client::{self, Isolation, value_number},
};
use serde_json::Value;

/// Writes a record for each number to one partition: `number` is its value, in 16 hex digits, and its key.
pub fn write(cluster: &Cluster, topic: &str, partition: i32, numbers: Range<u64>) {
    let record = |n| TestRecord {
        partition,
        key: Some(format!("{n}").into_bytes()),
        value: Some(format!("{n:016x}").into_bytes()),
        ..TestRecord::default()
    };
    let records: Vec<_> = numbers.map(record).collect();
    client::produce(&cluster.props(), topic, &records).expect("the broker takes them");
}

/// The numbers in each partition of a topic, in the order they lie there.
pub fn numbers(cluster: &Cluster, topic: &str) -> BTreeMap<i32, Vec<u64>> {
    let mut found: BTreeMap<i32, Vec<u64>> = BTreeMap::new();
    let number = |value: &[u8]| value_number(value).expect("all values are numbered");
    let partitions = client::read_each(&cluster.props(), topic, Isolation::Uncommitted, |message| {
        let value = rdkafka::Message::payload(message).expect("all have values");
        found.entry(rdkafka::Message::partition(message)).or_default().push(number(value));
    });
    for partition in partitions.expect("the topic can be read") {
        found.entry(partition).or_default();
    }
    found
}

/// How many records of a topic a consumer sees.
pub fn count(cluster: &Cluster, topic: &str) -> usize {
    match client::count(&cluster.props(), topic, Isolation::Uncommitted) {
        Ok(counts) => counts.into_values().map(|count| count as usize).sum(),
        Err(_) => 0,
    }
}

/// The sum of a topic's log ends, if it is there: its records, where none are hidden and none were deleted.
pub fn total(cluster: &Cluster, topic: &str) -> u64 {
    let ends = client::end_offsets(&cluster.props(), topic).unwrap_or_default();
    ends.values().map(|end| u64::try_from(*end).expect("not negative")).sum()
}

/// One lane of a `/status`, if it is there.
pub fn lane<'a>(status: &'a Value, topic: &str, partition: i32) -> Option<&'a Value> {
    let lanes = status["lanes"].as_array().expect("a list");
    lanes.iter().find(|lane| lane["topic"] == topic && lane["partition"] == partition)
}

/// A stopped lane's reason and fix; none while it is not stopped.
pub fn stopped(status: &Value, topic: &str, partition: i32) -> Option<(String, String)> {
    let lane = lane(status, topic, partition).filter(|lane| lane["state"] == "stopped")?;
    let text = |key: &str| lane[key].as_str().expect("a stopped lane says why").to_owned();
    Some((text("reason"), text("fix")))
}

/// Does what a fix says: runs Kafka's own tool with the very arguments that the fix names.
pub fn run_fix(cluster: &Cluster, fix: &str) {
    let tools = [
        ("kafka-topics.sh", "org.apache.kafka.tools.TopicCommand"),
        ("kafka-configs.sh", "kafka.admin.ConfigCommand"),
    ];
    let found = tools.iter().find_map(|(script, class)| Some((class, fix.split(script).nth(1)?)));
    let (class, rest) = found.unwrap_or_else(|| panic!("the fix names no tool: {fix}"));
    let command = rest.split(" on the target").next().expect("a first part");
    let bootstrap = cluster.internal_bootstrap();
    let mut args = vec!["--bootstrap-server", &bootstrap];
    args.extend(command.split_whitespace());
    let output = cluster.run_tool(class, &args).expect("the tool runs");
    let text =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && !text.contains("Error"), "{args:?}: {text}");
}
