//! Facts in, findings out: each broken situation by its code, severity and fix.

use std::collections::{BTreeMap, HashMap};

use cluster_admin::{AclOperation, ConfigSource, ConfigValue, Error, Rights, TopicConfigs, TopicInfo};
use mirror_types::{Side, Stop, StopKind, TopicPartition};
use offset_marks::control::EventKind;
use pipeline::{Loss, Refused, Start, TopicSettings};
use rdkafka::types::RDKafkaErrorCode as Code;

use super::*;

mod beside;

fn cluster(side: Side, name: &str) -> ClusterFacts {
    ClusterFacts {
        side,
        name: name.to_owned(),
        id: Some(format!("id-of-{name}")),
        brokers: vec![1, 2, 3],
        rights: None,
        configs: None,
        bootstrap: format!("{name}:9092"),
        secured: true,
        principal: Some("mirror".to_owned()),
    }
}

fn configs(own: &[(&str, &str)]) -> TopicConfigs {
    let defaults = [
        ("cleanup.policy", "delete"),
        ("compression.type", "producer"),
        ("max.message.bytes", "1048588"),
        ("message.timestamp.type", "CreateTime"),
        ("message.timestamp.before.max.ms", "9223372036854775807"),
        ("message.timestamp.after.max.ms", "9223372036854775807"),
        ("min.insync.replicas", "2"),
        ("retention.bytes", "-1"),
        ("retention.ms", "604800000"),
    ];
    let value = |value: &str, source| ConfigValue {
        value: Some(value.to_owned()),
        is_default: source == ConfigSource::Default,
        source,
        sensitive: false,
    };
    let defaults = defaults.iter().map(|(k, v)| ((*k).to_owned(), value(v, ConfigSource::Default)));
    let mut all: BTreeMap<_, _> = defaults.collect();
    all.extend(own.iter().map(|(k, v)| ((*k).to_owned(), value(v, ConfigSource::Topic))));
    TopicConfigs(all)
}

fn info(partitions: i32) -> TopicInfo {
    TopicInfo { partitions, replication: 3, leaderless: Vec::new() }
}

fn rights(operations: &[AclOperation]) -> Result<Option<Rights>, Error> {
    Ok(Some(operations.iter().copied().collect()))
}

fn refusal(side: Side, code: Code) -> Error {
    Error { side, cluster: "x".into(), doing: "ask".to_owned(), code, reason: kafka_rd::describe(code) }
}

fn topic() -> TopicFacts {
    TopicFacts {
        topic: "a".to_owned(),
        target_topic: "b".to_owned(),
        settings: TopicSettings {
            create: true,
            replication: -1,
            begin: pipeline::Begin::AtOnce,
            start: Start::Earliest,
            offsets: pipeline::Offsets::Identical,
            shared: false,
        },
        feeds: None,
        info: Ok(info(4)),
        configs: Ok(configs(&[])),
        rights: rights(&[AclOperation::Read, AclOperation::Describe]),
        begun: Some(0),
        records: Some(10),
        bytes: Some(1000),
        padded: 0,
        gaps_padded: false,
        emptied: None,
        too_old: None,
        target: TargetFacts::There {
            info: info(4),
            configs: Ok(configs(&[])),
            rights: rights(&[AclOperation::Read, AclOperation::Write, AclOperation::Alter]),
            records: Some(0),
        },
    }
}

fn facts(topic: TopicFacts) -> Facts {
    Facts {
        link: "dc1-dc2".to_owned(),
        group: "isomirror.dc1-dc2".to_owned(),
        source: cluster(Side::Source, "dc1"),
        target: cluster(Side::Target, "dc2"),
        target_rights: TargetRights { group: Some(true), markers: Some(true), transactions: Some(true) },
        control: ControlFacts {
            name: "isomirror.dc1-dc2".to_owned(),
            topic: TargetFacts::There {
                info: info(16),
                configs: Ok(configs(&[("cleanup.policy", "compact")])),
                rights: rights(&[AclOperation::Read, AclOperation::Write]),
                records: None,
            },
            marks: Some(Ok(Marks::default())),
        },
        skips_loss: false,
        asked: Asked::default(),
        verifies: false,
        others: Vec::new(),
        rules: None,
        only_own: false,
        journal: JournalFacts {
            name: "isomirror.dc1-dc2.journal".to_owned(),
            topic: missing(Some(Ok(()))),
            held: Vec::new(),
        },
        groups: None,
        pace: None,
        throttle: None,
        clashes: Vec::new(),
        illegal: Vec::new(),
        unmatched: Vec::new(),
        topics: vec![topic],
    }
}

