//! The report of a migration as one page that needs nothing beside it. Everything that came from a cluster or the
//! configuration is escaped: nothing is written into the page but through `Text`.

use std::fmt::{self, Write as _};

use migration::{
    cutover::{Ending, Report, StepState},
    history::{ClusterName, History, TopicHistory},
};

use crate::{
    html::{STYLE, Text},
    human,
};

const PRINTED: &str =
    "@media print { body { max-width: none; font-size: 11px; } tr, .card { break-inside: avoid; } }\n";

/// The whole page.
pub fn render(history: &History) -> String {
    let mut out = String::with_capacity(16 * 1024);
    // Writing to a String cannot fail.
    let _ = page(&mut out, history);
    out
}

fn page(out: &mut String, history: &History) -> fmt::Result {
    let link = Text(&history.link);
    write!(
        out,
        "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\
         <title>{link}: report of the migration – isomirror</title>\n<style>\n{STYLE}{PRINTED}</style></head><body>\n\
         <h1>{link}: report of the migration</h1>\n<div class=\"cards\">\n"
    )?;
    cluster(out, "from", &history.source)?;
    cluster(out, "to", &history.target)?;
    let lanes = history.topics.iter().map(|topic| topic.lanes.len()).sum();
    let records: u64 = history.topics.iter().flat_map(|topic| &topic.lanes).map(|lane| lane.records).sum();
    card(out, "topics", &human::count(history.topics.len() as u64))?;
    card(out, "partitions", &human::plural(lanes, "partition", "partitions"))?;
    card(out, "records mirrored", &human::count(records))?;
    card(out, "as of", &human::time(history.as_of))?;
    out.push_str("</div>\n");
    for report in &history.cutovers {
        cutover(out, report)?;
    }
    out.push_str("<h2>Topics</h2>\n");
    history.topics.iter().try_for_each(|one| topic(out, one, history))?;
    decisions(out, history)?;
    out.push_str("</body></html>\n");
    Ok(())
}

fn card(out: &mut String, name: &str, value: &str) -> fmt::Result {
    writeln!(out, "<div class=\"card\">{name}<b>{}</b></div>", Text(value))
}

fn cluster(out: &mut String, side: &str, cluster: &ClusterName) -> fmt::Result {
    let id = cluster.id.as_deref().unwrap_or(human::NONE);
    writeln!(
        out,
        "<div class=\"card\">{side}<b>{}</b><span class=\"dim\">{}</span></div>",
        Text(&cluster.name),
        Text(id)
    )
}

fn cutover(out: &mut String, report: &Report) -> fmt::Result {
    let (class, how) = match report.ended {
        Some(Ending::Done) => ("good", "done"),
        Some(Ending::Back | Ending::Abandoned) => ("dim", "gone back"),
        None => ("bad", "not over"),
    };
    let began = report.cutover.parse().map_or_else(|_| report.cutover.clone(), human::time);
    let topics: Vec<&str> = report.plan.topics.iter().map(|route| &*route.topic).collect();
    write!(
        out,
        "<h2>Cutover of {began} <span class=\"{class}\">{how}</span></h2>\n<p>By {}. Topics: {}.",
        Text(&report.by),
        Text(&topics.join(", "))
    )?;
    if let Some(ms) = report.without_writes_ms {
        write!(out, " Nobody could write for {}.", human::duration(ms as f64 / 1000.0))?;
    }
    if let Some(why) = &report.back {
        write!(out, " <span class=\"bad\">It went back at {}: {}</span>", why.step, Text(&why.what))?;
    }
    out.push_str(
        "</p>\n<table><tr><th>step</th><th>began</th><th class=\"n\">took</th><th>found</th></tr>\n",
    );
    for step in report.steps.iter().filter(|step| step.state != StepState::Waiting) {
        let took =
            step.took_ms.map_or_else(|| human::NONE.to_owned(), |ms| human::duration(ms as f64 / 1000.0));
        writeln!(
            out,
            "<tr><td>{}</td><td>{}</td><td class=\"n\">{took}</td><td>{}</td></tr>",
            step.step,
            step.entered.map_or_else(|| human::NONE.to_owned(), human::time),
            Text(&step.facts.says)
        )?;
    }
    out.push_str("</table>\n");
    let groups: Vec<_> = report.steps.iter().flat_map(|step| &step.facts.groups).collect();
    if !groups.is_empty() {
        out.push_str("<p>Groups moved: ");
        let named: Vec<String> =
            groups.iter().map(|group| format!("{} ({} offsets)", group.group, group.partitions)).collect();
        writeln!(out, "{}</p>", Text(&named.join(", ")))?;
    }
    Ok(())
}

/// A topic's lanes, with what the cutover that is done has noted of each.
fn topic(out: &mut String, topic: &TopicHistory, history: &History) -> fmt::Result {
    let route = &topic.route;
    let arrow = match route.topic == route.target_topic {
        true => String::new(),
        false => format!(" → {}", route.target_topic),
    };
    write!(
        out,
        "<h3>{}{} <span class=\"dim\">{}</span></h3>\n<table><tr><th class=\"n\">p</th><th>began</th>\
         <th class=\"n\">start mark</th><th class=\"n\">position</th><th class=\"n\">records</th>\
         <th class=\"n\">ends at the cutover</th><th>digest</th></tr>\n",
        Text(&route.topic),
        Text(&arrow),
        topic.state
    )?;
    let done = history.cutovers.iter().rev().filter(|report| report.ended == Some(Ending::Done));
    let steps: Vec<_> = done.flat_map(|report| &report.steps).collect();
    for lane in &topic.lanes {
        let partition = lane.start.partition;
        let mut ends = steps.iter().flat_map(|step| &step.facts.ends);
        let end = ends.find(|end| end.topic == route.topic && end.partition == partition);
        let mut digests =
            steps.iter().filter_map(|step| step.facts.verified.as_ref()).flat_map(|found| &found.digests);
        let digest = digests.find(|one| one.topic == route.topic && one.partition == partition);
        writeln!(
            out,
            "<tr><td class=\"n\">{partition}</td><td>{}</td><td class=\"n\">{}</td><td class=\"n\">{}</td>\
             <td class=\"n\">{}</td><td class=\"n\">{}</td><td>{}</td></tr>",
            human::time(lane.start.since),
            arrow_of(lane.start.at.source, lane.start.at.target),
            arrow_of(lane.position.source, lane.position.target),
            human::count(lane.records),
            end.map_or_else(|| human::NONE.to_owned(), |end| arrow_of(end.source, end.target)),
            digest.map_or(human::NONE, |digest| digest.digest.as_str())
        )?;
    }
    out.push_str("</table>\n");
    Ok(())
}

fn arrow_of(source: i64, target: i64) -> String {
    format!("{source} → {target}")
}

fn decisions(out: &mut String, history: &History) -> fmt::Result {
    if history.decisions.is_empty() {
        return Ok(());
    }
    out.push_str("<h2>Decisions</h2>\n<table><tr><th>when</th><th>who</th><th>topic</th><th>what</th><th>why</th></tr>\n");
    for decision in &history.decisions {
        writeln!(
            out,
            "<tr><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td></tr>",
            human::time(decision.when),
            Text(&decision.by.to_string()),
            Text(&decision.topic),
            decision.state,
            Text(decision.why.as_deref().unwrap_or_default())
        )?;
    }
    out.push_str("</table>\n");
    Ok(())
}
