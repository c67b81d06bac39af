//! `isomirror audit` on real brokers: what it predicts is what happens when a broker is stopped; reassignments under load,
//! with brokers and the tool itself killed, lose nothing and leave nothing behind; Kafka's own tools take its files.
//!
//! The tests share one cluster of four brokers and take turns, as they stop them.

mod live;
mod orders;
mod prediction;
mod refused;
mod speed;
mod support;
mod traffic;
