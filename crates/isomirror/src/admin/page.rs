//! The page for people at `/`: one status as plain HTML that needs no JavaScript and reloads itself.
//!
//! Owns markup and wording. Everything that came from a cluster or the configuration is escaped: nothing is
//! ever written into the page but through `Text`.

use std::fmt::{self, Write as _};

use pipeline::status::{ClusterStatus, LaneStatus, LinkStatus};

use super::lanes::{is_stopped, worst_first};
use crate::{
    html::{STYLE, Text},
    human::{self, Said},
    pair,
};

/// Lanes in no trouble that the page shows, so that it stays light at a thousand lanes.
const LANES_SHOWN: usize = 200;

/// The whole page.
pub fn render(status: &LinkStatus) -> String {
    let mut out = String::with_capacity(8 * 1024);
    // Writing to a String cannot fail.
    let _ = write_page(&mut out, status);
    out
}

fn write_page(out: &mut String, status: &LinkStatus) -> fmt::Result {
    let link = Text(&status.link);
    write!(
        out,
        "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\
         <meta http-equiv=\"refresh\" content=\"5\"><title>{link} – isomirror</title>\n\
         <style>\n{STYLE}</style></head><body>\n"
    )?;
    write_head(out, status)?;
    write_totals(out, status)?;
    write_lanes(out, status)?;
    write!(
        out,
        "<p class=\"dim\">isomirror {}, up {}. As data: <a href=\"/status\">/status</a>, \
         <a href=\"/metrics\">/metrics</a>, <a href=\"/readyz\">/readyz</a></p>\n</body></html>\n",
        Text(&status.version),
        human::duration(status.uptime_seconds)
    )
}

fn write_head(out: &mut String, status: &LinkStatus) -> fmt::Result {
    let (class, word) = if status.ready { ("good", "ready") } else { ("bad", "not ready") };
    writeln!(
        out,
        "<h1>{}: {} <span class=\"{class}\">{word}</span></h1>",
        Text(&status.link),
        Text(&status.phase)
    )?;
    if !status.not_ready.is_empty() {
        out.push_str("<ul class=\"bad\">");
        for reason in &status.not_ready {
            write!(out, "<li>{}</li>", Text(reason))?;
        }
        out.push_str("</ul>\n");
    }
    for line in status.pair.iter().flat_map(pair::picture) {
        writeln!(out, "<p>{}</p>", Text(&line))?;
    }
    out.push_str("<div class=\"cards\">\n");
    write_cluster(out, "from", &status.source)?;
    write_cluster(out, "to", &status.target)?;
    out.push_str("</div>\n");
    Ok(())
}

fn write_cluster(out: &mut String, side: &str, cluster: &ClusterStatus) -> fmt::Result {
    let (class, word) = match (cluster.reachable, &cluster.error) {
        (true, _) => ("good", "reachable"),
        (false, Some(_)) => ("bad", "unreachable"),
        (false, None) => ("bad", "has not answered yet"),
    };
    write!(
        out,
        "<div class=\"card\">{side}<b>{}</b><span class=\"{class}\">{word}</span>",
        Text(&cluster.name)
    )?;
    if let Some(id) = &cluster.cluster_id {
        write!(out, " <span class=\"dim\">{}</span>", Text(id))?;
    }
    if let Some(error) = &cluster.error {
        write!(out, "<br>{}", Text(error))?;
    }
    if let Some(health) = &cluster.health {
        let class = if health.seen.is_bad() || health.trouble.is_some() { "bad" } else { "dim" };
        write!(out, "<br><span class=\"{class}\">{}</span>", Text(&human::health(health)))?;
    }
    out.push_str("</div>\n");
    Ok(())
}

fn write_totals(out: &mut String, status: &LinkStatus) -> fmt::Result {
    let totals = &status.totals;
    let pace = match status.held_back() {
        0 => "at this rate".to_owned(),
        stopped => human::no_estimate(stopped),
    };
    let lag_bytes = human::bytes_if_known(status.lag_bytes());
    let cards = [
        ("lag", format!("{} records", human::count(totals.lag_records)), lag_bytes),
        ("oldest missing record", human::duration(totals.lag_seconds), "old".to_owned()),
        ("rate", human::records_rate(totals.records_per_second), human::bytes_rate(totals.bytes_per_second)),
        ("caught up in", human::eta(totals.eta_seconds), pace),
        ("mirrored", format!("{} records", human::count(totals.records)), human::bytes(totals.bytes)),
        (
            "buffer",
            human::bytes(totals.buffer_bytes),
            format!("of {}", human::bytes(totals.buffer_limit_bytes)),
        ),
    ];
    out.push_str("<h2>All lanes together</h2>\n<div class=\"cards\">\n");
    for (name, value, more) in cards {
        writeln!(
            out,
            "<div class=\"card\">{}<b>{}</b><span class=\"dim\">{}</span></div>",
            Text(name),
            Text(&value),
            Text(&more)
        )?;
    }
    out.push_str("</div>\n");
    Ok(())
}

