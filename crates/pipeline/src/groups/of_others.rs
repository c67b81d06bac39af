//! Lanes whose target others write, too, and whose source has that as well: a group has read some of it already. Found by
//! what is written on records of where they come from.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Mutex, MutexGuard, PoisonError},
};

use group_offsets::Lane;
use kafka_wire::Client;
use mirror_types::{Offset, TopicPartition};
use origin_search::{Known, OriginSearch, Stands};

use super::lanes::Needs;
use crate::control::Control;

/// By source offset, what was found.
type Found = BTreeMap<Offset, Known>;

/// What was found of each lane in the last round: in the next only what came since is read.
#[derive(Default)]
pub(super) struct OfOthers(Mutex<HashMap<TopicPartition, Found>>);

impl OfOthers {
    /// Says of each lane that is concerned where its groups go on, since they have read some of what others brought.
    pub(super) async fn find(
        &self,
        control: &Control,
        (source, target): (&Client, &Client),
        needs: &Needs,
        lanes: &mut BTreeMap<TopicPartition, Lane>,
    ) {
        let live = control.live();
        let ids = control.book().cluster_ids();
        for (at, lane) in lanes.iter_mut().filter(|(at, _)| (live.settings)(&at.topic).shared) {
            let on_target = TopicPartition::new(&*lane.target_topic, lane.partition);
            let Ok(Some(origins)) = live.origins_of(&ids, at, &on_target) else { continue };
            let search = OriginSearch::new(origins, source, target, live.wire_isolation());
            let mut known = self.lock().remove(at).unwrap_or_default();
            let mut found = Found::new();
            for source in &needs[at].source {
                let Some(target) = lane.by_marks_alone(*source) else { continue };
                let stands = Stands { source: *source, target };
                let before = known.range(..=*source).next_back().map(|(_, known)| *known);
                match search.goes_on(stands, lane.start.target, before).await {
                    Ok(now) => {
                        known.insert(*source, now);
                        found.insert(*source, now);
                    }
                    Err(error) => lane.trouble = Some(format!("what others bring can't be told: {error}")),
                }
            }
            lane.of_others.extend(found.iter().filter_map(|(source, known)| Some((*source, known.goes_on?))));
            self.lock().insert(at.clone(), found);
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<TopicPartition, Found>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
