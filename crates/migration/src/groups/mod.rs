//! Consumer groups' offsets, from the source to the target: by the link's marks, exactly. Changes groups on the target only,
//! and only by what [`Prepared::apply`] is called for.
//!
//! ```text
//! groups of the source ─► what they have committed ─► marks, ends ─► what they have on the target ─► Prepared ─► apply
//! ```
//! In this order: what was read and committed on the source before is mirrored, if it is, by what is looked at later. The
//! rules are `group_offsets`'.

mod gather;
mod list;
mod report;
mod reset;

use std::{collections::BTreeMap, time::Duration};

use futures::{StreamExt, stream};
use group_offsets::{Choice, Chosen, GroupPlan, Lane, Rule, commit, plan, state_of};
use kafka_wire::{GroupOffsets, ListedGroup};
use mirror_types::{Offset, Side, TopicPartition};
use pipeline::LinkConfig;

pub(crate) use self::gather::{begun, offsets};
pub use self::{
    list::{GroupRow, Listing, OnSide, list},
    report::{LeftOut, Report, Totals},
    reset::{Reset, To, reset},
};
pub use crate::sides::Error;
use crate::sides::{Clusters, refuse_at_rest};

/// Groups that are asked about at the same time.
const AT_ONCE: usize = 32;
/// A link that runs has recorded its marks after this long: it does so every second.
const RECORDED: Duration = Duration::from_secs(2);

/// What is to be carried over.
#[derive(Clone)]
pub struct Request {
    /// The link.
    pub link: LinkConfig,
    /// What each question to a cluster is given.
    pub timeout: Duration,
    /// Which groups.
    pub choice: Choice,
    /// Whether each pattern of the choice has to find a group: somebody has just named it.
    pub named: bool,
    /// Only these topics, by their names on the source; all if there are none.
    pub topics: Vec<String>,
    /// What may be done.
    pub rule: Rule,
}

/// What would be done, and what it takes to do it.
pub struct Prepared {
    link: LinkConfig,
    clusters: Clusters,
    lanes: BTreeMap<TopicPartition, Lane>,
    rule: Rule,
    groups: Vec<GroupPlan>,
    left_out: Vec<LeftOut>,
}

/// Finds out what would be done. Changes nothing.
pub async fn prepare(request: &Request) -> Result<Prepared, Error> {
    refuse_at_rest(&request.link, &Clusters::new(&request.link, request.timeout)?).await?;
    prepare_anyway(request).await
}

/// The same whether the link rests or not: for who has it rest.
pub(crate) async fn prepare_anyway(request: &Request) -> Result<Prepared, Error> {
    let link = &request.link;
    let clusters = Clusters::new(link, request.timeout)?;
    let found = Found::of(request, &clusters).await?;
    let committed = committed(&clusters, &found.groups, &request.topics).await?;
    let wanted = wanted(&committed);
    let mut lanes = gather::lanes(link, &clusters, &request.topics, &wanted).await?;
    if lanes.values().any(|lane| wanted[&lane.at()].iter().any(|offset| lane.awaits_marks(*offset))) {
        tokio::time::sleep(RECORDED).await;
        lanes = gather::lanes(link, &clusters, &request.topics, &wanted).await?;
    }
    let (target, rules) = (clusters.client(Side::Target), &link.rules);
    let (lanes_of, rule) = (&lanes, request.rule);
    let group = |(group, offsets): Committed| async move {
        let offsets = match offsets {
            Ok(offsets) => offsets,
            Err(error) => return GroupPlan::failed(&group, &error, "source"),
        };
        if offsets.is_empty() {
            return GroupPlan::new(&group);
        }
        match state_of(target, &group).await {
            Ok((activity, on_target)) => {
                let mirrors = |topic: &str| rules.includes(topic);
                plan(&group, &offsets, &on_target, activity.as_ref(), lanes_of, mirrors, rule)
            }
            Err(error) => GroupPlan::failed(&group, &error, "target"),
        }
    };
    let groups = stream::iter(committed).map(group).buffered(AT_ONCE).collect().await;
    Ok(Prepared { link: link.clone(), groups, rule, left_out: found.left_out, lanes, clusters })
}

