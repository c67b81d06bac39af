//! `isomirror groups` and the daemon's `[groups]` on real brokers: a group's offsets become what they have to be on the
//! target, by clients that are not the mirror's; what must not be committed is not; each way to go wrong has its exit code.

#[expect(dead_code, reason = "no lane is written by hand here")]
#[path = "support/ledgers.rs"]
mod ledgers;
#[path = "support/members.rs"]
mod members;

use std::{collections::BTreeMap, thread};

use kafka_harness::{
    Cluster, NEW_VERSION, Security, TestRecord,
    client::{self, Isolation, ProduceOptions, ReadRecord, Transaction},
    daemon::{Config, Daemon, eventually, isomirror},
    java,
    shared::{pair, unique},
    terminal,
};
use serde_json::{Value, json};

use ledgers::{ended, link_of};
use members::{MemberOf, commit, commit_with, committed, committed_with, consume};

/// The records are years old.
const KEPT: &[(&str, &str)] = &[("retention.ms", "-1")];
const SECOND: i64 = 1_700_000_000;

fn record(partition: i32, n: i64) -> TestRecord {
    TestRecord {
        partition,
        key: Some(format!("k{n}").into_bytes()),
        value: Some(format!("v{n}").into_bytes()),
        headers: Vec::new(),
        timestamp: Some((SECOND + n) * 1000),
    }
}

fn produce(cluster: &Cluster, topic: &str, partition: i32, numbers: std::ops::Range<i64>) {
    let records: Vec<_> = numbers.map(|n| record(partition, n)).collect();
    client::produce(&cluster.props(), topic, &records).unwrap();
}

fn in_transaction(
    cluster: &Cluster,
    topic: &str,
    partition: i32,
    numbers: std::ops::Range<i64>,
    end: Transaction,
) {
    let records: Vec<_> = numbers.map(|n| record(partition, n)).collect();
    let options = ProduceOptions { transaction: Some(end), ..ProduceOptions::default() };
    client::produce_with(&cluster.props(), topic, &records, &options).unwrap();
}

fn topic_with(name: &str, partitions: i32, records: i64) -> String {
    let topic = unique(name);
    pair().0.create_topic(&topic, partitions, 1, KEPT).unwrap();
    (0..partitions).for_each(|partition| produce(pair().0, &topic, partition, 0..records));
    topic
}

/// Runs `groups` to this end; what it says as JSON.
#[track_caller]
fn groups(config: &Config, args: &[&str], code: i32) -> Value {
    let (out, _) = ended(config.command("groups", &[args, &["--output", "json"]].concat()), code);
    serde_json::from_str(&out).unwrap()
}

/// The partition of a report's only group.
fn step(report: &Value, partition: i32) -> &Value {
    let [group] = &report["groups"].as_array().expect("a list")[..] else { panic!("{report}") };
    let steps = group["partitions"].as_array().expect("a list");
    steps.iter().find(|step| step["partition"] == partition).unwrap_or_else(|| panic!("{report}"))
}

/// What is read behind an offset.
fn behind(records: &[ReadRecord], offset: i64) -> Vec<Option<Vec<u8>>> {
    records.iter().filter(|record| record.offset >= offset).map(|record| record.value.clone()).collect()
}

fn read(cluster: &Cluster, topic: &str) -> BTreeMap<i32, Vec<ReadRecord>> {
    client::read_all(&cluster.props(), topic, Isolation::Committed).unwrap()
}

