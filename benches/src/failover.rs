//! What consumers read again, and what they miss, when they go on on the target: several mirrors of one source at the same
//! time, so that all are asked at the same failovers. Counts records; how fast anything is does not matter.

mod contender;
mod traffic;

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    time::{Duration, Instant},
};

use anyhow::{Result, ensure};
use kafka_harness::{
    Cluster,
    client::{self, Isolation, value_number},
};
use rdkafka::Message;

use crate::{mirrors::ONE_WAY, stats::median};
use contender::{Contender, MIRROR_MAKER_2};
use traffic::{Dice, Group, Writer};

/// The heading of its section in RESULTS.md.
pub const HEADING: &str = "Failover to the target";

const TOPIC: &str = "failover";
const PARTITIONS: i32 = 4;
/// Transactions written before each failover.
const TRANSACTIONS: u64 = 300;
/// For so long no group's offset may have moved on the target: some rounds of MirrorMaker 2's.
const SETTLED: Duration = Duration::from_secs(5);
const PATIENCE: Duration = Duration::from_secs(180);

/// What one group met at one failover.
#[derive(Debug, Clone, Copy, Default)]
struct Met {
    again: u64,
    missed: u64,
    /// Partitions that it had no offset for, and had to read from their start.
    without: u64,
}

/// Where a group goes on in each partition; none, where nothing says so.
type Resume = BTreeMap<i32, Option<i64>>;

/// Has so many failovers; returns the section for RESULTS.md.
pub fn run(times: usize, command: &str) -> Result<String> {
    let (source, target) = (Cluster::builder().start()?, Cluster::builder().start()?);
    source.create_topic(TOPIC, PARTITIONS, 1, &[("retention.ms", "-1")])?;
    let mut dice = Dice::new(1);
    let mut writer = Writer::new(&source)?;
    let mut groups = [Group::new("failover-current"), Group::new("failover-behind")];
    // What is there when the mirrors start, groups with offsets too, is no failover.
    round(&source, &mut writer, &mut groups, &mut dice)?;
    let contenders = Contender::all(&source, &target)?;
    let mut met = vec![[Vec::new(), Vec::new()]; contenders.len()];
    for time in 0..=times {
        round(&source, &mut writer, &mut groups, &mut dice)?;
        settle(&contenders, &target, &groups, writer.committed)?;
        // The first is for warming up: MirrorMaker 2 looks for groups every 5 s.
        for (contender, met) in contenders.iter().zip(&mut met).filter(|_| time > 0) {
            for (group, met) in groups.iter().zip(met) {
                let committed = group.committed(&source, TOPIC)?;
                let resume = contender.resume(&target, group, &committed)?;
                let one = count(&target, &contender.topic, group, &resume)?;
                eprintln!("{time}/{times} {}, {}: {one:?}", contender.name, group.name);
                met.push(one);
            }
        }
    }
    for contender in contenders.iter() {
        eprintln!("{}: {} records on the target", contender.name, contender.arrived(&target)?);
    }
    Ok(section(&contenders, &met, times, writer.committed, command))
}

/// Writes, and has each group read on: one leaves at most 100 records, the other a good part of what it has not read.
fn round(source: &Cluster, writer: &mut Writer, groups: &mut [Group; 2], dice: &mut Dice) -> Result<()> {
    writer.write(TRANSACTIONS, dice)?;
    let unread = |group: &Group| writer.committed - group.processed.len() as u64;
    let current = unread(&groups[0]) - dice.within(0..101);
    let behind = unread(&groups[1]) * dice.within(20..81) / 100;
    groups[0].read(source, current)?;
    groups[1].read(source, behind)
}

/// Waits until the mirrors have everything, and what they say of the groups moves no more.
fn settle(contenders: &[Contender], target: &Cluster, groups: &[Group], committed: u64) -> Result<()> {
    let begun = Instant::now();
    let (mut last, mut since) = (None, Instant::now());
    while since.elapsed() < SETTLED {
        ensure!(begun.elapsed() < PATIENCE, "the mirrors are not where they should be after {PATIENCE:?}");
        std::thread::sleep(Duration::from_millis(500));
        let mut now = Vec::new();
        for contender in contenders {
            let arrived = contender.arrived(target)?;
            ensure!(arrived <= committed, "{} mirrored {arrived} records of {committed}", contender.name);
            now.push((arrived, Vec::new()));
            if contender.syncs_groups() {
                let synced = groups.iter().map(|group| group.committed(target, &contender.topic));
                now.last_mut().expect("just pushed").1 = synced.collect::<Result<_>>()?;
            }
        }
        let all = now.iter().all(|(arrived, _)| *arrived == committed);
        if !all || last.as_ref() != Some(&now) {
            (last, since) = (Some(now), Instant::now());
        }
    }
    Ok(())
}

/// Reads the target as the group would.
fn count(target: &Cluster, topic: &str, group: &Group, resume: &Resume) -> Result<Met> {
    let mut met = Met { without: resume.values().filter(|at| at.is_none()).count() as u64, ..Met::default() };
    client::read_each(&target.props(), topic, Isolation::Committed, |message| {
        let Some(number) = message.payload().and_then(value_number) else { return };
        let read = message.offset() >= resume[&message.partition()].unwrap_or(0);
        match (group.processed.contains(&number), read) {
            (true, true) => met.again += 1,
            (false, false) => met.missed += 1,
            _ => {}
        }
    })?;
    Ok(met)
}

fn section(
    contenders: &[Contender],
    met: &[[Vec<Met>; 2]],
    times: usize,
    committed: u64,
    command: &str,
) -> String {
    let mut text = format!(
        "\n## {HEADING}\n\nMade by `{command}`. {times} failovers, the same for all: {PARTITIONS} partitions are written in \
         transactions of 1 to 50 records, of which 30 % are aborted ({committed} records are committed in all). Two groups \
         read with read_committed and commit at random positions: one is at most 100 records from the end, the other has 20 \
         to 80 % of its unread records before it. Then all stop, the mirrors catch up, and {} s pass in which MirrorMaker 2 \
         has no group offset to move any more, as at a failover that is planned. Each group goes on on the target: with \
         MirrorMaker 2 from the offset that it synced there (from the partition's start, where there is none); with \
         identical offsets from the one that is committed on the source; with translated ones from what `isomirror marks \
         translate` says of that. Records of all partitions that the group reads again, or never sees: median (maximum) \
         over the failovers.\n\n\
         | | current group: again | missed | group behind: again | missed | partitions without an offset |\n\
         |---|---:|---:|---:|---:|---:|\n",
        SETTLED.as_secs(),
    );
    for (contender, groups) in contenders.iter().zip(met) {
        let cell = |group: usize, figure: fn(&Met) -> u64| {
            let mut values: Vec<f64> = groups[group].iter().map(|met| figure(met) as f64).collect();
            values.sort_by(f64::total_cmp);
            format!("{:.0} ({:.0})", median(&values), values.last().copied().unwrap_or_default())
        };
        let without: u64 = groups.iter().flatten().map(|met| met.without).sum();
        writeln!(
            text,
            "| {} | {} | {} | {} | {} | {without} of {} |",
            contender.name,
            cell(0, |met| met.again),
            cell(0, |met| met.missed),
            cell(1, |met| met.again),
            cell(1, |met| met.missed),
            2 * times * PARTITIONS as usize,
        )
        .expect("to a string");
    }
    write!(text, "\nMirrorMaker 2's configuration:\n\n```properties\n{ONE_WAY}{MIRROR_MAKER_2}```\n")
        .expect("to a string");
    text
}
