//! A status as a summary and a table of lanes, for a terminal.
//!
//! Owns wording and order. Pure.

use std::fmt::{self, Write as _};

use comfy_table::{CellAlignment, Table, presets};
use pipeline::status::{ClusterStatus, LaneStatus, LinkStatus};

use crate::admin::worst_first;
use crate::human::{self, Said, plain};
use crate::pair;

/// Lanes in no trouble that the table shows; JSON has all.
const LANES_SHOWN: usize = 200;

/// The status for a person.
pub fn render(status: &LinkStatus) -> String {
    let mut out = String::new();
    // Writing to a String cannot fail.
    let _ = write_summary(&mut out, status);
    let _ = write_lanes(&mut out, status);
    out
}

fn write_summary(out: &mut String, status: &LinkStatus) -> fmt::Result {
    let totals = &status.totals;
    let ready = if status.ready { "ready" } else { "not ready" };
    writeln!(
        out,
        "link   {}: {}, {ready}; isomirror {}, up {}",
        plain(&status.link),
        plain(&status.phase),
        plain(&status.version),
        human::duration(status.uptime_seconds)
    )?;
    for (n, reason) in status.not_ready.iter().enumerate() {
        writeln!(out, "{} {}", if n == 0 { "why   " } else { "      " }, plain(reason))?;
    }
    for (n, line) in status.pair.iter().flat_map(pair::picture).enumerate() {
        writeln!(out, "{} {}", if n == 0 { "pair  " } else { "      " }, plain(&line))?;
    }
    writeln!(out, "from   {}", cluster(&status.source))?;
    writeln!(out, "to     {}", cluster(&status.target))?;
    write!(
        out,
        "lag    {} records, {}",
        human::count(totals.lag_records),
        human::bytes_if_known(status.lag_bytes())
    )?;
    if totals.lag_records > 0 {
        write!(out, ", the oldest {} old", human::duration(totals.lag_seconds))?;
        match totals.eta_seconds {
            Some(eta) => write!(out, "; caught up in {}", human::duration(eta))?,
            None if status.held_back() > 0 => write!(out, "; {}", human::no_estimate(status.held_back()))?,
            None => write!(out, "; not coming nearer")?,
        }
    }
    writeln!(
        out,
        "\nrate   {}, {}",
        human::records_rate(totals.records_per_second),
        human::bytes_rate(totals.bytes_per_second)
    )?;
    writeln!(
        out,
        "done   {} records, {} since it started",
        human::count(totals.records),
        human::bytes(totals.bytes)
    )?;
    writeln!(
        out,
        "buffer {} of {}",
        human::bytes(totals.buffer_bytes),
        human::bytes(totals.buffer_limit_bytes)
    )?;
    write!(
        out,
        "lanes  {}, {} running, {} stopped",
        human::count(totals.lanes as u64),
        human::count(totals.running as u64),
        human::count(totals.stopped as u64)
    )?;
    if totals.paused > 0 {
        write!(out, ", {} paused", human::count(totals.paused as u64))?;
    }
    out.push('\n');
    if !status.held.is_empty() {
        writeln!(out, "held   {}", plain(&human::held(&status.held)))?;
    }
    if let Some(compared) = human::compared(status) {
        writeln!(out, "verify {compared}")?;
    }
    Ok(())
}

fn write_lanes(out: &mut String, status: &LinkStatus) -> fmt::Result {
    if status.lanes.is_empty() {
        return Ok(());
    }
    let shown = worst_first(&status.lanes, LANES_SHOWN);
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    let compared = status.lanes.iter().any(|lane| lane.verified.is_some());
    let header = ["topic", "p", "state", "lag", "bytes", "age", "position", "source end", "mirrored"];
    table.set_header(header.into_iter().chain(compared.then_some("verified")));
    for column in [1, 3, 4, 5, 6, 7, 8, 9] {
        if let Some(column) = table.column_mut(column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    for lane in &shown.lanes {
        let verified = human::offset(lane.verified.as_ref().map(|verified| verified.offset));
        table.add_row(row(lane).into_iter().chain(compared.then_some(verified)));
    }
    out.push('\n');
    // Lines that end in blanks are no help to those who copy them.
    for line in table.trim_fmt().lines() {
        writeln!(out, "{line}")?;
    }
    if shown.left_out > 0 {
        let lanes = human::plural(shown.left_out, "lane", "lanes");
        writeln!(out, "{lanes} with less lag left out: --output json has all")?;
    }
    for lane in shown.lanes.iter().filter(|lane| lane.reason.is_some()) {
        writeln!(
            out,
            "\n{}/{}: {}",
            plain(&lane.topic),
            lane.partition,
            plain(lane.why().unwrap_or_default())
        )?;
        if let Some(fix) = &lane.fix {
            writeln!(out, "    fix: {}", plain(fix))?;
        }
    }
    for (lane, verified) in human::compared_in_vain(&status.lanes).take(LANES_SHOWN) {
        let Said { what, fix } = human::said(verified);
        writeln!(out, "\n{}/{}: {}", plain(&lane.topic), lane.partition, plain(&what))?;
        if let Some(fix) = fix {
            writeln!(out, "    fix: {}", plain(fix))?;
        }
    }
    Ok(())
}

fn row(lane: &LaneStatus) -> [String; 9] {
    let topic = if lane.topic == lane.target_topic {
        plain(&lane.topic)
    } else {
        format!("{} → {}", plain(&lane.topic), plain(&lane.target_topic))
    };
    [
        topic,
        lane.partition.to_string(),
        plain(&lane.state),
        human::count(lane.lag_records),
        lane.lag_bytes().map_or_else(|| human::NONE.to_owned(), human::bytes),
        human::duration(lane.lag_seconds),
        human::offset(lane.position),
        human::offset(lane.source_end),
        human::count(lane.records),
    ]
}

fn cluster(cluster: &ClusterStatus) -> String {
    let state = match (cluster.reachable, &cluster.error) {
        (true, _) => "reachable",
        (false, Some(_)) => "unreachable",
        (false, None) => "has not answered yet",
    };
    let mut text = format!("{}: {state}", plain(&cluster.name));
    if let Some(id) = &cluster.cluster_id {
        let _ = write!(text, ", cluster id {}", plain(id));
    }
    if let Some(error) = &cluster.error {
        let _ = write!(text, ", {}", plain(error));
    }
    if let Some(health) = &cluster.health {
        let _ = write!(text, "; {}", human::health(health));
    }
    text
}
