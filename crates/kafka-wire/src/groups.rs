//! Membership of a group in the classic protocol: its four requests, with nothing around them.
//!
//! A member should have connections of its own ([`Client::for_purpose`]), and heartbeats another: joining
//! waits for the other members.

use std::{collections::BTreeMap, time::Duration};

use bytes::Bytes;
use kafka_protocol::messages::{
    GroupId, HeartbeatRequest, JoinGroupRequest, LeaveGroupRequest, SyncGroupRequest,
    join_group_request::JoinGroupRequestProtocol, leave_group_request::MemberIdentity,
    sync_group_request::SyncGroupRequestAssignment,
};

use crate::{
    Client, Code, Error, To,
    client::{Coordinator, repeat},
    names,
};

const JOIN_VERSION: i16 = 7;
const SYNC_VERSION: i16 = 5;
const HEARTBEAT_VERSION: i16 = 4;
const LEAVE_VERSION: i16 = 4;

/// How to be a member of a group.
#[derive(Debug, Clone)]
pub struct Membership {
    /// The group.
    pub group: String,
    /// The name that stays over restarts (KIP-345), if it has one.
    pub instance: Option<String>,
    /// After how long without a heartbeat the member is taken for gone.
    pub session_timeout: Duration,
    /// How long the group waits for its members to join again.
    pub rebalance_timeout: Duration,
    /// What kind of group it is: `consumer`, say. All members must say the same.
    pub protocol_type: String,
    /// The ways to assign that this member knows, best first, with what the leader is to know for each.
    pub protocols: Vec<(String, Bytes)>,
}

/// What a member is, in one generation of its group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Its id.
    pub id: String,
    /// The generation.
    pub generation: i32,
}

/// A generation of a group, as it begins for one member.
#[derive(Debug, Clone)]
pub struct Joined {
    /// This member.
    pub member: Member,
    /// The id of the member that assigns.
    pub leader: String,
    /// The way to assign that all members know.
    pub protocol: String,
    /// Where this member is the leader: all members' ids, and what each has to say. Else empty.
    pub members: BTreeMap<String, Bytes>,
}

impl Joined {
    /// Whether this member has to assign.
    pub fn is_leader(&self) -> bool {
        self.leader == self.member.id
    }
}

impl Client {
    /// Joins a group, as the member that it was (`id`) or a new one, and waits until all members have. A
    /// new member gets its id first and joins with it (KIP-394). Tried again while the coordinator is not
    /// there. `UnknownMemberId`: join anew, without an id.
    pub async fn join_group(&self, membership: &Membership, id: Option<&str>) -> Result<Joined, Error> {
        self.join_group_as(membership, &mut id.unwrap_or_default().to_owned()).await
    }

    /// The same for who wants to know the id that a new member (`id` is empty) gets also where joining fails, or
    /// is given up: the group waits for whoever has got one, so that it should be used, or leave.
    pub async fn join_group_as(&self, membership: &Membership, id: &mut String) -> Result<Joined, Error> {
        let to = To::Coordinator(Coordinator::Group(&membership.group));
        repeat!(self, to, self.join_once(to, membership, id))
    }

    async fn join_once(&self, to: To<'_>, membership: &Membership, id: &mut String) -> Result<Joined, Error> {
        let connection = self.connection(to).await?;
        let protocol = |(name, metadata): &(String, Bytes)| {
            JoinGroupRequestProtocol::default().with_name(names::text(name)).with_metadata(metadata.clone())
        };
        loop {
            let request = JoinGroupRequest::default()
                .with_group_id(group(&membership.group))
                .with_session_timeout_ms(millis(membership.session_timeout))
                .with_rebalance_timeout_ms(millis(membership.rebalance_timeout))
                .with_member_id(names::text(id))
                .with_group_instance_id(membership.instance.as_deref().map(names::text))
                .with_protocol_type(names::text(&membership.protocol_type))
                .with_protocols(membership.protocols.iter().map(protocol).collect())
                .with_reason(None);
            // It waits for the others for as long as they may take.
            let extra = membership.rebalance_timeout;
            let answer = connection.send_within(&request, JOIN_VERSION, extra).await?;
            match Code::try_from_code(answer.error_code) {
                None => {
                    *id = answer.member_id.to_string();
                    let members = answer.members.iter();
                    return Ok(Joined {
                        member: Member { id: answer.member_id.to_string(), generation: answer.generation_id },
                        leader: answer.leader.to_string(),
                        protocol: answer.protocol_name.as_deref().unwrap_or_default().to_owned(),
                        members: members.map(|m| (m.member_id.to_string(), m.metadata.clone())).collect(),
                    });
                }
                Some(Code::MemberIdRequired) if id.is_empty() && !answer.member_id.is_empty() => {
                    *id = answer.member_id.to_string();
                }
                Some(code) => {
                    let doing = format!("join group {}", membership.group);
                    return Err(Error::answered(connection.address(), doing, code));
                }
            }
        }
    }

