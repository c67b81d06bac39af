//! How long it takes where there is much.

use std::time::{Duration, Instant};

use kafka_harness::shared::unique;

use crate::support::{Work, cluster};

#[test]
#[ignore = "10,000 partitions take a minute to make: cargo test --workspace --test audit -- --ignored --nocapture"]
fn ten_thousand_partitions_are_audited_and_planned_in_under_ten_seconds() {
    let (cluster, _turn) = cluster();
    let work = Work::new(cluster);
    let topics: Vec<String> = (0..10).map(|_| unique("many")).collect();
    for topic in &topics {
        cluster.create_topic(topic, 1_000, 1, &[]).unwrap();
    }
    let began = Instant::now();
    let found = work.json(&["--maintenance", "3"], 3);
    let audited = began.elapsed();
    let unreadable = found["clusters"][0]["maintenance"]["unreadable"].as_array().unwrap().len();
    assert!((2_000..3_000).contains(&unreadable), "{unreadable}");
    let began = Instant::now();
    let made = work.json(&["plan", "--replication", "3", "--into", "plan"], 0);
    let planned = began.elapsed();
    assert!(made["total"]["partitions"].as_u64() >= Some(10_000), "{made:#}");
    eprintln!("10,000 partitions: audited in {audited:.1?}, planned in {planned:.1?}");
    assert!(audited + planned < Duration::from_secs(10), "{audited:?} and {planned:?}");
    for topic in &topics {
        cluster.delete_topic(topic).unwrap();
    }
}
