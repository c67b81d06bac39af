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
    Error, Limits, Metrics, Opening, RefusedPolicy,
    broker::Brokers,
    fill::Filler,
    lane::{LaneWriter, Shared},
    memory::Memory,
    producer_id::ProducerIds,
    properties::Options,
};

/// How to write.
pub struct Config {
    /// The link's name.
    pub link: String,
    /// The target's librdkafka properties, as the user gave them.
    pub properties: Properties,
    /// What to do with a record that the target will never take.
    pub refused: RefusedPolicy,
}

/// The stage.
pub struct PinnedProducer {
    shared: Arc<Shared>,
    limits: Limits,
    openings: mpsc::UnboundedReceiver<Opening>,
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
    /// Reads the properties; no I/O is done before `run`. A lane's opening comes before its first piece.
    pub fn new(
        config: Config,
        limits: Limits,
        openings: mpsc::UnboundedReceiver<Opening>,
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
            filler: Filler::new(client.clone(), &config.link),
            client,
            refused: config.refused,
            acks,
            events,
            metrics,
        };
        Ok(Self {
            shared: Arc::new(shared),
            limits,
            openings,
            input,
            lanes: HashMap::new(),
            writers: JoinSet::new(),
        })
    }

    /// The target's client, for others who ask it something.
    pub fn client(&self) -> Client {
        self.shared.client.clone()
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
                biased;
                Some(opening) = self.openings.recv() => self.open(opening),
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

    fn open(&mut self, opening: Opening) {
        let (target, id) = (opening.lane.target.clone(), opening.lane.id());
        debug!(?opening, "writing");
        let before = self.lanes.remove(&target);
        if let Some(before) = &before {
            before.writer.abort();
        }
        let memory = before.map(|run| run.memory).unwrap_or_default();
        let (pieces, input) = mpsc::unbounded_channel();
        let takes = self.limits.get(&target.topic);
        let writer = LaneWriter::new(self.shared.clone(), opening, takes, memory.clone(), input);
        let writer = self.writers.spawn(writer.run());
        self.lanes.insert(target, Run { id, pieces, writer, memory });
    }

    /// A piece of a run that is over is left out; so is one behind the place where the lane stopped.
    fn hand_on(&mut self, piece: Routed) {
        if let Some(run) = self.lanes.get(&piece.lane.target).filter(|run| run.id == piece.lane.id()) {
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
