//! How brokers let the client in, and what it says where they don't.

mod support;

use std::{
    collections::BTreeSet,
    sync::OnceLock,
    thread,
    time::{Duration, Instant},
};

use kafka_harness::{Cluster, Props, Security, daemon::eventually, shared::unique};
use kafka_wire::{
    AclOperation, AclPattern, AclPermission, AclResource, AclRule, Cause, Client, Code, Error,
    ProducerIdentity, Purpose, Sent, To, TxnMarker,
};
use p12_keystore::{Certificate, KeyStore, KeyStoreEntry, PrivateKey, PrivateKeyChain};
use rdkafka::{
    ClientConfig,
    consumer::{BaseConsumer, Consumer},
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};

use self::support::{batch_of, client, leader, new_producer, produce, with};

struct Clusters {
    /// SASL_SSL with SCRAM-SHA-512, for the user `other` SCRAM-SHA-256, and OAUTHBEARER with tokens for the
    /// scope `mirror`; a session lasts three seconds.
    scram: Cluster,
    /// Mutual TLS.
    tls: Cluster,
    /// SASL_PLAINTEXT with PLAIN.
    plain: Cluster,
}

/// How long a session lasts (KIP-368).
const SESSION: Duration = Duration::from_secs(3);

fn clusters() -> &'static Clusters {
    static CLUSTERS: OnceLock<Clusters> = OnceLock::new();
    CLUSTERS.get_or_init(|| {
        let listener = "listener.name.client";
        let module = "org.apache.kafka.common.security.scram.ScramLoginModule required;";
        let tokens = "org.apache.kafka.common.security.oauthbearer.OAuthBearerLoginModule required \
                      unsecuredLoginStringClaim_sub=\"broker\" unsecuredValidatorRequiredScope=\"mirror\";";
        thread::scope(|scope| {
            let scram = scope.spawn(|| {
                let cluster = Cluster::builder()
                    .security(Security::scram(&["someone"]))
                    .broker_config(
                        &format!("{listener}.sasl.enabled.mechanisms"),
                        "SCRAM-SHA-512,SCRAM-SHA-256,OAUTHBEARER",
                    )
                    .broker_config(&format!("{listener}.oauthbearer.sasl.jaas.config"), tokens)
                    .broker_config(&format!("{listener}.scram-sha-256.sasl.jaas.config"), module)
                    .broker_config("connections.max.reauth.ms", &SESSION.as_millis().to_string())
                    .start()
                    .expect("a broker");
                let bootstrap = cluster.internal_bootstrap();
                let add = ["--alter", "--add-config", "SCRAM-SHA-256=[iterations=8192,password=a,b=\"c]"];
                let whom = ["--entity-type", "users", "--entity-name", "other"];
                let args = [&["--bootstrap-server", &bootstrap][..], &add, &whom].concat();
                let added = cluster.run_tool("kafka.admin.ConfigCommand", &args).expect("java");
                assert!(added.status.success(), "{}", String::from_utf8_lossy(&added.stdout));
                cluster
                    .acl_add("someone", &["--operation", "All", "--topic", "*", "--cluster"])
                    .expect("an ACL");
                cluster
            });
            let tls = scope.spawn(|| {
                let cluster = Cluster::builder().security(Security::mutual_tls(&["someone"]));
                cluster.start().expect("a broker")
            });
            let plain = Cluster::builder().security(Security::plain(&["someone"])).start().expect("a broker");
            Clusters { scram: scram.join().unwrap(), tls: tls.join().unwrap(), plain }
        })
    })
}

async fn works(props: &Props) {
    let client: Client = client(props);
    client.check().await.unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(client.brokers().await.unwrap().len(), 1);
}

async fn refused(props: &Props) -> Error {
    let started = Instant::now();
    let error = client(props).check().await.expect_err("it is not let in");
    assert!(started.elapsed() < Duration::from_secs(20), "{:?}: {error}", started.elapsed());
    assert_eq!(error.sent, Sent::NotSent);
    assert!(error.broker.starts_with("127.0.0.1:"), "{error}");
    error
}

/// The properties of one who has a token, by this `sasl.oauthbearer.config`.
fn bearer(cluster: &Cluster, config: &str) -> Props {
    let props = without(cluster.client_properties("someone"), &["sasl.username", "sasl.password"]);
    let props = with(props, "sasl.mechanism", "OAUTHBEARER");
    with(with(props, "enable.sasl.oauthbearer.unsecure.jwt", "true"), "sasl.oauthbearer.config", config)
}

fn librdkafka_is_let_in(props: &Props) {
    let mut config = ClientConfig::new();
    config.extend(props.iter().cloned());
    let consumer: BaseConsumer = config.create().expect("librdkafka takes the properties");
    consumer.fetch_metadata(None, Duration::from_secs(20)).expect("librdkafka is let in");
}

