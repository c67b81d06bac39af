//! Three brokers of the newer Kafka, with its other group coordinator: brokers go, and the coordinator moves.

use std::time::{Duration, Instant};

use kafka_harness::{Cluster, NEW_VERSION, shared::unique};
use kafka_wire::Coordinator;
use ownership::Config;

use crate::support::{Event, Instance, Watch, client, config, shared, until};

const SLOTS: i32 = 8;

#[test]
fn the_coordinator_moves_and_nobody_loses_anything() {
    let cluster = Cluster::builder().version(NEW_VERSION).brokers(3).start().expect("three brokers");
    let (group, watch) = (unique("isomirror.moves"), Watch::new(SLOTS));
    let patient = || Config {
        session_timeout: Duration::from_secs(30),
        rebalance_timeout: Duration::from_secs(60),
        ..config(&group, SLOTS)
    };
    let start = || {
        let instance = Instance::start(&cluster.client_properties(""), patient(), Duration::ZERO);
        watch.add(&instance);
        instance
    };
    let (first, second) = (start(), start());
    shared(SLOTS, [&first, &second]);
    let before = (first.events().len(), second.events().len());
    let coordinator = || {
        // A client of its own: it is not to know what was.
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let asked = runtime.block_on(async {
            client(&cluster.client_properties("")).coordinator(Coordinator::Group(&group)).await
        });
        asked.ok().and_then(|broker| u32::try_from(broker).ok())
    };
    let moved = |from: u32| {
        until("another coordinator", || coordinator().is_some_and(|broker| broker != from));
        // The lease goes on: somebody has answered since.
        for instance in [&first, &second] {
            let left = instance.lease.remaining();
            until("an answer", || instance.lease.remaining() > left.max(Duration::from_secs(20)));
        }
    };
    let (broker, began) = (coordinator().expect("one"), Instant::now());
    cluster.stop(broker).expect("it stops");
    moved(broker);
    println!("the coordinator's broker stops: its members are heard again after {:.1?}", began.elapsed());
    cluster.start(broker).expect("it starts");
    let (broker, began) = (coordinator().expect("one"), Instant::now());
    cluster.kill(broker).expect("it is killed");
    moved(broker);
    println!("it is killed: after {:.1?}", began.elapsed());
    assert_eq!((first.events().len(), second.events().len()), before, "{:?}", first.events());

    let third = start();
    shared(SLOTS, [&first, &second, &third]);
    first.stop();
    shared(SLOTS, [&second, &third]);
    for instance in [&second, &third] {
        assert!(instance.last(|event| matches!(event, Event::Lost(..))).is_none(), "{:?}", instance.events());
    }
}
