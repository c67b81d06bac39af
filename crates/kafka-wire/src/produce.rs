//! Produce: record batches to the leader of their partitions, as they are and uncopied.

use std::{
    collections::BTreeSet,
    fmt,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::{BufMut, Bytes};
use kafka_protocol::{
    messages::{ProduceRequest, ProduceResponse, produce_response::BatchIndexAndErrorMessage},
    protocol::{HeaderVersion, Request},
};

use crate::{Cause, Code, Connection, Error, Response, fields::Writer};

/// The newest Produce that is spoken: v9 is what brokers from 2.8 on know; v12 begins transactions by
/// itself (KIP-890), v13 asks by topic ids.
const VERSION: i16 = 9;
/// From this version on, lengths are varints, and there are tagged fields (KIP-482).
const COMPACT: i16 = 9;
/// Who must have it before the broker answers.
const ALL: i16 = -1;
const LEADER: i16 = 1;
const NOBODY: i16 = 0;

/// One record batch for one partition.
#[derive(Clone)]
pub struct ProduceBatch {
    /// The topic.
    pub topic: Arc<str>,
    /// The partition.
    pub partition: i32,
    /// The batch, in pieces: a header of one's own and a body that came from elsewhere, say. They are
    /// written one after the other and never copied. A broker takes exactly one batch.
    pub records: Vec<Bytes>,
}

impl ProduceBatch {
    /// A batch in one piece.
    pub fn new(topic: impl Into<Arc<str>>, partition: i32, records: Bytes) -> Self {
        Self { topic: topic.into(), partition, records: vec![records] }
    }

    fn length(&self) -> usize {
        self.records.iter().map(Bytes::len).sum()
    }
}

/// What all batches of a request have in common.
#[derive(Debug, Clone)]
pub struct ProduceOptions {
    /// Whether all replicas in sync must have it (`acks=all`), or the leader alone (`acks=1`).
    pub all_replicas: bool,
    /// How long the leader waits for the replicas before it answers `RequestTimedOut`: the batch is in
    /// its log then, all the same. This is added to the settings' request timeout.
    pub timeout: Duration,
    /// The transactional id, where the batches are transactional.
    pub transactional_id: Option<Arc<str>>,
}

impl Default for ProduceOptions {
    fn default() -> Self {
        Self { all_replicas: true, timeout: Duration::from_secs(30), transactional_id: None }
    }
}

/// What became of one batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Produced {
    /// The topic.
    pub topic: Arc<str>,
    /// The partition.
    pub partition: i32,
    /// The offset of the batch's first record. Of a duplicate (the same producer's same sequence numbers),
    /// it is where the batch was put the first time, as long as the broker remembers it; see
    /// [`Refused::code`].
    pub base_offset: i64,
    /// The broker's time for the records, in ms since 1970, where the topic has LogAppendTime; else -1.
    pub log_append_time: i64,
    /// Where the partition's log starts; -1 where it is not said.
    pub log_start_offset: i64,
}

/// A batch that the broker did not take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// The topic.
    pub topic: Arc<str>,
    /// The partition.
    pub partition: i32,
    /// Why. `RequestTimedOut` and `NotEnoughReplicasAfterAppend` say that it is in the leader's log.
    /// `OutOfOrderSequenceNumber` may be a hole, or a duplicate of a batch that is too far back to be known
    /// as one: a broker remembers the last five batches of a producer (3.9.1; others may say
    /// `DuplicateSequenceNumber` to these).
    pub code: Code,
    /// What the broker says beside it; may be empty.
    pub message: Arc<str>,
    /// The records that it finds fault with, by their index in the batch, and what it says of each
    /// (KIP-467); none where the fault is not a record's.
    pub records: Vec<(i32, Arc<str>)>,
    /// Where the partition's log starts; -1 where it is not said.
    pub log_start_offset: i64,
}

/// The outcome of each batch, in the broker's order (which is that of the request).
pub type Outcomes = Vec<Result<Produced, Refused>>;

