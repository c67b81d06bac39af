//! Instances of a link on real brokers. One binary: most of the time they wait, and so wait together.

mod cluster;
mod faults;
mod groups;
mod support;
