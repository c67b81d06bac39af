//! Where a record was produced, written on it where several sites write one topic: so that none comes back to where it
//! came from, and each is known again wherever it goes. Pure.
//!
//! Headers, behind a record's own: `<name>` has the id of the cluster that the record was produced on, and `<name>.at`
//! `topic/partition/offset` (no topic's name has a slash): topic and partition are those where the record lies now, the
//! offset is that on its origin. `<name>.topic` has the topic that it was produced to, if that has another name. So where an application passes headers on, as Kafka Streams does, into another topic or
//! partition, they are known to be another record's. `<name>.via` has the ids of the clusters that it came over in between,
//! if there are any, with commas.

use std::fmt;

use crate::{Header, Offset, Record, RecordBatch, Side, TopicPartition};

/// What a link writes on records, if their topics have other writers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OriginHeaders {
    cluster: String,
    at: String,
    topic: String,
    via: String,
}

/// What is written on a record: names of headers and their values.
pub type Written = Vec<(String, String)>;

/// Which records a link passes on.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Passes {
    /// All but those that have been on the target: for two sites, for rings and for trees.
    #[default]
    All,
    /// Those that were produced on the source: where every site has a link to every other.
    Own,
}

/// Where a record was produced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// The id of the cluster.
    pub cluster: String,
    /// The topic there.
    pub topic: String,
    /// Its offset there, in the partition of the same number.
    pub offset: Offset,
    /// The ids of the clusters that it came over since, without that where it lies.
    pub via: Vec<String>,
}

/// What is to be written on the records of a lane, and which of them stay behind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LaneOrigins {
    headers: OriginHeaders,
    passes: Passes,
    /// The ids of both clusters.
    source_cluster: String,
    target_cluster: String,
    source: TopicPartition,
    target: TopicPartition,
}

impl OriginHeaders {
    /// Of this name; none where it is empty: nothing is written on records then.
    pub fn new(name: &str) -> Option<Self> {
        (!name.is_empty()).then(|| Self {
            cluster: name.to_owned(),
            at: format!("{name}.at"),
            topic: format!("{name}.topic"),
            via: format!("{name}.via"),
        })
    }

    /// The name of the header that has the cluster's id.
    pub fn name(&self) -> &str {
        &self.cluster
    }

    /// What they say of a record that lies in this partition; none where they do not speak of it.
    pub fn read<'h>(
        &self,
        lies_in: &TopicPartition,
        headers: impl Iterator<Item = Header<'h>>,
    ) -> Option<Origin> {
        let (mut cluster, mut at, mut of_topic, mut via) = (None, None, None, None);
        for header in headers {
            if header.name == self.cluster.as_bytes() {
                cluster = header.value;
            } else if header.name == self.at.as_bytes() {
                at = header.value;
            } else if header.name == self.topic.as_bytes() {
                of_topic = header.value;
            } else if header.name == self.via.as_bytes() {
                via = header.value;
            }
        }
        let text = |value: Option<&'h [u8]>| std::str::from_utf8(value?).ok();
        let (cluster, at) = (text(cluster)?, text(at)?);
        let (place, offset) = at.rsplit_once('/')?;
        let (topic, partition) = place.rsplit_once('/')?;
        let is_here = topic == &*lies_in.topic && partition.parse() == Ok(lies_in.partition);
        let offset = offset.parse().ok().filter(|offset| *offset >= 0)?;
        let via = text(via).into_iter().flat_map(|via| via.split(',').map(str::to_owned));
        (is_here && !cluster.is_empty()).then(|| Origin {
            cluster: cluster.to_owned(),
            topic: text(of_topic).unwrap_or(topic).to_owned(),
            offset,
            via: via.collect(),
        })
    }

    /// Whether this is the name of one of them.
    pub fn have(&self, name: &[u8]) -> bool {
        [&self.cluster, &self.at, &self.topic, &self.via].iter().any(|own| own.as_bytes() == name)
    }

    /// The headers of a record of this origin that lies in this partition, behind its own.
    pub fn written(&self, origin: &Origin, lies_in: &TopicPartition) -> Written {
        let at = format!("{}/{}/{}", lies_in.topic, lies_in.partition, origin.offset);
        let mut written = vec![(self.cluster.clone(), origin.cluster.clone()), (self.at.clone(), at)];
        if *origin.topic != *lies_in.topic {
            written.push((self.topic.clone(), origin.topic.clone()));
        }
        if !origin.via.is_empty() {
            written.push((self.via.clone(), origin.via.join(",")));
        }
        written
    }
}

impl LaneOrigins {
    /// For a lane between these partitions of the clusters of these ids.
    pub fn new(
        headers: OriginHeaders,
        passes: Passes,
        (source_cluster, source): (String, TopicPartition),
        (target_cluster, target): (String, TopicPartition),
    ) -> Self {
        Self { headers, passes, source_cluster, target_cluster, source, target }
    }

