//! What a partition of the control topic says once it has been read to its end.
//!
//! Owns which record counts: the latest of each key, except that of a chunk the version that goes furthest counts.
//! Every version of a chunk is the beginning of the next, so one that goes less far was written late, by an owner
//! that had lost its slot.

use std::collections::{BTreeMap, btree_map};

use mirror_types::{Offset, TopicPartition};

use super::{ControlRecord, Decoded, Event, EventKind, Followed, Key, Link, Owner, Record, Rules, Verified};
use crate::ledger::{Chunk, LaneStart, Ledger, LedgerWriter, Overlap};

/// How much of the ledgers to keep in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keep {
    /// All of them, to translate; and all events.
    Everything,
    /// Of each lane the last chunk, to go on; and of events what keeps it from going on.
    Tails,
}

/// What was read of one partition of the control topic, or of several one after the other.
#[derive(Debug)]
pub struct ControlState {
    keep: Keep,
    links: Vec<Link>,
    rules: BTreeMap<Key, Rules>,
    owners: BTreeMap<i32, Owner>,
    followed: BTreeMap<i32, Followed>,
    lanes: BTreeMap<TopicPartition, LaneState>,
    events: BTreeMap<Key, Event>,
    /// Of each lane the last event of this kind since it began.
    foreign: BTreeMap<TopicPartition, Event>,
}

#[derive(Debug, Default)]
struct LaneState {
    start: Option<LaneStart>,
    incarnations: BTreeMap<u32, Chunks>,
    declared: BTreeMap<u32, Chunk>,
    verified: Option<Verified>,
}

/// The chunks of one incarnation by number; none where a chunk was there but is not kept.
type Chunks = BTreeMap<u32, Option<Chunk>>;

impl ControlState {
    /// Nothing has been read yet.
    pub fn new(keep: Keep) -> Self {
        Self {
            keep,
            links: Vec::new(),
            rules: BTreeMap::new(),
            owners: BTreeMap::new(),
            followed: BTreeMap::new(),
            lanes: BTreeMap::new(),
            events: BTreeMap::new(),
            foreign: BTreeMap::new(),
        }
    }

    /// Takes the next record, in the order of the log.
    pub fn take(&mut self, decoded: Decoded) {
        match decoded {
            Decoded::Record(Record::Link(link)) => {
                if self.links.iter().all(|known| known.producer_id != link.producer_id) {
                    self.links.push(link);
                }
            }
            Decoded::Record(Record::Rules(rules)) => {
                self.rules.insert(Record::Rules(rules.clone()).key(), rules);
            }
            Decoded::Record(Record::Owner(owner)) => {
                self.owners.insert(owner.slot, owner);
            }
            Decoded::Record(Record::Followed(followed)) => {
                self.followed.insert(followed.slot, followed);
            }
            Decoded::Record(Record::Lane(start)) => {
                let at = start.lane();
                let lane = self.lanes.entry(at.clone()).or_default();
                let begins = lane.start.as_ref().is_none_or(|known| known.incarnation != start.incarnation);
                lane.start = Some(start);
                // What was said before it began is not of it.
                if begins {
                    self.foreign.remove(&at);
                }
            }
            Decoded::Record(Record::Chunk { lane, incarnation, number, chunk }) => {
                let lane = self.lanes.entry(lane).or_default();
                take_chunk(lane.incarnations.entry(incarnation).or_default(), number, chunk, self.keep);
            }
            Decoded::Record(Record::Declared { lane, incarnation, chunk }) => {
                self.lanes.entry(lane).or_default().declared.insert(incarnation, chunk);
            }
            Decoded::Record(Record::Verified(verified)) => {
                let lane = self.lanes.entry(verified.lane()).or_default();
                lane.verified = Some(verified);
            }
            Decoded::Record(Record::Event(event)) => {
                if event.kind == EventKind::Foreign {
                    self.foreign.insert(event.lane(), event.clone());
                }
                if self.keep == Keep::Everything {
                    self.events.insert(Record::Event(event.clone()).key(), event);
                }
            }
            Decoded::Removed(key) => self.remove(key),
        }
    }

    fn remove(&mut self, key: Key) {
        match key {
            Key::Link { producer_id } => self.links.retain(|link| link.producer_id != producer_id),
            Key::Rules { .. } => {
                self.rules.remove(&key);
            }
            Key::Owner { slot } => {
                self.owners.remove(&slot);
            }
            Key::Followed { slot } => {
                self.followed.remove(&slot);
            }
            Key::Lane { lane } => {
                self.foreign.remove(&lane);
                self.in_lane(lane, |state| state.start = None);
            }
            Key::Chunk { lane, incarnation, number } => self.in_lane(lane, |state| {
                if let btree_map::Entry::Occupied(mut chunks) = state.incarnations.entry(incarnation) {
                    chunks.get_mut().remove(&number);
                    if chunks.get().is_empty() {
                        chunks.remove();
                    }
                }
            }),
            Key::Declared { lane, incarnation } => {
                self.in_lane(lane, |state| drop(state.declared.remove(&incarnation)));
            }
            Key::Verified { lane } => self.in_lane(lane, |state| state.verified = None),
            Key::Event { .. } => {
                self.events.remove(&key);
            }
        }
    }

    fn in_lane(&mut self, lane: TopicPartition, change: impl FnOnce(&mut LaneState)) {
        if let btree_map::Entry::Occupied(mut state) = self.lanes.entry(lane) {
            change(state.get_mut());
            if state.get().is_empty() {
                state.remove();
            }
        }
    }

    /// The link that the topic belongs to: the first that claimed it.
    pub fn link(&self) -> Option<&Link> {
        self.links.first()
    }

