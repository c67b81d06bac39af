//! A day of a pair, by dice: records are written all the while, and a group reads them; daemons and brokers are killed, the
//! network is cut, topics grow and are made; the pair is turned, killed on its way, undone, in trouble; either site is lost, and
//! made good. After each turn both sites have the same, every record that was acknowledged is where its writer was told, the
//! group's offsets are the same, and only the active site takes records. What a lost site alone had is what `reconcile` exports.
//! `PAIR_OPERATIONS` says how many (150), `CHAOS_SEED` which.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    process::Output,
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use futures::{executor::block_on, future::join_all};
use kafka_harness::{
    Cluster, Props, Security, client,
    daemon::{Daemon, eventually},
    shared::unique,
};
use rdkafka::{
    ClientContext, Message,
    config::RDKafkaLogLevel,
    consumer::{BaseConsumer, CommitMode, Consumer, ConsumerContext, Rebalance},
    error::{KafkaError, RDKafkaErrorCode},
    producer::{FutureProducer, FutureRecord, Producer},
};
use serde_json::Value;
use tempfile::TempDir;

use crate::{
    acls_by_name::allow,
    applications::{numbers, repeated},
    count::{Counts, Seen, on_target},
    dice::{Dice, Run, setting},
    live::Gateway,
    members::committed,
    support::{Pair, Running, STEPS, exported, found, seen_of, started},
};

const SITES: [&str; 2] = ["dc1", "dc2"];
const DAY: u64 = 150;
const MOST_PARTITIONS: i32 = 5;
const MOST_TOPICS: usize = 4;
const FORCED: [&str; 5] = ["seen", "rest", "assess", "release", "clients"];
const RECONCILED: [&str; 5] = ["block", "fork", "export", "clear", "follow"];

