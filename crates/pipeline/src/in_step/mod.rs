//! Keeps the target's topic configs and ACLs in step with the source's, where the configuration asks for it.
//!
//! One of the link's instances does it for all of them. The rules are `target_diff`'s. Whatever goes wrong is said, counted
//! and tried again in the next round: no lane waits for it. Nothing is ever taken away.

mod acls;
mod configs;

use std::{collections::BTreeMap, fmt::Display, sync::Arc, time::Duration};

use cluster_admin::Topics;
use prometheus::{IntCounter, Registry};
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;
use topic_rename::Rules;
use tracing::{info, warn};

pub(crate) use self::{acls::Acls, configs::Configs};
use crate::{Error, control::Control, trouble::Trouble};

/// How long one question may be tried: the next round comes anyway.
const PATIENCE: Duration = Duration::from_secs(10);

/// How soon an instance takes over that is to do it from now on.
const LOOK: Duration = Duration::from_millis(500);

/// Something that is kept in step.
pub(crate) trait InStep: Send + Sync + 'static {
    /// What it is, in the plural.
    const WHAT: &'static str;

    /// How often.
    fn every(&self) -> Duration;

    /// Counts rounds that failed.
    fn failures(&self) -> &IntCounter;

    /// Brings it in step. The error says what could not be, and why.
    fn round(&self) -> impl Future<Output = Result<(), String>> + Send;
}

/// Runs until `shutdown`.
pub(crate) async fn keep_in_step(
    control: Arc<Control>,
    what: impl InStep,
    shutdown: CancellationToken,
) -> Result<(), Error> {
    tokio::select! {
        () = shutdown.cancelled() => Ok(()),
        () = rounds(&control, &what) => unreachable!("it goes on for ever"),
    }
}

async fn rounds<T: InStep>(control: &Control, what: &T) {
    let mut turn = interval(what.every());
    turn.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut trouble = Trouble::at_once();
    loop {
        turn.tick().await;
        // Before the first look it is not known that these are two clusters.
        while !(control.book().first_look_done && control.marks.acts_for_all()) || control.decisions.rests() {
            tokio::time::sleep(LOOK).await;
        }
        let failed = what.round().await.err();
        if failed.is_some() {
            what.failures().inc();
        }
        match trouble.news(failed) {
            Some(Some(trouble)) => {
                warn!("{} are not kept in step, trying again: {trouble}", T::WHAT);
            }
            Some(None) => info!("{} are in step again", T::WHAT),
            None => {}
        }
    }
}

/// Of the source's topics those that this link has begun to mirror and that are on the target, with their names there.
fn mirrored(
    control: &Control,
    rules: &Rules,
    sources: &Topics,
    targets: &Topics,
) -> BTreeMap<String, String> {
    let there = |topic: &str, of: &Topics| of.get(topic).is_some_and(Result::is_ok);
    let mut routes = match rules.route(sources.keys().map(|topic| &**topic)) {
        Ok(routes) => routes,
        Err(refused) => refused.rest,
    };
    routes.retain(|topic, target| {
        control.marks.has_begun(topic) && there(topic, sources) && there(target, targets)
    });
    routes
}

/// An error, and which right would mend it, if it is for want of one.
fn with_fix(error: impl Display, not_authorized: bool, right: &str) -> String {
    if not_authorized { format!("{error}; fix: grant {right}") } else { error.to_string() }
}

/// The first of several, and how many there are more.
fn first_of(trouble: &[String]) -> Result<(), String> {
    match trouble {
        [] => Ok(()),
        [one] => Err(one.clone()),
        [first, more @ ..] => Err(format!("{first} (and {} more)", more.len())),
    }
}

fn counter(registry: &Registry, name: &str, help: &str) -> Result<IntCounter, Error> {
    let counter = IntCounter::new(name, help)?;
    registry.register(Box::new(counter.clone()))?;
    Ok(counter)
}
