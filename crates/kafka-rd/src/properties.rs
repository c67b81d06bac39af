//! librdkafka properties of one cluster. Every property passes through; secrets are never shown.

use std::{collections::BTreeMap, fmt};

use rdkafka::{ClientConfig, config::FromClientConfigAndContext, consumer::BaseConsumer, error::KafkaError};
use secrecy::{ExposeSecret, SecretString};

use crate::LogContext;

/// What stands in the place of a secret wherever properties are shown.
const HIDDEN: &str = "***";

/// Properties whose value is a secret, by a part of their name. Better one hidden too many.
const SECRET_PARTS: [&str; 6] = ["password", "secret", "key.pem", "jaas", "oauthbearer.config", "token"];

/// Whether the value of this librdkafka property must not be shown.
pub fn is_secret(property: &str) -> bool {
    let property = property.to_ascii_lowercase();
    SECRET_PARTS.iter().any(|part| property.contains(part)) && !property.ends_with(".location")
}

/// Where to connect, under both its names.
const SERVERS: [&str; 2] = ["bootstrap.servers", "metadata.broker.list"];

/// librdkafka properties, as given by the user and completed by the stage that makes a client of them.
#[derive(Clone, Default)]
pub struct Properties(BTreeMap<String, SecretString>);

/// A property that librdkafka does not know or a value that it does not take.
#[derive(Debug, thiserror::Error)]
#[error("{property}: {reason}")]
pub struct PropertyError {
    /// The property's name.
    pub property: String,
    /// librdkafka's word on it, without the value where the value is a secret.
    pub reason: String,
}

impl Properties {
    /// No properties yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets a property, over what it was.
    pub fn set(&mut self, property: impl Into<String>, value: impl Into<String>) -> &mut Self {
        self.0.insert(property.into(), SecretString::from(value.into()));
        self
    }

    /// Sets a property unless the user has set it.
    pub fn set_default(&mut self, property: &str, value: impl ToString) -> &mut Self {
        if !self.0.contains_key(property) {
            self.set(property, value.to_string());
        }
        self
    }

    /// Forgets a property.
    pub fn remove(&mut self, property: &str) {
        self.0.remove(property);
    }

    /// A property's value. Never print it.
    pub fn get(&self, property: &str) -> Option<&str> {
        self.0.get(property).map(|value| value.expose_secret())
    }

    /// The properties' names.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// Every property with its value. Never print one.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.expose_secret()))
    }

    /// The properties for people: secrets hidden.
    pub fn shown(&self) -> BTreeMap<&str, &str> {
        let show = |name: &str, value| if is_secret(name) { HIDDEN } else { value };
        self.0.iter().map(|(name, value)| (name.as_str(), show(name, value.expose_secret()))).collect()
    }

    /// As the rdkafka crate takes them.
    pub fn client_config(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        for (name, value) in &self.0 {
            config.set(name, value.expose_secret());
        }
        config
    }

    /// Whether librdkafka takes each of them.
    pub fn validate(&self) -> Result<(), PropertyError> {
        for (name, value) in &self.0 {
            let mut one = ClientConfig::new();
            one.set(name, value.expose_secret());
            if let Err(error) = one.create_native_config() {
                let reason = match &error {
                    _ if is_secret(name) => {
                        "librdkafka refuses the value (not shown: it is a secret)".to_owned()
                    }
                    rdkafka::error::KafkaError::ClientConfig(_, reason, _, _) => reason.clone(),
                    other => other.to_string(),
                };
                return Err(PropertyError { property: name.clone(), reason });
            }
        }
        Ok(())
    }
}

impl Properties {
    /// Whether librdkafka makes a client of all of them together; one that has nobody to connect to. The error
    /// names the property at fault where librdkafka does, else none.
    pub fn make_client(&self) -> Result<(), PropertyError> {
        let mut config = self.client_config();
        for property in SERVERS {
            config.remove(property);
        }
        let client = BaseConsumer::from_config_and_context(&config, LogContext::new("configuration"));
        client.map(drop).map_err(|error| match error {
            KafkaError::ClientConfig(_, _, property, _) if is_secret(&property) => {
                PropertyError { property, reason: "librdkafka refuses the value".to_owned() }
            }
            KafkaError::ClientConfig(_, reason, property, _) => PropertyError { property, reason },
            KafkaError::ClientCreation(reason) => {
                let named = self.0.keys().filter(|name| reason.contains(name.as_str()));
                let property = named.max_by_key(|name| name.len()).cloned();
                let of_login = || reason.contains("SASL mechanism").then(|| self.mechanism()).flatten();
                PropertyError { property: property.or_else(of_login).unwrap_or_default(), reason }
            }
            other => PropertyError { property: String::new(), reason: other.to_string() },
        })
    }

    /// The property that says how to log in, or that a login is asked for at all.
    fn mechanism(&self) -> Option<String> {
        let names = ["sasl.mechanism", "sasl.mechanisms", "security.protocol"];
        names.into_iter().find(|name| self.0.contains_key(*name)).map(str::to_owned)
    }
}

impl fmt::Debug for Properties {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.shown()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_never_shown() {
        let mut properties = Properties::new();
        properties.set("sasl.password", "hunter2").set("ssl.key.pem", "hunter2").set("client.id", "me");
        assert!(!format!("{properties:?} {:?}", properties.shown()).contains("hunter2"));
        assert_eq!(properties.shown()["client.id"], "me");
        assert_eq!(properties.get("sasl.password"), Some("hunter2"));
    }

    #[test]
    fn what_librdkafka_does_not_know_is_an_error_that_names_it() {
        let mut properties = Properties::new();
        properties.set("bootstrap.serverz", "a:9092");
        assert_eq!(properties.validate().unwrap_err().property, "bootstrap.serverz");
        let mut properties = Properties::new();
        properties.set("acks", "maybe");
        let error = properties.validate().unwrap_err();
        assert!(error.to_string().starts_with("acks: "), "{error}");
    }
}
