//! Padding: records of nothing, by which an empty partition gets to the offset where its lane starts. They are
//! deleted before the first real record is written.

use std::time::Duration;

use bytes::Bytes;
use kafka_wire::{
    Client, Code, Error, To,
    kafka_protocol::{
        messages::{
            IncrementalAlterConfigsRequest,
            incremental_alter_configs_request::{AlterConfigsResource, AlterableConfig},
        },
        protocol::StrBytes,
    },
    records::{BatchBuilder, Compression, Stamp},
};
use mirror_types::{Offset, TopicPartition};

/// Records of one batch: more of them make a broker run out of memory when it looks at them.
const RECORDS: i64 = 1_000_000;
const PAUSE: Duration = Duration::from_millis(100);

/// A batch of up to `count` padding records that fits into `limit` bytes; and how many they are.
///
/// They have an empty key, since a compacted topic takes none without, and are as old as can be, so that the segment
/// they are in ends before the first real record. A million take 0.8 MB.
pub(crate) fn batch(count: i64, limit: usize, stamp: Stamp) -> (Bytes, i32) {
    let mut count = count.min(RECORDS);
    loop {
        let mut builder = BatchBuilder::new(count as usize * 9);
        (0..count).for_each(|_| builder.push(0, Some(b""), None, [].into_iter()));
        let bytes = builder.finish(stamp, Compression::Zstd, None);
        if bytes.len() <= limit || count == 1 {
            return (bytes, count as i32);
        }
        count = (count / 2).max(1);
    }
}

/// Deletes all before an offset. A topic that is only compacted does not allow that: it is made to for the moment.
pub(crate) async fn delete(client: &Client, at: &TopicPartition, before: Offset) -> Result<(), Error> {
    match client.delete_records(&at.topic, at.partition, before).await {
        Err(error) if error.code() == Some(Code::PolicyViolation) => {}
        done => return done.map(drop),
    }
    set_policy(client, &at.topic, "compact,delete").await?;
    // A broker hears of it a moment later.
    let mut deleted = Ok(0);
    for _ in 0..50 {
        deleted = client.delete_records(&at.topic, at.partition, before).await;
        match &deleted {
            Err(error) if error.code() == Some(Code::PolicyViolation) => tokio::time::sleep(PAUSE).await,
            _ => break,
        }
    }
    set_policy(client, &at.topic, "compact").await?;
    deleted.map(drop)
}

async fn set_policy(client: &Client, topic: &str, policy: &'static str) -> Result<(), Error> {
    const SET: i8 = 0;
    const TOPIC: i8 = 2;
    let config = AlterableConfig::default()
        .with_name(StrBytes::from_static_str("cleanup.policy"))
        .with_config_operation(SET)
        .with_value(Some(StrBytes::from_static_str(policy)));
    let resource = AlterConfigsResource::default()
        .with_resource_type(TOPIC)
        .with_resource_name(StrBytes::from_string(topic.to_owned()))
        .with_configs(vec![config]);
    let request = IncrementalAlterConfigsRequest::default().with_resources(vec![resource]);
    let answer = client.call(To::Any, &request, 1).await?;
    let code = answer.responses.iter().find_map(|response| Code::try_from_code(response.error_code));
    let doing = || format!("set cleanup.policy={policy} of {topic}");
    code.map_or(Ok(()), |code| Err(Error::answered(&"target".into(), doing(), code)))
}

#[cfg(test)]
mod tests {
    use kafka_wire::ProducerIdentity;

    use super::*;

    #[test]
    fn a_million_fit_into_a_batch_of_the_usual_size_and_fewer_into_a_small_one() {
        let stamp = Stamp { producer: ProducerIdentity { id: 1, epoch: 0 }, sequence: 0 };
        let (bytes, count) = batch(5_000_000, 1_048_588, stamp);
        assert!(count == 1_000_000 && bytes.len() < 1_000_000, "{count} in {} bytes", bytes.len());
        let (bytes, count) = batch(5_000_000, 10_000, stamp);
        assert!(count > 1000 && bytes.len() <= 10_000, "{count} in {} bytes", bytes.len());
        assert_eq!(batch(7, 1_048_588, stamp).1, 7);
    }
}
