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
    Acked, Budget, Lane, LaneEvent, LaneId, Mark, Offset, RecordBatch, Routed, SourceLane, Stop, StopKind,
    TopicPartition,
};
use pinned_producer::{Config, Limits, Metrics, Opening, Order, PinnedProducer, RefusedPolicy};
use tokio::{runtime::Runtime, sync::mpsc};
use tokio_util::sync::CancellationToken;

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
        Self { offsets, end: next + 2, size: 60 }
    }

    /// Records from offset `from` on, in pieces, each with how long to wait for it.
    pub fn pieces(&self, lane: &Lane, from: Offset, dice: &mut Dice) -> Vec<(Routed, Duration)> {
        let mut left = &self.offsets[self.offsets.partition_point(|offset| *offset < from)..];
        let mut pieces = Vec::new();
        while !left.is_empty() {
            let (these, behind) = left.split_at(left.len().min(1 + dice.below(200) as usize));
            let mut batch = RecordBatch::default();
            for offset in these {
                let value = format!("{offset:0>size$}", size = self.size);
                batch.push(*offset, 1_700_000_000_000 + offset, Some(b"ours"), Some(value.as_bytes()), []);
            }
            let next = behind.first().copied().unwrap_or(self.end);
            let credit = lane.source.credit.take(batch.cost()).expect("the buffer is large");
            let pause = Duration::from_micros(dice.below(5000));
            pieces.push((Routed { lane: lane.clone(), batch, next, credit }, pause));
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

/// Runs the stage for these lanes until it is done, a lane stops, or it is killed after `lives`.
pub fn live(
    runtime: &Runtime,
    cluster: &Cluster,
    lanes: Vec<(Opening, Vec<(Routed, Duration)>)>,
    told: &Told,
    lives: Duration,
) -> Ended {
    let (to_open, openings) = mpsc::unbounded_channel();
    let (to_write, input) = mpsc::channel(256);
    let (acks, mut acked) = mpsc::channel::<Acked>(256);
    let (events, mut happened) = mpsc::channel(256);
    let config =
        Config { link: "test".to_owned(), properties: properties(cluster), refused: RefusedPolicy::Stop };
    let metrics = Metrics::new(&prometheus::Registry::new()).expect("a registry of its own");
    let stage = PinnedProducer::new(config, Limits::default(), openings, input, acks, events, metrics);
    let stage = stage.expect("the properties are good").run(CancellationToken::new());
    for (opening, pieces) in lanes {
        let _ = to_open.send(Order::Open(Box::new(opening)));
        let to_write = to_write.clone();
        runtime.spawn(async move {
            for (piece, pause) in pieces {
                tokio::time::sleep(pause).await;
                let _ = to_write.send(piece).await;
            }
        });
    }
    drop(to_write);
    let told = told.clone();
    let collected = runtime.spawn(async move {
        let mut positions = BTreeMap::new();
        while let Some(acked) = acked.recv().await {
            let partition = acked.lane.target.partition;
            let before = positions.insert(partition, (acked.next, acked.end));
            assert!(before.is_none_or(|(next, end)| next <= acked.next && end <= acked.end), "{acked:?}");
            assert!(acked.marks.iter().all(|mark| mark.target + mark.count as i64 <= acked.end));
            told.lock().unwrap().entry(partition).or_default().extend(acked.marks);
        }
    });
    runtime.block_on(async {
        let stage = tokio::spawn(stage);
        tokio::select! {
            biased;
            Some(event) = happened.recv() => match event {
                LaneEvent::Stopped { stop, .. } => Ended::Stopped(stop),
                other => panic!("{other:?}"),
            },
            done = stage => {
                done.expect("no panic").expect("the stage goes on");
                collected.await.expect("no panic");
                Ended::Done
            }
            () = tokio::time::sleep(lives) => Ended::Killed,
        }
    })
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
