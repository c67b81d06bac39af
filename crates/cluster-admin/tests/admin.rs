//! What cluster-admin does on real brokers: topics, configs, offsets, groups, and, with ACLs on, rights
//! and the errors for lack of them.

use std::{
    sync::OnceLock,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use cluster_admin::{AclOperation, Cluster, ConfigSource, Error, Isolation, Rights};
use kafka_harness::{
    Props, Security, TestRecord, client,
    shared::{pair, unique},
};
use kafka_rd::Properties;
use mirror_types::{Side, TopicPartition};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};

/// Long: a loaded machine's broker takes its time to lay out logs.
const TIMEOUT: Duration = Duration::from_secs(60);

fn connect(props: &Props, timeout: Duration) -> Cluster {
    let mut properties = Properties::new();
    for (name, value) in props {
        properties.set(name, value);
    }
    Cluster::connect(Side::Target, "dc2", &properties, timeout).expect("the properties are good")
}

fn plain() -> Cluster {
    connect(&pair().1.client_properties(""), TIMEOUT)
}

/// A cluster with ACLs on. `reader` may read topics `open…`, and describe the cluster;
/// `nobody` may do nothing.
fn guarded() -> &'static kafka_harness::Cluster {
    static CLUSTER: OnceLock<kafka_harness::Cluster> = OnceLock::new();
    CLUSTER.get_or_init(|| {
        let security = Security::plain(&["reader", "nobody"]);
        let cluster = kafka_harness::Cluster::builder().security(security).start().expect("a cluster");
        let read = ["--operation", "Read", "--topic", "open"];
        let read = [read.as_slice(), &["--resource-pattern-type", "prefixed"]].concat();
        std::thread::scope(|scope| {
            scope.spawn(|| cluster.acl_add("reader", &read).expect("an ACL"));
            cluster.acl_add("reader", &["--operation", "Describe", "--cluster"]).expect("an ACL");
        });
        cluster
    })
}

fn at(topic: &str, partition: i32) -> TopicPartition {
    TopicPartition::new(topic, partition)
}

fn records(partition: i32, count: i64) -> Vec<TestRecord> {
    let record =
        |n| TestRecord { partition, value: Some(b"x".to_vec()), timestamp: Some(1000 + n), ..empty() };
    (0..count).map(record).collect()
}

fn empty() -> TestRecord {
    TestRecord { partition: 0, key: None, value: None, headers: Vec::new(), timestamp: None }
}

fn own(key: &str, value: &str) -> (String, String) {
    (key.to_owned(), value.to_owned())
}

#[tokio::test]
async fn a_topic_is_created_shown_grown_and_deleted() {
    let (cluster, topic) = (plain(), unique("life"));
    assert_eq!(cluster.topic(&topic).await.unwrap(), None, "asking does not create it");
    let configs = [own("max.message.bytes", "2097152"), own("cleanup.policy", "compact,delete")];
    cluster.validate_topic(&topic, 3, -1, &configs).await.unwrap();
    assert_eq!(cluster.topic(&topic).await.unwrap(), None, "validating does not create it");
    assert!(cluster.create_topic(&topic, 3, -1, &configs).await.unwrap());
    assert!(!cluster.create_topic(&topic, 3, 1, &[]).await.unwrap(), "it is there already");
    let info = cluster.topic(&topic).await.unwrap().unwrap();
    assert_eq!((info.partitions, info.replication, info.leaderless.len()), (3, 1, 0));

    let found = cluster.topic_configs(&[topic.clone(), "absent".to_owned()]).await.unwrap();
    let shown = found[&topic].as_ref().unwrap();
    assert_eq!(shown.max_message_bytes(), Some(2_097_152));
    assert!(shown.is_compacted());
    assert_eq!(shown.message_timestamp_type(), Some("CreateTime"));
    assert_eq!(shown.compression_type(), Some("producer"));
    assert_eq!(shown["max.message.bytes"].source, ConfigSource::Topic);
    assert!(shown["retention.ms"].is_default, "{:?}", shown["retention.ms"]);
    let set: Vec<_> = shown.set_on_topic().collect();
    assert_eq!(set, [("cleanup.policy", "compact,delete"), ("max.message.bytes", "2097152")]);
    assert!(found["absent"].as_ref().unwrap_err().is_unknown_topic(), "{:?}", found["absent"]);

    cluster.grow_topic(&topic, 5).await.unwrap();
    cluster.grow_topic(&topic, 5).await.unwrap();
    assert_eq!(cluster.topics().await.unwrap()[&*topic].as_ref().unwrap().partitions, 5);
    let shrunk = cluster.grow_topic(&topic, 4).await;
    assert!(shrunk.is_ok(), "five are enough where four were asked for: {shrunk:?}");

    assert!(cluster.delete_topic(&topic).await.unwrap());
    assert!(!cluster.delete_topic(&topic).await.unwrap());
    assert_eq!(cluster.topic(&topic).await.unwrap(), None);
}

