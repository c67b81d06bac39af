//! Files that Kafka's own tools take, a rollback in mid-way, and both clusters in one audit.

use std::fs;

use kafka_harness::{
    Cluster,
    client::{Load, load},
    daemon::eventually,
    shared::unique,
    terminal::answered,
};

use crate::support::{Work, cluster, moving, nothing_left, replicas, throttles, topic, wait_in_sync};

fn tool(cluster: &Cluster, class: &str, args: &[&str]) -> String {
    let bootstrap = cluster.internal_bootstrap();
    let output = cluster.run_tool(class, &[&["--bootstrap-server", &bootstrap], args].concat()).unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{said}\n{}", String::from_utf8_lossy(&output.stderr));
    said
}

const REASSIGN: &str = "org.apache.kafka.tools.reassign.ReassignPartitionsCommand";
const ELECT: &str = "org.apache.kafka.tools.LeaderElectionCommand";

#[test]
fn kafkas_own_tools_execute_what_is_written_and_find_it_done() {
    let (cluster, _turn) = cluster();
    let work = Work::new(cluster);
    let name = unique("kafkas");
    cluster.create_topic(&name, 3, 1, &[]).unwrap();
    let before = replicas(cluster, &name);
    work.said(&["plan", "--replication", "3", "--topic", &name, "--into", "plan"], 0);
    let file = |name: &str| work.path(&format!("plan/{name}")).display().to_string();
    let (forward, back) = (file("reassign-001.json"), file("rollback-001.json"));
    let said = tool(cluster, REASSIGN, &["--reassignment-json-file", &forward, "--execute"]);
    assert!(said.contains("Successfully started partition reassignments"), "{said}");
    eventually("it is done", || (!moving(cluster)).then_some(()));
    let said = tool(cluster, REASSIGN, &["--reassignment-json-file", &forward, "--verify"]);
    assert_eq!(said.matches("is completed").count(), 3, "{said}");
    wait_in_sync(cluster);
    let verified = work.json(&["verify", "plan"], 0);
    assert_eq!((&verified["done"], &verified["not_done"]), (&3.into(), &serde_json::json!([])), "{verified}");
    // What Kafka's tool has done is done for ours.
    assert!(work.said(&["apply", "plan"], 0).contains("1 order was done before"));

    // Leaders away from where they are preferred: a broker that goes and comes back.
    let leader = topic(cluster, &name).partitions[&0].leader.unwrap();
    let id = u32::try_from(leader).unwrap();
    cluster.stop(id).unwrap();
    eventually("another leads", || {
        (topic(cluster, &name).partitions[&0].leader != Some(leader)).then_some(())
    });
    cluster.start(id).unwrap();
    wait_in_sync(cluster);
    // Whether something critical is among it depends on who was here before.
    let found = work.output(&["--output", "json"]).stdout;
    let found: serde_json::Value = serde_json::from_slice(&found).unwrap();
    let findings = found["clusters"][0]["findings"].as_array().unwrap();
    assert!(findings.iter().any(|finding| finding["kind"] == "not-preferred"), "{findings:#?}");
    work.said(&["plan", "--replication", "3", "--topic", &name, "--into", "elect"], 0);
    let election = work.path("elect/election-001.json").display().to_string();
    let said = tool(cluster, ELECT, &["--election-type", "preferred", "--path-to-json-file", &election]);
    assert!(said.contains("Successfully completed leader election"), "{said}");
    eventually("the preferred one leads", || {
        (topic(cluster, &name).partitions[&0].leader == Some(leader)).then_some(())
    });

    // And back with the other file.
    tool(cluster, REASSIGN, &["--reassignment-json-file", &back, "--execute"]);
    eventually("it is as it was", || (replicas(cluster, &name) == before && !moving(cluster)).then_some(()));
    cluster.delete_topic(&name).unwrap();
}

