//! The report, made of all that was measured: nothing in it is typed by hand.

mod has_to_reach;
mod section;
mod tables;

use std::{collections::BTreeSet, fmt::Write as _, fs, path::Path};

use anyhow::{Context, Result};

pub use self::section::{section_of, with_section};
use crate::{
    idle, latency,
    mirrors::{Mirror, configurations},
    plots::{self, Bars},
    results::Results,
    run::Run,
    shapes::{SHAPES, Shape},
    stats::{Spread, shown},
};

/// The report's file.
pub const FILE: &str = "RESULTS.md";
/// Where its plots are, beside it.
const PLOTS: &str = "plots";

/// A figure of a run.
pub struct Figure {
    /// For tables: what, and in which unit.
    pub title: &'static str,
    /// How it is found.
    pub of: fn(&Run) -> f64,
}

/// What was carried in a second, without the start.
pub const THROUGHPUT: Figure =
    Figure { title: "MB/s, from the first record", of: |run| run.bytes as f64 / 1e6 / run.running() };
/// What it cost, with the start.
pub const CPU: Figure = Figure { title: "CPU-s/GB, with its start", of: |run| run.cpu / run.gb() };
/// What it cost the target.
pub const TARGET_CPU: Figure =
    Figure { title: "target broker, CPU-s/GB", of: |run| run.target_cpu / run.gb() };
/// The most memory that it had.
pub const PEAK_RSS: Figure = Figure { title: "peak RSS, MB", of: |run| run.peak_rss as f64 / 1e6 };
/// How long it took to get going.
pub const FIRST: Figure = Figure { title: "time to first record, s", of: |run| run.first };

/// Those of the tables.
const FIGURES: [Figure; 11] = [
    THROUGHPUT,
    Figure { title: "MB/s, whole run", of: |run| run.bytes as f64 / 1e6 / run.seconds },
    Figure { title: "records/s, from the first record", of: |run| run.records as f64 / run.running() },
    Figure { title: "whole run, s", of: |run| run.seconds },
    CPU,
    Figure { title: "CPU-s/GB, from the first record", of: |run| run.cpu_running / run.gb() },
    Figure { title: "source broker, CPU-s/GB", of: |run| run.source_cpu / run.gb() },
    TARGET_CPU,
    PEAK_RSS,
    FIRST,
    Figure { title: "the target's log, GB", of: |run| run.stored as f64 / 1e9 },
];

impl Figure {
    /// Over some runs.
    pub fn over(&self, runs: &[Run]) -> Option<Spread> {
        Spread::of(runs.iter().map(self.of))
    }
}

/// Writes the report and its plots; what `old` has of other sections stays.
pub fn write(results: &Results, old: &str, kept: &[&str], dir: &Path) -> Result<()> {
    let plots = dir.join(PLOTS);
    fs::create_dir_all(&plots).with_context(|| format!("failed to create {}", plots.display()))?;
    for (name, bars) in all_plots(results) {
        plots::draw(&bars, &plots.join(name))?;
    }
    let path = dir.join(FILE);
    let text = kept
        .iter()
        .fold(text(results), |text, heading| with_section(&text, heading, section_of(old, heading)));
    fs::write(&path, text).with_context(|| format!("failed to write {}", path.display()))
}

/// The whole report.
pub fn text(results: &Results) -> String {
    let mut text = format!(
        "# Results\n\nMade by the commands at the end, on one machine of {} cores that runs both brokers (Apache Kafka {}, one \
         broker a cluster, 1 GB of heap) and the mirror. Median (minimum to maximum) over the runs; the mirrors take turns, \
         so the ratios of medians are what to compare. A GB is 10⁹ bytes of keys, values and headers, before compression. \
         The topic is there on the target before each run, and each mirror has a run before those that \
         count, for brokers whose compilers have seen what it asks for.\n",
        std::thread::available_parallelism().map_or(0, usize::from),
        kafka_harness::MAIN_VERSION,
    );
    text += &has_to_reach::section(results);
    text += &summary(results);
    for shape in measured(results) {
        text += &tables::shape(&shape, &results.shapes[shape.name]);
    }
    text += &tables::latency(&results.latency);
    text += &tables::idle(&results.idle);
    write!(
        text,
        "\n## Configurations\n\n{}\n\nRedpanda Connect is not measured: its module, \
         github.com/redpanda-data/connect/v4, is not under an open-source licence as a whole, so it is not built here.\n",
        configurations()
    )
    .expect("to a string");
    text += &commands(results);
    text
}

