//! The steps of a cutover.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{Course, Event};
use crate::operation::{Running, Steps};

/// A step, in their order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Step {
    /// Everything that has to be so is looked at.
    Preconditions,
    /// The target is near enough.
    Lag,
    /// Nobody writes to the source any more.
    Block,
    /// Nothing is missing on the target, and the logs' ends are what they have to be.
    Drain,
    /// Consumer groups' offsets are final, and no consumer reads.
    Groups,
    /// Both sides are compared.
    Verify,
    /// The topics rest, and who may write on the source may do so on the target.
    Rights,
    /// Clients go to the target.
    Clients,
    /// The link gives the topics up. From here on there is no way back.
    Stop,
}

impl Steps for Step {
    const KIND: &'static str = "cutover";
    const ALL: &'static [Self] = &[
        Self::Preconditions,
        Self::Lag,
        Self::Block,
        Self::Drain,
        Self::Groups,
        Self::Verify,
        Self::Rights,
        Self::Clients,
        Self::Stop,
    ];
    const BLOCKS: Self = Self::Block;
    const FIXES: Self = Self::Drain;
    const RELEASES: Self = Self::Clients;
    const MOVES: Self = Self::Clients;
    const LAST: Self = Self::Stop;

    /// Its name.
    fn as_str(self) -> &'static str {
        match self {
            Self::Preconditions => "preconditions",
            Self::Lag => "lag",
            Self::Block => "block",
            Self::Drain => "drain",
            Self::Groups => "groups",
            Self::Verify => "verify",
            Self::Rights => "rights",
            Self::Clients => "clients",
            Self::Stop => "stop",
        }
    }

    /// From `rights` on the topics rest, whatever ACLs there are; and clients may have been moved by hand.
    fn always_changes(self) -> bool {
        matches!(self, Self::Rights | Self::Clients)
    }

    fn runs(_: &Event, _: &Course) -> Option<Running> {
        None
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}
