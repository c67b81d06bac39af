//! What a target means, what a person sees, and what is said when nobody answers.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::Arc;

use pipeline::status::{ClusterStatus, LaneStatus, LinkStatus, Totals, VerifiedStatus};

use super::{Error, fetch, table, url_of, url_of_listen};
use crate::admin::Server;

fn lane(partition: i32, lag_records: u64) -> LaneStatus {
    LaneStatus {
        topic: "orders".into(),
        target_topic: "orders_v2".into(),
        partition,
        state: "running".into(),
        reason: None,
        fix: None,
        position: Some(1_000),
        source_end: Some(1_000),
        target_end: None,
        records: 1_000,
        bytes: 100_000,
        lag_records,
        lag_bytes: 100 * lag_records,
        lag_seconds: 0.0,
        verified: None,
    }
}

fn status() -> LinkStatus {
    let mut stopped = lane(7, 3);
    stopped.state = "stopped".into();
    stopped.reason = Some("the target refused offset 1000:\u{1b}[2J\nMESSAGE_TOO_LARGE".into());
    stopped.fix = Some("raise max.message.bytes of orders_v2".into());
    LinkStatus {
        link: "dc1-dc2".into(),
        version: "0.1.0".into(),
        engine: "batches".into(),
        uptime_seconds: 7_500.0,
        phase: "running".into(),
        ready: false,
        not_ready: vec!["1 lane is stopped".into()],
        resting: false,
        pair: None,
        source: ClusterStatus {
            name: "dc1".into(),
            cluster_id: Some("abc".into()),
            reachable: true,
            error: None,
            health: None,
        },
        target: ClusterStatus {
            name: "dc2".into(),
            cluster_id: None,
            reachable: false,
            error: Some("connection refused".into()),
            health: None,
        },
        totals: Totals {
            lanes: 2,
            running: 1,
            paused: 0,
            stopped: 1,
            records: 1_234_567,
            bytes: 1 << 30,
            lag_records: 12_345,
            lag_bytes: 3 << 20,
            lag_seconds: 42.0,
            records_per_second: 86_000.0,
            bytes_per_second: 84e6,
            eta_seconds: None,
            buffer_bytes: 32 << 20,
            buffer_limit_bytes: 64 << 20,
        },
        held: Default::default(),
        lanes: vec![lane(0, 12_342), stopped],
    }
}

