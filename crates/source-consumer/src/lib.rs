//! source-consumer
