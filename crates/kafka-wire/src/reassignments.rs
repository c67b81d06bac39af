//! Where partitions' replicas are to be (AlterPartitionReassignments, ListPartitionReassignments, KIP-455; brokers from
//! 2.4), and who of them leads (ElectLeaders, KIP-460). Never decides either.

use std::{collections::BTreeMap, time::Duration};

use kafka_protocol::{
    messages::{
        AlterPartitionReassignmentsRequest, ElectLeadersRequest, ListPartitionReassignmentsRequest,
        alter_partition_reassignments_request::{ReassignablePartition, ReassignableTopic},
        elect_leaders_request::TopicPartitions,
    },
    protocol::StrBytes,
};

use crate::{Client, Code, Error, To, client::repeat, names};

const VERSION: i16 = 0;
/// v1 elects by kind, v2 has flexible fields.
const ELECT_VERSION: i16 = 2;
/// The preferred leader.
const PREFERRED: i8 = 0;
/// What a controller may take its time for.
const TIMEOUT: Duration = Duration::from_secs(60);

/// A reassignment that goes on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reassignment {
    /// All replicas, those that are on their way included.
    pub replicas: Vec<i32>,
    /// Those that are added.
    pub adding: Vec<i32>,
    /// Those that are removed at the end.
    pub removing: Vec<i32>,
}

/// A partition and where its replicas are to be, the preferred leader first; none: as they were before a reassignment that
/// goes on.
pub type Reassign = (String, i32, Option<Vec<i32>>);

type Outcomes = BTreeMap<(String, i32), Result<(), Error>>;

impl Client {
    /// All reassignments that go on. Needs DESCRIBE on the cluster. Tried again while no controller answers.
    pub async fn list_reassignments(&self) -> Result<BTreeMap<(String, i32), Reassignment>, Error> {
        repeat!(self, To::Controller, self.list_reassignments_once())
    }

    async fn list_reassignments_once(&self) -> Result<BTreeMap<(String, i32), Reassignment>, Error> {
        let request =
            ListPartitionReassignmentsRequest::default().with_timeout_ms(millis(TIMEOUT)).with_topics(None);
        let connection = self.connection(To::Controller).await?;
        let answer = connection.send_within(&request, VERSION, TIMEOUT).await?;
        if let Some(code) = Code::try_from_code(answer.error_code) {
            let doing = "list the reassignments";
            return Err(Error::answered_with(connection.address(), doing, code, text(&answer.error_message)));
        }
        let ids = |ids: &[kafka_protocol::messages::BrokerId]| ids.iter().map(|id| id.0).collect();
        let mut found = BTreeMap::new();
        for topic in &answer.topics {
            for partition in &topic.partitions {
                let reassignment = Reassignment {
                    replicas: ids(&partition.replicas),
                    adding: ids(&partition.adding_replicas),
                    removing: ids(&partition.removing_replicas),
                };
                found.insert((topic.name.to_string(), partition.partition_index), reassignment);
            }
        }
        Ok(found)
    }

    /// Begins reassignments, or takes back those that go on. What became of each. Needs ALTER on the cluster. Doing it twice
    /// is doing it once; tried again while no controller answers.
    pub async fn reassign(&self, partitions: &[Reassign]) -> Result<Outcomes, Error> {
        repeat!(self, To::Controller, self.reassign_once(partitions))
    }

    async fn reassign_once(&self, partitions: &[Reassign]) -> Result<Outcomes, Error> {
        let mut topics: BTreeMap<&str, Vec<ReassignablePartition>> = BTreeMap::new();
        for (topic, partition, replicas) in partitions {
            let replicas = replicas.as_ref().map(|ids| ids.iter().map(|id| (*id).into()).collect());
            let one =
                ReassignablePartition::default().with_partition_index(*partition).with_replicas(replicas);
            topics.entry(topic).or_default().push(one);
        }
        let topics = topics.into_iter().map(|(topic, partitions)| {
            ReassignableTopic::default().with_name(names::topic(topic)).with_partitions(partitions)
        });
        let request = AlterPartitionReassignmentsRequest::default()
            .with_timeout_ms(millis(TIMEOUT))
            .with_topics(topics.collect());
        let connection = self.connection(To::Controller).await?;
        let answer = connection.send_within(&request, VERSION, TIMEOUT).await?;
        if let Some(code) = Code::try_from_code(answer.error_code) {
            let doing = "reassign partitions";
            return Err(Error::answered_with(connection.address(), doing, code, text(&answer.error_message)));
        }
        let mut outcomes = BTreeMap::new();
        for topic in &answer.responses {
            for found in &topic.partitions {
                let at = (topic.name.to_string(), found.partition_index);
                let failed = Code::try_from_code(found.error_code).map(|code| {
                    let doing = format!("reassign {}[{}]", at.0, at.1);
                    Error::answered_with(connection.address(), doing, code, text(&found.error_message))
                });
                outcomes.insert(at, failed.map_or(Ok(()), Err));
            }
        }
        Ok(outcomes)
    }

    /// Has the preferred replicas of these partitions elected as leaders. What became of each; one that leads already is
    /// well. Needs ALTER on the cluster. Tried again while no controller answers.
    pub async fn elect_preferred(&self, partitions: &[(String, i32)]) -> Result<Outcomes, Error> {
        repeat!(self, To::Controller, self.elect_preferred_once(partitions))
    }

    async fn elect_preferred_once(&self, partitions: &[(String, i32)]) -> Result<Outcomes, Error> {
        let mut topics: BTreeMap<&str, Vec<i32>> = BTreeMap::new();
        for (topic, partition) in partitions {
            topics.entry(topic).or_default().push(*partition);
        }
        let topics = topics.into_iter().map(|(topic, partitions)| {
            TopicPartitions::default().with_topic(names::topic(topic)).with_partitions(partitions)
        });
        let request = ElectLeadersRequest::default()
            .with_election_type(PREFERRED)
            .with_topic_partitions(Some(topics.collect()))
            .with_timeout_ms(millis(TIMEOUT));
        let connection = self.connection(To::Controller).await?;
        let answer = connection.send_within(&request, ELECT_VERSION, TIMEOUT).await?;
        if let Some(code) = Code::try_from_code(answer.error_code) {
            return Err(Error::answered(connection.address(), "elect leaders", code));
        }
        let mut outcomes = BTreeMap::new();
        for topic in &answer.replica_election_results {
            for found in &topic.partition_result {
                let at = (topic.topic.to_string(), found.partition_id);
                let code =
                    Code::try_from_code(found.error_code).filter(|code| *code != Code::ElectionNotNeeded);
                let failed = code.map(|code| {
                    let doing = format!("elect the preferred leader of {}[{}]", at.0, at.1);
                    Error::answered_with(connection.address(), doing, code, text(&found.error_message))
                });
                outcomes.insert(at, failed.map_or(Ok(()), Err));
            }
        }
        Ok(outcomes)
    }
}

fn text(message: &Option<StrBytes>) -> &str {
    message.as_deref().unwrap_or_default()
}

fn millis(time: Duration) -> i32 {
    i32::try_from(time.as_millis()).unwrap_or(i32::MAX)
}
