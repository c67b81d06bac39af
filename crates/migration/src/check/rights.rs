//! What this principal must be allowed, as far as the clusters say what it is or let it be tried: see docs/acls.md.

use cluster_admin::{AclOperation, Error, Rights};
use mirror_types::Side;
use pipeline::Decision;

use super::{ClusterFacts, Facts, Finding, Severity, Subject, TargetFacts, TopicFacts, control};

/// What is needed on the target beside the rights on topics.
pub(crate) fn of_target_cluster(facts: &Facts, found: &mut Vec<Finding>) {
    found.extend(of_group(facts));
    found.extend(of_fills(facts));
    found.extend(of_transactional_ids(facts));
    found.extend(of_old_brokers(facts));
    found.extend(of_acls(facts, Side::Source, &[AclOperation::Describe]));
    found.extend(of_acls(facts, Side::Target, &[AclOperation::Describe, AclOperation::Alter]));
}

/// The link's instances share its lanes as members of a group.
fn of_group(facts: &Facts) -> Option<Finding> {
    let subject = Subject::group(&facts.group);
    let why = "without it the link gets no lanes: its instances share them as the group's members";
    let finding = match facts.target_rights.group {
        Some(true) => return None,
        Some(false) => Finding::new(Severity::Error, "group-right", subject, "no READ right on it", why),
        None => {
            let words = "whether there is a READ right on it can't be told";
            Finding::new(Severity::Warning, "group-right", subject, words, why)
        }
    };
    Some(finding.fix(facts.target.grant(&["Read"], &format!("--group {}", facts.group))))
}

/// Where the source has an offset with nothing at it, the target gets a control record.
fn of_fills(facts: &Facts) -> Option<Finding> {
    if !facts.topics.iter().any(TopicFacts::is_identical) {
        return None;
    }
    let rights = &facts.target_rights;
    let ids = control::transactional_ids(&facts.link);
    let subject = Subject::cluster(Side::Target, &facts.target.name);
    let markers = facts.target.grant(&["ClusterAction"], "--cluster");
    let either = format!(
        "{markers}; or, slower, {}; or set offsets = \"translated\", which needs neither",
        grant_ids(facts, &ids)
    );
    let why = "with identical offsets, what the source has no record at (transaction markers, aborted or compacted \
               records) is filled by control records";
    match (rights.markers, rights.transactions) {
        (Some(true), _) => None,
        (_, Some(true)) => {
            let finding = Finding::new(
                Severity::Info,
                "fill-right",
                subject,
                "no ClusterAction right on it",
                format!("{why}: by an empty transaction each, far slower than by markers"),
            );
            Some(finding.fix(markers))
        }
        (Some(false), Some(false)) => {
            let found = format!(
                "neither a ClusterAction right on it, nor WRITE on transactional ids that begin with {ids}"
            );
            let why = format!("{why}; without either right a lane stops at the first");
            Some(Finding::new(Severity::Error, "fill-right", subject, found, why).fix(either))
        }
        _ => {
            let found = format!(
                "whether there is a ClusterAction right on it, or WRITE on transactional ids that begin with {ids}, \
                 can't be told"
            );
            let why = format!("{why}; without either right a lane stops at the first");
            Some(Finding::new(Severity::Warning, "fill-right", subject, found, why).fix(either))
        }
    }
}

/// Lanes with shared writers write in transactions; and an instance that takes lanes over shuts out who had them.
fn of_transactional_ids(facts: &Facts) -> Option<Finding> {
    let ids = control::transactional_ids(&facts.link);
    let needed = facts.topics.iter().any(TopicFacts::is_shared);
    let shared = "writers = \"shared\" writes in transactions; without it those lanes don't start";
    let slots =
        "an instance that hung while others took over its lanes could still write to the link's marks";
    let (severity, found, why) = match (facts.target_rights.transactions, needed) {
        (Some(true), _) | (None, false) => return None,
        (Some(false), true) => (Severity::Error, "no WRITE right on them", shared),
        (None, true) => (Severity::Warning, "whether there is a WRITE right on them can't be told", shared),
        (Some(false), false) => (Severity::Info, "no WRITE right on them", slots),
    };
    let finding =
        Finding::new(severity, "transactional-id-right", Subject::transactional_ids(&ids), found, why);
    Some(finding.fix(grant_ids(facts, &ids)))
}

fn grant_ids(facts: &Facts, ids: &str) -> String {
    facts.target.grant(&["Write"], &format!("--transactional-id {ids} --resource-pattern-type prefixed"))
}

