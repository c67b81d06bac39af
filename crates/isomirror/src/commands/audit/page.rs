//! An audit as one page that needs nothing beside it. Everything that came from a cluster is escaped: nothing is written
//! into the page but through `Text`.

use std::fmt::{self, Write as _};

use cluster_audit::{Finding, Heat, Prediction, Severity, heat};

use super::{Audited, Beside, show};
use crate::{
    html::{STYLE, Text},
    human,
};

/// Topics in the map: the largest, and those at risk.
const ROWS: usize = 2_000;
/// The map's own style.
const HEAT: &str = "\
.heat { width: auto; font-size: 12px; } .heat td { text-align: center; border: 1px solid var(--line); padding: .15rem .4rem; }
.heat td.name { text-align: left; } .heat td.hot { background: color-mix(in srgb, #d9480f calc(var(--h) * 1%), transparent); }
@media print { body { max-width: none; font-size: 11px; } }
";

/// The whole page.
pub fn render(audited: &[Audited], beside: Option<&Beside>) -> String {
    let mut out = String::with_capacity(64 * 1024);
    // Writing to a String cannot fail.
    let _ = page(&mut out, audited, beside);
    out
}

fn page(out: &mut String, audited: &[Audited], beside: Option<&Beside>) -> fmt::Result {
    let names: Vec<&str> = audited.iter().map(|one| one.cluster.as_str()).collect();
    let title = names.join(", ");
    write!(
        out,
        "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\
         <title>{0}: audit – isomirror</title>\n<style>\n{STYLE}{HEAT}</style></head><body>\n\
         <h1>{0}: audit of {1}</h1>\n",
        Text(&title),
        human::time(jiff::Timestamp::now().as_millisecond())
    )?;
    if let Some(beside) = beside {
        writeln!(out, "<p>{}</p>", Text(&show::beside(beside)))?;
    }
    audited.iter().try_for_each(|one| cluster(out, one))?;
    out.push_str("</body></html>\n");
    Ok(())
}

fn cluster(out: &mut String, one: &Audited) -> fmt::Result {
    let facts = &one.gathered.facts;
    let id = facts.cluster_id.as_deref().unwrap_or(human::NONE);
    writeln!(
        out,
        "<h2>{} cluster {} <span class=\"dim\">{}</span></h2>",
        one.side,
        Text(&one.cluster),
        Text(id)
    )?;
    writeln!(out, "<p>{}</p>", Text(&show::totals(facts)))?;
    findings(out, &one.findings)?;
    if let Some(prediction) = &one.maintenance {
        maintenance(out, prediction)?;
    }
    for hidden in &one.gathered.hidden {
        writeln!(out, "<p class=\"dim\">not seen: {}</p>", Text(hidden))?;
    }
    map(out, &heat(facts))
}

fn findings(out: &mut String, findings: &[Finding]) -> fmt::Result {
    if findings.is_empty() {
        return out.write_str("<p class=\"good\">nothing is at risk</p>\n");
    }
    out.push_str("<table><tr><th></th><th>found</th><th>where</th><th>means</th><th>fix</th></tr>\n");
    for finding in findings {
        let (class, severity) = match finding.severity {
            Severity::Critical => ("bad", "critical"),
            Severity::Warning => ("", "warning"),
            Severity::Info => ("dim", "info"),
        };
        let mut what = Vec::new();
        if !finding.partitions.is_empty() {
            what.push(show::named(&finding.partitions, false));
        }
        what.extend(finding.about.iter().cloned());
        writeln!(
            out,
            "<tr><td class=\"{class}\">{severity}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td></tr>",
            finding.kind.title(),
            Text(&what.join("; ")),
            Text(finding.meaning),
            Text(finding.fix)
        )?;
    }
    out.write_str("</table>\n")
}

fn maintenance(out: &mut String, prediction: &Prediction) -> fmt::Result {
    writeln!(out, "<h3>while {} down</h3>\n<ul>", Text(&show::ids(&prediction.brokers)))?;
    for (list, what) in [
        (&prediction.loses, "lose records"),
        (&prediction.unreadable, "can be neither read nor written"),
        (&prediction.unwritable, "refuse acks=all"),
    ] {
        if !list.is_empty() {
            writeln!(out, "<li class=\"bad\">{what}: {}</li>", Text(&show::named(list, true)))?;
        }
    }
    if prediction.is_safe() {
        out.push_str("<li class=\"good\">all partitions can be read and written</li>\n");
    }
    writeln!(
        out,
        "<li>{} led by another broker then</li></ul>",
        human::plural(prediction.moves, "partition is", "partitions are")
    )
}

/// Brokers × topics: leaders / replicas, the redder the more bytes.
fn map(out: &mut String, heat: &Heat) -> fmt::Result {
    let most = heat.rows.iter().flat_map(|row| &row.cells).map(|cell| cell.2).max().unwrap_or(0).max(1);
    out.push_str("<h3>Brokers × topics: partitions led / replicas, the redder the more bytes</h3>\n");
    out.push_str("<table class=\"heat\"><tr><th>topic</th>");
    for id in &heat.brokers {
        write!(out, "<th>{id}</th>")?;
    }
    out.push_str("<th>at risk</th></tr>\n");
    for (at, row) in heat.rows.iter().enumerate() {
        if at >= ROWS && row.at_risk == 0 {
            continue;
        }
        write!(out, "<tr><td class=\"name\">{}</td>", Text(&row.topic))?;
        for (leads, replicas, bytes) in &row.cells {
            if *replicas == 0 {
                out.push_str("<td></td>");
                continue;
            }
            let share = (u128::from(*bytes) * 80 / u128::from(most)) + 5;
            write!(
                out,
                "<td class=\"hot\" style=\"--h:{share}\" title=\"{}\">{leads}/{replicas}</td>",
                human::bytes(*bytes)
            )?;
        }
        let class = if row.at_risk > 0 { "bad" } else { "dim" };
        writeln!(out, "<td class=\"{class}\">{}</td></tr>", row.at_risk)?;
    }
    out.push_str("</table>\n");
    if heat.rows.len() > ROWS {
        writeln!(
            out,
            "<p class=\"dim\">the {} largest of {} topics, and those at risk</p>",
            human::count(ROWS as u64),
            human::count(heat.rows.len() as u64)
        )?;
    }
    Ok(())
}
