//! Marks as a table for people and as JSON for scripts. Owns wording and order.

use std::io::{self, Write};

use mirror_types::{Offset, Side, TopicPartition};
use offset_marks::{LaneStart, LaneSummary, Ledger, Point, Stretch, Translated, Translation, control::Event};
use serde_json::json;

use crate::{cli::Output, human, table};

/// All lanes, and what has happened to lanes.
pub fn list(
    out: &mut impl Write,
    link: &str,
    lanes: &[LaneSummary],
    events: &[Event],
    output: Output,
) -> io::Result<()> {
    if output == Output::Json {
        let listed = json!({ "link": link, "lanes": lanes, "events": events });
        serde_json::to_writer_pretty(&mut *out, &listed)?;
        return writeln!(out);
    }
    if lanes.is_empty() {
        writeln!(out, "link {link}: no lane has begun yet")?;
    } else {
        list_lanes(out, lanes)?;
    }
    if events.is_empty() { Ok(()) } else { list_events(out, events) }
}

fn list_lanes(out: &mut impl Write, lanes: &[LaneSummary]) -> io::Result<()> {
    let header = ["topic", "p", "offsets", "since", "first", "position", "records", "runs", "bytes", "gaps"];
    let mut shown = table::with(&header, &[1, 4, 5, 6, 7, 8]);
    shown.add_rows(lanes.iter().map(row));
    write!(out, "{}", table::trimmed(&shown))?;
    for lane in lanes {
        if let Some(hole) = lane.missing.first() {
            let parts = human::plural(lane.missing.len(), "part", "parts");
            let name = name(&lane.start);
            writeln!(
                out,
                "\n{name}: {parts} of its marks missing, the first from {} to {}",
                hole.from, hole.to
            )?;
        }
    }
    Ok(())
}

/// Losses, records that were left out, and what else stays on record, by time.
fn list_events(out: &mut impl Write, events: &[Event]) -> io::Result<()> {
    let mut shown = table::with(&["topic", "p", "when", "what", "from", "to", "in words"], &[1, 4, 5]);
    shown.add_rows(events.iter().map(|event| {
        let offsets = |offset: Offset| match offset < 0 {
            true => human::NONE.to_owned(),
            false => offset.to_string(),
        };
        [
            human::plain(&event.topic),
            event.partition.to_string(),
            human::time(event.when),
            event.kind.as_str().to_owned(),
            offsets(event.from),
            offsets(event.to),
            human::plain(&event.words),
        ]
    }));
    writeln!(out, "\nwhat has happened (source offsets):\n{}", table::trimmed(&shown).trim_end())
}

/// Lanes that were forgotten.
pub fn forgotten(
    out: &mut impl Write,
    link: &str,
    lanes: &[TopicPartition],
    output: Output,
) -> io::Result<()> {
    if output == Output::Json {
        let lanes: Vec<_> =
            lanes.iter().map(|at| json!({ "topic": &*at.topic, "partition": at.partition })).collect();
        serde_json::to_writer_pretty(&mut *out, &json!({ "link": link, "forgotten": lanes }))?;
        return writeln!(out);
    }
    lanes.iter().try_for_each(|at| writeln!(out, "forgotten: {at}"))
}

fn row(lane: &LaneSummary) -> [String; 10] {
    let start = &lane.start;
    let gaps = lane.gaps.iter().map(|(cause, count)| {
        format!("{} {cause} ({} offsets)", human::count(count.gaps), human::count(count.source_offsets))
    });
    let gaps: Vec<_> = gaps.collect();
    [
        topics(start),
        start.partition.to_string(),
        mode(start),
        human::time(start.since),
        arrow(start.at),
        arrow(lane.position),
        human::count(lane.records),
        human::count(lane.runs),
        human::bytes(lane.bytes),
        if gaps.is_empty() { human::NONE.to_owned() } else { gaps.join(", ") },
    ]
}

/// A lane, as `orders/3` or `orders/3 → orders_v2/3`.
pub fn name(start: &LaneStart) -> String {
    let LaneStart { source_topic, target_topic, partition, .. } = start;
    if source_topic == target_topic {
        format!("{source_topic}/{partition}")
    } else {
        format!("{source_topic}/{partition} → {target_topic}/{partition}")
    }
}

