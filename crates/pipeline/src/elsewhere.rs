//! Lanes that other instances of the link have, for a run `until_caught_up`: it is not done before they have arrived,
//! too. Their instances record how far they are every second, in the control topic.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use cluster_admin::Error;
use mirror_types::{Offset, TopicPartition};
use tracing::debug;

use crate::control::Control;

/// How often what they have recorded is read.
const EVERY: Duration = Duration::from_secs(2);

/// How far all lanes have to get, and whether those of others have.
pub(crate) struct Elsewhere {
    /// The lanes of an instance that is dead come to this one after this time, and are then looked at themselves.
    session: Duration,
    since: Option<Instant>,
    /// Where the source's partitions ended when this instance was first seen not to have them all.
    goals: Option<HashMap<TopicPartition, Offset>>,
    looked: Option<Instant>,
}

impl Elsewhere {
    pub(crate) fn new(session: Duration) -> Self {
        Self { session, since: None, goals: None, looked: None }
    }

    /// Whether every lane that is not this instance's has arrived, as far as its instance has recorded. Mostly it does not
    /// ask, and says no.
    pub(crate) async fn has_arrived(&mut self, control: &Control) -> bool {
        let since = *self.since.get_or_insert_with(Instant::now);
        if since.elapsed() < self.session || self.looked.is_some_and(|at| at.elapsed() < EVERY) {
            return false;
        }
        self.looked = Some(Instant::now());
        let goals = match self.goals.take() {
            Some(goals) => goals,
            None => match goals(control).await {
                Ok(Some(goals)) => goals,
                Ok(None) => return false,
                Err(error) => {
                    debug!(%error, "where the lanes of others have to get is not known yet");
                    return false;
                }
            },
        };
        let goals = self.goals.insert(goals);
        match control.marks.recorded().await {
            Ok(recorded) => goals.iter().all(|(at, goal)| {
                control.marks.owns(at) || recorded.get(at).is_some_and(|position| position >= goal)
            }),
            Err(error) => {
                debug!(%error, "how far the lanes of others are can't be read");
                false
            }
        }
    }
}

/// The source's ends now; none while one of them can't be told.
async fn goals(control: &Control) -> Result<Option<HashMap<TopicPartition, Offset>>, Error> {
    let topics = control.source.topics().await?;
    let routed = match control.config.rules.route(topics.keys().map(|topic| &**topic)) {
        Ok(ready) => ready,
        // Those that can't be routed have no lanes.
        Err(refused) => refused.rest,
    };
    let partitions = |topic: &String| topics[topic.as_str()].as_ref().map_or(0, |found| found.partitions);
    let all: Vec<TopicPartition> = routed
        .keys()
        .flat_map(|topic| {
            (0..partitions(topic)).map(|partition| TopicPartition::new(topic.as_str(), partition))
        })
        .collect();
    if all.is_empty() {
        return Ok(Some(HashMap::new()));
    }
    let ends = control.source.end_offsets(&all, control.config.isolation()).await?;
    Ok(all.into_iter().map(|at| Some((at.clone(), *ends.get(&at)?.as_ref().ok()?))).collect())
}
