//! Why a request failed, and whether the broker may have acted on it all the same.

use std::{fmt, sync::Arc, time::Duration};

/// Kafka's error codes.
pub use kafka_protocol::ResponseError as Code;

/// Whether a failed request may have reached the broker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sent {
    /// Certainly not: no byte of it has been written to the connection. It may be sent again, elsewhere.
    NotSent,
    /// Nobody knows: it was written, at least in part, and no answer came. The broker may have done it, may
    /// do it yet (while bytes of it are on their way), or may never have seen it.
    MaybeSent,
    /// The broker has answered it, with an error.
    Answered,
}

/// What failed, at which broker, and why.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{}{doing}: {cause}", Broker(.broker))]
pub struct Error {
    /// The broker's address (`host:port`), empty where none was chosen yet.
    pub broker: Arc<str>,
    /// What was being done: the request's name, with the topic and partition it was about where one was.
    pub doing: Arc<str>,
    /// Whether the broker may have acted on it.
    pub sent: Sent,
    /// Why.
    pub cause: Cause,
}

/// Why a request failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cause {
    /// No connection: the name does not resolve, nobody listens, or nobody answers in time.
    Unreachable(Arc<str>),
    /// TLS refused the broker, or the broker this client's certificate.
    Tls(Arc<str>),
    /// The broker refused the credentials, or was not able to show that it knows them (SCRAM).
    Authentication(Arc<str>),
    /// The connection ended.
    Disconnected(Arc<str>),
    /// No byte of an answer for this long; the connection was given up.
    Silence(Duration),
    /// The broker sent something that is not the protocol.
    Protocol(Arc<str>),
    /// The broker and this client share no version of the request.
    Unsupported(Arc<str>),
    /// The request itself is not one that can be sent.
    Invalid(Arc<str>),
    /// The partition has no leader, the group or transaction no coordinator, as far as is known.
    NoBroker(Arc<str>),
    /// The broker's answer is an error.
    Kafka {
        /// Its code.
        code: Code,
        /// What the broker says beside it; may be empty.
        message: Arc<str>,
    },
}

impl Error {
    pub(crate) fn not_sent(broker: &Arc<str>, doing: impl Into<Arc<str>>, cause: Cause) -> Self {
        Self { broker: broker.clone(), doing: doing.into(), sent: Sent::NotSent, cause }
    }

    /// A broker's answer to what was being done.
    pub fn answered(broker: &Arc<str>, doing: impl Into<Arc<str>>, code: Code) -> Self {
        Self::answered_with(broker, doing, code, "")
    }

    pub(crate) fn answered_with(
        broker: &Arc<str>,
        doing: impl Into<Arc<str>>,
        code: Code,
        message: &str,
    ) -> Self {
        let cause = Cause::Kafka { code, message: message.into() };
        Self { broker: broker.clone(), doing: doing.into(), sent: Sent::Answered, cause }
    }

    /// An answer that makes no sense: something asked for is not in it.
    pub(crate) fn senseless(broker: &Arc<str>, doing: impl Into<Arc<str>>, what: &str) -> Self {
        let cause = Cause::Protocol(what.into());
        Self { broker: broker.clone(), doing: doing.into(), sent: Sent::MaybeSent, cause }
    }

    /// The code that the broker answered with, if it answered.
    pub fn code(&self) -> Option<Code> {
        match self.cause {
            Cause::Kafka { code, .. } => Some(code),
            _ => None,
        }
    }

    /// Whether the broker refused this client's credentials or certificate, or this client the broker's.
    pub fn is_authentication(&self) -> bool {
        matches!(self.cause, Cause::Authentication(_) | Cause::Tls(_))
            || self.code() == Some(Code::SaslAuthenticationFailed)
    }

    /// Whether the broker refused because this principal has not the right (an ACL is missing).
    pub fn is_not_authorized(&self) -> bool {
        matches!(
            self.code(),
            Some(
                Code::TopicAuthorizationFailed
                    | Code::GroupAuthorizationFailed
                    | Code::ClusterAuthorizationFailed
                    | Code::TransactionalIdAuthorizationFailed
            )
        )
    }

    /// Whether the broker could not be reached, or did not answer.
    pub fn is_unreachable(&self) -> bool {
        matches!(self.cause, Cause::Unreachable(_) | Cause::Disconnected(_) | Cause::Silence(_))
    }

    /// Whether what is known of leaders, coordinators or the controller is out of date.
    pub fn is_stale(&self) -> bool {
        match &self.cause {
            Cause::NoBroker(_) => true,
            Cause::Kafka { code, .. } => is_stale(*code),
            _ => self.is_unreachable(),
        }
    }

    /// Whether the same request may succeed later with nothing changed by anyone. It says nothing of
    /// whether the failed one was done: see [`Sent`].
    pub fn is_retriable(&self) -> bool {
        self.is_stale() || self.code().is_some_and(is_passing)
    }
}

/// The broker is not, or no longer, the one to ask, or knows less than we do.
fn is_stale(code: Code) -> bool {
    matches!(
        code,
        Code::NotLeaderOrFollower
            | Code::LeaderNotAvailable
            | Code::UnknownTopicOrPartition
            | Code::UnknownTopicId
            | Code::InconsistentTopicId
            | Code::FencedLeaderEpoch
            | Code::UnknownLeaderEpoch
            | Code::NotCoordinator
            | Code::CoordinatorNotAvailable
            | Code::NotController
            | Code::BrokerNotAvailable
            | Code::ReplicaNotAvailable
            | Code::ListenerNotFound
            | Code::KafkaStorageError
    )
}

/// The cluster is busy with itself.
fn is_passing(code: Code) -> bool {
    matches!(
        code,
        Code::CoordinatorLoadInProgress
            | Code::OffsetNotAvailable
            | Code::ConcurrentTransactions
            | Code::RequestTimedOut
            | Code::NotEnoughReplicas
            | Code::ThrottlingQuotaExceeded
            | Code::UnstableOffsetCommit
    )
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreachable(reason)
            | Self::Tls(reason)
            | Self::Authentication(reason)
            | Self::Disconnected(reason)
            | Self::Protocol(reason)
            | Self::Unsupported(reason)
            | Self::Invalid(reason)
            | Self::NoBroker(reason) => f.write_str(reason),
            Self::Silence(waited) => write!(f, "no answer within {waited:.1?}"),
            Self::Kafka { code, message } if message.is_empty() => write!(f, "{code} ({})", code.code()),
            Self::Kafka { code, message } => write!(f, "{code} ({}): {message}", code.code()),
        }
    }
}

struct Broker<'a>(&'a str);

impl fmt::Display for Broker<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() { Ok(()) } else { write!(f, "{}: ", self.0) }
    }
}

/// Kafka's name for an error, as words: `TOPIC_AUTHORIZATION_FAILED` is "topic authorization failed".
pub fn words(code: Code) -> String {
    let name = code.to_string();
    let mut words = String::new();
    for letter in name.chars() {
        if letter.is_uppercase() && !words.is_empty() {
            words.push(' ');
        }
        words.extend(letter.to_lowercase());
    }
    words
}
