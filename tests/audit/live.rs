//! Replication from one to three and everything after it, under producers that want `acks=all` and consumers: nothing that
//! was acknowledged is lost.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    thread::JoinHandle,
    time::Duration,
};

use kafka_harness::{
    Cluster,
    client::{self, Isolation, Load, load},
    daemon::eventually,
    shared::unique,
};
use rdkafka::{
    ClientConfig, ClientContext,
    config::RDKafkaLogLevel,
    consumer::{BaseConsumer, Consumer},
    message::Message,
    producer::{BaseRecord, DeliveryResult, Producer, ProducerContext, ThreadedProducer},
};

use crate::support::{Work, cluster, moving, replicas, throttles, topic, wait_in_sync};

const PARTITIONS: i32 = 4;

/// The numbers that were acknowledged, and what was refused.
#[derive(Clone, Default)]
struct Acks(Arc<Mutex<(BTreeSet<u64>, Vec<String>)>>);

impl ClientContext for Acks {}

impl ProducerContext for Acks {
    type DeliveryOpaque = Box<u64>;

    fn delivery(&self, result: &DeliveryResult<'_>, number: Self::DeliveryOpaque) {
        let mut acks = self.0.lock().unwrap();
        match result {
            Ok(_) => drop(acks.0.insert(*number)),
            Err((error, _)) => acks.1.push(error.to_string()),
        }
    }
}

/// A producer and a consumer that go on.
struct Traffic {
    stop: Arc<AtomicBool>,
    acks: Acks,
    producer: JoinHandle<()>,
    consumer: JoinHandle<BTreeSet<u64>>,
}

fn config(cluster: &Cluster) -> ClientConfig {
    let mut config = ClientConfig::new();
    for (key, value) in cluster.props() {
        config.set(key, value);
    }
    config.set_log_level(RDKafkaLogLevel::Emerg);
    config
}

impl Traffic {
    fn start(cluster: &Cluster, topic: &str) -> Self {
        let (stop, acks) = (Arc::<AtomicBool>::default(), Acks::default());
        let mut writes = config(cluster);
        writes
            .set("enable.idempotence", "true")
            .set("acks", "all")
            .set("linger.ms", "5")
            .set("message.timeout.ms", "180000");
        let producer: ThreadedProducer<Acks> = writes.create_with_context(acks.clone()).unwrap();
        let (name, stopped) = (topic.to_owned(), stop.clone());
        let producer = std::thread::spawn(move || {
            let mut number = 0u64;
            while !stopped.load(Relaxed) {
                for _ in 0..20 {
                    let partition = i32::try_from(number % u64::from(PARTITIONS.unsigned_abs())).unwrap();
                    let text = number.to_string();
                    let record = BaseRecord::with_opaque_to(&name, Box::new(number))
                        .partition(partition)
                        .key(&text)
                        .payload(&text);
                    if producer.send(record).is_err() {
                        break;
                    }
                    number += 1;
                }
                std::thread::sleep(Duration::from_millis(20));
            }
            producer.flush(Duration::from_secs(180)).unwrap();
        });
        let mut reads = config(cluster);
        reads.set("group.id", format!("{topic}-group")).set("auto.offset.reset", "earliest");
        let consumer: BaseConsumer = reads.create().unwrap();
        consumer.subscribe(&[topic]).unwrap();
        let (stopped, acked) = (stop.clone(), acks.clone());
        let consumer = std::thread::spawn(move || {
            let mut seen = BTreeSet::new();
            let mut last = std::time::Instant::now();
            // Until all that was acknowledged is seen, or nothing comes any more.
            loop {
                let done = stopped.load(Relaxed)
                    && (acked.0.lock().unwrap().0.is_subset(&seen)
                        || last.elapsed() > Duration::from_secs(60));
                if done {
                    return seen;
                }
                if let Some(Ok(message)) = consumer.poll(Duration::from_millis(200)) {
                    last = std::time::Instant::now();
                    let text = std::str::from_utf8(message.payload().unwrap()).unwrap();
                    if let Ok(number) = text.parse() {
                        seen.insert(number);
                    }
                }
            }
        });
        Self { stop, acks, producer, consumer }
    }

    fn acked(&self) -> usize {
        self.acks.0.lock().unwrap().0.len()
    }

    /// Waits until so many more are acknowledged: it goes on.
    #[track_caller]
    fn goes_on(&self) {
        let now = self.acked();
        eventually("producers go on", || (self.acked() > now + 50).then_some(()));
    }

    /// Stops both; what was acknowledged is there exactly once, and was consumed.
    #[track_caller]
    fn end(self, cluster: &Cluster, topic: &str) -> usize {
        self.stop.store(true, Relaxed);
        self.producer.join().unwrap();
        let seen = self.consumer.join().unwrap();
        let (acked, refused) = self.acks.0.lock().unwrap().clone();
        assert!(refused.is_empty(), "{} refused: {:?}", refused.len(), &refused[..refused.len().min(3)]);
        let there = client::read_all(&cluster.props(), topic, Isolation::Committed).unwrap();
        let mut count = BTreeMap::<u64, usize>::new();
        let keyed = there.values().flatten().filter(|record| record.key.is_some());
        for record in keyed {
            let text = String::from_utf8(record.value.clone().unwrap()).unwrap();
            *count.entry(text.parse().unwrap()).or_default() += 1;
        }
        let lost: Vec<&u64> = acked.iter().filter(|number| !count.contains_key(number)).collect();
        assert!(
            lost.is_empty(),
            "{} of {} acknowledged records are lost: {:?}",
            lost.len(),
            acked.len(),
            &lost[..lost.len().min(5)]
        );
        assert!(count.values().all(|times| *times == 1), "idempotent: each is there once");
        let missed = acked.difference(&seen).count();
        assert_eq!(missed, 0, "of {} acknowledged records consumers have not seen {missed}", acked.len());
        acked.len()
    }
}

