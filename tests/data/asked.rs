//! What brokers ask of their clients: to read from the replica in their own rack, and to keep to a quota.

use std::time::{Duration, Instant};

use kafka_harness::{
    Cluster,
    client::{self, Load},
    daemon::Config,
    shared::{pair, unique},
};

use crate::support::{alone, assert_same, create};

const BYTES: u64 = 20_000_000;

fn load(source: &Cluster, topic: &str) {
    let load = Load { count: BYTES / 1000, value_size: 1000, ..Load::default() };
    client::load(&source.props(), topic, &load).unwrap();
}

fn properties(cluster: &Cluster, name: &str, value: &str) -> Vec<(String, String)> {
    let pairs = [("bootstrap.servers", cluster.bootstrap()), (name, value.to_owned())];
    pairs.map(|(name, value)| (name.to_owned(), value)).into()
}

#[test]
fn the_replica_in_our_rack_is_read_from() {
    let source = Cluster::builder().brokers(2).racks().proxied().start().unwrap();
    let target = pair().1;
    let topic = unique("racks");
    source.create_topic(&topic, 1, 2, &[("retention.ms", "-1")]).unwrap();
    load(&source, &topic);
    source.wait_isr(&topic, 2).unwrap();
    let leader = source.leader(&topic, 0).unwrap().expect("a leader");
    let follower = 3 - leader;
    let read = || [leader, follower].map(|broker| source.proxy(broker).bytes().1);
    let before = read();
    let config = Config::new(&source, target, &topic);
    config.source(properties(&source, "client.rack", &follower.to_string())).run_until_caught_up().expect(0);
    let after = read();
    let [of_leader, of_follower] = [after[0] - before[0], after[1] - before[1]];
    assert!(of_follower > BYTES, "{of_follower} bytes came from the replica in our rack");
    assert!(of_leader < BYTES / 4, "{of_leader} bytes came from the leader, {of_follower} from our rack");
    assert_same(&source, target, &topic);
}

#[test]
fn the_brokers_quotas_are_kept_and_cost_nothing_else() {
    const RATE: u64 = 1_000_000;
    let _alone = alone();
    let (source, target) = pair();
    for (cluster, quota) in [(source, "consumer_byte_rate"), (target, "producer_byte_rate")] {
        let topic = unique("quota");
        create(source, &topic, 1, &[]);
        load(source, &topic);
        let (bootstrap, add) = (cluster.internal_bootstrap(), format!("{quota}={RATE}"));
        let args = [
            "--bootstrap-server",
            &bootstrap,
            "--alter",
            "--entity-type",
            "clients",
            "--entity-name",
            &topic,
        ];
        let set =
            cluster.run_tool("kafka.admin.ConfigCommand", &[&args[..], &["--add-config", &add]].concat());
        assert!(set.as_ref().is_ok_and(|set| set.status.success()), "{set:?}");
        let mut config = Config::new(source, target, &topic);
        let named = properties(cluster, "client.id", &topic);
        config = if quota.starts_with("consumer") { config.source(named) } else { config.target(named) };
        let begun = Instant::now();
        config.run_until_caught_up().expect(0);
        // A broker lets through at once what its last 10 s would have taken.
        let least = Duration::from_secs(BYTES / RATE - 12);
        assert!(
            begun.elapsed() >= least,
            "{quota}: {:?} is faster than {RATE} bytes a second",
            begun.elapsed()
        );
        assert_same(source, target, &topic);
    }
}
