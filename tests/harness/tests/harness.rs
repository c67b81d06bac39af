//! What the harness promises to the tests that stand on it.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use kafka_harness::client::{
    Isolation, Load, ProduceOptions, TestRecord, TimestampType, Transaction, count, end_offsets, load,
    produce, produce_with, read_all, read_each, value_number, watermarks,
};
use kafka_harness::daemon::eventually;
use kafka_harness::shared::{pair, unique};
use kafka_harness::{Cluster, NEW_VERSION, OLD_VERSION, ReadRecord, Security, java};
use rdkafka::message::Message;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};

/// These records are old, and a broker deletes old records from 30 s after its start on.
const KEEP: (&str, &str) = ("retention.ms", "-1");

fn record(partition: i32, key: Option<&[u8]>, value: Option<&[u8]>) -> TestRecord {
    TestRecord {
        partition,
        key: key.map(<[u8]>::to_vec),
        value: value.map(<[u8]>::to_vec),
        headers: Vec::new(),
        timestamp: Some(1_600_000_000_000),
    }
}

fn as_read(offset: i64, record: &TestRecord) -> ReadRecord {
    ReadRecord {
        offset,
        timestamp: record.timestamp.expect("set by these tests"),
        timestamp_type: TimestampType::Create,
        key: record.key.clone(),
        value: record.value.clone(),
        headers: record.headers.clone(),
    }
}

/// Nulls, empties, header order and repeats, and timestamps come back as they were written, with
/// every codec.
#[test]
fn records_come_back_as_written() {
    let (source, _) = pair();
    for codec in ["none", "gzip", "snappy", "lz4", "zstd"] {
        let topic = unique("odd");
        source.create_topic(&topic, 3, 1, &[KEEP]).expect("topic");
        let mut full = record(1, Some(b"k"), Some(b"v"));
        full.headers = vec![
            ("b".to_owned(), Some(b"1".to_vec())),
            ("a".to_owned(), None),
            ("b".to_owned(), Some(Vec::new())),
            (String::new(), Some(vec![0, 255])),
        ];
        full.timestamp = Some(1);
        let records = [
            record(0, None, Some(b"")),
            record(0, Some(b""), None),
            full,
            record(0, None, Some(&vec![7; 900_000])),
        ];
        let options = ProduceOptions { codec: Some(codec.to_owned()), ..ProduceOptions::default() };
        produce_with(&source.client_properties(""), &topic, &records, &options).expect("produced");

        let read = read_all(&source.client_properties(""), &topic, Isolation::Uncommitted).expect("read");
        assert_eq!(
            read[&0],
            [as_read(0, &records[0]), as_read(1, &records[1]), as_read(2, &records[3])],
            "{codec}"
        );
        assert_eq!(read[&1], [as_read(0, &records[2])], "{codec}");
        assert_eq!(read[&2], [], "an empty partition is listed");
    }
}

/// An aborted record is read only by who asks for it, and the markers move the log end.
#[test]
fn transactions_end_as_asked() {
    let (source, _) = pair();
    let (topic, props) = (unique("txn"), source.props());
    source.create_topic(&topic, 1, 1, &[KEEP]).expect("topic");
    let records = [record(0, None, Some(b"one")), record(0, None, Some(b"two"))];
    for end in [Transaction::Abort, Transaction::Commit] {
        let options = ProduceOptions { transaction: Some(end), ..ProduceOptions::default() };
        produce_with(&props, &topic, &records, &options).expect("produced");
    }
    assert_eq!(count(&props, &topic, Isolation::Committed).expect("count")[&0], 2);
    assert_eq!(count(&props, &topic, Isolation::Uncommitted).expect("count")[&0], 4);
    assert_eq!(end_offsets(&props, &topic).expect("ends")[&0], 6);
}

