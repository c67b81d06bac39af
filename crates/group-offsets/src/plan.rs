//! What a group's offsets on the target are to become. Pure.

use std::collections::BTreeMap;

use kafka_wire::{Committed, DescribedGroup, GroupOffsets};
use mirror_types::{Offset, TopicPartition};
use serde::Serialize;

use crate::lane::{Lane, Missing, Place, Why};

/// What may be done.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Rule {
    /// Whether an offset on the target may become smaller.
    pub backwards: bool,
}

/// A group, and what is to be done with each of its partitions.
#[derive(Debug, Clone, Serialize)]
pub struct GroupPlan {
    /// Its name.
    pub group: String,
    /// What it is doing on the target; none if it is not there.
    pub target: Option<Activity>,
    /// Each partition that it has committed an offset for on the source, and that the link mirrors.
    pub partitions: Vec<Step>,
    /// Topics that it has committed offsets for, and that the link does not mirror.
    pub not_mirrored: Vec<String>,
    /// Why nothing could be found out about it, or done.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trouble: Option<String>,
    /// Whether that is because the target, or the source, was not reached.
    #[serde(skip)]
    pub unreachable: bool,
}

/// What a group is doing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Activity {
    /// In its coordinator's word: `Empty`, `Stable`.
    pub state: String,
    /// How many members it has.
    pub members: usize,
}

/// What is to become of one partition's offset.
#[derive(Debug, Clone, Serialize)]
pub struct Step {
    /// The source topic.
    pub topic: String,
    /// The target topic.
    pub target_topic: String,
    /// The partition, on both sides.
    pub partition: i32,
    /// What the group has committed on the source, or where it is to begin.
    pub source_offset: Option<Offset>,
    /// What it has on the target; none if nothing.
    pub target_offset_now: Option<Offset>,
    /// What it is to have on the target; none where that can't be said.
    pub target_offset_then: Option<Offset>,
    /// Source offsets that a consumer that goes on there reads again.
    pub read_again: u64,
    /// Source offsets that it should still read, and that lie before the lane's start: they are not on the target.
    pub absent: u64,
    /// How the offset was found.
    pub how: Option<Why>,
    /// What is to be done, or was.
    pub outcome: Outcome,
    /// Why nothing is done, or what should be known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// What the group has noted beside its offset.
    #[serde(skip)]
    pub metadata: String,
}

/// What is done with an offset.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It is to be committed.
    Commit,
    /// It was committed.
    Committed,
    /// It is there already.
    Same,
    /// It must not be committed.
    Refused,
    /// It could not be read or committed.
    Failed,
}

/// What a group's offsets on the target are to become, which has, or is to go on at, these
/// on the source, and has these on the target. `mirrors`: whether the link mirrors a topic, though it may not have begun it yet.
pub fn plan(
    group: &str,
    source: &GroupOffsets,
    target: &GroupOffsets,
    activity: Option<&DescribedGroup>,
    lanes: &BTreeMap<TopicPartition, Lane>,
    mirrors: impl Fn(&str) -> bool,
    rule: Rule,
) -> GroupPlan {
    let mut plan = GroupPlan::new(group);
    for ((topic, partition), committed) in source {
        let at = TopicPartition::new(topic.clone(), *partition);
        let Some(lane) = lanes.get(&at) else {
            if mirrors(topic) {
                let committed = committed.as_ref().ok();
                plan.partitions.push(Step::unbegun(&at, committed));
            } else if plan.not_mirrored.last().is_none_or(|last| **last != **topic) {
                plan.not_mirrored.push(topic.to_string());
            }
            continue;
        };
        let now = target.get(&(lane.target_topic.as_str().into(), *partition));
        plan.partitions.push(Step::new(lane, committed, now, rule));
    }
    plan.seen_on_target(activity);
    plan
}

// === impl GroupPlan ===

impl GroupPlan {
    /// Nothing is known of it yet.
    pub fn new(group: &str) -> Self {
        Self {
            group: group.to_owned(),
            target: None,
            partitions: Vec::new(),
            not_mirrored: Vec::new(),
            trouble: None,
            unreachable: false,
        }
    }

    /// Nothing can be known of it, or done.
    pub fn failed(group: &str, error: &kafka_wire::Error, side: &str) -> Self {
        Self {
            trouble: Some(explained(error, side)),
            unreachable: error.is_unreachable(),
            ..Self::new(group)
        }
    }

    /// What the group is doing on the target: nothing is committed while that is anything at all.
    fn seen_on_target(&mut self, activity: Option<&DescribedGroup>) {
        self.target = activity.map(|found| Activity { state: found.state.clone(), members: found.members });
        let Some(active) = activity.filter(|found| !found.is_empty()) else { return };
        let members = match active.members {
            1 => "a member".to_owned(),
            members => format!("{members} members"),
        };
        let reason = format!(
            "the group has {members} on the target ({}): its offsets there are theirs; stop them first",
            active.state
        );
        for step in self.partitions.iter_mut().filter(|step| step.outcome == Outcome::Commit) {
            (step.outcome, step.reason) = (Outcome::Refused, Some(reason.clone()));
        }
    }