/// Brokers before 2.8 ask for a right that newer ones don't.
fn of_old_brokers(facts: &Facts) -> Option<Finding> {
    let lacks = |rights: &Rights| !rights.may(AclOperation::IdempotentWrite);
    if !facts.target.rights.as_ref().is_some_and(lacks) {
        return None;
    }
    let finding = Finding::new(
        Severity::Info,
        "idempotent-write-right",
        Subject::cluster(Side::Target, &facts.target.name),
        "no IDEMPOTENT_WRITE right on the cluster, as far as it may be seen",
        "brokers before 2.8 ask for it; newer ones only for WRITE on a topic",
    );
    Some(finding.fix(facts.target.grant(&["IdempotentWrite"], "--cluster")))
}

/// ACLs are seen by who may describe the cluster, and made by who may alter it.
fn of_acls(facts: &Facts, side: Side, needed: &[AclOperation]) -> Option<Finding> {
    let cluster = facts.cluster(side);
    let rights = cluster.rights.as_ref().filter(|_| facts.asked.acls)?;
    let lacking: Vec<AclOperation> =
        needed.iter().copied().filter(|operation| !rights.may(*operation)).collect();
    let (words, operations) = names(&lacking)?;
    let (severity, why) = match facts.asked.acls_in_step {
        true => (Severity::Error, "ACLs would not be kept in step"),
        false => (Severity::Warning, "`isomirror plan` and `apply` could not carry ACLs over"),
    };
    let subject = Subject::cluster(side, &cluster.name);
    let finding = Finding::new(severity, "acl-right", subject, format!("no {words} right on it"), why);
    Some(finding.fix(cluster.grant(&operations, "--cluster")))
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
    match (&topic.target, decision) {
        (TargetFacts::There { rights, configs, .. }, _) => {
            let lacks = |operation| lacks(rights, operation);
            let compacted = configs.as_ref().is_ok_and(|configs| configs.cleanup_policy() == Some("compact"));
            of_target(facts, topic, &lacks, compacted, found);
            found.extend(alter(&facts.target, topic, decision, &lacks));
            found.extend(configs.is_err().then(|| describe_configs(facts, topic)));
        }
        (TargetFacts::Missing { lacking, configs, .. }, Some(Decision::Create)) => {
            let compacted = configs.iter().any(|(key, value)| key == "cleanup.policy" && value == "compact");
            of_target(facts, topic, &|operation| lacking.contains(&operation), compacted, found);
        }
        _ => {}
    }
}

fn of_source(facts: &Facts, topic: &TopicFacts, found: &mut Vec<Finding>) {
    let subject = || Subject::topic(Side::Source, &topic.topic);
    let resource = format!("--topic {}", topic.topic);
    if lacks(&topic.rights, AclOperation::Read) {
        let why = "its records can't be read";
        let finding =
            Finding::new(Severity::Error, "source-read-right", subject(), "no READ right on it", why);
        found.push(finding.fix(facts.source.grant(&["Read", "Describe"], &resource)));
    }
    if let Err(error) = &topic.configs {
        let (severity, and) = unknown_configs(facts);
        let finding = Finding::new(
            severity,
            "source-configs-right",
            subject(),
            format!("its configs can't be read: {}", error.reason),
            format!("they are not compared here, nor copied to a target topic that is created{and}"),
        );
        found.push(finding.fix(facts.source.grant(&["DescribeConfigs"], &resource)));
    }
}

