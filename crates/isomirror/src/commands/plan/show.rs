//! A plan as a table for a person. Owns wording and order.

use std::{collections::BTreeSet, fmt::Write as _};

use kafka_wire::AclRule;
use migration::plan::{AclPart, ConfigKept, Outcome, Report, Step, TopicStep};

use crate::{
    commands::groups,
    human::{self, plain},
    table,
};

/// Of what is not to be done, so many of a kind are named; JSON has all.
const NAMED: usize = 10;

/// What would be done, or was: the steps, what has to be known, and the sum last.
pub fn report(report: &Report) -> String {
    let mut out = steps(report);
    for refusal in &report.refused {
        let _ = writeln!(out, "\n{}: REFUSED: {}", plain(&refusal.about), lines(&refusal.reason));
    }
    reasons(&mut out, report);
    let kept = |kept: &ConfigKept| {
        let value = |value: &Option<String>| value.as_deref().map_or_else(|| human::NONE.to_owned(), plain);
        let (what, target) = (&kept.kept, value(&kept.kept.target));
        format!(
            "{}: {}={target}, {} on the source: {}",
            plain(&kept.target_topic),
            what.key,
            value(&what.source),
            what.reason
        )
    };
    several(&mut out, "configs that differ, and stay", report.configs_kept.iter().map(kept));
    if let Some(acls) = &report.acls {
        notes_on_acls(&mut out, acls, report);
    }
    if let Some(part) = &report.groups {
        let said = match &part.note {
            Some(note) => format!("{}; {note}", human::plural(part.totals.groups, "group", "groups")),
            None => {
                format!("{} `isomirror groups CONFIG plan` has them one by one.", groups::sum(&part.totals))
            }
        };
        let _ = writeln!(out, "\nconsumer groups: {said}");
    }
    let _ = write!(out, "\n{}", sum(report));
    out.trim_start_matches('\n').to_owned()
}

/// What is to be done, a line each.
fn steps(report: &Report) -> String {
    let mut rows: Vec<[String; 4]> = Vec::new();
    for step in &report.topics {
        let (what, topic, details) = topic(&step.what);
        rows.push([what.to_owned(), topic, details, word(step.outcome)]);
    }
    for step in &report.configs {
        let change = &step.what.change;
        let now = change.now.as_deref().map_or_else(|| human::NONE.to_owned(), plain);
        let details = format!("{}: {now} → {}", change.key, plain(&change.then));
        rows.push(["set config".to_owned(), plain(&step.what.target_topic), details, word(step.outcome)]);
    }
    for step in report.acls.iter().flat_map(|acls| &acls.create) {
        let rule = plain(&step.what.to_string());
        let (who, on) = rule.split_once(" on ").unwrap_or((&rule, ""));
        rows.push(["make ACL".to_owned(), on.to_owned(), who.to_owned(), word(step.outcome)]);
    }
    if rows.is_empty() {
        return String::new();
    }
    let mut table = table::with(&["step", "on the target", "", ""], &[]);
    table.add_rows(rows);
    table::trimmed(&table)
}

fn topic(step: &TopicStep) -> (&'static str, String, String) {
    let name = |topic: &str, target_topic: &str| match topic == target_topic {
        true => plain(target_topic),
        false => format!("{} (from {})", plain(target_topic), plain(topic)),
    };
    match step {
        TopicStep::Create { topic, target_topic, partitions, replication, configs } => {
            let partitions =
                human::plural(usize::try_from(*partitions).unwrap_or(0), "partition", "partitions");
            let replicas = replication.map_or_else(
                || "replicas by default".to_owned(),
                |replicas| human::plural(usize::try_from(replicas).unwrap_or(0), "replica", "replicas"),
            );
            let configs: Vec<_> =
                configs.iter().map(|(key, value)| format!("{}={}", plain(key), plain(value))).collect();
            let details = format!("{partitions}, {replicas}, {}", configs.join(", "));
            ("create topic", name(topic, target_topic), details)
        }
        TopicStep::Grow { topic, target_topic, from_partitions, partitions } => {
            let details = format!("{from_partitions} → {partitions}");
            ("add partitions", name(topic, target_topic), details)
        }
    }
}