fn topics(start: &LaneStart) -> String {
    if start.source_topic == start.target_topic {
        start.source_topic.clone()
    } else {
        format!("{} → {}", start.source_topic, start.target_topic)
    }
}

fn mode(start: &LaneStart) -> String {
    use offset_marks::{OffsetsMode, WritersMode};
    let offsets = match start.offsets {
        OffsetsMode::Identical => "identical",
        OffsetsMode::Translated => "translated",
    };
    match start.writers {
        WritersMode::Exclusive => offsets.to_owned(),
        WritersMode::Shared => format!("{offsets}, shared"),
    }
}

fn arrow(point: Point) -> String {
    format!("{} → {}", point.source, point.target)
}

/// Writes answers about offsets of one lane, one after the other: there may be millions.
pub struct Answers<'a, W> {
    out: &'a mut W,
    ledger: &'a Ledger,
    side: Side,
    output: Output,
    /// Of the column of offsets.
    width: usize,
    headed: bool,
}

impl<'a, W: Write> Answers<'a, W> {
    pub fn new(out: &'a mut W, ledger: &'a Ledger, side: Side, output: Output) -> Self {
        // Two offsets and a word between them; at least the column's name.
        let width = (2 * ledger.position().on(side).to_string().len() + 4).max(15);
        Self { out, ledger, side, output, width, headed: false }
    }

    /// About one offset; `elsewhere`: where on the other side its record lies, though this link has not brought it there.
    pub fn one(&mut self, offset: Offset, elsewhere: Option<Offset>) -> io::Result<()> {
        let translation = match (self.side, elsewhere) {
            (_, None) => self.ledger.translate(self.side, offset),
            (Side::Source, Some(target)) => Translation::Exact(Point::new(offset, target)),
            (Side::Target, Some(source)) => Translation::Exact(Point::new(source, offset)),
        };
        let by = if elsewhere.is_some() { ", by its origin: not by this link" } else { "" };
        match self.output {
            Output::Json => self.line(offset, translation),
            Output::Table => self.row(&offset.to_string(), &format!("{translation}{by}")),
        }
    }

    /// About every offset that the marks know.
    pub fn all(&mut self) -> io::Result<()> {
        for stretch in self.ledger.stretches(self.side) {
            match self.output {
                Output::Json => {
                    for offset in stretch.from..stretch.to {
                        self.line(offset, stretch.at(offset))?;
                    }
                }
                Output::Table => self.stretch(&stretch)?,
            }
        }
        if self.output == Output::Table && !self.headed {
            self.head()?;
        }
        Ok(())
    }

    pub fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }

    fn line(&mut self, offset: Offset, translation: Translation) -> io::Result<()> {
        let answer = Translated::with(self.ledger.start(), self.side, offset, translation);
        serde_json::to_writer(&mut *self.out, &answer)?;
        writeln!(self.out)
    }

    fn stretch(&mut self, stretch: &Stretch) -> io::Result<()> {
        let last = stretch.to - 1;
        let (first, end) = (stretch.at(stretch.from), stretch.at(last));
        if let (Translation::Exact(first), Translation::Exact(end)) = (first, end)
            && stretch.from < last
        {
            let (source, target) = ((first.source, end.source), (first.target, end.target));
            let words = format!("source {} to {}, target {} to {}", source.0, source.1, target.0, target.1);
            return self.row(&format!("{} to {last}", stretch.from), &words);
        }
        let offsets =
            if stretch.from < last { format!("{} to {last}", stretch.from) } else { last.to_string() };
        self.row(&offsets, &first.to_string())
    }

    fn head(&mut self) -> io::Result<()> {
        self.headed = true;
        let start = self.ledger.start();
        writeln!(self.out, "{}: from {} up to {}", name(start), start.at, self.ledger.position())?;
        let (name, width) = (format!("{} offset", self.side), self.width);
        writeln!(self.out, "\n{name:<width$} what became of it")
    }

    fn row(&mut self, offset: &str, words: &str) -> io::Result<()> {
        if !self.headed {
            self.head()?;
        }
        writeln!(self.out, "{offset:<0$} {words}", self.width)
    }
}
