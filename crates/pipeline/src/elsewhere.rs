//! Lanes that other instances of the link have, for a run `until_caught_up`: it is not done before they have arrived,
//! too. Their instances record how far they are every second, in the control topic.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use cluster_admin::Error;
use mirror_types::{Offset, TopicPartition};
use tracing::{debug, info};

use crate::{book::LaneEntry, control::Control};

/// How often the log tells which lanes are waited for.
const TOLD: Duration = Duration::from_secs(60);
/// So many of them.
const NAMED: usize = 5;

/// How far all lanes have to get, and whether those of others have.
pub(crate) struct Elsewhere {
    /// The lanes of an instance that is dead come to this one after this time, and are then looked at themselves.
    session: Duration,
    since: Instant,
    /// Where the source's partitions ended when this instance was first seen not to have them all.
    goals: Option<HashMap<TopicPartition, Offset>>,
    told: Instant,
}

impl Elsewhere {
    pub(crate) fn new(session: Duration) -> Self {
        Self { session, since: Instant::now(), goals: None, told: Instant::now() }
    }

    /// Whether every lane has arrived that this instance does not have, by what its instance has recorded.
    pub(crate) async fn have_arrived(&mut self, control: &Control) -> bool {
        if self.goals.is_none() {
            match goals(control).await {
                Ok(goals) => (self.goals, self.since) = (goals, Instant::now()),
                Err(error) => debug!(%error, "where the lanes of others have to get is not known yet"),
            }
        }
        let Some(goals) = self.goals.as_ref().filter(|_| self.since.elapsed() >= self.session) else {
            return false;
        };
        let recorded = match control.marks.recorded().await {
            Ok(recorded) => recorded,
            Err(error) => {
                debug!(%error, "how far the lanes of others are can't be read");
                return false;
            }
        };
        let waits: Vec<String> = {
            let book = control.book();
            let is_there = |at: &TopicPartition, goal: &Offset| {
                // One that is ours has to be started first; one that is refused is refused by all.
                book.lanes.get(at).is_some_and(LaneEntry::has_arrived)
                    || book.held.contains_key(&*at.topic)
                    || recorded.get(at).is_some_and(|position| position >= goal)
            };
            let waits = goals.iter().filter(|(at, goal)| !is_there(at, goal));
            waits.map(|(at, _)| at.to_string()).collect()
        };
        if !waits.is_empty() && self.told.elapsed() >= TOLD {
            let first = waits[..waits.len().min(NAMED)].join(", ");
            info!(lanes = waits.len(), first, "waiting for lanes that other instances of the link have");
            self.told = Instant::now();
        }
        waits.is_empty()
    }
}

/// The source's ends now; none while one of them can't be told.
async fn goals(control: &Control) -> Result<Option<HashMap<TopicPartition, Offset>>, Error> {
    let topics = control.source.topics().await?;
    let routed = match control.live().rules.route(topics.keys().map(|topic| &**topic)) {
        Ok(ready) => ready,
        // Those that can't be routed have no lanes.
        Err(refused) => refused.rest,
    };
    let mut all = Vec::new();
    let held = control.book().held.clone();
    for topic in routed.keys().filter(|topic| !held.contains_key(*topic)) {
        let Ok(found) = &topics[topic.as_str()] else { return Ok(None) };
        all.extend((0..found.partitions).map(|partition| TopicPartition::new(topic.as_str(), partition)));
    }
    if all.is_empty() {
        return Ok(Some(HashMap::new()));
    }
    let ends = control.source.end_offsets(&all, control.config.isolation()).await?;
    Ok(all.into_iter().map(|at| Some((at.clone(), *ends.get(&at)?.as_ref().ok()?))).collect())
}
