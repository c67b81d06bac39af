//! What would be done, or was: plain data, as JSON or for a person.

use std::collections::BTreeMap;

use kafka_wire::AclRule;
use serde::Serialize;
use serde_json::Value;
use target_diff::{Change, Held, Kept, LeftOut, Narrowed};

use crate::groups;

/// All that would be done, or was.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Report {
    /// The link.
    pub link: String,
    /// The source cluster's name.
    pub source: String,
    /// The target cluster's name.
    pub target: String,
    /// Whether it was done, or is only planned.
    pub applied: bool,
    /// Steps in all, without the groups'.
    pub totals: Totals,
    /// Topics to be made or grown.
    pub topics: Vec<Step<TopicStep>>,
    /// Configs to be set.
    pub configs: Vec<Step<ConfigStep>>,
    /// Configs that differ, and stay.
    pub configs_kept: Vec<ConfigKept>,
    /// ACLs; none where they are not looked at.
    pub acls: Option<AclPart>,
    /// Consumer groups; none where they are not looked at, or none are named.
    pub groups: Option<GroupPart>,
    /// What can't be done, or not be found out.
    pub refused: Vec<Refusal>,
    /// Whether a cluster was not reached.
    #[serde(skip)]
    pub unreachable: bool,
}

/// How many steps.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Totals {
    /// To be done.
    pub planned: usize,
    /// Done.
    pub done: usize,
    /// That can't be done: a right is missing, or the target is not suitable.
    pub refused: usize,
    /// That failed for another reason.
    pub failed: usize,
}

/// What came of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Nothing yet.
    Planned,
    /// It is done.
    Done,
    /// The cluster does not do it.
    Refused,
    /// It could not be asked for it.
    Failed,
}

/// One thing to be done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Step<T> {
    /// What.
    #[serde(flatten)]
    pub what: T,
    /// What came of it.
    pub outcome: Outcome,
    /// Why it was not done.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// Why a step was not done.
#[derive(Debug, Clone)]
pub enum NotDone {
    /// The cluster does not do it: its answer, and what mends it.
    Refused(String),
    /// It may do it another time.
    Failed(String),
    /// There was no answer.
    Unreachable(String),
}

/// A topic to be made or grown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "action", rename_all = "snake_case")]
pub enum TopicStep {
    /// To be made.
    Create {
        /// Its source topic.
        topic: String,
        /// Its name.
        target_topic: String,
        /// As many as the source topic has.
        partitions: i32,
        /// None for the target brokers' default.
        replication: Option<i32>,
        /// What is set on it.
        configs: BTreeMap<String, String>,
    },
    /// To get more partitions.
    Grow {
        /// Its source topic.
        topic: String,
        /// Its name.
        target_topic: String,
        /// How many it has.
        from_partitions: i32,
        /// How many it is to have in all.
        partitions: i32,
    },
}

/// A config to be set.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ConfigStep {
    /// The source topic.
    pub topic: String,
    /// The target topic.
    pub target_topic: String,
    /// What.
    #[serde(flatten)]
    pub change: Change,
}

/// A config that differs, and stays.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ConfigKept {
    /// The source topic.
    pub topic: String,
    /// The target topic.
    pub target_topic: String,
    /// Which.
    #[serde(flatten)]
    pub kept: Kept,
}

/// ACLs.
#[derive(Debug, Clone, Default, Serialize)]
pub struct AclPart {
    /// Why there is nothing to be done, or what should be known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// To be made.
    pub create: Vec<Step<AclRule>>,
    /// How many are there already.
    pub same: usize,
    /// Those that wait for the cutover: they say who may write.
    pub held_until_cutover: Vec<Held>,
    /// Rules of the source about more names than are mirrored: they become one for each that is.
    pub narrowed: Vec<Narrowed>,
    /// Rules of the source that are not carried over.
    pub left_out: Vec<LeftOut>,
    /// Rules of the target that the source has nothing of. They stay.
    pub excess: Vec<AclRule>,
    /// How many rules of the source are about something else.
    pub elsewhere: usize,
}

