//! `isomirror plan` and `apply`, and the daemon's `[configs]` and `[acls]`, on real brokers with ACLs on: what is planned is
//! what is missing, what is applied is what was planned, and then there is nothing to change.

#[path = "support/acls.rs"]
mod acls;
#[expect(dead_code, reason = "no lane is written by hand here")]
#[path = "support/ledgers.rs"]
mod ledgers;
#[expect(dead_code, reason = "nobody is a member here")]
#[path = "support/members.rs"]
mod members;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    sync::OnceLock,
    thread,
    time::{Duration, Instant},
};

use kafka_harness::{
    Cluster, Security, TestRecord, client,
    daemon::{Config, Daemon, eventually},
    shared::unique,
};
use serde_json::{Value, json};

use acls::{allow, rules_about};
use ledgers::{ended, link_of};
use members::{commit, committed};

/// Users of both clusters, one a test.
const USERS: [&str; 2] = ["planner", "follower"];

fn pair() -> (&'static Cluster, &'static Cluster) {
    static PAIR: OnceLock<[Cluster; 2]> = OnceLock::new();
    let [source, target] = PAIR.get_or_init(|| {
        let start = || Cluster::builder().security(Security::plain(&USERS)).start().expect("a cluster");
        thread::scope(|scope| {
            let source = scope.spawn(start);
            [source.join().unwrap(), start()]
        })
    });
    (source, target)
}

/// Runs it to this end; what it says as JSON.
#[track_caller]
fn said(config: &Config, command: &str, args: &[&str], code: i32) -> Value {
    let (out, _) = ended(config.command(command, &[args, &["--output", "json"]].concat()), code);
    serde_json::from_str(&out).unwrap()
}

#[track_caller]
fn table(config: &Config, command: &str, args: &[&str], code: i32) -> String {
    ended(config.command(command, args), code).0
}

fn produce(cluster: &Cluster, topic: &str, partitions: i32) {
    let record = |partition| TestRecord {
        partition,
        key: Some(b"k".to_vec()),
        value: Some(b"v".to_vec()),
        headers: Vec::new(),
        timestamp: None,
    };
    client::produce(&cluster.props(), topic, &(0..partitions).map(record).collect::<Vec<_>>()).unwrap();
}

fn configs_of(cluster: &Cluster, topic: &str) -> BTreeMap<String, String> {
    cluster.topic_config(topic).unwrap().into_iter().collect()
}

#[track_caller]
fn nothing_to_change(config: &Config) {
    let plan = said(config, "plan", &[], 0);
    assert_eq!(plan["totals"], json!({"planned": 0, "done": 0, "refused": 0, "failed": 0}), "{plan}");
    assert!(table(config, "plan", &[], 0).trim_end().ends_with("Nothing to change."));
}

const SET: &[(&str, &str)] = &[
    ("retention.ms", "-1"),
    ("cleanup.policy", "compact,delete"),
    ("unclean.leader.election.enable", "true"),
];

