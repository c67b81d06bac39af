//! The content of a partition as digests, and whether two are the same. Pure.
//!
//! A record's digest (xxh3) covers its timestamp, key, value and headers, each with its length, so that null, empty
//! and neighbouring bytes can't be taken for one another. The partition's digest is over its records' in order.

use std::collections::BTreeMap;

use serde::{Serialize, Serializer};
use xxhash_rust::xxh3::{Xxh3, xxh3_64};

use super::records::Topic;

/// Contents by topic and partition.
pub type Contents = BTreeMap<(String, i32), Content>;

/// What a partition holds: a digest of each of its records, in order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Content(Vec<u64>);

/// A partition's content, as it is shown.
#[derive(Debug, Clone, Serialize)]
pub struct Summary {
    /// How many records.
    pub records: usize,
    /// The digest over all of them.
    #[serde(serialize_with = "hex")]
    pub digest: u64,
}

/// One partition on both sides.
#[derive(Debug, Clone, Serialize)]
pub struct Row {
    /// The source topic.
    pub topic: &'static str,
    /// The target topic.
    pub target_topic: &'static str,
    /// The partition, on both sides.
    pub partition: i32,
    /// What the source holds.
    pub source: Summary,
    /// What the target holds.
    pub target: Summary,
    /// Whether that is the same, record by record.
    pub equal: bool,
    /// The first record, counted from 0, that is not.
    pub first_difference: Option<usize>,
}

// === impl Content ===

impl Content {
    /// Adds the next record.
    pub fn push<'h>(
        &mut self,
        timestamp: i64,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: impl Iterator<Item = (&'h [u8], Option<&'h [u8]>)>,
    ) {
        let mut digest = Xxh3::new();
        digest.update(&timestamp.to_le_bytes());
        field(&mut digest, key);
        field(&mut digest, value);
        for (name, value) in headers {
            field(&mut digest, Some(name));
            field(&mut digest, value);
        }
        self.0.push(digest.digest());
    }

    /// How many records it has.
    pub fn records(&self) -> usize {
        self.0.len()
    }

    fn summary(&self) -> Summary {
        let bytes: Vec<u8> = self.0.iter().flat_map(|record| record.to_le_bytes()).collect();
        Summary { records: self.records(), digest: xxh3_64(&bytes) }
    }

    fn first_difference(&self, other: &Self) -> Option<usize> {
        let shorter = self.records().min(other.records());
        let differs = self.0.iter().zip(&other.0).position(|(a, b)| a != b);
        differs.or((self.records() != other.records()).then_some(shorter))
    }
}

fn field(digest: &mut Xxh3, bytes: Option<&[u8]>) {
    let length = bytes.map_or(u64::MAX, |bytes| bytes.len() as u64);
    digest.update(&length.to_le_bytes());
    digest.update(bytes.unwrap_or_default());
}

/// Puts one partition's two sides beside each other; what a side lacks counts as empty.
pub fn compare(topic: &Topic, partition: i32, source: &Contents, target: &Contents) -> Row {
    let of = |contents: &Contents, name: &str| {
        contents.get(&(name.to_owned(), partition)).cloned().unwrap_or_default()
    };
    let (source, target) = (of(source, topic.name), of(target, topic.target));
    let first_difference = source.first_difference(&target);
    Row {
        topic: topic.name,
        target_topic: topic.target,
        partition,
        source: source.summary(),
        target: target.summary(),
        equal: first_difference.is_none(),
        first_difference,
    }
}

fn hex<S: Serializer>(digest: &u64, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&format_args!("{digest:016x}"))
}

#[cfg(test)]
pub mod tests {
    use super::super::records::{Record, TOPICS};
    use super::*;

    /// A row of the table, equal or not.
    pub fn row(topic: &'static str, partition: i32, equal: bool) -> Row {
        let summary = |records| Summary { records, digest: records as u64 };
        let target = summary(if equal { 3 } else { 2 });
        let first_difference = (!equal).then_some(2);
        Row { topic, target_topic: topic, partition, source: summary(3), target, equal, first_difference }
    }

    fn content(records: &[Record]) -> Content {
        let mut content = Content::default();
        for r in records {
            let headers = r.headers.iter().map(|(name, value)| (name.as_bytes(), value.as_deref()));
            content.push(r.timestamp, r.key.as_deref(), r.value.as_deref(), headers);
        }
        content
    }

    fn compared(records: &[Record], other: &[Record]) -> Row {
        let topic = &TOPICS[1];
        let side = |name: &str, records| BTreeMap::from([((name.to_owned(), 0), content(records))]);
        compare(topic, 0, &side(topic.name, records), &side(topic.target, other))
    }

    fn records() -> Vec<Record> {
        let text = |text: &str| Some(text.as_bytes().to_vec());
        let headers = vec![("a", text("1")), ("a", None), ("b", text(""))];
        (0..5)
            .map(|n| Record {
                key: text("key"),
                value: text("value"),
                headers: headers.clone(),
                timestamp: n,
            })
            .collect()
    }

    #[test]
    fn equal_contents_are_equal() {
        let row = compared(&records(), &records());
        assert!(row.equal && row.first_difference.is_none());
        assert_eq!((row.source.records, row.source.digest), (row.target.records, row.target.digest));
    }

    #[test]
    fn one_changed_record_is_found() {
        type Change = fn(&mut Record);
        let changes: [(&str, Change); 12] = [
            ("value", |r| r.value = Some(b"valuE".to_vec())),
            ("value null", |r| r.value = None),
            ("value empty", |r| r.value = Some(Vec::new())),
            ("key", |r| r.key = Some(b"keys".to_vec())),
            ("key null", |r| r.key = None),
            ("a byte from value to key", |r| {
                (r.key, r.value) = (Some(b"keyv".to_vec()), Some(b"alue".to_vec()));
            }),
            ("timestamp", |r| r.timestamp += 1),
            ("header order", |r| r.headers.swap(0, 1)),
            ("header null to empty", |r| r.headers[1].1 = Some(Vec::new())),
            ("header empty to null", |r| r.headers[2].1 = None),
            ("header name", |r| r.headers[0].0 = "A"),
            ("no header", |r| r.headers.clear()),
        ];
        for (what, change) in changes {
            let mut other = records();
            change(&mut other[3]);
            let row = compared(&records(), &other);
            assert!(!row.equal, "{what}");
            assert_eq!(row.first_difference, Some(3), "{what}");
            assert_ne!(row.source.digest, row.target.digest, "{what}");
        }
        let null_and_empty = |value: Option<Vec<u8>>| Record { value, ..records().remove(0) };
        assert!(!compared(&[null_and_empty(None)], &[null_and_empty(Some(Vec::new()))]).equal);
    }

    #[test]
    fn a_record_too_few_too_many_twice_or_out_of_order_is_found() {
        let all = records();
        let swapped = [&all[..1], &all[2..3], &all[1..2], &all[3..]].concat();
        let twice = [&all[..2], &all[1..]].concat();
        for (other, at) in [(&all[..4], 4), (&all[1..], 0), (&twice, 2), (&swapped, 1), (&[], 0)] {
            for row in [compared(&all, other), compared(other, &all)] {
                assert!(!row.equal);
                assert_eq!(row.first_difference, Some(at));
                assert_ne!(row.source.digest, row.target.digest);
            }
        }
    }
}
