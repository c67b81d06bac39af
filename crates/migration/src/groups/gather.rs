//! The lanes that groups have offsets for: their marks, and where the logs begin and end.

use std::collections::BTreeMap;

use group_offsets::{Lane, Map};
use kafka_wire::{Client, Isolation, OffsetSpec};
use mirror_types::{Offset, Side, TopicPartition};
use offset_marks::{Ledger, OffsetsMode};
use origin_search::{OriginSearch, Stands};
use pipeline::LinkConfig;

use crate::sides::{BySide, Clusters, Error, changed, check_clusters, ledgers, origins_of, topics, unknown};

/// Of the link's lanes those that are wanted.
pub(super) async fn lanes(
    link: &LinkConfig,
    clusters: &Clusters,
    asked: &[String],
    wanted: &BTreeMap<TopicPartition, Vec<Offset>>,
) -> Result<BTreeMap<TopicPartition, Lane>, Error> {
    let mut begun = begun(link, clusters, asked).await?;
    begun.retain(|ledger| wanted.contains_key(&ledger.start().lane()));
    let shared: Vec<_> =
        begun.iter().map(Ledger::start).filter_map(|start| origins_of(link, start)).collect();
    let mut lanes = with_ends(clusters, begun).await?;
    for origins in shared {
        let at = origins.lies_in(Side::Source).clone();
        let Some(lane) = lanes.get_mut(&at) else { continue };
        let (source, target) = (clusters.client(Side::Source), clusters.client(Side::Target));
        let search = OriginSearch::new(origins, source, target, link.wire_isolation());
        for source in &wanted[&at] {
            let Some(target) = lane.by_marks_alone(*source) else { continue };
            let stands = Stands { source: *source, target };
            match search.goes_on(stands, lane.start.target, None).await {
                Ok(found) => lane.of_others.extend(found.goes_on.map(|target| (*source, target))),
                Err(error) => lane.trouble = Some(error.to_string()),
            }
        }
    }
    Ok(lanes)
}

/// The ledgers of all lanes of the topics that are asked for.
pub(crate) async fn begun(
    link: &LinkConfig,
    clusters: &Clusters,
    asked: &[String],
) -> Result<Vec<Ledger>, Error> {
    let mut begun = ledgers(link, clusters).await?;
    check_clusters(link, clusters, &begun).await?;
    begun.retain(|ledger| link.rules.includes(&ledger.start().source_topic));
    unknown(link, asked, &begun)?;
    begun.retain(|ledger| asked.is_empty() || asked.contains(&ledger.start().source_topic));
    Ok(begun)
}

/// The lanes of these ledgers.
pub(super) async fn with_ends(
    clusters: &Clusters,
    ledgers: Vec<Ledger>,
) -> Result<BTreeMap<TopicPartition, Lane>, Error> {
    let there = BySide {
        source: topics(clusters, Side::Source).await?,
        target: topics(clusters, Side::Target).await?,
    };
    let starts = || ledgers.iter().map(Ledger::start);
    let sources: Vec<_> = starts().map(|start| (&*start.source_topic, start.partition)).collect();
    let targets: Vec<_> = starts().map(|start| (&*start.target_topic, start.partition)).collect();
    let (source, target) = (clusters.client(Side::Source), clusters.client(Side::Target));
    let source_low = offsets(source, &sources, OffsetSpec::Earliest).await;
    let target_low = offsets(target, &targets, OffsetSpec::Earliest).await;
    let target_end = offsets(target, &targets, OffsetSpec::Latest).await;
    let mut lanes = BTreeMap::new();
    let ends = source_low.into_iter().zip(target_low).zip(target_end);
    for (ledger, ((source_low, target_low), target_end)) in ledgers.into_iter().zip(ends) {
        let start = ledger.start().clone();
        let trouble = changed(&start, &there).map(|trouble| {
            format!(
                "{trouble}\n  fix: see what has become of it, then forget its marks (isomirror marks CONFIG forget \
                 --topic {}) and begin it anew",
                start.source_topic
            )
        });
        let trouble = trouble.or(target_end.as_ref().err().map(|error| format!("target: {error}")));
        let lane = Lane {
            topic: start.source_topic.clone(),
            target_topic: start.target_topic.clone(),
            partition: start.partition,
            start: start.at,
            map: match start.offsets {
                OffsetsMode::Identical => Map::Identical,
                OffsetsMode::Translated => Map::Marks(Box::new(ledger)),
            },
            source_low: source_low.ok(),
            target_low: target_low.ok(),
            target_end: target_end.unwrap_or(start.at.target),
            of_others: BTreeMap::new(),
            trouble,
        };
        lanes.insert(lane.at(), lane);
    }
    Ok(lanes)
}

/// One offset of each partition.
pub(crate) async fn offsets(
    client: &Client,
    partitions: &[(&str, i32)],
    spec: OffsetSpec,
) -> Vec<Result<Offset, kafka_wire::Error>> {
    let listed = client.list_offsets(partitions, spec, Isolation::ReadUncommitted).await;
    listed.into_iter().map(|listed| listed.map(|listed| listed.offset)).collect()
}
