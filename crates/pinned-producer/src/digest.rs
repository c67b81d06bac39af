//! A fingerprint of what a record says: key, value, headers and timestamp; not of where it lies.

use mirror_types::{Header, Record};
use xxhash_rust::xxh3::Xxh3;

/// 128 bits of XXH3.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Digest(u128);

impl Digest {
    /// Of a record of the pipeline.
    pub(crate) fn of(record: &Record<'_>) -> Self {
        Self::of_parts(record.timestamp(), record.key(), record.value(), record.headers())
    }

    /// Of a record's parts. Lengths are part of it, so that null and empty differ, and no two splits are alike.
    pub(crate) fn of_parts<'a>(
        timestamp: i64,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: impl ExactSizeIterator<Item = Header<'a>>,
    ) -> Self {
        let mut hash = Xxh3::new();
        let mut field = |field: Option<&[u8]>| {
            hash.update(&field.map_or(-1, |f| f.len() as i64).to_le_bytes());
            hash.update(field.unwrap_or_default());
        };
        field(Some(&timestamp.to_le_bytes()));
        field(key);
        field(value);
        for header in headers {
            field(Some(header.name));
            field(header.value);
        }
        Self(hash.digest128())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_differs_in_a_record_differs_in_its_digest() {
        let header = |name: &'static [u8], value| Header { name, value };
        let of = |timestamp, key: Option<&[u8]>, value: Option<&[u8]>, headers: &[Header<'static>]| {
            Digest::of_parts(timestamp, key, value, headers.iter().copied())
        };
        let all = [
            of(1, Some(b"k"), Some(b"v"), &[]),
            of(2, Some(b"k"), Some(b"v"), &[]),
            of(1, None, Some(b"v"), &[]),
            of(1, Some(b""), Some(b"v"), &[]),
            of(1, Some(b"kv"), Some(b""), &[]),
            of(1, Some(b"k"), None, &[]),
            of(1, Some(b"k"), Some(b"v"), &[header(b"h", None)]),
            of(1, Some(b"k"), Some(b"v"), &[header(b"h", Some(b""))]),
            of(1, Some(b"k"), Some(b"v"), &[header(b"h", None), header(b"h", None)]),
        ];
        for (i, one) in all.iter().enumerate() {
            assert!(all[..i].iter().all(|other| other != one), "{i}");
        }
        assert_eq!(all[0], of(1, Some(b"k"), Some(b"v"), &[]));
    }
}
