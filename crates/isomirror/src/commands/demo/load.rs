//! Loads the demo's records into the source cluster, and keeps what their content should be.

use std::{collections::BTreeMap, time::Duration};

use anyhow::Context;
use rdkafka::{
    ClientConfig,
    message::{Header, OwnedHeaders},
    producer::{BaseRecord, DefaultProducerContext, Producer, ThreadedProducer},
};

use super::{
    compare::{Content, Contents},
    records::TOPICS,
};

const FLUSH: Duration = Duration::from_secs(30);

/// Writes every record to its partition; returns the content that the cluster should hold now.
pub fn load(servers: &str) -> anyhow::Result<Contents> {
    let mut contents = BTreeMap::new();
    for topic in &TOPICS {
        let producer: ThreadedProducer<DefaultProducerContext> = ClientConfig::new()
            .set("bootstrap.servers", servers)
            .set("client.id", "isomirror-demo")
            .set("enable.idempotence", "true")
            .set("compression.type", topic.codec)
            .set("linger.ms", "20")
            .set("queue.buffering.max.messages", "0")
            .create()
            .context("failed to make a producer")?;
        for partition in 0..topic.partitions {
            let mut content = Content::default();
            for record in topic.records(partition) {
                let headers = record.headers.iter().map(|(name, value)| (name.as_bytes(), value.as_deref()));
                content.push(record.timestamp, record.key.as_deref(), record.value.as_deref(), headers);
                let headers = record.headers.iter().fold(OwnedHeaders::new(), |all, (key, value)| {
                    all.insert(Header { key, value: value.as_ref() })
                });
                let mut message = BaseRecord::<[u8], [u8]>::to(topic.name)
                    .partition(partition)
                    .timestamp(record.timestamp)
                    .headers(headers);
                message.key = record.key.as_deref();
                message.payload = record.value.as_deref();
                producer.send(message).map_err(|(error, _)| error)?;
            }
            contents.insert((topic.name.to_owned(), partition), content);
        }
        // What did not get there is found by reading back.
        producer.flush(FLUSH).context("the records were not all taken")?;
    }
    Ok(contents)
}
