//! A switchover as tables for a person. Owns wording and order.

use std::fmt::Write as _;

use migration::{
    operation::{Lacking, Steps},
    switchover::{Ending, Plan, Preview, Report},
};

use crate::{
    commands::{
        board::{self, lines, seconds},
        cutover::{acls, topics},
    },
    human::{self, plain},
    table,
};

/// So many lanes are shown.
const SHOWN: usize = 20;

/// What has been done, and how it has ended.
pub fn report<S: Steps>(report: &Report<S>, done: impl Fn(&str, &str) -> String) -> String {
    let mut out = String::new();
    let (from, to) = way(&report.plan);
    let _ = writeln!(out, "{}", board::steps(&report.steps));
    let _ = writeln!(out, "{}", topics(&report.plan.topics));
    if let Some(ms) = report.without_writes_ms.filter(|_| S::KIND == "switchover") {
        let _ = writeln!(out, "Nobody could write for {}.", human::duration(seconds(ms)));
    }
    if let Some(since) = report.steps.iter().find_map(|step| step.facts.since_turn) {
        let _ = writeln!(
            out,
            "Since the turn: {} written on {to}; {} lost, {} repeated.",
            human::plural(usize::try_from(since.written).unwrap_or(usize::MAX), "offset", "offsets"),
            human::count(since.lost),
            human::count(since.repeated)
        );
    }
    // What was seen first is told again, with what is missing of it, by the step that ends here.
    let fixed = report.steps.iter().find(|step| step.step == S::FIXES && !step.facts.lacking.is_empty());
    if let Some(step) = fixed {
        let _ = writeln!(out, "Missing, as far as was seen:\n{}", missing(&step.facts.lacking));
    }
    if let Some(why) = &report.back {
        let _ = writeln!(out, "It went back at {}: {}", why.step, lines(&why.what));
    }
    if let Some(halted) = &report.halted {
        let _ = writeln!(out, "{}", lines(&halted.what));
    }
    out.push_str(&match report.ended {
        Some(Ending::Done) => done(&from, &to),
        Some(Ending::Back) => {
            format!("{from} is active as before, and nobody is kept from writing there by this {}.", S::KIND)
        }
        Some(Ending::Abandoned) => format!("The {} from {from} to {to} was given up where it was.", S::KIND),
        None => format!("The {} from {from} to {to} is NOT over.", S::KIND),
    });
    out
}

fn missing(lanes: &[Lacking]) -> String {
    let mut table = table::with(
        &["topic", "p", "ended there", "ends here", "missing", "written later than"],
        &[1, 2, 3, 4],
    );
    for lane in lanes.iter().take(SHOWN) {
        table.add_row([
            &*plain(&lane.topic),
            &lane.partition.to_string(),
            &lane.seen.to_string(),
            &lane.end.to_string(),
            &human::count(lane.records()),
            &human::time(lane.since),
        ]);
    }
    let more = lanes.len().saturating_sub(SHOWN);
    let more = if more == 0 { String::new() } else { format!("and {more} lanes more: --output json\n") };
    format!("{}{more}", table::trimmed(&table))
}

/// What would be done, and whether it could be.
pub fn preview(preview: &Preview) -> String {
    let mut out = String::new();
    let (from, to) = way(&preview.plan);
    if let Some(note) = &preview.note {
        let _ = writeln!(out, "A switchover from {from} to {to}: {}\n", plain(note));
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
    let could = match not_now {
        0 => "Each step could be done now.".to_owned(),
        some => format!("{} could NOT be done now.", human::plural(some, "step", "steps")),
    };
    let _ = write!(out, "{from} is active, {to} would be. Nothing was changed. {could}");
    out
}

/// From which site to which.
fn way(plan: &Plan) -> (String, String) {
    plan.turn.as_ref().map_or_else(Default::default, |turn| (plain(&turn.from), plain(&turn.to)))
}
