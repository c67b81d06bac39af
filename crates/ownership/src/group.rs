//! The group's requests, over connections of their own that are given up in time.

use std::{collections::BTreeMap, time::Duration};

use bytes::Bytes;
use kafka_wire::{Client, Code, Connection, Coordinator, Error, Joined, Member, Membership, Purpose, To};
use tokio::time::timeout;
use tracing::{debug, warn};

use crate::{
    Config,
    assignor::{Claim, Leader},
    clock::Moment,
    heart::Heart,
    protocol::{self, Given, PROTOCOL, PROTOCOL_TYPE},
};

/// The least that a connection may take to be made, however short the session is.
const LEAST_SETUP: Duration = Duration::from_secs(3);
/// The longest wait before a connection is tried for again.
const RECONNECT: Duration = Duration::from_secs(1);
/// How long saying goodbye may take.
const LEAVE: Duration = Duration::from_secs(2);

pub(crate) struct Group {
    config: Config,
    /// Joining waits for the other members, and holds up what is behind it on its connection.
    joins: Client,
    beats: Client,
    /// The connection of the last join.
    connection: Option<Connection>,
    leader: Leader,
    /// The member's id, empty as long as it has none.
    id: String,
}

/// The first step into a generation.
pub(crate) struct Entered {
    /// When it was asked for.
    pub sent: Moment,
    pub joined: Joined,
    membership: Membership,
}

/// Why there is no assignment.
#[derive(Debug)]
pub(crate) enum Setback {
    /// The group has moved on already, or the answer takes long: ask again.
    Again,
    /// The group does not know the member.
    Unknown,
    /// Somebody else is the member of this name.
    Fenced,
    /// There is nothing to be a member for any more.
    Over,
    /// The coordinator can't be asked, or refuses.
    Failed(Error),
    /// What it gives can't be read.
    Unreadable(String),
}

impl From<Error> for Setback {
    fn from(error: Error) -> Self {
        match error.code() {
            Some(Code::RebalanceInProgress | Code::IllegalGeneration) => Self::Again,
            Some(Code::UnknownMemberId) => Self::Unknown,
            Some(Code::FencedInstanceId) => Self::Fenced,
            _ => Self::Failed(error),
        }
    }
}

impl Group {
    pub fn new(client: &Client, config: Config) -> Self {
        // A request that hangs must be given up while there is time for another within the session.
        let mut settings = client.settings().clone();
        let part = config.session_timeout / 3;
        settings.request_timeout = settings.request_timeout.min(part);
        settings.setup_timeout = settings.setup_timeout.min(part.max(LEAST_SETUP));
        settings.backoff_max = settings.backoff_max.min(RECONNECT);
        settings.backoff = settings.backoff.min(RECONNECT);
        // Whoever asks knows best whether to ask again.
        let client = Client::new(settings).with_patience(Duration::ZERO);
        Self {
            joins: client.for_purpose(Purpose::new("group")),
            beats: client.for_purpose(Purpose::new("heartbeat")),
            connection: None,
            leader: Leader::default(),
            id: String::new(),
            config,
        }
    }

    pub fn config(&self) -> &Config {
        &self.config
    }

    pub fn heart(&self) -> Heart {
        Heart::new(self.beats.clone(), self.membership(None), self.config.heartbeat)
    }

    /// Joins, as who it was if it has been a member.
    pub async fn join(&mut self, claim: &Claim) -> Result<Entered, Setback> {
        let (membership, patience) = (self.membership(Some(claim)), self.patience());
        let sent = Moment::now();
        let joining = async {
            // That of `joins`, known here for `hang_up`.
            self.connection = Some(self.joins.connection(to(&self.config)).await?);
            self.joins.join_group_as(&membership, &mut self.id).await
        };
        match timeout(patience, joining).await {
            Ok(Ok(joined)) => Ok(Entered { sent, joined, membership }),
            Ok(Err(error)) => Err(self.failed(error)),
            Err(_) => {
                // It may be the others that take long, or the way there: nobody minds being asked again.
                self.hang_up();
                Err(Setback::Again)
            }
        }
    }

    /// Assigns, if that is this member's part, and gives its assignment, and when that was asked for.
    pub async fn sync(&mut self, entered: &Entered) -> Result<(Moment, Given), Setback> {
        let assignments = self.assign(&entered.joined);
        let sent = Moment::now();
        let asking = self.joins.sync_group(&entered.membership, &entered.joined, &assignments);
        match timeout(self.patience(), asking).await {
            Ok(Ok(bytes)) => {
                let given = protocol::decode_share(&self.config.topic, bytes).map_err(Setback::Unreadable)?;
                Ok((sent, given))
            }
            Ok(Err(error)) => Err(self.failed(error)),
            Err(_) => {
                self.hang_up();
                Err(Setback::Again)
            }
        }
    }

    fn assign(&mut self, joined: &Joined) -> BTreeMap<String, Bytes> {
        if !joined.is_leader() {
            return BTreeMap::new();
        }
        let mut claims = BTreeMap::new();
        for (id, said) in &joined.members {
            match protocol::decode_claim(&self.config.topic, said.clone()) {
                Ok(claim) => {
                    claims.insert(id.clone(), claim);
                }
                Err(reason) => warn!(
                    group = self.config.group,
                    member = id,
                    "a member of the instances' group says what can't be read, and gets no slots: {reason}"
                ),
            }
        }
        let plan = self.leader.plan(joined.member.generation, self.config.slots, claims);
        debug!(group = self.config.group, generation = joined.member.generation, ?plan, "slots assigned");
        let encode = |share| protocol::encode_share(&self.config.topic, share, plan.settled);
        plan.shares.iter().map(|(id, share)| (id.clone(), encode(share))).collect()
    }

    /// Gives up what is on its way to the coordinator: a join that is not waited for any more would hold up the next.
    pub fn hang_up(&mut self) {
        if let Some(connection) = self.connection.take() {
            connection.close();
        }
    }

    /// It is not the member that it was.
    pub fn forget_id(&mut self) {
        self.id.clear();
    }

    /// Leaves, so that others need not wait for the session's end. A member without a generation has one to leave, too.
    pub async fn leave(&mut self) {
        if self.id.is_empty() {
            return;
        }
        let (membership, member) = (self.membership(None), Member { id: self.id.clone(), generation: -1 });
        let left = timeout(LEAVE, self.beats.leave_group(&membership, &member)).await;
        if let Ok(Ok(())) = left {
            return;
        }
        debug!(
            group = self.config.group,
            "the group was not told that this instance leaves: others take over when its session ends"
        );
    }

    /// How long an answer may take before it is asked for anew, on another connection.
    fn patience(&self) -> Duration {
        self.config.session_timeout.min(self.config.rebalance_timeout / 3)
    }

    fn failed(&self, error: Error) -> Setback {
        if error.is_stale() {
            self.joins.forget_coordinator(Coordinator::Group(&self.config.group));
        }
        error.into()
    }

    fn membership(&self, claim: Option<&Claim>) -> Membership {
        let protocol =
            claim.map(|claim| (PROTOCOL.to_owned(), protocol::encode_claim(&self.config.topic, claim)));
        Membership {
            group: self.config.group.clone(),
            instance: self.config.instance.clone(),
            session_timeout: self.config.session_timeout,
            rebalance_timeout: self.config.rebalance_timeout,
            protocol_type: PROTOCOL_TYPE.to_owned(),
            protocols: protocol.into_iter().collect(),
        }
    }
}

fn to(config: &Config) -> To<'_> {
    To::Coordinator(Coordinator::Group(&config.group))
}