#[tokio::test]
async fn what_the_broker_says_of_a_refused_topic_reaches_the_reader() {
    let (cluster, topic) = (plain(), unique("refused"));
    let replicas = cluster.create_topic(&topic, 1, 3, &[]).await.unwrap_err();
    assert!(
        replicas.to_string().starts_with(&format!("target cluster dc2: create topic {topic}: ")),
        "{replicas}"
    );
    assert!(replicas.to_string().contains("only 1 broker"), "{replicas}");
    let config = cluster.create_topic(&topic, 1, 1, &[own("cleanup.policy", "keep")]).await.unwrap_err();
    assert!(config.to_string().contains("keep"), "{config}");
    let name = cluster.create_topic("no spaces", 1, 1, &[]).await.unwrap_err();
    assert!(!name.is_retriable(), "{name:?}");
    assert_eq!(cluster.topic(&topic).await.unwrap(), None);
    let absent = cluster.grow_topic(&topic, 2).await.unwrap_err();
    assert!(absent.is_unknown_topic(), "{absent:?}");
}

#[tokio::test]
async fn brokers_describe_themselves() {
    let cluster = plain();
    assert_eq!(cluster.broker_ids().await.unwrap(), [1]);
    assert!(cluster.cluster_id().await.unwrap().is_some_and(|id| !id.is_empty()));
    let configs = cluster.broker_configs().await.unwrap();
    assert!(configs["message.max.bytes"].value.is_some());
    let rights = cluster.cluster_rights().await.unwrap().expect("3.9 says");
    assert!(rights.may(AclOperation::Create) && rights.may(AclOperation::IdempotentWrite), "{rights:?}");
}

#[tokio::test]
async fn offsets_of_logs_and_of_open_transactions() {
    let (cluster, topic) = (plain(), unique("offsets"));
    let kafka = pair().1;
    cluster.create_topic(&topic, 3, 1, &[]).await.unwrap();
    client::produce(&kafka.client_properties(""), &topic, &records(0, 10)).unwrap();
    client::produce(&kafka.client_properties(""), &topic, &records(1, 10)).unwrap();
    kafka.delete_records(&topic, 1, 4).unwrap();
    // Three records of a transaction that is still open.
    let mut open = client::config(&kafka.client_properties(""));
    let producer: BaseProducer = open.set("transactional.id", &topic).create().unwrap();
    producer.init_transactions(TIMEOUT).unwrap();
    producer.begin_transaction().unwrap();
    for _ in 0..3 {
        producer.send(BaseRecord::<(), str>::to(&topic).partition(0).payload("open")).unwrap();
    }
    producer.flush(TIMEOUT).unwrap();

    let (zero, one, two, nine) = (at(&topic, 0), at(&topic, 1), at(&topic, 2), at(&topic, 9));
    let all = [zero.clone(), one.clone(), two.clone(), nine.clone()];
    let of = |found: &cluster_admin::Offsets| {
        [&zero, &one, &two].map(|partition| *found[partition].as_ref().expect("it is there"))
    };
    let committed = cluster.end_offsets(&all, Isolation::Committed).await.unwrap();
    assert_eq!(of(&committed), [10, 10, 0]);
    assert!(committed[&nine].as_ref().unwrap_err().is_unknown_topic());
    assert_eq!(of(&cluster.end_offsets(&all, Isolation::Uncommitted).await.unwrap()), [13, 10, 0]);
    assert_eq!(of(&cluster.start_offsets(&all).await.unwrap()), [0, 4, 0]);
    let timed = cluster.offsets_at(&all[..3], 1006).await.unwrap();
    assert_eq!([&zero, &one, &two].map(|p| *timed[p].as_ref().unwrap()), [Some(6), Some(6), None]);
    let future = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as i64 + 3_600_000;
    let timed = cluster.offsets_at(&all[..1], future).await.unwrap();
    assert_eq!(*timed[&zero].as_ref().unwrap(), None);
    producer.abort_transaction(TIMEOUT).unwrap();
}

#[tokio::test]
async fn two_hundred_partitions_are_listed_in_one_go() {
    let (cluster, topic) = (plain(), unique("many"));
    cluster.create_topic(&topic, 200, 1, &[]).await.unwrap();
    let partitions: Vec<_> = (0..200).map(|p| at(&topic, p)).collect();
    let begun = Instant::now();
    loop {
        let started = Instant::now();
        let ends = cluster.end_offsets(&partitions, Isolation::Committed).await.unwrap();
        assert!(ends.len() == 200 && started.elapsed() < Duration::from_secs(2), "{:?}", started.elapsed());
        if ends.values().all(|end| end.as_ref().is_ok_and(|end| *end == 0)) {
            break;
        }
        // A leader hears that it is one a moment after everybody else.
        assert!(begun.elapsed() < TIMEOUT, "{ends:?}");
    }
}

fn rights(operations: &[AclOperation]) -> Option<Rights> {
    Some(operations.iter().copied().collect())
}