    /// The names of the headers.
    pub fn headers(&self) -> &OriginHeaders {
        &self.headers
    }

    /// The partition of a side.
    pub fn lies_in(&self, side: Side) -> &TopicPartition {
        match side {
            Side::Source => &self.source,
            Side::Target => &self.target,
        }
    }

    /// The id of a side's cluster.
    pub fn cluster(&self, side: Side) -> &str {
        match side {
            Side::Source => &self.source_cluster,
            Side::Target => &self.target_cluster,
        }
    }

    /// Where a record was produced that lies at this offset of a side.
    pub fn origin_on<'h>(
        &self,
        side: Side,
        offset: Offset,
        headers: impl Iterator<Item = Header<'h>>,
    ) -> Origin {
        let lies_in = self.lies_in(side);
        self.headers.read(lies_in, headers).unwrap_or_else(|| Origin {
            cluster: self.cluster(side).to_owned(),
            topic: lies_in.topic.to_string(),
            offset,
            via: Vec::new(),
        })
    }

    /// Whether records of this origin go to the target.
    pub fn passes(&self, origin: &Origin) -> bool {
        match self.passes {
            Passes::All => !origin.was_on(&self.target_cluster),
            Passes::Own => origin.cluster == self.source_cluster,
        }
    }

    /// What is to be written on a record of the source, behind its own headers; none where it stays behind.
    pub fn of<'h>(&self, offset: Offset, headers: impl Iterator<Item = Header<'h>>) -> Option<Written> {
        let mut origin = self.origin_on(Side::Source, offset, headers);
        if !self.passes(&origin) {
            return None;
        }
        if !origin.was_on(&self.source_cluster) {
            origin.via.push(self.source_cluster.clone());
        }
        Some(self.headers.written(&origin, &self.target))
    }

    /// These records as they are to lie on the target, without those that stay behind; and how many those are.
    pub fn stamped(&self, records: &RecordBatch) -> (RecordBatch, u64) {
        let mut stamped = RecordBatch::with_capacity(records.len(), records.bytes() as usize * 9 / 8);
        stamped.packed_as(records.codec());
        let mut left = 0;
        for record in records.iter() {
            match self.of(record.offset(), record.headers()) {
                Some(written) => self.push(&mut stamped, &record, &written),
                None => left += 1,
            }
        }
        (stamped, left)
    }

    fn push(&self, batch: &mut RecordBatch, record: &Record<'_>, written: &Written) {
        let own = record.headers().filter(|header| !self.headers.have(header.name));
        let written = written
            .iter()
            .map(|(name, value)| Header { name: name.as_bytes(), value: Some(value.as_bytes()) });
        let (key, value) = (record.key(), record.value());
        batch.push(record.offset(), record.timestamp(), key, value, own.chain(written));
    }
}

impl Origin {
    /// Whether both are of one topic of one cluster, whose records lie in one order.
    pub fn is_beside(&self, other: &Origin) -> bool {
        (&self.cluster, &self.topic) == (&other.cluster, &other.topic)
    }

    /// Whether it was produced on this cluster, or came over it.
    fn was_on(&self, cluster: &str) -> bool {
        self.cluster == cluster || self.via.iter().any(|via| via == cluster)
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "offset {} of {}", self.offset, self.cluster)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Sites with these ids, each of which has the topic under a name of its own.
    const SITES: [(&str, &str); 3] = [("A", "orders"), ("B", "orders.b"), ("C", "x")];

    type Owned = (Offset, Vec<(Vec<u8>, Option<Vec<u8>>)>);

    fn lies_in(site: usize) -> (String, TopicPartition) {
        (SITES[site].0.to_owned(), TopicPartition::new(SITES[site].1, 3))
    }

    fn lane(from: usize, to: usize, passes: Passes) -> LaneOrigins {
        LaneOrigins::new(OriginHeaders::new("isomirror.origin").unwrap(), passes, lies_in(from), lies_in(to))
    }

