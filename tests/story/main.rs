//! docs/migration.md, followed word by word on two fresh clusters, while a Java producer writes and Java consumers of three
//! kinds read: one that commits to Kafka, one that keeps its own offsets, one that goes on by time. In the end the numbers
//! that were written are counted on the target and in what each consumer saw: 0 lost, 0 repeated, 0 misplaced. And again with
//! the mirror, a broker of the source and one of the target killed meanwhile.
//!
//! The document can't rot: its link's file is the file, its commands are run in their order and end with the exit codes that it
//! gives, and what they say has the shape that it shows (`document`, `shape`). What is written over it by a run that is asked
//! to, `STORY_WRITE=1 scripts/test --test story followed`, are the outputs alone. `CHAOS_SEED` kills at the same moments again.

#[path = "../support/acls.rs"]
#[expect(dead_code, reason = "rules are made here, and not read")]
mod acls;
#[path = "../support/apps.rs"]
mod apps;
mod clients;
#[path = "../support/count.rs"]
mod count;
#[path = "../exact/dice.rs"]
#[expect(dead_code, reason = "a run is told of differently here")]
mod dice;
mod document;
mod kills;
#[path = "../support/members.rs"]
#[expect(dead_code, reason = "members are Java's here")]
mod members;
mod shape;
mod stage;

use std::{
    collections::BTreeSet,
    sync::{Mutex, PoisonError},
    thread,
    time::{Duration, Instant, SystemTime},
};

use kafka_harness::{
    Builder, Cluster, Security,
    client::{self, Isolation, value_number},
    daemon::eventually,
};

use apps::App;
use clients::Consumer;
use count::{Counts, Seen, by_consumer, on_target};
use dice::{Dice, setting};
use document::{Document, End, Step};
use kills::{Kills, Release};
use stage::{HISTORY, PARTITIONS, Stage, TOPIC};

/// Two stories at once are more than a small machine carries.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// How many records the producer writes to the target before all is counted.
const ON_TARGET: usize = 400;

fn clusters(builder: impl Fn() -> Builder + Send + Sync) -> (Cluster, Cluster) {
    let start = || builder().security(Security::plain(&["app", "billing"])).start().expect("a cluster");
    thread::scope(|scope| {
        let source = scope.spawn(start);
        let target = start();
        (source.join().expect("a cluster"), target)
    })
}

#[test]
fn the_document_is_followed_word_by_word() {
    let _alone = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let (source, target) = clusters(Cluster::builder);
    let document = Document::read();
    let stage = Stage::set(&source, &target, &document);
    let (counts, outputs) = tell(&stage, &document, &Kills::none());
    stage.stop();
    assert_eq!(counts, Counts::default(), "{counts}");
    document.write(&outputs);
    for (step, said) in &outputs {
        let Some(difference) = step.shown.as_ref().and_then(|shown| shape::difference(shown, said)) else {
            continue;
        };
        let (line, command) = (step.line, step.command());
        panic!("docs/migration.md:{line}: `{command}`: {difference} (STORY_WRITE=1 writes it there)\n{said}");
    }
}

#[test]
fn and_again_with_the_mirror_and_a_broker_on_either_side_killed() {
    let _alone = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let clock =
        || SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("after 1970").as_micros() as u64;
    let seed = setting("CHAOS_SEED").unwrap_or_else(|| clock() % 1_000_000_000);
    eprintln!("again: CHAOS_SEED={seed} scripts/test --test story again");
    let three = || {
        let builder = Cluster::builder().brokers(3).heap("320m").broker_config("min.insync.replicas", "2");
        builder.broker_config("default.replication.factor", "3")
    };
    let (source, target) = clusters(three);
    let document = Document::read();
    let stage = Stage::set(&source, &target, &document);
    let kills = Kills::by(&mut Dice::new(seed));
    let (counts, _) = thread::scope(|scope| {
        let _release = Release(&kills);
        kills.begin(scope, &stage);
        tell(&stage, &document, &kills)
    });
    stage.stop();
    assert_eq!(counts, Counts::default(), "{counts}");
}

