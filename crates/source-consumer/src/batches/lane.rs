//! A lane as its reader knows it.

use std::{collections::VecDeque, sync::Arc};

use kafka_wire::FetchFrom;
use mirror_types::{Offset, SourceLane, TopicPartition};

use super::cut::Piece;
use crate::epochs::Epochs;

/// Bytes that are asked for at once, until it shows that more are worth it.
const AT_ONCE: i32 = 1024 * 1024;

/// A lane that is read, by one broker's reader at a time.
#[derive(Debug)]
pub(super) struct ReadLane {
    pub(super) lane: Arc<SourceLane>,
    /// The topic's id as the lane was begun with, where it is known.
    pub(super) topic_id: Option<String>,
    /// The same for the protocol; all zero until it is asked for.
    pub(super) id: [u8; 16],
    /// Gaps before this have been counted by an earlier run.
    pub(super) position: Offset,
    /// Where the next piece that is handed on begins.
    pub(super) handed: Offset,
    /// Where to read on.
    pub(super) from: Offset,
    /// The leader's epoch (KIP-320); -1: unknown.
    pub(super) leader_epoch: i32,
    /// Those of the batches that were read.
    pub(super) epochs: Epochs,
    /// Bytes to ask for at once.
    pub(super) max_bytes: i32,
    /// What was read and not yet handed on.
    pub(super) pieces: VecDeque<Piece>,
    /// How often a broker was looked for since records came.
    pub(super) tries: u32,
}

impl ReadLane {
    pub(super) fn new(
        lane: Arc<SourceLane>,
        from: Offset,
        position: Offset,
        topic_id: Option<String>,
    ) -> Self {
        Self {
            lane,
            topic_id,
            id: [0; 16],
            position,
            handed: from,
            from,
            leader_epoch: -1,
            epochs: Epochs::default(),
            max_bytes: AT_ONCE,
            pieces: VecDeque::new(),
            tries: 0,
        }
    }

    pub(super) fn at(&self) -> &TopicPartition {
        &self.lane.at
    }

    /// Whether more is to be asked for, as far as the buffer goes: then what to ask for.
    pub(super) fn next_fetch(&self) -> Option<FetchFrom> {
        let waiting: u64 = self.pieces.iter().map(|piece| piece.content.cost()).sum();
        let room = self.lane.credit.room().saturating_sub(waiting);
        // Whoever holds nothing may always have something: a batch that is larger than the buffer, say.
        let enough = room >= self.max_bytes as u64 / 2 || waiting == 0 && self.lane.credit.used() == 0;
        enough.then(|| FetchFrom {
            topic_id: self.id,
            max_bytes: self.max_bytes,
            leader_epoch: self.leader_epoch,
            last_fetched_epoch: self.epochs.last(),
            ..FetchFrom::new(self.at().topic.clone(), self.at().partition, self.from)
        })
    }
}
