//! All topics of a link, and what is wanted of each.

use link_journal::Decision;
use mirror_types::Side;
use serde::Serialize;

use super::{Error, Request, scene::Scene};

/// All topics that are meant, by their names.
#[derive(Debug, Clone, Serialize)]
pub struct Listing {
    /// The link.
    pub link: String,
    /// The source cluster's name.
    pub source: String,
    /// The target cluster's name.
    pub target: String,
    /// Each topic.
    pub topics: Vec<TopicRow>,
}

/// A topic.
#[derive(Debug, Clone, Serialize)]
pub struct TopicRow {
    /// Its name on the source.
    pub topic: String,
    /// Its name on the target; none where the rules lead it nowhere.
    pub target_topic: Option<String>,
    /// What is wanted of it: `running`, `waiting`, `paused` or `stopped`.
    pub state: &'static str,
    /// Since when somebody has wanted that, in ms since 1970; none where it is by the configuration.
    pub since: Option<i64>,
    /// Who.
    pub by: Option<String>,
    /// What for, where that was said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// When its first lane began, in ms since 1970; none if none has.
    pub began: Option<i64>,
    /// Its lanes that have begun.
    pub lanes: usize,
    /// What has to be known beside.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub note: Option<&'static str>,
}

/// Lists them.
pub async fn list(request: &Request) -> Result<Listing, Error> {
    let scene = Scene::of(request).await?;
    let decided = scene.journal().await?;
    scene.check_known(&request.topics, decided.as_ref())?;
    let asked = |topic: &String| request.topics.is_empty() || request.topics.contains(topic);
    let row = |topic: String| {
        let decision: Option<&Decision> = decided.as_ref().and_then(|state| state.topic(&topic));
        TopicRow {
            target_topic: scene.link.rules.target(&topic),
            state: scene.plan(&topic, decided.as_ref()).as_str(),
            since: decision.map(|decision| decision.when),
            by: decision.map(|decision| decision.by.to_string()),
            why: decision.and_then(|decision| decision.why.clone()),
            began: scene.lanes_of(&topic).map(|lane| lane.since).min(),
            lanes: scene.lanes_of(&topic).count(),
            note: match (scene.sources.contains_key(&topic), scene.link.rules.includes(&topic)) {
                (_, false) => Some("topics.include leaves it out"),
                (false, true) => Some("not on the source"),
                (true, true) => None,
            },
            topic,
        }
    };
    Ok(Listing {
        link: scene.link.link.clone(),
        source: scene.clusters.name(Side::Source).to_owned(),
        target: scene.clusters.name(Side::Target).to_owned(),
        topics: scene.known(decided.as_ref()).into_iter().filter(asked).map(row).collect(),
    })
}
