//! The steps of a cutover, and what comes next by what has happened. Pure: no clock, no cluster, no journal.
//!
//! ```text
//! began ─► entered X ─► (act, check) ─► left X ─► entered Y ─► … ─► left stop ─► ended: done
//!             │                            │
//!             └──────── back ◄─────────────┘     ─► undoing Y ─► undone Y ─► undoing X ─► … ─► ended: back
//! ```
//! Each arrow is on record before what follows it is done, and what a step does may be done twice: so whoever comes after
//! a crash does the step that was entered again. A step that only looks has nothing to undo.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::facts::{Facts, Intent, Plan};

/// A step, in their order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Step {
    /// Everything that has to be so is looked at.
    Preconditions,
    /// The target is near enough.
    Lag,
    /// Nobody writes to the source any more.
    Block,
    /// Nothing is missing on the target, and the logs' ends are what they have to be.
    Drain,
    /// Consumer groups' offsets are final, and no consumer reads.
    Groups,
    /// Both sides are compared.
    Verify,
    /// The topics rest, and who may write on the source may do so on the target.
    Rights,
    /// Clients go to the target.
    Clients,
    /// The link gives the topics up. From here on there is no way back.
    Stop,
}

/// Something that has happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// The cutover.
    Began {
        /// What is cut over.
        plan: Plan,
    },
    /// Another process goes on with it.
    Resumed,
    /// A step.
    Entered {
        /// Which.
        step: Step,
        /// What it is about to do.
        intent: Intent,
    },
    /// It is done.
    Left {
        /// Which.
        step: Step,
        /// What was found.
        facts: Facts,
    },
    /// From here on it goes back.
    Back {
        /// Why.
        why: Why,
    },
    /// A step is about to be undone.
    Undoing {
        /// Which.
        step: Step,
    },
    /// It is.
    Undone {
        /// Which.
        step: Step,
        /// What was found.
        facts: Facts,
    },
    /// It is over.
    Ended {
        /// How.
        how: Ending,
    },
}

/// How a cutover ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ending {
    /// It is done.
    Done,
    /// Everything is as it was.
    Back,
}

/// Why it goes back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Why {
    /// At which step.
    pub step: Step,
    /// What kind of reason.
    pub cause: Cause,
    /// In words, with what to do.
    pub what: String,
}

/// What kind of reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// Somebody has asked for it.
    Asked,
    /// Something is not as it has to be.
    Refused,
    /// Somebody has written to the source after its writers were blocked.
    Written,
    /// The two sides differ.
    Different,
    /// A step took too long.
    TooLong,
    /// A cluster can't be reached.
    Unreachable,
    /// Something failed.
    Failed,
}

/// A step that was entered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Passed {
    /// Which.
    pub step: Step,
    /// What it was about to do.
    pub intent: Intent,
    /// When it was entered, in ms since 1970.
    pub entered: i64,
    /// When it was left, and what was found.
    pub left: Option<(i64, Facts)>,
    /// When its undoing began.
    pub undoing: Option<i64>,
    /// When it was undone, and what was found.
    pub undone: Option<(i64, Facts)>,
}

/// All that has happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Course {
    /// What is cut over.
    pub plan: Plan,
    /// When it began, in ms since 1970.
    pub began: i64,
    /// The steps that were entered.
    pub steps: Vec<Passed>,
    /// Since when it goes back, and why, if it does.
    pub back: Option<(i64, Why)>,
    /// When it was over, and how.
    pub ended: Option<(i64, Ending)>,
}

/// What has to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// Say what this step will do, and enter it.
    Enter(Step),
    /// Do it, and leave it.
    Act(Step),
    /// Undo it.
    Undo(Step),
    /// Say that it is over.
    End(Ending),
    /// Nothing.
    Nothing,
}

/// What can't follow what has happened.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0} can't follow what is on record before it")]
pub struct Impossible(pub String);

// === impl Step ===

impl Step {
    /// All of them, in their order.
    pub const ALL: [Self; 9] = [
        Self::Preconditions,
        Self::Lag,
        Self::Block,
        Self::Drain,
        Self::Groups,
        Self::Verify,
        Self::Rights,
        Self::Clients,
        Self::Stop,
    ];

