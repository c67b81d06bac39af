//! Memory, CPU and pace: a slow target, a stalled one, a throttle.

use std::time::{Duration, Instant};

use kafka_harness::{
    TestRecord,
    client::{self, Isolation, Load},
    daemon::{Config, Daemon, eventually},
    process::{cpu_seconds, status_bytes},
    shared::{pair, unique},
};
use rdkafka::Message;

use crate::support::{alone, assert_same, behind_proxy, create};

/// What the process may have beside its buffer: code, clients, stacks, the allocator's slack.
const FIXED: u64 = 60 << 20;
const RECORDS: u64 = 550_000;

fn records(daemon: &Daemon) -> u64 {
    daemon.status()["totals"]["records"].as_u64().unwrap()
}

#[test]
fn a_slow_target_costs_neither_memory_beyond_the_buffer_nor_cpu() {
    let _alone = alone();
    let (source, target) = (pair().0, behind_proxy());
    let topic = unique("backlog");
    create(source, &topic, 8, &[]);
    let load = Load { partitions: 8, count: RECORDS, value_size: 1000, keys: true, ..Load::default() };
    client::load(&source.props(), &topic, &load).unwrap();
    let proxy = target.proxy(1);
    for buffer in [16, 64] {
        let config = Config::new(source, target, &topic)
            // A connection that is all but stopped delays heartbeats too.
            .target_property("session.timeout.ms", "60000")
            .topics(&format!("rename = {{ \"{topic}\" = \"{topic}-{buffer}\" }}"))
            .section(&format!("[limits]\nbuffer = \"{buffer}MiB\""));
        let bound = (buffer << 20) + FIXED;
        let daemon = config.run();
        let memory = |what| {
            let most = status_bytes(daemon.pid(), "VmHWM:").unwrap();
            assert!(most < bound, "{what} with a buffer of {buffer} MiB: {most} bytes, more than {bound}");
            most
        };
        daemon.wait_ready();
        proxy.set_rate(10_000_000);
        let before = records(&daemon);
        std::thread::sleep(Duration::from_secs(5));
        assert!(records(&daemon) > before, "a slow target is still written to");
        memory("slow");

        // All but stopped: the proxy's parts of 8 KiB take two seconds each.
        proxy.set_rate(4000);
        std::thread::sleep(Duration::from_secs(2));
        let cpu = cpu_seconds(daemon.pid()).unwrap();
        std::thread::sleep(Duration::from_secs(5));
        let cpu = cpu_seconds(daemon.pid()).unwrap() - cpu;
        assert!(cpu < 0.5, "{cpu} s of CPU in 5 s of waiting for the target");
        let stalled = memory("stalled");

        proxy.set_rate(0);
        eventually("all is mirrored", || (records(&daemon) == RECORDS).then_some(()));
        let most = memory("at full speed");
        daemon.stop().expect(0);
        eprintln!(
            "buffer {buffer} MiB: {} MiB stalled, {} MiB at most, {cpu} s CPU",
            stalled >> 20,
            most >> 20
        );

        let mut read = 0;
        client::read_each(&target.props(), &format!("{topic}-{buffer}"), Isolation::Uncommitted, |message| {
            let number = message.offset() as u64 * 8 + message.partition() as u64;
            assert_eq!(client::value_number(message.payload().unwrap()), Some(number));
            read += 1;
        })
        .unwrap();
        assert_eq!(read, RECORDS);
    }
}

