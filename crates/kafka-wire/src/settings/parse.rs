//! Single properties: their names, forms and limits, as librdkafka's CONFIGURATION.md has them.

use std::{collections::BTreeMap, ops::RangeInclusive, time::Duration};

use secrecy::{ExposeSecret, SecretString};

use super::{Family, Mechanism, Sasl, SettingsError};
use crate::{oauthbearer::Unsecured, scram::Hash};

/// What librdkafka does with TLS and this client does not, where leaving it out would be less safe: by the
/// property's name, or its beginning.
const REFUSED: [(&str, &str); 7] = [
    ("ssl.engine.", "OpenSSL engines can't be used; give ssl.key.location or ssl.key.pem"),
    ("ssl.providers", "OpenSSL providers can't be used"),
    ("ssl.crl.location", "revocation lists are not checked"),
    ("ssl.cipher.suites", "cipher suites can't be chosen: they are rustls' (TLS 1.2 and 1.3)"),
    ("ssl.curves.list", "curves can't be chosen: they are rustls' (TLS 1.2 and 1.3)"),
    ("ssl.sigalgs.list", "signature algorithms can't be chosen: they are rustls' (TLS 1.2 and 1.3)"),
    ("ssl.ca.certificate.stores", "Windows certificate stores can't be used; give ssl.ca.location"),
];

const MECHANISMS: &str = "only PLAIN, SCRAM-SHA-256, SCRAM-SHA-512 and OAUTHBEARER are possible";
const TOKENS: &str = "tokens can't be fetched (OIDC), only unsecured ones be made";

pub(crate) struct Reader(BTreeMap<String, SecretString>);

