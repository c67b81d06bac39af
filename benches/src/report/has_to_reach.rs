//! What isomirror has to reach, and whether it does.

use std::fmt::Write as _;

use super::{CPU, FIRST, Figure, PEAK_RSS, TARGET_CPU, THROUGHPUT};
use crate::{
    latency::Load,
    mirrors::Mirror,
    results::{Results, Series},
    shapes::{FAR, SHAPES},
    stats::{Spread, shown},
};

/// CPU counts over so many GB.
const ENOUGH: f64 = 2.0;

/// One line of the table.
struct Line {
    what: &'static str,
    against: &'static str,
    at_least: &'static str,
    /// None: not measured.
    found: Option<Found>,
}

struct Found {
    text: String,
    reached: bool,
    /// Why it does not count, or not as it should.
    but: Vec<&'static str>,
}

/// The section.
pub fn section(results: &Results) -> String {
    let mut text = "\n## Has to reach\n\nisomirror with `engine = \"batches\"`; medians.\n\n\
                    | | against | at least | measured | reached |\n|---|---|---|---|---|\n"
        .to_owned();
    for Line { what, against, at_least, found } in lines(results) {
        let (measured, reached) = match found {
            None => ("not measured".to_owned(), "–".to_owned()),
            Some(Found { text, reached, but }) => {
                let word = if reached { "yes" } else { "**no**" };
                let but = if but.is_empty() { String::new() } else { format!(" ({})", but.join(", ")) };
                (text, format!("{word}{but}"))
            }
        };
        writeln!(text, "| {what} | {against} | {at_least} | {measured} | {reached} |").expect("to a string");
    }
    text
}

fn lines(results: &Results) -> [Line; 10] {
    let mm2 = "MirrorMaker 2, tuned";
    let line = |what, against, at_least, found| Line { what, against, at_least, found };
    [
        line("CPU-s/GB, 1 KiB plain", mm2, "15× less", times_less(results, "1k", &CPU, 15.0)),
        line("CPU-s/GB, 100 B lz4", mm2, "40× less", times_less(results, "100b-lz4", &CPU, 40.0)),
        line("throughput, 1 KiB plain", mm2, "4× more, or the brokers are the limit", four_times(results)),
        line("throughput, 1 KiB plain", "the bare loop", "90 %", part_of_bare(results, "1k")),
        line("throughput, the shape where it is least", "the bare loop", "90 %", least_of_bare(results)),
        line(
            "target broker's CPU-s/GB, 20 records a batch",
            mm2,
            "no more",
            times_less(results, "small", &TARGET_CPU, 1.0),
        ),
        line(
            "end-to-end p99 at 10 % load, both tuned for latency",
            mm2,
            "3× less, and under 10 ms",
            latency(results),
        ),
        line("peak RSS, 1,000 partitions", "", "150 MB", peak(results)),
        line("throughput, one partition, 100 ms away", "", "50 MB/s", far(results)),
        line("time to first record, 1 KiB plain", mm2, "10× less", times_less(results, "1k", &FIRST, 10.0)),
    ]
}

/// Medians of isomirror and another on one shape.
struct Compared {
    ours: f64,
    theirs: f64,
    but: Vec<&'static str>,
}

fn compared(results: &Results, shape: &str, other: Mirror, figure: &Figure) -> Option<Compared> {
    let [ours, theirs] = [results.on(shape, Mirror::Batches)?, results.on(shape, other)?];
    let mut but = apart(ours, theirs);
    if [ours, theirs].iter().flat_map(|series| &series.runs).any(|run| run.gb() < ENOUGH) {
        but.push("over less than 2 GB");
    }
    let [ours, theirs] = [figure.over(&ours.runs)?.median, figure.over(&theirs.runs)?.median];
    Some(Compared { ours, theirs, but })
}

fn apart<T>(ours: &Series<T>, theirs: &Series<T>) -> Vec<&'static str> {
    if ours.session == theirs.session { Vec::new() } else { vec!["not in turns"] }
}

fn times_less(results: &Results, shape: &str, figure: &Figure, least: f64) -> Option<Found> {
    let Compared { ours, theirs, but } = compared(results, shape, Mirror::Mm2, figure)?;
    let text = format!("{} against {}: {}× less", shown(ours), shown(theirs), shown(theirs / ours));
    Some(Found { text, reached: theirs / ours >= least, but })
}

/// What part of the bare loop's throughput isomirror has.
fn part_of_bare(results: &Results, shape: &str) -> Option<Found> {
    let Compared { ours, theirs, but } = compared(results, shape, Mirror::Bare, &THROUGHPUT)?;
    let part = ours / theirs;
    let text = format!("{} against {} MB/s: {:.0} %", shown(ours), shown(theirs), part * 100.0);
    Some(Found { text, reached: part >= 0.9, but })
}

fn least_of_bare(results: &Results) -> Option<Found> {
    let part = |shape: &str| {
        let found = compared(results, shape, Mirror::Bare, &THROUGHPUT)?;
        Some(found.ours / found.theirs)
    };
    let parts = SHAPES.iter().filter_map(|shape| Some((shape, part(shape.name)?)));
    let (shape, _) = parts.min_by(|one, other| one.1.total_cmp(&other.1))?;
    let found = part_of_bare(results, shape.name)?;
    Some(Found { text: format!("{}: {}", shape.title, found.text), ..found })
}

fn four_times(results: &Results) -> Option<Found> {
    let Compared { ours, theirs, but } = compared(results, "1k", Mirror::Mm2, &THROUGHPUT)?;
    let times = ours / theirs;
    let mut text = format!("{} against {} MB/s: {}× more", shown(ours), shown(theirs), shown(times));
    let mut reached = times >= 4.0;
    if !reached && let Some(bare) = compared(results, "1k", Mirror::Bare, &THROUGHPUT) {
        // A loop that does nothing else does no more: what is left is the brokers'.
        let most = bare.theirs / theirs;
        write!(text, "; the bare loop itself has {}×", shown(most)).expect("to a string");
        reached = most < 4.0 / 0.9 && bare.ours / bare.theirs >= 0.9;
    }
    Some(Found { text, reached, but })
}

fn latency(results: &Results) -> Option<Found> {
    let of = results.latency.get(&Load::Low)?;
    let [ours, theirs] = [of.get(&Mirror::Batches)?, of.get(&Mirror::Mm2)?];
    let but = apart(ours, theirs);
    let p99 = |series: &Series<crate::latency::Run>| Spread::of(series.runs.iter().map(|run| run.p99 * 1e3));
    let [ours, theirs] = [p99(ours)?.median, p99(theirs)?.median];
    let text = format!("{} against {} ms: {}× less", shown(ours), shown(theirs), shown(theirs / ours));
    Some(Found { text, reached: theirs / ours >= 3.0 && ours < 10.0, but })
}

fn peak(results: &Results) -> Option<Found> {
    let spread = PEAK_RSS.over(&results.on("wide", Mirror::Batches)?.runs)?;
    Some(Found { text: format!("{spread} MB"), reached: spread.median <= 150.0, but: Vec::new() })
}

fn far(results: &Results) -> Option<Found> {
    let spread = THROUGHPUT.over(&results.on(FAR, Mirror::Batches)?.runs)?;
    Some(Found { text: format!("{spread} MB/s"), reached: spread.median >= 50.0, but: Vec::new() })
}
