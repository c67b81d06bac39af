//! Leaders off a broker before its restart: the broker goes to the end of the order of preference, so that no election, its
//! own or Kafka's, brings them back before it is asked for. Copies nothing.

use std::collections::BTreeSet;

use serde::Serialize;

use crate::{Facts, Move, PartitionId, outcome};

/// Partitions that a broker leads, or is preferred for, and where they go.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Drain {
    /// The same replicas in another order.
    pub moves: Vec<Move>,
    /// Partitions that nobody else can lead.
    pub undrainable: Vec<Undrainable>,
}

/// A partition that has to stay.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Undrainable {
    /// The partition.
    #[serde(flatten)]
    pub at: PartitionId,
    /// Why.
    pub why: &'static str,
}

/// How leaders come off this broker: to the replica in sync that leads already, else to the one that leads fewest.
pub fn drain(facts: &Facts, broker: i32) -> Drain {
    let mut leads = std::collections::BTreeMap::<i32, usize>::new();
    for leader in facts.partitions().filter_map(|(.., partition)| partition.leader) {
        *leads.entry(leader).or_default() += 1;
    }
    let down = BTreeSet::from([broker]);
    let mut found = Drain::default();
    for (name, topic, number, partition) in facts.partitions() {
        let at = PartitionId::new(name, number);
        let preferred = partition.replicas.first() == Some(&broker);
        if !preferred && partition.leader != Some(broker) {
            continue;
        }
        let ready = |id: &&i32| **id != broker && partition.in_sync.contains(id) && facts.is_live(**id);
        let order = |id: &&i32| (partition.leader != Some(**id), leads.get(id).copied().unwrap_or(0));
        let Some(next) = partition.replicas.iter().filter(ready).min_by_key(order).copied() else {
            let why = match partition.replicas.len() {
                1 => "it has no other replica",
                _ => "no other replica is in sync",
            };
            found.undrainable.push(Undrainable { at, why });
            continue;
        };
        debug_assert!(outcome(facts, topic, partition, &down).readable);
        if partition.leader != Some(next) {
            *leads.entry(next).or_default() += 1;
        }
        let others = partition.replicas.iter().filter(|id| **id != next && **id != broker);
        let after = [next].into_iter().chain(others.copied()).chain([broker]).collect();
        let (before, leader) = (partition.replicas.clone(), partition.leader);
        found.moves.push(Move { at, before, after, leader, bytes: 0 });
    }
    found
}
