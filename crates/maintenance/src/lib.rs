//! A cluster before, during and after its brokers are touched: what is there, and work orders done.
//!
//! - [`gather`]: a cluster's facts, for `cluster-audit` to judge.
//! - [`apply()`]: reassignments batch by batch, throttled, watched, verified; back if it goes wrong.
//! - [`elect()`], [`verify()`]: preferred leaders; whether all is as planned.
//!
//! Owns talking to one cluster about its replicas. Never decides where they should be (`cluster-audit`), never knows of
//! links.

mod apply;
mod elect;
mod error;
mod gather;
mod orders;
mod throttle;
mod verify;
mod watch;

pub use apply::{Applied, ApplyOptions, Progress, apply};
pub use elect::{ElectOptions, Elected, elect};
pub use error::Error;
pub use gather::{Cluster, Gathered, gather, gather_without_disks};
pub use orders::{Order, orders};
pub use throttle::{LeftOver, left_over, take_off};
pub use verify::{Standing, Verified, verify};
pub use watch::{Look, Seen, Watch};
