//! Lanes with translated offsets on a real broker, killed at any moment: each record once, and at any time what was
//! declared says which source offset lies at which target offset.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use kafka_harness::{
    Cluster,
    client::{self, Isolation, TestRecord},
    shared::unique,
};
use mirror_types::{Mark, Offset, Stop};
use pinned_producer::{BoxFuture, Configs, Marks, Note, Offsets, Opening, Standing, Writing};
use tokio::runtime::Runtime;

use crate::support::{self, Dice, Ended, Source, Told};

/// The first source offset of each declared run, by its target offset; kept whatever happens to the mirror.
type Declared = Arc<Mutex<BTreeMap<Offset, Offset>>>;

/// Takes a while, and may be killed before it has written.
struct Slow(Declared);

impl Marks for Slow {
    fn declare(&self, runs: Vec<Mark>) -> BoxFuture<'_, Result<(), Stop>> {
        Box::pin(async move {
            tokio::time::sleep(Duration::from_millis(1)).await;
            let mut declared = self.0.lock().unwrap();
            declared.split_off(&runs[0].target);
            declared.extend(runs.iter().map(|run| (run.target, run.source)));
            Ok(())
        })
    }

    fn keep_configs(&self, _: Option<Configs>) -> BoxFuture<'_, Result<(), Stop>> {
        unreachable!("nothing is padded")
    }

    fn within(&self, _: &[Mark], _: Offset) -> Note {
        unreachable!("the lane has its target for itself")
    }
}

fn source_of(declared: &Declared, target: Offset) -> Offset {
    let declared = declared.lock().unwrap();
    let (at, source) = declared.range(..=target).next_back().expect("the lane's start");
    source + target - at
}

#[test]
fn killed_at_any_moment_every_record_is_there_once_and_where_it_was_declared() {
    let cluster = Cluster::builder().start().expect("a broker");
    let topic = unique("translated");
    cluster.create_topic(&topic, 1, 1, &[support::KEEP]).unwrap();
    // Somebody else's, from before the lane's time.
    let before = TestRecord { value: Some(b"before".to_vec()), ..TestRecord::default() };
    client::produce(&cluster.props(), &topic, &vec![before; 57]).unwrap();
    let source = Source::new(1, 60_000);
    let declared: Declared = Arc::new(Mutex::new([(57, source.offsets[0])].into()));
    let told = Told::default();
    let (mut dice, mut kills, mut run) = (Dice::new(7), 0, 0);
    loop {
        run += 1;
        let runtime = Runtime::new().unwrap();
        let lane = support::lane(run, &topic, 0);
        let standing =
            runtime.block_on(Standing::of(&support::client(&cluster), &lane.target, true)).unwrap();
        let position = source_of(&declared, standing.end);
        let check = (standing.end > 57).then(|| source_of(&declared, standing.end - 1));
        let from = check.unwrap_or(position) - dice.below(20) as Offset;
        let pieces = source.pieces(&lane, from, &mut dice);
        let opening = Opening {
            lane,
            standing,
            offsets: Offsets::Translated,
            start: None,
            padded: -1,
            configs: None,
            adopted: None,
            position,
            check,
            strict: None,
            writing: Writing::Exclusive,
            marks: Arc::new(Slow(declared.clone())),
        };
        let lives = Duration::from_millis(if kills < 12 { 5 + dice.below(80) } else { 60_000 });
        let ended = support::live(&runtime, &cluster, vec![(opening, pieces)], &told, lives);
        runtime.shutdown_background();
        match ended {
            Ended::Done => break,
            Ended::Killed => kills += 1,
            Ended::Stopped(stop) => assert!(support::passes(&stop), "{stop}"),
        }
        assert!(run < 100, "it does not get to the end");
    }
    let read = client::read_all(&cluster.props(), &topic, Isolation::Committed).unwrap().remove(&0).unwrap();
    let ours: Vec<_> = read.into_iter().skip(57).collect();
    let number = |value: &[u8]| std::str::from_utf8(value).unwrap().parse::<Offset>().unwrap();
    let written: Vec<_> = ours.iter().map(|r| (number(r.value.as_ref().unwrap()), r.offset)).collect();
    assert!(
        written.iter().map(|(source, _)| source).eq(&source.offsets),
        "each once, in order; {kills} kills"
    );
    assert!(written.iter().all(|(source, target)| source_of(&declared, *target) == *source));
    let places: BTreeMap<_, _> = written.into_iter().collect();
    let told = told.lock().unwrap().remove(&0).unwrap();
    assert!(support::pairs(&told).all(|(source, target)| places[&source] == target));
    assert!(kills > 5, "{kills} kills in {run} lives");
    println!("{kills} kills, {run} lives");
}