/// The admin helpers do what they say and return when it is done.
#[test]
fn topics_are_changed_as_asked() {
    let (_, target) = pair();
    let (topic, props) = (unique("admin"), target.props());
    target.create_topic(&topic, 1, 1, &[("retention.ms", "-1")]).expect("topic");
    target.add_partitions(&topic, 3).expect("grown");
    assert_eq!(target.partitions(&topic).expect("metadata"), Some(3));
    target.alter_topic_config(&topic, &[("max.message.bytes", "2000")]).expect("altered");
    let mut own = target.topic_config(&topic).expect("described");
    own.sort();
    let expected = [("max.message.bytes", "2000"), ("retention.ms", "-1")];
    assert_eq!(own, expected.map(|(k, v)| (k.to_owned(), v.to_owned())));
    let refused = produce(&props, &topic, &[record(0, None, Some(&[0; 3000]))]).expect_err("too large");
    assert!(format!("{refused:#}").contains("MessageSizeTooLarge"), "{refused:#}");

    produce(&props, &topic, &vec![record(2, None, Some(b"x")); 10]).expect("produced");
    target.delete_records(&topic, 2, 4).expect("deleted");
    assert_eq!(watermarks(&props, &topic).expect("offsets")[&2], (4, 10));
    target.delete_topic(&topic).expect("deleted");
    assert_eq!(target.partitions(&topic).expect("metadata"), None);
}

/// A topic of many partitions is ready when its creation returns.
#[test]
fn a_wide_topic_is_ready_at_once() {
    let (_, target) = pair();
    let (topic, props) = (unique("wide"), target.props());
    target.create_topic(&topic, 500, 1, &[]).expect("topic");
    let offsets = watermarks(&props, &topic).expect("offsets");
    assert_eq!(offsets.len(), 500);
    assert!(offsets.values().all(|o| *o == (0, 0)));
    target.delete_topic(&topic).expect("deleted");
}

/// A loaded record is where its number says, and loading is fast enough for gigabytes.
#[test]
fn a_load_is_numbered() {
    let (source, _) = pair();
    let (topic, props) = (unique("load"), source.props());
    source.create_topic(&topic, 4, 1, &[KEEP]).expect("topic");
    let asked = Load { partitions: 4, count: 200_000, keys: true, timestamp: Some(1_000), ..Load::default() };
    let begun = Instant::now();
    load(&props, &topic, &asked).expect("loaded");
    let loaded = begun.elapsed();
    let mut seen = 0_u64;
    read_each(&props, &topic, Isolation::Uncommitted, |message| {
        let number = value_number(message.payload().expect("a value")).expect("a number");
        let (partition, offset) = (message.partition(), message.offset());
        assert_eq!(
            (i64::try_from(number).expect("small") % 4, number / 4),
            (i64::from(partition), offset as u64)
        );
        assert_eq!(message.key(), Some(&number.to_be_bytes()[..]));
        seen += 1;
    })
    .expect("read");
    assert_eq!(seen, 200_000);
    eprintln!("200,000 records of 1 KiB: loaded in {loaded:.1?}, read in {:.1?}", begun.elapsed() - loaded);
}

/// Killing a leader (SIGKILL) loses nothing that was acknowledged, and the broker can come back.
#[test]
fn three_brokers_survive_the_loss_of_a_leader() {
    let cluster = Cluster::builder().brokers(3).heap("256m").start().expect("cluster");
    let (topic, props) = (unique("survivor"), cluster.client_properties(""));
    cluster.create_topic(&topic, 1, 3, &[KEEP, ("min.insync.replicas", "2")]).expect("topic");
    produce(&props, &topic, &vec![record(0, None, Some(b"before")); 100]).expect("produced");
    let leader = cluster.leader(&topic, 0).expect("metadata").expect("a leader");
    cluster.kill(leader).expect("killed");
    assert!(cluster.pid(leader).is_err(), "a killed broker has no process");
    produce(&props, &topic, &vec![record(0, None, Some(b"after")); 100])
        .expect("produced without the old leader");
    let next = cluster.wait_leader_other_than(&topic, 0, leader).expect("another leader");
    assert_ne!(next, leader);
    assert_eq!(count(&props, &topic, Isolation::Committed).expect("read")[&0], 200);
    cluster.start(leader).expect("started again");
    cluster.wait_isr(&topic, 3).expect("all replicas in sync");
}

