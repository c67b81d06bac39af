//! Which lanes there are: looks at both clusters' topics again and again, makes the target fit, and starts
//! lanes that are new, that can be tried again, or that were interrupted.
//!
//! This is the round; `routes` says which topics the rules name and notices those that are gone, `hold` keeps those at rest
//! that are not to be mirrored now, `target` makes the target topics fit, `start` starts lanes, `begin` says where each
//! begins. Whether a topic is mirrored now is [`crate::plan`]'s to say, from the configuration and the journal.

mod begin;
mod hold;
mod routes;
mod start;
mod target;

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};

use cluster_admin::TopicConfigs;
use control_topic::{ControlTopic, name_of};
use mirror_types::{Offset, Side, Stop, StopKind, TopicPartition};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use crate::{
    Error, LinkConfig, TopicSettings,
    beside::Beside,
    book::LaneState,
    chain::Chain,
    control::Control,
    marks::{Held, NotOpened},
};

/// After a look that failed, the next comes sooner than `topics.refresh`.
const AFTER_FAILURE: Duration = Duration::from_secs(2);

/// A look that was asked for comes after this long, for all that ask in the meantime.
const WHEN_RUNG: Duration = Duration::from_millis(200);

/// Keeps the lanes in step with the topics.
pub(crate) struct Topics {
    control: Arc<Control>,
    /// How many times in a row a topic with lanes was not on the source, or not on the target.
    missing: HashMap<(Side, Arc<str>), u32>,
    /// Source topics that were there at the first look: only they start where `topics.start` says.
    old: HashSet<Arc<str>>,
    /// Configs of the target topics that lanes were started on.
    configs: HashMap<String, TopicConfigs>,
    told: Option<String>,
    /// Whether both clusters have been asked for their ids.
    ids_known: bool,
    /// How many looks in a row failed on a cluster that answers other questions.
    failed_while_up: u32,
    /// Topics that were given up in this process, and may have been cleared since.
    given_up: HashSet<Arc<str>>,
    /// Whether it is known which topics the link had begun when this configuration was taken over.
    begun_known: bool,
    /// Which configuration this goes by.
    reloads: u64,
    /// Up to where of the journal.
    decided_to: Option<Offset>,
    /// When this process began to run the link, in milliseconds since the epoch.
    started: i64,
    /// Other links, as they were seen last; none until they were.
    beside: Option<Beside>,
    /// Topics that were looked at for whether they come back over other links.
    judged: HashMap<String, Option<Chain>>,
}

/// Which topics become which, after a look.
struct Routes {
    /// Source topic to target topic.
    ready: BTreeMap<String, String>,
    /// Source topics that match but can't be mirrored now; their lanes say why.
    refused: BTreeSet<String>,
    /// Those that somebody has paused, to their target topics.
    paused: BTreeMap<String, String>,
    /// Those that have no lanes now: they wait to be asked for, or were stopped.
    resting: BTreeSet<String>,
}

impl Routes {
    fn of(ready: BTreeMap<String, String>) -> Self {
        Self { ready, refused: BTreeSet::new(), paused: BTreeMap::new(), resting: BTreeSet::new() }
    }

    fn have(&self, topic: &str) -> bool {
        self.ready.contains_key(topic) || self.refused.contains(topic) || self.paused.contains_key(topic)
    }
}

