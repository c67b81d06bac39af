//! Replication from one to three and everything after it, under producers that want `acks=all` and consumers: nothing that
//! was acknowledged is lost.

use std::{collections::BTreeMap, thread, time::Duration};

use kafka_harness::{
    Cluster,
    client::{self, Load, ProduceOptions, TestRecord, Transaction, load},
    daemon::eventually,
    shared::unique,
};

use crate::{
    support::{
        Work, block_on, client as ours, cluster, moving, nothing_left, replicas, throttles, topic,
        wait_in_sync,
    },
    traffic::Traffic,
};

const PARTITIONS: i32 = 4;
/// Groups' offsets, and transactions.
const INTERNAL: [&str; 2] = ["__consumer_offsets", "__transaction_state"];

/// What goes on, and where.
struct Scene {
    cluster: &'static Cluster,
    work: Work,
    topic: String,
    traffic: Traffic,
}

#[test]
fn nothing_that_was_acknowledged_is_lost_whatever_is_moved_restarted_and_killed() {
    let (cluster, _turn) = cluster();
    let scene = Scene::set(cluster);
    scene.replication_one_to_three();
    scene.rolling_restart();
    scene.a_broker_that_stays_away();
    scene.a_rollback_in_mid_way();
    let acked = scene.traffic.end(cluster);
    eprintln!("{acked} records were acknowledged, and none is lost");
    nothing_left(cluster);
    cluster.delete_topic(&scene.topic).unwrap();
}

impl Scene {
    fn set(cluster: &'static Cluster) -> Self {
        let topic = unique("live");
        cluster.create_topic(&topic, PARTITIONS, 1, &[]).unwrap();
        // Something to copy: 4 MB a partition, without keys. And something that makes the topic of transactions.
        let much = Load { partitions: PARTITIONS, count: 16_000, ..Load::default() };
        load(&cluster.props(), &topic, &much).unwrap();
        let one = TestRecord { value: Some(b"x".to_vec()), ..TestRecord::default() };
        let options = ProduceOptions { transaction: Some(Transaction::Commit), ..ProduceOptions::default() };
        client::produce_with(&cluster.props(), &topic, &[one], &options).unwrap();
        let traffic = Traffic::start(cluster, &topic, u64::from(PARTITIONS.unsigned_abs()));
        traffic.goes_on();
        Self { cluster, work: Work::new(cluster), topic, traffic }
    }

    /// Whether there is the topic, and every partition of it has so many replicas.
    fn has(&self, topic: &str, count: usize) -> bool {
        let topics = block_on(async { ours(self.cluster).topics().await }).unwrap();
        let found = topics.iter().find(|found| *found.name == *topic);
        found.is_some_and(|found| found.partitions.values().all(|found| found.replicas.len() == count))
    }

    /// A broker that a replica is being copied to.
    fn receiver(&self) -> u32 {
        eventually("a replica is on its way", || {
            let found = block_on(async { ours(self.cluster).list_reassignments().await }).ok()?;
            found.into_values().find_map(|moving| moving.adding.first().copied())?.try_into().ok()
        })
    }

    /// The tool is killed in a batch, and then a broker, in what goes on with it.
    fn replication_one_to_three(&self) {
        let Self { cluster, work, topic, traffic } = self;
        eventually("groups and transactions have their topics, with one replica", || {
            INTERNAL.iter().all(|internal| self.has(internal, 1)).then_some(())
        });
        let found = work.json(&[], 3);
        let findings = found["clusters"][0]["findings"].as_array().unwrap();
        assert!(findings.iter().any(|finding| finding["kind"] == "internal-at-risk"), "{findings:#?}");

        let plan = ["plan", "--replication", "3", "--batch", "2", "--topic", topic, "--into", "plan"];
        assert_eq!(work.json(&plan, 0)["batches"].as_array().unwrap().len(), 2);
        let slow = work.begin(&["apply", "plan", "--throttle", "100kB/s"]);
        self.receiver();
        traffic.goes_on();
        slow.kill();
        assert!(moving(cluster) && !throttles(cluster).is_empty(), "it could not clean up");

        let goes_on = work.begin(&["apply", "plan", "--throttle", "1MB/s"]);
        thread::sleep(Duration::from_secs(1));
        let victim = self.receiver();
        cluster.kill(victim).unwrap();
        // The controller has noticed that by then.
        thread::sleep(Duration::from_secs(5));
        cluster.start(victim).unwrap();
        let log = goes_on.expect(0);
        assert!(log.contains("all in sync"), "{log}");
        nothing_left(cluster);
        assert!(self.has(topic, 3));
        work.said(&["verify", "plan"], 0);

        let [offsets, transactions] = INTERNAL;
        let internal =
            ["plan", "--replication", "3", "--into", "internal", "--topic", offsets, "--topic", transactions];
        work.said(&internal, 0);
        work.said(&["apply", "internal", "--throttle", "none"], 0);
        assert!(INTERNAL.iter().all(|internal| self.has(internal, 3)));
        wait_in_sync(cluster);
        work.said(&["elect", "--batch", "3", "--pause", "100ms"], 0);
        assert!(topic_of(self).values().all(|(leader, replicas)| *leader == replicas.first().copied()));
        cluster.alter_topic_config(topic, &[("min.insync.replicas", "2")]).unwrap();
        traffic.goes_on();
        // Now any broker may go; of one that there is not, nobody can say so.
        assert!(work.said(&["--maintenance", "1"], 0).contains("all partitions can be read and written"));
        assert!(work.said(&["--maintenance", "9"], 3).contains("there is no broker 9"));
    }

