//! What commands have in common that look at both clusters by the link's marks: the clients, the ledgers, and whether the
//! clusters are those that the lanes began between. Changes nothing.

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
    time::Duration,
};

use cluster_admin::Cluster;
use control_topic::{ControlTopic, name_of};
use group_offsets::Choice;
use kafka_wire::{Client, Isolation, Purpose, Settings, Topic};
use link_journal::{Journal, JournalState};
use mirror_types::{LaneOrigins, Offset, Side, TopicPartition};
use offset_marks::{LaneStart, Ledger, WritersMode, control::Keep, slot_of};
use pipeline::{ClusterIds, LinkConfig};

/// What is named in one line, at most.
pub(crate) const NAMED: usize = 10;

/// Why the clusters can't be looked at.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A side's properties are not for our own client.
    #[error("[{side}.kafka] can't be used here: {reason}")]
    Properties {
        /// Which.
        side: Side,
        /// Why.
        reason: String,
    },
    /// The link's marks can't be read.
    #[error("{}{}", .0, .0.fix().map(|fix| format!("\n  fix: {fix}")).unwrap_or_default())]
    Marks(#[from] control_topic::Error),
    /// A question to a cluster has no answer.
    #[error("{side} cluster {cluster}: {error}")]
    Cluster {
        /// Which.
        side: Side,
        /// Its name.
        cluster: String,
        /// What was asked, and what came of it.
        error: kafka_wire::Error,
    },
    /// The same, asked by the administration's client.
    #[error(transparent)]
    Admin(#[from] cluster_admin::Error),
    /// What was asked for can't be done with what is there.
    #[error("{what}\n  fix: {fix}")]
    Refused {
        /// Why.
        what: String,
        /// What to do.
        fix: String,
    },
}

/// One of each side.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct BySide<T> {
    pub(crate) source: T,
    pub(crate) target: T,
}

/// Both clusters' clients, and their names.
pub(crate) struct Clusters(BySide<(Client, String)>);

/// What is on record of a lane.
pub(crate) struct Recorded {
    pub(crate) ledger: Ledger,
    /// How far it was found to be the same on both sides.
    pub(crate) verified: Option<Offset>,
}

/// All lanes that have begun, by their names.
pub(crate) async fn ledgers(link: &LinkConfig, clusters: &Clusters) -> Result<Vec<Ledger>, Error> {
    ledgers_if_any(link, clusters).await?.ok_or_else(|| not_run_yet(link, clusters))
}

/// The same; none where the link has not run yet.
pub(crate) async fn ledgers_if_any(
    link: &LinkConfig,
    clusters: &Clusters,
) -> Result<Option<Vec<Ledger>>, Error> {
    let recorded = recorded_if_any(link, clusters, None).await?;
    Ok(recorded.map(|recorded| recorded.into_iter().map(|recorded| recorded.ledger).collect()))
}

/// What is on record of the lanes that are wanted, as far as they have begun, by their names.
pub(crate) async fn recorded(
    link: &LinkConfig,
    clusters: &Clusters,
    wanted: &BTreeSet<TopicPartition>,
) -> Result<Vec<Recorded>, Error> {
    let recorded = recorded_if_any(link, clusters, Some(wanted)).await?;
    recorded.ok_or_else(|| not_run_yet(link, clusters))
}

fn not_run_yet(link: &LinkConfig, clusters: &Clusters) -> Error {
    let link = &link.link;
    Error::Refused {
        what: format!(
            "link {link} has not run yet: there is no topic {} on {}, where its marks would be",
            name_of(link),
            clusters.name(Side::Target)
        ),
        fix: "run it; or see that link and [target.kafka] are those it runs with".to_owned(),
    }
}

