//! Who may hold how many bytes of the link's buffer.
//!
//! Every piece of a lane carries a [`Credit`] from the moment it leaves the source client until the target
//! has acknowledged it (or it is dropped); so the sum of all credits is what the link holds in memory.
//!
//! Half of the buffer is shared: a lane may hold up to `SHARE` times what is free of it (the dynamic
//! threshold of shared-memory switches, Choudhury and Hahne 1998). The other half is set aside in equal
//! parts, one a lane. So a lane alone uses half the buffer, and however many lanes hang on a dead
//! partition, every other lane still has its part.

use std::{
    sync::{
        Arc, Condvar, Mutex,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

const SHARE: u64 = 4;

/// The link's buffer.
#[derive(Debug)]
pub struct Budget {
    limit: u64,
    used: AtomicU64,
    lanes: AtomicU64,
    released: (Mutex<()>, Condvar),
}

/// One lane's account with the budget.
#[derive(Debug)]
pub struct LaneCredit {
    budget: Arc<Budget>,
    used: Arc<AtomicU64>,
}

/// Bytes of the budget, given back when dropped.
#[derive(Debug)]
pub struct Credit {
    budget: Arc<Budget>,
    lane: Arc<AtomicU64>,
    bytes: u64,
}

/// Why a lane gets no credit now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Denied {
    /// The whole buffer is in use: the target is slower than the source.
    BufferFull,
    /// This lane has its share in use, while others could go on.
    LaneFull,
}

impl Budget {
    /// A buffer of `limit` bytes.
    pub fn new(limit: u64) -> Arc<Self> {
        Arc::new(Self {
            limit,
            used: AtomicU64::new(0),
            lanes: AtomicU64::new(0),
            released: Default::default(),
        })
    }

    /// An account for one more lane.
    pub fn lane(self: &Arc<Self>) -> LaneCredit {
        self.lanes.fetch_add(1, Relaxed);
        LaneCredit { budget: self.clone(), used: Arc::default() }
    }

    /// Bytes in use.
    pub fn used(&self) -> u64 {
        self.used.load(Relaxed)
    }

    /// Bytes there are.
    pub fn limit(&self) -> u64 {
        self.limit
    }

    /// The part of the buffer that is set aside for each lane: a good upper size for one piece.
    pub fn part(&self) -> u64 {
        self.limit / 2 / self.lanes.load(Relaxed).max(1)
    }

    /// Bytes not in use.
    pub fn free(&self) -> u64 {
        self.limit.saturating_sub(self.used())
    }

    /// Waits until some credit is given back, or `timeout`.
    pub fn wait(&self, timeout: Duration) {
        let guard = self.released.0.lock().expect("nothing panics under this lock");
        let _ = self.released.1.wait_timeout(guard, timeout);
    }
}

impl LaneCredit {
    /// Takes `bytes` of the budget. Where nothing is held any number of bytes may be taken: progress is
    /// never denied, so a record larger than the buffer still passes, alone. Nothing is always there to be taken.
    pub fn take(&self, bytes: u64) -> Result<Credit, Denied> {
        let (lane, all) = (self.used.load(Relaxed), self.budget.used.load(Relaxed));
        if bytes > 0 && lane > 0 && lane + bytes > self.allowance(all) {
            return Err(Denied::LaneFull);
        }
        if bytes > 0 && all > 0 && all + bytes > self.budget.limit {
            return Err(Denied::BufferFull);
        }
        Ok(self.take_what_came(bytes))
    }

    /// Takes what has come already: what is asked for goes by [`room`](Self::room), so there is hardly more.
    pub fn take_what_came(&self, bytes: u64) -> Credit {
        self.budget.used.fetch_add(bytes, Relaxed);
        self.used.fetch_add(bytes, Relaxed);
        Credit { budget: self.budget.clone(), lane: self.used.clone(), bytes }
    }

    /// Bytes that it may take now, as far as others do not take them first.
    pub fn room(&self) -> u64 {
        let (lane, all) = (self.used.load(Relaxed), self.budget.used.load(Relaxed));
        self.allowance(all).saturating_sub(lane).min(self.budget.limit.saturating_sub(all))
    }

    /// The link's buffer.
    pub fn budget(&self) -> &Budget {
        &self.budget
    }

    /// Bytes this lane holds.
    pub fn used(&self) -> u64 {
        self.used.load(Relaxed)
    }

    fn allowance(&self, all: u64) -> u64 {
        let shared = (self.budget.limit / 2).saturating_sub(all);
        self.budget.part().max(shared.saturating_mul(SHARE))
    }
}

impl Drop for LaneCredit {
    fn drop(&mut self) {
        self.budget.lanes.fetch_sub(1, Relaxed);
    }
}

// === impl Credit ===

impl Drop for Credit {
    fn drop(&mut self) {
        self.lane.fetch_sub(self.bytes, Relaxed);
        self.budget.used.fetch_sub(self.bytes, Relaxed);
        let _guard = self.budget.released.0.lock();
        self.budget.released.1.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lane_alone_may_hold_half_of_the_buffer() {
        let budget = Budget::new(1000);
        let lane = budget.lane();
        let held: Vec<Credit> = std::iter::from_fn(|| lane.take(10).ok()).collect();
        assert!(budget.used() >= 490, "{}", budget.used());
        assert_eq!(lane.take(10).unwrap_err(), Denied::LaneFull);
        drop(held);
        assert_eq!((budget.used(), lane.used()), (0, 0));
    }

    #[test]
    fn however_many_lanes_hang_another_still_gets_credit() {
        let budget = Budget::new(1_000_000);
        let hung: Vec<LaneCredit> = (0..50).map(|_| budget.lane()).collect();
        let _held: Vec<Credit> = hung
            .iter()
            .flat_map(|lane| std::iter::from_fn(|| lane.take(100).ok()).collect::<Vec<_>>())
            .collect();
        let free = budget.lane();
        let held: u64 = std::iter::from_fn(|| free.take(100).ok())
            .map(|c| {
                std::mem::forget(c);
                100
            })
            .sum();
        assert!(held + 100 > budget.part(), "{held}");
        assert!(budget.used() <= budget.limit());
    }

    #[test]
    fn a_record_larger_than_the_buffer_passes_alone() {
        let budget = Budget::new(10);
        let (one, two) = (budget.lane(), budget.lane());
        let held = one.take(100).expect("the buffer was empty");
        assert_eq!(two.take(1).unwrap_err(), Denied::BufferFull);
        drop(held);
        assert!(two.take(1).is_ok());
    }
}
