//! An audit as a person reads it. Owns wording and order.

use std::{collections::BTreeMap, fmt::Write as _};

use cluster_audit::{Facts, Finding, PartitionId, Prediction, Severity};

use super::{Audited, Beside};
use crate::{
    human::{self, plain},
    table,
};

/// Everything of all clusters, and the link between them.
pub fn audited(audited: &[Audited], between: Option<&Beside>, all: bool) -> String {
    let mut out = String::new();
    for one in audited {
        if !out.is_empty() {
            out.push_str("\n\n");
        }
        cluster(&mut out, one, all);
    }
    if let Some(between) = between {
        let _ = write!(out, "\n\n{}", beside(between));
    }
    out
}

/// How the link is, in a line.
pub fn beside(beside: &Beside) -> String {
    let link = plain(&beside.link);
    let Some(daemon) = &beside.daemon else {
        return format!("link {link}: no daemon of it answers here; `isomirror status` says why");
    };
    let totals = &daemon.totals;
    let ready = match daemon.ready {
        true => "ready".to_owned(),
        false => format!("not ready ({})", plain(&daemon.not_ready.join("; "))),
    };
    format!(
        "link {link}: {}, {ready}; lag {} records, {}; {}, {} running, {} stopped",
        plain(&daemon.phase),
        human::count(totals.lag_records),
        human::bytes_if_known(daemon.lag_bytes),
        human::plural(totals.lanes, "lane", "lanes"),
        human::count(totals.running as u64),
        human::count(totals.stopped as u64)
    )
}

fn cluster(out: &mut String, one: &Audited, all: bool) {
    let facts = &one.gathered.facts;
    let _ = writeln!(out, "{} cluster {}: {}\n", one.side, plain(&one.cluster), totals(facts));
    out.push_str(&brokers(facts));
    if all {
        let _ = write!(out, "\n{}", partitions(facts));
    }
    for finding in &one.findings {
        out.push('\n');
        out.push_str(&told(finding, all));
    }
    if one.findings.is_empty() {
        out.push_str("\nnothing is at risk\n");
    }
    if let Some(prediction) = &one.maintenance {
        let _ = write!(out, "\n{}", predicted(prediction, all));
    }
    for hidden in &one.gathered.hidden {
        let _ = writeln!(out, "\nnot seen: {}", plain(hidden));
    }
    let count = |severity| one.findings.iter().filter(|finding| finding.severity == severity).count();
    let _ = write!(
        out,
        "\n{} critical, {} to be mended, {} to know",
        count(Severity::Critical),
        count(Severity::Warning),
        count(Severity::Info)
    );
}

/// How large it is.
pub fn totals(facts: &Facts) -> String {
    let (mut partitions, mut replicas, mut bytes) = (0, 0, 0);
    for (.., partition) in facts.partitions() {
        partitions += 1;
        replicas += partition.replicas.len();
        bytes += partition.bytes.unwrap_or(0) * partition.replicas.len() as u64;
    }
    format!(
        "{}, {} up; {}, {}, {}, {}",
        human::plural(facts.brokers.len(), "broker", "brokers"),
        facts.live().len(),
        human::plural(facts.topics.len(), "topic", "topics"),
        human::plural(partitions, "partition", "partitions"),
        human::plural(replicas, "replica", "replicas"),
        human::bytes(bytes)
    )
}

fn brokers(facts: &Facts) -> String {
    let mut load: BTreeMap<i32, (u64, u64, u64)> = BTreeMap::new();
    for (.., partition) in facts.partitions() {
        for id in &partition.replicas {
            let found = load.entry(*id).or_default();
            found.0 += u64::from(partition.leader == Some(*id));
            found.1 += 1;
            found.2 += partition.bytes.unwrap_or(0);
        }
    }
    let mut table =
        table::with(&["broker", "rack", "", "leads", "replicas", "bytes", "disk used"], &[0, 3, 4, 5, 6]);
    for (id, broker) in &facts.brokers {
        let (leads, replicas, bytes) = load.get(id).copied().unwrap_or_default();
        let disk =
            broker.disk().map(|(total, used)| format!("{} %", u128::from(used) * 100 / u128::from(total)));
        table.add_row([
            id.to_string(),
            broker.rack.as_deref().map_or_else(|| human::NONE.to_owned(), plain),
            if broker.live { "up" } else { "DOWN" }.to_owned(),
            human::count(leads),
            human::count(replicas),
            human::bytes(bytes),
            disk.unwrap_or_else(|| human::NONE.to_owned()),
        ]);
    }
    table::trimmed(&table)
}

