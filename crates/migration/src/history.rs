//! What a migration has been, from start to end: from the link's marks, its journal, and the cutovers in it. Changes nothing.

use link_journal::Decision;
use mirror_types::Side;
use offset_marks::{LaneSummary, now_ms};
use serde::Serialize;

pub use crate::sides::Error;
use crate::{
    cutover::{self, Route},
    sides::{cluster_id, ledgers},
    topics::{Request, Scene},
};

/// All of it.
#[derive(Debug, Clone, Serialize)]
pub struct History {
    /// The link.
    pub link: String,
    /// When this was put together, in ms since 1970.
    pub as_of: i64,
    /// The cluster that was read.
    pub source: ClusterName,
    /// The cluster that was written.
    pub target: ClusterName,
    /// Each topic that was mirrored, by its name.
    pub topics: Vec<TopicHistory>,
    /// All that was ever decided about topics, in that order.
    pub decisions: Vec<Decision>,
    /// All cutovers, in their order, those that went back too.
    pub cutovers: Vec<cutover::Report>,
}

/// A cluster.
#[derive(Debug, Clone, Serialize)]
pub struct ClusterName {
    /// Its name in the configuration.
    pub name: String,
    /// Its id, where it tells one.
    pub id: Option<String>,
}

/// A topic.
#[derive(Debug, Clone, Serialize)]
pub struct TopicHistory {
    /// Its names.
    #[serde(flatten)]
    pub route: Route,
    /// What is wanted of it now.
    pub state: &'static str,
    /// Its lanes: how each began, how far it has come, its records and gaps.
    pub lanes: Vec<LaneSummary>,
}

/// Puts it together.
pub async fn history(request: &Request) -> Result<History, Error> {
    let scene = Scene::of(request).await?;
    let link = &request.link;
    let decided = scene.journal().await?;
    scene.check_known(&request.topics, decided.as_ref())?;
    let asked = |topic: &str| request.topics.is_empty() || request.topics.iter().any(|one| one == topic);
    let mut topics: Vec<TopicHistory> = Vec::new();
    for ledger in ledgers(link, &scene.clusters).await? {
        let summary = LaneSummary::of(&ledger);
        let start = &summary.start;
        if !asked(&start.source_topic) {
            continue;
        }
        match topics.last_mut().filter(|topic| topic.route.topic == start.source_topic) {
            Some(topic) => topic.lanes.push(summary),
            None => topics.push(TopicHistory {
                route: Route { topic: start.source_topic.clone(), target_topic: start.target_topic.clone() },
                state: scene.plan(&start.source_topic, decided.as_ref()).as_str(),
                lanes: vec![summary],
            }),
        }
    }
    let mut cutovers =
        decided.as_ref().map(|state| cutover::reports(link, state)).transpose()?.unwrap_or_default();
    cutovers.retain(|report| report.plan.topics.iter().any(|route| asked(&route.topic)));
    let mut decisions = decided.map(|state| state.decisions().to_vec()).unwrap_or_default();
    decisions.retain(|decision| asked(&decision.topic));
    let cluster = async |side| {
        Ok::<_, Error>(ClusterName {
            name: scene.clusters.name(side).to_owned(),
            id: cluster_id(&scene.clusters, side).await?,
        })
    };
    Ok(History {
        link: link.link.clone(),
        as_of: now_ms(),
        source: cluster(Side::Source).await?,
        target: cluster(Side::Target).await?,
        topics,
        decisions,
        cutovers,
    })
}
