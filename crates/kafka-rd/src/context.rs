//! What librdkafka says on its own: its logs to `tracing`, and the last connection trouble kept for the
//! error message of whoever waits on that connection.
//!
//! Never logs a secret (librdkafka's own lines hold none), and never decides what to do about an error.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Instant,
};

use rdkafka::{
    ClientContext, Statistics, config::RDKafkaLogLevel, consumer::ConsumerContext, error::KafkaError,
    types::RDKafkaErrorCode,
};

/// The facility that speaks whenever a connection fails. Most of it comes again, with an error code, through
/// [`ClientContext::error`]; a mere disconnect, which a wrong `security.protocol` looks like, does not.
const FAIL: &str = "FAIL";
/// Facilities that speak at every attempt to connect or to get a producer id (tried again until it works), or of
/// properties that this kind of client ignores.
const CHATTY: [&str; 8] =
    [FAIL, "ERROR", "GETPID", "CONFWARN", "REQTMOUT", "SESSTMOUT", "MAXPOLL", "GETSUBSCRIPTIONS"];

/// The facility that tells what a client learns of topics.
const METADATA: &str = "METADATA";

/// What a topic without an id has for one: sixteen bytes of nothing.
pub(crate) const NO_ID: &str = "AAAAAAAAAAAAAAAAAAAAAA";

/// A topic's id as Kafka's tools write it; librdkafka writes `+` and `/` where they have `-` and `_`.
pub(crate) fn topic_id(of_librdkafka: &str) -> String {
    of_librdkafka.replace('+', "-").replace('/', "_")
}

/// What is wrong with the connections of one client.
#[derive(Debug, Clone)]
pub struct ConnectionError {
    /// librdkafka's code for it.
    pub code: RDKafkaErrorCode,
    /// librdkafka's words: which broker, and what happened there.
    pub reason: String,
    /// When it was reported.
    pub at: Instant,
}

impl ConnectionError {
    /// Whether the broker was reached and would not let this client in, or this client would not trust it.
    pub fn is_authentication(&self) -> bool {
        is_authentication(self.code)
    }
}

/// Whether this code means that credentials or certificates were refused, by either end.
pub fn is_authentication(code: RDKafkaErrorCode) -> bool {
    use RDKafkaErrorCode as E;
    matches!(
        code,
        E::Authentication
            | E::SSL
            | E::SaslAuthenticationFailed
            | E::UnsupportedSASLMechanism
            | E::IllegalSASLState
            | E::SecurityDisabled
    )
}

/// The context of every librdkafka client of this program. Clones share what they remember, so that
/// several clients of one cluster tell one story.
#[derive(Debug, Clone)]
pub struct LogContext {
    cluster: Arc<str>,
    last: Arc<Mutex<Option<ConnectionError>>>,
    topic_ids: Arc<TopicIds>,
}

/// Topics and the ids that the clients have learnt for them.
#[derive(Debug, Default)]
struct TopicIds {
    is_news: AtomicBool,
    learnt: Mutex<Vec<(String, String)>>,
}

impl LogContext {
    /// A context whose log lines name `cluster` (for people: "target cluster dc2").
    pub fn new(cluster: impl Into<Arc<str>>) -> Self {
        Self { cluster: cluster.into(), last: Arc::default(), topic_ids: Arc::default() }
    }

    /// The last thing that was wrong with the connections, since the last [`Self::clear`].
    pub fn last_error(&self) -> Option<ConnectionError> {
        self.last().clone()
    }

    /// Forgets what was wrong: call it when the cluster has answered.
    pub fn clear(&self) {
        *self.last() = None;
    }