async fn recorded_if_any(
    link: &LinkConfig,
    clusters: &Clusters,
    wanted: Option<&BTreeSet<TopicPartition>>,
) -> Result<Option<Vec<Recorded>>, Error> {
    let Some(topic) = ControlTopic::open(clusters.client(Side::Target), &link.link).await? else {
        refuse_swapped(link, clusters).await?;
        return Ok(None);
    };
    let partitions: BTreeSet<i32> = match wanted {
        None => (0..topic.partitions()).collect(),
        Some(lanes) => {
            let slots = topic.link().await?.map_or(topic.partitions(), |link| link.slots);
            lanes.iter().map(|lane| slot_of(lane, slots)).collect()
        }
    };
    let mut all = Vec::new();
    for partition in partitions {
        // One at a time: what is kept of each is much smaller than what is read.
        let state = topic.read_committed(partition, Keep::Everything).await?;
        let lanes = state.lanes().map(LaneStart::lane);
        for lane in lanes.filter(|lane| wanted.is_none_or(|wanted| wanted.contains(lane))) {
            let ledger = state.ledger(&lane).expect("it is there").map_err(|overlap| Error::Refused {
                what: overlap.to_string(),
                fix: format!(
                    "isomirror marks CONFIG forget --topic {}, and begin that lane anew",
                    lane.topic
                ),
            })?;
            all.push(Recorded { ledger, verified: state.verified(&lane) });
        }
    }
    all.sort_by_cached_key(|recorded| recorded.ledger.start().lane());
    Ok(Some(all))
}

/// Whether these are the clusters that the lanes began between.
pub(crate) async fn check_clusters(
    link: &LinkConfig,
    clusters: &Clusters,
    ledgers: &[Ledger],
) -> Result<(), Error> {
    let starts = ledgers.iter().map(Ledger::start);
    check_ids(link, clusters, starts.map(|start| (&start.source_cluster, &start.target_cluster))).await
}

/// The same, by the ids that are on record: of the source cluster, and of the target cluster.
pub(crate) async fn check_ids<'a>(
    link: &LinkConfig,
    clusters: &Clusters,
    recorded: impl Iterator<Item = (&'a Option<String>, &'a Option<String>)>,
) -> Result<(), Error> {
    let (source, target) =
        (cluster_id(clusters, Side::Source).await?, cluster_id(clusters, Side::Target).await?);
    let other = |then: &Option<String>, now: &Option<String>| then.is_some() && now.is_some() && then != now;
    for (source_then, target_then) in recorded {
        let wrong = [(Side::Source, source_then, &source), (Side::Target, target_then, &target)];
        if let Some((side, then, now)) = wrong.into_iter().find(|(_, then, now)| other(then, now)) {
            let id = |id: &Option<String>| id.clone().unwrap_or_default();
            return Err(Error::Refused {
                what: format!(
                    "{side} cluster {} has the id {}, but the lanes of link {} began with {}: it is another cluster",
                    clusters.name(side),
                    id(now),
                    link.link,
                    id(then)
                ),
                fix: format!("see [{side}.kafka]; source and target may have been swapped"),
            });
        }
    }
    Ok(())
}

/// Whether a link runs: of a pair, the other one may, and then this one's target is the active site, which is nobody's to change.
pub(crate) async fn refuse_at_rest(link: &LinkConfig, clusters: &Clusters) -> Result<(), Error> {
    let target = clusters.client(Side::Target);
    // Who may not see the journal is told so by what needs it.
    let decided = match Journal::open(target, &link.link).await {
        Ok(Some(journal)) => journal.read().await.ok(),
        Ok(None) | Err(_) => None,
    };
    if !rests(link, decided.as_ref()) {
        return Ok(());
    }
    Err(Error::Refused {
        what: format!(
            "link {} rests: {} is the active site of its pair, or a switchover is under way",
            link.link,
            clusters.name(Side::Target)
        ),
        fix: "name the other link with --direction".to_owned(),
    })
}

/// Whether a link rests, by what its journal says.
pub(crate) fn rests(link: &LinkConfig, decided: Option<&JournalState>) -> bool {
    match decided.and_then(JournalState::runs) {
        Some(runs) => runs.link.as_ref() != Some(&link.link),
        None => link.rests,
    }
}

