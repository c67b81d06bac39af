//! `isomirror check`: every precondition of a link, looked at before it runs. Changes nothing anywhere.
//!
//! Owns what a person or a script sees of it, and the exit code. What is looked at is `migration::check`'s.

use std::{
    fmt::{self, Write as _},
    time::Duration,
};

use anyhow::Context;
use kafka_rd::Properties;
use migration::check::{ClusterSummary, Finding, Report, Request, Severity, check};
use pipeline::{Link, LinkConfig};
use prometheus::Registry;
use serde_json::json;

use super::print;
use crate::{
    cli::{CheckArgs, Common, Output},
    config::Config,
    exit::{Exit, Failure},
    human::{self, plain},
    link,
};

/// Findings of one kind that a person is shown; JSON has all.
const SHOWN: usize = 10;

/// Looks at everything, prints what was found, and says whether the link would run as asked.
pub fn run(config: Config, args: &CheckArgs, common: &Common) -> anyhow::Result<Exit> {
    let link = link::config(&config, None);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    let runtime = runtime.context("failed to start the runtime")?;
    let exit = runtime.block_on(async {
        takes_properties(&link)?;
        if args.config_only {
            return say_config_is_good(&config, common);
        }
        let request = Request { link, timeout: super::TIMEOUT, verifies: config.verify.every.is_some() };
        let report = check(&request).await.map_err(|e| Failure::new(Exit::Usage, e.to_string()))?;
        print(&match common.output {
            Output::Table => render(&report),
            Output::Json => serde_json::to_string_pretty(&report)?,
        })?;
        Ok(if report.is_unreachable() {
            Exit::Unreachable
        } else if report.ok {
            Exit::Done
        } else {
            Exit::Refused
        })
    });
    // A request to a cluster that is down may still be waiting for its timeout.
    runtime.shutdown_timeout(Duration::from_millis(200));
    exit
}

/// Whether the clients of the link can be made of the properties there are: makes them, with nobody to
/// connect to, since a source client looks for its group's coordinator as soon as it can.
fn takes_properties(link: &LinkConfig) -> Result<(), Failure> {
    let mut alone = link.clone();
    let nobody = |properties: &mut Properties| {
        properties.set("bootstrap.servers", "127.0.0.1:1");
    };
    nobody(&mut alone.source.properties);
    nobody(&mut alone.target.properties);
    match Link::new(alone, &Registry::new()) {
        Ok(_) => Ok(()),
        Err(error) => Err(Failure::new(Exit::Usage, error.to_string())),
    }
}

fn say_config_is_good(config: &Config, common: &Common) -> anyhow::Result<Exit> {
    print(&match common.output {
        Output::Table => format!("link {}: the configuration can be used; no cluster was asked", config.link),
        Output::Json => {
            serde_json::to_string_pretty(&json!({ "link": config.link, "ok": true, "findings": [] }))?
        }
    })?;
    Ok(Exit::Done)
}

/// The report for a person.
fn render(report: &Report) -> String {
    let mut out = String::new();
    // Writing to a String cannot fail.
    let _ = write_report(&mut out, report);
    out
}

fn write_report(out: &mut String, report: &Report) -> fmt::Result {
    let mut codes: Vec<(Severity, &str)> = Vec::new();
    for finding in &report.findings {
        let kind = (finding.severity, finding.code);
        if codes.contains(&kind) {
            continue;
        }
        codes.push(kind);
        let alike = || report.findings.iter().filter(|other| (other.severity, other.code) == kind);
        for finding in alike().take(SHOWN) {
            write_finding(out, finding)?;
        }
        let left = alike().count().saturating_sub(SHOWN);
        if left > 0 {
            let names: Vec<_> = alike().skip(SHOWN).take(SHOWN).map(|f| plain(&f.subject.name)).collect();
            let more = if left > SHOWN { ", …" } else { "" };
            let left = human::plural(left, "more", "more");
            writeln!(out, "{:8} {left} like it: {}{more} (--output json has all)\n", "", names.join(", "))?;
        }
    }
    writeln!(out, "link {}: {} → {}", plain(&report.link), cluster(&report.source), cluster(&report.target))?;
    if !report.is_unreachable() {
        write_summary(out, report)?;
    }
    let verdict = match (report.is_unreachable(), report.ok) {
        (true, _) => "not checked: a cluster can't be reached",
        (_, true) => "the link would run as asked",
        _ => "the link would not run as asked",
    };
    let count = |severity| report.count(severity);
    match (count(Severity::Error), count(Severity::Warning)) {
        (0, 0) => writeln!(out, "all OK: {verdict}"),
        (errors, warnings) => writeln!(
            out,
            "{}, {}: {verdict}",
            human::plural(errors, "error", "errors"),
            human::plural(warnings, "warning", "warnings")
        ),
    }
}

fn write_finding(out: &mut String, finding: &Finding) -> fmt::Result {
    let Finding { severity, subject, found, why, fix, .. } = finding;
    writeln!(out, "{severity:8} {}: {}", plain(&subject.to_string()), plain(found))?;
    writeln!(out, "{:8} why: {}", "", plain(why))?;
    if let Some(fix) = fix {
        writeln!(out, "{:8} fix: {}", "", plain(fix))?;
    }
    out.push('\n');
    Ok(())
}

fn write_summary(out: &mut String, report: &Report) -> fmt::Result {
    let summary = &report.summary;
    write!(
        out,
        "{}, {}",
        human::plural(summary.topics, "topic", "topics"),
        human::plural(summary.partitions, "partition", "partitions")
    )?;
    match summary.records {
        Some(records) => write!(out, ", {} records to mirror by the offsets", human::count(records))?,
        None => write!(out, ", records not counted")?,
    }
    if let Some(takes) = &summary.takes {
        write!(out, ", {takes}")?;
    }
    for (count, what) in [(summary.create, "to be created"), (summary.grow, "to be grown")] {
        if count > 0 {
            write!(out, "; {} {what}", human::plural(count, "target topic", "target topics"))?;
        }
    }
    out.push('\n');
    Ok(())
}

fn cluster(cluster: &ClusterSummary) -> String {
    let name = plain(&cluster.name);
    if !cluster.reachable {
        return format!("{name} (unreachable)");
    }
    let brokers = human::plural(cluster.brokers, "broker", "brokers");
    match (&cluster.id, cluster.brokers) {
        (Some(id), _) => format!("{name} ({brokers}, cluster id {})", plain(id)),
        (None, 0) => format!("{name} (reachable)"),
        (None, _) => format!("{name} ({brokers})"),
    }
}
