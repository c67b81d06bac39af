//! What a cluster asks of its clients: listener security, users, ACLs, certificates.
//!
//! Only the client listener is secured. Brokers, controllers and the harness itself talk over
//! another, plain listener whose anonymous principal is a super user; clients never see it.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose,
};

use crate::Props;
use crate::broker::Properties;

/// The super user that every secured cluster has.
pub const ADMIN: &str = "admin";

/// How clients reach the brokers. Every variant but `Plaintext` has ACLs on: a user other than
/// [`ADMIN`] may do nothing until `Cluster::acl_add` allows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Security {
    /// No security, no ACLs.
    Plaintext,
    /// SASL/PLAIN without TLS.
    SaslPlaintextPlain {
        /// Names and passwords.
        users: Vec<(String, String)>,
    },
    /// SASL/SCRAM-SHA-512 over TLS.
    SaslSslScram512 {
        /// Names and passwords.
        users: Vec<(String, String)>,
    },
    /// TLS with client certificates; the principal is the common name.
    MutualTls {
        /// Common names; each gets a certificate.
        users: Vec<String>,
    },
}

impl Security {
    /// SASL/PLAIN with these users; see [`password`] for their passwords.
    pub fn plain(users: &[&str]) -> Self {
        Self::SaslPlaintextPlain { users: with_passwords(users) }
    }

    /// SCRAM-SHA-512 over TLS with these users; see [`password`] for their passwords.
    pub fn scram(users: &[&str]) -> Self {
        Self::SaslSslScram512 { users: with_passwords(users) }
    }

    /// Mutual TLS with a certificate for each of these users.
    pub fn mutual_tls(users: &[&str]) -> Self {
        Self::MutualTls { users: users.iter().map(|u| (*u).to_owned()).collect() }
    }

    pub(crate) fn protocol(&self) -> &'static str {
        match self {
            Self::Plaintext => "PLAINTEXT",
            Self::SaslPlaintextPlain { .. } => "SASL_PLAINTEXT",
            Self::SaslSslScram512 { .. } => "SASL_SSL",
            Self::MutualTls { .. } => "SSL",
        }
    }

    /// Users to be known from the first start, with the admin.
    pub(crate) fn users(&self) -> Vec<(String, String)> {
        let mut users = match self {
            Self::Plaintext => return Vec::new(),
            Self::SaslPlaintextPlain { users } | Self::SaslSslScram512 { users } => users.clone(),
            Self::MutualTls { users } => users.iter().map(|u| (u.clone(), String::new())).collect(),
        };
        if users.iter().all(|(name, _)| name != ADMIN) {
            users.push((ADMIN.to_owned(), password(ADMIN)));
        }
        users
    }

    pub(crate) fn scram_users(&self) -> Vec<(String, String)> {
        match self {
            Self::SaslSslScram512 { .. } => self.users(),
            _ => Vec::new(),
        }
    }

    /// Writes the certificates this needs into `dir`.
    pub(crate) fn prepare(&self, dir: &Path) -> Result<()> {
        match self {
            Self::Plaintext | Self::SaslPlaintextPlain { .. } => Ok(()),
            Self::SaslSslScram512 { .. } => write_certificates(dir, &[]),
            Self::MutualTls { .. } => write_certificates(dir, &self.users()),
        }
    }

    /// The broker properties of the client listener, named `CLIENT`.
    pub(crate) fn broker_properties(&self, dir: &Path, properties: &mut Properties) {
        let prefix = "listener.name.client";
        if *self != Self::Plaintext {
            properties
                .set("authorizer.class.name", "org.apache.kafka.metadata.authorizer.StandardAuthorizer")
                .set("super.users", format!("User:ANONYMOUS;User:{ADMIN}"))
                .set("allow.everyone.if.no.acl.found", "false");
        }
        if matches!(self, Self::SaslSslScram512 { .. } | Self::MutualTls { .. }) {
            properties
                .set(format!("{prefix}.ssl.keystore.type"), "PEM")
                .set(format!("{prefix}.ssl.keystore.location"), path(dir, "server.pem"))
                .set(format!("{prefix}.ssl.truststore.type"), "PEM")
                .set(format!("{prefix}.ssl.truststore.location"), path(dir, "ca.pem"));
        }
        match self {
            Self::Plaintext => {}
            Self::SaslPlaintextPlain { .. } => {
                let users: String = self.users().iter().map(|(n, p)| format!(" user_{n}=\"{p}\"")).collect();
                let module = "org.apache.kafka.common.security.plain.PlainLoginModule";
                properties
                    .set(format!("{prefix}.sasl.enabled.mechanisms"), "PLAIN")
                    .set(format!("{prefix}.plain.sasl.jaas.config"), format!("{module} required{users};"));
            }
            Self::SaslSslScram512 { .. } => {
                let module = "org.apache.kafka.common.security.scram.ScramLoginModule";
                properties
                    .set(format!("{prefix}.sasl.enabled.mechanisms"), "SCRAM-SHA-512")
                    .set(format!("{prefix}.scram-sha-512.sasl.jaas.config"), format!("{module} required;"));
            }
            Self::MutualTls { .. } => {
                properties
                    .set(format!("{prefix}.ssl.client.auth"), "required")
                    .set(format!("{prefix}.ssl.principal.mapping.rules"), "RULE:^CN=([^,]*).*$/$1/,DEFAULT");
            }
        }
    }

    /// The librdkafka properties with which `user` gets in.
    pub(crate) fn client_properties(&self, dir: &Path, user: &str) -> Props {
        let mut properties = vec![("security.protocol".to_owned(), self.protocol().to_owned())];
        let mut add = |key: &str, value: String| properties.push((key.to_owned(), value));
        let known = self.users().into_iter().find(|(name, _)| name == user);
        let secret = known.map_or_else(|| password(user), |(_, secret)| secret);
        match self {
            Self::Plaintext => {}
            Self::SaslPlaintextPlain { .. } => {
                add("sasl.mechanism", "PLAIN".to_owned());
                add("sasl.username", user.to_owned());
                add("sasl.password", secret);
            }
            Self::SaslSslScram512 { .. } => {
                add("ssl.ca.location", path(dir, "ca.pem"));
                add("sasl.mechanism", "SCRAM-SHA-512".to_owned());
                add("sasl.username", user.to_owned());
                add("sasl.password", secret);
            }
            Self::MutualTls { .. } => {
                add("ssl.ca.location", path(dir, "ca.pem"));
                add("ssl.certificate.location", path(dir, &format!("{user}.cert.pem")));
                add("ssl.key.location", path(dir, &format!("{user}.key.pem")));
            }
        }
        properties
    }
}

