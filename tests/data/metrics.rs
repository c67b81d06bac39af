//! The numbers that the daemon tells are true to the record.

use std::time::{Duration, Instant};

use kafka_harness::{
    TestRecord, client,
    daemon::{Config, Daemon, eventually, isomirror},
    shared::{pair, unique},
};

#[path = "../support/prometheus.rs"]
mod prometheus_server;

use prometheus_server::{PrometheusServer, Sample};

use crate::support::{alone, behind_proxy, create, lane, record, simple};

fn now() -> i64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_millis() as i64
}

/// A metric of one lane.
fn of(daemon: &Daemon, name: &str, topic: &str, partition: i32) -> Option<f64> {
    let labels = [("topic", topic), ("target_topic", topic), ("partition", &partition.to_string())];
    daemon.metric(&format!("isomirror_{name}"), &labels)
}

#[test]
fn with_audit_both_clusters_brokers_and_replicas_are_shown_and_without_it_nothing_is() {
    let (source, target) = pair();
    let topic = unique("audited");
    create(source, &topic, 3, &[]);
    let config = Config::new(source, target, &topic);
    let quiet = config.run();
    quiet.wait_ready();
    assert_eq!(quiet.metric("isomirror_cluster_brokers", &[("side", "source")]), None);
    assert!(quiet.status()["source"].get("health").is_none());
    quiet.stop().expect(0);

    let config = config.section("[audit]\nevery = \"1s\"");
    let daemon = config.run();
    daemon.wait_ready();
    for side in ["source", "target"] {
        let metric = |name: &str| daemon.metric(&format!("isomirror_cluster_{name}"), &[("side", side)]);
        // One broker a cluster: nothing has two replicas.
        eventually("it is audited", || (metric("single_replica_partitions")? >= 3.0).then_some(()));
        assert_eq!(metric("brokers"), Some(1.0));
        for nothing in
            ["brokers_down", "offline_partitions", "under_min_isr_partitions", "under_replicated_partitions"]
        {
            assert_eq!(metric(nothing), Some(0.0), "{side} {nothing}");
        }
        assert!(metric("audit_timestamp_seconds") > Some(1.7e9));
        let health = &daemon.status()[side]["health"];
        assert!(health["single_replica"].as_u64() >= Some(3) && health["trouble"].is_null(), "{health}");
    }
    let (_, page) = daemon.get("/");
    assert_eq!(page.matches(" with one replica").count(), 2, "{page}");

    // The audit says how the mirror is, too.
    let (_dir, path) = config.write();
    let address = daemon.url().trim_start_matches("http://").to_owned();
    let audit = |listen: &str| {
        let mut audit = isomirror();
        audit.arg("audit").arg(&path).env("ISOMIRROR__ADMIN__LISTEN", listen);
        String::from_utf8(audit.output().expect("isomirror runs").stdout).expect("text")
    };
    let said = audit(&address);
    let link = daemon.status()["link"].as_str().expect("a name").to_owned();
    assert!(said.contains(&format!("link {link}: running, ready; lag 0 records, 0 B; 3 lanes")), "{said}");
    assert!(audit("none").contains(&format!("link {link}: no daemon of it answers here")));
    daemon.stop().expect(0);
}

