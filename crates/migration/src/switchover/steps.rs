//! The steps of a switchover, and which of the pair's links runs at each.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::Event;
use crate::operation::{Plan, Steps};

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
        }
    }

    fn always_changes(self) -> bool {
        self == Self::Flip
    }

    /// As long as the flip is being done or undone, neither runs.
    fn runs(event: &Event, plan: &Plan) -> Option<Option<String>> {
        let turn = plan.turn.as_ref()?;
        match event {
            Event::Entered { step: Self::Flip, .. } | Event::Undoing { step: Self::Flip } => Some(None),
            Event::Left { step: Self::Flip, .. } => Some(Some(turn.back.clone())),
            Event::Undone { step: Self::Flip, .. } => Some(Some(turn.link.clone())),
            _ => None,
        }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}
