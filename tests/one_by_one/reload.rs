//! SIGHUP: what may change is taken over, all or nothing; a broken file changes nothing.

use std::{os::unix::net::UnixDatagram, process::Command, time::Duration};

use kafka_harness::{
    client::{self, Load},
    daemon::{Config, Daemon, PATIENCE, eventually, isomirror},
    shared::{pair, unique},
};
use serde_json::json;

use crate::{
    assert_identical,
    records::{count, total, write},
    topics, wait_for_no_lanes, wait_for_state,
};

/// How often the configuration was read again: taken over, and refused; and whether the last one was taken over.
fn reloads(daemon: &Daemon) -> [f64; 3] {
    let of = |result| daemon.metric("isomirror_config_reloads_total", &[("result", result)]).unwrap();
    let last = daemon.metric("isomirror_config_last_reload_success", &[]).unwrap();
    [of("applied"), of("refused"), last]
}

fn reload(daemon: &Daemon, config: &str, expected: [f64; 3]) {
    daemon.rewrite(config);
    daemon.signal("HUP");
    eventually(&format!("it is {expected:?}; the log:\n{}", daemon.log()), || {
        (reloads(daemon) == expected).then_some(())
    });
}

#[test]
fn topics_come_and_go_by_a_reload_and_what_can_not_change_is_refused_by_its_name() {
    let (source, target) = pair();
    let p = unique("reload");
    let (first, second) = (format!("{p}.first"), format!("{p}.second"));
    for topic in [&first, &second] {
        source.create_topic(topic, 1, 1, &[]).unwrap();
        write(source, topic, 0, 0..20);
    }
    let config = Config::new(source, target, &format!("{p}\\.first"));
    let daemon = config.run();
    daemon.wait_for_records(20);
    assert_eq!(reloads(&daemon), [0.0, 0.0, 1.0]);

    // A topic comes; it begins as it would after a restart.
    let include = |names: &str| config.clone().topics(&format!("include = [\"{p}\\\\.({names})\"]"));
    let both = include("first|second").topics("start = \"latest\"");
    reload(&daemon, &both.text(), [1.0, 0.0, 1.0]);
    wait_for_state(&daemon, &second, "running");
    daemon.wait_for_log("the configuration is taken over: topics.include, topics.start");
    write(source, &second, 0, 20..25);
    eventually("it is mirrored from its end on", || (count(target, &second) == 5).then_some(()));
    assert_eq!(total(target, &second), 25);
    wait_for_state(&daemon, &first, "running");

    // One goes; what it has stays, and so do its marks.
    let only = include("second").topics("start = \"latest\"");
    reload(&daemon, &only.text(), [2.0, 0.0, 1.0]);
    wait_for_no_lanes(&daemon, &first);
    write(source, &first, 0, 20..30);
    reload(&daemon, &both.text(), [3.0, 0.0, 1.0]);
    eventually("it goes on by its marks", || (count(target, &first) == 30).then_some(()));
    assert_identical(source, target, &first);

    // What needs a restart is refused, and with it all else in the file.
    let wrong = [
        ("limits.buffer", only.clone().section("[limits]\nbuffer = \"32MiB\"").text()),
        ("policy.loss", only.clone().section("[policy]\nloss = \"skip\"").text()),
        ("target.kafka.linger.ms", only.clone().target_property("linger.ms", "7").text()),
        ("topics.offsets", only.clone().topics("offsets = \"translated\"").text()),
        (
            "topics.rename",
            only.clone().topics(&format!("rename = {{ \"{second}\" = \"{second}.x\" }}")).text(),
        ),
    ];
    for (number, (key, text)) in (1..).zip(wrong) {
        reload(&daemon, &text, [3.0, f64::from(number), 0.0]);
        let log = daemon.log();
        let line = log.lines().rfind(|line| line.contains("refused")).unwrap_or_default();
        assert!(line.contains(key) && line.contains("the link goes on as it was"), "{key}: {line}");
        if key == "policy.loss" {
            let why =
                "policy.loss (lanes that it has stopped, or let go on, were begun by it) can't change while";
            assert!(line.contains(why), "{line}");
        }
    }
    // A broken file: told with its line, as at the start.
    let broken = format!("{}\nthrottel = 3\n", both.text());
    reload(&daemon, &broken, [3.0, 6.0, 0.0]);
    let log = daemon.log();
    assert!(log.contains("unknown key `throttel` in [admin]") && log.contains("link.toml:"), "{log}");
    reload(&daemon, "this is no TOML", [3.0, 7.0, 0.0]);
    // All that was only in refused files was never done.
    write(source, &first, 0, 30..35);
    eventually("the first goes on", || (count(target, &first) == 35).then_some(()));

    // The same file again is no change, and mends the gauge; a throttle is taken over at once.
    reload(&daemon, &both.text(), [4.0, 7.0, 1.0]);
    daemon.wait_for_log("nothing has changed in the configuration");
    reload(&daemon, &both.clone().section("[limits]\nthrottle = \"2KB/s\"").text(), [5.0, 7.0, 1.0]);
    // The first of what comes goes at once, and what is behind it waits for its time.
    write(source, &second, 0, 25..525);
    eventually("the first of it", || (count(target, &second) == 505).then_some(()));
    write(source, &second, 0, 525..1025);
    std::thread::sleep(Duration::from_millis(800));
    assert_eq!(count(target, &second), 505);
    reload(&daemon, &both.text(), [6.0, 7.0, 1.0]);
    eventually("and taken away again", || (count(target, &second) == 1005).then_some(()));
    assert_eq!(daemon.get("/readyz").0, 200);
    daemon.stop().expect(0);
}

