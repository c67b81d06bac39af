//! One module a command: each takes its arguments and says how it ended.

pub mod check;
pub mod config;
pub mod demo;
pub mod import;
pub mod marks;
pub mod run;
mod status;
pub mod verify;

pub use status::status;