#[test]
fn what_is_planned_is_applied_and_then_there_is_nothing_to_change() {
    let (source, target) = pair();
    let name = unique("whole");
    let [renamed, plain] = ["renamed", "plain"].map(|part| format!("{name}.{part}"));
    let copy = format!("{name}.copy");
    source.create_topic(&renamed, 3, 1, SET).unwrap();
    source.create_topic(&plain, 2, 1, &[("max.message.bytes", "2000000")]).unwrap();
    let config = Config::new(source, target, &format!("{name}\\..*"))
        .topics(&format!("rename = {{ \"{renamed}\" = \"{copy}\" }}"));
    let plan = said(&config, "plan", &[], 0);
    let step = |topic: &str, target_topic: &str, partitions, configs: Value| {
        json!({
            "action": "create", "topic": topic, "target_topic": target_topic, "partitions": partitions,
            "replication": null, "configs": configs, "outcome": "planned"
        })
    };
    let created_with = json!({
        "cleanup.policy": "compact,delete", "retention.ms": "-1", "message.timestamp.type": "CreateTime"
    });
    let expected = json!({
        "link": link_of(&config),
        "source": "source",
        "target": "target",
        "applied": false,
        "totals": {"planned": 2, "done": 0, "refused": 0, "failed": 0},
        "topics": [
            step(&plain, &plain, 2, json!({"max.message.bytes": "2000000", "message.timestamp.type": "CreateTime"})),
            step(&renamed, &copy, 3, created_with.clone()),
        ],
        "configs": [],
        "configs_kept": [],
        "acls": {
            "create": [], "same": 0, "held_until_cutover": [], "narrowed": [], "left_out": [], "excess": [],
            "elsewhere": plan["acls"]["elsewhere"],
        },
        "groups": null,
        "refused": []
    });
    assert_eq!(plan, expected);
    assert_eq!(target.partitions(&copy).unwrap(), None, "a plan changes nothing");
    let shown = table(&config, "plan", &[], 0);
    assert!(
        shown.contains(&format!("{copy} (from {renamed})")) && shown.contains("2 to do: `isomirror apply"),
        "{shown}"
    );

    let done = said(&config, "apply", &[], 0);
    assert_eq!(
        (&done["totals"]["done"], &done["topics"][0]["outcome"]),
        (&json!(2), &json!("done")),
        "{done}"
    );
    assert_eq!(json!(configs_of(target, &copy)), created_with);
    assert_eq!((target.partitions(&copy).unwrap(), target.partitions(&plain).unwrap()), (Some(3), Some(2)));
    nothing_to_change(&config);
    let again = said(&config, "apply", &[], 0);
    assert_eq!(again["totals"], json!({"planned": 0, "done": 0, "refused": 0, "failed": 0}), "{again}");

    // The daemon takes what was made, and makes the next one just so.
    let by_daemon = format!("{name}.daemon");
    source.create_topic(&by_daemon, 1, 1, SET).unwrap();
    for (topic, partitions) in [(&renamed, 3), (&plain, 2), (&by_daemon, 1)] {
        produce(source, topic, partitions);
    }
    config.run_until_caught_up().expect(0);
    assert_eq!(configs_of(target, &by_daemon), configs_of(target, &copy));
    nothing_to_change(&config);

    // What was looked at is done, and nothing else.
    source.alter_topic_config(&renamed, &[("retention.ms", "1234567")]).unwrap();
    let change = |now: &str, then: &str, outcome: &str| {
        json!([{
            "topic": renamed, "target_topic": copy, "key": "retention.ms", "now": now, "then": then, "outcome": outcome
        }])
    };
    let reviewed = eventually("the broker knows the change", || {
        Some(said(&config, "plan", &[], 0)).filter(|plan| plan["totals"]["planned"] != 0)
    });
    assert_eq!(
        (&reviewed["configs"], &reviewed["topics"]),
        (&change("-1", "1234567", "planned"), &json!([]))
    );
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("plan.json");
    fs::write(&file, reviewed.to_string()).unwrap();
    let as_reviewed = ["--plan", file.to_str().unwrap()];
    source.add_partitions(&plain, 4).unwrap();
    let (_, error) = ended(config.command("apply", &as_reviewed), 3);
    assert!(error.contains("something else to do than in the plan: topics: {"), "{error}");
    assert_eq!(configs_of(target, &copy)["retention.ms"], "-1", "nothing was done");
    let both = said(&config, "plan", &[], 0);
    let grow = json!([{
        "action": "grow", "topic": plain, "target_topic": plain, "from_partitions": 2, "partitions": 4,
        "outcome": "planned"
    }]);
    assert_eq!((&both["topics"], &both["configs"]), (&grow, &reviewed["configs"]));
    fs::write(&file, both.to_string()).unwrap();
    let done = said(&config, "apply", &as_reviewed, 0);
    assert_eq!((&done["configs"], &done["totals"]["done"]), (&change("-1", "1234567", "done"), &json!(2)));
    assert_eq!(target.partitions(&plain).unwrap(), Some(4));
    assert_eq!(configs_of(target, &copy)["retention.ms"], "1234567");
    nothing_to_change(&config);
    let (_, error) = ended(config.command("apply", &["--plan", "nowhere.json"]), 2);
    assert!(error.contains("cannot read the plan nowhere.json"), "{error}");
}

