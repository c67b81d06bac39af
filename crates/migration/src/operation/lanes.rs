//! How the lanes of an operation stand: where their logs end, and what the target lacks.

use std::{
    cell::RefCell,
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use futures::{StreamExt, stream};
use kafka_wire::{Client, Isolation, OffsetSpec, Topic};
use mirror_types::{Offset, Side, TopicPartition};
use offset_marks::{LaneStart, Ledger, OffsetsMode, Translation, WritersMode};
use pipeline::LinkConfig;

use super::{LaneEnd, Plan, drive::Trouble};
use crate::{
    groups::{begun, offsets},
    sides::{BySide, Clusters, changed, topics},
};

/// Logs' ends that are asked for at the same time.
const AT_ONCE: usize = 32;
/// So many looks later all marks are read again.
const AGAIN: u32 = 20;
/// Lanes that are named in one line, at most.
const NAMED: usize = 5;

/// A lane.
#[derive(Debug, Clone)]
pub(crate) struct Standing {
    pub(crate) topic: String,
    pub(crate) partition: i32,
    /// Where the source ends: its high watermark.
    pub(crate) source: Offset,
    /// Behind its last offset that is of no open transaction.
    pub(crate) stable: Offset,
    /// The next source offset that the target lacks.
    pub(crate) position: Offset,
    /// Where the target ends.
    pub(crate) target: Offset,
    /// Where it has to end once nothing is missing; none where others write to it, too.
    pub(crate) counterpart: Option<Offset>,
}

/// The lanes of some topics, looked at again and again.
pub(crate) struct Lanes {
    topics: Vec<String>,
    /// How they began, and how often that was enough; kept where their marks need not be read again.
    known: RefCell<(Vec<LaneStart>, u32)>,
}

/// How lanes began, and the marks of those with translated offsets.
type Marks = (Vec<LaneStart>, BTreeMap<TopicPartition, Ledger>);

/// A partition that does not end where it has to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Moved {
    pub(crate) topic: String,
    pub(crate) partition: i32,
    pub(crate) from: Offset,
    pub(crate) to: Offset,
}

// === impl Standing ===

impl Standing {
    /// Source offsets that the target lacks.
    pub(crate) fn lag(&self) -> u64 {
        u64::try_from(self.source - self.position).unwrap_or(0)
    }

    /// Whether nothing is missing, and both logs end where they have to.
    pub(crate) fn is_even(&self) -> bool {
        self.position == self.source && self.counterpart.is_none_or(|end| end == self.target)
    }

    pub(crate) fn name(&self) -> String {
        format!("{}[{}]", self.topic, self.partition)
    }

    pub(crate) fn at(&self) -> TopicPartition {
        TopicPartition::new(self.topic.as_str(), self.partition)
    }

    pub(crate) fn end(&self) -> LaneEnd {
        LaneEnd {
            topic: self.topic.clone(),
            partition: self.partition,
            source: self.source,
            target: self.target,
        }
    }
}

// === impl Lanes ===

impl Lanes {
    pub(crate) fn of(plan: &Plan) -> Self {
        Self { topics: plan.sources(), known: RefCell::default() }
    }

