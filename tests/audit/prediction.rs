//! Predictions, and a broker that is really stopped.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use kafka_harness::{
    Cluster,
    client::{self, Isolation, Load, load},
    daemon::eventually,
    shared::unique,
};
use kafka_wire::OffsetSpec;
use rdkafka::{
    ClientConfig,
    producer::{BaseProducer, BaseRecord, Producer, PurgeConfig},
};
use serde_json::Value;

use crate::support::{Work, block_on, client, cluster, topic, wait_in_sync};

type Partitions = BTreeSet<(String, i32)>;

/// The partitions of these topics that a prediction names.
fn predicted(found: &Value, list: &str, topics: &[String]) -> Partitions {
    let named = found["clusters"][0]["maintenance"][list].as_array().expect("a list");
    let of = |at: &Value| {
        let partition = i32::try_from(at["partition"].as_i64().unwrap()).unwrap();
        (at["topic"].as_str().unwrap().to_owned(), partition)
    };
    named.iter().map(of).filter(|(topic, _)| topics.contains(topic)).collect()
}

/// Which partitions can be read now, and which take a record with acks=all. A busy machine has its time for those that are
/// expected to take one.
fn tried(cluster: &Cluster, all: &Partitions, expected: &Partitions) -> (Partitions, Partitions) {
    let readable = block_on(async {
        let asked: Vec<(&str, i32)> = all.iter().map(|(topic, number)| (&**topic, *number)).collect();
        let client = client(cluster).with_patience(Duration::from_secs(10));
        client.list_offsets(&asked, OffsetSpec::Latest, kafka_wire::Isolation::ReadUncommitted).await
    });
    let readable = all.iter().zip(readable).filter(|(_, found)| found.is_ok()).map(|(at, _)| at.clone());
    let mut config = ClientConfig::new();
    for (key, value) in cluster.props() {
        config.set(key, value);
    }
    config
        .set("acks", "all")
        .set("message.timeout.ms", "60000")
        .set_log_level(rdkafka::config::RDKafkaLogLevel::Emerg);
    let acks = Acks::default();
    let producer: BaseProducer<Acks> = config.create_with_context(acks.clone()).unwrap();
    for at in all {
        let record = BaseRecord::with_opaque_to(&at.0, Box::new(at.clone())).partition(at.1).payload("x");
        producer.send::<(), str>(record).map_err(|(error, _)| error).unwrap();
    }
    let poll_for = |time: Duration, enough: &dyn Fn() -> bool| {
        let began = Instant::now();
        while began.elapsed() < time && !enough() {
            producer.poll(Duration::from_millis(100));
        }
    };
    let written = || acks.0.lock().unwrap().clone();
    poll_for(Duration::from_secs(30), &|| expected.is_subset(&written()));
    // Any other is tried again and again meanwhile.
    poll_for(Duration::from_secs(4), &|| false);
    let written = written();
    producer.purge(PurgeConfig::default().queue().inflight());
    (readable.collect(), written)
}

/// What was acknowledged.
#[derive(Clone, Default)]
struct Acks(std::sync::Arc<std::sync::Mutex<Partitions>>);

impl rdkafka::ClientContext for Acks {}

impl rdkafka::producer::ProducerContext for Acks {
    type DeliveryOpaque = Box<(String, i32)>;

    fn delivery(&self, result: &rdkafka::producer::DeliveryResult<'_>, at: Self::DeliveryOpaque) {
        if result.is_ok() {
            self.0.lock().unwrap().insert(*at);
        }
    }
}

#[test]
fn what_is_predicted_of_brokers_that_go_down_is_what_happens_and_nothing_else_does() {
    let (cluster, _turn) = cluster();
    let work = Work::new(cluster);
    const PARTITIONS: i32 = 4;
    let kinds =
        [("one", 1, "1"), ("two", 2, "1"), ("two-min", 2, "2"), ("three", 3, "2"), ("three-min", 3, "3")];
    let topics: Vec<String> = kinds.iter().map(|(name, ..)| unique(&format!("stop-{name}"))).collect();
    for (topic, (_, replicas, min)) in topics.iter().zip(kinds) {
        cluster.create_topic(topic, PARTITIONS, replicas, &[("min.insync.replicas", min)]).unwrap();
    }
    let everything: Partitions =
        topics.iter().flat_map(|topic| (0..PARTITIONS).map(move |number| (topic.clone(), number))).collect();
    assert_eq!(tried(cluster, &everything, &everything), (everything.clone(), everything.clone()));

    for down in [&[2u32][..], &[1, 3]] {
        let ids = down.iter().map(u32::to_string).collect::<Vec<_>>().join(",");
        let found = work.json(&["--maintenance", &ids], 3);
        let list = |name| predicted(&found, name, &topics);
        let (unreadable, unwritable, loses) = (list("unreadable"), list("unwritable"), list("loses"));
        assert!(!unreadable.is_empty() && !unwritable.is_empty() && loses.is_empty(), "{found:#}");
        down.iter().for_each(|id| cluster.stop(*id).unwrap());
        let without = |gone: &Partitions| everything.difference(gone).cloned().collect::<Partitions>();
        let expected = without(&(&unreadable | &unwritable));
        let (readable, writable) = tried(cluster, &everything, &expected);
        assert_eq!(readable, without(&unreadable), "read without {ids}");
        assert_eq!(writable, expected, "written without {ids}");
        // What is down is said to be, too.
        let now = work.json(&[], 3);
        let kinds: Vec<&str> = now["clusters"][0]["findings"]
            .as_array()
            .unwrap()
            .iter()
            .map(|f| f["kind"].as_str().unwrap())
            .collect();
        assert!(
            ["broker-down", "offline", "under-min-isr"].iter().all(|kind| kinds.contains(kind)),
            "{kinds:?}"
        );
        down.iter().for_each(|id| cluster.start(*id).unwrap());
        wait_in_sync(cluster);
    }
    for topic in &topics {
        cluster.delete_topic(topic).unwrap();
    }
}