#[test]
fn what_the_target_has_of_its_own_is_named_and_stays_and_what_does_not_fit_is_refused() {
    let (source, target) = pair();
    let name = unique("own");
    let [own, small, absent] = ["own", "small", "absent"].map(|part| format!("{name}.{part}"));
    source.create_topic(&own, 1, 1, &[("min.insync.replicas", "2"), ("cleanup.policy", "compact")]).unwrap();
    target.create_topic(&own, 1, 1, &[("segment.bytes", "1048576"), ("cleanup.policy", "compact")]).unwrap();
    source.create_topic(&small, 3, 1, &[]).unwrap();
    target.create_topic(&small, 1, 1, &[]).unwrap();
    source.create_topic(&absent, 1, 1, &[]).unwrap();
    let config = Config::new(source, target, &format!("{name}\\..*"))
        .topics("create = false")
        .section(&format!("[topics.override.\"{name}\\\\.own\"]\ncreate = true"));
    let plan = said(&config, "plan", &[], 3);
    let kept: BTreeMap<&str, &str> = plan["configs_kept"]
        .as_array()
        .unwrap()
        .iter()
        .map(|kept| (kept["key"].as_str().unwrap(), kept["reason"].as_str().unwrap()))
        .collect();
    let expected = [
        (
            "min.insync.replicas",
            "the number of replicas is the target brokers' choice (topics.replication_factor)",
        ),
        ("segment.bytes", "it is set on the target, and not on the source"),
    ];
    assert_eq!(kept, expected.into());
    let refused: Vec<&str> = plan["refused"]
        .as_array()
        .unwrap()
        .iter()
        .map(|refused| refused["reason"].as_str().unwrap())
        .collect();
    assert!(
        refused[0].contains(&format!("{absent} does not exist, and topics.create = false")),
        "{refused:?}"
    );
    assert!(refused[1].contains("has 1 partitions, the source has 3\n  fix: kafka-topics.sh"), "{refused:?}");
    assert_eq!((refused.len(), &plan["totals"]["planned"]), (2, &json!(0)), "{plan}");
    let shown = table(&config, "apply", &[], 3);
    assert!(shown.contains(&format!("topic {small}: REFUSED: ")) && shown.contains("2 REFUSED."), "{shown}");
    assert_eq!(configs_of(target, &own)["segment.bytes"], "1048576");
    // Without them it is another plan.
    said(&config, "plan", &["--only", "configs", "--only", "acls"], 0);
}

