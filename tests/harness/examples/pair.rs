//! Two real Kafka clusters to try isomirror on: starts them, loads some orders into the source, prints a
//! configuration, and ends them when its standard input closes or on Ctrl-C.
//!
//! ```text
//! cargo run -p kafka-harness --example pair
//! ```

use std::io::{Read, stdin};

use anyhow::Result;
use kafka_harness::{
    Cluster,
    client::{self, Load},
};

const TOPIC: &str = "orders";
const PARTITIONS: i32 = 4;
const RECORDS: u64 = 100_000;

fn main() -> Result<()> {
    eprintln!("starting two Kafka clusters, which takes some seconds (and a download at the first time) …");
    let (source, target) = std::thread::scope(|scope| {
        let source = scope.spawn(|| Cluster::builder().start());
        let target = Cluster::builder().start();
        (source.join().expect("a start reports its failure"), target)
    });
    let (source, target) = (source?, target?);
    source.create_topic(TOPIC, PARTITIONS, 1, &[])?;
    let load =
        Load { partitions: PARTITIONS, count: RECORDS, value_size: 200, keys: true, ..Load::default() };
    client::load(&source.props(), TOPIC, &load)?;
    eprintln!("{RECORDS} records are in {TOPIC} on the source; as pair.toml:\n");
    println!("link = \"pair\"\n");
    println!("[source.kafka]\n\"bootstrap.servers\" = \"{}\"\n", source.bootstrap());
    println!("[target.kafka]\n\"bootstrap.servers\" = \"{}\"\n", target.bootstrap());
    println!("[topics]\ninclude = [\"{TOPIC}\"]\n");
    eprintln!("both run until you press Ctrl-D or Ctrl-C");
    stdin().read_to_end(&mut Vec::new())?;
    Ok(())
}