/// The findings as "severity code", and all their words.
fn judge(facts: &Facts) -> (Vec<String>, String) {
    let report = evaluate(facts);
    let codes = report.findings.iter().map(|f| format!("{} {}", f.severity, f.code)).collect();
    let words: String = report
        .findings
        .iter()
        .map(|f| format!("{}: {} | {} | {}\n", f.subject, f.found, f.why, f.fix.as_deref().unwrap_or("")))
        .collect();
    let errors = report.count(Severity::Error);
    assert_eq!(report.ok, errors == 0, "{words}");
    (codes, words)
}

#[track_caller]
fn expect(change: impl FnOnce(&mut TopicFacts), codes: &[&str], words: &str) {
    let mut topic = topic();
    change(&mut topic);
    let (found, text) = judge(&facts(topic));
    assert_eq!(found, codes, "{text}");
    assert!(text.contains(words), "{words:?} is not in:\n{text}");
}

fn there(topic: &mut TopicFacts) -> (&mut TopicInfo, &mut TopicConfigs, &mut Option<u64>) {
    match &mut topic.target {
        TargetFacts::There { info, configs: Ok(configs), records, .. } => (info, configs, records),
        _ => unreachable!("the tests' target topic is there"),
    }
}

fn missing(creation: Option<Result<(), Error>>) -> TargetFacts {
    let configs = vec![("message.timestamp.type".to_owned(), "CreateTime".to_owned())];
    TargetFacts::Missing { creation, configs, lacking: Vec::new() }
}

#[test]
fn a_good_link_has_no_findings() {
    expect(|_| {}, &[], "");
    let report = evaluate(&facts(topic()));
    assert!(report.ok && !report.is_unreachable());
    assert_eq!((report.summary.topics, report.summary.partitions, report.summary.records), (1, 4, Some(10)));
}

#[test]
fn fewer_partitions_are_an_error_unless_the_link_would_grow_them() {
    let command = "kafka-topics.sh --bootstrap-server dc2:9092 --command-config admin.properties --alter --topic b \
         --partitions 4";
    expect(|t| there(t).0.partitions = 2, &["error target-fewer-partitions"], command);
    let mirrored = |t: &mut TopicFacts| {
        t.begun = Some(2);
        there(t).0.partitions = 2;
    };
    expect(mirrored, &["info target-grows"], "2 partitions");
    expect(|t| there(t).0.partitions = 5, &["warning target-more-partitions"], "5 partitions");
}

#[test]
fn a_missing_topic_is_created_or_refused_with_the_command() {
    expect(|t| t.target = missing(Some(Ok(()))), &["info target-created"], "4 partitions");
    let not_to_be = |t: &mut TopicFacts| {
        t.settings.create = false;
        t.target = missing(None);
    };
    let command = "--create --topic b --partitions 4 --config message.timestamp.type=CreateTime";
    expect(not_to_be, &["error target-missing"], command);
    let gone = |t: &mut TopicFacts| {
        t.begun = Some(4);
        t.target = missing(Some(Ok(())));
    };
    expect(gone, &["error target-gone"], "marks CONFIG forget --topic a");
    for (code, finding, words) in [
        (Code::TopicAuthorizationFailed, "target-create-right", "--operation Create --operation Write"),
        (Code::TopicAlreadyExists, "target-write-right", "--operation Write --operation Describe"),
        (Code::InvalidReplicationFactor, "target-replication", "at most 3"),
        (Code::PolicyViolation, "target-policy", "as the target's policy wants it"),
        (Code::InvalidTopic, "target-create-refused", "would not create it"),
    ] {
        let refused = |t: &mut TopicFacts| t.target = missing(Some(Err(refusal(Side::Target, code))));
        expect(refused, &[&format!("error {finding}")], words);
    }
    let hidden = refusal(Side::Target, Code::TopicAuthorizationFailed);
    expect(|t| t.target = TargetFacts::Hidden(hidden), &["error target-write-right"], "--topic b");
}

