use rustls::crypto::ring;

use super::*;

/// Keystores; see the README there.
macro_rules! data {
    () => {
        concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/")
    };
}

fn settings(properties: &[(&str, &str)]) -> Result<Settings, SettingsError> {
    Settings::new(properties.iter().copied())
}

const SASL: [(&str, &str); 5] = [
    ("bootstrap.servers", "a:9092"),
    ("security.protocol", "SASL_PLAINTEXT"),
    ("sasl.mechanisms", "SCRAM-SHA-512"),
    ("sasl.username", "me"),
    ("sasl.password", "hunter2"),
];

#[test]
fn brokers_are_listed_as_librdkafka_takes_them() {
    let list = "a, b:1 ,[::1]:2,[::2],fe80::3,plaintext://c:4,,";
    let settings = settings(&[("metadata.broker.list", list)]).unwrap();
    let expected = [("a", 9092), ("b", 1), ("::1", 2), ("::2", 9092), ("fe80::3", 9092), ("c", 4)];
    assert_eq!(settings.bootstrap, expected.map(|(host, port)| (host.to_owned(), port)));
    assert_eq!(&*address("::1", 2), "[::1]:2");
}

#[test]
fn defaults_are_librdkafkas() {
    let settings = settings(&[("bootstrap.servers", "a"), ("statistics.interval.ms", "1"), ("acks", "7")]);
    let settings = settings.expect("what only concerns librdkafka is passed over");
    assert_eq!(settings.socket_timeout, Duration::from_secs(60));
    assert_eq!(settings.request_timeout, Duration::from_secs(30));
    assert_eq!(settings.setup_timeout, Duration::from_secs(30));
    assert_eq!(
        (settings.backoff, settings.backoff_max),
        (Duration::from_millis(100), Duration::from_secs(10))
    );
    assert_eq!((settings.max_idle, settings.max_frame), (None, 1 << 30));
    assert!(settings.tls.is_none() && settings.sasl.is_none());
}

#[test]
fn secrets_are_never_shown() {
    let shown = format!("{:?}", settings(&SASL).unwrap());
    assert!(shown.contains("me") && !shown.contains("hunter2"), "{shown}");
    let key = "-----BEGIN PRIVATE KEY-----\nhunter2\n-----END PRIVATE KEY-----";
    let properties = [
        ("bootstrap.servers", "a"),
        ("security.protocol", "ssl"),
        ("ssl.certificate.pem", "hunter2"),
        ("ssl.key.pem", key),
        ("enable.ssl.certificate.verification", "false"),
    ];
    let error = settings(&properties).unwrap_err();
    assert!(!format!("{error} {error:?}").contains("hunter2"), "{error}");
}

