//! What came of the steps of an operation, from what is on record: plain data.

use serde::Serialize;

use super::{
    Facts,
    drive::Trouble,
    machine::{Cause, Course, Steps},
};

/// Why it stays where it is.
#[derive(Debug, Clone, Serialize)]
pub struct Halted {
    /// What kind of reason; none where nobody agreed to the last step.
    pub cause: Option<Cause>,
    /// In words, with what to do.
    pub what: String,
}

/// A step.
#[derive(Debug, Clone, Serialize)]
#[serde(bound = "S: Steps")]
pub struct StepReport<S> {
    /// Which.
    pub step: S,
    /// Where it is.
    pub state: StepState,
    /// When it was entered, in ms since 1970.
    pub entered: Option<i64>,
    /// How long it took, or took to undo, in ms.
    pub took_ms: Option<i64>,
    /// What was found.
    #[serde(flatten)]
    pub facts: Facts,
}

/// Where a step is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum StepState {
    /// It is to come.
    Waiting,
    /// It has begun.
    Running,
    /// It is done.
    Done,
    /// It is being undone.
    Undoing,
    /// It is undone.
    Undone,
}

/// Each step of a course.
pub(crate) fn steps<S: Steps>(course: &Course<S>) -> Vec<StepReport<S>> {
    S::ALL.iter().map(|step| of_step(course, *step)).collect()
}

fn of_step<S: Steps>(course: &Course<S>, step: S) -> StepReport<S> {
    let Some(passed) = course.step(step) else {
        return StepReport {
            step,
            state: StepState::Waiting,
            entered: None,
            took_ms: None,
            facts: Facts::default(),
        };
    };
    let (state, took, facts) = match (&passed.undone, passed.undoing, &passed.left) {
        (Some((when, facts)), since, _) => (StepState::Undone, since.map(|since| when - since), Some(facts)),
        (None, Some(_), _) => (StepState::Undoing, None, None),
        (None, None, Some((when, facts))) => (StepState::Done, Some(when - passed.entered), Some(facts)),
        (None, None, None) => (StepState::Running, None, None),
    };
    let facts = facts.cloned().unwrap_or_default();
    StepReport { step, state, entered: Some(passed.entered), took_ms: took, facts }
}

// === impl Halted ===

impl Halted {
    /// Nobody has agreed to go on.
    pub(crate) fn because(what: &str) -> Self {
        Self { cause: None, what: what.to_owned() }
    }

    pub(crate) fn of<S: Steps>(step: S, trouble: Trouble, course: &Course<S>) -> Self {
        let next = match (course.back.is_some(), course.may_go_back()) {
            (true, _) => {
                "it is going back, and writers may still be blocked: run it again once that is mended"
            }
            (false, true) => {
                "clients may be on the target already, so nothing is undone by itself: run it again, or --back"
            }
            (false, false) => "there is no way back any more: run it again",
        };
        Self { cause: Some(trouble.cause), what: format!("{step}: {}\n  {next}", trouble.what) }
    }
}
