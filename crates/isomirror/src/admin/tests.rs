//! The admin server through real HTTP, on a free port.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use pipeline::status::{ClusterStatus, LaneStatus, LinkStatus, Totals, VerifiedStatus};
use prometheus::{IntCounterVec, IntGaugeVec, Opts, Registry};

use super::{Server, StatusSource, worst_first};

#[path = "../../../../tests/support/prometheus.rs"]
mod prometheus_server;

fn cluster(name: &str) -> ClusterStatus {
    ClusterStatus {
        name: name.into(),
        cluster_id: Some(format!("{name}-id")),
        reachable: true,
        error: None,
        health: None,
    }
}

fn lane(topic: &str, partition: i32, lag: u64) -> LaneStatus {
    LaneStatus {
        topic: topic.into(),
        target_topic: topic.into(),
        partition,
        state: "running".into(),
        reason: None,
        fix: None,
        position: Some(90),
        source_end: Some(90 + i64::try_from(lag).expect("small")),
        target_end: Some(90),
        records: 90,
        bytes: 9_000,
        lag_records: lag,
        lag_bytes: lag * 100,
        lag_seconds: 1.5,
        verified: None,
    }
}

fn stopped(topic: &str, partition: i32) -> LaneStatus {
    LaneStatus {
        state: "stopped".into(),
        reason: Some("the target refused a record".into()),
        fix: Some("raise max.message.bytes".into()),
        ..lane(topic, partition, 3)
    }
}

fn status(lanes: Vec<LaneStatus>) -> LinkStatus {
    let stopped = lanes.iter().filter(|l| l.state == "stopped").count();
    LinkStatus {
        link: "dc1-dc2".into(),
        version: "0.1.0".into(),
        engine: "batches".into(),
        uptime_seconds: 75.0,
        phase: "running".into(),
        ready: true,
        not_ready: vec![],
        resting: false,
        pair: None,
        source: cluster("dc1"),
        target: cluster("dc2"),
        totals: Totals {
            lanes: lanes.len(),
            running: lanes.len() - stopped,
            stopped,
            lag_records: 12_345,
            lag_bytes: 3 << 20,
            eta_seconds: Some(200.0),
            ..Totals::default()
        },
        held: Default::default(),
        lanes,
    }
}

fn serve(status: LinkStatus) -> Server {
    serve_all(Registry::new(), Arc::new(move || status.clone()))
}

fn serve_all(registry: Registry, status: StatusSource) -> Server {
    Server::start(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), vec![registry], status)
        .expect("the server starts")
}

struct Answer {
    code: u16,
    content_type: String,
    body: String,
}

fn agent() -> ureq::Agent {
    ureq::Agent::config_builder()
        .proxy(None)
        .http_status_as_error(false)
        .timeout_global(Some(Duration::from_secs(10)))
        .build()
        .into()
}

fn get(server: &Server, path: &str) -> Answer {
    let mut response =
        agent().get(format!("http://{}{path}", server.local_addr())).call().expect("an answer");
    let content_type = response.headers().get("content-type").map(|v| v.to_str().expect("text").to_owned());
    Answer {
        code: response.status().as_u16(),
        content_type: content_type.unwrap_or_default(),
        body: response.body_mut().read_to_string().expect("a body"),
    }
}

#[test]
fn every_route_answers_with_its_own_type() {
    let registry = Registry::new();
    let info = IntGaugeVec::new(Opts::new("isomirror_build_info", "build"), &["version"]).expect("a metric");
    info.with_label_values(&["0.1.0"]).set(1);
    registry.register(Box::new(info)).expect("registered");
    let shown = status(vec![lane("orders", 0, 5)]);
    let server = serve_all(registry, Arc::new(move || shown.clone()));

    let health = get(&server, "/healthz");
    assert_eq!((health.code, health.body.as_str()), (200, "ok\n"));
    assert_eq!(get(&server, "/readyz").code, 200);
    let metrics = get(&server, "/metrics");
    assert_eq!(metrics.content_type, "text/plain; version=0.0.4; charset=utf-8");
    assert!(metrics.body.contains("isomirror_build_info{version=\"0.1.0\"} 1"), "{}", metrics.body);
    let json = get(&server, "/status");
    assert_eq!(json.content_type, "application/json");
    let back: LinkStatus = serde_json::from_str(&json.body).expect("a LinkStatus");
    assert_eq!((back.link.as_str(), back.lanes.len()), ("dc1-dc2", 1));
    let page = get(&server, "/");
    assert_eq!((page.code, page.content_type.as_str()), (200, "text/html; charset=utf-8"));
    for expected in
        ["dc1-dc2", "12,345 records", "3.0 MiB", "3 min 20 s", "http-equiv=\"refresh\" content=\"5\""]
    {
        assert!(page.body.contains(expected), "{expected} is not in {}", page.body);
    }
}