/// The password of a user made by [`Security::plain`] or [`Security::scram`], and of [`ADMIN`].
pub fn password(user: &str) -> String {
    format!("{user}-secret")
}

fn with_passwords(users: &[&str]) -> Vec<(String, String)> {
    users.iter().map(|u| ((*u).to_owned(), password(u))).collect()
}

fn path(dir: &Path, file: &str) -> String {
    dir.join(file).display().to_string()
}

/// `ca.pem`, `server.pem` (key and certificate, as Kafka's PEM key store wants them) and for each
/// user `NAME.cert.pem` and `NAME.key.pem`.
fn write_certificates(dir: &Path, users: &[(String, String)]) -> Result<()> {
    let write = |file: &str, text: String| -> Result<PathBuf> {
        let path = dir.join(file);
        std::fs::write(&path, text).with_context(|| format!("failed to write {}", path.display()))?;
        Ok(path)
    };
    let mut ca = CertificateParams::default();
    ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    ca.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    ca.distinguished_name.push(DnType::CommonName, "kafka-harness CA");
    let ca = CertifiedIssuer::self_signed(ca, KeyPair::generate()?).context("failed to make a CA")?;
    write("ca.pem", ca.pem())?;

    let sign = |name: &str, hosts: &[&str], usage| -> Result<(String, String)> {
        let mut params = CertificateParams::new(hosts.iter().map(|h| (*h).to_owned()).collect::<Vec<_>>())?;
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, name);
        params.extended_key_usages = vec![usage];
        let key = KeyPair::generate()?;
        let certificate = params.signed_by(&key, &ca).context("failed to sign a certificate")?;
        Ok((key.serialize_pem(), certificate.pem()))
    };
    let (key, certificate) =
        sign("broker", &["localhost", "127.0.0.1"], ExtendedKeyUsagePurpose::ServerAuth)?;
    write("server.pem", format!("{key}{certificate}"))?;
    for (user, _) in users {
        let (key, certificate) = sign(user, &[], ExtendedKeyUsagePurpose::ClientAuth)?;
        write(&format!("{user}.cert.pem"), certificate)?;
        write(&format!("{user}.key.pem"), key)?;
    }
    Ok(())
}
