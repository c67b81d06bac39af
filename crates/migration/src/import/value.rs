//! What a value is: text, or a reference that Kafka's config providers resolve.

use super::properties::Properties;

/// A value.
#[derive(Clone)]
pub(super) enum Value {
    /// As it is written.
    Text(String),
    /// The content of this environment variable.
    Variable(String),
    /// Only a config provider knows it, or it is put together of parts.
    Elsewhere,
}

/// The config providers that look into the environment.
pub(super) struct Providers(Vec<String>);

impl Providers {
    /// By their classes in the file, or by the usual name.
    pub fn of(file: &Properties) -> Self {
        let get = |key: &str| file.get(key).map(|entry| entry.value.as_str());
        let looks_there = |name: &&str| match get(&format!("config.providers.{name}.class")) {
            Some(class) => class.ends_with("EnvVarConfigProvider"),
            None => *name == "env",
        };
        let names = get("config.providers").unwrap_or("env").split(',').map(str::trim);
        Self(names.filter(looks_there).map(str::to_owned).collect())
    }

    /// What a login is: one that is put together of parts is text, whose parts are to be read.
    pub fn read_login(&self, text: &str) -> Value {
        match text.starts_with("${") {
            true => self.read(text),
            false => Value::Text(text.to_owned()),
        }
    }

    /// What a value is. A `${…}` without a colon is text for Kafka, too.
    pub fn read(&self, text: &str) -> Value {
        let plain = || Value::Text(text.to_owned());
        let Some((before, rest)) = text.split_once("${") else { return plain() };
        let Some((reference, behind)) = rest.split_once('}') else { return plain() };
        let Some((provider, name)) = reference.split_once(':') else { return plain() };
        let legal = |c: char| c.is_ascii_alphanumeric() || c == '_';
        let whole = before.is_empty() && behind.is_empty() && !name.is_empty() && name.chars().all(legal);
        match whole && self.0.iter().any(|known| known == provider) {
            true => Value::Variable(name.to_owned()),
            false => Value::Elsewhere,
        }
    }
}