fn without(mut props: Props, names: &[&str]) -> Props {
    props.retain(|(have, _)| !names.contains(&&**have));
    props
}

#[tokio::test]
async fn every_way_in_works() {
    let Clusters { scram, tls, plain } = clusters();
    works(&plain.client_properties("someone")).await;
    works(&scram.client_properties("someone")).await;
    works(&tls.client_properties("someone")).await;
    let other = with(scram.client_properties("other"), "sasl.mechanism", "SCRAM-SHA-256");
    works(&with(other, "sasl.password", "a,b=\"c")).await;
    let unchecked = without(scram.client_properties("someone"), &["ssl.ca.location"]);
    works(&with(unchecked, "enable.ssl.certificate.verification", "false")).await;
    let nameless = with(scram.client_properties("someone"), "ssl.endpoint.identification.algorithm", "none");
    works(&nameless).await;
    let directory = scram.dir().join("trusted");
    std::fs::create_dir(&directory).unwrap();
    std::fs::copy(scram.dir().join("ca.pem"), directory.join("any.crt")).unwrap();
    std::fs::write(directory.join("README"), "not a certificate").unwrap();
    works(&with(scram.client_properties("someone"), "ssl.ca.location", &directory.display().to_string()))
        .await;
    let text = std::fs::read_to_string(scram.dir().join("ca.pem")).unwrap();
    let text = with(without(scram.client_properties("someone"), &["ssl.ca.location"]), "ssl.ca.pem", &text);
    works(&text).await;
}

#[tokio::test]
async fn a_token_lets_in_as_whom_it_names() {
    let Clusters { scram, .. } = clusters();
    let config = "principal=someone scope=read,mirror extension_traceId=a=b";
    librdkafka_is_let_in(&bearer(scram, config));
    works(&bearer(scram, config)).await;
    let topic = unique("tokens");
    scram.create_topic(&topic, 1, 1, &[]).unwrap();
    client(&bearer(scram, config)).log_end(&topic, 0).await.expect("someone has the right");
    let nobody = client(&bearer(scram, "principal=nobody scope=mirror"));
    let error = nobody.log_end(&topic, 0).await.unwrap_err();
    assert!(error.is_not_authorized(), "{error}");
}

