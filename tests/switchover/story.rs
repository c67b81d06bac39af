//! What docs/switchover.md shows, as the commands print it:
//! `cargo test --workspace --test switchover story -- --ignored --nocapture`.

use kafka_harness::shared::unique;

use crate::support::{Pair, clusters, produce_as, topic};

fn shown(pair: &Pair, command: &str, args: &[&str]) {
    let output = pair.config.command(command, args);
    println!("$ isomirror {command} pair.toml {}", args.join(" "));
    println!("{}", String::from_utf8_lossy(&output.stderr));
    println!("{}[exit code {:?}]\n", String::from_utf8_lossy(&output.stdout), output.status.code());
}

#[test]
#[ignore = "it shows outputs, and claims nothing"]
fn story() {
    let (topic, group) = (topic("orders", 2), unique("billing"));
    let pair = Pair::new(&topic, &format!("[groups]\ninclude = [\"{group}\"]\nsync = \"1s\"\n"));
    crate::members::commit(&clusters()[0], &group, &[(&topic, 0, 50), (&topic, 1, 42)]);
    let _daemon = pair.run(100);
    shown(&pair, "switchover", &["--dry-run"]);
    shown(&pair, "switchover", &["--yes"]);
    produce_as(&clusters()[1].client_properties("app"), &topic, 0, 20).unwrap();
    std::thread::sleep(std::time::Duration::from_secs(2));
    shown(&pair, "switchover", &["--back"]);
    shown(&pair, "switchover", &["--yes", "--to", "dc1"]);
}
