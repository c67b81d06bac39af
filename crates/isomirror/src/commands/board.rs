//! What somebody sees while an operation of several steps runs: on a terminal a table that is drawn again and again,
//! elsewhere a line for each thing that happens, on standard error.

use std::{
    io::{Write, stderr},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use migration::operation::{Event, Intent, StepReport, StepState, Steps, Told};

use crate::{
    human::{self, plain},
    progress, table,
};

/// Between two lines of what is being waited for.
const AGAIN: Duration = Duration::from_secs(5);

/// What is seen.
pub struct Board<S> {
    drawn: Option<Drawn>,
    seen: Mutex<Seen<S>>,
}

/// A table of all steps.
struct Drawn {
    all: MultiProgress,
    rows: Vec<ProgressBar>,
}

/// Which step it is at.
struct Seen<S> {
    step: Option<S>,
    began: i64,
    told: Option<Instant>,
}

impl<S: Steps> Board<S> {
    /// One that shows nothing yet.
    pub fn new() -> Arc<Self> {
        let drawn = progress::is_drawn().then(|| {
            let all = MultiProgress::new();
            let style = ProgressStyle::with_template("{msg}").expect("a fixed template");
            let row = |_: &S| all.add(ProgressBar::new_spinner().with_style(style.clone()));
            let rows = S::ALL.iter().map(row).collect();
            Drawn { all, rows }
        });
        Arc::new(Self { drawn, seen: Mutex::new(Seen { step: None, began: 0, told: None }) })
    }

    /// Shows what happens.
    pub fn tell(&self, told: &Told<S>) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        match told {
            Told::GoesOn(stands_in) => {
                self.line(&format!("going on with the {} that is under way", S::KIND));
                if let Some((step, entered)) = stands_in {
                    (seen.step, seen.began) = (Some(*step), *entered);
                    self.row(*step, StepState::Running, "", "");
                }
            }
            Told::Line(line) => self.line(&format!("| {}", plain(line))),
            Told::Waits(why) => {
                let Some(step) = seen.step else { return };
                if self.drawn.is_some() {
                    self.row(step, StepState::Running, "", why);
                } else if seen.told.is_none_or(|told| told.elapsed() >= AGAIN) {
                    self.line(&format!("{step}: {}", plain(why)));
                    seen.told = Some(Instant::now());
                }
            }
            Told::Event(event, when) => self.event(&mut seen, event, *when),
        }
    }

    fn event(&self, seen: &mut Seen<S>, event: &Event<S>, when: i64) {
        let took = human::duration(seconds(when - seen.began));
        match event {
            Event::Began { plan } => {
                let topics = human::plural(plan.topics.len(), "topic", "topics");
                self.line(&format!("the {} of {topics} has begun", S::KIND));
                S::ALL.iter().for_each(|step| self.row(*step, StepState::Waiting, "", ""));
            }
            Event::Resumed => {}
            Event::Entered { step, intent } => {
                (seen.step, seen.began, seen.told) = (Some(*step), when, None);
                self.step(*step, StepState::Running, "", &about(intent));
            }
            Event::Left { step, facts } => self.step(*step, StepState::Done, &took, &facts.says),
            Event::Back { why } => self.line(&format!("{}: {}; going back", why.step, plain(&why.what))),
            Event::Undoing { step } => {
                (seen.step, seen.began, seen.told) = (Some(*step), when, None);
                self.step(*step, StepState::Undoing, "", "");
            }
            Event::Undone { step, facts } => self.step(*step, StepState::Undone, &took, &facts.says),
            Event::Ended { .. } => seen.step = None,
        }
    }

    fn step(&self, step: S, state: StepState, time: &str, says: &str) {
        if self.drawn.is_some() {
            return self.row(step, state, time, says);
        }
        let time = if time.is_empty() { String::new() } else { format!(" ({time})") };
        let says = if says.is_empty() { String::new() } else { format!(": {}", plain(says)) };
        self.line(&format!("{step} {}{time}{says}", word(state)));
    }

    fn row(&self, step: S, state: StepState, time: &str, says: &str) {
        let Some(drawn) = &self.drawn else { return };
        let at = S::ALL.iter().position(|other| *other == step).expect("all are there");
        drawn.rows[at].set_message(format!("{step:<14} {:<9} {time:>10}  {}", word(state), plain(says)));
    }

    fn line(&self, text: &str) {
        // Nobody may be left to read it.
        let _ = match &self.drawn {
            Some(drawn) => drawn.all.println(text),
            None => writeln!(stderr(), "{text}"),
        };
    }

    /// Asks on the terminal.
    pub fn ask(&self, question: &str) -> bool {
        let ask = || super::ask(question).unwrap_or(false);
        match &self.drawn {
            Some(drawn) => drawn.all.suspend(ask),
            None => ask(),
        }
    }

    /// Takes the table away: what stays is printed.
    pub fn end(&self) {
        if let Some(drawn) = &self.drawn {
            drawn.rows.iter().for_each(ProgressBar::finish_and_clear);
        }
    }
}

/// Where a step is, in a word.
pub fn word(state: StepState) -> &'static str {
    match state {
        StepState::Waiting => human::NONE,
        StepState::Running => "runs",
        StepState::Done => "done",
        StepState::Undoing => "is undone",
        StepState::Undone => "undone",
    }
}

/// Steps as a table.
pub fn steps<S: Steps>(steps: &[StepReport<S>]) -> String {
    let mut table = table::with(&["step", "state", "time", "found"], &[2]);
    for step in steps {
        let took = step.took_ms.map_or_else(|| human::NONE.to_owned(), |ms| human::duration(seconds(ms)));
        table.add_row([step.step.as_str(), word(step.state), &took, &plain(&step.facts.says)]);
    }
    table::trimmed(&table)
}

/// Text of several lines, with nothing in it that a terminal would obey.
pub fn lines(text: &str) -> String {
    text.lines().map(plain).collect::<Vec<_>>().join("\n")
}

pub fn seconds(ms: i64) -> f64 {
    ms as f64 / 1000.0
}

/// What a step is about to do.
fn about(intent: &Intent) -> String {
    match intent {
        Intent::Look => String::new(),
        Intent::Acls { create, there, .. } => {
            format!("{} to make, {} there", human::plural(create.len(), "ACL", "ACLs"), there.len())
        }
        Intent::Run { command, .. } => format!("runs {command:?}"),
    }
}