/// What may happen, and how often of a hundred times or so.
type Kind = (&'static str, u64, fn(&mut Day, &mut Dice));
const KINDS: [Kind; 15] = [
    ("write", 22, Day::write),
    ("commit", 12, Day::commit),
    ("kill a daemon", 8, Day::kill_a_daemon),
    ("two daemons", 6, Day::two_daemons),
    ("pause a daemon", 5, Day::pause_a_daemon),
    ("cut the network", 10, Day::cut_the_network),
    ("kill a broker", 6, Day::kill_a_broker),
    ("grow a topic", 5, Day::grow_a_topic),
    ("create a topic", 4, Day::create_a_topic),
    ("turn", 5, Day::turn),
    ("turn, killed", 5, Day::turn_killed),
    ("turn, undone", 4, Day::turn_undone),
    ("lose the active site", 4, Day::lose_the_active_site),
    ("turn in trouble", 4, Day::turn_in_trouble),
    ("lose the standby in a turn", 3, Day::lose_the_standby_in_a_turn),
];
/// Of which each occurs in the short form, if there is time.
const SHORT: usize = 13;
const MORNING: Duration = Duration::from_secs(40);

/// A record of a topic, where it lies.
type Place = (String, Seen);
/// An offset of each lane.
type Lanes = BTreeMap<(String, i32), i64>;

/// What writers know.
#[derive(Default)]
struct Book {
    next: u64,
    /// Where records are, as their writers were told.
    acknowledged: BTreeSet<Place>,
    /// Whoever wrote these was not told that they are there: each may be, once, as an answer can be lost before one is refused.
    unsure: BTreeSet<u64>,
    /// How many of them were refused.
    refused: usize,
    /// The partitions of each topic on the active site.
    topics: BTreeMap<String, i32>,
}

/// The two sites, and what is written there.
struct Sites {
    clusters: [Cluster; 2],
    folder: TempDir,
    gateway: Gateway,
    first: String,
    group: String,
    /// Whoever has it keeps the writer from writing.
    book: Mutex<Book>,
    /// The other site may be written to as well: it was lost, and is not a standby yet.
    alone: AtomicBool,
    stop: AtomicBool,
}

struct Day {
    sites: Arc<Sites>,
    pair: Pair,
    daemon: Option<Daemon>,
    /// Up to where the group has read each partition.
    read: Lanes,
    lost: usize,
}

/// What came of writing some.
#[derive(Debug, PartialEq, Eq)]
enum Outcome {
    Acknowledged,
    Refused,
    Unsure,
}

// === what is written ===

fn producer(props: &Props) -> FutureProducer {
    producer_with(props, &[("enable.idempotence", "true"), ("message.timeout.ms", "15000")])
}

/// One that asks once: where it may not write it is told so, and not that it may not be idempotent.
fn asker(props: &Props) -> FutureProducer {
    producer_with(props, &[("retries", "0"), ("message.timeout.ms", "2000")])
}

fn producer_with(props: &Props, more: &[(&str, &str)]) -> FutureProducer {
    let mut config = client::config(props);
    for (key, value) in more {
        config.set(*key, *value);
    }
    config
        .set("topic.metadata.propagation.max.ms", "3000")
        .set("reconnect.backoff.max.ms", "500")
        .set_log_level(RDKafkaLogLevel::Emerg)
        .create()
        .expect("a producer")
}

/// Whether the producer may not write there; who may write nothing at all may not be idempotent either.
fn is_refused(producer: &FutureProducer, error: &KafkaError) -> bool {
    let fatal = producer.client().fatal_error().map(|(code, _)| code);
    error.rdkafka_error_code() == Some(RDKafkaErrorCode::TopicAuthorizationFailed)
        || fatal == Some(RDKafkaErrorCode::ClusterAuthorizationFailed)
}

impl Book {
    /// Writes so many records to a partition, and notes what is said of each.
    fn write(&mut self, producer: &FutureProducer, topic: &str, partition: i32, count: u64) -> Outcome {
        let mut sent = Vec::new();
        for number in self.next..self.next + count {
            let (key, value) = (format!("k{}", number % 7), format!("{number:016x} of the day"));
            let record = FutureRecord::to(topic).partition(partition).key(&key).payload(&value);
            match producer.send_result(record) {
                Ok(told) => sent.push((number, told)),
                // One that was refused before may take no more.
                Err(_) => break,
            }
        }
        self.next += count;
        let all = sent.len() as u64 == count;
        let (numbers, told): (Vec<u64>, Vec<_>) = sent.into_iter().unzip();
        let mut outcome = if all { Outcome::Acknowledged } else { Outcome::Refused };
        for (number, told) in numbers.into_iter().zip(block_on(join_all(told))) {
            match told.expect("the producer is there") {
                Ok(there) => {
                    let seen = Seen { partition: there.partition, offset: there.offset, number };
                    self.acknowledged.insert((topic.to_owned(), seen));
                }
                Err((error, _)) => {
                    self.unsure.insert(number);
                    self.refused += usize::from(is_refused(producer, &error));
                    outcome = if is_refused(producer, &error) { Outcome::Refused } else { Outcome::Unsure };
                }
            }
        }
        outcome
    }

    fn any_lane(&self, dice: &mut Dice) -> (String, i32) {
        let at = dice.within(0..self.topics.len() as u64) as usize;
        let (topic, partitions) = self.topics.iter().nth(at).expect("it is one of them");
        (topic.clone(), dice.within(0..*partitions as u64) as i32)
    }
}

impl Sites {
    fn new(brokers: [u32; 2]) -> Self {
        let clusters = started(brokers.map(|brokers| {
            let builder = Cluster::builder().security(Security::plain(&["app"])).proxied().brokers(brokers);
            builder.broker_config("default.replication.factor", &brokers.to_string())
        }));
        let folder = TempDir::new().unwrap();
        let first = unique("day");
        let gateway = Gateway::new(&folder);
        let sites = Self {
            clusters,
            gateway,
            group: unique("readers"),
            first: first.clone(),
            folder,
            book: Mutex::default(),
            alone: AtomicBool::new(false),
            stop: AtomicBool::new(false),
        };
        sites.create(0, &first, 2);
        sites
    }

    fn pair(&self) -> Pair {
        let (group, hook) = (&self.group, self.gateway.hook());
        let in_step = "sync = \"1s\"\n";
        let sections = format!(
            "[groups]\ninclude = [\"{group}\"]\n{in_step}[acls]\n{in_step}[configs]\n{in_step}[switchover]\n\
             step_limit = \"40s\"\nleave_limit = \"5s\"\n{hook}"
        );
        let [one, two] = &self.clusters;
        Pair::between([one, two], &format!("{}(-more-\\\\d+)?", self.first), &sections)
    }

    fn active(&self) -> usize {
        self.gateway.site()
    }

    /// Nobody writes as long as it is held.
    fn still(&self) -> MutexGuard<'_, Book> {
        self.book.lock().expect("the writer has not failed")
    }

    fn app(&self, site: usize) -> Props {
        self.clusters[site].client_properties("app")
    }

    /// Makes a topic that the application may write.
    fn create(&self, site: usize, topic: &str, partitions: i32) {
        let cluster = &self.clusters[site];
        let replicas = cluster.broker_ids().len() as i32;
        cluster.create_topic(topic, partitions, replicas, &[("retention.ms", "-1")]).unwrap();
        allow(cluster, &[format!("Allow User:app Write Topic {topic}")]);
        self.still().topics.insert(topic.to_owned(), partitions);
    }

    /// Writes to one partition of the active site; waits for the answers.
    fn write(&self, dice: &mut Dice, count: u64) {
        let mut book = self.still();
        let (topic, partition) = book.any_lane(dice);
        book.write(&producer(&self.app(self.active())), &topic, partition, count);
    }

    /// Writes all the while, a little at a time, where the gateway leads; now and then it tries the other site, too, which must
    /// not take it while this one does.
    fn keep_writing(&self, mut dice: Dice) {
        let there = |site: usize| (site, producer(&self.app(site)));
        let (mut at, mut own) = there(self.active());
        while !self.stop.load(Relaxed) {
            thread::sleep(dice.millis(20..150));
            let mut book = self.still();
            let (topic, partition) = book.any_lane(&mut dice);
            let count = dice.within(1..20);
            let took_it = book.write(&own, &topic, partition, count) == Outcome::Acknowledged;
            if took_it && dice.percent(20) && !self.alone.load(Relaxed) {
                let other = asker(&self.app(1 - at));
                let both = book.write(&other, &topic, partition, 1) == Outcome::Acknowledged
                    && book.write(&own, &topic, partition, 1) == Outcome::Acknowledged;
                assert!(!both, "{topic}[{partition}] could be written to on both sites at once");
            }
            if !took_it || self.active() != at {
                (at, own) = there(self.active());
            }
        }
    }

    fn set_down(&self, site: usize, down: bool) {
        let cluster = &self.clusters[site];
        cluster.broker_ids().into_iter().for_each(|broker| cluster.proxy(broker).set_down(down));
    }

    fn kill(&self, site: usize) {
        let cluster = &self.clusters[site];
        cluster.broker_ids().into_iter().for_each(|broker| cluster.kill(broker).unwrap());
    }

    fn start(&self, site: usize) {
        let cluster = &self.clusters[site];
        cluster.broker_ids().into_iter().for_each(|broker| cluster.start(broker).unwrap());
    }

    fn ends(&self, site: usize, topic: &str) -> BTreeMap<i32, i64> {
        client::end_offsets(&self.clusters[site].props(), topic).unwrap_or_default()
    }

    /// Where all lanes end that have something.
    fn lanes(&self, site: usize, book: &Book) -> Lanes {
        let of = |topic: &String| {
            let ends = without_empty(self.ends(site, topic));
            ends.into_iter().map(|(partition, end)| ((topic.clone(), partition), end)).collect::<Vec<_>>()
        };
        book.topics.keys().flat_map(of).collect()
    }

    /// What the group has committed.
    fn offsets(&self, site: usize, book: &Book) -> Lanes {
        let of = |(topic, partitions): (&String, &i32)| {
            let offsets = committed(&self.clusters[site], &self.group, topic, *partitions);
            let lanes = (0..).zip(offsets).filter_map(|(partition, offset)| Some((partition, offset?)));
            lanes.map(|(partition, offset)| ((topic.clone(), partition), offset)).collect::<Vec<_>>()
        };
        book.topics.iter().flat_map(of).collect()
    }

    /// All records of these topics on a site.
    fn all(&self, site: usize, topics: &BTreeMap<String, i32>) -> BTreeSet<Place> {
        let places = |topic: &String| -> Vec<Place> {
            let all = seen_of(&self.clusters[site], topic);
            all.into_iter().map(|seen| (topic.clone(), seen)).collect()
        };
        topics.keys().flat_map(places).collect()
    }
}

