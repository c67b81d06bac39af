//! How to log in and whom to trust: Java's `security.protocol`, `sasl.*` and `ssl.*` as librdkafka's.
//!
//! Owns the command lines that turn Java's keystores into what others can read.

use mirror_types::Side;

use super::{
    client::{Client, Given, unknown},
    draft::{Draft, Section},
    jaas::Jaas,
    note::Place,
    value::{Providers, Value},
};
use crate::check::Severity;

const LOGIN_ALIKE: &str = "isomirror logs in with PLAIN, SCRAM-SHA-256 and SCRAM-SHA-512, or with a client certificate: make it a \
                           user of that kind on this cluster, and write \"sasl.mechanism\", \"sasl.username\" and \"sasl.password\" here";

/// One side that is being converted.
struct Conversion<'a> {
    draft: &'a mut Draft,
    side: Side,
    client: &'a mut Client,
    providers: &'a Providers,
}

/// Takes what belongs to security out of the client's properties.
pub(super) fn convert(draft: &mut Draft, side: Side, client: &mut Client, providers: &Providers) {
    let mut this = Conversion { draft, side, client, providers };
    let (protocol, place) = this.protocol();
    match protocol.starts_with("SASL") {
        true => this.login(&place),
        false => this.rest("sasl.", Severity::Info, "not used: security.protocol asks for no login"),
    }
    match protocol.ends_with("SSL") {
        true => {
            this.trust();
            this.identity();
            this.rest(
                "ssl.",
                Severity::Warning,
                "not carried over: isomirror speaks TLS 1.2 and 1.3 with the ciphers of its library",
            );
        }
        false => this.rest("ssl.", Severity::Info, "not used: security.protocol asks for no TLS"),
    }
}

