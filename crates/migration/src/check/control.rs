//! The topic on the target that the link's marks are in, `isomirror.<link>`: there or to be made, ours, and allowed.

use cluster_admin::{AclOperation, Error};
use control_topic::{CONFIGS, REPLICATION};
use mirror_types::{Side, StopKind, TopicPartition};
use pipeline::Refused;

use super::{
    ControlFacts, Facts, Finding, Severity, Subject, TargetFacts, rights::names, topics::leaderless,
};

/// All that is to be allowed there.
const NEEDED: [AclOperation; 3] = [AclOperation::Read, AclOperation::Write, AclOperation::DescribeConfigs];
const WHY: &str = "the link's marks are kept there; without them no lane runs";

/// The configs of a new one.
pub(crate) fn configs() -> Vec<(String, String)> {
    CONFIGS.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

/// How many replicas a new one gets, with so many brokers; -1 for their default.
pub(crate) fn replication(brokers: usize) -> i32 {
    let fits = |replicas: &i32| usize::try_from(*replicas).is_ok_and(|replicas| replicas <= brokers);
    REPLICATION.map(i32::from).into_iter().find(fits).unwrap_or(-1)
}

/// How the transactional ids of a link begin.
pub(crate) fn transactional_ids(link: &str) -> String {
    format!("isomirror.{link}.")
}

pub(crate) fn findings(facts: &Facts, found: &mut Vec<Finding>) {
    let control = &facts.control;
    found.extend(right(facts, control));
    match &control.topic {
        TargetFacts::There { info, configs, .. } => {
            found.extend(leaderless(facts, Side::Target, &control.name, info));
            let policy = configs.as_ref().ok().and_then(|configs| configs.cleanup_policy());
            found.extend(policy.filter(|policy| *policy != "compact").map(|policy| compacted(facts, policy)));
        }
        TargetFacts::Missing { creation: Some(Err(error)), .. } if !error.is_not_authorized() => {
            found.push(not_created(facts, error));
        }
        TargetFacts::Hidden(error) if !error.is_not_authorized() => {
            let words = format!("the target does not describe it: {}", error.reason);
            let finding = Finding::new(Severity::Error, "control-topic", subject(control), words, WHY);
            found.push(finding.fix(facts.target.describe_topic(&control.name)));
        }
        TargetFacts::Missing { .. } | TargetFacts::Hidden(_) => {}
    }
    match &control.marks {
        Some(Ok(marks)) => {
            found.extend(another_links(facts, marks.source_cluster.as_deref()));
            found.extend(marks.unlike.iter().map(|(at, refused)| unlike(facts, at, refused)));
        }
        Some(Err(control_topic::Error::NotAuthorized { .. })) | None => {}
        Some(Err(error)) => {
            let words = format!("what is in it can't be read: {error}");
            let finding = Finding::new(Severity::Error, "control-topic", subject(control), words, WHY);
            found.push(Finding { fix: error.fix(), ..finding });
        }
    }
}

fn subject(control: &ControlFacts) -> Subject {
    Subject::topic(Side::Target, &control.name)
}

/// What is not allowed, of what has to be, on a topic that a link keeps something in.
pub(crate) fn missing(topic: &TargetFacts) -> Vec<AclOperation> {
    match topic {
        TargetFacts::There { configs, rights, .. } => {
            let told = rights.as_ref().ok().and_then(Option::as_ref);
            let refused = configs.as_ref().is_err_and(Error::is_not_authorized);
            let lacks = |operation: &AclOperation| match operation {
                AclOperation::DescribeConfigs => refused,
                operation => told.is_some_and(|rights| !rights.may(*operation)),
            };
            NEEDED.into_iter().filter(lacks).collect()
        }
        TargetFacts::Missing { creation, lacking, .. } => {
            let create = matches!(creation, Some(Err(error)) if error.is_not_authorized());
            create.then_some(AclOperation::Create).into_iter().chain(lacking.iter().copied()).collect()
        }
        // Whether it is there is not shown either.
        TargetFacts::Hidden(error) if error.is_not_authorized() => {
            [AclOperation::Create].into_iter().chain(NEEDED).collect()
        }
        TargetFacts::Hidden(_) => Vec::new(),
    }
}

fn right(facts: &Facts, control: &ControlFacts) -> Option<Finding> {
    let missing = missing(&control.topic);
    let (words, operations) = names(&missing)?;
    let found = format!("no {words} right on it");
    let finding = Finding::new(Severity::Error, "control-topic-right", subject(control), found, WHY);
    let grant = facts.target.grant(&operations, &format!("--topic {}", control.name));
    Some(finding.fix(match missing.contains(&AclOperation::Create) {
        true => format!("{grant}; instead of Create, make it beforehand: {}", create(facts)),
        false => grant,
    }))
}

fn create(facts: &Facts) -> String {
    let replication = replication(facts.target.brokers.len());
    facts.target.create_topic(&facts.control.name, pipeline::SLOTS, replication, &CONFIGS)
}

fn compacted(facts: &Facts, policy: &str) -> Finding {
    let found = format!("cleanup.policy={policy}");
    let why = "the target would delete marks with time; the link does not start";
    let finding = Finding::new(Severity::Error, "control-topic-policy", subject(&facts.control), found, why);
    finding.fix(facts.target.set_config(&facts.control.name, "cleanup.policy", "compact"))
}

fn not_created(facts: &Facts, error: &Error) -> Finding {
    let found = format!("it is not there, and the target would not create it: {}", error.reason);
    let finding = Finding::new(Severity::Error, "control-topic", subject(&facts.control), found, WHY);
    finding.fix(create(facts))
}

fn another_links(facts: &Facts, theirs: Option<&str>) -> Option<Finding> {
    let (theirs, ours) = (theirs?, facts.source.id.as_deref()?);
    let finding = Finding::new(
        Severity::Error,
        "control-topic-of-another",
        subject(&facts.control),
        format!("it has the marks of a link from another source cluster ({theirs}, here {ours})"),
        "the two would take each other's marks for their own; the link does not start",
    );
    (theirs != ours).then(|| finding.fix("give this link a name of its own (link = \"…\")"))
}

/// A lane that would not go on, in the words of the daemon; or that would, behind a loss.
fn unlike(facts: &Facts, at: &TopicPartition, refused: &Refused) -> Finding {
    let Refused { stop, loss } = refused;
    let subject = Subject::topic(Side::Source, &at.topic);
    let code = match stop.kind {
        StopKind::Precondition => "marks-of-another-setting",
        _ => "marks-diverged",
    };
    match loss.as_ref().filter(|_| facts.skips_loss) {
        Some(loss) => {
            let why = format!("with policy.loss = \"skip\" the lane goes on: {}", loss.words);
            Finding::new(Severity::Warning, code, subject, &stop.reason, why)
        }
        None => {
            let why = "by the link's marks; the lane would stop before it has written anything";
            Finding::new(Severity::Error, code, subject, &stop.reason, why).fix(&stop.fix)
        }
    }
}
