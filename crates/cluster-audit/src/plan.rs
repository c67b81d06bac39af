//! Where replicas should be: the planner. Minimal: what can stay, stays, and leaders stay leaders.
//!
//! Partitions are placed the largest first; each new replica goes to the rack that has the fewest of the partition's, there
//! to the broker that has least: its share of all bytes and its share of all replicas, added; on a disk that is half as large,
//! bytes count double. What was placed counts for the next. The same facts give the same plan.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use crate::{Broker, Facts, Partition, PartitionId, facts::partitions};

/// What is wanted.
#[derive(Debug, Clone, Default)]
pub struct Aim {
    /// How many replicas each partition is to have at least; as many as it has unless set. None is ever taken away.
    pub replicas: Option<usize>,
    /// Whether replicas are moved where they are in fewer racks than they could be.
    pub spread_racks: bool,
    /// Brokers that are to have no replica any more.
    pub empty: BTreeSet<i32>,
    /// The topics; all unless some are named.
    pub topics: Option<BTreeSet<String>>,
    /// How full, in per cent, a broker's disks may become; no limit unless set.
    pub watermark: Option<u64>,
}

/// A partition that is to be elsewhere.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Move {
    /// The partition.
    #[serde(flatten)]
    pub at: PartitionId,
    /// Where it is.
    pub before: Vec<i32>,
    /// Where it is to be, the preferred leader first.
    pub after: Vec<i32>,
    /// Who leads it.
    pub leader: Option<i32>,
    /// What each new replica has to copy.
    pub bytes: u64,
}

impl Move {
    /// The brokers that get a replica.
    pub fn added(&self) -> impl Iterator<Item = i32> {
        self.after.iter().filter(|broker| !self.before.contains(broker)).copied()
    }

    /// What is copied, over all new replicas.
    pub fn copied(&self) -> u64 {
        self.added().count() as u64 * self.bytes
    }
}

/// Why there is no plan.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, thiserror::Error)]
#[serde(tag = "reason", rename_all = "kebab-case")]
pub enum Refusal {
    /// Fewer brokers than replicas.
    #[error("{asked} replicas need {asked} brokers that are up and not to be emptied; there are {there} ({})", list(.brokers))]
    TooFewBrokers {
        /// How many replicas are asked for.
        asked: usize,
        /// How many brokers there are for them.
        there: usize,
        /// Which.
        brokers: Vec<i32>,
    },
    /// Another reassignment goes on.
    #[error(
        "another reassignment is in progress: {}, {example} among them; wait for it, or cancel it", partitions(*.count)
    )]
    InProgress {
        /// Of how many partitions.
        count: usize,
        /// One of them.
        example: PartitionId,
    },
    /// The disks of all brokers that come into question would be too full.
    #[error("{} find no broker whose disks would stay under {watermark} %, {example} ({bytes} B) among them", partitions(*.count))]
    DisksFull {
        /// How many partitions find none.
        count: usize,
        /// One of them.
        example: PartitionId,
        /// How large it is.
        bytes: u64,
        /// The limit.
        watermark: u64,
    },
    /// Nobody has the data.
    #[error("{} have no replica in sync that is up, {example} among them: nothing can be copied; start their brokers", partitions(*.count))]
    Offline {
        /// How many partitions.
        count: usize,
        /// One of them.
        example: PartitionId,
    },
    /// A topic or broker that there is not.
    #[error("there is no {what}")]
    Unknown {
        /// What there is not.
        what: String,
    },
}

fn list(brokers: &[i32]) -> String {
    brokers.iter().map(i32::to_string).collect::<Vec<_>>().join(", ")
}

/// What has to be moved, by topic and partition; or every reason why that can't be.
pub fn plan(facts: &Facts, aim: &Aim) -> Result<Vec<Move>, Vec<Refusal>> {
    let mut refused = refusals(facts, aim);
    let mut planner = Planner::new(facts, aim);
    let mut chosen: Vec<(PartitionId, &Partition)> = facts
        .partitions()
        .filter(|(topic, ..)| aim.topics.as_ref().is_none_or(|topics| topics.contains(*topic)))
        .map(|(topic, _, number, partition)| (PartitionId::new(topic, number), partition))
        .collect();
    // They come sorted by name, and stay so among those of a size.
    chosen.sort_by_key(|(_, partition)| std::cmp::Reverse(partition.bytes));
    let mut moves = Vec::new();
    for (at, partition) in chosen {
        let after = planner.place(&at, partition);
        if after != partition.replicas {
            let bytes = partition.bytes.unwrap_or(0);
            let (before, leader) = (partition.replicas.clone(), partition.leader);
            moves.push(Move { at, before, after, leader, bytes });
        }
    }
    refused.extend(planner.refusals());
    if !refused.is_empty() {
        return Err(refused);
    }
    moves.sort_by(|a, b| a.at.cmp(&b.at));
    Ok(moves)
}

