//! Two million records of mixed shapes, each compared on read-back with what was written.
//!
//! A record follows from its partition and offset, so neither side is held in memory.

use std::time::{Duration, Instant};

use kafka_harness::{
    client::{self, Isolation},
    daemon::Config,
    shared::{pair, unique},
};
use rdkafka::{
    Message,
    error::{KafkaError, RDKafkaErrorCode},
    message::{BorrowedMessage, Header, Headers, OwnedHeaders},
    producer::{BaseRecord, Producer, ThreadedProducer},
};

use crate::support::{T, alone, create};

const PARTITIONS: i32 = 15;
const EACH: i64 = 2_000_000 / PARTITIONS as i64 + 1;
const CODECS: [&str; 5] = ["none", "gzip", "snappy", "lz4", "zstd"];
const LARGEST: usize = 2000;

type Bytes<'a> = Option<&'a [u8]>;

struct Made<'a> {
    timestamp: i64,
    key: Bytes<'a>,
    value: Bytes<'a>,
    headers: Vec<(&'static str, Bytes<'a>)>,
}

/// Bytes to cut keys and values from, half noise and half text.
struct Pool(Vec<u8>);

/// SplitMix64, as a hash.
fn mix(n: u64) -> u64 {
    let n = n.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let n = (n ^ (n >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let n = (n ^ (n >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    n ^ (n >> 31)
}

impl Pool {
    fn new() -> Self {
        let mut bytes = Vec::new();
        for n in 0..40_000 {
            bytes.extend_from_slice(&mix(n).to_le_bytes());
            bytes.extend_from_slice(b"all work");
        }
        Self(bytes)
    }

    /// Nothing, empty, or up to `most` bytes, mostly few.
    fn cut(&self, random: u64, most: usize) -> Bytes<'_> {
        let share = ((random >> 16) as u16 as f64 / f64::from(u16::MAX)).powi(5);
        let size = (share * most as f64) as usize;
        match random % 64 {
            0 => None,
            1 => Some(&[]),
            _ => {
                let at = (random >> 32) as usize % (self.0.len() - LARGEST);
                Some(&self.0[at..at + size])
            }
        }
    }

    fn make(&self, partition: i32, offset: i64) -> Made<'_> {
        let random = mix((partition as u64) << 40 | offset as u64);
        let headers = match random % 10 {
            n @ 0..3 => ["", "trace", "trace", "h\u{f6}"][..=n as usize]
                .iter()
                .enumerate()
                .map(|(i, name)| (*name, self.cut(mix(random ^ i as u64), 40)))
                .collect(),
            _ => Vec::new(),
        };
        let timestamp = match random % 1000 {
            0 => -1,
            n => T + offset - n as i64 * 7,
        };
        Made { timestamp, key: self.cut(mix(random), 60), value: self.cut(mix(!random), LARGEST), headers }
    }
}

fn write(pool: &Pool, props: &[(String, String)], topic: &str, codec: usize) {
    let mut config = client::config(props);
    config.set("enable.idempotence", "true").set("linger.ms", "20").set("compression.type", CODECS[codec]);
    config.set("queue.buffering.max.messages", "200000").set("batch.size", "300000");
    let producer: ThreadedProducer<_> = config.create().unwrap();
    for offset in 0..EACH {
        for partition in (0..PARTITIONS).filter(|p| *p as usize % CODECS.len() == codec) {
            let made = pool.make(partition, offset);
            let mut record =
                BaseRecord::<[u8], [u8]>::to(topic).partition(partition).timestamp(made.timestamp);
            (record.key, record.payload) = (made.key, made.value);
            if !made.headers.is_empty() {
                let all = OwnedHeaders::new();
                let all = made
                    .headers
                    .iter()
                    .fold(all, |all, (key, value)| all.insert(Header { key, value: *value }));
                record.headers = Some(all);
            }
            while let Err((error, back)) = producer.send(record) {
                assert_eq!(error, KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull));
                std::thread::sleep(Duration::from_millis(2));
                record = back;
            }
        }
    }
    producer.flush(Duration::from_secs(60)).unwrap();
}

fn is(message: &BorrowedMessage<'_>, made: &Made<'_>) -> bool {
    let headers = message.headers().map_or(0, Headers::count) == made.headers.len()
        && message
            .headers()
            .is_none_or(|h| h.iter().map(|h| (h.key, h.value)).eq(made.headers.iter().copied()));
    message.timestamp().to_millis().unwrap_or(-1) == made.timestamp
        && message.key() == made.key
        && message.payload() == made.value
        && headers
}

#[test]
fn two_million_records_of_mixed_shapes_are_equal_on_read_back() {
    let _alone = alone();
    let (source, target) = pair();
    let (topic, pool) = (unique("mixed"), Pool::new());
    create(source, &topic, PARTITIONS, &[]);
    let start = Instant::now();
    std::thread::scope(|scope| {
        for codec in 0..CODECS.len() {
            let (pool, topic) = (&pool, &*topic);
            scope.spawn(move || write(pool, &source.props(), topic, codec));
        }
    });
    let written = start.elapsed();

    Config::new(source, target, &topic).run_until_caught_up().expect(0);

    let mirrored = start.elapsed();
    let (mut next, mut bytes) = ([0; PARTITIONS as usize], 0);
    client::read_each(&target.props(), &topic, Isolation::Uncommitted, |message| {
        let (partition, offset) = (message.partition(), message.offset());
        assert_eq!(offset, next[partition as usize], "partition {partition}");
        next[partition as usize] += 1;
        let made = pool.make(partition, offset);
        assert!(is(message, &made), "{topic}[{partition}] {offset}: {message:?}");
        bytes += message.payload_len() + message.key_len();
    })
    .unwrap();
    assert_eq!(next, [EACH; PARTITIONS as usize]);
    eprintln!(
        "{} records, {bytes} bytes: written in {written:.1?}, mirrored in {:.1?}, read back in {:.1?}",
        EACH * i64::from(PARTITIONS),
        mirrored - written,
        start.elapsed() - mirrored,
    );
}
