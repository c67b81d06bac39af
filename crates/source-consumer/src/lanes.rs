//! The lanes that this consumer reads: where each stands, and whether it is being read now.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use mirror_types::{Gap, GapCause, LaneId, Offset, SourceLane};

use crate::{epochs::Epochs, stops};

/// How long the consumer waits for one lane's credit before it reads on without that lane.
const PATIENCE: Duration = Duration::from_millis(500);
/// A lane that had to be put aside within this time gets no such wait.
const PROBATION: Duration = Duration::from_secs(60);

/// One lane, as its reader knows it.
pub(crate) struct LaneState {
    pub(crate) lane: Arc<SourceLane>,
    /// The next source offset to hand on.
    pub(crate) next: Offset,
    /// The leaders' epochs of what was handed on.
    pub(crate) epochs: Epochs,
    /// Gaps before this offset have been counted by an earlier run.
    position: Offset,
    /// What a gap in this topic is put down to.
    pub(crate) gap_cause: GapCause,
    /// The id of the topic that the lane is of, where it is known.
    pub(crate) topic_id: Option<String>,
    pub(crate) reading: Reading,
    put_aside: Option<Instant>,
}

/// Whether a lane's partition is assigned to the client now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reading {
    /// It is.
    Assigned,
    /// Not now: the lane holds its share of the buffer. Goes on when the target has taken that.
    PutAside,
    /// Not now: the source has to be asked where it stands.
    Asking { again: Instant },
}

impl LaneState {
    pub(crate) fn new(
        lane: Arc<SourceLane>,
        next: Offset,
        position: Offset,
        gap_cause: GapCause,
        topic_id: Option<String>,
    ) -> Self {
        Self {
            lane,
            next,
            epochs: Epochs::default(),
            position,
            gap_cause,
            topic_id,
            reading: Reading::Assigned,
            put_aside: None,
        }
    }

    /// Whether this is not the id of the topic that the lane is of.
    pub(crate) fn is_of_another(&self, topic_id: &str) -> bool {
        self.topic_id.as_ref().is_some_and(|own| own != topic_id)
    }

    /// How many offsets of the gap from `from` to `to` no run has counted yet.
    pub(crate) fn uncounted(&self, from: Offset, to: Offset) -> u64 {
        (to - from.max(self.position)).max(0) as u64
    }

    /// What is lost where all before `low` is deleted.
    pub(crate) fn lost_before(&self, low: Offset) -> Option<Gap> {
        stops::lost_before(low, self.next, self.position)
    }

    pub(crate) fn put_aside(&mut self, next: Offset) {
        self.next = next;
        self.reading = Reading::PutAside;
        self.put_aside = Some(Instant::now());
    }

    /// How long to wait for this lane's credit before it is put aside.
    pub(crate) fn patience(&self) -> Duration {
        match self.put_aside {
            Some(then) if then.elapsed() < PROBATION => Duration::ZERO,
            _ => PATIENCE,
        }
    }
}

/// The lanes by topic and partition.
#[derive(Default)]
pub(crate) struct Lanes(HashMap<Arc<str>, Vec<Option<LaneState>>>);

impl Lanes {
    /// Whether a lane of this topic is or was read.
    pub(crate) fn know(&self, topic: &str) -> bool {
        self.0.contains_key(topic)
    }

    pub(crate) fn get(&mut self, topic: &str, partition: i32) -> Option<&mut LaneState> {
        self.0.get_mut(topic)?.get_mut(usize::try_from(partition).ok()?)?.as_mut()
    }

    pub(crate) fn insert(&mut self, state: LaneState) {
        let at = &state.lane.at;
        let partitions = self.0.entry(at.topic.clone()).or_default();
        let partition = usize::try_from(at.partition).expect("partitions are numbered from 0");
        if partitions.len() <= partition {
            partitions.resize_with(partition + 1, || None);
        }
        partitions[partition] = Some(state);
    }

    pub(crate) fn remove(&mut self, id: LaneId) -> Option<LaneState> {
        let slot = self.0.values_mut().flatten().find(|s| s.as_ref().is_some_and(|s| s.lane.id == id))?;
        slot.take()
    }

    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = &mut LaneState> {
        self.0.values_mut().flatten().flatten()
    }
}