    /// Topics that the clients have learnt an id of since this was last asked, in that order. They have to be made with
    /// `debug` = `metadata` and the log level of that.
    ///
    /// A consumer that polls one queue for everything hears of a topic's new id before the first record that it fetched
    /// under it: librdkafka writes the line, then changes the id, then fetches.
    pub fn topic_ids(&self) -> Vec<(String, String)> {
        if !self.topic_ids.is_news.swap(false, Relaxed) {
            return Vec::new();
        }
        std::mem::take(&mut *self.topic_ids.learnt.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn note_topic_id(&self, message: &str) {
        // librdkafka 2.12: "Topic %s changed id from %s to %s"; no topic name has a blank.
        let words: Vec<&str> = message.split(' ').collect();
        if let [.., "Topic", topic, "changed", "id", "from", _, "to", id] = words[..]
            && id != NO_ID
        {
            let mut learnt = self.topic_ids.learnt.lock().unwrap_or_else(PoisonError::into_inner);
            learnt.push((topic.to_owned(), topic_id(id)));
            self.topic_ids.is_news.store(true, Relaxed);
        }
    }

    fn last(&self) -> MutexGuard<'_, Option<ConnectionError>> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes note of a failed connection, unless more is known than that it failed.
    fn note_failure(&self, message: &str) {
        use RDKafkaErrorCode::{AllBrokersDown, BrokerTransportFailure};
        let mut last = self.last();
        if last.as_ref().is_none_or(|error| [AllBrokersDown, BrokerTransportFailure].contains(&error.code)) {
            // Without the name of librdkafka's thread.
            let thread = message.strip_prefix("[thrd:").and_then(|rest| rest.split_once("]: "));
            let reason = thread.map_or(message, |(_, reason)| reason).to_owned();
            *last = Some(ConnectionError { code: BrokerTransportFailure, reason, at: Instant::now() });
        }
    }

    /// Takes note of an error. "All brokers are down" follows every other failure and says less than it.
    fn note(&self, code: RDKafkaErrorCode, reason: &str) {
        let mut last = self.last();
        if code != RDKafkaErrorCode::AllBrokersDown || last.is_none() {
            *last = Some(ConnectionError { code, reason: reason.to_owned(), at: Instant::now() });
        }
    }
}

impl ClientContext for LogContext {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        let cluster = &*self.cluster;
        if facility == FAIL {
            self.note_failure(message);
        }
        if facility == METADATA {
            self.note_topic_id(message);
        }
        match level {
            RDKafkaLogLevel::Debug if facility == METADATA => {
                tracing::trace!(target: "librdkafka", cluster, facility, "{message}");
            }
            _ if CHATTY.contains(&facility) => {
                tracing::debug!(target: "librdkafka", cluster, facility, "{message}");
            }
            RDKafkaLogLevel::Emerg
            | RDKafkaLogLevel::Alert
            | RDKafkaLogLevel::Critical
            | RDKafkaLogLevel::Error => {
                tracing::error!(target: "librdkafka", cluster, facility, "{message}");
            }
            RDKafkaLogLevel::Warning => tracing::warn!(target: "librdkafka", cluster, facility, "{message}"),
            RDKafkaLogLevel::Notice => tracing::info!(target: "librdkafka", cluster, facility, "{message}"),
            RDKafkaLogLevel::Info | RDKafkaLogLevel::Debug => {
                tracing::debug!(target: "librdkafka", cluster, facility, "{message}");
            }
        }
    }

    fn stats(&self, _: Statistics) {}

    fn stats_raw(&self, _: &[u8]) {}

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(target: "librdkafka", cluster = &*self.cluster, "{error}: {reason}");
        if let Some(code) = error.rdkafka_error_code() {
            self.note(code, reason);
        }
    }
}

impl ConsumerContext for LogContext {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reason_survives_the_news_that_all_brokers_are_down() {
        let context = LogContext::new("target cluster dc2");
        let clone = context.clone();
        let report = |code, reason| context.error(KafkaError::Global(code), reason);
        report(RDKafkaErrorCode::AllBrokersDown, "1/1 brokers are down");
        assert_eq!(clone.last_error().unwrap().reason, "1/1 brokers are down");
        report(RDKafkaErrorCode::Authentication, "wrong password");
        report(RDKafkaErrorCode::AllBrokersDown, "1/1 brokers are down");
        let last = clone.last_error().unwrap();
        assert_eq!((last.reason.as_str(), last.is_authentication()), ("wrong password", true));
        context.log(RDKafkaLogLevel::Error, "FAIL", "[thrd:a:9092/1]: a:9092/1: Disconnected");
        assert_eq!(clone.last_error().unwrap().reason, "wrong password");
        clone.clear();
        context.log(RDKafkaLogLevel::Error, "FAIL", "[thrd:a:9092/1]: a:9092/1: Disconnected");
        assert_eq!(clone.last_error().unwrap().reason, "a:9092/1: Disconnected");
        clone.clear();
        assert!(context.last_error().is_none());
    }

    #[test]
    fn the_ids_of_topics_are_told_once_and_in_order() {
        let context = LogContext::new("source cluster dc1");
        let says = |line| context.log(RDKafkaLogLevel::Debug, "METADATA", line);
        says("[thrd:main]: Topic a.b changed id from AAAAAAAAAAAAAAAAAAAAAA to x+1");
        says("[thrd:main]: Topic a.b [0] Leader 1 Epoch 0");
        says("Topic c changed id from x to y");
        let learnt = [("a.b", "x-1"), ("c", "y")].map(|(a, b)| (a.to_owned(), b.to_owned()));
        assert_eq!(context.clone().topic_ids(), learnt);
        assert!(context.topic_ids().is_empty());
    }
}
