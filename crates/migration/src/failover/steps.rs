//! The steps of an unplanned failover.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{Course, Event};
use crate::operation::{Running, Steps};

/// A step, in their order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Step {
    /// What the daemon has seen last of the site that is gone is put on record.
    Seen,
    /// The link writes no more to the site that is to be active.
    Rest,
    /// What is not there is named, as far as it can be known.
    Assess,
    /// Writers may write there. From here on there is no way back but the other site's return.
    Release,
    /// Clients go there.
    Clients,
}

impl Steps for Step {
    const KIND: &'static str = "failover";
    const ALL: &'static [Self] = &[Self::Seen, Self::Rest, Self::Assess, Self::Release, Self::Clients];
    const BLOCKS: Self = Self::Rest;
    const FIXES: Self = Self::Assess;
    const RELEASES: Self = Self::Release;
    const MOVES: Self = Self::Release;
    const LAST: Self = Self::Release;

    fn as_str(self) -> &'static str {
        match self {
            Self::Seen => "seen",
            Self::Rest => "rest",
            Self::Assess => "assess",
            Self::Release => "release",
            Self::Clients => "clients",
        }
    }

    fn always_changes(self) -> bool {
        self == Self::Rest
    }

    /// Neither, until the other site is its standby again.
    fn runs(event: &Event, course: &Course) -> Option<Running> {
        let turn = course.plan.turn.as_ref()?;
        match event {
            Event::Entered { step: Self::Rest, .. } => Some(Running::Neither),
            Event::Undone { step: Self::Rest, .. } => Some(Running::Link(turn.link.clone())),
            _ => None,
        }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}