#[test]
fn unknown_paths_are_404_and_other_methods_405() {
    let server = serve(status(vec![]));
    assert_eq!(get(&server, "/nothing").code, 404);
    let url = format!("http://{}/status", server.local_addr());
    assert_eq!(agent().post(&url).send("x").expect("an answer").status(), 405);
    assert_eq!(agent().delete(&url).call().expect("an answer").status(), 405);
    assert_eq!(agent().head(&url).call().expect("an answer").status(), 200);
}

#[test]
fn readyz_gives_its_reasons_one_a_line() {
    let mut unready = status(vec![]);
    unready.ready = false;
    unready.not_ready =
        vec!["dc2 can't be reached:\nconnection refused".into(), "orders/3 is stopped".into()];
    let answer = get(&serve(unready.clone()), "/readyz");
    assert_eq!(answer.code, 503);
    assert_eq!(answer.body, "dc2 can't be reached: connection refused\norders/3 is stopped\n");

    unready.not_ready.clear();
    unready.phase = "draining".into();
    let answer = get(&serve(unready), "/readyz");
    assert_eq!((answer.code, answer.body.as_str()), (503, "the link is draining\n"));
}

#[test]
fn what_comes_from_a_cluster_is_escaped_on_the_page() {
    let odd = "<script>alert('x')</script>&\"";
    let mut lane = stopped(odd, 0);
    lane.target_topic = format!("{odd}2");
    lane.reason = Some(odd.into());
    lane.fix = Some(odd.into());
    let mut status = status(vec![lane]);
    status.link = odd.into();
    status.phase = odd.into();
    status.version = odd.into();
    status.not_ready = vec![odd.into()];
    status.source = ClusterStatus {
        name: odd.into(),
        cluster_id: Some(odd.into()),
        reachable: false,
        error: Some(odd.into()),
        health: None,
    };
    let page = get(&serve(status), "/").body;
    assert!(!page.contains("<script") && !page.contains("alert('x')"), "{page}");
    assert_eq!(
        page.matches("&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt;&amp;&quot;").count(),
        12,
        "{page}"
    );
}

#[test]
fn the_page_says_what_is_not_the_same_and_what_to_do() {
    let mut lanes = vec![lane("orders", 0, 0), lane("orders", 1, 0)];
    let page = get(&serve(status(lanes.clone())), "/").body;
    assert!(!page.contains("verified") && !page.contains("Target and source"), "{page}");
    lanes[1].verified = Some(VerifiedStatus {
        offset: 70,
        equal: 69,
        differences: 1,
        unproven: 0,
        difference: Some("the record at offset 70 differs in <value>".into()),
        fix: Some("look".into()),
        trouble: None,
    });
    let server = serve(status(lanes));
    let page = get(&server, "/").body;
    assert!(
        page.contains("<p class=\"bad\">Target and source: 1 of 2 lanes compared, 1 NOT the same</p>"),
        "{page}"
    );
    assert!(
        page.contains("<p>orders[1]: the target is NOT what the source is: the record at offset 70"),
        "{page}"
    );
    assert!(page.contains("differs in &lt;value&gt;; all before source offset 70 is the same"), "{page}");
    assert!(page.contains("<b>What to do:</b> look</p>") && page.contains(">verified</th>"), "{page}");
    let json: serde_json::Value = serde_json::from_str(&get(&server, "/status").body).expect("JSON");
    assert_eq!(json["lanes"][1]["verified"]["offset"], 70);
    assert!(json["lanes"][0].get("verified").is_none(), "{json}");
}

#[test]
fn at_a_thousand_lanes_the_page_shows_the_stopped_and_the_200_with_most_lag() {
    let mut lanes: Vec<_> =
        (0..1_000).map(|p| lane("orders", p, u64::try_from(p).expect("positive"))).collect();
    lanes[3] = stopped("orders", 3);
    lanes[500] = stopped("billing", 500);
    let status = status(lanes);
    let shown = worst_first(&status.lanes, 200);
    let names: Vec<_> = shown.lanes.iter().map(|l| (l.topic.as_str(), l.partition)).collect();
    assert_eq!(names[..4], [("billing", 500), ("orders", 3), ("orders", 999), ("orders", 998)]);
    assert_eq!((names.len(), shown.left_out), (202, 798));

    let page = get(&serve(status), "/").body;
    assert!(page.contains("798 lanes with less lag left out"), "{page}");
    assert_eq!(page.matches("What to do:").count(), 2);
    assert!(page.len() < 100_000, "{} bytes", page.len());
}

