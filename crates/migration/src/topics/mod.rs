//! A link's topics one by one: what is wanted of each, by the link's journal and its configuration; and a topic that is begun
//! anew. Changes the journal, and what [`Redo::apply`] is called for.
//!
//! ```text
//! both clusters, marks, journal ─► Scene ─┬─► list
//!                                         ├─► change: decided by what is, appended to the journal ─► followed by the daemon
//!                                         └─► redo:   stopped ─► cleared ─► forgotten ─► made anew ─► started
//! ```

mod change;
mod list;
mod redo;
mod scene;

use std::time::Duration;

use link_journal::Author;
use pipeline::LinkConfig;

pub use self::{
    change::{Change, Changed, Done, Offsets, Report, change},
    list::{Listing, TopicRow, list},
    redo::{Clearing, Redo, redo},
};
pub(crate) use self::{
    change::{all_followed, settle, target_followed},
    scene::Scene,
};
pub use crate::sides::Error;

/// What is asked for.
#[derive(Clone)]
pub struct Request {
    /// The link.
    pub link: LinkConfig,
    /// What each question to a cluster is given.
    pub timeout: Duration,
    /// The topics, by their names on the source; for `list` all if there are none.
    pub topics: Vec<String>,
    /// Who asks.
    pub by: Author,
    /// How long the instances of the link are waited for to have done it.
    pub wait: Duration,
}