// === the group ===

/// A member of the group that goes where the gateway leads, and commits what it reads.
struct Reader {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Vec<(String, i32, i64)>>,
}

impl Reader {
    /// `stays`: for how long it reads on where it was, once it is told to go.
    fn start(sites: &Arc<Sites>, stays: Duration) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let (sites, stopped) = (sites.clone(), stop.clone());
        let thread = thread::spawn(move || {
            let mut read = Vec::new();
            while !stopped.load(Relaxed) {
                let site = sites.active();
                let member = member(&sites.clusters[site], &sites);
                let mut told = None;
                while !stopped.load(Relaxed) && told.is_none_or(|told: Instant| told.elapsed() < stays) {
                    take(&member, &mut read);
                    if sites.active() != site {
                        told.get_or_insert_with(Instant::now);
                    }
                }
                member.unsubscribe();
            }
            read
        });
        Self { stop, thread }
    }

    fn stop(self) -> Vec<(String, i32, i64)> {
        self.stop.store(true, Relaxed);
        self.thread.join().expect("the reader works")
    }
}

/// Commits what it has read before its partitions are given to others.
struct Commits;

impl ClientContext for Commits {}

impl ConsumerContext for Commits {
    fn pre_rebalance(&self, member: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        if let Rebalance::Revoke(_) = rebalance {
            commit(member);
        }
    }
}

fn member(cluster: &Cluster, sites: &Sites) -> BaseConsumer<Commits> {
    let mut config = client::config(&cluster.props());
    config
        .set("group.id", &sites.group)
        .set("enable.auto.commit", "false")
        .set("auto.offset.reset", "earliest")
        .set("topic.metadata.refresh.interval.ms", "500")
        .set_log_level(RDKafkaLogLevel::Emerg);
    let member: BaseConsumer<Commits> = config.create_with_context(Commits).expect("a consumer");
    member.subscribe(&[&format!("^{}.*", sites.first)]).expect("it subscribes");
    member
}