/// Why a look came to nothing: to be tried again.
#[derive(Debug, thiserror::Error)]
enum Trouble {
    #[error(transparent)]
    Cluster(#[from] cluster_admin::Error),
    #[error(transparent)]
    Marks(#[from] NotOpened),
    #[error("target: {0}")]
    Target(#[from] kafka_wire::Error),
}

impl From<control_topic::Error> for Trouble {
    fn from(error: control_topic::Error) -> Self {
        Self::Marks(error.into())
    }
}

/// A lane that has to be started.
struct Wanted {
    at: TopicPartition,
    /// Its slot, as it was when it was wanted.
    slot: Held,
    target: TopicPartition,
    settings: TopicSettings,
    /// Its topic has lanes, running or stopped, or marks.
    topic_known: bool,
}

impl Topics {
    pub(crate) fn new(control: Arc<Control>) -> Self {
        Self {
            control,
            missing: HashMap::new(),
            old: HashSet::new(),
            configs: HashMap::new(),
            told: None,
            ids_known: false,
            failed_while_up: 0,
            given_up: HashSet::new(),
            begun_known: false,
            reloads: 0,
            decided_to: None,
            started: offset_marks::now_ms(),
            beside: None,
            judged: HashMap::new(),
        }
    }

    /// Runs until `shutdown`. What it can't do it tries again; only rules that refuse the topics that there
    /// are at the start, or a cluster that is mirrored onto itself, end the link.
    pub(crate) async fn run(mut self, shutdown: CancellationToken) -> Result<(), Error> {
        loop {
            let looked = tokio::select! {
                () = shutdown.cancelled() => break,
                looked = self.look() => looked?,
            };
            let pause = match looked {
                Ok(()) => {
                    self.failed_while_up = 0;
                    self.tell(None);
                    self.control.live().refresh
                }
                Err(trouble) => {
                    // That a cluster is down is told where its ends are asked for; this may be less than that.
                    let up = self.control.book().cluster(trouble.side()).up == Some(true);
                    self.failed_while_up = if up { self.failed_while_up + 1 } else { 0 };
                    if !trouble.is_unreachable() || self.failed_while_up > 1 {
                        self.tell(Some(trouble.to_string()));
                    }
                    AFTER_FAILURE.min(self.control.live().refresh)
                }
            };
            // Before there are lanes, nobody else can ring.
            let gather = if self.control.marks.is_member() { WHEN_RUNG } else { Duration::ZERO };
            tokio::select! {
                () = shutdown.cancelled() => break,
                () = tokio::time::sleep(pause) => {}
                () = self.control.look.notified() => tokio::time::sleep(gather).await,
            }
        }
        // Not an end of its own accord: the link is being stopped.
        std::future::pending().await
    }

    fn tell(&mut self, trouble: Option<String>) {
        if trouble != self.told {
            match &trouble {
                Some(trouble) => warn!("the topics can't be looked after, trying again: {trouble}"),
                None => info!("the topics are looked after again"),
            }
        }
        self.control.book().look_trouble = trouble.clone();
        self.told = trouble;
    }

    /// One look. The outer error ends the link, the inner one is tried again.
    async fn look(&mut self) -> Result<Result<(), Trouble>, Error> {
        let control = self.control.clone();
        if let Err(trouble) = self.rest().await {
            return Ok(Err(trouble));
        }
        let listed = async { tokio::try_join!(control.source.topics(), control.target.topics()) };
        let listed = tokio::select! {
            biased;
            // It may be told to rest because its source is gone, which is not waited for then.
            () = control.decisions.until_told_to_rest() => return Ok(self.rest().await),
            listed = listed => listed,
        };
        let (sources, targets) = match listed {
            Ok(topics) => topics,
            Err(trouble) => {
                // It may be told to rest because its source is gone.
                if trouble.side == Side::Source && control.decisions.refresh(None).await.is_ok() {
                    return Ok(self.rest().await.and(Err(trouble.into())));
                }
                return Ok(Err(trouble.into()));
            }
        };
        let first = !control.book().first_look_done;
        // Nothing is written before it is known that this is not one cluster.
        if let Err(trouble) = self.learn_cluster_ids().await {
            return Ok(Err(trouble));
        }
        if let Some(swapped) = self.swapped(&sources, &targets).await {
            return Err(swapped);
        }
        let on_record = match self.control.open_marks().await {
            Ok(topic) => topic,
            Err(trouble) => return Ok(Err(trouble.into())),
        };
        if !control.marks.is_member() {
            // Which lanes are ours is not known yet; whoever learns it rings.
            return Ok(Ok(()));
        }
        let reloads = control.reloads.load(Relaxed);
        let live = control.live();
        let mut routes = match live.rules.route(sources.keys().map(|topic| &**topic)) {
            Ok(ready) => Routes::of(ready),
            Err(refused) if first => return Err(Error::Routes(refused)),
            Err(refused) => self.without_refused(refused, &sources),
        };
        self.without_loops(first, &mut routes, &sources)?;
        if first || reloads != self.reloads {
            // As if it were started with this configuration.
            self.old.extend(routes.ready.keys().map(|topic| Arc::from(topic.as_str())));
            (self.reloads, self.begun_known) = (reloads, false);
            self.beside = None;
            self.started = if first { self.started } else { offset_marks::now_ms() };
        }
        self.note_missing(&sources);
        if first && routes.ready.is_empty() && !control.decisions.rests() {
            warn!("no topic on the source matches topics.include; waiting for one");
            if control.config.until_caught_up.is_some() {
                return Err(Error::NoTopics);
            }
        }
        let trouble = match self.hold(&live, &mut routes, &sources, &targets).await {
            Ok(trouble) => trouble,
            Err(trouble) => return Ok(Err(trouble)),
        };
        let others = (&on_record, &sources, &targets);
        if let Err(trouble) = self.without_chains(first, &live, &mut routes, others).await? {
            return Ok(Err(trouble));
        }
        self.forget_gone(&routes);
        self.stop_without_target(&routes, &sources, &targets);
        let brought_up = self.bring_up(first, &routes.ready, &sources, &targets).await;
        Ok(brought_up.and(trouble.map_or(Ok(()), Err)))
    }

    /// Whether the two clusters have been mistaken for each other: where the link has no marks on its target, those on its
    /// source may be its own, of the other way round. As far as they may be read.
    async fn swapped(
        &self,
        sources: &cluster_admin::Topics,
        targets: &cluster_admin::Topics,
    ) -> Option<Error> {
        let LinkConfig { link, source, target, .. } = &self.control.config;
        let name = name_of(link);
        if self.control.marks.is_open() || targets.contains_key(&*name) || !sources.contains_key(&*name) {
            return None;
        }
        let ids = self.control.book().cluster_ids();
        let settings = kafka_wire::Settings::new(source.properties.iter()).ok()?;
        let topic = ControlTopic::open(&kafka_wire::Client::new(settings), link).await.ok()??;
        let theirs = topic.link().await.ok()??.source_cluster?;
        (ids.source != ids.target && Some(theirs) == ids.target).then(|| Error::Swapped {
            link: link.clone(),
            on: source.name.clone(),
            target: target.name.clone(),
        })
    }

    async fn bring_up(
        &mut self,
        first: bool,
        routes: &BTreeMap<String, String>,
        sources: &cluster_admin::Topics,
        targets: &cluster_admin::Topics,
    ) -> Result<(), Trouble> {
        let control = self.control.clone();
        let taken = control.marks.taken();
        let mut trouble = None;
        let (mut wanted, mut late) = (Vec::new(), None);
        let mended = self.targets_mended().await;
        self.stop_recreated().await?;
        self.learn_begun(routes).await?;
        for (topic, target_topic) in routes {
            let source = match &sources[topic.as_str()] {
                Ok(source) => source,
                Err(error) => {
                    debug!(topic, %error, "the source does not describe it now");
                    late = Some(topic.clone());
                    continue;
                }
            };
            let mended = mended.contains(target_topic);
            let missing = self.lanes_to_start(topic, target_topic, source.partitions, mended);
            if missing.is_empty() {
                continue;
            }
            let target = match targets.get(target_topic.as_str()) {
                Some(Err(error)) if !error.is_unknown_topic() => {
                    self.refuse(topic, target_topic, 0..source.partitions, not_described(topic, error));
                    continue;
                }
                target => target.and_then(|t| t.as_ref().ok()),
            };
            match self.prepare(first, topic, source, target_topic, target, missing).await {
                Ok(lanes) => wanted.extend(lanes),
                // The other topics go on.
                Err(error) => trouble = Some(error),
            }
        }
        let lanes: Vec<TopicPartition> = wanted.iter().map(|lane| lane.at.clone()).collect();
        if !wanted.is_empty() && self.decided_anew().await? {
            // What is decided is looked at again after it is certain which lanes are ours: whoever had them before may have
            // let them go because of it.
            control.look.notify_one();
            return Ok(());
        }
        self.start(first, wanted).await?;
        if let Some(trouble) = trouble {
            return Err(trouble);
        }
        let mut book = control.book();
        book.first_look_done = true;
        // One whose source has no leader now, say, is started at another look.
        let started =
            |at: &TopicPartition| book.lanes.get(at).is_some_and(|lane| lane.state != LaneState::Starting);
        let waits = lanes.iter().find(|at| control.marks.owns(at) && !started(at));
        match late.or(waits.map(ToString::to_string)) {
            None => book.looked = taken,
            Some(late) => debug!(%late, "not all lanes could be started yet"),
        }
        Ok(())
    }

    /// Other instances may have begun topics that are new to this one.
    async fn learn_begun(&self, routes: &BTreeMap<String, String>) -> Result<(), Trouble> {
        let marks = &self.control.marks;
        let all_known = routes.keys().all(|topic| self.has_run(topic) || marks.has_begun(topic));
        if !all_known {
            marks.learn_topics().await?;
        }
        Ok(())
    }

    /// Asks each cluster for its id until it has answered; an old one may have none.
    async fn learn_cluster_ids(&mut self) -> Result<(), Trouble> {
        if self.ids_known {
            return Ok(());
        }
        let control = &self.control;
        let (source, target) = tokio::try_join!(control.source.cluster_id(), control.target.cluster_id())?;
        let mut book = control.book();
        (book.source.id, book.target.id) = (source, target);
        self.ids_known = true;
        Ok(())
    }
}

impl Trouble {
    fn side(&self) -> Side {
        match self {
            Self::Cluster(error) => error.side,
            Self::Marks(_) | Self::Target(_) => Side::Target,
        }
    }

    fn is_unreachable(&self) -> bool {
        match self {
            Self::Cluster(error) => error.is_unreachable(),
            Self::Marks(NotOpened::Control(error)) => error.is_unreachable(),
            Self::Marks(NotOpened::AnotherLinks { .. }) => false,
            Self::Target(error) => error.is_unreachable(),
        }
    }

    fn is_retriable(&self) -> bool {
        match self {
            Self::Cluster(error) => error.is_retriable(),
            Self::Marks(_) | Self::Target(_) => true,
        }
    }

    fn is_unknown_topic(&self) -> bool {
        matches!(self, Self::Cluster(error) if error.is_unknown_topic())
    }

    fn is_not_authorized(&self) -> bool {
        matches!(self, Self::Cluster(error) if error.is_not_authorized())
    }
}

fn not_described(topic: &str, error: &cluster_admin::Error) -> Stop {
    Stop::new(
        StopKind::Precondition,
        format!("{topic}: {error}"),
        "grant DESCRIBE and WRITE on the topic on the target",
    )
}