/// Consumer groups' offsets, in counts: `isomirror groups` has more of them.
#[derive(Debug, Clone, Default, Serialize)]
pub struct GroupPart {
    /// Over all groups.
    #[serde(flatten)]
    pub totals: groups::Totals,
    /// Why there is nothing to be done.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

/// Something that can't be done, or not be found out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Refusal {
    /// What it is about.
    pub about: String,
    /// Why, and what mends it.
    pub reason: String,
}

// === impl Step ===

impl<T> Step<T> {
    pub(super) fn planned(what: T) -> Self {
        Self { what, outcome: Outcome::Planned, reason: None }
    }

    /// Keeps what came of it. Whether the cluster was reached.
    pub(super) fn note(&mut self, done: Result<(), NotDone>) -> bool {
        let reached = !matches!(done, Err(NotDone::Unreachable(_)));
        (self.outcome, self.reason) = match done {
            Ok(()) => (Outcome::Done, None),
            Err(NotDone::Refused(reason)) => (Outcome::Refused, Some(reason)),
            Err(NotDone::Failed(reason) | NotDone::Unreachable(reason)) => (Outcome::Failed, Some(reason)),
        };
        reached
    }
}

// === impl TopicStep ===

impl TopicStep {
    /// The target topic.
    pub fn target_topic(&self) -> &str {
        match self {
            Self::Create { target_topic, .. } | Self::Grow { target_topic, .. } => target_topic,
        }
    }
}

// === impl Report ===

impl Report {
    /// Counts again.
    pub(super) fn count(&mut self) {
        let acls = self.acls.iter().flat_map(|acls| &acls.create).map(|step| step.outcome);
        let topics = self.topics.iter().map(|step| step.outcome);
        let configs = self.configs.iter().map(|step| step.outcome);
        let mut totals = Totals { refused: self.refused.len(), ..Totals::default() };
        for outcome in topics.chain(configs).chain(acls) {
            *match outcome {
                Outcome::Planned => &mut totals.planned,
                Outcome::Done => &mut totals.done,
                Outcome::Refused => &mut totals.refused,
                Outcome::Failed => &mut totals.failed,
            } += 1;
        }
        self.totals = totals;
    }

    /// How much is to be done, the groups' included.
    pub fn planned(&self) -> usize {
        self.totals.planned + self.of_groups(|totals| totals.commit)
    }

    /// How much was done.
    pub fn done(&self) -> usize {
        self.totals.done + self.of_groups(|totals| totals.committed)
    }

    /// How much can't be done.
    pub fn refused(&self) -> usize {
        self.totals.refused + self.of_groups(|totals| totals.refused)
    }

    /// How much failed.
    pub fn failed(&self) -> usize {
        self.totals.failed + self.of_groups(|totals| totals.failed + totals.groups_failed)
    }

    fn of_groups(&self, count: impl FnOnce(&groups::Totals) -> usize) -> usize {
        self.groups.as_ref().map_or(0, |groups| count(&groups.totals))
    }

    /// Whether this is still what a plan said that somebody has looked at: every step but the groups', whose offsets go on.
    /// The error names the first difference.
    pub fn is_as_reviewed(&self, reviewed: &Value) -> Result<(), String> {
        let now = serde_json::to_value(self).map_err(|error| error.to_string())?;
        for (what, at) in [
            ("the link", "/link"),
            ("the source", "/source"),
            ("the target", "/target"),
            ("topics", "/topics"),
            ("configs", "/configs"),
            ("ACLs to be made", "/acls/create"),
        ] {
            let (then, now) = (reviewed.pointer(at), now.pointer(at));
            if then != now {
                return Err(format!("{what}: {}", difference(then, now)));
            }
        }
        Ok(())
    }
}

/// The first that one has and the other has not.
fn difference(then: Option<&Value>, now: Option<&Value>) -> String {
    let list = |value: Option<&Value>| value.and_then(Value::as_array).cloned().unwrap_or_default();
    let (before, after) = (list(then), list(now));
    if let Some(new) = after.iter().find(|step| !before.contains(step)) {
        return format!("{new} is new");
    }
    if let Some(old) = before.iter().find(|step| !after.contains(step)) {
        return format!("{old} is there no more");
    }
    let shown = |value: Option<&Value>| value.map_or_else(|| "nothing".to_owned(), Value::to_string);
    format!("then {}, now {}", shown(then), shown(now))
}
