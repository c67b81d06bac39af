//! The offsets that groups have committed (OffsetFetch), and committing some in a group's name without being a
//! member of it (OffsetCommit), as Kafka's own tools do.

use std::{collections::BTreeMap, sync::Arc};

use kafka_protocol::{
    messages::{
        OffsetCommitRequest, OffsetFetchRequest, TopicName,
        offset_commit_request::{OffsetCommitRequestPartition, OffsetCommitRequestTopic},
        offset_fetch_request::OffsetFetchRequestGroup,
        offset_fetch_response::{OffsetFetchResponsePartition, OffsetFetchResponsePartitions},
    },
    protocol::StrBytes,
};

use crate::{Cause, Client, Code, Connection, Error, To, client::Coordinator, groups::group, names};

/// From v8 on a request is for several groups; v9 is for members of KIP-848.
const FETCH_VERSION: i16 = 8;
/// From here on transactions that are open can be waited for (KIP-447).
const STABLE_FROM: i16 = 7;
/// Before it, no request can ask for all.
const ALL_FROM: i16 = 2;
const COMMIT_VERSION: i16 = 8;

/// What a group has committed for a partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Committed {
    /// The offset of the next record that it wants.
    pub offset: i64,
    /// The epoch of the leader that it had the last record from; -1 where unknown.
    pub leader_epoch: i32,
    /// What it has noted beside it; may be empty.
    pub metadata: String,
}

/// What a group has committed, by topic and partition. Each has its own error: a transaction that stays open, say.
pub type GroupOffsets = BTreeMap<At, Result<Committed, Error>>;

/// A topic's name, and a partition.
type At = (Arc<str>, i32);

/// An offset to be committed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Commit {
    /// The topic.
    pub topic: Arc<str>,
    /// The partition.
    pub partition: i32,
    /// What for it.
    pub committed: Committed,
}

impl Client {
    /// All that a group has committed, of the topics that this principal may describe; nothing, if there is no such
    /// group. What a transaction that is open is about to commit is waited for, as long as this client is patient;
    /// brokers before 2.5 give what was committed before. Tried again while the coordinator is not there.
    pub async fn group_offsets(&self, name: &str) -> Result<GroupOffsets, Error> {
        let to = To::Coordinator(Coordinator::Group(name));
        let mut attempts = self.attempts();
        loop {
            let found = self.group_offsets_once(to, name).await;
            let unstable = |offsets: &GroupOffsets| {
                offsets.values().find_map(|found| found.as_ref().err().filter(|e| e.is_retriable())).cloned()
            };
            let error = match &found {
                Ok(offsets) => unstable(offsets),
                Err(error) => Some(error.clone()),
            };
            match error {
                Some(error) if attempts.again(to, &error).await => {}
                _ => return found,
            }
        }
    }

    async fn group_offsets_once(&self, to: To<'_>, name: &str) -> Result<GroupOffsets, Error> {
        let connection = self.connection(to).await?;
        let version = connection.version_of::<OffsetFetchRequest>(FETCH_VERSION)?;
        if version < ALL_FROM {
            let cause = Cause::Unsupported("the broker can't give all offsets of a group".into());
            return Err(Error::not_sent(connection.address(), "OffsetFetch", cause));
        }
        let mut request = OffsetFetchRequest::default();
        if version >= STABLE_FROM {
            request.require_stable = true;
        }
        if version >= FETCH_VERSION {
            request.groups =
                vec![OffsetFetchRequestGroup::default().with_group_id(group(name)).with_topics(None)];
        } else {
            (request.group_id, request.topics) = (group(name), None);
        }
        let mut answer = connection.send(&request, FETCH_VERSION).await?;
        let broker = connection.address();
        if version < FETCH_VERSION {
            self.no_error(to, &connection, name, answer.error_code)?;
            let all = answer.topics.into_iter().map(|topic| (topic.name, topic.partitions));
            let one = |(topic, p): (Arc<str>, OffsetFetchResponsePartition)| {
                let committed = committed(p.committed_offset, p.committed_leader_epoch, p.metadata);
                found(broker, name, (topic, p.partition_index), p.error_code, committed)
            };
            return Ok(flat(all).filter_map(one).collect());
        }
        let Some(answered) = answer.groups.pop() else {
            let doing = format!("fetch the offsets of group {name}");
            return Err(Error::senseless(broker, doing, "the group is not in the answer"));
        };
        self.no_error(to, &connection, name, answered.error_code)?;
        let all = answered.topics.into_iter().map(|topic| (topic.name, topic.partitions));
        let one = |(topic, p): (Arc<str>, OffsetFetchResponsePartitions)| {
            let committed = committed(p.committed_offset, p.committed_leader_epoch, p.metadata);
            found(broker, name, (topic, p.partition_index), p.error_code, committed)
        };
        Ok(flat(all).filter_map(one).collect())
    }

