//! Apache Kafka's MirrorMakers.

use std::{
    fs,
    sync::atomic::{AtomicU32, Ordering::Relaxed},
};

use anyhow::Result;
use kafka_harness::{Cluster, dist::Dist};
use kafka_wire::records::Compression;
use tempfile::TempDir;

use super::{Goal, Running};

/// What MirrorMaker 2 needs here, whatever it is to do: one direction, and one broker on either side. `SRC` and `DST`
/// stand for aliases that are new in each run: it keeps its positions in topics named after them, and a second run under
/// the same names would find nothing left to do.
pub const ONE_WAY: &str = "\
clusters = SRC, DST
SRC->DST.enabled = true
DST->SRC.enabled = false
replication.factor = 1
checkpoints.topic.replication.factor = 1
heartbeats.topic.replication.factor = 1
offset-syncs.topic.replication.factor = 1
offset.storage.replication.factor = 1
status.storage.replication.factor = 1
config.storage.replication.factor = 1
";

/// What it needs besides, whoever tunes it: topics that keep their names.
const NEEDED: &str = "\
replication.policy.class = org.apache.kafka.connect.mirror.IdentityReplicationPolicy
SRC.consumer.isolation.level = read_committed
";

/// As its users tune it, for whatever it is to be good at: two tasks for two cores, and nothing but records.
const TUNED: &str = "\
tasks.max = 2
sync.topic.configs.enabled = false
sync.topic.acls.enabled = false
emit.heartbeats.enabled = false
emit.checkpoints.enabled = false
refresh.topics.interval.seconds = 5
SRC.consumer.auto.offset.reset = earliest
";

/// For many records: larger batches.
const THROUGHPUT: &str = "\
DST.producer.batch.size = 131072
DST.producer.linger.ms = 10
SRC->DST.producer.override.batch.size = 131072
SRC->DST.producer.override.linger.ms = 10
";

/// For early ones.
const LATENCY: &str = "\
SRC.consumer.fetch.min.bytes = 1
SRC.consumer.fetch.max.wait.ms = 10
DST.producer.linger.ms = 0
SRC->DST.producer.override.linger.ms = 0
";

/// What reads, in MirrorMaker 1.
const CONSUMER_1: &str = "\
auto.offset.reset = earliest
isolation.level = read_committed
max.poll.records = 5000
receive.buffer.bytes = 1048576
";

/// What writes, in MirrorMaker 1.
const PRODUCER_1: &str = "\
acks = all
batch.size = 131072
linger.ms = 10
buffer.memory = 67108864
send.buffer.bytes = 1048576
";

/// Memory of either.
const HEAP: &str = "-Xmx1g";
/// Consumers of MirrorMaker 1.
const STREAMS: &str = "2";

/// Counts runs, for names of their own.
static RUN: AtomicU32 = AtomicU32::new(0);

/// A configuration of MirrorMaker 2.
pub struct MirrorMaker2(String);

impl MirrorMaker2 {
    /// Starts it on a topic.
    pub fn start(self, topic: &str, source: &Cluster, target: &Cluster) -> Result<Running> {
        let properties = format!("{}SRC->DST.topics = {topic}\n", self.0);
        Ok(mirror_maker_2(&properties, source, target)?.0)
    }
}

/// Tuned; batches that were compressed on the source are to be so on the target.
pub fn tuned(goal: Goal, compression: Compression) -> MirrorMaker2 {
    let goal = match goal {
        Goal::Throughput => THROUGHPUT,
        Goal::Latency => LATENCY,
    };
    let codec = codec(compression).map_or_else(String::new, |codec| {
        format!(
            "DST.producer.compression.type = {codec}\nSRC->DST.producer.override.compression.type = {codec}\n"
        )
    });
    MirrorMaker2(format!("{ONE_WAY}{NEEDED}{TUNED}{goal}{codec}"))
}

/// With nothing but what it needs here.
pub fn defaults() -> MirrorMaker2 {
    MirrorMaker2(format!("{ONE_WAY}{NEEDED}"))
}

/// Starts MirrorMaker 2 with these properties and the clusters' addresses; returns its alias of the source, too.
pub fn mirror_maker_2(properties: &str, source: &Cluster, target: &Cluster) -> Result<(Running, String)> {
    let run = RUN.fetch_add(1, Relaxed);
    let (from, to) = (format!("a{run}"), format!("b{run}"));
    let text = format!(
        "{properties}SRC.bootstrap.servers = {}\nDST.bootstrap.servers = {}\n",
        source.bootstrap(),
        target.bootstrap(),
    );
    let dir = TempDir::new()?;
    let path = dir.path().join("mm2.properties");
    fs::write(&path, text.replace("SRC", &from).replace("DST", &to))?;
    let mut command = Dist::get(kafka_harness::MAIN_VERSION)?.mirror_maker_command()?;
    command.args([HEAP, "org.apache.kafka.connect.mirror.MirrorMaker"]).arg(path);
    Ok((Running::spawn(command, dir)?, from))
}

/// Starts MirrorMaker 1 on a topic.
pub fn mirror_maker_1(
    topic: &str,
    compression: Compression,
    source: &Cluster,
    target: &Cluster,
) -> Result<Running> {
    let dir = TempDir::new()?;
    let write = |name: &str, text: String| -> Result<_> {
        let path = dir.path().join(name);
        fs::write(&path, text)?;
        Ok(path)
    };
    let group = RUN.fetch_add(1, Relaxed);
    let consumer = write(
        "consumer.properties",
        format!(
            "{CONSUMER_1}group.id = mirror-maker-1-{group}\nbootstrap.servers = {}\n",
            source.bootstrap()
        ),
    )?;
    let codec = codec(compression).map_or_else(String::new, |codec| format!("compression.type = {codec}\n"));
    let producer = write(
        "producer.properties",
        format!("{PRODUCER_1}{codec}bootstrap.servers = {}\n", target.bootstrap()),
    )?;
    let dist = Dist::get(kafka_harness::MAIN_VERSION)?;
    let mut command = dist.node_command("kafka.tools.MirrorMaker", &[HEAP.to_owned()]);
    command.arg("--consumer.config").arg(consumer).arg("--producer.config").arg(producer);
    command.args(["--num.streams", STREAMS, "--include", topic]);
    Running::spawn(command, dir)
}

/// A codec's name, where there is one.
pub fn codec(compression: Compression) -> Option<String> {
    (compression != Compression::None).then(|| format!("{compression:?}").to_lowercase())
}

/// All of them, for the report.
pub fn configurations() -> String {
    let version = kafka_harness::MAIN_VERSION;
    format!(
        "Both MirrorMakers are those of Apache Kafka {version} with `{HEAP}`. On a compressed shape, their producers have \
         `compression.type` set to the source's codec, but for the one with its defaults: the target's batches are not \
         compressed there.\n\n\
         MirrorMaker 2, in dedicated mode, whether tuned or not (no defaults are possible here in these: one broker, a topic \
         that keeps its name, and no aborted records):\n\n```properties\n{ONE_WAY}{NEEDED}```\n\n\
         Tuned:\n\n```properties\n{TUNED}```\n\n\
         Tuned, for throughput:\n\n```properties\n{THROUGHPUT}```\n\n\
         Tuned, for latency:\n\n```properties\n{LATENCY}```\n\n\
         MirrorMaker 1, with `--num.streams {STREAMS}` (it does not keep a record's partition), its consumer and its \
         producer:\n\n```properties\n{CONSUMER_1}```\n\n```properties\n{PRODUCER_1}```\n"
    )
}