    /// Its name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Preconditions => "preconditions",
            Self::Lag => "lag",
            Self::Block => "block",
            Self::Drain => "drain",
            Self::Groups => "groups",
            Self::Verify => "verify",
            Self::Rights => "rights",
            Self::Clients => "clients",
            Self::Stop => "stop",
        }
    }

    /// The one that follows.
    pub fn following(self) -> Option<Self> {
        Self::ALL.into_iter().find(|step| *step > self)
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

// === impl Passed ===

impl Passed {
    /// Whether there is something to undo: from `rights` on the topics rest, whatever ACLs there are; and clients may have
    /// been moved by hand.
    pub fn changes(&self) -> bool {
        self.intent.changes() || matches!(self.step, Step::Rights | Step::Clients)
    }
}

// === impl Course ===

impl Course {
    /// What began a moment ago.
    pub fn new(plan: Plan, began: i64) -> Self {
        Self { plan, began, steps: Vec::new(), back: None, ended: None }
    }

    /// Takes what has happened next.
    pub fn take(&mut self, event: &Event, when: i64) -> Result<(), Impossible> {
        let next = self.next();
        match event {
            Event::Resumed if self.ended.is_none() => {}
            Event::Entered { step, intent } if next == Next::Enter(*step) => self.steps.push(Passed {
                step: *step,
                intent: intent.clone(),
                entered: when,
                left: None,
                undoing: None,
                undone: None,
            }),
            Event::Left { step, facts } if next == Next::Act(*step) => {
                self.passed(*step).left = Some((when, facts.clone()));
            }
            Event::Back { why } if self.ended.is_none() && self.back.is_none() && self.may_go_back() => {
                self.back = Some((when, why.clone()));
            }
            Event::Undoing { step } if next == Next::Undo(*step) => {
                self.passed(*step).undoing.get_or_insert(when);
            }
            Event::Undone { step, facts } if next == Next::Undo(*step) => {
                self.passed(*step).undone = Some((when, facts.clone()));
            }
            Event::Ended { how } if next == Next::End(*how) => self.ended = Some((when, *how)),
            impossible => return Err(Impossible(format!("{impossible:?}"))),
        }
        Ok(())
    }

    /// What has to be done next.
    pub fn next(&self) -> Next {
        if self.ended.is_some() {
            return Next::Nothing;
        }
        if self.back.is_some() {
            let open = |passed: &&Passed| passed.changes() && passed.undone.is_none();
            return match self.steps.iter().rev().find(open) {
                Some(passed) => Next::Undo(passed.step),
                None => Next::End(Ending::Back),
            };
        }
        match self.steps.last() {
            None => Next::Enter(Step::Preconditions),
            Some(Passed { step, left: None, .. }) => Next::Act(*step),
            Some(Passed { step, .. }) => step.following().map_or(Next::End(Ending::Done), Next::Enter),
        }
    }

    /// The step that was entered last and not left, and when that was.
    pub fn stands_in(&self) -> Option<(Step, i64)> {
        self.steps.last().filter(|passed| passed.left.is_none()).map(|passed| (passed.step, passed.entered))
    }

    /// A step that was entered.
    pub fn step(&self, step: Step) -> Option<&Passed> {
        self.steps.iter().find(|passed| passed.step == step)
    }

    fn passed(&mut self, step: Step) -> &mut Passed {
        self.steps
            .iter_mut()
            .find(|passed| passed.step == step)
            .expect("what comes next is of a step that was entered")
    }

    /// What was found in a step that was left.
    pub fn facts(&self, step: Step) -> Option<&Facts> {
        self.step(step)?.left.as_ref().map(|(_, facts)| facts)
    }

    /// Whether what was done can be undone.
    pub fn may_go_back(&self) -> bool {
        self.step(Step::Stop).is_none()
    }

    /// Whether clients may have gone to the target already, by a command or, once that is asked for, by hand: then nothing
    /// goes back by itself.
    pub fn has_moved_clients(&self) -> bool {
        self.step(Step::Clients).is_some_and(|passed| passed.intent.changes() || passed.left.is_some())
    }

    /// Since when, and until when, nobody could write on either side, in ms since 1970.
    pub fn without_writes(&self) -> Option<(i64, Option<i64>)> {
        let block = self.step(Step::Block)?;
        let undone = block.undone.as_ref().map(|(when, _)| *when);
        let moved = self.step(Step::Clients).and_then(|passed| Some(passed.left.as_ref()?.0));
        Some((block.entered, undone.or(moved)))
    }
}