    fn no_error(&self, to: To<'_>, connection: &Connection, name: &str, code: i16) -> Result<(), Error> {
        match Code::try_from_code(code) {
            // With no group there are no offsets.
            None | Some(Code::GroupIdNotFound) => Ok(()),
            Some(code) => Err(self.group_error(to, connection, "fetch the offsets of", name, code)),
        }
    }

    /// Commits offsets in a group's name, without being a member of it: refused by the coordinator (`UnknownMemberId`)
    /// if the group has members; where there is no such group, it comes to be. What became of each, in the order
    /// in which they were given. Tried again while the coordinator is not there: twice is as once.
    pub async fn commit_offsets(
        &self,
        name: &str,
        commits: &[Commit],
    ) -> Result<Vec<Result<(), Error>>, Error> {
        let to = To::Coordinator(Coordinator::Group(name));
        let mut attempts = self.attempts();
        loop {
            let done = self.commit_once(to, name, commits).await;
            let error = match &done {
                Ok(outcomes) => outcomes
                    .iter()
                    .find_map(|outcome| outcome.as_ref().err().filter(|error| error.is_retriable()))
                    .cloned(),
                Err(error) => Some(error.clone()),
            };
            match error {
                Some(error) if attempts.again(to, &error).await => {}
                _ => return done,
            }
        }
    }

    async fn commit_once(
        &self,
        to: To<'_>,
        name: &str,
        commits: &[Commit],
    ) -> Result<Vec<Result<(), Error>>, Error> {
        let connection = self.connection(to).await?;
        let version = connection.version_of::<OffsetCommitRequest>(COMMIT_VERSION)?;
        let mut topics: BTreeMap<&str, Vec<OffsetCommitRequestPartition>> = BTreeMap::new();
        for Commit { topic, partition, committed } in commits {
            let mut one = OffsetCommitRequestPartition::default()
                .with_partition_index(*partition)
                .with_committed_offset(committed.offset)
                .with_committed_metadata(Some(names::text(&committed.metadata)));
            // Before v6 there is no place for it.
            if version >= 6 {
                one.committed_leader_epoch = committed.leader_epoch;
            }
            topics.entry(topic).or_default().push(one);
        }
        let topics = topics.into_iter().map(|(topic, partitions)| {
            OffsetCommitRequestTopic::default().with_name(names::topic(topic)).with_partitions(partitions)
        });
        let request = OffsetCommitRequest::default()
            .with_group_id(group(name))
            .with_generation_id_or_member_epoch(-1)
            .with_member_id(StrBytes::default())
            .with_group_instance_id(None)
            .with_retention_time_ms(-1)
            .with_topics(topics.collect());
        let answer = connection.send(&request, COMMIT_VERSION).await?;
        let mut codes = BTreeMap::new();
        for topic in answer.topics {
            for found in topic.partitions {
                codes.insert((topic.name.to_string(), found.partition_index), found.error_code);
            }
        }
        let outcome = |commit: &Commit| {
            let at = (commit.topic.to_string(), commit.partition);
            let doing = || format!("commit the offset of group {name} for {}/{}", at.0, at.1);
            match codes.get(&at).map(|code| Code::try_from_code(*code)) {
                Some(None) => Ok(()),
                Some(Some(code)) => {
                    let error = Error::answered(connection.address(), doing(), code);
                    self.forget_for(to, &error);
                    Err(error)
                }
                None => {
                    Err(Error::senseless(connection.address(), doing(), "the partition is not in the answer"))
                }
            }
        };
        Ok(commits.iter().map(outcome).collect())
    }
}

/// Partitions, each with its topic's name.
fn flat<P>(topics: impl Iterator<Item = (TopicName, Vec<P>)>) -> impl Iterator<Item = (Arc<str>, P)> {
    topics.flat_map(|(topic, partitions)| {
        let topic: Arc<str> = Arc::from(&**topic);
        partitions.into_iter().map(move |partition| (topic.clone(), partition))
    })
}

/// What an answer says of one partition; none where nothing is committed for it.
fn found(
    broker: &Arc<str>,
    group: &str,
    at: At,
    code: i16,
    committed: Committed,
) -> Option<(At, Result<Committed, Error>)> {
    match Code::try_from_code(code) {
        None if committed.offset < 0 => None,
        None => Some((at, Ok(committed))),
        Some(code) => {
            let doing = format!("fetch the offset of group {group} for {}/{}", at.0, at.1);
            Some((at, Err(Error::answered(broker, doing, code))))
        }
    }
}

fn committed(offset: i64, leader_epoch: i32, metadata: Option<StrBytes>) -> Committed {
    Committed { offset, leader_epoch, metadata: metadata.as_deref().unwrap_or_default().to_owned() }
}
