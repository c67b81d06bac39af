//! Which lanes there are, and from where to where each is compared.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    iter::once,
    ops::Range,
    sync::Arc,
    time::Duration,
};

use cluster_admin::Cluster;
use kafka_wire::{Client, Isolation, OffsetSpec, Topic};
use mirror_types::{LaneOrigins, Offset, Side, TopicPartition};
use offset_marks::{LaneStart, Ledger, OffsetsMode, Translation, WritersMode};
use pipeline::LinkConfig;

use super::{
    Error, LaneReport, Notes, Request, Sample, Verdict,
    compare::{Mapping, Marks},
};
use crate::sides::{
    BySide, Clusters, NAMED, admin, changed, check_clusters, ledgers, origins_of, source_isolation, topics,
    unknown,
};

/// Source offsets of a piece of a sample.
const PIECE: Offset = 4096;

/// What is to be done.
pub(super) struct Plan {
    pub(super) lanes: Vec<LanePlan>,
    pub(super) notes: Vec<String>,
}

/// What is to be done with one lane.
pub(super) struct LanePlan {
    /// What is known of it so far.
    pub(super) report: LaneReport,
    /// Source offsets to compare.
    pub(super) pieces: Vec<Range<Offset>>,
    /// Whether that is all there is.
    pub(super) whole: bool,
    /// Whether it is enough to know that something differs.
    pub(super) to_first_difference: bool,
    pub(super) cleaned: BySide<bool>,
    pub(super) isolation: BySide<Isolation>,
    ends: BySide<Offset>,
    shared: bool,
    /// What the link writes on its records, and which it leaves behind.
    pub(super) origins: Option<LaneOrigins>,
    /// For translated offsets.
    ledger: Option<Ledger>,
}

impl LanePlan {
    /// How many source offsets are compared.
    pub(super) fn offsets(&self) -> u64 {
        self.pieces.iter().map(|piece| piece.start.abs_diff(piece.end)).sum()
    }

    pub(super) fn at(&self, side: Side) -> TopicPartition {
        let LaneReport { topic, target_topic, partition, .. } = &self.report;
        TopicPartition::new(if side == Side::Source { &**topic } else { &**target_topic }, *partition)
    }

    /// What to read of a side for a piece.
    pub(super) fn range(&self, side: Side, piece: &Range<Offset>) -> Range<Offset> {
        let to_target =
            |offset| self.ledger.as_ref().map_or(offset, |ledger| counterpart(ledger, Side::Source, offset));
        match side {
            Side::Source => piece.start..piece.end.min(self.ends.source),
            Side::Target => to_target(piece.start)..to_target(piece.end),
        }
    }

    pub(super) fn mapping(&self, piece: &Range<Offset>) -> Mapping {
        match &self.ledger {
            None => Mapping::Same,
            Some(ledger) => Mapping::Marks(Marks::new(ledger.runs_from(piece.start), piece.end, self.shared)),
        }
    }
}

/// Both sides' topics, by their names.
pub(super) type Topics = BySide<HashMap<String, Arc<Topic>>>;

/// Asks both clusters.
pub(super) async fn plan(request: &Request, clusters: &Clusters, noted: &dyn Notes) -> Result<Plan, Error> {
    let link = &request.link;
    let mut notes = Vec::new();
    let mut mirrored = ledgers(link, clusters).await?;
    check_clusters(link, clusters, &mirrored).await?;
    let topics = both_topics(clusters).await?;
    mirrored.retain(|ledger| link.rules.includes(&ledger.start().source_topic));
    unknown(link, &request.topics, &mirrored)?;
    mirrored.retain(|ledger| request.asks_for(&ledger.start().source_topic));
    let unbegun = unbegun(request, &mirrored, &topics.source);
    if !unbegun.is_empty() {
        let more = if unbegun.len() > NAMED { ", …" } else { "" };
        let named: Vec<_> = unbegun.iter().take(NAMED).map(ToString::to_string).collect();
        notes.push(format!("not begun yet, so not compared: {}{more}", named.join(", ")));
    }
    let admins = admins(link, request.timeout);
    let lanes = lanes(request, clusters, &admins, &topics, mirrored, noted, Some(&mut notes)).await;
    Ok(Plan { lanes, notes })
}

