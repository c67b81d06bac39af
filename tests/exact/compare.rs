//! Two sides, record by record and offset by offset: what is lost, repeated, moved, changed or foreign. Pure.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    fmt,
};

use crate::view::{Log, Seen, View};

/// How many of a kind are named; the others are counted.
const NAMED: usize = 8;

/// What the offsets on the target should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Offsets {
    /// Those of the source, and the log ends are the same.
    Same,
    /// Others, in the same order.
    Mapped,
}

/// What is expected of the target.
#[derive(Debug, Clone, Copy)]
pub struct Expected<'a> {
    /// Where the records should lie.
    pub offsets: Offsets,
    /// What the source shows now: all of that must be on the target.
    pub source: &'a View,
    /// What was ever committed on the source, if a cleaner or retention removes from it: that may be on the target.
    pub history: Option<&'a View>,
}

/// What is wrong with the target.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    /// On the source, not on the target.
    pub lost: Findings,
    /// More than once on the target.
    pub repeated: Findings,
    /// On the target at the wrong offset, or in the wrong order.
    pub moved: Findings,
    /// On the target with another content.
    pub changed: Findings,
    /// On the target, never on the source.
    pub foreign: Findings,
    /// Partitions that are not there, and log ends that differ.
    pub bounds: Findings,
    /// How many records were compared and found in their place.
    pub matched: u64,
}

/// Differences of one kind.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Findings {
    /// How many.
    pub count: u64,
    named: Vec<String>,
}

/// Where each source record was found on the target, by source offset, a partition after the other.
pub type Places = Vec<(i32, Vec<(i64, i64)>)>;

/// Compares, and says where the records were found.
pub fn compare(expected: &Expected<'_>, target: &View) -> (Verdict, Places) {
    let mut verdict = Verdict::default();
    let mut places = Places::new();
    let nothing = Log::default();
    for partition in target.keys().filter(|p| !expected.source.contains_key(p)) {
        verdict.bounds.add(format_args!("partition {partition} is on the target only"));
    }
    for (&partition, source) in expected.source {
        let Some(target) = target.get(&partition) else {
            verdict.bounds.add(format_args!("partition {partition} is not on the target"));
            continue;
        };
        if expected.offsets == Offsets::Same && source.bounds.1 != target.bounds.1 {
            let (before, after) = (source.bounds.1, target.bounds.1);
            verdict.bounds.add(format_args!("[{partition}] ends at {before}, on the target at {after}"));
        }
        let history = expected.history.map(|view| view.get(&partition).unwrap_or(&nothing));
        let mut lane = Lane { partition, offsets: expected.offsets, verdict: &mut verdict };
        places.push((partition, lane.compare(source, history, target)));
    }
    (verdict, places)
}

struct Lane<'a> {
    partition: i32,
    offsets: Offsets,
    verdict: &'a mut Verdict,
}

impl Lane<'_> {
    fn compare(&mut self, source: &Log, history: Option<&Log>, target: &Log) -> Vec<(i64, i64)> {
        let at = self.partition;
        for two in target.records.windows(2).filter(|two| two[1].offset <= two[0].offset) {
            let (first, second) = (two[0].offset, two[1].offset);
            self.verdict.moved.add(format_args!("[{at}] the target shows {second} behind {first}"));
        }
        // What the source shows must be there; what it only once had may be.
        let required: HashSet<i64> = source.records.iter().map(|r| r.offset).collect();
        let all = history.unwrap_or(source);
        if history.is_some() {
            let known: HashSet<(i64, u64)> = all.records.iter().map(|r| (r.offset, r.digest)).collect();
            let odd = source.records.iter().find(|r| !known.contains(&(r.offset, r.digest)));
            assert!(odd.is_none(), "the test does not know what it wrote to [{at}]: {odd:?}");
        }

        let mut untaken = Untaken::of(&target.records);
        // Those in their place first, so that a copy of one elsewhere is the repeated one.
        let mut found: Vec<Option<usize>> = vec![None; all.records.len()];
        if self.offsets == Offsets::Same {
            for (found, wanted) in found.iter_mut().zip(&all.records) {
                *found = untaken.take_at(wanted.offset, wanted.digest);
            }
        }
        let mut places = Vec::with_capacity(all.records.len());
        let mut furthest = -1;
        for (found, wanted) in found.into_iter().zip(&all.records) {
            let in_place = found.is_some();
            let Some(place) = found.or_else(|| untaken.take(wanted.digest)) else {
                if required.contains(&wanted.offset) {
                    self.missing(wanted, &mut untaken);
                }
                continue;
            };
            let there = target.records[place].offset;
            places.push((wanted.offset, there));
            let right = match self.offsets {
                Offsets::Same => in_place,
                Offsets::Mapped => there > furthest,
            };
            if right {
                self.verdict.matched += 1;
            } else {
                self.verdict.moved.add(format_args!("[{at}] {} is at {there} on the target", Name(wanted)));
            }
            furthest = furthest.max(there);
        }
        let known: HashMap<u64, i64> = all.records.iter().map(|r| (r.digest, r.offset)).collect();
        for extra in untaken.rest() {
            match known.get(&extra.digest) {
                Some(offset) => {
                    let words = format_args!("[{at}] {}, {offset} on the source", Name(extra));
                    self.verdict.repeated.add(words);
                }
                None => self.verdict.foreign.add(format_args!("[{at}] {}", Name(extra))),
            }
        }
        places
    }

    fn missing(&mut self, wanted: &Seen, untaken: &mut Untaken<'_>) {
        let at = self.partition;
        match untaken.take_number(wanted.number) {
            Some(there) => {
                let words = format_args!("[{at}] {} is changed, at {there} on the target", Name(wanted));
                self.verdict.changed.add(words);
            }
            None => self.verdict.lost.add(format_args!("[{at}] {}", Name(wanted))),
        }
    }
}