#[test]
fn a_person_sees_the_summary_the_lanes_and_what_to_do() {
    insta::assert_snapshot!(table::render(&status()), @"
    link   dc1-dc2: running, not ready; isomirror 0.1.0, up 2 h 5 min
    why    1 lane is stopped
    from   dc1: reachable, cluster id abc
    to     dc2: unreachable, connection refused
    lag    12,345 records, 3.0 MiB, the oldest 42 s old; no estimate: 1 lane is stopped
    rate   86,000 records/s, 80.1 MiB/s
    done   1,234,567 records, 1.0 GiB since it started
    buffer 32.0 MiB of 64.0 MiB
    lanes  2, 1 running, 1 stopped

     topic               p  state       lag    bytes  age  position  source end  mirrored
     orders → orders_v2  7  stopped       3    300 B  0 s      1000        1000     1,000
     orders → orders_v2  0  running  12,342  1.2 MiB  0 s      1000        1000     1,000

    orders/7: the target refused offset 1000: [2J MESSAGE_TOO_LARGE
        fix: raise max.message.bytes of orders_v2
    ");
}

#[test]
fn what_came_of_comparing_both_sides_is_shown_where_it_is_done() {
    let mut status = status();
    let verified = VerifiedStatus {
        offset: 990,
        equal: 990,
        differences: 0,
        unproven: 0,
        difference: None,
        fix: None,
        trouble: None,
    };
    status.lanes.truncate(1);
    status.lanes.push(lane(1, 0));
    status.lanes[0].verified = Some(verified.clone());
    let text = table::render(&status);
    assert!(text.contains("\nverify 1 of 2 lanes compared, all the same so far\n"), "{text}");
    assert!(text.contains(" mirrored  verified\n") && text.contains(" 1,000       990\n"), "{text}");
    status.lanes[0].verified = Some(VerifiedStatus {
        differences: 2,
        difference: Some("the record at offset 990 differs in value".into()),
        fix: Some("look".into()),
        ..verified.clone()
    });
    let trouble = Some("no right\n  fix: grant it".to_owned());
    status.lanes[1].verified = Some(VerifiedStatus { trouble, ..verified });
    let text = table::render(&status);
    assert!(text.contains("\nverify 2 of 2 lanes compared, 1 NOT the same\n"), "{text}");
    let told = "\norders/0: the target is NOT what the source is: the record at offset 990 differs in value; all before \
                source offset 990 is the same, 2 differences so far\n    fix: look\n";
    assert!(text.contains(told), "{text}");
    let told = "\norders/1: it could not be compared beyond source offset 990: no right\n    fix: grant it\n";
    assert!(text.contains(told), "{text}");
}

#[test]
fn what_is_not_known_is_not_shown_as_nothing() {
    let mut status = status();
    status.lanes.truncate(1);
    status.lanes[0].records = 0;
    status.source = ClusterStatus { reachable: false, error: None, ..status.source };
    let text = table::render(&status);
    assert!(text.contains("lag    12,345 records, size not known yet, the oldest"), "{text}");
    assert!(text.contains("; not coming nearer"), "{text}");
    assert!(text.contains("from   dc1: has not answered yet"), "{text}");
    status.totals.eta_seconds = Some(200.0);
    assert!(table::render(&status).contains("; caught up in 3 min 20 s"));
}

#[test]
fn a_lane_is_named_once_in_the_reason_that_it_stopped() {
    let mut status = status();
    for reason in ["orders[7]: gone", "orders: gone", "gone"] {
        status.lanes[1].reason = Some(reason.into());
        let text = table::render(&status);
        assert!(text.contains("orders/7: gone\n"), "{text}");
    }
    status.lanes[1].reason = Some("orders of others: gone".into());
    assert!(table::render(&status).contains("orders/7: orders of others: gone\n"));
}

#[test]
fn many_lanes_are_cut_and_counted() {
    let mut status = status();
    status.lanes = (0..1_000).map(|p| lane(p, 5)).collect();
    let text = table::render(&status);
    assert!(text.contains("800 lanes with less lag left out: --output json has all"), "{text}");
    assert_eq!(text.matches("orders_v2").count(), 200);
}

#[test]
fn a_target_is_an_address_or_a_file() {
    for (target, url) in [
        ("http://127.0.0.1:9464", Some("http://127.0.0.1:9464")),
        ("http://m1:9464/", Some("http://m1:9464")),
        ("http://m1:9464/status", Some("http://m1:9464")),
        ("m1:9464", Some("http://m1:9464")),
        ("[::1]:9464", Some("http://[::1]:9464")),
        ("link.toml", None),
        ("/etc/isomirror/dc1-dc2.toml", None),
        ("odd:name.toml", None),
        ("dir/odd:9464", None),
    ] {
        assert_eq!(url_of(target).expect("fine").as_deref(), url, "{target}");
    }
    assert!(url_of("http://").is_err());
    let https = url_of("https://m1:9464").expect_err("no TLS").to_string();
    assert!(https.contains("http://m1:9464"), "{https}");
}

#[test]
fn a_daemon_that_listens_everywhere_is_asked_on_loopback() {
    for (listen, url) in [
        ("0.0.0.0:9464", "http://127.0.0.1:9464"),
        ("[::]:9464", "http://[::1]:9464"),
        ("10.0.0.7:1", "http://10.0.0.7:1"),
    ] {
        assert_eq!(url_of_listen(listen.parse::<SocketAddr>().expect("an address")), url);
    }
}

#[test]
fn the_status_arrives_as_the_daemon_sent_it() {
    let listen = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let server =
        Server::start(listen, vec![prometheus::Registry::new()], Arc::new(status)).expect("it starts");
    let (body, read) = fetch(&url_of_listen(server.local_addr())).expect("an answer");
    assert_eq!(body, serde_json::to_string(&status()).expect("JSON"));
    assert_eq!((read.link.as_str(), read.lanes.len()), ("dc1-dc2", 2));
}

#[test]
fn nobody_there_names_the_address_and_what_to_do() {
    let held = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    let url = url_of_listen(held.local_addr().expect("an address"));
    drop(held);
    let error = fetch(&url).expect_err("nobody listens");
    assert!(matches!(error, Error::Unreachable { .. }), "{error:?}");
    let message = error.to_string();
    assert!(message.contains(&url) && message.contains("admin.listen"), "{message}");
}

#[test]
fn something_else_there_is_told_apart_from_nobody() {
    for answer in [
        "HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n",
        "HTTP/1.1 302 Found\r\nlocation: /login\r\ncontent-length: 0\r\n\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}",
        "220 mail.example ESMTP\r\n",
    ] {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
        let url = url_of_listen(listener.local_addr().expect("an address"));
        let other = std::thread::spawn(move || {
            let (mut client, _) = listener.accept().expect("a client");
            let _ = client.read(&mut [0; 1024]);
            client.write_all(answer.as_bytes()).expect("written");
        });
        let error = fetch(&url).expect_err("not isomirror");
        assert!(matches!(error, Error::Foreign { .. }), "{answer:?}: {error:?}");
        other.join().expect("no panic");
    }
}
