//! Where lanes begin on both sides: what their marks, the target's log end and the source say, and what has to be on
//! record before.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::Duration,
};

use cluster_admin::Isolation;
use futures::{StreamExt, stream};
use kafka_wire::{Cause, Client, OffsetSpec, Sent};
use mirror_types::{GapCause, Stop, StopKind, TopicPartition};
use offset_marks::{LaneBook, LaneStart, OffsetsMode, Point, WritersMode};
use pinned_producer::{Offsets, Standing};
use tokio::time::timeout;
use tracing::debug;

use super::{Topics, Trouble, Wanted, start::Where};
use crate::{
    book::{LaneEntry, LaneState, now_ms},
    marks::ClusterIds,
    resume::{Begin, Known, Place, begin},
};

/// How long the target may take to say where a partition stands, before the others begin without it.
const ANSWER: Duration = Duration::from_secs(10);

/// Target partitions that are asked at the same time where they stand.
pub(super) const LOOKS: usize = 256;

/// What lanes are told apart by beside their names.
pub(super) struct Ids {
    clusters: ClusterIds,
    source: BTreeMap<String, String>,
    target: BTreeMap<String, String>,
}

/// A lane that is about to begin.
pub(super) struct Ready {
    pub(super) begin: Begin,
    pub(super) standing: Standing,
    pub(super) book: LaneBook,
}

impl Topics {
    /// Where each lane begins on both sides, with what is to be on record of it before; those that can't begin say why,
    /// in the book.
    pub(super) async fn begins(
        &self,
        wanted: &[Wanted],
        mut starts: HashMap<TopicPartition, Where>,
        ids: &Ids,
        causes: &HashMap<Arc<str>, GapCause>,
    ) -> Result<(HashMap<TopicPartition, Ready>, Option<Trouble>), Trouble> {
        let control = &self.control;
        let at: Vec<TopicPartition> = starts.keys().cloned().collect();
        let firsts = control.source.start_offsets(&at).await?;
        let lanes: Vec<_> = wanted.iter().filter_map(|lane| Some((lane, starts.remove(&lane.at)?))).collect();
        let standings: Vec<_> = stream::iter(self.standings(&lanes)).buffered(LOOKS).collect().await;
        // Asked for after the target: whoever else writes it can't get ahead of this.
        let ends = control.source.end_offsets(&at, Isolation::Uncommitted).await?;
        let (mut ready, mut new) = (HashMap::new(), HashMap::new());
        let (mut trouble, mut beginning, mut declarations) = (None, Vec::new(), Vec::new());
        for ((lane, place), standing) in lanes.into_iter().zip(standings) {
            let (Some(Ok(first)), Some(Ok(end))) = (firsts.get(&lane.at), ends.get(&lane.at)) else {
                continue;
            };
            let standing = match standing {
                Ok(standing) => standing,
                Err(error) => {
                    trouble = self.not_standing(lane, error).or(trouble);
                    continue;
                }
            };
            let told = |lane: &LaneEntry| matches!(&lane.state, LaneState::Stopped { stop, .. } if stop.kind == StopKind::Precondition);
            let made_again = control.book().lanes.get(&lane.at).is_some_and(told);
            let cause = causes[&lane.at.topic];
            let (place, book) = match place {
                Where::Fresh(start) => (Place::Fresh(start), None),
                Where::Recorded(book) => {
                    if let Some(stop) = self.another_story(lane, book.ledger().start(), ids, made_again) {
                        self.refuse(&lane.at.topic, &lane.target.topic, [lane.at.partition], stop);
                        continue;
                    }
                    let place = match lane.settings.offsets == Offsets::Translated && !lane.settings.shared {
                        true => Place::settled(&mut book.ledger(), &standing, cause),
                        false => Place::of(&book.ledger()),
                    };
                    (place, Some(book))
                }
            };
            let known = Known {
                at: &lane.at,
                target: &lane.target,
                offsets: lane.settings.offsets,
                shared: lane.settings.shared,
                standing: &standing,
                place: &place,
                made_again,
                source: (*first, *end),
            };
            let begin = match begin(&known) {
                Ok(begin) => begin,
                Err(stop) => {
                    self.refuse(&lane.at.topic, &lane.target.topic, [lane.at.partition], stop);
                    continue;
                }
            };
            // What is to be given back to the target topic is so, too, when the lane begins anew.
            let configs = book.as_ref().and_then(|book| book.ledger().start().configs.clone());
            match book.filter(|_| !begin.anew) {
                Some(book) => {
                    // What was found by what was declared is on record before more is; nothing may come to be acknowledged.
                    let unwritten = book.ledger().unwritten();
                    let mut records = unwritten.records;
                    if let Place::Recorded { declaration: Some(declaration), .. } = place {
                        records.push(declaration);
                    }
                    if !records.is_empty() && !lane.settings.shared {
                        declarations.push((lane.at.clone(), records, unwritten.revision));
                    }
                    ready.insert(lane.at.clone(), Ready { begin, standing, book });
                }
                None => {
                    let start = LaneStart {
                        source_end: Some(*end),
                        configs,
                        ..self.lane_start(lane, &begin, &standing, ids)
                    };
                    beginning.push((start, cause, lane.settings.shared));
                    new.insert(lane.at.clone(), (begin, standing));
                }
            }
        }
        for (at, records, revision) in declarations {
            match control.marks.write(&at, records).await {
                Ok(()) => ready[&at].book.ledger().written(revision),
                Err(error) => {
                    ready.remove(&at);
                    trouble = Some(Trouble::from(error));
                }
            }
        }
        let (books, failed) = control.marks.begin(beginning).await;
        for (at, book) in books {
            let Some((begin, standing)) = new.remove(&at) else { continue };
            ready.insert(at, Ready { begin, standing, book });
        }
        Ok((ready, failed.map(Trouble::from).or(trouble)))
    }

