//! The stage: hands each piece to its lane's writer, a task of its own.

use std::{collections::HashMap, sync::Arc};

use kafka_rd::Properties;
use kafka_wire::{Client, Settings};
use mirror_types::{Acked, LaneEvent, LaneId, Routed, TopicPartition};
use tokio::{
    sync::mpsc,
    task::{AbortHandle, JoinError, JoinSet},
};
use tokio_util::sync::CancellationToken;
use tracing::debug;

use crate::{
    Error, Limits, Metrics, RefusedPolicy,
    broker::Brokers,
    lane::{LaneWriter, Shared},
    memory::Memory,
    producer_id::ProducerIds,
    properties::Options,
};

/// How to write.
pub struct Config {
    /// The target's librdkafka properties, as the user gave them.
    pub properties: Properties,
    /// What to do with a record that the target will never take.
    pub refused: RefusedPolicy,
}

/// The stage.
pub struct PinnedProducer {
    shared: Arc<Shared>,
    limits: Limits,
    input: mpsc::Receiver<Routed>,
    lanes: HashMap<TopicPartition, Run>,
    writers: JoinSet<()>,
}

/// The present run of a lane, and what outlasts it.
struct Run {
    id: LaneId,
    pieces: mpsc::UnboundedSender<Routed>,
    writer: AbortHandle,
    memory: Memory,
}

impl PinnedProducer {
    /// Reads the properties; no I/O is done before `run`.
    pub fn new(
        config: Config,
        limits: Limits,
        input: mpsc::Receiver<Routed>,
        acks: mpsc::Sender<Acked>,
        events: mpsc::Sender<LaneEvent>,
        metrics: Metrics,
    ) -> Result<Self, Error> {
        let options = Options::new(|property| config.properties.get(property))?;
        let client = Client::new(Settings::new(config.properties.iter())?);
        let shared = Shared {
            options,
            producer_ids: ProducerIds::new(client.clone()),
            brokers: Brokers::new(client.clone(), options.replication),
            client,
            refused: config.refused,
            acks,
            events,
            metrics,
        };
        Ok(Self { shared: Arc::new(shared), limits, input, lanes: HashMap::new(), writers: JoinSet::new() })
    }

    /// Runs until the input ends and all of it is acknowledged, or until `give_up`.
    pub async fn run(mut self, give_up: CancellationToken) -> Result<(), Error> {
        tokio::select! {
            () = give_up.cancelled() => Ok(()),
            done = self.write() => done,
        }
    }

    async fn write(&mut self) -> Result<(), Error> {
        loop {
            tokio::select! {
                piece = self.input.recv() => match piece {
                    Some(piece) => self.hand_on(piece),
                    None => break,
                },
                Some(ended) = self.writers.join_next() => well(ended)?,
            }
        }
        // The writers end when they have written what they have.
        self.lanes.clear();
        while let Some(ended) = self.writers.join_next().await {
            well(ended)?;
        }
        Ok(())
    }

    fn hand_on(&mut self, piece: Routed) {
        let lane = &piece.lane;
        let known = self.lanes.get(&lane.target);
        if known.is_none_or(|run| run.id < lane.id()) {
            let memory = known.map(|run| run.memory.clone()).unwrap_or_default();
            if let Some(before) = known {
                before.writer.abort();
            }
            debug!(lane = %lane, "writing");
            let (pieces, input) = mpsc::unbounded_channel();
            let takes = self.limits.get(&lane.target.topic);
            let writer = LaneWriter::new(self.shared.clone(), lane.clone(), takes, memory.clone(), input);
            let writer = self.writers.spawn(writer.run());
            self.lanes.insert(lane.target.clone(), Run { id: lane.id(), pieces, writer, memory });
        }
        let run = &self.lanes[&piece.lane.target];
        // A piece of a run that is over is left out; so is one behind the place where the lane stopped.
        if run.id == piece.lane.id() {
            let _ = run.pieces.send(piece);
        }
    }
}

fn well(ended: Result<(), JoinError>) -> Result<(), Error> {
    match ended {
        Err(error) if error.is_panic() => Err(Error::Panicked(error.to_string())),
        _ => Ok(()),
    }
}
