//! What must not be begun is refused, with the reason, and nothing is changed.

use std::fs;

use kafka_harness::{
    Cluster, Security,
    client::{Load, load},
    daemon::eventually,
    shared::unique,
};

use crate::support::{
    Running, Work, block_on, client, cluster, moving, nothing_left, replicas, wait_in_sync,
};

#[test]
fn each_reason_not_to_begin_is_named_and_nothing_is_changed() {
    let (cluster, _turn) = cluster();
    let work = Work::new(cluster);
    let topic = unique("refused");
    cluster.create_topic(&topic, 2, 1, &[]).unwrap();
    let before = replicas(cluster, &topic);

    // More replicas than brokers.
    let many = ["plan", "--replication", "5", "--topic", &topic, "--into", "many"];
    let why = work.complained(&many, 3);
    assert!(
        why.contains("5 replicas need 5 brokers that are up and not to be emptied; there are 4 (1, 2, 3, 4)"),
        "{why}"
    );
    assert!(!work.path("many").exists());

    // Nothing asked for, no such topic, a directory with a plan in it.
    assert!(work.complained(&["plan", "--into", "none"], 2).contains("nothing is asked for"));
    assert!(
        work.complained(&["plan", "--replication", "2", "--topic", "nobody", "--into", "x"], 3)
            .contains("no topic")
    );
    work.said(&["plan", "--replication", "3", "--topic", &topic, "--into", "plan"], 0);
    let again = ["plan", "--replication", "3", "--topic", &topic, "--into", "plan"];
    assert!(work.complained(&again, 3).contains("there is a plan: plan/"));

    // Disks: nobody's are this empty.
    let full = work.complained(&["apply", "plan", "--watermark", "0%"], 3);
    assert!(full.contains("% full; the watermark is 0 %"), "{full}");
    let full = ["plan", "--replication", "3", "--topic", &topic, "--watermark", "0%", "--into", "full"];
    let full = work.complained(&full, 3);
    assert!(full.contains("2 partitions find no broker whose disks would stay under 0 %"), "{full}");

    // A broker that is to have a replica is down; fewer live brokers than replicas, when planned.
    let wants_four = work.path("plan/reassign-001.json");
    let text = fs::read_to_string(&wants_four).unwrap();
    let stopped: u32 = (1..=4)
        .find(|id| {
            let list = text.lines().find(|line| line.contains("\"partition\":0")).unwrap();
            list.split("replicas\":[").nth(1).unwrap().contains(&id.to_string())
                && !before[&0].contains(&i32::try_from(*id).unwrap())
        })
        .unwrap();
    cluster.stop(stopped).unwrap();
    let down = work.complained(&["apply", "plan"], 3);
    assert!(down.contains(&format!("broker {stopped}, which is down; 3 brokers are up")), "{down}");
    let four = ["plan", "--replication", "4", "--topic", &topic, "--into", "four"];
    let few = work.complained(&four, 3);
    assert!(few.contains("4 replicas need 4 brokers") && few.contains("there are 3"), "{few}");
    cluster.start(stopped).unwrap();
    wait_in_sync(cluster);

    // A throttle that is somebody else's.
    let list = [("leader.replication.throttled.replicas".to_owned(), Some("0:1".to_owned()))];
    let set = |changes: kafka_wire::TopicChanges| {
        let outcomes =
            block_on(async { client(cluster).set_topic_configs(&[(topic.clone(), changes)].into()).await });
        outcomes.into_values().for_each(|outcome| outcome.unwrap());
    };
    set(list.clone().into());
    let foreign = work.complained(&["apply", "plan"], 3);
    assert!(foreign.contains("throttled replicas that somebody else has set"), "{foreign}");
    set(list.map(|(key, _)| (key, None)).into());

    // Another reassignment that goes on.
    let other = unique("other");
    cluster.create_topic(&other, 1, 1, &[]).unwrap();
    load(&cluster.props(), &other, &Load { count: 20_000, ..Load::default() }).unwrap();
    work.said(&["plan", "--replication", "3", "--topic", &other, "--into", "other"], 0);
    let slow = work.begin(&["apply", "other", "--throttle", "10kB/s"]);
    eventually("it is on its way", || moving(cluster).then_some(()));
    let busy = work.complained(&["apply", "plan"], 3);
    assert!(
        busy.contains("another reassignment is in progress") && busy.contains(&format!("{other}[0]")),
        "{busy}"
    );
    let busy = work.complained(&["plan", "--replication", "2", "--into", "busy"], 3);
    assert!(busy.contains("another reassignment is in progress"), "{busy}");

    // Ctrl-C takes back what is on its way, and the throttle; so does a terminal that goes away.
    let again = |slow: Running, signal: &str| {
        assert_eq!(replicas(cluster, &other)[&0].len(), 3, "those that are added are among them");
        slow.signal(signal);
        let log = slow.expect(130);
        assert!(log.contains("on their way were 1 partition: taken back"), "{log}");
        nothing_left(cluster);
        eventually("it is as it was", || (replicas(cluster, &other)[&0].len() == 1).then_some(()));
    };
    again(slow, "INT");
    let slow = work.begin(&["apply", "other", "--throttle", "10kB/s"]);
    eventually("it is on its way", || moving(cluster).then_some(()));
    again(slow, "HUP");

    // Orders that are out of date, and those of another cluster.
    let placed = text.replace("\"partition\":0", "\"partition\":7");
    fs::write(&wants_four, placed).unwrap();
    let gone = work.complained(&["apply", "plan"], 3);
    assert!(gone.contains(&format!("there is no {topic}[7]")), "{gone}");
    fs::write(&wants_four, text).unwrap();
    let summary = work.path("plan/plan.json");
    let id = fs::read_to_string(&summary).unwrap();
    let value: serde_json::Value = serde_json::from_str(&id).unwrap();
    fs::write(&summary, id.replace(value["cluster_id"].as_str().unwrap(), "elsewhere")).unwrap();
    let elsewhere = work.complained(&["apply", "plan"], 3);
    assert!(elsewhere.contains("was made for cluster dc2 (elsewhere)"), "{elsewhere}");

    assert_eq!(replicas(cluster, &topic), before);
    for topic in [topic, other] {
        cluster.delete_topic(&topic).unwrap();
    }
    // Nobody there.
    let nobody = Work::with("127.0.0.1:1", "\"reconnect.backoff.ms\" = 10");
    nobody.complained(&[], 4);
}

