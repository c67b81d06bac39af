use bytes::{BufMut, BytesMut};
use kafka_protocol::{
    messages::{
        FetchResponse, ResponseHeader,
        fetch_response::{
            AbortedTransaction, EpochEndOffset, FetchableTopicResponse, LeaderIdAndEpoch, NodeEndpoint,
            PartitionData,
        },
    },
    protocol::{Encodable, HeaderVersion},
};
use proptest::{collection::vec, prelude::*, sample::Index};

use super::*;
use crate::{fetch::VERSION, names};

fn partition(index: i32, version: i16) -> PartitionData {
    let aborted =
        AbortedTransaction::default().with_producer_id(7.into()).with_first_offset(i64::from(index));
    let data = PartitionData::default()
        .with_partition_index(index)
        .with_error_code(if index == 1 { 100 } else { 0 })
        .with_high_watermark(10)
        .with_last_stable_offset(9)
        .with_aborted_transactions(Some(vec![aborted; index as usize]))
        .with_records(Some(Bytes::from(vec![index as u8; 50])));
    let data = if version >= 5 { data.with_log_start_offset(3) } else { data };
    let data = if version >= 11 && index == 2 { data.with_preferred_read_replica(5.into()) } else { data };
    if version < 12 || index != 3 {
        return data;
    }
    data.with_diverging_epoch(EpochEndOffset::default().with_epoch(4).with_end_offset(44))
        .with_current_leader(LeaderIdAndEpoch::default().with_leader_id(6.into()).with_leader_epoch(66))
}

fn theirs(version: i16, partitions: i32) -> FetchResponse {
    let topic = |name: &str| {
        let topic = FetchableTopicResponse::default()
            .with_partitions((0..partitions).map(|index| partition(index, version)).collect());
        // Ids are left out: the library's type for them is none of our dependencies'.
        if version >= IDS { topic } else { topic.with_topic(names::topic(name)) }
    };
    let answer =
        FetchResponse::default().with_throttle_time_ms(1500).with_responses(vec![topic("a"), topic("b")]);
    let answer = if version >= 7 { answer.with_session_id(99) } else { answer };
    if version < 16 {
        return answer;
    }
    let broker = NodeEndpoint::default().with_node_id(6.into()).with_host(names::text("h")).with_port(9092);
    let rack = Some(names::text("r"));
    answer.with_node_endpoints(vec![broker.clone().with_rack(rack), broker.with_port(-1).with_rack(None)])
}

fn encoded(answer: &FetchResponse, version: i16) -> Bytes {
    let mut frame = BytesMut::new();
    let header = ResponseHeader::default().with_correlation_id(1);
    header.encode(&mut frame, FetchResponse::header_version(version)).unwrap();
    answer.encode(&mut frame, version).unwrap();
    frame.freeze()
}

#[test]
fn what_the_library_writes_is_read_in_every_version() {
    for version in 4..=VERSION {
        let frame = encoded(&theirs(version, 4), version);
        let read = FetchAnswer::read(frame.clone(), version).unwrap();
        assert_eq!((read.error, read.throttle()), (None, Duration::from_millis(1500)));
        assert_eq!(read.session, if version >= 7 { 99 } else { 0 });
        assert_eq!(read.topics.iter().map(|topic| topic.partitions).collect::<Vec<_>>(), [4, 4]);
        assert_eq!(read.topics[1].name, if version >= IDS { "" } else { "b" });
        assert_eq!(read.partitions.len(), 8);
        for (index, found) in (0..4).zip(&read.partitions[4..]) {
            assert_eq!((found.partition, found.high_watermark, found.last_stable_offset), (index, 10, 9));
            assert_eq!(found.log_start_offset, if version >= 5 { 3 } else { -1 });
            assert_eq!(found.error, (index == 1).then_some(Code::UnknownTopicId));
            let aborted = Aborted { producer_id: 7, first_offset: index.into() };
            assert_eq!(found.aborted, vec![aborted; index as usize]);
            assert_eq!(found.preferred_replica, (version >= 11 && index == 2).then_some(5));
            let (diverging, leader) =
                (EpochEnd { epoch: 4, end_offset: 44 }, Leader { broker: 6, epoch: 66 });
            let is_tagged = version >= 12 && index == 3;
            assert_eq!(found.diverging, is_tagged.then_some(diverging));
            assert_eq!(found.leader, is_tagged.then_some(leader));
            assert_eq!(found.records, vec![index as u8; 50]);
            assert!(frame.as_ptr_range().contains(&found.records.as_ptr()), "records are not copied");
        }
        let broker = Broker { id: 6, host: "h".into(), port: 9092, rack: Some("r".into()) };
        assert_eq!(read.endpoints, if version >= 16 { vec![broker] } else { Vec::new() });
        for cut in 0..frame.len() {
            // The last byte of v4's is records.
            assert!(
                FetchAnswer::read(frame.slice(..cut), version).is_err(),
                "version {version}, cut at {cut}"
            );
        }
    }
}

