//! What is there: the topics of both sides, the lanes that have begun, and what was decided.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};

use control_topic::ControlTopic;
use kafka_wire::Topic;
use link_journal::{Journal, JournalState};
use mirror_types::{Side, TopicPartition};
use offset_marks::{LaneStart, control::Keep, slot_of};
use pipeline::{LinkConfig, SLOTS, TopicPlan, plan};

use super::Request;
use crate::sides::{Clusters, Error, NAMED, check_ids, refuse_swapped, rests, topics};

/// What is there.
pub(crate) struct Scene {
    pub(crate) link: LinkConfig,
    pub(crate) clusters: Clusters,
    /// Where the marks are; none if the link has not run yet.
    pub(crate) control: Option<ControlTopic>,
    slots: i32,
    /// The topics of the source.
    pub(crate) sources: HashMap<String, Arc<Topic>>,
    /// How each lane began that has begun.
    pub(crate) lanes: Vec<LaneStart>,
}

impl Scene {
    pub(crate) async fn of(request: &Request) -> Result<Self, Error> {
        let link = request.link.clone();
        let clusters = Clusters::new(&link, request.timeout)?;
        let control = ControlTopic::open(clusters.client(Side::Target), &link.link).await?;
        let (mut slots, mut lanes) = (SLOTS, Vec::new());
        match &control {
            Some(control) => {
                let claim = control.link().await?;
                slots = claim.as_ref().map_or(control.partitions(), |claim| claim.slots);
                let states = control.read_all_committed(Keep::Tails).await?;
                lanes = states.iter().flat_map(|state| state.lanes().cloned()).collect();
                let claimed = claim.iter().map(|claim| (&claim.source_cluster, &claim.target_cluster));
                let began = lanes.iter().map(|lane| (&lane.source_cluster, &lane.target_cluster));
                check_ids(&link, &clusters, claimed.chain(began)).await?;
            }
            None => refuse_swapped(&link, &clusters).await?,
        }
        let sources = topics(&clusters, Side::Source).await?;
        Ok(Self { link, clusters, control, slots, sources, lanes })
    }

    /// The link's journal, as it is; none if there is none.
    pub(crate) async fn journal(&self) -> Result<Option<JournalState>, Error> {
        match Journal::open(self.clusters.client(Side::Target), &self.link.link).await? {
            Some(journal) => Ok(Some(journal.read().await?)),
            None => Ok(None),
        }
    }

    /// All topics that can be meant: those that the rules name, and those that were mirrored once, or decided about.
    pub(crate) fn known(&self, decided: Option<&JournalState>) -> BTreeSet<String> {
        let named = self.sources.keys().filter(|topic| self.link.rules.includes(topic)).cloned();
        let begun = self.lanes.iter().map(|lane| lane.source_topic.clone());
        let decided = decided.into_iter().flat_map(|state| state.topics().map(|(topic, _)| topic.to_owned()));
        named.chain(begun).chain(decided).collect()
    }

    /// Whether all topics that are asked for are known.
    pub(crate) fn check_known(&self, asked: &[String], decided: Option<&JournalState>) -> Result<(), Error> {
        let known = self.known(decided);
        let Some(unknown) = asked.iter().find(|topic| !known.contains(*topic)) else { return Ok(()) };
        let near = nearest(unknown, &known);
        let fix = match near.is_empty() {
            false => format!("did you mean {}?", near.join(", ")),
            true if known.is_empty() => "see topics.include: no topic of the source matches it".to_owned(),
            true => {
                let some: Vec<&str> = known.iter().map(String::as_str).take(NAMED).collect();
                format!("name a topic of the source that the link mirrors: {}", some.join(", "))
            }
        };
        let what = match self.sources.contains_key(unknown) {
            true => format!(
                "link {} does not mirror topic {unknown}: topics.include leaves it out",
                self.link.link
            ),
            false => format!("link {} has no topic {unknown:?}, as far as may be seen", self.link.link),
        };
        Err(Error::Refused { what, fix })
    }

    /// What is planned of a topic.
    pub(crate) fn plan(&self, topic: &str, decided: Option<&JournalState>) -> TopicPlan {
        if rests(&self.link, decided) {
            return TopicPlan::Rest;
        }
        let begun = self.lanes.iter().any(|lane| lane.source_topic == topic);
        let decided = decided.and_then(|state| Some(state.topic(topic)?.state));
        plan(decided, (self.link.settings)(topic).begin, begun)
    }

    /// How the lanes of a topic began.
    pub(crate) fn lanes_of(&self, topic: &str) -> impl Iterator<Item = &LaneStart> {
        self.lanes.iter().filter(move |lane| lane.source_topic == topic)
    }

    /// The partitions of a topic: those of the source, or where it is gone, of its lanes.
    pub(crate) fn partitions(&self, topic: &str) -> Vec<i32> {
        match self.sources.get(topic) {
            Some(source) => source.partitions.keys().copied().collect(),
            None => self.lanes_of(topic).map(|lane| lane.partition).collect(),
        }
    }

    /// The slots of a topic's lanes, and how far what is on record there goes now.
    pub(crate) async fn slots_of(&self, topics: &[String]) -> Result<BTreeMap<i32, i64>, Error> {
        let mut ends = BTreeMap::new();
        let Some(control) = &self.control else { return Ok(ends) };
        for topic in topics {
            for partition in self.partitions(topic) {
                let slot = slot_of(&TopicPartition::new(topic.as_str(), partition), self.slots);
                if let std::collections::btree_map::Entry::Vacant(end) = ends.entry(slot) {
                    end.insert(control.end(slot).await?);
                }
            }
        }
        Ok(ends)
    }
}

/// The names that are nearest to what was written, if some are near.
fn nearest<'a>(written: &str, names: &'a BTreeSet<String>) -> Vec<&'a str> {
    const SOME: usize = 3;
    let distance = |name: &'a String| (strsim::damerau_levenshtein(written, name), name.as_str());
    let near = |(distance, name): &(usize, &str)| *distance <= (name.len() / 3).max(1);
    let mut near: Vec<_> = names.iter().map(distance).filter(near).collect();
    near.sort_unstable();
    near.into_iter().take(SOME).map(|(_, name)| name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_names_come_first_and_far_ones_not_at_all() {
        let names = ["orders", "orders.eu", "payments", "order"].map(str::to_owned).into();
        assert_eq!(nearest("ordres", &names), ["orders"]);
        assert_eq!(nearest("order.eu", &names), ["orders.eu"]);
        assert!(nearest("unheard-of", &names).is_empty());
    }
}
