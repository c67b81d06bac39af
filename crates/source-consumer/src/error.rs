//! What can end the stage as a whole. One lane's trouble is an event, not an error.

use rdkafka::error::KafkaError;

/// Why the stage can't start or go on.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The properties make no client.
    #[error("failed to make the source consumer: {0}")]
    Client(#[source] KafkaError),
    /// The properties make no client of the batches engine.
    #[error("failed to make the source's client: {0}")]
    Settings(#[from] kafka_wire::SettingsError),
    /// A property that isomirror has to set itself.
    #[error("source.kafka: `{property}` can't be set to `{value}`: {why}; remove it")]
    Forced {
        /// The property.
        property: &'static str,
        /// What the user set it to.
        value: String,
        /// Why isomirror sets it.
        why: &'static str,
    },
    /// The thread could not be started.
    #[error("failed to start the source consumer's thread: {0}")]
    Thread(#[source] std::io::Error),
    /// The thread ended by a panic.
    #[error("the source consumer's thread panicked")]
    Panicked,
}

impl Error {
    /// The property that is at fault, if one is.
    pub fn property(&self) -> Option<&str> {
        match self {
            Error::Forced { property, .. } => Some(property),
            Error::Client(_) | Error::Settings(_) | Error::Thread(_) | Error::Panicked => None,
        }
    }
}