#[test]
fn offsets_are_carried_over_verbatim_to_a_renamed_topic_and_a_second_time_nothing_changes() {
    let (source, target) = pair();
    let (topic, other) = (topic_with("verbatim", 3, 30), topic_with("not-mirrored", 1, 5));
    let copy = format!("{topic}.copy");
    let config =
        Config::new(source, target, &topic).topics(&format!("rename = {{ \"{topic}\" = \"{copy}\" }}"));
    config.run_until_caught_up().expect(0);
    let group = unique("billing");
    commit_with(source, &group, &[(&topic, 0, 10), (&topic, 1, 30)], "noted");
    commit(source, &group, &[(&other, 0, 3)]);

    let plan = groups(&config, &["plan", "--group", &group], 0);
    let expected = json!({
        "link": link_of(&config),
        "source": "source",
        "target": "target",
        "totals": {
            "groups": 1, "groups_failed": 0, "commit": 2, "committed": 0, "same": 0, "refused": 0, "failed": 0,
            "read_again": 0
        },
        "groups": [{
            "group": group,
            "target": null,
            "partitions": [
                {
                    "topic": topic, "target_topic": copy, "partition": 0, "source_offset": 10,
                    "target_offset_now": null, "target_offset_then": 10, "read_again": 0, "absent": 0,
                    "how": "exact", "outcome": "commit"
                },
                {
                    "topic": topic, "target_topic": copy, "partition": 1, "source_offset": 30,
                    "target_offset_now": null, "target_offset_then": 30, "read_again": 0, "absent": 0,
                    "how": "exact", "outcome": "commit"
                }
            ],
            "not_mirrored": [other]
        }],
        "left_out": []
    });
    assert_eq!(plan, expected);
    assert_eq!(committed(target, &group, &copy, 3), [None; 3], "a plan changes nothing");

    let done = groups(&config, &["sync", "--group", &group], 0);
    assert_eq!(done["totals"]["committed"], 2, "{done}");
    let noted = |offset| (Some(offset), "noted".to_owned());
    // Nothing was committed for the last partition, and so it stays.
    assert_eq!(committed_with(target, &group, &copy, 3), [noted(10), noted(30), (None, String::new())]);
    let again = groups(&config, &["sync", "--group", &format!("{group}|none")], 0);
    assert_eq!((&again["totals"]["committed"], &again["totals"]["same"]), (&json!(0), &json!(2)), "{again}");
    // A pattern is for whole names, and one topic can be asked for.
    let (_, error) = ended(config.command("groups", &["sync", "--group", &group[..4]]), 3);
    assert!(
        error.contains("no group on source is called") && error.contains("groups CONFIG list"),
        "{error}"
    );
    let nothing = groups(&config, &["plan", "--group", &group, "--topic", &topic], 0);
    assert_eq!(nothing["groups"][0]["not_mirrored"], json!([]));

    let listed = groups(&config, &["list", "--group", &group], 0);
    let on = |partitions, lag| json!({"state": "Empty", "members": 0, "partitions": partitions, "lag": lag});
    assert_eq!(listed["groups"][0]["on_source"], on(2, 20), "{listed}");
    assert_eq!(listed["groups"][0]["on_target"], on(2, 20), "{listed}");
    // A group of a link's instances, even if it has offsets.
    let own = format!("isomirror.{}", link_of(&config));
    commit(source, &own, &[(&topic, 2, 5)]);
    let report = groups(&config, &["sync", "--group", "isomirror\\..*", "--topic", &topic], 0);
    assert_eq!(report["left_out"][0]["group"], own, "{report}");
    assert_eq!(report["totals"]["groups"], 0, "{report}");
    let (table, _) = ended(config.command("groups", &["list"]), 0);
    let line =
        |name: &str| table.lines().find(|line| line.trim_start().starts_with(name)).unwrap_or_default();
    assert!(line(&own).contains("left out: isomirror's own"), "{table}");
    assert!(line(&group).contains("Empty") && line(&group).contains("20"), "{table}");
    let (table, _) = ended(config.command("groups", &["plan", "--group", &group]), 0);
    assert!(table.contains("same") && table.contains("1 group: 2 the same already."), "{table}");
    assert!(table.contains("also reads topics that this link does not mirror: not-mirrored"), "{table}");
}

