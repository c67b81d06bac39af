//! What the demo tells: a line a step, a table at the end, or all of it as JSON.

use std::{
    io::{self, Write, stdout},
    time::Duration,
};

use comfy_table::{CellAlignment, Table, presets};
use serde::Serialize;

use super::{BROKERS, Mirrored, compare::Row, records::TOPICS};
use crate::human;

/// How it ended: what `--output json` prints.
#[derive(Debug, Serialize)]
pub struct Outcome {
    /// Whether every partition holds the same on both sides.
    pub equal: bool,
    /// Records mirrored.
    pub records: u64,
    /// Their key, value and header bytes.
    pub bytes: u64,
    /// How long mirroring took, with the link's start and stop.
    pub seconds: f64,
    /// Records mirrored a second.
    pub records_per_second: f64,
    /// Every partition.
    pub partitions: Vec<Row>,
}

impl Outcome {
    /// The outcome of a mirror run whose sides compare like this.
    pub(super) fn new(partitions: Vec<Row>, mirrored: &Mirrored) -> Self {
        let seconds = mirrored.took.as_secs_f64();
        Self {
            equal: !partitions.is_empty() && partitions.iter().all(|row| row.equal),
            records: mirrored.records,
            bytes: mirrored.bytes,
            seconds,
            records_per_second: mirrored.records as f64 / seconds.max(0.001),
            partitions,
        }
    }
}

/// Tells people step by step; silent where JSON was asked for.
pub struct Story {
    told: bool,
}

impl Story {
    pub fn new(told: bool) -> Self {
        Self { told }
    }

    /// What there is.
    pub fn begin(&self, source: &str, target: &str) -> io::Result<()> {
        let topics: Vec<String> = TOPICS.iter().map(topic_line).collect();
        self.tell(&format!(
            "Two Kafka clusters of {BROKERS} brokers each run inside this process, for as long as it does:\n  \
             dc1, the source, at {source}\n  dc2, the target, at {target}\n\
             The link \"demo\" mirrors these topics from dc1 to dc2:\n  {}\n",
            topics.join("\n  ")
        ))
    }

    pub fn loaded(&self, records: u64, took: Duration) -> io::Result<()> {
        self.step("loaded", &format!("{} records into dc1", human::count(records)), took)
    }

    pub(super) fn mirrored(&self, mirrored: &Mirrored) -> io::Result<()> {
        let (records, bytes) = (human::count(mirrored.records), human::bytes(mirrored.bytes));
        self.step("mirrored", &format!("{records} records, {bytes}, to dc2"), mirrored.took)
    }

    pub fn read_back(&self, took: Duration) -> io::Result<()> {
        self.step("read back", "both clusters, with a client that is not the mirror's", took)
    }

    /// The table, what it means, and what to do next.
    pub fn end(&self, outcome: &Outcome) -> io::Result<()> {
        self.tell(&format!("\n{}", table(&outcome.partitions)))?;
        for row in &outcome.partitions {
            if let Some(record) = row.first_difference {
                self.tell(&format!("{}[{}] differs from record {record} on", row.topic, row.partition))?;
            }
        }
        self.tell(
            "content: a digest over every key, value, header and timestamp, in order; null and empty differ.\n",
        )?;
        self.tell(&verdict(outcome))?;
        self.tell(
            "Next: put your own clusters into config/minimal.toml, then `isomirror check` and `isomirror run` it; \
             README.md tells more.",
        )
    }

    fn step(&self, name: &str, what: &str, took: Duration) -> io::Result<()> {
        self.tell(&format!("{name:9}  {what}, in {}", human::duration(took.as_secs_f64())))
    }

    fn tell(&self, text: &str) -> io::Result<()> {
        if self.told { line(text) } else { Ok(()) }
    }
}

/// A line on standard output.
pub fn line(text: &str) -> io::Result<()> {
    match writeln!(stdout().lock(), "{text}") {
        // A reader that has seen enough (`| head`) is no failure.
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error),
        _ => Ok(()),
    }
}

fn topic_line(topic: &super::records::Topic) -> String {
    let partitions = human::plural(topic.partitions.unsigned_abs() as usize, "partition", "partitions");
    let renamed = if topic.name == topic.target { String::new() } else { format!(", as {}", topic.target) };
    format!("{}, {partitions}{renamed}", topic.name)
}

fn table(rows: &[Row]) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_header([
        "\ntopic",
        "\ntarget topic",
        "\np",
        "records\non dc1",
        "records\non dc2",
        "content\non dc1",
        "content\non dc2",
        "\nequal",
    ]);
    for column in [2, 3, 4] {
        if let Some(column) = table.column_mut(column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    for row in rows {
        table.add_row([
            row.topic.to_owned(),
            row.target_topic.to_owned(),
            row.partition.to_string(),
            human::count(row.source.records as u64),
            human::count(row.target.records as u64),
            short(row.source.digest),
            short(row.target.digest),
            if row.equal { "yes" } else { "NO" }.to_owned(),
        ]);
    }
    // Lines that end in blanks are no help to those who copy them.
    table.trim_fmt().lines().map(|line| format!("{}\n", line.trim_end())).collect()
}

/// Enough of a digest to tell two apart by eye, in a table of 80 columns; JSON has all of it.
fn short(digest: u64) -> String {
    format!("{digest:016x}")[..10].to_owned()
}

fn verdict(outcome: &Outcome) -> String {
    let partitions = outcome.partitions.len();
    let equal = outcome.partitions.iter().filter(|row| row.equal).count();
    let words = if outcome.equal {
        format!("All {partitions} partitions are equal")
    } else {
        format!(
            "{} of {partitions} partitions DIFFER, which is a fault of isomirror: report it",
            partitions - equal
        )
    };
    format!(
        "{words}: {} records, {}, mirrored in {}, {}.",
        human::count(outcome.records),
        human::bytes(outcome.bytes),
        human::duration(outcome.seconds),
        human::records_rate(outcome.records_per_second)
    )
}

#[cfg(test)]
mod tests {
    use super::super::compare::tests::row;
    use super::*;

    #[test]
    fn a_table_fits_a_terminal_and_shouts_at_a_difference() {
        let rows = [row("payments.eu", 0, true), row("payments.eu", 1, false)];
        let text = table(&rows);
        assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
        let ends: Vec<bool> = text.lines().map(|line| line.ends_with("NO")).collect();
        assert_eq!(ends, [false, false, false, true], "{text}");
    }

    #[test]
    fn the_verdict_counts_what_differs() {
        let mirrored = Mirrored { records: 10, bytes: 10, took: Duration::from_secs(2) };
        let outcome = |rows| verdict(&Outcome::new(rows, &mirrored));
        let good = outcome(vec![row("a", 0, true)]);
        assert!(
            good.starts_with("All 1 partitions are equal: 10 records, 10 B, mirrored in 2 s, 5 records/s."),
            "{good}"
        );
        let bad = outcome(vec![row("a", 0, true), row("a", 1, false)]);
        assert!(bad.starts_with("1 of 2 partitions DIFFER"), "{bad}");
    }
}
