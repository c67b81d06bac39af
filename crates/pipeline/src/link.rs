//! The link: its life from start to drain, and how it ended.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use cluster_admin::Cluster;
use mirror_types::{Budget, Side, Stop};
use offset_marks::ProgressBoard;
use pinned_producer::Limits;
use prometheus::Registry;
use tokio::{sync::watch, task::JoinSet, time::timeout};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use crate::{
    Error, ReloadHandle, TopicPlan,
    config::LinkConfig,
    control::{Control, Parts, StatusHandle, VerifiedRecord},
    ends::Ends,
    events::Events,
    groups::Groups,
    in_step::{Acls, Configs, keep_in_step},
    metrics::Metrics,
    slots::{Slots, membership},
    topics::Topics,
    wire::{Shared, Wired, wire},
};

/// How long leaving the group may take; whoever takes over would else wait for the session to end.
const LEAVE: Duration = Duration::from_secs(2);

/// How a link ended.
#[derive(Debug, Default)]
pub struct Outcome {
    /// Lanes that had stopped in trouble, and why.
    pub stopped: Vec<(String, Stop)>,
    /// How many times source records were lost, and skipped as the policy says.
    pub lost: u64,
    /// Topics that the rules name, and that are not to be mirrored now.
    pub held: BTreeMap<String, TopicPlan>,
    /// Whether all that was in flight got to the target before the deadline.
    pub drained: bool,
    /// Whether `until_caught_up` was reached by every lane that did not stop.
    pub caught_up: bool,
}

impl Outcome {
    /// How several have ended together.
    pub fn and(mut self, mut other: Self) -> Self {
        self.stopped.append(&mut other.stopped);
        self.held.append(&mut other.held);
        self.lost += other.lost;
        self.drained &= other.drained;
        self.caught_up &= other.caught_up;
        self
    }
}

/// A link that is ready to run.
pub struct Link {
    control: Arc<Control>,
    wired: Wired,
    groups: Option<Groups>,
    configs: Option<Configs>,
    acls: Option<Acls>,
}

impl Link {
    /// Makes the clients and the stages; no I/O is done before `run`.
    pub fn new(config: LinkConfig, registry: &Registry) -> Result<Self, Error> {
        let timeout = Duration::from_secs(10);
        // What can't be used is said before anything is done.
        membership(&config, "", 0)?;
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
            positions_trouble: trouble,
        };
        let mut wired = wire(&config, shared, registry)?;
        let parts = Parts {
            source,
            target,
            budget,
            board,
            limits,
            metrics: Metrics::new(registry, &config)?,
            positions_trouble,
        };
        let control = Control::new(config, &mut wired, parts);
        let control = Arc::new(control);
        let groups = Groups::new(&control, registry)?;
        let configs = Configs::new(&control, registry)?;
        let acls = Acls::new(&control, registry)?;
        Ok(Self { control, wired, groups, configs, acls })
    }

    /// Where to ask what it is doing.
    pub fn status(&self) -> StatusHandle {
        StatusHandle(self.control.clone())
    }

    /// What gives it another configuration.
    pub fn reload(&self) -> ReloadHandle {
        ReloadHandle(self.control.clone())
    }

    /// Where it is put on record how far lanes were compared.
    pub fn verified_record(&self) -> VerifiedRecord {
        VerifiedRecord(self.control.clone())
    }

    /// Runs until `shutdown` (or, with `until_caught_up`, until that), then drains.
    pub async fn run(self, shutdown: CancellationToken) -> Result<Outcome, Error> {
        let control = self.control;
        let give_up = CancellationToken::new();
        let stop = shutdown.child_token();
        let (mut stages, events) = self.wired.start(&stop, &give_up);

        let mut keepers: JoinSet<Result<(), Error>> = JoinSet::new();
        keepers.spawn(Topics::new(control.clone()).run(stop.clone()));
        keepers.spawn(follow(control.clone(), stop.clone()));
        keepers.spawn(Ends::new(control.clone()).run(stop.clone()));
        if let Some(groups) = self.groups {
            keepers.spawn(groups.run(stop.clone()));
        }
        if let Some(configs) = self.configs {
            keepers.spawn(keep_in_step(control.clone(), configs, stop.clone()));
        }
        if let Some(acls) = self.acls {
            keepers.spawn(keep_in_step(control.clone(), acls, stop.clone()));
        }
        let events = tokio::spawn(Events::new(control.clone(), events).run());
        // The lanes are this instance's until the last of it is through.
        let leave = CancellationToken::new();
        let mut slots = tokio::spawn(Slots::new(control.clone()).run(leave.clone()));

        control.book().set_phase("running");
        let mut failure = None;
        tokio::select! {
            // The stages may have ended because of it already.
            biased;
            () = stop.cancelled() => {}
            ended = &mut slots => failure = ended_early(ended),
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
        let deadline = control.live().drain;
        info!(?deadline, "stopping: waiting for the target to acknowledge what is in flight");
        let drained = drain(&mut stages, deadline, &give_up, &mut failure).await;
        keepers.shutdown().await;
        let _ = events.await;
        let outcome = {
            let book = control.book();
            let drained = drained && !book.is_interrupted();
            let held = book.held.clone();
            Outcome { stopped: book.stops(), lost: book.lost, held, drained, caught_up }
        };
        leave.cancel();
        if !slots.is_finished() && timeout(LEAVE, slots).await.is_err() {
            debug!("left the group without its answer");
        }
        control.book().set_phase("stopped");
        match failure {
            Some(error) => Err(error),
            None => Ok(outcome),
        }
    }
}

/// Notices what operators decide, until `shutdown`.
async fn follow(control: Arc<Control>, shutdown: CancellationToken) -> Result<(), Error> {
    tokio::select! {
        () = shutdown.cancelled() => {}
        () = control.decisions.keep_following(&control.look) => {}
    }
    std::future::pending().await
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
