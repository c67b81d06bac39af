//! A fast bulk loader whose every record can be told from every other.

use anyhow::{Context, Result, ensure};
use rdkafka::producer::BaseRecord;

use super::config;
use super::produce::{finish, producer, send};
use crate::Props;

/// Digits of the number that each value begins with.
const DIGITS: usize = 16;
/// Noise to cut values from: larger than any codec's window over a batch.
const POOL: usize = 16 << 20;

/// What to load. Record `i` (counted from `first`) goes to partition `i % partitions`, so on an
/// empty topic it gets offset `i / partitions`.
#[derive(Debug, Clone)]
pub struct Load {
    /// How many partitions to fill, from 0.
    pub partitions: i32,
    /// How many records.
    pub count: u64,
    /// The number of the first record.
    pub first: u64,
    /// Bytes a value; at least 16.
    pub value_size: usize,
    /// Values that compress about tenfold, or not at all.
    pub compressible: bool,
    /// `gzip`, `snappy`, `lz4`, `zstd` or none.
    pub codec: Option<String>,
    /// Gives each record its number as a key (8 bytes, big endian), or no key.
    pub keys: bool,
    /// Timestamp of record 0; later ones count up in milliseconds. `None` is now for all.
    pub timestamp: Option<i64>,
    /// More librdkafka properties.
    pub extra: Props,
}

impl Default for Load {
    fn default() -> Self {
        Self {
            partitions: 1,
            count: 0,
            first: 0,
            value_size: 1024,
            compressible: false,
            codec: None,
            keys: false,
            timestamp: None,
            extra: Props::new(),
        }
    }
}

/// Writes the load and waits until all of it is acknowledged.
pub fn load(props: &[(String, String)], topic: &str, load: &Load) -> Result<()> {
    ensure!(load.value_size >= DIGITS, "a value must hold its number of {DIGITS} digits");
    let partitions =
        u64::try_from(load.partitions).ok().filter(|p| *p > 0).context("no partitions to load")?;
    let mut config = config(props);
    config
        .set("enable.idempotence", "true")
        .set("linger.ms", "50")
        .set("batch.size", "1000000")
        .set("batch.num.messages", "100000")
        .set("queue.buffering.max.messages", "500000")
        .set("queue.buffering.max.kbytes", "262144")
        .set("message.max.bytes", (load.value_size + (1 << 20)).max(1_000_000).to_string());
    if let Some(codec) = &load.codec {
        config.set("compression.type", codec);
    }
    for (key, value) in &load.extra {
        config.set(key, value);
    }
    let producer = producer(&config)?;
    let body = load.value_size - DIGITS;
    let pool = pool(POOL.max(body + 1), load.compressible);
    let mut value = vec![0_u8; load.value_size];
    for number in load.first..load.first + load.count {
        let mut rest = number;
        for digit in value[..DIGITS].iter_mut().rev() {
            *digit = b"0123456789abcdef"[usize::try_from(rest & 15).expect("4 bits")];
            rest >>= 4;
        }
        // A prime step spreads the cuts over the pool.
        let at = usize::try_from(number.wrapping_mul(7_368_787) % u64::try_from(pool.len() - body)?)?;
        value[DIGITS..].copy_from_slice(&pool[at..at + body]);
        let key = number.to_be_bytes();
        let mut record = BaseRecord::<[u8], [u8]>::to(topic)
            .partition(i32::try_from(number % partitions).expect("below an i32"))
            .payload(&value);
        if load.keys {
            record = record.key(&key);
        }
        record.timestamp = load.timestamp.map(|first| first.saturating_add_unsigned(number));
        send(&producer, record)?;
    }
    finish(&producer, usize::try_from(load.count)?)
}

/// The number that a loaded value begins with.
pub fn value_number(value: &[u8]) -> Option<u64> {
    u64::from_str_radix(std::str::from_utf8(value.get(..DIGITS)?).ok()?, 16).ok()
}

fn pool(size: usize, compressible: bool) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut pool = Vec::with_capacity(size + 64);
    while pool.len() < size {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        pool.extend_from_slice(&state.to_le_bytes());
        if compressible {
            pool.extend_from_slice(b"all work and no play makes a record dull and easy to compress; ");
        }
    }
    pool
}

/// Bytes that no codec makes smaller, the same each time (xorshift64).
pub fn noise(size: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 32) as u8
    };
    (0..size).map(|_| next()).collect()
}

#[cfg(test)]
mod tests {
    use super::value_number;

    #[test]
    fn a_value_tells_its_number() {
        assert_eq!(value_number(b"00000000000000ffand then noise"), Some(255));
        assert_eq!(value_number(b"short"), None);
    }
}