#[test]
fn readers_rights_come_along_under_new_names_and_who_may_write_waits() {
    let (source, target) = pair();
    let name = unique("rights");
    let [renamed, plain] = ["renamed", "plain"].map(|part| format!("{name}.{part}"));
    let (copy, group) = (format!("{name}.copy"), format!("{name}-group"));
    for topic in [&renamed, &plain] {
        source.create_topic(topic, 1, 1, &[]).unwrap();
    }
    let config = Config::new(source, target, &format!("{name}\\..*"))
        .topics(&format!("rename = {{ \"{renamed}\" = \"{copy}\" }}"))
        .section(&format!("[groups]\ninclude = [\"{name}-.*\"]"))
        .section("[acls]\nprincipals = { \"User:CN=old\" = \"User:new\" }");
    allow(
        source,
        &[
            format!("Allow User:CN=old Read Topic {renamed}"),
            format!("Allow User:CN=old Write Topic {renamed}"),
            format!("Allow User:app All Topic {plain}"),
            format!("Allow User:app Read Topic {name}.…"),
            format!("Deny User:app Describe Topic {plain}"),
            format!("Deny User:* Read Topic {plain}"),
            format!("Allow User:app Read Group {name}-…"),
            format!("Allow User:app Write TransactionalId {name}-ids"),
            format!("Allow User:app Read Topic {name}-not-mirrored"),
        ],
    );
    allow(target, &[format!("Allow User:ops Read Topic {copy}")]);
    // Which groups there are does not matter to a prefix that is included as a whole; nothing is mirrored yet.
    commit(source, &group, &[(&plain, 0, 0)]);
    let plan = said(&config, "plan", &[], 0);
    let rules = |of: &Value| -> BTreeSet<String> {
        let one = |rule: &Value| {
            let word = |key: &str| rule[key].as_str().unwrap();
            let more = if word("pattern") == "Prefixed" { "…" } else { "" };
            let [permission, principal, operation] = ["permission", "principal", "operation"].map(word);
            format!("{permission} {principal} {operation} {} {}{more}", word("resource"), word("name"))
        };
        of.as_array().unwrap().iter().map(one).collect()
    };
    let wanted: BTreeSet<String> = [
        format!("Allow User:new Read Topic {copy}"),
        format!("Allow User:app Read Topic {copy}"),
        format!("Allow User:app Read Topic {plain}"),
        format!("Allow User:app Describe Topic {plain}"),
        format!("Allow User:app DescribeConfigs Topic {plain}"),
        format!("Deny User:app Describe Topic {plain}"),
        format!("Allow User:app Read Group {name}-…"),
    ]
    .into();
    let writing = ["Write", "Create", "Delete", "Alter", "AlterConfigs"];
    let mut held: BTreeSet<String> =
        writing.into_iter().map(|operation| format!("Allow User:app {operation} Topic {plain}")).collect();
    held.insert(format!("Allow User:new Write Topic {copy}"));
    held.insert(format!("Allow User:app Write TransactionalId {name}-ids"));
    let found = &plan["acls"];
    assert_eq!(rules(&found["create"]), wanted);
    assert_eq!(rules(&found["held_until_cutover"]), held);
    assert_eq!(rules(&found["left_out"]), [format!("Deny User:* Read Topic {plain}")].into());
    assert_eq!(rules(&found["excess"]), [format!("Allow User:ops Read Topic {copy}")].into());
    assert_eq!((&found["narrowed"][0]["to"], &found["same"]), (&json!(2), &json!(0)), "{found}");
    assert_eq!((&plan["groups"]["groups"], &plan["groups"]["commit"]), (&json!(1), &json!(0)), "{plan}");
    let shown = table(&config, "plan", &[], 0);
    for words in ["wait for the cutover", "make ACL", "not the source's, and stay", "no lane has begun yet"] {
        assert!(shown.contains(words), "{words:?} is not in {shown}");
    }

    said(&config, "apply", &[], 0);
    let there = rules_about(target, &name);
    assert_eq!(there, wanted.iter().cloned().chain([format!("Allow User:ops Read Topic {copy}")]).collect());
    nothing_to_change(&config);
    allow(source, &[format!("Allow User:late Describe Topic {renamed}")]);
    let plan = said(&config, "plan", &[], 0);
    assert_eq!(rules(&plan["acls"]["create"]), [format!("Allow User:late Describe Topic {copy}")].into());
    assert_eq!(plan["totals"]["planned"], 1, "{plan}");

    // Groups come along once there is something to read.
    produce(source, &plain, 1);
    commit(source, &group, &[(&plain, 0, 1)]);
    config.run_until_caught_up().expect(0);
    let plan = said(&config, "plan", &["--only", "groups"], 0);
    assert_eq!((&plan["groups"]["commit"], &plan["acls"]), (&json!(1), &json!(null)), "{plan}");
    let done = said(&config, "apply", &[], 0);
    assert_eq!(done["groups"]["committed"], 1, "{done}");
    assert_eq!(committed(target, &group, &plain, 1), [Some(1)]);
    nothing_to_change(&config);
}

