//! Lanes that share their target partitions with other writers, on a real broker, killed at any moment: whoever reads
//! what is committed sees each record once, and the control topic says where each lies.

use std::{
    collections::BTreeMap,
    ops::Range,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use kafka_harness::{
    Cluster, MAIN_VERSION, NEW_VERSION, OLD_VERSION,
    client::{self, Isolation, TestRecord},
    shared::unique,
};
use mirror_types::{Mark, Offset, Stop, TopicPartition};
use pinned_producer::{BoxFuture, Configs, Marks, Note, Offsets, Opening, RefusedPolicy, Standing, Writing};
use tokio::runtime::Runtime;

use crate::support::{self, Dice, Ended, Lanes, Source, Stage, Told, passes};

const LANES: i32 = 2;
const TIMEOUT: Duration = Duration::from_secs(60);
const FOREVER: Duration = Duration::from_secs(120);

/// Notes in plain text: `next|source,target,count;…`.
struct Plain {
    control: Arc<str>,
    lane: i32,
}

impl Marks for Plain {
    fn declare(&self, _: Vec<Mark>) -> BoxFuture<'_, Result<(), Stop>> {
        unreachable!("nothing is known before it is written")
    }

    fn keep_configs(&self, _: Option<Configs>) -> BoxFuture<'_, Result<(), Stop>> {
        unreachable!("nothing is padded")
    }

    fn within(&self, marks: &[Mark], next: Offset) -> Note {
        let marks: Vec<_> =
            marks.iter().map(|mark| format!("{},{},{}", mark.source, mark.target, mark.count)).collect();
        let value = format!("{next}|{}", marks.join(";"));
        let key = self.lane.to_string().into_bytes();
        Note { topic: self.control.clone(), partition: 0, records: vec![(key, Some(value.into_bytes()))] }
    }
}

/// What the control topic says of each lane: its position, and where its records lie.
fn noted(cluster: &Cluster, control: &str) -> BTreeMap<i32, (Offset, Vec<Mark>)> {
    let mut lanes: BTreeMap<i32, (Offset, Vec<Mark>)> = BTreeMap::new();
    let read = client::read_all(&cluster.props(), control, Isolation::Committed).unwrap();
    for record in &read[&0] {
        let text = |bytes: &Option<Vec<u8>>| String::from_utf8(bytes.clone().unwrap()).unwrap();
        let (lane, value) = (text(&record.key).parse().unwrap(), text(&record.value));
        let (next, marks) = value.split_once('|').unwrap();
        let marks = marks.split(';').filter(|mark| !mark.is_empty()).map(|mark| {
            let numbers: Vec<i64> = mark.split(',').map(|number| number.parse().unwrap()).collect();
            Mark { source: numbers[0], target: numbers[1], count: numbers[2] as u64 }
        });
        let lane = lanes.entry(lane).or_default();
        lane.0 = next.parse().unwrap();
        lane.1.extend(marks);
    }
    lanes
}

/// A target, what is mirrored to it, and what was acknowledged.
struct World {
    cluster: Cluster,
    topic: String,
    control: String,
    sources: Vec<Source>,
    told: Told,
}

impl World {
    fn new(cluster: Cluster, replicas: i32) -> Self {
        let (topic, control) = (unique("shared"), unique("control"));
        cluster.create_topic(&topic, LANES, replicas, &[support::KEEP]).unwrap();
        cluster.create_topic(&control, 1, replicas, &[]).unwrap();
        let sources = (0..LANES).map(|lane| Source::new(lane as u64, 60_000)).collect();
        Self { cluster, topic, control, sources, told: Told::default() }
    }

    /// What one more life begins with: where the control topic says that the lanes are, once nobody else can write.
    async fn open(&self, lanes: Range<i32>, run: u64, dice: &mut Dice) -> Lanes {
        let client = support::client(&self.cluster);
        let mut begun = Vec::new();
        for partition in lanes.clone() {
            let id = format!("isomirror.test.{}.{partition}", self.topic);
            let producer = client.init_producer_id(Some(&id), TIMEOUT).await.unwrap();
            let at = TopicPartition::new(&*self.topic, partition);
            let standing = Standing::at_present(&client, &at).await.unwrap();
            begun.push((standing, Writing::Shared { transactional_id: id, producer, origins: None }));
        }
        let noted = tokio::task::block_in_place(|| noted(&self.cluster, &self.control));
        let one = |(partition, (standing, writing)): (i32, (Standing, Writing))| {
            let source = &self.sources[partition as usize];
            let lane = support::lane(run * 10 + partition as u64, &self.topic, partition);
            let position = noted.get(&partition).map_or(source.offsets[0], |(next, _)| *next);
            let pieces = source.pieces(&lane, position - dice.below(20) as Offset, dice);
            let opening = Opening {
                lane,
                standing,
                offsets: Offsets::Translated,
                start: None,
                padded: -1,
                configs: None,
                adopted: None,
                position,
                check: None,
                strict: None,
                writing,
                marks: Arc::new(Plain { control: self.control.as_str().into(), lane: partition }),
            };
            (opening, pieces)
        };
        lanes.zip(begun).map(one).collect()
    }

