//! What writes to the source while it is mirrored: real clients, for as long as they are told, what they write decided
//! by the seed. Each record bears a number of its own in a header, so that no two are alike; and each writer keeps what
//! was committed at which offset, so that what a cleaner removes later is known all the same.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    thread::JoinHandle,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use anyhow::{Context, Result, ensure};
use kafka_harness::{Cluster, Props, client};
use rdkafka::{
    ClientContext,
    error::KafkaError,
    message::{DeliveryResult, Header, Message, OwnedHeaders},
    producer::{BaseProducer, BaseRecord, Producer, ProducerContext},
};

use crate::{
    content::{NUMBER, digest, fnv},
    dice::Dice,
    view::{Log, Seen, View},
};

/// How a source is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Idempotent producers: no gaps.
    Idempotent,
    /// Transactions of 1 to 50 records of several producers, interleaved; 30 % are aborted, some stay open for a while.
    Transactional,
    /// Few keys, 40 % tombstones, and a cleaner that is always at it.
    Compacted,
    /// Both of the above.
    CompactedTransactional,
}

impl Kind {
    fn transactions(self) -> bool {
        matches!(self, Kind::Transactional | Kind::CompactedTransactional)
    }

    fn compacts(self) -> bool {
        matches!(self, Kind::Compacted | Kind::CompactedTransactional)
    }

    /// The configuration of its topic.
    pub fn topic_config(self) -> &'static [(&'static str, &'static str)] {
        if self.compacts() {
            &[
                ("cleanup.policy", "compact"),
                ("min.cleanable.dirty.ratio", "0.01"),
                ("segment.ms", "500"),
                ("segment.bytes", "1048576"),
                ("delete.retention.ms", "200"),
                ("max.compaction.lag.ms", "1000"),
            ]
        } else {
            &[("retention.ms", "-1")]
        }
    }

    /// The configuration of its topic on the target. A cleaner there would blur what the mirror did.
    pub fn target_config(self) -> &'static [(&'static str, &'static str)] {
        if self.compacts() {
            &[("cleanup.policy", "compact"), ("min.compaction.lag.ms", "86400000")]
        } else {
            &[("retention.ms", "-1")]
        }
    }
}

/// Which topic is written, and how fast.
#[derive(Debug, Clone)]
pub struct Source {
    /// How.
    pub kind: Kind,
    /// Its name.
    pub topic: String,
    /// How many partitions it has.
    pub partitions: i32,
    /// Producers at the same time.
    pub writers: u64,
    /// Records a second, of all producers together.
    pub rate: u64,
    /// More librdkafka properties.
    pub extra: Props,
}

impl Source {
    /// Three producers, four partitions, at a pace that leaves a mirror on a small machine behind now and then.
    pub fn new(kind: Kind, topic: &str) -> Self {
        let topic = topic.to_owned();
        Self { kind, topic, partitions: 4, writers: 3, rate: 2000, extra: Props::new() }
    }

    /// Creates its topic.
    pub fn create(&self, cluster: &Cluster, replication: i32) {
        cluster
            .create_topic(&self.topic, self.partitions, replication, self.kind.topic_config())
            .expect("a source topic");
    }

    /// Starts writing.
    pub fn start(&self, cluster: &Cluster, dice: &Dice) -> Writing {
        let (stop, written) = (Arc::<AtomicBool>::default(), Arc::<AtomicU64>::default());
        let threads = (0..self.writers)
            .map(|id| {
                let mut props = cluster.props();
                props.extend(self.extra.iter().cloned());
                let writer = Writer {
                    id,
                    source: self.clone(),
                    props,
                    dice: dice.of(("writer", id)),
                    next: 0,
                    stop: stop.clone(),
                    written: written.clone(),
                };
                std::thread::spawn(move || writer.run())
            })
            .collect();
        Writing { stop, written, threads }
    }

    /// Writes for some time, and a thousand records or more, however busy the machine is.
    pub fn write_for(&self, cluster: &Cluster, dice: &Dice, time: Duration) -> History {
        let writing = self.start(cluster, dice);
        std::thread::sleep(time);
        writing.wait_for(1001_u64.saturating_sub(writing.written()));
        writing.stop()
    }
}

/// What is being written.
pub struct Writing {
    stop: Arc<AtomicBool>,
    written: Arc<AtomicU64>,
    threads: Vec<JoinHandle<Committed>>,
}