#[test]
fn after_a_known_load_every_metric_is_exact() {
    let (source, target) = pair();
    let topic = unique("counted");
    create(source, &topic, 3, &[]);
    // Partition 0: 100 records of 3 + 10 + (1 + 2) + (4 + 0) + (4 + 0) bytes. Partition 1: 50 tombstones.
    let headers = [("a", Some(b"bc".as_slice())), ("none", None), ("null", Some(b"".as_slice()))];
    let mut records = vec![record(0, Some(b"key"), Some(&[7; 10]), &headers, now()); 100];
    records.extend(vec![record(1, Some(b"gone"), None, &[], now()); 50]);
    client::produce(&source.props(), &topic, &records).unwrap();

    let config = Config::new(source, target, &topic);
    let daemon = config.run();
    let status = daemon.wait_for_records(150);
    daemon.wait_ready();
    let counts_records = status["engine"] == "records";
    // Batches that go on unopened count as they are: with a header, and a few bytes for each record.
    let is_right = move |counted: f64, records: f64, bytes: f64| match counts_records {
        true => counted == bytes,
        false => (bytes..=bytes + 80.0 * records).contains(&counted),
    };
    let at_rest = |daemon: &Daemon, expected: [(f64, f64, f64); 3]| {
        eventually("the gauges have caught up", || {
            let of = |name, p| of(daemon, name, &topic, p);
            let idle = |p| of("lag_records", p) == Some(0.0) && of("target_end_offset", p).is_some();
            let idle = (0..3).all(idle);
            (of("source_end_offset", 0) == Some(expected[0].2) && idle).then_some(())
        });
        for (partition, (records, bytes, end)) in (0..).zip(expected) {
            let metric = |name| of(daemon, name, &topic, partition);
            assert_eq!(metric("records_total"), Some(records), "{partition}");
            assert!(
                metric("bytes_total").is_some_and(|counted| is_right(counted, records, bytes)),
                "{partition}"
            );
            for offset in ["position", "source_end_offset", "target_end_offset"] {
                assert_eq!(metric(offset), Some(end), "{offset} {partition}");
            }
            for nothing in ["lag_records", "lag_bytes", "lag_seconds", "refused_records_total"] {
                assert_eq!(metric(nothing), Some(0.0), "{nothing} {partition}");
            }
            for state in ["starting", "running", "stopped"] {
                let (one, partition) = (f64::from(state == "running"), partition.to_string());
                let labels = [("topic", &*topic), ("partition", &partition), ("state", state)];
                assert_eq!(daemon.metric("isomirror_lane_state", &labels), Some(one), "{state} {partition}");
            }
            let labels = [("topic", &*topic), ("partition", &partition.to_string())];
            assert_eq!(daemon.metric("isomirror_lost_records_total", &labels), Some(0.0));
        }
    };
    at_rest(&daemon, [(100.0, 2400.0, 100.0), (50.0, 200.0, 50.0), (0.0, 0.0, 0.0)]);
    assert!(is_right(status["totals"]["bytes"].as_f64().unwrap(), 150.0, 2600.0), "{status:#}");
    assert!(is_right(lane(&status, &topic, 1)["bytes"].as_f64().unwrap(), 50.0, 200.0), "{status:#}");
    let seconds = [("topic", &*topic), ("target_topic", &*topic)];
    assert_eq!(daemon.metric("isomirror_replication_seconds_count", &seconds), Some(150.0));
    let version = [("version", env!("CARGO_PKG_VERSION"))];
    assert_eq!(daemon.metric("isomirror_build_info", &version), Some(1.0));
    for side in ["source", "target"] {
        assert_eq!(daemon.metric("isomirror_cluster_up", &[("side", side)]), Some(1.0));
    }
    assert_eq!(daemon.metric("isomirror_buffer_bytes", &[]), Some(0.0));
    let (_, text) = daemon.get("/metrics");
    let unlabelled = |line: &&str| line.starts_with("isomirror_") && !line.contains("link=\"");
    assert_eq!(text.lines().find(unlabelled), None, "every series names the link");
    daemon.stop().expect(0);

    // Counters are of this process; offsets are not.
    let daemon = config.run();
    daemon.wait_ready();
    client::produce(&source.props(), &topic, &[record(0, None, Some(b"more"), &[], now())]).unwrap();
    daemon.wait_for_records(1);
    at_rest(&daemon, [(1.0, 4.0, 101.0), (0.0, 0.0, 50.0), (0.0, 0.0, 0.0)]);
    daemon.stop().expect(0);
}

#[test]
fn while_the_target_is_away_lag_is_right_to_the_record() {
    let _alone = alone();
    let (source, target) = (pair().0, behind_proxy());
    let topic = unique("lagging");
    create(source, &topic, 3, &[]);
    let write = |partition: i32, count: usize| {
        let one = TestRecord { partition, timestamp: None, ..simple("k", &[1; 9]) };
        client::produce(&source.props(), &topic, &vec![one; count]).unwrap();
    };
    write(1, 10);
    let daemon = Config::new(source, target, &topic).run();
    daemon.wait_for_records(10);

    target.proxy(1).set_down(true);
    let since = Instant::now();
    write(1, 7);
    write(2, 3);
    let lag = |partition| of(&daemon, "lag_records", &topic, partition);
    eventually("lag is 0, 7 and 3", || {
        ([lag(0), lag(1), lag(2)] == [Some(0.0), Some(7.0), Some(3.0)]).then_some(())
    });
    std::thread::sleep(Duration::from_secs(3));
    let written = since.elapsed().as_secs_f64();
    let seconds = of(&daemon, "lag_seconds", &topic, 1).unwrap();
    // The gauge is a quarter of a second old, the time at which nothing was missing a second; and the machine
    // is busy.
    assert!((written - 2.0..written + 2.0).contains(&seconds), "{seconds}, not {written}");
    assert_eq!(of(&daemon, "lag_seconds", &topic, 0), Some(0.0));
    // 10 bytes each; in a batch that was not opened some more.
    let each = if daemon.status()["engine"] == "records" { 10.0..=10.0 } else { 10.0..=90.0 };
    let bytes = of(&daemon, "lag_bytes", &topic, 1).unwrap();
    assert!(each.contains(&(bytes / 7.0)), "{bytes}");
    assert_eq!([lag(0), lag(1), lag(2)], [Some(0.0), Some(7.0), Some(3.0)]);
    assert_eq!(daemon.status()["totals"]["lag_records"], 10);
    eventually("the target is told to be away", || {
        (daemon.status()["target"]["reachable"] == false && daemon.get("/readyz").0 == 503).then_some(())
    });

    target.proxy(1).set_down(false);
    daemon.wait_for_records(20);
    eventually("lag is 0 again", || {
        let all = (0..3).flat_map(|p| [lag(p), of(&daemon, "lag_seconds", &topic, p)]);
        all.into_iter().all(|lag| lag == Some(0.0)).then_some(())
    });
    daemon.wait_ready();
    daemon.stop().expect(0);
    let ends = client::end_offsets(&target.props(), &topic).unwrap();
    assert_eq!(ends.into_values().collect::<Vec<_>>(), [0, 17, 3], "nothing twice");
}

