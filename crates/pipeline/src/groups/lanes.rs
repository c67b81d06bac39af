//! The lanes that groups have offsets for, as this instance has them: mostly from memory; where an offset lies further
//! back than the marks that are there, or the marks in memory may yet come to nothing, from the control topic.

use std::collections::{BTreeMap, BTreeSet};

use group_offsets::{Lane, Map};
use mirror_types::{Offset, TopicPartition};
use offset_marks::{Ledger, OffsetsMode};
use tracing::debug;

use crate::{book::LaneState, control::Control};

/// What has to be found in a lane's marks.
pub(super) type Needs = BTreeMap<TopicPartition, Needed>;

#[derive(Debug, Default)]
pub(super) struct Needed {
    /// These offsets of the source,
    pub(super) source: BTreeSet<Offset>,
    /// and these of the partition of the same number of a topic of the target.
    pub(super) target: BTreeSet<(String, Offset)>,
}

/// Those of them that this instance has.
pub(super) async fn lanes(control: &Control, needs: &Needs) -> BTreeMap<TopicPartition, Lane> {
    let mut lanes = BTreeMap::new();
    for (at, needed) in needs {
        if let Some((lane, known)) = recent(control, at) {
            let all = !known || !knows(&lane, needed);
            lanes.insert(at.clone(), (lane, all));
        }
    }
    let further: BTreeSet<&TopicPartition> =
        lanes.iter().filter(|(_, (_, all))| *all).map(|(at, _)| at).collect();
    let recorded = match further.is_empty() {
        true => Ok(BTreeMap::new()),
        false => control.marks.ledgers(&further).await,
    };
    let complete = |(at, (mut lane, all)): (TopicPartition, (Lane, bool))| {
        if all {
            match &recorded {
                Ok(ledgers) => complete(&mut lane, ledgers.get(&at)),
                Err(error) => lane.trouble = Some(format!("its marks can't be read: {error}")),
            }
        }
        (at, lane)
    };
    lanes.into_iter().map(complete).collect()
}

/// A lane by what is in memory, and whether that can be relied on; none as long as it is being started.
fn recent(control: &Control, at: &TopicPartition) -> Option<(Lane, bool)> {
    let (target, target_end, trouble) = {
        let book = control.book();
        let lane = book.lanes.get(at)?;
        let trouble = match &lane.state {
            LaneState::Running | LaneState::Paused => None,
            LaneState::Starting => Some("it is being started".to_owned()),
            LaneState::Stopped { stop, .. } => Some(format!("it is stopped: {}", stop.reason)),
        };
        let end = lane.target_end.max(lane.progress.as_ref().and_then(|progress| progress.target_end()));
        (lane.target.clone(), end?, trouble)
    };
    let (start, ledger) = control.marks.recent(at)?;
    let (map, known) = match (start.offsets, ledger) {
        (OffsetsMode::Identical, _) => (Map::Identical, true),
        (OffsetsMode::Translated, Some(ledger)) => (Map::Marks(Box::new(ledger)), true),
        (OffsetsMode::Translated, None) => {
            (Map::Marks(Box::new(Ledger::new(start.clone(), []).ok()?)), false)
        }
    };
    let lane = Lane {
        topic: at.topic.to_string(),
        target_topic: target.topic.to_string(),
        partition: at.partition,
        start: start.at,
        map,
        source_low: None,
        target_low: None,
        target_end,
        of_others: BTreeMap::new(),
        trouble,
    };
    Some((lane, known))
}

/// Whether the marks in memory have all that is needed.
fn knows(lane: &Lane, needed: &Needed) -> bool {
    let target =
        |(topic, offset): &(String, Offset)| *topic != lane.target_topic || lane.knows_target(*offset);
    needed.source.iter().all(|offset| lane.knows_source(*offset)) && needed.target.iter().all(target)
}

/// Puts what is recorded before what is in memory.
fn complete(lane: &mut Lane, recorded: Option<&Ledger>) {
    let Some(recorded) = recorded else {
        debug!(lane = %lane.at(), "its marks are not recorded yet");
        return;
    };
    if let Map::Marks(recent) = &lane.map {
        match recorded.followed_by(recent) {
            Ok(whole) => lane.map = Map::Marks(Box::new(whole)),
            Err(error) => lane.trouble = Some(error.to_string()),
        }
    }
}
