//! What concerns one topic's existence: there, led, as many partitions, empty, or possible to create.

use cluster_admin::{Error, TopicInfo};
use kafka_rd::describe;
use mirror_types::Side;
use pipeline::{Decision, PADDING_RATE, padding_takes};
use rdkafka::types::RDKafkaErrorCode as Code;

use super::{Emptied, Facts, Finding, Severity, Subject, TargetFacts, TopicFacts};
use crate::words::counted;

pub(crate) fn findings(
    facts: &Facts,
    topic: &TopicFacts,
    decision: Option<&Decision>,
    found: &mut Vec<Finding>,
) {
    match &topic.info {
        Err(error) => found.push(not_described(facts, topic, error)),
        Ok(info) => found.extend(leaderless(facts, Side::Source, &topic.topic, info)),
    }
    found.extend(padding(topic));
    found.extend(emptied(topic));
    match &topic.target {
        TargetFacts::There { info, records, .. } => {
            found.extend(leaderless(facts, Side::Target, &topic.target_topic, info));
            found.extend(partitions(facts, topic, info, decision));
            found.extend(records.and_then(|records| contents(topic, records)));
        }
        TargetFacts::Missing { creation, configs, .. } => {
            found.extend(missing(facts, topic, decision, creation.as_ref(), configs));
        }
        TargetFacts::Hidden(error) => found.push(hidden(facts, topic, error)),
    }
}

fn source(topic: &TopicFacts) -> Subject {
    Subject::topic(Side::Source, &topic.topic)
}

fn target(topic: &TopicFacts) -> Subject {
    Subject::topic(Side::Target, &topic.target_topic)
}

/// Lanes that start far behind offset 0 take a while before their first record.
fn padding(topic: &TopicFacts) -> Option<Finding> {
    /// Seconds.
    const WORTH_SAYING: u64 = 3;
    let seconds = padding_takes(topic.padded).as_secs();
    if seconds < WORTH_SAYING {
        return None;
    }
    let time = if seconds < 100 { format!("{seconds} s") } else { format!("{} min", seconds.div_ceil(60)) };
    let (rate, offsets) = (PADDING_RATE / 1_000_000, topic.padded);
    Some(Finding::new(
        Severity::Info,
        "target-padded",
        target(topic),
        format!("its partitions are empty, and their lanes start {offsets} offsets behind 0 in all"),
        format!(
            "they are filled up to there with padding, and that is deleted, before their first records are mirrored: \
             about {time} at {rate} million offsets a second"
        ),
    ))
}

/// Whoever emptied it, nobody knows what it had.
fn emptied(topic: &TopicFacts) -> Option<Finding> {
    let Emptied { partition, end, from } = topic.emptied?;
    let finding = Finding::new(
        Severity::Error,
        "target-emptied",
        target(topic),
        format!(
            "partition {partition} ends at offset {end} and holds no record, and this link has no marks of it"
        ),
        format!(
            "whether it ever had the records from source offset {from} on can't be told: its lane would be refused"
        ),
    );
    Some(finding.fix(format!(
        "delete topic {} on the target, and it is mirrored from where topics.start says; or set offsets = \"translated\"",
        topic.target_topic
    )))
}

fn not_described(facts: &Facts, topic: &TopicFacts, error: &Error) -> Finding {
    let finding = Finding::new(
        Severity::Error,
        "source-not-described",
        source(topic),
        format!("the source does not describe it: {}", error.reason),
        "it is not mirrored until the source does",
    );
    finding.fix(facts.source.describe_topic(&topic.topic))
}

pub(crate) fn leaderless(facts: &Facts, side: Side, topic: &str, info: &TopicInfo) -> Option<Finding> {
    if info.leaderless.is_empty() {
        return None;
    }
    let numbers: Vec<String> = info.leaderless.iter().map(ToString::to_string).collect();
    let finding = Finding::new(
        Severity::Error,
        "no-leader",
        Subject::topic(side, topic),
        format!("no leader for partition {}", numbers.join(", ")),
        match side {
            Side::Source => "nothing can be read from there; their lanes wait",
            Side::Target => "nothing can be written there; their lanes wait",
        },
    );
    let describe = facts.cluster(side).describe_topic(topic);
    Some(finding.fix(format!("start the brokers of its replicas: {describe}")))
}

fn partitions(
    facts: &Facts,
    topic: &TopicFacts,
    there: &TopicInfo,
    decision: Option<&Decision>,
) -> Option<Finding> {
    let wanted = topic.info.as_ref().ok()?.partitions;
    let count = format!(
        "it has {}, source topic {} has {wanted}",
        counted(there.partitions, "partition"),
        topic.topic
    );
    match decision? {
        Decision::Refuse(_) => {
            let finding = Finding::new(
                Severity::Error,
                "target-fewer-partitions",
                target(topic),
                count,
                "a record keeps its partition, so the topic is refused",
            );
            Some(finding.fix(facts.target.grow_topic(&topic.target_topic, wanted)))
        }
        Decision::Grow => Some(Finding::new(
            Severity::Info,
            "target-grows",
            target(topic),
            count,
            "this link has mirrored it before, and would grow it",
        )),
        Decision::Ready if there.partitions > wanted => Some(Finding::new(
            Severity::Warning,
            "target-more-partitions",
            target(topic),
            count,
            "the partitions beyond get no records; a producer that moves there spreads keys over more partitions",
        )),
        Decision::Ready | Decision::Create => None,
    }
}

