//! Every record arrives as it was, in its place and in order, at the pace and in the memory that were asked
//! for; and the numbers that are told of it are true.

mod asked;
mod fidelity;
mod flow;
mod java;
mod lanes;
mod load;
mod metrics;
mod mixed;
mod property;
mod schemas;
mod sizes;
mod sources;
mod support;
