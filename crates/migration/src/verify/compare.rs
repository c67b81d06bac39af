//! Two sides of a lane, merged by source offset: what is the same, what differs, what only one of them has. No I/O.
//!
//! A record that only one side has is no difference where it was deleted by retention on the other side, or where the
//! other side is compacted and the log cleaner may have taken it: it is a tombstone, or a later record has its key. Only
//! keys of such records are kept, as hashes, until their later records come.

use std::{
    collections::{HashMap, VecDeque},
    fmt,
    iter::Peekable,
    ops::Range,
};

use bytes::Bytes;
use kafka_wire::records::Record;
use mirror_types::{Mark, Offset, OriginHeaders, Side};
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::{xxh3_64, xxh3_128};

use super::side::Chunk;
use crate::sides::BySide;

/// Characters of a key or a value that are shown, at most.
const SHOWN: usize = 200;

/// What was found, in records.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// On both sides, and the same.
    pub equal: u64,
    /// On both sides, and not the same.
    pub changed: u64,
    /// Bytes of keys, values and headers of all that both sides have, as the source has them.
    pub bytes: u64,
    /// On the source only.
    pub missing: u64,
    /// On the target only.
    pub extra: u64,
    /// On the target only, as the source's log cleaner took them.
    pub compacted_on_source: u64,
    /// On the source only, as the target's log cleaner took them.
    pub compacted_on_target: u64,
    /// On the target only, as they were deleted from the source by retention.
    pub deleted_on_source: u64,
    /// On the source only, as they were deleted from the target by retention.
    pub deleted_on_target: u64,
    /// On the target, from others who write there too.
    pub of_others: u64,
    /// On one side only, where a log cleaner may have taken the other, but only records that were not read would tell.
    pub unproven: u64,
}

/// How a record differs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Both sides have it, with another content.
    Changed,
    /// The target does not have it.
    Missing,
    /// The source does not have it.
    Extra,
}

/// What of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Field {
    /// The timestamp.
    Timestamp,
    /// The key.
    Key,
    /// The value.
    Value,
    /// The headers, or their order.
    Headers,
}

/// A difference.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Difference {
    /// Which.
    pub kind: Kind,
    /// Where it lies among the source's offsets: its own, or, of a record that nobody mirrored, the next one that somebody
    /// did. Nothing before it differs.
    pub place: Offset,
    /// Where it is, or should be, on the source; none for a record that nobody mirrored.
    pub source_offset: Option<Offset>,
    /// Where it is on the target.
    pub target_offset: Option<Offset>,
    /// What differs, where both have one.
    pub fields: Vec<Field>,
    /// What the source has.
    pub source: Option<Shape>,
    /// What the target has.
    pub target: Option<Shape>,
}

/// A record, without telling what is in it unless that is asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shape {
    /// Its timestamp, in ms since 1970.
    pub timestamp: i64,
    /// Its key.
    pub key: Option<Part>,
    /// Its value.
    pub value: Option<Part>,
    /// Its headers.
    pub headers: Vec<(String, Option<Part>)>,
}

/// A key or a value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    /// Its length.
    pub bytes: usize,
    /// Its xxh3 digest.
    pub digest: String,
    /// Itself, or its beginning, if that is asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
}

/// How target offsets become source offsets.
pub(super) enum Mapping {
    /// They are the same.
    Same,
    /// By the lane's marks.
    Marks(Marks),
}

/// The runs of a lane, in order, from the one that is needed next.
pub(super) struct Marks {
    runs: Peekable<Box<dyn Iterator<Item = Mark> + Send>>,
    /// Where the source is when they have ended.
    end: Offset,
    /// Whether others write to the target.
    pub(super) shared: bool,
}

/// The comparison of one stretch of a lane.
pub(super) struct Comparison {
    mapping: Mapping,
    /// Whether a log cleaner is at work there.
    cleaned: BySide<bool>,
    show: bool,
    to: Offset,
    source: Half,
    target: Half,
    /// What the link writes on records; one that was mirrored before it did so has none of that.
    origins: Option<OriginHeaders>,
    keys: HashMap<u128, OneSided>,
    /// Keys that are kept, at most.
    most_keys: usize,
    found: Found,
    digest: Digest,
}

