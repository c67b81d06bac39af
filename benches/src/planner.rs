//! The planner of `audit plan` on a cluster that is large, and Kafka's own `kafka-reassign-partitions --generate` on the same:
//! what each moves, and how even what comes of it is. No broker runs: the latter's method is called as it is.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, anyhow};
use cluster_audit::{Aim, Broker, Facts, Move, Partition, PartitionId, Topic, findings, plan, predict};
use kafka_harness::{MAIN_VERSION, dist::Dist, java};

pub const HEADING: &str = "Replicas placed";

const BROKERS: i32 = 100;
const RACKS: i32 = 10;
const TOPICS: usize = 2_000;
const PARTITIONS: i32 = 100;
const GENERATE: &str = include_str!("Generate.java");

type Placed = BTreeMap<PartitionId, Vec<i32>>;

/// Measures it; the section about it.
pub fn run(command: &str) -> Result<String> {
    let facts = cluster(3);
    let began = Instant::now();
    let found = findings(&facts, 85).len();
    let prediction = predict(&facts, &[1, 2].into());
    let audited = began.elapsed();
    let mut out = format!(
        "\n## {HEADING}\n\nMade by `{command}`: {BROKERS} brokers in {RACKS} racks, {} partitions of {TOPICS} topics with three replicas, of sizes \
         from 1 MB to 8 GB. Kafka's is what `kafka-reassign-partitions --generate` of {MAIN_VERSION} proposes for the same \
         brokers (its method, on the same assignment). Most and least are those of a broker that may have replicas, against \
         the mean.\n\nFindings ({found} kinds) and what becomes of {} partitions while two brokers are down: {:.2} s.\n\n",
        TOPICS as i32 * PARTITIONS,
        prediction.moves,
        audited.as_secs_f64()
    );
    out += "| | replicas moved | TB copied | preferred leaders changed | replicas, most / least | bytes, most / least | leaders, most / least | in too few racks | s |\n\
            |---|---:|---:|---:|---:|---:|---:|---:|---:|\n";
    let emptied: BTreeSet<i32> = (96..=100).collect();
    let aim = Aim { empty: emptied.clone(), ..Aim::default() };
    let (ours, took) = planned(&facts, &aim)?;
    let stay: BTreeSet<i32> = (1..=95).collect();
    let generated = generated(&facts, &stay)?;
    row(&mut out, "five brokers emptied: isomirror", &facts, &ours, &stay, took);
    row(&mut out, "five brokers emptied: Kafka's", &facts, &generated.0, &stay, generated.1);
    let all: BTreeSet<i32> = (1..=BROKERS).collect();
    let two = cluster(2);
    let (ours, took) = planned(&two, &Aim { replicas: Some(3), ..Aim::default() })?;
    row(&mut out, "two replicas to three: isomirror (Kafka's keeps their number)", &two, &ours, &all, took);
    Ok(out)
}

/// A cluster as it may have grown: evenly spread partitions of very different sizes.
fn cluster(replicas: i32) -> Facts {
    let broker = |id: i32| Broker { live: true, rack: Some(format!("rack-{}", id % RACKS)), dirs: None };
    let mut noise = 0x9e37_79b9_7f4a_7c15u64;
    let mut next = move || {
        noise ^= noise << 13;
        noise ^= noise >> 7;
        noise ^= noise << 17;
        noise
    };
    let mut facts = Facts { brokers: (1..=BROKERS).map(|id| (id, broker(id))).collect(), ..Facts::default() };
    for number in 0..TOPICS {
        let (first, scale) = (i32::try_from(next() % 100).unwrap_or(0), next() % 13);
        let partitions = (0..PARTITIONS).map(|partition| {
            let on: Vec<i32> = (0..replicas).map(|k| (first + partition + k * 37) % BROKERS + 1).collect();
            let bytes = (1_000_000 << scale) + next() % (1_000_000 << scale);
            let found = Partition {
                leader: on.first().copied(),
                in_sync: on.clone(),
                replicas: on,
                bytes: Some(bytes),
                moving: None,
            };
            (partition, found)
        });
        let topic = Topic {
            min_in_sync: Some(2),
            unclean: Some(false),
            partitions: partitions.collect(),
            ..Topic::default()
        };
        facts.topics.insert(format!("topic-{number:04}"), topic);
    }
    facts
}

