//! Asks both clusters for the facts: one question for all topics, never one for each. Changes nothing.

use std::collections::{BTreeMap, BTreeSet};

use cluster_admin::{Cluster, Error as AdminError, TopicConfigs};
use group_offsets::Rule;
use kafka_wire::Code;
use mirror_types::Side;
use offset_marks::Ledger;
use pipeline::{LOOP_FIX, LinkConfig, loops, nothing_renamed};
use rdkafka::types::RDKafkaErrorCode;
use tokio::try_join;

use super::{AclFacts, Facts, GroupPart, Part, Request, TopicFacts};
use crate::{
    check::refused,
    groups,
    sides::{Clusters, Error, admin, check_clusters, groups_of_source, ledgers_if_any},
};

/// The facts, and what it takes to act on them.
pub(super) struct Gathered {
    pub(super) facts: Facts,
    pub(super) target: Cluster,
    pub(super) clusters: Clusters,
    pub(super) groups: Option<GroupPart>,
    pub(super) prepared: Option<groups::Prepared>,
}

type Answers = BTreeMap<String, Result<TopicConfigs, AdminError>>;

pub(super) async fn gather(request: &Request) -> Result<Gathered, Error> {
    let link = &request.link;
    let source = admin(link, Side::Source, request.timeout)?;
    let target = admin(link, Side::Target, request.timeout)?;
    let clusters = Clusters::new(link, request.timeout)?;
    let (sources, targets) = try_join!(source.topics(), target.topics())?;
    let ids = try_join!(source.cluster_id(), target.cluster_id())?;
    let names = || sources.keys().map(|topic| &**topic);
    refuse_loops(link, ids, names())?;
    let ledgers = ledgers_if_any(link, &clusters).await?;
    check_clusters(link, &clusters, ledgers.as_deref().unwrap_or_default()).await?;
    let begun: BTreeSet<&str> =
        ledgers.iter().flatten().map(Ledger::start).map(|start| &*start.source_topic).collect();
    let (routes, clashes, illegal) = match link.rules.route(names()) {
        Ok(routes) => (routes, Vec::new(), Vec::new()),
        Err(refused) => (refused.rest, refused.clashes, refused.illegal),
    };
    let looks = |part| request.parts.contains(&part);
    let (mut of_source, mut of_target) = (Answers::new(), Answers::new());
    if looks(Part::Topics) || looks(Part::Configs) {
        let there = |target: &&String| matches!(targets.get(target.as_str()), Some(Ok(_)));
        let from: Vec<String> = routes.keys().cloned().collect();
        let to: Vec<String> = routes.values().filter(there).cloned().collect();
        (of_source, of_target) = try_join!(configs(&source, &from), configs(&target, &to))?;
    }
    let topics = routes.into_iter().map(|(topic, target_topic)| TopicFacts {
        settings: (link.settings)(&topic),
        begun: begun.contains(topic.as_str()),
        info: sources[topic.as_str()].clone(),
        configs: of_source.remove(&topic).unwrap_or_else(|| Err(unanswered(&source, &topic))),
        target: match targets.get(target_topic.as_str()).cloned() {
            Some(Err(error)) if error.is_unknown_topic() => None,
            found => found,
        },
        target_configs: of_target.remove(&target_topic),
        topic,
        target_topic,
    });
    let topics = topics.collect();
    let acls = if looks(Part::Acls) { Some(acls(request, &clusters).await?) } else { None };
    let facts = Facts {
        link: link.link.clone(),
        source: link.source.name.clone(),
        target: link.target.name.clone(),
        parts: request.parts.clone(),
        clashes,
        illegal,
        topics,
        target_topics: targets.keys().map(ToString::to_string).collect(),
        rules: link.rules.clone(),
        choice: request.choice.clone(),
        principals: link.acls.principals.clone(),
        own: link.target.principal(),
        own_on_source: link.source.principal(),
        acls,
    };
    let (groups, prepared) = match looks(Part::Groups) && !request.choice.is_empty() {
        true => of_groups(request, &clusters, ledgers.is_some_and(|ledgers| !ledgers.is_empty())).await?,
        false => (None, None),
    };
    Ok(Gathered { facts, target, clusters, groups, prepared })
}

/// As the daemon does, before anything else.
fn refuse_loops<'a>(
    link: &LinkConfig,
    (source, target): (Option<String>, Option<String>),
    topics: impl Iterator<Item = &'a str>,
) -> Result<(), Error> {
    let Some(id) = source.filter(|id| target.as_ref() == Some(id)) else { return Ok(()) };
    let found = loops(&link.rules, topics);
    let what = match found.first() {
        Some(first) => format!("source and target are one cluster ({id}), and {}: {first}", first.topic),
        None if nothing_renamed(&link.rules) => {
            format!("source and target are one cluster ({id}), and no topic is renamed")
        }
        None => return Ok(()),
    };
    Err(Error::Refused { what, fix: LOOP_FIX.to_owned() })
}

/// Topics' configs, each or none of which may be shown.
async fn configs(cluster: &Cluster, topics: &[String]) -> Result<Answers, AdminError> {
    Ok(match refused(cluster.topic_configs(topics).await)? {
        Ok(answers) => answers,
        Err(error) => topics.iter().map(|topic| (topic.clone(), Err(error.clone()))).collect(),
    })
}

async fn acls(request: &Request, clusters: &Clusters) -> Result<AclFacts, Error> {
    let list = async |side| match clusters.client(side).list_acls().await {
        Err(error)
            if !matches!(error.code(), Some(Code::SecurityDisabled | Code::ClusterAuthorizationFailed)) =>
        {
            Err(clusters.error(side, error))
        }
        listed => Ok(listed),
    };
    let (source, target) = (list(Side::Source).await?, list(Side::Target).await?);
    Ok(AclFacts { source, target, groups: groups_of_source(clusters, &request.choice).await? })
}

/// What `groups plan` says.
async fn of_groups(
    request: &Request,
    clusters: &Clusters,
    begun: bool,
) -> Result<(Option<GroupPart>, Option<groups::Prepared>), Error> {
    if !begun {
        let totals = groups::Totals {
            groups: groups_of_source(clusters, &request.choice).await?.len(),
            ..Default::default()
        };
        let note = "no lane has begun yet, and offsets are carried over as far as records are mirrored";
        return Ok((Some(GroupPart { totals, note: Some(note.to_owned()) }), None));
    }
    let asked = groups::Request {
        link: request.link.clone(),
        timeout: request.timeout,
        choice: request.choice.clone(),
        named: false,
        topics: Vec::new(),
        rule: Rule::default(),
    };
    let prepared = groups::prepare(&asked).await?;
    let totals = prepared.totals();
    Ok((Some(GroupPart { totals, note: None }), Some(prepared)))
}

/// For a question that was not asked, or not answered.
fn unanswered(cluster: &Cluster, topic: &str) -> AdminError {
    AdminError {
        side: cluster.side(),
        cluster: cluster.name().into(),
        doing: format!("describe configs of topic {topic}"),
        code: RDKafkaErrorCode::Unknown,
        reason: "the cluster did not answer".to_owned(),
    }
}
