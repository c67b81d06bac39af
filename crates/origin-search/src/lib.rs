//! Where a record lies on the other side that another link has brought there, or that was produced there: by what is
//! written on records of where they come from ([`mirror_types::LaneOrigins`]).
//!
//! ```text
//! offset on a side ─► the record there ─► its origin: cluster and offset ─► the record of that origin on the other side
//! ```
//! What a lane has mirrored itself, its marks tell (offset-marks). The rest is looked up in the logs: a partition has the
//! records of one origin in their order, so that one of them is found by halving. Only reads.

mod log;

use kafka_wire::{Client, Isolation};
use mirror_types::{Header, LaneOrigins, Offset, Origin, Side};

pub use log::Error;
use log::{Found, Log};

/// What [`OriginSearch::read_of_others`] has said before.
#[derive(Debug, Clone, Copy)]
pub struct Known {
    /// Of this offset.
    pub before: Offset,
    /// This; only as long as something is there to be known: before that it may change.
    pub of_others: Option<Offset>,
}

/// Both sides of a lane whose records say where they come from.
pub struct OriginSearch {
    origins: LaneOrigins,
    source: Log,
    target: Log,
}

impl OriginSearch {
    /// Between these clusters; `isolation`: which records of the source are mirrored. Of the target those count that are
    /// committed.
    pub fn new(origins: LaneOrigins, source: &Client, target: &Client, isolation: Isolation) -> Self {
        let [of_source, of_target] = [Side::Source, Side::Target].map(|side| origins.lies_in(side).clone());
        Self {
            source: Log::new(source, of_source, isolation),
            target: Log::new(target, of_target, Isolation::ReadCommitted),
            origins,
        }
    }

    /// Where the record at this offset of a side was produced; none where no record is at it.
    async fn origin(&self, side: Side, offset: Offset) -> Result<Option<Origin>, Error> {
        let found = self.log(side).first(offset, Some(offset + 1), |_| true).await?;
        Ok(found.map(|found| self.origin_of(side, &found)))
    }

    /// The offset of the other side at which the record lies that is at this offset of a side, if both have it.
    pub async fn counterpart(&self, side: Side, offset: Offset) -> Result<Option<Offset>, Error> {
        let Some(origin) = self.origin(side, offset).await? else { return Ok(None) };
        self.find(other(side), &origin).await
    }

    /// Up to which target offset someone has read what did not come there over this link, who has read the source before
    /// this offset. None where none of that is on the source. `known`: the same, asked for an earlier offset.
    pub async fn read_of_others(
        &self,
        before: Offset,
        known: Option<Known>,
    ) -> Result<Option<Offset>, Error> {
        let stays = |found: &Found| !self.origins.passes(&self.origin_of(Side::Source, found));
        let known = known.filter(|known| known.before <= before);
        let from = known.map(|known| known.before);
        if let Some(last) = self.source.last(from, before, stays).await? {
            return Ok(self.place(&last).await?.map(|at| at + 1));
        }
        if let Some(Known { of_others: Some(known), .. }) = known {
            return Ok(Some(known));
        }
        match self.source.first(before, None, stays).await? {
            Some(first) => self.place(&first).await,
            None => Ok(None),
        }
    }

    /// Where a record of the source lies on the target.
    async fn place(&self, found: &Found) -> Result<Option<Offset>, Error> {
        let origin = self.origin_of(Side::Source, found);
        // It need not be there any more.
        if origin.cluster == self.origins.cluster(Side::Target) {
            return Ok(Some(origin.offset));
        }
        self.find(Side::Target, &origin).await
    }

    async fn find(&self, side: Side, origin: &Origin) -> Result<Option<Offset>, Error> {
        let log = self.log(side);
        if origin.cluster == self.origins.cluster(side) {
            let found = log.first(origin.offset, Some(origin.offset + 1), |_| true).await?;
            return Ok(found.map(|found| found.offset));
        }
        let of_it = |found: &Found| self.origin_of(side, found).cluster == origin.cluster;
        let (mut from, mut to) = log.bounds().await?;
        while from < to {
            let middle = from + (to - from) / 2;
            let Some(found) = log.first(middle, Some(to), of_it).await? else {
                to = middle;
                continue;
            };
            match self.origin_of(side, &found).offset {
                there if there == origin.offset => return Ok(Some(found.offset)),
                there if there < origin.offset => from = found.offset + 1,
                _ => to = middle,
            }
        }
        Ok(None)
    }

    fn origin_of(&self, side: Side, found: &Found) -> Origin {
        let headers = found.headers.iter().map(|h| Header { name: &h.key, value: h.value.as_deref() });
        self.origins.origin_on(side, found.offset, headers)
    }

    fn log(&self, side: Side) -> &Log {
        match side {
            Side::Source => &self.source,
            Side::Target => &self.target,
        }
    }
}

fn other(side: Side) -> Side {
    match side {
        Side::Source => Side::Target,
        Side::Target => Side::Source,
    }
}
