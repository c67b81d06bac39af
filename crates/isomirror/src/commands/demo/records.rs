//! What the demo loads: the same records every time, of all the kinds that a mirror may get wrong.
//!
//! Pure. The sizes are bounded by the mock brokers, which keep 5 MB or 100,000 messages a partition and silently
//! drop what is older.

/// One topic of the demo.
pub struct Topic {
    /// Its name on the source.
    pub name: &'static str,
    /// Its name on the target, by the demo's rename rule.
    pub target: &'static str,
    /// Its partitions, on both sides.
    pub partitions: i32,
    /// Records in each of them.
    pub records: u64,
    /// The codec that its producer uses.
    pub codec: &'static str,
    make: fn(&mut Noise, u64) -> Record,
}

/// The topics.
pub const TOPICS: [Topic; 3] = [
    Topic { name: "orders", target: "orders", partitions: 6, records: 30_000, codec: "lz4", make: order },
    Topic {
        name: "payments.eu",
        target: "eu.payments",
        partitions: 3,
        records: 15_000,
        codec: "none",
        make: payment,
    },
    Topic { name: "audit", target: "audit", partitions: 1, records: 3_000, codec: "lz4", make: audit },
];

/// A record to load.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// `None` is null, which is not empty.
    pub key: Option<Vec<u8>>,
    /// `None` is a tombstone.
    pub value: Option<Vec<u8>>,
    /// In order; names may repeat, values be null.
    pub headers: Vec<(&'static str, Option<Vec<u8>>)>,
    /// Milliseconds since the epoch.
    pub timestamp: i64,
}

/// 2026-01-01T00:00:00Z.
const FIRST: i64 = 1_767_225_600_000;

impl Topic {
    /// The records of one partition, in order.
    pub fn records(&self, partition: i32) -> impl Iterator<Item = Record> {
        let seed = self.name.bytes().fold(partition.unsigned_abs().into(), |h: u64, b| h * 31 + u64::from(b));
        let mut noise = Noise(seed);
        (0..self.records).map(move |n| (self.make)(&mut noise, n))
    }
}

/// Keyed JSON; now and then a tombstone.
fn order(noise: &mut Noise, n: u64) -> Record {
    let customer = noise.below(5_000);
    let value = format!(
        r#"{{"order":{n},"customer":{customer},"cents":{},"state":"{}"}}"#,
        noise.below(100_000),
        ["new", "paid", "packed", "sent"][noise.below(4) as usize]
    );
    Record {
        key: Some(format!("customer-{customer}").into_bytes()),
        value: (n % 50 != 49).then(|| value.into_bytes()),
        headers: Vec::new(),
        timestamp: after(n),
    }
}

/// With and without keys, with headers of every kind, and late ones: time goes back in every partition.
fn payment(noise: &mut Noise, n: u64) -> Record {
    let id = Some(noise.bytes(16));
    let headers = match n % 4 {
        0 => vec![("trace", id)],
        1 => vec![("trace", id), ("hop", Some(b"1".to_vec())), ("hop", Some(b"2".to_vec()))],
        2 => vec![("trace", id), ("empty", Some(Vec::new())), ("null", None)],
        _ => Vec::new(),
    };
    let length = 20 + noise.below(200);
    Record {
        key: (!n.is_multiple_of(3)).then(|| noise.bytes(8)),
        value: Some(noise.bytes(length)),
        headers,
        timestamp: after(n) - if n.is_multiple_of(10) { 3_600_000 } else { 0 },
    }
}

/// Large and small, null and empty.
fn audit(noise: &mut Noise, n: u64) -> Record {
    let (key, value) = match n % 8 {
        0 => (None, None),
        1 => (Some(Vec::new()), Some(Vec::new())),
        2 => (None, Some(Vec::new())),
        3 => (Some(Vec::new()), None),
        4 => (Some(b"audit".to_vec()), Some(noise.bytes(8_192))),
        _ => (Some(n.to_be_bytes().to_vec()), Some(noise.bytes(256))),
    };
    Record { key, value, headers: vec![("source", Some(b"demo".to_vec()))], timestamp: after(n) }
}

fn after(n: u64) -> i64 {
    FIRST.saturating_add_unsigned(n * 250)
}

/// Numbers without a pattern, the same every time (splitmix64).
struct Noise(u64);

impl Noise {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }

    fn bytes(&mut self, length: u64) -> Vec<u8> {
        (0..length.div_ceil(8)).flat_map(|_| self.next().to_le_bytes()).take(length as usize).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_record_is_there_and_always_the_same() {
        let all: Vec<Record> = TOPICS.iter().flat_map(|topic| topic.records(0)).collect();
        let again: Vec<Record> = TOPICS.iter().flat_map(|topic| topic.records(0)).collect();
        assert!(all == again);
        let any = |what: &dyn Fn(&Record) -> bool| all.iter().any(what);
        assert!(any(&|r| r.key.is_none()) && any(&|r| r.key.as_ref().is_some_and(Vec::is_empty)));
        assert!(any(&|r| r.value.is_none()) && any(&|r| r.value.as_ref().is_some_and(Vec::is_empty)));
        assert!(any(&|r| r.headers.iter().any(|(_, value)| value.is_none())));
        assert!(any(&|r| r.headers.windows(2).any(|pair| pair[0].0 == pair[1].0)));
        assert!(all.windows(2).any(|pair| pair[1].timestamp < pair[0].timestamp));
        assert_ne!(TOPICS[0].records(0).next(), TOPICS[0].records(1).next());
    }

    #[test]
    fn no_partition_exceeds_what_a_mock_broker_keeps() {
        for topic in &TOPICS {
            let size = |r: Record| {
                let headers =
                    r.headers.iter().map(|(name, value)| name.len() + value.as_ref().map_or(0, Vec::len) + 8);
                r.key.map_or(0, |k| k.len()) + r.value.map_or(0, |v| v.len()) + headers.sum::<usize>() + 24
            };
            let bytes: usize = topic.records(0).map(size).sum();
            assert!(bytes < 4_500_000 && topic.records < 100_000, "{}: {bytes} bytes", topic.name);
        }
    }
}
