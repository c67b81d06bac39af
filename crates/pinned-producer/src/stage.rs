//! The stage: hands each piece to its lane's writer, a task of its own.

use std::{collections::HashMap, sync::Arc, time::Duration};

use kafka_rd::Properties;
use kafka_wire::{Client, Settings};
use mirror_types::{Acked, LaneEvent, LaneId, Routed, TopicPartition};
use tokio::{
    sync::{mpsc, oneshot},
    task::{AbortHandle, JoinError, JoinSet},
};
use tokio_util::sync::CancellationToken;
use tracing::debug;

use crate::{
    Error, Limits, Metrics, Opening, RefusedPolicy, Writing, broker::Brokers, cleanup::Cleanups,
    common::Common, fill::Filler, lane::LaneWriter, memory::Memory, producer_id::ProducerIds,
    properties::Options, shared::SharedWriter,
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

/// Between two looks whether a run that was ended has ended.
const ENDING: Duration = Duration::from_millis(1);

/// What a lane's writer is to do.
#[derive(Debug)]
pub enum Order {
    /// Begin; before the run's first piece.
    Open(Box<Opening>),
    /// End this run: the partition may be another instance's to write.
    Close {
        /// The run.
        lane: LaneId,
        /// Where it writes.
        target: TopicPartition,
        /// Sent once it sends nothing more; dropped if there is no such run.
        closed: oneshot::Sender<()>,
    },
}

/// The stage.
pub struct PinnedProducer {
    common: Arc<Common>,
    limits: Limits,
    orders: mpsc::UnboundedReceiver<Order>,
    input: mpsc::Receiver<Routed>,
    lanes: HashMap<TopicPartition, Run>,
    /// What outlasts the runs.
    memories: HashMap<TopicPartition, Memory>,
    writers: JoinSet<()>,
}

/// The present run of a lane.
struct Run {
    id: LaneId,
    pieces: mpsc::UnboundedSender<Routed>,
    writer: AbortHandle,
}

impl PinnedProducer {
    /// Reads the properties; no I/O is done before `run`. A lane's opening comes before its first piece.
    pub fn new(
        config: Config,
        limits: Limits,
        orders: mpsc::UnboundedReceiver<Order>,
        input: mpsc::Receiver<Routed>,
        acks: mpsc::Sender<Acked>,
        events: mpsc::Sender<LaneEvent>,
        metrics: Metrics,
    ) -> Result<Self, Error> {
        let options = Options::new(|property| config.properties.get(property))?;
        let client = Client::new(Settings::new(config.properties.iter())?);
        let common = Common {
            options,
            producer_ids: ProducerIds::new(client.clone()),
            brokers: Brokers::new(client.clone(), options.replication),
            filler: Filler::new(client.clone(), &config.link),
            cleanups: Cleanups::new(client.clone()),
            client,
            refused: config.refused,
            acks,
            events,
            metrics,
        };
        Ok(Self {
            common: Arc::new(common),
            limits,
            orders,
            input,
            lanes: HashMap::new(),
            memories: HashMap::new(),
            writers: JoinSet::new(),
        })
    }

    /// The target's client, for others who ask it something.
    pub fn client(&self) -> Client {
        self.common.client.clone()
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
                Some(order) = self.orders.recv() => self.obey(order),
                piece = self.input.recv() => {
                    // The order to open a piece's run is sent before the piece, but may have been given since we looked.
                    while let Ok(order) = self.orders.try_recv() {
                        self.obey(order);
                    }
                    match piece {
                        Some(piece) => self.hand_on(piece),
                        None => break,
                    }
                }
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

    fn obey(&mut self, order: Order) {
        match order {
            Order::Open(opening) => self.open(*opening),
            Order::Close { lane, target, closed } => self.close(lane, &target, closed),
        }
    }

    fn open(&mut self, opening: Opening) {
        let (target, id) = (opening.lane.target.clone(), opening.lane.id());
        debug!(?opening, "writing");
        if let Some(before) = self.lanes.remove(&target) {
            before.writer.abort();
        }
        let (pieces, input) = mpsc::unbounded_channel();
        let takes = self.limits.get(&target.topic);
        let memory = self.memories.entry(target.clone()).or_default().clone();
        let common = self.common.clone();
        let writer = match opening.writing.clone() {
            Writing::Exclusive => {
                let writer = LaneWriter::new(common, opening, takes, memory, input);
                self.writers.spawn(writer.run())
            }
            Writing::Shared { transactional_id, producer, .. } => {
                let transactions = common.transactions(&opening.lane, &transactional_id, producer);
                let writer = SharedWriter::new(common, opening, takes, memory, transactions, input);
                self.writers.spawn(writer.run())
            }
        };
        self.lanes.insert(target, Run { id, pieces, writer });
    }

    /// Nothing more is sent for this run. What is on its way may still arrive, as after a kill.
    fn close(&mut self, lane: LaneId, target: &TopicPartition, closed: oneshot::Sender<()>) {
        if self.lanes.get(target).is_none_or(|run| run.id != lane) {
            return;
        }
        let Some(Run { writer, .. }) = self.lanes.remove(target) else { return };
        writer.abort();
        self.writers.spawn(async move {
            while !writer.is_finished() {
                tokio::time::sleep(ENDING).await;
            }
            let _ = closed.send(());
        });
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
