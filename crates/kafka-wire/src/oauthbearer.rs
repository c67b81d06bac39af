//! The client's side of OAUTHBEARER (RFC 7628) with unsecured tokens (RFC 7515, A.5), as librdkafka makes them
//! of `sasl.oauthbearer.config`. No I/O.

use std::{collections::BTreeMap, time::Duration};

use secrecy::{ExposeSecret, SecretString};

use crate::base64;

/// What ends an exchange that the broker has refused: it says so in a message, and waits for this one.
pub(crate) const GIVE_UP: &str = "\x01";
/// `{"alg":"none"}`
const HEADER: &str = "eyJhbGciOiJub25lIn0";
/// What may be given once, beside extensions.
const NAMES: [&str; 5] = ["principal", "principalClaimName", "scope", "scopeClaimName", "lifeSeconds"];

/// Who to say we are, in tokens that nobody has signed.
#[derive(Clone)]
pub(crate) struct Unsecured {
    principal: String,
    /// The JSON of the principal's claim.
    subject: String,
    /// The JSON of the scope's claim behind a comma, or nothing.
    scope: String,
    life: Duration,
    /// As they are sent.
    extensions: SecretString,
}

impl Unsecured {
    /// Reads `sasl.oauthbearer.config`. The reason why it can't be used never has a value in it.
    pub fn new(config: &str) -> Result<Self, String> {
        let (mut given, mut extensions) = (BTreeMap::new(), String::new());
        for (place, entry) in config.split(' ').filter(|entry| !entry.is_empty()).enumerate() {
            let (name, value) = entry.split_once('=').unwrap_or((entry, ""));
            if let Some(name) = name.strip_prefix("extension_") {
                let extension = extension(name, value);
                extensions += &extension.map_err(|reason| format!("entry {}: {reason}", place + 1))?;
            } else if !NAMES.contains(&name) {
                let names = NAMES.join("=, ");
                return Err(format!("entry {} is none of {names}= and extension_NAME=", place + 1));
            } else if value.is_empty() || value.contains('"') {
                return Err(format!("`{name}` is empty, or has a quotation mark in it"));
            } else if given.insert(name, value).is_some() {
                return Err(format!("`{name}` is given twice"));
            }
        }
        let get = |name, default| given.get(name).copied().unwrap_or(default);
        let principal = given.get("principal").ok_or("`principal` is not given")?;
        let life = get("lifeSeconds", "3600").parse::<i32>().ok().filter(|seconds| *seconds > 0);
        let life = life.ok_or_else(|| format!("`lifeSeconds` is not a number from 1 to {}", i32::MAX))?;
        Ok(Self {
            principal: (*principal).to_owned(),
            subject: format!("\"{}\":\"{principal}\"", get("principalClaimName", "sub")),
            scope: scope(get("scopeClaimName", "scope"), get("scope", "")),
            life: Duration::from_secs(life.unsigned_abs().into()),
            extensions: extensions.into(),
        })
    }

    pub fn principal(&self) -> &str {
        &self.principal
    }

    /// The client's first message, with a token that is made `now` (since 1970).
    pub fn first(&self, now: Duration) -> String {
        format!("n,,\x01auth=Bearer {}\x01{}\x01", self.token(now), self.extensions.expose_secret())
    }

    fn token(&self, now: Duration) -> String {
        let seconds = |time: Duration| format!("{}.{:03}", time.as_secs(), time.subsec_millis());
        let Self { subject, scope, .. } = self;
        let (made, ends) = (seconds(now), seconds(now + self.life));
        let claims = format!("{{{subject},\"iat\":{made},\"exp\":{ends}{scope}}}");
        format!("{HEADER}.{}.", base64::encode_url(claims.as_bytes()))
    }
}

/// The claim of a list like `a,b`.
fn scope(name: &str, list: &str) -> String {
    let mut scopes: Vec<&str> = Vec::new();
    for scope in list.split(',').filter(|scope| !scope.is_empty()) {
        if !scopes.contains(&scope) {
            scopes.push(scope);
        }
    }
    if scopes.is_empty() { String::new() } else { format!(",\"{name}\":[\"{}\"]", scopes.join("\",\"")) }
}

