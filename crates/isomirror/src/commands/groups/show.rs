//! Groups as tables for a person. Owns wording and order.

use std::{collections::BTreeMap, fmt::Write as _};

use group_offsets::{Activity, GroupPlan, Outcome, Step};
use migration::groups::{GroupRow, Listing, OnSide, Report, Totals};

use crate::{
    human::{self, plain},
    table,
};

/// With more partitions than this a group has one line, not one for each.
const EACH: usize = 2000;

/// All groups, and how far behind they are.
pub fn listing(listing: &Listing) -> String {
    if listing.groups.is_empty() {
        return format!("link {}: no group on either side, as far as may be seen", listing.link);
    }
    let (source, target) = (plain(&listing.source), plain(&listing.target));
    let mut table = table::with(
        &[
            "group",
            "kind",
            &format!("on {source}"),
            "members",
            "lag",
            &format!("on {target}"),
            "members",
            "lag",
            "",
        ],
        &[3, 4, 6, 7],
    );
    for row in &listing.groups {
        let [source, target] = [&row.on_source, &row.on_target].map(side);
        table.add_row(
            [plain(&row.group), row.kind.as_deref().map_or_else(|| human::NONE.to_owned(), plain)]
                .into_iter()
                .chain(source)
                .chain(target)
                .chain([note(row)]),
        );
    }
    table::trimmed(&table)
}

fn side(side: &Option<OnSide>) -> [String; 3] {
    let none = || human::NONE.to_owned();
    match side {
        None => [none(), none(), none()],
        Some(found) => {
            let lag = if found.partitions == 0 { none() } else { human::count(found.lag) };
            [plain(&found.state), human::count(found.members as u64), lag]
        }
    }
}

fn note(row: &GroupRow) -> String {
    let left_out = row.left_out.map(|reason| format!("left out: {reason}"));
    let trouble = row.trouble.as_deref().map(plain);
    left_out.or(trouble).unwrap_or_default()
}

/// What would be done, or was: the table, what has to be known, and the sum last.
pub fn report(report: &Report) -> String {
    let mut out = String::new();
    let groups = || report.groups.iter().filter(|group| !group.partitions.is_empty());
    if groups().map(|group| group.partitions.len()).sum::<usize>() > EACH {
        out.push_str(&by_group(groups()));
    } else if groups().next().is_some() {
        let mut table = table::with(
            &["group", "topic", "p", "source", "target now", "target then", "again", ""],
            &[2, 3, 4, 5, 6],
        );
        for (group, step) in groups().flat_map(|group| group.partitions.iter().map(move |step| (group, step)))
        {
            table.add_row([
                plain(&group.group),
                topics(step),
                step.partition.to_string(),
                human::offset(step.source_offset),
                human::offset(step.target_offset_now),
                human::offset(step.target_offset_then),
                human::count(step.read_again),
                word(step.outcome).to_owned(),
            ]);
        }
        out.push_str(&table::trimmed(&table));
    }
    for group in &report.groups {
        notes(&mut out, group);
    }
    for left_out in &report.left_out {
        let _ = writeln!(out, "\n{}: left out: {}", plain(&left_out.group), plain(&left_out.reason));
    }
    let _ = write!(out, "\n{}", sum(&report.totals));
    out.trim_start_matches('\n').to_owned()
}

/// A line for each group: how many of its offsets there are of each kind.
fn by_group<'a>(groups: impl Iterator<Item = &'a GroupPlan>) -> String {
    const KINDS: [Outcome; 5] =
        [Outcome::Commit, Outcome::Committed, Outcome::Same, Outcome::Refused, Outcome::Failed];
    let header = [&["group", "offsets"][..], &KINDS.map(word), &["again"]].concat();
    let mut table = table::with(&header, &[1, 2, 3, 4, 5, 6, 7]);
    for group in groups {
        let steps = &group.partitions;
        let count = |kind| human::count(steps.iter().filter(|step| step.outcome == kind).count() as u64);
        let again = human::count(steps.iter().map(|step| step.read_again).sum());
        let counts = [human::count(steps.len() as u64)].into_iter().chain(KINDS.map(count)).chain([again]);
        table.add_row([plain(&group.group)].into_iter().chain(counts));
    }
    format!("{}\neach partition: --output json\n", table::trimmed(&table))
}

fn word(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Commit => "to commit",
        Outcome::Committed => "committed",
        Outcome::Same => "same",
        Outcome::Refused => "REFUSED",
        Outcome::Failed => "FAILED",
    }
}

