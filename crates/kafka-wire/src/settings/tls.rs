//! TLS by rustls and ring: whom to trust.

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
    pki_types::{CertificateDer, ServerName, UnixTime, pem::PemObject},
    server::ParsedCertificate,
    sign::SingleCertAndKey,
};
use secrecy::zeroize::Zeroizing;

use super::{
    SettingsError,
    identity::identity,
    parse::{Reader, error},
};

/// A TLS configuration.
#[derive(Clone)]
pub(crate) struct Tls(pub Arc<ClientConfig>);

impl Tls {
    pub fn new(reader: &Reader) -> Result<Self, SettingsError> {
        let provider = Arc::new(ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()
            .map_err(|reason| error("security.protocol", reason.to_string()))?;
        let builder = builder.dangerous().with_custom_certificate_verifier(verifier(reader, &provider)?);
        let config = match identity(reader, &provider)? {
            None => builder.with_no_client_auth(),
            Some(identity) => builder.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(identity))),
        };
        Ok(Self(Arc::new(config)))
    }
}

// === files ===

pub(super) fn read(name: &str, path: &Path) -> Result<Zeroizing<Vec<u8>>, SettingsError> {
    let read = fs::read(path).map(Zeroizing::new);
    read.map_err(|reason| error(name, format!("{}: {reason}", path.display())))
}

pub(super) fn certificates(name: &str, pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, SettingsError> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    match found {
        Ok(found) if found.is_empty() => Err(error(name, "no PEM certificate is in it".to_owned())),
        Ok(found) => Ok(found),
        Err(reason) => Err(error(name, format!("not PEM: {reason}"))),
    }
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
