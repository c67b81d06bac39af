//! What a migration needs beside the data path: looking before leaping.
//!
//! Owns [`check`]: every precondition of a link, looked at and explained; [`verify`]: whether both sides hold the same;
//! [`groups`]: consumer groups' offsets from the source to the target; and [`import`]: MirrorMaker's configuration as a
//! link's. Never moves a record; only `groups` changes anything on a cluster, and of that only groups' offsets on the target.

pub mod check;
pub mod groups;
pub mod import;
pub mod plan;
mod sides;
pub mod verify;
