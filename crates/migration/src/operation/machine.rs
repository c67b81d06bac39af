//! The course of an operation of several steps, and what comes next by what has happened. Pure: no clock, no cluster, no journal.
//!
//! ```text
//! began ─► entered X ─► (act, check) ─► left X ─► entered Y ─► … ─► left the last ─► ended: done
//!             │                            │
//!             └──────── back ◄─────────────┘     ─► undoing Y ─► undone Y ─► undoing X ─► … ─► ended: back
//! ```
//! Each arrow is on record before what follows it is done, and what a step does may be done twice: so whoever comes after
//! a crash does the step that was entered again. A step that only looks has nothing to undo.

use std::fmt;

use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::facts::{Facts, Intent, Plan};

/// The steps of a kind of operation, in their order.
pub trait Steps:
    Copy + Ord + fmt::Debug + fmt::Display + Serialize + DeserializeOwned + Send + Sync + 'static
{
    /// What such operations are called, in the journal and for people.
    const KIND: &'static str;
    /// All of them, in their order.
    const ALL: &'static [Self];
    /// Keeps writers from the source.
    const BLOCKS: Self;
    /// Once it is left, the source's ends are fixed: whoever moves one has written behind the block.
    const FIXES: Self;
    /// Once it is left, clients may write again.
    const RELEASES: Self;
    /// Clients may have moved once it was entered, if it changes anything, and once it was left, whatever it did: nothing goes
    /// back by itself.
    const MOVES: Self;
    /// Once it was entered, there is no way back.
    const LAST: Self;

    /// Its name.
    fn as_str(self) -> &'static str;

    /// Whether there is something to undo, whatever it was about to do.
    fn always_changes(self) -> bool;

    /// Which link of a pair runs from this event on, if that changes.
    fn runs(event: &Event<Self>, course: &Course<Self>) -> Option<Running>;

    /// The one that follows.
    fn following(self) -> Option<Self> {
        Self::ALL.iter().copied().find(|step| *step > self)
    }
}

/// Which link of a pair runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Running {
    /// None.
    Neither,
    /// This one.
    Link(String),
    /// This one, which leads away from the active site, once more is said.
    Waits(String),
}

/// Something that has happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case", bound = "S: Steps")]
pub enum Event<S> {
    /// The operation.
    Began {
        /// What it is about.
        plan: Plan,
    },
    /// Another process goes on with it.
    Resumed,
    /// A step.
    Entered {
        /// Which.
        step: S,
        /// What it is about to do.
        intent: Intent,
    },
    /// It is done.
    Left {
        /// Which.
        step: S,
        /// What was found.
        facts: Facts,
    },
    /// From here on it goes back.
    Back {
        /// Why.
        why: Why<S>,
    },
    /// A step is about to be undone.
    Undoing {
        /// Which.
        step: S,
    },
    /// It is.
    Undone {
        /// Which.
        step: S,
        /// What was found.
        facts: Facts,
    },
    /// It is over.
    Ended {
        /// How.
        how: Ending,
    },
}

/// How an operation ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ending {
    /// It is done.
    Done,
    /// Everything is as it was.
    Back,
    /// It was given up where it was, as one of the clusters is gone.
    Abandoned,
}

/// Why it goes back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(bound = "S: Steps")]
pub struct Why<S> {
    /// At which step.
    pub step: S,
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
pub struct Passed<S> {
    /// Which.
    pub step: S,
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
pub struct Course<S> {
    /// What it is about.
    pub plan: Plan,
    /// When it began, in ms since 1970.
    pub began: i64,
    /// The steps that were entered.
    pub steps: Vec<Passed<S>>,
    /// Since when it goes back, and why, if it does.
    pub back: Option<(i64, Why<S>)>,
    /// When it was over, and how.
    pub ended: Option<(i64, Ending)>,
}

/// What has to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next<S> {
    /// Say what this step will do, and enter it.
    Enter(S),
    /// Do it, and leave it.
    Act(S),
    /// Undo it.
    Undo(S),
    /// Say that it is over.
    End(Ending),
    /// Nothing.
    Nothing,
}

/// What can't follow what has happened.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0} can't follow what is on record before it")]
pub struct Impossible(pub String);

// === impl Passed ===

impl<S: Steps> Passed<S> {
    /// Whether there is something to undo.
    pub fn changes(&self) -> bool {
        self.intent.changes() || self.step.always_changes()
    }
}

// === impl Course ===

impl<S: Steps> Course<S> {
    /// What began a moment ago.
    pub fn new(plan: Plan, began: i64) -> Self {
        Self { plan, began, steps: Vec::new(), back: None, ended: None }
    }

    /// Takes what has happened next.
    pub fn take(&mut self, event: &Event<S>, when: i64) -> Result<(), Impossible> {
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
            Event::Ended { how: Ending::Abandoned } if self.ended.is_none() => {
                self.ended = Some((when, Ending::Abandoned));
            }
            Event::Ended { how } if next == Next::End(*how) => self.ended = Some((when, *how)),
            impossible => return Err(Impossible(format!("{impossible:?}"))),
        }
        Ok(())
    }

    /// What has to be done next.
    pub fn next(&self) -> Next<S> {
        if self.ended.is_some() {
            return Next::Nothing;
        }
        if self.back.is_some() {
            let open = |passed: &&Passed<S>| passed.changes() && passed.undone.is_none();
            return match self.steps.iter().rev().find(open) {
                Some(passed) => Next::Undo(passed.step),
                None => Next::End(Ending::Back),
            };
        }
        match self.steps.last() {
            None => Next::Enter(S::ALL[0]),
            Some(Passed { step, left: None, .. }) => Next::Act(*step),
            Some(Passed { step, .. }) => step.following().map_or(Next::End(Ending::Done), Next::Enter),
        }
    }

    /// The step that was entered last and not left, and when that was.
    pub fn stands_in(&self) -> Option<(S, i64)> {
        self.steps.last().filter(|passed| passed.left.is_none()).map(|passed| (passed.step, passed.entered))
    }

    /// A step that was entered.
    pub fn step(&self, step: S) -> Option<&Passed<S>> {
        self.steps.iter().find(|passed| passed.step == step)
    }

    fn passed(&mut self, step: S) -> &mut Passed<S> {
        self.steps
            .iter_mut()
            .find(|passed| passed.step == step)
            .expect("what comes next is of a step that was entered")
    }

    /// What was found in a step that was left.
    pub fn facts(&self, step: S) -> Option<&Facts> {
        self.step(step)?.left.as_ref().map(|(_, facts)| facts)
    }

    /// Whether what was done can be undone.
    pub fn may_go_back(&self) -> bool {
        self.step(S::LAST).is_none()
    }

    /// Whether clients may have gone to the target already, by a command or, once that is asked for, by hand: then nothing
    /// goes back by itself.
    pub fn has_moved_clients(&self) -> bool {
        self.step(S::MOVES).is_some_and(|passed| passed.intent.changes() || passed.left.is_some())
    }

    /// Since when, and until when, nobody could write on either side, in ms since 1970.
    pub fn without_writes(&self) -> Option<(i64, Option<i64>)> {
        let block = self.step(S::BLOCKS)?;
        let undone = block.undone.as_ref().map(|(when, _)| *when);
        let moved = self.step(S::RELEASES).and_then(|passed| Some(passed.left.as_ref()?.0));
        Some((block.entered, undone.or(moved)))
    }
}