/// Reads what is there, up to a hundred records, and commits behind them.
fn take(member: &BaseConsumer<Commits>, read: &mut Vec<(String, i32, i64)>) {
    let before = read.len();
    while read.len() < before + 100
        && let Some(message) = member.poll(Duration::from_millis(20))
    {
        // Brokers come and go; a member of the group outlives that.
        let Ok(message) = message else { continue };
        read.push((message.topic().to_owned(), message.partition(), message.offset()));
    }
    if read.len() > before {
        commit(member);
    }
}

/// Where it can't for a while, what it has read is read again.
fn commit(member: &BaseConsumer<Commits>) {
    for _ in 0..50 {
        match member.commit_consumer_state(CommitMode::Sync) {
            Ok(()) => return,
            Err(error) if error.rdkafka_error_code() == Some(RDKafkaErrorCode::NoOffset) => return,
            Err(_) => thread::sleep(Duration::from_millis(100)),
        }
    }
}

// === the day ===

impl Day {
    fn daemon(&self) -> &Daemon {
        self.daemon.as_ref().expect("it runs")
    }

    // === what happens to it ===

    fn write(&mut self, dice: &mut Dice) {
        let count = dice.within(1..200);
        self.sites.write(dice, count);
    }

    fn commit(&mut self, dice: &mut Dice) {
        let reader = Reader::start(&self.sites, Duration::ZERO);
        thread::sleep(dice.millis(300..1500));
        let read = reader.stop();
        self.has_read(&read);
    }

    fn has_read(&mut self, read: &[(String, i32, i64)]) {
        for (topic, partition, offset) in read {
            let known = self.read.entry((topic.clone(), *partition)).or_default();
            *known = (*known).max(offset + 1);
        }
    }

    fn kill_a_daemon(&mut self, dice: &mut Dice) {
        self.daemon.take().expect("it runs").kill();
        thread::sleep(dice.millis(0..1000));
        self.daemon = Some(self.pair.config.run());
    }

    fn two_daemons(&mut self, dice: &mut Dice) {
        let twin = self.pair.elsewhere().run();
        thread::sleep(dice.millis(500..3000));
        match dice.percent(50) {
            true => drop(twin.kill()),
            false => drop(twin.stop().expect(0)),
        }
    }

    fn pause_a_daemon(&mut self, dice: &mut Dice) {
        self.daemon().signal("STOP");
        self.write(dice);
        thread::sleep(dice.millis(500..4000));
        self.daemon().signal("CONT");
    }

    fn cut_the_network(&mut self, dice: &mut Dice) {
        let site = dice.within(0..2) as usize;
        self.sites.set_down(site, true);
        thread::sleep(dice.millis(300..2500));
        self.sites.set_down(site, false);
    }

    fn kill_a_broker(&mut self, dice: &mut Dice) {
        let cluster = &self.sites.clusters[dice.within(0..2) as usize];
        let brokers = cluster.broker_ids();
        let broker = brokers[dice.within(0..brokers.len() as u64) as usize];
        cluster.kill(broker).unwrap();
        thread::sleep(dice.millis(0..1000));
        cluster.start(broker).unwrap();
    }

    fn grow_a_topic(&mut self, dice: &mut Dice) {
        let mut book = self.sites.still();
        let (topic, _) = book.any_lane(dice);
        let partitions = book.topics.get_mut(&topic).expect("it is one of them");
        if *partitions < MOST_PARTITIONS {
            *partitions += 1;
            self.sites.clusters[self.sites.active()].add_partitions(&topic, *partitions).unwrap();
        }
    }

    fn create_a_topic(&mut self, dice: &mut Dice) {
        let known = self.sites.still().topics.len();
        if known < MOST_TOPICS {
            let topic = format!("{}-more-{known}", self.sites.first);
            self.sites.create(self.sites.active(), &topic, dice.within(1..3) as i32);
        }
    }

    // === turns ===

    /// Runs a command until it is done, as one does who is told what is in the way; what it says then.
    #[track_caller]
    fn done(&self, command: &str, args: &[&str]) -> Value {
        let args = [args, &["--output", "json"]].concat();
        self.done_by(|| self.pair.config.command(command, &args))
    }

