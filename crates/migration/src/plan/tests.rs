//! Facts in, plan out.

use std::{collections::BTreeMap, sync::Arc};

use cluster_admin::{ConfigSource, ConfigValue, Error as AdminError, TopicConfigs, TopicInfo};
use kafka_wire::{AclOperation, AclPattern, AclPermission, AclResource, AclRule, Code};
use mirror_types::Side;
use pipeline::{Offsets, Start, TopicSettings};
use rdkafka::types::RDKafkaErrorCode;
use serde_json::{Value, json};
use topic_rename::{Rules, RulesConfig};

use super::*;

fn configs(set: &[(&str, &str)]) -> TopicConfigs {
    let value = |text: &str, source| ConfigValue {
        value: Some(text.to_owned()),
        is_default: source == ConfigSource::Default,
        source,
        sensitive: false,
    };
    let defaults = [("message.timestamp.type", "CreateTime"), ("retention.ms", "604800000")];
    let mut all: BTreeMap<String, ConfigValue> =
        defaults.iter().map(|(key, text)| ((*key).to_owned(), value(text, ConfigSource::Default))).collect();
    all.extend(set.iter().map(|(key, text)| ((*key).to_owned(), value(text, ConfigSource::Topic))));
    TopicConfigs(all)
}

fn info(partitions: i32) -> TopicInfo {
    TopicInfo { partitions, replication: 1, leaderless: Vec::new() }
}

fn topic() -> TopicFacts {
    TopicFacts {
        topic: "orders".to_owned(),
        target_topic: "orders_v2".to_owned(),
        settings: TopicSettings {
            create: true,
            replication: -1,
            begin: pipeline::Begin::AtOnce,
            start: Start::Earliest,
            offsets: Offsets::Identical,
            shared: false,
        },
        begun: false,
        info: Ok(info(4)),
        configs: Ok(configs(&[("retention.ms", "1000")])),
        target: None,
        target_configs: None,
    }
}

fn facts(topic: TopicFacts) -> Facts {
    let config = RulesConfig {
        include: vec!["orders".to_owned()],
        exclude: Vec::new(),
        rename: vec![("orders".to_owned(), "orders_v2".to_owned())],
    };
    Facts {
        link: "dc1-dc2".to_owned(),
        source: "dc1".to_owned(),
        target: "dc2".to_owned(),
        parts: [Part::Topics, Part::Configs, Part::Acls, Part::Groups].into(),
        clashes: Vec::new(),
        illegal: Vec::new(),
        topics: vec![topic],
        target_topics: BTreeSet::new(),
        rules: Arc::new(Rules::new(&config).unwrap()),
        choice: Choice::default(),
        principals: BTreeMap::new(),
        own: None,
        own_on_source: None,
        acls: None,
    }
}

fn plan(change: impl FnOnce(&mut TopicFacts)) -> Report {
    let mut topic = topic();
    change(&mut topic);
    evaluate(&facts(topic))
}

fn there(partitions: i32, set: &[(&str, &str)]) -> impl FnOnce(&mut TopicFacts) {
    let configs = configs(set);
    move |topic| {
        topic.target = Some(Ok(info(partitions)));
        topic.target_configs = Some(Ok(configs));
    }
}

fn refusal(side: Side) -> AdminError {
    AdminError {
        side,
        cluster: "x".into(),
        doing: "describe topic configs".to_owned(),
        code: RDKafkaErrorCode::TopicAuthorizationFailed,
        reason: "Topic authorization failed".to_owned(),
    }
}

fn json(report: &Report) -> Value {
    serde_json::to_value(report).unwrap()
}

#[test]
fn a_topic_that_is_not_there_is_created_as_the_daemon_would() {
    let report = json(&plan(|_| {}));
    let expected = json!([{
        "action": "create", "topic": "orders", "target_topic": "orders_v2", "partitions": 4, "replication": null,
        "configs": { "message.timestamp.type": "CreateTime", "retention.ms": "1000" }, "outcome": "planned"
    }]);
    assert_eq!((&report["topics"], &report["totals"]["planned"]), (&expected, &json!(1)), "{report}");
    let kept = plan(|topic| topic.settings.create = false);
    assert_eq!((kept.topics.len(), kept.refused.len()), (0, 1));
    assert!(
        kept.refused[0].reason.contains("topics.create = false\n  fix: kafka-topics.sh --create"),
        "{kept:?}"
    );
    // It was there once: that it is gone is not to be hidden.
    let gone = plan(|topic| topic.begun = true);
    assert_eq!((gone.topics.len(), gone.refused()), (0, 1));
}

#[test]
fn configs_and_partitions_that_are_behind_are_brought_up() {
    assert_eq!(plan(there(4, &[("retention.ms", "1000")])).planned(), 0);
    let report = json(&plan(there(4, &[("cleanup.policy", "compact")])));
    let expected = json!([{
        "topic": "orders", "target_topic": "orders_v2", "key": "retention.ms", "now": "604800000", "then": "1000",
        "outcome": "planned"
    }]);
    assert_eq!((&report["configs"], &report["topics"]), (&expected, &json!([])), "{report}");
    let kept = json!([{
        "topic": "orders", "target_topic": "orders_v2", "key": "cleanup.policy", "source": null, "target": "compact",
        "reason": "it is set on the target, and not on the source"
    }]);
    assert_eq!(report["configs_kept"], kept);
    let grown = plan(|topic| {
        there(2, &[("retention.ms", "1000")])(topic);
        topic.begun = true;
    });
    let expected = json!([{
        "action": "grow", "topic": "orders", "target_topic": "orders_v2", "from_partitions": 2, "partitions": 4,
        "outcome": "planned"
    }]);
    assert_eq!(json(&grown)["topics"], expected);
    let others = plan(there(2, &[("retention.ms", "1000")]));
    assert!(others.refused[0].reason.contains("has 2 partitions, the source has 4"), "{others:?}");
}

