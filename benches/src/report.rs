//! The report: medians, spread, and ratios of medians, as Markdown.

use std::fmt::Write as _;

use crate::{
    Run,
    mirrors::{MIRROR_MAKER_2, Mirror},
    shapes::Shape,
};

type Results = [(Shape, Mirror, Vec<Run>)];

/// A figure of a run.
type Figure = (&'static str, fn(&Shape, &Run) -> f64, usize);

const FIGURES: [Figure; 9] = [
    ("records/s, whole run", |shape, run| shape.records as f64 / run.seconds, 0),
    ("records/s, from the first record", |shape, run| shape.records as f64 / (run.seconds - run.first), 0),
    ("MB/s, from the first record", |shape, run| shape.bytes() as f64 / 1e6 / (run.seconds - run.first), 1),
    ("CPU-s/GB, with its start", |shape, run| run.cpu / (shape.bytes() as f64 / 1e9), 2),
    ("CPU-s/GB, from the first record", |shape, run| run.cpu_running / (shape.bytes() as f64 / 1e9), 2),
    ("CPU-µs/record, with its start", |shape, run| run.cpu / shape.records as f64 * 1e6, 2),
    ("peak RSS, MB", |_, run| run.peak_rss as f64 / 1e6, 0),
    ("time to first record, s", |_, run| run.first, 2),
    ("target broker, CPU-s/GB", |shape, run| run.target_cpu / (shape.bytes() as f64 / 1e9), 2),
];

/// The whole report.
pub fn text(results: &Results, command: &str) -> String {
    let mut text = format!(
        "# Results\n\nMade by `{command}` (after `cargo build --release -p isomirror`), on one machine of {} cores \
         that runs both brokers (Apache Kafka {}) and the mirror, and is shared with others. Median (minimum to \
         maximum) over the runs; the mirrors take turns, so the ratios of medians are what to compare. A GB is 10⁹ \
         bytes of keys, values and headers. The topic exists on the target before each run.\n",
        std::thread::available_parallelism().map_or(0, usize::from),
        kafka_harness::MAIN_VERSION,
    );
    let mut at = 0;
    while at < results.len() {
        let shape = &results[at].0;
        let group: Vec<_> = results[at..].iter().take_while(|r| r.0.topic == shape.topic).collect();
        at += group.len();
        section(&mut text, shape, &group);
    }
    write!(text, "\n## MirrorMaker 2's configuration\n\n```properties\n{MIRROR_MAKER_2}```\n")
        .expect("to a string");
    text
}

fn section(text: &mut String, shape: &Shape, group: &[&(Shape, Mirror, Vec<Run>)]) {
    let runs = group[0].2.len();
    writeln!(
        text,
        "\n## {}\n\n{} records, {:.2} GB, {} partitions, no compression, {runs} runs each.\n",
        shape.title,
        shape.records,
        shape.bytes() as f64 / 1e9,
        shape.partitions,
    )
    .expect("to a string");
    let names: Vec<&str> = group.iter().map(|(_, mirror, _)| mirror.name()).collect();
    let ratio = if group.len() > 1 { " ratio |" } else { "" };
    writeln!(text, "| | {} |{ratio}", names.join(" | ")).expect("to a string");
    writeln!(text, "|---|{}", "---:|".repeat(group.len() + usize::from(group.len() > 1)))
        .expect("to a string");
    for (name, figure, decimals) in FIGURES {
        let columns: Vec<Vec<f64>> = group
            .iter()
            .map(|(shape, _, runs)| {
                let mut values: Vec<f64> = runs.iter().map(|run| figure(shape, run)).collect();
                values.sort_by(f64::total_cmp);
                values
            })
            .collect();
        let cell = |v: &Vec<f64>| {
            let (low, high) = (v[0], v[v.len() - 1]);
            format!("{:.decimals$} ({low:.decimals$}–{high:.decimals$})", median(v))
        };
        let cells: Vec<String> = columns.iter().map(cell).collect();
        let ratio = match &columns[..] {
            [ours, theirs] => format!(" {:.2} |", median(ours) / median(theirs)),
            _ => String::new(),
        };
        writeln!(text, "| {name} | {} |{ratio}", cells.join(" | ")).expect("to a string");
    }
}

/// Of sorted values.
pub fn median(sorted: &[f64]) -> f64 {
    let middle = sorted.len() / 2;
    if sorted.len() % 2 == 1 { sorted[middle] } else { (sorted[middle - 1] + sorted[middle]) / 2.0 }
}

/// The text with one section, which begins at its heading, put in the place of its older self, or at the end.
pub fn with_section(text: &str, heading: &str, section: &str) -> String {
    let (before, _, after) = around(text, heading);
    format!("{before}{section}{after}")
}

/// The section of this heading, if there is one.
pub fn section_of<'a>(text: &'a str, heading: &str) -> &'a str {
    around(text, heading).1
}

fn around<'a>(text: &'a str, heading: &str) -> (&'a str, &'a str, &'a str) {
    let begin = text.find(&format!("\n## {heading}\n")).unwrap_or(text.len());
    let (before, rest) = text.split_at(begin);
    let end = rest.get(1..).and_then(|rest| rest.find("\n## ")).map_or(rest.len(), |at| at + 1);
    let (section, after) = rest.split_at(end);
    (before, section, after)
}

#[cfg(test)]
mod tests {
    use super::{section_of, with_section};

    #[test]
    fn a_section_is_put_in_the_place_of_its_older_self_and_nothing_else_changes() {
        let text = "# R\n\n## a\n\n1\n\n## b\n\n2\n\n## c\n\n3\n";
        let new = "\n## b\n\nnew\n";
        assert_eq!(with_section(text, "b", new), "# R\n\n## a\n\n1\n\n## b\n\nnew\n\n## c\n\n3\n");
        assert_eq!(with_section(text, "c", "\n## c\n"), "# R\n\n## a\n\n1\n\n## b\n\n2\n\n## c\n");
        assert_eq!(with_section(text, "d", "\n## d\n"), format!("{text}\n## d\n"));
        assert_eq!(section_of(text, "a"), "\n## a\n\n1\n");
        assert_eq!((section_of(text, "c"), section_of(text, "d")), ("\n## c\n\n3\n", ""));
    }
}