#[test]
fn on_a_translated_topic_every_offset_leads_to_the_next_record() {
    let (source, target) = pair();
    let topic = unique("translated");
    for cluster in [source, target] {
        cluster.create_topic(&topic, 1, 1, KEPT).unwrap();
    }
    produce(target, &topic, 0, 900..907);
    produce(source, &topic, 0, 0..20);
    for n in 0..8 {
        let end = if n % 3 == 0 { Transaction::Abort } else { Transaction::Commit };
        in_transaction(source, &topic, 0, 20 + 2 * n..22 + 2 * n, end);
    }
    produce(source, &topic, 0, 40..45);
    let config = Config::new(source, target, &topic).topics("offsets = \"translated\"");
    config.run_until_caught_up().expect(0);
    let end = client::end_offsets(&source.props(), &topic).unwrap()[&0];
    assert_eq!(end, 20 + 8 * 3 + 5);

    // A group for each offset there is.
    let name = unique("each");
    let group = |offset: i64| format!("{name}-{offset}");
    thread::scope(|scope| {
        for part in [0, 1, 2, 3] {
            let (topic, group) = (&topic, &group);
            scope.spawn(move || {
                (part..=end).step_by(4).for_each(|at| commit(source, &group(at), &[(topic, 0, at)]));
            });
        }
    });
    let pattern = format!("{name}-.*");
    let report = groups(&config, &["sync", "--group", &pattern], 0);
    assert_eq!(report["totals"]["committed"], end + 1, "{report}");
    let (before, after) = (read(source, &topic), read(target, &topic));
    let mut gaps = 0;
    for at in 0..=end {
        let found = report["groups"].as_array().unwrap().iter().find(|g| g["group"] == *group(at)).unwrap();
        let step = &found["partitions"][0];
        let then = step["target_offset_then"].as_i64().unwrap();
        assert_eq!(behind(&before[&0], at), behind(&after[&0], then), "{at} → {then}");
        gaps += i64::from(step["how"] == "gap");
    }
    assert!(gaps > 8, "{gaps} gaps are none to speak of");
    for at in [0, 19, 20, 23, end] {
        let then = committed(target, &group(at), &topic, 1)[0].unwrap();
        assert_eq!(behind(&before[&0], at), behind(&after[&0], then), "{at} → {then}");
    }
    assert_eq!(groups(&config, &["sync", "--group", &pattern], 0)["totals"]["same"], end + 1);
}

#[test]
fn never_past_the_end_never_backwards_and_from_the_start_of_the_lane() {
    let (source, target) = pair();
    let topic = topic_with("bounds", 1, 40);
    source.delete_records(&topic, 0, 10).unwrap();
    let config = Config::new(source, target, &topic);
    config.run_until_caught_up().expect(0);
    let group = unique("bounds");
    let (plan, sync) = (["plan", "--group", &group], ["sync", "--group", &group]);

    // Retention has overtaken it.
    commit(source, &group, &[(&topic, 0, 4)]);
    let report = groups(&config, &sync, 0);
    let found = step(&report, 0);
    assert_eq!((&found["absent"], &found["how"]), (&json!(6), &json!("before_start")), "{found}");
    let reason = found["reason"].as_str().unwrap();
    assert!(reason.contains("the lane began at source offset 10: 6 offsets before it are not"), "{reason}");
    assert!(reason.contains("retention has overtaken the group there by 6 offsets"), "{reason}");
    assert_eq!(committed(target, &group, &topic, 1), [Some(10)]);

    // Further than the mirror: as far as the target goes, and then the rest.
    produce(source, &topic, 0, 40..60);
    commit(source, &group, &[(&topic, 0, 55)]);
    let report = groups(&config, &sync, 0);
    let found = step(&report, 0);
    assert_eq!((&found["read_again"], &found["how"]), (&json!(15), &json!("not_mirrored_yet")), "{found}");
    assert_eq!(committed(target, &group, &topic, 1), [Some(40)]);
    let (table, _) = ended(config.command("groups", &plan), 0);
    assert!(table.contains("up to 15 records would be read again"), "{table}");
    config.run_until_caught_up().expect(0);
    assert_eq!(step(&groups(&config, &sync, 0), 0)["read_again"], 0);
    assert_eq!(committed(target, &group, &topic, 1), [Some(55)]);

    // Backwards only if asked.
    commit(source, &group, &[(&topic, 0, 20)]);
    let report = groups(&config, &sync, 3);
    let found = step(&report, 0);
    assert_eq!((&found["outcome"], &report["totals"]["refused"]), (&json!("refused"), &json!(1)), "{found}");
    assert!(found["reason"].as_str().unwrap().contains("from target offset 55 to 20; --allow-backwards"));
    assert_eq!(committed(target, &group, &topic, 1), [Some(55)]);
    let (table, _) = ended(config.command("groups", &plan), 3);
    assert!(table.contains("REFUSED"), "{table}");
    groups(&config, &[&sync[..], &["--allow-backwards"]].concat(), 0);
    assert_eq!(committed(target, &group, &topic, 1), [Some(20)]);
}

