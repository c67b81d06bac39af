//! What came of a switchover, from what is on record: plain data, as JSON or for a person.

use serde::Serialize;

use super::{Halted, Plan, Request, Step};
use crate::operation::{Ending, StepReport, Steps, Story, Why, steps};

/// All of it.
#[derive(Debug, Clone, Serialize)]
#[serde(bound = "S: Steps")]
pub struct Report<S = Step> {
    /// The pair.
    pub pair: String,
    /// Which switchover: when it began, in ms since 1970.
    pub switchover: String,
    /// Who has begun it.
    pub by: String,
    /// What was switched over, and which way.
    #[serde(flatten)]
    pub plan: Plan,
    /// How it has ended; none while it is under way.
    pub ended: Option<Ending>,
    /// When, in ms since 1970.
    pub ended_at: Option<i64>,
    /// Why it goes, or went, back.
    pub back: Option<Why<S>>,
    /// Why it stays where it is.
    pub halted: Option<Halted>,
    /// For how long nobody could write on either site, in ms; none as long as that is so, or it never was.
    pub without_writes_ms: Option<i64>,
    /// Each step.
    pub steps: Vec<StepReport<S>>,
}

// === impl Report ===

impl<S: Steps> Report<S> {
    pub(crate) fn new(request: &Request, story: &Story<S>, halted: Option<Halted>) -> Self {
        let course = &story.course;
        Self {
            pair: request.pair.name(),
            switchover: story.id.clone(),
            by: story.by.to_string(),
            plan: course.plan.clone(),
            ended: course.ended.map(|(_, how)| how),
            ended_at: course.ended.map(|(when, _)| when),
            back: course.back.as_ref().map(|(_, why)| why.clone()),
            halted,
            without_writes_ms: course.without_writes().and_then(|(from, to)| Some(to? - from)),
            steps: steps(course),
        }
    }
}