/// What stands against any plan.
fn refusals(facts: &Facts, aim: &Aim) -> Vec<Refusal> {
    let mut refused = Vec::new();
    let unknown = |what: String| Refusal::Unknown { what };
    let names = aim.topics.iter().flatten().filter(|name| !facts.topics.contains_key(*name));
    refused.extend(names.map(|name| unknown(format!("topic {name}"))));
    let ids = aim.empty.iter().filter(|id| !facts.brokers.contains_key(id));
    refused.extend(ids.map(|id| unknown(format!("broker {id}"))));
    let mut moving = facts.moving();
    if let Some(example) = moving.next() {
        refused.push(Refusal::InProgress { count: 1 + moving.count(), example });
    }
    refused
}

/// What bytes weigh on the largest disks.
const WHOLE: u64 = 1_000;

/// What brokers have, by their place in the list of brokers.
struct Planner<'a> {
    facts: &'a Facts,
    aim: &'a Aim,
    ids: Vec<i32>,
    index: BTreeMap<i32, usize>,
    /// The number of each broker's rack.
    rack: Vec<usize>,
    /// Whether it may get replicas.
    takes: Vec<bool>,
    /// How many racks have a broker that may.
    racks: usize,
    replicas: Vec<u64>,
    bytes: Vec<u64>,
    /// How much heavier its bytes weigh than those on the largest disks, which weigh [`WHOLE`].
    weight: Vec<u64>,
    /// How many partitions prefer it as leader.
    preferred: Vec<u64>,
    total_replicas: u64,
    total_bytes: u64,
    /// What still fits, where that is limited.
    room: Vec<Option<u64>>,
    too_few: Option<usize>,
    too_full: Vec<(PartitionId, u64)>,
    offline: Vec<PartitionId>,
}

impl<'a> Planner<'a> {
    fn new(facts: &'a Facts, aim: &'a Aim) -> Self {
        let ids: Vec<i32> = facts.brokers.keys().copied().collect();
        let index: BTreeMap<i32, usize> = ids.iter().enumerate().map(|(at, id)| (*id, at)).collect();
        let names: BTreeSet<&str> = ids.iter().map(|id| facts.rack(*id)).collect();
        let names: BTreeMap<&str, usize> =
            names.into_iter().enumerate().map(|(at, name)| (name, at)).collect();
        let rack: Vec<usize> = ids.iter().map(|id| names[facts.rack(*id)]).collect();
        let takes: Vec<bool> = ids.iter().map(|id| facts.is_live(*id) && !aim.empty.contains(id)).collect();
        let racks = rack.iter().zip(&takes).filter(|(_, takes)| **takes).map(|(rack, _)| rack);
        let racks = racks.collect::<BTreeSet<_>>().len();
        let room = ids.iter().map(|id| aim.watermark.and_then(|limit| room(facts, *id, limit))).collect();
        let mut planner = Self {
            facts,
            aim,
            rack,
            takes,
            racks,
            replicas: vec![0; ids.len()],
            bytes: vec![0; ids.len()],
            weight: weights(facts, &ids),
            preferred: vec![0; ids.len()],
            total_replicas: 0,
            total_bytes: 0,
            room,
            too_few: None,
            too_full: Vec::new(),
            offline: Vec::new(),
            ids,
            index,
        };
        for (_, _, _, partition) in facts.partitions() {
            for (order, broker) in partition.replicas.iter().enumerate() {
                let Some(at) = planner.index.get(broker).copied() else { continue };
                planner.replicas[at] += 1;
                planner.bytes[at] += partition.bytes.unwrap_or(0);
                planner.preferred[at] += u64::from(order == 0);
                planner.total_replicas += 1;
                planner.total_bytes += partition.bytes.unwrap_or(0);
            }
        }
        planner
    }