#[test]
fn configs_that_change_or_refuse_records_are_found() {
    let table: [(&str, &str, &str, &str); 10] = [
        (
            "message.timestamp.type",
            "LogAppendTime",
            "error timestamp-type",
            "message.timestamp.type=CreateTime",
        ),
        ("max.message.bytes", "1000", "error max-message-bytes", "--add-config max.message.bytes=1048588"),
        ("compression.type", "gzip", "warning compression", "--add-config compression.type=producer"),
        ("cleanup.policy", "compact", "error cleanup-policy", "--add-config cleanup.policy=delete"),
        ("cleanup.policy", "compact,delete", "error cleanup-policy", "without a key"),
        ("retention.ms", "1000", "warning retention", "--add-config retention.ms=604800000"),
        ("retention.bytes", "1", "warning retention", "--add-config retention.bytes=-1"),
        ("message.timestamp.before.max.ms", "5", "warning timestamp-before", "=9223372036854775807"),
        ("message.timestamp.after.max.ms", "5", "warning timestamp-after", "=9223372036854775807"),
        ("min.insync.replicas", "4", "error min-insync-replicas", "replication factor 3"),
    ];
    for (key, value, code, words) in table {
        expect(|t| *there(t).1 = configs(&[(key, value)]), &[code], words);
    }
    expect(
        |t| *there(t).1 = configs(&[("message.timestamp.after.max.ms", "3600000")]),
        &["info timestamp-after"],
        "",
    );
    expect(
        |t| t.configs = Ok(configs(&[("message.timestamp.type", "LogAppendTime")])),
        &["info timestamp-type"],
        "",
    );
    let old = |t: &mut TopicFacts| {
        *there(t).1 = configs(&[("message.timestamp.difference.max.ms", "5")]);
        t.too_old = Some(true);
    };
    let codes = ["error timestamp-before", "warning timestamp-after"];
    expect(old, &codes, "message.timestamp.difference.max.ms=9223372036854775807");
}

#[test]
fn a_compacted_source_is_compared_by_what_it_keeps() {
    let compacted = |target: &'static [(&str, &str)]| {
        move |t: &mut TopicFacts| {
            t.configs = Ok(configs(&[("cleanup.policy", "compact")]));
            *there(t).1 = configs(target);
        }
    };
    expect(compacted(&[("cleanup.policy", "compact")]), &[], "");
    expect(compacted(&[]), &["warning cleanup-policy", "warning retention"], "retention.ms=-1");
    let both = [("cleanup.policy", "compact,delete"), ("retention.ms", "-1")];
    let both: &'static _ = Box::leak(Box::new(both));
    expect(compacted(both), &["warning cleanup-policy"], "cleanup.policy=compact");
}

#[test]
fn a_topic_that_would_be_created_is_judged_by_the_brokers_defaults() {
    let mut topic = topic();
    topic.target = missing(Some(Ok(())));
    let mut facts = facts(topic);
    let own = [
        ("message.max.bytes", "1000"),
        ("log.retention.hours", "1"),
        ("log.cleanup.policy", "delete"),
        ("compression.type", "gzip"),
        ("min.insync.replicas", "2"),
        ("default.replication.factor", "1"),
    ];
    facts.target.configs = Some(configs(&own).0);
    let (codes, words) = judge(&facts);
    let expected = [
        "error max-message-bytes",
        "error min-insync-replicas",
        "warning compression",
        "warning retention",
        "info target-created",
    ];
    assert_eq!(codes, expected, "{words}");
    assert!(words.contains("--create --topic b --partitions 4 --config message.timestamp.type=CreateTime --config max.message.bytes=1048588"), "{words}");
    assert!(words.contains("retention.ms=3600000"), "{words}");
}

