//! One link, from end to end: every stage, every channel between them, and who looks after them.
//!
//! `wire` makes the channels, in the order of a record's way. `Link` runs the stages and the three tasks
//! that look after them: `topics` (which lanes there are), `ends` (how far they are) and `events` (what
//! happened to them). All three keep one `Book`, which is what status, readiness and metrics show. Beside them,
//! `groups` keeps consumer groups' offsets in step, and `in_step` topic configs and ACLs.

mod beside;
mod book;
mod chain;
mod clients;
mod config;
mod control;
mod decide;
mod decisions;
mod elsewhere;
mod ends;
mod error;
mod events;
mod groups;
mod in_step;
mod link;
mod loops;
mod marks;
mod metrics;
mod padding;
mod reload;
mod resume;
mod slots;
pub mod status;
mod topics;
mod trouble;
mod wire;

pub use beside::{Found, merged, rules_of, stopped_in};
pub use chain::{CHAIN_FIX, Chain, OtherLink, comes_back};
pub use clients::{BadProperty, check_properties};
pub use config::{
    AclSync, Begin, Endpoint, Engine, GroupSync, LinkConfig, Origins, SettingsOf, Start, TopicSettings,
};
pub use control::{StatusHandle, VerifiedRecord};
pub use decide::{Decision, NewTopic, TopicPlan, decide, plan};
pub use error::Error;
pub use link::{Link, Outcome};
pub use loops::{LOOP_FIX, Loop, LoopError, loops, nothing_renamed};
pub use marks::{ClusterIds, SLOTS};
pub use padding::{padded_before, padding_takes, takes_padding};
pub use pinned_producer::{Offsets, PADDING_KEY, PADDING_RATE, RefusedPolicy, Standing, deleting};
pub use reload::{ReloadHandle, Unfit};
pub use resume::{Loss, Now, Refused, unlike};
pub use source_consumer::{LossPolicy, Throttle};
pub use trouble::{News, Trouble};
