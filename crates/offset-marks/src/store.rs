//! Where positions are kept between runs.

use mirror_types::{Offset, TopicPartition};

/// Why positions could not be recorded. They stay due, and are tried again.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{0}")]
pub struct StoreError(pub String);

/// Keeps positions. What is recorded must survive a kill -9 of this process.
pub trait PositionStore: Send + Sync + 'static {
    /// Records the positions of these source partitions, all or none.
    fn record(
        &self,
        positions: Vec<(TopicPartition, Offset)>,
    ) -> impl Future<Output = Result<(), StoreError>> + Send;
}
