//! The three promises a link can make, and what is the same in every test of them: its topics, its configuration, a
//! stranger beside it where that is allowed, and the look at both sides afterwards.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    thread::JoinHandle,
    time::Duration,
};

use kafka_harness::{
    Cluster, TestRecord,
    client::{self, Isolation},
    daemon::Config,
};

use crate::{
    clusters::SESSION,
    compare::{Expected, Offsets, Places, Verdict, compare},
    content::STRANGER,
    sources::{History, Source},
    view::{Reader, view},
};

/// What is promised.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// The same offsets.
    Identical,
    /// Other offsets, each recorded; the target held something before.
    Translated,
    /// Others write to the target topic meanwhile.
    Shared,
}

/// One mirrored topic.
pub struct Link<'a> {
    /// What is promised of it.
    pub mode: Mode,
    /// What is written to its source.
    pub source: Source,
    /// Where from.
    pub from: &'a Cluster,
    /// Where to.
    pub to: &'a Cluster,
    /// The daemon's configuration.
    pub config: Config,
}

impl<'a> Link<'a> {
    /// Makes the topics on both sides, as many replicas as there are brokers, and the configuration.
    pub fn new(mode: Mode, source: Source, from: &'a Cluster, to: &'a Cluster) -> Self {
        source.create(from, replicas(from));
        to.create_topic(&source.topic, source.partitions, replicas(to), source.kind.target_config())
            .expect("a target topic");
        if mode != Mode::Identical {
            for partition in 0..source.partitions {
                strange(to, &source.topic, partition, 100 + partition as usize);
            }
        }
        let mut target = to.client_properties("admin");
        target.push(("session.timeout.ms".to_owned(), SESSION.to_string()));
        target.push(("heartbeat.interval.ms".to_owned(), (SESSION / 5).to_string()));
        let config = Config::new(from, to, &source.topic).target(target);
        let config = match mode {
            Mode::Identical => config.topics("offsets = \"identical\""),
            Mode::Translated => config.topics("offsets = \"translated\""),
            Mode::Shared => config.topics("offsets = \"translated\"").topics("writers = \"shared\""),
        };
        Self { mode, source, from, to, config }
    }

    /// A stranger that writes to the target now and then, if the mode allows it.
    pub fn stranger(&self) -> Option<Stranger<'a>> {
        (self.mode == Mode::Shared).then(|| Stranger::start(self.to, &self.source))
    }

    /// How many offsets the target has, over all partitions.
    pub fn arrived(&self) -> i64 {
        client::end_offsets(&self.to.props(), &self.source.topic).map_or(0, |ends| ends.values().sum())
    }

    /// Compares both sides as a reader sees them; with a history, it may tell of what the source has no more.
    pub fn verdict(&self, history: Option<&History>, target: Isolation, reader: Reader) -> (Verdict, Places) {
        // The target first: what is gone from the source meanwhile is then asked for no more.
        let after = view(self.to, &self.source.topic, target, reader);
        let before = view(self.from, &self.source.topic, Isolation::Committed, reader);
        let records: usize = before.values().map(|log| log.records.len()).sum();
        assert!(records > 0, "there is nothing to compare");
        let offsets = if self.mode == Mode::Identical { Offsets::Same } else { Offsets::Mapped };
        let history = history.filter(|history| history.certain).map(|history| &history.view);
        compare(&Expected { offsets, source: &before, history }, &after)
    }

    /// Both sides must be the same to whoever reads them.
    #[track_caller]
    pub fn assert_exact(&self, history: Option<&History>, readers: &[Reader]) -> Places {
        let mut levels = vec![Isolation::Committed];
        // Where transactions are the means, an aborted one's records are there for who asks for them.
        if self.mode != Mode::Shared {
            levels.push(Isolation::Uncommitted);
        }
        let mut all = Places::new();
        for reader in readers {
            for level in &levels {
                let (verdict, places) = self.verdict(history, *level, *reader);
                let what = format!("{} ({reader:?}, target {level:?})", self.source.topic);
                assert!(verdict.is_clean(), "{what}: {verdict}");
                eprintln!("{what}: {verdict}");
                all = places;
            }
        }
        all
    }
}

fn replicas(cluster: &Cluster) -> i32 {
    cluster.broker_ids().len().min(3) as i32
}

/// Writes some records that are no one's.
pub fn strange(cluster: &Cluster, topic: &str, partition: i32, count: usize) {
    let record = TestRecord {
        partition,
        key: Some(b"stranger".to_vec()),
        value: Some(b"not mirrored".to_vec()),
        headers: vec![(STRANGER.to_owned(), None)],
        timestamp: None,
    };
    client::produce(&cluster.props(), topic, &vec![record; count]).expect("the broker takes them");
}

/// Writes to the target for as long as it lives.
pub struct Stranger<'a> {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
    _cluster: &'a Cluster,
}

impl<'a> Stranger<'a> {
    fn start(cluster: &'a Cluster, source: &Source) -> Self {
        let stop = Arc::<AtomicBool>::default();
        let (stopped, props) = (stop.clone(), cluster.props());
        let (topic, partitions) = (source.topic.clone(), source.partitions);
        let thread = std::thread::spawn(move || {
            let record = |partition| TestRecord {
                partition,
                key: Some(b"stranger".to_vec()),
                headers: vec![(STRANGER.to_owned(), None)],
                ..TestRecord::default()
            };
            let all: Vec<_> = (0..partitions).map(record).collect();
            while !stopped.load(Relaxed) {
                client::produce(&props, &topic, &all).expect("the broker takes them");
                std::thread::sleep(Duration::from_millis(50));
            }
        });
        Self { stop, thread: Some(thread), _cluster: cluster }
    }
}

impl Drop for Stranger<'_> {
    fn drop(&mut self) {
        self.stop.store(true, Relaxed);
        let ended = self.thread.take().map(JoinHandle::join);
        assert!(std::thread::panicking() || matches!(ended, Some(Ok(()))), "the stranger works");
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Mode::Identical => "identical",
            Mode::Translated => "translated",
            Mode::Shared => "shared",
        })
    }
}