/// What was committed, by partition.
pub struct History {
    /// As a view of it all.
    pub view: View,
    /// Whether it is complete: no producer was left in doubt of what became of a transaction.
    pub certain: bool,
}

impl Writing {
    /// How many records are committed so far.
    pub fn written(&self) -> u64 {
        self.written.load(Relaxed)
    }

    /// Waits until so many more are.
    pub fn wait_for(&self, more: u64) {
        let goal = self.written() + more;
        kafka_harness::daemon::eventually("the source is written", || {
            (self.written() >= goal || self.threads.iter().any(JoinHandle::is_finished)).then_some(())
        });
    }

    /// Ends it, in no open transaction; says what was committed.
    pub fn stop(self) -> History {
        self.stop.store(true, Relaxed);
        let mut history = History { view: View::new(), certain: true };
        for thread in self.threads {
            let committed = thread.join().expect("the writer works");
            history.certain &= committed.certain;
            for (partition, seen) in committed.records {
                history.view.entry(partition).or_default().records.push(seen);
            }
        }
        history.settle();
        history
    }
}

impl History {
    /// This and what was written afterwards.
    pub fn and(mut self, later: History) -> Self {
        self.certain &= later.certain;
        for (partition, log) in later.view {
            self.view.entry(partition).or_default().records.extend(log.records);
        }
        self.settle();
        self
    }

    fn settle(&mut self) {
        for Log { records, bounds } in self.view.values_mut() {
            records.sort_by_key(|r| r.offset);
            *bounds = (0, records.last().map_or(0, |r| r.offset + 1));
        }
    }

    /// How many records.
    pub fn count(&self) -> u64 {
        self.view.values().map(|log| log.records.len() as u64).sum()
    }
}

/// What one producer committed.
struct Committed {
    records: Vec<(i32, Seen)>,
    certain: bool,
}

struct Writer {
    id: u64,
    source: Source,
    props: Props,
    dice: Dice,
    next: u64,
    stop: Arc<AtomicBool>,
    written: Arc<AtomicU64>,
}

impl Writer {
    fn run(mut self) -> Committed {
        let mut committed = Committed { records: Vec::new(), certain: true };
        let begun = Instant::now();
        let pace = self.source.rate / self.source.writers;
        let mut producer = None;
        while !self.stop.load(Relaxed) {
            let done = self.some(&mut producer);
            match done {
                Ok(records) => {
                    self.written.fetch_add(records.len() as u64, Relaxed);
                    committed.records.extend(records);
                }
                // Brokers are killed under it: on with a new producer, which fences what is left of this one.
                Err(error) => {
                    eprintln!("writer {}: {error:#}", self.id);
                    committed.certain = false;
                    producer = None;
                    std::thread::sleep(Duration::from_millis(200));
                }
            }
            let due = Duration::from_millis(self.next * 1000 / pace.max(1));
            // A pause is not made up for by a flood.
            let ahead = due.saturating_sub(begun.elapsed());
            std::thread::sleep(ahead.min(Duration::from_secs(1)));
        }
        committed
    }

    /// Writes some records, in a transaction if that's its kind; returns what is committed.
    fn some(&mut self, kept: &mut Option<BaseProducer<Reports>>) -> Result<Vec<(i32, Seen)>> {
        let transactions = self.source.kind.transactions();
        let producer = match kept {
            Some(producer) => producer,
            None => kept.insert(self.producer()?),
        };
        let aborts = transactions && self.dice.percent(30);
        let open = transactions && self.dice.percent(4);
        if transactions {
            producer.begin_transaction().context("begin")?;
        }
        let count = if transactions { self.dice.within(1..51) } else { self.dice.within(1..200) };
        for _ in 0..count {
            self.send(producer)?;
        }
        // Aborted, too, only when the records are in the log.
        producer.flush(LONG).context("flush")?;
        let end = Instant::now() + LONG;
        while producer.context().answered() < count && Instant::now() < end {
            producer.poll(Duration::from_millis(10));
        }
        let answers = producer.context().take();
        let in_time = answers.len() as u64 == count;
        let records = answers.into_iter().collect::<Result<Vec<_>, KafkaError>>().context("delivery")?;
        ensure!(in_time, "only {} of {count} were delivered", records.len());
        if open {
            std::thread::sleep(self.dice.millis(100..1500));
        }
        if aborts {
            producer.abort_transaction(LONG).context("abort")?;
            return Ok(Vec::new());
        }
        if transactions {
            producer.commit_transaction(LONG).context("commit")?;
        }
        Ok(records)
    }