#[tokio::test]
async fn rights_are_reported_as_the_acls_give_them() {
    use AclOperation as A;
    let kafka = guarded();
    let (open, shut) = (unique("open"), unique("shut"));
    let admin = connect(&kafka.client_properties("admin"), TIMEOUT);
    for topic in [&open, &shut] {
        admin.create_topic(topic, 1, 1, &[]).await.unwrap();
    }
    let all = admin.topic_rights(std::slice::from_ref(&open)).await.unwrap();
    let all = all[&open].as_ref().unwrap().clone().unwrap();
    assert!(
        [A::Read, A::Write, A::Alter, A::DescribeConfigs, A::AlterConfigs].into_iter().all(|a| all.may(a))
    );

    let reader = connect(&kafka.client_properties("reader"), TIMEOUT);
    let asked = [open.clone(), shut.clone()];
    let found = reader.topic_rights(&asked).await.unwrap();
    assert_eq!(*found[&open].as_ref().unwrap(), rights(&[A::Read, A::Describe]));
    assert!(found[&shut].as_ref().unwrap_err().is_not_authorized(), "{found:?}");
    assert_eq!(reader.cluster_rights().await.unwrap(), rights(&[A::Describe]));

    let nobody = connect(&kafka.client_properties("nobody"), TIMEOUT);
    assert_eq!(nobody.cluster_rights().await.unwrap(), rights(&[]));
    assert!(nobody.topic_rights(&asked).await.unwrap().values().all(Result::is_err));
}

#[tokio::test]
async fn what_is_not_authorized_fails_as_such_at_once_and_alone() {
    let kafka = guarded();
    let (open, shut) = (unique("open"), unique("shut"));
    let admin = connect(&kafka.client_properties("admin"), TIMEOUT);
    for topic in [&open, &shut] {
        admin.create_topic(topic, 1, 1, &[]).await.unwrap();
    }
    let reader = connect(&kafka.client_properties("reader"), TIMEOUT);
    let denied = |what: &str, error: &Error| {
        println!("{what}: {error}");
        assert!(error.is_not_authorized() && !error.is_retriable(), "{what}: {error:?}");
    };
    let started = Instant::now();
    let (good, bad) = (at(&open, 0), at(&shut, 0));
    let both = [good.clone(), bad.clone()];

    assert_eq!(reader.topics().await.unwrap().keys().filter(|name| ***name == *shut).count(), 0);
    denied("topic", &reader.topic(&shut).await.unwrap_err());
    denied("create", &reader.create_topic(&unique("open"), 1, 1, &[]).await.unwrap_err());
    denied("grow", &reader.grow_topic(&open, 2).await.unwrap_err());
    denied("delete", &reader.delete_topic(&open).await.unwrap_err());
    let configs = reader.topic_configs(std::slice::from_ref(&open)).await.unwrap();
    denied("configs", configs[&open].as_ref().unwrap_err());
    denied("broker configs", &reader.broker_configs().await.unwrap_err());
    let ends = reader.end_offsets(&both, Isolation::Committed).await.unwrap();
    assert!(ends[&good].is_ok());
    denied("end offset", ends[&bad].as_ref().unwrap_err());
    let ends = reader.end_offsets(&both[1..], Isolation::Committed).await.unwrap();
    denied("end offset alone", ends[&bad].as_ref().unwrap_err());
    assert!(started.elapsed() < Duration::from_secs(10), "{:?}", started.elapsed());
}

#[tokio::test]
async fn a_wrong_password_is_an_authentication_error_long_before_the_timeout() {
    let mut properties = guarded().client_properties("reader");
    for (name, value) in &mut properties {
        if name == "sasl.password" {
            "wrong".clone_into(value);
        }
    }
    let cluster = connect(&properties, Duration::from_secs(60));
    let started = Instant::now();
    let partition = [at("open", 0)];
    let errors = [
        cluster.topics().await.map(|_| ()),
        cluster.end_offsets(&partition, Isolation::Committed).await.map(|_| ()),
        cluster.cluster_rights().await.map(|_| ()),
    ];
    for outcome in errors {
        let error = outcome.unwrap_err();
        println!("{error}");
        assert!(
            error.is_authentication() && error.is_unreachable() && !error.is_not_authorized(),
            "{error:?}"
        );
        assert!(error.to_string().contains("Authentication failed"), "{error}");
    }
    assert!(started.elapsed() < Duration::from_secs(15), "{:?}", started.elapsed());
}

#[tokio::test]
async fn a_client_without_credentials_is_told_to_look_at_the_security_protocol() {
    let properties = vec![("bootstrap.servers".to_owned(), guarded().bootstrap())];
    let error = connect(&properties, Duration::from_secs(5)).topics().await.unwrap_err();
    println!("{error}");
    assert!(error.is_unreachable(), "{error:?}");
    assert!(error.to_string().contains("security.protocol"), "{error}");
}
