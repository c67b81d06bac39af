//! What the link's tasks share: both clusters, the book, the way to the consumers, and the bell for the next look.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, RwLock, atomic::AtomicU64},
};

use cluster_admin::Cluster;
use control_topic::ControlTopic;
use mirror_types::{Acked, Budget, TopicPartition};
use offset_marks::{
    MarkStore, ProgressBoard, StoreError,
    control::{Record, Verified},
};
use pinned_producer::{Limits, Order};
use source_consumer::{Command, Throttle};
use tokio::sync::{Notify, mpsc, oneshot, watch};
use topic_rename::Rules;

use crate::{
    book::Book,
    config::LinkConfig,
    decisions::Decisions,
    marks::{MarkBooks, NotOpened},
    metrics::Metrics,
    status::LinkStatus,
    wire::{StageMetrics, Wired},
};

/// What the link's tasks share.
pub(crate) struct Control {
    /// As it was when the link began: for what does not change while it runs.
    pub(crate) config: LinkConfig,
    live: RwLock<Arc<LinkConfig>>,
    /// How often the configuration was taken over anew.
    pub(crate) reloads: AtomicU64,
    /// The rules as the data path knows them.
    pub(crate) rules: watch::Sender<Arc<Rules>>,
    pub(crate) throttle: Arc<Throttle>,
    /// What operators have decided.
    pub(crate) decisions: Decisions,
    /// Acknowledgements on their way into the books.
    pub(crate) acks: mpsc::WeakSender<Acked>,
    /// Where topics lead whose lanes run, or have run.
    pub(crate) targets: Mutex<HashMap<Arc<str>, Arc<str>>>,
    pub(crate) source: Cluster,
    pub(crate) target: Cluster,
    pub(crate) budget: Arc<Budget>,
    pub(crate) board: ProgressBoard,
    pub(crate) limits: Limits,
    /// To the target, for what the administration's client does not tell.
    pub(crate) wire: kafka_wire::Client,
    pub(crate) openings: mpsc::UnboundedSender<Order>,
    pub(crate) commands: Vec<mpsc::UnboundedSender<Command>>,
    pub(crate) stage_metrics: StageMetrics,
    pub(crate) metrics: Metrics,
    pub(crate) marks: Arc<MarkBooks>,
    pub(crate) next_id: AtomicU64,
    pub(crate) book: Mutex<Book>,
    /// Rung when the topics should be looked at before their time.
    pub(crate) look: Notify,
    /// Held while groups' offsets are committed.
    pub(crate) committing: tokio::sync::Mutex<()>,
    pub(crate) positions_trouble: watch::Receiver<Option<String>>,
}

/// What a [`Control`] is made of.
pub(crate) struct Parts {
    pub(crate) source: Cluster,
    pub(crate) target: Cluster,
    pub(crate) budget: Arc<Budget>,
    pub(crate) board: ProgressBoard,
    pub(crate) limits: Limits,
    pub(crate) metrics: Metrics,
    pub(crate) positions_trouble: watch::Receiver<Option<String>>,
}

impl Control {
    pub(crate) fn new(config: LinkConfig, wired: &mut Wired, parts: Parts) -> Self {
        let Parts { source, target, budget, board, limits, metrics, positions_trouble } = parts;
        Self {
            wire: wired.target.for_purpose(kafka_wire::Purpose::new("look")),
            openings: wired.openings.clone(),
            marks: wired.books.clone(),
            commands: std::mem::take(&mut wired.commands),
            stage_metrics: wired.metrics.clone(),
            acks: wired.acks.clone(),
            rules: wired.rules.clone(),
            throttle: wired.throttle.clone(),
            decisions: Decisions::new(&wired.target, &config.link, config.rests),
            metrics,
            source,
            target,
            budget,
            board,
            limits,
            targets: Mutex::default(),
            reloads: AtomicU64::new(0),
            next_id: AtomicU64::new(1),
            book: Mutex::new(Book::new()),
            look: Notify::new(),
            committing: tokio::sync::Mutex::default(),
            positions_trouble,
            live: RwLock::new(Arc::new(config.clone())),
            config,
        }
    }

    /// The configuration as it is now: for topics, groups, `limits.drain`.
    pub(crate) fn live(&self) -> Arc<LinkConfig> {
        self.live.read().expect("nothing panics under this lock").clone()
    }

    pub(crate) fn set_live(&self, config: LinkConfig) {
        *self.live.write().expect("nothing panics under this lock") = Arc::new(config);
    }

    /// The book, for as short a time as possible, and never across an await.
    pub(crate) fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().expect("nothing panics under this lock")
    }

    /// The control topic; the clusters' ids are known by now.
    pub(crate) async fn open_marks(&self) -> Result<ControlTopic, NotOpened> {
        let ids = self.book().cluster_ids();
        Ok(self.marks.open(&ids).await?.topic)
    }

    /// Lets a lane run out: nothing new is read or sent. What is in flight is through when the answer comes.
    pub(crate) fn close(&self, at: &TopicPartition) -> Option<oneshot::Receiver<()>> {
        let (id, target) = {
            let book = self.book();
            let lane = book.lanes.get(at)?;
            (lane.id, lane.target.clone())
        };
        let _ = self.consumer_of(at).send(Command::Stop(id));
        let (closed, is_closed) = oneshot::channel();
        let _ = self.openings.send(Order::Close { lane: id, target, closed });
        Some(is_closed)
    }

    /// Forgets a lane, and its series.
    pub(crate) fn forget(&self, at: &TopicPartition) {
        let mut book = self.book();
        let Some(lane) = book.remove(at) else { return };
        let _ = self.consumer_of(at).send(Command::Stop(lane.id));
        self.board.remove(lane.id);
        let last = !book.lanes.keys().any(|other| other.topic == at.topic);
        self.metrics.remove(at, &lane.target.topic);
        self.stage_metrics.source.remove(at);
        self.stage_metrics.target.remove(at, &lane.target.topic);
        self.stage_metrics.marks.remove(at, &lane.target.topic, last);
    }

    /// The consumer that reads a lane: always the same one, so that its pieces stay in order.
    pub(crate) fn consumer_of(&self, at: &TopicPartition) -> &mpsc::UnboundedSender<Command> {
        let hash =
            at.topic.bytes().fold(at.partition as usize, |h, b| h.wrapping_mul(31).wrapping_add(b.into()));
        &self.commands[hash % self.commands.len()]
    }
}

/// Puts on record how far lanes were found to be the same on both sides.
#[derive(Clone)]
pub struct VerifiedRecord(pub(crate) Arc<Control>);

impl VerifiedRecord {
    /// Writes it down for those lanes that are this instance's. Gives what could not be written, and why.
    pub async fn write(&self, verified: Vec<Verified>) -> Vec<(TopicPartition, StoreError)> {
        let due = verified.into_iter().map(|verified| {
            let lane = verified.lane();
            (lane, vec![Record::Verified(verified).encode()])
        });
        self.0.marks.record(due.collect()).await
    }
}

/// Answers what the link is doing, from any thread.
#[derive(Clone)]
pub struct StatusHandle(pub(crate) Arc<Control>);

impl StatusHandle {
    /// The link's status now.
    pub fn report(&self) -> LinkStatus {
        let trouble = self.0.positions_trouble.borrow().clone();
        let mut report = self.0.book().report(&self.0.config, &self.0.budget, trouble);
        report.resting = self.0.decisions.rests();
        report
    }

    /// Whether the tasks that look after the link are alive: they have turned round lately.
    pub fn is_alive(&self) -> bool {
        self.0.book().is_alive()
    }
}
