//! Lanes that are driven without a source: pieces are made up, the stage is killed with its runtime, and a broker keeps
//! what it has got by then.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use kafka_harness::Cluster;
use kafka_rd::Properties;
use mirror_types::{
    Acked, Budget, Content, Lane, LaneEvent, LaneId, Mark, Offset, RecordBatch, Routed, SourceLane, Stop,
    StopKind, TopicPartition,
};
use pinned_producer::{Config, Limits, Metrics, Opening, Order, PinnedProducer, RefusedPolicy};
use tokio::{runtime::Runtime, sync::mpsc, task::JoinHandle};
use tokio_util::sync::CancellationToken;

/// The records are years old, and a broker deletes such from 30 s after its start on.
pub const KEEP: (&str, &str) = ("retention.ms", "-1");

/// The same numbers for the same seed (xorshift64).
pub struct Dice(u64);

impl Dice {
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub fn below(&mut self, n: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % n
    }
}

/// What a lane reads: the offsets of its records, with gaps between them. A record's value is its offset.
pub struct Source {
    pub offsets: Vec<Offset>,
    pub end: Offset,
    /// Bytes of a value.
    pub size: usize,
    /// The record at this offset has no key.
    pub keyless: Option<Offset>,
    /// The longest that a piece is waited for.
    pub pause: Duration,
}

impl Source {
    pub fn new(seed: u64, records: usize) -> Self {
        let mut dice = Dice::new(seed);
        let mut next = dice.below(100) as Offset;
        let mut one = || {
            // One in eight begins behind a gap; now and then there are many gaps.
            let gaps = if next % 1000 < 100 { 2 } else { 8 };
            next += 1 + if dice.below(gaps) == 0 { 1 + dice.below(3) as Offset } else { 0 };
            next - 1
        };
        let offsets = (0..records).map(|_| one()).collect();
        Self { offsets, end: next + 2, size: 60, keyless: None, pause: Duration::from_millis(5) }
    }

    /// One record, whose offset this gives, will not be there, since it has no key and the target wants one.
    pub fn refused(&mut self) -> Offset {
        let offset = self.offsets[self.offsets.len() / 3];
        self.keyless = Some(offset);
        offset
    }

    /// The offsets of the records that can be there.
    pub fn expected(&self) -> impl Iterator<Item = Offset> {
        self.offsets.iter().copied().filter(|offset| Some(*offset) != self.keyless)
    }

    /// Records from offset `from` on, in pieces, each with how long to wait for it.
    pub fn pieces(&self, lane: &Lane, from: Offset, dice: &mut Dice) -> Vec<(Routed, Duration)> {
        let mut left = &self.offsets[self.offsets.partition_point(|offset| *offset < from)..];
        let mut pieces = Vec::new();
        let mut first = from.min(self.offsets[0]);
        while !left.is_empty() {
            let (these, behind) = left.split_at(left.len().min(1 + dice.below(200) as usize));
            let mut batch = RecordBatch::default();
            for offset in these {
                let value = format!("{offset:0>size$}", size = self.size);
                let key = (Some(*offset) != self.keyless).then_some(&b"ours"[..]);
                batch.push(*offset, 1_700_000_000_000 + offset, key, Some(value.as_bytes()), []);
            }
            let next = behind.first().copied().unwrap_or(self.end);
            let credit = lane.source.credit.take(batch.cost()).expect("the buffer is large");
            let pause = self.pause.mul_f64(dice.below(1000) as f64 / 1000.0);
            pieces.push((
                Routed { lane: lane.clone(), first, content: Content::Records(batch), next, credit },
                pause,
            ));
            first = next;
            left = behind;
        }
        pieces
    }
}

/// A lane from a topic that is not there to partition `partition` of `topic`.
pub fn lane(run: u64, topic: &str, partition: i32) -> Lane {
    let at = TopicPartition::new("source", partition);
    let credit = Budget::new(u64::MAX / 8).lane();
    let source = Arc::new(SourceLane { id: LaneId(run), at, credit });
    Lane { source, target: TopicPartition::new(topic, partition) }
}

/// How a life of the stage ended.
#[derive(Debug, PartialEq, Eq)]
pub enum Ended {
    /// All is written.
    Done,
    /// It was killed.
    Killed,
    /// A lane stopped.
    Stopped(Stop),
}

/// What was acknowledged in all lives: where records lie, by partition.
pub type Told = Arc<Mutex<BTreeMap<i32, Vec<Mark>>>>;

/// Openings of lanes, and what they read.
pub type Lanes = Vec<(Opening, Vec<(Routed, Duration)>)>;

