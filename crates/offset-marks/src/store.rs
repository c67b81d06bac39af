//! Where marks are kept.

use mirror_types::TopicPartition;

use crate::control::ControlRecord;

/// Why marks could not be recorded. They stay due, and are tried again.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{0}")]
pub struct StoreError(pub String);

/// Keeps marks. What is recorded must survive a kill -9 of this process.
pub trait MarkStore: Send + Sync + 'static {
    /// Records what is due of these lanes (by the partitions they read), each lane's in order. Where a lane's can't be,
    /// says why; an empty answer is all well.
    fn record(
        &self,
        due: Vec<(TopicPartition, Vec<ControlRecord>)>,
    ) -> impl Future<Output = Vec<(TopicPartition, StoreError)>> + Send;
}
