//! How brokers let the client in, and what it says where they don't.

mod support;

use std::{
    sync::OnceLock,
    thread,
    time::{Duration, Instant},
};

use kafka_harness::{Cluster, Props, Security, shared::unique};
use kafka_wire::{Cause, Client, Code, Error, ProducerIdentity, Purpose, Sent, To, TxnMarker};

use self::support::{batch_of, client, leader, new_producer, produce, with};

struct Clusters {
    /// SASL_SSL with SCRAM-SHA-512 and, for the user `other`, SCRAM-SHA-256; a session lasts three seconds.
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
        thread::scope(|scope| {
            let scram = scope.spawn(|| {
                let cluster = Cluster::builder()
                    .security(Security::scram(&["someone"]))
                    .broker_config(
                        &format!("{listener}.sasl.enabled.mechanisms"),
                        "SCRAM-SHA-512,SCRAM-SHA-256",
                    )
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
    let topic = unique("renewed");
    scram.create_topic(&topic, 1, 1, &[]).unwrap();
    let client = client(&scram.client_properties("someone"));
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
    let outcomes = client.write_txn_markers(1, &[marker]).await.unwrap();
    assert_eq!(outcomes, [Err(Code::ClusterAuthorizationFailed)]);
    let error = client.init_producer_id(Some("guarded"), Duration::from_secs(60)).await.unwrap_err();
    assert_eq!(error.code(), Some(Code::TransactionalIdAuthorizationFailed));
    assert!(client.connection(To::Any).await.is_ok());
}
