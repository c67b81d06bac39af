//! Who is a member of a group, and which topics it reads. Changes nothing.

use bytes::Buf;
use kafka_protocol::messages::{ConsumerGroupDescribeRequest, DescribeGroupsRequest};

use crate::{
    Client, Code, Connection, Error, To,
    client::{Coordinator, repeat},
    group_states::{DESCRIBE_CONSUMER_VERSION, DESCRIBE_VERSION},
    groups::group,
};

/// A member of a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupMember {
    /// What its client calls itself.
    pub client: String,
    /// From where it has come, as its coordinator writes it: `/10.0.0.1`.
    pub host: String,
    /// The topics it has partitions of; none where it has none now, or that can't be told.
    pub topics: Vec<String>,
}

impl Client {
    /// The members of a group of the classic protocol, or of KIP-848's for consumers; none where there is no such group.
    /// Needs DESCRIBE on it. Tried again while the coordinator is not there.
    pub async fn describe_members(&self, name: &str) -> Result<Vec<GroupMember>, Error> {
        let to = To::Coordinator(Coordinator::Group(name));
        repeat!(self, to, self.describe_members_once(to, name))
    }

    async fn describe_members_once(&self, to: To<'_>, name: &str) -> Result<Vec<GroupMember>, Error> {
        let connection = self.connection(to).await?;
        let request = DescribeGroupsRequest::default().with_groups(vec![group(name)]);
        let answer = connection.send(&request, DESCRIBE_VERSION).await?;
        let Some(found) = answer.groups.into_iter().next() else { return Ok(Vec::new()) };
        match Code::try_from_code(found.error_code) {
            None if found.members.is_empty() => self.consumer_members(to, &connection, name).await,
            None => {
                let member =
                    |member: kafka_protocol::messages::describe_groups_response::DescribedGroupMember| {
                        GroupMember {
                            client: member.client_id.to_string(),
                            host: member.client_host.to_string(),
                            topics: assigned(&member.member_assignment).unwrap_or_default(),
                        }
                    };
                Ok(found.members.into_iter().map(member).collect())
            }
            Some(Code::GroupIdNotFound) => self.consumer_members(to, &connection, name).await,
            Some(code) => Err(self.group_error(to, &connection, "describe", name, code)),
        }
    }

    async fn consumer_members(
        &self,
        to: To<'_>,
        connection: &Connection,
        name: &str,
    ) -> Result<Vec<GroupMember>, Error> {
        // Brokers before 4.0 do not know it, and have no such groups.
        if connection.version_of::<ConsumerGroupDescribeRequest>(DESCRIBE_CONSUMER_VERSION).is_err() {
            return Ok(Vec::new());
        }
        let request = ConsumerGroupDescribeRequest::default().with_group_ids(vec![group(name)]);
        let answer = connection.send(&request, DESCRIBE_CONSUMER_VERSION).await?;
        let Some(found) = answer.groups.into_iter().next() else { return Ok(Vec::new()) };
        match Code::try_from_code(found.error_code) {
            None => {
                let member = |member: kafka_protocol::messages::consumer_group_describe_response::Member| {
                    let topics = member.assignment.topic_partitions.iter();
                    GroupMember {
                        client: member.client_id.to_string(),
                        host: member.client_host.to_string(),
                        topics: topics.map(|topic| topic.topic_name.to_string()).collect(),
                    }
                };
                Ok(found.members.into_iter().map(member).collect())
            }
            Some(Code::GroupIdNotFound | Code::UnsupportedVersion) => Ok(Vec::new()),
            Some(code) => Err(self.group_error(to, connection, "describe", name, code)),
        }
    }
}

/// The topics of a consumer's assignment. It is another client's text: nothing in it is believed.
fn assigned(mut assignment: &[u8]) -> Option<Vec<String>> {
    let _version = assignment.try_get_i16().ok()?;
    let mut topics = Vec::new();
    for _ in 0..assignment.try_get_i32().ok()? {
        let length = usize::try_from(assignment.try_get_i16().ok()?).ok()?;
        let (name, rest) = assignment.split_at_checked(length)?;
        topics.push(String::from_utf8_lossy(name).into_owned());
        assignment = rest;
        let partitions = usize::try_from(assignment.try_get_i32().ok()?).ok()?;
        assignment = assignment.get(partitions.checked_mul(4)?..)?;
    }
    Some(topics)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_topics_of_an_assignment_are_read_and_nonsense_is_none() {
        let two =
            [&[0, 1, 0, 0, 0, 2, 0, 1, b'a', 0, 0, 0, 1, 0, 0, 0, 9][..], &[0, 2, b'b', b'c', 0, 0, 0, 0]]
                .concat();
        assert_eq!(assigned(&two), Some(vec!["a".to_owned(), "bc".to_owned()]));
        for length in 0..two.len() {
            assert_eq!(assigned(&two[..length]), None, "{length}");
        }
        let endless = [0, 1, 0x7f, 0xff, 0xff, 0xff, 0, 1, b'a', 0x7f, 0xff, 0xff, 0xff];
        assert_eq!(assigned(&endless), None);
        assert_eq!(assigned(&[0, 1, 0, 0, 0, 0]), Some(Vec::new()));
    }
}
