//! `isomirror demo` needs nothing but itself, and shows what it says it shows. No broker is started here.

use std::{
    collections::BTreeSet,
    process::{Command, Output},
};

use serde_json::Value;

/// Topic, target topic, partitions.
const TOPICS: [(&str, &str, u64); 3] =
    [("orders", "orders", 6), ("payments.eu", "eu.payments", 3), ("audit", "audit", 1)];

fn demo(args: &[&str]) -> (Output, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_isomirror"));
    // Whatever this environment says of a link of its own is not for the demo.
    command.env_clear().env("SOURCE", "elsewhere:9092").env("ISOMIRROR__TOPICS__INCLUDE", "nothing");
    let output = command.arg("demo").args(args).output().expect("isomirror runs");
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("text");
    let (told, logged) = (text(&output.stdout), text(&output.stderr));
    assert_eq!(output.status.code(), Some(0), "{told}\n{logged}");
    (output, told, logged)
}

#[test]
fn the_demo_shows_every_partition_equal_and_logs_nothing() {
    let (_, told, logged) = demo(&[]);
    for (topic, target, partitions) in TOPICS {
        for partition in 0..partitions {
            let row = told.lines().find(|line| {
                let cells: Vec<_> = line.split_whitespace().collect();
                cells.len() == 8 && cells[..3] == [topic, target, &partition.to_string()]
            });
            let row = row.unwrap_or_else(|| panic!("no row for {topic}[{partition}]:\n{told}"));
            let cells: Vec<_> = row.split_whitespace().collect();
            assert_eq!((cells[3], cells[5], cells[7]), (cells[4], cells[6], "yes"), "{row}");
        }
    }
    assert!(told.contains("All 10 partitions are equal"), "{told}");
    // Progress is all that may be there: no warning, nothing of librdkafka's.
    assert!(logged.lines().all(|line| line.ends_with("records mirrored")), "{logged}");
}

#[test]
fn as_json_it_is_nothing_but_json_with_a_digest_for_each_side() {
    let (_, told, _) = demo(&["--output", "json"]);
    let outcome: Value = serde_json::from_str(&told).expect("JSON alone");
    assert_eq!(outcome["equal"], true);
    assert!(outcome["records_per_second"].as_f64().unwrap() > 0.0);
    let rows = outcome["partitions"].as_array().unwrap();
    let mut digests = BTreeSet::new();
    let mut records = 0;
    for row in rows {
        assert_eq!(row["source"], row["target"], "{row}");
        assert_eq!((row["equal"].as_bool(), row["first_difference"].is_null()), (Some(true), true));
        assert!(row["source"]["records"].as_u64().unwrap() > 1_000, "{row}");
        records += row["target"]["records"].as_u64().unwrap();
        let digest = row["source"]["digest"].as_str().unwrap();
        assert!(digest.len() == 16 && u64::from_str_radix(digest, 16).unwrap() != 0, "{row}");
        digests.insert(digest);
    }
    assert_eq!(rows.len(), 10);
    assert_eq!(digests.len(), rows.len(), "no two partitions hold the same");
    assert_eq!(outcome["records"].as_u64(), Some(records), "each record once");
}
