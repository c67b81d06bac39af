//! Properties of the assignor, and of groups that go by it.

use proptest::prelude::*;

use super::*;
use crate::holdings::Holdings;

fn claim(owned: &[i32], leaving: &[i32], generation: i32) -> Claim {
    let set = |slots: &[i32]| slots.iter().copied().collect();
    Claim { owned: set(owned), leaving: set(leaving), generation, departing: false }
}

fn group(claims: impl IntoIterator<Item = (&'static str, Claim)>) -> BTreeMap<String, Claim> {
    claims.into_iter().map(|(id, claim)| (id.to_owned(), claim)).collect()
}

fn slots(plan: &Plan, id: &str) -> Vec<i32> {
    plan.shares[id].slots.iter().copied().collect()
}

fn give_up(plan: &Plan, id: &str) -> Vec<i32> {
    plan.shares[id].give_up.iter().copied().collect()
}

#[test]
fn a_slot_moves_in_two_steps() {
    let plan = assign(5, &group([("a", claim(&[0, 1, 2, 3, 4], &[], 3)), ("b", claim(&[], &[], -1))]));
    assert_eq!((slots(&plan, "a"), give_up(&plan, "a")), (vec![0, 1, 2], vec![3, 4]));
    assert!(slots(&plan, "b").is_empty() && !plan.settled, "{plan:?}");
    // It is still at it when somebody else comes.
    let plan = assign(5, &group([("a", claim(&[0, 1, 2], &[3], 4)), ("b", claim(&[], &[], 4))]));
    assert_eq!((slots(&plan, "a"), give_up(&plan, "a")), (vec![0, 1, 2], vec![3]));
    assert!(slots(&plan, "b") == [4] && !plan.settled, "{plan:?}");
    let plan = assign(5, &group([("a", claim(&[0, 1, 2], &[], 5)), ("b", claim(&[4], &[], 5))]));
    assert!(slots(&plan, "a") == [0, 1, 2] && slots(&plan, "b") == [3, 4] && plan.settled, "{plan:?}");
}

#[test]
fn of_two_who_claim_a_slot_the_later_one_has_it() {
    let plan = assign(2, &group([("a", claim(&[0, 1], &[], 3)), ("b", claim(&[1], &[], 7))]));
    assert!(slots(&plan, "a") == [0] && slots(&plan, "b") == [1] && plan.settled, "{plan:?}");
    assert!(give_up(&plan, "a").is_empty(), "it is not asked to release what it has not");
    let plan = assign(2, &group([("a", claim(&[0, 1], &[], 7)), ("b", claim(&[1], &[], 7))]));
    assert!(slots(&plan, "a") == [0] && slots(&plan, "b").is_empty() && !plan.settled, "{plan:?}");
}

#[test]
fn who_departs_gets_nothing() {
    let leaving = Claim { departing: true, ..claim(&[0], &[1], 3) };
    let plan = assign(3, &group([("a", leaving.clone())]));
    assert!(slots(&plan, "a").is_empty() && give_up(&plan, "a") == [0, 1] && !plan.settled, "{plan:?}");
    let plan = assign(3, &group([("a", leaving), ("b", claim(&[], &[], -1))]));
    assert_eq!(slots(&plan, "b"), [2]);
}

#[test]
fn a_late_join_of_long_ago_costs_nobody_his_slots() {
    let mut leader = Leader::default();
    let stale = claim(&[], &[], -1);
    leader.plan(1, 4, group([("a", stale.clone()), ("b", stale.clone())]));
    let plan =
        leader.plan(2, 4, group([("a", stale.clone()), ("b", claim(&[1, 3], &[], 1)), ("c", stale.clone())]));
    assert!(
        slots(&plan, "c").is_empty() && slots(&plan, "a") == [0, 2] && give_up(&plan, "b") == [3],
        "{plan:?}"
    );
    // What another leader has done in between is not known.
    let plan = leader.plan(4, 4, group([("a", stale.clone()), ("c", stale)]));
    assert!(slots(&plan, "a") == [0, 2] && slots(&plan, "c") == [1, 3], "{plan:?}");
}

fn claims() -> impl Strategy<Value = (i32, BTreeMap<String, Claim>)> {
    let one = (any::<u32>(), any::<u32>(), -1..4i32, prop::bool::weighted(0.1));
    (1..25i32, prop::collection::vec(one, 1..7)).prop_map(|(slots, members)| {
        let bits = |bits: u32| (0..slots).filter(|slot| bits & 1 << slot != 0).collect::<BTreeSet<_>>();
        let claim = |(owned, leaving, generation, departing): (u32, u32, i32, bool)| {
            let leaving = &bits(leaving) & &bits(owned.rotate_left(7));
            Claim { owned: &bits(owned) - &leaving, leaving, generation, departing }
        };
        let members = members.into_iter().enumerate();
        (slots, members.map(|(n, member)| (format!("m{n}"), claim(member))).collect())
    })
}

/// Claims as they are where all goes well: nobody claims what another has.
fn honest() -> impl Strategy<Value = (i32, BTreeMap<String, Claim>)> {
    (1..40i32, 1..7usize).prop_flat_map(|(slots, members)| {
        let holder = 0..members + 1;
        let each = prop::collection::vec((holder, prop::bool::weighted(0.2)), slots as usize);
        each.prop_map(move |holders| {
            let mut claims: BTreeMap<_, _> =
                (0..members).map(|n| (format!("m{n}"), claim(&[], &[], 3))).collect();
            for (slot, (holder, leaving)) in (0..).zip(holders) {
                if let Some(claim) = claims.get_mut(&format!("m{holder}")) {
                    if leaving { &mut claim.leaving } else { &mut claim.owned }.insert(slot);
                }
            }
            (slots, claims)
        })
    })
}

/// What the members claim when all is released that is to be.
fn after(plan: &Plan, departing: &BTreeMap<String, Claim>) -> BTreeMap<String, Claim> {
    let next = |(id, share): (&String, &Share)| {
        let departing = departing[id].departing;
        (id.clone(), Claim { owned: share.slots.clone(), generation: 9, departing, ..Claim::default() })
    };
    plan.shares.iter().map(next).collect()
}

fn sizes(plan: &Plan, claims: &BTreeMap<String, Claim>) -> (usize, usize) {
    let staying = plan.shares.iter().filter(|(id, _)| !claims[*id].departing);
    let sizes: Vec<_> = staying.map(|(_, share)| share.slots.len()).collect();
    (sizes.iter().copied().min().unwrap_or(0), sizes.into_iter().max().unwrap_or(0))
}

proptest! {
    #[test]
    fn nobody_is_given_what_another_may_have((slots, claims) in claims()) {
        let plan = assign(slots, &claims);
        prop_assert!(plan.shares.keys().eq(claims.keys()));
        for slot in 0..slots {
            let claimants: Vec<_> = claims.iter().filter(|(_, claim)| claim.has(slot)).collect();
            let newest = claimants.iter().map(|(_, claim)| claim.generation).max();
            let newest: Vec<_> = claimants.iter().filter(|(_, claim)| Some(claim.generation) == newest).collect();
            let given: Vec<_> = plan.shares.iter().filter(|(_, share)| share.slots.contains(&slot)).collect();
            let asked: Vec<_> = plan.shares.iter().filter(|(_, share)| share.give_up.contains(&slot)).collect();
            prop_assert!(given.len() + asked.len() <= 1, "{slot}: {plan:?}");
            match *newest {
                [] => {
                    let anybody = claims.values().any(|claim| !claim.departing);
                    prop_assert!(given.len() == usize::from(anybody) && asked.is_empty(), "free: {slot}: {plan:?}");
                }
                [(holder, claim)] => {
                    prop_assert_eq!(given.first().or(asked.first()).map(|(id, _)| *id), Some(*holder));
                    prop_assert!(asked.len() == 1 || claim.owned.contains(&slot), "what leaves stays gone");
                }
                _ => prop_assert!(given.is_empty() && asked.is_empty()),
            }
        }
        let held_back = plan.shares.values().map(|share| share.slots.len()).sum::<usize>() < slots as usize;
        let anybody = claims.values().any(|claim| !claim.departing);
        prop_assert_eq!(plan.settled, !held_back || (!anybody && claims.values().all(|c| c.owned.is_empty() && c.leaving.is_empty())));
    }

    #[test]
    fn in_two_steps_all_is_given_out_evenly_and_stays((slots, claims) in claims()) {
        let plan = assign(slots, &claims);
        let (_, most) = sizes(&plan, &claims);
        let staying = claims.values().filter(|claim| !claim.departing).count();
        prop_assert!(staying == 0 || most <= (slots as usize).div_ceil(staying));
        let second = assign(slots, &after(&plan, &claims));
        let (least, most) = sizes(&second, &claims);
        let given: usize = second.shares.values().map(|share| share.slots.len()).sum();
        prop_assert!(second.settled && most - least <= 1, "{second:?}");
        prop_assert!(staying == 0 || given == slots as usize, "{second:?}");
        for (id, share) in &plan.shares {
            prop_assert!(share.slots.is_subset(&second.shares[id].slots), "what is given is not taken again");
        }
        prop_assert_eq!(assign(slots, &after(&second, &claims)), second);
    }

    #[test]
    fn as_few_move_as_can_be((slots, claims) in honest()) {
        let plan = assign(slots, &claims);
        let moved: usize = claims.iter().map(|(id, claim)| claim.owned.difference(&plan.shares[id].slots).count()).sum();
        // The best that any choice of who has one more comes to.
        let (members, slots) = (claims.len(), slots as usize);
        let (each, more) = (slots / members, slots % members);
        let choices = (0u32..1 << members).filter(|choice| choice.count_ones() as usize == more);
        let cost = |choice: u32| -> usize {
            let each = claims.values().enumerate().map(|(n, claim)| {
                claim.owned.len().saturating_sub(each + (choice >> n & 1) as usize)
            });
            each.sum()
        };
        prop_assert_eq!(Some(moved), choices.map(cost).min());
    }
}

// === a group, from the coordinator's side ===

/// What may happen to a group, in any order.
#[derive(Debug, Clone)]
enum Event {
    /// Somebody comes.
    Come,
    /// This member releases what it was told to.
    Release(usize),
    /// This one begins to leave.
    Depart(usize),
    /// This one is gone, and its session over.
    Die(usize),
    /// This one hears nothing, loses all by its lease, and joins again as the same.
    Lapse(usize),
    /// A generation, which these hear of. (The others' join has got through, but not the assignment's answer.)
    Rebalance(u8),
    /// A join of this one arrives that was made long ago, and it does not notice in time.
    Late(usize),
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let who = || 0..6usize;
    let event = prop_oneof![
        2 => Just(Event::Come),
        4 => who().prop_map(Event::Release),
        1 => who().prop_map(Event::Depart),
        1 => who().prop_map(Event::Die),
        1 => who().prop_map(Event::Lapse),
        6 => prop_oneof![3 => Just(u8::MAX), 1 => any::<u8>()].prop_map(Event::Rebalance),
        1 => who().prop_map(Event::Late),
    ];
    prop::collection::vec(event, 1..60)
}

struct Member {
    id: String,
    holdings: Holdings,
    departing: bool,
    batches: Vec<u64>,
    /// What it said when it first joined, and when it last did.
    said: Vec<Claim>,
}

struct Model {
    slots: i32,
    generation: i32,
    born: usize,
    members: Vec<Member>,
    /// The members' leaders, by their ids: the first member leads.
    leaders: BTreeMap<String, Leader>,
}

impl Model {
    fn rebalance(&mut self, heard: u8, late: Option<usize>) {
        self.generation += 1;
        let Some(leader) = self.members.first().map(|member| member.id.clone()) else { return };
        // Who leads doesn't miss what it leads.
        let late = late.filter(|late| *late != 0);
        let mut claims = BTreeMap::new();
        for (n, member) in self.members.iter_mut().enumerate() {
            let claim = member.holdings.claim(member.departing);
            let claim = if late == Some(n) { member.said.first().cloned().unwrap_or(claim) } else { claim };
            member.said.push(claim.clone());
            claims.insert(member.id.clone(), claim);
        }
        let plan = self.leaders.entry(leader).or_default().plan(self.generation, self.slots, claims);
        for (n, member) in self.members.iter_mut().enumerate() {
            if late == Some(n) {
                // It goes on for a while, and then hears of a generation that it knows nothing of. See `Event::Late`.
                continue;
            }
            if n == 0 || heard & 1 << n != 0 {
                let claim = member.said.last().expect("it has joined").clone();
                let share = &plan.shares[&member.id];
                let changes = member.holdings.assigned(share, self.generation, &claim, member.departing);
                assert!(changes.lost.is_empty(), "nobody has lost anything: {changes:?}");
                member.batches.extend(changes.leaving.map(|(number, _)| number));
            }
        }
    }

    fn check(&self) {
        for slot in 0..self.slots {
            let held = |member: &&Member| member.holdings.claim(false).has(slot);
            let owners = self.members.iter().filter(held).count();
            assert!(owners <= 1, "slot {slot} has {owners} owners in generation {}", self.generation);
        }
    }

    fn happen(&mut self, event: Event) {
        let count = self.members.len().max(1);
        match event {
            Event::Come if count < 6 => {
                // Ids come in no order.
                let id = format!("{}-{}", (self.born * 7) % 5, self.born);
                self.born += 1;
                let holdings = Holdings::new();
                self.members.push(Member {
                    id,
                    holdings,
                    departing: false,
                    batches: Vec::new(),
                    said: Vec::new(),
                });
            }
            Event::Come => {}
            Event::Release(n) => {
                if let Some(member) = self.members.get_mut(n % count) {
                    for number in member.batches.drain(..) {
                        member.holdings.released(number);
                    }
                    let over = member.departing && member.holdings.is_empty();
                    if over {
                        self.members.remove(n % count);
                    }
                }
            }
            Event::Depart(n) => {
                if let Some(member) = self.members.get_mut(n % count) {
                    member.departing = true;
                    member.batches.extend(member.holdings.leave_all().map(|(number, _)| number));
                }
            }
            Event::Die(n) => {
                if !self.members.is_empty() {
                    self.members.remove(n % count);
                }
            }
            Event::Lapse(n) => {
                if let Some(member) = self.members.get_mut(n % count) {
                    member.holdings.lose_all();
                    member.batches.clear();
                }
            }
            Event::Rebalance(heard) => self.rebalance(heard, None),
            Event::Late(n) => {
                // The leader has to be the one who has led the last generation: no memory is without limits.
                self.rebalance(u8::MAX, None);
                self.rebalance(u8::MAX, Some(n % count));
                self.check();
                if let Some(member) = self.members.get_mut(n % count).filter(|_| n % count != 0) {
                    member.holdings.lose_all();
                    member.batches.clear();
                }
            }
        }
    }
}

proptest! {
    #[test]
    fn a_group_never_gives_a_slot_to_two(slots in 1..20i32, events in events()) {
        let mut model =
            Model { slots, generation: 0, born: 0, members: Vec::new(), leaders: BTreeMap::new() };
        for event in events {
            model.happen(event);
            model.check();
        }
        // Left alone, it comes to rest with everything given out.
        model.members.retain(|member| !member.departing);
        for _ in 0..2 {
            model.rebalance(u8::MAX, None);
            (0..6).for_each(|n| model.happen(Event::Release(n)));
        }
        model.rebalance(u8::MAX, None);
        model.check();
        let sizes: Vec<_> = model.members.iter().map(|member| member.holdings.claim(false).owned.len()).collect();
        if let (Some(least), Some(most)) = (sizes.iter().min(), sizes.iter().max()) {
            prop_assert!(sizes.iter().sum::<usize>() == slots as usize && most - least <= 1, "{:?}", sizes);
        }
    }
}
