//! Asks both clusters for the facts. Only reads: creating a topic is asked for as a validation.
//!
//! A cluster that can't be reached ends it; every other refusal is a fact.

use std::collections::{BTreeMap, HashMap};

use cluster_admin::{Cluster, Error, TopicConfigs, TopicInfo, Topics};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use kafka_rd::Properties;
use mirror_types::{Offset, Side, TopicPartition};
use pipeline::{Endpoint, topic_configs_for_target};
use tokio::{join, try_join};
use topic_rename::{Pattern, Rules, check_name};

use super::{ClusterFacts, Facts, Request, TargetFacts, TopicFacts, Unmatched, count};

/// How many questions about single topics wait for their answers at a time.
const AT_ONCE: usize = 16;
/// The topic of groups' offsets. Asking for a group makes the brokers make it, where it is not there yet.
const GROUPS: &str = "__consumer_offsets";

type Answers<T> = BTreeMap<String, Result<T, Error>>;

/// Gathers the facts, or says which clusters can't be reached. Only properties that librdkafka makes no
/// client of are an outer error.
pub async fn gather(request: &Request) -> Result<Result<Facts, Vec<Error>>, Error> {
    let connect = |side, endpoint: &Endpoint| {
        Cluster::connect(side, &endpoint.name, &endpoint.properties, request.timeout)
    };
    let source = connect(Side::Source, &request.link.source)?;
    let target = connect(Side::Target, &request.link.target)?;
    let asked =
        join!(look(&source, &request.link.source.properties), look(&target, &request.link.target.properties));
    Ok(match asked {
        (Ok(of_source), Ok(of_target)) => {
            let gatherer = Gatherer { request, source, target };
            gatherer.facts(of_source, of_target).await.map_err(|error| vec![error])
        }
        (of_source, of_target) => Err([of_source.err(), of_target.err()].into_iter().flatten().collect()),
    })
}

/// What one cluster shows without being asked about anything in particular.
async fn look(cluster: &Cluster, properties: &Properties) -> Result<(ClusterFacts, Topics), Error> {
    let topics = cluster.topics().await?;
    let (id, brokers) = try_join!(cluster.cluster_id(), cluster.broker_ids())?;
    let rights = refused(cluster.cluster_rights().await)?.ok().flatten();
    let configs = refused(cluster.broker_configs().await)?.ok();
    let servers = properties.get("bootstrap.servers").unwrap_or_default();
    let server = servers.split(',').next().unwrap_or_default().trim();
    let principal = || {
        let sasl = properties.get("security.protocol")?.to_ascii_lowercase().starts_with("sasl");
        sasl.then(|| properties.get("sasl.username")).flatten()
    };
    let facts = ClusterFacts {
        side: cluster.side(),
        name: cluster.name().to_owned(),
        id,
        brokers,
        rights,
        configs,
        bootstrap: server.rsplit("://").next().unwrap_or_default().to_owned(),
        secured: properties.get("security.protocol").is_some_and(|p| !p.eq_ignore_ascii_case("plaintext")),
        principal: principal().map(str::to_owned),
    };
    Ok((facts, topics))
}

/// An answer that may be a refusal; no answer at all is an error.
pub(crate) fn refused<T>(answer: Result<T, Error>) -> Result<Result<T, Error>, Error> {
    match answer {
        Err(error) if error.is_unreachable() => Err(error),
        answer => Ok(answer),
    }
}

/// The answers about each of `names`, where asking for all may be refused as a whole.
fn each<T>(names: &[String], answer: Result<Answers<T>, Error>) -> Result<Answers<T>, Error> {
    Ok(match refused(answer)? {
        Ok(answers) => answers,
        Err(error) => names.iter().map(|name| (name.clone(), Err(error.clone()))).collect(),
    })
}

struct Gatherer<'a> {
    request: &'a Request,
    source: Cluster,
    target: Cluster,
}

