//! Who gets which slot: worked out by the group's leader from what all members claim. Pure.
//!
//! Balanced: in the end no member has more than one slot more than another. Sticky: as few slots move as that takes,
//! and none where it takes none. In two steps: what a member still holds is given to nobody else, but its owner is
//! told to give it up; what nobody holds is given out at once.

use std::collections::{BTreeMap, BTreeSet};

/// What a member says when it joins.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Claim {
    /// The slots it holds and goes on with.
    pub owned: BTreeSet<i32>,
    /// The slots it holds and is about to release.
    pub leaving: BTreeSet<i32>,
    /// The last generation that it got its slots in, -1 for none. Of two that claim the same, the higher one counts.
    pub generation: i32,
    /// It will leave, and wants nothing.
    pub departing: bool,
}

/// What a member is told.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Share {
    /// The slots it has.
    pub slots: BTreeSet<i32>,
    /// The slots that it holds, by its claim, and must release. What it holds and is told nothing of is another's.
    pub give_up: BTreeSet<i32>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Plan {
    pub shares: BTreeMap<String, Share>,
    /// No slot is held back: this is how it stays until somebody comes or goes.
    pub settled: bool,
}

impl Claim {
    fn has(&self, slot: i32) -> bool {
        self.owned.contains(&slot) || self.leaving.contains(&slot)
    }
}

/// Who holds a slot.
enum Holder<'a> {
    Nobody,
    /// Several say that they have it since the same generation, which can't be: nobody may go on with it.
    Unclear,
    Member(&'a str),
}

fn holder(slot: i32, claims: &BTreeMap<String, Claim>) -> Holder<'_> {
    let mut holder = (Holder::Nobody, i32::MIN);
    for (id, claim) in claims.iter().filter(|(_, claim)| claim.has(slot)) {
        if claim.generation > holder.1 {
            holder = (Holder::Member(id), claim.generation);
        } else if claim.generation == holder.1 {
            holder.0 = Holder::Unclear;
        }
    }
    holder.0
}

/// Gives out slots 0 to `slots` - 1.
pub(crate) fn assign(slots: i32, claims: &BTreeMap<String, Claim>) -> Plan {
    let mut shares: BTreeMap<&str, Share> = claims.keys().map(|id| (&**id, Share::default())).collect();
    let (mut free, mut settled) = (Vec::new(), true);
    for slot in 0..slots {
        match holder(slot, claims) {
            Holder::Nobody => free.push(slot),
            Holder::Unclear => settled = false,
            Holder::Member(id) => {
                let (claim, share) = (&claims[id], shares.entry(id).or_default());
                let stays = claim.owned.contains(&slot) && !claim.departing;
                if stays {
                    share.slots.insert(slot)
                } else {
                    share.give_up.insert(slot)
                };
            }
        }
    }
    let quotas = quotas(slots, claims, &shares);
    for (id, share) in &mut shares {
        while share.slots.len() > quotas[id] {
            share.give_up.extend(share.slots.pop_last());
        }
    }
    for slot in free {
        let room = shares.iter_mut().filter(|(id, share)| share.slots.len() < quotas[*id]);
        // Where all are about to leave there is nobody to take it.
        if let Some((_, share)) = room.min_by_key(|(_, share)| share.slots.len()) {
            share.slots.insert(slot);
        }
    }
    settled &= shares.values().all(|share| share.give_up.is_empty());
    let shares = shares.into_iter().map(|(id, share)| (id.to_owned(), share)).collect();
    Plan { shares, settled }
}

/// How many slots each is to have in the end. Where they can't be equal, those who have most have one more.
fn quotas<'a>(
    slots: i32,
    claims: &BTreeMap<String, Claim>,
    shares: &BTreeMap<&'a str, Share>,
) -> BTreeMap<&'a str, usize> {
    let slots = usize::try_from(slots).unwrap_or(0);
    let (mut staying, departing): (Vec<&str>, Vec<&str>) =
        shares.keys().copied().partition(|id| !claims[*id].departing);
    staying.sort_by_key(|id| std::cmp::Reverse(shares[id].slots.len()));
    let (each, more) = match staying.len() {
        0 => (0, 0),
        members => (slots / members, slots % members),
    };
    let quota = |(n, id)| (id, each + usize::from(n < more));
    staying.into_iter().enumerate().map(quota).chain(departing.into_iter().map(|id| (id, 0))).collect()
}

/// A leader's memory. A join that was given up and arrives late (a connection that hung, a broker that slept) makes
/// the group go on without asking its member, who claims in it what it had long ago. So a member who seems not to know
/// of the last generation is taken to hold what it was given there.
#[derive(Debug, Default)]
pub(crate) struct Leader {
    last: Option<(i32, BTreeMap<String, Share>)>,
}

impl Leader {
    pub fn plan(&mut self, generation: i32, slots: i32, mut claims: BTreeMap<String, Claim>) -> Plan {
        // What others have led since then is not known.
        if let Some((last, shares)) =
            self.last.take().filter(|(last, _)| last.checked_add(1) == Some(generation))
        {
            for (id, claim) in claims.iter_mut().filter(|(_, claim)| claim.generation < last) {
                if let Some(share) = shares.get(id) {
                    claim.owned.extend(share.slots.difference(&claim.leaving).copied().collect::<Vec<_>>());
                    claim.leaving.extend(share.give_up.difference(&claim.owned).copied().collect::<Vec<_>>());
                }
            }
        }
        let plan = assign(slots, &claims);
        self.last = Some((generation, plan.shares.clone()));
        plan
    }
}

#[cfg(test)]
mod tests;
