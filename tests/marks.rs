//! `isomirror marks` on real brokers: what was written to the control topic is what it says, in a table and as JSON,
//! and each way to go wrong has its exit code.

#[path = "support/ledgers.rs"]
mod ledgers;

use std::{io::Write, process::Stdio};

use kafka_harness::{
    TestRecord, client,
    daemon::{Config, isomirror},
    shared::{pair, unique},
};
use mirror_types::{GapCause, Mark};
use offset_marks::{
    LedgerWriter, Point,
    control::{Event, EventKind, Record},
};
use serde_json::{Value, json};

use ledgers::{ended, link_of, start, write};

/// A link whose control topic is not there.
fn link() -> (Config, String) {
    let (source, target) = pair();
    let config = Config::new(source, target, ".*");
    let name = link_of(&config);
    (config, name)
}

/// Source 10 to 19 at target 0 to 9; 20 to 29 compacted away; 30 and 31 at 10 and 11.
fn orders() -> LedgerWriter {
    let mut lane = LedgerWriter::begin(start("orders", "orders_v2", 0, Point::new(10, 0)));
    lane.mark(Mark { source: 10, target: 0, count: 10 }).unwrap();
    lane.gap(Point::new(30, 10), Some(GapCause::Compaction)).unwrap();
    lane.mark(Mark { source: 30, target: 10, count: 2 }).unwrap();
    lane
}

/// What must stay on record is listed under the lanes, in the order of time: what was lost, and what was left out.
#[test]
fn losses_and_what_was_left_out_are_listed_by_time() {
    let (config, link) = link();
    let event = |kind, partition, when, from, to, words: &str| Event {
        topic: "orders".to_owned(),
        partition,
        when,
        kind,
        from,
        to,
        words: words.to_owned(),
    };
    let at = 1_763_800_000_000;
    let events = [
        event(EventKind::Refused, 1, at + 60_000, 7, 8, "the target refused it: too large"),
        event(EventKind::Retention, 0, at, 20, 45, "the source deleted 25 records before they were read"),
        event(EventKind::Diverged, 0, at + 61_000, -1, -1, "somebody else has written there"),
    ];
    let (nothing, _) = ended(config.command("marks", &["list"]), 3);
    assert_eq!(nothing, "");
    let record = |event: &Event| (event.lane(), vec![Record::Event(event.clone()).encode()]);
    ledgers::write_records(pair().1, &link, events.iter().map(record).collect());
    let (table, _) = ended(config.command("marks", &["list"]), 0);
    assert!(table.starts_with(&format!("link {link}: no lane has begun yet\n")), "{table}");

    write(pair().1, &link, &[orders()]);
    let (table, _) = ended(config.command("marks", &["list"]), 0);
    let (lanes, happened) = table.split_once("\nwhat has happened (source offsets):\n").expect("both");
    assert!(lanes.contains("orders → orders_v2"), "{table}");
    let lines: Vec<String> =
        happened.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
    assert_eq!(
        lines,
        [
            "topic p when what from to in words",
            "orders 0 2025-11-22 08:26:40Z retention 20 45 the source deleted 25 records before they were read",
            "orders 1 2025-11-22 08:27:40Z refused 7 8 the target refused it: too large",
            "orders 0 2025-11-22 08:27:41Z diverged – – somebody else has written there",
        ]
    );
    let (text, _) = ended(config.command("marks", &["list", "--output", "json"]), 0);
    let listed: Value = serde_json::from_str(&text).unwrap();
    let kinds: Vec<_> = listed["events"].as_array().unwrap().iter().map(|event| &event["kind"]).collect();
    assert_eq!(kinds, ["retention", "refused", "diverged"]);
    assert_eq!((&listed["events"][0]["from"], &listed["events"][0]["to"]), (&json!(20), &json!(45)));
}

fn lines(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).expect("a line is JSON")).collect()
}