#[test]
fn a_bad_property_is_named_with_what_is_possible() {
    let ssl = ("security.protocol", "ssl");
    let keystore = ("ssl.keystore.location", concat!(data!(), "openssl.p12"));
    let oauth = [("security.protocol", "sasl_plaintext"), ("sasl.mechanism", "OAUTHBEARER")];
    let unsecured = ("enable.sasl.oauthbearer.unsecure.jwt", "true");
    // Properties beside a good bootstrap.servers; the one that is named; a part of what is said of it.
    type Case<'a> = (&'a [(&'a str, &'a str)], &'a str, &'a str);
    let cases: [Case<'_>; 33] = [
        (&[("bootstrap.servers", "")], "bootstrap.servers", "no broker"),
        (&[("bootstrap.servers", ",")], "bootstrap.servers", "no broker"),
        (&[("bootstrap.servers", "a:b")], "bootstrap.servers", "host:port"),
        (&[("bootstrap.servers", "a:0")], "bootstrap.servers", "host:port"),
        (&[("bootstrap.servers", "[::1:9")], "bootstrap.servers", "host:port"),
        (&[("bootstrap.servers", "[::1]9")], "bootstrap.servers", "host:port"),
        (&[("bootstrap.servers", "ssl://a:9")], "bootstrap.servers", "plaintext"),
        (&[("security.protocol", "tls")], "security.protocol", "sasl_ssl"),
        (&[("security.protocol", "sasl_ssl"), ("ssl.ca.pem", "x")], "ssl.ca.pem", "certificate"),
        (&[("security.protocol", "sasl_plaintext")], "sasl.mechanism", "GSSAPI"),
        (&[oauth[0], ("sasl.mechanism", "gssapi")], "sasl.mechanism", "OAUTHBEARER are possible"),
        (&oauth, "enable.sasl.oauthbearer.unsecure.jwt", "needs it to be true"),
        (&[oauth[0], oauth[1], unsecured], "sasl.oauthbearer.config", "OAUTHBEARER needs it"),
        (
            &[oauth[0], oauth[1], unsecured, ("sasl.oauthbearer.config", "scope=a")],
            "sasl.oauthbearer.config",
            "`principal` is not given",
        ),
        (&[oauth[0], oauth[1], ("sasl.oauthbearer.method", "OIDC")], "sasl.oauthbearer.method", "fetched"),
        (&[oauth[0], oauth[1], ("sasl.oauthbearer.method", "a")], "sasl.oauthbearer.method", "default"),
        (&[("security.protocol", "sasl_plaintext"), ("sasl.mechanism", "plain")], "sasl.username", "PLAIN"),
        (&[("socket.timeout.ms", "soon")], "socket.timeout.ms", "number"),
        (&[("socket.timeout.ms", "1")], "socket.timeout.ms", "from 10"),
        (&[("socket.keepalive.enable", "maybe")], "socket.keepalive.enable", "true"),
        (&[("broker.address.family", "v5")], "broker.address.family", "v6"),
        (&[ssl, keystore, ("ssl.key.location", "a")], "ssl.key.location", "which"),
        (&[ssl, keystore, ("ssl.certificate.pem", "a")], "ssl.certificate.pem", "which"),
        (&[ssl, ("ssl.ca.pem", CA), keystore], "ssl.keystore.password", "ssl.keystore.location needs it"),
        (
            &[ssl, ("ssl.ca.pem", CA), keystore, ("ssl.keystore.password", "hunter2")],
            "ssl.keystore.password",
            "does not open ssl.keystore.location",
        ),
        (
            &[
                ssl,
                ("ssl.ca.pem", CA),
                ("ssl.keystore.location", concat!(data!(), "README.md")),
                ("ssl.keystore.password", "a"),
            ],
            "ssl.keystore.location",
            "README.md: not PKCS#12",
        ),
        (&[ssl, ("ssl.crl.location", "a")], "ssl.crl.location", "revocation"),
        (&[ssl, ("ssl.engine.location", "a")], "ssl.engine.location", "engines"),
        (&[ssl, ("ssl.ca.location", "/nonexistent/ca")], "ssl.ca.location", "/nonexistent/ca"),
        (&[ssl, ("ssl.ca.location", "a"), ("ssl.ca.pem", "a")], "ssl.ca.pem", "which"),
        (&[ssl, ("ssl.ca.pem", CA), ("ssl.key.pem", "a")], "ssl.key.pem", "certificate"),
        (&[ssl, ("ssl.ca.pem", CA), ("ssl.certificate.pem", "a")], "ssl.certificate.pem", "key"),
        (
            &[ssl, ("ssl.ca.pem", CA), ("ssl.endpoint.identification.algorithm", "dns")],
            "ssl.endpoint.identification.algorithm",
            "https",
        ),
    ];
    for (properties, property, reason) in cases {
        let mut all = vec![("bootstrap.servers", "a")];
        all.extend(properties);
        let error = settings(&all).expect_err(property);
        assert_eq!(error.property, property, "{error}");
        assert!(error.reason.contains(reason) && !error.reason.contains("hunter2"), "{error}");
    }
}

#[test]
fn what_is_not_used_does_not_matter() {
    settings(&[("bootstrap.servers", "a"), ("ssl.crl.location", "a")]).unwrap();
    let mut properties = SASL.to_vec();
    properties.extend([("sasl.kerberos.keytab", "a"), ("sasl.oauthbearer.config", "a")]);
    settings(&properties).expect("they are other mechanisms' own");
}

#[test]
fn keystores_are_opened_whoever_made_them() {
    let open = |file: &str| {
        let path = format!("{}{file}", data!());
        let properties = [("ssl.keystore.location", &*path), ("ssl.keystore.password", "opensesame")];
        let identity = identity::identity(&Reader::new(properties), &ring::default_provider());
        identity.map(|identity| identity.expect("a certificate is given").cert)
    };
    let subjects = |file: &str| -> Vec<String> {
        let chain = open(file).unwrap();
        let parsed =
            chain.iter().map(|certificate| p12_keystore::Certificate::from_der(certificate).unwrap());
        parsed.map(|certificate| certificate.subject().to_owned()).collect()
    };
    assert_eq!(subjects("openssl.p12"), ["CN=me", "CN=issuer", "CN=root"]);
    assert_eq!(subjects("legacy.p12"), ["CN=me"]);
    assert_eq!(subjects("keytool.p12"), ["CN=me"]);
    let error = open("no-key.p12").unwrap_err().to_string();
    assert!(error.starts_with("ssl.keystore.location: ") && error.contains("no private key"), "{error}");
    let error = open("gone.p12").unwrap_err().to_string();
    assert!(error.starts_with("ssl.keystore.location: ") && error.contains("gone.p12"), "{error}");
}

