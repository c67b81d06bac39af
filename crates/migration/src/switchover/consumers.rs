//! Whether consumers have committed all there is: then whoever goes over reads nothing twice.

use std::collections::{BTreeMap, BTreeSet};

use kafka_wire::{Committed, GroupOffsets};
use mirror_types::{Offset, Side, TopicPartition};
use pipeline::Standing;

use crate::{
    operation::{Plan, drive::Trouble, groups::Reader, lanes::Standing as Lane},
    sides::Clusters,
};

/// What is known of where the records of each lane end.
pub(super) struct Ends {
    /// Behind the last record that a consumer sees, where that was asked for.
    visible: BTreeMap<TopicPartition, Offset>,
}

/// A group that has not committed all there is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Behind {
    group: String,
    at: TopicPartition,
    committed: Option<Offset>,
    end: Offset,
}

impl std::fmt::Display for Behind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { group, at, committed, end } = self;
        match committed {
            Some(offset) => {
                write!(f, "group {group} has committed {at} up to {offset}, and it ends at {end}")
            }
            None => write!(f, "group {group} reads {at}, and has committed nothing of it yet"),
        }
    }
}

impl Ends {
    pub(super) fn new() -> Self {
        Self { visible: BTreeMap::new() }
    }

    /// The first group that is behind, of those that have members on the active site.
    pub(super) async fn behind(
        &mut self,
        clusters: &Clusters,
        plan: &Plan,
        readers: &[Reader],
        lanes: &[Lane],
    ) -> Result<Option<Behind>, Trouble> {
        let groups: BTreeSet<&str> = readers
            .iter()
            .filter(|reader| reader.side == Side::Source)
            .map(|reader| &*reader.group)
            .collect();
        for group in groups {
            let asked = clusters.client(Side::Source).group_offsets(group).await;
            let offsets = asked.map_err(|error| Trouble::of(clusters.error(Side::Source, error)))?;
            let topics: BTreeSet<&str> = readers
                .iter()
                .filter(|reader| reader.group == group)
                .flat_map(|reader| reader.topics.iter().map(String::as_str))
                .chain(offsets.keys().map(|(topic, _)| &**topic))
                .filter(|topic| plan.topics.iter().any(|route| route.topic == *topic))
                .collect();
            for lane in lanes.iter().filter(|lane| topics.contains(&*lane.topic)) {
                let committed = committed(&offsets, lane)?;
                if committed >= Some(lane.source) || lane.source == 0 {
                    continue;
                }
                let at = TopicPartition::new(lane.topic.as_str(), lane.partition);
                let end = self.visible(clusters, &at).await?;
                if end > 0 && committed.is_none_or(|committed| committed < end) {
                    return Ok(Some(Behind { group: group.to_owned(), at, committed, end }));
                }
            }
        }
        Ok(None)
    }

    /// Behind the last record that a consumer sees, by the standby, which has the same; 0 if there is none.
    async fn visible(&mut self, clusters: &Clusters, at: &TopicPartition) -> Result<Offset, Trouble> {
        if let Some(end) = self.visible.get(at) {
            return Ok(*end);
        }
        let standing = Standing::of(clusters.client(Side::Target), at, true).await;
        let standing = standing.map_err(|error| Trouble::of(clusters.error(Side::Target, error)))?;
        let end = standing.last.map_or(0, |last| last.offset + 1);
        self.visible.insert(at.clone(), end);
        Ok(end)
    }
}

fn committed(offsets: &GroupOffsets, lane: &Lane) -> Result<Option<Offset>, Trouble> {
    let found =
        offsets.iter().find(|((topic, partition), _)| **topic == *lane.topic && *partition == lane.partition);
    match found {
        None => Ok(None),
        Some((_, Ok(Committed { offset, .. }))) => Ok(Some(*offset)),
        Some((_, Err(error))) => Err(Trouble::failed(error.to_string()).passing()),
    }
}
