//! What becomes of requests when brokers die, freeze or talk nonsense; and what is said of them.

mod support;

use std::{
    pin::pin,
    sync::OnceLock,
    time::{Duration, Instant},
};

use bytes::Bytes;
use futures::FutureExt as _;
use kafka_harness::{Cluster, client, shared::unique};
use kafka_wire::{
    Cause, Connection, Error, Isolation, OffsetSpec, ProduceBatch, ProduceOptions, ProducerIdentity, Purpose,
    Sent, Settings, To, kafka_protocol::messages::MetadataRequest,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

use self::support::{batch_of, leader, new_producer, produce, with};

const NOBODY: ProducerIdentity = ProducerIdentity { id: -1, epoch: -1 };

/// One broker behind a proxy. The tests on it take turns.
fn kafka() -> &'static Cluster {
    static CLUSTER: OnceLock<Cluster> = OnceLock::new();
    CLUSTER.get_or_init(|| Cluster::builder().proxied().start().expect("a broker"))
}

static TURN: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

fn topic(name: &str) -> String {
    let name = unique(name);
    kafka().create_topic(&name, 1, 1, &[]).expect("a topic");
    name
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_dies_leaves_requests_open_and_is_found_again() {
    let _turn = TURN.lock().await;
    let topic = topic("killed");
    let props = with(kafka().client_properties(""), "reconnect.backoff.max.ms", "500");
    let client = support::client(&props);
    let me = new_producer(&client).await;
    let connection = leader(&client, &topic).await;
    produce(&connection, &topic, batch_of(me, 0, 1, 10)).await;
    kafka().pause(1).unwrap();
    let send =
        |n| connection.produce(&[ProduceBatch::new(&*topic, 0, batch_of(me, n, 1, 10))], &Default::default());
    let answers: Vec<_> = (1..20).map(send).collect();
    // Some of it may be with the broker, which does not read it.
    tokio::time::sleep(Duration::from_millis(200)).await;
    kafka().kill(1).unwrap();
    for answer in answers {
        let error = answer.await.unwrap_err();
        assert_eq!(error.sent, Sent::MaybeSent, "{error}");
        assert!(error.is_unreachable() && error.is_retriable(), "{error}");
    }
    assert!(connection.is_closed());
    let late = send(20).await.unwrap_err();
    assert_eq!(late.sent, Sent::NotSent, "{late}");
    let down = client.connection(To::Leader(&topic, 0)).await.unwrap_err();
    assert_eq!(down.sent, Sent::NotSent, "{down}");

    let starting = tokio::task::spawn_blocking(|| kafka().start(1).unwrap());
    // Helpers wait for it.
    let end = client.log_end(&topic, 0).await.unwrap();
    starting.await.unwrap();
    assert!(end.offset >= 1);
    // Sent again, in order, whatever became of them.
    let connection = leader(&client, &topic).await;
    for n in 1..21 {
        assert_eq!(produce(&connection, &topic, batch_of(me, n, 1, 10)).await.base_offset, i64::from(n));
    }
    let read = client::read_all(&kafka().props(), &topic, client::Isolation::Uncommitted).unwrap();
    assert_eq!(read[&0].len(), 21);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_frozen_connection_is_given_up_and_nothing_of_it_arrives_later() {
    let _turn = TURN.lock().await;
    let topic = topic("frozen");
    let props = with(kafka().client_properties(""), "request.timeout.ms", "2000");
    let client = support::client(&props);
    let connection = leader(&client, &topic).await;
    produce(&connection, &topic, batch_of(NOBODY, 0, 1, 10)).await;
    let idle = leader(&client.for_purpose(Purpose::new("idle")), &topic).await;
    kafka().proxy(1).set_black_hole(true);
    let started = Instant::now();
    let options = ProduceOptions { timeout: Duration::from_secs(1), ..ProduceOptions::default() };
    let send = |n| connection.produce(&[ProduceBatch::new(&*topic, 0, batch_of(NOBODY, n, 1, 10))], &options);
    let (first, second) = (send(1), send(2));
    let error = first.await.unwrap_err();
    assert_eq!((error.sent, error.cause), (Sent::MaybeSent, Cause::Silence(Duration::from_secs(3))));
    let waited = started.elapsed();
    assert!((2900..6000).contains(&waited.as_millis()), "{waited:?}");
    assert_eq!(second.await.unwrap_err().sent, Sent::MaybeSent);
    assert!(connection.is_closed() && !idle.is_closed(), "nothing is owed on the idle one");
    // A helper goes on trying, and works when the network does.
    let patient = client.with_patience(Duration::from_secs(60));
    let back = tokio::spawn(async {
        tokio::time::sleep(Duration::from_secs(3)).await;
        kafka().proxy(1).set_black_hole(false);
    });
    let listed = patient.list_offsets(&[(&topic, 0)], OffsetSpec::Latest, Isolation::default()).await;
    assert_eq!(listed[0].as_ref().unwrap().offset, 1);
    back.await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_way_is_not_silence() {
    let _turn = TURN.lock().await;
    let topic = topic("slow");
    let client = support::client(&with(kafka().client_properties(""), "request.timeout.ms", "1500"));
    let connection = leader(&client, &topic).await;
    produce(&connection, &topic, batch_of(NOBODY, 0, 1, 800_000)).await;
    kafka().proxy(1).set_rate(200_000);
    let started = Instant::now();
    let fetched = client.fetch_raw(&topic, 0, 0, 1 << 20, Isolation::default()).await;
    kafka().proxy(1).set_rate(0);
    assert!(fetched.unwrap().records.len() > 800_000);
    assert!(started.elapsed() > Duration::from_secs(3), "the rate was limited");
}

#[tokio::test(flavor = "multi_thread")]
async fn many_who_ask_for_one_topic_ask_once() {
    let _turn = TURN.lock().await;
    let topic = topic("asked");
    let client = support::client(&kafka().client_properties(""));
    client.check().await.unwrap();
    let (before, _) = kafka().proxy(1).bytes();
    let asks = (0..100).map(|_| client.fresh_topic(&topic));
    let found = futures::future::join_all(asks).await;
    assert!(found.iter().all(Result::is_ok));
    let (after, _) = kafka().proxy(1).bytes();
    assert!(after - before < 1000, "{} bytes", after - before);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_has_asked_and_is_polled_no_more_holds_up_nobody() {
    let _turn = TURN.lock().await;
    let topic = topic("unpolled");
    let client = support::client(&kafka().client_properties(""));
    // The first has all that is needed to ask and to connect, the second is the next to have it.
    let (mut first, mut second) = (pin!(client.fresh_topic(&topic)), pin!(client.fresh_topic(&topic)));
    assert!(first.as_mut().now_or_never().is_none() && second.as_mut().now_or_never().is_none());
    let mut third = pin!(client.connection(To::Any));
    assert!(third.as_mut().now_or_never().is_none());
    let others = async {
        client.fresh_topic(&topic).await.unwrap();
        client.topics().await.unwrap();
        client.check().await.unwrap();
        client.connection(To::Leader(&topic, 0)).await.unwrap();
    };
    tokio::time::timeout(Duration::from_secs(20), others).await.expect("nobody is held up");
    assert!(first.await.is_ok() && second.await.is_ok() && third.await.is_ok());
}

/// A broker that is down: all who wait for the same attempt hear of it together, and not each after an attempt of its own.
#[tokio::test(flavor = "multi_thread")]
async fn who_waits_for_an_attempt_shares_its_failure() {
    // Nobody listens there any more.
    let (listener, settings, _) = listener(&[("reconnect.backoff.ms", "1000")]).await;
    drop(listener);
    let client = kafka_wire::Client::new(settings);
    client.connection(To::Any).await.expect_err("nobody listens");
    let begun = Instant::now();
    // The next attempt is a second away; one after the other, the tenth would be three minutes away.
    let connections = (0..10).map(|_| client.connection(To::Any));
    let failed = futures::future::join_all(connections).await;
    assert!(failed.iter().all(Result::is_err));
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    let topics = (0..10).map(|n| client.fresh_topic(["a", "b"][n % 2]));
    let begun = Instant::now();
    assert!(futures::future::join_all(topics).await.iter().all(Result::is_err));
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
}

// === brokers of our own ===

/// A listener, and settings to get there.
async fn listener(extra: &[(&str, &str)]) -> (TcpListener, Settings, u16) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let server = format!("127.0.0.1:{port}");
    let mut props = vec![("bootstrap.servers", &*server)];
    props.extend(extra);
    (listener, Settings::new(props).unwrap(), port)
}

/// Reads one request; gives its key, version and correlation id.
async fn request(stream: &mut TcpStream) -> (i16, i16, i32) {
    let length = stream.read_i32().await.unwrap();
    let mut bytes = vec![0; length as usize];
    stream.read_exact(&mut bytes).await.unwrap();
    let two = |at: usize| i16::from_be_bytes([bytes[at], bytes[at + 1]]);
    (two(0), two(2), i32::from_be_bytes(bytes[4..8].try_into().unwrap()))
}

async fn answer(stream: &mut TcpStream, correlation: i32, body: &[u8]) {
    let mut bytes = (4 + body.len() as i32).to_be_bytes().to_vec();
    bytes.extend(correlation.to_be_bytes());
    bytes.extend(body);
    stream.write_all(&bytes).await.unwrap();
}

/// No error, and Metadata (3) from 0 to 1, Produce (0) from 3 to 3.
const VERSIONS: [u8; 18] = [0, 0, 0, 0, 0, 2, 0, 3, 0, 0, 0, 1, 0, 0, 0, 3, 0, 3];

/// Takes a connection as an old broker does: no ApiVersions but version 0.
async fn accept_old(listener: &TcpListener) -> TcpStream {
    let (mut stream, _) = listener.accept().await.unwrap();
    let (key, version, correlation) = request(&mut stream).await;
    assert_eq!((key, version), (18, 3));
    let mut refusal = VERSIONS;
    refusal[1] = 35;
    answer(&mut stream, correlation, &refusal).await;
    let (key, version, correlation) = request(&mut stream).await;
    assert_eq!((key, version), (18, 0));
    answer(&mut stream, correlation, &VERSIONS).await;
    stream
}

async fn connected(extra: &[(&str, &str)]) -> (TcpStream, Connection) {
    let (listener, settings, port) = listener(extra).await;
    let (stream, connection) =
        tokio::join!(accept_old(&listener), Connection::open(&settings, "127.0.0.1", port));
    (stream, connection.unwrap())
}

/// No brokers, controller 1, no topics.
const METADATA_V1: [u8; 12] = [0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0];

#[tokio::test]
async fn an_old_broker_is_asked_again_in_its_own_version() {
    let (mut stream, connection) = connected(&[]).await;
    assert_eq!(connection.versions().of(3), Some((0, 1)));
    let asked = connection.send(&MetadataRequest::default(), 12);
    assert_eq!(asked.version(), 1);
    let (key, version, correlation) = request(&mut stream).await;
    assert_eq!((key, version), (3, 1));
    answer(&mut stream, correlation, &METADATA_V1).await;
    assert_eq!(asked.await.unwrap().controller_id.0, 1);
    let unknown = kafka_wire::kafka_protocol::messages::FetchRequest::default();
    let error = connection.send(&unknown, 12).await.unwrap_err();
    assert!(error.sent == Sent::NotSent && matches!(error.cause, Cause::Unsupported(_)), "{error}");
    assert!(!connection.is_closed(), "nothing went wrong with it");
}

#[tokio::test]
async fn answers_of_dropped_requests_are_passed_over() {
    let (mut stream, connection) = connected(&[]).await;
    let mut asked: Vec<_> = (0..10).map(|_| Some(connection.send(&MetadataRequest::default(), 1))).collect();
    for dropped in [0, 3, 4, 9] {
        asked[dropped] = None;
    }
    for _ in 0..10 {
        let (_, _, correlation) = request(&mut stream).await;
        answer(&mut stream, correlation, &METADATA_V1).await;
    }
    for asked in asked.into_iter().flatten() {
        asked.await.unwrap();
    }
    assert!(!connection.is_closed());
}

#[tokio::test]
async fn a_connection_that_is_dropped_still_brings_its_answers() {
    let (mut stream, connection) = connected(&[]).await;
    let asked = connection.send(&MetadataRequest::default(), 1);
    drop(connection);
    let (_, _, correlation) = request(&mut stream).await;
    answer(&mut stream, correlation, &METADATA_V1).await;
    asked.await.unwrap();
    assert!(stream.read_u8().await.is_err(), "then it is closed");
}

#[tokio::test]
async fn what_was_not_begun_is_not_sent_and_what_was_may_be() {
    let (stream, connection) = connected(&[]).await;
    let large = |n: u8| {
        let batch = ProduceBatch::new("a", 0, Bytes::from(vec![n; 64 << 20]));
        connection.produce(&[batch], &ProduceOptions::default())
    };
    let (first, second) = (large(1), large(2));
    // More than fits into the sockets: nobody reads.
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(connection.in_flight(), 1);
    connection.close();
    let begun = first.await.unwrap_err();
    assert_eq!(begun.sent, Sent::MaybeSent, "{begun}");
    let waiting = second.await.unwrap_err();
    assert_eq!(waiting.sent, Sent::NotSent, "{waiting}");
    assert_eq!(large(3).await.unwrap_err().sent, Sent::NotSent);
    // It was reset: what was in the sockets is gone, and no more comes.
    let mut stream = stream;
    let mut read = 0;
    let mut buffer = vec![0; 1 << 20];
    let end = loop {
        match stream.read(&mut buffer).await {
            Ok(0) => break Ok(()),
            Ok(count) => read += count,
            Err(error) => break Err(error),
        }
    };
    assert_eq!(end.unwrap_err().kind(), std::io::ErrorKind::ConnectionReset);
    assert!(read < 64 << 20, "{read}");
}

#[tokio::test]
async fn a_broker_that_does_not_read_is_given_up() {
    let (_stream, connection) = connected(&[("request.timeout.ms", "500")]).await;
    let batch = ProduceBatch::new("a", 0, Bytes::from(vec![0; 64 << 20]));
    let started = Instant::now();
    let options = ProduceOptions { timeout: Duration::ZERO, ..ProduceOptions::default() };
    let error: Error = connection.produce(&[batch], &options).await.unwrap_err();
    assert!(matches!(error.cause, Cause::Silence(_)) && error.sent == Sent::MaybeSent, "{error}");
    assert!(started.elapsed() < Duration::from_secs(10));
}

#[tokio::test]
async fn nonsense_ends_the_connection() {
    for nonsense in [
        // Another's answer; one that is no answer; one that is too long to be true; half of one.
        &[0, 0, 0, 5, 0, 0, 9, 9, 0][..],
        &[0, 0, 0, 1, 0],
        &[0x7f, 0xff, 0xff, 0xff, 0, 0, 0, 0],
        b"HTTP/1.1 400 Bad Request",
    ] {
        let (mut stream, connection) = connected(&[("receive.message.max.bytes", "100000")]).await;
        let (first, second) = (
            connection.send(&MetadataRequest::default(), 1),
            connection.send(&MetadataRequest::default(), 1),
        );
        request(&mut stream).await;
        stream.write_all(nonsense).await.unwrap();
        let error = first.await.unwrap_err();
        assert!(matches!(error.cause, Cause::Protocol(_)), "{error}");
        assert_eq!(error.sent, Sent::MaybeSent);
        second.await.unwrap_err();
        assert!(connection.is_closed());
    }
}

#[tokio::test]
async fn an_answer_that_cannot_be_read_leaves_it_open_what_was_done() {
    let (mut stream, connection) = connected(&[]).await;
    let asked = connection.send(&MetadataRequest::default(), 1);
    let (_, _, correlation) = request(&mut stream).await;
    answer(&mut stream, correlation, &[0, 0, 0, 9]).await;
    let error = asked.await.unwrap_err();
    assert!(matches!(error.cause, Cause::Protocol(_)) && error.sent == Sent::MaybeSent, "{error}");
}

#[tokio::test]
async fn someone_who_says_nothing_is_waited_for_only_so_long() {
    let (listener, settings, port) = listener(&[("socket.connection.setup.timeout.ms", "700")]).await;
    let started = Instant::now();
    let error = Connection::open(&settings, "127.0.0.1", port).await.unwrap_err();
    assert!(matches!(error.cause, Cause::Unreachable(_)) && error.sent == Sent::NotSent, "{error}");
    assert!((600..5000).contains(&started.elapsed().as_millis()), "{:?}", started.elapsed());
    let (mut stream, _) = listener.accept().await.unwrap();
    request(&mut stream).await;
    assert!(stream.read_u8().await.is_err(), "and it is closed then");
}

#[tokio::test]
async fn an_unused_connection_is_closed_and_nothing_else() {
    let (mut stream, connection) = connected(&[("connections.max.idle.ms", "300")]).await;
    let asked = connection.send(&MetadataRequest::default(), 1);
    let (_, _, correlation) = request(&mut stream).await;
    tokio::time::sleep(Duration::from_millis(600)).await;
    assert!(!connection.is_closed(), "it waits for an answer");
    answer(&mut stream, correlation, &METADATA_V1).await;
    asked.await.unwrap();
    tokio::time::timeout(Duration::from_secs(10), connection.closed()).await.expect("it is closed");
}

#[tokio::test]
async fn nobody_there_is_said_at_once_and_tried_less_and_less() {
    let (listener, settings, port) = listener(&[("reconnect.backoff.ms", "200")]).await;
    drop(listener);
    let client = kafka_wire::Client::new(settings);
    let started = Instant::now();
    let error = client.check().await.unwrap_err();
    assert!(started.elapsed() < Duration::from_millis(150), "{:?}", started.elapsed());
    assert!(error.is_unreachable() && error.to_string().contains(&format!("127.0.0.1:{port}")), "{error}");
    for _ in 0..3 {
        client.check().await.unwrap_err();
    }
    // 200 + 400 + 800, give or take a fifth.
    assert!((1000..6000).contains(&started.elapsed().as_millis()), "{:?}", started.elapsed());
}
