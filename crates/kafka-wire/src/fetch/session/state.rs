//! What a session's broker has been told, and what it has to be told next. No I/O.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    ops::Bound::{Excluded, Included, Unbounded},
    sync::Arc,
};

use super::{FULL, FetchAnswer, FetchFrom, Fetched, NO_SESSION};
use crate::{
    Code,
    fetch::{answer::TopicAnswer, request::Forgotten},
};

type Id = [u8; 16];
type At = (Arc<str>, i32);

#[derive(Default)]
pub(super) struct State {
    /// The session's id; [`NO_SESSION`] where there is none.
    id: i32,
    /// The epoch of the next request; [`FULL`] where that has to list all.
    epoch: i32,
    by_ids: bool,
    partitions: BTreeMap<At, Entry>,
    /// How many partitions have no topic id.
    without_id: usize,
    /// The names of the topics that have an id, and how many partitions have it.
    names: HashMap<Id, (Arc<str>, usize)>,
    /// What the next request names.
    changed: BTreeSet<At>,
    /// What the next request says is not read any more; and the offset that the broker has been told.
    forgotten: BTreeMap<(Arc<str>, i32, Id), i64>,
    /// How many partitions the last request had, where it listed all.
    listed: Option<usize>,
    /// The last partition that gave records: a request without a session begins behind it, so that each
    /// gets its turn.
    served: Option<At>,
}

struct Entry {
    from: FetchFrom,
    /// The offset that the broker has been told; none while it has not heard of the partition.
    told: Option<i64>,
}

/// What a request says.
pub(super) struct Next<'a> {
    pub session: (i32, i32),
    pub from: Vec<&'a FetchFrom>,
    pub forgotten: Vec<Forgotten>,
}

/// What came of one.
pub(super) enum Taken {
    Fetched(Vec<Fetched>),
    Failed(Code),
    Senseless(&'static str),
}

impl State {
    pub fn len(&self) -> usize {
        self.partitions.len()
    }

    pub fn is_established(&self) -> bool {
        self.epoch != FULL
    }

    /// The session that the broker may have.
    pub fn id(&self) -> Option<i32> {
        Some(self.id).filter(|id| *id != NO_SESSION)
    }

    pub fn by_ids(&self) -> bool {
        self.by_ids
    }

    pub fn all_have_ids(&self) -> bool {
        self.without_id == 0
    }

    pub fn get(&self, topic: &str, partition: i32) -> Option<&FetchFrom> {
        Some(&self.partitions.get(&(topic.into(), partition))?.from)
    }

    pub fn set(&mut self, from: FetchFrom) {
        let at = (from.topic.clone(), from.partition);
        if let Some(entry) = self.partitions.get_mut(&at)
            && entry.from.topic_id == from.topic_id
        {
            if entry.from != from {
                entry.from = from;
                self.changed.insert(at);
            }
            return;
        }
        // Of a topic with another id, the broker has heard nothing, unless we go by names.
        self.remove(&from.topic, from.partition);
        let (least, most) = if self.by_ids { (from.topic_id, from.topic_id) } else { ([0; 16], [0xff; 16]) };
        let [least, most] = [least, most].map(|id| (at.0.clone(), at.1, id));
        let known = self.forgotten.range(least..=most).next().map(|(key, _)| key.clone());
        let told = known.and_then(|known| self.forgotten.remove(&known));
        if from.has_id() {
            self.names.entry(from.topic_id).or_insert_with(|| (from.topic.clone(), 0)).1 += 1;
        } else {
            self.without_id += 1;
        }
        self.partitions.insert(at.clone(), Entry { from, told });
        self.changed.insert(at);
    }

    pub fn remove(&mut self, topic: &str, partition: i32) -> bool {
        let at = (Arc::from(topic), partition);
        let Some(Entry { from, told }) = self.partitions.remove(&at) else { return false };
        self.changed.remove(&at);
        if !from.has_id() {
            self.without_id -= 1;
        } else if let Some((_, count)) = self.names.get_mut(&from.topic_id) {
            *count -= 1;
            if *count == 0 {
                self.names.remove(&from.topic_id);
            }
        }
        if let Some(told) = told {
            self.forgotten.insert((from.topic, partition, from.topic_id), told);
        }
        true
    }