/// What is asked of a target topic whether it is there or would be made.
fn of_target(
    facts: &Facts,
    topic: &TopicFacts,
    lacks: &dyn Fn(AclOperation) -> bool,
    compacted: bool,
    found: &mut Vec<Finding>,
) {
    let subject = || Subject::topic(Side::Target, &topic.target_topic);
    let resource = format!("--topic {}", topic.target_topic);
    if lacks(AclOperation::Write) {
        let why = "the target would refuse every record";
        let finding =
            Finding::new(Severity::Error, "target-write-right", subject(), "no WRITE right on it", why);
        found.push(finding.fix(facts.target.grant(&["Write", "Describe"], &resource)));
    }
    let groups = facts.groups.is_some();
    if (facts.verifies || groups || !topic.is_shared()) && lacks(AclOperation::Read) {
        let (severity, why) = match (facts.verifies, groups) {
            (true, _) => (Severity::Error, "[verify] can't compare it with the source"),
            (_, true) => {
                (Severity::Error, "no group's offsets can be committed for it, which [groups] asks for")
            }
            _ => (
                Severity::Warning,
                "its last record is not compared with the source's when a lane starts, and late writes of an instance \
                 that hung are noticed only when they have come",
            ),
        };
        let finding = Finding::new(severity, "target-read-right", subject(), "no READ right on it", why);
        let grant = facts.target.grant(&["Read"], &resource);
        let otherwise = match (facts.verifies, groups) {
            (true, _) => ", or leave [verify] out",
            (_, true) => ", or leave [groups] out",
            _ => "",
        };
        found.push(finding.fix(format!("{grant}{otherwise}")));
    }
    if facts.asked.configs_in_step && !topic.is_shared() && lacks(AclOperation::AlterConfigs) {
        let why = "its configs would not be kept in step with the source topic's";
        let words = "no ALTER_CONFIGS right on it";
        let finding = Finding::new(Severity::Error, "target-alter-configs-right", subject(), words, why);
        found.push(finding.fix(facts.target.grant(&["AlterConfigs"], &resource)));
    }
    let padding = match compacted {
        true => &[AclOperation::Delete, AclOperation::AlterConfigs][..],
        false => &[AclOperation::Delete],
    };
    let missing: Vec<AclOperation> = padding.iter().copied().filter(|operation| lacks(*operation)).collect();
    if topic.padded > 0
        && let Some((words, operations)) = names(&missing)
    {
        let why = match compacted {
            true => {
                "a partition does not start at offset 0 on the source: the target's is filled up to there by padding, \
                 which is deleted then, with cleanup.policy=compact,delete and no retention for the moment"
            }
            false => {
                "a partition does not start at offset 0 on the source: the target's is filled up to there by padding, \
                 which is deleted then"
            }
        };
        let words = format!("no {words} right on it");
        let finding = Finding::new(Severity::Error, "target-padding-right", subject(), words, why);
        let grant = facts.target.grant(&operations, &resource);
        found.push(finding.fix(format!("{grant}; or set offsets = \"translated\" for the topic")));
    }
}

fn alter(
    target: &ClusterFacts,
    topic: &TopicFacts,
    decision: Option<&Decision>,
    lacks: &dyn Fn(AclOperation) -> bool,
) -> Option<Finding> {
    if !topic.settings.create || !lacks(AclOperation::Alter) {
        return None;
    }
    let (severity, why) = match decision {
        Some(Decision::Grow) => (Severity::Error, "it has to be grown now, with its source"),
        _ => {
            (Severity::Warning, "it could not be grown with its source, and new partitions would be refused")
        }
    };
    let subject = Subject::topic(Side::Target, &topic.target_topic);
    let finding = Finding::new(severity, "target-alter-right", subject, "no ALTER right on it", why);
    let grant = target.grant(&["Alter"], &format!("--topic {}", topic.target_topic));
    Some(finding.fix(format!("{grant}, or topics.create = false")))
}

/// How bad it is not to know a topic's configs, and what else follows from it.
fn unknown_configs(facts: &Facts) -> (Severity, &'static str) {
    match facts.verifies {
        true => (
            Severity::Error,
            "; and [verify] does not compare it, as it is not known whether a log cleaner may take records of it",
        ),
        false => (Severity::Warning, ""),
    }
}

fn describe_configs(facts: &Facts, topic: &TopicFacts) -> Finding {
    let (severity, and) = unknown_configs(facts);
    let finding = Finding::new(
        severity,
        "target-configs-right",
        Subject::topic(Side::Target, &topic.target_topic),
        "its configs can't be read",
        format!("what they would do to records is not known, nor how large a batch the topic takes{and}"),
    );
    finding.fix(facts.target.grant(&["DescribeConfigs"], &format!("--topic {}", topic.target_topic)))
}

/// Operations as the documentation has them, and as Kafka's tool wants them; none where there are none.
pub(crate) fn names(operations: &[AclOperation]) -> Option<(String, Vec<&'static str>)> {
    let name = |operation: &AclOperation| match operation {
        AclOperation::Read => ("READ", "Read"),
        AclOperation::Write => ("WRITE", "Write"),
        AclOperation::Create => ("CREATE", "Create"),
        AclOperation::Delete => ("DELETE", "Delete"),
        AclOperation::Alter => ("ALTER", "Alter"),
        AclOperation::Describe => ("DESCRIBE", "Describe"),
        AclOperation::ClusterAction => ("CLUSTER_ACTION", "ClusterAction"),
        AclOperation::DescribeConfigs => ("DESCRIBE_CONFIGS", "DescribeConfigs"),
        AclOperation::AlterConfigs => ("ALTER_CONFIGS", "AlterConfigs"),
        AclOperation::IdempotentWrite => ("IDEMPOTENT_WRITE", "IdempotentWrite"),
    };
    let (words, tools): (Vec<_>, Vec<_>) = operations.iter().map(name).unzip();
    (!words.is_empty()).then(|| (words.join(", "), tools))
}

/// Whether the cluster says that this operation is not allowed. Where it says nothing, neither does this.
fn lacks(rights: &Result<Option<Rights>, Error>, operation: AclOperation) -> bool {
    matches!(rights, Ok(Some(rights)) if !rights.may(operation))
}