#[test]
fn an_unclean_election_is_predicted_and_loses_what_was_acknowledged() {
    let (cluster, _turn) = cluster();
    let work = Work::new(cluster);
    let dirty = unique("unclean");
    cluster.create_topic(&dirty, 1, 2, &[("unclean.leader.election.enable", "true")]).unwrap();
    let few = Load { count: 100, ..Load::default() };
    load(&cluster.props(), &dirty, &few).unwrap();
    let placed = topic(cluster, &dirty).partitions.remove(&0).unwrap();
    let leader = placed.leader.unwrap();
    let other = *placed.replicas.iter().find(|id| **id != leader).unwrap();
    let (paused, throttled) = (u32::try_from(other).unwrap(), "follower.replication.throttled");
    let set = |value: Option<&str>| {
        let (lists, rates) = (format!("{throttled}.replicas"), format!("{throttled}.rate"));
        block_on(async {
            let client = client(cluster);
            let all: BTreeMap<_, _> = [(lists, value.map(|_| "*".to_owned()))].into();
            for outcome in client.set_topic_configs(&[(dirty.clone(), all)].into()).await.into_values() {
                outcome.unwrap();
            }
            client.set_broker_configs(other, &[(rates, value.map(str::to_owned))].into()).await.unwrap();
        });
    };
    // The follower is frozen until it is out of sync, and kept from catching up once it is back: a throttle holds for replicas
    // that are not in sync, and for no others.
    set(Some("1"));
    // One that is frozen before it has learned of the throttle may fetch all of it first when it is back.
    let rate = format!("{throttled}.rate");
    eventually("the follower knows of the throttle", || {
        let found = block_on(async { client(cluster).broker_configs(other, &[&rate]).await }).ok()?;
        (found.get(&rate)?.value.as_deref() == Some("1")).then_some(())
    });
    cluster.pause(paused).unwrap();
    let is_up = || block_on(async { Some(client(cluster).brokers().await.ok()?.contains_key(&other)) });
    eventually("the follower is taken for down, and out of sync", || {
        let out = topic(cluster, &dirty).partitions[&0].in_sync == [leader];
        (out && is_up() == Some(false)).then_some(())
    });
    // A replica may fetch 1 MiB each time that the throttle's window of 11 s has passed: this takes it four minutes.
    let many = Load { count: 20_000, first: 100, value_size: 1_000, ..Load::default() };
    load(&cluster.props(), &dirty, &many).unwrap();
    cluster.resume(paused).unwrap();
    eventually("the follower is up again", || (is_up() == Some(true)).then_some(()));
    let found = work.json(&["--maintenance", &leader.to_string()], 3);
    let names = [dirty.clone()];
    assert_eq!(predicted(&found, "loses", &names), [(dirty.clone(), 0)].into(), "{found:#}");
    let kinds: BTreeMap<&str, &Value> = found["clusters"][0]["findings"]
        .as_array()
        .unwrap()
        .iter()
        .map(|finding| (finding["kind"].as_str().unwrap(), finding))
        .collect();
    assert!(kinds.contains_key("unclean") && kinds.contains_key("throttle-left"), "{kinds:#?}");

    let leads = u32::try_from(leader).unwrap();
    cluster.stop(leads).unwrap();
    eventually("the follower leads", || {
        (topic(cluster, &dirty).partitions[&0].leader == Some(other)).then_some(())
    });
    let left = client::count(&cluster.props(), &dirty, Isolation::Uncommitted).unwrap()[&0];
    assert!((100..20_100).contains(&left), "{left} of 20,100 acknowledged records are left");
    cluster.start(leads).unwrap();
    set(None);
    cluster.delete_topic(&dirty).unwrap();
    wait_in_sync(cluster);
}