#[test]
fn no_session_and_no_records_are_read() {
    let nothing = PartitionData::default().with_records(None).with_aborted_transactions(None);
    for version in 4..=VERSION {
        let topic = FetchableTopicResponse::default().with_partitions(vec![nothing.clone()]);
        let answer = FetchResponse::default().with_responses(vec![topic]);
        let answer = if version >= 7 { answer.with_error_code(70) } else { answer };
        let read = FetchAnswer::read(encoded(&answer, version), version).unwrap();
        assert_eq!(read.error, (version >= 7).then_some(Code::FetchSessionIdNotFound));
        assert!(read.partitions[0].records.is_empty() && read.partitions[0].aborted.is_empty());
    }
}

/// A frame up to where the topics' count comes.
fn up_to_topics(version: i16) -> BytesMut {
    let mut frame = BytesMut::new();
    frame.put_bytes(0, if version >= COMPACT { 5 } else { 4 } + 4 + 2 + 4);
    frame
}

#[test]
fn promises_that_a_frame_can_not_keep_take_no_memory() {
    for version in [11, 12, VERSION] {
        // Topics, then the partitions of the one topic, then its aborted transactions, then its records.
        for depth in 0..4 {
            let mut frame = up_to_topics(version);
            let one = |frame: &mut BytesMut| {
                if version >= COMPACT { frame.put_u8(2) } else { frame.put_i32(1) }
            };
            if depth > 0 {
                one(&mut frame);
                frame.put_bytes(0, if version >= IDS { 16 } else { 0 });
                if version == 12 {
                    frame.put_u8(2)
                } else if version < 12 {
                    frame.put_i16(1)
                }
                frame.put_bytes(b'a', usize::from(version < IDS));
            }
            if depth > 1 {
                one(&mut frame);
                frame.put_bytes(0, 4 + 2 + 8 + 8 + 8);
            }
            if depth > 2 {
                frame.put_bytes(0, if version >= COMPACT { 1 } else { 4 });
                frame.put_i32(-1);
            }
            if version >= COMPACT {
                frame.put_slice(&[0xff, 0xff, 0xff, 0xff, 0x07]);
            } else {
                frame.put_i32(i32::MAX);
            }
            frame.put_bytes(0, 50);
            // On the heap of no machine there are 2^31 partitions; it would abort.
            let Err(reason) = FetchAnswer::read(frame.freeze(), version) else { panic!("it is read") };
            assert!(reason.contains("promises"), "version {version}, depth {depth}: {reason}");
        }
    }
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(bytes in vec(any::<u8>(), 0..300), version in 4..=VERSION) {
        let mut frame = up_to_topics(version);
        let _ = FetchAnswer::read(Bytes::from(bytes.clone()), version);
        frame.put_slice(&bytes);
        let _ = FetchAnswer::read(frame.freeze(), version);
    }

    #[test]
    fn no_damage_makes_it_panic(
        version in 4..=VERSION,
        damage in vec((any::<Index>(), any::<u8>()), 1..6),
    ) {
        let mut frame = encoded(&theirs(version, 4), version).to_vec();
        for (at, byte) in damage {
            let at = at.index(frame.len());
            frame[at] = byte;
        }
        if let Ok(read) = FetchAnswer::read(frame.into(), version) {
            let listed: usize = read.topics.iter().map(|topic| topic.partitions).sum();
            prop_assert_eq!(listed, read.partitions.len());
        }
    }
}

#[test]
#[ignore = "measures; run with --release"]
fn what_reading_a_thousand_partitions_costs() {
    use std::{hint::black_box, time::Instant};
    let data =
        |index| PartitionData::default().with_partition_index(index).with_records(Some(vec![0; 1000].into()));
    let topic = FetchableTopicResponse::default().with_partitions((0..1000).map(data).collect());
    let frame = encoded(&FetchResponse::default().with_responses(vec![topic]), VERSION);
    for _ in 0..5 {
        let start = Instant::now();
        for _ in 0..200 {
            black_box(FetchAnswer::read(frame.clone(), VERSION).unwrap());
        }
        let ours = start.elapsed() / 200;
        let start = Instant::now();
        for _ in 0..200 {
            black_box(<FetchResponse as Answer>::read(frame.clone(), VERSION).unwrap());
        }
        println!("{ours:?} here, {:?} in the library", start.elapsed() / 200);
    }
}
