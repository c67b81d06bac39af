//! What a migration needs beside the data path: looking before leaping.
//!
//! Owns [`check`]: every precondition of a link, looked at and explained; [`verify`]: whether both sides hold the same; and
//! [`import`]: MirrorMaker's configuration as a link's. Never moves a record, and none of these changes anything on a
//! cluster.

pub mod check;
pub mod import;
pub mod verify;