#[test]
fn the_throttle_holds() {
    const RATE: f64 = 5_000_000.0;
    let (source, target) = pair();
    let topic = unique("throttled");
    create(source, &topic, 4, &[]);
    let load = Load { partitions: 4, count: 200_000, value_size: 1000, keys: true, ..Load::default() };
    client::load(&source.props(), &topic, &load).unwrap();

    let daemon = Config::new(source, target, &topic).section("[limits]\nthrottle = \"5MB/s\"").run();
    let bytes = || (Instant::now(), daemon.status()["totals"]["bytes"].as_f64().unwrap());
    eventually("records flow", || (bytes().1 > RATE).then_some(()));
    let first = bytes();
    std::thread::sleep(Duration::from_secs(30));
    let last = bytes();
    let rate = (last.1 - first.1) / (last.0 - first.0).as_secs_f64();
    assert!((rate / RATE - 1.0).abs() < 0.05, "{rate} bytes/s, not {RATE}");
    let labels = [("topic", &*topic)];
    assert!(daemon.metric("isomirror_lag_records", &labels).unwrap() > 0.0, "there was more to mirror");
    // What waits for the throttle must not hold up a stop.
    let stopping = Instant::now();
    daemon.stop().expect(0);
    assert!(stopping.elapsed() < Duration::from_secs(10), "{:?}", stopping.elapsed());
}

/// More lanes with a backlog than an answer of the source has room for, and one that is caught up.
#[test]
fn lanes_with_a_backlog_take_turns_and_what_is_new_is_not_behind_them() {
    const LANES: u64 = 40;
    const COUNT: u64 = 100_000;
    let (source, target) = pair();
    let (backlog, fresh) = (unique("turns-backlog"), unique("turns-fresh"));
    create(source, &fresh, 1, &[]);
    create(source, &backlog, LANES as i32, &[]);
    let load =
        Load { partitions: LANES as i32, count: COUNT, value_size: 1000, keys: true, ..Load::default() };
    client::load(&source.props(), &backlog, &load).unwrap();

    let daemon = Config::new(source, target, "turns-.*").section("[limits]\nthrottle = \"10MB/s\"").run();
    let positions = || {
        let status = daemon.status();
        let at = |topic: &str| {
            let lanes = status["lanes"].as_array().unwrap().iter().filter(|lane| lane["topic"] == topic);
            lanes.map(|lane| lane["position"].as_u64().unwrap_or(0)).collect::<Vec<_>>()
        };
        (at(&backlog), at(&fresh).iter().sum::<u64>())
    };
    let mirrored = || positions().0.iter().sum::<u64>();
    eventually("each lane has had its turn", || {
        let lanes = positions().0;
        (lanes.len() as u64 == LANES && !lanes.contains(&0)).then_some(())
    });
    let first_turns = mirrored();
    assert!(first_turns < COUNT / 10 * 7, "some waited until {first_turns} records of others were mirrored");
    client::produce(&source.props(), &fresh, &[TestRecord::default()]).unwrap();
    eventually("what is new is mirrored", || (positions().1 == 1).then_some(()));
    let before = mirrored() - first_turns;
    assert!(before < COUNT / 10 * 3, "what is new came behind {before} records of the backlog");
    eventually("all is mirrored", || (mirrored() == COUNT).then_some(()));
    daemon.stop().expect(0);
    assert_same(source, target, &backlog);
}

#[test]
fn a_distant_target_costs_no_cpu_while_its_answers_are_awaited() {
    let _alone = alone();
    let (source, target) = (pair().0, behind_proxy());
    let topic = unique("distant");
    create(source, &topic, 2, &[]);
    let load = Load { partitions: 2, count: 100_000, value_size: 1000, ..Load::default() };
    client::load(&source.props(), &topic, &load).unwrap();
    let daemon = Config::new(source, target, &topic).run();
    daemon.wait_ready();
    target.proxy(1).set_latency(Duration::from_secs(1));
    std::thread::sleep(Duration::from_secs(1));
    let before = cpu_seconds(daemon.pid()).unwrap();
    std::thread::sleep(Duration::from_secs(5));
    let cpu = cpu_seconds(daemon.pid()).unwrap() - before;
    // Five batches of 1 MB are sent in this time.
    assert!(cpu < 1.0, "{cpu} s of CPU in 5 s of waiting for the target");
    target.proxy(1).set_latency(Duration::ZERO);
    daemon.stop().expect(0);
}