#[test]
fn missing_rights_come_with_the_acl_command() {
    let acl = "kafka-acls.sh --bootstrap-server dc1:9092 --command-config admin.properties --add \
               --allow-principal User:mirror --operation Read --operation Describe --topic a";
    expect(|t| t.rights = rights(&[AclOperation::Describe]), &["error source-read-right"], acl);
    expect(
        |t| t.configs = Err(refusal(Side::Source, Code::TopicAuthorizationFailed)),
        &["warning source-configs-right"],
        "--operation DescribeConfigs --topic a",
    );
    let target = |operations: &'static [AclOperation]| {
        move |t: &mut TopicFacts| match &mut t.target {
            TargetFacts::There { rights: of_target, .. } => *of_target = rights(operations),
            _ => unreachable!(),
        }
    };
    let none = ["error target-write-right", "warning target-read-right", "warning target-alter-right"];
    expect(target(&[AclOperation::Describe]), &none, "--operation Write --operation Describe --topic b");
    let grow = |t: &mut TopicFacts| {
        t.begun = Some(1);
        there(t).0.partitions = 3;
        target(&[AclOperation::Read, AclOperation::Write])(t);
    };
    expect(grow, &["error target-alter-right", "info target-grows"], "--operation Alter --topic b");
    let mut facts = facts(topic());
    facts.target.rights = Some(Rights::default());
    assert_eq!(judge(&facts).0, ["info idempotent-write-right"]);
}

#[test]
fn what_is_to_be_kept_in_step_needs_rights_of_its_own() {
    let mut facts = facts(topic());
    facts.source.rights = Some([AclOperation::Describe].into_iter().collect());
    facts.target.rights = Some([AclOperation::IdempotentWrite].into_iter().collect());
    assert_eq!(judge(&facts).0, Vec::<String>::new(), "nobody asks for it");
    facts.asked.acls = true;
    let (codes, words) = judge(&facts);
    assert_eq!(codes, ["warning acl-right"], "{words}");
    assert!(words.contains("--operation Describe --operation Alter --cluster"), "{words}");
    facts.asked.acls_in_step = true;
    facts.source.rights = Some(Rights::default());
    assert_eq!(judge(&facts).0, ["error acl-right", "error acl-right"]);

    facts.asked = Asked { configs_in_step: true, ..Asked::default() };
    let (codes, words) = judge(&facts);
    assert_eq!(codes, ["error target-alter-configs-right"], "{words}");
    assert!(words.contains("--operation AlterConfigs --topic b"), "{words}");
}

#[test]
fn to_compare_both_sides_the_target_has_to_be_read_whoever_writes_there() {
    for shared in [false, true] {
        let mut topic = topic();
        topic.settings.shared = shared;
        if let TargetFacts::There { rights: of_target, configs, .. } = &mut topic.target {
            *of_target = rights(&[AclOperation::Write, AclOperation::Alter]);
            *configs = Err(refusal(Side::Target, Code::TopicAuthorizationFailed));
        }
        let mut facts = facts(topic);
        let rights = |severity: &str, (codes, _): &(Vec<String>, String)| {
            let of = |code: &&String| code.starts_with(severity) && code.ends_with("-right");
            codes.iter().filter(of).count()
        };
        let judged = judge(&facts);
        let expected = if shared { (0, 1) } else { (0, 2) };
        assert_eq!((rights("error", &judged), rights("warning", &judged)), expected, "{judged:?}");
        facts.verifies = true;
        let judged = judge(&facts);
        assert_eq!((rights("error", &judged), rights("warning", &judged)), (2, 0), "{judged:?}");
        let words =
            ["[verify] can't compare it", "--operation Read --topic b, or leave [verify] out", "log cleaner"];
        words.iter().for_each(|words| assert!(judged.1.contains(words), "{}", judged.1));
    }
}

#[test]
fn a_topic_that_would_be_created_is_tried_for_its_rights() {
    let lacking = |t: &mut TopicFacts| {
        t.padded = 1;
        t.target = missing(Some(Ok(())));
        if let TargetFacts::Missing { lacking, .. } = &mut t.target {
            *lacking = vec![AclOperation::Read, AclOperation::Write, AclOperation::Delete];
        }
    };
    let codes = [
        "error target-write-right",
        "error target-padding-right",
        "warning target-read-right",
        "info target-created",
    ];
    expect(lacking, &codes, "--operation Delete --topic b; or set offsets = \"translated\"");
}

