//! Topics as tables for a person. Owns wording and order.

use std::fmt::Write as _;

use migration::topics::{Clearing, Done, Listing, Report, TopicRow};

use crate::{
    human::{self, plain},
    table,
};

/// All topics, and what is wanted of each.
pub fn listing(listing: &Listing) -> String {
    if listing.topics.is_empty() {
        return format!(
            "link {}: no topic on {} matches topics.include",
            listing.link,
            plain(&listing.source)
        );
    }
    let mut table = table::with(&["topic", "state", "since", "by", "began", "lanes", ""], &[5]);
    for row in &listing.topics {
        table.add_row([
            arrow(row),
            row.state.to_owned(),
            time(row.since),
            row.by.as_deref().map_or_else(|| human::NONE.to_owned(), plain),
            time(row.began),
            human::count(row.lanes as u64),
            note(row),
        ]);
    }
    table::trimmed(&table)
}

fn arrow(row: &TopicRow) -> String {
    match &row.target_topic {
        Some(target) if *target != row.topic => format!("{} → {}", plain(&row.topic), plain(target)),
        _ => plain(&row.topic),
    }
}

fn note(row: &TopicRow) -> String {
    let why = row.why.as_deref().map(plain);
    [why.as_deref(), row.note].into_iter().flatten().collect::<Vec<_>>().join("; ")
}

/// What is wanted of topics now, and whether the link does it.
pub fn report(report: &Report) -> String {
    let mut out = String::new();
    for topic in &report.topics {
        let name = plain(&topic.topic);
        let _ = match topic.was == topic.state {
            true => writeln!(out, "{name}: {}, as it was", topic.state),
            false => writeln!(out, "{name}: {} (was {})", topic.state, topic.was),
        };
    }
    if report.topics.iter().any(|topic| !topic.source.is_empty()) {
        let mut table = table::with(&["topic", "p", "source begins", "source ends"], &[1, 2, 3]);
        for (topic, at) in
            report.topics.iter().flat_map(|topic| topic.source.iter().map(move |at| (topic, at)))
        {
            table.add_row([
                plain(&topic.topic),
                at.partition.to_string(),
                at.first.to_string(),
                at.end.to_string(),
            ]);
        }
        let _ = write!(out, "\n{}", table::trimmed(&table));
    }
    let done = match &report.done {
        Done::Yes => format!("link {} does so.", report.link),
        Done::Nothing => "Nothing had to be changed.".to_owned(),
        Done::NotRunning => format!("link {} does not run; it will do so when it is started.", report.link),
        Done::NotYet(slots) => format!(
            "It is on record, but link {} has NOT done it yet (lanes in slots {slots:?}).\n  fix: see the logs of its \
             instances, and isomirror status; each has to be allowed to READ topic isomirror.{}.journal",
            report.link, report.link
        ),
    };
    let _ = write!(out, "\n{done}");
    out
}

/// What would be deleted.
pub fn clearings(clearings: &[Clearing], target: &str) -> String {
    let mut table =
        table::with(&["topic", &format!("on {}", plain(target)), "partitions", "records"], &[2, 3]);
    for clearing in clearings {
        let records = match (clearing.there, clearing.offsets) {
            (false, _) => "not there".to_owned(),
            (true, 0) => "none".to_owned(),
            (true, offsets) => format!("up to {}", human::count(offsets)),
        };
        table.add_row([
            plain(&clearing.topic),
            plain(&clearing.target_topic),
            human::count(clearing.partitions as u64),
            records,
        ]);
    }
    format!(
        "{}\nTheir target topics are deleted and made again, their marks forgotten, and they begin where `start` says.",
        table::trimmed(&table)
    )
}

fn time(ms: Option<i64>) -> String {
    ms.map_or_else(|| human::NONE.to_owned(), human::time)
}