    /// How they stand now: the target is looked at before the source, so that what it lacks is never told too small.
    pub(crate) async fn now(&self, link: &LinkConfig, clusters: &Clusters) -> Result<Vec<Standing>, Trouble> {
        let (starts, ledgers) = self.starts(link, clusters).await?;
        let there = BySide {
            source: topics(clusters, Side::Source).await.map_err(Trouble::of)?,
            target: topics(clusters, Side::Target).await.map_err(Trouble::of)?,
        };
        self.all_begun(&starts, &there.source)?;
        if let Some(changed) = starts.iter().find_map(|start| changed(start, &there)) {
            return Err(Trouble::refused(
                changed,
                "see what has become of it; `isomirror verify` compares both sides",
            ));
        }
        let sources: Vec<_> = starts.iter().map(|start| (&*start.source_topic, start.partition)).collect();
        let targets: Vec<_> = starts.iter().map(|start| (&*start.target_topic, start.partition)).collect();
        let (source, target) = (clusters.client(Side::Source), clusters.client(Side::Target));
        let target_ends = offsets(target, &targets, OffsetSpec::Latest).await;
        let source_ends = offsets(source, &sources, OffsetSpec::Latest).await;
        // Asked for last: whoever writes meanwhile, where no transaction is open it is no less than the end.
        let stable = source.list_offsets(&sources, OffsetSpec::Latest, Isolation::ReadCommitted).await;
        let mut lanes = Vec::new();
        for (((start, target), stable), source) in starts.iter().zip(target_ends).zip(stable).zip(source_ends)
        {
            let of = |side, error| Trouble::of(clusters.error(side, error));
            let target = target.map_err(|error| of(Side::Target, error))?;
            let source = source.map_err(|error| of(Side::Source, error))?;
            let stable = stable.map_err(|error| of(Side::Source, error))?.offset.min(source);
            let (position, counterpart) = match ledgers.get(&start.lane()) {
                None => (target, Some(source)),
                Some(ledger) => match ledger.to_target(source) {
                    Translation::NotYet { position, .. } => (position.source, Some(position.target)),
                    Translation::Exact(at) | Translation::Gap { next: at, .. } => (source, Some(at.target)),
                    Translation::BeforeStart { start } => (source, Some(start.target)),
                    Translation::Missing { from, .. } => (from.source, None),
                },
            };
            lanes.push(Standing {
                topic: start.source_topic.clone(),
                partition: start.partition,
                source,
                stable,
                position,
                target,
                counterpart: counterpart.filter(|_| start.writers == WritersMode::Exclusive),
            });
        }
        Ok(lanes)
    }

    async fn starts(&self, link: &LinkConfig, clusters: &Clusters) -> Result<Marks, Trouble> {
        let identical = |start: &LaneStart| start.offsets == OffsetsMode::Identical;
        {
            let (starts, looks) = &mut *self.known.borrow_mut();
            *looks += 1;
            // A partition may have been added meanwhile: now and then all is read again.
            if !starts.is_empty() && starts.iter().all(identical) && !looks.is_multiple_of(AGAIN) {
                return Ok((starts.clone(), BTreeMap::new()));
            }
        }
        // One of the topics may have been made a moment ago.
        let mut ledgers = begun(link, clusters, &[]).await.map_err(Trouble::of)?;
        ledgers.retain(|ledger| self.topics.contains(&ledger.start().source_topic));
        let starts: Vec<LaneStart> = ledgers.iter().map(|ledger| ledger.start().clone()).collect();
        self.known.borrow_mut().0.clone_from(&starts);
        let translated = ledgers.into_iter().filter(|ledger| !identical(ledger.start()));
        Ok((starts, translated.map(|ledger| (ledger.start().lane(), ledger)).collect()))
    }

    fn all_begun(&self, starts: &[LaneStart], sources: &HashMap<String, Arc<Topic>>) -> Result<(), Trouble> {
        for topic in &self.topics {
            let Some(source) = sources.get(topic) else {
                return Err(Trouble::refused(
                    format!("topic {topic} is not on the source any more, or may not be described"),
                    "see what has become of it",
                ));
            };
            let has_begun = |partition: &&i32| {
                starts.iter().any(|start| start.source_topic == *topic && start.partition == **partition)
            };
            if let Some(partition) = source.partitions.keys().find(|partition| !has_begun(partition)) {
                let what = format!("{topic}[{partition}] has not begun to be mirrored");
                let fix = "isomirror status CONFIG says why; the daemon looks for new partitions every topics.refresh";
                return Err(Trouble::refused(what, fix).passing());
            }
        }
        Ok(())
    }
}

