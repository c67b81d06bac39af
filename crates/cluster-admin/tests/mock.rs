//! What cluster-admin does on librdkafka's in-process mock cluster, which `isomirror demo` runs on.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use cluster_admin::{Cluster, Isolation};
use kafka_rd::{LogContext, Properties};
use mirror_types::{Side, TopicPartition};
use rdkafka::{
    ClientConfig,
    mocking::MockCluster,
    producer::DefaultProducerContext,
    producer::{BaseProducer, BaseRecord, Producer},
};

const TIMEOUT: Duration = Duration::from_secs(5);

type Mock = MockCluster<'static, DefaultProducerContext>;

fn mock(brokers: i32) -> (Mock, Cluster) {
    let mock = MockCluster::new(brokers).expect("a mock cluster needs nothing");
    let cluster = connect(&mock.bootstrap_servers());
    (mock, cluster)
}

fn connect(servers: &str) -> Cluster {
    let mut properties = Properties::new();
    // The group id and the producer's property must not get in the way.
    properties.set("bootstrap.servers", servers).set("group.id", "mine").set("linger.ms", "5");
    Cluster::connect(Side::Target, "dc2", &properties, TIMEOUT).expect("the properties are good")
}

fn produce(mock: &Mock, topic: &str, partition: i32, records: usize) {
    let producer: BaseProducer =
        ClientConfig::new().set("bootstrap.servers", mock.bootstrap_servers()).create().unwrap();
    for _ in 0..records {
        producer.send(BaseRecord::<(), str>::to(topic).partition(partition).payload("x")).unwrap();
    }
    producer.flush(TIMEOUT).unwrap();
}

fn at(topic: &str, partition: i32) -> TopicPartition {
    TopicPartition::new(topic, partition)
}

#[tokio::test]
async fn it_lists_topics_brokers_and_the_cluster_id() {
    let (mock, cluster) = mock(3);
    mock.create_topic("orders", 4, 2).unwrap();
    mock.create_topic("payments", 1, 1).unwrap();
    let topics = cluster.topics().await.unwrap();
    assert_eq!(topics.keys().map(|name| &**name).collect::<Vec<_>>(), ["orders", "payments"]);
    let orders = topics["orders"].as_ref().unwrap();
    assert_eq!((orders.partitions, orders.replication, orders.leaderless.as_slice()), (4, 2, [].as_slice()));
    assert_eq!(cluster.topic("orders").await.unwrap().as_ref(), Some(orders));
    assert_eq!(cluster.broker_ids().await.unwrap(), [1, 2, 3]);
    assert!(cluster.cluster_id().await.unwrap().is_some());
}

#[tokio::test]
async fn it_lists_offsets_of_many_partitions_and_an_error_for_each_that_there_is_not() {
    let (mock, cluster) = mock(3);
    mock.create_topic("orders", 64, 1).unwrap();
    produce(&mock, "orders", 3, 7);
    let mut partitions: Vec<_> = (0..64).map(|p| at("orders", p)).collect();
    partitions.extend([at("orders", 99), at("nothing", 0), at("orders", 3)]);
    let started = Instant::now();
    let ends = cluster.end_offsets(&partitions, Isolation::Uncommitted).await.unwrap();
    assert_eq!(ends.len(), 66);
    assert_eq!(*ends[&at("orders", 3)].as_ref().unwrap(), 7);
    assert_eq!(*ends[&at("orders", 63)].as_ref().unwrap(), 0);
    for missing in [at("orders", 99), at("nothing", 0)] {
        let error = ends[&missing].as_ref().unwrap_err();
        assert!(error.is_unknown_topic(), "{error:?}");
        assert!(
            error.to_string().starts_with(&format!("target cluster dc2: get the end offset of {missing}: "))
        );
    }
    let starts = cluster.start_offsets(&partitions[..64]).await.unwrap();
    assert!(starts.values().all(|offset| *offset.as_ref().unwrap() == 0));
    let none = cluster.end_offsets(&[at("nothing", 1)], Isolation::Committed).await.unwrap();
    assert!(none[&at("nothing", 1)].as_ref().unwrap_err().is_unknown_topic());
    assert!(started.elapsed() < TIMEOUT, "it did not wait for what there is not");
}

