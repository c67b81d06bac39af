//! After a failover, when the site that was gone is back: where each of its lanes has left the other site's, what it alone has, in
//! files; and making it a faithful standby again by the cheapest way that is right.
//!
//! ```text
//! block ─► fork: last equal offset of each lane ─► export: what lies behind it ─► clear (asked first) ─► follow
//!                                                                                  ├─ nothing behind it: marks, and on
//!                                                                                  └─ else: the topic is deleted there, and
//!                                                                                     mirrored anew from the active site
//! ```
//! Nothing is deleted on the active site, and nothing on the other one before it is in files.

mod export;
mod steps;
mod world;

use std::{path::PathBuf, sync::Arc};

use self::world::{Acting, forks};
pub use self::{
    export::{Bytes, Exported, read},
    steps::Step,
    world::Fork,
};
use crate::{
    failover,
    operation::{self, Ending, Facts, Plan},
    sides::Error,
    switchover::{self, turn, who},
};

/// Something that has happened.
pub type Event = operation::Event<Step>;
/// What came of it.
pub type Report = switchover::Report<Step>;
/// Whoever watches.
pub type Watcher = operation::Watcher<Step>;
type Story = operation::Story<Step>;
type Notes = operation::Notes<Step>;
type Course = operation::Course<Step>;

/// What is asked for.
#[derive(Clone)]
pub struct Request {
    /// The pair, and how its writers are blocked.
    pub of: switchover::Request,
    /// The folder for what the site that is back alone has.
    pub folder: PathBuf,
    /// Whether somebody agrees that topics are deleted there.
    pub agrees: Arc<dyn Fn(&str) -> bool + Send + Sync>,
}

/// Begins it, or goes on with what is under way; to its end.
pub async fn reconcile(request: &Request, watcher: &Watcher) -> Result<Report, Error> {
    let of = &request.of;
    let journals = of.journals().await?;
    let states = [journals[0].read().await?, journals[1].read().await?];
    let stories = Story::of_all(&states)?;
    let open = stories.into_iter().find(|story| story.course.ended.is_none());
    let (plan, ends) = match &open {
        Some(story) => (story.course.plan.clone(), failed_over(&states)?.map(|(_, facts)| facts)),
        None => failed_over(&states)?.map(|(plan, facts)| (plan, Some(facts))).ok_or_else(|| nothing(of))?,
    };
    let journals = of.ordered(&journals, turn(&plan)?);
    // The site that is back knows nothing of what has happened since.
    journals.complete::<switchover::Step>().await?;
    journals.complete::<failover::Step>().await?;
    journals.complete::<Step>().await?;
    let mut notes = match open {
        Some(story) => Notes::resume(journals, story, &[], who(of), watcher).await?,
        None => Notes::begin(journals, plan, who(of), watcher).await?,
    };
    let world = Acting::new(request, watcher, &notes.story, ends.unwrap_or_default())?;
    let not_agreed =
        "nobody has agreed that topics are deleted: nothing is\n  fix: isomirror reconcile PAIR goes on";
    let halted = operation::go_on(&mut notes, &world, of.settings.step_limit, not_agreed).await?;
    Ok(Report::new(of, &notes.story, halted))
}

/// Where the lanes of both sites part, without changing anything.
pub async fn look(request: &switchover::Request) -> Result<(Plan, Vec<Fork>), Error> {
    let journals = request.journals().await?;
    let states = [journals[0].read().await?, journals[1].read().await?];
    let (plan, facts) = failed_over(&states)?.ok_or_else(|| nothing(request))?;
    let link = request.pair.link(&turn(&plan)?.link)?;
    let found = forks(link, request.timeout, &plan, &facts).await;
    found
        .map(|forks| (plan, forks))
        .map_err(|trouble| Error::Refused { what: trouble.what, fix: "mend that, and look again".to_owned() })
}

fn nothing(request: &switchover::Request) -> Error {
    Error::Refused {
        what: format!("no site of {} is active alone: there is nothing to reconcile", request.pair.name()),
        fix: "isomirror switchover PAIR turns the pair around".to_owned(),
    }
}

/// The failover that has left a site alone, and what it has found.
fn failed_over(states: &[link_journal::JournalState]) -> Result<Option<(Plan, Facts)>, Error> {
    if failover::alone(states)?.is_none() {
        return Ok(None);
    }
    let stories = operation::Story::<failover::Step>::of_all(states)?;
    let done = stories.into_iter().rev().find(|story| matches!(story.course.ended, Some((_, Ending::Done))));
    Ok(done.and_then(|story| {
        let facts = story.course.facts(failover::Step::Assess)?.clone();
        Some((story.course.plan, facts))
    }))
}
