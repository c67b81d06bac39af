//! The steps that make a site a faithful standby again after a failover.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{Course, Event};
use crate::operation::{Running, Steps};

/// A step, in their order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Step {
    /// Nobody writes to the site that is back.
    Block,
    /// Where each of its lanes has left the other site's, by what is in them.
    Fork,
    /// What it alone has is in files.
    Export,
    /// Topics that have such records are deleted there; the others go on where they are. There is no way back from here on.
    Clear,
    /// The link to it runs.
    Follow,
}

impl Steps for Step {
    const KIND: &'static str = "reconcile";
    const ALL: &'static [Self] = &[Self::Block, Self::Fork, Self::Export, Self::Clear, Self::Follow];
    const BLOCKS: Self = Self::Block;
    const FIXES: Self = Self::Fork;
    const RELEASES: Self = Self::Follow;
    const MOVES: Self = Self::Clear;
    const LAST: Self = Self::Clear;

    fn as_str(self) -> &'static str {
        match self {
            Self::Block => "block",
            Self::Fork => "fork",
            Self::Export => "export",
            Self::Clear => "clear",
            Self::Follow => "follow",
        }
    }

    fn always_changes(self) -> bool {
        false
    }

    fn runs(event: &Event, course: &Course) -> Option<Running> {
        let turn = course.plan.turn.as_ref()?;
        matches!(event, Event::Left { step: Self::Clear, .. }).then(|| Running::Link(turn.back.clone()))
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}
