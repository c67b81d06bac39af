//! Consumer groups while nobody writes: who reads still, and what they have committed on the source is on the target.

use std::{collections::BTreeSet, time::Duration};

use futures::{StreamExt, stream};
use group_offsets::{Chosen, Outcome, Rule, Step};
use mirror_types::Side;
use pipeline::LinkConfig;

use super::{Facts, GroupMoved, Plan, drive::Trouble};
use crate::{
    groups::{self, Prepared},
    sides::Clusters,
    words::{counted, few},
};

/// Groups that are asked about at the same time.
const AT_ONCE: usize = 8;

/// A member of a group that reads, or may read, what is cut over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Reader {
    pub(crate) group: String,
    pub(crate) side: Side,
    client: String,
    host: String,
    /// The topics it has partitions of, as far as that can be told.
    pub(crate) topics: Vec<String>,
}

impl std::fmt::Display for Reader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { group, side, client, host, .. } = self;
        write!(f, "group {group} has the member {client} ({}) on the {side}", host.trim_start_matches('/'))
    }
}

/// The members, on either side, of groups that are carried over and read these topics.
pub(crate) async fn readers(
    link: &LinkConfig,
    clusters: &Clusters,
    plan: &Plan,
) -> Result<Vec<Reader>, Trouble> {
    let choice = &link.groups.choice;
    if choice.is_empty() {
        return Ok(Vec::new());
    }
    let mut readers = Vec::new();
    for side in [Side::Source, Side::Target] {
        let client = clusters.client(side);
        let of = |error| Trouble::of(clusters.error(side, error));
        let listed = client.list_groups().await.map_err(of)?;
        let chosen = listed.into_values().filter(|group| choice.of(group) == Chosen::Yes);
        // Where a broker tells states, those are left out that nobody is in.
        let awake = chosen.filter(|group| !matches!(group.state.as_deref(), Some("Empty" | "Dead")));
        let topics: BTreeSet<&str> = plan
            .topics
            .iter()
            .map(|route| if side == Side::Source { &*route.topic } else { &*route.target_topic })
            .collect();
        let topics = &topics;
        let one = |group: kafka_wire::ListedGroup| async move {
            let members = client.describe_members(&group.name).await?;
            let reads = |topics_of: &[String]| topics_of.iter().any(|topic| topics.contains(topic.as_str()));
            let assigned = members.iter().any(|member| reads(&member.topics));
            let concerned = assigned
                || !members.is_empty()
                    && client
                        .group_offsets(&group.name)
                        .await?
                        .keys()
                        .any(|(topic, _)| topics.contains(&**topic));
            let reader = |member: kafka_wire::GroupMember| Reader {
                group: group.name.clone(),
                side,
                client: member.client,
                host: member.host,
                topics: member.topics,
            };
            Ok(members.into_iter().filter(|_| concerned).map(reader).collect::<Vec<_>>())
        };
        let found: Vec<Result<Vec<Reader>, kafka_wire::Error>> =
            stream::iter(awake).map(one).buffered(AT_ONCE).collect().await;
        for found in found {
            readers.extend(found.map_err(of)?);
        }
    }
    Ok(readers)
}

/// What would be carried over.
pub(crate) async fn prepared(
    link: &LinkConfig,
    timeout: Duration,
    plan: &Plan,
    rule: Rule,
) -> Result<Option<Prepared>, Trouble> {
    let choice = link.groups.choice.clone();
    if choice.is_empty() {
        return Ok(None);
    }
    let asked =
        groups::Request { link: link.clone(), timeout, choice, named: false, topics: plan.sources(), rule };
    Ok(Some(groups::prepare_anyway(&asked).await.map_err(Trouble::of)?))
}

/// Which of these groups, that have members on the target, is behind there, if one is: it would read again what it has read, or
/// find no offset at all.
pub(crate) async fn behind_there(
    link: &LinkConfig,
    timeout: Duration,
    plan: &Plan,
    rule: Rule,
    early: &BTreeSet<String>,
) -> Result<Option<String>, Trouble> {
    if early.is_empty() {
        return Ok(None);
    }
    let Some(planned) = prepared(link, timeout, plan, rule).await? else { return Ok(None) };
    let report = planned.report();
    let found = report.groups.iter().filter(|group| early.contains(&group.group)).find_map(|group| {
        let is_behind =
            |step: &&Step| step.target_offset_then.is_some_and(|then| step.target_offset_now < Some(then));
        group.partitions.iter().find(is_behind).map(|step| (&group.group, step))
    });
    Ok(found.map(|(group, step)| {
        format!(
            "group {group} has a member on {}, and is behind there in {}[{}]: stop it; one that died is gone once its session \
             is over",
            link.target.name, step.target_topic, step.partition
        )
    }))
}

/// Carries all over, but for these groups, and looks whether it is.
pub(crate) async fn carry_over(
    link: &LinkConfig,
    timeout: Duration,
    plan: &Plan,
    rule: Rule,
    but_for: &BTreeSet<String>,
) -> Result<Facts, Trouble> {
    let Some(mut planned) = prepared(link, timeout, plan, rule).await? else {
        return Ok(Facts::says("no groups are named: [groups] has no include"));
    };
    planned.apply().await;
    let report = planned.report();
    let all = || {
        let concerned = report.groups.iter().filter(|group| !but_for.contains(&group.group));
        concerned.filter(|group| !group.partitions.is_empty() || group.trouble.is_some())
    };
    if let Some(group) = all().find(|group| !group.is_in_step()) {
        let step =
            group.partitions.iter().find(|step| !matches!(step.outcome, Outcome::Same | Outcome::Committed));
        let reason = group.trouble.clone().or_else(|| step?.reason.clone()).unwrap_or_default();
        let at = step.map_or_else(String::new, |step| format!(", {}[{}]", step.topic, step.partition));
        let what = format!("the offsets of group {}{at} are not on the target: {reason}", group.group);
        let fix = "isomirror groups CONFIG plan shows them all";
        // What is mirrored is on record a moment later.
        let passes = report.is_unreachable() || step.is_none_or(|step| step.outcome == Outcome::Failed);
        let trouble = Trouble::refused(what, fix);
        return Err(if passes { trouble.passing() } else { trouble });
    }
    let moved: Vec<GroupMoved> = all()
        .map(|group| GroupMoved { group: group.group.clone(), partitions: group.partitions.len() })
        .collect();
    let offsets: usize = moved.iter().map(|group| group.partitions).sum();
    let mut says = format!("{}, {}", counted(moved.len(), "group"), counted(offsets, "offset"));
    if !report.left_out.is_empty() {
        says.push_str(&format!(
            "; left out: {}",
            few(report.left_out.iter().map(|group| group.group.clone()))
        ));
    }
    if !but_for.is_empty() {
        says.push_str(&format!(
            "; left alone, as they have members on the target: {}",
            few(but_for.iter().cloned())
        ));
    }
    Ok(Facts { says, groups: moved, ..Facts::default() })
}
