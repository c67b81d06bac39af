//! Which broker a group or a transactional id has to do with (FindCoordinator).

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
};

use kafka_protocol::{messages::FindCoordinatorRequest, protocol::StrBytes};

use super::{Broker, Client, metadata::no_broker};
use crate::{Code, Error, lock, names};

/// From version 4 a request asks for several (KIP-699).
const VERSION: i16 = 4;

/// What a coordinator coordinates.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Coordinator<'a> {
    /// A consumer group.
    Group(&'a str),
    /// A transactional id.
    Transaction(&'a str),
}

impl Coordinator<'_> {
    fn key_type(self) -> i8 {
        match self {
            Self::Group(_) => 0,
            Self::Transaction(_) => 1,
        }
    }

    fn key(&self) -> &str {
        match self {
            Self::Group(key) | Self::Transaction(key) => key,
        }
    }
}

#[derive(Default)]
pub(super) struct Coordinators(Mutex<HashMap<(i8, Arc<str>), i32>>);

impl Client {
    /// The id of the broker that coordinates this, as far as is known, or else as any broker says.
    pub async fn coordinator(&self, of: Coordinator<'_>) -> Result<i32, Error> {
        let key: Arc<str> = of.key().into();
        let known = lock(&self.inner.coordinators.0).get(&(of.key_type(), key.clone())).copied();
        if let Some(broker) = known {
            return Ok(broker);
        }
        let broker = self.find_coordinator(of).await?;
        let id = broker.id;
        self.learn_broker(broker);
        lock(&self.inner.coordinators.0).insert((of.key_type(), key), id);
        Ok(id)
    }

    /// Forgets it, so that the next who needs it asks.
    pub fn forget_coordinator(&self, of: Coordinator<'_>) {
        lock(&self.inner.coordinators.0).remove(&(of.key_type(), of.key().into()));
    }

    async fn find_coordinator(&self, of: Coordinator<'_>) -> Result<Broker, Error> {
        let connection = self.any(self.purpose).await?;
        let version = connection.version_of::<FindCoordinatorRequest>(VERSION)?;
        let mut request = FindCoordinatorRequest::default();
        let key = names::text(of.key());
        if version >= 4 {
            request.coordinator_keys = vec![key];
        } else {
            request.key = key;
        }
        // Version 0 knows groups only, and no other key type can be encoded.
        if version >= 1 {
            request.key_type = of.key_type();
        }
        let doing = || match of {
            Coordinator::Group(group) => format!("find the coordinator of group {group}"),
            Coordinator::Transaction(id) => format!("find the coordinator of transactional id {id}"),
        };
        if version == 0 && of.key_type() != 0 {
            let cause = crate::Cause::Unsupported("the broker knows no transactions".into());
            return Err(Error::not_sent(connection.address(), doing(), cause));
        }
        let mut answer = connection.send(&request, VERSION).await?;
        let (code, message, id, host, port) = if version >= 4 {
            let found = answer.coordinators.pop();
            let found =
                found.ok_or_else(|| Error::senseless(connection.address(), doing(), "an empty answer"))?;
            (found.error_code, found.error_message, found.node_id, found.host, found.port)
        } else {
            (answer.error_code, answer.error_message, answer.node_id, answer.host, answer.port)
        };
        if let Some(code) = Code::try_from_code(code) {
            let message = message.as_ref().map_or("", StrBytes::as_str);
            return Err(Error::answered_with(connection.address(), doing(), code, message));
        }
        let port = u16::try_from(port).map_err(|_| no_broker(&doing(), "it has no port"))?;
        Ok(Broker { id: id.0, host: Arc::from(&*host), port, rack: None })
    }
}
