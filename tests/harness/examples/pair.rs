//! Two real Kafka clusters to try isomirror on: starts them, loads some orders into the source, prints a
//! configuration, and ends them when its standard input closes or on Ctrl-C.
//!
//! ```text
//! cargo run -p kafka-harness --example pair
//! cargo run -p kafka-harness --example pair -- --secured
//! ```
//! Secured, both have an authorizer: `admin` is a super user, `app` may write the orders on the source, `billing` may read
//! them there, as the group of that name, which has read half of them; their passwords are `app-secret` and so on.

use std::io::{Read, stdin};

use anyhow::Result;
use kafka_harness::{
    Cluster, Security,
    client::{self, Load},
};
use rdkafka::{
    Offset, TopicPartitionList,
    consumer::{BaseConsumer, CommitMode, Consumer},
};

const TOPIC: &str = "orders";
const PARTITIONS: i32 = 4;
const RECORDS: u64 = 100_000;

fn main() -> Result<()> {
    eprintln!("starting two Kafka clusters, which takes some seconds (and a download at the first time) …");
    let secured = std::env::args().any(|arg| arg == "--secured");
    let security = if secured { Security::plain(&["app", "billing"]) } else { Security::Plaintext };
    let start = || Cluster::builder().security(security.clone()).start();
    let (source, target) = std::thread::scope(|scope| {
        let source = scope.spawn(start);
        let target = start();
        (source.join().expect("a start reports its failure"), target)
    });
    let (source, target) = (source?, target?);
    source.create_topic(TOPIC, PARTITIONS, 1, &[])?;
    let load =
        Load { partitions: PARTITIONS, count: RECORDS, value_size: 200, keys: true, ..Load::default() };
    client::load(&source.props(), TOPIC, &load)?;
    if secured {
        source.acl_add("app", &["--operation", "Write", "--topic", TOPIC])?;
        source.acl_add("billing", &["--operation", "Read", "--topic", TOPIC])?;
        source.acl_add("billing", &["--operation", "Read", "--group", "billing"])?;
        let mut read = TopicPartitionList::new();
        for (partition, offset) in [(0, 25_000), (1, 24_310)] {
            read.add_partition_offset(TOPIC, partition, Offset::Offset(offset))?;
        }
        let mut billing = client::config(&source.client_properties("billing"));
        let billing: BaseConsumer = billing.set("group.id", "billing").create()?;
        billing.commit(&read, CommitMode::Sync)?;
    }
    eprintln!("{RECORDS} records are in {TOPIC} on the source; as pair.toml:\n");
    println!("link = \"pair\"\n");
    for (side, cluster) in [("source", &source), ("target", &target)] {
        println!("[{side}.kafka]");
        cluster
            .client_properties("admin")
            .iter()
            .for_each(|(key, value)| println!("\"{key}\" = \"{value}\""));
        println!();
    }
    println!("[topics]\ninclude = [\"{TOPIC}\"]\n");
    eprintln!("both run until you press Ctrl-D or Ctrl-C");
    stdin().read_to_end(&mut Vec::new())?;
    Ok(())
}