    /// The next request lists all. It ends the session that the broker may have, if it may have it.
    pub fn begin_anew(&mut self, may_have_it: bool) {
        self.epoch = FULL;
        if !may_have_it {
            self.id = NO_SESSION;
        }
    }

    /// What to tell next. It is taken to be told then: whoever can't tell it has to begin anew.
    pub fn next(&mut self, by_ids: bool) -> Next<'_> {
        if self.by_ids != by_ids {
            // A session goes by names or by ids (KIP-516).
            self.by_ids = by_ids;
            self.begin_anew(true);
        }
        let session = (self.id, self.epoch);
        let changed = std::mem::take(&mut self.changed);
        let forgotten = std::mem::take(&mut self.forgotten);
        if self.epoch == FULL {
            self.listed = Some(self.partitions.len());
            self.partitions.values_mut().for_each(|entry| entry.told = Some(entry.from.offset));
            return Next { session, from: self.all_in_turn().collect(), forgotten: Vec::new() };
        }
        self.listed = None;
        for at in &changed {
            if let Some(entry) = self.partitions.get_mut(at) {
                entry.told = Some(entry.from.offset);
            }
        }
        let from = changed.iter().filter_map(|at| Some(&self.partitions.get(at)?.from)).collect();
        let forgotten = forgotten.into_keys().map(|(topic, partition, id)| (topic, id, partition));
        Next { session, from, forgotten: forgotten.collect() }
    }

    fn all_in_turn(&self) -> impl Iterator<Item = &FetchFrom> {
        let (after, until) = match &self.served {
            Some(at) => ((Excluded(at), Unbounded), Some((Unbounded, Included(at)))),
            None => ((Unbounded, Unbounded), None),
        };
        let until = until.into_iter().flat_map(|range| self.partitions.range::<At, _>(range));
        self.partitions.range::<At, _>(after).chain(until).map(|(_, entry)| &entry.from)
    }

    /// What the answer to the last request says.
    pub fn take(&mut self, answer: FetchAnswer) -> Taken {
        if let Some(code) = answer.error {
            self.begin_anew(code != Code::FetchSessionIdNotFound);
            return Taken::Failed(code);
        }
        match self.listed {
            Some(listed) => {
                self.id = answer.session;
                // A session that lacks some of what was listed (it should not be) is no use.
                let is_whole = self.id != NO_SESSION && answer.partitions.len() == listed;
                self.epoch = if is_whole { 1 } else { FULL };
            }
            None if answer.session == self.id => self.epoch = self.epoch.checked_add(1).unwrap_or(1),
            None if answer.session == NO_SESSION => self.begin_anew(false),
            None => {
                self.begin_anew(true);
                return Taken::Senseless("it is of another session");
            }
        }
        let mut fetched = answer.partitions;
        let mut topics = answer.topics.iter();
        let (mut topic, mut left): (Option<(&TopicAnswer, Arc<str>)>, usize) = (None, 0);
        fetched.retain_mut(|fetched| {
            while left == 0 {
                let Some(next) = topics.next() else { return false };
                left = next.partitions;
                topic = self.name_of(next).map(|name| (next, name));
            }
            left -= 1;
            let Some((topic, name)) = &topic else { return false };
            let at = (name.clone(), fetched.partition);
            let entry = self.partitions.get(&at);
            let entry = entry.filter(|entry| !self.by_ids || entry.from.topic_id == topic.id);
            let Some(told) = entry.and_then(|entry| entry.told) else { return false };
            (fetched.topic, fetched.asked) = (name.clone(), told);
            if !fetched.records.is_empty() {
                self.served = Some(at);
            }
            true
        });
        Taken::Fetched(fetched)
    }

    fn name_of(&self, topic: &TopicAnswer) -> Option<Arc<str>> {
        if self.by_ids {
            return self.names.get(&topic.id).map(|(name, _)| name.clone());
        }
        std::str::from_utf8(&topic.name).ok().map(Arc::from)
    }
}

#[cfg(test)]
mod tests;
