//! What is known of the cluster, and how it is found out (Metadata requests, one at a time).

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::{Arc, Mutex},
    time::Instant,
};

use kafka_protocol::messages::{
    BrokerId, MetadataRequest, MetadataResponse, TopicName, metadata_request::MetadataRequestTopic,
    metadata_response::MetadataResponseTopic,
};

use super::{Client, Purpose, by_itself, last_attempt::LastAttempt, pool::Address};
use crate::{Cause, Code, Connection, Error, lock, names};

/// The newest Metadata that is spoken: v10 has topic ids, v12 asks by them.
const VERSION: i16 = 12;

/// A broker as the cluster lists it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Broker {
    /// Its id.
    pub id: i32,
    /// Its host, as it advertises it.
    pub host: Arc<str>,
    /// Its port.
    pub port: u16,
    /// Its rack, if it has one.
    pub rack: Option<Arc<str>>,
}

/// A topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Topic {
    /// Its name.
    pub name: Arc<str>,
    /// Its id (KIP-516), all zero where the broker knows none.
    pub id: [u8; 16],
    /// Whether it is one of Kafka's own.
    pub internal: bool,
    /// Its partitions, by their numbers.
    pub partitions: BTreeMap<i32, Partition>,
}

impl Topic {
    /// Its id as Kafka's tools write it; `None` where the broker knows none.
    pub fn id_text(&self) -> Option<String> {
        (self.id != [0; 16]).then(|| crate::base64::encode_url(&self.id))
    }
}

/// A partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Partition {
    /// The leader's id, where it has one.
    pub leader: Option<i32>,
    /// The leader's epoch, -1 where the broker knows none.
    pub leader_epoch: i32,
    /// The brokers that have a replica.
    pub replicas: Vec<i32>,
    /// Those of them that are in sync.
    pub in_sync: Vec<i32>,
}

/// The leader of a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Leader {
    /// Its broker id.
    pub broker: i32,
    /// Its epoch, -1 where the broker knows none.
    pub epoch: i32,
}

#[derive(Default)]
pub(super) struct Cache {
    pub known: Mutex<Known>,
    /// Topics that someone waits for, for the next request to ask for.
    wanted: Mutex<BTreeSet<Arc<str>>>,
    /// Held by who asks.
    asking: tokio::sync::Mutex<LastAttempt>,
}

#[derive(Default)]
pub(super) struct Known {
    pub brokers: BTreeMap<i32, Broker>,
    /// When the request was made that the brokers are from.
    asked: Option<Instant>,
    controller: Option<i32>,
    cluster_id: Option<Arc<str>>,
    pub topics: HashMap<Arc<str>, KnownTopic>,
}

pub(super) struct KnownTopic {
    /// When the request was made that this is from.
    asked: Instant,
    pub topic: Result<Arc<Topic>, Error>,
}

impl Known {
    fn fresh(&self, topic: &str, since: Instant) -> Option<Result<Arc<Topic>, Error>> {
        let known = self.topics.get(topic).filter(|known| known.asked >= since)?;
        Some(known.topic.clone())
    }
}

impl Client {
    /// A topic, as it was when last asked for, but not longer ago than `metadata.max.age.ms`.
    pub async fn topic(&self, name: &str) -> Result<Arc<Topic>, Error> {
        let now = Instant::now();
        let max_age = self.inner.settings.metadata_max_age;
        let since = now.checked_sub(max_age).unwrap_or(now);
        let known = lock(&self.inner.cache.known).fresh(name, since);
        match known {
            Some(Ok(topic)) => Ok(topic),
            // An error is asked about again.
            _ => self.fresh_topic(name).await,
        }
    }

    /// A topic as it is now. Many who ask at the same time cost one request.
    pub async fn fresh_topic(&self, name: &str) -> Result<Arc<Topic>, Error> {
        let (since, name, client) = (Instant::now(), Arc::<str>::from(name), self.clone());
        lock(&self.inner.cache.wanted).insert(name.clone());
        by_itself(async move { client.topic_since(name, since).await }).await
    }

    async fn topic_since(&self, name: Arc<str>, since: Instant) -> Result<Arc<Topic>, Error> {
        let cache = &self.inner.cache;
        let mut last = cache.asking.lock().await;
        if let Some(topic) = lock(&cache.known).fresh(&name, since) {
            return topic;
        }
        last.failed_since(since)?;
        let mut wanted = std::mem::take(&mut *lock(&cache.wanted));
        wanted.insert(name.clone());
        last.note(self.ask(Some(&wanted)).await)?;
        let known = lock(&cache.known).fresh(&name, since);
        known.unwrap_or_else(|| {
            let doing = format!("find topic {name}");
            Err(Error::senseless(&"".into(), doing, "the broker's answer does not have the topic"))
        })
    }

