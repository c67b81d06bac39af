//! Committed offsets of consumer groups that have no members: reading and writing them as one who consumes
//! without joining. Never joins a group, and never touches one that has members (the broker refuses).

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex},
    thread,
    time::{Duration, Instant},
};

use kafka_rd::{Admin, AdminError};
use mirror_types::{Offset, TopicPartition};
use rdkafka::{TopicPartitionList, consumer::Consumer, types::RDKafkaErrorCode as Code};

use crate::{
    Cluster, Error,
    client::Call,
    error::from_kafka,
    native::{Client, Slot, lock},
};

/// How long to wait before asking again for a coordinator that was not the one, or not ready.
const PAUSE: Duration = Duration::from_millis(100);

/// What the first attempt is given, the next ones twice that each: where there is no coordinator yet (on a
/// new cluster the first group has to wait until its topic is made) librdkafka asks three times in a hurry,
/// and then waits for nothing until the timeout.
const FIRST: Duration = Duration::from_secs(2);

/// What came of it for each partition.
type Outcomes<T> = HashMap<TopicPartition, Result<T, Error>>;

/// The same, before it is told whose trouble it is.
type Answers<T> = Vec<(TopicPartition, Result<T, AdminError>)>;

/// A client for each group: in librdkafka a consumer of the group follows its coordinator around.
pub(crate) type Groups = Mutex<HashMap<String, Arc<Slot>>>;

impl Cluster {
    /// The offset that `group` has committed for each partition; none where it has none. Needs Describe
    /// on the group and the topics.
    pub async fn committed(
        &self,
        group: &str,
        partitions: &[TopicPartition],
    ) -> Result<Outcomes<Option<Offset>>, Error> {
        if partitions.is_empty() {
            return Ok(HashMap::new());
        }
        let doing = format!("get committed offsets of group {group}");
        let (name, asked) = (group.to_owned(), partitions.to_vec());
        let found = self.blocking_of_group(&doing, group, move |call| call.committed(&name, &asked)).await?;
        Ok(self.outcomes(&doing, found))
    }

    /// Commits offsets for `group`, and says of each partition whether that went. Needs Read on the group
    /// and the topics. Every partition fails where the group has members.
    pub async fn commit(
        &self,
        group: &str,
        offsets: &[(TopicPartition, Offset)],
    ) -> Result<Outcomes<()>, Error> {
        if offsets.is_empty() {
            return Ok(HashMap::new());
        }
        let doing = format!("commit offsets of group {group}");
        // The last one counts, as it would in commits one after the other.
        let unique: BTreeMap<TopicPartition, Offset> = offsets.iter().cloned().collect();
        let name = group.to_owned();
        let done = self.blocking_of_group(&doing, group, move |call| call.commit(&name, unique)).await?;
        Ok(self.outcomes(&doing, done))
    }

    fn outcomes<T>(&self, doing: &str, outcomes: Answers<T>) -> Outcomes<T> {
        let context = |(partition, outcome): (TopicPartition, Result<T, AdminError>)| {
            let outcome = outcome.map_err(|mut error| {
                if error.code == Code::UnknownMemberId {
                    error.reason = "the group has members: stop its consumers first".to_owned();
                }
                self.error(&format!("{doing} for {partition}"), error)
            });
            (partition, outcome)
        };
        outcomes.into_iter().map(context).collect()
    }
}

impl Call {
    fn group(&self, group: &str) -> Result<Arc<Client>, AdminError> {
        let mut groups = lock(&self.groups);
        if let Some(slot) = groups.get(group) {
            return Ok(slot.client());
        }
        let mut config = self.config.clone();
        config.set("group.id", group).set("enable.auto.commit", "false");
        let slot = Slot::new(config, self.context.clone())?;
        let client = slot.client();
        groups.insert(group.to_owned(), slot);
        Ok(client)
    }

