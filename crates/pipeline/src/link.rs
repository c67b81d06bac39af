//! The link: its configuration, its life from start to drain, and how it ended.

use std::{
    sync::{Arc, Mutex, MutexGuard, atomic::AtomicU64},
    time::Duration,
};

use cluster_admin::{Cluster, Isolation};
use kafka_rd::{LogContext, Properties};
use mirror_types::{Budget, Side, Stop};
use offset_marks::ProgressBoard;
use pinned_producer::{Limits, RefusedPolicy};
use prometheus::Registry;
use source_consumer::LossPolicy;
use tokio::{sync::watch, task::JoinSet};
use tokio_util::sync::CancellationToken;
use topic_rename::Rules;
use tracing::{info, warn};

use crate::{
    Error,
    book::Book,
    ends::Ends,
    events::Events,
    metrics::Metrics,
    positions::GroupOffsets,
    status::LinkStatus,
    topics::Topics,
    wire::{Shared, StageMetrics, Wired, wire},
};

/// Where a lane starts that has no position yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    /// At the first record there is.
    Earliest,
    /// Behind the last record there is.
    Latest,
    /// At the first record that is not older, in milliseconds since the epoch.
    At(i64),
}

/// What is set topic by topic.
#[derive(Debug, Clone)]
pub struct TopicSettings {
    /// Whether a missing target topic is created, and a mirrored one grown with its source.
    pub create: bool,
    /// Replicas of a created topic; −1 for the target brokers' default.
    pub replication: i32,
    /// Where its lanes start.
    pub start: Start,
}

/// One cluster of the link.
#[derive(Debug, Clone)]
pub struct Endpoint {
    /// Its name in the configuration.
    pub name: String,
    /// Its librdkafka properties.
    pub properties: Properties,
}

/// Settings of a source topic, by its name.
pub type SettingsOf = Arc<dyn Fn(&str) -> TopicSettings + Send + Sync>;

/// Everything a link needs to know.
#[derive(Clone)]
pub struct LinkConfig {
    /// Its name.
    pub link: String,
    /// isomirror's version, for status and metrics.
    pub version: &'static str,
    /// The cluster that is read.
    pub source: Endpoint,
    /// The cluster that is written.
    pub target: Endpoint,
    /// The source consumer group that positions are committed for.
    pub group: String,
    /// Which topics, under which names.
    pub rules: Arc<Rules>,
    /// What is set topic by topic.
    pub settings: SettingsOf,
    /// Time between two looks at the topics there are.
    pub refresh: Duration,
    /// Bytes of records the link may hold.
    pub buffer: u64,
    /// Bytes a second, at most.
    pub throttle: Option<u64>,
    /// Source clients that read in parallel.
    pub consumers: usize,
    /// How long to wait, at a stop, for the target to take what is in flight.
    pub drain: Duration,
    /// What to do about lost records.
    pub loss: LossPolicy,
    /// What to do about refused records.
    pub refused: RefusedPolicy,
    /// Stop once every lane has what the source had at the start; and give up on a cluster that can't be
    /// reached for this long.
    pub until_caught_up: Option<Duration>,
}

impl LinkConfig {
    pub(crate) fn source_consumer(&self) -> source_consumer::Config {
        let mut properties = self.source.properties.clone();
        properties.set("group.id", self.group.as_str());
        source_consumer::Config {
            properties,
            context: LogContext::new(format!("source cluster {}", self.source.name)),
            prefetch: self.buffer / 4 / self.consumers.max(1) as u64,
            loss: self.loss,
        }
    }

    pub(crate) fn pinned_producer(&self) -> pinned_producer::Config {
        pinned_producer::Config {
            properties: self.target.properties.clone(),
            context: LogContext::new(format!("target cluster {}", self.target.name)),
            refused: self.refused,
        }
    }

    /// What the mirror may read, and so what counts as the source's end.
    pub(crate) fn isolation(&self) -> Isolation {
        match self.source.properties.get("isolation.level") {
            Some("read_uncommitted") => Isolation::Uncommitted,
            _ => Isolation::Committed,
        }
    }
}

/// How a link ended.
#[derive(Debug, Default)]
pub struct Outcome {
    /// Lanes that had stopped in trouble, and why.
    pub stopped: Vec<(String, Stop)>,
    /// Source records that were lost, and skipped as the policy says.
    pub lost: u64,
    /// Whether all that was in flight got to the target before the deadline.
    pub drained: bool,
    /// Whether `until_caught_up` was reached by every lane that did not stop.
    pub caught_up: bool,
}

/// What the link's tasks share.
pub(crate) struct Control {
    pub(crate) config: LinkConfig,
    pub(crate) source: Cluster,
    pub(crate) target: Cluster,
    pub(crate) budget: Arc<Budget>,
    pub(crate) board: ProgressBoard,
    pub(crate) limits: Limits,
    pub(crate) commands: Vec<tokio::sync::mpsc::UnboundedSender<source_consumer::Command>>,
    pub(crate) stage_metrics: StageMetrics,
    pub(crate) metrics: Metrics,
    pub(crate) next_id: AtomicU64,
    book: Mutex<Book>,
    positions_trouble: watch::Receiver<Option<String>>,
}