/// A link that has not run yet leaves nothing on its target; if it has on its source, somebody has mistaken the two.
pub(crate) async fn refuse_swapped(link: &LinkConfig, clusters: &Clusters) -> Result<(), Error> {
    let source = clusters.client(Side::Source);
    let Some(topic) = ControlTopic::open(source, &link.link).await.ok().flatten() else { return Ok(()) };
    let theirs = topic.link().await.ok().flatten().and_then(|theirs| theirs.source_cluster);
    if theirs.is_some() && theirs != cluster_id(clusters, Side::Target).await? {
        return Ok(());
    }
    Err(Error::Refused {
        what: format!(
            "the marks of link {} are on {}, which is its source here, and there are none on {}",
            link.link,
            clusters.name(Side::Source),
            clusters.name(Side::Target)
        ),
        fix: "see [source.kafka] and [target.kafka]; source and target may have been swapped".to_owned(),
    })
}

/// The id of a side's cluster, where it tells one.
pub(crate) async fn cluster_id(clusters: &Clusters, side: Side) -> Result<Option<String>, Error> {
    let id = clusters.client(side).cluster_id().await.map_err(|error| clusters.error(side, error))?;
    Ok(id.map(|id| id.to_string()))
}

/// All topics of a side that may be described, by their names.
pub(crate) async fn topics(clusters: &Clusters, side: Side) -> Result<HashMap<String, Arc<Topic>>, Error> {
    let topics = clusters.client(side).topics().await.map_err(|error| clusters.error(side, error))?;
    Ok(topics.into_iter().map(|topic| (topic.name.to_string(), topic)).collect())
}

/// The groups there are on the source, of those that are carried over.
pub(crate) async fn groups_of_source(
    clusters: &Clusters,
    choice: &Choice,
) -> Result<BTreeSet<String>, Error> {
    if choice.is_empty() {
        return Ok(BTreeSet::new());
    }
    let listed = clusters.client(Side::Source).list_groups().await;
    let listed = listed.map_err(|error| clusters.error(Side::Source, error))?;
    Ok(choice.names(listed.into_values()))
}

/// A side's client for administration.
pub(crate) fn admin(
    link: &LinkConfig,
    side: Side,
    timeout: Duration,
) -> Result<Cluster, cluster_admin::Error> {
    let endpoint = endpoint(link, side);
    Cluster::connect(side, &endpoint.name, &endpoint.properties, timeout)
}

/// A side's cluster, as the link has it.
pub(crate) fn endpoint(link: &LinkConfig, side: Side) -> &pipeline::Endpoint {
    match side {
        Side::Source => &link.source,
        Side::Target => &link.target,
    }
}

/// What has become of a lane's topics since it began, if that is a reason not to trust its marks.
pub(crate) fn changed(start: &LaneStart, topics: &BySide<HashMap<String, Arc<Topic>>>) -> Option<String> {
    let sides = [
        (Side::Source, &start.source_topic, &start.source_topic_id),
        (Side::Target, &start.target_topic, &start.target_topic_id),
    ];
    sides.into_iter().find_map(|(side, name, id)| {
        let Some(topic) = topics.of(side).get(name) else {
            return Some(format!("topic {name} is not on the {side}, or may not be described"));
        };
        let again = id.is_some() && topic.id_text().is_some() && *id != topic.id_text();
        again.then(|| format!("topic {name} was deleted and made again on the {side} since the lane began"))
    })
}

/// The records that the mirror reads.
pub(crate) fn source_isolation(link: &LinkConfig) -> Isolation {
    link.wire_isolation()
}

