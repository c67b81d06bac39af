//! TLS by rustls and ring: whom to trust, and what certificate to show.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use rustls::{
    ClientConfig, DigitallySignedStruct, DistinguishedName, RootCertStore, SignatureScheme,
    client::{
        WebPkiServerVerifier,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
        verify_server_cert_signed_by_trust_anchor,
    },
    crypto::{
        CryptoProvider, WebPkiSupportedAlgorithms, ring, verify_tls12_signature, verify_tls13_signature,
    },
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime, pem::PemObject},
    server::ParsedCertificate,
};
use secrecy::zeroize::Zeroizing;

use super::{
    SettingsError,
    parse::{Reader, error},
};

/// A TLS configuration.
#[derive(Clone)]
pub(crate) struct Tls(pub Arc<ClientConfig>);

const CERTIFICATE: [&str; 2] = ["ssl.certificate.location", "ssl.certificate.pem"];
const KEY: [&str; 2] = ["ssl.key.location", "ssl.key.pem"];

impl Tls {
    pub fn new(reader: &Reader) -> Result<Self, SettingsError> {
        let provider = Arc::new(ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()
            .map_err(|reason| error("security.protocol", reason.to_string()))?;
        let builder = builder.dangerous().with_custom_certificate_verifier(verifier(reader, &provider)?);
        let config = match (pem(reader, CERTIFICATE)?, pem(reader, KEY)?) {
            (None, None) => builder.with_no_client_auth(),
            (Some((name, certificate)), Some((key_name, key))) => {
                let chain = certificates(name, &certificate)?;
                let key = private_key(reader, key_name, &key)?;
                builder
                    .with_client_auth_cert(chain, key)
                    .map_err(|reason| error(key_name, reason.to_string()))?
            }
            (Some((name, _)), None) => {
                return Err(error(name, "its key is not given: ssl.key.location or ssl.key.pem".to_owned()));
            }
            (None, Some((name, _))) => {
                let reason = "its certificate is not given: ssl.certificate.location or ssl.certificate.pem";
                return Err(error(name, reason.to_owned()));
            }
        };
        Ok(Self(Arc::new(config)))
    }
}

// === files ===

type Text = Zeroizing<Vec<u8>>;

/// What a pair of properties gives: a file, or the text itself.
fn pem<'a>(reader: &Reader, [file, text]: [&'a str; 2]) -> Result<Option<(&'a str, Text)>, SettingsError> {
    match (reader.get(file), reader.get(text)) {
        (Some(_), Some(_)) => Err(error(text, format!("{file} is given too: which of them?"))),
        (Some(path), None) => Ok(Some((file, read(file, Path::new(path))?))),
        (None, Some(pem)) => Ok(Some((text, Zeroizing::new(pem.as_bytes().to_vec())))),
        (None, None) => Ok(None),
    }
}

fn read(name: &str, path: &Path) -> Result<Text, SettingsError> {
    let read = fs::read(path).map(Zeroizing::new);
    read.map_err(|reason| error(name, format!("{}: {reason}", path.display())))
}

fn certificates(name: &str, pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, SettingsError> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    match found {
        Ok(found) if found.is_empty() => Err(error(name, "no PEM certificate is in it".to_owned())),
        Ok(found) => Ok(found),
        Err(reason) => Err(error(name, format!("not PEM: {reason}"))),
    }
}

fn private_key(reader: &Reader, name: &str, pem: &[u8]) -> Result<PrivateKeyDer<'static>, SettingsError> {
    let text = std::str::from_utf8(pem).map_err(|_| error(name, "not PEM".to_owned()))?;
    if text.contains("Proc-Type: 4,ENCRYPTED") {
        let reason =
            "the old PEM encryption is not read; `openssl pkcs8 -topk8 -v2 aes-256-cbc` makes it new";
        return Err(error(name, reason.to_owned()));
    }
    let Some(start) = text.find("-----BEGIN ENCRYPTED PRIVATE KEY-----") else {
        let key = PrivateKeyDer::from_pem_slice(pem);
        return key.map_err(|_| error(name, "no PEM private key is in it".to_owned()));
    };
    let password = "ssl.key.password";
    let secret = reader.get(password).ok_or_else(|| error(password, format!("{name} is encrypted")))?;
    let unreadable = || error(name, "the encrypted key is not PKCS#8 in PEM".to_owned());
    let (_, document) =
        pkcs8::SecretDocument::from_pem(only_first(&text[start..])).map_err(|_| unreadable())?;
    let encrypted =
        pkcs8::EncryptedPrivateKeyInfo::try_from(document.as_bytes()).map_err(|_| unreadable())?;
    let key = encrypted.decrypt(secret.as_bytes()).map_err(|_| {
        error(
            password,
            format!(
                "does not open {name} (or its encryption is none of PBES2's: PBKDF2 or scrypt, with AES)"
            ),
        )
    })?;
    PrivateKeyDer::try_from(key.as_bytes().to_vec())
        .map_err(|reason| error(name, format!("not a private key: {reason}")))
}