    /// Every broker, as the runbook has it.
    fn rolling_restart(&self) {
        let Self { cluster, work, traffic, .. } = self;
        for broker in cluster.broker_ids() {
            let id = broker.to_string();
            work.said(&["safe", &id, "--wait", "60s"], 0);
            let before = topic_of(self);
            work.said(&["drain", &id], 0);
            // A second drain would forget what the first has changed.
            assert!(work.complained(&["drain", &id], 3).contains(&format!("`audit undrain {id}` first")));
            let leads = Some(broker.cast_signed());
            assert!(topic_of(self).values().all(|(leader, _)| *leader != leads), "broker {id} leads nothing");
            cluster.stop(broker).unwrap();
            let other = if broker == 1 { "2" } else { "1" };
            let why = work.said(&["safe", other], 3);
            assert!(why.contains(&format!("down already: broker {id}")), "{why}");
            cluster.start(broker).unwrap();
            work.said(&["safe", &id, "--wait", "60s"], 0);
            work.said(&["undrain", &id], 0);
            assert_eq!(topic_of(self), before);
            assert!(!work.path(&format!("drain-{id}")).exists());
            traffic.goes_on();
        }
    }

    /// It stops, says how to undo it, and leaves nothing on its way.
    fn a_broker_that_stays_away(&self) {
        let Self { cluster, work, topic, traffic } = self;
        let four = ["plan", "--replication", "4", "--batch", "1", "--topic", topic, "--into", "four"];
        work.said(&four, 0);
        let stuck = work.begin(&["apply", "four", "--throttle", "300kB/s", "--patience", "6s"]);
        let victim = self.receiver();
        cluster.kill(victim).unwrap();
        let log = stuck.expect(1);
        let down = format!("down: broker {victim}");
        for part in ["isomirror audit audit.toml apply four --rollback", "taken back", &down] {
            assert!(log.contains(part), "{part}: {log}");
        }
        assert!(!moving(cluster) && self.has(topic, 3));
        // A broker that is down keeps its rate, until one comes that finds it up.
        eventually("no broker that is up has a rate", || {
            (!throttles(cluster).iter().any(|what| what.starts_with("broker"))).then_some(())
        });
        traffic.goes_on();
        cluster.start(victim).unwrap();
        wait_in_sync(cluster);
    }

    fn a_rollback_in_mid_way(&self) {
        let Self { cluster, work, topic, traffic } = self;
        let before = replicas(cluster, topic);
        work.said(&["apply", "four/reassign-001.json", "--throttle", "none"], 0);
        // The broker that was down has no rate any more.
        nothing_left(cluster);
        let slow = work.begin(&["apply", "four", "--throttle", "100kB/s"]);
        self.receiver();
        slow.kill();
        traffic.goes_on();
        work.said(&["apply", "four", "--rollback"], 0);
        assert_eq!(replicas(cluster, topic), before);
        work.said(&["verify", "four", "--rollback"], 0);
        nothing_left(cluster);
        traffic.goes_on();
    }
}

/// Each partition's leader, and its replicas in their order.
fn topic_of(scene: &Scene) -> BTreeMap<i32, (Option<i32>, Vec<i32>)> {
    let found = topic(scene.cluster, &scene.topic).partitions;
    found.into_iter().map(|(number, found)| (number, (found.leader, found.replicas))).collect()
}
