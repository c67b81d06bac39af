//! A producer with `acks=all` and a consumer that go on while brokers, replicas and leaders come and go.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use kafka_harness::{
    Cluster,
    client::{self, Isolation},
    daemon::eventually,
};
use rdkafka::{
    ClientConfig, ClientContext,
    config::RDKafkaLogLevel,
    consumer::{BaseConsumer, Consumer},
    message::Message,
    producer::{BaseRecord, DeliveryResult, Producer, ProducerContext, ThreadedProducer},
};

/// Records that nobody delivers for so long are refused, and those that nobody consumes are missed.
const PATIENCE: Duration = Duration::from_secs(180);

/// A producer and a consumer that go on. Records of theirs have a key, their number.
pub struct Traffic {
    topic: String,
    /// No more is written.
    stop: Arc<AtomicBool>,
    /// All that was written is acknowledged, or refused.
    over: Arc<AtomicBool>,
    acks: Acks,
    producer: JoinHandle<()>,
    consumer: JoinHandle<BTreeSet<u64>>,
}

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

// === impl Traffic ===

impl Traffic {
    pub fn start(cluster: &Cluster, topic: &str, partitions: u64) -> Self {
        let (stop, over, acks) =
            (Arc::<AtomicBool>::default(), Arc::<AtomicBool>::default(), Acks::default());
        let mut writes = config(cluster);
        writes
            .set("enable.idempotence", "true")
            .set("acks", "all")
            .set("linger.ms", "5")
            .set("message.timeout.ms", PATIENCE.as_millis().to_string());
        let producer: ThreadedProducer<Acks> = writes.create_with_context(acks.clone()).unwrap();
        let (name, stopped) = (topic.to_owned(), stop.clone());
        let producer = thread::spawn(move || produce(&producer, &name, partitions, &stopped));
        let mut reads = config(cluster);
        reads.set("group.id", format!("{topic}-group")).set("auto.offset.reset", "earliest");
        let consumer: BaseConsumer = reads.create().unwrap();
        consumer.subscribe(&[topic]).unwrap();
        let (ended, acked) = (over.clone(), acks.clone());
        let consumer = thread::spawn(move || consume(&consumer, &ended, &acked));
        Self { topic: topic.to_owned(), stop, over, acks, producer, consumer }
    }

    fn acked(&self) -> usize {
        self.acks.0.lock().unwrap().0.len()
    }

    /// Waits until so many more are acknowledged: it goes on.
    #[track_caller]
    pub fn goes_on(&self) {
        let now = self.acked();
        eventually("producers go on", || (self.acked() > now + 50).then_some(()));
    }

    /// Stops both. What was acknowledged is there exactly once, and was consumed; how much that is.
    #[track_caller]
    pub fn end(self, cluster: &Cluster) -> usize {
        self.stop.store(true, Relaxed);
        self.producer.join().unwrap();
        self.over.store(true, Relaxed);
        let seen = self.consumer.join().unwrap();
        let (acked, refused) = self.acks.0.lock().unwrap().clone();
        assert!(refused.is_empty(), "{} refused: {:?}", refused.len(), &refused[..refused.len().min(3)]);
        let there = client::read_all(&cluster.props(), &self.topic, Isolation::Committed).unwrap();
        let mut count = BTreeMap::<u64, usize>::new();
        for record in there.values().flatten() {
            if let Some(number) = record.key.as_deref().map(number) {
                *count.entry(number).or_default() += 1;
            }
        }
        let lost: Vec<&u64> = acked.iter().filter(|number| !count.contains_key(number)).collect();
        let some = &lost[..lost.len().min(5)];
        assert!(lost.is_empty(), "{} of {} acknowledged records are lost: {some:?}", lost.len(), acked.len());
        assert!(count.values().all(|times| *times == 1), "idempotent: each is there once");
        let missed = acked.difference(&seen).count();
        assert_eq!(missed, 0, "of {} acknowledged records consumers have not seen {missed}", acked.len());
        acked.len()
    }
}

fn config(cluster: &Cluster) -> ClientConfig {
    let mut config = ClientConfig::new();
    for (key, value) in cluster.props() {
        config.set(key, value);
    }
    config.set_log_level(RDKafkaLogLevel::Emerg);
    config
}

fn number(key: &[u8]) -> u64 {
    std::str::from_utf8(key).unwrap().parse().unwrap()
}

fn produce(producer: &ThreadedProducer<Acks>, topic: &str, partitions: u64, stop: &AtomicBool) {
    let mut number = 0u64;
    while !stop.load(Relaxed) {
        for _ in 0..20 {
            let partition = i32::try_from(number % partitions).unwrap();
            let text = number.to_string();
            let record = BaseRecord::with_opaque_to(topic, Box::new(number))
                .partition(partition)
                .key(&text)
                .payload(&text);
            if producer.send(record).is_err() {
                break;
            }
            number += 1;
        }
        thread::sleep(Duration::from_millis(20));
    }
    producer.flush(PATIENCE).unwrap();
}

/// Until all that was acknowledged is seen, or nothing comes any more.
fn consume(consumer: &BaseConsumer, over: &AtomicBool, acks: &Acks) -> BTreeSet<u64> {
    let mut seen = BTreeSet::new();
    let mut last = Instant::now();
    loop {
        match consumer.poll(Duration::from_millis(200)) {
            Some(Ok(message)) => {
                last = Instant::now();
                seen.extend(message.key().map(number));
            }
            _ if !over.load(Relaxed) => {}
            _ if last.elapsed() > PATIENCE / 3 || acks.0.lock().unwrap().0.is_subset(&seen) => return seen,
            _ => {}
        }
    }
}
