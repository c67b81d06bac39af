//! What a migration needs beside the data path: looking before leaping.
//!
//! Owns [`check`]: every precondition of a link, looked at and explained; [`verify`]: whether both sides hold the same;
//! [`groups`]: consumer groups' offsets from the source to the target; and [`import`]: MirrorMaker's configuration as a
//! link's; and [`topics`]: topics one by one, and begun anew. Never moves a record; only `groups` and `topics` change anything
//! on a cluster: groups' offsets on the target, the link's journal, and what `redo` is asked to clear.

pub mod check;
pub mod groups;
pub mod import;
pub mod plan;
mod sides;
pub mod topics;
pub mod verify;
