//! Brokers and connections that hang for a while: afterwards the client answers again by itself, and soon.

use std::time::{Duration, Instant};

use cluster_admin::{Cluster, Error, Isolation};
use kafka_harness::Props;
use kafka_rd::Properties;
use mirror_types::{Side, TopicPartition};

const TIMEOUT: Duration = Duration::from_secs(3);

fn connect(props: &Props) -> Cluster {
    let mut properties = Properties::new();
    for (name, value) in props {
        properties.set(name, value);
    }
    Cluster::connect(Side::Target, "dc2", &properties, TIMEOUT).expect("the properties are good")
}

/// One of each kind of request that a link makes again and again.
async fn ask(cluster: &Cluster, topic: &str) -> Result<(), Error> {
    let at = TopicPartition::new(topic, 0);
    cluster.topics().await?;
    let ends = cluster.end_offsets(std::slice::from_ref(&at), Isolation::Committed).await?;
    ends.into_values().next().expect("it").map(drop)
}

/// Asks until all is answered, and says how long that took.
async fn answered_after(cluster: &Cluster, topic: &str, patience: Duration) -> Result<Duration, String> {
    let since = Instant::now();
    loop {
        match ask(cluster, topic).await {
            Ok(()) => return Ok(since.elapsed()),
            Err(error) if since.elapsed() > patience => {
                return Err(format!("not within {patience:?}: {error}"));
            }
            Err(_) => tokio::time::sleep(Duration::from_millis(200)).await,
        }
    }
}

#[tokio::test]
async fn a_client_whose_connections_have_died_without_a_word_is_replaced() {
    let broker = kafka_harness::Cluster::builder().proxied().start().unwrap();
    broker.create_topic("orders", 1, 1, &[]).unwrap();
    let cluster = connect(&broker.client_properties(""));
    answered_after(&cluster, "orders", Duration::from_secs(30)).await.unwrap();
    tokio::time::sleep(Duration::from_secs(10)).await;
    // What they had sent is never answered; a new connection would be.
    broker.proxy(1).freeze();
    // librdkafka itself gives such a connection a minute (socket.timeout.ms).
    let took = answered_after(&cluster, "orders", Duration::from_secs(35)).await.unwrap();
    println!("answered again after {took:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_that_hangs_again_and_again_is_reached_again_by_every_client() {
    let broker = kafka_harness::Cluster::builder().start().unwrap();
    broker.create_topic("orders", 1, 1, &[]).unwrap();
    // One client got stuck for good in about one of three such rounds; so there are several.
    let clusters: Vec<Cluster> = (0..6).map(|_| connect(&broker.client_properties(""))).collect();
    for (round, hang) in [27, 29].into_iter().enumerate() {
        for cluster in &clusters {
            answered_after(cluster, "orders", Duration::from_secs(30)).await.unwrap();
        }
        // They go on asking while it hangs, as a link does.
        let end = Instant::now() + Duration::from_secs(hang);
        let asking = clusters.iter().cloned().map(|cluster| {
            tokio::spawn(async move {
                while Instant::now() < end {
                    let _ = ask(&cluster, "orders").await;
                    tokio::time::sleep(Duration::from_secs(1)).await;
                }
            })
        });
        let asking: Vec<_> = asking.collect();
        broker.pause(1).unwrap();
        tokio::time::sleep_until(end.into()).await;
        broker.resume(1).unwrap();
        for asking in asking {
            asking.await.unwrap();
        }
        for (number, cluster) in clusters.iter().enumerate() {
            let took = answered_after(cluster, "orders", Duration::from_secs(30)).await;
            println!("round {round}, client {number}: {took:?}");
            took.unwrap();
        }
    }
}
