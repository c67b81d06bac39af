//! Every channel of the data path, in the order of a record's way.
//!
//! ```text
//! source ─► SourceConsumer × consumers, or BatchConsumer: the one place where the engines differ
//!              │ Fetched            a piece of one lane, with the credit it holds
//!              ▼
//!           TopicRename
//!              │ Routed             the same piece, and where it goes
//!              ▼
//!           PinnedProducer ─► target
//!              │ Acked              what the target has, in order
//!              ▼
//!           OffsetMarks ─► MarkBooks ─► isomirror.<link>
//! ```
//!
//! The channels bound how many pieces wait; the `Credit` in each piece bounds how many bytes. A shutdown
//! goes the same way: the consumers stop, and each stage ends when the one before it has let go.

use std::{sync::Arc, time::Duration};

use mirror_types::{Acked, Budget, LaneEvent};
use offset_marks::{OffsetMarks, ProgressBoard};
use pinned_producer::{Limits, Order, PinnedProducer};
use prometheus::Registry;
use source_consumer::{BatchConsumer, Command, SourceConsumer, Throttle};
use tokio::{
    sync::{mpsc, watch},
    task::JoinSet,
};
use tokio_util::sync::CancellationToken;
use topic_rename::{Rules, TopicRename};

use crate::{
    Error,
    config::{Engine, LinkConfig},
    marks::MarkBooks,
};

/// Pieces that may wait between two stages.
const PIECES: usize = 256;
/// How long the last marks may take once the records in flight were given up.
const LAST_MARKS: Duration = Duration::from_secs(1);
/// Events that may wait for the supervisor.
const EVENTS: usize = 1024;

/// The stages, ready to run, and what their supervisor holds of them.
pub(crate) struct Wired {
    pub(crate) commands: Vec<mpsc::UnboundedSender<Command>>,
    pub(crate) openings: mpsc::UnboundedSender<Order>,
    /// The client that the producer writes to the target with.
    pub(crate) target: kafka_wire::Client,
    pub(crate) books: Arc<MarkBooks>,
    pub(crate) acks: mpsc::WeakSender<Acked>,
    pub(crate) rules: watch::Sender<Arc<Rules>>,
    pub(crate) throttle: Arc<Throttle>,
    pub(crate) events: mpsc::Receiver<LaneEvent>,
    pub(crate) metrics: StageMetrics,
    consumers: Vec<Consumer>,
    rename: TopicRename,
    producer: PinnedProducer,
    marks: OffsetMarks<MarkBooks>,
}

/// Either engine's first stage.
enum Consumer {
    Records(Box<SourceConsumer>),
    Batches(BatchConsumer),
}

/// The stages' metrics, for forgetting lanes that are gone.
#[derive(Clone)]
pub(crate) struct StageMetrics {
    pub(crate) source: source_consumer::Metrics,
    pub(crate) target: pinned_producer::Metrics,
    pub(crate) marks: offset_marks::Metrics,
}

/// What the stages share with their supervisor.
pub(crate) struct Shared {
    pub(crate) budget: Arc<Budget>,
    pub(crate) board: ProgressBoard,
    pub(crate) limits: Limits,
    pub(crate) positions_trouble: watch::Sender<Option<String>>,
}

pub(crate) fn wire(config: &LinkConfig, shared: Shared, registry: &Registry) -> Result<Wired, Error> {
    let metrics = StageMetrics {
        source: source_consumer::Metrics::new(registry)?,
        target: pinned_producer::Metrics::new(registry)?,
        marks: offset_marks::Metrics::new(registry)?,
    };
    let throttle = Arc::new(Throttle::new(config.throttle));
    let rules = watch::Sender::new(config.rules.clone());

    let (fetched, to_rename) = mpsc::channel(PIECES);
    let (routed, to_producer) = mpsc::channel(PIECES);
    let (acked, to_marks) = mpsc::channel(PIECES);
    let acks = acked.downgrade();
    let (openings, to_open) = mpsc::unbounded_channel();
    let (event, events) = mpsc::channel(EVENTS);

    let mut commands = Vec::new();
    let mut consumers = Vec::new();
    let count = if config.engine == Engine::Records { config.consumers.max(1) } else { 1 };
    for _ in 0..count {
        let (command, orders) = mpsc::unbounded_channel();
        commands.push(command);
        let (throttle, fetched, event) = (throttle.clone(), fetched.clone(), event.clone());
        let source = metrics.source.clone();
        consumers.push(match config.engine {
            Engine::Records => {
                let (config, budget) = (config.source_consumer(), shared.budget.clone());
                let consumer = SourceConsumer::new(config, budget, throttle, orders, fetched, event, source)?;
                Consumer::Records(Box::new(consumer))
            }
            Engine::Batches => {
                let config = config.batch_consumer();
                Consumer::Batches(BatchConsumer::new(config, throttle, orders, fetched, event, source)?)
            }
        });
    }
    drop(fetched);
    let rename = TopicRename::new(rules.subscribe(), to_rename, routed, event.clone());
    let producer = PinnedProducer::new(
        config.pinned_producer(),
        shared.limits,
        to_open,
        to_producer,
        acked,
        event,
        metrics.target.clone(),
    )?;
    let target = producer.client();
    let books = Arc::new(MarkBooks::new(&target, config));
    let marks = OffsetMarks::new(
        offset_marks::Config { interval: Duration::from_secs(1), last: Duration::from_secs(10) },
        books.clone(),
        shared.board,
        metrics.marks.clone(),
        to_marks,
        shared.positions_trouble,
    );
    Ok(Wired {
        commands,
        openings,
        target,
        books,
        acks,
        rules,
        throttle,
        events,
        metrics,
        consumers,
        rename,
        producer,
        marks,
    })
}

impl Wired {
    /// Starts the stages. They end, in the same order, after `shutdown`; the producer waits for the target
    /// until `give_up`.
    pub(crate) fn start(
        self,
        shutdown: &CancellationToken,
        give_up: &CancellationToken,
    ) -> (JoinSet<Result<(), Error>>, mpsc::Receiver<LaneEvent>) {
        let mut stages = JoinSet::new();
        for consumer in self.consumers {
            let shutdown = shutdown.clone();
            stages.spawn(async move {
                match consumer {
                    Consumer::Records(consumer) => consumer.run(shutdown).await?,
                    Consumer::Batches(consumer) => consumer.run(shutdown).await?,
                }
                Ok(())
            });
        }
        stages.spawn(async move {
            self.rename.run().await;
            Ok(())
        });
        let (given_up, give_up) = (give_up.clone(), give_up.clone());
        stages.spawn(async move { Ok(self.producer.run(give_up).await?) });
        stages.spawn(async move {
            // Where the target does not take records, it does not take marks either.
            let too_late = async {
                given_up.cancelled().await;
                tokio::time::sleep(LAST_MARKS).await;
            };
            let failed = tokio::select! {
                recorded = self.marks.run() => recorded.err().map(|error| error.to_string()),
                () = too_late => Some("the target does not answer".to_owned()),
            };
            if let Some(error) = failed {
                tracing::warn!(
                    error,
                    "the last marks are not recorded: the next start reads some records again for them"
                );
            }
            Ok(())
        });
        (stages, self.events)
    }
}