fn contents(topic: &TopicFacts, records: u64) -> Option<Finding> {
    if records == 0 || topic.is_mirrored() {
        return None;
    }
    let none = match topic.begun {
        Some(_) => "has no marks of",
        None => "can't see its marks of",
    };
    let (why, fix) = match topic.is_identical() {
        true => (
            "a lane goes on behind what is there if the last record of it is the source's at the same offset; else it \
             stops, and writes nothing",
            "if it was not mirrored from this source, delete the topic, rename to another in topics.rename, or set \
             offsets = \"translated\" to write behind it",
        ),
        false if topic.is_shared() => return None,
        false => (
            "records would be appended behind what is there; if they were mirrored from this source before, they \
             would be there twice",
            "if what is there is not wanted, delete the topic, or rename to another in topics.rename",
        ),
    };
    let finding = Finding::new(
        Severity::Warning,
        "target-not-empty",
        target(topic),
        format!("it has {records} records already, and this link {none} source topic {}", topic.topic),
        why,
    );
    Some(finding.fix(fix))
}

fn missing(
    facts: &Facts,
    topic: &TopicFacts,
    decision: Option<&Decision>,
    creation: Option<&Result<(), Error>>,
    configs: &[(String, String)],
) -> Option<Finding> {
    let (wanted, replication) = (topic.info.as_ref().ok()?.partitions, topic.settings.replication);
    let plain: Vec<(&str, &str)> = configs.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
    let create = || facts.target.create_topic(&topic.target_topic, wanted, replication, &plain);
    match (decision?, creation) {
        (Decision::Create, Some(Err(error))) => Some(creation_refused(facts, topic, wanted, error, create())),
        (Decision::Create, _) => {
            let replicas = match replication {
                ..=0 => "the brokers' default replication factor".to_owned(),
                factor => format!("replication factor {factor}"),
            };
            let configs: Vec<String> = configs.iter().map(|(k, v)| format!("{k}={v}")).collect();
            Some(Finding::new(
                Severity::Info,
                "target-created",
                target(topic),
                "it is not there",
                format!("it would be created with {}, {replicas}, {}", counted(wanted, "partition"), configs.join(", ")),
            ))
        }
        (Decision::Refuse(_), _) if topic.is_mirrored() => Some(
            Finding::new(
                Severity::Error,
                "target-gone",
                target(topic),
                format!(
                    "it is not there, but this link has mirrored source topic {} before: it is gone, or was another \
                     before topics.rename was changed",
                    topic.topic
                ),
                "what it had would be missing from a new one, so the topic is refused",
            )
            .fix(format!(
                "to go on where it stopped: {}; to mirror {topic} again from its start: stop isomirror, forget its marks \
                 (isomirror marks CONFIG forget --topic {topic}) and start it again",
                create(),
                topic = topic.topic
            )),
        ),
        (Decision::Refuse(_), _) => Some(
            Finding::new(
                Severity::Error,
                "target-missing",
                target(topic),
                "it is not there, and topics.create = false",
                "the topic is refused",
            )
            .fix(create()),
        ),
        _ => None,
    }
}

fn creation_refused(
    facts: &Facts,
    topic: &TopicFacts,
    wanted: i32,
    error: &Error,
    create: String,
) -> Finding {
    let name = &topic.target_topic;
    let resource = format!("--topic {name}");
    let finding = |code, found: String| {
        let why = "it is not there, and could not be created, so the topic would be refused";
        Finding::new(Severity::Error, code, target(topic), found, why)
    };
    let words = format!("the target would not create it: {}", error.reason);
    match error.code {
        _ if error.is_not_authorized() => finding(
            "target-create-right",
            "this principal may not create it".to_owned(),
        )
        .fix(format!("{}, or {create}", facts.target.grant(&["Create", "Write", "Describe"], &resource))),
        Code::TopicAlreadyExists => {
            finding("target-write-right", "it is there, but this principal may not describe it".to_owned())
                .fix(facts.target.grant(&["Write", "Describe", "DescribeConfigs"], &resource))
        }
        Code::InvalidReplicationFactor => finding("target-replication", words).fix(format!(
            "set topics.replication_factor to at most {}, the brokers that are up",
            facts.target.brokers.len()
        )),
        Code::PolicyViolation => finding("target-policy", words).fix(format!(
            "create it as the target's policy wants it, with {}: {create}",
            counted(wanted, "partition")
        )),
        _ => finding("target-create-refused", words).fix(create),
    }
}

fn hidden(facts: &Facts, topic: &TopicFacts, error: &Error) -> Finding {
    let name = &topic.target_topic;
    if !error.is_not_authorized() {
        let finding = Finding::new(
            Severity::Error,
            "target-not-described",
            target(topic),
            format!("the target does not describe it: {}", error.reason),
            "nothing can be written there until the target does",
        );
        return finding.fix(facts.target.describe_topic(name));
    }
    let operations: &[&str] = match topic.settings.create {
        true => &["Write", "Read", "Describe", "DescribeConfigs", "Create", "Alter"],
        false => &["Write", "Read", "Describe", "DescribeConfigs"],
    };
    let finding = Finding::new(
        Severity::Error,
        "target-write-right",
        target(topic),
        format!("this principal may not describe it ({})", describe(error.code)),
        "it can't be written either, and the target does not even say whether it is there",
    );
    finding.fix(facts.target.grant(operations, &format!("--topic {name}")))
}