    /// Gives the leader's assignments to the group (a member that is not leader gives none), and gets this
    /// member's own. Not repeated: after an error, join again.
    pub async fn sync_group(
        &self,
        membership: &Membership,
        joined: &Joined,
        assignments: &BTreeMap<String, Bytes>,
    ) -> Result<Bytes, Error> {
        let to = To::Coordinator(Coordinator::Group(&membership.group));
        let connection = self.connection(to).await?;
        let one = |(id, bytes): (&String, &Bytes)| {
            SyncGroupRequestAssignment::default()
                .with_member_id(names::text(id))
                .with_assignment(bytes.clone())
        };
        let request = SyncGroupRequest::default()
            .with_group_id(group(&membership.group))
            .with_generation_id(joined.member.generation)
            .with_member_id(names::text(&joined.member.id))
            .with_group_instance_id(membership.instance.as_deref().map(names::text))
            .with_protocol_type(Some(names::text(&membership.protocol_type)))
            .with_protocol_name(Some(names::text(&joined.protocol)))
            .with_assignments(assignments.iter().map(one).collect());
        let answer = connection.send_within(&request, SYNC_VERSION, membership.rebalance_timeout).await?;
        match Code::try_from_code(answer.error_code) {
            None => Ok(answer.assignment),
            Some(code) => Err(self.group_error(to, &connection, "sync", &membership.group, code)),
        }
    }

    /// Says that the member is there. `RebalanceInProgress`: join again. Not repeated.
    pub async fn heartbeat(&self, membership: &Membership, member: &Member) -> Result<(), Error> {
        let to = To::Coordinator(Coordinator::Group(&membership.group));
        let connection = self.connection(to).await?;
        let request = HeartbeatRequest::default()
            .with_group_id(group(&membership.group))
            .with_generation_id(member.generation)
            .with_member_id(names::text(&member.id))
            .with_group_instance_id(membership.instance.as_deref().map(names::text));
        let answer = connection.send(&request, HEARTBEAT_VERSION).await?;
        match Code::try_from_code(answer.error_code) {
            None => Ok(()),
            Some(code) => Err(self.group_error(to, &connection, "heartbeat in", &membership.group, code)),
        }
    }

    /// Leaves the group: it need not wait for the session's end. Not repeated.
    pub async fn leave_group(&self, membership: &Membership, member: &Member) -> Result<(), Error> {
        let to = To::Coordinator(Coordinator::Group(&membership.group));
        let connection = self.connection(to).await?;
        let mut request = LeaveGroupRequest::default().with_group_id(group(&membership.group));
        // From version 3 on a request is for several.
        if connection.version_of::<LeaveGroupRequest>(LEAVE_VERSION)? >= 3 {
            let one = MemberIdentity::default()
                .with_member_id(names::text(&member.id))
                .with_group_instance_id(membership.instance.as_deref().map(names::text))
                .with_reason(None);
            request.members = vec![one];
        } else {
            request.member_id = names::text(&member.id);
        }
        let answer = connection.send(&request, LEAVE_VERSION).await?;
        let code = answer.members.first().map_or(0, |member| member.error_code);
        match Code::try_from_code(answer.error_code).or(Code::try_from_code(code)) {
            None => Ok(()),
            Some(code) => Err(self.group_error(to, &connection, "leave", &membership.group, code)),
        }
    }

    pub(crate) fn group_error(
        &self,
        to: To<'_>,
        connection: &crate::Connection,
        doing: &str,
        group: &str,
        code: Code,
    ) -> Error {
        let error = Error::answered(connection.address(), format!("{doing} group {group}"), code);
        self.forget_for(to, &error);
        error
    }
}

pub(crate) fn group(name: &str) -> GroupId {
    GroupId(names::text(name))
}

fn millis(duration: Duration) -> i32 {
    i32::try_from(duration.as_millis()).unwrap_or(i32::MAX)
}
