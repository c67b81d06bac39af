//! What certificate to show: of PEM files or texts, or of a PKCS#12 keystore.

use std::path::Path;

use p12_keystore::{Certificate, Pkcs12Archive, error::Error as Pkcs12Error};
use pkcs8::{PrivateKeyInfoRef, der::Encode, spki::SubjectPublicKeyInfoRef};
use rustls::{
    InconsistentKeys,
    crypto::CryptoProvider,
    pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, pem::PemObject},
    server::ParsedCertificate,
    sign::CertifiedKey,
};
use sec1::EcPrivateKey;
use secrecy::zeroize::Zeroizing;

use super::{
    SettingsError,
    parse::{Reader, error},
    tls::{certificates, read},
};

const CERTIFICATE: [&str; 2] = ["ssl.certificate.location", "ssl.certificate.pem"];
const KEY: [&str; 2] = ["ssl.key.location", "ssl.key.pem"];
const KEYSTORE: &str = "ssl.keystore.location";
const KEYSTORE_PASSWORD: &str = "ssl.keystore.password";

/// The certificate with those it is signed by, and its key; `None` where no property gives one.
pub(super) fn identity(
    reader: &Reader,
    provider: &CryptoProvider,
) -> Result<Option<CertifiedKey>, SettingsError> {
    if let Some(path) = reader.get(KEYSTORE) {
        let other = CERTIFICATE.into_iter().chain(KEY).find(|name| reader.get(name).is_some());
        return match other {
            Some(other) => Err(error(other, format!("{KEYSTORE} is given too: which of them?"))),
            None => keystore(reader, Path::new(path), provider).map(Some),
        };
    }
    match (pem(reader, CERTIFICATE)?, pem(reader, KEY)?) {
        (None, None) => Ok(None),
        (Some((name, certificate)), Some((key_name, key))) => {
            let chain = certificates(name, &certificate)?;
            let key = private_key(reader, key_name, &key)?;
            certified(chain, &key, provider).map(Some).map_err(|reason| error(key_name, reason.to_string()))
        }
        (Some((name, _)), None) => {
            Err(error(name, "its key is not given: ssl.key.location or ssl.key.pem".to_owned()))
        }
        (None, Some((name, _))) => {
            let reason = "its certificate is not given: ssl.certificate.location or ssl.certificate.pem";
            Err(error(name, reason.to_owned()))
        }
    }
}

/// A chain that begins with the certificate of this key.
fn certified(
    chain: Vec<CertificateDer<'static>>,
    key: &PrivateKeyDer<'static>,
    provider: &CryptoProvider,
) -> Result<CertifiedKey, rustls::Error> {
    let load = |key: PrivateKeyDer<'static>| provider.key_provider.load_private_key(key);
    let loaded = load(key.clone_key()).or_else(|reason| {
        let whole = chain.first().and_then(|leaf| with_public_key(key, leaf));
        whole.map_or(Err(reason), load)
    });
    let certified = CertifiedKey::new(chain, loaded?);
    match certified.keys_match() {
        Ok(()) | Err(rustls::Error::InconsistentKeys(InconsistentKeys::Unknown)) => Ok(certified),
        Err(reason) => Err(reason),
    }
}

/// A key on an elliptic curve together with its certificate's public key: Java leaves that out where it writes
/// a key, and ring takes none without it. (It also makes sure that the two belong together.)
fn with_public_key(
    key: &PrivateKeyDer<'_>,
    certificate: &CertificateDer<'_>,
) -> Option<PrivateKeyDer<'static>> {
    let PrivateKeyDer::Pkcs8(key) = key else { return None };
    let key = PrivateKeyInfoRef::try_from(key.secret_pkcs8_der()).ok()?;
    let key = EcPrivateKey::try_from(key.private_key.as_bytes()).ok()?;
    let public = ParsedCertificate::try_from(certificate).ok()?.subject_public_key_info();
    let public = SubjectPublicKeyInfoRef::try_from(public.as_ref()).ok()?;
    let public_key = Some(public.subject_public_key.as_bytes()?);
    let whole = EcPrivateKey { public_key, parameters: None, ..key };
    Some(PrivateKeyDer::Sec1(whole.to_der().ok()?.into()))
}

// === PEM ===

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
        pkcs8::EncryptedPrivateKeyInfoRef::try_from(document.as_bytes()).map_err(|_| unreadable())?;
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

// === PKCS#12 ===

/// The first key of a keystore, as OpenSSL takes it, with its certificate.
fn keystore(reader: &Reader, path: &Path, provider: &CryptoProvider) -> Result<CertifiedKey, SettingsError> {
    let bytes = read(KEYSTORE, path)?;
    let password = reader.get(KEYSTORE_PASSWORD);
    let password = password.ok_or_else(|| error(KEYSTORE_PASSWORD, format!("{KEYSTORE} needs it")))?;
    let unusable = |reason: String| error(KEYSTORE, format!("{}: {reason}", path.display()));
    let opened = Pkcs12Archive::from_pkcs12(&bytes, password).map_err(|reason| match reason {
        Pkcs12Error::MacError(_) | Pkcs12Error::Pkcs5Error(_) | Pkcs12Error::UnpadError => {
            error(KEYSTORE_PASSWORD, format!("does not open {KEYSTORE}: {reason}"))
        }
        _ => unusable(format!("not PKCS#12 that can be read: {reason}")),
    })?;
    let key = opened.keys.first().ok_or_else(|| unusable("no private key is in it".to_owned()))?;
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.key.as_der().to_vec()));
    let certificates: Vec<&Certificate> = opened.certs.iter().map(|bag| &bag.cert).collect();
    let mut tried = certificates.iter().map(|leaf| certified(chain(leaf, &certificates), &key, provider));
    tried.find_map(Result::ok).ok_or_else(|| {
        let usable = "RSA, ECDSA (P-256, P-384) and Ed25519";
        unusable(format!("no certificate of its private key is in it, or the key is none of {usable}"))
    })
}

/// A certificate and behind it each one's issuer, as far as they are known.
fn chain<'a>(leaf: &'a Certificate, known: &[&'a Certificate]) -> Vec<CertificateDer<'static>> {
    let mut chain = vec![leaf];
    let mut subject = leaf.issuer();
    while let Some(issuer) = known.iter().find(|one| one.subject() == subject && !chain.contains(one)) {
        chain.push(issuer);
        subject = issuer.issuer();
    }
    chain.iter().map(|certificate| certificate.as_der().to_vec().into()).collect()
}
