//! Asks both clusters for the facts. Only reads: creating a topic is asked for as a validation.
//!
//! A cluster that can't be reached ends it; every other refusal is a fact.

use std::collections::{BTreeMap, HashMap};

use cluster_admin::{AclOperation, Cluster, Error, Isolation, TopicConfigs, TopicInfo, Topics};
use control_topic::{ControlTopic, journal_of, name_of};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use kafka_wire::{Client, Settings};
use link_journal::{Journal, TopicState};
use mirror_types::{Passes, Side, TopicPartition};
use offset_marks::{
    LedgerWriter,
    control::{ControlState, Keep},
};
use pipeline::{ClusterIds, Endpoint, LossPolicy, NewTopic, Now, Refused, rules_of, unlike};
use rdkafka::types::RDKafkaErrorCode;
use tokio::{join, time::timeout, try_join};
use topic_rename::{Pattern, Rules, check_name};

use super::{
    Asked, ClusterFacts, ControlFacts, Facts, Held, JournalFacts, Marks, Request, TargetFacts, TargetRights,
    TopicFacts, Unmatched, control,
    count::{self, Bounds},
    groups, others, pace,
    trials::{Trials, unanswered},
};
use crate::sides::{admin, endpoint, source_isolation};

/// How many questions about single topics wait for their answers at a time.
const AT_ONCE: usize = 16;
/// What can be tried on a topic that is not there.
const TRIED: [AclOperation; 4] =
    [AclOperation::Read, AclOperation::Write, AclOperation::Delete, AclOperation::AlterConfigs];

/// The lanes that have begun.
type Ledgers = HashMap<TopicPartition, Recorded>;

/// What is on record of a lane.
struct Recorded {
    /// Where its marks end.
    ledger: LedgerWriter,
    /// What was found on its target that the link had not written.
    foreign: Option<String>,
}

type Answers<T> = BTreeMap<String, Result<T, Error>>;

/// Gathers the facts, or says which clusters can't be reached. Only properties that librdkafka makes no
/// client of are an outer error.
pub async fn gather(request: &Request) -> Result<Result<Facts, Vec<Error>>, Error> {
    let source = admin(&request.link, Side::Source, request.timeout)?;
    let target = admin(&request.link, Side::Target, request.timeout)?;
    let wire = wire(request, Side::Target)?;
    // Librdkafka may be able to log in where our own client is not: then what only that can ask is not asked.
    let source_wire = self::wire(request, Side::Source).ok();
    let asked = join!(look(&source, &request.link.source), look(&target, &request.link.target));
    Ok(match asked {
        (Ok(of_source), Ok(of_target)) => {
            let trials = Trials::new(wire.clone(), Side::Target, target.name());
            let gatherer = Gatherer { request, source, target, source_wire, wire, trials };
            gatherer.facts(of_source, of_target).await.map_err(|error| vec![error])
        }
        (of_source, of_target) => Err([of_source.err(), of_target.err()].into_iter().flatten().collect()),
    })
}

/// Our own client: of the target it is the one by which the daemon writes, and keeps its marks.
fn wire(request: &Request, side: Side) -> Result<Client, Error> {
    let endpoint = endpoint(&request.link, side);
    let settings = Settings::new(endpoint.properties.iter()).map_err(|error| Error {
        side,
        cluster: endpoint.name.as_str().into(),
        doing: "make a client".to_owned(),
        code: RDKafkaErrorCode::InvalidConfig,
        reason: error.to_string(),
    })?;
    Ok(Client::new(settings).with_patience(request.timeout))
}

