//! What came of a cutover, from what is on record: plain data, as JSON or for a person.

use pipeline::LinkConfig;
use serde::Serialize;

use super::{
    Facts, Plan,
    drive::Trouble,
    machine::{Cause, Ending, Step, Why},
    story::Story,
};

/// All of it.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// The link.
    pub link: String,
    /// The source cluster's name.
    pub source: String,
    /// The target cluster's name.
    pub target: String,
    /// Which cutover: when it began, in ms since 1970.
    pub cutover: String,
    /// Who has begun it.
    pub by: String,
    /// What was cut over.
    #[serde(flatten)]
    pub plan: Plan,
    /// How it has ended; none while it is under way.
    pub ended: Option<Ending>,
    /// When, in ms since 1970.
    pub ended_at: Option<i64>,
    /// Why it goes, or went, back.
    pub back: Option<Why>,
    /// Why it stays where it is.
    pub halted: Option<Halted>,
    /// For how long nobody could write on either side, in ms; none as long as that is so, or it never was.
    pub without_writes_ms: Option<i64>,
    /// Each step.
    pub steps: Vec<StepReport>,
}

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
pub struct StepReport {
    /// Which.
    pub step: Step,
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

// === impl Report ===

impl Report {
    pub(super) fn new(link: &LinkConfig, story: &Story, halted: Option<Halted>) -> Self {
        let course = &story.course;
        let step = |step: Step| {
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
                (Some((when, facts)), since, _) => {
                    (StepState::Undone, since.map(|since| when - since), Some(facts))
                }
                (None, Some(_), _) => (StepState::Undoing, None, None),
                (None, None, Some((when, facts))) => {
                    (StepState::Done, Some(when - passed.entered), Some(facts))
                }
                (None, None, None) => (StepState::Running, None, None),
            };
            let facts = facts.cloned().unwrap_or_default();
            StepReport { step, state, entered: Some(passed.entered), took_ms: took, facts }
        };
        Self {
            link: link.link.clone(),
            source: link.source.name.clone(),
            target: link.target.name.clone(),
            cutover: story.id.clone(),
            by: story.by.to_string(),
            plan: course.plan.clone(),
            ended: course.ended.map(|(_, how)| how),
            ended_at: course.ended.map(|(when, _)| when),
            back: course.back.as_ref().map(|(_, why)| why.clone()),
            halted,
            without_writes_ms: course.without_writes().and_then(|(from, to)| Some(to? - from)),
            steps: Step::ALL.into_iter().map(step).collect(),
        }
    }
}

// === impl Halted ===

impl Halted {
    pub(super) fn not_agreed() -> Self {
        let what = "nobody has agreed to the last step: the cutover stays before it\n  fix: isomirror cutover CONFIG goes \
                    on, --back undoes it";
        Self { cause: None, what: what.to_owned() }
    }

    pub(super) fn of(step: Step, trouble: Trouble, story: &Story) -> Self {
        let course = &story.course;
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
