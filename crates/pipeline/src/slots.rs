//! Which slots are this instance's: takes over what the group gives it, and lets go of what is another's next.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use futures::future::join_all;
use mirror_types::{Stop, StopKind, TopicPartition};
use ownership::{Change, Ownership};
use tokio::time::{interval, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::{Error, config::LinkConfig, control::Control};

/// How long that may take, before the others are looked after without it.
const TAKE: Duration = Duration::from_secs(10);
/// A slot that could not be taken over is tried again after this long.
const AGAIN: Duration = Duration::from_millis(500);

/// Keeps this instance's slots in step with the group.
pub(crate) struct Slots {
    control: Arc<Control>,
    /// Slots that are ours and not taken over yet, by the generation that gave them.
    pending: BTreeMap<i32, i32>,
    /// Whether the group has given anything yet, be it nothing.
    gained: bool,
    told: Option<String>,
}

impl Slots {
    pub(crate) fn new(control: Arc<Control>) -> Self {
        Self { control, pending: BTreeMap::new(), gained: false, told: None }
    }

    /// Runs until `leave`, then leaves the group, so that others go on at once.
    pub(crate) async fn run(mut self, leave: CancellationToken) -> Result<(), Error> {
        let control = self.control.clone();
        let opened = tokio::select! {
            () = leave.cancelled() => return Ok(()),
            opened = control.marks.opened() => opened,
        };
        if control.config.alone {
            self.change(Change::Gained { slots: (0..opened.slots).collect(), generation: 0 }).await;
            while !self.pending.is_empty() {
                self.take("alone").await;
                tokio::time::sleep(AGAIN).await;
            }
            leave.cancelled().await;
            return Ok(());
        }
        let group = &control.config.group;
        let waiting = format!("group {group} on the target has not said yet which lanes are this instance's");
        control.book().slots_trouble = Some(waiting);
        let config = membership(&control.config, opened.topic.name(), opened.slots)?;
        let instance = config.instance.clone().unwrap_or_else(|| format!("process {}", std::process::id()));
        let (ownership, mut changes, lease) = Ownership::new(&control.wire, config);
        control.marks.hold(lease);
        let member = tokio::spawn(ownership.run(leave));
        let mut again = interval(AGAIN);
        loop {
            tokio::select! {
                change = changes.recv() => match change {
                    Some(change) => self.change(change).await,
                    // It has left.
                    None => break,
                },
                _ = again.tick(), if !self.pending.is_empty() => {}
            }
            self.take(&instance).await;
        }
        member.await.map_err(|panic| Error::Panicked(panic.to_string()))
    }

    async fn change(&mut self, change: Change) {
        let control = self.control.clone();
        match change {
            Change::Gained { slots, generation } => {
                info!(slots = slots.len(), generation, "slots gained: {}", shown(&slots));
                self.pending.extend(slots.into_iter().map(|slot| (slot, generation)));
                control.book().slots_trouble = None;
                self.gained = true;
                self.forget_others();
            }
            Change::Leaving { slots, released } => {
                info!(slots = slots.len(), "slots given up: {}", shown(&slots));
                let lanes = self.release(&slots).await;
                lanes.iter().for_each(|at| control.forget(at));
                let _ = released.send(());
            }
            Change::Lost { slots, reason } => {
                warn!(slots = slots.len(), reason, "slots lost: {}", shown(&slots));
                // They may be ours again in a moment: what is known of them is kept.
                for at in self.release(&slots).await {
                    let mut book = control.book();
                    let Some(lane) = book.lanes.get_mut(&at).filter(|lane| !lane.is_foreign()) else {
                        continue;
                    };
                    let reason = format!("{at}: it may be another instance's by now: {reason}");
                    control.stop(
                        &at,
                        lane,
                        Stop::new(StopKind::Interrupted, reason, "nothing, if it passes"),
                    );
                }
            }
            Change::Refused { reason, fix } => {
                warn!(fix, "this instance can't own any lane: {reason}");
                control.book().slots_trouble = Some(format!("{reason}; fix: {fix}"));
            }
        }
    }

    async fn take(&mut self, instance: &str) {
        let control = &self.control;
        let take = |(slot, generation): (i32, i32)| async move {
            let taken = timeout(TAKE, control.marks.take(slot, instance, generation)).await;
            (
                slot,
                taken
                    .map_err(|_| "the target does not answer".to_owned())
                    .and_then(|taken| taken.map_err(|error| error.to_string())),
            )
        };
        let mut trouble = None;
        let mut taken = false;
        for (slot, outcome) in join_all(self.pending.clone().into_iter().map(take)).await {
            match outcome {
                Ok(()) => {
                    self.pending.remove(&slot);
                    taken = true;
                }
                Err(error) => trouble = Some(format!("slot {slot} can't be taken over: {error}")),
            }
        }
        if self.gained && self.pending.is_empty() && control.marks.set_member() {
            control.book().slots_trouble = None;
            taken = true;
        }
        if taken {
            control.look.notify_one();
        }
        if trouble != self.told {
            if let Some(trouble) = &trouble {
                warn!("trying again: {trouble}");
            }
            control.book().slots_trouble.clone_from(&trouble);
            self.told = trouble;
        }
    }

    /// Lets go of slots, once nothing more is written to their lanes; which these are.
    async fn release(&mut self, slots: &[i32]) -> Vec<TopicPartition> {
        let control = self.control.clone();
        self.pending.retain(|slot, _| !slots.contains(slot));
        // What is being started now, and is not in the book yet, finds that it came too late.
        slots.iter().for_each(|slot| control.marks.retire(*slot));
        let ours = |at: &TopicPartition| control.marks.slot_of(at).is_some_and(|slot| slots.contains(&slot));
        let lanes: Vec<TopicPartition> = control.book().lanes.keys().filter(|at| ours(at)).cloned().collect();
        let closed: Vec<_> = lanes.iter().filter_map(|at| control.close(at)).collect();
        join_all(closed).await;
        for slot in slots {
            control.marks.release(*slot);
        }
        lanes
    }

    /// Lanes that were lost, and are another's now.
    fn forget_others(&self) {
        let control = &self.control;
        let other = |at: &TopicPartition| {
            let slot = control.marks.slot_of(at);
            !control.marks.owns(at) && slot.is_some_and(|slot| !self.pending.contains_key(&slot))
        };
        let others: Vec<_> = control.book().lanes.keys().filter(|at| other(at)).cloned().collect();
        others.iter().for_each(|at| control.forget(at));
    }
}

/// How this instance is a member of the link's group.
pub(crate) fn membership(config: &LinkConfig, topic: &str, slots: i32) -> Result<ownership::Config, Error> {
    let property = |name: &str| config.target.properties.get(name);
    let mut membership = ownership::Config::new(config.group.as_str(), topic, slots, property)?;
    membership.instance = membership.instance.or_else(|| config.instance.clone());
    Ok(membership)
}

fn shown(slots: &[i32]) -> String {
    slots.iter().map(i32::to_string).collect::<Vec<_>>().join(", ")
}