    /// All topics, Kafka's own included, that this principal may see.
    pub async fn topics(&self) -> Result<Vec<Arc<Topic>>, Error> {
        let (since, client) = (Instant::now(), self.clone());
        let names = by_itself(async move {
            let mut last = client.inner.cache.asking.lock().await;
            last.failed_since(since)?;
            last.note(client.ask(None).await)
        });
        let names = names.await?;
        let known = lock(&self.inner.cache.known);
        let find = |name: &Arc<str>| known.topics.get(name)?.topic.clone().ok();
        Ok(names.iter().filter_map(find).collect())
    }

    /// A partition's leader, as far as is known; an error where it has none.
    pub async fn leader(&self, topic: &str, partition: i32) -> Result<Leader, Error> {
        let found = self.topic(topic).await?;
        leader_in(&found, partition)
    }

    /// Forgets what is known of a topic, so that the next who needs it asks.
    pub fn forget(&self, topic: &str) {
        lock(&self.inner.cache.known).topics.remove(topic);
    }

    /// The brokers that are up, by their ids.
    pub async fn brokers(&self) -> Result<BTreeMap<i32, Broker>, Error> {
        self.refresh_brokers().await?;
        Ok(lock(&self.inner.cache.known).brokers.clone())
    }

    /// The id of the cluster, where it has one.
    pub async fn cluster_id(&self) -> Result<Option<Arc<str>>, Error> {
        self.refresh_brokers().await?;
        Ok(lock(&self.inner.cache.known).cluster_id.clone())
    }

    /// Asks for the brokers and the controller.
    pub(super) async fn refresh_brokers(&self) -> Result<(), Error> {
        let (since, client) = (Instant::now(), self.clone());
        by_itself(async move {
            let mut last = client.inner.cache.asking.lock().await;
            if lock(&client.inner.cache.known).asked.is_some_and(|asked| asked >= since) {
                return Ok(());
            }
            last.failed_since(since)?;
            last.note(client.ask(Some(&BTreeSet::new())).await).map(drop)
        })
        .await
    }

    /// The controller's id, if the brokers know one. (With KRaft it is any broker, which passes on what it gets.)
    pub(super) async fn controller(&self) -> Result<i32, Error> {
        let known = lock(&self.inner.cache.known).controller;
        if let Some(id) = known {
            return Ok(id);
        }
        self.refresh_brokers().await?;
        let known = lock(&self.inner.cache.known).controller;
        known.ok_or_else(|| no_broker("find the controller", "the brokers know none"))
    }

    pub(super) fn forget_controller(&self) {
        lock(&self.inner.cache.known).controller = None;
    }

    /// Where a broker is.
    pub(super) async fn address_of(&self, broker: i32) -> Result<Address, Error> {
        let find = || {
            let known = lock(&self.inner.cache.known);
            known.brokers.get(&broker).map(|broker| (broker.host.clone(), broker.port))
        };
        if let Some(address) = find() {
            return Ok(address);
        }
        self.refresh_brokers().await?;
        find().ok_or_else(|| {
            no_broker(&format!("find broker {broker}"), "it is not one of the cluster's that are up")
        })
    }

    /// Forgets where a broker is: it may have moved.
    pub(super) fn forget_broker(&self, broker: i32) {
        lock(&self.inner.cache.known).brokers.remove(&broker);
    }

    pub(super) fn learn_broker(&self, broker: Broker) {
        lock(&self.inner.cache.known).brokers.insert(broker.id, broker);
    }

    /// A connection to any broker: one that is there, or the first that can be made.
    pub(super) async fn any(&self, purpose: Purpose) -> Result<Connection, Error> {
        let mut known: Vec<Address> = {
            let known = lock(&self.inner.cache.known);
            known.brokers.values().map(|broker| (broker.host.clone(), broker.port)).collect()
        };
        let bootstrap = self.inner.settings.bootstrap.iter();
        known.extend(bootstrap.map(|(host, port)| (Arc::from(&**host), *port)));
        known.sort_by_cached_key(|address| self.inner.pool.wait_for(address, purpose));
        let mut worst: Option<Error> = None;
        for address in known {
            match self.pooled(&address, purpose).await {
                Ok(connection) => return Ok(connection),
                // That one is down says less than that another does not let us in.
                Err(error)
                    if worst.as_ref().is_some_and(|w| !w.is_unreachable()) && error.is_unreachable() => {}
                Err(error) => worst = Some(error),
            }
        }
        Err(worst.unwrap_or_else(|| no_broker("connect", "no broker is known")))
    }

