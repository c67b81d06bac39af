//! What librdkafka-style properties mean to this client.
//!
//! A property that only concerns librdkafka is passed over. One that says how to be safe and that this
//! client can't honour is an error: leaving it out silently would be less safe than was asked for.

mod identity;
mod parse;
mod tls;

use std::{fmt, net::SocketAddr, sync::Arc, time::Duration};

use secrecy::SecretString;

pub(crate) use tls::Tls;

use self::parse::Reader;
use crate::{oauthbearer::Unsecured, scram::Hash};

/// How to reach a cluster, and how to be let in. Made once; clones share it.
#[derive(Clone)]
pub struct Settings {
    /// Where to ask first: host names (or addresses, without brackets) and ports.
    pub bootstrap: Vec<(String, u16)>,
    /// The name that brokers log and set quotas for (`client.id`).
    pub client_id: String,
    /// The rack this client is in, for fetching from a near replica (`client.rack`); may be empty.
    pub rack: String,
    /// How long a connection may take until requests can be sent: TCP, TLS, SASL and all
    /// (`socket.connection.setup.timeout.ms`).
    pub setup_timeout: Duration,
    /// How long a broker may be silent while it owes an answer (`request.timeout.ms`, but not more than
    /// `socket.timeout.ms`).
    pub request_timeout: Duration,
    /// How long written bytes may go unacknowledged before the system gives the connection up
    /// (`socket.timeout.ms`; TCP_USER_TIMEOUT).
    pub socket_timeout: Duration,
    /// How long a connection is kept without use (`connections.max.idle.ms`); `None` is for ever.
    pub max_idle: Option<Duration>,
    /// How long to wait after a first failure to connect, doubled with each (`reconnect.backoff.ms`).
    pub backoff: Duration,
    /// How long to wait at most (`reconnect.backoff.max.ms`).
    pub backoff_max: Duration,
    /// How old what is known of a topic may be (`metadata.max.age.ms`).
    pub metadata_max_age: Duration,
    /// The largest answer that is taken, in bytes (`receive.message.max.bytes`).
    pub max_frame: usize,
    /// Whether the system probes connections without traffic (`socket.keepalive.enable`; here on unless
    /// it is said not to be).
    pub keepalive: bool,
    pub(crate) family: Family,
    pub(crate) tls: Option<Tls>,
    pub(crate) sasl: Option<Sasl>,
}

/// A property that can't be honoured.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{property}: {reason}")]
pub struct SettingsError {
    /// Its name.
    pub property: String,
    /// What is wrong with it, and what is possible instead; without the value where that is a secret.
    pub reason: String,
}

/// Which addresses of a host are tried (`broker.address.family`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Family {
    Any,
    V4,
    V6,
}

/// Who to be, and how to show it.
#[derive(Clone)]
pub(crate) struct Sasl {
    pub user: String,
    pub mechanism: Mechanism,
}

#[derive(Clone)]
pub(crate) enum Mechanism {
    Plain { password: SecretString },
    Scram { hash: Hash, password: SecretString },
    OauthBearer(Unsecured),
}

impl Settings {
    /// Reads librdkafka-style properties, and the files that they name.
    pub fn new<'a>(properties: impl IntoIterator<Item = (&'a str, &'a str)>) -> Result<Self, SettingsError> {
        let reader = Reader::new(properties);
        reader.refuse_what_cannot_be_honoured()?;
        let (tls, sasl) = reader.protocol()?;
        let socket_timeout = reader.millis("socket.timeout.ms", 60_000, 10)?;
        let request_timeout = reader.millis("request.timeout.ms", 30_000, 1)?.min(socket_timeout);
        let max_idle = reader.millis("connections.max.idle.ms", 0, 0)?;
        let backoff = reader.millis("reconnect.backoff.ms", 100, 0)?;
        Ok(Self {
            bootstrap: reader.bootstrap()?,
            client_id: reader.get("client.id").unwrap_or("rdkafka").to_owned(),
            rack: reader.get("client.rack").unwrap_or_default().to_owned(),
            setup_timeout: reader.millis("socket.connection.setup.timeout.ms", 30_000, 1)?,
            request_timeout,
            socket_timeout,
            max_idle: (!max_idle.is_zero()).then_some(max_idle),
            backoff,
            backoff_max: reader.millis("reconnect.backoff.max.ms", 10_000, 0)?.max(backoff),
            metadata_max_age: reader.millis("metadata.max.age.ms", 900_000, 1)?,
            max_frame: reader.number("receive.message.max.bytes", 1 << 30, 1000..=i64::from(i32::MAX))?
                as usize,
            keepalive: reader.flag("socket.keepalive.enable", true)?,
            family: reader.family()?,
            tls: tls.then(|| Tls::new(&reader)).transpose()?,
            sasl: sasl.then(|| reader.sasl()).transpose()?,
        })
    }
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings")
            .field("bootstrap", &self.bootstrap)
            .field("client_id", &self.client_id)
            .field("tls", &self.tls.is_some())
            .field("sasl", &self.sasl.as_ref().map(|sasl| (sasl.mechanism.name(), &sasl.user)))
            .finish_non_exhaustive()
    }
}

// === impl Family ===

impl Family {
    pub fn takes(self, address: &SocketAddr) -> bool {
        match self {
            Self::Any => true,
            Self::V4 => address.is_ipv4(),
            Self::V6 => address.is_ipv6(),
        }
    }
}

// === impl Mechanism ===

impl Mechanism {
    pub fn name(&self) -> &'static str {
        match self {
            Self::Plain { .. } => "PLAIN",
            Self::Scram { hash: Hash::Sha256, .. } => "SCRAM-SHA-256",
            Self::Scram { hash: Hash::Sha512, .. } => "SCRAM-SHA-512",
            Self::OauthBearer(_) => "OAUTHBEARER",
        }
    }
}

/// The address of a broker, as errors show it.
pub(crate) fn address(host: &str, port: u16) -> Arc<str> {
    if host.contains(':') { format!("[{host}]:{port}").into() } else { format!("{host}:{port}").into() }
}

#[cfg(test)]
mod tests;