#[test]
fn consumers_go_on_at_the_next_record_and_while_they_do_nothing_is_committed_for_them() {
    let (source, target) = pair();
    let topic = topic_with("next", 2, 40);
    in_transaction(source, &topic, 0, 40..44, Transaction::Abort);
    in_transaction(source, &topic, 1, 40..44, Transaction::Commit);
    let config = Config::new(source, target, &topic).topics("offsets = \"translated\"");
    config.run_until_caught_up().expect(0);
    let all: BTreeMap<i32, Vec<String>> = read(source, &topic)
        .into_iter()
        .map(|(p, records)| {
            let text = |r: ReadRecord| String::from_utf8(r.value.unwrap()).unwrap();
            (p, records.into_iter().map(text).collect())
        })
        .collect();
    assert_eq!((all[&0].len(), all[&1].len()), (40, 44));
    for language in ["rdkafka", "java"] {
        let group = unique(language);
        let sync = ["sync", "--group", &group];
        let first = consume(source, &group, &topic, 57);
        groups(&config, &sync, 0);
        let mut rest: BTreeMap<i32, Vec<String>> = BTreeMap::new();
        if language == "java" {
            let args = [&*target.internal_bootstrap(), &group, &topic, "27"];
            let out = java::run(target.dist(), "Continue", include_str!("Continue.java"), &args).unwrap();
            for line in out.lines() {
                let (partition, value) = line.split_once(' ').unwrap();
                rest.entry(partition.parse().unwrap()).or_default().push(value.to_owned());
            }
        } else {
            rest = consume(target, &group, &topic, 27);
        }
        for partition in [0, 1] {
            let of = |part: &BTreeMap<i32, Vec<String>>| part.get(&partition).cloned().unwrap_or_default();
            assert_eq!([of(&first), of(&rest)].concat(), all[&partition], "{language}[{partition}]");
        }
        // It has read all on the target; that is ahead of what it has read on the source.
        groups(&config, &sync, 3);
    }

    let group = unique("active");
    let sync = ["sync", "--group", &group];
    commit(source, &group, &[(&topic, 0, 5), (&topic, 1, 5)]);
    groups(&config, &sync, 0);
    commit(source, &group, &[(&topic, 0, 6), (&topic, 1, 5)]);
    let member = MemberOf::join(target, &group, &topic, &[]);
    let report = groups(&config, &sync, 3);
    assert_eq!(report["groups"][0]["target"], json!({"state": "Stable", "members": 1}), "{report}");
    assert_eq!(
        (&step(&report, 0)["outcome"], &step(&report, 1)["outcome"]),
        (&json!("refused"), &json!("same"))
    );
    let reason = step(&report, 0)["reason"].as_str().unwrap();
    assert!(reason.contains("the group has a member on the target (Stable)"), "{reason}");
    let set = groups(&config, &["reset", "--group", &group, "--to-mark", "--yes"], 3);
    assert_eq!(set["totals"]["refused"], 2, "{set}");
    let listed = groups(&config, &["list", "--group", &group], 0);
    assert_eq!(listed["groups"][0]["on_target"]["members"], 1, "{listed}");
    assert_eq!(committed(target, &group, &topic, 2), [Some(5), Some(5)]);
    member.leave();
    groups(&config, &sync, 0);
    assert_eq!(committed(target, &group, &topic, 2), [Some(6), Some(5)]);
}