fn partitions(facts: &Facts) -> String {
    let mut table = table::with(
        &["topic", "p", "leader", "preferred", "replicas", "in sync", "min", "unclean", "racks", "bytes"],
        &[1, 2, 3, 6, 8, 9],
    );
    let none = || human::NONE.to_owned();
    for (name, topic, number, partition) in facts.partitions() {
        table.add_row([
            plain(name),
            number.to_string(),
            partition.leader.map_or_else(|| "none".to_owned(), |id| id.to_string()),
            partition.replicas.first().map_or_else(none, i32::to_string),
            ids(&partition.replicas),
            ids(&partition.in_sync),
            topic.min_in_sync.map_or_else(none, |min| min.to_string()),
            topic.unclean.map_or_else(none, |unclean| if unclean { "yes" } else { "no" }.to_owned()),
            facts.racks(&partition.replicas).to_string(),
            partition.bytes.map_or_else(none, human::bytes),
        ]);
    }
    table::trimmed(&table)
}

/// Brokers, as `1,2,3`.
pub fn ids(ids: &[i32]) -> String {
    ids.iter().map(i32::to_string).collect::<Vec<_>>().join(",")
}

fn told(finding: &Finding, all: bool) -> String {
    let severity = match finding.severity {
        Severity::Critical => "critical",
        Severity::Warning => "warning",
        Severity::Info => "info",
    };
    let mut what = Vec::new();
    if !finding.partitions.is_empty() {
        what.push(named(&finding.partitions, all));
    }
    if !finding.about.is_empty() {
        let about: Vec<String> = finding.about.iter().map(|about| plain(about)).collect();
        what.push(if all { about.join("; ") } else { human::few(&about) });
    }
    format!(
        "{severity:<9}{}: {}\n         {}\n         fix: {}\n",
        finding.kind.title(),
        what.join("; "),
        finding.meaning,
        finding.fix
    )
}

/// How many partitions, and which; some of them unless all are wanted.
pub fn named(partitions: &[PartitionId], all: bool) -> String {
    let names: Vec<String> = partitions.iter().map(|at| plain(&at.to_string())).collect();
    let names = if all { names.join(", ") } else { human::few(&names) };
    format!("{}: {names}", human::plural(partitions.len(), "partition", "partitions"))
}

fn predicted(prediction: &Prediction, all: bool) -> String {
    let brokers = human::plural(prediction.brokers.len(), "broker", "brokers");
    let brokers = brokers.split_once(' ').map_or("", |(_, word)| word);
    let mut out = format!(
        "while {brokers} {} {} down:\n",
        ids(&prediction.brokers),
        if prediction.brokers.len() == 1 { "is" } else { "are" }
    );
    for id in &prediction.unknown {
        let _ = writeln!(out, "  there is no broker {id}");
    }
    for (list, what) in [
        (&prediction.loses, "LOSE RECORDS: a replica leads that lacks acknowledged ones"),
        (&prediction.unreadable, "can be neither read nor written: all copies in sync are there"),
        (&prediction.unwritable, "refuse acks=all: too few replicas in sync"),
    ] {
        if !list.is_empty() {
            let _ = writeln!(out, "  {what}: {}", named(list, all));
        }
    }
    if prediction.internal > 0 {
        out.push_str("  Kafka's own topics are among them: groups' offsets or transactions stop\n");
    }
    if prediction.is_safe() {
        out.push_str("  all partitions can be read and written\n");
    }
    let _ = writeln!(
        out,
        "  {} led by another broker then",
        human::plural(prediction.moves, "partition is", "partitions are")
    );
    out
}