    #[track_caller]
    fn done_by(&self, mut attempt: impl FnMut() -> Output) -> Value {
        let mut said = Vec::new();
        for _ in 0..8 {
            let Output { status, stdout, stderr } = attempt();
            let (out, err) = (String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr));
            if status.code() == Some(0) {
                return serde_json::from_str(&out).unwrap_or(Value::Null);
            }
            // Whoever was killed had come to the end.
            if err.contains("is the active site already") {
                return Value::Null;
            }
            eprintln!("  {:?}: {}", status.code(), err.lines().last().unwrap_or_default());
            said.push(format!("{status}\n{out}\n{err}"));
            thread::sleep(Duration::from_secs(2));
        }
        panic!("it is not done:\n{}\nthe daemon's log:\n{}", said.join("\n---\n"), self.daemon().log());
    }

    fn turn(&mut self, dice: &mut Dice) {
        let to = 1 - self.sites.active();
        let reader = Reader::start(&self.sites, dice.millis(0..1500));
        thread::sleep(dice.millis(0..2000));
        self.done("switchover", &["--yes", "--to", SITES[to]]);
        assert_eq!(self.sites.active(), to);
        thread::sleep(dice.millis(500..1500));
        let read = reader.stop();
        self.has_read(&read);
        let again = read.len() - read.iter().collect::<BTreeSet<_>>().len();
        assert_eq!(again, 0, "of {} records the group has read so many twice", read.len());
        self.check("a turn");
    }

    /// Kills a switchover at some moment, or at some step; whether it had begun.
    fn kill_one(&self, dice: &mut Dice, to: usize) -> bool {
        let args = ["--yes", "--to", SITES[to]];
        if dice.percent(60) {
            return self.kill_at("switchover", &args, &moment(dice, &STEPS)).contains("has begun");
        }
        let running = Running::start(&self.pair, &args, None);
        thread::sleep(dice.millis(100..7000));
        let begun = running.log().contains("has begun");
        running.kill();
        begun
    }

    /// Kills a command at this moment, if it comes there; what it has said.
    fn kill_at(&self, command: &str, args: &[&str], moment: &str) -> String {
        let mut running = Running::of(&self.pair, command, args, Some(moment));
        eventually(&format!("{command} is held at {moment}, or ends"), || {
            (running.log().contains(&format!("held at {moment}")) || running.has_ended()).then_some(())
        });
        let log = running.log();
        running.kill();
        log
    }

    fn turn_killed(&mut self, dice: &mut Dice) {
        let to = 1 - self.sites.active();
        for _ in 0..dice.within(1..4) {
            self.kill_one(dice, to);
            if dice.percent(30) {
                self.kill_a_daemon(dice);
            }
        }
        self.done("switchover", &["--yes", "--to", SITES[to]]);
        assert_eq!(self.sites.active(), to);
        self.check("a turn that was killed");
    }

    fn turn_undone(&mut self, dice: &mut Dice) {
        let from = self.sites.active();
        let to = 1 - from;
        // `--back` of one that has not begun goes back from the one before.
        if self.kill_one(dice, to) {
            let again = ["--yes", "--to", SITES[from]];
            let mut ways = [&["--back"][..], &again].into_iter().cycle();
            self.done_by(|| {
                // It may be done by now, and the way back have failed: then it is a turn of its own.
                let args = ways.next().filter(|_| self.sites.active() == to).unwrap_or(&["--back"]);
                self.pair.config.command("switchover", &[args, &["--output", "json"]].concat())
            });
        }
        assert_eq!(self.sites.active(), from);
        self.check("a turn that was undone");
    }

    fn turn_in_trouble(&mut self, dice: &mut Dice) {
        let to = 1 - self.sites.active();
        let config = self.pair.config.clone();
        let turning = thread::spawn(move || {
            config.command("switchover", &["--yes", "--to", SITES[to], "--output", "json"])
        });
        thread::sleep(dice.millis(0..6000));
        match dice.within(0..3) {
            0 => self.kill_a_daemon(dice),
            1 => self.cut_the_network(dice),
            _ => self.kill_a_broker(dice),
        }
        let mut turning = Some(turning);
        self.done_by(|| match turning.take() {
            Some(turning) => turning.join().expect("it ends"),
            None => self.pair.config.command("switchover", &["--yes", "--to", SITES[to], "--output", "json"]),
        });
        assert_eq!(self.sites.active(), to);
        self.check("a turn in trouble");
    }

    // === a site is lost ===

    fn lose_the_active_site(&mut self, dice: &mut Dice) {
        let (from, to) = (self.sites.active(), 1 - self.sites.active());
        self.all_begun();
        let missing = dice.within(0..3);
        if missing < 2 && dice.percent(30) {
            // In the middle of a turn, which is given up.
            let moment = moment(dice, &STEPS[..7]);
            self.kill_at("switchover", &["--yes", "--to", SITES[to]], &moment);
        }
        match missing {
            0 => {}
            1 => self.daemon().signal("STOP"),
            _ => {
                drop(self.has_seen(from));
                self.sites.set_down(to, true);
            }
        }
        (0..dice.within(1..4)).for_each(|_| self.write(dice));
        let seen = (missing == 2).then(|| {
            let book = self.has_seen(from);
            let ends = self.sites.lanes(from, &book);
            self.sites.kill(from);
            ends
        });
        match missing {
            0 => self.sites.kill(from),
            1 => {
                self.sites.kill(from);
                self.daemon().signal("CONT");
            }
            _ => self.sites.set_down(to, false),
        }
        self.fail_over(dice, seen.as_ref());
    }

    /// Waits until all topics are on both sites: one that has not begun to be mirrored stays behind.
    fn all_begun(&self) {
        let topics = self.sites.still().topics.clone();
        eventually(&format!("all topics are on both sites; {}", self.daemon().log()), || {
            topics
                .keys()
                .all(|topic| !self.sites.ends(1 - self.sites.active(), topic).is_empty())
                .then_some(())
        });
    }

    /// Waits until the daemon has seen all that is written on a site; nobody writes from then on.
    fn has_seen(&self, site: usize) -> MutexGuard<'_, Book> {
        let book = self.sites.still();
        let link = self.pair.link(site);
        eventually(&format!("the daemon has seen the last of them; {}", self.daemon().log()), || {
            book.topics.keys().all(|topic| self.has_seen_all_of(site, &link, topic)).then_some(())
        });
        book
    }

    fn has_seen_all_of(&self, site: usize, link: &str, topic: &str) -> bool {
        self.sites.ends(site, topic).into_iter().all(|(partition, end)| {
            let partition = partition.to_string();
            let labels = [("link", link), ("topic", topic), ("partition", &*partition)];
            self.daemon().metric("isomirror_source_end_offset", &labels).map(|end| end as i64) == Some(end)
        })
    }

    /// The active site is gone: makes the other one active, writes there, and makes a standby of the one that was gone.
    /// `seen`: where its lanes ended, where the daemon has seen all that was there.
    fn fail_over(&mut self, dice: &mut Dice, seen: Option<&Lanes>) {
        let (from, to) = (self.sites.active(), 1 - self.sites.active());
        self.sites.alone.store(true, Relaxed);
        let force = ["--force", "--yes", "--to", SITES[to]];
        if dice.percent(40) {
            self.kill_at("switchover", &force, &moment(dice, &FORCED));
        }
        let report = self.done("switchover", &force);
        assert_eq!(self.sites.active(), to);
        self.go_on_alone(&report, to);
        self.write(dice);
        if dice.percent(40) {
            self.kill_a_daemon(dice);
        }
        self.sites.start(from);
        let mut orphans = self.orphans(&self.sites.still(), from, to);
        assert_named(&report, &orphans, seen);
        if dice.percent(40) {
            // One who has not heard of it.
            let producer = producer(&self.sites.app(from));
            let mut book = self.sites.still();
            let first = self.sites.first.clone();
            book.write(&producer, &first, 0, dice.within(1..20));
            orphans = self.orphans(&book, from, to);
        }
        let folder = self.sites.folder.path().join(unique("orphaned")).display().to_string();
        let export = ["--yes", "--export", &folder];
        if dice.percent(40) {
            self.kill_at("reconcile", &export, &moment(dice, &RECONCILED));
        }
        let reconciled = self.done("reconcile", &export);
        assert_eq!(reconciled["ended"], "done", "{reconciled}");
        let files: Vec<Place> = exported(folder.as_ref());
        assert_eq!(files.len(), files.iter().collect::<BTreeSet<_>>().len(), "none is exported twice");
        assert_eq!(
            files.into_iter().collect::<BTreeSet<_>>(),
            orphans,
            "what one site alone had is exported"
        );
        self.lost += orphans.len();
        self.sites.still().acknowledged.retain(|place| !orphans.contains(place));
        self.sites.alone.store(false, Relaxed);
        self.check("a site was lost");
    }

    /// Grants on a site that is active alone what has not come there, and goes by what it has.
    fn go_on_alone(&mut self, report: &Value, site: usize) {
        let mut book = self.sites.still();
        let cluster = &self.sites.clusters[site];
        for (topic, partitions) in &mut book.topics {
            *partitions = cluster.partitions(topic).unwrap().expect("it is on both") as i32;
            allow(cluster, &[format!("Allow User:app Write Topic {topic}")]);
        }
        let ends = found(report, "assess")["ends"].as_array().expect("a list").clone();
        for ((topic, partition), read) in &mut self.read {
            let is_it = |end: &&Value| end["topic"] == **topic && end["partition"] == *partition;
            let end = ends.iter().find(is_it).and_then(|end| end["target"].as_i64());
            *read = (*read).min(end.unwrap_or(0));
        }
    }

    /// What a site has that the other one lacks.
    fn orphans(&self, book: &Book, of: usize, other: usize) -> BTreeSet<Place> {
        let [here, there] = [of, other].map(|site| self.sites.all(site, &book.topics));
        here.difference(&there).cloned().collect()
    }

    fn lose_the_standby_in_a_turn(&mut self, dice: &mut Dice) {
        let (from, to) = (self.sites.active(), 1 - self.sites.active());
        let running = Running::start(&self.pair, &["--yes", "--to", SITES[to]], None);
        thread::sleep(dice.millis(500..6000));
        self.sites.alone.store(true, Relaxed);
        self.sites.kill(to);
        thread::sleep(dice.millis(0..2000));
        running.kill();
        let Output { status, stderr, .. } =
            self.pair.config.command("switchover", &["--back", "--force", "--output", "json"]);
        let said = String::from_utf8_lossy(&stderr).into_owned();
        if status.code() == Some(3) && (said.contains("already, which is gone") || self.sites.active() == to)
        {
            // It was the active one by then.
            fs::write(self.sites.gateway.path(), SITES[to]).unwrap();
            return self.fail_over(dice, None);
        }
        assert!(status.code() == Some(0) || said.contains("no switchover is under way"), "{status}: {said}");
        self.sites.start(to);
        if status.code() == Some(0) {
            // The site that was gone knows it, too.
            self.done("switchover", &["--back"]);
        }
        assert_eq!(self.sites.active(), from);
        self.sites.alone.store(false, Relaxed);
        self.check("the standby was lost in a turn");
    }

    // === what must be so ===

    /// Once all is quiet, both sites have the same, and all that writers were told of, and the group stands where it is.
    fn check(&mut self, what: &str) {
        let sites = self.sites.clone();
        let (active, mut book) = (sites.active(), sites.still());
        for (topic, partitions) in &mut book.topics {
            *partitions = sites.clusters[active].partitions(topic).unwrap().expect("it is there") as i32;
        }
        let log = self.daemon().log();
        let mut there = BTreeSet::new();
        for topic in book.topics.keys() {
            eventually(&format!("after {what} both sites end alike in {topic}; {log}"), || {
                let [one, two] = [0, 1].map(|site| sites.ends(site, topic));
                (!one.is_empty() && without_empty(one) == without_empty(two)).then_some(())
            });
            let [one, two] = sites.clusters.each_ref().map(|site| {
                let mut all = client::read_all(&site.props(), topic, client::Isolation::Committed).unwrap();
                all.retain(|_, records| !records.is_empty());
                all
            });
            assert_eq!(one, two, "after {what} both sites have the same in {topic}");
            there.extend(
                seen_of(&sites.clusters[active], topic).into_iter().map(|seen| (topic.clone(), seen)),
            );
        }
        self.check_records(what, &book, &there);
        self.check_group(what, active, &book);
        let first = sites.first.clone();
        for (site, expected) in [(1 - active, Outcome::Refused), (active, Outcome::Acknowledged)] {
            let told = book.write(&asker(&sites.app(site)), &first, 0, 1);
            assert_eq!(told, expected, "after {what}, on {}", SITES[site]);
        }
    }

    fn check_records(&self, what: &str, book: &Book, there: &BTreeSet<Place>) {
        for topic in book.topics.keys() {
            let of_topic = |places: &BTreeSet<Place>| -> Vec<Seen> {
                places.iter().filter(|(of, _)| of == topic).map(|(_, seen)| *seen).collect()
            };
            let (told, found) = (of_topic(&book.acknowledged), of_topic(there));
            assert_eq!(repeated(&found), 0, "after {what}, {topic}");
            let sure: Vec<Seen> =
                found.into_iter().filter(|seen| !book.unsure.contains(&seen.number)).collect();
            let missing = &numbers(&told) - &numbers(&sure);
            assert_eq!(on_target(&told, &sure), Counts::default(), "after {what}, {topic}: {missing:?}");
        }
    }

    /// The group reads all there is; both sites have its offsets then, and neither is ahead of what it has read.
    fn check_group(&mut self, what: &str, active: usize, book: &Book) {
        let sites = self.sites.clone();
        let offsets = |site: usize| sites.offsets(site, book);
        [0, 1].into_iter().for_each(|site| self.is_not_ahead(what, site, &offsets(site)));
        let reader = Reader::start(&sites, Duration::ZERO);
        eventually(&format!("after {what} the group has read all"), || {
            (offsets(active) == sites.lanes(active, book)).then_some(())
        });
        let read = reader.stop();
        self.has_read(&read);
        eventually(&format!("after {what} its offsets are on the standby; {}", self.daemon().log()), || {
            let there = offsets(1 - active);
            self.is_not_ahead(what, 1 - active, &there);
            (there == offsets(active)).then_some(())
        });
    }

    fn is_not_ahead(&self, what: &str, site: usize, offsets: &Lanes) {
        let ahead =
            |(lane, offset): &(&(String, i32), &i64)| self.read.get(*lane).is_none_or(|read| read < *offset);
        let ahead = offsets.iter().find(ahead);
        assert_eq!(ahead, None, "after {what}, on {}, the group has read {:?}", SITES[site], self.read);
    }
}

