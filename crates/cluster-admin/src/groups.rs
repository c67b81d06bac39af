//! Committed offsets of consumer groups that have no members: reading them, and writing them from outside.
//! Never joins a group, and never touches one that has members (the broker refuses).

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex},
    thread,
    time::{Duration, Instant},
};

use kafka_rd::{Admin, AdminError, Listed};
use mirror_types::{Offset, TopicPartition};
use rdkafka::{consumer::Consumer, types::RDKafkaErrorCode as Code};

use crate::{
    Cluster, Error,
    client::{Inner, Native, lock, start},
};

/// How long to wait before asking again for a coordinator that was not the one, or not ready.
const PAUSE: Duration = Duration::from_millis(100);

/// What the first attempt is given, the next ones twice that each: where there is no coordinator yet (on a
/// new cluster the first group has to wait until its topic is made) librdkafka asks three times in a hurry,
/// and then waits for nothing until the timeout.
const FIRST: Duration = Duration::from_secs(2);

/// What came of it for each partition.
type Outcomes<T> = HashMap<TopicPartition, Result<T, Error>>;

/// Clients for groups whose coordinator has moved: librdkafka's first one does not take notice (see
/// [`Admin::commit`]). The other groups use the cluster's client.
pub(crate) type Groups = Mutex<HashMap<String, Arc<Native>>>;

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
        let unique: BTreeMap<TopicPartition, ()> = partitions.iter().map(|p| (p.clone(), ())).collect();
        let (group, asked) = (group.to_owned(), unique.keys().map(raw).collect::<Vec<_>>());
        let call =
            move |inner: &Inner| inner.of_group(&group, |admin| admin.committed(&group, &asked), moved);
        let found = self.blocking(&doing, call).await?;
        let present = |offset: Offset| (offset >= 0).then_some(offset);
        Ok(self.outcomes(&doing, unique.into_keys(), found, present))
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
        let (group, asked) = (group.to_owned(), unique.iter().map(|(p, o)| (raw(p), *o)).collect::<Vec<_>>());
        let call = move |inner: &Inner| inner.of_group(&group, |admin| admin.commit(&group, &asked), moved);
        let done = self.blocking(&doing, call).await?;
        Ok(self.outcomes(&doing, unique.into_keys(), done, |_| ()))
    }

    fn outcomes<T>(
        &self,
        doing: &str,
        partitions: impl Iterator<Item = TopicPartition>,
        listed: Listed,
        value: impl Fn(Offset) -> T,
    ) -> Outcomes<T> {
        let outcome = |(partition, offset): (TopicPartition, Result<Offset, AdminError>)| {
            let outcome = offset.map(&value).map_err(|mut error| {
                if error.code == Code::UnknownMemberId {
                    error.reason = "the group has members: stop its consumers first".to_owned();
                }
                self.error(&format!("{doing} for {partition}"), error)
            });
            (partition, outcome)
        };
        partitions.zip(listed).map(outcome).collect()
    }
}

impl Inner {
    /// Calls the coordinator of a group: again, until the timeout, while it is on the move (`moved` says
    /// so of an answer) or not ready.
    pub fn of_group<T>(
        &self,
        group: &str,
        call: impl Fn(Admin<'_>) -> Result<T, AdminError>,
        moved: impl Fn(&T) -> Option<Code>,
    ) -> Result<T, AdminError> {
        let deadline = Instant::now() + self.timeout;
        let mut patience = FIRST;
        loop {
            let client = lock(&self.groups).get(group).unwrap_or(&self.native).clone();
            let left = deadline.saturating_duration_since(Instant::now()).max(PAUSE);
            let answer = call(Admin::new(client.client(), left.min(patience)));
            patience *= 2;
            let trouble = match &answer {
                Ok(answer) => moved(answer),
                Err(error) if error.code == Code::OperationTimedOut => Some(error.code),
                Err(error) => coordinator_trouble(error.code),
            };
            let Some(trouble) = trouble else { return answer };
            if Instant::now() + PAUSE >= deadline {
                return answer;
            }
            thread::sleep(PAUSE);
            if trouble == Code::NotCoordinator {
                let client = start(&self.config, &self.context)?;
                lock(&self.groups).insert(group.to_owned(), client);
            }
        }
    }
}

/// What is wrong with the coordinator, where any partition says that something is.
fn moved(listed: &Listed) -> Option<Code> {
    listed
        .iter()
        .filter_map(|outcome| outcome.as_ref().err())
        .find_map(|error| coordinator_trouble(error.code))
}

fn coordinator_trouble(code: Code) -> Option<Code> {
    let trouble = [Code::NotCoordinator, Code::CoordinatorNotAvailable, Code::CoordinatorLoadInProgress];
    trouble.contains(&code).then_some(code)
}

fn raw(partition: &TopicPartition) -> (Arc<str>, i32) {
    (partition.topic.clone(), partition.partition)
}
