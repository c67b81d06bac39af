//! pinned-producer
