//! Operations of several steps that one person can run at night: each step on record before and after it acts, taken up
//! again by another process, and undone in reverse. A cutover is one, a switchover another.
//!
//! ```text
//! machine (pure): what comes next ──► drive: on record ─► act ─► look ─► on record ──► over: done, or back
//!      ▲                                │        │
//!      └── story: one journal or two ◄──┘        └─► World: the operation's own, on ground, acls, groups, lanes, hook
//! ```
//! Owns what such operations have in common. Knows no step of them.

pub(crate) mod acls;
pub(crate) mod drive;
mod facts;
pub(crate) mod ground;
pub(crate) mod groups;
mod hook;
pub(crate) mod lanes;
mod machine;
mod process;
mod report;
mod story;

use std::time::Duration;

use tokio::sync::mpsc::UnboundedSender;

use self::drive::{Halt, World, drive};

#[cfg(test)]
pub(crate) use self::machine::Next;
pub use self::{
    facts::{
        Facts, GroupMoved, Intent, Lacking, LaneDigest, LaneEnd, Plan, Route, SinceTurn, Turn, Verified,
    },
    ground::{Block, Depth, Hook},
    machine::{Cause, Ending, Event, Steps, Why},
    process::this_process,
    report::{Halted, StepReport, StepState},
};
pub(crate) use self::{
    machine::{Course, Running},
    report::steps,
    story::{Journals, Notes, Story, Who},
};
use crate::sides::Error;

/// What happens, for whoever watches.
#[derive(Debug, Clone)]
pub enum Told<S> {
    /// It goes on with what somebody has begun; with a step that was entered at this time, in ms since 1970, if it stands in one.
    GoesOn(Option<(S, i64)>),
    /// Something is on record now, since this time in ms since 1970.
    Event(Event<S>, i64),
    /// What is being waited for, or how far it is.
    Waits(String),
    /// A line that a command has printed.
    Line(String),
}

/// Whoever watches.
pub type Watcher<S> = UnboundedSender<Told<S>>;

/// Goes on with an operation until it is over, or stays where it is; why it does. `not_agreed`: what to say where nobody agrees to
/// the last step.
pub(crate) async fn go_on<S: Steps, W: World<S>>(
    notes: &mut Notes<S>,
    world: &W,
    limit: Duration,
    not_agreed: &str,
) -> Result<Option<Halted>, Error> {
    match drive(notes, world, limit).await {
        Ok(_) => Ok(None),
        Err(Halt::NotAgreed) => Ok(Some(Halted::because(not_agreed))),
        Err(Halt::Log(error)) => Err(error),
        Err(Halt::Trouble(step, trouble)) => Ok(Some(Halted::of(step, trouble, &notes.story.course))),
    }
}