    fn standings(
        &self,
        lanes: &[(&Wanted, Where)],
    ) -> Vec<impl Future<Output = Result<Standing, kafka_wire::Error>> + Send + use<>> {
        // One whose broker does not answer must not keep the others waiting.
        let wire = self.control.wire.with_patience(ANSWER);
        let standing = |(lane, _): &(&Wanted, Where)| {
            let asked = standing(wire.clone(), lane.target.clone(), lane.settings.shared);
            let at = lane.target.clone();
            async move { timeout(ANSWER, asked).await.unwrap_or_else(|_| Err(no_answer(&at))) }
        };
        lanes.iter().map(standing).collect()
    }

    /// Why the marks of a lane are not about what is there now.
    fn another_story(&self, lane: &Wanted, start: &LaneStart, ids: &Ids, made_again: bool) -> Option<Stop> {
        let Wanted { at, target, .. } = lane;
        let forget = format!(
            "find out what happened. To mirror {at} from its start again: stop isomirror, delete topic {} on the target, \
             forget its marks (isomirror marks CONFIG forget --topic {}), and start it again",
            target.topic, at.topic
        );
        let differ = |then: &Option<String>, now: Option<&String>| {
            then.is_some() && now.is_some() && then.as_ref() != now
        };
        if differ(&start.source_topic_id, ids.source.get(&*at.topic)) {
            let reason = format!(
                "{at}: the source topic was recreated (deleted and made again): this link has mirrored topic id {}, now it is {}",
                start.source_topic_id.as_deref().unwrap_or_default(),
                ids.source[&*at.topic]
            );
            return Some(Stop::new(StopKind::Diverged, reason, forget));
        }
        if start.target_topic != *target.topic {
            let reason = format!(
                "{at}: this link has mirrored it to {}, and is now told to mirror it to {}",
                start.target_topic, target.topic
            );
            let fix = format!(
                "take the rename back; or, to mirror it to {} from its start: stop isomirror, forget its marks \
                 (isomirror marks CONFIG forget --topic {}), and start it again",
                target.topic, at.topic
            );
            return Some(Stop::new(StopKind::Precondition, reason, fix));
        }
        let (offsets, writers) = modes(lane);
        if (start.offsets, start.writers) != (offsets, writers) {
            let reason = format!(
                "{at}: it was begun with {} offsets and {} writers, and is now to have {} offsets and {} writers",
                start.offsets, start.writers, offsets, writers
            );
            let fix = format!(
                "take the change back; or, to begin anew behind what the target holds: stop isomirror, forget its \
                 marks (isomirror marks CONFIG forget --topic {}), and start it again",
                at.topic
            );
            return Some(Stop::new(StopKind::Precondition, reason, fix));
        }
        if !made_again
            && differ(&start.target_topic_id, ids.target.get(&*target.topic))
            && lane.settings.offsets == Offsets::Translated
        {
            let reason = format!("{at}: target topic {} was deleted and made again", target.topic);
            return Some(Stop::new(StopKind::Diverged, reason, forget));
        }
        None
    }

