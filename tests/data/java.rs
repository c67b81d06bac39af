//! Records that only Java can write, read back by Java too: a client that shares no code with the mirror.

use kafka_harness::{
    Cluster,
    daemon::Config,
    java,
    shared::{pair, unique},
};

use crate::support::{assert_same, create};

const PROGRAM: &str = include_str!("Odd.java");

fn run(cluster: &Cluster, mode: &str, topic: &str) -> String {
    java::run(cluster.dist(), "Odd", PROGRAM, &[mode, &cluster.internal_bootstrap(), topic]).unwrap()
}

/// librdkafka takes a timestamp of 0 for "now".
#[test]
fn records_of_the_epoch_keep_their_time_and_java_reads_the_same_on_both_sides() {
    let (source, target) = pair();
    let topic = unique("java");
    create(source, &topic, 2, &[]);
    run(source, "write", &topic);

    Config::new(source, target, &topic).run_until_caught_up().expect(0);

    let records = assert_same(source, target, &topic);
    let epoch = |records: &[crate::support::Content]| records.iter().filter(|r| r.0 == 0).count();
    assert_eq!((epoch(&records[&0]), epoch(&records[&1])), (1001, 4));
    let (before, after) = (run(source, "read", &topic), run(target, "read", &topic));
    assert!(before.lines().count() == 2005 && before.contains(" 0 CreateTime "), "{before:.500}");
    for (before, after) in before.lines().zip(after.lines()) {
        assert_eq!(before, after);
    }
    assert_eq!(before.len(), after.len());
}