#[test]
fn the_series_of_a_deleted_topic_go_away() {
    let (source, target) = pair();
    let name = unique("leaving");
    let (stays, goes) = (format!("{name}-stays"), format!("{name}-goes"));
    for topic in [&stays, &goes] {
        create(source, topic, 2, &[]);
        client::produce(&source.props(), topic, &[simple("k", b"v")]).unwrap();
    }
    let daemon = Config::new(source, target, &format!("{name}-.*")).run();
    daemon.wait_for_records(2);
    assert!(daemon.get("/metrics").1.contains(&goes));

    source.delete_topic(&goes).unwrap();
    eventually("no series names the topic that is gone", || {
        (!daemon.get("/metrics").1.contains(&goes)).then_some(())
    });
    let status = daemon.status();
    assert_eq!(
        (&status["totals"]["lanes"], &status["totals"]["records"]),
        (&2.into(), &2.into()),
        "{status:#}"
    );
    client::produce(&source.props(), &stays, &[simple("k", b"v")]).unwrap();
    daemon.wait_for_records(3);
    assert_eq!(of(&daemon, "records_total", &stays, 0), Some(2.0));
    assert!(!daemon.get("/metrics").1.contains(&goes), "nor do they come back");
    daemon.stop().expect(0);
}

/// A real Prometheus (Debian's package) scrapes the daemon itself; its answers are the daemon's numbers.
#[test]
fn a_real_prometheus_scrapes_the_running_daemon() {
    let (source, target) = pair();
    let topic = unique("scraped");
    create(source, &topic, 2, &[]);
    client::produce(&source.props(), &topic, &vec![record(1, Some(b"k"), Some(b"v"), &[], now()); 40])
        .unwrap();
    let daemon = Config::new(source, target, &topic).run();
    daemon.wait_for_records(40);
    daemon.wait_ready();

    let port = daemon.url().rsplit(':').next().unwrap().parse().unwrap();
    let prometheus = PrometheusServer::start(port).unwrap();
    let is = |expr: &str, value: f64| {
        let one = |samples: &[Sample]| samples.len() == 1 && samples[0].value == value;
        let found = prometheus.wait_for(expr, Duration::from_secs(20), one).unwrap();
        assert!(found[0].labels.get("job").is_none_or(|job| job == "isomirror"), "{found:?}");
    };
    is("up{job=\"isomirror\"}", 1.0);
    is(&format!("isomirror_records_total{{topic=\"{topic}\",partition=\"1\"}}"), 40.0);
    is(&format!("sum(isomirror_lag_records{{topic=\"{topic}\"}})"), 0.0);
    is(&format!("sum(isomirror_lane_state{{topic=\"{topic}\",state=\"running\"}})"), 2.0);
    is(&format!("isomirror_replication_seconds_count{{topic=\"{topic}\"}}"), 40.0);
    client::produce(&source.props(), &topic, &vec![record(0, None, Some(b"v"), &[], now()); 7]).unwrap();
    is(&format!("sum(isomirror_records_total{{topic=\"{topic}\"}})"), 47.0);
    daemon.stop().expect(0);
    prometheus.wait_for("up{job=\"isomirror\"}", Duration::from_secs(20), |s| s[0].value == 0.0).unwrap();
}
