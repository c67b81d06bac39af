//! The steps of a switchover, and which of the pair's links runs at each.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{Course, Event};
use crate::operation::{Running, Steps};

/// A step, in their order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Step {
    /// Everything that has to be so is looked at, on both sites.
    Preconditions,
    /// Nobody writes to the active site any more.
    Block,
    /// Its log ends stand still, and no transaction is open.
    Stragglers,
    /// Nothing is missing on the standby: the log ends are equal, and so are the records before them.
    Even,
    /// Consumers have committed all there is, and the standby has their offsets.
    Groups,
    /// The link that ran rests, and the other one goes on where both logs end.
    Flip,
    /// The other link runs.
    Follow,
    /// Writers may write to the site that is active now. From here on there is no way back but another switchover.
    Release,
    /// Clients go there.
    Clients,
    /// Consumers have left the site that was active, and what is written comes back there.
    Leave,
}

impl Steps for Step {
    const KIND: &'static str = "switchover";
    const ALL: &'static [Self] = &[
        Self::Preconditions,
        Self::Block,
        Self::Stragglers,
        Self::Even,
        Self::Groups,
        Self::Flip,
        Self::Follow,
        Self::Release,
        Self::Clients,
        Self::Leave,
    ];
    const BLOCKS: Self = Self::Block;
    const FIXES: Self = Self::Stragglers;
    const RELEASES: Self = Self::Release;
    const MOVES: Self = Self::Release;
    const LAST: Self = Self::Release;

    /// Its name.
    fn as_str(self) -> &'static str {
        match self {
            Self::Preconditions => "preconditions",
            Self::Block => "block",
            Self::Stragglers => "stragglers",
            Self::Even => "even",
            Self::Groups => "groups",
            Self::Flip => "flip",
            Self::Follow => "follow",
            Self::Release => "release",
            Self::Clients => "clients",
            Self::Leave => "leave",
        }
    }

    fn always_changes(self) -> bool {
        self == Self::Flip
    }

    /// As long as the flip is being done or undone, neither runs; and once writers are released, none until consumers have left,
    /// if there are some: what came back meanwhile they would read there, and then once more where they go.
    fn runs(event: &Event, course: &Course) -> Option<Running> {
        let turn = course.plan.turn.as_ref()?;
        match event {
            Event::Entered { step: Self::Flip, .. } | Event::Undoing { step: Self::Flip } => {
                Some(Running::Neither)
            }
            Event::Left { step: Self::Flip, .. } => Some(Running::Link(turn.back.clone())),
            Event::Undone { step: Self::Flip, .. } => Some(Running::Link(turn.link.clone())),
            Event::Entered { step: Self::Release, .. } if waits_for_consumers(course) => {
                Some(Running::Waits(turn.back.clone()))
            }
            Event::Left { step: Self::Leave, .. } if waits_for_consumers(course) => {
                Some(Running::Link(turn.back.clone()))
            }
            _ => None,
        }
    }
}

/// Whether offsets of groups have gone over, whose consumers are to follow.
pub(super) fn waits_for_consumers(course: &Course) -> bool {
    course.facts(Step::Flip).is_some_and(|flip| !flip.groups.is_empty())
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}
