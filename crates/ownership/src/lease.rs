//! Whether this instance can still be the owner of what it was given.

use std::{
    sync::{
        Arc,
        atomic::{
            AtomicBool, AtomicU64,
            Ordering::{Acquire, Release},
        },
    },
    time::Duration,
};

use crate::clock::Moment;

/// What is left of a session, or of a rebalance, when the lease ends: for the clocks of two machines that do not go
/// equally fast, and for who has to stop then.
const MARGIN: u32 = 5;

/// Says at any time, without waiting, whether the group can't have given this instance's slots to another. Clones are
/// the same lease.
#[derive(Debug, Clone)]
pub struct Lease(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    /// Until when, in the clock's nanoseconds.
    until: AtomicU64,
    slots: Box<[AtomicBool]>,
}

impl Lease {
    pub(crate) fn new(slots: i32) -> Self {
        let slots = (0..slots.max(0)).map(|_| AtomicBool::new(false)).collect();
        Self(Arc::new(Inner { until: AtomicU64::new(0), slots }))
    }

    /// Whether this instance is certainly still a member of the group's generation that it knows of.
    pub fn is_held(&self) -> bool {
        !self.remaining().is_zero()
    }

    /// Whether that is so, and the slot is this instance's: gained, and neither released nor lost. Who was told of a
    /// loss late, when the lease is held again for other slots, does not take that one for its own.
    pub fn holds(&self, slot: i32) -> bool {
        self.slot(slot).is_some_and(|held| held.load(Acquire)) && self.is_held()
    }

    /// For how long it is held if nothing more is heard of the coordinator; zero if it is not held.
    pub fn remaining(&self) -> Duration {
        Moment::from_nanos(self.0.until.load(Acquire)).remaining()
    }

    pub(crate) fn hold_until(&self, until: Moment) {
        self.0.until.store(until.to_nanos(), Release);
    }

    pub(crate) fn set(&self, slots: &[i32], held: bool) {
        for slot in slots.iter().filter_map(|slot| self.slot(*slot)) {
            slot.store(held, Release);
        }
    }

    /// It is over, whatever the time.
    pub(crate) fn revoke(&self) {
        self.hold_until(Moment::default());
        self.0.slots.iter().for_each(|slot| slot.store(false, Release));
    }

    fn slot(&self, slot: i32) -> Option<&AtomicBool> {
        self.0.slots.get(usize::try_from(slot).ok()?)
    }
}

/// What is known of this member's standing with the coordinator, and so until when the lease is held.
#[derive(Debug)]
pub(crate) struct Standing {
    session: Duration,
    rebalance: Duration,
    /// When the last request was sent that was answered as a member's is: the session begins anew when it arrives.
    alive: Moment,
    /// When the last was sent whose answer shows that nobody waited for us: a rebalance, or the wait for the members
    /// to get their assignments, ends without us no sooner than its timeout after that.
    settled: Moment,
}

impl Standing {
    pub fn new(session: Duration, rebalance: Duration) -> Self {
        Self { session, rebalance, alive: Moment::default(), settled: Moment::default() }
    }

    /// A heartbeat that was answered well while the group waits for us to join, or to ask for our assignment.
    pub fn alive(&mut self, sent: Moment) {
        self.alive = self.alive.max(sent);
    }

    /// A request that was answered well, in a generation that we have our assignment of.
    pub fn settled(&mut self, sent: Moment) {
        self.alive(sent);
        self.settled = self.settled.max(sent);
    }

    /// A join that was answered: a new generation has begun. It began behind all that was answered in the last one.
    pub fn joined(&mut self, sent: Moment) {
        self.alive(sent);
        self.settled = self.alive;
    }

    /// It is no member any more, as far as is known.
    pub fn forget(&mut self) {
        (self.alive, self.settled) = (Moment::default(), Moment::default());
    }

    pub fn until(&self) -> Moment {
        let most = |timeout: Duration| timeout - timeout / MARGIN;
        self.alive.plus(most(self.session)).min(self.settled.plus(most(self.rebalance)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_lease_ends_by_itself() {
        let lease = Lease::new(4);
        assert!(!lease.is_held() && !lease.holds(1));
        lease.set(&[1, 7, -1], true);
        assert!(!lease.holds(1));
        lease.hold_until(Moment::now().plus(Duration::from_millis(20)));
        let held = lease.is_held() && lease.holds(1) && !lease.holds(0) && !lease.holds(7);
        assert!(held || Moment::now() > Moment::from_nanos(lease.0.until.load(Acquire)));
        std::thread::sleep(Duration::from_millis(25));
        assert!(!lease.is_held() && !lease.holds(1), "nobody has touched it");
        lease.hold_until(Moment::now().plus(60 * SECOND));
        assert!(lease.holds(1), "it goes on where another answer has come");
        lease.revoke();
        assert!(!lease.is_held());
        lease.hold_until(Moment::now().plus(60 * SECOND));
        assert!(lease.is_held() && !lease.holds(1), "what was lost stays lost");
    }

    #[test]
    fn it_is_measured_from_what_was_sent() {
        let at = |seconds: u32| Moment::default().plus(seconds * SECOND);
        let mut standing = Standing::new(10 * SECOND, 60 * SECOND);
        standing.settled(at(100));
        assert_eq!(standing.until(), at(108));
        standing.settled(at(99));
        assert_eq!(standing.until(), at(108), "an answer that was overtaken");
        // A rebalance that we are known to be alive in, and may be left out of in the end.
        standing.alive(at(140));
        assert_eq!(standing.until(), at(148));
        standing.alive(at(147));
        assert_eq!(standing.until(), at(148));
        // It was not: the new generation began behind the last heartbeat in the old one.
        standing.joined(at(101));
        assert_eq!(standing.until(), at(155));
        // Whoever does not ask for an assignment is removed, however alive.
        standing.alive(at(194));
        assert_eq!(standing.until(), at(195));
        standing.settled(at(195));
        assert_eq!(standing.until(), at(203));
    }
}