#[test]
fn how_long_a_start_takes_is_said_before_it_starts() {
    let padded = |offsets| {
        move |t: &mut TopicFacts| {
            t.padded = offsets;
            if let TargetFacts::There { rights: of_target, .. } = &mut t.target {
                let all =
                    [AclOperation::Read, AclOperation::Write, AclOperation::Alter, AclOperation::Delete];
                *of_target = rights(&all);
            }
        }
    };
    expect(padded(10_000_000), &[], "");
    expect(padded(100_000_000), &["info target-padded"], "100000000 offsets behind 0 in all");
    expect(padded(100_000_000), &["info target-padded"], "about 20 s at 5 million offsets a second");
    expect(padded(1_000_000_000), &["info target-padded"], "about 4 min");
}

#[test]
fn large_gaps_of_a_compacted_topic_are_padded_unless_it_takes_no_padding() {
    let code: &[&str] = &["info gaps-padded"];
    for (source, of_target, codes) in [
        ("compact", ("retention.ms", "-1"), code),
        ("compact,delete", ("retention.ms", "-1"), code),
        ("compact", ("message.timestamp.before.max.ms", "1000"), &["warning timestamp-before"]),
        ("delete", ("retention.ms", "-1"), &[]),
    ] {
        let change = |t: &mut TopicFacts| {
            t.gaps_padded = true;
            t.configs = Ok(configs(&[("cleanup.policy", source), ("retention.ms", "-1")]));
            *there(t).1 = configs(&[("cleanup.policy", source), of_target]);
        };
        let words = if codes == code { "isomirror.padding" } else { "" };
        expect(change, codes, words);
    }
}

#[test]
fn padding_has_to_be_deleted_and_on_a_compacted_topic_that_takes_another_right() {
    let padded = |policy: &'static str, operations: &'static [AclOperation]| {
        move |t: &mut TopicFacts| {
            t.padded = 1;
            t.configs = Ok(configs(&[("cleanup.policy", policy)]));
            *there(t).1 = configs(&[("cleanup.policy", policy)]);
            if let TargetFacts::There { rights: of_target, .. } = &mut t.target {
                let others = [AclOperation::Read, AclOperation::Write, AclOperation::Alter];
                *of_target = rights(&[&others[..], operations].concat());
            }
        }
    };
    let wrong = ["error target-padding-right"];
    expect(padded("delete", &[]), &wrong, "--operation Delete --topic b");
    expect(padded("delete", &[AclOperation::Delete]), &[], "");
    expect(padded("compact", &[AclOperation::Delete]), &wrong, "--operation AlterConfigs --topic b");
    expect(padded("compact,delete", &[AclOperation::Delete]), &[], "");
    expect(padded("compact", &[AclOperation::Delete, AclOperation::AlterConfigs]), &[], "");
}

/// What is found with these rights on the target, of a topic like this.
#[track_caller]
fn expect_rights(
    (group, markers, transactions): (Option<bool>, Option<bool>, Option<bool>),
    change: impl FnOnce(&mut TopicFacts),
    codes: &[&str],
    words: &[&str],
) {
    let mut topic = topic();
    change(&mut topic);
    let mut facts = facts(topic);
    facts.target_rights = TargetRights { group, markers, transactions };
    let (found, text) = judge(&facts);
    assert_eq!(found, codes, "{text}");
    for words in words {
        assert!(text.contains(words), "{words:?} is not in:\n{text}");
    }
}

#[test]
fn without_any_way_to_fill_gaps_identical_lanes_are_refused() {
    let (yes, no) = (Some(true), Some(false));
    let ways = [
        "--operation ClusterAction --cluster",
        "--operation Write --transactional-id isomirror.dc1-dc2. --resource-pattern-type prefixed",
        "offsets = \"translated\"",
    ];
    let same = |_: &mut TopicFacts| {};
    let translated = |t: &mut TopicFacts| t.settings.offsets = pipeline::Offsets::Translated;
    expect_rights((yes, no, no), same, &["error fill-right", "info transactional-id-right"], &ways);
    expect_rights((yes, no, None), same, &["warning fill-right"], &ways);
    expect_rights((yes, None, no), same, &["warning fill-right", "info transactional-id-right"], &ways);
    expect_rights((yes, no, yes), same, &["info fill-right"], &["far slower"]);
    expect_rights((yes, yes, no), same, &["info transactional-id-right"], &[]);
    expect_rights((yes, no, yes), translated, &[], &[]);
    expect_rights((yes, no, no), translated, &["info transactional-id-right"], &[]);
}

