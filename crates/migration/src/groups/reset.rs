//! Setting groups' offsets on the target to a time, to a lane's start mark, or to a source offset: for groups that keep
//! their offsets elsewhere, or have to begin somewhere.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use group_offsets::{Chosen, GroupPlan, Lane, Rule, plan, state_of};
use kafka_wire::{Committed, GroupOffsets, ListedGroup, OffsetSpec};
use mirror_types::{Offset, Side, TopicPartition};
use pipeline::LinkConfig;

use super::{
    Error, Prepared,
    gather::{begun, offsets, with_ends},
};
use crate::sides::{Clusters, refuse_at_rest, source_isolation};

/// What is to be set.
#[derive(Clone)]
pub struct Reset {
    /// The link.
    pub link: LinkConfig,
    /// What each question to a cluster is given.
    pub timeout: Duration,
    /// The groups, by their names.
    pub groups: Vec<String>,
    /// Whether a group may be new: on neither side.
    pub new: bool,
    /// The topics, by their names on the source; those that the group has offsets for, if there are none.
    pub topics: Vec<String>,
    /// Only this partition.
    pub partition: Option<i32>,
    /// Where to.
    pub to: To,
}

/// Where to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum To {
    /// The first record of this time or later, in ms since 1970; where there is none, the source's end.
    Time(i64),
    /// The lane's start mark.
    Mark,
    /// This offset of the source.
    Offset(Offset),
}

/// Finds out what would be done. Changes nothing.
pub async fn reset(request: &Reset) -> Result<Prepared, Error> {
    let link = &request.link;
    let clusters = Clusters::new(link, request.timeout)?;
    refuse_at_rest(link, &clusters).await?;
    let listed = clusters.client(Side::Source).list_groups().await;
    let listed = listed.map_err(|error| clusters.error(Side::Source, error))?;
    let mut begun = begun(link, &clusters, &request.topics).await?;
    begun.retain(|ledger| request.partition.is_none_or(|only| only == ledger.start().partition));
    if begun.is_empty() {
        return Err(refused(
            format!("no lane of the topics has a partition {}", request.partition.unwrap_or_default()),
            "`isomirror marks CONFIG list` shows the lanes there are",
        ));
    }
    let all: BTreeSet<TopicPartition> = begun.iter().map(|ledger| ledger.start().lane()).collect();
    let mut wanted: BTreeMap<&str, BTreeSet<TopicPartition>> = BTreeMap::new();
    for group in &request.groups {
        wanted.insert(group, partitions(request, &clusters, listed.get(group), group, &all).await?);
    }
    begun.retain(|ledger| wanted.values().any(|lanes| lanes.contains(&ledger.start().lane())));
    let lanes = with_ends(&clusters, begun).await?;
    let places = places(request, &clusters, &lanes).await?;
    let rule = Rule { backwards: true };
    let mut groups = Vec::new();
    for (group, wanted) in wanted {
        let to: GroupOffsets = wanted
            .iter()
            .filter_map(|at| {
                let offset = places.get(at)?;
                let committed = Committed { offset: *offset, leader_epoch: -1, metadata: String::new() };
                Some(((at.topic.clone(), at.partition), Ok(committed)))
            })
            .collect();
        groups.push(match state_of(clusters.client(Side::Target), group).await {
            Ok((activity, now)) => plan(group, &to, &now, activity.as_ref(), &lanes, |_| true, rule),
            Err(error) => GroupPlan::failed(group, &error, "target"),
        });
    }
    Ok(Prepared { link: link.clone(), clusters, lanes, rule, groups, left_out: Vec::new() })
}

fn refused(what: String, fix: &str) -> Error {
    Error::Refused { what, fix: fix.to_owned() }
}

/// The partitions that are to be set for a group.
async fn partitions(
    request: &Reset,
    clusters: &Clusters,
    listed: Option<&ListedGroup>,
    group: &str,
    all: &BTreeSet<TopicPartition>,
) -> Result<BTreeSet<TopicPartition>, Error> {
    let own = group_offsets::Choice {
        include: vec![topic_rename::Pattern::exactly(group)],
        exclude: Vec::new(),
        own: request.link.group.clone(),
    };
    let unknown =
        ListedGroup { name: group.to_owned(), kind: None, protocol_type: String::new(), state: None };
    if let Chosen::LeftOut(reason) = own.of(listed.unwrap_or(&unknown)) {
        return Err(refused(format!("group {group} can't be set: {reason}"), "name another group"));
    }
    let side = |side: Side| async move {
        let found = clusters.client(side).group_offsets(group).await;
        found.map_err(|error| clusters.error(side, error))
    };
    let (source, target) = (side(Side::Source).await?, side(Side::Target).await?);
    if listed.is_none() && source.is_empty() && target.is_empty() && !request.new {
        return Err(refused(
            format!("there is no group {group} on either side, as far as may be seen"),
            "see its name; or say --new, and it comes to be by its offsets",
        ));
    }
    if !request.topics.is_empty() {
        return Ok(all.clone());
    }
    let has = |at: &&TopicPartition| source.contains_key(&(at.topic.clone(), at.partition));
    let found: BTreeSet<TopicPartition> = all.iter().filter(has).cloned().collect();
    if found.is_empty() {
        return Err(refused(
            format!("group {group} has no offsets on the source for a topic of link {}", request.link.link),
            "name the topics: --topic",
        ));
    }
    Ok(found)
}

/// The source offset that each lane's consumer is to go on at.
async fn places(
    request: &Reset,
    clusters: &Clusters,
    lanes: &BTreeMap<TopicPartition, Lane>,
) -> Result<BTreeMap<TopicPartition, Offset>, Error> {
    let partitions: Vec<(&str, i32)> = lanes.keys().map(|at| (&*at.topic, at.partition)).collect();
    let source = clusters.client(Side::Source);
    let ends = async || {
        let ends = offsets(source, &partitions, OffsetSpec::Latest).await;
        ends.into_iter().collect::<Result<Vec<_>, _>>().map_err(|error| clusters.error(Side::Source, error))
    };
    let places = match request.to {
        To::Mark => lanes.values().map(|lane| lane.start.source).collect(),
        To::Offset(offset) => {
            let ends = ends().await?;
            if let Some((at, end)) = lanes.keys().zip(&ends).find(|(_, end)| **end < offset) {
                return Err(refused(
                    format!("{at} ends at offset {end} on the source: there is no offset {offset} yet"),
                    "name an offset of the source up to its end",
                ));
            }
            vec![offset; lanes.len()]
        }
        To::Time(time) => {
            let isolation = source_isolation(&request.link);
            let found = source.list_offsets(&partitions, OffsetSpec::Timestamp(time), isolation).await;
            let found = found.into_iter().collect::<Result<Vec<_>, _>>();
            let found = found.map_err(|error| clusters.error(Side::Source, error))?;
            // Nothing is as new: it goes on with what comes.
            let ends = ends().await?;
            let place = |(found, end): (kafka_wire::Listed, Offset)| {
                if found.offset < 0 { end } else { found.offset }
            };
            found.into_iter().zip(ends).map(place).collect()
        }
    };
    Ok(lanes.keys().cloned().zip(places).collect())
}
