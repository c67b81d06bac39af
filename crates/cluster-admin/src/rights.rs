//! What this principal may do: to topics, to the cluster. Asked of the brokers, never guessed.
//!
//! A cluster without an authorizer grants every operation, and says so. An operation on something that
//! this principal may not even describe can't be asked about: a topic is then an error ("not
//! authorized"), the cluster an empty set of rights.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use kafka_rd::{AclOperation, AdminError, TopicDescription};
use rdkafka::types::RDKafkaErrorCode as Code;

use crate::{Cluster, Error};

/// The operations that this principal is allowed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rights(pub BTreeSet<AclOperation>);

impl Rights {
    /// Whether this operation is allowed.
    pub fn may(&self, operation: AclOperation) -> bool {
        self.0.contains(&operation)
    }
}

impl FromIterator<AclOperation> for Rights {
    fn from_iter<I: IntoIterator<Item = AclOperation>>(operations: I) -> Self {
        Self(operations.into_iter().collect())
    }
}

impl Cluster {
    /// What this principal may do to each topic. An error for a topic that there is not, or that it may
    /// not describe; none where the broker is too old to say.
    pub async fn topic_rights(
        &self,
        topics: &[String],
    ) -> Result<BTreeMap<String, Result<Option<Rights>, Error>>, Error> {
        let mut found = self.describe(topics).await?;
        let context = |name: &String| {
            let doing = format!("get the rights on topic {name}");
            let rights =
                found.remove(name).unwrap_or_else(|| Err(AdminError::new(Code::UnknownTopicOrPartition)));
            let rights = rights.map(|topic| rights_of(topic.operations));
            (name.clone(), rights.map_err(|error| self.error(&doing, error)))
        };
        Ok(topics.iter().map(context).collect())
    }

    /// The ids of those topics that have one and that this principal may describe, as Kafka prints them. A topic that
    /// is deleted and made again gets another.
    pub async fn topic_ids(&self, topics: &[String]) -> Result<BTreeMap<String, String>, Error> {
        let found = self.describe(topics).await?;
        Ok(found.into_iter().filter_map(|(name, topic)| Some((name, topic.ok()?.id?))).collect())
    }

    async fn describe(
        &self,
        topics: &[String],
    ) -> Result<HashMap<String, Result<TopicDescription, AdminError>>, Error> {
        if topics.is_empty() {
            return Ok(HashMap::new());
        }
        let asked = topics.to_vec();
        let found = self.read("describe topics", move |admin, _| {
            let names: Vec<&str> = asked.iter().map(String::as_str).collect();
            admin.describe_topics(&names)
        });
        found.await
    }

    /// What this principal may do to the cluster as a whole. Empty where it may not describe the cluster,
    /// even if it may do something else to it; none where the broker is too old to say.
    pub async fn cluster_rights(&self) -> Result<Option<Rights>, Error> {
        let description = self.read("get the rights on the cluster", |admin, _| admin.describe_cluster());
        Ok(rights_of(description.await?.operations))
    }
}

fn rights_of(operations: Option<Vec<AclOperation>>) -> Option<Rights> {
    operations.map(Rights::from_iter)
}
