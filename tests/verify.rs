//! `isomirror verify` on real brokers: a mirrored topic is found equal, and each difference that is planted is named
//! with its offset; each way to go wrong has its exit code.

#[path = "support/cleaned.rs"]
mod cleaned;
#[path = "support/ledgers.rs"]
mod ledgers;
#[path = "support/numbered.rs"]
mod numbered;

use std::fs;

use kafka_harness::{
    Cluster, TestRecord,
    client::{self, ProduceOptions, Transaction},
    daemon::{Config, eventually},
    shared::{pair, unique},
};
use mirror_types::Mark;
use offset_marks::{LaneStart, LedgerWriter, OffsetsMode, Point};
use serde_json::{Value, json};

use ledgers::{ended, link_of, start, write};
use numbered::record;

fn produce(cluster: &Cluster, topic: &str, records: &[TestRecord]) {
    client::produce(&cluster.props(), topic, records).unwrap();
}

fn in_transaction(cluster: &Cluster, topic: &str, records: &[TestRecord], end: Transaction) {
    let options = ProduceOptions { transaction: Some(end), ..ProduceOptions::default() };
    client::produce_with(&cluster.props(), topic, records, &options).unwrap();
}

/// Runs it to this end; gives the report.
#[track_caller]
fn verified(config: &Config, args: &[&str], code: i32) -> Value {
    let (out, _) = ended(config.command("verify", &[args, &["--output", "json"]].concat()), code);
    serde_json::from_str(&out).unwrap()
}

fn lane(report: &Value, partition: i32) -> &Value {
    let lanes = report["lanes"].as_array().expect("a list");
    lanes.iter().find(|lane| lane["partition"] == partition).expect("it is there")
}

/// The records are years old.
const KEPT: &[(&str, &str)] = &[("retention.ms", "-1")];

/// A topic that both sides have.
fn on_both(name: &str) -> String {
    let (source, target) = pair();
    let topic = unique(name);
    for cluster in [source, target] {
        cluster.create_topic(&topic, 1, 1, KEPT).unwrap();
    }
    topic
}

/// Writes it down that offsets of a topic are identical, and that this link has mirrored them.
fn mirrored_by_hand(config: &Config, topic: &str) {
    let start = LaneStart { offsets: OffsetsMode::Identical, ..start(topic, topic, 0, Point::new(0, 0)) };
    write(pair().1, &link_of(config), &[LedgerWriter::begin(start)]);
}

#[test]
fn a_mirrored_topic_is_equal_whole_in_samples_and_taken_up_again() {
    let (source, target) = pair();
    let topic = unique("same");
    source.create_topic(&topic, 3, 1, KEPT).unwrap();
    let plain: Vec<_> = (0..3000).map(|n| record((n % 3) as i32, n)).collect();
    let lz4 = ProduceOptions { codec: Some("lz4".to_owned()), ..ProduceOptions::default() };
    client::produce_with(&source.props(), &topic, &plain, &lz4).unwrap();
    for n in 0..20 {
        let end = if n % 3 == 0 { Transaction::Abort } else { Transaction::Commit };
        in_transaction(source, &topic, &[record(0, n), record(1, n)], end);
    }
    let config = Config::new(source, target, &topic);
    config.run_until_caught_up().expect(0);

    let report = verified(&config, &[], 0);
    // 13 of 20 transactions were committed.
    assert_eq!((&report["verdict"], &report["totals"]["equal"]), (&json!("equal"), &json!(3026)));
    for partition in 0..3 {
        let lane = lane(&report, partition);
        let expected = if partition == 2 { (1000, 1000) } else { (1040, 1013) };
        assert_eq!((&lane["from"], &lane["to"]), (&json!(0), &json!(expected.0)), "{lane}");
        assert_eq!((&lane["equal"], &lane["behind"]), (&json!(expected.1), &json!(0)), "{lane}");
        assert_eq!(lane["source_digest"], lane["target_digest"]);
        assert!(lane["first_difference"].is_null());
    }
    let (table, _) = ended(config.command("verify", &[]), 0);
    assert!(table.contains("\nAll 3 lanes are equal: 3,026 records, "), "{table}");

    // From the time of the 2,901st of the plain ones: those of the transactions are older, but lie behind it.
    let since = verified(&config, &["--since", "2023-11-14T23:01:40Z"], 0);
    assert_eq!(lane(&since, 0)["from"], 967);
    assert_eq!(since["totals"]["equal"], 33 + 33 + 34 + 26);
    let future = verified(&config, &["--since", "2123-11-14T23:01:40Z"], 0);
    assert_eq!(future["totals"]["equal"], 0);

    // Lanes of fewer offsets than a piece has are read whole.
    let sample = verified(&config, &["--sample", "50%", "--seed", "7"], 0);
    assert_eq!(
        (&sample["sample"], &sample["totals"]["equal"]),
        (&json!({"part": 0.5, "seed": 7}), &json!(3026))
    );

    // What is noted is not read again, and what came later is.
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("noted.json");
    let resume = ["--resume", file.to_str().unwrap()];
    let first = verified(&config, &resume, 0);
    assert_eq!(first["lanes"], report["lanes"]);
    produce(source, &topic, &(0..50).map(|n| record(2, n)).collect::<Vec<_>>());
    assert_eq!(lane(&verified(&config, &resume, 0), 2)["behind"], 50);
    config.run_until_caught_up().expect(0);
    let noted: Value = serde_json::from_str(&fs::read_to_string(&file).unwrap()).unwrap();
    assert_eq!(noted["lanes"][format!("{topic}[2]")]["to"], 1000);
    let later = verified(&config, &resume, 0);
    assert_eq!((&lane(&later, 2)["equal"], &later["totals"]["equal"]), (&json!(1050), &json!(3076)));
    assert_eq!(later["lanes"], verified(&config, &[], 0)["lanes"], "as if all had been read at once");
}