#[tokio::test]
async fn what_the_mock_cannot_do_fails_at_once() {
    let (mock, cluster) = mock(1);
    mock.create_topic("orders", 1, 1).unwrap();
    cluster.topics().await.unwrap();
    let started = Instant::now();
    let configs = cluster.topic_configs(&["orders".to_owned()]).await.map(|_| ());
    for outcome in [configs, cluster.broker_configs().await.map(|_| ())] {
        let error = outcome.unwrap_err();
        assert!(error.is_unsupported(), "{error:?}");
    }
    let writing =
        [cluster.create_topic("new", 1, 1, &[]).await.map(|_| ()), cluster.grow_topic("orders", 2).await];
    for outcome in writing {
        assert!(
            outcome.unwrap_err().to_string().ends_with("the controller (0) is none of the brokers ([1])")
        );
    }
    // These the mock answers, but not with rights.
    let rights = cluster.topic_rights(&["orders".to_owned()]).await;
    println!("{rights:?} {:?}", cluster.cluster_rights().await);
    assert!(started.elapsed() < Duration::from_secs(2), "{:?}", started.elapsed());
}

#[tokio::test]
async fn asking_for_a_topic_does_not_create_it() {
    let (_mock, cluster) = mock(1);
    assert_eq!(cluster.topic("absent").await.unwrap(), None);
    cluster.end_offsets(&[at("absent", 0)], Isolation::Committed).await.unwrap();
    assert!(cluster.topics().await.unwrap().is_empty());
}

#[tokio::test]
async fn a_cluster_that_is_not_there_is_unreachable_and_says_why() {
    let mut properties = Properties::new();
    properties.set("bootstrap.servers", "127.0.0.1:1");
    let timeout = Duration::from_secs(1);
    let cluster = Cluster::connect(Side::Source, "dc1", &properties, timeout).unwrap();
    let started = Instant::now();
    let errors = [
        cluster.topics().await.map(|_| ()),
        cluster.end_offsets(&[at("orders", 0)], Isolation::Committed).await.map(|_| ()),
        cluster.cluster_id().await.map(|_| ()),
    ];
    for outcome in errors {
        let error = outcome.unwrap_err();
        println!("{error}");
        assert!(
            error.is_unreachable() && !error.is_authentication() && !error.is_not_authorized(),
            "{error:?}"
        );
        assert!(error.to_string().starts_with("source cluster dc1: "), "{error}");
        assert!(error.to_string().contains("Connection refused"), "{error}");
    }
    assert!(started.elapsed() < Duration::from_secs(20), "{:?}", started.elapsed());
}

#[tokio::test]
async fn a_host_name_that_does_not_resolve_is_named() {
    let mut properties = Properties::new();
    properties.set("bootstrap.servers", "no-such-host.invalid:9092");
    let cluster = Cluster::connect(Side::Source, "dc1", &properties, Duration::from_secs(2)).unwrap();
    let error = cluster.topics().await.unwrap_err();
    assert!(error.is_unreachable(), "{error:?}");
    assert!(error.to_string().contains("no-such-host.invalid"), "{error}");
}

#[test]
fn properties_that_librdkafka_refuses_are_an_error_without_their_secrets() {
    let mut properties = Properties::new();
    properties.set("bootstrap.servers", "a:9092").set("security.protocol", "ssl");
    properties.set("ssl.key.pem", "hunter2");
    let error = Cluster::connect(Side::Source, "dc1", &properties, TIMEOUT).unwrap_err();
    assert!(!error.is_unreachable(), "{error:?}");
    assert!(error.to_string().starts_with("source cluster dc1: make a client: "), "{error}");
    assert!(!error.to_string().contains("hunter2"), "{error}");
}

#[tokio::test]
async fn a_partition_without_a_leader_does_not_hold_up_the_others() {
    let (mock, cluster) = mock(2);
    mock.create_topic("orders", 4, 1).unwrap();
    mock.partition_leader("orders", 2, None).unwrap();
    let partitions: Vec<_> = (0..4).map(|p| at("orders", p)).collect();
    let started = Instant::now();
    let ends = cluster.end_offsets(&partitions, Isolation::Committed).await.unwrap();
    let error = ends[&partitions[2]].as_ref().unwrap_err();
    assert!(error.is_retriable(), "{error:?}");
    assert_eq!(ends.values().filter(|end| end.is_ok()).count(), 3);
    // librdkafka itself takes a second over it.
    assert!(started.elapsed() < Duration::from_secs(4), "{:?}", started.elapsed());
    assert_eq!(cluster.topics().await.unwrap()["orders"].as_ref().unwrap().leaderless, [2]);
    mock.partition_leader("orders", 2, Some(1)).unwrap();
    let ends = cluster.end_offsets(&partitions, Isolation::Committed).await.unwrap();
    assert!(ends.values().all(Result::is_ok), "{ends:?}");
}

#[test]
fn the_context_is_what_a_data_path_can_share() {
    fn shareable<T: rdkafka::consumer::ConsumerContext + Clone + Send + Sync + 'static>() {}
    shareable::<LogContext>();
    fn cheap<T: Clone + Send + Sync + 'static>() {}
    cheap::<Cluster>();
    cheap::<Arc<Cluster>>();
}