/// Where the logs of all partitions of topics end on the source: behind everything that has been appended there, whether it
/// has all its replicas or not.
pub(crate) async fn log_ends(
    clusters: &Clusters,
    plan: &Plan,
) -> Result<BTreeMap<TopicPartition, Offset>, Trouble> {
    let client = clusters.client(Side::Source);
    let sources = topics(clusters, Side::Source).await.map_err(Trouble::of)?;
    let mut asked = Vec::new();
    for topic in plan.sources() {
        let source = sources.get(&topic).ok_or_else(|| {
            Trouble::refused(
                format!("topic {topic} is not on the source any more"),
                "see what has become of it",
            )
        })?;
        asked.extend(
            source.partitions.keys().map(|partition| TopicPartition::new(topic.as_str(), *partition)),
        );
    }
    let one = |at: TopicPartition| async move {
        let end = client.log_end(&at.topic, at.partition).await;
        end.map(|end| (at, end.offset)).map_err(|error| Trouble::of(clusters.error(Side::Source, error)))
    };
    let ends: Vec<_> = stream::iter(asked).map(one).buffered(AT_ONCE).collect().await;
    ends.into_iter().collect()
}

/// The partitions whose logs end elsewhere than they did.
pub(crate) fn moved(fixed: &[LaneEnd], now: &BTreeMap<TopicPartition, Offset>) -> Vec<Moved> {
    let before: BTreeMap<(&str, i32), Offset> =
        fixed.iter().map(|end| ((end.topic.as_str(), end.partition), end.source)).collect();
    let moved = now.iter().filter_map(|(at, to)| {
        // A partition that was added since was empty.
        let from = before.get(&(&*at.topic, at.partition)).copied().unwrap_or(0);
        (from != *to).then(|| Moved { topic: at.topic.to_string(), partition: at.partition, from, to: *to })
    });
    moved.collect()
}

/// Source offsets that the target lacks, of all lanes.
pub(crate) fn lag(lanes: &[Standing]) -> u64 {
    lanes.iter().map(Standing::lag).sum()
}

/// In words: which, from where to where, and, where the leader tells, whose producers have written last.
pub(crate) async fn explained(client: &Client, moved: &[Moved]) -> String {
    let mut said = Vec::new();
    for Moved { topic, partition, from, to } in moved.iter().take(NAMED) {
        let mut text = format!("{topic}[{partition}] ended at {from}, and ends at {to} now");
        let producers = client.describe_producers(topic, *partition).await.unwrap_or_default();
        if let Some(last) = producers.iter().max_by_key(|producer| producer.last_timestamp) {
            text.push_str(&format!(" (the last producer there has the id {})", last.id));
        }
        said.push(text);
    }
    if let Some(more) = moved.len().checked_sub(NAMED).filter(|more| *more > 0) {
        said.push(format!("and {more} partitions more"));
    }
    said.join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_partition_that_ends_elsewhere_has_moved_and_so_has_a_new_one_that_is_not_empty() {
        let end = |partition, source| LaneEnd { topic: "t".to_owned(), partition, source, target: source };
        let now = |ends: &[(i32, Offset)]| {
            ends.iter().map(|(partition, end)| (TopicPartition::new("t", *partition), *end)).collect()
        };
        let fixed = [end(0, 10), end(1, 0)];
        assert_eq!(moved(&fixed, &now(&[(0, 10), (1, 0), (2, 0)])), []);
        let found = moved(&fixed, &now(&[(0, 9), (1, 0), (2, 1)]));
        assert_eq!(
            found.iter().map(|m| (m.partition, m.from, m.to)).collect::<Vec<_>>(),
            [(0, 10, 9), (2, 0, 1)]
        );
    }

    #[test]
    fn a_lane_is_even_once_nothing_is_missing_and_both_logs_end_where_they_have_to() {
        let lane = |position, target, counterpart| Standing {
            topic: "t".to_owned(),
            partition: 0,
            source: 10,
            stable: 10,
            position,
            target,
            counterpart,
        };
        assert!(lane(10, 10, Some(10)).is_even());
        assert!(!lane(9, 9, Some(10)).is_even());
        assert!(!lane(10, 7, Some(6)).is_even(), "somebody else has written there");
        assert!(lane(10, 99, None).is_even(), "others may");
        assert_eq!((lane(4, 4, None).lag(), lane(12, 12, None).lag()), (6, 0));
    }
}
