//! What this principal must be allowed, as far as the clusters say what it is: see docs/acls.md.

use cluster_admin::{AclOperation, Error, Rights};
use mirror_types::Side;
use pipeline::Decision;

use super::{Facts, Finding, Severity, Subject, TargetFacts, TopicFacts};

/// Positions are committed for the group.
pub(crate) fn of_group(facts: &Facts, found: &mut Vec<Finding>) {
    let missing = match &facts.group_rights {
        Some(Ok(Some(rights))) => !rights.may(AclOperation::Read),
        Some(Err(error)) => error.is_not_authorized(),
        _ => false,
    };
    let fix = facts.source.grant(&["Read"], &format!("--group {}", facts.group));
    let subject = Subject::group(&facts.group);
    if missing {
        let why = "no lane can start: its position is read and committed there";
        let finding = Finding::new(Severity::Error, "group-right", subject, "no READ right on it", why);
        found.push(finding.fix(fix));
    } else if let Some(Err(error)) = &facts.group_rights {
        let words = format!("the source does not say what this principal may do to it: {}", error.reason);
        let why = "if positions can't be committed, no lane can start";
        found.push(Finding::new(Severity::Warning, "group-right", subject, words, why));
    }
}

/// Brokers before 2.8 ask for a right that newer ones don't.
pub(crate) fn of_cluster(facts: &Facts, found: &mut Vec<Finding>) {
    let lacks = |rights: &Rights| !rights.may(AclOperation::IdempotentWrite);
    if facts.target.rights.as_ref().is_some_and(lacks) {
        let finding = Finding::new(
            Severity::Info,
            "idempotent-write-right",
            Subject::cluster(Side::Target, &facts.target.name),
            "no IDEMPOTENT_WRITE right on the cluster, as far as it may be seen",
            "brokers before 2.8 ask for it; newer ones only for WRITE on a topic",
        );
        found.push(finding.fix(facts.target.grant(&["IdempotentWrite"], "--cluster")));
    }
}

/// READ on the source topic, WRITE on the target topic, and what makes work easier.
pub(crate) fn of_topic(
    facts: &Facts,
    topic: &TopicFacts,
    decision: Option<&Decision>,
    found: &mut Vec<Finding>,
) {
    if topic.info.is_ok() {
        of_source(facts, topic, found);
    }
    match &topic.target {
        TargetFacts::There { rights, configs, .. } => {
            of_target(facts, topic, decision, rights, configs.is_ok(), found);
        }
        TargetFacts::Missing { .. } | TargetFacts::Hidden(_) => {}
    }
}

fn of_source(facts: &Facts, topic: &TopicFacts, found: &mut Vec<Finding>) {
    let subject = || Subject::topic(Side::Source, &topic.topic);
    let resource = format!("--topic {}", topic.topic);
    if lacks(&topic.rights, AclOperation::Read) {
        let why = "its records can't be read, nor positions be committed for it";
        let finding =
            Finding::new(Severity::Error, "source-read-right", subject(), "no READ right on it", why);
        found.push(finding.fix(facts.source.grant(&["Read", "Describe"], &resource)));
    }
    if let Err(error) = &topic.configs {
        let finding = Finding::new(
            Severity::Warning,
            "source-configs-right",
            subject(),
            format!("its configs can't be read: {}", error.reason),
            "they are not compared here, nor copied to a target topic that is created",
        );
        found.push(finding.fix(facts.source.grant(&["DescribeConfigs"], &resource)));
    }
}

fn of_target(
    facts: &Facts,
    topic: &TopicFacts,
    decision: Option<&Decision>,
    rights: &Result<Option<Rights>, Error>,
    configs: bool,
    found: &mut Vec<Finding>,
) {
    let subject = || Subject::topic(Side::Target, &topic.target_topic);
    let resource = format!("--topic {}", topic.target_topic);
    if lacks(rights, AclOperation::Write) {
        let why = "the target would refuse every record";
        let finding =
            Finding::new(Severity::Error, "target-write-right", subject(), "no WRITE right on it", why);
        found.push(finding.fix(facts.target.grant(&["Write", "Describe"], &resource)));
    }
    if topic.settings.create && lacks(rights, AclOperation::Alter) {
        let (severity, why) = match decision {
            Some(Decision::Grow) => (Severity::Error, "it has to be grown now, with its source"),
            _ => (
                Severity::Warning,
                "it could not be grown with its source, and new partitions would be refused",
            ),
        };
        let finding = Finding::new(severity, "target-alter-right", subject(), "no ALTER right on it", why);
        found.push(
            finding.fix(format!("{}, or topics.create = false", facts.target.grant(&["Alter"], &resource))),
        );
    }
    if !configs {
        let finding = Finding::new(
            Severity::Warning,
            "target-configs-right",
            subject(),
            "its configs can't be read",
            "what they would do to records is not known, nor how large a batch the topic takes",
        );
        found.push(finding.fix(facts.target.grant(&["DescribeConfigs"], &resource)));
    }
}

/// Whether the cluster says that this operation is not allowed. Where it says nothing, neither does this.
fn lacks(rights: &Result<Option<Rights>, Error>, operation: AclOperation) -> bool {
    matches!(rights, Ok(Some(rights)) if !rights.may(operation))
}
