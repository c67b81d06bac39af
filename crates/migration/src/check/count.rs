//! How many records there are, by the offsets: to mirror, on the target already, and too old for it.
//!
//! Where offsets can't be had, a count is left out; only a cluster that does not answer is an error.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

use cluster_admin::{Cluster, Error, Isolation, Offsets, TopicInfo, Topics};
use mirror_types::{Offset, TopicPartition};
use pipeline::{LinkConfig, Start, padded_before};

use super::{Emptied, TargetFacts, TopicFacts, configs::timestamp_bound, gather::refused, pace};

/// The partitions of these topics that can be asked about.
pub(crate) fn lanes<'a>(names: impl Iterator<Item = &'a String>, topics: &Topics) -> Vec<TopicPartition> {
    let of = |name: &String| Some(partitions(name, topics.get(name.as_str())?.as_ref().ok()?));
    names.filter_map(of).flatten().collect()
}

/// Where target partitions start and end.
pub(crate) type Bounds = HashMap<TopicPartition, (Offset, Offset)>;

/// The records of each target topic, and where its partitions start and end.
pub(crate) async fn target(
    cluster: &Cluster,
    names: &[String],
    topics: &Topics,
) -> Result<(HashMap<String, u64>, Bounds), Error> {
    let lanes = lanes(names.iter(), topics);
    let starts = refused(cluster.start_offsets(&lanes).await)?.unwrap_or_default();
    let ends = refused(cluster.end_offsets(&lanes, Isolation::Uncommitted).await)?.unwrap_or_default();
    let mut found: HashMap<String, Option<u64>> = HashMap::new();
    for lane in &lanes {
        let count = span(offset(&starts, lane), offset(&ends, lane));
        let sum = found.entry(lane.topic.to_string()).or_insert(Some(0));
        *sum = sum.zip(count).map(|(sum, count)| sum + count);
    }
    let records = found.into_iter().filter_map(|(name, count)| Some((name, count?))).collect();
    let bounds = |lane: TopicPartition| {
        let bounds = (offset(&starts, &lane)?, offset(&ends, &lane)?);
        Some((lane, bounds))
    };
    Ok((records, lanes.into_iter().filter_map(bounds).collect()))
}

/// What the source's offsets tell of a lane.
struct Ahead {
    records: u64,
    padded: u64,
    gaps_padded: bool,
    emptied: Option<Emptied>,
    ahead: pace::Ahead,
}

/// The records that each topic's lanes have before them, how much they have to be padded up to their first, and whether
/// their target partitions were emptied. Of each topic that has any, the lane that has most before it.
pub(crate) async fn source(
    cluster: &Cluster,
    link: &LinkConfig,
    topics: &mut [TopicFacts],
    positions: &HashMap<TopicPartition, Offset>,
    targets: &Bounds,
) -> Result<Vec<pace::Ahead>, Error> {
    let isolation = match link.source.properties.get("isolation.level") {
        Some("read_uncommitted") => Isolation::Uncommitted,
        _ => Isolation::Committed,
    };
    let lanes: Vec<_> = topics.iter().flat_map(lanes_of).collect();
    let starts = refused(cluster.start_offsets(&lanes).await)?.unwrap_or_default();
    let ends = refused(cluster.end_offsets(&lanes, isolation).await)?.unwrap_or_default();
    let at_time = at_time(cluster, topics).await?;
    let mut largest = Vec::new();
    for (number, topic) in topics.iter_mut().enumerate() {
        // A partition that is new to a topic with positions is mirrored as a whole.
        let rule = if topic.is_mirrored() { Start::Earliest } else { topic.settings.start };
        let before = |lane: TopicPartition| {
            let (first, end) = (offset(&starts, &lane)?, offset(&ends, &lane)?);
            let mut from = positions.get(&lane).copied().unwrap_or(match rule {
                Start::Earliest => first,
                Start::Latest => end,
                Start::At(_) => at_time.get(&lane).copied().unwrap_or(end),
            });
            let (mut padded, mut gaps_padded, mut emptied) = (0, false, None);
            let begun = positions.contains_key(&lane);
            if topic.is_identical() {
                match target_bounds(topic, lane.partition, targets) {
                    Some((_, 0)) => padded = u64::try_from(from).unwrap_or(0),
                    // As the daemon finds it, where nobody knows what was there.
                    Some((start, there)) if !begun && start == there && there > from => {
                        emptied = Some(Emptied { partition: lane.partition, end: there, from });
                    }
                    // The target's end is the position.
                    Some((_, there)) => from = there,
                    None => {}
                }
                gaps_padded = !begun && padded_before(&(from..end)) > from;
            }
            let from = from.max(first);
            let records = span(Some(from), Some(end))?;
            let ahead = pace::Ahead { topic: number, partition: lane.partition, from, end };
            Some(Ahead { records, padded, gaps_padded, emptied, ahead })
        };
        let lanes: Vec<_> = lanes_of(topic).map(before).collect();
        let known = || lanes.iter().flatten();
        topic.padded = known().map(|lane| lane.padded).sum();
        topic.gaps_padded = known().any(|lane| lane.gaps_padded);
        // Where the marks can't be seen, it may be the link's own.
        topic.emptied = known().find_map(|lane| lane.emptied).filter(|_| topic.begun.is_some());
        topic.records = lanes.iter().map(|lane| lane.as_ref().map(|lane| lane.records)).sum();
        let most =
            lanes.into_iter().flatten().filter(|lane| lane.records > 0).max_by_key(|lane| lane.records);
        largest.extend(most.map(|lane| lane.ahead));
    }
    Ok(largest)
}

