//! What a record's content comes down to: 64 bits that this program, `Dump.java` and `Dump.py` make alike. FNV-1a,
//! because it is three lines in each; nobody plants collisions here.

/// The header in which our sources number their records, 8 bytes big endian, so that no two are alike.
pub const NUMBER: &str = "n";
/// The header by which a record that a stranger wrote on purpose is known.
pub const STRANGER: &str = "stranger";

/// The digest of timestamp, key, value and headers; null and empty are told apart, and the headers' order counts.
pub fn digest(
    timestamp: i64,
    key: Option<&[u8]>,
    value: Option<&[u8]>,
    headers: &[(&str, Option<&[u8]>)],
) -> u64 {
    let mut fnv = Fnv::new();
    fnv.add(&timestamp.to_be_bytes());
    fnv.field(key);
    fnv.field(value);
    fnv.add(&(headers.len() as u32).to_be_bytes());
    for (name, value) in headers {
        fnv.field(Some(name.as_bytes()));
        fnv.field(*value);
    }
    fnv.0
}

/// The digest of some bytes.
pub fn fnv(bytes: &[u8]) -> u64 {
    let mut fnv = Fnv::new();
    fnv.add(bytes);
    fnv.0
}

struct Fnv(u64);

impl Fnv {
    fn new() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }

    fn add(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    }

    /// Its length, and itself; -1 for null.
    fn field(&mut self, bytes: Option<&[u8]>) {
        self.add(&bytes.map_or(-1, |b| b.len() as i32).to_be_bytes());
        self.add(bytes.unwrap_or_default());
    }
}
