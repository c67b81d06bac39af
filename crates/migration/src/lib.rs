//! What a migration needs beside the data path: looking before leaping.
//!
//! Owns [`check`]: every precondition of a link, looked at and explained; [`plan`]: what the target lacks, and making it;
//! [`verify`]: whether both sides hold the same; [`groups`]: consumer groups' offsets from the source to the target;
//! [`topics`]: topics one by one, and begun anew; [`cutover`]: the end of a migration, step by step; [`switchover`],
//! [`failover`] and [`reconcile`]: which of two sites is active, and that the other is its copy; [`operation`]: what these have in
//! common; and [`import`]: MirrorMaker's configuration as a link's. Never moves a record. `check` and `verify` change nothing on a
//! cluster; the others change topics, configs, ACLs and groups' offsets on the target, and the link's journal; on the source
//! `cutover` and `switchover` do (the ACLs that block its writers, the other link's marks and journal), and `reconcile` deletes
//! topics there, asked first.

pub mod check;
pub mod cutover;
pub mod failover;
pub mod groups;
pub mod history;
pub mod import;
pub mod operation;
pub mod plan;
pub mod reconcile;
mod sides;
pub mod switchover;
pub mod topics;
pub mod verify;
mod words;