/// The target's records that no source record has been found in yet.
struct Untaken<'a> {
    records: &'a [Seen],
    taken: Vec<bool>,
    by_digest: HashMap<u64, VecDeque<usize>>,
    by_number: Option<HashMap<u64, usize>>,
}

impl<'a> Untaken<'a> {
    fn of(records: &'a [Seen]) -> Self {
        let mut by_digest: HashMap<u64, VecDeque<usize>> = HashMap::with_capacity(records.len());
        for (index, record) in records.iter().enumerate() {
            by_digest.entry(record.digest).or_default().push_back(index);
        }
        Self { records, taken: vec![false; records.len()], by_digest, by_number: None }
    }

    /// The one at this offset, if it has this content.
    fn take_at(&mut self, offset: i64, digest: u64) -> Option<usize> {
        let indices = self.by_digest.get(&digest)?;
        let index = *indices.iter().find(|i| self.records[**i].offset == offset && !self.taken[**i])?;
        self.taken[index] = true;
        Some(index)
    }

    /// The first one with this content.
    fn take(&mut self, digest: u64) -> Option<usize> {
        let indices = self.by_digest.get_mut(&digest)?;
        while let Some(index) = indices.pop_front() {
            if !std::mem::replace(&mut self.taken[index], true) {
                return Some(index);
            }
        }
        None
    }

    /// One that bears this number; says where it is.
    fn take_number(&mut self, number: Option<u64>) -> Option<i64> {
        let (records, number) = (self.records, number?);
        let numbers = self.by_number.get_or_insert_with(|| {
            records.iter().enumerate().filter_map(|(i, r)| Some((r.number?, i))).collect()
        });
        let index = *numbers.get(&number)?;
        (!std::mem::replace(&mut self.taken[index], true)).then(|| records[index].offset)
    }

    fn rest(&self) -> impl Iterator<Item = &'a Seen> {
        self.records.iter().zip(&self.taken).filter(|(_, taken)| !**taken).map(|(record, _)| record)
    }
}

// === impl Verdict ===

impl Verdict {
    /// Whether nothing is wrong.
    pub fn is_clean(&self) -> bool {
        self.kinds().iter().all(|(_, findings)| findings.count == 0)
    }

    /// The counts: lost, repeated, moved, changed, foreign, bounds.
    pub fn counts(&self) -> [u64; 6] {
        self.kinds().map(|(_, findings)| findings.count)
    }

    fn kinds(&self) -> [(&'static str, &Findings); 6] {
        [
            ("lost", &self.lost),
            ("repeated", &self.repeated),
            ("moved", &self.moved),
            ("changed", &self.changed),
            ("foreign", &self.foreign),
            ("bounds", &self.bounds),
        ]
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} in place", self.matched)?;
        for (kind, findings) in self.kinds() {
            write!(f, ", {} {kind}", findings.count)?;
        }
        for (kind, findings) in self.kinds() {
            for words in &findings.named {
                write!(f, "\n  {kind}: {words}")?;
            }
            if findings.count > findings.named.len() as u64 {
                write!(f, "\n  {kind}: … and {} more", findings.count - findings.named.len() as u64)?;
            }
        }
        Ok(())
    }
}

impl Findings {
    fn add(&mut self, words: fmt::Arguments<'_>) {
        self.count += 1;
        if self.named.len() < NAMED {
            self.named.push(words.to_string());
        }
    }
}

/// A record in a message: its offset, and its writer's number.
struct Name<'a>(&'a Seen);

impl fmt::Display for Name<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0.offset)?;
        match self.0.number {
            Some(number) => write!(f, " (#{number:x}{})", if self.0.tombstone { ", tombstone" } else { "" }),
            None => write!(f, " (no number)"),
        }
    }
}