    fn producer(&self) -> Result<BaseProducer<Reports>> {
        let mut config = client::config(&self.props);
        config
            .set("enable.idempotence", "true")
            .set("linger.ms", "2")
            // A batch must fit the small segments of a compacted topic.
            .set("batch.size", "100000")
            .set("message.timeout.ms", "60000");
        if self.source.kind.transactions() {
            config.set("transactional.id", format!("{}-writer-{}", self.source.topic, self.id));
            config.set("transaction.timeout.ms", "60000");
        }
        let producer: BaseProducer<Reports> = config.create_with_context(Reports::default())?;
        if self.source.kind.transactions() {
            producer.init_transactions(LONG).context("init transactions")?;
        }
        Ok(producer)
    }

    fn send(&mut self, producer: &BaseProducer<Reports>) -> Result<()> {
        // Distinct for every writer, and never used again.
        let number = (self.id << 40) | self.next;
        self.next += 1;
        let dice = &mut self.dice;
        let partition = dice.within(0..self.source.partitions as u64) as i32;
        let (key, value) = if self.source.kind.compacts() {
            let key = format!("key {}", dice.within(0..40));
            (Some(key), (!dice.percent(40)).then(|| body(dice)))
        } else {
            ((!dice.percent(10)).then(|| format!("key {number}")), (!dice.percent(5)).then(|| body(dice)))
        };
        let now = SystemTime::now().duration_since(UNIX_EPOCH).context("time")?.as_millis() as i64;
        let bytes = number.to_be_bytes();
        let headers = OwnedHeaders::new().insert(Header { key: NUMBER, value: Some(&bytes) });
        let content =
            digest(now, key.as_ref().map(String::as_bytes), value.as_deref(), &[(NUMBER, Some(&bytes))]);
        let seen = Seen {
            offset: -1,
            digest: content,
            key: fnv(key.as_ref().map(String::as_bytes).unwrap_or_default()),
            tombstone: value.is_none(),
            number: Some(number),
        };
        let mut record =
            BaseRecord::<[u8], [u8], Box<Seen>>::with_opaque_to(&self.source.topic, Box::new(seen))
                .partition(partition)
                .timestamp(now)
                .headers(headers);
        record.key = key.as_ref().map(String::as_bytes);
        record.payload = value.as_deref();
        producer.send(record).map_err(|(error, _)| error).context("send")
    }
}

/// A value: mostly small, now and then larger than a batch of small ones.
fn body(dice: &mut Dice) -> Vec<u8> {
    let size = if dice.percent(1) { dice.within(5_000..60_000) } else { dice.within(0..300) };
    let mut body = Vec::with_capacity(size as usize + 8);
    while (body.len() as u64) < size {
        body.extend_from_slice(&dice.any().to_le_bytes());
    }
    body
}

/// How long a broker may take; longer than any that is killed or frozen here.
const LONG: Duration = Duration::from_secs(60);

/// What became of the records sent.
#[derive(Default)]
struct Reports(Mutex<Vec<Result<(i32, Seen), KafkaError>>>);

impl Reports {
    fn answered(&self) -> u64 {
        self.0.lock().expect("no panic while locked").len() as u64
    }

    fn take(&self) -> Vec<Result<(i32, Seen), KafkaError>> {
        std::mem::take(&mut self.0.lock().expect("no panic while locked"))
    }
}

impl ClientContext for Reports {}

impl ProducerContext for Reports {
    type DeliveryOpaque = Box<Seen>;

    fn delivery(&self, result: &DeliveryResult<'_>, seen: Box<Seen>) {
        let answer = match result {
            Ok(message) => Ok((message.partition(), Seen { offset: message.offset(), ..*seen })),
            Err((error, _)) => Err(error.clone()),
        };
        self.0.lock().expect("no panic while locked").push(answer);
    }
}

/// How many offsets of each partition hold nothing visible.
pub fn gaps(view: &View) -> BTreeMap<i32, i64> {
    view.iter().map(|(p, log)| (*p, log.bounds.1 - log.bounds.0 - log.records.len() as i64)).collect()
}