pub(super) async fn both_topics(clusters: &Clusters) -> Result<Topics, Error> {
    let source = topics(clusters, Side::Source).await?;
    Ok(BySide { source, target: topics(clusters, Side::Target).await? })
}

/// Who asks for topics' configs.
pub(super) type Admins = BySide<Result<Cluster, cluster_admin::Error>>;

pub(super) fn admins(link: &LinkConfig, timeout: Duration) -> Admins {
    BySide { source: admin(link, Side::Source, timeout), target: admin(link, Side::Target, timeout) }
}

/// What is to be done with these lanes. Where it is not known whether a topic is compacted, that is noted, and it is
/// compared as if it were not; without `notes` it is not compared.
pub(super) async fn lanes(
    request: &Request,
    clusters: &Clusters,
    admins: &Admins,
    topics: &Topics,
    ledgers: Vec<Ledger>,
    noted: &dyn Notes,
    notes: Option<&mut Vec<String>>,
) -> Vec<LanePlan> {
    let starts: Vec<LaneStart> = ledgers.iter().map(|ledger| ledger.start().clone()).collect();
    let cleaned = cleaned(admins, &starts).await;
    let only_known = notes.is_none();
    if let Some(notes) = notes {
        let all = cleaned.source.values().chain(cleaned.target.values());
        notes.extend(all.filter_map(|compacted| compacted.as_ref().err()).map(|unknown| {
            format!("{unknown}: it is compared as if it were not; DescribeConfigs on it would tell")
        }));
    }
    // The target's ends first: the source's can only be behind them.
    let bounds = bounds(request, clusters, &starts).await;
    let mut lanes = Vec::new();
    for (ledger, bounds) in ledgers.into_iter().zip(bounds) {
        let start = ledger.start().clone();
        let of = BySide {
            source: &cleaned.source[&start.source_topic],
            target: &cleaned.target[&start.target_topic],
        };
        let unknown = || {
            let unknown = [of.source, of.target].into_iter().find_map(|compacted| compacted.as_ref().err());
            let fix = |unknown: &String| format!("{unknown}\n  fix: grant DESCRIBE_CONFIGS on it there");
            unknown.filter(|_| only_known).map(fix)
        };
        let trouble = changed(&start, topics).or(bounds.as_ref().err().cloned()).or_else(unknown);
        let is = |compacted: &Result<bool, String>| *compacted == Ok(true);
        let cleaned = BySide { source: is(of.source), target: is(of.target) };
        let lane = lane(request, ledger, bounds.unwrap_or_default(), cleaned, noted);
        lanes.push(match trouble {
            Some(trouble) => LanePlan {
                report: LaneReport { trouble: Some(trouble), to: lane.report.from, ..lane.report },
                pieces: Vec::new(),
                ..lane
            },
            None => lane,
        });
    }
    lanes
}

/// Partitions on the source that would be mirrored, and are not yet.
fn unbegun(
    request: &Request,
    mirrored: &[Ledger],
    topics: &HashMap<String, Arc<Topic>>,
) -> Vec<TopicPartition> {
    let begun: BTreeSet<TopicPartition> = mirrored.iter().map(|ledger| ledger.start().lane()).collect();
    let asked = |topic: &str| request.asks_for(topic) && request.link.rules.includes(topic);
    let all = topics.values().filter(|topic| asked(&topic.name)).flat_map(|topic| {
        topic.partitions.keys().map(|partition| TopicPartition::new(topic.name.clone(), *partition))
    });
    let mut unbegun: Vec<_> = all.filter(|partition| !begun.contains(partition)).collect();
    unbegun.sort();
    unbegun
}

/// Which topics are compacted; or why that is not known.
type Cleaned = BySide<BTreeMap<String, Result<bool, String>>>;

