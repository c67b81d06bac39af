//! What a migration needs beside the data path: looking before leaping.
//!
//! Owns [`check`]: every precondition of a link, looked at and explained; [`plan`]: what the target lacks of topics, configs,
//! ACLs and groups' offsets, and doing it; [`verify`]: whether both sides hold the same; [`groups`]: consumer groups' offsets
//! from the source to the target; and [`import`]: MirrorMaker's configuration as a link's. Never moves a record; only `plan` and
//! `groups` change anything on a cluster, and only on the target.

pub mod check;
pub mod groups;
pub mod import;
pub mod plan;
mod sides;
pub mod verify;