/// The outcome of a Produce request to come. Dropping it does not take the request back.
pub struct Producing(Response<ProduceResponse>);

impl Connection {
    /// Sends batches to the leader at the other end. The request is in the queue when this returns, after
    /// all that were sent before. An error that is [`Sent::MaybeSent`](crate::Sent::MaybeSent) leaves open
    /// for every batch whether it was taken. Each partition may be listed once: of two batches for one
    /// partition, the broker would drop the first.
    pub fn produce(&self, batches: &[ProduceBatch], options: &ProduceOptions) -> Producing {
        let version = match self.version_of::<ProduceRequest>(VERSION) {
            Ok(version) => version,
            Err(error) => return Producing(self.failed(error)),
        };
        let acks = if options.all_replicas { ALL } else { LEADER };
        Producing(match encode(batches, acks, options, version) {
            Ok(body) => {
                let header = ProduceRequest::header_version(version);
                self.send_chunks(ProduceRequest::KEY, version, header, body, options.timeout)
            }
            Err(reason) => self.failed(self.invalid(reason)),
        })
    }

    /// Sends batches with `acks=0`, ahead of a request that may be carried out only if all of them are in their leader's
    /// log: the broker closes the connection where one is not, and reads nothing that was sent behind it (2.8.2, 3.9.1, 4.1.0:
    /// `KafkaApis.handleProduceRequest`). Otherwise it says nothing; an answer to what was sent behind is the answer to
    /// these, too. An error is about what was not sent.
    pub fn produce_ahead(&self, batches: &[ProduceBatch]) -> Result<(), Error> {
        let version = self.version_of::<ProduceRequest>(VERSION)?;
        let body = encode(batches, NOBODY, &ProduceOptions::default(), version);
        let header = ProduceRequest::header_version(version);
        self.send_silent(ProduceRequest::KEY, version, header, body.map_err(|reason| self.invalid(reason))?);
        Ok(())
    }

    fn invalid(&self, reason: String) -> Error {
        Error::not_sent(self.address(), "Produce", Cause::Invalid(reason.into()))
    }
}

impl Future for Producing {
    type Output = Result<Outcomes, Error>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let answer = ready!(Pin::new(&mut self.0).poll(cx))?;
        Poll::Ready(Ok(outcomes(answer)))
    }
}

fn outcomes(answer: ProduceResponse) -> Outcomes {
    let mut outcomes = Vec::new();
    for topic in answer.responses {
        let name: Arc<str> = Arc::from(&**topic.name);
        for found in topic.partition_responses {
            let (topic, partition) = (name.clone(), found.index);
            outcomes.push(match Code::try_from_code(found.error_code) {
                None => Ok(Produced {
                    topic,
                    partition,
                    base_offset: found.base_offset,
                    log_append_time: found.log_append_time_ms,
                    log_start_offset: found.log_start_offset,
                }),
                Some(code) => {
                    let message = found.error_message.as_deref().unwrap_or_default().into();
                    let fault = |record: &BatchIndexAndErrorMessage| {
                        let words = record.batch_index_error_message.as_deref().unwrap_or_default();
                        (record.batch_index, Arc::from(words))
                    };
                    let records = found.record_errors.iter().map(fault).collect();
                    let log_start_offset = found.log_start_offset;
                    Err(Refused { topic, partition, code, message, records, log_start_offset })
                }
            });
        }
    }
    outcomes
}

