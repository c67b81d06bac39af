//! One request to whoever has to do it.

use kafka_protocol::protocol::Request;

use super::{Client, Coordinator};
use crate::{Answer, Connection, Error};

/// Whom to ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum To<'a> {
    /// Any broker.
    Any,
    /// The broker of this id.
    Broker(i32),
    /// The leader of this partition.
    Leader(&'a str, i32),
    /// The coordinator of this group or transactional id.
    Coordinator(Coordinator<'a>),
    /// The controller.
    Controller,
}

impl Client {
    /// The connection to whom this is for, of this client's purpose; made if there is none. What fails
    /// here has certainly not sent anything of the caller's.
    pub async fn connection(&self, to: To<'_>) -> Result<Connection, Error> {
        let connection = match to {
            To::Any => self.any(self.purpose).await,
            To::Broker(broker) => self.to_broker(broker).await,
            To::Leader(topic, partition) => match self.leader(topic, partition).await {
                Ok(leader) => self.to_broker(leader.broker).await,
                Err(error) => Err(error),
            },
            To::Coordinator(of) => match self.coordinator(of).await {
                Ok(broker) => self.to_broker(broker).await,
                Err(error) => Err(error),
            },
            To::Controller => match self.controller().await {
                Ok(broker) => self.to_broker(broker).await,
                Err(error) => Err(error),
            },
        };
        // Questions of ours on the way may have been sent; the caller's request has not.
        connection.map_err(|mut error| {
            if error.sent == crate::Sent::MaybeSent {
                error.sent = crate::Sent::NotSent;
            }
            error
        })
    }

    async fn to_broker(&self, broker: i32) -> Result<Connection, Error> {
        let address = self.address_of(broker).await?;
        self.pooled(&address, self.purpose).await
    }

    /// Sends one request, once, in the newest version that is not above `max`, and waits for its answer.
    /// The codes inside the answer are the caller's to look at.
    pub async fn call<R: Request>(&self, to: To<'_>, request: &R, max: i16) -> Result<R::Response, Error>
    where
        R::Response: Answer,
    {
        self.connection(to).await?.send(request, max).await
    }

    /// Forgets what `error` shows to be out of date about `to`.
    pub(crate) fn forget_for(&self, to: To<'_>, error: &Error) {
        if !error.is_stale() {
            return;
        }
        match to {
            To::Any => {}
            To::Broker(broker) => self.forget_broker(broker),
            To::Leader(topic, _) => self.forget(topic),
            To::Coordinator(of) => self.forget_coordinator(of),
            To::Controller => self.forget_controller(),
        }
    }
}