/// Where a partition of the target topic starts and ends; none where that could not be seen.
fn target_bounds(topic: &TopicFacts, partition: i32, bounds: &Bounds) -> Option<(Offset, Offset)> {
    match &topic.target {
        TargetFacts::There { info, .. } if partition < info.partitions => {
            bounds.get(&TopicPartition::new(&*topic.target_topic, partition)).copied()
        }
        TargetFacts::There { .. } | TargetFacts::Missing { .. } => Some((0, 0)),
        TargetFacts::Hidden(_) => None,
    }
}

/// Where the lanes start that start at a time.
async fn at_time(cluster: &Cluster, topics: &[TopicFacts]) -> Result<HashMap<TopicPartition, Offset>, Error> {
    let mut by_time: BTreeMap<i64, Vec<TopicPartition>> = BTreeMap::new();
    for topic in topics {
        if let Start::At(time) = topic.settings.start {
            by_time.entry(time).or_default().extend(lanes_of(topic));
        }
    }
    let mut found = HashMap::new();
    for (time, lanes) in by_time {
        let offsets = refused(cluster.offsets_at(&lanes, time).await)?.unwrap_or_default();
        found.extend(offsets.into_iter().filter_map(|(lane, offset)| Some((lane, offset.ok()??))));
    }
    Ok(found)
}

/// Whether topics have records older than their target topics take.
pub(crate) async fn look_for_old(cluster: &Cluster, topics: &mut [TopicFacts]) -> Result<(), Error> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let now = i64::try_from(now.as_millis()).unwrap_or(i64::MAX);
    let mut by_bound: BTreeMap<i64, Vec<&mut TopicFacts>> = BTreeMap::new();
    for topic in topics {
        let TargetFacts::There { configs: Ok(configs), .. } = &topic.target else { continue };
        let Some(bound) = timestamp_bound(configs, "message.timestamp.before.max.ms") else { continue };
        by_bound.entry(bound).or_default().push(topic);
    }
    for (bound, topics) in by_bound {
        let lanes: Vec<_> = topics.iter().flat_map(|topic| lanes_of(topic)).collect();
        let starts = refused(cluster.start_offsets(&lanes).await)?.unwrap_or_default();
        let ends = refused(cluster.end_offsets(&lanes, Isolation::Uncommitted).await)?.unwrap_or_default();
        let young = refused(cluster.offsets_at(&lanes, now.saturating_sub(bound)).await)?;
        let Ok(young) = young else { continue };
        let has_older = |lane: &TopicPartition| {
            let first = offset(&starts, lane)?;
            // Where all are older, the first young one is the next.
            let young = young.get(lane)?.as_ref().ok()?.or(offset(&ends, lane))?;
            Some(young > first)
        };
        for topic in topics {
            topic.too_old = Some(lanes_of(topic).any(|lane| has_older(&lane) == Some(true)));
        }
    }
    Ok(())
}

/// The partitions of a topic that have a leader to be asked.
fn partitions(topic: &str, info: &TopicInfo) -> impl Iterator<Item = TopicPartition> + use<> {
    let topic: Arc<str> = topic.into();
    let leaderless = info.leaderless.clone();
    (0..info.partitions)
        .filter(move |partition| !leaderless.contains(partition))
        .map(move |partition| TopicPartition::new(topic.clone(), partition))
}

pub(crate) fn lanes_of(topic: &TopicFacts) -> impl Iterator<Item = TopicPartition> + use<> {
    let info = topic.info.as_ref().ok();
    info.map(|info| partitions(&topic.topic, info)).into_iter().flatten()
}

pub(crate) fn offset(offsets: &Offsets, lane: &TopicPartition) -> Option<Offset> {
    offsets.get(lane)?.as_ref().ok().copied()
}

fn span(from: Option<Offset>, to: Option<Offset>) -> Option<u64> {
    u64::try_from((to? - from?).max(0)).ok()
}
