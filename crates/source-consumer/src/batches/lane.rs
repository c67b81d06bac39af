//! A lane as its reader knows it.

use std::{collections::VecDeque, sync::Arc};

use kafka_wire::FetchFrom;
use mirror_types::{Credit, Offset, SourceLane, TopicPartition};

use super::cut::Piece;
use crate::epochs::Epochs;

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
    /// Whether there was more of it than the last answer brought; so, too, until there is one.
    pub(super) is_behind: bool,
    /// Whether it has one of the places that the session has for such lanes.
    pub(super) has_place: bool,
    /// Bytes of its largest batch, as far as one is known that needs more than was asked for.
    pub(super) needs: u64,
    /// What was read and not yet handed on.
    pub(super) pieces: VecDeque<(Piece, Credit)>,
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
            is_behind: true,
            has_place: false,
            needs: 0,
            pieces: VecDeque::new(),
            tries: 0,
        }
    }

    pub(super) fn at(&self) -> &TopicPartition {
        &self.lane.at
    }

    /// Bytes that may come. Whoever holds nothing may always have something: a batch that is larger than the buffer, say.
    pub(super) fn room(&self) -> u64 {
        let credit = &self.lane.credit;
        match credit.used() {
            0 => credit.room().max(credit.budget().part()).max(self.needs),
            _ => credit.room(),
        }
    }

    /// What to ask for next: so many bytes at most, and as many as there is room for. None: there is room for less than
    /// is worth it.
    pub(super) fn next_fetch(&self, most: u64) -> Option<FetchFrom> {
        let (most, room, part) = (most.max(self.needs), self.room(), self.lane.credit.budget().part());
        (room >= (most.min(part) / 2).max(self.needs)).then(|| FetchFrom {
            topic_id: self.id,
            max_bytes: i32::try_from(room.min(most)).unwrap_or(i32::MAX),
            leader_epoch: self.leader_epoch,
            last_fetched_epoch: self.epochs.last(),
            ..FetchFrom::new(self.at().topic.clone(), self.at().partition, self.from)
        })
    }
}