/// The offsets that have to be found, by lane.
fn wanted(committed: &[Committed]) -> BTreeMap<TopicPartition, Vec<Offset>> {
    let mut wanted: BTreeMap<TopicPartition, Vec<Offset>> = BTreeMap::new();
    for offsets in committed.iter().filter_map(|(_, offsets)| offsets.as_ref().ok()) {
        for ((topic, partition), committed) in offsets {
            let wanted = wanted.entry(TopicPartition::new(topic.clone(), *partition)).or_default();
            wanted.extend(committed.as_ref().ok().map(|committed| committed.offset));
        }
    }
    wanted
}

/// A group, and what it has committed on the source.
type Committed = (String, Result<GroupOffsets, kafka_wire::Error>);

/// What groups have committed on the source, of the topics that are asked for.
async fn committed(
    clusters: &Clusters,
    groups: &[ListedGroup],
    topics: &[String],
) -> Result<Vec<Committed>, Error> {
    let client = clusters.client(Side::Source);
    let one = |group: &ListedGroup| {
        let group = group.name.clone();
        async move {
            let mut offsets = client.group_offsets(&group).await;
            if let Ok(offsets) = &mut offsets {
                offsets.retain(|(topic, _), _| topics.is_empty() || topics.iter().any(|t| **t == **topic));
            }
            (group, offsets)
        }
    };
    let all: Vec<_> = stream::iter(groups).map(one).buffered(AT_ONCE).collect().await;
    let gone = all.iter().find_map(|(_, offsets)| offsets.as_ref().err().filter(|e| e.is_unreachable()));
    match gone {
        Some(error) => Err(clusters.error(Side::Source, error.clone())),
        None => Ok(all),
    }
}

/// The groups of the source that are meant.
struct Found {
    groups: Vec<ListedGroup>,
    left_out: Vec<LeftOut>,
}

impl Found {
    async fn of(request: &Request, clusters: &Clusters) -> Result<Self, Error> {
        let listed = clusters.client(Side::Source).list_groups().await;
        let listed = listed.map_err(|error| clusters.error(Side::Source, error))?;
        if request.named {
            let found = |pattern: &topic_rename::Pattern| listed.keys().any(|group| pattern.matches(group));
            if let Some(pattern) = request.choice.include.iter().find(|pattern| !found(pattern)) {
                return Err(Error::Refused {
                    what: format!(
                        "no group on {} is called {}, as far as may be seen",
                        clusters.name(Side::Source),
                        pattern.as_str()
                    ),
                    fix: "`isomirror groups CONFIG list` shows those there are; a group is seen by who may DESCRIBE it"
                        .to_owned(),
                });
            }
        }
        let mut found = Self { groups: Vec::new(), left_out: Vec::new() };
        for group in listed.into_values() {
            match request.choice.of(&group) {
                Chosen::Yes => found.groups.push(group),
                Chosen::No => {}
                Chosen::LeftOut(reason) => {
                    found.left_out.push(LeftOut { group: group.name, reason: reason.to_owned() });
                }
            }
        }
        Ok(found)
    }
}

// === impl Prepared ===

impl Prepared {
    /// What would be done, or was.
    pub fn report(&self) -> Report {
        Report::new(&self.link, &self.groups, &self.left_out)
    }

    /// The same in numbers: of very many groups and partitions that is much less.
    pub fn totals(&self) -> Totals {
        Totals::of(&self.groups)
    }

    /// Whether some group could not be looked after because a cluster was not reached.
    pub fn is_unreachable(&self) -> bool {
        self.groups.iter().any(|group| group.unreachable)
    }

    /// Does it: each group is looked at again right before its offsets are committed.
    pub async fn apply(&mut self) {
        let (target, lanes, rule) = (self.clusters.client(Side::Target), &self.lanes, self.rule);
        let planned = std::mem::take(&mut self.groups);
        let one = |group: GroupPlan| async move { commit(target, &group, lanes, rule).await };
        self.groups = stream::iter(planned).map(one).buffered(AT_ONCE).collect().await;
    }
}
