//! The bytes of a batch that is to be sent: made here, or a header of ours before the records as they came.

use bytes::Bytes;
use kafka_wire::records::Restamped;

/// A batch, in up to two pieces, which are never copied.
#[derive(Debug, Clone, Default)]
pub(crate) struct BatchBytes {
    head: Bytes,
    body: Bytes,
}

impl BatchBytes {
    pub(crate) fn len(&self) -> usize {
        self.head.len() + self.body.len()
    }

    /// The pieces, in order.
    pub(crate) fn chunks(&self) -> Vec<Bytes> {
        [&self.head, &self.body].into_iter().filter(|chunk| !chunk.is_empty()).cloned().collect()
    }
}

impl From<Bytes> for BatchBytes {
    fn from(head: Bytes) -> Self {
        Self { head, body: Bytes::new() }
    }
}

impl From<Restamped> for BatchBytes {
    fn from(batch: Restamped) -> Self {
        Self { head: batch.header, body: batch.payload }
    }
}

#[cfg(test)]
impl BatchBytes {
    pub(crate) fn whole(&self) -> Bytes {
        self.chunks().concat().into()
    }
}