#[tokio::test]
async fn a_refused_token_is_called_that_in_the_brokers_words() {
    let Clusters { scram, plain, .. } = clusters();
    for (config, said) in [
        ("principal=someone extension_a=hunter2", r#"{"status":"insufficient_scope""#),
        ("principal=someone principalClaimName=azp scope=mirror", r#"{"status":"invalid_token"}"#),
    ] {
        let error = refused(&bearer(scram, config)).await;
        assert!(matches!(error.cause, Cause::Authentication(_)) && !error.is_retriable(), "{error:?}");
        let text = error.to_string();
        assert!(text.contains("OAUTHBEARER as someone: the broker refuses the token: "), "{text}");
        assert!(text.contains(said) && !text.contains("hunter2"), "{text}");
        // It says so where the client ends the exchange as it is to be ended.
        eventually("the broker's log", || scram.log(1).unwrap().contains(&format!("({said}")).then_some(()));
    }
    let error = refused(&bearer(plain, "principal=someone")).await;
    assert!(error.is_authentication() && error.to_string().contains("the broker takes PLAIN"), "{error}");
}

#[tokio::test]
async fn a_keystore_is_shown_as_its_certificate_and_key_are() {
    let Clusters { tls, .. } = clusters();
    let pem = |file: &str| std::fs::read(tls.dir().join(file)).unwrap();
    let certificate = |file: &str| {
        let der = CertificateDer::from_pem_slice(&pem(file)).unwrap();
        Certificate::from_der(&der).unwrap()
    };
    let key = PrivateKeyDer::from_pem_slice(&pem("someone.key.pem")).unwrap();
    let key = PrivateKey::from_der(key.secret_der()).unwrap();
    let chain = PrivateKeyChain::new("1", key, [certificate("someone.cert.pem"), certificate("ca.pem")]);
    let mut keystore = KeyStore::new();
    keystore.add_entry("someone", KeyStoreEntry::PrivateKeyChain(chain));
    let [ours, javas] =
        ["someone.p12", "someone.java.p12"].map(|file| tls.dir().join(file).display().to_string());
    std::fs::write(&ours, keystore.writer("opensesame").write().unwrap()).unwrap();
    let copy = ["-importkeystore", "-noprompt", "-srckeystore", &ours, "-destkeystore", &javas];
    let passwords = ["-srcstorepass", "opensesame", "-deststorepass", "opensesame"];
    let copied = tls.run_tool("sun.security.tools.keytool.Main", &[&copy[..], &passwords].concat()).unwrap();
    assert!(copied.status.success(), "{}", String::from_utf8_lossy(&copied.stdout));
    let pem = ["ssl.certificate.location", "ssl.key.location"];
    for file in [&ours, &javas] {
        let props = with(without(tls.client_properties("someone"), &pem), "ssl.keystore.location", file);
        let props = with(props, "ssl.keystore.password", "opensesame");
        librdkafka_is_let_in(&props);
        works(&props).await;
    }
}

#[tokio::test]
async fn a_wrong_password_is_called_that() {
    let Clusters { scram, plain, .. } = clusters();
    for props in [scram.client_properties("someone"), plain.client_properties("someone")] {
        let error = refused(&with(props, "sasl.password", "hunter2")).await;
        assert!(matches!(error.cause, Cause::Authentication(_)) && error.is_authentication(), "{error:?}");
        assert!(error.to_string().contains("as someone: Authentication failed"), "{error}");
        assert!(!error.to_string().contains("hunter2") && !error.is_retriable(), "{error}");
    }
    let mechanism = with(scram.client_properties("someone"), "sasl.mechanism", "PLAIN");
    let error = refused(&mechanism).await;
    assert!(error.is_authentication() && error.to_string().contains("SCRAM-SHA-512"), "{error}");
}

#[tokio::test]
async fn a_broker_that_is_not_trusted_is_called_that() {
    let Clusters { scram, tls, .. } = clusters();
    let ca = tls.dir().join("ca.pem").display().to_string();
    let error = refused(&with(scram.client_properties("someone"), "ssl.ca.location", &ca)).await;
    assert!(matches!(error.cause, Cause::Tls(_)) && error.to_string().contains("certificate"), "{error}");
    let none = ["ssl.certificate.location", "ssl.key.location"];
    let error = refused(&without(tls.client_properties("someone"), &none)).await;
    assert!(error.is_authentication() && error.to_string().contains("ertificate"), "{error}");
}

#[tokio::test]
async fn a_wrong_protocol_is_an_error_that_says_so() {
    let Clusters { scram, tls, plain } = clusters();
    let plaintext = |cluster: &Cluster| vec![("bootstrap.servers".to_owned(), cluster.bootstrap())];
    for cluster in [scram, tls] {
        let error = refused(&plaintext(cluster)).await;
        assert!(error.to_string().contains("security.protocol"), "{error}");
    }
    let ssl = with(
        with(plaintext(plain), "security.protocol", "ssl"),
        "enable.ssl.certificate.verification",
        "false",
    );
    let error = refused(&ssl).await;
    assert!(matches!(error.cause, Cause::Tls(_)), "{error}");
    // This one answers the first question, and hangs up at the next.
    let error = client(&plaintext(plain)).check().await.unwrap_err();
    assert!(error.is_unreachable() && error.to_string().contains("security.protocol"), "{error}");
}

#[tokio::test]
async fn a_session_is_renewed_on_the_same_connection_while_requests_are_on_their_way() {
    let Clusters { scram, .. } = clusters();
    // Shorter than the broker's session: it lasts as long as the token.
    let token = bearer(scram, "principal=someone scope=mirror lifeSeconds=2");
    let password = scram.client_properties("someone");
    tokio::join!(renewed(scram, &password), renewed(scram, &token));
}

async fn renewed(scram: &Cluster, props: &Props) {
    let topic = unique("renewed");
    scram.create_topic(&topic, 1, 1, &[]).unwrap();
    let client = client(props);
    let me = new_producer(&client).await;
    let connection = leader(&client.for_purpose(Purpose::new("produce")), &topic).await;
    let started = Instant::now();
    let mut next = 0;
    while started.elapsed() < SESSION * 3 {
        for n in next..next + 3 {
            let batch = kafka_wire::ProduceBatch::new(&*topic, 0, batch_of(me, n, 1, 10));
            drop(connection.produce(&[batch], &kafka_wire::ProduceOptions::default()));
        }
        let produced = produce(&connection, &topic, batch_of(me, next + 3, 1, 10)).await;
        next += 4;
        assert_eq!(produced.base_offset, i64::from(next - 1));
    }
    assert!(!connection.is_closed());
    // Idle through the end of a session.
    tokio::time::sleep(SESSION * 2).await;
    assert_eq!(produce(&connection, &topic, batch_of(me, next, 1, 10)).await.base_offset, i64::from(next));
}

#[tokio::test]
async fn missing_rights_are_an_answer() {
    let Clusters { plain, .. } = clusters();
    plain.create_topic("guarded", 1, 1, &[]).unwrap();
    let client = client(&plain.client_properties("someone"));
    let error = client.log_end("guarded", 0).await.unwrap_err();
    assert!(error.is_not_authorized() && !error.is_retriable(), "{error}");
    let marker = TxnMarker {
        producer: ProducerIdentity { id: 1, epoch: 0 },
        coordinator_epoch: 0,
        commit: false,
        topic: "guarded".into(),
        partition: 0,
    };
    let outcomes = client.write_txn_markers(1, std::slice::from_ref(&marker)).await.unwrap();
    assert_eq!(outcomes, [Err(Code::ClusterAuthorizationFailed)]);
    // Of the markers of one producer id the broker names the last alone.
    let of = |id: i64, partition: i32| TxnMarker {
        producer: ProducerIdentity { id, epoch: 0 },
        partition,
        ..marker.clone()
    };
    let order = [of(1, 0), of(1, 1), of(2, 2), of(1, 3)];
    let outcomes = client.write_txn_markers(1, &order).await.unwrap();
    assert_eq!(outcomes, [Err(Code::ClusterAuthorizationFailed); 4]);
    let error = client.init_producer_id(Some("guarded"), Duration::from_secs(60)).await.unwrap_err();
    assert_eq!(error.code(), Some(Code::TransactionalIdAuthorizationFailed));
    assert!(client.connection(To::Any).await.is_ok());
}

/// Rules are made once however often they are asked for, listed as they were made, and of those that are alike only the
/// very one is deleted; a DENY rule stops a writer, and its end lets it go on.
#[tokio::test]
async fn acls_are_made_listed_and_deleted_one_by_one() {
    let plain = &clusters().plain;
    let (admin, topic) = (client(&plain.client_properties("admin")), unique("acls"));
    plain.create_topic(&topic, 1, 1, &[]).unwrap();
    let rule = |permission, operation| AclRule {
        resource: AclResource::Topic,
        name: topic.clone(),
        pattern: AclPattern::Literal,
        principal: "User:someone".to_owned(),
        permission,
        operation,
        host: "*".to_owned(),
    };
    let prefixed =
        AclRule { pattern: AclPattern::Prefixed, ..rule(AclPermission::Allow, AclOperation::Read) };
    let here = AclRule { host: "127.0.0.1".to_owned(), ..rule(AclPermission::Allow, AclOperation::Write) };
    let group = AclRule { resource: AclResource::Group, ..rule(AclPermission::Allow, AclOperation::All) };
    let rules = [rule(AclPermission::Allow, AclOperation::Write), prefixed, here, group];
    let listed = async || {
        let all = admin.list_acls().await.unwrap();
        all.into_iter().filter(|rule| rule.name == topic).collect::<BTreeSet<_>>()
    };
    let settled = async |expected: BTreeSet<AclRule>| {
        let began = Instant::now();
        while listed().await != expected {
            assert!(began.elapsed() < Duration::from_secs(20), "{:?}", listed().await);
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    for _ in 0..2 {
        assert!(admin.create_acls(&rules).await.iter().all(Result::is_ok));
        settled(rules.iter().cloned().collect()).await;
    }

    let writer = client(&plain.client_properties("someone"));
    let write = async || {
        let (connection, nobody) = (leader(&writer, &topic).await, ProducerIdentity { id: -1, epoch: -1 });
        let outcome = support::produce_outcome(&connection, &topic, batch_of(nobody, 0, 1, 8)).await;
        support::only(outcome).map_err(|refused| refused.code).err()
    };
    let until = async |expected: Option<Code>| {
        let began = Instant::now();
        while write().await != expected {
            assert!(began.elapsed() < Duration::from_secs(20), "{expected:?}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    until(None).await;
    let deny = [rule(AclPermission::Deny, AclOperation::Write)];
    assert!(admin.create_acls(&deny).await.iter().all(Result::is_ok));
    until(Some(Code::TopicAuthorizationFailed)).await;
    let deleted: Vec<bool> = admin.delete_acls(&deny).await.into_iter().map(Result::unwrap).collect();
    assert_eq!(deleted, [true]);
    until(None).await;
    settled(rules.iter().cloned().collect()).await;
    assert!(matches!(admin.delete_acls(&deny).await[..], [Ok(false)]), "it is gone");

    // Who may not is told so, and of a rule that can't be the others know nothing.
    let error = writer.list_acls().await.unwrap_err();
    assert_eq!(error.code(), Some(Code::ClusterAuthorizationFailed), "{error}");
    let outcome = writer.create_acls(&rules).await;
    assert!(outcome.iter().all(|made| made.as_ref().is_err_and(Error::is_not_authorized)), "{outcome:?}");
    let bad = AclRule { principal: "someone".to_owned(), ..rules[0].clone() };
    let outcome = admin.create_acls(&[bad, rules[0].clone()]).await;
    assert!(matches!(&outcome[..], [Err(error), Ok(())] if error.code().is_some()), "{outcome:?}");
    let nowhere = Cluster::builder().start().unwrap();
    let error = client(&nowhere.client_properties("anyone")).list_acls().await.unwrap_err();
    assert_eq!(error.code(), Some(Code::SecurityDisabled), "{error}");
}
