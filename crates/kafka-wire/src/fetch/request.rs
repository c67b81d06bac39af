//! Fetch requests, written here and not by the library: from where the partitions are kept, in one buffer.

use std::sync::Arc;

use bytes::{BufMut, Bytes};

use super::{FetchFrom, FetchOptions};
use crate::fields::Writer;

/// From this version on, lengths are varints, and there are tagged fields (KIP-482).
pub(super) const COMPACT: i16 = 12;
/// From this version on, topics go by their ids (KIP-516).
pub(super) const IDS: i16 = 13;

/// No session, and a new one where the broker has room (KIP-227).
pub(super) const NO_SESSION: i32 = 0;
/// The epoch of a request that lists all: it ends the session it names, and begins a new one.
pub(super) const FULL: i32 = 0;
/// The epoch of a request that ends its session, and begins none.
pub(super) const LAST: i32 = -1;

/// A partition that a session has had enough of.
pub(super) type Forgotten = (Arc<str>, [u8; 16], i32);

pub(super) struct Request<'a> {
    pub options: &'a FetchOptions,
    pub rack: &'a str,
    /// The session's id and epoch.
    pub session: (i32, i32),
    /// Neighbours of the same topic are listed under one entry of it.
    pub from: &'a [&'a FetchFrom],
    pub forgotten: &'a [Forgotten],
}

impl Request<'_> {
    /// The body, in a version from 4 to 18.
    pub fn encode(&self, version: i16) -> Result<Bytes, String> {
        let Self { options, rack, session, from, forgotten } = self;
        let mut body = Writer::new(version >= COMPACT, 64 + 40 * from.len() + 24 * forgotten.len());
        if version < 15 {
            // No replica.
            body.out.put_i32(-1);
        }
        body.out.put_i32(i32::try_from(options.max_wait.as_millis()).unwrap_or(i32::MAX));
        body.out.put_i32(options.min_bytes);
        body.out.put_i32(options.max_bytes);
        body.out.put_i8(options.isolation.level());
        if version >= 7 {
            body.out.put_i32(session.0);
            body.out.put_i32(session.1);
        }
        let same = |a: &&FetchFrom, b: &&FetchFrom| a.topic == b.topic && a.topic_id == b.topic_id;
        body.count(from.chunk_by(same).count());
        for partitions in from.chunk_by(same) {
            topic(&mut body, version, &partitions[0].topic, partitions[0].topic_id)?;
            body.count(partitions.len());
            for from in partitions {
                partition(&mut body, version, from);
            }
            body.no_tags();
        }
        if version >= 7 {
            let same = |a: &Forgotten, b: &Forgotten| a.0 == b.0 && a.1 == b.1;
            body.count(forgotten.chunk_by(same).count());
            for partitions in forgotten.chunk_by(same) {
                topic(&mut body, version, &partitions[0].0, partitions[0].1)?;
                body.count(partitions.len());
                for (.., partition) in partitions {
                    body.out.put_i32(*partition);
                }
                body.no_tags();
            }
        }
        if version >= 11 {
            body.text(Some(rack))?;
        }
        body.no_tags();
        Ok(body.out.freeze())
    }
}

fn topic(body: &mut Writer, version: i16, name: &str, id: [u8; 16]) -> Result<(), String> {
    if version >= IDS {
        body.out.put_slice(&id);
        return Ok(());
    }
    body.text(Some(name))
}

fn partition(body: &mut Writer, version: i16, from: &FetchFrom) {
    body.out.put_i32(from.partition);
    if version >= 9 {
        body.out.put_i32(from.leader_epoch);
    }
    body.out.put_i64(from.offset);
    if version >= 12 {
        body.out.put_i32(from.last_fetched_epoch);
    }
    if version >= 5 {
        // The log start of a replica, which this is none.
        body.out.put_i64(-1);
    }
    body.out.put_i32(from.max_bytes);
    body.no_tags();
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use kafka_protocol::{messages::FetchRequest, protocol::Decodable};

    use super::*;
    use crate::{Isolation, fetch::VERSION};

    #[test]
    fn the_library_reads_what_is_written_here() {
        let at = |topic: &str, id: u8, partition: i32| FetchFrom {
            topic_id: [id; 16],
            max_bytes: 1000,
            leader_epoch: 4,
            last_fetched_epoch: 3,
            ..FetchFrom::new(topic, partition, 77)
        };
        let from = [at("a", 1, 0), at("a", 1, 5), at("b", 2, 0), at("a", 3, 1)];
        let from: Vec<&FetchFrom> = from.iter().collect();
        let options = FetchOptions {
            isolation: Isolation::ReadCommitted,
            max_wait: Duration::from_millis(500),
            min_bytes: 2,
            max_bytes: 3,
        };
        let forgotten = [("a", 1, 9), ("a", 1, 10), ("c", 4, 0)];
        let forgotten = forgotten.map(|(topic, id, partition)| (Arc::from(topic), [id; 16], partition));
        let request =
            Request { options: &options, rack: "r", session: (8, 9), from: &from, forgotten: &forgotten };
        for version in 4..=VERSION {
            let mut body = request.encode(version).unwrap();
            let read = FetchRequest::decode(&mut body, version).unwrap();
            assert!(body.is_empty(), "version {version}");
            assert_eq!((read.replica_id.0, read.isolation_level), (-1, 1));
            assert_eq!((read.max_wait_ms, read.min_bytes, read.max_bytes), (500, 2, 3));
            let found: Vec<_> = read.topics.iter().map(|t| (&*t.topic.0, t.topic_id.into_bytes())).collect();
            let forgotten: Vec<_> =
                read.forgotten_topics_data.iter().map(|t| (&*t.topic.0, t.partitions.clone())).collect();
            if version >= IDS {
                assert_eq!(found, [("", [1; 16]), ("", [2; 16]), ("", [3; 16])]);
                assert_eq!(forgotten, [("", vec![9, 10]), ("", vec![0])]);
            } else {
                assert_eq!(found, [("a", [0; 16]), ("b", [0; 16]), ("a", [0; 16])]);
                if version >= 7 {
                    assert_eq!(forgotten, [("a", vec![9, 10]), ("c", vec![0])]);
                }
            }
            if version >= 7 {
                assert_eq!((read.session_id, read.session_epoch), (8, 9));
            }
            assert_eq!(&*read.rack_id, if version >= 11 { "r" } else { "" });
            let second = &read.topics[0].partitions[1];
            assert_eq!((second.partition, second.fetch_offset, second.partition_max_bytes), (5, 77, 1000));
            assert_eq!(second.current_leader_epoch, if version >= 9 { 4 } else { -1 });
            assert_eq!(second.last_fetched_epoch, if version >= 12 { 3 } else { -1 });
            assert_eq!((second.log_start_offset, second.high_watermark), (-1, i64::MAX));
        }
    }

    #[test]
    fn a_request_with_nothing_new_is_small() {
        let options = FetchOptions::default();
        let request = Request { options: &options, rack: "", session: (8, 9), from: &[], forgotten: &[] };
        assert_eq!(request.encode(VERSION).unwrap().len(), 25);
    }
}
