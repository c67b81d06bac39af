//! Consumer groups' offsets, from the source to the target: which groups, and which offset of the target each of theirs
//! becomes.
//!
//! ```text
//! groups of the source ─► Choice ─► what they have committed ─┐
//! Lane: marks, where the target ends ─────────────────────────┼─► plan (pure) ─► commit ─► groups of the target
//! what the groups have on the target, and who is a member ────┘
//! ```
//! Owns the rules: never past the target's end, never backwards unless asked, never in the name of a group that has
//! members on the target. Knows no configuration; must never move a record, nor change a group on the source.

mod choice;
mod commit;
mod lane;
mod plan;
#[cfg(test)]
mod tests;

pub use choice::{Choice, Chosen};
pub use commit::{commit, state_of};
pub use lane::{Lane, Map, Place, Why};
pub use plan::{Activity, GroupPlan, Outcome, Rule, Step, explained, plan};