    /// One life, of `lives` at the most.
    fn live(&self, run: u64, dice: &mut Dice, lives: Duration) -> Ended {
        self.live_slowly(1, run, dice, lives)
    }

    /// One life whose source is so many times slower.
    fn live_slowly(&self, slower: u32, run: u64, dice: &mut Dice, lives: Duration) -> Ended {
        let runtime = Runtime::new().unwrap();
        let mut lanes = runtime.block_on(self.open(0..LANES, run, dice));
        let pauses = lanes.iter_mut().flat_map(|(_, pieces)| pieces).map(|(_, pause)| pause);
        pauses.for_each(|pause| *pause *= slower);
        let ended = support::live(&runtime, &self.cluster, lanes, &self.told, lives);
        runtime.shutdown_background();
        ended
    }

    /// How many runs of records have been acknowledged.
    fn told_so_far(&self) -> usize {
        self.told.lock().unwrap().values().map(Vec::len).sum()
    }

    /// Lives from stop to stop until all is written.
    fn live_on(&self, mut run: u64, dice: &mut Dice) -> u64 {
        loop {
            run += 1;
            match self.live(run, dice, FOREVER) {
                Ended::Done => return run,
                Ended::Stopped(stop) => assert!(passes(&stop) && run < 200, "{stop}"),
                Ended::Killed => panic!("it does not get to the end"),
            }
        }
    }

    /// Each record is there once and in order, for whoever reads what is committed, and it is noted where.
    fn verify(&self) {
        let noted = noted(&self.cluster, &self.control);
        let told = self.told.lock().unwrap();
        let read = client::read_all(&self.cluster.props(), &self.topic, Isolation::Committed).unwrap();
        for (lane, source) in (0..).zip(&self.sources) {
            let ours = read[&lane].iter().filter(|record| record.key.as_deref() == Some(b"ours"));
            let number = |value: &[u8]| std::str::from_utf8(value).unwrap().parse::<Offset>().unwrap();
            let written: Vec<_> = ours.map(|r| (number(r.value.as_ref().unwrap()), r.offset)).collect();
            let found: Vec<_> = written.iter().map(|(source, _)| *source).collect();
            let expected: Vec<_> = source.expected().collect();
            let same = found.iter().zip(&expected).take_while(|(found, expected)| found == expected).count();
            assert!(
                found == expected,
                "lane {lane}: {} of {} records; not each once, in order: {:?}… instead of {:?}…",
                found.len(),
                expected.len(),
                &found[same..found.len().min(same + 5)],
                &expected[same..expected.len().min(same + 5)],
            );
            let (position, marks) = &noted[&lane];
            assert_eq!(*position, source.end);
            assert!(support::pairs(marks).eq(written.iter().copied()), "where each lies is noted");
            let places: BTreeMap<_, _> = written.into_iter().collect();
            assert!(support::pairs(&told[&lane]).all(|(source, target)| places[&source] == target));
        }
        let all = client::read_all(&self.cluster.props(), &self.topic, Isolation::Uncommitted).unwrap();
        let aborted: usize = (0..LANES).map(|lane| all[&lane].len() - read[&lane].len()).sum();
        println!("{aborted} records were aborted");
    }
}