/// What it has come to.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Found {
    /// How many records.
    #[serde(flatten)]
    pub counts: Counts,
    /// A digest over all records that both sides have, with their source offsets, in order: as the source has them.
    #[serde(with = "hex")]
    pub source_digest: u64,
    /// And as the target has them.
    #[serde(with = "hex")]
    pub target_digest: u64,
    /// The difference that lies first.
    pub first_difference: Option<Difference>,
}

/// One side's records that have not been compared yet, by their source offsets.
#[derive(Default)]
struct Half {
    records: VecDeque<(Offset, Record)>,
    /// All records with source offsets before this have come.
    known: Offset,
    /// Records with source offsets before this may have been deleted.
    deleted_to: Offset,
}

/// What records come to that are the same.
#[derive(Default)]
struct Digest {
    /// All of a record, in one place: far cheaper for small records than a digest that is fed piece by piece.
    together: Vec<u8>,
}

/// A record that one side alone has.
struct OneSided {
    on: Side,
    /// Its source offset; of a record that nobody mirrored that of the next.
    place: Offset,
    mirrored: bool,
    /// Its offset on the target, if it is there.
    target: Option<Offset>,
}

impl Comparison {
    /// Of source offsets `from..to`, on top of what was found before; with room for so many keys.
    pub(super) fn new(
        mapping: Mapping,
        cleaned: BySide<bool>,
        range: Range<Offset>,
        most_keys: usize,
        found: Found,
    ) -> Self {
        let half = || Half { known: range.start, ..Half::default() };
        Self {
            mapping,
            cleaned,
            show: false,
            to: range.end,
            source: half(),
            target: half(),
            origins: None,
            keys: HashMap::new(),
            most_keys,
            found,
            digest: Digest::default(),
        }
    }

    /// Records of the source come with these headers.
    pub(super) fn with_origins(self, origins: Option<OriginHeaders>) -> Self {
        Self { origins, ..self }
    }

    /// Shows what is in records that differ.
    pub(super) fn showing(self, show: bool) -> Self {
        Self { show, ..self }
    }

    /// Which side's records have to come before more can be compared; none at the end.
    pub(super) fn wants(&self) -> Option<Side> {
        let wants = |half: &Half| (half.records.is_empty() && half.known < self.to).then_some(half.known);
        match (wants(&self.source), wants(&self.target)) {
            (Some(source), Some(target)) if target < source => Some(Side::Target),
            (Some(_), _) => Some(Side::Source),
            (None, Some(_)) => Some(Side::Target),
            (None, None) => None,
        }
    }

    /// Takes what has come of a side, and compares as far as both are known. Gives how far that is, in source offsets.
    pub(super) fn take(&mut self, side: Side, chunk: Chunk) -> Offset {
        match side {
            Side::Source => {
                self.source.deleted_to = self.source.deleted_to.max(chunk.deleted_to.unwrap_or(0));
                self.source.known = chunk.next;
                self.source.records.extend(chunk.records.into_iter().map(|record| (record.offset, record)));
            }
            Side::Target => self.take_target(chunk),
        }
        self.settle();
        self.done()
    }

    /// Nothing more comes of a side: it has ended.
    pub(super) fn ended(&mut self, side: Side) {
        match side {
            Side::Source => self.source.known = self.to,
            Side::Target => self.target.known = self.to,
        }
        self.settle();
    }

    /// How far both sides have been compared.
    pub(super) fn done(&self) -> Offset {
        let at = |half: &Half| half.records.front().map_or(half.known, |(at, _)| *at);
        at(&self.source).min(at(&self.target)).min(self.to)
    }

    /// Whether records behind the end may tell of some what became of them.
    pub(super) fn has_open_keys(&self) -> bool {
        !self.keys.is_empty()
    }

    /// A record behind the end of what is compared.
    pub(super) fn later(&mut self, record: &Record) {
        self.meet(record.key.as_ref());
    }

    pub(super) fn found(&self) -> &Found {
        &self.found
    }

    /// What it has come to. `whole`: all later records have been looked at.
    pub(super) fn finish(mut self, whole: bool) -> Found {
        let mut left: Vec<OneSided> = self.keys.drain().map(|(_, left)| left).collect();
        left.sort_by_key(|left| left.place);
        for left in left {
            match whole {
                false => self.found.counts.unproven += 1,
                true => self.found.one_sided(left, None),
            }
        }
        self.found
    }