fn topics(step: &Step) -> String {
    if step.topic == step.target_topic {
        plain(&step.topic)
    } else {
        format!("{} → {}", plain(&step.topic), plain(&step.target_topic))
    }
}

/// What has to be known of a group: each reason once, with the partitions that it is for.
fn notes(out: &mut String, group: &GroupPlan) {
    let name = plain(&group.group);
    if let Some(trouble) = &group.trouble {
        let lines: Vec<_> = trouble.lines().map(plain).collect();
        let _ = writeln!(out, "\n{name}: {}", lines.join("\n"));
    } else if group.partitions.is_empty() {
        let _ = writeln!(out, "\n{name}: it has committed nothing for a topic of this link");
    }
    let refused = group.has(Outcome::Refused);
    if let Some(Activity { state, members }) =
        group.target.as_ref().filter(|found| found.members > 0 && !refused)
    {
        let members = human::plural(*members, "member", "members");
        let _ = writeln!(out, "\n{name}: {members} on the target ({})", plain(state));
    }
    let mut reasons: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for step in &group.partitions {
        if let Some(reason) = &step.reason {
            reasons.entry(reason).or_default().push(format!("{}[{}]", plain(&step.topic), step.partition));
        }
    }
    for (reason, partitions) in reasons {
        let lines: Vec<_> = reason.lines().map(plain).collect();
        let _ = writeln!(out, "\n{name}, {}: {}", human::few(&partitions), lines.join("\n"));
    }
    if !group.not_mirrored.is_empty() {
        let topics: Vec<_> = group.not_mirrored.iter().map(|topic| plain(topic)).collect();
        let _ = writeln!(
            out,
            "\n{name}: also reads topics that this link does not mirror: {}",
            human::few(&topics)
        );
    }
}

/// How many there are of each.
pub fn sum(totals: &Totals) -> String {
    let counts = [
        (totals.committed, "committed"),
        (totals.commit, "to commit"),
        (totals.same, "the same already"),
        (totals.refused, "REFUSED"),
        (totals.failed, "FAILED"),
    ];
    let counts: Vec<_> = counts
        .into_iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, what)| format!("{} {what}", human::count(count as u64)))
        .collect();
    let mut out = format!("{}: ", human::plural(totals.groups, "group", "groups"));
    out.push_str(&if counts.is_empty() { "no offsets".to_owned() } else { counts.join(", ") });
    if totals.groups_failed > 0 {
        let _ = write!(out, "; {} FAILED", human::plural(totals.groups_failed, "group", "groups"));
    }
    if totals.read_again > 0 {
        let _ = write!(out, "; up to {} records would be read again", human::count(totals.read_again));
    }
    out.push('.');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(partition: usize, outcome: Outcome) -> Step {
        Step {
            topic: "t".to_owned(),
            target_topic: "t".to_owned(),
            partition: i32::try_from(partition).unwrap(),
            source_offset: Some(7),
            target_offset_now: None,
            target_offset_then: Some(7),
            read_again: 2,
            absent: 0,
            how: None,
            outcome,
            reason: None,
            metadata: String::new(),
        }
    }

    fn shown(partitions: usize) -> String {
        let kind = |n: usize| if n == 0 { Outcome::Same } else { Outcome::Commit };
        let steps = (0..partitions).map(|n| step(n, kind(n))).collect();
        let group = GroupPlan { partitions: steps, ..GroupPlan::new("billing") };
        report(&Report {
            link: "l".to_owned(),
            source: "s".to_owned(),
            target: "t".to_owned(),
            totals: Totals { groups: 1, commit: partitions - 1, same: 1, ..Totals::default() },
            groups: vec![group],
            left_out: Vec::new(),
        })
    }

    #[test]
    fn very_many_partitions_are_a_line_for_each_group_and_all_are_counted() {
        assert_eq!(shown(EACH).lines().filter(|line| line.contains("billing")).count(), EACH);
        let text = shown(EACH + 1);
        let lines: Vec<String> =
            text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
        assert_eq!(
            lines[..2],
            [
                "group offsets to commit committed same REFUSED FAILED again",
                "billing 2,001 2,000 0 1 0 0 4,002"
            ]
        );
        assert!(text.contains("each partition: --output json"), "{text}");
        assert!(text.ends_with("1 group: 2,000 to commit, 1 the same already."), "{text}");
    }
}