/// What one cluster shows without being asked about anything in particular.
async fn look(cluster: &Cluster, endpoint: &Endpoint) -> Result<(ClusterFacts, Topics), Error> {
    let topics = cluster.topics().await?;
    let (id, brokers) = try_join!(cluster.cluster_id(), cluster.broker_ids())?;
    let rights = refused(cluster.cluster_rights().await)?.ok().flatten();
    let configs = refused(cluster.broker_configs().await)?.ok();
    let properties = &endpoint.properties;
    let servers = properties.get("bootstrap.servers").unwrap_or_default();
    let server = servers.split(',').next().unwrap_or_default().trim();
    let facts = ClusterFacts {
        side: cluster.side(),
        name: cluster.name().to_owned(),
        id,
        brokers,
        rights,
        configs,
        bootstrap: server.rsplit("://").next().unwrap_or_default().to_owned(),
        secured: properties.get("security.protocol").is_some_and(|p| !p.eq_ignore_ascii_case("plaintext")),
        principal: endpoint.user().map(str::to_owned),
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
    source_wire: Option<Client>,
    wire: Client,
    trials: Trials,
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
        let brokers = of_target.brokers.len();
        let ((mut control, mut ledgers), journal, target_rights, groups) = try_join!(
            self.control(&targets, brokers),
            self.journal(&targets, brokers),
            self.target_rights(),
            self.groups()
        )?;
        let (mut configs, mut rights) =
            try_join!(async { each(&names, self.source.topic_configs(&names).await) }, async {
                each(&names, self.source.topic_rights(&names).await)
            },)?;
        // Where there is no control topic, nothing has begun.
        let positions = match (&control.topic, &control.marks) {
            (_, Some(Ok(marks))) => Some(marks.positions.clone()),
            (TargetFacts::Missing { .. }, _) => Some(HashMap::new()),
            _ => None,
        };
        let begun = |topic: &str| {
            positions.as_ref().map(|lanes| lanes.keys().filter(|lane| &*lane.topic == topic).count())
        };
        let one_cluster = of_source.id.is_some() && of_source.id == of_target.id;
        let (mut found, bounds) = self.targets(&routes, &sources, &targets, &configs).await?;
        let mut topics = Vec::new();
        for (topic, target_topic) in routes {
            let info = sources[topic.as_str()].clone();
            let unasked = || Err(missing_answer(&self.source, &topic));
            topics.push(TopicFacts {
                settings: (link.settings)(&topic),
                feeds: link.rules.feeds_itself(&topic).filter(|_| one_cluster),
                configs: configs.remove(&topic).unwrap_or_else(unasked),
                rights: rights.remove(&topic).unwrap_or(Ok(None)),
                begun: begun(&topic),
                records: None,
                bytes: None,
                padded: 0,
                gaps_padded: false,
                emptied: None,
                too_old: None,
                target: found
                    .remove(&topic)
                    .unwrap_or_else(|| TargetFacts::Hidden(missing_answer(&self.target, &target_topic))),
                info,
                topic,
                target_topic,
            });
        }
        if let Some(Ok(marks)) = &mut control.marks {
            marks.unlike = self.unlike(&topics, &mut ledgers, &bounds).await?;
        }
        let positions = positions.unwrap_or_default();
        let ahead = count::source(&self.source, link, &mut topics, &positions, &bounds).await?;
        count::look_for_old(&self.source, &mut topics).await?;
        let pace = match &self.source_wire {
            Some(source) => {
                let looked = pace::look(source, source_isolation(link), &mut topics, ahead);
                timeout(self.request.timeout, looked).await.ok().flatten()
            }
            None => None,
        };
        let unmatched = self.unmatched(&link.rules, &sources).await?;
        let ids = ClusterIds { source: of_source.id.clone(), target: of_target.id.clone() };
        Ok(Facts {
            link: link.link.clone(),
            group: link.group.clone(),
            source: of_source,
            target: of_target,
            target_rights,
            control,
            skips_loss: link.loss == LossPolicy::Skip,
            asked: Asked {
                configs_in_step: link.configs_every.is_some(),
                acls_in_step: link.acls.every.is_some(),
                acls: link.acls.every.is_some() || !link.acls.principals.is_empty(),
            },
            verifies: self.request.verifies,
            others: self.others(&sources, &targets, one_cluster).await,
            rules: rules_of(link, &ids),
            only_own: link.origins.passes == Passes::Own,
            journal,
            groups,
            pace,
            throttle: link.throttle,
            clashes,
            illegal,
            unmatched,
            topics,
        })
    }

    /// Why lanes that have begun would not go on: as the daemon finds out.
    async fn unlike(
        &self,
        topics: &[TopicFacts],
        ledgers: &mut Ledgers,
        bounds: &Bounds,
    ) -> Result<BTreeMap<TopicPartition, Refused>, Error> {
        let begun = || topics.iter().filter(|topic| topic.is_mirrored());
        let lanes: Vec<TopicPartition> = begun().flat_map(count::lanes_of).collect();
        let starts = refused(self.source.start_offsets(&lanes).await)?.unwrap_or_default();
        let ends =
            refused(self.source.end_offsets(&lanes, Isolation::Uncommitted).await)?.unwrap_or_default();
        let names =
            |of: fn(&TopicFacts) -> &String| begun().map(|topic| of(topic).clone()).collect::<Vec<_>>();
        // After the ends, which may be another topic's.
        let source_ids =
            refused(self.source.topic_ids(&names(|topic| &topic.topic)).await)?.unwrap_or_default();
        let target_ids =
            refused(self.target.topic_ids(&names(|topic| &topic.target_topic)).await)?.unwrap_or_default();
        let mut found = BTreeMap::new();
        for topic in begun() {
            for at in count::lanes_of(topic) {
                let Some(Recorded { ledger, foreign }) = ledgers.get_mut(&at) else { continue };
                let target = TopicPartition::new(&*topic.target_topic, at.partition);
                let (Some(first), Some(end), Some((_, target_end))) =
                    (count::offset(&starts, &at), count::offset(&ends, &at), bounds.get(&target))
                else {
                    continue;
                };
                let now = Now {
                    at: &at,
                    target: &target,
                    settings: &topic.settings,
                    source_topic_id: source_ids.get(&topic.topic).map(String::as_str),
                    target_topic_id: target_ids.get(&topic.target_topic).map(String::as_str),
                    source: (first, end),
                    seen_end: None,
                    foreign: foreign.take(),
                };
                if let Err(refused) = unlike(ledger, &now, *target_end) {
                    found.insert(at, refused);
                }
            }
        }
        Ok(found)
    }

    /// What this principal may do on the target beside what it may do to topics.
    async fn target_rights(&self) -> Result<TargetRights, Error> {
        let link = &self.request.link;
        let topic = name_of(&link.link);
        let id = format!("{}check", control::transactional_ids(&link.link));
        let (group, markers, transactions) = try_join!(
            self.trials.group(&link.group),
            self.trials.markers(&topic),
            self.trials.transactional_id(&id, &topic),
        )?;
        Ok(TargetRights { group, markers, transactions })
    }

    /// The topic that the marks are in, and what is in it.
    async fn control(&self, targets: &Topics, brokers: usize) -> Result<(ControlFacts, Ledgers), Error> {
        let name = name_of(&self.request.link.link);
        let topic = self.own_topic(&name, pipeline::SLOTS, targets, brokers).await?;
        let (marks, ledgers) = match topic {
            TargetFacts::There { .. } => match self.marks().await? {
                Ok((marks, ledgers)) => (Some(Ok(marks)), ledgers),
                Err(error) => (Some(Err(error)), Ledgers::new()),
            },
            _ => (None, Ledgers::new()),
        };
        Ok((ControlFacts { name, topic, marks }, ledgers))
    }

    /// What the target shows of a topic that the link keeps something in.
    async fn own_topic(
        &self,
        name: &str,
        partitions: i32,
        targets: &Topics,
        brokers: usize,
    ) -> Result<TargetFacts, Error> {
        let names = [name.to_owned()];
        let configs = async { each(&names, self.target.topic_configs(&names).await) };
        let rights = async { each(&names, self.target.topic_rights(&names).await) };
        let (mut configs, mut rights) = try_join!(configs, rights)?;
        let configs = configs.remove(name).unwrap_or_else(|| Err(missing_answer(&self.target, name)));
        let rights = rights.remove(name).unwrap_or(Ok(None));
        Ok(match (targets.get(name), rights) {
            (Some(Ok(info)), rights) => {
                TargetFacts::There { info: info.clone(), configs, rights, records: None }
            }
            (Some(Err(error)), _) if !error.is_unknown_topic() => TargetFacts::Hidden(error.clone()),
            (_, Err(error)) if error.is_not_authorized() => TargetFacts::Hidden(error),
            _ => {
                let wanted = control::configs();
                let replication = control::replication(brokers);
                let asked = self.target.validate_topic(name, partitions, replication, &wanted).await;
                let mut lacking = self.trials.lacking(name, &TRIED[..2]).await?;
                if configs.is_err_and(|error| error.is_not_authorized()) {
                    lacking.push(AclOperation::DescribeConfigs);
                }
                TargetFacts::Missing { creation: Some(refused(asked)?), configs: wanted, lacking }
            }
        })
    }

    /// The link's journal, and which topics are not mirrored by it. What can't be read is a right that is missing.
    async fn journal(&self, targets: &Topics, brokers: usize) -> Result<JournalFacts, Error> {
        let link = &self.request.link;
        let name = journal_of(&link.link);
        let topic = self.own_topic(&name, 1, targets, brokers).await?;
        let mut held = Vec::new();
        if matches!(topic, TargetFacts::There { .. })
            && let Ok(Some(journal)) = Journal::open(&self.wire, &link.link).await
            && let Ok(decided) = journal.read().await
        {
            let decisions = decided.topics().filter_map(|(topic, _)| decided.topic(topic));
            let not_running = decisions.filter(|decision| decision.state != TopicState::Running);
            held.extend(not_running.filter(|decision| link.rules.includes(&decision.topic)).map(Held::of));
        }
        Ok(JournalFacts { name, topic, held })
    }

    /// The groups that are to be kept in step, where any are.
    async fn groups(&self) -> Result<Option<groups::GroupFacts>, Error> {
        let choice = &self.request.link.groups.choice;
        match &self.source_wire {
            Some(source) if !choice.is_empty() => {
                groups::look(source, self.source.name(), &self.trials, choice).await.map(Some)
            }
            _ => Ok(None),
        }
    }

    /// Other links whose target is one of these clusters. On one cluster, all of them are on the target.
    async fn others(&self, sources: &Topics, targets: &Topics, one_cluster: bool) -> Vec<others::OtherLink> {
        let mut found = others::look(&self.wire, Side::Target, targets).await;
        found.retain(|other| other.name != self.request.link.link);
        if let Some(source) = self.source_wire.as_ref().filter(|_| !one_cluster) {
            found.extend(others::look(source, Side::Source, sources).await);
        }
        // Of a pair, one of the two rests.
        let partner = self.request.link.reverse.as_ref();
        found.retain(|other| Some(&other.name) != partner);
        found.iter_mut().for_each(|other| other.rules.retain(|rules| Some(&rules.link) != partner));
        found
    }

    /// What the link has on record.
    async fn marks(&self) -> Result<Result<(Marks, Ledgers), control_topic::Error>, Error> {
        let read = async {
            let Some(topic) = ControlTopic::open(&self.wire, &self.request.link.link).await? else {
                return Ok(Default::default());
            };
            let source_cluster = topic.link().await?.and_then(|link| link.source_cluster);
            let states = topic.read_all_committed(Keep::Tails).await?;
            let recorded = |(state, lane): (&ControlState, TopicPartition)| {
                let foreign = state.foreign(&lane).map(|event| event.words.clone());
                Some((lane.clone(), Recorded { ledger: state.writer(&lane)?, foreign }))
            };
            let lanes = states.iter().flat_map(|state| state.lanes().map(move |start| (state, start.lane())));
            let ledgers: Ledgers = lanes.filter_map(recorded).collect();
            let positions =
                ledgers.iter().map(|(lane, of)| (lane.clone(), of.ledger.position().source)).collect();
            Ok((Marks { source_cluster, positions, unlike: BTreeMap::new() }, ledgers))
        };
        match read.await {
            Err(control_topic::Error::Unreachable { cause, .. }) => {
                Err(unanswered(Side::Target, self.target.name(), &cause))
            }
            marks => Ok(marks),
        }
    }

    /// The target topic of each source topic, and where the partitions of those start and end that are there.
    async fn targets(
        &self,
        routes: &BTreeMap<String, String>,
        sources: &Topics,
        targets: &Topics,
        source_configs: &Answers<TopicConfigs>,
    ) -> Result<(BTreeMap<String, TargetFacts>, Bounds), Error> {
        let names: Vec<String> = routes.values().cloned().collect();
        let (there, not_listed): (Vec<String>, Vec<String>) =
            names.into_iter().partition(|name| matches!(targets.get(name.as_str()), Some(Ok(_))));
        let (mut configs, mut rights, hidden) = try_join!(
            async { each(&there, self.target.topic_configs(&there).await) },
            async { each(&there, self.target.topic_rights(&there).await) },
            // A topic that may not be described is not listed, but says so when it is asked about.
            async { each(&not_listed, self.target.topic_rights(&not_listed).await) },
        )?;
        let (mut records, bounds) = count::target(&self.target, &there, targets).await?;
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
        Ok((found, bounds))
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
        let partitions = info.map_or(0, |info| info.partitions);
        let new = NewTopic::of(partitions, configs, name, &settings);
        let creation = match info.filter(|_| settings.create) {
            Some(_) => Some(refused(new.validate(&self.target).await)?),
            None => None,
        };
        let lacking = self.trials.lacking(name, &TRIED).await?;
        Ok(TargetFacts::Missing { creation, configs: new.configs, lacking })
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
