//! Positions as the committed offsets of a consumer group on the source.

use cluster_admin::Cluster;
use mirror_types::{Offset, TopicPartition};
use offset_marks::{PositionStore, StoreError};

/// Commits positions for a group that has no members.
#[derive(Clone)]
pub(crate) struct GroupOffsets {
    pub(crate) source: Cluster,
    pub(crate) group: String,
}

impl PositionStore for GroupOffsets {
    async fn record(&self, positions: Vec<(TopicPartition, Offset)>) -> Result<(), StoreError> {
        let done =
            self.source.commit(&self.group, &positions).await.map_err(|e| StoreError(e.to_string()))?;
        for result in done.into_values() {
            match result {
                // A topic that is gone needs no position.
                Err(error) if error.is_unknown_topic() => {}
                result => result.map_err(|error| StoreError(error.to_string()))?,
            }
        }
        Ok(())
    }
}