/// A cluster with ACLs refuses a user until it is allowed, and a stranger altogether.
#[test]
fn scram_over_tls_lets_in_who_may() {
    let cluster = Cluster::builder().security(Security::scram(&["alice"])).start().expect("cluster");
    acls_hold(&cluster);
    let mut stranger = cluster.client_properties("alice");
    for (key, value) in &mut stranger {
        if key == "sasl.password" {
            "wrong".clone_into(value);
        }
    }
    stranger.push(("message.timeout.ms".to_owned(), "2000".to_owned()));
    produce(&stranger, "acls", &[record(0, None, Some(b"x"))]).expect_err("a wrong password");
}

/// The same with client certificates, whose common name is the user.
#[test]
fn mutual_tls_lets_in_who_may() {
    let cluster = Cluster::builder().security(Security::mutual_tls(&["alice"])).start().expect("cluster");
    acls_hold(&cluster);
    let mut stranger = cluster.client_properties("alice");
    stranger.retain(|(key, _)| key != "ssl.certificate.location" && key != "ssl.key.location");
    stranger.push(("message.timeout.ms".to_owned(), "2000".to_owned()));
    produce(&stranger, "acls", &[record(0, None, Some(b"x"))]).expect_err("no certificate");
}

fn acls_hold(cluster: &Cluster) {
    let topic = "acls";
    cluster.create_topic(topic, 1, 1, &[KEEP]).expect("topic");
    let one = [record(0, None, Some(b"x"))];
    let alice = cluster.client_properties("alice");
    produce(&cluster.client_properties("admin"), topic, &one).expect("the admin may");
    let denied = produce(&alice, topic, &one).expect_err("alice may not yet");
    assert!(format!("{denied:#}").contains("authorization"), "{denied:#}");
    let rights = ["--operation", "Write", "--operation", "Read", "--topic", topic];
    cluster.acl_add("alice", &rights).expect("allowed");
    produce(&alice, topic, &one).expect("alice may now");
    let read = read_all(&alice, topic, Isolation::Uncommitted).expect("alice may read, too");
    assert_eq!(read[&0].len(), 2);
}

/// The same with SASL/PLAIN, on the newer version, where a broker that was stopped returns on its
/// port with its data.
#[test]
fn plain_on_the_newer_version_lets_in_who_may_and_starts_again() {
    let builder = Cluster::builder().version(NEW_VERSION).security(Security::plain(&["alice"]));
    let cluster = builder.start().expect("cluster");
    acls_hold(&cluster);
    cluster.stop(1).expect("stopped");
    assert!(cluster.stop(1).is_err(), "a stopped broker cannot be stopped");
    cluster.start(1).expect("started again");
    let alice = cluster.client_properties("alice");
    assert_eq!(count(&alice, "acls", Isolation::Uncommitted).expect("read")[&0], 2);
    assert!(cluster.cpu_seconds(1).expect("cpu") > 0.1);
    assert!(cluster.rss(1).expect("rss") > 50_000_000);
}