#[test]
fn a_group_is_set_to_a_time_to_the_start_and_to_an_offset() {
    let (source, target) = pair();
    let topic = unique("reset");
    for cluster in [source, target] {
        cluster.create_topic(&topic, 2, 1, KEPT).unwrap();
    }
    (0..2).for_each(|partition| produce(target, &topic, partition, 900..903));
    (0..2).for_each(|partition| produce(source, &topic, partition, 0..30));
    let config = Config::new(source, target, &topic).topics("offsets = \"translated\"");
    config.run_until_caught_up().expect(0);
    let group = unique("reset");
    let reset = |args: &[&str], code| groups(&config, &[&["reset", "--group", &group], args].concat(), code);
    let fails = |args: &[&str], code, words: &[&str]| {
        let args = [&["reset", "--group", &group], args].concat();
        let (_, error) = ended(config.command("groups", &args), code);
        words.iter().for_each(|word| assert!(error.contains(word), "{word:?} is not in {error}"));
    };
    fails(&["--to-mark", "--yes"], 3, &["there is no group", "--new"]);
    fails(&["--to-mark", "--yes", "--new"], 3, &["has no offsets on the source", "--topic"]);
    fails(&["--to-mark"], 2, &["no terminal", "--yes"]);
    fails(&["--yes"], 2, &["--to-time"]);
    fails(&["--to-time", "2123-01-01T00:00:00Z", "--yes"], 2, &["lies in the future"]);
    fails(&["--to-time", "yesterday", "--yes"], 2, &["yesterday"]);
    fails(&["--to-offset", "5", "--yes"], 2, &["--topic"]);
    fails(&["--to-mark", "--topic", "nothing", "--yes"], 3, &["mirrors topic \"nothing\"", &topic]);
    fails(&["--to-mark", "--topic", &topic, "--partition", "7", "--yes"], 3, &["has a partition 7"]);
    fails(
        &["--to-offset", "31", "--topic", &topic, "--new", "--yes"],
        3,
        &["ends at offset 30", "no offset 31"],
    );
    let own = format!("isomirror.{}", link_of(&config));
    let (_, error) = ended(config.command("groups", &["reset", "--group", &own, "--to-mark", "--yes"]), 3);
    assert!(error.contains("isomirror's own"), "{error}");

    // Its offsets are elsewhere: it comes to be by what is set.
    let to = |offset: i64| jiff::Timestamp::from_second(SECOND + offset).unwrap().to_string();
    let time = to(12);
    let args = ["--to-time", &time, "--topic", &topic, "--new"];
    let dry = reset(&[&args[..], &["--dry-run"]].concat(), 0);
    assert_eq!((&dry["totals"]["commit"], &step(&dry, 1)["source_offset"]), (&json!(2), &json!(12)), "{dry}");
    assert_eq!(committed(target, &group, &topic, 2), [None, None]);
    let done = reset(&[&args[..], &["--yes"]].concat(), 0);
    assert_eq!(step(&done, 0)["target_offset_then"], 15, "{done}");
    assert_eq!(committed(target, &group, &topic, 2), [Some(15), Some(15)]);
    assert_eq!(committed(source, &group, &topic, 2), [None, None], "the source is left alone");
    let later = to(100);
    reset(&["--to-time", &later, "--topic", &topic, "--yes"], 0);
    assert_eq!(committed(target, &group, &topic, 2), [Some(33), Some(33)], "nothing is as new");
    // A person is shown what would be set, and asked.
    let asked = |answer: &str| {
        let (_dir, path) = config.write();
        let mut command = isomirror();
        command.arg("groups").arg(path).args(["reset", "--group", &group, "--topic", &topic, "--to-mark"]);
        let (code, shown) = terminal::answered(&command, "Set 2 offsets? [y/N] ", answer).unwrap();
        assert!(shown.contains("to commit") && shown.contains("Set 2 offsets? [y/N] "), "{shown}");
        (code, shown, committed(target, &group, &topic, 2))
    };
    for (answer, code, words) in [
        ("n\n", 3, "nothing was set"),
        ("\n", 3, "nothing was set"),
        (terminal::INTERRUPT, 130, "interrupted; what was committed before stays"),
    ] {
        let (ended, shown, offsets) = asked(answer);
        assert_eq!((ended, offsets), (Some(code), vec![Some(33), Some(33)]), "{answer:?}: {shown}");
        assert!(shown.contains(words), "{answer:?}: {shown}");
    }
    let (ended_with, shown, offsets) = asked("y\n");
    assert_eq!((ended_with, offsets), (Some(0), vec![Some(3), Some(3)]), "{shown}");
    assert!(shown.contains("2 committed"), "{shown}");
    reset(&["--to-time", &later, "--topic", &topic, "--yes"], 0);
    // Backwards, one partition, and by the topics that it has offsets for.
    reset(&["--to-offset", "7", "--topic", &topic, "--partition", "1", "--yes"], 0);
    assert_eq!(committed(target, &group, &topic, 2), [Some(33), Some(10)]);
    commit(source, &group, &[(&topic, 0, 29)]);
    let (table, _) = ended(config.command("groups", &["reset", "--group", &group, "--to-mark", "--yes"]), 0);
    assert!(table.contains("committed"), "{table}");
    assert_eq!(committed(target, &group, &topic, 2), [Some(3), Some(10)]);
}