/// A PEM text up to the end of its first section.
fn only_first(text: &str) -> &str {
    const END: &str = "-----END ENCRYPTED PRIVATE KEY-----";
    text.find(END).map_or(text, |end| &text[..end + END.len()])
}

// === trust ===

fn verifier(
    reader: &Reader,
    provider: &Arc<CryptoProvider>,
) -> Result<Arc<dyn ServerCertVerifier>, SettingsError> {
    let algorithms = provider.signature_verification_algorithms;
    if !reader.flag("enable.ssl.certificate.verification", true)? {
        return Ok(Arc::new(Lenient { roots: None, algorithms }));
    }
    let roots = Arc::new(roots(reader)?);
    let name = "ssl.endpoint.identification.algorithm";
    match reader.get(name).unwrap_or("https").to_ascii_lowercase().as_str() {
        "https" => {
            let verifier = WebPkiServerVerifier::builder_with_provider(roots, provider.clone()).build();
            Ok(verifier.map_err(|reason| error("ssl.ca.location", reason.to_string()))?)
        }
        "none" => Ok(Arc::new(Lenient { roots: Some(roots), algorithms })),
        other => Err(error(name, format!("`{other}` is not https or none"))),
    }
}

fn roots(reader: &Reader) -> Result<RootCertStore, SettingsError> {
    let (file, text) = ("ssl.ca.location", "ssl.ca.pem");
    let mut roots = RootCertStore::empty();
    let (name, found) = match (reader.get(file), reader.get(text)) {
        (Some(_), Some(_)) => return Err(error(text, format!("{file} is given too: which of them?"))),
        (None, Some(pem)) => (text, certificates(text, pem.as_bytes())?),
        (Some(path), None) if path != "probe" => {
            let path = Path::new(path);
            (
                file,
                if path.is_dir() { directory(file, path)? } else { certificates(file, &read(file, path)?)? },
            )
        }
        _ => (file, rustls_native_certs::load_native_certs().certs),
    };
    // Systems' bundles hold some that webpki can't read; they are of no use to anyone.
    let (added, ignored) = roots.add_parsable_certificates(found);
    if added == 0 {
        let reason =
            if ignored == 0 { "there is no certificate to trust" } else { "no certificate can be read" };
        return Err(error(name, reason.to_owned()));
    }
    Ok(roots)
}

/// All certificates of the files in a directory; other files are passed over.
fn directory(name: &str, path: &Path) -> Result<Vec<CertificateDer<'static>>, SettingsError> {
    let unreadable = |reason: std::io::Error| error(name, format!("{}: {reason}", path.display()));
    let entries = fs::read_dir(path).map_err(unreadable)?;
    let mut files: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    files.sort();
    let texts = files.iter().filter(|file| file.is_file()).filter_map(|file| fs::read(file).ok());
    Ok(texts.filter_map(|text| certificates(name, &text).ok()).flatten().collect())
}

/// Trusts any certificate of these roots whatever name is in it, or any at all. That the broker has the
/// certificate's key is checked in any case.
#[derive(Debug)]
struct Lenient {
    roots: Option<Arc<RootCertStore>>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl ServerCertVerifier for Lenient {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        if let Some(roots) = &self.roots {
            let certificate = ParsedCertificate::try_from(certificate)?;
            let algorithms = self.algorithms.all;
            verify_server_cert_signed_by_trust_anchor(&certificate, roots, intermediates, now, algorithms)?;
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signature, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signature, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }

    fn root_hint_subjects(&self) -> Option<&[DistinguishedName]> {
        None
    }
}
