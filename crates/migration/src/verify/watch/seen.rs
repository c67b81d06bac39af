//! What is known of each lane from round to round: how far both sides are the same, and what was told of it. No I/O.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Mutex, MutexGuard, PoisonError},
};

use mirror_types::{Offset, TopicPartition};
use offset_marks::{LaneStart, control};
use pipeline::{News, Trouble, status::VerifiedStatus};

use super::super::{Error, Found, LaneReport, Noted, Notes};

/// All lanes of this instance that were compared.
#[derive(Default)]
pub(super) struct Seen(Mutex<All>);

#[derive(Default)]
struct All {
    lanes: BTreeMap<TopicPartition, Lane>,
    /// Why not all could be compared.
    trouble: Trouble,
}

struct Lane {
    incarnation: u32,
    target_topic: String,
    /// The next look goes on from here. Before the lane is known to differ, nothing in it differs.
    noted: Noted,
    /// Nothing before this source offset differs.
    verified: Offset,
    /// The same, as it is on record.
    recorded: Option<Offset>,
    difference: Known,
    trouble: Option<String>,
}

/// Whether a lane differs.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Known {
    /// Not that it were known.
    No,
    /// A first look says so, from this source offset on.
    Suspected(Offset),
    /// A second one says the same, and it was told.
    Told,
}

/// What there is to do after a look at a lane.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// Nothing; it has been compared, or can't be.
    Over,
    /// Another look, whether it differs.
    LookAgain,
    /// Telling this, and then going on behind the difference.
    Tell(String),
}

impl Notes for Seen {
    fn noted(&self, lane: &TopicPartition, incarnation: u32) -> Option<Noted> {
        let all = self.all();
        let lane = all.lanes.get(lane).filter(|lane| lane.incarnation == incarnation)?;
        Some(lane.noted.clone())
    }

    fn note(&self, report: LaneReport, _end: bool) -> Result<(), Error> {
        let mut all = self.all();
        let lane = all.lane(&report);
        let differs = report.found.counts.differing() > 0;
        if !differs {
            lane.verified = report.to;
        }
        // What only looks like a difference is not gone on with.
        if !differs || lane.difference == Known::Told {
            lane.noted = Noted { from: report.from, to: report.to, found: report.found };
        }
        Ok(())
    }
}

impl Seen {
    fn all(&self) -> MutexGuard<'_, All> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Goes on from what is on record of a lane, if more is not known here.
    pub(super) fn recall(&self, start: &LaneStart, through: Offset) {
        let mut all = self.all();
        if all.lanes.get(&start.lane()).is_some_and(|known| known.incarnation == start.incarnation) {
            return;
        }
        let noted = Noted { from: through, to: through, found: Found::default() };
        let lane = Lane::new(start.incarnation, &start.target_topic, noted);
        all.lanes.insert(start.lane(), Lane { recorded: Some(through), ..lane });
    }

    /// How far a lane has been compared.
    pub(super) fn done(&self, lane: &TopicPartition) -> Option<Offset> {
        self.all().lanes.get(lane).map(|lane| lane.noted.to)
    }

    /// Whether a lane is known to differ.
    pub(super) fn is_different(&self, lane: &TopicPartition) -> bool {
        self.all().lanes.get(lane).is_some_and(|lane| lane.difference == Known::Told)
    }

    /// What follows from a look at a lane.
    pub(super) fn judge(&self, report: &LaneReport) -> Next {
        let mut all = self.all();
        let lane = all.lane(report);
        lane.trouble.clone_from(&report.trouble);
        let Some(first) = &report.found.first_difference else {
            lane.difference = Known::No;
            return Next::Over;
        };
        match lane.difference {
            Known::Told => Next::Over,
            Known::Suspected(place) if place == first.place => {
                lane.difference = Known::Told;
                lane.verified = lane.verified.max(first.place);
                lane.noted = Noted { from: report.from, to: report.to, found: report.found.clone() };
                let (at, target) = (report.at(), &report.target_topic);
                let at = if report.topic == *target { at.to_string() } else { format!("{at} → {target}") };
                Next::Tell(format!(
                    "{at}: the target is NOT what the source is: {first}; all before source offset {} is the same. The lane \
                     goes on. fix: {}",
                    lane.verified,
                    fix(&report.topic, target)
                ))
            }
            Known::No | Known::Suspected(_) => {
                lane.difference = Known::Suspected(first.place);
                Next::LookAgain
            }
        }
    }

    /// Why not all could be compared, if that is so.
    pub(super) fn trouble(&self, trouble: Option<String>) -> News {
        self.all().trouble.news(trouble)
    }

    /// Only these lanes are this instance's.
    pub(super) fn keep(&self, there: &BTreeSet<TopicPartition>) {
        self.all().lanes.retain(|at, _| there.contains(at));
    }

    /// What is known of lanes and is not on record.
    pub(super) fn unrecorded(&self) -> Vec<control::Verified> {
        let all = self.all();
        let due = all.lanes.iter().filter(|(_, lane)| lane.recorded != Some(lane.verified));
        due.map(|(at, lane)| control::Verified {
            topic: at.topic.to_string(),
            partition: at.partition,
            incarnation: lane.incarnation,
            through: lane.verified,
        })
        .collect()
    }

    /// It is on record now.
    pub(super) fn recorded(&self, written: &control::Verified) {
        if let Some(lane) = self.all().lanes.get_mut(&written.lane())
            && lane.incarnation == written.incarnation
        {
            lane.recorded = Some(written.through);
        }
    }

    /// Each lane: where it is mirrored to, how far it is the same, and how many records differ.
    pub(super) fn lanes(&self) -> Vec<(TopicPartition, String, Offset, u64)> {
        let all = self.all();
        let differing = |lane: &Lane| lane.noted.found.counts.differing();
        all.lanes
            .iter()
            .map(|(at, lane)| (at.clone(), lane.target_topic.clone(), lane.verified, differing(lane)))
            .collect()
    }

    /// A lane, for the link's status.
    pub(super) fn status(&self, at: &TopicPartition) -> Option<VerifiedStatus> {
        let all = self.all();
        let lane = all.lanes.get(at)?;
        let found = &lane.noted.found;
        let difference = found.first_difference.as_ref().map(ToString::to_string);
        Some(VerifiedStatus {
            offset: lane.verified,
            equal: found.counts.equal,
            differences: found.counts.differing(),
            unproven: found.counts.unproven,
            fix: difference.is_some().then(|| fix(&at.topic, &lane.target_topic)),
            difference,
            trouble: lane.trouble.clone(),
        })
    }
}

fn fix(topic: &str, target: &str) -> String {
    format!(
        "isomirror verify CONFIG --topic {topic} --show-values shows both records; see who else writes to {target}"
    )
}

impl All {
    /// A lane as it is now: if it has begun anew, nothing is known of it.
    fn lane(&mut self, report: &LaneReport) -> &mut Lane {
        let new = || {
            let noted = Noted { from: report.from, to: report.from, found: Found::default() };
            Lane::new(report.incarnation, &report.target_topic, noted)
        };
        let lane = self.lanes.entry(report.at()).or_insert_with(new);
        if lane.incarnation != report.incarnation {
            *lane = new();
        }
        lane
    }
}

impl Lane {
    fn new(incarnation: u32, target_topic: &str, noted: Noted) -> Self {
        Self {
            incarnation,
            target_topic: target_topic.to_owned(),
            verified: noted.to,
            noted,
            recorded: None,
            difference: Known::No,
            trouble: None,
        }
    }
}

#[cfg(test)]
mod tests;
