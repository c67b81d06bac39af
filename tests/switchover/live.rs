//! An application that is at work while the pair is turned, there and back.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use kafka_harness::{Props, client, daemon::eventually, shared::unique};
use kafka_wire::{AclOperation, AclResource};
use rdkafka::{
    Message, Offset, TopicPartitionList,
    consumer::{BaseConsumer, CommitMode, Consumer},
    error::{KafkaError, RDKafkaErrorCode},
    producer::{FutureProducer, FutureRecord},
};
use tempfile::TempDir;

use crate::support::{Pair, allow, clusters, make, topic};

type Values = BTreeMap<i32, Vec<String>>;

/// Where clients are told to go: the clients_hook writes a site's name here.
#[derive(Clone)]
pub struct Gateway(PathBuf);

impl Gateway {
    pub fn new(folder: &TempDir) -> Self {
        let file = folder.path().join("active");
        fs::write(&file, "dc1").unwrap();
        Self(file)
    }

    pub fn hook(&self) -> String {
        let file = self.0.display();
        format!("clients_hook = \"printf $ISOMIRROR_TO > {file}.new; mv {file}.new {file}\"\n")
    }

    pub fn site(&self) -> usize {
        usize::from(fs::read_to_string(&self.0).unwrap_or_default() == "dc2")
    }

    fn props(&self, user: &str) -> (usize, Props) {
        let site = self.site();
        (site, clusters()[site].client_properties(user))
    }

    pub fn path(&self) -> &Path {
        &self.0
    }
}

/// Writes numbered values, each until it is acknowledged, wherever the gateway leads.
fn writer(gateway: Gateway, topic: String, stop: Arc<AtomicBool>) -> JoinHandle<(Values, u64)> {
    let producer = |props: &Props| -> FutureProducer {
        client::config(props)
            .set("enable.idempotence", "true")
            .set("topic.metadata.refresh.interval.ms", "500")
            .create()
            .expect("a producer")
    };
    thread::spawn(move || {
        let (mut site, props) = gateway.props("app");
        let mut own = producer(&props);
        let (mut written, mut refused) = (Values::new(), 0);
        for n in 0_u64.. {
            let (partition, value) = (i32::try_from(n % 3).unwrap(), n.to_string());
            loop {
                let record = FutureRecord::to(&topic).partition(partition).key("k").payload(&value);
                match futures::executor::block_on(own.send(record, Duration::from_secs(30))) {
                    Ok(_) => break,
                    Err((KafkaError::MessageProduction(RDKafkaErrorCode::TopicAuthorizationFailed), _)) => {
                        refused += 1;
                        if gateway.site() != site {
                            let (now, props) = gateway.props("app");
                            (site, own) = (now, producer(&props));
                        }
                        thread::sleep(Duration::from_millis(20));
                    }
                    Err((error, _)) => panic!("{value}: {error}"),
                }
            }
            written.entry(partition).or_default().push(value);
            if stop.load(Relaxed) {
                break;
            }
        }
        (written, refused)
    })
}

fn consumer(props: &Props, group: &str) -> BaseConsumer {
    client::config(props)
        .set("group.id", group)
        .set("enable.auto.commit", "false")
        // An offset that is not there must not pass unseen.
        .set("auto.offset.reset", "error")
        .create()
        .expect("a consumer")
}

fn take(consumer: &BaseConsumer, values: &mut Values) -> Option<(i32, i64)> {
    let message = consumer.poll(Duration::from_millis(50))?.unwrap_or_else(|error| panic!("{error}"));
    let value = String::from_utf8_lossy(message.payload().unwrap_or_default()).into_owned();
    values.entry(message.partition()).or_default().push(value);
    Some((message.partition(), message.offset()))
}

/// A member of a group that commits behind each record.
fn member(gateway: Gateway, topic: String, group: String, stop: Arc<AtomicBool>) -> JoinHandle<Values> {
    thread::spawn(move || {
        let mut values = Values::new();
        while !stop.load(Relaxed) {
            let (site, props) = gateway.props("reader");
            let own = consumer(&props, &group);
            own.subscribe(&[&topic]).expect("it subscribes");
            while gateway.site() == site && !stop.load(Relaxed) {
                let Some((partition, offset)) = take(&own, &mut values) else { continue };
                let mut list = TopicPartitionList::new();
                list.add_partition_offset(&topic, partition, Offset::Offset(offset + 1)).unwrap();
                own.commit(&list, CommitMode::Sync).expect("it is committed");
            }
            own.unsubscribe();
        }
        values
    })
}

