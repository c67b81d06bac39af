//! The producer id that batches are written under.

use std::time::Duration;

use kafka_wire::{Client, ProducerIdentity};
use tokio::sync::Mutex;
use tracing::{debug, warn};

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

    /// The id to write a lane's run under; asks the target until it answers. `not`: the id that an earlier run of the
    /// lane wrote under; the broker remembers its epoch and sequence numbers, so a new run needs another.
    pub(crate) async fn get(&self, not: Option<i64>) -> ProducerIdentity {
        let mut current = self.current.lock().await;
        if let Some(id) = current.filter(|current| Some(current.id) != not) {
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
