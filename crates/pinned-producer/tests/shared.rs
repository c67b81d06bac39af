//! Lanes that share their target partitions with other writers, on a real broker, killed at any moment: whoever reads
//! what is committed sees each record once, and the control topic says where each lies.

mod support;

use std::{
    collections::BTreeMap,
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
use mirror_types::{Mark, Offset, Routed, Stop};
use pinned_producer::{BoxFuture, Marks, Note, Offsets, Opening, Standing, Writing};
use support::{Dice, Ended, Source, Told};
use tokio::runtime::Runtime;

const LANES: i32 = 2;
const TIMEOUT: Duration = Duration::from_secs(60);

/// Notes in plain text: `next|source,target,count;…`.
struct Plain {
    control: Arc<str>,
    lane: i32,
}

impl Marks for Plain {
    fn declare(&self, _: Vec<Mark>) -> BoxFuture<'_, Result<(), Stop>> {
        unreachable!("nothing is known before it is written")
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

/// One more life of all lanes, from where the control topic says that they are.
fn open(
    runtime: &Runtime,
    cluster: &Cluster,
    (topic, control): (&str, &str),
    sources: &[Source],
    (run, dice): (u64, &mut Dice),
) -> Vec<(Opening, Vec<(Routed, Duration)>)> {
    let client = support::client(cluster);
    let ids = (0..LANES).map(|partition| format!("isomirror.test.{topic}.{partition}"));
    let begun: Vec<_> = ids
        .map(|id| {
            let producer = runtime.block_on(client.init_producer_id(Some(&id), TIMEOUT)).unwrap();
            (id, producer)
        })
        .collect();
    let noted = noted(cluster, control);
    let one = |(partition, (id, producer)): (i32, (String, _))| {
        let source = &sources[partition as usize];
        let lane = support::lane(run * 10 + partition as u64, topic, partition);
        let position = noted.get(&partition).map_or(source.offsets[0], |(next, _)| *next);
        let standing = runtime.block_on(Standing::at_present(&client, &lane.target)).unwrap();
        let pieces = source.pieces(&lane, position - dice.below(20) as Offset, dice);
        let opening = Opening {
            lane,
            standing,
            offsets: Offsets::Translated,
            start: None,
            position,
            check: None,
            writing: Writing::Shared { transactional_id: id, producer },
            marks: Arc::new(Plain { control: control.into(), lane: partition }),
        };
        (opening, pieces)
    };
    (0..).zip(begun).map(one).collect()
}

/// Mirrors everything, killed `kills` times; with somebody else's records in between, and the broker's death.
fn exactly_once(version: &str, kills: u64, broker_too: bool) {
    let cluster = Cluster::builder().version(version).start().expect("a broker");
    let (topic, control) = (unique("shared"), unique("control"));
    cluster.create_topic(&topic, LANES, 1, &[]).unwrap();
    cluster.create_topic(&control, 1, 1, &[]).unwrap();
    let sources: Vec<_> = (0..LANES).map(|lane| Source::new(lane as u64, 60_000)).collect();
    let told = Told::default();
    let (mut dice, mut killed, mut run) = (Dice::new(11), 0, 0);
    let mut broker_dies = broker_too;
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let others = scope.spawn(|| {
            let mut written = 0;
            while !over.load(Relaxed) {
                let other = |partition| TestRecord { partition, ..TestRecord::default() };
                let records: Vec<_> = (0..LANES).map(other).collect();
                written += client::produce(&cluster.props(), &topic, &records).map_or(0, |()| 1);
                std::thread::sleep(Duration::from_millis(20));
            }
            written
        });
        loop {
            run += 1;
            assert!(run < 200, "it does not get to the end");
            let runtime = Runtime::new().unwrap();
            let lanes = open(&runtime, &cluster, (&topic, &control), &sources, (run, &mut dice));
            let last = killed >= kills;
            let lives = Duration::from_millis(if last { 60_000 } else { 5 + dice.below(80) });
            let ended = std::thread::scope(|scope| {
                if last && std::mem::take(&mut broker_dies) {
                    scope.spawn(|| {
                        std::thread::sleep(Duration::from_millis(40));
                        cluster.kill(1).unwrap();
                        cluster.start(1).unwrap();
                    });
                }
                support::live(&runtime, &cluster, lanes, &told, lives)
            });
            runtime.shutdown_background();
            match ended {
                Ended::Done => break,
                Ended::Killed => killed += 1,
                Ended::Stopped(stop) => assert!(support::passes(&stop), "{stop}"),
            }
        }
        over.store(true, Relaxed);
        assert!(others.join().unwrap() > 0, "nobody else has written");
    });
    let (noted, told) = (noted(&cluster, &control), told.lock().unwrap());
    let read = client::read_all(&cluster.props(), &topic, Isolation::Committed).unwrap();
    for (lane, source) in (0..).zip(&sources) {
        let ours = read[&lane].iter().filter(|record| record.key.as_deref() == Some(b"ours"));
        let number = |value: &[u8]| std::str::from_utf8(value).unwrap().parse::<Offset>().unwrap();
        let written: Vec<_> = ours.map(|r| (number(r.value.as_ref().unwrap()), r.offset)).collect();
        assert!(written.iter().map(|(source, _)| source).eq(&source.offsets), "each once, in order");
        let (position, marks) = &noted[&lane];
        assert_eq!(*position, source.end);
        assert!(support::pairs(marks).eq(written.iter().copied()), "where each lies is noted");
        let places: BTreeMap<_, _> = written.into_iter().collect();
        assert!(support::pairs(&told[&lane]).all(|(source, target)| places[&source] == target));
    }
    assert!(killed >= kills, "{killed} kills in {run} lives");
    println!("{version}: {killed} kills, {run} lives");
}

#[test]
fn killed_at_any_moment_every_record_is_there_once() {
    exactly_once(MAIN_VERSION, 15, true);
}

#[test]
fn so_it_is_on_a_new_broker() {
    exactly_once(NEW_VERSION, 8, false);
}

#[test]
fn so_it_is_on_an_old_broker() {
    exactly_once(OLD_VERSION, 5, false);
}