#[test]
fn each_way_to_go_wrong_has_its_exit_code() {
    let (source, target) = pair();
    let topic = topic_with("wrong", 1, 5);
    let config = Config::new(source, target, &topic);
    let group = unique("wrong");
    commit(source, &group, &[(&topic, 0, 3)]);
    let sync = ["sync", "--group", &group];
    let (_, error) = ended(config.command("groups", &sync), 3);
    assert!(error.contains("has not run yet") && error.contains("fix: run it"), "{error}");
    config.run_until_caught_up().expect(0);
    groups(&config, &["plan", "--group", &group], 0);

    let (_, error) = ended(config.command("groups", &["sync"]), 2);
    assert!(error.contains("no groups are named") && error.contains("--group"), "{error}");
    ended(config.command("groups", &["sync", "--group", "a("]), 2);
    let (_, error) = ended(config.command("groups", &[&sync[..], &["--topic", "nothing"]].concat()), 3);
    assert!(error.contains("mirrors topic \"nothing\"") && error.contains(&topic), "{error}");
    let nobody = vec![("bootstrap.servers".to_owned(), "127.0.0.1:1".to_owned())];
    let (_, error) = ended(config.clone().source(nobody.clone()).command("groups", &sync), 4);
    assert!(error.contains("source") && error.contains("127.0.0.1:1"), "{error}");
    ended(config.clone().target(nobody).command("groups", &["list"]), 4);

    // Groups of the configuration, which need not be there; others' kinds are left out.
    let named = config.clone().section(&format!(
        "[groups]\ninclude = [\"{group}\", \"not-there\", \"isomirror\\\\..*\"]\nexclude = [\".*-none\"]"
    ));
    let report = groups(&named, &["sync"], 0);
    assert_eq!(report["totals"]["committed"], 1, "{report}");
    let excluded = config.clone().section(&format!("[groups]\nexclude = [\"{group}\"]"));
    let report = groups(&excluded, &sync, 0);
    assert_eq!(report["left_out"][0]["reason"], "groups.exclude names it", "{report}");

    // Another cluster in the source's place: there it has a group of the name, too.
    commit(target, &group, &[(&topic, 0, 1)]);
    let swapped = config.clone().source(target.client_properties("admin"));
    let swapped =
        swapped.topics(&format!("include = [\"{topic}\"]\nrename = {{ \"{topic}\" = \"{topic}.x\" }}"));
    let (_, error) = ended(swapped.command("groups", &sync), 3);
    assert!(error.contains("it is another cluster") && error.contains("swapped"), "{error}");

    // A target topic that was made again is not what the marks are of.
    target.delete_topic(&topic).unwrap();
    target.create_topic(&topic, 1, 1, &[]).unwrap();
    commit(source, &group, &[(&topic, 0, 4)]);
    let report = groups(&config, &sync, 3);
    let reason = step(&report, 0)["reason"].as_str().unwrap();
    assert!(reason.contains("deleted and made again on the target"), "{reason}");
    assert_ne!(committed(target, &group, &topic, 1), [Some(4)]);
}

/// The value of a metric of a group, all instances together.
fn of_all(daemons: &[&Daemon], name: &str, group: &str) -> Option<f64> {
    let values: Vec<f64> = daemons.iter().filter_map(|d| d.metric(name, &[("group", group)])).collect();
    (!values.is_empty()).then(|| values.iter().sum())
}

const STALENESS: &str = "isomirror_group_offset_staleness_seconds";
const READ_AGAIN: &str = "isomirror_group_reread_if_failed_over_records";