fn extension(name: &str, value: &str) -> Result<String, &'static str> {
    if name.is_empty() || name == "auth" || !name.bytes().all(|byte| byte.is_ascii_alphabetic()) {
        return Err("an extension's name is letters, and not `auth`");
    }
    if !value.bytes().all(|byte| matches!(byte, b'\t' | b'\n' | b'\r' | b' '..=b'~')) {
        return Err("an extension's value is printable ASCII");
    }
    Ok(format!("{name}={value}\x01"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claims(config: &str) -> String {
        let token = Unsecured::new(config).unwrap().token(Duration::from_millis(1000));
        let [header, claims, signature] = token.split('.').collect::<Vec<_>>().try_into().unwrap();
        assert_eq!((header, signature), (HEADER, ""));
        let padded = claims.replace('-', "+").replace('_', "/") + &"=".repeat((4 - claims.len() % 4) % 4);
        String::from_utf8(base64::decode(&padded).unwrap()).unwrap()
    }

    /// The vectors of librdkafka's own tests (rdkafka_sasl_oauthbearer.c).
    #[test]
    fn tokens_are_librdkafkas() {
        let token = Unsecured::new("principal=fubar scopeClaimName=whatever").unwrap();
        assert_eq!(
            token.token(Duration::from_secs(1)),
            "eyJhbGciOiJub25lIn0.eyJzdWIiOiJmdWJhciIsImlhdCI6MS4wMDAsImV4cCI6MzYwMS4wMDB9."
        );
        assert_eq!(
            claims("principal=fubar scope=role1,role2 lifeSeconds=60"),
            r#"{"sub":"fubar","iat":1.000,"exp":61.000,"scope":["role1","role2"]}"#
        );
        assert_eq!(
            claims(
                "  principal=fubar  principalClaimName=azp scope=,a,,b,a, scopeClaimName=roles lifeSeconds=60 "
            ),
            r#"{"azp":"fubar","iat":1.000,"exp":61.000,"roles":["a","b"]}"#
        );
        assert_eq!(claims("principal=a=b?~ÿ"), r#"{"sub":"a=b?~ÿ","iat":1.000,"exp":3601.000}"#);
    }

    #[test]
    fn the_first_message_is_that_of_rfc_7628() {
        let tokens = Unsecured::new("principal=me extension_a=b extension_traceId=c=d").unwrap();
        let token = tokens.token(Duration::from_millis(1_700_000_000_123));
        assert_eq!(
            tokens.first(Duration::from_millis(1_700_000_000_123)),
            format!("n,,\x01auth=Bearer {token}\x01a=b\x01traceId=c=d\x01\x01")
        );
        let plain = Unsecured::new("principal=me").unwrap().first(Duration::ZERO);
        assert!(plain.ends_with(".\x01\x01"), "{plain:?}");
    }

    #[test]
    fn what_can_not_be_used_is_named_and_not_shown() {
        for (config, said) in [
            ("", "`principal` is not given"),
            ("scope=a", "`principal` is not given"),
            ("principal=", "`principal` is empty"),
            ("principal=hunter\"2", "quotation mark"),
            ("principal=hunter2 principal=hunter2", "`principal` is given twice"),
            ("principal=me scopeClaimName=\"", "`scopeClaimName`"),
            ("principal=me lifeSeconds=0", "from 1 to 2147483647"),
            ("principal=me lifeSeconds=2147483648", "`lifeSeconds`"),
            ("principal=me lifeSeconds=hunter2", "`lifeSeconds`"),
            ("principal=me hunter2", "entry 2 is none of principal=, "),
            ("principal=me\thunter2=3 hunter2", "entry 2"),
            ("principal=me hunter2=3", "extension_NAME="),
            ("principal=me extension_=hunter2", "entry 2: an extension's name"),
            ("principal=me extension_auth=hunter2", "not `auth`"),
            ("principal=me extension_hunter2=3", "letters"),
            ("principal=me extension_a=hunter2é", "printable"),
        ] {
            let error = Unsecured::new(config).err().expect(config);
            assert!(error.contains(said) && !error.contains("hunter2"), "{config}: {error}");
        }
    }
}
