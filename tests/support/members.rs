//! Consumers of a group, and what a group has committed, by clients that are not the mirror's.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use kafka_harness::{Cluster, Props, client};
use rdkafka::{
    Message, Offset, TopicPartitionList,
    consumer::{BaseConsumer, CommitMode, Consumer},
};

const TIMEOUT: Duration = Duration::from_secs(30);

/// A client of the group; a member once it subscribes.
fn client_of(props: &Props, group: &str, extra: &[(&str, &str)]) -> BaseConsumer {
    let mut config = client::config(props);
    config
        .set("group.id", group)
        .set("enable.auto.commit", "false")
        // An offset that is out of range must not pass unseen.
        .set("auto.offset.reset", "error");
    for (key, value) in extra {
        config.set(*key, *value);
    }
    config.create().expect("a consumer")
}

/// Commits offsets in the group's name, as a consumer that assigns itself does.
pub fn commit(cluster: &Cluster, group: &str, offsets: &[(&str, i32, i64)]) {
    commit_with(cluster, group, offsets, "");
}

/// The same with something noted beside each.
pub fn commit_with(cluster: &Cluster, group: &str, offsets: &[(&str, i32, i64)], metadata: &str) {
    let mut list = TopicPartitionList::new();
    for (topic, partition, offset) in offsets {
        list.add_partition_offset(topic, *partition, Offset::Offset(*offset)).expect("an offset");
        let mut one = list.find_partition(topic, *partition).expect("it was added");
        one.set_metadata(metadata);
    }
    let consumer = client_of(&cluster.props(), group, &[]);
    consumer.commit(&list, CommitMode::Sync).expect("it is committed");
}

/// What the group has committed for partitions 0 to `partitions` of a topic.
pub fn committed(cluster: &Cluster, group: &str, topic: &str, partitions: i32) -> Vec<Option<i64>> {
    committed_with(cluster, group, topic, partitions).into_iter().map(|(offset, _)| offset).collect()
}

/// The same with what is noted beside it.
pub fn committed_with(
    cluster: &Cluster,
    group: &str,
    topic: &str,
    partitions: i32,
) -> Vec<(Option<i64>, String)> {
    let mut list = TopicPartitionList::new();
    for partition in 0..partitions {
        list.add_partition(topic, partition);
    }
    let consumer = client_of(&cluster.props(), group, &[]);
    let found = consumer.committed_offsets(list, TIMEOUT).expect("the coordinator answers");
    let one = |partition| {
        let found = found.find_partition(topic, partition).expect("it was asked for");
        let offset = match found.offset() {
            Offset::Offset(offset) => Some(offset),
            _ => None,
        };
        (offset, found.metadata().to_owned())
    };
    (0..partitions).map(one).collect()
}

/// A member of the group, that has its partitions.
pub struct MemberOf(BaseConsumer);

impl MemberOf {
    /// Joins, and waits until it has partitions.
    pub fn join(cluster: &Cluster, group: &str, topic: &str, extra: &[(&str, &str)]) -> Self {
        Self::join_as(&cluster.props(), group, topic, extra)
    }

    /// The same with these properties.
    pub fn join_as(props: &Props, group: &str, topic: &str, extra: &[(&str, &str)]) -> Self {
        let consumer = client_of(props, group, extra);
        consumer.subscribe(&[topic]).expect("it subscribes");
        let end = Instant::now() + TIMEOUT;
        while consumer.assignment().expect("an assignment").count() == 0 {
            assert!(Instant::now() < end, "group {group} gives it no partition");
            // What it has read is read again by the next.
            let _ = consumer.poll(Duration::from_millis(100));
        }
        Self(consumer)
    }

    /// Leaves the group.
    pub fn leave(self) {
        self.0.unsubscribe();
        drop(self.0);
    }
}

/// Reads so many records as a member of the group from where it stands, commits behind each, and leaves; the values of
/// each partition.
pub fn consume(cluster: &Cluster, group: &str, topic: &str, records: usize) -> BTreeMap<i32, Vec<String>> {
    // Where nothing is committed, from the beginning.
    let start = [("auto.offset.reset", "earliest"), ("isolation.level", "read_committed")];
    let consumer = client_of(&cluster.props(), group, &start);
    consumer.subscribe(&[topic]).expect("it subscribes");
    let (mut values, end): (BTreeMap<i32, Vec<String>>, _) = (BTreeMap::new(), Instant::now() + TIMEOUT);
    for _ in 0..records {
        let message = loop {
            assert!(Instant::now() < end, "group {group} does not get {records} records of {topic}");
            if let Some(message) = consumer.poll(Duration::from_millis(200)) {
                break message.expect("a record");
            }
        };
        let value = String::from_utf8_lossy(message.payload().unwrap_or_default()).into_owned();
        values.entry(message.partition()).or_default().push(value);
        consumer.commit_message(&message, CommitMode::Sync).expect("it is committed");
    }
    consumer.unsubscribe();
    values
}