    fn committed(
        &self,
        group: &str,
        partitions: &[TopicPartition],
    ) -> Result<Answers<Option<Offset>>, AdminError> {
        let mut list = TopicPartitionList::with_capacity(partitions.len());
        for partition in partitions {
            if partition.topic.contains('\0') {
                return Err(AdminError::new(Code::InvalidTopic));
            }
            list.add_partition(&partition.topic, partition.partition);
        }
        let client = self.group(group)?;
        let list = client.committed_offsets(list, self.timeout);
        let list = list.map_err(|error| from_kafka(&error))?;
        let outcome = |element: rdkafka::topic_partition_list::TopicPartitionListElem<'_>| {
            let partition = TopicPartition::new(element.topic(), element.partition());
            let offset = element.error().map_err(|error| from_kafka(&error));
            (partition, offset.map(|()| element.offset().to_raw().filter(|&offset| offset >= 0)))
        };
        Ok(list.elements().into_iter().map(outcome).collect())
    }

    /// Commits all at once; where that fails for a reason that may be one topic's, topic by topic.
    fn commit(
        &self,
        group: &str,
        offsets: BTreeMap<TopicPartition, Offset>,
    ) -> Result<Answers<()>, AdminError> {
        let client = self.group(group)?;
        let commit = |offsets: &[(TopicPartition, Offset)]| {
            let raw: Vec<_> = offsets.iter().map(|(p, o)| ((p.topic.clone(), p.partition), *o)).collect();
            let deadline = Instant::now() + self.timeout;
            loop {
                let left = deadline.saturating_duration_since(Instant::now()).max(PAUSE);
                let outcome = Admin::new(client.client(), left).commit(&raw);
                let again = |code| code == Code::WaitingForCoordinator || is_coordinators(code);
                match &outcome {
                    Err(error) if again(error.code) && Instant::now() + PAUSE < deadline => {
                        thread::sleep(PAUSE);
                    }
                    _ => return outcome,
                }
            }
        };
        let all: Vec<_> = offsets.into_iter().collect();
        let outcome = commit(&all);
        let of_a_topic =
            [Code::TopicAuthorizationFailed, Code::UnknownTopicOrPartition, Code::OffsetMetadataTooLarge];
        let by_topic: Vec<_> = all.chunk_by(|a, b| a.0.topic == b.0.topic).collect();
        match outcome {
            Err(error) if of_a_topic.contains(&error.code) && by_topic.len() > 1 => {
                let outcomes = by_topic.into_iter().flat_map(|chunk| each(chunk, commit(chunk)));
                Ok(outcomes.collect())
            }
            Err(error) if is_of_connection(error.code) => Err(error),
            Err(error) if error.code == Code::GroupAuthorizationFailed => Err(error),
            outcome => Ok(each(&all, outcome).collect()),
        }
    }

    /// Calls the coordinator of a group through the admin API: again, until the timeout, while it is not ready.
    pub fn of_group<T>(&self, call: impl Fn(Admin<'_>) -> Result<T, AdminError>) -> Result<T, AdminError> {
        let deadline = Instant::now() + self.timeout;
        let mut patience = FIRST;
        loop {
            let left = deadline.saturating_duration_since(Instant::now()).max(PAUSE);
            let answer = call(Admin::new(self.native.client(), left.min(patience)));
            patience *= 2;
            let again = |code| code == Code::OperationTimedOut || is_coordinators(code);
            match &answer {
                Err(error) if again(error.code) && Instant::now() + PAUSE < deadline => thread::sleep(PAUSE),
                _ => return answer,
            }
        }
    }
}

/// The one outcome, for each partition.
fn each(
    offsets: &[(TopicPartition, Offset)],
    outcome: Result<(), AdminError>,
) -> impl Iterator<Item = (TopicPartition, Result<(), AdminError>)> {
    offsets.iter().map(move |(partition, _)| (partition.clone(), outcome.clone()))
}

fn is_coordinators(code: Code) -> bool {
    [Code::NotCoordinator, Code::CoordinatorNotAvailable, Code::CoordinatorLoadInProgress].contains(&code)
}

fn is_of_connection(code: Code) -> bool {
    use Code as C;
    is_coordinators(code)
        || matches!(
            code,
            C::WaitingForCoordinator
                | C::OperationTimedOut
                | C::BrokerTransportFailure
                | C::AllBrokersDown
                | C::RequestTimedOut
        )
}