fn without_empty(mut ends: BTreeMap<i32, i64>) -> BTreeMap<i32, i64> {
    ends.retain(|_, end| *end > 0);
    ends
}

/// A step's moment at which an operation may be held.
fn moment(dice: &mut Dice, steps: &[&str]) -> String {
    let step = steps[dice.within(0..steps.len() as u64) as usize];
    format!("{step}.{}", if dice.percent(50) { "entered" } else { "acted" })
}

/// What was named of each lane is where the tail begins, and no more than it; all of it, where all had been seen.
fn assert_named(report: &Value, orphans: &BTreeSet<Place>, seen: Option<&Lanes>) {
    let lacking = found(report, "assess")["lacking"].as_array().cloned().unwrap_or_default();
    let mut named: BTreeSet<((String, i32), i64)> = BTreeSet::new();
    for lane in &lacking {
        let number = |key: &str| lane[key].as_i64().expect("a number");
        let at = (lane["topic"].as_str().expect("a name").to_owned(), number("partition") as i32);
        named.extend((number("end")..number("seen")).map(|offset| (at.clone(), offset)));
    }
    let tail: BTreeSet<_> =
        orphans.iter().map(|(topic, seen)| ((topic.clone(), seen.partition), seen.offset)).collect();
    let others: Vec<_> = named.difference(&tail).collect();
    assert!(others.is_empty(), "{others:?} are named, and not missing: {report}");
    if let Some(seen) = seen {
        let not_named = tail.difference(&named);
        // Some came in when it was back, and nobody had been told of that.
        let not_named: Vec<_> =
            not_named.filter(|(lane, offset)| seen.get(lane).is_some_and(|end| offset < end)).collect();
        assert!(not_named.is_empty(), "{not_named:?} are missing, and not named: {report}");
    }
}

