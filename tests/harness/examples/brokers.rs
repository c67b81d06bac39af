//! One real Kafka cluster of four brokers, each in a rack of its own, to try `isomirror audit` on: topics with one, two and three
//! replicas; of the Kafka version that is named, or of 3.9. Prints a configuration; brokers are stopped and started by lines on its
//! standard input, as `stop 2` and `start 2`; all end when that closes, or on Ctrl-C.
//!
//! ```text
//! cargo run -p kafka-harness --example brokers [-- VERSION]
//! ```

use std::{env, io::stdin};

use anyhow::{Context, Result};
use kafka_harness::{
    Cluster, MAIN_VERSION,
    client::{self, Load},
};

/// Topics: replicas, `min.insync.replicas`, records.
const TOPICS: [(&str, i32, &str, u64); 4] = [
    ("orders", 1, "1", 100_000),
    ("payments", 2, "2", 60_000),
    ("audit", 3, "2", 30_000),
    ("clicks", 2, "1", 10_000),
];
const PARTITIONS: i32 = 4;

fn main() -> Result<()> {
    eprintln!("starting four brokers, which takes some seconds (and a download at the first time) …");
    let version = env::args().nth(1).unwrap_or_else(|| MAIN_VERSION.to_owned());
    let builder = Cluster::builder().version(&version).brokers(4).racks();
    let cluster = builder.broker_config("auto.leader.rebalance.enable", "false").start()?;
    for (topic, replicas, min, count) in TOPICS {
        cluster.create_topic(topic, PARTITIONS, replicas, &[("min.insync.replicas", min)])?;
        let load = Load { partitions: PARTITIONS, count, value_size: 1_000, keys: true, ..Load::default() };
        client::load(&cluster.props(), topic, &load)?;
    }
    eprintln!("as dc2.toml:\n");
    println!(
        "[target]\nname = \"dc2\"\n[target.kafka]\n\"bootstrap.servers\" = \"{}\"\n",
        cluster.bootstrap()
    );
    eprintln!("`stop ID` and `start ID` stop and start a broker; Ctrl-D or Ctrl-C ends them all");
    for line in stdin().lines() {
        let line = line?;
        let (what, id) = line.trim().split_once(' ').unwrap_or((line.trim(), ""));
        let broker = || id.trim().parse::<u32>().with_context(|| format!("{id:?} is no broker's id"));
        let done = match what {
            "stop" => broker().and_then(|id| cluster.stop(id)),
            "start" => broker().and_then(|id| cluster.start(id)),
            _ => continue,
        };
        match done {
            Ok(()) => println!("{what} {id}: done"),
            Err(error) => println!("{what} {id}: {error:#}"),
        }
    }
    Ok(())
}
