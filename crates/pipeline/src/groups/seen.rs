//! What is known of each group from round to round: since when it is not in step, and what was told of it. No I/O.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use group_offsets::{GroupPlan, Outcome};
use kafka_wire::GroupOffsets;

use crate::trouble::{News, Trouble};

/// A group whose offsets do not change is looked at in earnest so often all the same: its lane may be another by then.
const EARNEST: Duration = Duration::from_secs(60);

/// All groups that have offsets for lanes of this instance.
#[derive(Debug, Default)]
pub(super) struct Seen {
    groups: BTreeMap<String, Group>,
    /// Groups that have been, whose series have to go.
    gone: BTreeSet<String>,
    /// Groups that are left out, and of which that was told.
    left_out: BTreeSet<String>,
    /// Why no group can be looked after.
    trouble: Trouble,
    /// That there is none.
    nothing: Trouble,
}

#[derive(Debug)]
struct Group {
    /// When it was last in step; before that, when it was first seen.
    in_step_at: Instant,
    read_again: u64,
    trouble: Trouble,
    settled: Option<Settled>,
}

/// What a group had committed on both sides when all was as it should be.
#[derive(Debug)]
struct Settled {
    at: Instant,
    source: GroupOffsets,
    target: GroupOffsets,
}

impl Seen {
    /// Whether this group is left out for the first time.
    pub(super) fn is_news(&mut self, group: &str) -> bool {
        self.left_out.insert(group.to_owned())
    }

    /// Why no group can be looked after, if that is so.
    pub(super) fn trouble(&mut self, trouble: Option<String>) -> News {
        self.trouble.news(trouble)
    }

    /// Whether there is no group at all.
    pub(super) fn nothing(&mut self, nothing: bool) -> News {
        let words = "no group of the source matches groups.include, as far as may be seen; a group is seen by who may \
                     DESCRIBE it";
        self.nothing.news(nothing.then(|| words.to_owned()))
    }

    /// Only these groups are there.
    pub(super) fn keep(&mut self, there: &BTreeSet<String>) {
        let gone: Vec<String> = self.groups.keys().filter(|group| !there.contains(*group)).cloned().collect();
        for group in gone {
            self.groups.remove(&group);
            self.gone.insert(group);
        }
    }

    /// How much the group would read again.
    pub(super) fn read_again(&mut self, group: &str, offsets: u64) {
        self.group(group).read_again = offsets;
    }

    /// Whether a group has the offsets with which all was as it should be, in a round that began then: its marks need not
    /// be looked at.
    pub(super) fn is_settled(
        &mut self,
        began: Instant,
        group: &str,
        source: &GroupOffsets,
        target: &GroupOffsets,
    ) -> bool {
        let known = self.group(group);
        let settled = known.settled.as_ref().is_some_and(|settled| {
            settled.at.elapsed() < EARNEST && same(&settled.source, source) && same(&settled.target, target)
        });
        if settled {
            known.in_step_at = began;
        }
        settled
    }

    /// What a group has is as it should be.
    pub(super) fn settle(&mut self, group: &str, source: &GroupOffsets, target: &GroupOffsets) {
        let settled = Settled { at: Instant::now(), source: source.clone(), target: target.clone() };
        self.group(group).settled = Some(settled);
    }

    /// What came of a group in a round that began then.
    pub(super) fn note(&mut self, began: Instant, plan: &GroupPlan) -> News {
        let known = self.group(&plan.group);
        if plan.is_in_step() {
            known.in_step_at = began;
        }
        known.trouble.news(trouble(plan))
    }

    fn group(&mut self, group: &str) -> &mut Group {
        self.gone.remove(group);
        self.groups.entry(group.to_owned()).or_insert_with(|| Group {
            in_step_at: Instant::now(),
            read_again: 0,
            trouble: Trouble::default(),
            settled: None,
        })
    }

    /// Each group, for how long it has not been in step, and how much it would read again.
    pub(super) fn groups(&self) -> impl Iterator<Item = (&str, Duration, u64)> {
        self.groups.iter().map(|(name, group)| (&**name, group.in_step_at.elapsed(), group.read_again))
    }

    /// Groups that are there no more.
    pub(super) fn gone(&self) -> impl Iterator<Item = &str> {
        self.gone.iter().map(String::as_str)
    }
}

/// Whether the same offsets are committed.
fn same(one: &GroupOffsets, other: &GroupOffsets) -> bool {
    let offset = |of: &Result<kafka_wire::Committed, _>| of.as_ref().ok().map(|committed| committed.offset);
    let pairs = |of: &GroupOffsets| -> Vec<_> {
        of.iter().map(|(at, committed)| (at.clone(), offset(committed))).collect()
    };
    pairs(one) == pairs(other)
}