impl Conversion<'_> {
    fn section(&self) -> Section {
        Section::of(self.side)
    }

    fn note(&mut self, severity: Severity, place: &Place, message: impl Into<String>) {
        self.draft.note(self.section(), severity, place.clone(), message);
    }

    fn take(&mut self, name: &str) -> Option<Given> {
        self.client.remove(name)
    }

    /// Takes a property that has to be known to go on: its text in capitals.
    fn word(&mut self, name: &str, default: &str) -> (String, Place) {
        match self.take(name) {
            Some(Given { value: Value::Text(text), place }) => (text.to_ascii_uppercase(), place),
            Some(Given { place, .. }) => {
                self.note(
                    Severity::Error,
                    &place,
                    format!("taken for {default}: write what it is while it is imported"),
                );
                (default.to_owned(), place)
            }
            None => (default.to_owned(), Place::default()),
        }
    }

    fn protocol(&mut self) -> (String, Place) {
        let (protocol, place) = self.word("security.protocol", "PLAINTEXT");
        match protocol.as_str() {
            "PLAINTEXT" => {}
            "SSL" | "SASL_PLAINTEXT" | "SASL_SSL" => {
                self.draft.set(self.section(), "security.protocol", &protocol)
            }
            _ => self.note(
                Severity::Error,
                &place,
                "write PLAINTEXT, SSL, SASL_PLAINTEXT or SASL_SSL as \"security.protocol\"",
            ),
        }
        (protocol, place)
    }

    /// Says the same of all that is left of these properties.
    fn rest(&mut self, prefix: &str, severity: Severity, message: &str) {
        let names: Vec<String> =
            self.client.keys().filter(|name| name.starts_with(prefix)).cloned().collect();
        for name in names {
            if let Some(given) = self.take(&name) {
                let message = if given.place.key.is_some() { message } else { unknown(&given.place) };
                self.note(severity, &given.place, message);
            }
        }
    }

    // === login ===

    fn login(&mut self, protocol: &Place) {
        // Java's default.
        let (mechanism, place) = self.word("sasl.mechanism", "GSSAPI");
        let place = if place == Place::default() { protocol.clone() } else { place };
        let jaas = self.take("sasl.jaas.config");
        let at = jaas.as_ref().map_or(&place, |jaas| &jaas.place).clone();
        match mechanism.as_str() {
            "PLAIN" | "SCRAM-SHA-256" | "SCRAM-SHA-512" => {
                self.draft.set(self.section(), "sasl.mechanism", &mechanism);
                self.user(jaas, &at);
            }
            "GSSAPI" => self.note(
                Severity::Error,
                &at,
                format!("Kerberos can't be used in this version. {LOGIN_ALIKE}"),
            ),
            "OAUTHBEARER" => {
                let message = "tokens can't be fetched in this version; unsecured ones can be made: \"sasl.mechanism\" = \
                               \"OAUTHBEARER\", \"enable.sasl.oauthbearer.unsecure.jwt\" = true, \"sasl.oauthbearer.config\" = \
                               \"principal=…\". Else:";
                self.note(Severity::Error, &at, format!("{message} {LOGIN_ALIKE}"));
            }
            _ => self.note(Severity::Error, &at, format!("this mechanism is not known. {LOGIN_ALIKE}")),
        }
        self.rest("sasl.", Severity::Info, "not carried over: it is about logins in Java");
    }

    /// User and password out of the login module's options.
    fn user(&mut self, jaas: Option<Given>, at: &Place) {
        let missing = "write \"sasl.username\" and \"sasl.password\" = { file = \"…\" } here:";
        let text = match jaas.map(|jaas| jaas.value) {
            Some(Value::Text(text)) => text,
            Some(_) => {
                return self.note(
                    Severity::Error,
                    at,
                    format!("{missing} sasl.jaas.config comes from a config provider"),
                );
            }
            None => {
                let message =
                    "they stand in the file that -Djava.security.auth.login.config names in KAFKA_OPTS";
                return self.note(Severity::Error, at, format!("{missing} {message}"));
            }
        };
        let Some(jaas) = Jaas::read(&text) else {
            return self.note(Severity::Error, at, format!("{missing} the login there can't be read"));
        };
        let (user, password) = (jaas.get("username"), jaas.get("password"));
        if !(jaas.module.ends_with("PlainLoginModule") || jaas.module.ends_with("ScramLoginModule")) {
            return self.note(Severity::Error, at, format!("{missing} this login module is code of its own"));
        }
        if jaas.get("tokenauth") == Some("true") {
            return self.note(Severity::Error, at, format!("{missing} delegation tokens can't be used"));
        }
        let (Some(user), Some(password)) = (user, password) else {
            return self.note(Severity::Error, at, format!("{missing} the login there lacks one of them"));
        };
        self.draft.property(self.side, "sasl.username", &self.providers.read(user), at);
        self.draft.secret(self.side, "sasl.password", &self.providers.read(password), at);
    }

    // === TLS ===

    /// The certificates to trust. Java reads its own kind of file unless it is told otherwise.
    fn trust(&mut self) {
        let (kind, _) = self.word("ssl.truststore.type", "JKS");
        if let Some(Given { value, place }) = self.take("ssl.truststore.certificates") {
            match value {
                Value::Text(text) => self.draft.set(self.section(), "ssl.ca.pem", &pem(&text)),
                value => self.draft.property(self.side, "ssl.ca.pem", &value, &place),
            }
        }
        if let Some(Given { value, place }) = self.take("ssl.truststore.location") {
            match (value, kind.as_str()) {
                (Value::Text(store), "JKS" | "PKCS12") => {
                    let file = with_extension(&store, "pem");
                    let message = format!(
                        "a Java truststore: make a PEM file of it, with the password that it has\n  keytool -list -rfc -keystore {} > {}",
                        in_shell(&store),
                        in_shell(&file)
                    );
                    self.note(Severity::Error, &place, message);
                    self.draft.set(self.section(), "ssl.ca.location", &file);
                }
                (value, _) => self.file("ssl.ca.location", &value, &place),
            }
        }
        if let Some(given) = self.take("ssl.truststore.password") {
            self.note(Severity::Info, &given.place, "a PEM file of certificates has no password");
        }
        let (algorithm, place) = self.word("ssl.endpoint.identification.algorithm", "HTTPS");
        match algorithm.as_str() {
            "HTTPS" => {}
            "" | "NONE" => self.draft.set(self.section(), "ssl.endpoint.identification.algorithm", "none"),
            _ => self.note(
                Severity::Warning,
                &place,
                "taken for https: whether the certificate has the broker's name is checked",
            ),
        }
    }

    /// The certificate to show, and its key.
    fn identity(&mut self) {
        let location = self.take("ssl.keystore.location");
        let default = match location.as_ref().map(|given| &given.value) {
            // Java's own kind may also be PKCS#12, whatever it is called.
            Some(Value::Text(file))
                if [".p12", ".pfx"].iter().any(|end| file.to_lowercase().ends_with(end)) =>
            {
                "PKCS12"
            }
            _ => "JKS",
        };
        let (kind, _) = self.word("ssl.keystore.type", default);
        let (password, key_password) = (self.take("ssl.keystore.password"), self.take("ssl.key.password"));
        let (chain, key) = (self.take("ssl.keystore.certificate.chain"), self.take("ssl.keystore.key"));
        let is_pem = kind == "PEM" || chain.is_some() || key.is_some();
        if let Some(Given { value, place }) = chain {
            let value = if let Value::Text(text) = value { Value::Text(pem(&text)) } else { value };
            self.draft.property(self.side, "ssl.certificate.pem", &value, &place);
        }
        if let Some(Given { value, place }) = key {
            let value = if let Value::Text(text) = value { Value::Text(pem(&text)) } else { value };
            self.draft.secret(self.side, "ssl.key.pem", &value, &place);
        }
        let has_store = location.is_some();
        match location {
            Some(Given { value, place }) if is_pem => {
                self.file("ssl.certificate.location", &value, &place);
                self.draft.property(self.side, "ssl.key.location", &value, &place);
            }
            Some(Given { value: Value::Text(store), place }) if kind != "PKCS12" => {
                let file = with_extension(&store, "p12");
                let message = format!(
                    "a Java keystore: make a PKCS#12 file of it, with the same password\n  keytool -importkeystore \
                     -srckeystore {} -destkeystore {} -deststoretype PKCS12",
                    in_shell(&store),
                    in_shell(&file)
                );
                self.note(Severity::Error, &place, message);
                self.draft.set(self.section(), "ssl.keystore.location", &file);
            }
            Some(Given { value, place }) => self.file("ssl.keystore.location", &value, &place),
            None => {}
        }
        if let Some(Given { value, place }) = password {
            match has_store && !is_pem {
                true => self.draft.secret(self.side, "ssl.keystore.password", &value, &place),
                false => self.note(Severity::Info, &place, "not used: there is no keystore with a password"),
            }
        }
        if let Some(Given { value, place }) = key_password {
            match is_pem {
                true => self.draft.secret(self.side, "ssl.key.password", &value, &place),
                false => {
                    self.note(Severity::Info, &place, "the key in a PKCS#12 file has the file's password")
                }
            }
        }
    }

    /// A file that is carried over as it is.
    fn file(&mut self, property: &str, value: &Value, place: &Place) {
        if let Value::Text(file) = value
            && !file.starts_with('/')
        {
            let message =
                "this path begins at the folder that isomirror is started in: better write it in full";
            self.note(Severity::Warning, place, message);
        }
        self.draft.property(self.side, property, value, place);
    }
}

/// PEM with its lines: Java takes it on one line, too.
fn pem(text: &str) -> String {
    let mut lines: Vec<String> = Vec::new();
    for (index, part) in text.split("-----").enumerate() {
        match index % 4 {
            1 | 3 => lines.push(format!("-----{}-----", part.trim())),
            2 => {
                let body: Vec<char> = part.chars().filter(|c| !c.is_whitespace()).collect();
                lines.extend(body.chunks(64).map(String::from_iter));
            }
            _ => {}
        }
    }
    lines.join("\n")
}

fn with_extension(file: &str, extension: &str) -> String {
    match file.rsplit_once('.') {
        Some((stem, old)) if !stem.is_empty() && !old.contains('/') => format!("{stem}.{extension}"),
        _ => format!("{file}.{extension}"),
    }
}

/// As one word of a shell's command line.
fn in_shell(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-".contains(c);
    if text.chars().all(plain) { text.to_owned() } else { format!("'{}'", text.replace('\'', r"'\''")) }
}