fn word(outcome: Outcome) -> String {
    match outcome {
        Outcome::Planned => "",
        Outcome::Done => "done",
        Outcome::Refused => "REFUSED",
        Outcome::Failed => "FAILED",
    }
    .to_owned()
}

/// Why steps were not done: each reason once.
fn reasons(out: &mut String, report: &Report) {
    fn of<T>(steps: &[Step<T>]) -> impl Iterator<Item = &str> {
        steps.iter().filter_map(|step| step.reason.as_deref())
    }
    let acls = report.acls.iter().flat_map(|acls| of(&acls.create));
    let found: BTreeSet<&str> = of(&report.topics).chain(of(&report.configs)).chain(acls).collect();
    for reason in found.iter().take(NAMED) {
        let _ = writeln!(out, "\n{}", lines(reason));
    }
    more(out, found.len());
}

fn notes_on_acls(out: &mut String, acls: &AclPart, report: &Report) {
    if let Some(note) = &acls.note {
        let _ = writeln!(out, "\n{}", plain(note));
    }
    let rule = |rule: &AclRule| plain(&rule.to_string());
    let held = acls
        .held_until_cutover
        .iter()
        .map(|held| format!("{}{}", rule(&held.rule), if held.there { " (there already)" } else { "" }));
    several(out, "ACLs that wait for the cutover: they say who may write", held);
    let narrowed = acls
        .narrowed
        .iter()
        .map(|narrowed| format!("{}: {}", rule(&narrowed.rule), human::plural(narrowed.to, "name", "names")));
    several(out, "ACLs about more than is mirrored, which become one for each name that is", narrowed);
    let left_out =
        acls.left_out.iter().map(|left_out| format!("{}: {}", rule(&left_out.rule), left_out.reason));
    several(out, "ACLs that are not carried over", left_out);
    let excess = acls.excess.iter().map(rule);
    several(out, "ACLs of the target that are not the source's, and stay", excess);
    let sum = [
        (acls.same, "there already".to_owned()),
        (acls.elsewhere, format!("of {} about other things than what is mirrored", plain(&report.source))),
    ];
    let sum: Vec<_> = sum
        .into_iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, what)| format!("{} {what}", human::plural(count, "ACL", "ACLs")))
        .collect();
    if !sum.is_empty() {
        let _ = writeln!(out, "\n{}", sum.join("; "));
    }
}

/// Some of what has to be known, under a heading.
fn several(out: &mut String, heading: &str, all: impl ExactSizeIterator<Item = String>) {
    let count = all.len();
    if count == 0 {
        return;
    }
    let _ = writeln!(out, "\n{heading}:");
    for one in all.take(NAMED) {
        let _ = writeln!(out, "  {one}");
    }
    more(out, count);
}

fn more(out: &mut String, count: usize) {
    if let Some(more) = count.checked_sub(NAMED).filter(|more| *more > 0) {
        let _ = writeln!(out, "  and {more} more; --output json has all");
    }
}

/// Somebody's words, line by line.
fn lines(text: &str) -> String {
    text.lines().map(plain).collect::<Vec<_>>().join("\n")
}

fn sum(report: &Report) -> String {
    let counts = [
        (report.done(), "done"),
        (report.planned(), if report.applied { "NOT come to" } else { "to do" }),
        (report.refused(), "REFUSED"),
        (report.failed(), "FAILED"),
    ];
    let counts: Vec<_> = counts
        .into_iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, what)| format!("{} {what}", human::count(count as u64)))
        .collect();
    match counts.is_empty() {
        true => "Nothing to change.".to_owned(),
        false if report.applied || report.planned() == 0 => format!("{}.", counts.join(", ")),
        false => format!("{}: `isomirror apply CONFIG` does it.", counts.join(", ")),
    }
}
