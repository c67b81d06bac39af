//! Topics: what there is, making, growing, deleting. Never creates one by asking for it.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use kafka_rd::{AdminError, NewTopic};
use rdkafka::{consumer::Consumer, metadata::MetadataTopic, types::RDKafkaErrorCode as Code};
use tokio::time::{Instant, sleep};

use crate::{Cluster, Error, client::Call, error::from_kafka};

/// How often to look whether a new topic or partition has its leaders.
const LOOK: Duration = Duration::from_millis(50);

/// A topic, as the cluster's metadata shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicInfo {
    /// How many partitions it has.
    pub partitions: i32,
    /// How many replicas its partition 0 has.
    pub replication: i32,
    /// Its partitions that have no leader now.
    pub leaderless: Vec<i32>,
}

/// All topics of a cluster, by name; an error where the cluster shows that there is one, and no more.
pub type Topics = BTreeMap<Arc<str>, Result<TopicInfo, Error>>;

impl Cluster {
    /// All topics that this principal may describe (the brokers don't mention the others).
    pub async fn topics(&self) -> Result<Topics, Error> {
        let found = self.blocking("list topics", |call| call.metadata(None)).await?;
        let context = |(name, info): (String, Result<_, _>)| {
            let info = info.map_err(|error| self.error(&format!("describe topic {name}"), error));
            (Arc::from(name), info)
        };
        Ok(found.into_iter().map(context).collect())
    }

    /// One topic; none where there is no such topic.
    pub async fn topic(&self, name: &str) -> Result<Option<TopicInfo>, Error> {
        let (doing, asked) = (format!("describe topic {name}"), name.to_owned());
        let found = self.blocking(&doing, move |call| call.metadata(Some(&asked))).await?;
        match found.into_iter().find(|(found, _)| found == name).map(|(_, info)| info) {
            None => Ok(None),
            Some(Err(error)) if error.code == Code::UnknownTopicOrPartition => Ok(None),
            Some(info) => info.map(Some).map_err(|error| self.error(&doing, error)),
        }
    }

    /// Creates a topic and waits until all its partitions have leaders. −1 partitions or replicas means
    /// the broker's default. False where the topic is there already, whatever it looks like.
    pub async fn create_topic(
        &self,
        name: &str,
        partitions: i32,
        replication: i32,
        configs: &[(String, String)],
    ) -> Result<bool, Error> {
        let doing = format!("create topic {name}");
        match self.request_topic(&doing, name, partitions, replication, configs, false).await {
            Err(error) if error.code == Code::TopicAlreadyExists => Ok(false),
            Err(error) => Err(error),
            Ok(()) => self.settle(&doing, name, partitions).await.map(|()| true),
        }
    }

    /// Asks the cluster whether [`Self::create_topic`] would go (rights, policies, configs, replicas);
    /// creates nothing.
    pub async fn validate_topic(
        &self,
        name: &str,
        partitions: i32,
        replication: i32,
        configs: &[(String, String)],
    ) -> Result<(), Error> {
        let doing = format!("ask whether topic {name} could be created");
        self.request_topic(&doing, name, partitions, replication, configs, true).await
    }

    async fn request_topic(
        &self,
        doing: &str,
        name: &str,
        partitions: i32,
        replication: i32,
        configs: &[(String, String)],
        validate_only: bool,
    ) -> Result<(), Error> {
        let (name, configs) = (name.to_owned(), configs.to_vec());
        self.write(doing, move |admin| {
            let topic = NewTopic { name: &name, partitions, replication, configs: &configs };
            admin.create_topic(topic, validate_only)
        })
        .await
    }

    /// Grows a topic to `to_partitions` partitions in all and waits until they have leaders. A topic that
    /// has so many already is left as it is.
    pub async fn grow_topic(&self, name: &str, to_partitions: i32) -> Result<(), Error> {
        let doing = format!("grow topic {name} to {to_partitions} partitions");
        let (asked, count) = (name.to_owned(), usize::try_from(to_partitions).unwrap_or(0));
        let grown = self.write(&doing, move |admin| admin.create_partitions(&asked, count)).await;
        // The broker says "invalid partitions" to growing by nothing, too.
        if let Err(error) = grown {
            let there = match error.code {
                Code::InvalidPartitions => self.topic(name).await?.map_or(0, |info| info.partitions),
                _ => 0,
            };
            if there < to_partitions {
                return Err(error);
            }
        }
        self.settle(&doing, name, to_partitions).await
    }

    /// Deletes a topic and waits until it is gone. False where there was none.
    pub async fn delete_topic(&self, name: &str) -> Result<bool, Error> {
        let (doing, asked) = (format!("delete topic {name}"), name.to_owned());
        match self.write(&doing, move |admin| admin.delete_topic(&asked)).await {
            Err(error) if error.is_unknown_topic() => return Ok(false),
            outcome => outcome?,
        }
        let deadline = Instant::now() + self.timeout();
        while self.topic(name).await?.is_some() {
            if Instant::now() > deadline {
                let reason = "it is still there".to_owned();
                return Err(self.error(&doing, AdminError { code: Code::OperationTimedOut, reason }));
            }
            sleep(LOOK).await;
        }
        Ok(true)
    }

    /// Waits until a topic is seen with (at least) so many partitions, all with leaders.
    async fn settle(&self, doing: &str, name: &str, partitions: i32) -> Result<(), Error> {
        let deadline = Instant::now() + self.timeout();
        loop {
            let state = match self.topic(name).await {
                Ok(Some(info)) if info.partitions >= partitions && info.leaderless.is_empty() => {
                    return Ok(());
                }
                Ok(Some(info)) if info.leaderless.is_empty() => format!("{} partitions", info.partitions),
                Ok(Some(info)) => format!("no leaders for partitions {:?}", info.leaderless),
                Ok(None) => "no topic".to_owned(),
                Err(error) if error.is_retriable() => error.reason,
                Err(error) => return Err(Error { doing: doing.to_owned(), ..error }),
            };
            if Instant::now() > deadline {
                let reason = format!("it was done, but {:?} later there is {state}", self.timeout());
                return Err(self.error(doing, AdminError { code: Code::OperationTimedOut, reason }));
            }
            sleep(LOOK).await;
        }
    }
}

pub(crate) type Found = Vec<(String, Result<TopicInfo, AdminError>)>;

impl Call {
    /// One metadata request: for one topic, or for all.
    pub fn metadata(&self, topic: Option<&str>) -> Result<Found, AdminError> {
        if topic.is_some_and(|topic| topic.contains('\0')) {
            return Err(AdminError::new(Code::InvalidTopic));
        }
        let metadata = self.native.client().fetch_metadata(topic, self.timeout);
        let metadata = metadata.map_err(|error| from_kafka(&error))?;
        Ok(metadata.topics().iter().map(|topic| (topic.name().to_owned(), info(topic))).collect())
    }
}

fn info(topic: &MetadataTopic) -> Result<TopicInfo, AdminError> {
    if let Some(error) = topic.error() {
        return Err(AdminError::new(error.into()));
    }
    let partitions = topic.partitions();
    let first = partitions.iter().find(|p| p.id() == 0);
    let mut leaderless: Vec<i32> = partitions.iter().filter(|p| p.leader() < 0).map(|p| p.id()).collect();
    leaderless.sort_unstable();
    Ok(TopicInfo {
        partitions: partitions.len() as i32,
        replication: first.map_or(0, |p| p.replicas().len() as i32),
        leaderless,
    })
}