#[test]
fn shared_lanes_need_transactional_ids_and_every_link_its_group() {
    let (yes, no) = (Some(true), Some(false));
    let shared = |t: &mut TopicFacts| {
        t.settings.offsets = pipeline::Offsets::Translated;
        t.settings.shared = true;
    };
    let ids = ["target transactional ids isomirror.dc1-dc2.", "--transactional-id isomirror.dc1-dc2."];
    expect_rights((yes, no, no), shared, &["error transactional-id-right"], &ids);
    expect_rights((yes, no, None), shared, &["warning transactional-id-right"], &ids);
    expect_rights((yes, no, yes), shared, &[], &[]);
    let group = ["target group isomirror.dc1-dc2", "--operation Read --group isomirror.dc1-dc2"];
    expect_rights((no, yes, yes), |_| {}, &["error group-right"], &group);
    expect_rights((None, yes, yes), |_| {}, &["warning group-right"], &group);
}

/// What is found of a control topic like this.
#[track_caller]
fn expect_control(change: impl FnOnce(&mut ControlFacts), codes: &[&str], words: &str) {
    let mut facts = facts(topic());
    change(&mut facts.control);
    let (found, text) = judge(&facts);
    assert_eq!(found, codes, "{text}");
    assert!(text.contains(words), "{words:?} is not in:\n{text}");
}

#[test]
fn the_control_topic_is_there_or_can_be_made_compacted_and_the_links_own() {
    let denied = || refusal(Side::Target, Code::TopicAuthorizationFailed);
    let right = ["error control-topic-right"];
    let absent = |creation: Result<(), Error>, lacking: &'static [AclOperation]| {
        move |control: &mut ControlFacts| {
            let configs = Vec::new();
            control.topic =
                TargetFacts::Missing { creation: Some(creation), configs, lacking: lacking.to_vec() };
            control.marks = None;
        }
    };
    expect_control(absent(Ok(()), &[]), &[], "");
    let words = "no CREATE, WRITE right on it";
    expect_control(absent(Err(denied()), &[AclOperation::Write]), &right, words);
    let words = "--create --topic isomirror.dc1-dc2 --partitions 16 --replication-factor 3 --config cleanup.policy=compact";
    expect_control(absent(Err(denied()), &[]), &right, words);
    let policy = refusal(Side::Target, Code::PolicyViolation);
    expect_control(absent(Err(policy), &[]), &["error control-topic"], words);
    let hidden = |control: &mut ControlFacts| {
        (control.topic, control.marks) = (TargetFacts::Hidden(denied()), None);
    };
    let all = "--operation Create --operation Read --operation Write --operation DescribeConfigs --topic isomirror.dc1-dc2";
    expect_control(hidden, &right, all);

    let there = |of_topic: &[AclOperation], configs: Result<TopicConfigs, Error>| {
        let rights = rights(of_topic);
        let topic = TargetFacts::There { info: info(16), configs, rights, records: None };
        |control: &mut ControlFacts| control.topic = topic
    };
    let both = [AclOperation::Read, AclOperation::Write];
    let compacted = || Ok(configs(&[("cleanup.policy", "compact")]));
    expect_control(there(&both[..1], compacted()), &right, "no WRITE right");
    let words = "--operation DescribeConfigs --topic isomirror.dc1-dc2";
    expect_control(there(&both, Err(denied())), &right, words);
    let deleting = Ok(configs(&[("cleanup.policy", "compact,delete")]));
    let words = "--add-config cleanup.policy=compact";
    expect_control(there(&both, deleting), &["error control-topic-policy"], words);

    let theirs = |control: &mut ControlFacts| {
        let positions = HashMap::from([(TopicPartition::new("a", 0), 7)]);
        control.marks =
            Some(Ok(Marks { source_cluster: Some("id-of-dc9".to_owned()), positions, ..Marks::default() }));
    };
    expect_control(theirs, &["error control-topic-of-another"], "name of its own");
    let newer =
        offset_marks::control::ControlError::Newer { key: "k".to_owned(), what: "version 99".to_owned() };
    let topic = "isomirror.dc1-dc2".to_owned();
    let error = control_topic::Error::Record { topic, partition: 0, offset: 5, error: newer };
    expect_control(|c| c.marks = Some(Err(error)), &["error control-topic"], "upgrade this isomirror");
}