/// What a lane writes on its records, if others write its target, too.
pub(crate) fn origins_of(link: &LinkConfig, start: &LaneStart) -> Option<LaneOrigins> {
    let ids = ClusterIds { source: start.source_cluster.clone(), target: start.target_cluster.clone() };
    let target = TopicPartition::new(&*start.target_topic, start.partition);
    let origins = link.origins_of(&ids, &start.lane(), &target).ok().flatten();
    origins.filter(|_| start.writers == WritersMode::Shared)
}

/// Whether something is asked for, by topics' names on the source, that is not mirrored; or nothing is mirrored at all.
pub(crate) fn unknown(link: &LinkConfig, asked: &[String], mirrored: &[Ledger]) -> Result<(), Error> {
    let is_there = |topic: &&String| mirrored.iter().any(|ledger| ledger.start().source_topic == **topic);
    let named: BTreeSet<&str> =
        mirrored.iter().map(|ledger| &*ledger.start().source_topic).take(NAMED).collect();
    let named = Vec::from_iter(named).join(", ");
    let (what, fix) = match asked.iter().find(|topic| !is_there(topic)) {
        Some(topic) => (
            format!("no lane of link {} mirrors topic {topic:?}", link.link),
            format!("name a source topic that is mirrored: {named}"),
        ),
        None if mirrored.is_empty() => (
            format!("no lane of link {} has begun yet", link.link),
            "run the link, or see topics.include".to_owned(),
        ),
        None => return Ok(()),
    };
    Err(Error::Refused { what, fix })
}

// === impl BySide ===

impl<T> BySide<T> {
    pub(crate) fn of(&self, side: Side) -> &T {
        match side {
            Side::Source => &self.source,
            Side::Target => &self.target,
        }
    }
}

// === impl Clusters ===

impl Clusters {
    pub(crate) fn new(link: &LinkConfig, patience: Duration) -> Result<Self, Error> {
        let client = |side, endpoint: &pipeline::Endpoint| {
            let settings = Settings::new(endpoint.properties.iter())
                .map_err(|error| Error::Properties { side, reason: error.to_string() })?;
            let client = Client::new(settings).with_patience(patience);
            Ok::<_, Error>((client, endpoint.name.clone()))
        };
        Ok(Self(BySide {
            source: client(Side::Source, &link.source)?,
            target: client(Side::Target, &link.target)?,
        }))
    }

    /// The same, over connections of their own.
    pub(crate) fn for_purpose(self, purpose: Purpose) -> Self {
        let Self(BySide { source, target }) = self;
        let of = |(client, name): (Client, String)| (client.for_purpose(purpose), name);
        Self(BySide { source: of(source), target: of(target) })
    }

    pub(crate) fn client(&self, side: Side) -> &Client {
        &self.0.of(side).0
    }

    pub(crate) fn name(&self, side: Side) -> &str {
        &self.0.of(side).1
    }

    pub(crate) fn error(&self, side: Side, error: kafka_wire::Error) -> Error {
        Error::Cluster { side, cluster: self.name(side).to_owned(), error }
    }
}

// === impl Error ===

impl Error {
    /// Whether a cluster can't be reached, or does not let us in.
    pub fn is_unreachable(&self) -> bool {
        match self {
            Self::Marks(error) => error.is_unreachable(),
            Self::Cluster { error, .. } => error.is_unreachable() || error.is_authentication(),
            Self::Admin(error) => error.is_unreachable(),
            _ => false,
        }
    }

    /// Whether it may come right by itself: a cluster that is away, or a leader that has just moved.
    pub fn is_passing(&self) -> bool {
        let moves = match self {
            Self::Marks(error) => error.is_retriable(),
            Self::Cluster { error, .. } => error.is_retriable(),
            _ => false,
        };
        moves || self.is_unreachable()
    }

    /// Whether there is a reason not to do what was asked for.
    pub fn is_refused(&self) -> bool {
        matches!(self, Self::Refused { .. })
    }

    /// Whether it is the asker's to change what was asked.
    pub fn is_usage(&self) -> bool {
        matches!(self, Self::Properties { .. })
    }
}
