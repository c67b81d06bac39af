//! What this instance has, and what an assignment changes about it. Pure.

use std::collections::{BTreeMap, BTreeSet};

use crate::assignor::{Claim, Share};

#[derive(Debug)]
pub(crate) struct Holdings {
    owned: BTreeSet<i32>,
    /// What is to be released, together as it was told.
    leaving: BTreeMap<u64, BTreeSet<i32>>,
    next: u64,
    /// The generation of the last assignment.
    generation: i32,
}

/// What an assignment means.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Changes {
    pub gained: Vec<i32>,
    /// To be released, under this number.
    pub leaving: Option<(u64, Vec<i32>)>,
    pub lost: Vec<i32>,
    /// The group waits for this member to release something, so that it has to join again when it has.
    pub again: bool,
}

impl Holdings {
    pub fn new() -> Self {
        Self { owned: BTreeSet::new(), leaving: BTreeMap::new(), next: 0, generation: -1 }
    }

    pub fn is_empty(&self) -> bool {
        self.owned.is_empty() && self.leaving.is_empty()
    }

    pub fn is_leaving(&self) -> bool {
        !self.leaving.is_empty()
    }

    /// What to say when joining.
    pub fn claim(&self, departing: bool) -> Claim {
        let leaving = self.leaving.values().flatten().copied().collect();
        Claim { owned: self.owned.clone(), leaving, generation: self.generation, departing }
    }

    /// The assignment of a new generation. `claimed` is what was said when joining it, which may be more than there
    /// is by now. Who is `departing` takes nothing new.
    pub fn assigned(&mut self, share: &Share, generation: i32, claimed: &Claim, departing: bool) -> Changes {
        self.generation = generation;
        let mut changes = Changes::default();
        let foreign = |slot: &i32| !share.slots.contains(slot) && !share.give_up.contains(slot);
        changes.lost.extend(self.owned.iter().copied().filter(foreign));
        for batch in self.leaving.values_mut() {
            changes.lost.extend(batch.iter().copied().filter(foreign));
            batch.retain(|slot| !foreign(slot));
        }
        self.leaving.retain(|_, batch| !batch.is_empty());
        changes.lost.sort_unstable();
        let give_up: BTreeSet<i32> = self.owned.intersection(&share.give_up).copied().collect();
        self.owned.retain(|slot| share.slots.contains(slot));
        if !give_up.is_empty() {
            changes.leaving = Some(self.leave(give_up));
        }
        let held = self.claim(false);
        let new =
            share.slots.iter().filter(|slot| !held.owned.contains(slot) && !held.leaving.contains(slot));
        if !departing {
            changes.gained = new.copied().collect();
            self.owned.extend(&changes.gained);
        }
        let mut said = claimed.owned.union(&claimed.leaving);
        // What is leaving can't be taken back; who gives it to us does not know yet that it is.
        changes.again = !share.give_up.is_empty()
            || said.any(|slot| !share.slots.contains(slot))
            || held.leaving.iter().any(|slot| share.slots.contains(slot));
        changes
    }

    /// All of it is to be released; `None` if there is nothing.
    pub fn leave_all(&mut self) -> Option<(u64, Vec<i32>)> {
        let owned = std::mem::take(&mut self.owned);
        (!owned.is_empty()).then(|| self.leave(owned))
    }

    fn leave(&mut self, slots: BTreeSet<i32>) -> (u64, Vec<i32>) {
        let number = self.next;
        self.next += 1;
        let told = slots.iter().copied().collect();
        self.leaving.insert(number, slots);
        (number, told)
    }

    /// What was told under this number is released; what of it has not been lost.
    pub fn released(&mut self, number: u64) -> Vec<i32> {
        self.leaving.remove(&number).unwrap_or_default().into_iter().collect()
    }

