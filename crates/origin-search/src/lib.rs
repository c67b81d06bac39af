//! Where a record lies on the other side that another link has brought there, or that was produced there: by what is
//! written on records of where they come from ([`mirror_types::LaneOrigins`]).
//!
//! ```text
//! offset on a side ─► the record there ─► its origin: cluster, topic, offset ─► the record of that origin on the other side
//! ```
//! What a lane has mirrored itself, its marks tell (offset-marks). The rest is looked up in the logs: a partition has the
//! records of one origin in their order, so that one of them is found by halving. Only reads.

mod log;

use std::collections::HashMap;

use kafka_wire::{Client, Isolation};
use mirror_types::{Header, LaneOrigins, Offset, Origin, Side};

pub use log::Error;
use log::{Found, Log};

/// Offsets that are looked back over, at the most, for whether others' records were read.
const FURTHEST: Offset = 1_000_000;

/// Both sides of a lane whose records say where they come from.
pub struct OriginSearch {
    origins: LaneOrigins,
    source: Log,
    target: Log,
}

/// Where someone stands who goes over from the source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stands {
    /// Has read the source before this offset.
    pub source: Offset,
    /// Has, by the marks, read what the link brought to the target before this offset.
    pub target: Offset,
}

/// What [`OriginSearch::goes_on`] has said before.
#[derive(Debug, Clone, Copy)]
pub struct Known {
    /// Of whom.
    pub stands: Stands,
    /// Where they go on; none where that is where the marks lead.
    pub goes_on: Option<Offset>,
    /// Whether anything that the link leaves there was on the source.
    comes_back: bool,
    /// Up to which of its offsets they had read what was produced on the target.
    of_target: Option<Offset>,
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

    /// The offset of the other side at which the record lies that is at this offset of a side, if both have it.
    pub async fn counterpart(&self, side: Side, offset: Offset) -> Result<Option<Offset>, Error> {
        let found = self.log(side).first(offset, Some(offset + 1), |_| true).await?;
        let Some(found) = found else { return Ok(None) };
        self.find(other(side), &self.origin_of(side, &found)).await
    }

    /// Where on the target someone goes on who stands there: at the first record that was not read, from `start` on. Where the
    /// marks lead, if nothing of the target ever comes to the source: then whose it is that lies there is not for this lane to
    /// say. `known`: what was said before, of which only what came since is looked at.
    pub async fn goes_on(&self, stands: Stands, start: Offset, known: Option<Known>) -> Result<Known, Error> {
        let Stands { source, target } = stands;
        let known = known.filter(|known| known.stands.source <= source && known.stands.target <= target);
        // What was read then is read.
        let from = known.map_or(start, |known| known.goes_on.unwrap_or(known.stands.target).max(start));
        let from = from.max(target - FURTHEST).max(self.target.bounds().await?.0);
        let comes_back = match known {
            Some(Known { comes_back: true, .. }) => true,
            _ => self.comes_back(known.map(|known| known.stands.source), source).await?,
        };
        let mut found = Known { stands, goes_on: None, comes_back, of_target: None };
        if !comes_back {
            return Ok(found);
        }
        // Of each origin: up to where it was read, and whether that has been met on the way back. All before that is read, too.
        let mut read: HashMap<(String, String), (Option<Offset>, bool)> = HashMap::new();
        let own = self.key(Side::Target);
        let of_target = Origin { cluster: own.0.clone(), topic: own.1.clone(), offset: 0, via: Vec::new() };
        let since = known.map(|known| known.stands.source);
        found.of_target =
            self.read_of(&of_target, since, source).await?.or(known.and_then(|known| known.of_target));
        read.insert(own.clone(), (found.of_target, false));
        let (mut unread, mut to, mut back) = (None, target, log::BACK);
        while to > from {
            let begin = (to - back).max(from);
            let of_others = |found: &Found| {
                let origin = self.origin_of(Side::Target, found);
                (!self.origins.passes(&origin)).then_some((found.offset, origin))
            };
            for (offset, origin) in self.target.all(begin, to, of_others).await?.into_iter().rev() {
                let key = (origin.cluster.clone(), origin.topic.clone());
                if !read.contains_key(&key) {
                    read.insert(key.clone(), (self.read_of(&origin, None, source).await?, false));
                }
                let (last, met) = read.get_mut(&key).expect("just looked at");
                match last.is_some_and(|last| last >= origin.offset) {
                    true => *met = true,
                    false => unread = Some(offset),
                }
            }
            if read.get(&own).is_some_and(|(_, met)| *met) && read.values().all(|(_, met)| *met) {
                break;
            }
            (to, back) = (begin, (back * 2).min(log::MOST_BACK));
        }
        if unread.is_some() {
            return Ok(Known { goes_on: unread, ..found });
        }
        // What lies there from the others, and was read, need not be read again.
        let stops = |found: &Found| {
            let origin = self.origin_of(Side::Target, found);
            let last = read.get(&(origin.cluster.clone(), origin.topic.clone())).and_then(|(last, _)| *last);
            self.origins.passes(&origin) || last.is_none_or(|last| last < origin.offset)
        };
        let next = self.target.first(target, None, stops).await?.map(|found| found.offset);
        let end = self.target.bounds().await?.1;
        Ok(Known { goes_on: Some(next.unwrap_or(end)).filter(|next| *next > target), ..found })
    }

    /// Whether the source has anything, from an offset on, that this link leaves there.
    async fn comes_back(&self, from: Option<Offset>, source: Offset) -> Result<bool, Error> {
        let stays = |found: &Found| !self.origins.passes(&self.origin_of(Side::Source, found));
        let low = from.unwrap_or(source - FURTHEST);
        if self.source.last(low, source, stays).await?.is_some() {
            return Ok(true);
        }
        Ok(self.source.first(source, None, stays).await?.is_some())
    }

    /// Up to which offset of an origin someone has read, from an offset of the source on, who has read it before another.
    async fn read_of(
        &self,
        origin: &Origin,
        from: Option<Offset>,
        before: Offset,
    ) -> Result<Option<Offset>, Error> {
        let low = from.unwrap_or(before - FURTHEST);
        let of_it = |found: &Found| self.origin_of(Side::Source, found).is_beside(origin);
        let last = self.source.last(low, before, of_it).await?;
        Ok(last.map(|last| self.origin_of(Side::Source, &last).offset))
    }

    /// What is produced on a side to the lane's topic there.
    fn key(&self, side: Side) -> (String, String) {
        (self.origins.cluster(side).to_owned(), self.origins.lies_in(side).topic.to_string())
    }

    async fn find(&self, side: Side, origin: &Origin) -> Result<Option<Offset>, Error> {
        let log = self.log(side);
        if origin.cluster == self.origins.cluster(side) {
            if *origin.topic != *self.origins.lies_in(side).topic {
                return Ok(None);
            }
            let found = log.first(origin.offset, Some(origin.offset + 1), |_| true).await?;
            return Ok(found.map(|found| found.offset));
        }
        let of_it = |found: &Found| self.origin_of(side, found).is_beside(origin);
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
