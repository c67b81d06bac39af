//! What was found, for a person. Owns wording and order.

use std::{
    fmt::{self, Write as _},
    time::Duration,
};

use comfy_table::{CellAlignment, Table, presets};
use migration::verify::{Counts, Difference, LaneReport, Part, Report, Shape, Verdict};

use crate::human::{self, plain};

/// Lanes whose first difference is shown; JSON has all.
const SHOWN: usize = 10;

/// The table, the first differences, and the verdict last.
pub fn report(report: &Report, took: Duration) -> String {
    let mut out = String::new();
    // Writing to a String cannot fail.
    let _ = write(&mut out, report, took);
    out
}

fn write(out: &mut String, report: &Report, took: Duration) -> fmt::Result {
    out.push_str(&table(report));
    let differing: Vec<_> =
        report.lanes.iter().filter(|lane| lane.found.first_difference.is_some()).collect();
    for lane in differing.iter().take(SHOWN) {
        let first = lane.found.first_difference.as_ref().expect("only those that have one");
        write_difference(out, lane, first)?;
    }
    if let Some(more) = differing.len().checked_sub(SHOWN + 1) {
        let more = human::plural(more + 1, "more lane", "more lanes");
        writeln!(out, "\n{more} with differences: --output json has the first of each")?;
    }
    for lane in report.lanes.iter().filter(|lane| lane.trouble.is_some()) {
        let trouble = lane.trouble.as_deref().unwrap_or_default();
        // Its fix has a line of its own.
        let trouble: Vec<_> = trouble.lines().map(plain).collect();
        writeln!(out, "\n{}: {}", name(lane), trouble.join("\n"))?;
    }
    for note in report.notes.iter().chain(&explained(&report.totals)) {
        writeln!(out, "\nnote: {}", plain(note))?;
    }
    writeln!(out, "\n{}", verdict(report, took))
}

fn table(report: &Report) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_header([
        "topic",
        "target topic",
        "p",
        "from",
        "to",
        "equal",
        "changed",
        "missing",
        "extra",
        "behind",
        "",
    ]);
    for column in 2..10 {
        if let Some(column) = table.column_mut(column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    for lane in &report.lanes {
        let counts = &lane.found.counts;
        table.add_row([
            plain(&lane.topic),
            plain(&lane.target_topic),
            lane.partition.to_string(),
            lane.from.to_string(),
            lane.to.to_string(),
            human::count(counts.equal),
            human::count(counts.changed),
            human::count(counts.missing),
            human::count(counts.extra),
            human::count(lane.behind),
            match lane.verdict {
                Verdict::Equal => "equal",
                Verdict::Incomplete => "NOT COMPARED",
                Verdict::Different => "DIFFERENT",
            }
            .to_owned(),
        ]);
    }
    // Lines that end in blanks are no help to those who copy them.
    table.trim_fmt().lines().map(|line| format!("{}\n", line.trim_end())).collect()
}

fn write_difference(out: &mut String, lane: &LaneReport, first: &Difference) -> fmt::Result {
    writeln!(out, "\n{}: the first difference: {first}", name(lane))?;
    for (side, shape) in [("source", &first.source), ("target", &first.target)] {
        if let Some(shape) = shape {
            writeln!(out, "  {side}: {}", describe(shape))?;
        }
    }
    Ok(())
}

fn describe(shape: &Shape) -> String {
    let of = |part: &Option<Part>| match part {
        None => "null".to_owned(),
        Some(Part { text: Some(text), .. }) => format!("{text:?}"),
        Some(Part { bytes, digest, .. }) => format!("{} (xxh3 {digest})", human::bytes(*bytes as u64)),
    };
    let mut out =
        format!("timestamp {}, key {}, value {}", shape.timestamp, of(&shape.key), of(&shape.value));
    for (name, value) in &shape.headers {
        let _ = write!(out, ", header {}: {}", plain(name), of(value));
    }
    out
}

/// What is on one side only, and rightly.
fn explained(counts: &Counts) -> Vec<String> {
    let count = human::count;
    [
        (counts.compacted_on_source, "on the target only: the source's log cleaner has taken them"),
        (counts.compacted_on_target, "on the source only: the target's log cleaner has taken them"),
        (counts.deleted_on_source, "on the target only: retention has deleted them from the source"),
        (counts.deleted_on_target, "on the source only: retention has deleted them from the target"),
        (counts.of_others, "on the target are of others who write there"),
        (
            counts.unproven,
            "on one side only: a log cleaner may have taken them from the other, but what would tell was not read",
        ),
    ]
    .into_iter()
    .filter(|(records, _)| *records > 0)
    .map(|(records, what)| format!("{} {what}", if records == 1 { "1 record".to_owned() } else { format!("{} records", count(records)) }))
    .collect()
}

fn verdict(report: &Report, took: Duration) -> String {
    let lanes = report.lanes.len();
    let of = |verdict| report.lanes.iter().filter(|lane| lane.verdict == verdict).count();
    let (different, incomplete) = (of(Verdict::Different), of(Verdict::Incomplete));
    let words = match report.verdict {
        Verdict::Equal if lanes == 1 => "The lane is equal".to_owned(),
        Verdict::Equal => format!("All {} are equal", human::plural(lanes, "lane", "lanes")),
        Verdict::Different => {
            format!("{different} of {} DIFFERENT", human::plural(lanes, "lane is", "lanes are"))
        }
        Verdict::Incomplete => format!(
            "{incomplete} of {} could NOT be compared; the others are equal",
            human::plural(lanes, "lane", "lanes")
        ),
    };
    let totals = &report.totals;
    let mut out = format!(
        "{words}: {} records, {}, compared in {}",
        human::count(totals.equal + totals.changed),
        human::bytes(totals.bytes),
        human::duration(took.as_secs_f64())
    );
    if let Some(sample) = report.sample {
        let _ = write!(out, "; a sample of {} %, seed {}", sample.part * 100.0, sample.seed);
    }
    let behind: u64 = report.lanes.iter().map(|lane| lane.behind).sum();
    if behind > 0 {
        let _ = write!(out, "; {} source offsets are not mirrored yet", human::count(behind));
    }
    out.push('.');
    out
}

fn name(lane: &LaneReport) -> String {
    let LaneReport { topic, target_topic, partition, .. } = lane;
    if topic == target_topic {
        format!("{}[{partition}]", plain(topic))
    } else {
        format!("{}[{partition}] → {}", plain(topic), plain(target_topic))
    }
}