/// Clients go through the proxy, which holds its rate, delays, cuts and swallows; the harness' own
/// listener goes around it. A frozen broker answers no one until it is resumed.
#[test]
fn a_proxy_makes_the_network_bad() {
    let cluster = Cluster::builder().proxied().start().expect("cluster");
    let (topic, proxy) = (unique("proxied"), cluster.proxy(1));
    let mut props = cluster.client_properties("");
    props.push(("message.timeout.ms".to_owned(), "20000".to_owned()));
    cluster.create_topic(&topic, 1, 1, &[KEEP]).expect("topic");
    let noise = Load { count: 300, value_size: 10_000, ..Load::default() };

    proxy.set_rate(1_000_000);
    let begun = Instant::now();
    load(&props, &topic, &noise).expect("loaded slowly");
    let took = begun.elapsed().as_secs_f64();
    assert!((2.8..15.0).contains(&took), "3 MB at 1 MB/s took {took:.2} s");
    let begun = Instant::now();
    load(&cluster.props(), &topic, &noise).expect("loaded around the proxy");
    assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
    proxy.set_rate(0);

    proxy.set_latency(Duration::from_millis(300));
    let begun = Instant::now();
    end_offsets(&props, &topic).expect("slow offsets");
    assert!(begun.elapsed() >= Duration::from_millis(600), "{:?}", begun.elapsed());
    proxy.set_latency(Duration::ZERO);

    let one = [record(0, None, Some(b"x"))];
    let mut hasty = props.clone();
    hasty.push(("message.timeout.ms".to_owned(), "1500".to_owned()));
    let fails = |why: &str| assert!(produce(&hasty, &topic, &one).is_err(), "{why}");
    proxy.set_black_hole(true);
    fails("a black hole");
    proxy.set_black_hole(false);
    proxy.set_down(true);
    fails("a dead network");
    proxy.set_down(false);
    cluster.pause(1).expect("paused");
    fails("a frozen broker");
    cluster.resume(1).expect("resumed");
    produce(&props, &topic, &one).expect("all is well again");
}

/// A Java program can use Kafka's own client against a cluster.
#[test]
fn a_java_program_reads_metadata() {
    let (source, _) = pair();
    let topic = unique("java");
    source.create_topic(&topic, 5, 1, &[]).expect("topic");
    let program = r#"
        import java.util.Properties;
        import org.apache.kafka.clients.consumer.KafkaConsumer;
        import org.apache.kafka.common.serialization.ByteArrayDeserializer;
        public class Partitions {
            public static void main(String[] args) {
                Properties p = new Properties();
                p.put("bootstrap.servers", args[0]);
                var d = new ByteArrayDeserializer();
                try (var consumer = new KafkaConsumer<byte[], byte[]>(p, d, d)) {
                    System.out.println(consumer.partitionsFor(args[1]).size());
                }
            }
        }"#;
    let output =
        java::run(source.dist(), "Partitions", program, &[&source.bootstrap(), &topic]).expect("ran");
    assert_eq!(output.trim(), "5");
    let broken =
        java::run(source.dist(), "Broken", "public class Broken { nonsense }", &[]).expect_err("not Java");
    assert!(format!("{broken:#}").contains("nonsense"), "{broken:#}");
}

