//! A plan in pieces that are done one after the other, and what they cost.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::Move;

/// How large a batch may be. One partition is always taken, however large.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Partitions.
    pub partitions: usize,
    /// Bytes that are copied.
    pub bytes: u64,
}

/// Moves that are made at the same time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Batch {
    /// The moves.
    pub moves: Vec<Move>,
}

/// What a batch costs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Estimate {
    /// Partitions that change.
    pub partitions: usize,
    /// Replicas that are added.
    pub replicas: usize,
    /// Bytes that are copied.
    pub bytes: u64,
    /// What the broker copies that sends or receives most.
    pub busiest: u64,
    /// How long that takes at the throttle; none without one.
    pub seconds: Option<u64>,
}

/// The moves in batches: partitions with the fewest replicas first, as they have most to win.
pub fn batches(moves: &[Move], limits: Limits) -> Vec<Batch> {
    let mut order: Vec<&Move> = moves.iter().collect();
    order.sort_by(|a, b| (a.before.len(), &a.at).cmp(&(b.before.len(), &b.at)));
    let mut batches: Vec<Batch> = Vec::new();
    let mut bytes = 0u64;
    for one in order {
        let fits = |batch: &Batch| {
            batch.moves.len() < limits.partitions && bytes.saturating_add(one.copied()) <= limits.bytes
        };
        match batches.last_mut().filter(|batch| fits(batch)) {
            Some(batch) => batch.moves.push(one.clone()),
            None => {
                batches.push(Batch { moves: vec![one.clone()] });
                bytes = 0;
            }
        }
        bytes = bytes.saturating_add(one.copied());
    }
    batches
}

/// What these moves cost, at so many bytes a second of each broker in each direction.
pub fn estimate(moves: &[Move], throttle: Option<u64>) -> Estimate {
    let (mut received, mut sent) = (BTreeMap::<i32, u64>::new(), BTreeMap::<i32, u64>::new());
    for one in moves {
        for broker in one.added() {
            *received.entry(broker).or_default() += one.bytes;
        }
        if let Some(leader) = one.leader {
            *sent.entry(leader).or_default() += one.copied();
        }
    }
    let busiest = received.values().chain(sent.values()).copied().max().unwrap_or(0);
    Estimate {
        partitions: moves.len(),
        replicas: moves.iter().map(|one| one.added().count()).sum(),
        bytes: moves.iter().map(Move::copied).sum(),
        busiest,
        seconds: throttle.filter(|rate| *rate > 0).map(|rate| busiest.div_ceil(rate)),
    }
}