/// What is logged follows the file, unless the command line says it.
#[test]
fn the_level_of_the_log_is_taken_over_while_it_runs() {
    let (source, target) = pair();
    let config = Config::new(source, target, &unique("nothing"));
    let with = |level: &str| config.text().replace("[admin]\n", &format!("[admin]\nlog = \"{level}\"\n"));
    let daemon = config.run();
    daemon.wait_for_log("waiting for one");
    reload(&daemon, &with("warn,librdkafka=off"), [1.0, 0.0, 1.0]);
    std::thread::sleep(Duration::from_secs(1));
    let before = daemon.log();
    daemon.signal("HUP");
    eventually("it was read", || (reloads(&daemon) == [2.0, 0.0, 1.0]).then_some(()));
    assert_eq!(daemon.log(), before, "no line of this is a warning");
    let taken_over = "the configuration is taken over: admin.log";
    assert!(!before.contains(taken_over), "{before}");
    reload(&daemon, &config.text(), [3.0, 0.0, 1.0]);
    daemon.wait_for_log(taken_over);
    reload(&daemon, &with("loud"), [3.0, 1.0, 0.0]);
    assert!(
        daemon.log().contains("is no level of logging") && daemon.log().contains("librdkafka=debug"),
        "{}",
        daemon.log()
    );
    daemon.stop().expect(0);
}

#[test]
fn a_reload_may_have_topics_wait_and_groups_kept_in_step() {
    let (source, target) = pair();
    let p = unique("settings");
    let (first, second) = (format!("{p}.first"), format!("{p}.second"));
    source.create_topic(&first, 1, 1, &[]).unwrap();
    write(source, &first, 0, 0..5);
    let config = Config::new(source, target, &format!("{p}\\..*"));
    let daemon = config.run();
    daemon.wait_for_records(5);
    let group = unique("group");
    let groups = format!("[groups]\ninclude = [\"{group}\"]\nsync = \"1s\"");
    reload(&daemon, &config.clone().topics("begin = \"asked\"").section(&groups).text(), [1.0, 0.0, 1.0]);
    source.create_topic(&second, 1, 1, &[]).unwrap();
    write(source, &second, 0, 0..5);
    eventually("the new one waits", || {
        (daemon.status()["held"] == json!({ second.clone(): "waiting" })).then_some(())
    });
    wait_for_state(&daemon, &first, "running");
    topics(&config.clone().topics("begin = \"asked\""), &["start", &second], 0);
    eventually("and begins when it is asked for", || (count(target, &second) == 5).then_some(()));
    eventually(&format!("groups are looked after; the log:\n{}", daemon.log()), || {
        daemon.log().contains("no group of the source matches groups.include").then_some(())
    });
    daemon.stop().expect(0);
}

#[test]
fn a_run_with_an_end_ends_at_a_hangup() {
    let (source, target) = pair();
    let topic = unique("hangup");
    source.create_topic(&topic, 1, 1, &[]).unwrap();
    // More than goes at once: it can't be done before it is told to end.
    client::load(&source.props(), &topic, &Load { count: 3000, ..Load::default() }).unwrap();
    let config = Config::new(source, target, &topic).section("[limits]\nthrottle = \"1KB/s\"");
    let daemon = config.run_with(&["--until-caught-up"]);
    daemon.wait_for_log("lanes started");
    daemon.signal("HUP");
    assert_eq!(daemon.wait().code(), None, "by the signal");
}

#[test]
fn systemd_is_told_that_it_reloads_and_when_it_has() {
    let (source, target) = pair();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let wait_for = |wanted: &str| {
        let mut bytes = [0; 4096];
        loop {
            let length = socket.recv(&mut bytes).unwrap_or_else(|error| panic!("no {wanted}: {error}"));
            let told = String::from_utf8_lossy(&bytes[..length]).into_owned();
            if told.lines().any(|line| line == wanted) {
                return told;
            }
        }
    };
    let (_dir, mut command) = Config::new(source, target, &unique("systemd")).run_by(isomirror());
    let mut daemon = command.env("NOTIFY_SOCKET", &path).spawn().unwrap();
    let signal = |signal: &str| {
        assert!(Command::new("kill").args([signal, &daemon.id().to_string()]).status().unwrap().success());
    };
    wait_for("READY=1");
    signal("-HUP");
    let told = wait_for("RELOADING=1");
    // Without the time it does not count (systemd 253).
    assert!(told.lines().any(|line| line.starts_with("MONOTONIC_USEC=")), "{told}");
    wait_for("READY=1");
    signal("-TERM");
    wait_for("STOPPING=1");
    assert!(daemon.wait().unwrap().success());
}
