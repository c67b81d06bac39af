//! Committing what was planned, for one group; the target is looked at again right before.

use std::{collections::BTreeMap, sync::Arc};

use futures::future::try_join;
use kafka_wire::{Client, Code, Commit, Committed, DescribedGroup, GroupOffsets};
use mirror_types::TopicPartition;

use crate::{
    lane::Lane,
    plan::{GroupPlan, Outcome, Rule, Step, explained, plan},
};

/// Commits on the target what is to be committed of a plan, as the group is there now: what has changed since is planned
/// anew. What became of it is in the plan that comes back.
///
/// The coordinator refuses it by itself if the group has got members since it was looked at.
pub async fn commit(
    target: &Client,
    planned: &GroupPlan,
    lanes: &BTreeMap<TopicPartition, Lane>,
    rule: Rule,
) -> GroupPlan {
    let group = &*planned.group;
    if !planned.has(Outcome::Commit) {
        return planned.clone();
    }
    let (activity, offsets) = match state_of(target, group).await {
        Ok(now) => now,
        Err(error) => {
            let failed = GroupPlan::failed(group, &error, "target");
            return GroupPlan { partitions: planned.partitions.clone(), ..failed };
        }
    };
    let (open, done): (Vec<&Step>, Vec<&Step>) =
        planned.partitions.iter().partition(|step| step.outcome == Outcome::Commit);
    let source = open
        .iter()
        .filter_map(|step| as_committed(step))
        .map(|(at, committed)| (at, Ok(committed)))
        .collect();
    let anew = plan(group, &source, &offsets, activity.as_ref(), lanes, |_| true, rule);
    let mut steps = anew.partitions;
    commit_steps(target, group, &mut steps).await;
    steps.extend(done.into_iter().cloned());
    steps.sort_by(|a, b| (&a.topic, a.partition).cmp(&(&b.topic, b.partition)));
    GroupPlan { target: anew.target, partitions: steps, ..planned.clone() }
}

async fn commit_steps(target: &Client, group: &str, steps: &mut [Step]) {
    let mut open: Vec<&mut Step> = steps.iter_mut().filter(|step| step.outcome == Outcome::Commit).collect();
    let commit = |step: &&mut Step| Commit {
        topic: Arc::from(&*step.target_topic),
        partition: step.partition,
        committed: Committed {
            offset: step.target_offset_then.unwrap_or(-1),
            // Epochs are a cluster's own: the source's would be taken for a truncation, or for the future.
            leader_epoch: -1,
            metadata: step.metadata.clone(),
        },
    };
    let commits: Vec<Commit> = open.iter().map(commit).collect();
    if commits.is_empty() {
        return;
    }
    let outcomes = match target.commit_offsets(group, &commits).await {
        Ok(outcomes) => outcomes,
        Err(error) => vec![Err(error); commits.len()],
    };
    for (step, outcome) in open.iter_mut().zip(outcomes) {
        (step.outcome, step.reason) = match outcome {
            Ok(()) => (Outcome::Committed, step.reason.take()),
            Err(error) if is_active(&error) => {
                let reason = "the group has members on the target since a moment ago: its offsets are theirs";
                (Outcome::Refused, Some(reason.to_owned()))
            }
            Err(error) => (Outcome::Failed, Some(explained(&error, "target"))),
        };
    }
}

/// What a coordinator says to who is no member, if there are members.
fn is_active(error: &kafka_wire::Error) -> bool {
    matches!(
        error.code(),
        Some(
            Code::UnknownMemberId
                | Code::IllegalGeneration
                | Code::RebalanceInProgress
                | Code::StaleMemberEpoch
        )
    )
}

fn as_committed(step: &Step) -> Option<((Arc<str>, i32), Committed)> {
    let committed =
        Committed { offset: step.source_offset?, leader_epoch: -1, metadata: step.metadata.clone() };
    Some(((Arc::from(&*step.topic), step.partition), committed))
}

/// What a group is doing on the target, and what it has committed there.
pub async fn state_of(
    target: &Client,
    group: &str,
) -> Result<(Option<DescribedGroup>, GroupOffsets), kafka_wire::Error> {
    try_join(target.describe_group(group), target.group_offsets(group)).await
}