async fn cleaned(admins: &Admins, starts: &[LaneStart]) -> Cleaned {
    let names = |name: fn(&LaneStart) -> &String| -> Vec<String> {
        Vec::from_iter(starts.iter().map(name).cloned().collect::<BTreeSet<_>>())
    };
    BySide {
        source: compacted(Side::Source, &admins.source, names(|start| &start.source_topic)).await,
        target: compacted(Side::Target, &admins.target, names(|start| &start.target_topic)).await,
    }
}

async fn compacted(
    side: Side,
    admin: &Result<Cluster, cluster_admin::Error>,
    topics: Vec<String>,
) -> BTreeMap<String, Result<bool, String>> {
    let asked = match admin {
        Ok(cluster) => cluster.topic_configs(&topics).await,
        Err(error) => Err(error.clone()),
    };
    let answer = |topic: String| {
        let compacted = match asked.as_ref().map(|answers| answers.get(&topic)) {
            Ok(Some(Ok(configs))) => Ok(configs.is_compacted()),
            Ok(Some(Err(error))) | Err(error) => Err(error.to_string()),
            Ok(None) => Err("no answer".to_owned()),
        };
        let unknown = |error| format!("whether {topic} is compacted on the {side} is not known ({error})");
        (topic.clone(), compacted.map_err(unknown))
    };
    topics.into_iter().map(answer).collect()
}

/// Where both logs begin and end.
#[derive(Debug, Clone, Copy, Default)]
struct Bounds {
    low: BySide<Offset>,
    end: BySide<Offset>,
    /// The first offset of the time that was asked for; none where there is no such record.
    since: Option<Offset>,
}

async fn bounds(request: &Request, clusters: &Clusters, starts: &[LaneStart]) -> Vec<Result<Bounds, String>> {
    let sources: Vec<_> = starts.iter().map(|start| (&*start.source_topic, start.partition)).collect();
    let targets: Vec<_> = starts.iter().map(|start| (&*start.target_topic, start.partition)).collect();
    let isolation = source_isolation(&request.link);
    let list = async |client: &Client, partitions: &[(&str, i32)], spec, isolation| {
        let listed = client.list_offsets(partitions, spec, isolation).await;
        listed
            .into_iter()
            .map(|listed| listed.map(|listed| listed.offset).map_err(|error| error.to_string()))
            .collect::<Vec<_>>()
    };
    let all = Isolation::ReadUncommitted;
    let target_end = list(clusters.client(Side::Target), &targets, OffsetSpec::Latest, all).await;
    let target_low = list(clusters.client(Side::Target), &targets, OffsetSpec::Earliest, all).await;
    let source_end = list(clusters.client(Side::Source), &sources, OffsetSpec::Latest, isolation).await;
    let source_low = list(clusters.client(Side::Source), &sources, OffsetSpec::Earliest, all).await;
    let since = match request.since {
        Some(time) => {
            list(clusters.client(Side::Source), &sources, OffsetSpec::Timestamp(time), isolation).await
        }
        None => source_low.clone(),
    };
    let targets = target_low.into_iter().zip(target_end);
    let sources = source_low.into_iter().zip(source_end);
    let all = sources.zip(targets).zip(since);
    all.map(|(((source_low, source_end), (target_low, target_end)), since)| {
        Ok(Bounds {
            low: BySide { source: source_low?, target: target_low? },
            end: BySide { source: source_end?, target: target_end? },
            since: Some(since?).filter(|since| *since >= 0),
        })
    })
    .collect()
}

