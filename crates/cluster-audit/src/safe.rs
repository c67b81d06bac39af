//! Whether a broker may go down now.

use std::collections::BTreeSet;

use crate::{Facts, PartitionId, facts::partitions, predict};

/// Why a broker should not go down now; nothing if it may. Its restart would do no harm then, and what an earlier restart
/// has left behind is over.
pub fn unsafe_now(facts: &Facts, broker: i32) -> Vec<String> {
    let mut why = Vec::new();
    let found = predict(facts, &BTreeSet::from([broker]));
    for (list, what) in [
        (&found.loses, "would lose records"),
        (&found.unreadable, "could be neither read nor written"),
        (&found.unwritable, "could not be written with acks=all"),
    ] {
        why.extend(some(list, what));
    }
    if !facts.is_live(broker) {
        why.push("it is down".to_owned());
    }
    let down = facts.brokers.iter().filter(|(id, found)| **id != broker && !found.live);
    let down: Vec<String> = down.map(|(id, _)| id.to_string()).collect();
    if !down.is_empty() {
        why.push(format!("down already: broker {}", down.join(", ")));
    }
    let behind = |replicas: &[i32], in_sync: &[i32]| {
        replicas.iter().any(|id| facts.is_live(*id) && !in_sync.contains(id))
    };
    let lagging: Vec<PartitionId> = facts
        .partitions()
        .filter(|(.., found)| found.replicas.contains(&broker) && behind(&found.replicas, &found.in_sync))
        .map(|(topic, _, number, _)| PartitionId::new(topic, number))
        .collect();
    why.extend(some(&lagging, "with a replica there not all in sync"));
    let moving: Vec<PartitionId> = facts
        .partitions()
        .filter(|(.., found)| found.moving.is_some() && found.replicas.contains(&broker))
        .map(|(topic, _, number, _)| PartitionId::new(topic, number))
        .collect();
    why.extend(some(&moving, "with a replica there being reassigned"));
    why
}

/// Whether a broker may never go down as things are set, however whole the cluster is: waiting mends nothing then.
pub fn never_safe(facts: &Facts, broker: i32) -> bool {
    let mut whole = facts.clone();
    whole.brokers.values_mut().for_each(|broker| broker.live = true);
    for partition in whole.topics.values_mut().flat_map(|topic| topic.partitions.values_mut()) {
        partition.in_sync.clone_from(&partition.replicas);
    }
    !predict(&whole, &BTreeSet::from([broker])).is_safe()
}

fn some(list: &[PartitionId], what: &str) -> Option<String> {
    let first = list.first()?;
    let others = if list.len() == 1 { "" } else { " and others" };
    Some(format!("{} {what}: {first}{others}", partitions(list.len())))
}
