//! Why something could not be done with a cluster, in words for the operator.

use std::{sync::Arc, time::Duration};

use kafka_rd::{AdminError, ConnectionError};
use mirror_types::Side;
use rdkafka::{error::KafkaError, types::RDKafkaErrorCode as Code};

/// What failed: on which cluster, doing what (with the topic or partition it was about), and why.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{side} cluster {cluster}: {doing}: {reason}")]
pub struct Error {
    /// Which side of the link the cluster is on.
    pub side: Side,
    /// The cluster's name in the configuration.
    pub cluster: Arc<str>,
    /// What was being done, and to what ("create topic orders").
    pub doing: String,
    /// Kafka's or librdkafka's code for the reason.
    pub code: Code,
    /// Why it failed.
    pub reason: String,
}

impl Error {
    /// Whether the cluster could not be reached, or did not answer in time: worth trying again after a
    /// while. True for authentication failures too: no request gets through until they are mended, and
    /// they can be mended while this program runs.
    pub fn is_unreachable(&self) -> bool {
        is_connection(self.code) || is_silence(self.code) || self.is_authentication()
    }

    /// Whether the cluster was reached, but it or this client refused the other's credentials (SASL) or
    /// certificate (TLS).
    pub fn is_authentication(&self) -> bool {
        kafka_rd::is_authentication(self.code)
    }

    /// Whether the cluster refused because this principal has not the right (an ACL is missing).
    pub fn is_not_authorized(&self) -> bool {
        matches!(
            self.code,
            Code::TopicAuthorizationFailed
                | Code::GroupAuthorizationFailed
                | Code::ClusterAuthorizationFailed
                | Code::TransactionalIdAuthorizationFailed
                | Code::DelegationTokenAuthorizationFailed
        )
    }

    /// Whether there is no such topic or partition.
    pub fn is_unknown_topic(&self) -> bool {
        matches!(self.code, Code::UnknownTopicOrPartition | Code::UnknownTopic | Code::UnknownPartition)
    }

    /// Whether the cluster can't do this at all, whoever asks (an old broker, or librdkafka's mock).
    pub fn is_unsupported(&self) -> bool {
        matches!(self.code, Code::UnsupportedFeature | Code::UnsupportedVersion)
    }

    /// Whether trying again later may help with nothing changed by anyone: the cluster is unreachable,
    /// or it is electing a leader, loading a coordinator or otherwise busy with itself.
    pub fn is_retriable(&self) -> bool {
        self.is_unreachable() || is_passing(self.code)
    }
}

/// No connection to any broker, or it broke.
fn is_connection(code: Code) -> bool {
    matches!(
        code,
        Code::BrokerTransportFailure
            | Code::AllBrokersDown
            | Code::Resolve
            | Code::BrokerDestroy
            | Code::DestroyBroker
            | Code::NetworkException
            | Code::BrokerNotAvailable
    )
}

/// No answer in time.
fn is_silence(code: Code) -> bool {
    matches!(
        code,
        Code::OperationTimedOut
            | Code::MessageTimedOut
            | Code::TimedOutQueue
            | Code::RequestTimedOut
            | Code::WaitingForCoordinator
            | Code::CoordinatorNotAvailable
    )
}

/// Whether a request came to nothing without anybody having said a word about it.
pub(crate) fn is_unanswered(code: Code) -> bool {
    is_connection(code) || is_silence(code)
}

/// The cluster is busy with itself.
pub(crate) fn is_passing(code: Code) -> bool {
    matches!(
        code,
        Code::LeaderNotAvailable
            | Code::NotLeaderForPartition
            | Code::ReplicaNotAvailable
            | Code::NotController
            | Code::NotCoordinator
            | Code::CoordinatorLoadInProgress
            | Code::FencedLeaderEpoch
            | Code::UnknownLeaderEpoch
            | Code::OffsetNotAvailable
            | Code::KafkaStorageError
            | Code::ThrottlingQuotaExceeded
            | Code::UnstableOffsetCommit
            | Code::RebalanceInProgress
            | Code::ListenerNotFound
    )
}

/// The code and reason to report for a failure, given what is known to be wrong with the connections:
/// librdkafka's requests merely time out, and say why only through its error callback.
pub(crate) fn explain(
    error: AdminError,
    connection: Option<ConnectionError>,
    waited: Duration,
) -> (Code, String) {
    let reason = if is_silence(error.code) { format!("no answer within {waited:.1?}") } else { error.reason };
    match connection {
        Some(connection) if is_connection(error.code) || is_silence(error.code) => {
            if connection.is_authentication() {
                (connection.code, connection.reason)
            } else {
                // A broker hangs up on a client that doesn't speak TLS or SASL to it, and says nothing.
                let disconnected = connection.reason.contains("Disconnected");
                let hint = disconnected && !connection.reason.contains("security.protocol");
                let hint = if hint { "; if it stays so, is security.protocol right?" } else { "" };
                (error.code, format!("{reason} ({}{hint})", connection.reason))
            }
        }
        _ => (error.code, reason),
    }
}

/// What the safe crate reports, without the values of properties (they may be secrets).
pub(crate) fn from_kafka(error: &KafkaError) -> AdminError {
    match error {
        KafkaError::ClientConfig(_, reason, property, _) => {
            let reason = if kafka_rd::is_secret(property) { "the value is refused" } else { reason };
            AdminError { code: Code::InvalidArgument, reason: format!("{property}: {reason}") }
        }
        KafkaError::ClientCreation(reason) => AdminError { code: Code::Fail, reason: reason.clone() },
        error => match error.rdkafka_error_code() {
            Some(code) => AdminError::new(code),
            None => AdminError { code: Code::Fail, reason: error.to_string() },
        },
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    fn connection(code: Code, reason: &str) -> Option<ConnectionError> {
        Some(ConnectionError { code, reason: reason.to_owned(), at: Instant::now() })
    }

    #[test]
    fn a_timeout_for_a_wrong_password_speaks_of_the_password() {
        let (code, reason) = explain(
            AdminError::new(Code::OperationTimedOut),
            connection(
                Code::Authentication,
                "sasl_ssl://a:9092: SASL authentication error: Authentication failed",
            ),
            Duration::from_secs(10),
        );
        let error =
            Error { side: Side::Target, cluster: "dc2".into(), doing: "list topics".into(), code, reason };
        assert!(error.is_authentication() && error.is_unreachable() && error.is_retriable());
        assert_eq!(
            error.to_string(),
            "target cluster dc2: list topics: sasl_ssl://a:9092: SASL authentication error: Authentication failed"
        );
    }

    #[test]
    fn a_timeout_says_how_long_it_waited_and_what_the_connections_said() {
        let trouble = connection(Code::Resolve, "failed to resolve a:9092");
        let (code, reason) =
            explain(AdminError::new(Code::OperationTimedOut), trouble, Duration::from_secs(10));
        assert_eq!(
            (code, reason.as_str()),
            (Code::OperationTimedOut, "no answer within 10.0s (failed to resolve a:9092)")
        );
    }

    #[test]
    fn what_a_broker_answered_is_not_mixed_with_connection_trouble() {
        let trouble = connection(Code::BrokerTransportFailure, "b:9092 is down");
        let refused = AdminError::new(Code::TopicAuthorizationFailed);
        let (code, reason) = explain(refused, trouble, Duration::from_secs(10));
        assert_eq!((code, reason.as_str()), (Code::TopicAuthorizationFailed, "Topic authorization failed"));
    }
}