fn write_lanes(out: &mut String, status: &LinkStatus) -> fmt::Result {
    let totals = &status.totals;
    write!(out, "<h2>{}", human::plural(totals.lanes, "lane", "lanes"))?;
    write!(out, ", {} running", human::count(totals.running as u64))?;
    if totals.stopped > 0 {
        write!(out, ", <span class=\"bad\">{} stopped</span>", human::count(totals.stopped as u64))?;
    }
    if totals.paused > 0 {
        write!(out, ", {} paused", human::count(totals.paused as u64))?;
    }
    out.push_str("</h2>\n");
    if !status.held.is_empty() {
        writeln!(out, "<p>Not mirrored now, as asked for: {}</p>", Text(&human::held(&status.held)))?;
    }
    if let Some(compared) = human::compared(status) {
        write_compared(out, &compared, status)?;
    }
    if status.lanes.is_empty() {
        out.push_str("<p>No lane yet: no topic was found that the link's rules take.</p>\n");
        return Ok(());
    }
    out.push_str(
        "<table><thead><tr><th>topic</th><th class=\"n\"><abbr title=\"partition\">p</abbr></th><th>state</th>\
         <th class=\"n\">lag</th><th class=\"n wide\">bytes</th><th class=\"n\">age</th>\
         <th class=\"n wide\">position</th><th class=\"n wide\">source end</th><th class=\"n wide\">mirrored</th>",
    );
    let compared = status.lanes.iter().any(|lane| lane.verified.is_some());
    out.push_str(if compared { "<th class=\"n wide\">verified</th>" } else { "" });
    out.push_str("</tr></thead><tbody>\n");
    let shown = worst_first(&status.lanes, LANES_SHOWN);
    for lane in &shown.lanes {
        write_lane(out, lane, compared)?;
    }
    out.push_str("</tbody></table>\n");
    if shown.left_out > 0 {
        writeln!(
            out,
            "<p>{} with less lag left out; <a href=\"/status\">/status</a> has all.</p>",
            human::plural(shown.left_out, "lane", "lanes")
        )?;
    }
    Ok(())
}

fn write_compared(out: &mut String, compared: &str, status: &LinkStatus) -> fmt::Result {
    let class = if status.lanes.iter().any(|lane| lane.differs().is_some()) { "bad" } else { "dim" };
    writeln!(out, "<p class=\"{class}\">Target and source: {}</p>", Text(compared))?;
    for (lane, verified) in human::compared_in_vain(&status.lanes).take(LANES_SHOWN) {
        let Said { what, fix } = human::said(verified);
        write!(out, "<p>{}[{}]: {}", Text(&lane.topic), lane.partition, Text(&what))?;
        write_fix(out, fix)?;
        out.push_str("</p>\n");
    }
    Ok(())
}

fn write_lane(out: &mut String, lane: &LaneStatus, compared: bool) -> fmt::Result {
    let stopped = is_stopped(lane);
    let (row, state) = if stopped { (" class=\"stopped\"", " class=\"bad\"") } else { ("", "") };
    write!(out, "<tr{row}><td>{}", Text(&lane.topic))?;
    if lane.target_topic != lane.topic {
        write!(out, " <span class=\"dim\">→ {}</span>", Text(&lane.target_topic))?;
    }
    write!(
        out,
        "</td><td class=\"n\">{}</td><td{state}>{}</td><td class=\"n\">{}</td><td class=\"n wide\">{}</td>\
         <td class=\"n\">{}</td><td class=\"n wide\">{}</td><td class=\"n wide\">{}</td>\
         <td class=\"n wide\">{}</td>",
        lane.partition,
        Text(&lane.state),
        human::count(lane.lag_records),
        lane.lag_bytes().map_or_else(|| human::NONE.to_owned(), human::bytes),
        human::duration(lane.lag_seconds),
        human::offset(lane.position),
        human::offset(lane.source_end),
        human::count(lane.records)
    )?;
    if compared {
        let verified = human::offset(lane.verified.as_ref().map(|verified| verified.offset));
        write!(out, "<td class=\"n wide\">{verified}</td>")?;
    }
    out.push_str("</tr>\n");
    if stopped || lane.reason.is_some() {
        let reason = lane.why().unwrap_or("no reason is known");
        write!(out, "<tr class=\"why\"><td colspan=\"{}\">{}", 9 + usize::from(compared), Text(reason))?;
        write_fix(out, lane.fix.as_deref())?;
        out.push_str("</td></tr>\n");
    }
    Ok(())
}

fn write_fix(out: &mut String, fix: Option<&str>) -> fmt::Result {
    match fix {
        Some(fix) => write!(out, "<br><b>What to do:</b> {}", Text(fix)),
        None => Ok(()),
    }
}