#[test]
fn replication_one_to_three_under_load_with_everything_that_can_be_killed_loses_nothing() {
    let (cluster, _turn) = cluster();
    wait_in_sync(cluster);
    let work = Work::new(cluster);
    let name = unique("live");
    cluster.create_topic(&name, PARTITIONS, 1, &[]).unwrap();
    // Something to copy, without keys.
    load(&cluster.props(), &name, &Load { partitions: PARTITIONS, count: 40_000, ..Load::default() })
        .unwrap();
    let traffic = Traffic::start(cluster, &name);
    traffic.goes_on();
    // Its group has made the topic of groups' offsets, with one replica.
    let offsets = "__consumer_offsets";
    assert!(replicas(cluster, offsets).values().all(|found| found.len() == 1));
    let found = work.json(&[], 3);
    let findings = found["clusters"][0]["findings"].as_array().unwrap();
    assert!(findings.iter().any(|finding| finding["kind"] == "internal-at-risk"), "{findings:#?}");

    let topics = ["--topic", &name, "--topic", offsets];
    let args = [&["plan", "--replication", "3", "--batch", "4", "--into", "plan"][..], &topics].concat();
    work.said(&args, 0);

    // The tool is killed in the first batch, and goes on.
    let slow = work.begin(&["apply", "plan", "--throttle", "100kB/s"]);
    eventually("a batch is on its way", || (moving(cluster) && !throttles(cluster).is_empty()).then_some(()));
    traffic.goes_on();
    slow.kill();
    assert!(!throttles(cluster).is_empty());

    // A broker is killed in a batch, and comes back.
    let goes_on = work.begin(&["apply", "plan", "--throttle", "1MB/s"]);
    std::thread::sleep(Duration::from_secs(2));
    let leads: BTreeSet<i32> =
        topic(cluster, &name).partitions.values().filter_map(|found| found.leader).collect();
    let victim = (1..=4).find(|id| !leads.contains(id)).unwrap_or(4);
    cluster.kill(victim.unsigned_abs()).unwrap();
    std::thread::sleep(Duration::from_secs(6));
    cluster.start(victim.unsigned_abs()).unwrap();
    let log = goes_on.expect(0);
    assert!(log.contains("all in sync"), "{log}");
    assert!(throttles(cluster).is_empty() && !moving(cluster), "{log}");
    assert!(
        replicas(cluster, &name)
            .values()
            .chain(replicas(cluster, offsets).values())
            .all(|found| found.len() == 3)
    );
    work.said(&["verify", "plan"], 0);
    work.said(&["elect"], 0);
    wait_in_sync(cluster);
    cluster.alter_topic_config(&name, &[("min.insync.replicas", "2")]).unwrap();
    traffic.goes_on();

    // A rolling restart of every broker, as the runbook has it.
    for broker in cluster.broker_ids() {
        let id = broker.to_string();
        work.said(&["safe", &id, "--wait", "60s"], 0);
        let before = replicas(cluster, &name);
        let drained = work.output(&["drain", &id]);
        // Other topics of this cluster may have no other replica.
        assert!(matches!(drained.status.code(), Some(0 | 3)), "{drained:?}");
        let led =
            topic(cluster, &name).partitions.values().any(|found| found.leader == Some(broker.cast_signed()));
        assert!(!led, "broker {broker} leads nothing of {name} any more");
        cluster.stop(broker).unwrap();
        assert!(
            work.output(&["safe", &if id == "1" { "2".to_owned() } else { "1".to_owned() }]).status.code()
                == Some(3)
        );
        cluster.start(broker).unwrap();
        work.said(&["safe", &id, "--wait", "60s"], 0);
        work.said(&["undrain", &id], 0);
        assert_eq!(replicas(cluster, &name), before);
        traffic.goes_on();
    }

    // A broker that goes and stays away: it stops, says how to undo it, and leaves nothing behind.
    let away = ["plan", "--replication", "4", "--topic", &name, "--into", "four"];
    work.said(&away, 0);
    let stuck = work.begin(&["apply", "four", "--throttle", "1MB/s", "--patience", "8s"]);
    eventually("it is on its way", || moving(cluster).then_some(()));
    let before = replicas(cluster, &name);
    let goal =
        before[&0].iter().find(|id| !topic(cluster, &name).partitions[&0].in_sync.contains(id)).copied();
    let victim = goal.unwrap_or(4).unsigned_abs();
    cluster.kill(victim).unwrap();
    let log = stuck.expect(1);
    assert!(log.contains("apply four --rollback") && log.contains("taken back"), "{log}");
    assert!(throttles(cluster).is_empty() && !moving(cluster));
    cluster.start(victim).unwrap();
    wait_in_sync(cluster);
    work.said(&["apply", "four", "--throttle", "none"], 0);
    assert!(replicas(cluster, &name).values().all(|found| found.len() == 4));
    work.said(&["apply", "four", "--rollback"], 0);
    assert!(replicas(cluster, &name).values().all(|found| found.len() == 3));

    let acked = traffic.end(cluster, &name);
    eprintln!("{acked} records were acknowledged, and none is lost");
    assert!(throttles(cluster).is_empty() && !moving(cluster));
    cluster.delete_topic(&name).unwrap();
}