#[test]
fn every_difference_is_counted_and_the_first_is_named_with_both_records() {
    let (source, target) = pair();
    let topic = on_both("planted");
    produce(source, &topic, &(0..10).map(|n| record(0, n)).collect::<Vec<_>>());
    // The target: 3 and 4 are missing (an aborted record and its marker lie there), 6 is another, 10 is too much.
    produce(target, &topic, &(0..3).map(|n| record(0, n)).collect::<Vec<_>>());
    in_transaction(target, &topic, &[record(0, 3)], Transaction::Abort);
    let other = TestRecord { value: Some(b"another".to_vec()), ..record(0, 6) };
    let rest: Vec<_> = [record(0, 5), other].into_iter().chain((7..11).map(|n| record(0, n))).collect();
    produce(target, &topic, &rest);
    let config = Config::new(source, target, &topic);
    mirrored_by_hand(&config, &topic);

    // The target is read as it lies there: the aborted record at 3 is seen, and is what the source has.
    let report = verified(&config, &[], 3);
    let found = lane(&report, 0);
    let counts = ["equal", "changed", "missing", "extra"].map(|kind| found[kind].as_u64().unwrap());
    assert_eq!((counts, &found["verdict"]), ([8, 1, 1, 1], &json!("different")), "{found}");
    assert_ne!(found["source_digest"], found["target_digest"]);
    let first = &found["first_difference"];
    assert_eq!((&first["kind"], &first["source_offset"]), (&json!("missing"), &json!(4)), "{first}");
    let (table, _) = ended(config.command("verify", &[]), 3);
    assert!(
        table
            .contains(&format!("{topic}[0]: the first difference: the record at source offset 4 is missing"))
    );
    assert!(
        table.contains("\n1 of 1 lane is DIFFERENT: 9 records") || table.contains("DIFFERENT: 9 records"),
        "{table}"
    );
    assert!(!table.contains("value 4"), "{table}");

    // From the changed one on; what is in it only if that is asked for.
    let since = ["--since", "2023-11-14T22:13:25Z"];
    let (table, _) = ended(config.command("verify", &since), 3);
    assert!(table.contains("the record at offset 6 differs in value"), "{table}");
    assert!(table.contains("source: timestamp 1700000006000, key 2 B (xxh3 "), "{table}");
    assert!(!table.contains("another"), "{table}");
    let (table, _) = ended(config.command("verify", &[&since[..], &["--show-values"]].concat()), 3);
    assert!(table.contains("value \"value 6\"") && table.contains("value \"another\""), "{table}");
}

#[test]
fn translated_and_shared_topics_are_compared_by_their_marks() {
    let (source, target) = pair();
    for line in ["offsets = \"translated\"", "writers = \"shared\""] {
        let topic = on_both("elsewhere");
        let shared = line.contains("shared");
        let config = Config::new(source, target, &topic).topics("offsets = \"translated\"");
        let config = if shared { config.topics(line) } else { config };
        produce(target, &topic, &(500..507).map(|n| record(0, n)).collect::<Vec<_>>());
        produce(source, &topic, &(0..100).map(|n| record(0, n)).collect::<Vec<_>>());
        in_transaction(source, &topic, &[record(0, 100)], Transaction::Commit);
        config.run_until_caught_up().expect(0);
        if shared {
            produce(target, &topic, &(500..503).map(|n| record(0, n)).collect::<Vec<_>>());
            produce(source, &topic, &(101..110).map(|n| record(0, n)).collect::<Vec<_>>());
            config.run_until_caught_up().expect(0);
        }
        let report = verified(&config, &[], 0);
        let found = lane(&report, 0);
        let (equal, others) = if shared { (110, 3) } else { (101, 0) };
        assert_eq!((&found["equal"], &found["of_others"]), (&json!(equal), &json!(others)), "{found}");
        assert_eq!((&found["behind"], &found["offsets"]), (&json!(0), &json!("translated")), "{found}");
    }
    // Marks that lead to other records.
    let topic = on_both("wrong");
    let config = Config::new(source, target, &topic);
    produce(source, &topic, &(0..20).map(|n| record(0, n)).collect::<Vec<_>>());
    produce(target, &topic, &(0..20).map(|n| record(0, n)).collect::<Vec<_>>());
    let mut lane_of = LedgerWriter::begin(start(&topic, &topic, 0, Point::new(0, 0)));
    lane_of.mark(Mark { source: 0, target: 0, count: 10 }).unwrap();
    lane_of.gap(Point::new(10, 11), None).unwrap();
    lane_of.mark(Mark { source: 10, target: 11, count: 9 }).unwrap();
    write(target, &link_of(&config), &[lane_of]);
    let report = verified(&config, &[], 3);
    let found = lane(&report, 0);
    let counts = ["equal", "changed", "missing", "extra"].map(|kind| found[kind].as_u64().unwrap());
    assert_eq!(counts, [10, 9, 0, 1], "{found}");
    assert_eq!(found["first_difference"]["target_offset"], 10);
}