/// With exactly the rights of docs/acls.md, each of which is named where it is missing.
#[test]
fn the_least_rights_to_plan_and_to_apply() {
    let (source, target) = pair();
    let (topic, made) = (unique("planned"), unique("planned-made"));
    source.create_topic(&topic, 1, 1, &[("retention.ms", "5000000")]).unwrap();
    source.create_topic(&made, 1, 1, &[]).unwrap();
    target.create_topic(&topic, 1, 1, &[]).unwrap();
    allow(source, &[format!("Allow User:app Read Topic {topic}")]);
    let config = Config::new(source, target, &format!("{topic}|{made}"))
        .source(source.client_properties("planner"))
        .target(target.client_properties("planner"));
    let own = format!("isomirror.{}", link_of(&config));
    let (_, error) = ended(config.command("plan", &[]), 3);
    assert!(error.contains(&format!("not allowed to READ control topic {own}")), "{error}");
    let of = |cluster: &Cluster, rights: &[String]| {
        allow(cluster, &rights.iter().map(|right| format!("Allow User:planner {right}")).collect::<Vec<_>>());
    };
    of(target, &[format!("Read Topic {own}")]);
    of(source, &[format!("Describe Topic {topic}"), format!("Describe Topic {made}")]);
    of(target, &[format!("Describe Topic {topic}")]);
    let refused = |plan: &Value| -> BTreeMap<String, String> {
        let text = |of: &Value| of.as_str().unwrap().to_owned();
        plan["refused"].as_array().unwrap().iter().map(|r| (text(&r["about"]), text(&r["reason"]))).collect()
    };
    let plan = said(&config, "plan", &[], 3);
    let found = refused(&plan);
    let expected = [
        ("ACLs of the source", "fix: grant DESCRIBE on the cluster on the source"),
        ("ACLs of the target", "fix: grant DESCRIBE on the cluster on the target"),
        (&format!("configs of topic {topic}"), "fix: grant DESCRIBE_CONFIGS on it on the source"),
        (&format!("configs of topic {made}"), "the target topic gets the brokers' defaults"),
    ];
    assert_eq!(found.len(), expected.len(), "{found:?}");
    for (about, words) in expected {
        assert!(found.get(about).is_some_and(|reason| reason.contains(words)), "{about}: {found:?}");
    }

    // All that it takes to plan.
    of(source, &["Describe Cluster kafka-cluster".to_owned()]);
    of(source, &[format!("DescribeConfigs Topic {topic}"), format!("DescribeConfigs Topic {made}")]);
    of(target, &["Describe Cluster kafka-cluster".to_owned(), format!("DescribeConfigs Topic {topic}")]);
    let plan = said(&config, "plan", &[], 0);
    assert_eq!(plan["totals"]["planned"], 3, "{plan}");

    // To apply, it takes more; what can't be done is named, and nothing is half done.
    let done = said(&config, "apply", &[], 3);
    assert_eq!(done["totals"], json!({"planned": 0, "done": 0, "refused": 3, "failed": 0}), "{done}");
    let reason = |step: &Value| step["reason"].as_str().unwrap().to_owned();
    let reasons =
        [&done["topics"][0], &done["configs"][0], &done["acls"]["create"][0]].map(reason).join("\n");
    for right in [
        format!("fix: grant CREATE on topic {made} on the target"),
        format!("fix: grant ALTER_CONFIGS on topic {topic} on the target"),
        "fix: grant ALTER on the cluster on the target".to_owned(),
    ] {
        assert!(reasons.contains(&right), "{right:?} is not in {reasons}");
    }
    let shown = table(&config, "apply", &[], 3);
    assert!(shown.contains("3 REFUSED.") && shown.contains("fix: grant ALTER_CONFIGS on topic"), "{shown}");
    of(target, &[format!("AlterConfigs Topic {topic}")]);
    let done = said(&config, "apply", &[], 3);
    assert_eq!(
        (&done["configs"][0]["outcome"], &done["totals"]["done"]),
        (&json!("done"), &json!(1)),
        "{done}"
    );
    assert_eq!(configs_of(target, &topic)["retention.ms"], "5000000", "what was done before is done");
    of(target, &["Alter Cluster kafka-cluster".to_owned(), format!("Create Topic {made}")]);
    // It is seen by who may describe it.
    of(target, &[format!("Describe Topic {made}"), format!("DescribeConfigs Topic {made}")]);
    let done = said(&config, "apply", &[], 0);
    assert_eq!(done["totals"]["done"], 2, "{done}");
    assert!(rules_about(target, &topic).contains(&format!("Allow User:app Read Topic {topic}")));
    assert_eq!(target.partitions(&made).unwrap(), Some(1));
    nothing_to_change(&config);
}

#[test]
fn a_cluster_without_an_authorizer_has_no_acls_and_one_that_is_down_no_answer() {
    let (source, _) = pair();
    let target = Cluster::builder().start().unwrap();
    let topic = unique("open");
    source.create_topic(&topic, 1, 1, &[]).unwrap();
    allow(source, &[format!("Allow User:app Read Topic {topic}")]);
    let config = Config::new(source, &target, &topic);
    let done = said(&config, "apply", &[], 0);
    assert_eq!(done["totals"]["done"], 1, "{done}");
    assert_eq!(done["acls"]["note"], "target target has no authorizer: there can be no ACLs");
    let back = Config::new(&target, source, &topic)
        .topics(&format!("rename = {{ \"{topic}\" = \"{topic}.back\" }}"));
    let plan = said(&back, "plan", &[], 0);
    assert_eq!(plan["acls"]["note"], "source source has no authorizer: there are no ACLs to carry over");
    assert!(table(&back, "plan", &[], 0).contains("has no authorizer"));
    // One cluster on both sides would feed itself.
    let (_, error) = ended(Config::new(&target, &target, &topic).command("plan", &[]), 2);
    assert!(error.contains("one cluster"), "{error}");

    target.stop(1).unwrap();
    let began = Instant::now();
    ended(config.command("apply", &[]), 4);
    assert!(began.elapsed() < Duration::from_secs(40));
}

