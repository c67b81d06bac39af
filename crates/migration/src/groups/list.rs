//! Which groups there are on both sides, what they are doing, and how far behind they are. Needs no marks.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};

use futures::{StreamExt, stream};
use group_offsets::Chosen;
use kafka_wire::{GroupOffsets, ListedGroup, OffsetSpec};
use mirror_types::{Offset, Side};
use serde::Serialize;

use super::{AT_ONCE, Error, Request, gather::offsets};
use crate::sides::{BySide, Clusters, topics};

/// All groups that are meant, by their names.
#[derive(Debug, Clone, Serialize)]
pub struct Listing {
    /// The link.
    pub link: String,
    /// The source cluster's name.
    pub source: String,
    /// The target cluster's name.
    pub target: String,
    /// Each group.
    pub groups: Vec<GroupRow>,
}

/// A group.
#[derive(Debug, Clone, Serialize)]
pub struct GroupRow {
    /// Its name.
    pub group: String,
    /// Of which protocol it is, where a broker tells.
    pub kind: Option<String>,
    /// On the source; none if it is not there.
    pub on_source: Option<OnSide>,
    /// On the target; none if it is not there.
    pub on_target: Option<OnSide>,
    /// Why nothing is ever done for it, if that is so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub left_out: Option<&'static str>,
    /// What could not be found out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trouble: Option<String>,
}

/// A group on one side.
#[derive(Debug, Clone, Serialize)]
pub struct OnSide {
    /// What it is doing.
    pub state: String,
    /// How many members it has.
    pub members: usize,
    /// For how many partitions of mirrored topics it has committed an offset.
    pub partitions: usize,
    /// Offsets that lie behind those, to the logs' ends.
    pub lag: u64,
}

/// What a group has on one side.
type Known = (Option<(String, usize)>, GroupOffsets);

/// Lists them.
pub async fn list(request: &Request) -> Result<Listing, Error> {
    let link = &request.link;
    let clusters = Clusters::new(link, request.timeout)?;
    let listed = BySide {
        source: listed(&clusters, Side::Source).await?,
        target: listed(&clusters, Side::Target).await?,
    };
    let asked = |topic: &str| request.topics.is_empty() || request.topics.iter().any(|t| t == topic);
    let mirrored: Vec<(String, String)> = topics(&clusters, Side::Source)
        .await?
        .into_keys()
        .filter(|topic| asked(topic))
        .filter_map(|topic| link.rules.target(&topic).map(|target| (topic, target)))
        .collect();
    let topics_of = BySide {
        source: mirrored.iter().map(|(source, _)| source.clone()).collect::<BTreeSet<_>>(),
        target: mirrored.iter().map(|(_, target)| target.clone()).collect(),
    };
    let names: BTreeSet<&String> = listed.source.keys().chain(listed.target.keys()).collect();
    let mut rows = Vec::new();
    for name in names {
        let found = listed.source.get(name).or(listed.target.get(name));
        let Some(group) = found else { continue };
        let left_out = match request.choice.of(group) {
            Chosen::Yes => None,
            Chosen::No => continue,
            Chosen::LeftOut(reason) => Some(reason),
        };
        rows.push(GroupRow {
            group: name.clone(),
            kind: group.kind.clone(),
            on_source: None,
            on_target: None,
            left_out,
            trouble: None,
        });
    }
    for side in [Side::Source, Side::Target] {
        on_side(&clusters, side, listed.of(side), topics_of.of(side), &mut rows).await?;
    }
    Ok(Listing {
        link: link.link.clone(),
        source: link.source.name.clone(),
        target: link.target.name.clone(),
        groups: rows,
    })
}

async fn listed(clusters: &Clusters, side: Side) -> Result<BTreeMap<String, ListedGroup>, Error> {
    clusters.client(side).list_groups().await.map_err(|error| clusters.error(side, error))
}

/// Fills in what the groups are on one side.
async fn on_side(
    clusters: &Clusters,
    side: Side,
    listed: &BTreeMap<String, ListedGroup>,
    topics: &BTreeSet<String>,
    rows: &mut [GroupRow],
) -> Result<(), Error> {
    let client = clusters.client(side);
    let ask = |(row, group): (usize, &ListedGroup)| {
        let group = group.clone();
        async move {
            let known = async {
                let described = client.describe_group(&group.name).await?;
                let state = described.map(|found| (found.state, found.members));
                let state = state.or_else(|| Some((group.state.clone()?, 0)));
                Ok::<Known, kafka_wire::Error>((state, client.group_offsets(&group.name).await?))
            };
            (row, known.await)
        }
    };
    let there: Vec<_> =
        rows.iter().enumerate().filter_map(|(n, row)| Some((n, listed.get(&row.group)?))).collect();
    let known: Vec<_> = stream::iter(there).map(ask).buffered(AT_ONCE).collect().await;
    let all = known.iter().filter_map(|(_, known)| known.as_ref().ok());
    let partitions: BTreeSet<(Arc<str>, i32)> = all
        .flat_map(|(_, offsets)| offsets.keys())
        .filter(|(topic, _)| topics.contains(&**topic))
        .cloned()
        .collect();
    let partitions: Vec<(&str, i32)> = partitions.iter().map(|(topic, p)| (&**topic, *p)).collect();
    let ends: HashMap<(&str, i32), Offset> = partitions
        .iter()
        .copied()
        .zip(offsets(client, &partitions, OffsetSpec::Latest).await)
        .filter_map(|(at, end)| Some((at, end.ok()?)))
        .collect();
    for (row, known) in known {
        let row = &mut rows[row];
        match known {
            Ok((state, offsets)) => {
                let found = summed(state, &offsets, &ends);
                match side {
                    Side::Source => row.on_source = Some(found),
                    Side::Target => row.on_target = Some(found),
                }
            }
            Err(error) if error.is_unreachable() => return Err(clusters.error(side, error)),
            Err(error) => row.trouble = Some(group_offsets::explained(&error, &side.to_string())),
        }
    }
    Ok(())
}

fn summed(
    state: Option<(String, usize)>,
    offsets: &GroupOffsets,
    ends: &HashMap<(&str, i32), Offset>,
) -> OnSide {
    let (state, members) = state.unwrap_or_else(|| ("Dead".to_owned(), 0));
    let lags = offsets.iter().filter_map(|((topic, partition), committed)| {
        let end = ends.get(&(&**topic, *partition))?;
        Some(u64::try_from(end - committed.as_ref().ok()?.offset).unwrap_or(0))
    });
    let lags: Vec<u64> = lags.collect();
    OnSide { state, members, partitions: lags.len(), lag: lags.iter().sum() }
}