#[test]
fn what_is_on_the_target_is_a_start_for_identical_lanes_and_another_copy_for_translated_ones() {
    let full = |offsets| {
        move |t: &mut TopicFacts| {
            t.settings.offsets = offsets;
            *there(t).2 = Some(7);
        }
    };
    let code = ["warning target-not-empty"];
    expect(full(pipeline::Offsets::Identical), &code, "goes on behind what is there");
    expect(full(pipeline::Offsets::Translated), &code, "there twice");
    let shared = |t: &mut TopicFacts| {
        full(pipeline::Offsets::Translated)(t);
        t.settings.shared = true;
    };
    expect(shared, &[], "");
    let emptied = |t: &mut TopicFacts| t.emptied = Some(super::Emptied { partition: 2, end: 10, from: 3 });
    expect(emptied, &["error target-emptied"], "partition 2 ends at offset 10");
}

#[test]
fn where_a_cluster_says_nothing_of_rights_nothing_is_found() {
    let silent = |t: &mut TopicFacts| {
        t.rights = Ok(None);
        if let TargetFacts::There { rights, .. } = &mut t.target {
            *rights = Ok(None);
        }
    };
    expect(silent, &[], "");
}

#[test]
fn one_cluster_is_an_error_only_for_topics_that_feed_themselves() {
    let mut facts = facts(topic());
    facts.target.id.clone_from(&facts.source.id);
    assert_eq!(judge(&facts).0, ["warning one-cluster"]);
    facts.topics[0].feeds = Some("b".to_owned());
    let (codes, words) = judge(&facts);
    assert_eq!(codes, ["error loop"]);
    assert!(words.contains("source topic a"), "{words}");
}

#[test]
fn what_is_there_already_and_what_is_down_is_said() {
    expect(|t| *there(t).2 = Some(7), &["warning target-not-empty"], "7 records");
    let mirrored = |t: &mut TopicFacts| {
        t.begun = Some(1);
        *there(t).2 = Some(7);
    };
    expect(mirrored, &[], "");
    let down = |t: &mut TopicFacts| there(t).0.leaderless = vec![1, 3];
    expect(down, &["error no-leader"], "no leader for partition 1, 3");
    let mut facts = facts(topic());
    facts.topics.clear();
    facts.unmatched = vec![Unmatched { pattern: "x.*".to_owned(), named: false, hidden: false }];
    assert_eq!(judge(&facts).0, ["error no-topics"]);
    facts.unmatched = vec![Unmatched { pattern: "pay.x".to_owned(), named: true, hidden: true }];
    let (codes, words) = judge(&facts);
    assert_eq!(codes, ["error source-read-right"]);
    assert!(words.contains("source topic pay.x"), "{words}");
}

#[test]
fn a_lane_that_would_not_go_on_is_said_in_the_daemons_words() {
    let refused = |kind, loss| {
        let stop = Stop::new(kind, "a[0]: this link has mirrored another", "take it back");
        let marks = Marks {
            unlike: BTreeMap::from([(TopicPartition::new("a", 0), Refused { stop, loss })]),
            ..Marks::default()
        };
        let mut facts = facts(topic());
        facts.control.marks = Some(Ok(marks));
        facts
    };
    let loss = Loss {
        kind: EventKind::Recreated,
        from: 7,
        to: 9,
        lost: 2,
        at: 0,
        words: "2 of its offsets are lost".to_owned(),
    };
    let (codes, words) = judge(&refused(StopKind::Precondition, None));
    assert_eq!(codes, ["error marks-of-another-setting"]);
    assert!(words.contains("source topic a: a[0]: this link has mirrored another"), "{words}");
    assert!(words.contains("take it back"), "{words}");
    assert_eq!(judge(&refused(StopKind::Diverged, Some(loss.clone()))).0, ["error marks-diverged"]);
    let mut facts = refused(StopKind::Diverged, Some(loss));
    facts.skips_loss = true;
    let (codes, words) = judge(&facts);
    assert_eq!(codes, ["warning marks-diverged"]);
    assert!(words.contains("2 of its offsets are lost"), "{words}");
}