/// Does all that the document says while clients live; what is wrong in the end, and what the commands have said.
fn tell(stage: &Stage<'_>, document: &Document, kills: &Kills) -> (Counts, Vec<(Step, String)>) {
    let began = Instant::now();
    let mut producer = clients::producer(stage, HISTORY);
    let mut consumers = Consumer::KINDS.map(|(kind, pause)| Consumer::start(stage, kind, pause));
    eventually("all live", || {
        producer.check();
        consumers.iter_mut().for_each(Consumer::check);
        let reads = |consumer: &Consumer| partitions(&consumer.seen()) == PARTITIONS;
        (!producer.seen().is_empty() && consumers.iter().all(reads)).then_some(())
    });
    let mut outputs = Vec::new();
    for step in document.steps() {
        eprintln!("{:.1?} docs/migration.md:{}: {}", began.elapsed(), step.line, step.command());
        let said = match (is_cutover(&step), step.end) {
            (true, End::Interrupted) => stage.act(&step, names_a_member),
            (true, _) => {
                let said = cut_over(stage, &step, &mut consumers, kills);
                consumers.iter_mut().for_each(|consumer| consumer.go_on(stage));
                said
            }
            _ => stage.act(&step, |_| false),
        };
        if step.words[0] == "systemctl" {
            kills.mirrors();
        }
        outputs.push((step, said));
    }
    (count(stage, producer, consumers), outputs)
}

fn is_cutover(step: &Step) -> bool {
    step.words == ["isomirror", "cutover", "link.toml", "--yes"]
}

/// What a cutover says once it waits for consumers to be stopped.
fn names_a_member(said: &str) -> bool {
    said.contains("groups: group billing has the member")
}

/// Stops consumers as the document says: one that is in no group before, the others once `groups` names one.
fn cut_over(stage: &Stage<'_>, step: &Step, consumers: &mut [Consumer], kills: &Kills) -> String {
    let is_own = |consumer: &&mut Consumer| consumer.kind() == "own";
    consumers.iter_mut().filter(is_own).for_each(Consumer::stop);
    stage.act(step, |said| {
        kills.says(said);
        if names_a_member(said) {
            consumers.iter_mut().for_each(Consumer::stop);
        }
        false
    })
}

fn partitions(seen: &[Seen]) -> i32 {
    (0..PARTITIONS).map(|partition| i32::from(seen.iter().any(|seen| seen.partition == partition))).sum()
}

/// What lies there, by another client than all others here.
fn there(cluster: &Cluster) -> Vec<Seen> {
    // A broker may have come back only now: a client drops what it knew of it in mid-question.
    let read =
        eventually("it can be read", || client::read_all(&cluster.props(), TOPIC, Isolation::Committed).ok());
    let records = read
        .into_iter()
        .flat_map(|(partition, records)| records.into_iter().map(move |record| (partition, record)));
    let number = |value: Option<Vec<u8>>| value_number(&value.unwrap_or_default()).expect("all are numbered");
    records
        .map(|(partition, record)| Seen { partition, offset: record.offset, number: number(record.value) })
        .collect()
}

/// Lets all go on for a while, ends them, and counts.
fn count(stage: &Stage<'_>, mut producer: App, mut consumers: [Consumer; 3]) -> Counts {
    let source = there(stage.source);
    let of_source = source.len();
    eventually("the producer writes to the target", || {
        producer.check();
        (producer.seen().len() + usize::try_from(HISTORY).expect("few") >= of_source + ON_TARGET)
            .then_some(())
    });
    assert!(producer.log().contains("refused: "), "the producer has written all the while");
    let written = producer.stop();
    let target = there(stage.target);
    for consumer in &mut consumers {
        let left =
            |consumer: &Consumer| target.len().saturating_sub(consumer.first() + consumer.seen().len());
        eventually(&format!("{} has read all; {} are left", consumer.kind(), left(consumer)), || {
            consumer.check();
            (left(consumer) == 0).then_some(())
        });
    }
    // Time for what would come twice.
    thread::sleep(Duration::from_secs(1));

    // What the source has was mirrored; the producer was told of the rest, and of a part of that.
    let mut known = source.clone();
    known.extend(&written);
    known.sort_unstable();
    known.dedup();
    let numbers: BTreeSet<u64> = known.iter().map(|seen| seen.number).collect();
    assert!(
        numbers.into_iter().eq(0..HISTORY + written.len() as u64),
        "each number was written, and told of once"
    );
    let mut all = on_target(&known, &target);
    eprintln!("the target: {} records, {of_source} of them mirrored: {all}", target.len());
    for consumer in consumers {
        let kind = consumer.kind();
        let (first, then) = consumer.end();
        assert_eq!(
            (partitions(&first), partitions(&then)),
            (PARTITIONS, PARTITIONS),
            "{kind} has read all partitions twice"
        );
        let counts = by_consumer(&target, &first, &then);
        eprintln!(
            "{kind}: {} records on the source, then {} on the target: {counts}",
            first.len(),
            then.len()
        );
        all += counts;
    }
    all
}