    fn take_target(&mut self, chunk: Chunk) {
        let Mapping::Marks(marks) = &mut self.mapping else {
            self.target.deleted_to = self.target.deleted_to.max(chunk.deleted_to.unwrap_or(0));
            self.target.known = chunk.next;
            self.target.records.extend(chunk.records.into_iter().map(|record| (record.offset, record)));
            return;
        };
        for record in chunk.records {
            match marks.source_of(record.offset) {
                Some(source) => self.target.records.push_back((source, record)),
                None if marks.shared => self.found.counts.of_others += 1,
                None => {
                    let place = marks.known_before(record.offset);
                    let target = Some(record.offset);
                    let one = OneSided { on: Side::Target, place, mirrored: false, target };
                    self.found.one_sided(one, Some(Shape::of(&record, self.show)));
                }
            }
        }
        self.target.known = marks.known_before(chunk.next);
        if chunk.deleted_to.is_some() {
            self.target.deleted_to = self.target.known;
        }
    }

    fn settle(&mut self) {
        loop {
            let source = self.source.records.front().map(|(at, _)| *at);
            let target = self.target.records.front().map(|(at, _)| *at);
            match (source, target) {
                (Some(source), Some(target)) if source == target => self.compare(),
                (Some(at), next) if next.map_or(at < self.target.known, |next| at < next) => {
                    self.only_on(Side::Source);
                }
                (next, Some(at)) if next.map_or(at < self.source.known, |next| at < next) => {
                    self.only_on(Side::Target);
                }
                _ => return,
            }
        }
    }

    fn compare(&mut self) {
        let (Some((at, source)), Some((_, target))) =
            (self.source.records.pop_front(), self.target.records.pop_front())
        else {
            return;
        };
        self.meet(source.key.as_ref());
        if source.key != target.key {
            self.meet(target.key.as_ref());
        }
        let mut fields = differing(&source, &target);
        if fields == [Field::Headers] && self.is_from_before(&source, &target) {
            fields.clear();
        }
        let found = &mut self.found;
        let same = fields.is_empty() && found.source_digest == found.target_digest;
        found.source_digest = self.digest.chain(found.source_digest, at, &source);
        found.target_digest = match same {
            true => found.source_digest,
            false => self.digest.chain(found.target_digest, at, &target),
        };
        found.counts.bytes += size(&source);
        if fields.is_empty() {
            found.counts.equal += 1;
            return;
        }
        found.counts.changed += 1;
        if found.is_first(at) {
            found.first_difference = Some(Difference {
                kind: Kind::Changed,
                place: at,
                source_offset: Some(at),
                target_offset: Some(target.offset),
                fields,
                source: Some(Shape::of(&source, self.show)),
                target: Some(Shape::of(&target, self.show)),
            });
        }
    }

    /// Whether all that differs is that the target's says nothing of where it comes from.
    fn is_from_before(&self, source: &Record, target: &Record) -> bool {
        let Some(origins) = &self.origins else { return false };
        let own = source.headers.iter().filter(|header| !origins.have(&header.key));
        own.eq(&target.headers)
    }

    fn only_on(&mut self, on: Side) {
        let (here, there, cleaned) = match on {
            Side::Source => (&mut self.source, &self.target, self.cleaned.target),
            Side::Target => (&mut self.target, &self.source, self.cleaned.source),
        };
        let Some((at, record)) = here.records.pop_front() else { return };
        let was_deleted = at < there.deleted_to;
        self.meet(record.key.as_ref());
        let target = (on == Side::Target).then_some(record.offset);
        let one = OneSided { on, place: at, mirrored: true, target };
        if was_deleted {
            self.found.counts.deleted(on);
        } else if cleaned {
            self.maybe_cleaned(&record, one);
        } else {
            self.found.one_sided(one, Some(Shape::of(&record, self.show)));
        }
    }

    /// The other side does not have it, and is compacted.
    fn maybe_cleaned(&mut self, record: &Record, one: OneSided) {
        match &record.key {
            // Tombstones go by themselves, and records without a key go at once.
            Some(_) if record.value.is_none() => self.found.counts.cleaned(one.on),
            None => self.found.counts.cleaned(one.on),
            Some(_) if self.keys.len() >= self.most_keys => self.found.counts.unproven += 1,
            Some(key) => drop(self.keys.insert(xxh3_128(key), one)),
        }
    }