#[test]
fn what_can_not_be_found_out_is_refused_with_the_right_that_is_missing() {
    let report = plan(|topic| topic.configs = Err(refusal(Side::Source)));
    assert_eq!(
        (report.topics.len(), report.refused()),
        (1, 1),
        "it is made all the same, as the daemon would"
    );
    assert!(
        report.refused[0].reason.contains("fix: grant DESCRIBE_CONFIGS on it on the source"),
        "{report:?}"
    );
    let report = plan(|topic| {
        topic.target = Some(Ok(info(4)));
        topic.target_configs = Some(Err(refusal(Side::Target)));
    });
    assert_eq!(report.refused[0].about, "configs of target topic orders_v2");
    let report = plan(|topic| topic.target = Some(Err(refusal(Side::Target))));
    assert_eq!((report.refused(), report.planned()), (1, 0));
    let report = plan(|topic| topic.info = Err(refusal(Side::Source)));
    assert_eq!((report.refused(), report.planned()), (1, 0));
}

#[test]
fn only_what_is_asked_for_is_looked_at() {
    let of = |part, topic| evaluate(&Facts { parts: [part].into(), ..facts(topic) });
    assert_eq!(of(Part::Configs, topic()).planned(), 0);
    let mut behind = topic();
    there(4, &[])(&mut behind);
    assert_eq!(of(Part::Topics, behind.clone()).planned(), 0);
    assert_eq!(of(Part::Configs, behind).planned(), 1);
}

fn rule(principal: &str, operation: AclOperation) -> AclRule {
    AclRule {
        resource: AclResource::Topic,
        name: "orders".to_owned(),
        pattern: AclPattern::Literal,
        principal: principal.to_owned(),
        permission: AclPermission::Allow,
        operation,
        host: "*".to_owned(),
    }
}

fn answered(code: Code) -> kafka_wire::Error {
    kafka_wire::Error::answered(&"a:9092".into(), "list the ACLs", code)
}

#[test]
fn acls_are_planned_or_there_are_none_or_they_may_not_be_seen() {
    let with = |source, target| {
        let acls = AclFacts { source, target, groups: BTreeSet::new() };
        let principals = [("User:a".to_owned(), "User:b".to_owned())].into();
        evaluate(&Facts { acls: Some(acls), principals, ..facts(topic()) })
    };
    let rules = [rule("User:a", AclOperation::Read), rule("User:a", AclOperation::Write)];
    let report = json(&with(Ok(rules.into()), Ok(BTreeSet::new())));
    let ours = |operation: &str| {
        json!({
            "resource": "Topic", "name": "orders_v2", "pattern": "Literal", "principal": "User:b",
            "permission": "Allow", "operation": operation, "host": "*"
        })
    };
    let (mut create, mut held) = (ours("Read"), ours("Write"));
    create["outcome"] = json!("planned");
    held["there"] = json!(false);
    assert_eq!(report["acls"]["create"], json!([create]));
    assert_eq!(report["acls"]["held_until_cutover"], json!([held]));

    assert_eq!(report["acls"]["note"], json!(null));
    let other = with(Ok([rule("User:A", AclOperation::Read)].into()), Ok(BTreeSet::new()));
    let note = other.acls.unwrap().note.unwrap();
    assert!(note.starts_with("acls.principals names User:a, of whom no ACL on source dc1 says"), "{note}");

    let none = with(Err(answered(Code::SecurityDisabled)), Ok(BTreeSet::new()));
    assert_eq!((none.refused(), none.planned()), (0, 1), "the topic is made all the same");
    let note = none.acls.unwrap().note.unwrap();
    assert_eq!(note, "source dc1 has no authorizer: there are no ACLs to carry over");
    let hidden = with(Ok(BTreeSet::new()), Err(answered(Code::ClusterAuthorizationFailed)));
    assert_eq!(hidden.refused(), 1);
    assert!(
        hidden.refused[0].reason.contains("fix: grant DESCRIBE on the cluster on the target"),
        "{hidden:?}"
    );
}

#[test]
fn a_plan_is_as_reviewed_as_long_as_its_steps_are_the_same() {
    let reviewed = json(&plan(|_| {}));
    assert_eq!(plan(|_| {}).is_as_reviewed(&reviewed), Ok(()));
    let other = plan(|topic| topic.info = Ok(info(5))).is_as_reviewed(&reviewed).unwrap_err();
    assert!(other.starts_with("topics: {") && other.ends_with("\"topic\":\"orders\"} is new"), "{other}");
    let nothing = plan(there(4, &[("retention.ms", "1000")])).is_as_reviewed(&reviewed).unwrap_err();
    assert!(nothing.ends_with("} is there no more"), "{nothing}");
    let mut elsewhere = facts(topic());
    elsewhere.target = "dc3".to_owned();
    let error = evaluate(&elsewhere).is_as_reviewed(&reviewed).unwrap_err();
    assert_eq!(error, "the target: then \"dc2\", now \"dc3\"");
}