#[test]
fn it_answers_while_the_runtime_it_was_started_from_is_blocked() {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("built");
    let server = runtime.block_on(async { serve(status(vec![])) });
    let (release, released) = mpsc::channel::<()>();
    let (blocking, blocks) = mpsc::channel();
    runtime.spawn(async move {
        blocking.send(()).expect("the test waits");
        let _ = released.recv();
    });
    blocks.recv().expect("the only worker is blocked");
    let (ran, has_run) = mpsc::channel();
    runtime.spawn(async move { ran.send(()) });

    for path in ["/healthz", "/status", "/metrics", "/"] {
        assert_eq!(get(&server, path).code, 200, "{path}");
    }
    assert!(has_run.try_recv().is_err(), "the runtime was not blocked: the test proves nothing");
    drop(release);
}

#[test]
fn idle_clients_hold_nobody_up_and_are_closed() {
    let server = serve(status(vec![]));
    let idle: Vec<_> =
        (0..300).map(|_| TcpStream::connect(server.local_addr()).expect("connected")).collect();
    let start = Instant::now();
    (&idle[0]).write_all(b"GET /healthz HTTP/1.1\r\nhost:").expect("half a request");
    // More idle clients than are served at once: the next is served when the first deadline has passed.
    assert_eq!(get(&server, "/healthz").code, 200);
    assert!(start.elapsed() < Duration::from_secs(9), "{:?}", start.elapsed());
    for mut client in &idle {
        client.set_read_timeout(Some(Duration::from_secs(12))).expect("set");
        // Closed, or answered 408 and then closed.
        let _ = client.read_to_end(&mut Vec::new()).map_err(|e| {
            assert_eq!(e.kind(), std::io::ErrorKind::ConnectionReset, "an idle client was not closed: {e}");
        });
    }
}

#[test]
fn a_taken_port_is_refused_at_start_with_the_fix() {
    let holder = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    let address = holder.local_addr().expect("an address");
    let refused =
        Server::start(address, vec![Registry::new()], Arc::new(|| status(vec![]))).expect_err("taken");
    let message = refused.to_string();
    assert!(message.contains(&address.to_string()) && message.contains("admin.listen"), "{message}");
}

#[test]
fn after_shutdown_the_port_is_free_even_with_an_idle_client() {
    let server = serve(status(vec![]));
    let address = server.local_addr();
    let _idle = TcpStream::connect(address).expect("connected");
    let start = Instant::now();
    server.shutdown();
    assert!(start.elapsed() < Duration::from_secs(2), "{:?}", start.elapsed());
    TcpListener::bind(address).expect("the port is free");
}

#[test]
fn a_status_that_panics_costs_one_answer_and_not_the_server() {
    let server = serve_all(Registry::new(), Arc::new(|| panic!("on purpose")));
    assert!(agent().get(format!("http://{}/status", server.local_addr())).call().is_err());
    assert_eq!(get(&server, "/healthz").code, 200);
}

#[test]
fn a_real_prometheus_scrapes_it_and_answers_queries() {
    let registry = Registry::new();
    let info = IntGaugeVec::new(Opts::new("isomirror_build_info", "build"), &["version"]).expect("a metric");
    info.with_label_values(&["0.1.0"]).set(1);
    let labels = ["link", "topic", "target_topic", "partition"];
    let records =
        IntCounterVec::new(Opts::new("isomirror_records_total", "records"), &labels).expect("a metric");
    // A topic name can't hold a quote, a link name could: the format must carry it.
    records.with_label_values(&["dc1 \"a\"\\", "orders", "orders_v2", "3"]).inc_by(42);
    registry.register(Box::new(info)).expect("registered");
    registry.register(Box::new(records)).expect("registered");
    let server = serve_all(registry, Arc::new(|| status(vec![])));

    let prometheus =
        prometheus_server::PrometheusServer::start(server.local_addr().port()).expect("it starts");
    let within = Duration::from_secs(30);
    let found = prometheus.wait_for("isomirror_build_info", within, |s| !s.is_empty()).expect("scraped");
    assert_eq!(found[0].labels["version"], "0.1.0");
    let found = prometheus.query("isomirror_records_total{topic=\"orders\"}").expect("an answer");
    assert_eq!(found.len(), 1);
    assert_eq!((found[0].value, found[0].labels["link"].as_str()), (42.0, "dc1 \"a\"\\"));
    assert_eq!(prometheus.query("up{job=\"isomirror\"}").expect("an answer")[0].value, 1.0);
}