/// Each of these kinds once, and then by chance.
fn drawn(dice: &mut Dice, kinds: &[Kind], operations: u64) -> Vec<Kind> {
    let mut first = kinds.to_vec();
    for at in (1..first.len()).rev() {
        first.swap(at, dice.within(0..at as u64 + 1) as usize);
    }
    let all: u64 = kinds.iter().map(|(_, chance, _)| chance).sum();
    let mut more = || {
        let mut at = dice.within(0..all);
        *kinds
            .iter()
            .find(|(_, chance, _)| {
                let is_it = at < *chance;
                at = at.saturating_sub(*chance);
                is_it
            })
            .expect("it is less than all")
    };
    while (first.len() as u64) < operations {
        first.push(more());
    }
    first
}

fn survives(name: &str, brokers: [u32; 2], kinds: &[Kind], operations: u64, time: Duration) {
    let began = Instant::now();
    let run = Run::of(&format!("day::{name}"));
    let mut dice = run.dice();
    let sites = Arc::new(Sites::new(brokers));
    let pair = sites.pair();
    let daemon = pair.config.run();
    daemon.wait_ready();
    let writing = {
        let (sites, dice) = (sites.clone(), dice.of("writer"));
        thread::spawn(move || sites.keep_writing(dice))
    };
    let mut day = Day { sites: sites.clone(), pair, daemon: Some(daemon), read: BTreeMap::new(), lost: 0 };
    let mut done: BTreeMap<&str, u64> = BTreeMap::new();
    let drawn = drawn(&mut dice, kinds, operations).into_iter().enumerate();
    for (n, (kind, _, operate)) in drawn.take_while(|_| began.elapsed() < time) {
        eprintln!("{:.1} s, {n}: {kind}", began.elapsed().as_secs_f64());
        operate(&mut day, &mut dice);
        *done.entry(kind).or_default() += 1;
    }
    day.check("the day");
    sites.stop.store(true, Relaxed);
    writing.join().expect("the writer has not failed");
    day.daemon.take().expect("it runs").stop().expect(0);
    let book = sites.still();
    eprintln!(
        "{name}: {done:?}; {} records acknowledged, {} refused, {} not answered; lost {} = exported {}, repeated 0; {} s",
        book.acknowledged.len() + day.lost,
        book.refused,
        book.unsure.len() - book.refused,
        day.lost,
        day.lost,
        began.elapsed().as_secs()
    );
}

#[test]
#[ignore = "two minutes: cargo test --workspace --test switchover morning -- --ignored --nocapture"]
fn a_morning_with_one_of_each_operation_loses_repeats_and_misplaces_nothing_but_what_is_exported() {
    let name =
        "a_morning_with_one_of_each_operation_loses_repeats_and_misplaces_nothing_but_what_is_exported";
    survives(name, [1, 1], &KINDS[..SHORT], SHORT as u64, MORNING);
}

#[test]
#[ignore = "a quarter of an hour: cargo test --workspace --test switchover day -- --ignored --nocapture"]
fn a_day_of_random_operations_loses_repeats_and_misplaces_nothing_but_what_is_exported() {
    let name = "a_day_of_random_operations_loses_repeats_and_misplaces_nothing_but_what_is_exported";
    survives(name, [2, 1], &KINDS, setting("PAIR_OPERATIONS").unwrap_or(DAY), Duration::MAX);
}
