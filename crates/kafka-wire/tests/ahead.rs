//! A batch that is sent ahead of a marker, with no answer of its own: the marker is written if the batch is, and never
//! if it is not. On each version of Kafka that the tests know.

mod support;

use std::time::Duration;

use kafka_harness::{Cluster, MAIN_VERSION, NEW_VERSION, OLD_VERSION, shared::unique};
use kafka_wire::{Client, ProduceBatch, ProducerIdentity, To, TxnMarker};

use self::support::{batch_of, new_producer};

/// A refusal that came too late would be so now and then.
const TIMES: usize = 20;

fn marker(topic: &str, partition: i32, producer: ProducerIdentity) -> TxnMarker {
    TxnMarker { producer, coordinator_epoch: 0, commit: true, topic: topic.into(), partition }
}

async fn ends(client: &Client, topic: &str) -> [i64; 2] {
    [client.log_end(topic, 0).await.unwrap().offset, client.log_end(topic, 1).await.unwrap().offset]
}

async fn goes_ahead(version: &str) {
    let kafka = Cluster::builder().version(version).start().expect("a broker");
    let client = support::client(&kafka.client_properties("")).with_patience(Duration::from_secs(30));
    let (topic, absent) = (unique("ahead"), unique("absent"));
    kafka.create_topic(&topic, 2, 1, &[("max.message.bytes", "2000")]).unwrap();
    let me = new_producer(&client).await;
    let batch = |partition, first, size| ProduceBatch::new(&*topic, partition, batch_of(me, first, 3, size));
    let markers = [marker(&topic, 0, me), marker(&topic, 0, me), marker(&topic, 1, me)];

    let connection = client.connection(To::Leader(&topic, 0)).await.unwrap();
    for round in 0..10 {
        connection.produce_ahead(&[batch(0, round * 3, 10), batch(1, round * 3, 10)]).unwrap();
        let outcomes = connection.write_txn_markers(&markers).await.unwrap();
        assert_eq!(outcomes, [Ok(()); 3]);
    }
    // Nobody counts an answer that does not come.
    assert_eq!((connection.in_flight(), connection.unwritten()), (0, 0));
    let filled = [50, 40];
    assert_eq!(ends(&client, &topic).await, filled);

    // Sequence numbers that do not follow, a batch that is too large, a topic that is not there; one of two is good.
    let (mut taken, mut first) = (filled[1], 30);
    for _ in 0..TIMES {
        let unknown = ProduceBatch::new(&*absent, 0, batch_of(me, 0, 3, 10));
        for refused in [batch(0, 1000, 10), batch(0, 30, 5000), unknown] {
            let connection = client.connection(To::Leader(&topic, 0)).await.unwrap();
            connection.produce_ahead(&[batch(1, first, 10), refused]).unwrap();
            connection.write_txn_markers(&markers).await.unwrap_err();
            connection.closed().await;
            (taken, first) = (taken + 3, first + 3);
            assert_eq!(ends(&client, &topic).await, [filled[0], taken], "{version}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn on_an_old_broker() {
    goes_ahead(OLD_VERSION).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn on_a_broker() {
    goes_ahead(MAIN_VERSION).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn on_a_new_broker() {
    goes_ahead(NEW_VERSION).await;
}