#[test]
fn lanes_are_listed_and_offsets_found_both_ways() {
    let (config, link) = link();
    // A topic may have the name that another is mirrored to.
    let other = LedgerWriter::begin(start("orders_v2", "orders", 0, Point::new(0, 0)));
    let mut more: Vec<_> =
        (0..7).map(|p| LedgerWriter::begin(start("more", "more", p, Point::new(7, 7)))).collect();
    more.extend([orders(), other]);
    write(pair().1, &link, &more);

    let (table, _) = ended(config.command("marks", &["list"]), 0);
    let row = table.lines().find(|line| line.contains("orders → orders_v2")).expect("a row");
    let cells: Vec<_> = row.split_whitespace().collect();
    assert_eq!(
        cells.join(" "),
        "orders → orders_v2 0 translated 2025-11-22 08:26:40Z 10 → 0 32 → 12 12 2 8 B 1 compaction (10 offsets)"
    );
    let (text, _) = ended(config.command("marks", &["list", "--output", "json"]), 0);
    let listed: Value = serde_json::from_str(&text).unwrap();
    assert_eq!((&listed["link"], listed["lanes"].as_array().unwrap().len()), (&json!(link), 9));
    let lane = &listed["lanes"][7];
    assert_eq!(lane["start"]["source_topic"], "orders");
    assert_eq!(lane["position"], json!({"source": 32, "target": 12}));
    assert_eq!(lane["gaps"]["compaction"]["source_offsets"], 10);

    let orders = ["--topic", "orders", "--partition", "0"];
    let ask = |what: &str, args: &[&str]| {
        let (text, _) = ended(config.command("marks", &[&[what], args].concat()), 0);
        text
    };
    let offsets = ["--offset", "12", "--offset", "25", "--offset", "9", "--offset", "32"];
    let table = ask("translate", &[&orders[..], &offsets].concat());
    let expected = "\
        orders/0 → orders_v2/0: from source 10, target 0 up to source 32, target 12\n\n\
        source offset   what became of it\n\
        12              source 12, target 2\n\
        25              in a gap (compaction); the next record is at source 30, target 10\n\
        9               never mirrored: the lane began at source 10, target 0\n\
        32              the next to be mirrored: source 32, target 12\n";
    assert_eq!(table, expected);
    let as_json = [&orders[..], &offsets, &["--output", "json"]].concat();
    let answers = lines(&ask("translate", &as_json));
    let found: Vec<_> =
        answers.iter().map(|answer| answer["translation"]["found"].as_str().unwrap()).collect();
    assert_eq!(found, ["exact", "gap", "before_start", "not_yet"]);
    assert_eq!(
        answers[1],
        json!({
            "source_topic": "orders", "target_topic": "orders_v2", "partition": 0, "side": "source", "offset": 25,
            "translation": {"found": "gap", "cause": "compaction", "next": {"source": 30, "target": 10}, "visible": true},
            "resume_at": {"source": 30, "target": 10},
        })
    );

    // All at once is the same as one by one.
    let all = lines(&ask("translate", &[&orders[..], &["--all", "--output", "json"]].concat()));
    assert_eq!(
        all.iter().map(|a| a["offset"].as_i64().unwrap()).collect::<Vec<_>>(),
        (10..32).collect::<Vec<_>>()
    );
    assert_eq!(all[15], answers[1]);
    let table = ask("translate", &[&orders[..], &["--all"]].concat());
    assert!(
        table.ends_with(
            "\n10 to 19        source 10 to 19, target 0 to 9\n\
        20 to 29        in a gap (compaction); the next record is at source 30, target 10\n\
        30 to 31        source 30 to 31, target 10 to 11\n"
        ),
        "{table}"
    );

    // Back: by the topic's name on the target first, then by that on the source.
    let back = |topic: &str, partition: &str| {
        let args = ["--topic", topic, "--partition", partition, "--offset", "11", "--output", "json"];
        lines(&ask("reverse", &args)).remove(0)
    };
    assert_eq!(back("orders_v2", "0")["translation"], json!({"found": "exact", "source": 31, "target": 11}));
    assert_eq!(back("orders", "0")["source_topic"], "orders_v2");
    assert_eq!(back("more", "6")["source_topic"], "more");
    let table = ask("reverse", &["--topic", "orders_v2", "--partition", "0", "--all"]);
    assert!(
        table.ends_with(
            "\n0 to 9          source 10 to 19, target 0 to 9\n\
        10 to 11        source 30 to 31, target 10 to 11\n"
        ),
        "{table}"
    );

    // A lane that is not there.
    for (what, topic, partition) in
        [("translate", "nothing", "0"), ("translate", "orders", "1"), ("reverse", "more", "7")]
    {
        let args = [what, "--topic", topic, "--partition", partition, "--offset", "0"];
        let (_, error) = ended(config.command("marks", &args), 3);
        assert!(error.contains("lanes there are: more/0, more/1,"), "{error}");
        assert!(error.contains("orders/0 → orders_v2/0"), "{error}");
    }
}