/// One that keeps its offsets by itself, as Flink does, and is in no group.
fn keeper(gateway: Gateway, topic: String, stop: Arc<AtomicBool>) -> JoinHandle<Values> {
    thread::spawn(move || {
        let (mut values, mut next) = (Values::new(), BTreeMap::from([(0, 0), (1, 0), (2, 0)]));
        while !stop.load(Relaxed) {
            let (site, props) = gateway.props("admin");
            let own = consumer(&props, "none");
            let mut list = TopicPartitionList::new();
            for (partition, offset) in &next {
                list.add_partition_offset(&topic, *partition, Offset::Offset(*offset)).unwrap();
            }
            own.assign(&list).expect("its partitions");
            while gateway.site() == site && !stop.load(Relaxed) {
                let Some((partition, offset)) = take(&own, &mut values) else { continue };
                next.insert(partition, offset + 1);
            }
        }
        values
    })
}

/// Lost, repeated and misplaced values of a reader.
fn compared(written: &Values, read: &Values) -> (usize, usize, usize) {
    let (mut lost, mut repeated, mut misplaced) = (0, 0, 0);
    for (partition, values) in written {
        let read = read.get(partition).cloned().unwrap_or_default();
        let seen: BTreeSet<&String> = read.iter().collect();
        lost += values.iter().filter(|value| !seen.contains(value)).count();
        repeated += read.len() - seen.len();
        let order: Vec<u64> = read.iter().filter_map(|value| value.parse().ok()).collect();
        misplaced += order.windows(2).filter(|pair| pair[0] >= pair[1]).count();
    }
    (lost, repeated, misplaced)
}

#[test]
fn a_producer_a_group_and_a_keeper_of_its_own_offsets_go_over_and_come_back_exactly() {
    let (topic, group) = (topic("live", 3), unique("readers"));
    for cluster in clusters() {
        make(cluster, &[allow("reader", AclOperation::Read, AclResource::Group, &group)]);
    }
    let folder = TempDir::new().unwrap();
    let gateway = Gateway::new(&folder);
    let groups = format!("[groups]\ninclude = [\"{group}\"]\nsync = \"1s\"\n");
    let pair = Pair::new(&topic, &format!("{groups}[switchover]\n{}", gateway.hook()));
    let daemon = pair.run(150);
    // From the first record on, as all of them are to be seen.
    crate::members::commit(&clusters()[0], &group, &[(&topic, 0, 50), (&topic, 1, 50), (&topic, 2, 50)]);
    let [stop, stop_reading] = [(); 2].map(|()| Arc::new(AtomicBool::new(false)));
    let writing = writer(gateway.clone(), topic.clone(), stop.clone());
    let reading = member(gateway.clone(), topic.clone(), group.clone(), stop_reading.clone());
    let keeping = keeper(gateway.clone(), topic.clone(), stop_reading.clone());

    let mut without_writes = Vec::new();
    for to in ["dc2", "dc1"] {
        thread::sleep(Duration::from_secs(4));
        let (report, told) = pair.switchover(&["--yes", "--to", to], 0);
        assert_eq!(report["ended"], "done", "{report}\n{told}\n{}", daemon.log());
        assert_eq!(fs::read_to_string(gateway.path()).unwrap(), to);
        without_writes.push(report["without_writes_ms"].as_i64().unwrap());
    }
    thread::sleep(Duration::from_secs(3));
    stop.store(true, Relaxed);
    let (written, refused) = writing.join().unwrap();
    assert!(refused > 0, "it has written all the while");
    let all: usize = written.values().map(Vec::len).sum();
    let until = Instant::now() + Duration::from_secs(20);
    let end = || client::end_offsets(&clusters()[0].props(), &topic).unwrap().values().sum::<i64>();
    eventually("all is there", || (usize::try_from(end()).unwrap() == all + 150).then_some(()));
    let committed =
        || crate::members::committed(&clusters()[0], &group, &topic, 3).into_iter().flatten().sum::<i64>();
    while committed() < end() && Instant::now() < until {
        thread::sleep(Duration::from_millis(100));
    }
    // Time for what would come twice.
    thread::sleep(Duration::from_secs(2));
    stop_reading.store(true, Relaxed);
    let (read, mut kept) = (reading.join().unwrap(), keeping.join().unwrap());
    // What was there before the application is the keeper's alone.
    for values in kept.values_mut() {
        assert!(values.drain(..50).all(|value| value.starts_with('v')));
    }
    assert_eq!(compared(&written, &read), (0, 0, 0), "the group: lost, repeated, misplaced of {all}");
    assert_eq!(compared(&written, &kept), (0, 0, 0), "the keeper: lost, repeated, misplaced of {all}");
    eprintln!("{all} records, nobody could write for {without_writes:?} ms");
    assert!(without_writes.iter().all(|ms| *ms < 60_000), "{without_writes:?}");
}