    /// What links mirror: the one that the topic belongs to, and those that it has seen.
    pub fn rules(&self) -> impl Iterator<Item = &Rules> {
        self.rules.values()
    }

    /// Who took over each slot last.
    pub fn owners(&self) -> impl Iterator<Item = &Owner> {
        self.owners.values()
    }

    /// How far the owner of a slot has done what the link's journal says.
    pub fn followed(&self, slot: i32) -> Option<&Followed> {
        self.followed.get(&slot)
    }

    /// What happened to lanes: by lane, then in the order of time.
    pub fn events(&self) -> impl Iterator<Item = &Event> {
        self.events.values()
    }

    /// What keeps a lane from going on: its target was found to hold what the link had not written. Of the lane as it last
    /// began.
    pub fn foreign(&self, lane: &TopicPartition) -> Option<&Event> {
        self.foreign.get(lane)
    }

    /// The source offset up to which a lane, as it last began, was found to be the same on both sides.
    pub fn verified(&self, lane: &TopicPartition) -> Option<Offset> {
        let lane = self.lanes.get(lane)?;
        let (start, verified) = (lane.start.as_ref()?, lane.verified.as_ref()?);
        (verified.incarnation == start.incarnation).then_some(verified.through)
    }

    /// How each lane began that has begun.
    pub fn lanes(&self) -> impl Iterator<Item = &LaneStart> {
        self.lanes.values().filter_map(|lane| lane.start.as_ref())
    }

    /// A lane's ledger, to be read; none if the lane has not begun. Without [`Keep::Everything`] it is full of holes.
    pub fn ledger(&self, lane: &TopicPartition) -> Option<Result<Ledger, Overlap>> {
        let (start, chunks) = self.lanes.get(lane)?.current()?;
        let chunks = chunks.into_iter().flat_map(|chunks| chunks.values().flatten()).cloned();
        Some(Ledger::new(start.clone(), chunks))
    }

    /// A lane's ledger, to be written from where it ends; none if the lane has not begun.
    pub fn writer(&self, lane: &TopicPartition) -> Option<LedgerWriter> {
        let (start, chunks) = self.lanes.get(lane)?.current()?;
        let last = chunks.and_then(|chunks| chunks.last_key_value());
        let last = last.and_then(|(number, chunk)| Some((*number, chunk.as_ref()?)));
        let declared = self.lanes[lane].declared.get(&start.incarnation);
        Some(LedgerWriter::resume(start.clone(), last, declared))
    }

    /// The incarnation that a lane gets if it begins now: higher than every one that has left something.
    pub fn next_incarnation(&self, lane: &TopicPartition) -> u32 {
        self.lanes.get(lane).map_or(1, |lane| {
            let started = lane.start.as_ref().map_or(0, |start| start.incarnation);
            let verified = lane.verified.iter().map(|verified| &verified.incarnation);
            let left = lane.incarnations.keys().chain(lane.declared.keys()).chain(verified).max();
            let left = left.copied().unwrap_or(0);
            started.max(left).saturating_add(1)
        })
    }

    /// The records that delete what earlier incarnations of lanes have left.
    pub fn leftovers(&self) -> Vec<ControlRecord> {
        let old =
            self.lanes.iter().filter_map(|(at, lane)| {
                let current = lane.start.as_ref()?.incarnation;
                Some(lane.keys(at).filter(
                    move |key| matches!(key, Key::Chunk { incarnation, .. } | Key::Declared { incarnation, .. } if *incarnation < current),
                ))
            });
        old.flatten().map(|key| key.tombstone()).collect()
    }

    /// The records that delete a lane, all but its events. Its start goes first: a lane that has a start but has
    /// lost its chunks would begin again where it once began.
    pub fn deletion(&self, lane: &TopicPartition) -> Vec<ControlRecord> {
        let Some(state) = self.lanes.get(lane) else { return Vec::new() };
        let start = state.start.iter().map(|_| Key::Lane { lane: lane.clone() });
        start.chain(state.keys(lane)).map(|key| key.tombstone()).collect()
    }
}

impl LaneState {
    fn current(&self) -> Option<(&LaneStart, Option<&Chunks>)> {
        let start = self.start.as_ref()?;
        Some((start, self.incarnations.get(&start.incarnation)))
    }

    fn is_empty(&self) -> bool {
        self.start.is_none()
            && self.incarnations.is_empty()
            && self.declared.is_empty()
            && self.verified.is_none()
    }

    fn keys(&self, lane: &TopicPartition) -> impl Iterator<Item = Key> {
        let declared = self.declared.keys();
        let declared =
            declared.map(move |incarnation| Key::Declared { lane: lane.clone(), incarnation: *incarnation });
        let chunks = self.incarnations.iter().flat_map(move |(incarnation, chunks)| {
            chunks.keys().map(move |number| Key::Chunk {
                lane: lane.clone(),
                incarnation: *incarnation,
                number: *number,
            })
        });
        let verified = self.verified.iter().map(|_| Key::Verified { lane: lane.clone() });
        chunks.chain(declared).chain(verified)
    }
}

fn take_chunk(chunks: &mut Chunks, number: u32, chunk: Chunk, keep: Keep) {
    let known = chunks.get(&number).and_then(Option::as_ref);
    if known.is_some_and(|known| known.base() == chunk.base() && known.end().source > chunk.end().source) {
        return;
    }
    let last = chunks.last_key_value().map_or(number, |(last, _)| number.max(*last));
    let kept = keep == Keep::Everything || number == last;
    if keep == Keep::Tails && kept {
        for (_, earlier) in chunks.range_mut(..number) {
            *earlier = None;
        }
    }
    chunks.insert(number, kept.then_some(chunk));
}