/// However a test process ends, its brokers end with it: here it is killed (SIGKILL).
#[test]
fn brokers_do_not_outlive_a_killed_test() {
    const CHILD: &str = "KAFKA_HARNESS_CHILD";
    if std::env::var_os(CHILD).is_some() {
        let cluster = Cluster::builder().start().expect("cluster");
        println!("\nbroker-pid {}", cluster.pid(1).expect("running"));
        std::thread::sleep(Duration::from_secs(600));
        return;
    }
    let mut child = Command::new(std::env::current_exe().expect("a path"))
        .args(["--exact", "brokers_do_not_outlive_a_killed_test", "--nocapture"])
        .env(CHILD, "1")
        .stdout(Stdio::piped())
        .spawn()
        .expect("this binary starts again");
    let output = BufReader::new(child.stdout.take().expect("piped"));
    let pid =
        output.lines().map_while(Result::ok).find_map(|l| l.strip_prefix("broker-pid ")?.parse::<u32>().ok());
    let pid = pid.expect("the child tells its broker");
    assert!(runs(pid), "the broker runs");
    child.kill().expect("killed");
    child.wait().expect("gone");
    let end = Instant::now() + Duration::from_secs(5);
    while runs(pid) {
        assert!(Instant::now() < end, "broker {pid} outlived its test");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Whether a process is there and not merely waiting to be reaped.
fn runs(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"));
    stat.is_ok_and(|s| s.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with('Z')))
}

/// A broker that cannot start says why, from its own output.
#[test]
fn a_failed_start_shows_the_brokers_reason() {
    let started = Cluster::builder().broker_config("log.cleaner.threads", "many").start();
    let error = format!("{:#}", started.expect_err("no number"));
    assert!(error.contains("Invalid value many for configuration log.cleaner.threads"), "{error}");
}

/// Without Maven or a JDK there is an error that names the Debian packages, not a skip.
#[test]
fn a_missing_tool_is_named_with_its_package() {
    const CHILD: &str = "KAFKA_HARNESS_CHILD";
    if std::env::var_os(CHILD).is_some() {
        println!("\nerror: {:#}", Cluster::builder().start().expect_err("no java on this path"));
        return;
    }
    let output = Command::new(std::env::current_exe().expect("a path"))
        .args(["--exact", "a_missing_tool_is_named_with_its_package", "--nocapture"])
        .env(CHILD, "1")
        .env("PATH", "/nonexistent")
        .env_remove("JAVA_HOME")
        .output()
        .expect("this binary starts again");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(text.contains("apt-get install -y maven openjdk-17-jdk-headless"), "{text}");
}

/// An old broker with its ZooKeeper does what the new ones do, and comes back after kill -9.
#[test]
fn an_old_version_serves_transactions_and_starts_again() {
    let cluster = Cluster::builder().version(OLD_VERSION).start().expect("cluster");
    let (topic, props) = (unique("old"), cluster.client_properties(""));
    cluster.create_topic(&topic, 2, 1, &[KEEP]).expect("topic");
    let records = [record(0, None, Some(b"one")), record(0, None, Some(b"two"))];
    for end in [Transaction::Abort, Transaction::Commit] {
        let options = ProduceOptions { transaction: Some(end), ..ProduceOptions::default() };
        produce_with(&props, &topic, &records, &options).expect("produced");
    }
    cluster.kill(1).expect("killed");
    cluster.start(1).expect("started again");
    // It may have died before it had written that the transaction is over; then it writes it now.
    let all = || (end_offsets(&props, &topic).expect("ends")[&0] == 6).then_some(());
    eventually("both transactions have ended", all);
    let committed = || (count(&props, &topic, Isolation::Committed).expect("read")[&0] == 2).then_some(());
    eventually("the committed records are there", committed);
}

/// What a client had on its way when it died can be held, and reaches the broker behind what others wrote meanwhile.
#[test]
fn a_frozen_connection_delivers_late_what_a_dead_client_sent() {
    let cluster = Cluster::builder().proxied().start().expect("cluster");
    let (topic, proxy) = (unique("late"), cluster.proxy(1));
    let props = cluster.client_properties("");
    cluster.create_topic(&topic, 1, 1, &[KEEP]).expect("topic");
    let producer: BaseProducer = kafka_harness::client::config(&props).create().expect("a producer");
    let send = |value: &str| {
        producer.send(BaseRecord::<str, str>::to(&topic).partition(0).payload(value)).expect("queued");
    };
    send("in time");
    producer.flush(Duration::from_secs(10)).expect("delivered");
    proxy.freeze();
    send("late");
    producer.flush(Duration::from_secs(1)).expect_err("nothing answers");
    drop(producer);
    produce(&props, &topic, &[record(0, None, Some(b"meanwhile"))]).expect("new connections work");
    assert_eq!(end_offsets(&cluster.props(), &topic).expect("ends")[&0], 2);
    proxy.thaw();
    let end = Instant::now() + Duration::from_secs(10);
    while end_offsets(&cluster.props(), &topic).expect("ends")[&0] < 3 {
        assert!(Instant::now() < end, "what was held never arrived");
    }
    let read = read_all(&cluster.props(), &topic, Isolation::Uncommitted).expect("read");
    let values: Vec<_> = read[&0].iter().map(|r| r.value.as_deref().expect("a value")).collect();
    assert_eq!(values, [b"in time".as_slice(), b"meanwhile", b"late"]);
}
