//! What came of a cutover, from what is on record: plain data, as JSON or for a person.

use pipeline::LinkConfig;
use serde::Serialize;

use super::{Halted, Plan, StepReport, Story, Why};
use crate::operation::{Ending, steps};

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

// === impl Report ===

impl Report {
    pub(super) fn new(link: &LinkConfig, story: &Story, halted: Option<Halted>) -> Self {
        let course = &story.course;
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
            steps: steps(course),
        }
    }
}

/// Nobody agreed to the last step.
pub(super) const NOT_AGREED: &str = "nobody has agreed to the last step: the cutover stays before it\n  fix: isomirror cutover \
                                     CONFIG goes on, --back undoes it";