/// One of two instances does it; a right that is missing is told once, and counted.
#[test]
fn the_daemon_keeps_configs_and_acls_in_step() {
    let (source, target) = pair();
    let topic = unique("followed");
    source.create_topic(&topic, 1, 1, &[]).unwrap();
    produce(source, &topic, 1);
    let config = Config::new(source, target, &topic)
        .source(source.client_properties("follower"))
        .target(target.client_properties("follower"))
        .section("[configs]\nsync = \"1s\"")
        .section("[acls]\nsync = \"1s\"\nprincipals = { \"User:old\" = \"User:new\" }");
    let own = format!("isomirror.{}", link_of(&config));
    let all = |rights: &[&str], what: &str| -> Vec<String> {
        rights.iter().map(|right| format!("Allow User:follower {right} {what}")).collect()
    };
    allow(source, &all(&["Read", "DescribeConfigs"], &format!("Topic {topic}")));
    allow(source, &all(&["Describe"], "Cluster kafka-cluster"));
    let of_control = all(&["Create", "Read", "Write", "DescribeConfigs"], &format!("Topic {own}"));
    let of_topic = all(&["Create", "Read", "Write", "DescribeConfigs"], &format!("Topic {topic}"));
    let of_cluster = all(&["ClusterAction", "Describe"], "Cluster kafka-cluster");
    let of_group = all(&["Read"], &format!("Group {own}"));
    allow(target, &[of_control, of_topic, of_cluster, of_group].concat());
    allow(
        source,
        &[format!("Allow User:old Read Topic {topic}"), format!("Allow User:old Write Topic {topic}")],
    );

    let daemons = [config.run(), config.run()];
    daemons.iter().for_each(Daemon::wait_ready);
    let logs = || daemons.iter().map(Daemon::log).collect::<String>();
    let until = |what: &str| eventually(what, || logs().contains(what).then_some(()));
    // A topic is made with the configs that its source has then.
    until("lanes started");
    source.alter_topic_config(&topic, &[("retention.ms", "7654321")]).unwrap();
    until("topic configs are not kept in step");
    until("ACLs are not kept in step");
    assert!(logs().contains("fix: grant ALTER_CONFIGS on topic"), "{}", logs());
    assert!(logs().contains("fix: grant ALTER on the cluster on the target"), "{}", logs());
    for metric in ["isomirror_config_sync_failures_total", "isomirror_acl_sync_failures_total"] {
        let counted: f64 = daemons.iter().filter_map(|daemon| daemon.metric(metric, &[])).sum();
        assert!(counted > 0.0, "{metric}");
    }
    allow(target, &all(&["AlterConfigs"], &format!("Topic {topic}")));
    allow(target, &all(&["Alter"], "Cluster kafka-cluster"));
    until("topic configs are in step again");
    until("ACLs are in step again");
    assert_eq!(configs_of(target, &topic)["retention.ms"], "7654321");
    let theirs = || -> Vec<String> {
        rules_about(target, &topic).into_iter().filter(|rule| !rule.contains("follower")).collect()
    };
    assert_eq!(theirs(), [format!("Allow User:new Read Topic {topic}")]);

    source.alter_topic_config(&topic, &[("retention.ms", "7654322"), ("segment.ms", "600000")]).unwrap();
    allow(source, &[format!("Allow User:other Describe Topic {topic}")]);
    eventually("the target follows", || {
        let configs = configs_of(target, &topic);
        let followed = configs["retention.ms"] == "7654322" && configs.get("segment.ms")? == "600000";
        (followed && theirs().len() == 2).then_some(())
    });
    // Each change once, whichever of the two made it; and trouble once.
    let logs = daemons.map(|daemon| daemon.stop().expect(0).log).concat();
    let count = |words: &str| logs.matches(words).count();
    assert_eq!(count("config set as on the source"), 3, "{logs}");
    assert_eq!(count("ACL made as on the source"), 2, "{logs}");
    assert_eq!(count("topic configs are not kept in step"), 1, "{logs}");
}