/// The body of a request, its batches as they are.
fn encode(
    batches: &[ProduceBatch],
    acks: i16,
    options: &ProduceOptions,
    version: i16,
) -> Result<Vec<Bytes>, String> {
    // A topic listed twice would lose all but the last of its entries.
    let mut topics: Vec<(&Arc<str>, Vec<&ProduceBatch>)> = Vec::new();
    let mut seen = BTreeSet::new();
    for batch in batches {
        if !seen.insert((&batch.topic, batch.partition)) {
            return Err(format!("{}/{} is in it twice", batch.topic, batch.partition));
        }
        match topics.iter_mut().find(|(topic, _)| **topic == batch.topic) {
            Some((_, of_topic)) => of_topic.push(batch),
            None => topics.push((&batch.topic, vec![batch])),
        }
    }
    let mut body = Body { chunks: Vec::new(), last: Writer::new(version >= COMPACT, 256) };
    body.last.text(options.transactional_id.as_deref())?;
    body.last.out.put_i16(acks);
    body.last.out.put_i32(i32::try_from(options.timeout.as_millis()).unwrap_or(i32::MAX));
    body.last.count(topics.len());
    for (topic, batches) in topics {
        body.last.text(Some(topic))?;
        body.last.count(batches.len());
        for batch in batches {
            body.last.out.put_i32(batch.partition);
            body.last.count(batch.length());
            body.put(&batch.records);
            body.last.no_tags();
        }
        body.last.no_tags();
    }
    body.last.no_tags();
    body.chunks.push(body.last.out.freeze());
    Ok(body.chunks)
}

struct Body {
    chunks: Vec<Bytes>,
    last: Writer,
}

impl Body {
    fn put(&mut self, records: &[Bytes]) {
        self.chunks.push(self.last.out.split().freeze());
        self.chunks.extend_from_slice(records);
    }
}

impl fmt::Debug for ProduceBatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ProduceBatch({}/{}, {} bytes)", self.topic, self.partition, self.length())
    }
}

#[cfg(test)]
mod tests {
    use kafka_protocol::protocol::Decodable;

    use super::*;

    fn batch(topic: &str, partition: i32, records: &[&'static str]) -> ProduceBatch {
        let records = records.iter().map(|text| Bytes::from_static(text.as_bytes())).collect();
        ProduceBatch { topic: topic.into(), partition, records }
    }

    #[test]
    fn the_library_reads_what_is_written_here() {
        let long: &'static str = "x".repeat(300).leak();
        let batches = [
            batch("a", 1, &["head", "body"]),
            batch("b", 0, &[long]),
            batch("a", 0, &[]),
            batch("c", 7, &["", "z"]),
        ];
        for version in 3..=VERSION {
            for id in [None, Some("tx".into())] {
                let options = ProduceOptions { transactional_id: id.clone(), ..ProduceOptions::default() };
                let mut body = Bytes::from(encode(&batches, ALL, &options, version).unwrap().concat());
                let read = ProduceRequest::decode(&mut body, version).unwrap();
                assert!(body.is_empty(), "version {version}");
                assert_eq!(read.transactional_id.as_ref().map(|id| id.as_str()), id.as_deref());
                assert_eq!((read.acks, read.timeout_ms), (-1, 30_000));
                let found: Vec<_> = read
                    .topic_data
                    .iter()
                    .flat_map(|topic| topic.partition_data.iter().map(move |data| (topic, data)))
                    .map(|(topic, data)| (topic.name.as_str(), data.index, data.records.clone().unwrap()))
                    .collect();
                let expected = [("a", 1, "headbody"), ("a", 0, ""), ("b", 0, long), ("c", 7, "z")];
                assert_eq!(found, expected.map(|(t, p, text)| (t, p, Bytes::from_static(text.as_bytes()))));
            }
        }
    }

    #[test]
    fn records_are_not_copied() {
        let records = Bytes::from(vec![7; 100]);
        let body = encode(&[ProduceBatch::new("a", 0, records.clone())], ALL, &ProduceOptions::default(), 9)
            .unwrap();
        assert!(body.iter().any(|chunk| chunk.as_ptr() == records.as_ptr()));
    }

    #[test]
    fn a_partition_listed_twice_is_refused() {
        let twice = [batch("a", 1, &["x"]), batch("b", 1, &["x"]), batch("a", 1, &["y"])];
        let error = encode(&twice, ALL, &ProduceOptions::default(), 9).unwrap_err();
        assert!(error.contains("a/1"), "{error}");
    }
}