    /// Nothing is ours any more; what was.
    pub fn lose_all(&mut self) -> Vec<i32> {
        self.generation = -1;
        let mut all = std::mem::take(&mut self.owned);
        all.extend(std::mem::take(&mut self.leaving).into_values().flatten());
        all.into_iter().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn share(slots: &[i32], give_up: &[i32]) -> Share {
        Share { slots: slots.iter().copied().collect(), give_up: give_up.iter().copied().collect() }
    }

    fn assigned(holdings: &mut Holdings, slots: &[i32], give_up: &[i32], generation: i32) -> Changes {
        let claim = holdings.claim(false);
        holdings.assigned(&share(slots, give_up), generation, &claim, false)
    }

    #[test]
    fn a_slot_comes_and_goes_in_two_steps() {
        let mut holdings = Holdings::new();
        assert_eq!(holdings.claim(false), Claim { generation: -1, ..Claim::default() });
        let changes = assigned(&mut holdings, &[0, 1, 2], &[], 1);
        assert_eq!(changes, Changes { gained: vec![0, 1, 2], ..Changes::default() });
        assert_eq!(assigned(&mut holdings, &[0, 1, 2], &[], 2), Changes::default(), "nothing has changed");

        let changes = assigned(&mut holdings, &[0, 1], &[2], 3);
        assert_eq!(changes, Changes { leaving: Some((0, vec![2])), again: true, ..Changes::default() });
        let claim = holdings.claim(false);
        assert_eq!((claim.owned, claim.leaving, claim.generation), ([0, 1].into(), [2].into(), 3));
        // Somebody else comes while it is on its way.
        let changes = assigned(&mut holdings, &[0], &[1, 2], 4);
        assert_eq!(changes, Changes { leaving: Some((1, vec![1])), again: true, ..Changes::default() });
        assert_eq!((holdings.released(0), holdings.is_leaving()), (vec![2], true));
        assert_eq!((holdings.released(1), holdings.is_leaving()), (vec![1], false));
        assert_eq!(assigned(&mut holdings, &[0], &[], 5), Changes::default());
    }

    #[test]
    fn what_nobody_says_anything_of_is_lost() {
        let mut holdings = Holdings::new();
        assigned(&mut holdings, &[0, 1, 2, 3], &[], 1);
        assigned(&mut holdings, &[0, 1], &[2, 3], 2);
        let changes = assigned(&mut holdings, &[0], &[2], 3);
        assert_eq!(changes, Changes { lost: vec![1, 3], again: true, ..Changes::default() });
        assert_eq!(holdings.released(0), [2], "what was lost is not released");
        assert_eq!(holdings.lose_all(), [0]);
        assert!(holdings.is_empty() && holdings.claim(false).generation == -1);
    }

    #[test]
    fn what_was_claimed_and_is_gone_is_joined_for_again() {
        let mut holdings = Holdings::new();
        assigned(&mut holdings, &[0, 1], &[], 1);
        assigned(&mut holdings, &[0], &[1], 2);
        let claim = holdings.claim(false);
        holdings.released(0);
        let changes = holdings.assigned(&share(&[0], &[1]), 3, &claim, false);
        assert_eq!(changes, Changes { again: true, ..Changes::default() });
        // The leader can't have known that all was lost in the meantime: it is given anew.
        let claim = holdings.claim(false);
        assert_eq!(holdings.lose_all(), [0]);
        let changes = holdings.assigned(&share(&[0], &[]), 4, &claim, false);
        assert_eq!(changes, Changes { gained: vec![0], ..Changes::default() });
    }

    #[test]
    fn who_departs_takes_nothing() {
        let mut holdings = Holdings::new();
        assigned(&mut holdings, &[0, 1], &[], 1);
        let claim = holdings.claim(false);
        assert_eq!(holdings.leave_all(), Some((0, vec![0, 1])));
        assert_eq!(holdings.leave_all(), None);
        let changes = holdings.assigned(&share(&[0, 1, 2], &[]), 2, &claim, true);
        assert_eq!(changes, Changes { again: true, ..Changes::default() });
        let claim = holdings.claim(true);
        assert_eq!((claim.owned.len(), claim.leaving, claim.departing), (0, [0, 1].into(), true));
        holdings.released(0);
        assert!(holdings.is_empty());
    }
}