    /// A record with this key: what was before it and is missing somewhere may have been cleaned for it.
    fn meet(&mut self, key: Option<&Bytes>) {
        if self.keys.is_empty() {
            return;
        }
        if let Some(known) = key.and_then(|key| self.keys.remove(&xxh3_128(key))) {
            self.found.counts.cleaned(known.on);
        }
    }
}

// === impl Marks ===

impl Marks {
    /// `end`: the source offset that belongs to the end of what is read of the target.
    pub(super) fn new(runs: impl Iterator<Item = Mark> + Send + 'static, end: Offset, shared: bool) -> Self {
        let runs: Box<dyn Iterator<Item = Mark> + Send> = Box::new(runs);
        Self { runs: runs.peekable(), end, shared }
    }

    /// Where a record of the target comes from. Asked in order.
    fn source_of(&mut self, target: Offset) -> Option<Offset> {
        let run = self.run_of(target)?;
        (run.target <= target).then(|| run.source + (target - run.target))
    }

    /// Every record before this source offset is before that target offset.
    fn known_before(&mut self, target: Offset) -> Offset {
        let end = self.end;
        self.run_of(target).map_or(end, |run| run.source + (target - run.target).max(0))
    }

    /// The run that the target offset lies in, or else the next.
    fn run_of(&mut self, target: Offset) -> Option<Mark> {
        while self.runs.next_if(|run| run.target + run.count as i64 <= target).is_some() {}
        self.runs.peek().copied()
    }
}

// === impl Found ===

impl Found {
    fn one_sided(&mut self, one: OneSided, shape: Option<Shape>) {
        let (kind, count, source, target) = match one.on {
            Side::Source => (Kind::Missing, &mut self.counts.missing, shape, None),
            Side::Target => (Kind::Extra, &mut self.counts.extra, None, shape),
        };
        *count += 1;
        if self.is_first(one.place) {
            self.first_difference = Some(Difference {
                kind,
                place: one.place,
                source_offset: one.mirrored.then_some(one.place),
                target_offset: one.target,
                fields: Vec::new(),
                source,
                target,
            });
        }
    }

    /// Whether no difference is known that lies before this place.
    fn is_first(&self, place: Offset) -> bool {
        self.first_difference.as_ref().is_none_or(|first| place < first.place)
    }
}

// === impl Difference ===

impl Difference {
    /// Where the record lies that one side alone has, if what it is has not been kept until it was known to differ.
    pub(super) fn unseen(&self) -> Option<(Side, Offset)> {
        match self.kind {
            Kind::Missing if self.source.is_none() => Some((Side::Source, self.source_offset?)),
            Kind::Extra if self.target.is_none() => Some((Side::Target, self.target_offset?)),
            _ => None,
        }
    }

    /// What it is.
    pub(super) fn seen(&mut self, record: &Record, show: bool) {
        let side = if self.kind == Kind::Missing { &mut self.source } else { &mut self.target };
        *side = Some(Shape::of(record, show));
    }
}

impl fmt::Display for Difference {
    /// Which record, and how it differs; not what is in it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let offset = |offset: Option<Offset>| offset.map_or_else(|| "none".to_owned(), |at| at.to_string());
        let (source, target) = (offset(self.source_offset), offset(self.target_offset));
        match self.kind {
            Kind::Missing => write!(f, "the record at source offset {source} is missing on the target"),
            Kind::Extra if source == target => {
                write!(f, "the record at offset {target} is on the target only")
            }
            Kind::Extra => {
                write!(
                    f,
                    "the record at target offset {target} (source offset {source}) is on the target only"
                )
            }
            Kind::Changed => {
                let at = match source == target {
                    true => format!("offset {source}"),
                    false => format!("source offset {source}, target offset {target}"),
                };
                let fields: Vec<_> = self.fields.iter().map(|field| field.as_str()).collect();
                write!(f, "the record at {at} differs in {}", fields.join(", "))
            }
        }
    }
}

impl Field {
    fn as_str(self) -> &'static str {
        match self {
            Field::Timestamp => "timestamp",
            Field::Key => "key",
            Field::Value => "value",
            Field::Headers => "headers",
        }
    }
}

// === impl Counts ===