    /// Where the partition is to be.
    fn place(&mut self, at: &PartitionId, partition: &Partition) -> Vec<i32> {
        let before = &partition.replicas;
        let wanted = self.aim.replicas.unwrap_or(0).max(before.len());
        let mut after: Vec<i32> = before.iter().filter(|id| !self.aim.empty.contains(id)).copied().collect();
        if self.aim.spread_racks {
            while let Some(surplus) = self.surplus(&after, partition, wanted) {
                after.retain(|broker| *broker != surplus);
            }
        }
        if after.len() == before.len() && wanted == before.len() {
            return after;
        }
        if !partition.in_sync.iter().any(|broker| self.facts.is_live(*broker)) {
            self.offline.push(at.clone());
            return before.clone();
        }
        let size = partition.bytes.unwrap_or(0);
        for gone in before.iter().filter(|broker| !after.contains(broker)) {
            self.take_away(*gone, size);
        }
        while after.len() < wanted {
            match self.best(&after, size) {
                Ok(broker) => {
                    self.give(broker, size);
                    after.push(broker);
                }
                Err(full) => {
                    if full {
                        self.too_full.push((at.clone(), size));
                    } else {
                        self.too_few = self.too_few.max(Some(wanted));
                    }
                    return before.clone();
                }
            }
        }
        // Where disks leave no other place it is where it was.
        if after.len() == before.len() && after.iter().all(|broker| before.contains(broker)) {
            return before.clone();
        }
        self.prefer(&mut after, partition);
        after
    }

    /// A replica that has to go for another to come into a rack that has none.
    fn surplus(&self, after: &[i32], partition: &Partition, wanted: usize) -> Option<i32> {
        let rack = |broker: &i32| self.index.get(broker).map(|at| self.rack[*at]);
        let racks = after.iter().map(rack).collect::<BTreeSet<_>>().len();
        if racks + (wanted - after.len()) >= wanted.min(self.racks) {
            return None;
        }
        let shared = |broker: &&i32| after.iter().filter(|other| rack(other) == rack(broker)).count() > 1;
        // The last one that does not lead; of those that are out of sync first.
        let in_sync = |broker: &i32| partition.in_sync.contains(broker);
        let leader = partition.leader.filter(|leader| after.contains(leader)).or(after.first().copied());
        let leads = |broker: &&i32| leader == Some(**broker);
        let mut candidates = after.iter().rev().filter(shared).filter(|broker| !leads(broker));
        let candidates: Vec<i32> = candidates.by_ref().copied().collect();
        candidates.iter().find(|broker| !in_sync(broker)).or(candidates.first()).copied()
    }

    /// The broker that a new replica goes to; if there is none, whether disks are why.
    fn best(&self, after: &[i32], size: u64) -> Result<i32, bool> {
        let mut in_rack = vec![0u32; self.ids.len()];
        for broker in after {
            if let Some(at) = self.index.get(broker) {
                in_rack[self.rack[*at]] += 1;
            }
        }
        let mut full = false;
        let mut best: Option<((u32, u128), i32)> = None;
        for (at, id) in self.ids.iter().enumerate() {
            if !self.takes[at] || after.contains(id) {
                continue;
            }
            // Also what is empty goes to no disk that is full.
            if self.room[at].is_some_and(|room| room < size.max(1)) {
                full = true;
                continue;
            }
            let key = (in_rack[self.rack[at]], self.load(at));
            // The first of equals: the least id.
            if best.is_none_or(|(found, _)| key < found) {
                best = Some((key, *id));
            }
        }
        best.map(|(_, id)| id).ok_or(full)
    }

    /// Its share of all bytes and its share of all replicas, as whole numbers that can be compared.
    fn load(&self, at: usize) -> u128 {
        let bytes = u128::from(self.bytes[at]) * u128::from(self.total_replicas.max(1));
        let replicas = u128::from(self.replicas[at]) * u128::from(self.total_bytes.max(1));
        bytes * u128::from(self.weight[at]) + replicas * u128::from(WHOLE)
    }

    fn give(&mut self, broker: i32, size: u64) {
        let at = self.index[&broker];
        self.replicas[at] += 1;
        self.bytes[at] += size;
        self.total_replicas += 1;
        self.total_bytes += size;
        if let Some(room) = &mut self.room[at] {
            *room = room.saturating_sub(size);
        }
    }

    /// Its room is not there before the replica is.
    fn take_away(&mut self, broker: i32, size: u64) {
        if let Some(at) = self.index.get(&broker).copied() {
            self.replicas[at] -= 1;
            self.bytes[at] -= size;
            self.total_replicas -= 1;
            self.total_bytes -= size;
        }
    }