impl Gatherer<'_> {
    async fn facts(
        &self,
        (of_source, sources): (ClusterFacts, Topics),
        (of_target, targets): (ClusterFacts, Topics),
    ) -> Result<Facts, Error> {
        let link = &self.request.link;
        let routed = link.rules.route(sources.keys().map(|topic| &**topic));
        let (routes, clashes, illegal) = match routed {
            Ok(routes) => (routes, Vec::new(), Vec::new()),
            Err(refused) => (refused.rest, refused.clashes, refused.illegal),
        };
        let names: Vec<String> = routes.keys().cloned().collect();
        let has_groups = !matches!(refused(self.source.topic(GROUPS).await)?, Ok(None));
        let group_rights = match has_groups {
            true => Some(refused(self.source.group_rights(&link.group).await)?),
            false => None,
        };
        let (mut configs, mut rights) =
            try_join!(async { each(&names, self.source.topic_configs(&names).await) }, async {
                each(&names, self.source.topic_rights(&names).await)
            },)?;
        let positions = match has_groups {
            true => self.positions(&count::lanes(routes.keys(), &sources)).await?,
            false => Ok(HashMap::new()),
        };
        let mut known: HashMap<&str, usize> = HashMap::new();
        for lane in positions.iter().flat_map(HashMap::keys) {
            *known.entry(&lane.topic).or_default() += 1;
        }
        let one_cluster = of_source.id.is_some() && of_source.id == of_target.id;
        let mut found = self.targets(&routes, &sources, &targets, &configs).await?;
        let mut topics = Vec::new();
        for (topic, target_topic) in routes {
            let info = sources[topic.as_str()].clone();
            let unasked = || Err(missing_answer(&self.source, &topic));
            topics.push(TopicFacts {
                settings: (link.settings)(&topic),
                feeds: link.rules.feeds_itself(&topic).filter(|_| one_cluster),
                configs: configs.remove(&topic).unwrap_or_else(unasked),
                rights: rights.remove(&topic).unwrap_or(Ok(None)),
                positions: match &positions {
                    Ok(_) => Ok(known.get(topic.as_str()).copied().unwrap_or(0)),
                    Err(error) => Err(error.clone()),
                },
                records: None,
                too_old: None,
                target: found
                    .remove(&topic)
                    .unwrap_or_else(|| TargetFacts::Hidden(missing_answer(&self.target, &target_topic))),
                info,
                topic,
                target_topic,
            });
        }
        count::source(&self.source, &self.request.link, &mut topics, &positions.unwrap_or_default()).await?;
        count::look_for_old(&self.source, &mut topics).await?;
        let unmatched = self.unmatched(&link.rules, &sources).await?;
        Ok(Facts {
            link: link.link.clone(),
            group: link.group.clone(),
            translated: self.request.translated,
            source: of_source,
            target: of_target,
            group_rights,
            clashes,
            illegal,
            unmatched,
            topics,
        })
    }

    /// The recorded position of each lane that has one.
    async fn positions(
        &self,
        lanes: &[TopicPartition],
    ) -> Result<Result<HashMap<TopicPartition, Offset>, Error>, Error> {
        let committed = refused(self.source.committed(&self.request.link.group, lanes).await)?;
        Ok(committed.map(|committed| {
            committed.into_iter().filter_map(|(lane, position)| Some((lane, position.ok()??))).collect()
        }))
    }

    /// The target topic of each source topic.
    async fn targets(
        &self,
        routes: &BTreeMap<String, String>,
        sources: &Topics,
        targets: &Topics,
        source_configs: &Answers<TopicConfigs>,
    ) -> Result<BTreeMap<String, TargetFacts>, Error> {
        let names: Vec<String> = routes.values().cloned().collect();
        let (there, not_listed): (Vec<String>, Vec<String>) =
            names.into_iter().partition(|name| matches!(targets.get(name.as_str()), Some(Ok(_))));
        let (mut configs, mut rights, hidden) = try_join!(
            async { each(&there, self.target.topic_configs(&there).await) },
            async { each(&there, self.target.topic_rights(&there).await) },
            // A topic that may not be described is not listed, but says so when it is asked about.
            async { each(&not_listed, self.target.topic_rights(&not_listed).await) },
        )?;
        let mut records = count::target(&self.target, &there, targets).await?;
        let mut found = BTreeMap::new();
        let mut create = Vec::new();
        for (topic, name) in routes {
            let listed = targets.get(name.as_str());
            let facts = match (listed, hidden.get(name)) {
                (Some(Ok(info)), _) => TargetFacts::There {
                    info: info.clone(),
                    configs: configs.remove(name).unwrap_or_else(|| Err(missing_answer(&self.target, name))),
                    rights: rights.remove(name).unwrap_or(Ok(None)),
                    records: records.remove(name),
                },
                (Some(Err(error)), _) if !error.is_unknown_topic() => TargetFacts::Hidden(error.clone()),
                (_, Some(Err(error))) if error.is_not_authorized() => TargetFacts::Hidden(error.clone()),
                _ => {
                    create.push(topic);
                    continue;
                }
            };
            found.insert(topic.clone(), facts);
        }
        let validated = stream::iter(create)
            .map(|topic| async move {
                let info = sources[topic.as_str()].as_ref().ok();
                let configs = source_configs.get(topic).and_then(|configs| configs.as_ref().ok());
                self.creation(topic, &routes[topic], info, configs).await.map(|facts| (topic.clone(), facts))
            })
            .buffered(AT_ONCE);
        found.extend(validated.try_collect::<Vec<_>>().await?);
        Ok(found)
    }

    /// Whether the target topic could be created as the link would do it.
    async fn creation(
        &self,
        topic: &str,
        name: &str,
        info: Option<&TopicInfo>,
        configs: Option<&TopicConfigs>,
    ) -> Result<TargetFacts, Error> {
        let settings = (self.request.link.settings)(topic);
        let replication = settings.replication;
        let configs = topic_configs_for_target(configs.unwrap_or(&TopicConfigs::default()), replication);
        let creation = match info.filter(|_| settings.create) {
            Some(info) => {
                let asked = self.target.validate_topic(name, info.partitions, replication, &configs).await;
                Some(refused(asked)?)
            }
            None => None,
        };
        Ok(TargetFacts::Missing { creation, configs })
    }

    async fn is_hidden(&self, topic: &str) -> Result<bool, Error> {
        Ok(matches!(refused(self.source.topic(topic).await)?, Err(error) if error.is_not_authorized()))
    }

    /// Topics and include patterns that match nothing, and whether a topic of that name is hidden from us.
    async fn unmatched(&self, rules: &Rules, sources: &Topics) -> Result<Vec<Unmatched>, Error> {
        let mut found = Vec::new();
        let named = rules.named();
        for name in named.iter().filter(|name| !sources.contains_key(name.as_str())) {
            let hidden = self.is_hidden(name).await?;
            found.push(Unmatched { pattern: name.clone(), named: true, hidden });
        }
        for text in &rules.config().include {
            let Ok(pattern) = Pattern::new(text) else { continue };
            let name = text.replace('\\', "");
            if sources.keys().any(|topic| pattern.matches(topic)) || named.contains(&name) {
                continue;
            }
            let hidden = check_name(&name).is_ok() && rules.includes(&name) && self.is_hidden(&name).await?;
            found.push(Unmatched { pattern: text.clone(), named: false, hidden });
        }
        Ok(found)
    }
}

/// For a question that was not answered, though it was asked: a broker's fault.
fn missing_answer(cluster: &Cluster, topic: &str) -> Error {
    Error {
        side: cluster.side(),
        cluster: cluster.name().into(),
        doing: format!("describe topic {topic}"),
        code: rdkafka::types::RDKafkaErrorCode::Unknown,
        reason: "the cluster did not answer".to_owned(),
    }
}
