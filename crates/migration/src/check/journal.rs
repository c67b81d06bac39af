//! The link's journal, `isomirror.<link>.journal`: what operators have decided, and who may read and write it.

use cluster_admin::AclOperation;
use link_journal::{Decision, TopicState};
use mirror_types::Side;
use pipeline::Begin;

use super::{Facts, Finding, Severity, Subject, TargetFacts, control, rights::names};

/// The link's journal.
#[derive(Debug, Clone)]
pub struct JournalFacts {
    /// Its name.
    pub name: String,
    /// What the target shows of it.
    pub topic: TargetFacts,
    /// Topics that are not mirrored by what is decided there.
    pub held: Vec<Held>,
}

/// A topic that is not mirrored, as somebody has decided so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    /// Its name on the source.
    pub topic: String,
    /// What it is.
    pub state: TopicState,
    /// By whom.
    pub by: String,
    /// Why, if that is on record.
    pub why: Option<String>,
}

impl Held {
    /// By a decision.
    pub(crate) fn of(decision: &Decision) -> Self {
        Self {
            topic: decision.topic.clone(),
            state: decision.state,
            by: decision.by.to_string(),
            why: decision.why.clone(),
        }
    }
}

pub(crate) fn findings(facts: &Facts, found: &mut Vec<Finding>) {
    found.extend(right(facts));
    found.extend(facts.journal.held.iter().map(|held| left_over(facts, held)));
}

fn right(facts: &Facts) -> Option<Finding> {
    let journal = &facts.journal;
    let missing = control::missing(&journal.topic);
    let (words, operations) = names(&missing)?;
    let is_asked = facts.topics.iter().any(|topic| topic.settings.begin == Begin::Asked);
    let is_there = matches!(journal.topic, TargetFacts::There { .. });
    let (severity, why) = match () {
        () if is_asked => (Severity::Error, "with begin = \"asked\" topics begin by what is decided there"),
        () if is_there && missing.contains(&AclOperation::Read) => (
            Severity::Error,
            "it may say that topics are paused or stopped; while it can't be read no lane starts",
        ),
        () => (
            Severity::Info,
            "the link runs without it; `isomirror topics` and `cutover` keep there what is decided, and can't",
        ),
    };
    let subject = Subject::topic(Side::Target, &journal.name);
    let finding = Finding::new(severity, "journal-right", subject, format!("no {words} right on it"), why);
    Some(finding.fix(facts.target.grant(&operations, &format!("--topic {}", journal.name))))
}

fn left_over(facts: &Facts, held: &Held) -> Finding {
    let (verb, state) = match held.state {
        TopicState::Paused => ("resume", "paused"),
        _ => ("start", "stopped"),
    };
    let why = held.why.as_ref().map(|why| format!(" ({why})")).unwrap_or_default();
    let finding = Finding::new(
        Severity::Warning,
        "topic-held",
        Subject::topic(Side::Source, &held.topic),
        format!("it is {state}, by {}{why}: that is on record in {}", held.by, facts.journal.name),
        "it is not mirrored until somebody decides otherwise",
    );
    finding.fix(format!("isomirror topics CONFIG {verb} {}", held.topic))
}