#[test]
fn the_instances_of_a_link_keep_groups_in_step_and_say_how_far_they_are() {
    let (source, target) = pair();
    let name = unique("live");
    let [identical, shared] = ["identical", "shared"].map(|kind| format!("{name}-{kind}"));
    for topic in [&identical, &shared] {
        source.create_topic(topic, 4, 1, KEPT).unwrap();
    }
    target.create_topic(&shared, 4, 1, KEPT).unwrap();
    for partition in 0..4 {
        produce(target, &shared, partition, 900..905);
        in_transaction(source, &shared, partition, 0..20, Transaction::Commit);
        produce(source, &identical, partition, 0..20);
    }
    let (group, other) = (unique("live"), unique("not-asked-for"));
    let at = |offset: i64| -> Vec<(&str, i32, i64)> {
        let both = [&*identical, &*shared].into_iter();
        both.flat_map(|topic| (0..4).map(move |partition| (topic, partition, offset))).collect()
    };
    commit(source, &group, &at(7));
    commit(source, &other, &at(7));
    let config = Config::new(source, target, &format!("{name}-.*"))
        .section(&format!("[topics.override.\"{shared}\"]\noffsets = \"translated\"\nwriters = \"shared\""))
        .section(&format!("[groups]\ninclude = [\"{group}\"]\nsync = \"1s\""));
    let (one, two) = (config.run(), config.run());
    let both = [&one, &two];
    // Others have written to the shared topic, and transactions of the mirror end there.
    let places = |offset: i64| -> Option<Vec<Option<i64>>> {
        let value = Some(format!("v{offset}").into_bytes());
        let place = |records: Vec<ReadRecord>| records.iter().find(|r| r.value == value).map(|r| r.offset);
        let places: Vec<_> = read(target, &shared).into_values().map(place).collect();
        places.iter().all(Option::is_some).then_some(places)
    };
    let expect = |offset: i64| {
        eventually(&format!("{group} is at {offset}; {} {}", one.log(), two.log()), || {
            let there = committed(target, &group, &identical, 4) == [Some(offset); 4]
                && committed(target, &group, &shared, 4) == places(offset)?;
            there.then_some(())
        });
    };
    expect(7);
    commit(source, &group, &at(12));
    expect(12);
    eventually("both have said so", || (of_all(&both, READ_AGAIN, &group) == Some(0.0)).then_some(()));
    let staleness = |daemon: &Daemon| daemon.metric(STALENESS, &[("group", &group)]);
    eventually("it is not stale", || {
        both.iter().filter_map(|daemon| staleness(daemon)).all(|seconds| seconds < 5.0).then_some(())
    });
    assert_eq!(committed(target, &other, &identical, 4), [None; 4]);
    assert_eq!(of_all(&both, STALENESS, &other), None);

    // While it has a member on the target, nothing is committed; what it would read again is counted, and told once.
    let member = MemberOf::join(target, &group, &identical, &[]);
    commit(source, &group, &at(17));
    eventually("both say what would be read again", || {
        (of_all(&both, READ_AGAIN, &group) == Some(8.0 * 5.0)).then_some(())
    });
    eventually("it is stale", || (of_all(&both, STALENESS, &group) > Some(4.0)).then_some(()));
    assert_eq!(committed(target, &group, &identical, 4), [Some(12); 4]);
    let told = |daemon: &&Daemon| daemon.log().matches("is not kept in step").count();
    eventually("who has lanes of it says so", || {
        let have = both.iter().filter(|daemon| staleness(daemon).is_some());
        have.map(told).all(|told| told > 0).then_some(())
    });
    for daemon in both {
        assert!(told(&daemon) <= 1, "{}", daemon.log());
        assert_eq!(daemon.metric("isomirror_group_sync_failures_total", &[]), Some(0.0));
    }
    assert!(both.iter().any(|daemon| daemon.log().contains("the group has a member on the target")));
    member.leave();
    expect(17);
    eventually("both have said so", || (of_all(&both, READ_AGAIN, &group) == Some(0.0)).then_some(()));
    assert!(both.iter().any(|daemon| daemon.log().contains("is in step again")));

    // A group that is gone has no series.
    let bootstrap = source.internal_bootstrap();
    let args = ["--bootstrap-server", &bootstrap, "--delete", "--group", &group];
    let deleted =
        source.run_tool("org.apache.kafka.tools.consumer.group.ConsumerGroupCommand", &args).unwrap();
    assert!(deleted.status.success(), "{deleted:?}");
    eventually("its series are gone", || {
        [STALENESS, READ_AGAIN].iter().all(|name| of_all(&both, name, &group).is_none()).then_some(())
    });
    // The data path has gone on.
    (0..4).for_each(|partition| produce(source, &identical, partition, 20..30));
    eventually("records go on", || {
        let ends = client::end_offsets(&target.props(), &identical).unwrap();
        ends.values().all(|end| *end == 30).then_some(())
    });
    for daemon in [one, two] {
        daemon.stop().expect(0);
    }
}

