//! What a migration needs beside the data path: looking before leaping.
//!
//! Owns [`check`]: every precondition of a link, looked at and explained. Never moves a record, and `check`
//! never changes anything on a cluster.

pub mod check;