#[test]
fn a_rollback_in_mid_way_restores_exactly_what_was() {
    let (cluster, _turn) = cluster();
    let work = Work::new(cluster);
    let name = unique("back");
    cluster.create_topic(&name, 4, 2, &[]).unwrap();
    load(&cluster.props(), &name, &Load { partitions: 4, count: 40_000, ..Load::default() }).unwrap();
    let before = replicas(cluster, &name);
    // Off a broker that has some, in batches of one.
    let gone = before[&0][0].to_string();
    let plan = ["plan", "--empty", &gone, "--topic", &name, "--batch", "1", "--into", "plan"];
    let made = work.json(&plan, 0);
    let orders = made["batches"].as_array().unwrap().len();
    assert!(orders >= 2, "{made:#}");
    assert_eq!(made["total"]["bytes"].as_u64().map(|bytes| bytes > 1_000_000), Some(true), "{made:#}");

    // The first batch is done, with a bar on a terminal; the second one is on its way when the tool is killed.
    let mut first = work.command(&["apply", "plan/reassign-001.json", "--throttle", "none"]);
    let (code, shown) = answered(first.env("TERM", "xterm"), "no question", "").unwrap();
    assert_eq!(code, Some(0), "{shown}");
    assert!(shown.contains("  0 %  order 1 of 1: 0 B of "), "{shown}");
    let slow = work.begin(&["apply", "plan", "--throttle", "20kB/s"]);
    eventually("the second is on its way", || moving(cluster).then_some(()));
    slow.kill();
    assert!(!throttles(cluster).is_empty() && moving(cluster), "it was killed before it could clean up");
    assert_ne!(replicas(cluster, &name), before);
    // Somebody looks: it says so, and leaves it.
    let found = work.json(&["verify", "plan"], 3);
    assert!(!found["throttled"].as_array().unwrap().is_empty(), "{found:#}");

    let said = work.said(&["apply", "plan", "--rollback"], 0);
    assert!(said.contains("a throttle was left behind on 1 topic, and is taken off"), "{said}");
    assert_eq!(replicas(cluster, &name), before);
    nothing_left(cluster);
    work.said(&["verify", "plan", "--rollback"], 0);
    assert_eq!(work.json(&["verify", "plan"], 3)["not_done"].as_array().unwrap()[0][1], "before");
    cluster.delete_topic(&name).unwrap();
}

#[test]
fn a_link_s_configuration_shows_both_clusters_and_the_page_has_a_map() {
    let (cluster, _turn) = cluster();
    let bootstrap = cluster.internal_bootstrap();
    let more = format!(
        "[source]\nname = \"<dc1>\"\nkafka = {{ \"bootstrap.servers\" = \"{bootstrap}\" }}\n[topics]\ninclude = [\"x\"]"
    );
    let work = Work::with(&bootstrap, &format!("{more}\n[limits]\nbuffer = \"8MiB\""));
    let name = unique("heat");
    cluster.create_topic(&name, 2, 1, &[]).unwrap();
    let said = work.said(&["--html", "page.html", "--all"], 3);
    assert!(
        said.contains("source cluster <dc1>: 4 brokers, 4 up") && said.contains("target cluster dc2"),
        "{said}"
    );
    assert!(said.contains("critical one replica") && said.contains(&format!("{name}[1]")), "{said}");
    let page = fs::read_to_string(work.path("page.html")).unwrap();
    assert!(page.contains("&lt;dc1&gt;") && !page.contains("<dc1>"), "what clusters are called is escaped");
    assert!(page.contains(&format!("<td class=\"name\">{name}</td>")), "the map has the topic");
    assert!(!page.contains("http://") && !page.contains("https://"), "it needs nothing beside it");
    let one = work.json(&["--cluster", "source"], 3);
    assert_eq!(one["clusters"].as_array().unwrap().len(), 1);
    // What does something has to be told where.
    assert!(work.complained(&["elect"], 2).contains("--cluster source"));
    // Keys that nobody knows are errors here, too.
    let typo = Work::with(&bootstrap, "\n[sorce]\nname = \"x\"");
    assert!(typo.complained(&[], 2).contains("did you mean `source`"));
    cluster.delete_topic(&name).unwrap();
}
