//! Records that nobody thought of, read back by a second client.

use kafka_harness::{
    TestRecord, client,
    daemon::Config,
    shared::{pair, unique},
};
use proptest::{
    collection::vec,
    option,
    prelude::*,
    test_runner::{Config as Cases, TestRunner},
};

use crate::support::{assert_same, create};

fn records() -> impl Strategy<Value = Vec<TestRecord>> {
    let bytes = |size| option::of(vec(any::<u8>(), 0..size));
    let name = prop_oneof!["[a-c]{0,2}", "\\PC{0,12}"];
    let timestamp = prop_oneof![1 => Just(-1_i64), 9 => 1..4_102_444_800_000_i64];
    let one = (0..3_i32, bytes(40), bytes(300), vec((name, bytes(20)), 0..4), timestamp).prop_map(
        |(partition, key, value, headers, timestamp)| TestRecord {
            partition,
            key,
            value,
            headers,
            timestamp: Some(timestamp),
        },
    );
    vec(one, 1..4000)
}

#[test]
fn whatever_is_written_is_read_back() {
    let (source, target) = pair();
    let cases = Cases { cases: 4, max_shrink_iters: 20, failure_persistence: None, ..Cases::default() };
    let checked = TestRunner::new(cases).run(&records(), |records| {
        let topic = unique("property");
        create(source, &topic, 3, &[]);
        client::produce(&source.props(), &topic, &records).unwrap();
        Config::new(source, target, &topic).run_until_caught_up().expect(0);
        for (partition, arrived) in assert_same(source, target, &topic) {
            let sent = records.iter().filter(|r| r.partition == partition);
            let sent =
                sent.map(|r| (r.timestamp.unwrap(), r.key.clone(), r.value.clone(), r.headers.clone()));
            prop_assert!(sent.eq(arrived), "partition {partition}");
        }
        Ok(())
    });
    checked.unwrap();
}