    /// What comes of these records, and under which offsets they lie there.
    fn sent(lane: &LaneOrigins, records: &[Owned], end: &mut Offset) -> Vec<Owned> {
        let mut batch = RecordBatch::default();
        for (offset, headers) in records {
            let headers = headers.iter().map(|(name, value)| Header { name, value: value.as_deref() });
            batch.push(*offset, 7, Some(b"k"), None, headers);
        }
        let (stamped, left) = lane.stamped(&batch);
        assert_eq!(stamped.len() as u64 + left, batch.len() as u64);
        let owned = |record: Record<'_>| {
            let headers = record.headers().map(|h| (h.name.to_vec(), h.value.map(<[u8]>::to_vec)));
            *end += 1;
            (*end - 1, headers.collect())
        };
        stamped.iter().map(owned).collect()
    }

    fn origin(site: usize, (offset, headers): &Owned) -> Origin {
        let headers = headers.iter().map(|(name, value)| Header { name, value: value.as_deref() });
        lane(site, (site + 1) % 3, Passes::All).origin_on(Side::Source, *offset, headers)
    }

    #[test]
    fn a_record_goes_round_a_ring_and_not_back_to_where_it_was_produced() {
        let own: Vec<Owned> = vec![(41, vec![(b"h".to_vec(), None), (b"h".to_vec(), Some(vec![]))])];
        let at_b = sent(&lane(0, 1, Passes::All), &own, &mut 100);
        let from_a = |via: &[&str]| {
            let via = via.iter().map(|id| id.to_string()).collect();
            Origin { cluster: "A".into(), topic: "orders".into(), offset: 41, via }
        };
        assert_eq!(origin(1, &at_b[0]), from_a(&[]));
        assert_eq!(at_b[0].1[..2], own[0].1[..], "its own headers stay as they are, before ours");
        let at_c = sent(&lane(1, 2, Passes::All), &at_b, &mut 200);
        assert_eq!(origin(2, &at_c[0]), from_a(&["B"]));
        assert_eq!(at_c[0].1.len(), 6);
        assert!(sent(&lane(2, 0, Passes::All), &at_c, &mut 300).is_empty());
        assert!(sent(&lane(1, 0, Passes::All), &at_b, &mut 300).is_empty());
        assert!(sent(&lane(2, 1, Passes::All), &at_c, &mut 300).is_empty(), "nor back where it came over");
        assert!(sent(&lane(1, 2, Passes::Own), &at_b, &mut 300).is_empty(), "it comes there from A itself");
    }

    #[test]
    fn headers_that_an_application_has_passed_on_are_not_taken_for_the_record_s() {
        let at_b = sent(&lane(0, 1, Passes::All), &[(41, vec![])], &mut 100);
        let copied = TopicPartition::new("enriched", 3);
        let to_a = LaneOrigins::new(
            OriginHeaders::new("isomirror.origin").unwrap(),
            Passes::All,
            ("B".into(), copied.clone()),
            ("A".into(), copied),
        );
        let at_a = sent(&to_a, &[(5, at_b[0].1.clone())], &mut 0);
        let value = |name: &[u8]| {
            let of_name = at_a[0].1.iter().filter(|(n, _)| n == name);
            of_name.map(|(_, value)| String::from_utf8(value.clone().unwrap()).unwrap()).collect::<Vec<_>>()
        };
        assert_eq!(value(b"isomirror.origin"), ["B"]);
        assert_eq!(value(b"isomirror.origin.at"), ["enriched/3/5"]);
    }

    proptest! {
        /// Whatever is produced where, and however the links take turns.
        #[test]
        fn every_record_comes_to_every_site_of_a_ring_once(steps in proptest::collection::vec(0..6_usize, 1..60)) {
            let mut logs: [Vec<Owned>; 3] = Default::default();
            let mut read = [0; 3];
            let mut produced = 0;
            let ring = |site: usize, logs: &mut [Vec<Owned>; 3], read: &mut [usize; 3]| {
                let next = (site + 1) % 3;
                let mut end = logs[next].len() as Offset;
                let more = sent(&lane(site, next, Passes::All), &logs[site][read[site]..], &mut end);
                read[site] = logs[site].len();
                logs[next].extend(more);
            };
            for step in steps {
                match step {
                    site @ 0..3 => {
                        let offset = logs[site].len() as Offset;
                        logs[site].push((offset, Vec::new()));
                        produced += 1;
                    }
                    link => ring(link - 3, &mut logs, &mut read),
                }
            }
            for _ in 0..3 {
                (0..3).for_each(|site| ring(site, &mut logs, &mut read));
            }
            for (site, log) in logs.iter().enumerate() {
                let mut origins: Vec<_> = log.iter().map(|record| origin(site, record)).collect();
                for (cluster, _) in SITES {
                    let of_it = origins.iter().filter(|origin| origin.cluster == cluster);
                    prop_assert!(of_it.is_sorted_by_key(|origin| origin.offset), "merged in the order of each origin");
                }
                origins.sort_by(|a, b| (&a.cluster, a.offset).cmp(&(&b.cluster, b.offset)));
                origins.dedup();
                prop_assert_eq!((log.len(), origins.len()), (produced, produced));
            }
        }

        #[test]
        fn whatever_lies_in_headers_is_no_trouble(cluster in any::<Vec<u8>>(), at in ".{0,30}") {
            let headers = [("isomirror.origin", cluster), ("isomirror.origin.at", at.into_bytes())];
            let headers = headers.iter().map(|(n, v)| Header { name: n.as_bytes(), value: Some(v) });
            let _ = lane(0, 1, Passes::All).of(1, headers);
        }
    }
}