fn lane(
    request: &Request,
    ledger: Ledger,
    bounds: Bounds,
    cleaned: BySide<bool>,
    noted: &dyn Notes,
) -> LanePlan {
    let start = ledger.start().clone();
    let Bounds { low, end, since } = bounds;
    let shared = start.writers == WritersMode::Shared;
    let origins = origins_of(&request.link, &start);
    let ledger = (start.offsets == OffsetsMode::Translated).then_some(ledger);
    // What is on the target that is the link's: up to its end, or as far as the marks go. Where that is behind the
    // source's end, it is compared with nothing.
    let to = ledger.as_ref().map_or(end.target, |ledger| ledger.position().source);
    let until = request.until.as_ref().and_then(|until| until.get(&start.lane()));
    let to = until.map_or(to, |until| to.min(*until));
    let target_low =
        ledger.as_ref().map_or(low.target, |ledger| counterpart(ledger, Side::Target, low.target));
    let known = noted.noted(&start.lane(), start.incarnation);
    let from =
        start.at.source.max(low.source).max(target_low).max(since.unwrap_or(to)).min(to.max(start.at.source));
    let on = known.as_ref().map_or(from, |known| known.to.max(from));
    let pieces = match (request.sample, request.tail) {
        (Some(sample), _) => sampled(on..to, sample, &start.lane()),
        (None, Some(tail)) => Vec::from_iter(once(on.max(to.saturating_sub_unsigned(tail))..to)),
        (None, None) => Vec::from_iter(once(on..to)),
    };
    let report = LaneReport {
        topic: start.source_topic.clone(),
        target_topic: start.target_topic.clone(),
        partition: start.partition,
        incarnation: start.incarnation,
        offsets: start.offsets,
        start: start.at,
        from: known.as_ref().map_or(from, |known| known.from),
        to: on,
        behind: (end.source - to).max(0) as u64,
        found: known.map(|known| known.found).unwrap_or_default(),
        trouble: None,
        verdict: Verdict::Incomplete,
    };
    LanePlan {
        report,
        pieces: pieces.into_iter().filter(|piece| !piece.is_empty()).collect(),
        whole: request.sample.is_none() && request.tail.is_none(),
        to_first_difference: false,
        cleaned,
        isolation: BySide {
            source: source_isolation(&request.link),
            target: if shared { Isolation::ReadCommitted } else { Isolation::ReadUncommitted },
        },
        ends: end,
        shared,
        origins,
        ledger,
    }
}

/// Pieces of a range, the last of them at its end, the others spread over it.
fn sampled(range: Range<Offset>, sample: Sample, lane: &TopicPartition) -> Vec<Range<Offset>> {
    let all = (range.end - range.start).max(0);
    let wanted = (all as f64 * sample.part / PIECE as f64).ceil() as i64;
    if wanted * PIECE >= all {
        return vec![range];
    }
    // Each lane's begin elsewhere.
    let lane = format!("{}/{}/{}", lane.topic, lane.partition, sample.seed);
    let step = all / wanted.max(1);
    let shift = (xxhash_rust::xxh3::xxh3_64(lane.as_bytes()) % (step - PIECE + 1).max(1) as u64) as i64;
    let spread = (0..wanted - 1).map(|n| range.start + n * step + shift).map(|from| from..from + PIECE);
    spread.chain(once(range.end - PIECE..range.end)).collect()
}

/// The offset of the other side that belongs to an offset of one side; if there is none, to what is next to it.
fn counterpart(ledger: &Ledger, side: Side, offset: Offset) -> Offset {
    let point = match ledger.translate(side, offset) {
        Translation::Exact(at) => at,
        Translation::Gap { next, .. } => next,
        Translation::BeforeStart { start } => start,
        Translation::NotYet { position, .. } => position,
        Translation::Missing { to, .. } => to,
    };
    match side {
        Side::Source => point.target,
        Side::Target => point.source,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn samples_lie_in_order_in_the_range_and_are_as_large_as_was_asked_for(
            from in 0..1_000_000_i64, length in 0..10_000_000_i64, part in 0.0001..1.0_f64, seed in any::<u64>(),
        ) {
            let range = from..from + length;
            let pieces = sampled(range.clone(), Sample { part, seed }, &TopicPartition::new("t", 0));
            let mut end = range.start;
            for piece in &pieces {
                prop_assert!(piece.start >= end && piece.end <= range.end, "{pieces:?}");
                end = piece.end;
            }
            prop_assert_eq!(end, range.end, "what came last is always in it");
            let all: i64 = pieces.iter().map(|piece| piece.end - piece.start).sum();
            prop_assert!(all as f64 >= length as f64 * part);
            prop_assert!(all as f64 <= length as f64 * part + PIECE as f64 || all == length);
        }
    }
}