#[test]
fn without_the_rights_what_can_be_seen_is_shown_and_nothing_is_begun() {
    let secured = Cluster::builder().security(Security::plain(&["app"])).start().unwrap();
    let topic = unique("theirs");
    secured.create_topic(&topic, 1, 1, &[]).unwrap();
    secured.acl_add("app", &["--operation", "Describe", "--topic", &topic]).unwrap();
    let app = secured.client_properties("app");
    let lines: Vec<String> =
        app.iter().skip(1).map(|(key, value)| format!("\"{key}\" = \"{value}\"")).collect();
    let work = Work::with(&secured.bootstrap(), &lines.join("\n"));
    let found = work.json(&[], 3);
    let cluster = &found["clusters"][0];
    let hidden = cluster["hidden"].as_array().unwrap();
    assert_eq!(hidden.len(), 2, "reassignments, log directories: {hidden:?}");
    assert!(cluster["facts"]["topics"][&topic]["min_in_sync"].is_null(), "{cluster:#}");
    let kinds: Vec<&str> =
        cluster["findings"].as_array().unwrap().iter().map(|found| found["kind"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["single-replica", "configs-hidden"]);

    let text = format!(
        "{{\"version\":1,\"partitions\":[{{\"topic\":\"{topic}\",\"partition\":0,\"replicas\":[1]}}]}}"
    );
    fs::write(work.path("reassign-001.json"), text).unwrap();
    // What can't be seen makes no plan.
    let why = work.complained(&["plan", "--replication", "1", "--into", "plan"], 3);
    assert!(why.contains("not seen: log directories of broker 1") && !work.path("plan").exists(), "{why}");
    let why = work.complained(&["elect"], 3);
    assert!(why.contains("the right Alter on the cluster is missing"), "{why}");
    let why = work.complained(&["apply", "reassign-001.json"], 3);
    for right in ["Alter", "Describe", "AlterConfigs", "DescribeConfigs"] {
        assert!(why.contains(&format!("the right {right} on the cluster is missing")), "{why}");
    }
}