    fn lane_start(&self, lane: &Wanted, begin: &Begin, standing: &Standing, ids: &Ids) -> LaneStart {
        let Wanted { at, target, settings, .. } = lane;
        let (offsets, writers) = modes(lane);
        let to = match settings.offsets {
            Offsets::Identical => begin.position,
            Offsets::Translated => standing.end,
        };
        LaneStart {
            incarnation: self.control.marks.next_incarnation(at),
            since: now_ms(),
            source_topic: at.topic.to_string(),
            target_topic: target.topic.to_string(),
            partition: at.partition,
            at: Point::new(begin.position, to),
            source_cluster: ids.clusters.source.clone(),
            target_cluster: ids.clusters.target.clone(),
            source_topic_id: ids.source.get(&*at.topic).cloned(),
            target_topic_id: ids.target.get(&*target.topic).cloned(),
            offsets,
            writers,
            source_end: None,
            configs: None,
        }
    }

    pub(super) async fn ids(&self, wanted: &[Wanted]) -> Result<Ids, Trouble> {
        let control = &self.control;
        let names = |of: fn(&Wanted) -> &TopicPartition| {
            let mut names: Vec<String> = wanted.iter().map(|lane| of(lane).topic.to_string()).collect();
            names.sort_unstable();
            names.dedup();
            names
        };
        let (sources, targets) = (names(|lane| &lane.at), names(|lane| &lane.target));
        let (source, target) =
            tokio::try_join!(control.source.topic_ids(&sources), control.target.topic_ids(&targets))?;
        let clusters = control.book().cluster_ids();
        Ok(Ids { clusters, source, target })
    }

    /// The target does not say where its partition stands: what passes is tried again at the next look.
    fn not_standing(&self, lane: &Wanted, error: kafka_wire::Error) -> Option<Trouble> {
        if error.is_retriable() || error.is_unreachable() {
            debug!(lane = %lane.at, %error, "the target does not say where it stands");
            return Some(error.into());
        }
        let (at, topic) = (&lane.at, &lane.target.topic);
        let fix = format!(
            "grant READ and DESCRIBE on topic {topic} on the target; the lane is tried again by itself"
        );
        let stop = Stop::new(StopKind::Precondition, format!("{at}: {error}"), fix);
        self.refuse(&at.topic, topic, [at.partition], stop);
        None
    }
}

fn no_answer(at: &TopicPartition) -> kafka_wire::Error {
    let cause = Cause::Unreachable(format!("no answer within {ANSWER:?}").into());
    kafka_wire::Error {
        broker: "".into(),
        doing: format!("look where {at} ends").into(),
        sent: Sent::NotSent,
        cause,
    }
}

/// Where a target partition stands. One that others write too is never still, and need not be.
async fn standing(wire: Client, at: TopicPartition, shared: bool) -> Result<Standing, kafka_wire::Error> {
    if !shared {
        return Standing::of(&wire, &at).await;
    }
    let asked = [(&*at.topic, at.partition)];
    let isolation = kafka_wire::Isolation::ReadUncommitted;
    let end = wire.list_offsets(&asked, OffsetSpec::Latest, isolation).await.remove(0)?.offset;
    Ok(Standing { start: 0, end, last: None })
}

fn modes(lane: &Wanted) -> (OffsetsMode, WritersMode) {
    let offsets = match lane.settings.offsets {
        Offsets::Identical => OffsetsMode::Identical,
        Offsets::Translated => OffsetsMode::Translated,
    };
    (offsets, if lane.settings.shared { WritersMode::Shared } else { WritersMode::Exclusive })
}
