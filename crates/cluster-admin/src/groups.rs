//! Committed offsets of a consumer group that has no members: reading and writing them as one who
//! consumes without joining. Never joins, and never touches a group that has members (the broker refuses).

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex},
};

use kafka_rd::{Admin, AdminError};
use mirror_types::{Offset, TopicPartition};
use rdkafka::{TopicPartitionList, consumer::Consumer, types::RDKafkaErrorCode as Code};

use crate::{
    Cluster, Error,
    client::{Inner, Native, lock, start},
    error::from_kafka,
};

/// What came of it for each partition.
type Outcomes<T> = Vec<(TopicPartition, Result<T, AdminError>)>;

/// A client for each group: in librdkafka only a consumer of the group follows its coordinator around.
pub(crate) type Groups = Mutex<HashMap<String, Arc<Native>>>;

impl Cluster {
    /// The offset that `group` has committed for each partition; none where it has none. Needs Describe
    /// on the group and the topics.
    pub async fn committed(
        &self,
        group: &str,
        partitions: &[TopicPartition],
    ) -> Result<HashMap<TopicPartition, Result<Option<Offset>, Error>>, Error> {
        if partitions.is_empty() {
            return Ok(HashMap::new());
        }
        let doing = format!("get committed offsets of group {group}");
        let (group, asked) = (group.to_owned(), partitions.to_vec());
        let found = self.blocking(&doing, move |inner| inner.committed(&group, &asked)).await?;
        Ok(self.with_context(&doing, found))
    }

    /// Commits offsets for `group`, and says of each partition whether that went. Needs Read on the group
    /// and the topics. Fails as a whole where the group has members.
    pub async fn commit(
        &self,
        group: &str,
        offsets: &[(TopicPartition, Offset)],
    ) -> Result<HashMap<TopicPartition, Result<(), Error>>, Error> {
        if offsets.is_empty() {
            return Ok(HashMap::new());
        }
        let doing = format!("commit offsets of group {group}");
        // The last one counts, as it would in commits one after the other.
        let unique: BTreeMap<TopicPartition, Offset> = offsets.iter().cloned().collect();
        let group = group.to_owned();
        let done = self.blocking(&doing, move |inner| inner.commit(&group, unique)).await?;
        Ok(self.with_context(&doing, done))
    }

    fn with_context<T>(
        &self,
        doing: &str,
        outcomes: Outcomes<T>,
    ) -> HashMap<TopicPartition, Result<T, Error>> {
        let context = |(partition, outcome): (TopicPartition, Result<_, _>)| {
            let outcome = outcome.map_err(|error| self.error(&format!("{doing} for {partition}"), error));
            (partition, outcome)
        };
        outcomes.into_iter().map(context).collect()
    }

    /// Lets go of the client of a group that is no longer needed.
    pub fn forget_group(&self, group: &str) {
        lock(&self.inner.groups).remove(group);
    }
}

impl Inner {
    fn group(&self, group: &str) -> Result<Arc<Native>, AdminError> {
        let mut groups = lock(&self.groups);
        if let Some(client) = groups.get(group) {
            return Ok(client.clone());
        }
        let mut config = self.config.clone();
        config.set("group.id", group).set("enable.auto.commit", "false");
        let client = start(&config, &self.context)?;
        groups.insert(group.to_owned(), client.clone());
        Ok(client)
    }

    fn committed(
        &self,
        group: &str,
        partitions: &[TopicPartition],
    ) -> Result<Outcomes<Option<Offset>>, AdminError> {
        let mut list = TopicPartitionList::with_capacity(partitions.len());
        for partition in partitions {
            if partition.topic.contains('\0') {
                return Err(AdminError::new(Code::InvalidTopic));
            }
            list.add_partition(&partition.topic, partition.partition);
        }
        let client = self.group(group)?;
        let list = client.committed_offsets(list, self.timeout).map_err(|error| from_kafka(&error))?;
        let outcome = |element: rdkafka::topic_partition_list::TopicPartitionListElem<'_>| {
            let partition = TopicPartition::new(element.topic(), element.partition());
            let offset = element.error().map_err(|error| from_kafka(&error));
            (partition, offset.map(|()| element.offset().to_raw().filter(|&offset| offset >= 0)))
        };
        Ok(list.elements().into_iter().map(outcome).collect())
    }

    fn commit(
        &self,
        group: &str,
        offsets: BTreeMap<TopicPartition, Offset>,
    ) -> Result<Outcomes<()>, AdminError> {
        let client = self.group(group)?;
        let raw: Vec<_> =
            offsets.iter().map(|(p, &offset)| ((p.topic.clone(), p.partition), offset)).collect();
        let done = Admin::new(client.client(), self.timeout).commit(&raw)?;
        Ok(offsets.into_keys().zip(done.into_iter().map(|outcome| outcome.map(|_| ()))).collect())
    }
}