impl Control {
    /// The book, for as short a time as possible, and never across an await.
    pub(crate) fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().expect("nothing panics under this lock")
    }
}

/// A link that is ready to run.
pub struct Link {
    control: Arc<Control>,
    wired: Wired,
}

/// Answers what the link is doing, from any thread.
#[derive(Clone)]
pub struct StatusHandle(Arc<Control>);

impl StatusHandle {
    /// The link's status now.
    pub fn report(&self) -> LinkStatus {
        let trouble = self.0.positions_trouble.borrow().clone();
        self.0.book().report(&self.0.config, &self.0.budget, trouble)
    }

    /// Whether the tasks that look after the link are alive: they have turned round lately.
    pub fn is_alive(&self) -> bool {
        self.0.book().is_alive()
    }
}

impl Link {
    /// Makes the clients and the stages; no I/O is done before `run`.
    pub fn new(config: LinkConfig, registry: &Registry) -> Result<Self, Error> {
        let timeout = Duration::from_secs(10);
        let source = Cluster::connect(Side::Source, &config.source.name, &config.source.properties, timeout)?;
        let target = Cluster::connect(Side::Target, &config.target.name, &config.target.properties, timeout)?;
        // A quarter of the buffer is the source client's to prefetch.
        let budget = Budget::new(config.buffer - config.buffer / 4);
        let board = ProgressBoard::default();
        let limits = Limits::default();
        let (trouble, positions_trouble) = watch::channel(None);
        let shared = Shared {
            budget: budget.clone(),
            board: board.clone(),
            limits: limits.clone(),
            positions: GroupOffsets { source: source.clone(), group: config.group.clone() },
            positions_trouble: trouble,
        };
        let mut wired = wire(&config, shared, registry)?;
        let control = Control {
            metrics: Metrics::new(registry, &config)?,
            source,
            target,
            budget,
            board,
            limits,
            commands: std::mem::take(&mut wired.commands),
            stage_metrics: wired.metrics.clone(),
            next_id: AtomicU64::new(1),
            book: Mutex::new(Book::new()),
            positions_trouble,
            config,
        };
        Ok(Self { control: Arc::new(control), wired })
    }

    /// Where to ask what it is doing.
    pub fn status(&self) -> StatusHandle {
        StatusHandle(self.control.clone())
    }

    /// Runs until `shutdown` (or, with `until_caught_up`, until that), then drains.
    pub async fn run(self, shutdown: CancellationToken) -> Result<Outcome, Error> {
        let control = self.control;
        let give_up = CancellationToken::new();
        let stop = shutdown.child_token();
        let (mut stages, events) = self.wired.start(&stop, &give_up);

        let mut keepers: JoinSet<Result<(), Error>> = JoinSet::new();
        keepers.spawn(Topics::new(control.clone()).run(stop.clone()));
        keepers.spawn(Ends::new(control.clone()).run(stop.clone()));
        let events = tokio::spawn(Events::new(control.clone(), events).run());

        control.book().set_phase("running");
        let mut failure = None;
        tokio::select! {
            () = stop.cancelled() => {}
            Some(ended) = keepers.join_next() => failure = ended_early(ended),
            Some(ended) = stages.join_next() => {
                let early = || Error::Panicked("it ended before it was told to".to_owned());
                failure = Some(ended_early(ended).unwrap_or_else(early));
            }
        }
        // A keeper that ends well has reached the end of `until_caught_up`.
        let caught_up = !stop.is_cancelled() && failure.is_none();
        stop.cancel();
        control.book().set_phase("draining");
        info!(deadline = ?control.config.drain, "stopping: waiting for the target to acknowledge what is in flight");
        let drained = drain(&mut stages, control.config.drain, &give_up, &mut failure).await;
        keepers.shutdown().await;
        let _ = events.await;
        control.book().set_phase("stopped");
        match failure {
            Some(error) => Err(error),
            None => {
                let book = control.book();
                Ok(Outcome { stopped: book.stops(), lost: book.lost, drained, caught_up })
            }
        }
    }
}

type Ended = Result<Result<(), Error>, tokio::task::JoinError>;

fn ended_early(ended: Ended) -> Option<Error> {
    match ended {
        Ok(Ok(())) => None,
        Ok(Err(error)) => Some(error),
        Err(panic) => Some(Error::Panicked(panic.to_string())),
    }
}

/// Waits for the stages to end one after the other; past the deadline, what is in flight is let go.
async fn drain(
    stages: &mut JoinSet<Result<(), Error>>,
    deadline: Duration,
    give_up: &CancellationToken,
    failure: &mut Option<Error>,
) -> bool {
    let late = tokio::time::sleep(deadline);
    tokio::pin!(late);
    loop {
        tokio::select! {
            ended = stages.join_next() => match ended {
                None => return !give_up.is_cancelled(),
                Some(ended) => if let Some(error) = ended_early(ended) {
                    failure.get_or_insert(error);
                    give_up.cancel();
                },
            },
            () = &mut late, if !give_up.is_cancelled() => {
                warn!("the target did not take everything before the deadline; the rest is sent after the next start");
                give_up.cancel();
            }
        }
    }
}
