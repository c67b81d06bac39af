//! The batches engine: fetched batches go on unopened.
//!
//! ```text
//! Command ─► BatchConsumer ─► finds each lane's broker (place) ─► BrokerReader ─[Fetched, bounded]─► topic-rename
//!                 ▲                                                    │  a task a broker: one fetch session
//!                 └──────── lanes that are to be read elsewhere ◄──────┘
//! ```

mod broker;
mod cut;
mod lane;
mod place;

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use kafka_rd::Properties;
use kafka_wire::{Client, Isolation, Purpose, Settings};
use mirror_types::{Fetched, LaneEvent, LaneId, SourceChange, Stop};
use tokio::{
    sync::mpsc,
    task::{JoinError, JoinSet},
};
use tokio_util::sync::{CancellationToken, DropGuard};
use tracing::debug;

use self::{
    broker::{BrokerReader, Order},
    lane::ReadLane,
    place::{Placed, Why, place},
};
use crate::{Command, Error, LossPolicy, Metrics, Throttle};

/// How to read.
pub struct BatchConfig {
    /// The source's properties, as the user gave them.
    pub properties: Properties,
    /// Bytes that may be on their way from each broker, beside the link's budget.
    pub prefetch: u64,
    /// What to do about lost records.
    pub loss: LossPolicy,
    /// Which records are there.
    pub isolation: Isolation,
}

/// The stage.
pub struct BatchConsumer {
    shared: Arc<Shared>,
    commands: mpsc::UnboundedReceiver<Command>,
}

/// What all its tasks need.
struct Shared {
    client: Client,
    prefetch: u64,
    loss: LossPolicy,
    isolation: Isolation,
    throttle: Arc<Throttle>,
    output: mpsc::Sender<Fetched>,
    events: mpsc::Sender<LaneEvent>,
    metrics: Metrics,
    /// How many brokers are read from.
    readers: AtomicU64,
}

/// A lane that its reader has let go of.
struct Back {
    lane: Box<ReadLane>,
    why: Why,
}

impl BatchConsumer {
    /// Reads the properties; no I/O is done before `run`.
    pub fn new(
        config: BatchConfig,
        throttle: Arc<Throttle>,
        commands: mpsc::UnboundedReceiver<Command>,
        output: mpsc::Sender<Fetched>,
        events: mpsc::Sender<LaneEvent>,
        metrics: Metrics,
    ) -> Result<Self, Error> {
        let client = Client::new(Settings::new(config.properties.iter())?);
        let shared = Shared {
            client: client.for_purpose(Purpose::new("fetch")),
            prefetch: config.prefetch,
            loss: config.loss,
            isolation: config.isolation,
            throttle,
            output,
            events,
            metrics,
            readers: AtomicU64::new(0),
        };
        Ok(Self { shared: Arc::new(shared), commands })
    }

    /// Reads until `shutdown`, then lets go of the output, which ends the stages behind it in turn.
    pub async fn run(mut self, shutdown: CancellationToken) -> Result<(), Error> {
        let (to_back, mut back) = mpsc::unbounded_channel();
        let mut readers = Readers {
            shared: self.shared.clone(),
            brokers: HashMap::new(),
            whereabouts: HashMap::new(),
            placing: JoinSet::new(),
            tasks: JoinSet::new(),
            to_back,
        };
        loop {
            tokio::select! {
                () = shutdown.cancelled() => break,
                Some(command) = self.commands.recv() => readers.obey(command),
                Some(placed) = readers.placing.join_next() => readers.placed(well(placed)?),
                Some(lane) = back.recv() => readers.look_for_broker(lane),
                Some(ended) = readers.tasks.join_next() => well(ended)?,
            }
        }
        readers.placing.shutdown().await;
        readers.tasks.shutdown().await;
        Ok(())
    }
}

/// The brokers' readers, and which lane is where.
struct Readers {
    shared: Arc<Shared>,
    brokers: HashMap<i32, mpsc::UnboundedSender<Order>>,
    /// The broker whose reader has the lane, once it is found.
    whereabouts: HashMap<LaneId, Option<i32>>,
    placing: JoinSet<Placed>,
    tasks: JoinSet<()>,
    to_back: mpsc::UnboundedSender<Back>,
}

impl Readers {
    fn obey(&mut self, command: Command) {
        match command {
            Command::Start { lane, from, position, topic_id, .. } => {
                debug!(lane = %lane.at, from, "reading");
                self.shared.metrics.lane_started(&lane.at);
                self.whereabouts.insert(lane.id, None);
                let lane = Box::new(ReadLane::new(lane, from, position, topic_id));
                self.look_for_broker(Back { lane, why: Why::New });
            }
            Command::Stop(id) => self.stop(id, None),
            Command::End(id, guard) => self.stop(id, Some(guard)),
        }
    }

    fn stop(&mut self, id: LaneId, guard: Option<DropGuard>) {
        if let Some(Some(broker)) = self.whereabouts.remove(&id) {
            let _ = self.brokers[&broker].send(Order::Stop(id, guard));
        }
    }

    fn look_for_broker(&mut self, Back { lane, why }: Back) {
        // It may have been stopped meanwhile.
        if let Some(whereabouts) = self.whereabouts.get_mut(&lane.lane.id) {
            *whereabouts = None;
            self.placing.spawn(place(self.shared.clone(), lane, why));
        }
    }

    fn placed(&mut self, placed: Placed) {
        match placed {
            Placed::Gone(id) => {
                self.whereabouts.remove(&id);
            }
            Placed::At(broker, lane) => {
                let Some(whereabouts) = self.whereabouts.get_mut(&lane.lane.id) else { return };
                *whereabouts = Some(broker);
                let reader = self.brokers.entry(broker).or_insert_with(|| {
                    let (orders, to_read) = mpsc::unbounded_channel();
                    let (shared, back) = (self.shared.clone(), self.to_back.clone());
                    shared.readers.fetch_add(1, Relaxed);
                    self.tasks.spawn(BrokerReader::new(shared, broker, to_read, back).run());
                    orders
                });
                let _ = reader.send(Order::Read(lane));
            }
        }
    }
}

fn well<T>(ended: Result<T, JoinError>) -> Result<T, Error> {
    ended.map_err(|_| Error::Panicked)
}

// === impl Shared ===

impl Shared {
    async fn stopped(&self, lane: &ReadLane, stop: Stop) {
        let _ = self.events.send(LaneEvent::Stopped { lane: lane.lane.id, stop }).await;
    }

    async fn changed(&self, lane: &ReadLane, change: SourceChange, stop: Stop) {
        let _ = self.events.send(LaneEvent::Changed { lane: lane.lane.id, change, stop }).await;
    }
}
