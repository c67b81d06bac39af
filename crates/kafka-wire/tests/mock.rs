//! The client on librdkafka's mock cluster: tests elsewhere use it, so it has to do.

mod support;

use std::time::Duration;

use kafka_wire::{Client, Isolation, OffsetSpec, records::Batches};
use rdkafka::mocking::MockCluster;

use self::support::{batch_of, leader, new_producer, produce};

#[tokio::test]
async fn the_mock_cluster_will_do() {
    let mock = MockCluster::new(3).expect("a mock cluster needs nothing");
    mock.create_topic("mocked", 4, 3).unwrap();
    let props = vec![("bootstrap.servers".to_owned(), mock.bootstrap_servers())];
    let client: Client = support::client(&props).with_patience(Duration::from_secs(20));
    let topic = client.topic("mocked").await.unwrap();
    assert_eq!(topic.partitions.len(), 4);
    assert_eq!(client.brokers().await.unwrap().len(), 3);
    let me = new_producer(&client).await;
    let connection = leader(&client, "mocked").await;
    for first in [0, 10, 20] {
        let produced = produce(&connection, "mocked", batch_of(me, first, 10, 8)).await;
        assert_eq!(produced.base_offset, i64::from(first));
    }
    for (spec, expected) in [(OffsetSpec::Earliest, 0), (OffsetSpec::Latest, 30)] {
        let listed = client.list_offsets(&[("mocked", 0), ("mocked", 1)], spec, Isolation::default()).await;
        assert_eq!(listed[0].as_ref().unwrap().offset, expected);
        assert_eq!(listed[1].as_ref().unwrap().offset, 0);
    }
    let fetched = client.fetch_raw("mocked", 0, 0, 1 << 20, Isolation::default()).await.unwrap();
    assert_eq!(fetched.high_watermark, 30);
    let first = Batches::new(fetched.records).next().unwrap().unwrap();
    assert_eq!(first.records(1 << 20).unwrap().count(), 10);
    let me = client.init_producer_id(Some("mine"), Duration::from_secs(60)).await.unwrap();
    assert!(me.id >= 0 && me.epoch >= 0);
}
