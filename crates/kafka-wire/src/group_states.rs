//! Which groups a cluster has, of what kind they are, and what they are doing (ListGroups, DescribeGroups,
//! ConsumerGroupDescribe). Changes nothing.

use std::collections::BTreeMap;

use futures::future::try_join_all;
use kafka_protocol::messages::{ConsumerGroupDescribeRequest, DescribeGroupsRequest, ListGroupsRequest};

use crate::{
    Client, Code, Connection, Error, To,
    client::{Coordinator, repeat},
    groups::group,
};

/// v4 tells states (KIP-518), v5 types (KIP-848).
const LIST_VERSION: i16 = 5;
/// v6 has another word for a group that there is not.
pub(crate) const DESCRIBE_VERSION: i16 = 5;
pub(crate) const DESCRIBE_CONSUMER_VERSION: i16 = 0;
/// What a coordinator of the classic protocol says of a group that there is not.
const DEAD: &str = "Dead";

/// A group as its coordinator lists it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedGroup {
    /// Its name.
    pub name: String,
    /// Of which protocol: `classic`, `consumer` (KIP-848), `share` or `streams`; none where the broker knows the
    /// classic one only, or does not say.
    pub kind: Option<String>,
    /// What its members are: `consumer`, `connect`; empty where only offsets are kept under its name.
    pub protocol_type: String,
    /// What it is doing: `Stable`, `Empty`; none where the broker does not say (before 2.6).
    pub state: Option<String>,
}

/// A group as its coordinator describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DescribedGroup {
    /// Of which protocol: `classic` or `consumer`.
    pub kind: &'static str,
    /// What it is doing: `Empty`, `Stable`, `PreparingRebalance`, `Assigning`…
    pub state: String,
    /// How many members it has.
    pub members: usize,
}

impl DescribedGroup {
    /// Whether nobody is a member, or about to be: then offsets can be committed from outside.
    pub fn is_empty(&self) -> bool {
        self.members == 0 && matches!(&*self.state, "Empty" | DEAD)
    }
}

impl Client {
    /// All groups of the cluster that this principal may describe, by their names: each broker lists those
    /// that it coordinates. Tried again while a broker takes over groups.
    pub async fn list_groups(&self) -> Result<BTreeMap<String, ListedGroup>, Error> {
        let brokers = self.brokers().await?;
        let ask = |broker: &i32| {
            let to = To::Broker(*broker);
            async move { repeat!(self, to, self.list_groups_once(to)) }
        };
        let lists = try_join_all(brokers.keys().map(ask)).await?;
        // One that moves meanwhile may be in two lists.
        Ok(lists.into_iter().flatten().map(|listed| (listed.name.clone(), listed)).collect())
    }

    async fn list_groups_once(&self, to: To<'_>) -> Result<Vec<ListedGroup>, Error> {
        let connection = self.connection(to).await?;
        let answer = connection.send(&ListGroupsRequest::default(), LIST_VERSION).await?;
        if let Some(code) = Code::try_from_code(answer.error_code) {
            return Err(Error::answered(connection.address(), "list the groups", code));
        }
        let told = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        let groups = answer.groups.iter().map(|found| ListedGroup {
            name: found.group_id.to_string(),
            kind: told(&found.group_type).map(|kind| kind.to_ascii_lowercase()),
            protocol_type: found.protocol_type.to_string(),
            state: told(&found.group_state),
        });
        Ok(groups.collect())
    }

    /// What a group is doing; none if there is none of this name that is of the classic protocol or of
    /// KIP-848's for consumers. Tried again while the coordinator is not there.
    pub async fn describe_group(&self, name: &str) -> Result<Option<DescribedGroup>, Error> {
        let to = To::Coordinator(Coordinator::Group(name));
        repeat!(self, to, self.describe_group_once(to, name))
    }

    async fn describe_group_once(&self, to: To<'_>, name: &str) -> Result<Option<DescribedGroup>, Error> {
        let connection = self.connection(to).await?;
        match self.describe_classic(to, &connection, name).await? {
            None => self.describe_consumers(to, &connection, name).await,
            found => Ok(found),
        }
    }

    async fn describe_classic(
        &self,
        to: To<'_>,
        connection: &Connection,
        name: &str,
    ) -> Result<Option<DescribedGroup>, Error> {
        let request = DescribeGroupsRequest::default().with_groups(vec![group(name)]);
        let answer = connection.send(&request, DESCRIBE_VERSION).await?;
        let Some(found) = answer.groups.first() else { return Ok(None) };
        match Code::try_from_code(found.error_code) {
            None => {
                let (state, members) = (found.group_state.to_string(), found.members.len());
                let there = state != DEAD || members > 0;
                Ok(there.then_some(DescribedGroup { kind: "classic", state, members }))
            }
            Some(Code::GroupIdNotFound) => Ok(None),
            Some(code) => Err(self.group_error(to, connection, "describe", name, code)),
        }
    }

    async fn describe_consumers(
        &self,
        to: To<'_>,
        connection: &Connection,
        name: &str,
    ) -> Result<Option<DescribedGroup>, Error> {
        // Brokers before 4.0 do not know it, and have no such groups.
        if connection.version_of::<ConsumerGroupDescribeRequest>(DESCRIBE_CONSUMER_VERSION).is_err() {
            return Ok(None);
        }
        let request = ConsumerGroupDescribeRequest::default().with_group_ids(vec![group(name)]);
        let answer = connection.send(&request, DESCRIBE_CONSUMER_VERSION).await?;
        let Some(found) = answer.groups.first() else { return Ok(None) };
        match Code::try_from_code(found.error_code) {
            None => Ok(Some(DescribedGroup {
                kind: "consumer",
                state: found.group_state.to_string(),
                members: found.members.len(),
            })),
            // The second: the broker has the protocol, but it is switched off.
            Some(Code::GroupIdNotFound | Code::UnsupportedVersion) => Ok(None),
            Some(code) => Err(self.group_error(to, connection, "describe", name, code)),
        }
    }

    /// How many members a group has now; one that there is not has none.
    pub async fn group_members(&self, name: &str) -> Result<usize, Error> {
        Ok(self.describe_group(name).await?.map_or(0, |found| found.members))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_is_empty_that_has_no_member_and_waits_for_none() {
        let group = |state: &str, members| DescribedGroup { kind: "classic", state: state.into(), members };
        assert!(group("Empty", 0).is_empty() && group("Dead", 0).is_empty());
        for state in ["Stable", "PreparingRebalance", "CompletingRebalance", "Assigning", "Reconciling", ""] {
            assert!(!group(state, 0).is_empty(), "{state}");
        }
        assert!(!group("Empty", 1).is_empty());
    }
}