#[test]
fn offsets_come_from_standard_input() {
    let (config, link) = link();
    write(pair().1, &link, &[orders()]);
    let (_dir, path) = config.write();
    let ask = |input: &str| {
        let mut command = isomirror();
        command.arg("marks").arg(&path);
        command.args([
            "translate",
            "--topic",
            "orders",
            "--partition",
            "0",
            "--offset",
            "-",
            "--output",
            "json",
        ]);
        let piped = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = piped.spawn().unwrap();
        child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        child.wait_with_output().unwrap()
    };
    let (out, _) = ended(ask("10\n11 12\n\n31\n"), 0);
    let targets: Vec<_> = lines(&out).iter().map(|a| a["translation"]["target"].as_i64().unwrap()).collect();
    assert_eq!(targets, [0, 1, 2, 11]);
    let (out, error) = ended(ask("10\nten\n"), 2);
    assert_eq!(lines(&out).len(), 1);
    assert!(error.contains("line 2 of standard input: \"ten\""), "{error}");
}

#[test]
fn each_way_to_go_wrong_has_its_exit_code() {
    let (config, name) = link();
    let (_, error) = ended(config.command("marks", &["list"]), 3);
    assert!(error.contains("has not run yet") && error.contains(&format!("isomirror.{name}")), "{error}");
    // A link that has only just begun.
    write(pair().1, &name, &[]);
    let (out, _) = ended(config.command("marks", &["list"]), 0);
    assert!(out.contains("no lane has begun yet"), "{out}");
    let translate = ["translate", "--topic", "orders", "--partition", "0", "--offset", "0"];
    let (_, error) = ended(config.command("marks", &translate), 3);
    assert!(error.contains("no lane of this link has begun yet"), "{error}");

    let args = ["translate", "--topic", "orders", "--partition", "0"];
    for wrong in [&["--offset", "-5"][..], &["--offset", "ten"], &[], &["--all", "--offset", "1"]] {
        ended(config.command("marks", &[&args, wrong].concat()), 2);
    }
    let (source, target) = pair();
    let nobody = vec![("bootstrap.servers".to_owned(), "127.0.0.1:1".to_owned())];
    let config = Config::new(source, target, ".*").target(nobody);
    let (_, error) = ended(config.command("marks", &["list"]), 4);
    assert!(error.contains("127.0.0.1:1") && error.contains("fix: see that the brokers run"), "{error}");
}

/// The daemon's own marks, of a lane behind what the target held; and how it forgets them.
#[test]
fn a_running_link_leaves_marks_and_forgets_them_only_once_it_is_stopped() {
    let (source, target) = pair();
    let topic = unique("marked");
    for cluster in [source, target] {
        cluster.create_topic(&topic, 1, 1, &[]).unwrap();
    }
    let record = TestRecord { value: Some(b"v".to_vec()), ..TestRecord::default() };
    client::produce(&target.props(), &topic, &vec![record.clone(); 7]).unwrap();
    client::produce(&source.props(), &topic, &vec![record; 20]).unwrap();
    let config = Config::new(source, target, &topic).topics("offsets = \"translated\"");
    let daemon = config.run();
    daemon.wait_for_records(20);
    let (_, refused) = ended(config.command("marks", &["forget", "--topic", &topic]), 3);
    assert!(refused.contains("runs") && refused.contains("stop it first"), "{refused}");
    daemon.stop().expect(0);

    let find = ["--topic", &topic, "--partition", "0", "--offset", "3", "--output", "json"];
    let (found, _) = ended(config.command("marks", &[&["translate"], &find[..]].concat()), 0);
    assert_eq!(lines(&found)[0]["resume_at"]["target"], 10, "{found}");
    let (listed, _) = ended(config.command("marks", &["list", "--output", "json"]), 0);
    let listed: Value = serde_json::from_str(&listed).unwrap();
    let start = &listed["lanes"][0]["start"];
    assert_eq!((&start["source"], &start["target"]), (&json!(0), &json!(7)), "{start}");
    for id in ["source_cluster", "target_cluster", "source_topic_id", "target_topic_id"] {
        assert!(start[id].as_str().is_some_and(|id| id.len() == 22), "{id} of {start}");
    }

    let (said, _) = ended(config.command("marks", &["forget", "--topic", &topic]), 0);
    assert_eq!(said.trim(), format!("forgotten: {topic}[0]"));
    let (listed, _) = ended(config.command("marks", &["list"]), 0);
    assert!(listed.contains("no lane has begun yet"), "{listed}");
    ended(config.command("marks", &["forget", "--topic", &topic]), 3);
}
