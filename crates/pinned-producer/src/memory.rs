//! What the target has said of a partition's records, across runs of its lane.
//!
//! A batch that was refused has to be made anew without what is wrong with it, and its records are gone by then: the
//! lane is read again from there, and its next run knows.

use std::{
    collections::{BTreeMap, HashSet},
    ops::Range,
    sync::{Arc, Mutex, MutexGuard},
};

use kafka_wire::ProducerIdentity;
use mirror_types::Offset;

use crate::refusal::Refusal;

/// One target partition's.
#[derive(Clone, Default)]
pub(crate) struct Memory(Arc<Mutex<Known>>);

#[derive(Default)]
struct Known {
    /// Source offsets of records that the target refused.
    refused: BTreeMap<Offset, Refusal>,
    /// The largest batch it took for too large, halved.
    batch: Option<usize>,
    /// What the present run began to write under, or the last one did; and where the target ended when it began.
    producer: Option<(ProducerIdentity, Offset)>,
    /// That run was told that its sequence numbers do not follow.
    out_of_sequence: bool,
    /// Ids that runs have written under: whoever begins to count anew needs another.
    used: HashSet<i64>,
    /// No run must go on under these ids. One for each batch that was refused for a record in it: few.
    given_up: HashSet<i64>,
}

impl Memory {
    fn known(&self) -> MutexGuard<'_, Known> {
        self.0.lock().expect("nothing panics under this lock")
    }

    pub(crate) fn refuse(&self, offset: Offset, refusal: Refusal) {
        self.known().refused.insert(offset, refusal);
    }

    /// What was said of a record.
    pub(crate) fn verdict(&self, offset: Offset) -> Option<Refusal> {
        self.known().refused.get(&offset).cloned()
    }

    /// Whether anything was said of one of these records.
    pub(crate) fn has_verdict_in(&self, offsets: Range<Offset>) -> bool {
        self.known().refused.range(offsets).next().is_some()
    }

    /// The lane stops at this record; when it is tried again, the record is.
    pub(crate) fn forget(&self, offset: Offset) {
        self.known().refused.remove(&offset);
    }

    /// A run begins here: what was said of the records before is not asked for any more.
    pub(crate) fn forget_before(&self, offset: Offset) {
        let mut known = self.known();
        known.refused = known.refused.split_off(&offset);
    }

    pub(crate) fn lower_batch_limit(&self, bytes: usize) {
        self.known().batch = Some(bytes.max(1));
    }

    pub(crate) fn batch_limit(&self, usual: usize) -> usize {
        self.known().batch.map_or(usual, |limit| limit.min(usual))
    }

    /// Whether a run that begins to count anew may do so under this id: the broker remembers no numbers of it.
    pub(crate) fn is_new(&self, id: i64) -> bool {
        !self.known().used.contains(&id)
    }

    pub(crate) fn writing_under(&self, producer: ProducerIdentity, from: Offset) {
        let mut known = self.known();
        known.used.insert(producer.id);
        known.producer = Some((producer, from));
        known.out_of_sequence = false;
    }

    pub(crate) fn refused_sequence(&self) {
        self.known().out_of_sequence = true;
    }

    /// No run is to go on under this id, since other records may get the sequence numbers of those on their way.
    pub(crate) fn give_up(&self, producer: ProducerIdentity) {
        self.known().given_up.insert(producer.id);
    }

    /// Whether a run that begins at this end must not go on under this id: it was given up, or a run began at this very
    /// end under it, and was told that its sequence numbers do not follow: then the broker remembers others than its
    /// log tells.
    pub(crate) fn is_refused(&self, producer: ProducerIdentity, from: Offset) -> bool {
        let known = self.known();
        known.given_up.contains(&producer.id)
            || known.out_of_sequence && known.producer == Some((producer, from))
    }
}