/// With the rights of docs/acls.md and no more, from Kafka 3.9 to 4.1, whose groups may be of KIP-848.
#[test]
fn least_rights_and_groups_of_the_new_protocol() {
    let users = ["groups"];
    let (source, target) = thread::scope(|scope| {
        let source =
            scope.spawn(move || Cluster::builder().security(Security::plain(&users)).start().unwrap());
        let target =
            Cluster::builder().version(NEW_VERSION).security(Security::plain(&users)).start().unwrap();
        (source.join().unwrap(), target)
    });
    let (topic, group) = (unique("rights"), unique("rights"));
    source.create_topic(&topic, 1, 1, KEPT).unwrap();
    produce(&source, &topic, 0, 0..20);
    commit(&source, &group, &[(&topic, 0, 8)]);
    let admin = Config::new(&source, &target, &topic);
    admin.run_until_caught_up().expect(0);
    let config = admin
        .clone()
        .source(source.client_properties("groups"))
        .target(target.client_properties("groups"))
        .section(&format!("[groups]\ninclude = [\"{group}\"]\nsync = \"1s\""));
    let own = format!("isomirror.{}", link_of(&config));
    let allow = |cluster: &Cluster, rights: &[&str]| cluster.acl_add("groups", rights).unwrap();
    let sync = ["sync", "--group", &group];
    let said = |code, words: &str| {
        let (out, error) = ended(config.command("groups", &sync), code);
        let all = out + &error;
        assert!(all.contains(words), "{words:?} is not in {all}");
    };

    // First what the daemon needs anyway; with it alone it sees no group, and goes on.
    allow(&source, &["--operation", "Read", "--topic", &topic]);
    let control = ["Create", "Read", "Write", "DescribeConfigs"].map(|right| ["--operation", right]).concat();
    allow(&target, &[&control[..], &["--topic", &own]].concat());
    allow(&target, &["--operation", "Read", "--group", &own]);
    allow(&target, &["--operation", "Write", "--topic", &topic]);
    said(3, "a group is seen by who may DESCRIBE it");
    let daemon = config.run();
    daemon.wait_for_log("no group of the source matches groups.include");

    allow(&source, &["--operation", "Describe", "--group", &group]);
    said(1, "fix: grant READ on the group and on its topics on the target");
    daemon.wait_for_log(&format!("group {group} is not kept in step: target: "));
    assert!(daemon.log().contains("fix: grant READ on the group"), "{}", daemon.log());
    assert!(daemon.metric("isomirror_group_sync_failures_total", &[]).unwrap() > 0.0);
    assert_eq!(committed(&target, &group, &topic, 1), [None]);

    // Of the topics that it may not even read no broker takes an offset.
    allow(&target, &["--operation", "Read", "--group", &group]);
    said(1, "fix: grant READ on the group and on its topics on the target");
    allow(&target, &["--operation", "Read", "--topic", &topic]);
    daemon.wait_for_log(&format!("group {group} is in step again"));
    assert_eq!(committed(&target, &group, &topic, 1), [Some(8)]);
    eventually("it is said to be in step", || {
        daemon.metric(STALENESS, &[("group", &group)]).filter(|seconds| *seconds < 5.0)
    });
    produce(&source, &topic, 0, 20..25);
    eventually("records go on", || {
        (client::end_offsets(&target.props(), &topic).unwrap()[&0] == 25).then_some(())
    });
    daemon.stop().expect(0);
    said(0, "1 the same already");
    let (table, _) = ended(config.command("groups", &["list", "--group", &group]), 0);
    assert!(table.contains("Empty"), "{table}");

    // A member of the new protocol on the target.
    commit(&source, &group, &[(&topic, 0, 9)]);
    let member = MemberOf::join(&target, &group, &topic, &[("group.protocol", "consumer")]);
    said(3, "the group has a member on the target (Stable)");
    assert_eq!(committed(&target, &group, &topic, 1), [Some(8)]);
    member.leave();
    eventually("it is empty", || {
        let listed = groups(&config, &["list", "--group", &group], 0);
        let found = &listed["groups"][0]["on_target"];
        (found["state"] == "Empty" && found["members"] == 0).then_some(())
    });
    said(0, "1 committed");
    assert_eq!(committed(&target, &group, &topic, 1), [Some(9)]);
}
