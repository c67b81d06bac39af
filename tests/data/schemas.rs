//! The topic of a schema registry, in the shapes of Confluent's: what a registry makes of the copy is what it made of the
//! original, ids and all.

use std::{collections::BTreeMap, time::Duration};

use kafka_harness::{
    Cluster, ReadRecord, TestRecord,
    client::{self, Isolation, end_offsets},
    daemon::{Config, eventually},
    shared::pair,
};
use serde_json::Value;

/// Its name: one underscore, so it is none of Kafka's own.
const TOPIC: &str = "_schemas";
const NOOP: (&str, Option<&str>) = (r#"{"keytype":"NOOP","magic":0}"#, None);
const BYE: &str = r#"{"keytype":"SCHEMA","subject":"orders-value","version":1,"magic":1}"#;

fn write(source: &Cluster, records: &[(&str, Option<&str>)]) {
    let record = |(key, value): &(&str, Option<&str>)| TestRecord {
        key: Some(key.as_bytes().to_vec()),
        value: value.map(|value| value.as_bytes().to_vec()),
        ..TestRecord::default()
    };
    client::produce(&source.props(), TOPIC, &records.iter().map(record).collect::<Vec<_>>()).unwrap();
}

fn read(cluster: &Cluster) -> Vec<ReadRecord> {
    client::read_all(&cluster.props(), TOPIC, Isolation::Uncommitted).unwrap().remove(&0).unwrap()
}

/// What a registry knows once it has read all: the latest value of each key.
fn registry(records: &[ReadRecord]) -> BTreeMap<String, Value> {
    let mut known = BTreeMap::new();
    for record in records {
        let key = String::from_utf8(record.key.clone().expect("compacted: all have keys")).unwrap();
        match &record.value {
            Some(value) => known.insert(key, serde_json::from_slice(value).expect("JSON")),
            None => known.remove(&key),
        };
    }
    known
}

#[test]
fn a_registrys_topic_is_mirrored_with_its_ids_tombstones_and_offsets() {
    let (source, target) = pair();
    let compacts = [("cleanup.policy", "compact")];
    let eager = [("segment.ms", "1000"), ("min.cleanable.dirty.ratio", "0.001")];
    source.create_topic(TOPIC, 1, 1, &[&compacts[..], &eager].concat()).unwrap();
    // Nothing is cleaned here, so that all that was mirrored can be compared.
    target.create_topic(TOPIC, 1, 1, &compacts).unwrap();

    let global = r#"{"keytype":"CONFIG","subject":null,"magic":0}"#;
    let of_orders = r#"{"keytype":"CONFIG","subject":"orders-value","magic":0}"#;
    let mode = r#"{"keytype":"MODE","subject":null,"magic":0}"#;
    let second = r#"{"keytype":"SCHEMA","subject":"orders-value","version":2,"magic":1}"#;
    let gone = r#"{"keytype":"SCHEMA","subject":"gone-value","version":1,"magic":1}"#;
    let schema = |subject: &str, version: u32, id: u32, deleted: bool| {
        format!(
            r#"{{"subject":"{subject}","version":{version},"id":{id},"schema":"{{\"type\":\"record\",\"name\":\"é{id}\",\"fields\":[]}}","deleted":{deleted}}}"#
        )
    };
    let [first, later, once, deleted] = [
        schema("orders-value", 1, 1, false),
        schema("orders-value", 2, 4, false),
        schema("gone-value", 1, 3, false),
        schema("gone-value", 1, 3, true),
    ];
    write(
        source,
        &[
            NOOP,
            (global, Some(r#"{"compatibilityLevel":"BACKWARD"}"#)),
            (mode, Some(r#"{"mode":"READWRITE"}"#)),
        ],
    );
    write(source, &[(BYE, Some(&first)), (gone, Some(&once)), NOOP, (second, Some(&later))]);
    // A subject is deleted: softly, by a record and by its schemas' values; then its schema for good.
    let of_subject = r#"{"keytype":"DELETE_SUBJECT","subject":"gone-value","magic":0}"#;
    write(
        source,
        &[
            (of_subject, Some(r#"{"subject":"gone-value","version":1}"#)),
            (gone, Some(&deleted)),
            (gone, None),
        ],
    );
    write(
        source,
        &[
            (of_orders, Some(r#"{"compatibilityLevel":"NONE"}"#)),
            (global, Some(r#"{"compatibilityLevel":"FULL"}"#)),
        ],
    );
    eventually("the source's cleaner has been there", || {
        std::thread::sleep(Duration::from_millis(1500));
        // Each registry that starts writes one; only segments that are closed are cleaned.
        write(source, &[NOOP]);
        let offsets: Vec<_> = read(source).iter().map(|record| record.offset).collect();
        (!offsets.contains(&4) && !offsets.contains(&0)).then_some(())
    });
    // What is left is cleaned no more, so that it can be compared.
    source
        .alter_topic_config(TOPIC, &[("segment.ms", "604800000"), ("min.cleanable.dirty.ratio", "1")])
        .unwrap();
    std::thread::sleep(Duration::from_secs(1));

    let daemon = Config::new(source, target, TOPIC).run();
    let ends = || [source, target].map(|cluster| end_offsets(&cluster.props(), TOPIC).unwrap()[&0]);
    let even = |what: &str| eventually(what, || (ends()[0] == ends()[1]).then_some(()));
    even("all is mirrored");
    // A tombstone of a schema that a client may still have in its hands.
    write(source, &[(BYE, None), NOOP]);
    even("what came late, too");
    daemon.stop().expect(0);

    let (original, copy) = (read(source), read(target));
    assert_eq!(original, copy);
    let holes = ends()[0] - i64::try_from(original.len()).unwrap();
    assert!(holes > 3 && original[0].offset > 0, "{holes} offsets were cleaned away");
    let nulls = |key: &str| {
        copy.iter().filter(|r| r.key.as_deref() == Some(key.as_bytes()) && r.value.is_none()).count()
    };
    assert!(nulls(NOOP.0) > 0 && nulls(gone) == 1 && nulls(BYE) == 1, "{copy:?}");

    let known = registry(&copy);
    assert_eq!(known, registry(&original));
    assert_eq!((&known[second]["id"], &known[global]["compatibilityLevel"]), (&4.into(), &"FULL".into()));
    assert!(
        !known.contains_key(BYE) && !known.contains_key(gone) && known.contains_key(of_subject),
        "{known:?}"
    );
}
