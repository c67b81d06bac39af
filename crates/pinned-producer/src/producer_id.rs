//! The producer id that batches are written under.

use std::time::Duration;

use kafka_wire::{Client, ProducerIdentity};
use tokio::sync::Mutex;
use tracing::{debug, warn};

use crate::memory::Memory;

/// How long to try in silence.
const PATIENCE: u32 = 5;

/// One for all lanes: brokers keep sequence numbers by partition.
pub(crate) struct ProducerIds {
    client: Client,
    current: Mutex<Option<ProducerIdentity>>,
}

impl ProducerIds {
    pub(crate) fn new(client: Client) -> Self {
        Self { client, current: Mutex::default() }
    }

    /// An id that is new to a lane, whose broker remembers the epochs and sequence numbers of others; asks the target until
    /// it answers.
    pub(crate) async fn new_to(&self, memory: &Memory) -> ProducerIdentity {
        let mut current = self.current.lock().await;
        if let Some(id) = current.filter(|current| memory.is_new(current.id)) {
            return id;
        }
        let mut tries = 0;
        loop {
            match self.client.init_producer_id(None, Duration::from_secs(60)).await {
                Ok(id) => {
                    debug!(?id, "writing under this producer id");
                    return *current.insert(id);
                }
                Err(error) => {
                    tries += 1;
                    if tries == PATIENCE {
                        warn!("the target hands out no producer id, trying on: {error}");
                    }
                    tokio::time::sleep(Duration::from_millis(100 << tries.min(4))).await;
                }
            }
        }
    }
}