#[test]
fn a_key_is_that_of_its_certificate() {
    let properties = [
        ("bootstrap.servers", "a"),
        ("security.protocol", "ssl"),
        ("ssl.ca.pem", CA),
        ("ssl.certificate.pem", CA),
        ("ssl.key.pem", &*rcgen::KeyPair::generate().unwrap().serialize_pem()),
    ];
    let error = settings(&properties).unwrap_err();
    assert_eq!((&*error.property, error.reason.contains("KeyMismatch")), ("ssl.key.pem", true), "{error}");
}

#[test]
fn tokens_are_made_as_they_are_asked_for() {
    let settings = settings(&[
        ("bootstrap.servers", "a"),
        ("security.protocol", "sasl_plaintext"),
        ("sasl.mechanisms", "oauthbearer"),
        ("sasl.oauthbearer.method", "default"),
        ("enable.sasl.oauthbearer.unsecure.jwt", "true"),
        ("sasl.oauthbearer.config", "principal=me extension_token=hunter2"),
    ])
    .unwrap();
    let shown = format!("{settings:?}");
    assert!(shown.contains("OAUTHBEARER") && shown.contains("me") && !shown.contains("hunter2"), "{shown}");
}

#[test]
fn keys_may_be_encrypted() {
    let with = |password: &str| {
        settings(&[
            ("bootstrap.servers", "a"),
            ("security.protocol", "ssl"),
            ("ssl.ca.pem", CA),
            ("ssl.certificate.pem", CA),
            ("ssl.key.pem", ENCRYPTED_KEY),
            ("ssl.key.password", password),
        ])
    };
    with("opensesame").unwrap();
    let error = with("hunter2").unwrap_err();
    assert_eq!(error.property, "ssl.key.password");
    assert!(!error.to_string().contains("hunter2"), "{error}");
    assert_eq!(with("").unwrap_err().property, "ssl.key.password");
}

/// Self-signed, for the key below (`opensesame` opens it); used nowhere but here.
const CA: &str = "\
-----BEGIN CERTIFICATE-----
MIIBdDCCARugAwIBAgIULBN6bMIB2sb0tSD8tgYfMTRSJfYwCgYIKoZIzj0EAwIw
DzENMAsGA1UEAwwEdGVzdDAgFw0yNjExMjIxNDM4NDRaGA8yMTI2MTAyOTE0Mzg0
NFowDzENMAsGA1UEAwwEdGVzdDBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABKj9
r29nvBmsdVSKxDR5syM/JToLHMHbStIQ33w8Uvjf+Vs9lHhUuXDkw0k+Fw+HkAIk
pBtn5urh20w7Tsn3/2KjUzBRMB0GA1UdDgQWBBSm/g7FuQS1jcR5a12ITPB3LyQo
yTAfBgNVHSMEGDAWgBSm/g7FuQS1jcR5a12ITPB3LyQoyTAPBgNVHRMBAf8EBTAD
AQH/MAoGCCqGSM49BAMCA0cAMEQCIF/YUgNCerOHLoGmiVQ+U2qF/AoL7rO3BWGF
XSRwxznhAiAKntBh1CGJXP/btpLm92SI82TCOdGzWYXBR2yG+yNT9Q==
-----END CERTIFICATE-----
";
const ENCRYPTED_KEY: &str = "\
-----BEGIN ENCRYPTED PRIVATE KEY-----
MIHsMFcGCSqGSIb3DQEFDTBKMCkGCSqGSIb3DQEFDDAcBAiVp9ZDsmUvogICCAAw
DAYIKoZIhvcNAgkFADAdBglghkgBZQMEASoEEAYkkXNEQ36lI4dZySH3QLMEgZCS
oZeuuvoXWr+ImJMk7UKA2nk/sPtKxW/t0TJXRIgdcuVlH/vPCD61/fxBAh4QfjoB
qeyTHkzjeVB6/7RdAj09OOHT36hh4Fa5kCMg4Pf8m39vz/EVXawq6YLWg1BpoUDt
5Q9fG5OReDIcly1C4QkeNCDpT5LUyxjczOBXIRjoK7jpzO2JN2bKPyY0TJ8F/oU=
-----END ENCRYPTED PRIVATE KEY-----
";
