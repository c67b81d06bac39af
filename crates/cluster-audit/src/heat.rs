//! Brokers × topics: where leaders and bytes are. For a map that is looked at, not for plans.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::Facts;

/// What each broker has of each topic.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Heat {
    /// The brokers, in the order of each row's cells.
    pub brokers: Vec<i32>,
    /// The topics, the largest first.
    pub rows: Vec<Row>,
}

/// A topic.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Row {
    /// Its name.
    pub topic: String,
    /// For each broker: how many partitions it leads, how many it has a replica of, and their bytes.
    pub cells: Vec<(u64, u64, u64)>,
    /// Partitions that are at risk: one replica, not all in sync, offline.
    pub at_risk: u64,
}

/// The map.
pub fn heat(facts: &Facts) -> Heat {
    let brokers: Vec<i32> = facts.brokers.keys().copied().collect();
    let column: BTreeMap<i32, usize> = brokers.iter().enumerate().map(|(at, id)| (*id, at)).collect();
    let mut rows: Vec<Row> = Vec::with_capacity(facts.topics.len());
    for (name, topic) in &facts.topics {
        let mut row = Row { topic: name.clone(), cells: vec![(0, 0, 0); brokers.len()], at_risk: 0 };
        for partition in topic.partitions.values() {
            for replica in &partition.replicas {
                let Some(at) = column.get(replica) else { continue };
                let cell = &mut row.cells[*at];
                cell.0 += u64::from(partition.leader == Some(*replica));
                cell.1 += 1;
                cell.2 += partition.bytes.unwrap_or(0);
            }
            let whole = partition.replicas.len() > 1 && partition.in_sync.len() >= partition.replicas.len();
            row.at_risk += u64::from(!whole);
        }
        rows.push(row);
    }
    let size = |row: &Row| row.cells.iter().map(|cell| cell.2).sum::<u64>();
    rows.sort_by(|a, b| size(b).cmp(&size(a)).then_with(|| a.topic.cmp(&b.topic)));
    Heat { brokers, rows }
}
