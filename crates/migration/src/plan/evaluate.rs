//! From facts to the plan. Pure: everything it says follows from the facts it is given.

use std::collections::{BTreeMap, BTreeSet};

use cluster_admin::Error;
use kafka_wire::{AclRule, Code};
use mirror_types::Side;
use pipeline::{Decision, NewTopic, decide, deleting};
use target_diff::{AclScope, Replicas, acl_diff, config_diff};

use super::{
    AclFacts, AclPart, ConfigKept, ConfigStep, Facts, Part, Refusal, Report, Step, TopicFacts, TopicStep,
};
use crate::words::few;

/// Says what has to be done.
pub fn evaluate(facts: &Facts) -> Report {
    let mut report = Report {
        link: facts.link.clone(),
        source: facts.source.clone(),
        target: facts.target.clone(),
        ..Report::default()
    };
    for clash in &facts.clashes {
        let fix = "give each of them a target topic of its own in topics.rename, or exclude all but one";
        report.refuse(format!("target topic {}", clash.target), clash, fix);
    }
    for illegal in &facts.illegal {
        let fix = "change that rule of topics.rename, or exclude the topic";
        report.refuse(format!("topic {}", illegal.topic), illegal, fix);
    }
    for topic in &facts.topics {
        evaluate_topic(facts, topic, &mut report);
    }
    if let Some(acls) = &facts.acls {
        evaluate_acls(facts, acls, &mut report);
    }
    report.count();
    report
}

fn evaluate_topic(facts: &Facts, topic: &TopicFacts, report: &mut Report) {
    let (name, target_topic) = (&topic.topic, &topic.target_topic);
    let source = match &topic.info {
        Ok(info) => info,
        Err(error) => return report.refuse(format!("topic {name}"), error, "grant READ on it on the source"),
    };
    let target = match &topic.target {
        None => None,
        Some(Ok(info)) => Some(info),
        Some(Err(error)) => {
            return report.refuse(
                format!("target topic {target_topic}"),
                error,
                "grant DESCRIBE on it on the target",
            );
        }
    };
    let topics = facts.parts.contains(&Part::Topics);
    match decide(name, source, target_topic, target, &topic.settings, topic.begun) {
        Decision::Ready => {}
        Decision::Create if topics => {
            let configs = topic.configs.as_ref();
            let new = NewTopic::of(source.partitions, configs.ok(), target_topic, &topic.settings);
            report.topics.push(Step::planned(TopicStep::Create {
                topic: name.clone(),
                target_topic: new.name,
                partitions: new.partitions,
                replication: (new.replication > 0).then_some(new.replication),
                configs: new.configs.into_iter().collect(),
            }));
            if let Err(error) = configs {
                let why = format!("{error}; the target topic gets the brokers' defaults");
                report.refuse(format!("configs of topic {name}"), why, &grant_configs(Side::Source));
            }
        }
        Decision::Grow if topics => {
            report.topics.push(Step::planned(TopicStep::Grow {
                topic: name.clone(),
                target_topic: target_topic.clone(),
                from_partitions: target.map_or(0, |info| info.partitions),
                partitions: source.partitions,
            }));
        }
        Decision::Refuse(stop) => {
            if topics {
                report.refuse(format!("topic {name}"), stop.reason, &stop.fix);
            }
            return;
        }
        Decision::Create | Decision::Grow => {}
    }
    if facts.parts.contains(&Part::Configs)
        && let Some((info, of_target)) = target.zip(topic.target_configs.as_ref())
    {
        compare_configs(topic, info.replication, of_target, report);
    }
}

fn compare_configs(
    topic: &TopicFacts,
    replicas: i32,
    of_target: &Result<cluster_admin::TopicConfigs, Error>,
    report: &mut Report,
) {
    let (source, target) = match (&topic.configs, of_target) {
        (Ok(source), Ok(target)) => (source, target),
        (Err(error), _) | (_, Err(error)) => {
            let about = match error.side {
                Side::Source => format!("configs of topic {}", topic.topic),
                Side::Target => format!("configs of target topic {}", topic.target_topic),
            };
            return report.refuse(about, error, &grant_configs(error.side));
        }
    };
    let replicas = Replicas { asked: topic.settings.replication, there: replicas };
    let diff = config_diff(source, target, replicas, topic.settings.shared, &deleting());
    let (name, target_topic) = (&topic.topic, &topic.target_topic);
    report.configs.extend(diff.changes.into_iter().map(|change| {
        Step::planned(ConfigStep { topic: name.clone(), target_topic: target_topic.clone(), change })
    }));
    report.configs_kept.extend(diff.kept.into_iter().map(|kept| ConfigKept {
        topic: name.clone(),
        target_topic: target_topic.clone(),
        kept,
    }));
}

fn grant_configs(side: Side) -> String {
    format!("grant DESCRIBE_CONFIGS on it on the {side}")
}

fn evaluate_acls(facts: &Facts, acls: &AclFacts, report: &mut Report) {
    let mut part = AclPart::default();
    let sides = [(Side::Source, &facts.source, &acls.source), (Side::Target, &facts.target, &acls.target)];
    for (side, name, listed) in sides {
        let Err(error) = listed else { continue };
        if error.code() == Some(Code::SecurityDisabled) {
            let so = match side {
                Side::Source => "there are no ACLs to carry over",
                Side::Target => "there can be no ACLs",
            };
            part.note.get_or_insert(format!("{side} {name} has no authorizer: {so}"));
        } else {
            let fix = format!("grant DESCRIBE on the cluster on the {side}; or leave ACLs out, by --only");
            report.refuse(format!("ACLs of the {side}"), error, &fix);
        }
    }
    if let (Ok(source), Ok(target)) = (&acls.source, &acls.target) {
        compare_acls(facts, acls, source, target, &mut part);
    }
    report.acls = Some(part);
}

fn compare_acls(
    facts: &Facts,
    acls: &AclFacts,
    source: &BTreeSet<AclRule>,
    target: &BTreeSet<AclRule>,
    part: &mut AclPart,
) {
    let pair = |topic: &TopicFacts| (topic.topic.clone(), topic.target_topic.clone());
    let routes: BTreeMap<String, String> = facts.topics.iter().map(pair).collect();
    let scope = AclScope {
        routes: &routes,
        rules: &facts.rules,
        choice: &facts.choice,
        groups: &acls.groups,
        target_topics: &facts.target_topics,
        principals: &facts.principals,
        own: facts.own.as_deref(),
        own_on_source: facts.own_on_source.as_deref(),
    };
    let diff = acl_diff(source, target, scope);
    let unheard_of =
        facts.principals.keys().filter(|principal| !source.iter().any(|rule| rule.principal == **principal));
    let unheard_of: Vec<String> = unheard_of.cloned().collect();
    *part = AclPart {
        note: (!unheard_of.is_empty()).then(|| {
            format!(
                "acls.principals names {}, of whom no ACL on source {} says anything: see how it is written",
                few(unheard_of),
                facts.source
            )
        }),
        create: diff.create.into_iter().map(Step::planned).collect(),
        same: diff.same,
        held_until_cutover: diff.held,
        narrowed: diff.narrowed,
        left_out: diff.left_out,
        excess: diff.excess,
        elsewhere: diff.elsewhere,
    };
}

impl Report {
    fn refuse(&mut self, about: String, reason: impl ToString, fix: &str) {
        self.refused.push(Refusal { about, reason: format!("{}\n  fix: {fix}", reason.to_string()) });
    }
}