    /// Whether there is a partition with this outcome.
    pub fn has(&self, outcome: Outcome) -> bool {
        self.partitions.iter().any(|step| step.outcome == outcome)
    }

    /// Whether the target's offsets are what the source's are, as far as they can be.
    pub fn is_in_step(&self) -> bool {
        let done = |step: &Step| {
            matches!(step.outcome, Outcome::Same | Outcome::Committed)
                && step.how != Some(Why::NotMirroredYet)
        };
        self.trouble.is_none() && self.partitions.iter().all(done)
    }
}

/// What an error means for whoever wants to carry over a group.
pub fn explained(error: &kafka_wire::Error, side: &str) -> String {
    let fix = match error.is_not_authorized() {
        true if side == "source" => "\n  fix: grant DESCRIBE on the group and on its topics on the source",
        true => "\n  fix: grant READ on the group and on its topics on the target",
        false => "",
    };
    format!("{side}: {error}{fix}")
}

// === impl Step ===

impl Step {
    /// What the group has on the target by now; none if nothing.
    pub fn target_offset(&self) -> Option<Offset> {
        if self.outcome == Outcome::Committed { self.target_offset_then } else { self.target_offset_now }
    }

    fn new(
        lane: &Lane,
        source: &Result<Committed, kafka_wire::Error>,
        target: Option<&Result<Committed, kafka_wire::Error>>,
        rule: Rule,
    ) -> Self {
        let step = Self::of(&lane.at(), &lane.target_topic);
        let committed = match source {
            Ok(committed) => committed,
            Err(error) => return step.ends(Outcome::Failed, explained(error, "source")),
        };
        let step =
            Self { source_offset: Some(committed.offset), metadata: committed.metadata.clone(), ..step };
        let now = match target {
            Some(Err(error)) => return step.ends(Outcome::Failed, explained(error, "target")),
            Some(Ok(committed)) => Some(committed.offset),
            None => None,
        };
        let step = Self { target_offset_now: now, ..step };
        if let Some(trouble) = &lane.trouble {
            return step.ends(Outcome::Refused, trouble.clone());
        }
        match lane.place(committed.offset) {
            Ok(place) => step.at_place(lane, committed.offset, place, rule),
            Err(Missing { from, to }) => step.ends(
                Outcome::Refused,
                format!(
                    "the marks from source offset {from} to {to} are missing, so nobody knows where it lies on the \
                     target; `reset` sets it to another"
                ),
            ),
        }
    }

    fn at_place(mut self, lane: &Lane, source: Offset, place: Place, rule: Rule) -> Self {
        let Place { target, read_again, absent, why } = place;
        (self.target_offset_then, self.how) = (Some(target), Some(why));
        (self.read_again, self.absent) = (read_again, absent);
        self.reason = remark(lane, source, &place);
        match self.target_offset_now {
            Some(now) if now == target => self.outcome = Outcome::Same,
            // Of two orders neither is behind the other: what it has there it has for a reason.
            Some(now) if now > target && why == Why::TwoOrders && !rule.backwards => {
                self.outcome = Outcome::Same;
                self.reason = Some(format!("it is further on there than what it has read here: at {now}"));
            }
            Some(now) if now > target && !rule.backwards => {
                let reason = format!(
                    "it would go backwards, from target offset {now} to {target}; --allow-backwards does so"
                );
                return self.ends(Outcome::Refused, reason);
            }
            _ => self.outcome = Outcome::Commit,
        }
        self
    }

    /// The link mirrors the topic, but there is no lane yet.
    fn unbegun(at: &TopicPartition, committed: Option<&Committed>) -> Self {
        let step = Self { source_offset: committed.map(|c| c.offset), ..Self::of(at, &at.topic) };
        step.ends(Outcome::Refused, "its lane has not begun yet".to_owned())
    }

    fn of(at: &TopicPartition, target_topic: &str) -> Self {
        Self {
            topic: at.topic.to_string(),
            target_topic: target_topic.to_owned(),
            partition: at.partition,
            source_offset: None,
            target_offset_now: None,
            target_offset_then: None,
            read_again: 0,
            absent: 0,
            how: None,
            outcome: Outcome::Commit,
            reason: None,
            metadata: String::new(),
        }
    }

    pub(crate) fn ends(self, outcome: Outcome, reason: String) -> Self {
        Self { outcome, reason: Some(reason), ..self }
    }
}

/// What should be known of an offset that is carried over.
fn remark(lane: &Lane, source: Offset, place: &Place) -> Option<String> {
    let mut said = Vec::new();
    if place.absent > 0 {
        said.push(format!(
            "the lane began at source offset {}: {} offsets before it are not on the target",
            lane.start.source, place.absent
        ));
    }
    if place.why == Why::NotMirroredYet {
        said.push(format!("{} source offsets before it are not mirrored yet", place.read_again));
    }
    if let Some(low) = lane.source_low.filter(|low| source < *low) {
        said.push(format!(
            "the source's log begins at {low}: retention has overtaken the group there by {} offsets",
            low - source
        ));
    }
    if let Some(low) = lane.target_low.filter(|low| place.target < *low) {
        said.push(format!("the target's log begins at {low}: a consumer is out of range there"));
    }
    (!said.is_empty()).then(|| said.join("; "))
}