fn now(facts: &Facts) -> Placed {
    let all = facts.partitions().map(|(topic, _, number, found)| (PartitionId::new(topic, number), found));
    all.map(|(at, found)| (at, found.replicas.clone())).collect()
}

fn planned(facts: &Facts, aim: &Aim) -> Result<(Placed, Duration)> {
    let began = Instant::now();
    let moves: Vec<Move> = plan(facts, aim).map_err(|refused| anyhow!("refused: {refused:?}"))?;
    let took = began.elapsed();
    let mut then = now(facts);
    then.extend(moves.into_iter().map(|one| (one.at, one.after)));
    Ok((then, took))
}

fn generated(facts: &Facts, brokers: &BTreeSet<i32>) -> Result<(Placed, Duration)> {
    let list: Vec<String> = brokers.iter().map(|id| format!("{id}:{}", facts.rack(*id))).collect();
    let mut text = list.join(" ") + "\n";
    for (at, replicas) in now(facts) {
        let ids: Vec<String> = replicas.iter().map(i32::to_string).collect();
        writeln!(text, "{} {} {}", at.topic, at.partition, ids.join(","))?;
    }
    let file = tempfile::NamedTempFile::new()?;
    std::fs::write(file.path(), text)?;
    let path = file.path().to_str().context("a path of text")?;
    let said = java::run(&Dist::get(MAIN_VERSION)?, "Generate", GENERATE, &[path])?;
    let mut lines = said.lines();
    let millis = lines.next().context("it says how long it took")?.parse()?;
    let placed = lines.map(|line| {
        let mut words = line.split(' ');
        let mut word = || words.next().context("three words");
        let at = PartitionId::new(word()?, word()?.parse()?);
        let replicas = word()?.split(',').map(str::parse).collect::<Result<_, _>>()?;
        Ok((at, replicas))
    });
    Ok((placed.collect::<Result<_>>()?, Duration::from_millis(millis)))
}

fn row(out: &mut String, name: &str, facts: &Facts, then: &Placed, on: &BTreeSet<i32>, took: Duration) {
    let (mut moved, mut copied, mut leaders, mut few) = (0u64, 0u64, 0u64, 0u64);
    let mut load: BTreeMap<i32, [u64; 3]> = on.iter().map(|id| (*id, [0; 3])).collect();
    let racks = facts.racks(on);
    for (at, replicas) in then {
        let Some(before) = facts.partition(at) else { continue };
        let bytes = before.bytes.unwrap_or(0);
        let new = replicas.iter().filter(|id| !before.replicas.contains(id)).count() as u64;
        moved += new;
        copied += new * bytes;
        leaders += u64::from(before.replicas.first() != replicas.first());
        few += u64::from(facts.racks(replicas) < racks.min(replicas.len()));
        for (order, id) in replicas.iter().enumerate() {
            let found = load.entry(*id).or_default();
            found[0] += 1;
            found[1] += bytes;
            found[2] += u64::from(order == 0);
        }
    }
    let spread = |what: usize| {
        let (most, least) = (load.values().map(|l| l[what]).max(), load.values().map(|l| l[what]).min());
        let mean = load.values().map(|l| l[what] as f64).sum::<f64>() / load.len() as f64;
        format!("{:.2} / {:.2}", most.unwrap_or(0) as f64 / mean, least.unwrap_or(0) as f64 / mean)
    };
    let _ = writeln!(
        out,
        "| {name} | {moved} | {:.1} | {leaders} | {} | {} | {} | {few} | {:.2} |",
        copied as f64 / 1e12,
        spread(0),
        spread(1),
        spread(2),
        took.as_secs_f64()
    );
}