/// Kills the stage so many times, while somebody else writes to the same partitions.
fn survives(version: &str, kills: u64) {
    let world = World::new(Cluster::builder().version(version).start().expect("a broker"), 1);
    let mut dice = Dice::new(11);
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let others = scope.spawn(|| {
            let other = |partition| TestRecord { partition, ..TestRecord::default() };
            let records: Vec<_> = (0..LANES).map(other).collect();
            while !over.load(Relaxed) {
                client::produce(&world.cluster.props(), &world.topic, &records).expect("they are taken");
                std::thread::sleep(Duration::from_millis(20));
            }
        });
        let (mut killed, mut run) = (0, 0);
        while killed < kills {
            run += 1;
            let lives = Duration::from_millis(5 + dice.below(80));
            match world.live(run, &mut dice, lives) {
                Ended::Killed => killed += 1,
                Ended::Stopped(stop) => assert!(passes(&stop), "{stop}"),
                Ended::Done => break,
            }
        }
        world.live_on(run, &mut dice);
        over.store(true, Relaxed);
        others.join().unwrap();
        assert!(killed >= kills.min(5), "all was written after {killed} kills");
    });
    world.verify();
}

#[test]
fn killed_at_any_moment_every_record_is_there_once() {
    survives(MAIN_VERSION, 15);
}

#[test]
fn so_it_is_on_a_new_broker() {
    survives(NEW_VERSION, 8);
}

#[test]
fn so_it_is_on_an_old_broker() {
    survives(OLD_VERSION, 5);
}

#[test]
fn what_the_target_refuses_is_left_out_and_the_rest_is_there_once() {
    let mut world = World::new(Cluster::builder().start().expect("a broker"), 1);
    // Batches are too large at first, and a record without a key is not taken; nobody knows either beforehand.
    // All have the same key: nothing must be compacted away (the segment ends at the first marker, years after its first
    // record, unless it may last as long).
    let forever = i64::MAX.to_string();
    let configs = [("max.message.bytes", "5000"), ("cleanup.policy", "compact"), ("segment.ms", &forever)];
    world.cluster.alter_topic_config(&world.topic, &configs).unwrap();
    let runtime = Runtime::new().unwrap();
    let refused: Vec<_> = world.sources.iter_mut().map(Source::refused).collect();
    let (ended, mut skipped) = runtime.block_on(async {
        let mut stage = Stage::start(&world.cluster, RefusedPolicy::Skip, &world.told);
        let mut dice = Dice::new(3);
        stage.open(world.open(0..LANES, 0, &mut dice).await);
        let mut run = 0;
        while let Ok((lane, stop)) = tokio::time::timeout(Duration::from_secs(15), stage.stop()).await {
            assert!(passes(&stop) && run < 50, "{stop}");
            run += 1;
            let partition = (lane.0 % 10) as i32;
            stage.open(world.open(partition..partition + 1, run, &mut dice).await);
        }
        assert!(run > 4, "{run} stops");
        stage.end(FOREVER).await
    });
    assert_eq!(ended, Ended::Done);
    skipped.sort_unstable();
    skipped.dedup();
    assert!(refused.iter().all(|offset| skipped.binary_search(offset).is_ok()), "{skipped:?}");
    world.verify();
}

#[test]
fn who_takes_over_fences_who_is_still_writing() {
    let world = World::new(Cluster::builder().start().expect("a broker"), 1);
    std::thread::scope(|scope| {
        let mut last = None;
        for run in 0..4 {
            let before = last.take();
            let world = &world;
            // All but the last would be at it for minutes.
            let slower = if run < 3 { 200 } else { 1 };
            last = Some(scope.spawn(move || world.live_slowly(slower, run, &mut Dice::new(run), FOREVER)));
            if let Some(before) = before {
                let ended: Ended = std::thread::ScopedJoinHandle::join(before).unwrap();
                let Ended::Stopped(stop) = ended else { panic!("it was to be fenced: {ended:?}") };
                assert!(passes(&stop) && stop.reason.contains("another instance"), "{stop}");
            }
            let told = world.told_so_far();
            while run < 3 && world.told_so_far() == told {
                std::thread::sleep(Duration::from_millis(20));
            }
        }
        assert_eq!(last.unwrap().join().unwrap(), Ended::Done);
    });
    world.verify();
}

#[test]
fn brokers_die_one_after_the_other() {
    let cluster = Cluster::builder().brokers(3).heap("320m").broker_config("min.insync.replicas", "2");
    let mut world = World::new(cluster.start().expect("three brokers"), 3);
    world.sources.iter_mut().for_each(|source| source.pause = Duration::from_millis(80));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for broker in world.cluster.broker_ids() {
                std::thread::sleep(Duration::from_millis(200));
                world.cluster.kill(broker).unwrap();
                world.cluster.start(broker).unwrap();
                world.cluster.wait_isr(&world.topic, 3).unwrap();
            }
        });
        let lives = world.live_on(0, &mut Dice::new(5));
        println!("{lives} lives");
    });
    world.verify();
}
