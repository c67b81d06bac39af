//! A section for each thing that was measured.

use std::{collections::BTreeSet, fmt::Write as _};

use super::{CPU, FIGURES, FIRST, PEAK_RSS, TARGET_CPU, THROUGHPUT};
use crate::{
    idle,
    latency::{self, Load},
    mirrors::Mirror,
    results::{ByMirror, Series},
    run::Run,
    shapes::Shape,
    stats::{Spread, shown},
};

/// A figure of latencies, in seconds.
type Latency = (&'static str, fn(&latency::Run) -> f64);

/// Those of the plot.
pub const LATENCIES: [Latency; 3] =
    [("p50", |run| run.p50), ("p99", |run| run.p99), ("p99.9", |run| run.p999)];

/// What has figures to print, by their titles.
type Row<T> = (String, Box<dyn Fn(&T) -> f64>);

/// One shape.
pub fn shape(shape: &Shape, of: &ByMirror<Run>) -> String {
    let first = of.values().flat_map(|series| &series.runs).next();
    let size =
        first.map_or_else(String::new, |run| format!(" {} records, {} GB.", run.records, shown(run.gb())));
    let mut text = format!(
        "\n## {}\n\n`--shapes {}`: {}.{size}{}\n\n",
        shape.title,
        shape.name,
        shape.about(),
        turns(of, 1)
    );
    text += &figures(of, FIGURES.map(|figure| (figure.title.to_owned(), Box::new(figure.of) as Box<_>)));
    if let Some(ours) = of.get(&Mirror::Batches).filter(|_| of.len() > 1) {
        text += "\nRatios of medians, to isomirror with batches:\n\n";
        text += &head(of.keys());
        for figure in [THROUGHPUT, CPU, TARGET_CPU, PEAK_RSS, FIRST] {
            let ours = figure.over(&ours.runs).map(|spread| spread.median);
            let cell = |series: &Series<Run>| match (figure.over(&series.runs), ours) {
                (Some(theirs), Some(ours)) => shown(theirs.median / ours),
                _ => "–".to_owned(),
            };
            let cells: Vec<String> = of.values().map(cell).collect();
            writeln!(text, "| {} | {} |", figure.title, cells.join(" | ")).expect("to a string");
        }
    }
    text
}

/// All latencies.
pub fn latency(of: &std::collections::BTreeMap<Load, ByMirror<latency::Run>>) -> String {
    if of.is_empty() {
        return String::new();
    }
    let mut text = format!(
        "\n## End-to-end latency\n\nFrom the producer's clock on the source to the consumer's on the target, which are the same \
         clock. Records of shape `{}`, made every {} ms, and read by a consumer that always has a request waiting; the loads \
         are parts of the throughputs above, and the same for all mirrors. Before what is measured, half as long passes for \
         warming up. MirrorMaker 2 is tuned for latency; isomirror has nothing to tune. \"No mirror\": the consumer reads from \
         the source itself.\n",
        latency::SHAPE,
        latency::TICK.as_millis(),
    );
    for (load, of) in of {
        let rate = of.values().flat_map(|series| &series.runs).map(|run| run.rate).next().unwrap_or_default();
        write!(text, "\n{}: {rate:.0} records/s.{}\n\n", load.title(), turns(of, 1)).expect("to a string");
        let millis = LATENCIES.into_iter().chain([("longest", (|run| run.max) as fn(&latency::Run) -> f64)]);
        let millis = millis.map(|(name, figure)| -> Row<latency::Run> {
            (format!("{name}, ms"), Box::new(move |run| figure(run) * 1e3))
        });
        let cpu: Row<latency::Run> = ("CPU of the mirror, ms/s".to_owned(), Box::new(|run| run.cpu * 1e3));
        text += &figures(of, millis.chain([cpu]));
    }
    text
}

/// All about idle partitions.
pub fn idle(of: &ByMirror<idle::Run>) -> String {
    if of.is_empty() {
        return String::new();
    }
    let [few, many] = idle::PARTITIONS;
    let mut text = format!(
        "\n## Idle partitions\n\nMirrored to the end, and then left alone: {few} partition and {many}, one record in each.{}\n\n",
        turns(of, idle::PARTITIONS.len())
    );
    type Of = fn(&idle::Run) -> f64;
    let parts: [(&str, Of); 4] = [
        ("CPU of the mirror, ms/s", |run| run.cpu * 1e3),
        ("RSS of the mirror, MB", |run| run.rss as f64 / 1e6),
        ("CPU of the source broker, ms/s", |run| run.source_cpu * 1e3),
        ("CPU of the target broker, ms/s", |run| run.target_cpu * 1e3),
    ];
    text += &head(of.keys());
    let over = |series: &Series<idle::Run>, partitions: i32, figure: Of| {
        Spread::of(series.runs.iter().filter(|run| run.partitions == partitions).map(figure))
    };
    for partitions in [few, many] {
        for (name, figure) in parts {
            let cell = |series| over(series, partitions, figure).map_or_else(String::new, |s| s.to_string());
            let cells: Vec<String> = of.values().map(cell).collect();
            writeln!(text, "| {partitions}: {name} | {} |", cells.join(" | ")).expect("to a string");
        }
    }
    let each: [(&str, Of); 4] = [
        ("CPU of the mirror, µs/s", |run| run.cpu * 1e6),
        ("RSS of the mirror, bytes", |run| run.rss as f64),
        ("CPU of the source broker, µs/s", |run| run.source_cpu * 1e6),
        ("CPU of the target broker, µs/s", |run| run.target_cpu * 1e6),
    ];
    for (name, figure) in each {
        let cell = |series| match (over(series, few, figure), over(series, many, figure)) {
            (Some(few_of), Some(many_of)) => shown((many_of.median - few_of.median) / f64::from(many - few)),
            _ => String::new(),
        };
        let cells: Vec<String> = of.values().map(cell).collect();
        writeln!(text, "| each more: {name} | {} |", cells.join(" | ")).expect("to a string");
    }
    text
}

/// A table of medians and spreads, with a column for each mirror.
fn figures<T>(of: &ByMirror<T>, rows: impl IntoIterator<Item = Row<T>>) -> String {
    let mut text = head(of.keys());
    for (title, figure) in rows {
        let cell = |series: &Series<T>| {
            Spread::of(series.runs.iter().map(&figure)).map_or_else(String::new, |spread| spread.to_string())
        };
        let cells: Vec<String> = of.values().map(cell).collect();
        writeln!(text, "| {title} | {} |", cells.join(" | ")).expect("to a string");
    }
    text
}

fn head<'a>(mirrors: impl Iterator<Item = &'a Mirror>) -> String {
    let titles: Vec<&str> = mirrors.map(|mirror| mirror.title()).collect();
    format!("| | {} |\n|---|{}\n", titles.join(" | "), "---:|".repeat(titles.len()))
}

/// How many runs there were, each with so many figures on record, and whether they took turns.
fn turns<T>(of: &ByMirror<T>, figures: usize) -> String {
    let counts: BTreeSet<usize> = of.values().map(|series| series.runs.len() / figures).collect();
    let counts: Vec<String> = counts.iter().map(usize::to_string).collect();
    let sessions: BTreeSet<u64> = of.values().map(|series| series.session).collect();
    let apart = if sessions.len() > 1 { ", of more than one command: not all took turns" } else { "" };
    format!(" Runs of each: {}{apart}.", counts.join(" to "))
}