/// Why a group's offsets are not committed: the first reason of however many partitions.
fn trouble(plan: &GroupPlan) -> Option<String> {
    let stuck =
        plan.partitions.iter().find(|step| matches!(step.outcome, Outcome::Refused | Outcome::Failed)).map(
            |step| {
                let reason = step.reason.as_deref().unwrap_or("no reason is given");
                format!("{}[{}]: {reason}", step.topic, step.partition)
            },
        );
    plan.trouble.clone().or(stuck)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failed(group: &str) -> GroupPlan {
        GroupPlan { trouble: Some("no right".to_owned()), ..GroupPlan::new(group) }
    }

    #[test]
    fn trouble_is_told_once_and_so_is_its_end() {
        let mut seen = Seen::default();
        let now = Instant::now();
        let told = || Some(Some("no right".to_owned()));
        assert_eq!(seen.note(now, &GroupPlan::new("g")), None);
        assert_eq!(seen.note(now, &failed("g")), None, "it may be over soon");
        assert_eq!(seen.note(now, &GroupPlan::new("g")), None, "and then it was none");
        assert_eq!(seen.note(now, &failed("g")), None);
        assert_eq!(seen.note(now, &failed("g")), told());
        assert_eq!(seen.note(now, &failed("g")), None);
        assert_eq!(seen.note(now, &failed("h")), None);
        assert_eq!(seen.note(now, &failed("h")), told(), "each group's");
        assert_eq!(seen.note(now, &GroupPlan::new("g")), Some(None));
        assert_eq!(seen.note(now, &GroupPlan::new("g")), None);
        assert_eq!(seen.trouble(None), None);
        assert_eq!(seen.trouble(Some("gone".to_owned())), None);
        assert_eq!(seen.trouble(Some("still gone".to_owned())), Some(Some("still gone".to_owned())));
        assert_eq!(seen.trouble(Some("gone".to_owned())), None);
        assert!(seen.is_news("share") && !seen.is_news("share"));
    }

    #[test]
    fn staleness_grows_from_the_last_round_in_which_it_was_in_step() {
        let mut seen = Seen::default();
        let ago = |seconds| Instant::now().checked_sub(Duration::from_secs(seconds)).unwrap();
        let staleness = |seen: &Seen| seen.groups().next().unwrap().1.as_secs();
        seen.note(ago(30), &GroupPlan::new("g"));
        assert!((30..35).contains(&staleness(&seen)));
        seen.note(ago(20), &failed("g"));
        assert!((30..35).contains(&staleness(&seen)), "that was no round in which it was in step");
        seen.note(ago(10), &GroupPlan::new("g"));
        assert!((10..15).contains(&staleness(&seen)));
        // One that was never in step counts from when it was first seen.
        seen.note(ago(50), &failed("h"));
        assert!(seen.groups().nth(1).unwrap().1.as_secs() < 5);
    }

    #[test]
    fn a_group_is_settled_as_long_as_no_offset_changes() {
        let offsets = |offset| -> GroupOffsets {
            let committed = kafka_wire::Committed { offset, leader_epoch: -1, metadata: String::new() };
            [(("t".into(), 0), Ok(committed))].into()
        };
        let mut seen = Seen::default();
        let now = Instant::now();
        assert!(!seen.is_settled(now, "g", &offsets(5), &offsets(5)));
        seen.settle("g", &offsets(5), &offsets(5));
        assert!(seen.is_settled(now, "g", &offsets(5), &offsets(5)));
        assert!(!seen.is_settled(now, "g", &offsets(6), &offsets(5)));
        assert!(!seen.is_settled(now, "g", &offsets(5), &offsets(4)));
        assert!(!seen.is_settled(now, "g", &offsets(5), &GroupOffsets::new()));
        assert!(!seen.is_settled(now, "h", &offsets(5), &offsets(5)), "each group's");
    }

    #[test]
    fn a_group_that_is_gone_is_forgotten_and_may_come_back() {
        let mut seen = Seen::default();
        seen.note(Instant::now(), &GroupPlan::new("g"));
        seen.read_again("g", 7);
        assert_eq!(seen.groups().map(|(name, _, again)| (name, again)).collect::<Vec<_>>(), [("g", 7)]);
        seen.keep(&BTreeSet::new());
        assert_eq!((seen.groups().count(), seen.gone().collect::<Vec<_>>()), (0, vec!["g"]));
        seen.note(Instant::now(), &GroupPlan::new("g"));
        assert_eq!((seen.groups().count(), seen.gone().count()), (1, 0));
    }
}
