//! Reads a cluster back with a client that knows nothing of the mirror: rdkafka's plain consumer.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use anyhow::{Context, bail};
use rdkafka::{
    ClientConfig, Message, Offset, TopicPartitionList,
    consumer::{BaseConsumer, Consumer},
    message::Headers,
};

use super::compare::{Content, Contents};

const TIMEOUT: Duration = Duration::from_secs(10);

/// The content of every partition of these topics, from its first record to its end as it is now.
pub fn read<'t>(servers: &str, topics: impl Iterator<Item = (&'t str, i32)>) -> anyhow::Result<Contents> {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", servers)
        .set("client.id", "isomirror-demo-reader")
        // It joins no group, but librdkafka assigns no partitions without a name.
        .set("group.id", "isomirror-demo-reader")
        .set("enable.auto.commit", "false")
        .set("auto.offset.reset", "error")
        .set("check.crcs", "true")
        .create()
        .context("failed to make a consumer")?;
    let mut contents: Contents = BTreeMap::new();
    let mut ends = BTreeMap::new();
    let mut assignment = TopicPartitionList::new();
    for (topic, partitions) in topics {
        for partition in 0..partitions {
            let (start, end) = consumer
                .fetch_watermarks(topic, partition, TIMEOUT)
                .with_context(|| format!("failed to ask where {topic}[{partition}] ends"))?;
            contents.insert((topic.to_owned(), partition), Content::default());
            if start < end {
                assignment.add_partition_offset(topic, partition, Offset::Offset(start))?;
                ends.insert((topic.to_owned(), partition), end);
            }
        }
    }
    consumer.assign(&assignment).context("failed to assign the partitions")?;
    let mut heard = Instant::now();
    while !ends.is_empty() {
        match consumer.poll(Duration::from_millis(100)) {
            Some(message) => {
                let message = message.context("failed to read back")?;
                heard = Instant::now();
                let at = (message.topic().to_owned(), message.partition());
                let content = contents.get_mut(&at).context("a partition that was not asked for")?;
                let headers = message.headers().into_iter().flat_map(|headers| headers.iter());
                let headers = headers.map(|header| (header.key.as_bytes(), header.value));
                let timestamp = message.timestamp().to_millis().unwrap_or(-1);
                content.push(timestamp, message.key(), message.payload(), headers);
                if ends.get(&at).is_some_and(|end| message.offset() + 1 >= *end) {
                    ends.remove(&at);
                }
            }
            None if heard.elapsed() > TIMEOUT => {
                bail!("nothing came for {TIMEOUT:?}; not read to the end: {ends:?}")
            }
            None => {}
        }
    }
    Ok(contents)
}