#[test]
fn what_cleaners_and_retention_have_taken_is_told_apart_from_what_is_lost() {
    let (source, target) = pair();
    let (_, config) = cleaned::on_source(|topic| Config::new(source, target, topic));
    config.run_until_caught_up().expect(0);
    let report = verified(&config, &[], 0);
    assert!(report["totals"]["compacted_on_source"].as_u64().unwrap() > 0, "{report}");
    assert_eq!((&report["totals"]["extra"], &report["totals"]["missing"]), (&json!(0), &json!(0)));
    let (table, _) = ended(config.command("verify", &[]), 0);
    assert!(table.contains("on the target only: the source's log cleaner has taken them"), "{table}");

    // Records that were deleted on either side are not compared, and that is no difference.
    let topic = on_both("deleted");
    for cluster in [source, target] {
        produce(cluster, &topic, &(0..50).map(|n| record(0, n)).collect::<Vec<_>>());
    }
    let config = Config::new(source, target, &topic);
    mirrored_by_hand(&config, &topic);
    source.delete_records(&topic, 0, 10).unwrap();
    target.delete_records(&topic, 0, 20).unwrap();
    let report = verified(&config, &[], 0);
    let found = lane(&report, 0);
    assert_eq!((&found["from"], &found["equal"]), (&json!(20), &json!(30)), "{found}");
}

#[test]
fn each_way_to_go_wrong_has_its_exit_code() {
    let (source, target) = pair();
    let topic = on_both("wrong");
    produce(source, &topic, &[record(0, 0)]);
    let config = Config::new(source, target, &topic);
    let (_, error) = ended(config.command("verify", &[]), 3);
    assert!(error.contains("has not run yet") && error.contains("fix: run it"), "{error}");
    let daemon = config.run();
    daemon.wait_for_records(1);
    daemon.stop().expect(0);
    verified(&config, &[], 0);

    let (_, error) = ended(config.command("verify", &["--topic", "nothing"]), 3);
    assert!(error.contains("mirrors topic \"nothing\"") && error.contains(&topic), "{error}");
    for wrong in [
        &["--sample", "0%"][..],
        &["--sample", "101%"],
        &["--sample", "x"],
        &["--since", "yesterday"],
        &["--parallel", "0"],
        &["--seed", "1"],
        &["--sample", "5%", "--resume", "x"],
        &["--resume", "/nowhere/at/all"],
    ] {
        ended(config.command("verify", wrong), 2);
    }
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("noted.json");
    fs::write(&file, "no JSON").unwrap();
    let (_, error) = ended(config.command("verify", &["--resume", file.to_str().unwrap()]), 2);
    assert!(error.contains("noted.json: is not of an earlier `verify`"), "{error}");
    assert_eq!(fs::read_to_string(&file).unwrap(), "no JSON", "it is left as it was");

    let nobody = vec![("bootstrap.servers".to_owned(), "127.0.0.1:1".to_owned())];
    let (_, error) = ended(config.clone().source(nobody.clone()).command("verify", &[]), 4);
    assert!(error.contains("source") && error.contains("127.0.0.1:1"), "{error}");
    ended(config.clone().target(nobody).command("verify", &[]), 4);

    // Another cluster in the source's place.
    let swapped = config.clone().source(target.client_properties("admin"));
    let swapped =
        swapped.topics(&format!("include = [\"{topic}\"]\nrename = {{ \"{topic}\" = \"{topic}.x\" }}"));
    let (_, error) = ended(swapped.command("verify", &[]), 3);
    assert!(error.contains("source cluster source has the id"), "{error}");
    assert!(error.contains("it is another cluster") && error.contains("swapped"), "{error}");

    // A topic that is gone, and one that was made again.
    target.delete_topic(&topic).unwrap();
    let report = verified(&config, &[], 1);
    let trouble = lane(&report, 0)["trouble"].as_str().unwrap();
    assert!(trouble.contains("is not on the target"), "{trouble}");
    eventually("it can be made again", || target.create_topic(&topic, 1, 1, &[]).ok());
    let (table, _) = ended(config.command("verify", &[]), 1);
    assert!(table.contains("was deleted and made again on the target"), "{table}");
    assert!(table.contains("could NOT be compared"), "{table}");
}