    /// Asks any broker for these topics, or for all, and keeps what it says. Gives the topics' names.
    async fn ask(&self, topics: Option<&BTreeSet<Arc<str>>>) -> Result<Vec<Arc<str>>, Error> {
        let connection = self.any(Purpose::ADMIN).await?;
        let asked = Instant::now();
        let one = |name: &Arc<str>| MetadataRequestTopic::default().with_name(Some(names::topic(name)));
        let request = MetadataRequest::default()
            .with_topics(topics.map(|topics| topics.iter().map(one).collect()))
            // No version before 4 can say no.
            .with_allow_auto_topic_creation(connection.version_of::<MetadataRequest>(VERSION)? < 4);
        let answer = connection.send(&request, VERSION).await?;
        let mut known = lock(&self.inner.cache.known);
        Ok(known.learn(&answer, asked, connection.address()))
    }
}

impl Known {
    #[cfg(test)]
    pub fn put(&mut self, topic: Topic) {
        let known = KnownTopic { asked: Instant::now(), topic: Ok(Arc::new(topic.clone())) };
        self.topics.insert(topic.name, known);
    }

    fn learn(&mut self, answer: &MetadataResponse, asked: Instant, from: &Arc<str>) -> Vec<Arc<str>> {
        let brokers = answer.brokers.iter().filter_map(|broker| {
            let own = Broker {
                id: broker.node_id.0,
                host: Arc::from(&*broker.host),
                port: u16::try_from(broker.port).ok()?,
                rack: broker.rack.as_deref().map(Arc::from),
            };
            Some((own.id, own))
        });
        let brokers: BTreeMap<_, _> = brokers.collect();
        // A broker that has just started may know of no other yet, not even of itself.
        if !brokers.is_empty() {
            self.brokers = brokers;
        }
        self.asked = Some(asked);
        self.controller = Some(answer.controller_id.0).filter(|id| *id >= 0);
        self.cluster_id = answer.cluster_id.as_deref().map(Arc::from).or(self.cluster_id.take());
        let mut names = Vec::with_capacity(answer.topics.len());
        for topic in &answer.topics {
            let Some(TopicName(name)) = &topic.name else { continue };
            let name: Arc<str> = Arc::from(&**name);
            names.push(name.clone());
            let found = match Code::try_from_code(topic.error_code) {
                // Some partition has no leader: that is no error of the others.
                None | Some(Code::LeaderNotAvailable) if !topic.partitions.is_empty() => {
                    Ok(Arc::new(topic_of(name.clone(), topic)))
                }
                None => {
                    Err(Error::answered(from, format!("find topic {name}"), Code::UnknownTopicOrPartition))
                }
                Some(code) => Err(Error::answered(from, format!("find topic {name}"), code)),
            };
            self.topics.insert(name, KnownTopic { asked, topic: found });
        }
        names
    }
}

fn topic_of(name: Arc<str>, topic: &MetadataResponseTopic) -> Topic {
    let ids = |ids: &[BrokerId]| ids.iter().map(|id| id.0).collect();
    let partitions = topic.partitions.iter().map(|partition| {
        let own = Partition {
            leader: Some(partition.leader_id.0).filter(|id| *id >= 0),
            leader_epoch: partition.leader_epoch,
            replicas: ids(&partition.replica_nodes),
            in_sync: ids(&partition.isr_nodes),
        };
        (partition.partition_index, own)
    });
    Topic {
        name,
        id: topic.topic_id.into_bytes(),
        internal: topic.is_internal,
        partitions: partitions.collect(),
    }
}

fn leader_in(topic: &Topic, partition: i32) -> Result<Leader, Error> {
    let doing = || format!("find the leader of {}/{partition}", topic.name);
    let Some(found) = topic.partitions.get(&partition) else {
        let count = topic.partitions.len();
        return Err(Error {
            broker: "".into(),
            doing: doing().into(),
            sent: crate::Sent::NotSent,
            cause: Cause::Kafka {
                code: Code::UnknownTopicOrPartition,
                message: format!("the topic has {count} partitions").into(),
            },
        });
    };
    let leader = found.leader.map(|broker| Leader { broker, epoch: found.leader_epoch });
    leader.ok_or_else(|| no_broker(&doing(), "it has none now"))
}

pub(super) fn no_broker(doing: &str, why: &str) -> Error {
    Error::not_sent(&"".into(), doing, Cause::NoBroker(why.into()))
}
