//! Whom TLS takes a broker for: its certificate has another's name, or is nobody's we trust.

use std::sync::Arc;

use kafka_wire::{Cause, Connection, Settings};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::{
    ServerConfig,
    crypto::ring,
    pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer},
};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

/// One who has a certificate for `elsewhere.example`, and hangs up once the handshake is done. Gives the
/// port, and the CA as PEM.
async fn serve() -> (u16, String) {
    let mut ca = CertificateParams::default();
    ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let ca = CertifiedIssuer::self_signed(ca, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let certificate =
        CertificateParams::new(["elsewhere.example".to_owned()]).unwrap().signed_by(&key, &ca).unwrap();
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], key)
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            drop(acceptor.accept(stream).await);
        }
    });
    (port, ca.pem())
}

async fn connect(port: u16, extra: &[(&str, &str)]) -> Cause {
    let mut props = vec![("bootstrap.servers", "unused"), ("security.protocol", "ssl")];
    props.extend(extra);
    let settings = Settings::new(props).unwrap();
    Connection::open(&settings, "127.0.0.1", port).await.unwrap_err().cause
}

#[tokio::test]
async fn a_name_is_checked_unless_it_is_said_not_to_be() {
    let (port, ca) = serve().await;
    let (_, other) = serve().await;
    let nameless = ("ssl.endpoint.identification.algorithm", "none");
    let refused = connect(port, &[("ssl.ca.pem", &ca)]).await;
    assert!(matches!(&refused, Cause::Tls(reason) if reason.contains("not valid for name")), "{refused}");
    for extra in [&[("ssl.ca.pem", &*other)][..], &[("ssl.ca.pem", &*other), nameless]] {
        let refused = connect(port, extra).await;
        assert!(
            matches!(&refused, Cause::Tls(reason) if reason.contains("invalid peer certificate")),
            "{refused}"
        );
    }
    for extra in [
        &[("ssl.ca.pem", &*ca), nameless][..],
        &[("ssl.ca.pem", &*other), ("enable.ssl.certificate.verification", "false")],
    ] {
        // Let in by TLS, and hung up on.
        let ended = connect(port, extra).await;
        assert!(matches!(ended, Cause::Disconnected(_)), "{ended}");
    }
}
