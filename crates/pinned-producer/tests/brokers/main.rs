//! The stage on real brokers: killed at any moment, fenced, refused, and measured.

mod rate;
mod shared;
mod support;
mod translated;