    /// Where the preferred leader goes, another is preferred: the one that leads, else the one that the fewest partitions
    /// prefer. It may be a new one: the old ones go only when all new ones are in sync.
    fn prefer(&mut self, after: &mut [i32], partition: &Partition) {
        let (Some(old), Some(first)) = (partition.replicas.first(), after.first()) else { return };
        if old == first {
            return;
        }
        let count = |broker: &i32| self.index.get(broker).map_or(0, |at| self.preferred[*at]);
        let leads = |broker: &i32| partition.leader != Some(*broker);
        let best = after
            .iter()
            .filter(|broker| self.facts.is_live(**broker))
            .min_by_key(|broker| (leads(broker), count(broker)));
        let best = best.or(after.first()).copied();
        if let Some(at) = best.and_then(|best| after.iter().position(|broker| *broker == best)) {
            after[..=at].rotate_right(1);
        }
        for (broker, more) in [(*old, false), (after[0], true)] {
            if let Some(at) = self.index.get(&broker) {
                let count = &mut self.preferred[*at];
                *count = if more { *count + 1 } else { count.saturating_sub(1) };
            }
        }
    }

    fn refusals(self) -> Vec<Refusal> {
        let mut refused = Vec::new();
        if let Some(asked) = self.too_few {
            let takes = self.ids.iter().zip(&self.takes).filter(|(_, takes)| **takes);
            let brokers: Vec<i32> = takes.map(|(id, _)| *id).collect();
            refused.push(Refusal::TooFewBrokers { asked, there: brokers.len(), brokers });
        }
        if let (Some((example, bytes)), Some(watermark)) = (self.too_full.first(), self.aim.watermark) {
            let (count, example, bytes) = (self.too_full.len(), example.clone(), *bytes);
            refused.push(Refusal::DisksFull { count, example, bytes, watermark });
        }
        if let Some(example) = self.offline.first() {
            refused.push(Refusal::Offline { count: self.offline.len(), example: example.clone() });
        }
        refused
    }
}

/// What bytes weigh on each of these brokers' disks; the same on all where one of them does not tell how large its are.
fn weights(facts: &Facts, brokers: &[i32]) -> Vec<u64> {
    let size = |id: &i32| facts.brokers.get(id).and_then(Broker::disk).map(|(total, _)| total);
    let sizes: Vec<Option<u64>> = brokers.iter().map(size).collect();
    let live = |at: &usize| facts.is_live(brokers[*at]);
    let unknown = (0..brokers.len()).filter(live).any(|at| sizes[at].is_none());
    let most = sizes.iter().flatten().copied().max().filter(|_| !unknown);
    let weight = |size: &Option<u64>| match (most, size) {
        (Some(most), Some(size)) => u64::try_from(u128::from(most) * u128::from(WHOLE) / u128::from(*size)),
        _ => Ok(WHOLE),
    };
    sizes.iter().map(|size| weight(size).unwrap_or(u64::MAX).min(1_000 * WHOLE)).collect()
}

/// How many bytes fit on a broker's disks under the watermark; none where that is not known.
fn room(facts: &Facts, broker: i32, watermark: u64) -> Option<u64> {
    let (total, used) = facts.brokers.get(&broker)?.disk()?;
    let limit = u128::from(total) * u128::from(watermark) / 100;
    Some(u64::try_from(limit.saturating_sub(u128::from(used))).unwrap_or(u64::MAX))
}

/// Partitions whose preferred leader could lead, and does not.
pub fn not_preferred(facts: &Facts) -> Vec<PartitionId> {
    let wanted = |partition: &Partition| {
        let first = partition.replicas.first()?;
        let ready = partition.in_sync.contains(first) && facts.is_live(*first);
        (ready && partition.leader != Some(*first)).then_some(())
    };
    let found = facts.partitions().filter(|(.., partition)| wanted(partition).is_some());
    found.map(|(topic, _, number, _)| PartitionId::new(topic, number)).collect()
}

/// Partitions whose preferred leader does not lead once this is done: those that are to be elected then.
pub fn preferred_after(facts: &Facts, moves: &[Move]) -> Vec<PartitionId> {
    let moved: BTreeMap<&PartitionId, &Move> = moves.iter().map(|one| (&one.at, one)).collect();
    let mut wanted: BTreeSet<PartitionId> = not_preferred(facts).into_iter().collect();
    wanted.retain(|at| !moved.contains_key(at));
    let differ = moves.iter().filter(|one| one.leader != one.after.first().copied());
    wanted.extend(differ.map(|one| one.at.clone()));
    wanted.into_iter().collect()
}