/// The shapes that have results.
fn measured(results: &Results) -> impl Iterator<Item = Shape> {
    SHAPES.into_iter().filter(|shape| results.shapes.get(shape.name).is_some_and(|of| !of.is_empty()))
}

/// Medians of two figures over all shapes, and the plots.
fn summary(results: &Results) -> String {
    let mut text = "\n## Summary\n".to_owned();
    for figure in [CPU, THROUGHPUT] {
        write!(text, "\n{} (medians):\n\n| |", figure.title).expect("to a string");
        for mirror in Mirror::ON_BACKLOGS {
            write!(text, " {} |", mirror.title()).expect("to a string");
        }
        writeln!(text, "\n|---|{}", "---:|".repeat(Mirror::ON_BACKLOGS.len())).expect("to a string");
        for shape in measured(results) {
            let cell = |mirror| match results.on(shape.name, mirror).and_then(|of| figure.over(&of.runs)) {
                Some(spread) => shown(spread.median),
                None => "–".to_owned(),
            };
            let cells = Mirror::ON_BACKLOGS.map(cell).join(" | ");
            writeln!(text, "| {} | {cells} |", shape.title).expect("to a string");
        }
    }
    for (name, bars) in all_plots(results) {
        write!(text, "\n![{}]({PLOTS}/{name})\n", bars.title).expect("to a string");
    }
    text
}

fn all_plots(results: &Results) -> Vec<(&'static str, Bars)> {
    let mut all = Vec::new();
    let shapes: Vec<Shape> = measured(results).collect();
    let mirrors = &Mirror::ON_BACKLOGS;
    for (name, figure, mirrors) in [
        ("cpu.svg", CPU, &mirrors[..6]),
        ("throughput.svg", THROUGHPUT, &mirrors[..]),
        ("target-cpu.svg", TARGET_CPU, &mirrors[..6]),
        ("rss.svg", PEAK_RSS, &mirrors[..6]),
        ("first.svg", FIRST, &mirrors[..6]),
    ] {
        let of = |mirror: &Mirror| {
            let on = |shape: &Shape| figure.over(&results.on(shape.name, *mirror)?.runs);
            (*mirror, shapes.iter().map(on).collect())
        };
        let groups = shapes.iter().map(|shape| shape.name.to_owned()).collect();
        all.push((name, Bars { title: figure.title, groups, series: mirrors.iter().map(of).collect() }));
    }
    let of = |mirror: &Mirror| {
        let spreads = results.latency.values().flat_map(|of| {
            let runs = of.get(mirror).map_or(&[][..], |series| &series.runs);
            tables::LATENCIES.map(|(_, figure)| Spread::of(runs.iter().map(|run| figure(run) * 1e3)))
        });
        (*mirror, spreads.collect())
    };
    let group = |load: &latency::Load| tables::LATENCIES.map(|(name, _)| format!("{name}, {}", load.short()));
    let groups = results.latency.keys().flat_map(group).collect();
    let title = "end-to-end latency, ms";
    all.push(("latency.svg", Bars { title, groups, series: latency::MIRRORS.iter().map(of).collect() }));
    all.retain(|(_, bars)| !bars.groups.is_empty());
    all
}

fn commands(results: &Results) -> String {
    let of_shapes = results.shapes.values().flat_map(|of| of.values()).map(|of| (of.session, &of.command));
    let of_latency = results.latency.values().flat_map(|of| of.values()).map(|of| (of.session, &of.command));
    let of_idle = results.idle.values().map(|of| (of.session, &of.command));
    let all: BTreeSet<(u64, &String)> = of_shapes.chain(of_latency).chain(of_idle).collect();
    let mut text = "\n## Commands\n\nAll but the sections after this one, in one command, or any part of it by `--parts`, \
                    `--shapes` and `--mirrors`:\n\n```sh\ncargo build --release -p isomirror\ncargo run --release -p \
                    isomirror-benches -- --write\n```\n\nWhat is here was made by:\n\n```sh\n"
        .to_owned();
    for (_, command) in all {
        writeln!(text, "{command}").expect("to a string");
    }
    text + &format!(
        "```\n\nEvery run is in [{file}]({file}). Idle partitions: {} of {}.\n",
        idle::PARTITIONS.map(|n| n.to_string()).join(" and "),
        "one record each",
        file = crate::results::FILE,
    )
}