/// The stage, running.
pub struct Stage {
    orders: mpsc::UnboundedSender<Order>,
    input: mpsc::Sender<Routed>,
    events: mpsc::Receiver<LaneEvent>,
    done: JoinHandle<()>,
    told: JoinHandle<()>,
    /// Records that were left out.
    pub skipped: Vec<Offset>,
}

impl Stage {
    /// On the runtime that this is called in.
    pub fn start(cluster: &Cluster, refused: RefusedPolicy, told: &Told) -> Self {
        let (orders, to_open) = mpsc::unbounded_channel();
        let (input, pieces) = mpsc::channel(256);
        let (acks, acked) = mpsc::channel(256);
        let (happened, events) = mpsc::channel(256);
        let config = Config { link: "test".to_owned(), properties: properties(cluster), refused };
        let metrics = Metrics::new(&prometheus::Registry::new()).expect("a registry of its own");
        let stage = PinnedProducer::new(config, Limits::default(), to_open, pieces, acks, happened, metrics);
        let stage = stage.expect("the properties are good").run(CancellationToken::new());
        let done = tokio::spawn(async { stage.await.expect("the stage goes on") });
        let told = tokio::spawn(collect(acked, told.clone()));
        Self { orders, input, events, done, told, skipped: Vec::new() }
    }

    /// Opens lanes, and lets them read.
    pub fn open(&self, lanes: Lanes) {
        for (opening, pieces) in lanes {
            let _ = self.orders.send(Order::Open(Box::new(opening)));
            let input = self.input.clone();
            tokio::spawn(async move {
                for (piece, pause) in pieces {
                    if !pause.is_zero() {
                        tokio::time::sleep(pause).await;
                    }
                    let _ = input.send(piece).await;
                }
            });
        }
    }

    /// The next stop of a lane, while the input may go on.
    pub async fn stop(&mut self) -> (LaneId, Stop) {
        loop {
            match self.events.recv().await.expect("the stage goes on") {
                LaneEvent::Stopped { lane, stop } => return (lane, stop),
                LaneEvent::Skipped { offset, .. } => self.skipped.push(offset),
                lost => panic!("{lost:?}"),
            }
        }
    }

    /// What ends it, once there is no more input than there is.
    pub async fn end(self, lives: Duration) -> (Ended, Vec<Offset>) {
        let Self { orders, input, mut events, done, told, mut skipped } = self;
        drop(input);
        let ended = async {
            while let Some(event) = events.recv().await {
                match event {
                    LaneEvent::Stopped { stop, .. } => return Ended::Stopped(stop),
                    LaneEvent::Skipped { offset, .. } => skipped.push(offset),
                    lost => panic!("{lost:?}"),
                }
            }
            done.await.expect("no panic");
            told.await.expect("no panic");
            Ended::Done
        };
        let ended = tokio::time::timeout(lives, ended).await.unwrap_or(Ended::Killed);
        drop(orders);
        (ended, skipped)
    }
}

/// Runs the stage for these lanes until it is done, a lane stops, or it is killed after `lives`.
pub fn live(runtime: &Runtime, cluster: &Cluster, lanes: Lanes, told: &Told, lives: Duration) -> Ended {
    runtime.block_on(async {
        let stage = Stage::start(cluster, RefusedPolicy::Stop, told);
        stage.open(lanes);
        stage.end(lives).await.0
    })
}

/// Puts down what is acknowledged, which never goes back.
async fn collect(mut acked: mpsc::Receiver<Acked>, told: Told) {
    let mut positions = BTreeMap::new();
    while let Some(acked) = acked.recv().await {
        let partition = acked.lane.target.partition;
        let before = positions.insert((acked.lane.id(), partition), (acked.next, acked.end));
        assert!(before.is_none_or(|(next, end)| next <= acked.next && end <= acked.end), "{acked:?}");
        assert!(acked.marks.iter().all(|mark| mark.target + mark.count as i64 <= acked.end));
        told.lock().unwrap().entry(partition).or_default().extend(acked.marks);
    }
}

pub fn properties(cluster: &Cluster) -> Properties {
    let mut properties = Properties::new();
    for (name, value) in cluster.props() {
        properties.set(name, value);
    }
    properties
}

pub fn client(cluster: &Cluster) -> kafka_wire::Client {
    let props = cluster.props();
    let settings = kafka_wire::Settings::new(props.iter().map(|(name, value)| (&**name, &**value)));
    kafka_wire::Client::new(settings.expect("the properties are good"))
}

/// A stop that the lane gets over by itself.
pub fn passes(stop: &Stop) -> bool {
    stop.kind == StopKind::Interrupted
}

/// Each pair of these marks.
pub fn pairs(marks: &[Mark]) -> impl Iterator<Item = (Offset, Offset)> {
    marks.iter().flat_map(|mark| (0..mark.count as Offset).map(|n| (mark.source + n, mark.target + n)))
}
