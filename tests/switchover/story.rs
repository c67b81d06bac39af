//! What docs/switchover.md shows, as the commands print it:
//! `cargo test --workspace --test switchover story -- --ignored --nocapture`.

use std::{fs, process::Command, thread, time::Duration};

use kafka_harness::{
    Security,
    client::{self, Load},
    daemon::{Daemon, eventually, isomirror},
};
use kafka_wire::{AclOperation, AclResource};
use tempfile::TempDir;

use crate::{
    members,
    support::{Pair, allow, clusters_of, make, produce_as},
};

/// Where the operator is.
struct Desk(TempDir);

impl Desk {
    fn shown(&self, command: &str, args: &[&str]) {
        let mut run: Command = isomirror();
        let output =
            run.current_dir(self.0.path()).arg(command).arg("pair.toml").args(args).output().unwrap();
        println!("$ isomirror {command} pair.toml {}", args.join(" "));
        let folder = self.0.path().display().to_string();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).replace(&folder, "/home/ann");
        println!("{}", text(&output.stderr));
        println!("{}[exit code {:?}]\n", text(&output.stdout), output.status.code());
    }
}

fn lag(daemon: &Daemon) -> u64 {
    daemon.status()["totals"]["lag_records"].as_u64().unwrap_or(0)
}

#[test]
#[ignore = "it shows outputs, and claims nothing"]
fn story() {
    let sites = clusters_of(Security::plain(&["app", "billing"]));
    let (topic, group) = ("orders", "billing");
    sites[0].create_topic(topic, 2, 1, &[]).unwrap();
    make(&sites[0], &[allow("app", AclOperation::Write, AclResource::Topic, topic)]);
    for site in &sites {
        make(site, &[allow("billing", AclOperation::Read, AclResource::Topic, topic)]);
    }
    (0..2).for_each(|partition| produce_as(&sites[0].props(), topic, partition, 500).unwrap());
    let pair = Pair::called(
        "",
        [&sites[0], &sites[1]],
        topic,
        "[limits]\nbuffer = \"2MiB\"\n[groups]\ninclude = [\"billing\"]\nsync = \"1s\"\n[switchover]\nclients_hook = \"echo gateway uses $ISOMIRROR_TO\"\n",
    );
    members::commit(&sites[0], group, &[(topic, 0, 500), (topic, 1, 492)]);
    let daemon = pair.run(1000);
    let desk = Desk(TempDir::new().unwrap());
    fs::write(desk.0.path().join("pair.toml"), pair.config.text()).unwrap();
    thread::sleep(Duration::from_secs(3));

    desk.shown("status", &[]);
    desk.shown("switchover", &["--dry-run"]);
    desk.shown("switchover", &["--yes"]);
    produce_as(&sites[1].client_properties("app"), topic, 0, 20).unwrap();
    thread::sleep(Duration::from_secs(2));
    desk.shown("switchover", &["--back"]);
    desk.shown("switchover", &["--yes", "--to", "dc1"]);

    // Unplanned, while the mirror is behind.
    let slow = pair.config.text().replace("[limits]\n", "[limits]\nthrottle = \"200KB/s\"\n");
    daemon.rewrite(&slow);
    daemon.signal("HUP");
    daemon.wait_for_log("the configuration is taken over: limits.throttle");
    let load = Load { partitions: 2, count: 20_000, value_size: 500, ..Load::default() };
    client::load(&sites[0].client_properties("app"), topic, &load).unwrap();
    eventually("it is behind", || (lag(&daemon) > 5000).then_some(()));
    thread::sleep(Duration::from_secs(2));
    let broker = sites[0].broker_ids()[0];
    sites[0].kill(broker).unwrap();
    thread::sleep(Duration::from_secs(10));
    desk.shown("status", &[]);
    desk.shown("switchover", &["--force", "--yes"]);
    produce_as(&sites[1].client_properties("app"), topic, 1, 30).unwrap();
    desk.shown("status", &[]);
    sites[0].start(broker).unwrap();
    daemon.rewrite(&pair.config.text());
    daemon.signal("HUP");
    desk.shown("reconcile", &["--dry-run"]);
    desk.shown("reconcile", &["--yes", "--export", "orphaned"]);
    let file = fs::read_dir(desk.0.path().join("orphaned")).unwrap().next().unwrap().unwrap();
    let file = format!("orphaned/{}", file.file_name().to_str().unwrap());
    let line = fs::read_to_string(desk.0.path().join(&file)).unwrap().lines().next().unwrap().to_owned();
    println!("$ head -1 {file}\n{line}\n[exit code Some(0)]\n");
    desk.shown("replay", &[&file, "--to", "dc2"]);
    desk.shown("status", &[]);
}
