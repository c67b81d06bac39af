//! Where lanes begin on both sides: what their marks, the target's log end and the source say, and what has to be on
//! record before.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use cluster_admin::Isolation;
use futures::{StreamExt, stream};
use kafka_wire::{Cause, Client, Sent};
use mirror_types::{GapCause, SourceChange, Stop, StopKind, TopicPartition};
use offset_marks::{LaneBook, LaneStart, Point, control::EventKind, now_ms};
use pinned_producer::{Offsets, Standing};
use source_consumer::LossPolicy;
use tokio::time::timeout;
use tracing::{debug, warn};

use super::{Topics, Trouble, Wanted, start::Where};
use crate::{
    book::{LaneEntry, LaneState},
    marks::{Beginning, ClusterIds},
    resume::{Begin, Known, Loss, Now, Place, Refused, begin, modes, same_story},
};

/// How long the target may take to say where a partition stands, before the others begin without it.
const ANSWER: Duration = Duration::from_secs(10);

/// How long a broker may take to hear of a topic that was made again.
const A_MOMENT: Duration = Duration::from_secs(1);

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
        causes: &HashMap<Arc<str>, GapCause>,
        plain: &HashSet<Arc<str>>,
    ) -> Result<(HashMap<TopicPartition, Ready>, Option<Trouble>), Trouble> {
        let control = &self.control;
        let at: Vec<TopicPartition> = starts.keys().cloned().collect();
        let lanes: Vec<_> = wanted.iter().filter_map(|lane| Some((lane, starts.remove(&lane.at)?))).collect();
        let standings: Vec<_> = stream::iter(self.standings(&lanes)).buffered(LOOKS).collect().await;
        // Asked for after the target: whoever else writes it can't get ahead of this.
        let ends = control.source.end_offsets(&at, Isolation::Uncommitted).await?;
        // And these after the source's ends, which may be another topic's; where that begins, only then.
        let ids = &self.ids(wanted).await?;
        let firsts = control.source.start_offsets(&at).await?;
        let (mut ready, mut new) = (HashMap::new(), HashMap::new());
        let (mut trouble, mut beginning, mut declarations) = (None, Vec::new(), Vec::new());
        let mut losses = Vec::new();
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
            let (made_again, change, seen_end) = control
                .book()
                .lanes
                .get(&lane.at)
                .map_or_else(Default::default, |entry| (told(entry), entry.change, entry.seen_end));
            let cause = causes[&lane.at.topic];
            let (place, book) = match place {
                Where::Fresh(start) => (Place::Fresh(start), None),
                Where::Recorded(book) => {
                    let now = Now {
                        at: &lane.at,
                        target: &lane.target,
                        settings: &lane.settings,
                        source_topic_id: ids.source.get(&*lane.at.topic).map(String::as_str),
                        target_topic_id: ids.target.get(&*lane.target.topic).map(String::as_str),
                        source: (*first, *end),
                        seen_end,
                        foreign: lane.slot.foreign(&lane.at),
                    };
                    let same = {
                        let ledger = book.ledger();
                        same_story(ledger.start(), ledger.position().source, &now, made_again)
                    };
                    if let Err(refused) = same {
                        if let Some(loss) = self.lost_or_refused(lane, refused).await {
                            losses.push((lane, loss, standing));
                        }
                        continue;
                    }
                    let (offsets, shared) = (lane.settings.offsets, lane.settings.shared);
                    let place = Place::now(&mut book.ledger(), &standing, offsets, shared, cause);
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
                plain: plain.contains(&lane.at.topic),
                truncated: match change {
                    Some(SourceChange::Truncated(end)) => Some(end),
                    _ => None,
                },
            };
            let begin = match begin(&known) {
                Ok(begin) => begin,
                Err(refused) => {
                    if let Some(loss) = self.lost_or_refused(lane, refused).await {
                        losses.push((lane, loss, standing));
                    }
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
                        declarations.push((lane, records, unwritten.revision));
                    }
                    ready.insert(lane.at.clone(), Ready { begin, standing, book });
                }
                None => {
                    let start = LaneStart {
                        source_end: Some(*end),
                        configs,
                        ..self.lane_start(lane, &begin, &standing, ids)
                    };
                    beginning.push(Beginning {
                        slot: lane.slot.clone(),
                        start,
                        gap_cause: cause,
                        shared: lane.settings.shared,
                    });
                    new.insert(lane.at.clone(), (begin, standing));
                }
            }
        }
        for (lane, records, revision) in declarations {
            match lane.slot.write(records).await {
                Ok(()) => ready[&lane.at].book.ledger().written(revision),
                Err(error) => {
                    ready.remove(&lane.at);
                    trouble = Some(Trouble::from(error));
                }
            }
        }
        let mut lost = HashMap::new();
        if !losses.is_empty() && self.ids_differ(wanted, ids).await? {
            // A broker had not heard of a topic that was made again: what looked truncated may be that.
            control.look.notify_one();
            losses.clear();
        }
        for (lane, loss, standing) in losses {
            let begin = Begin::anew(loss.at);
            let start = self.lane_start(lane, &begin, &standing, ids);
            beginning.push(Beginning {
                slot: lane.slot.clone(),
                start,
                gap_cause: causes[&lane.at.topic],
                shared: lane.settings.shared,
            });
            new.insert(lane.at.clone(), (begin, standing));
            lost.insert(lane.at.clone(), loss);
        }
        let (books, failed) = control.marks.begin(beginning).await;
        for (at, book) in books {
            if let Some(loss) = lost.remove(&at) {
                self.note_loss(&at, loss).await;
            }
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
        let standing = |(lane, place): &(&Wanted, Where)| {
            let begun = matches!(place, Where::Recorded(_));
            let asked = standing(wire.clone(), lane.target.clone(), lane.settings.shared, begun);
            let at = lane.target.clone();
            async move { timeout(ANSWER, asked).await.unwrap_or_else(|_| Err(no_answer(&at))) }
        };
        lanes.iter().map(standing).collect()
    }

    /// What a lane loses that goes on, as the policy says; else it is refused.
    async fn lost_or_refused(&self, lane: &Wanted, refused: Refused) -> Option<Loss> {
        let control = &self.control;
        let Refused { stop, loss } = refused;
        if control.config.loss == LossPolicy::Skip && loss.is_some() {
            return loss;
        }
        self.refuse(&lane.at.topic, &lane.target.topic, [lane.at.partition], stop.clone());
        if stop.kind == StopKind::Diverged {
            let (kind, from, to) =
                loss.map_or((EventKind::Diverged, -1, -1), |loss| (loss.kind, loss.from, loss.to));
            control.marks.note(&lane.at, kind, from..to, stop.reason).await;
        }
        None
    }

    /// Whether the source's topics have other ids a moment later.
    async fn ids_differ(&self, wanted: &[Wanted], ids: &Ids) -> Result<bool, Trouble> {
        tokio::time::sleep(A_MOMENT).await;
        Ok(self.ids(wanted).await?.source != ids.source)
    }

    /// A lane has begun anew behind a loss.
    async fn note_loss(&self, at: &TopicPartition, loss: Loss) {
        let control = &self.control;
        let Loss { kind, from, to, lost, at: goes_on, words } = loss;
        warn!(lane = %at, from, to, lost, goes_on, "source records are lost ({}); skipped: {words}", kind.as_str());
        if lost > 0 {
            control.stage_metrics.source.gap(at, GapCause::Recreated, lost);
        }
        control.book().lost += 1;
        control.marks.note(at, kind, from..to, words).await;
    }

    fn lane_start(&self, lane: &Wanted, begin: &Begin, standing: &Standing, ids: &Ids) -> LaneStart {
        let Wanted { at, slot, target, settings, .. } = lane;
        let (offsets, writers) = modes(settings);
        let to = match settings.offsets {
            Offsets::Identical => begin.position,
            Offsets::Translated => standing.end,
        };
        LaneStart {
            incarnation: slot.next_incarnation(at),
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
            adopted: None,
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
async fn standing(
    wire: Client,
    at: TopicPartition,
    shared: bool,
    begun: bool,
) -> Result<Standing, kafka_wire::Error> {
    if !shared {
        return Standing::of(&wire, &at, begun).await;
    }
    // The leader's own: up to where all in-sync replicas have it may be behind for a moment after an election.
    let end = wire.log_end(&at.topic, at.partition).await?.offset;
    Ok(Standing { start: 0, end, last: None })
}
