//! pipeline

pub mod status;
