//! A cutover as tables for a person. Owns wording and order.

use std::fmt::Write as _;

use kafka_wire::AclRule;
use migration::cutover::{Ending, Preview, Report, Route};

use crate::{
    commands::board::{self, lines, seconds},
    human::{self, plain},
    table,
};

/// ACLs that are shown in full, at most.
const SHOWN: usize = 10;

/// What has been done, and how it has ended.
pub fn report(report: &Report) -> String {
    let mut out = String::new();
    let _ = writeln!(out, "{}", board::steps(&report.steps));
    let _ = writeln!(out, "{}", topics(&report.plan.topics));
    if let Some(ms) = report.without_writes_ms {
        let _ = writeln!(out, "Nobody could write for {}.", human::duration(seconds(ms)));
    }
    if let Some(why) = &report.back {
        let _ = writeln!(out, "It went back at {}: {}", why.step, lines(&why.what));
    }
    if let Some(halted) = &report.halted {
        let _ = writeln!(out, "{}", lines(&halted.what));
    }
    let link = &report.link;
    out.push_str(&match report.ended {
        Some(Ending::Done) => format!("link {link} is cut over to {}.", plain(&report.target)),
        Some(Ending::Back | Ending::Abandoned) => {
            format!("link {link} is as it was: it mirrors on, and nobody is kept from writing by it.")
        }
        None => format!("The cutover of link {link} is NOT over."),
    });
    out
}

/// What would be done, and whether it could be.
pub fn preview(preview: &Preview) -> String {
    let mut out = String::new();
    if let Some(note) = &preview.note {
        let _ = writeln!(out, "A cutover of link {}: {}\n", preview.link, plain(note));
    }
    let mut table = table::with(&["step", "now", "would"], &[]);
    for step in &preview.steps {
        let now = if step.trouble.is_some() { "NO" } else { "yes" };
        table.add_row([&*step.step.to_string(), now, &plain(&step.would)]);
    }
    let _ = writeln!(out, "{}", table::trimmed(&table));
    for step in &preview.steps {
        out.push_str(&acls(&step.step.to_string(), &step.acls));
        if let Some(trouble) = &step.trouble {
            let _ = writeln!(out, "{}: {}\n", step.step, lines(trouble));
        }
    }
    let _ = writeln!(out, "{}", topics(&preview.plan.topics));
    let not_now = preview.steps.iter().filter(|step| step.trouble.is_some()).count();
    out.push_str(&match not_now {
        0 => "Nothing was changed. Each step could be done now.".to_owned(),
        some => {
            format!("Nothing was changed. {} could NOT be done now.", human::plural(some, "step", "steps"))
        }
    });
    out
}

/// The ACLs that a step makes or deletes.
pub fn acls(step: &str, acls: &[AclRule]) -> String {
    if acls.is_empty() {
        return String::new();
    }
    let more = acls.len().saturating_sub(SHOWN);
    let mut shown: Vec<String> = acls.iter().take(SHOWN).map(|rule| plain(&rule.to_string())).collect();
    if more > 0 {
        shown.push(format!("and {more} more"));
    }
    format!("{step} makes:\n  {}\n\n", shown.join("\n  "))
}

/// The topics' names.
pub fn topics(routes: &[Route]) -> String {
    let one = |route: &Route| match route.topic == route.target_topic {
        true => plain(&route.topic),
        false => format!("{} → {}", plain(&route.topic), plain(&route.target_topic)),
    };
    let names: Vec<String> = routes.iter().map(one).collect();
    format!("{}: {}", human::plural(names.len(), "topic", "topics"), human::few(&names))
}
