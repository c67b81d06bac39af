//! The marks of the link that is to run: its lanes go on where both logs end, and nothing is copied again.
//!
//! What the link that ran has mirrored is equal on both sides, offset for offset. So for the other one, which reads what that one
//! has written, all of it is mirrored, too: its marks say so, and that others have written it to its target.

use std::collections::BTreeMap;

use control_topic::{Claim, ControlTopic, name_of};
use mirror_types::{Offset, Side, TopicPartition};
use offset_marks::{
    LaneStart, LedgerWriter, OffsetsMode,
    control::{ControlRecord, ControlState, Keep},
    now_ms, slot_of,
};
use pipeline::{LinkConfig, SLOTS};

use crate::{
    operation::{Facts, LaneEnd, drive::Trouble},
    sides::{Clusters, Error, cluster_id, ledgers, topics},
    words::counted,
};

/// Writes them. `clusters`: those of the link that ran, whose source is what the other one writes to.
pub(crate) async fn adopt(
    ran: &LinkConfig,
    clusters: &Clusters,
    back: &LinkConfig,
    ends: &[LaneEnd],
) -> Result<Facts, Trouble> {
    let of = |error| Trouble::of(Error::Marks(error));
    let ids = [
        cluster_id(clusters, Side::Source).await.map_err(Trouble::of)?,
        cluster_id(clusters, Side::Target).await.map_err(Trouble::of)?,
    ];
    let client = clusters.client(Side::Source);
    let topic = ControlTopic::ensure_replicated(client, &name_of(&back.link), SLOTS).await.map_err(of)?;
    let [source_id, target_id] = ids;
    let claim = Claim {
        version: back.version.to_owned(),
        source_cluster: target_id.clone(),
        target_cluster: source_id.clone(),
    };
    let slots = topic.claim(claim).await.map_err(of)?.slots;
    let topic_ids = [
        topics(clusters, Side::Source).await.map_err(Trouble::of)?,
        topics(clusters, Side::Target).await.map_err(Trouble::of)?,
    ];
    let mut lanes: BTreeMap<i32, Vec<(LaneStart, Offset)>> = BTreeMap::new();
    for ledger in ledgers(ran, clusters).await.map_err(Trouble::of)? {
        let start = ledger.start();
        let at = start.lane();
        let Some(end) = ends.iter().find(|end| (&*end.topic, end.partition) == (&*at.topic, at.partition))
        else {
            continue;
        };
        let id = |side: usize| topic_ids[side].get(&*at.topic).and_then(|topic| topic.id_text());
        let turned = LaneStart {
            incarnation: 0,
            since: now_ms(),
            source_topic: start.target_topic.clone(),
            target_topic: start.source_topic.clone(),
            source_cluster: target_id.clone(),
            target_cluster: source_id.clone(),
            source_topic_id: id(1),
            target_topic_id: id(0),
            source_end: Some(end.source),
            configs: None,
            adopted: None,
            ..start.clone()
        };
        lanes.entry(slot_of(&turned.lane(), slots)).or_default().push((turned, end.source));
    }
    let mut count = 0;
    for (slot, lanes) in lanes {
        let state = topic.read_committed(slot, Keep::Tails).await.map_err(of)?;
        let mut records = Vec::new();
        for (start, end) in lanes {
            records.extend(marks(&state, start, end)?);
            count += 1;
        }
        topic.write(slot, records).await.map_err(of)?;
    }
    Ok(Facts::says(format!("link {} goes on at the log ends of {}", back.link, counted(count, "lane"))))
}

/// What has to be written of a lane that is equal up to here.
fn marks(state: &ControlState, start: LaneStart, end: Offset) -> Result<Vec<ControlRecord>, Trouble> {
    let lane: TopicPartition = start.lane();
    let is_it = |known: &LaneStart| {
        known.offsets == OffsetsMode::Identical
            && known.target_topic == start.target_topic
            && known.source_topic_id == start.source_topic_id
            && known.target_topic_id == start.target_topic_id
    };
    let known = state.writer(&lane).filter(|writer| is_it(writer.start()) && state.foreign(&lane).is_none());
    let mut writer = known.unwrap_or_else(|| {
        LedgerWriter::begin(LaneStart { incarnation: state.next_incarnation(&lane), ..start })
    });
    let position = writer.position().source;
    writer.adopt(end).map_err(|_| {
        Trouble::refused(
            format!("{lane} ends at {end}, but by the marks of the link that is to run it had all up to {position}"),
            "see what has become of it: isomirror verify compares both sides",
        )
    })?;
    Ok(writer.unwritten().records)
}

#[cfg(test)]
mod tests {
    use offset_marks::{Point, WritersMode, control::decode};

    use super::*;

    fn start(topic_id: &str) -> LaneStart {
        LaneStart {
            incarnation: 0,
            since: 1,
            source_topic: "orders".to_owned(),
            target_topic: "orders".to_owned(),
            partition: 0,
            at: Point::new(5, 5),
            source_cluster: None,
            target_cluster: None,
            source_topic_id: Some(topic_id.to_owned()),
            target_topic_id: None,
            offsets: OffsetsMode::Identical,
            writers: WritersMode::Exclusive,
            source_end: None,
            configs: None,
            adopted: None,
        }
    }

    fn read(state: &mut ControlState, records: Vec<ControlRecord>) {
        for record in records {
            state.take(decode(Some(&record.key), record.value.as_deref()).unwrap());
        }
    }

    fn of(state: &ControlState) -> (u32, Offset, Option<Offset>) {
        let writer = state.writer(&TopicPartition::new("orders", 0)).unwrap();
        (writer.start().incarnation, writer.position().source, writer.start().adopted)
    }

    #[test]
    fn a_lane_goes_on_at_the_end_and_further_on_at_the_next_turn_and_begins_anew_for_another_topic() {
        let mut state = ControlState::new(Keep::Tails);
        for end in [100, 100, 250] {
            let records = marks(&state, start("a"), end).unwrap();
            read(&mut state, records);
            assert_eq!(of(&state), (1, end, Some(end)), "done twice it is the same");
        }
        assert!(marks(&state, start("a"), 249).unwrap_err().what.contains("had all up to 250"));
        let records = marks(&state, start("b"), 30).unwrap();
        read(&mut state, records);
        assert_eq!(of(&state), (2, 30, Some(30)));
    }
}