impl Reader {
    pub fn new<'a>(properties: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        let own = |(name, value): (&str, &str)| (name.trim().to_owned(), SecretString::from(value));
        Self(properties.into_iter().map(own).collect())
    }

    /// A property's value; an empty one is as good as none.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(|value| value.expose_secret()).filter(|value| !value.is_empty())
    }

    /// The first of these properties that is set, with its name: a property and its alias.
    fn either<'a>(&self, names: [&'a str; 2]) -> (&'a str, Option<&str>) {
        let set = names.into_iter().find(|name| self.get(name).is_some());
        (set.unwrap_or(names[0]), set.and_then(|name| self.get(name)))
    }

    pub fn number(&self, name: &str, default: i64, range: RangeInclusive<i64>) -> Result<i64, SettingsError> {
        let Some(text) = self.get(name) else { return Ok(default) };
        let number = text.trim().parse::<i64>().ok().filter(|number| range.contains(number));
        number.ok_or_else(|| {
            error(name, format!("`{text}` is not a number from {} to {}", range.start(), range.end()))
        })
    }

    pub fn millis(&self, name: &str, default: i64, least: i64) -> Result<Duration, SettingsError> {
        let millis = self.number(name, default, least..=i64::from(i32::MAX))?;
        Ok(Duration::from_millis(millis.unsigned_abs()))
    }

    pub fn flag(&self, name: &str, default: bool) -> Result<bool, SettingsError> {
        match self.get(name).map(|text| text.trim().to_ascii_lowercase()).as_deref() {
            None => Ok(default),
            Some("true" | "t" | "1") => Ok(true),
            Some("false" | "f" | "0") => Ok(false),
            Some(other) => Err(error(name, format!("`{other}` is neither true nor false"))),
        }
    }

    pub fn family(&self) -> Result<Family, SettingsError> {
        match self.get("broker.address.family").unwrap_or("any") {
            "any" => Ok(Family::Any),
            "v4" => Ok(Family::V4),
            "v6" => Ok(Family::V6),
            other => Err(error("broker.address.family", format!("`{other}` is not any, v4 or v6"))),
        }
    }

    pub fn refuse_what_cannot_be_honoured(&self) -> Result<(), SettingsError> {
        let (tls, _) = self.protocol()?;
        // Without TLS its properties do nothing, with librdkafka too.
        for name in self.0.keys().filter(|name| tls && self.get(name).is_some()) {
            if let Some((_, reason)) = REFUSED.iter().find(|(refused, _)| name.starts_with(refused)) {
                return Err(error(name, (*reason).to_owned()));
            }
        }
        Ok(())
    }

    /// Whether to use TLS, and SASL.
    pub fn protocol(&self) -> Result<(bool, bool), SettingsError> {
        let name = "security.protocol";
        match self.get(name).unwrap_or("plaintext").to_ascii_lowercase().as_str() {
            "plaintext" => Ok((false, false)),
            "ssl" => Ok((true, false)),
            "sasl_plaintext" => Ok((false, true)),
            "sasl_ssl" => Ok((true, true)),
            other => Err(error(name, format!("`{other}` is not plaintext, ssl, sasl_plaintext or sasl_ssl"))),
        }
    }

    pub fn sasl(&self) -> Result<Sasl, SettingsError> {
        // librdkafka's default is GSSAPI.
        let (name, mechanism) = self.either(["sasl.mechanism", "sasl.mechanisms"]);
        let mechanism = mechanism.unwrap_or("GSSAPI").trim().to_ascii_uppercase();
        let needed = |name: &str| self.get(name).ok_or_else(|| error(name, format!("{mechanism} needs it")));
        let user = || needed("sasl.username").map(str::to_owned);
        let password = || needed("sasl.password").map(SecretString::from);
        let scram =
            |hash| Ok(Sasl { user: user()?, mechanism: Mechanism::Scram { hash, password: password()? } });
        match &*mechanism {
            "PLAIN" => Ok(Sasl { user: user()?, mechanism: Mechanism::Plain { password: password()? } }),
            "SCRAM-SHA-256" => scram(Hash::Sha256),
            "SCRAM-SHA-512" => scram(Hash::Sha512),
            "OAUTHBEARER" => {
                self.only_unsecured_tokens()?;
                let config = "sasl.oauthbearer.config";
                let tokens = Unsecured::new(needed(config)?).map_err(|reason| error(config, reason))?;
                Ok(Sasl { user: tokens.principal().to_owned(), mechanism: Mechanism::OauthBearer(tokens) })
            }
            other => Err(error(name, format!("{other} can't be used here: {MECHANISMS}"))),
        }
    }

    fn only_unsecured_tokens(&self) -> Result<(), SettingsError> {
        let (method, unsecured) = ("sasl.oauthbearer.method", "enable.sasl.oauthbearer.unsecure.jwt");
        match self.get(method).unwrap_or("default").to_ascii_lowercase().as_str() {
            "default" if self.flag(unsecured, false)? => Ok(()),
            "default" => Err(error(unsecured, format!("OAUTHBEARER needs it to be true: {TOKENS}"))),
            "oidc" => Err(error(method, format!("{TOKENS}, with {unsecured}"))),
            other => Err(error(method, format!("`{other}` is not default"))),
        }
    }

    pub fn bootstrap(&self) -> Result<Vec<(String, u16)>, SettingsError> {
        let (name, list) = self.either(["bootstrap.servers", "metadata.broker.list"]);
        let list = list.ok_or_else(|| error(name, "no broker is given".to_owned()))?;
        let entries = list.split(',').map(str::trim).filter(|entry| !entry.is_empty());
        let brokers: Vec<_> = entries.map(|entry| self.broker(name, entry)).collect::<Result<_, _>>()?;
        if brokers.is_empty() { Err(error(name, "no broker is given".to_owned())) } else { Ok(brokers) }
    }

    fn broker(&self, name: &str, entry: &str) -> Result<(String, u16), SettingsError> {
        let bad = || error(name, format!("`{entry}` is not host:port"));
        // librdkafka takes `ssl://host:port` where that is the protocol.
        let plain = match entry.split_once("://") {
            Some((protocol, rest)) => {
                let set = self.get("security.protocol").unwrap_or("plaintext");
                if !protocol.eq_ignore_ascii_case(set) {
                    return Err(error(name, format!("`{entry}` is not {set}, the security.protocol")));
                }
                rest
            }
            None => entry,
        };
        let (host, port) = match plain.strip_prefix('[') {
            Some(rest) => {
                let (host, port) = rest.split_once(']').ok_or_else(bad)?;
                let port = if port.is_empty() { None } else { Some(port.strip_prefix(':').ok_or_else(bad)?) };
                (host, port)
            }
            None if plain.matches(':').count() > 1 => (plain, None),
            None => plain.split_once(':').map_or((plain, None), |(host, port)| (host, Some(port))),
        };
        let port =
            port.map_or(Ok(9092), |port| port.parse::<u16>().ok().filter(|p| *p > 0).ok_or_else(bad))?;
        if host.is_empty() || host.contains(['/', ' ']) { Err(bad()) } else { Ok((host.to_owned(), port)) }
    }
}

pub(crate) fn error(property: &str, reason: String) -> SettingsError {
    SettingsError { property: property.to_owned(), reason }
}
