//! What can end the stage as a whole. One lane's trouble is an event, not an error.

/// Why the stage can't start or go on.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The properties make no client.
    #[error("target.kafka: {0}")]
    Client(#[from] kafka_wire::SettingsError),
    /// A property that isomirror has to set itself.
    #[error("target.kafka: `{property}` can't be set to `{value}`: {why}; remove it")]
    Forced {
        /// The property.
        property: &'static str,
        /// What the user set it to.
        value: String,
        /// Why isomirror sets it.
        why: &'static str,
    },
    /// A property that is not a number.
    #[error("target.kafka: `{property}` is `{value}`, which is not a number")]
    Number {
        /// The property.
        property: &'static str,
        /// What the user set it to.
        value: String,
    },
    /// A codec that Kafka does not have.
    #[error("target.kafka: `compression.type` is `{0}`; Kafka knows none, gzip, snappy, lz4 and zstd")]
    Codec(String),
    /// A task ended by a panic.
    #[error("the producer panicked: {0}")]
    Panicked(String),
}

impl Error {
    /// The property that is at fault, if one is.
    pub fn property(&self) -> Option<&str> {
        match self {
            Error::Client(error) => Some(&error.property),
            Error::Forced { property, .. } | Error::Number { property, .. } => Some(property),
            Error::Codec(_) => Some("compression.type"),
            Error::Panicked(_) => None,
        }
    }
}