impl Counts {
    /// Records that differ.
    pub fn differing(&self) -> u64 {
        self.changed + self.missing + self.extra
    }

    /// What one side alone has, since retention deleted it on the other.
    fn deleted(&mut self, on: Side) {
        match on {
            Side::Source => self.deleted_on_target += 1,
            Side::Target => self.deleted_on_source += 1,
        }
    }

    /// The same, since the other's log cleaner took it.
    fn cleaned(&mut self, on: Side) {
        match on {
            Side::Source => self.compacted_on_target += 1,
            Side::Target => self.compacted_on_source += 1,
        }
    }

    /// Adds those of another stretch.
    pub(super) fn add(&mut self, other: &Self) {
        let Self {
            equal,
            bytes,
            changed,
            missing,
            extra,
            compacted_on_source,
            compacted_on_target,
            deleted_on_source,
            deleted_on_target,
            of_others,
            unproven,
        } = other;
        self.equal += equal;
        self.bytes += bytes;
        self.changed += changed;
        self.missing += missing;
        self.extra += extra;
        self.compacted_on_source += compacted_on_source;
        self.compacted_on_target += compacted_on_target;
        self.deleted_on_source += deleted_on_source;
        self.deleted_on_target += deleted_on_target;
        self.of_others += of_others;
        self.unproven += unproven;
    }
}

// === impl Shape ===

impl Shape {
    fn of(record: &Record, show: bool) -> Self {
        let part = |bytes: &Bytes| Part {
            bytes: bytes.len(),
            digest: format!("{:016x}", xxh3_64(bytes)),
            text: show.then(|| beginning(bytes)),
        };
        let headers = record.headers.iter();
        Self {
            timestamp: record.timestamp,
            key: record.key.as_ref().map(part),
            value: record.value.as_ref().map(part),
            headers: headers.map(|h| (beginning(&h.key), h.value.as_ref().map(part))).collect(),
        }
    }
}

fn beginning(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(&bytes[..bytes.len().min(4 * SHOWN)]);
    let shown: String = text.chars().take(SHOWN).collect();
    if shown.len() < bytes.len() && text.chars().count() > SHOWN || bytes.len() > 4 * SHOWN {
        format!("{shown}…")
    } else {
        shown
    }
}

fn differing(source: &Record, target: &Record) -> Vec<Field> {
    let fields = [
        (Field::Timestamp, source.timestamp != target.timestamp),
        (Field::Key, source.key != target.key),
        (Field::Value, source.value != target.value),
        (Field::Headers, source.headers != target.headers),
    ];
    fields.into_iter().filter(|(_, differs)| *differs).map(|(field, _)| field).collect()
}

fn size(record: &Record) -> u64 {
    let of = |bytes: &Option<Bytes>| bytes.as_ref().map_or(0, Bytes::len);
    let headers: usize = record.headers.iter().map(|h| h.key.len() + of(&h.value)).sum();
    (of(&record.key) + of(&record.value) + headers) as u64
}

// === impl Digest ===

impl Digest {
    /// The digest of all records up to this one: from that of those before alone, so that it can be gone on with. Each field
    /// counts with its length, so that null, empty and neighbouring bytes can't be taken for one another.
    fn chain(&mut self, before: u64, at: Offset, record: &Record) -> u64 {
        let Self { together } = self;
        together.clear();
        let mut field = |bytes: Option<&[u8]>| {
            together.extend_from_slice(&bytes.map_or(u64::MAX, |bytes| bytes.len() as u64).to_le_bytes());
            together.extend_from_slice(bytes.unwrap_or_default());
        };
        field(Some(&before.to_le_bytes()));
        field(Some(&at.to_le_bytes()));
        field(Some(&record.timestamp.to_le_bytes()));
        field(record.key.as_deref());
        field(record.value.as_deref());
        for header in &record.headers {
            field(Some(&header.key));
            field(header.value.as_deref());
        }
        xxh3_64(together)
    }
}

/// Digests, as they are shown.
mod hex {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(super) fn serialize<S: Serializer>(digest: &u64, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("{digest:016x}"))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
        let text = String::deserialize(deserializer)?;
        u64::from_str_radix(&text, 16).map_err(D::Error::custom)
    }
}

#[cfg(test)]
#[path = "compare_tests.rs"]
mod tests;
