//! A cutover in trouble: several brokers a side, and one of each dies; a side that can't be reached; contents that differ; a
//! target topic that is gone; Ctrl-C; a principal that is nobody's; a record that is written after the clients have moved.

use kafka_harness::terminal;
use kafka_wire::Coordinator;
use offset_marks::{LaneStart, LedgerWriter, OffsetsMode, Point};

use super::*;

/// What is told of why it ended so.
fn why(report: &Value) -> &str {
    let halted = report["halted"]["what"].as_str();
    halted.or(report["back"]["what"].as_str()).unwrap_or_else(|| panic!("{report}"))
}

fn broker_of_group(cluster: &Cluster, group: &str) -> i32 {
    on(cluster, async |client| client.coordinator(Coordinator::Group(group)).await.unwrap())
}

#[test]
fn with_leaders_and_coordinators_on_three_brokers_a_side_one_of_each_may_die_on_the_way() {
    const PARTITIONS: i32 = 6;
    let both @ (source, target) = &start(3);
    let topic = topic_on(source, "three", PARTITIONS, 3);
    let groups: Vec<String> = (0..6).map(|n| unique(&format!("three-{n}"))).collect();
    for (group, offset) in groups.iter().zip(10..) {
        let offsets: Vec<_> = (0..PARTITIONS).map(|p| (&*topic, p, offset + i64::from(p))).collect();
        members::commit(source, group, &offsets);
    }
    let include = groups.iter().map(|group| format!("\"{group}\"")).collect::<Vec<_>>().join(", ");
    let config = link_between(both, &topic, "")
        .topics("replication_factor = 3")
        .section(&format!("[groups]\ninclude = [{include}]\nsync = \"1h\""));
    let daemon = running(&config, 300);
    for cluster in [source, target] {
        let leaders: BTreeSet<_> = (0..PARTITIONS).map(|p| cluster.leader(&topic, p).unwrap()).collect();
        let coordinators: BTreeSet<i32> =
            groups.iter().map(|group| broker_of_group(cluster, group)).collect();
        // Who was up first may lead all of the groups' topic on a busy machine: then the groups have one coordinator.
        eprintln!("coordinators: {coordinators:?}");
        assert_eq!(leaders.len(), 3, "{leaders:?}");
    }

    killed_at(&config, &["--yes"], "block.acted");
    for broker in source.broker_ids() {
        let known = on(source, async |client| client.list_acls_at(broker.try_into().unwrap()).await.unwrap());
        assert!(
            known.iter().any(|rule| rule.name == topic && rule.permission == AclPermission::Deny),
            "{broker}"
        );
    }
    for partition in 0..PARTITIONS {
        produce_as(&source.client_properties("app"), &topic, partition, 1).unwrap_err();
    }
    let dies = |cluster: &Cluster| cluster.kill(cluster.leader(&topic, 0).unwrap().unwrap()).unwrap();
    dies(source);
    killed_at(&config, &["--yes"], "groups.entered");
    dies(target);
    let (report, _) = cutover(&config, &["--yes"], 0);
    assert_eq!(report["ended"], "done", "{report}");
    assert_eq!(found(&report, "drain")["ends"].as_array().unwrap().len(), 6);
    let ends = |cluster: &Cluster| client::end_offsets(&cluster.props(), &topic).unwrap();
    assert_eq!(ends(source), ends(target));
    for (group, offset) in groups.iter().zip(10..) {
        let expected: Vec<_> = (0..PARTITIONS).map(|p| Some(offset + i64::from(p))).collect();
        assert_eq!(members::committed(target, group, &topic, PARTITIONS), expected, "{group}");
    }
    for partition in 0..PARTITIONS {
        produce_as(&source.client_properties("app"), &topic, partition, 1).unwrap_err();
        produce_as(&target.client_properties("app"), &topic, partition, 1).unwrap();
    }
    daemon.stop().expect(0);
}

#[test]
fn a_side_that_can_t_be_reached_is_exit_4_and_it_goes_on_or_back_once_it_is_there() {
    let both @ (source, target) = &start(1);
    let (topic, group) = (topic_on(source, "away", 2, 1), unique("away-readers"));
    let config = link_between(both, &topic, "").section(&format!("[groups]\ninclude = [\"{group}\"]"));
    let daemon = running(&config, 100);
    let lanes_run = || eventually("lanes run again", || (daemon.get("/readyz").0 == 200).then_some(()));
    let before = (acls(source, &topic), acls(target, &topic));

    // With either side away nothing is begun, changed or given up: it goes on from where it was.
    for (step, cluster, name) in [("lag", source, "source"), ("groups", target, "target")] {
        killed_at(&config, &["--yes"], &format!("{step}.entered"));
        cluster.stop(1).unwrap();
        for args in [&["--yes"][..], &["--back"]] {
            let (_, error) = ended(config.command("cutover", args), 4);
            assert!(error.contains(name), "{error}");
        }
        cluster.start(1).unwrap();
        lanes_run();
    }

    // One that goes away while it waits: it goes back, and can't undo the block before the source is there again.
    let member =
        MemberOf::join(target, &group, &topic, &[("auto.offset.reset", "earliest"), ("client.id", "early")]);
    let mut running = Running::start(&config, &["--yes", "--step-limit", "15s"], None);
    running.wait_for("has the member early");
    source.kill(1).unwrap();
    let (code, log) = running.end();
    assert_eq!(code, Some(4), "{log}");
    assert!(log.contains("it is going back, and writers may still be blocked"), "{log}");
    member.leave();
    source.start(1).unwrap();
    let (report, _) = cutover(&config, &["--yes"], 4);
    assert_eq!((&report["ended"], &report["halted"]), (&"back".into(), &Value::Null), "{report}");
    assert_eq!(
        (&report["back"]["step"], &report["back"]["cause"]),
        (&"groups".into(), &"unreachable".into()),
        "{report}"
    );
    assert_eq!((acls(source, &topic), acls(target, &topic)), before);

    lanes_run();
    let (report, _) = cutover(&config, &["--yes"], 0);
    assert_eq!((&report["ended"], &report["back"]), (&"done".into(), &Value::Null), "{report}");
}

/// A lane that this link has begun with identical offsets, as if it had mirrored what is on the target.
fn mirrored_by_hand(config: &Config, topic: &str) {
    let start = ledgers::start(topic, topic, 0, Point::new(0, 0));
    let start = LaneStart { offsets: OffsetsMode::Identical, ..start };
    ledgers::write(&clusters().1, &link_of(config), &[LedgerWriter::begin(start)]);
}

#[test]
fn contents_that_differ_are_found_by_its_verify_and_it_goes_back_with_exit_5() {
    let (source, target) = clusters();
    let topic = unique("differs");
    let records = |changed: &str| -> Vec<TestRecord> {
        let value = |n: usize| if n == 4 { changed.to_owned() } else { format!("v{n}") };
        let one = |n| TestRecord { value: Some(value(n).into_bytes()), timestamp: Some(1), ..record(0, n) };
        (0..10).map(one).collect()
    };
    for (cluster, changed) in [(source, "v4"), (target, "another")] {
        cluster.create_topic(&topic, 1, 1, &[("retention.ms", "-1")]).unwrap();
        client::produce(&cluster.props(), &topic, &records(changed)).unwrap();
    }
    make(source, &may_write(&topic));
    let config = link(&topic, "");
    mirrored_by_hand(&config, &topic);
    let daemon = config.run();
    daemon.wait_ready();
    let before = (acls(source, &topic), acls(target, &topic));
    let (report, _) = cutover(&config, &["--yes"], 5);
    assert_eq!((&report["ended"], &report["back"]["step"]), (&"back".into(), &"verify".into()), "{report}");
    assert_eq!(report["back"]["cause"], "different", "{report}");
    for words in [&*format!("{topic}[0] differs on both sides"), "isomirror verify CONFIG names the first"] {
        assert!(why(&report).contains(words), "{report}");
    }
    assert_eq!((acls(source, &topic), acls(target, &topic)), before);
    // Asked to compare nothing, it sees nothing; as it says.
    let (report, _) = cutover(&config, &["--yes", "--verify", "none"], 0);
    assert_eq!(found(&report, "verify")["says"], "left out, as asked", "{report}");
}

#[test]
fn a_target_topic_that_is_deleted_on_the_way_is_named_and_it_goes_back() {
    let (source, target) = clusters();
    let topic = topic("deleted", 1);
    let config = link(&topic, "step_limit = \"20s\"");
    let _daemon = running(&config, 50);
    let before = acls(source, &topic);
    killed_at(&config, &["--yes"], "groups.acted");
    target.delete_topic(&topic).unwrap();
    let (report, _) = cutover(&config, &["--yes"], 3);
    assert_eq!(report["ended"], "back", "{report}");
    assert!(why(&report).contains(&format!("topic {topic} is not on the target")), "{report}");
    assert_eq!(acls(source, &topic), before);
    let (report, _) = cutover(&config, &["--yes"], 3);
    assert_eq!(report["back"]["step"], "preconditions", "{report}");
    assert!(why(&report).contains(&topic), "{report}");
}

#[test]
fn ctrl_c_is_exit_130_at_any_step_and_what_is_done_is_gone_on_with() {
    let (source, _) = clusters();
    let topic = topic("interrupted", 1);
    let config = link(&topic, "clients_hook = \"true\"");
    let _daemon = running(&config, 50);
    for step in ["lag", "block", "verify", "clients", "stop"] {
        let moment = format!("{step}.entered");
        let mut running = Running::start(&config, &["--yes"], Some(&moment));
        running.wait_for(&format!("held at {moment}"));
        running.interrupt();
        let (code, log) = running.end();
        assert_eq!(code, Some(130), "{step}: {log}");
        assert!(
            log.contains("what is done is on record: `isomirror cutover CONFIG` goes on, --back undoes it"),
            "{log}"
        );
    }
    let (report, told) = cutover(&config, &["--yes"], 0);
    assert_eq!(report["ended"], "done", "{report}");
    assert!(told.contains("going on with the cutover that is under way"), "{told}");
    assert!(acls(source, &topic).contains(&format!("Deny User:* Write on Topic {topic}")));
}

#[test]
fn a_principal_that_is_nobody_s_is_refused_before_anything_is_changed() {
    let (source, _) = clusters();
    let topic = topic("whose", 1);
    let misspelt = link(&topic, "writers = [\"User:app\", \"User:apq\"]");
    let _daemon = running(&misspelt, 50);
    let before = acls(source, &topic);
    let (report, _) = cutover(&misspelt, &["--yes"], 3);
    assert_eq!(report["back"]["step"], "preconditions", "{report}");
    let words = "no ACL on the source says anything of User:apq and these topics";
    assert!(why(&report).contains(words) && why(&report).contains("see `writers` in [cutover]"), "{report}");
    assert_eq!(acls(source, &topic), before);
    let (plan, _) = cutover(&misspelt, &["--dry-run"], 3);
    assert!(plan.to_string().contains(words), "{plan}");
    let (_, error) = ended(link(&topic, "writers = [\"app\"]").command("cutover", &["--yes"]), 2);
    assert!(error.contains("\"app\" is no principal"), "{error}");
}

#[test]
fn what_is_written_to_the_source_after_the_clients_have_moved_takes_a_decision_either_way() {
    let (source, target) = clusters();
    let settings = "clients_hook = \"true\"\nclients_hook_back = \"true\"";
    for forward in [true, false] {
        let topic = topic("late-after", 1);
        let config = link(&topic, settings);
        let _daemon = running(&config, 50);
        let before = (acls(source, &topic), acls(target, &topic));
        killed_at(&config, &["--yes"], "clients.acted");
        produce_as(&source.client_properties("admin"), &topic, 0, 2).unwrap();
        let (report, _) = cutover(&config, &["--yes"], 3);
        assert_eq!((&report["ended"], &report["back"]), (&Value::Null, &Value::Null), "{report}");
        for words in [&*format!("{topic}[0] ended at 50, and ends at 52 now"), "--leave-late", "--back"] {
            assert!(why(&report).contains(words), "{words:?}: {report}");
        }
        if forward {
            let (report, _) = cutover(&config, &["--yes", "--leave-late"], 0);
            assert_eq!(report["ended"], "done", "{report}");
            let says = found(&report, "stop")["says"].as_str().unwrap();
            assert!(
                says.contains(&format!("on the source alone: {topic}[0] ended at 50, and ends at 52")),
                "{says}"
            );
            assert_eq!(client::end_offsets(&target.props(), &topic).unwrap()[&0], 50);
        } else {
            let (report, _) = cutover(&config, &["--back"], 0);
            assert_eq!(report["ended"], "back", "{report}");
            assert_eq!((acls(source, &topic), acls(target, &topic)), before);
            eventually("it is mirrored on", || {
                (client::end_offsets(&target.props(), &topic).unwrap()[&0] == 52).then_some(())
            });
        }
    }
    // Moved by hand: asked whether that is done, somebody has said no.
    let topic = super::topic("by-hand", 1);
    let config = link(&topic, "");
    let _by_hand = running(&config, 50);
    let (_dir, path) = config.write();
    let mut command = isomirror();
    command.arg("cutover").arg(path);
    let question = format!("Give up {topic}? There is no way back behind this step [y/N] ");
    let (code, shown) = terminal::answered(&command, &question, "n\n").unwrap();
    assert_eq!(code, Some(3), "{shown}");
    assert!(shown.contains(&question), "{shown}");
    produce_as(&source.client_properties("admin"), &topic, 0, 1).unwrap();
    produce_as(&target.client_properties("app"), &topic, 0, 4).unwrap();
    let (report, _) = cutover(&config, &["--yes"], 3);
    assert_eq!(
        (&report["ended"], &report["back"]),
        (&Value::Null, &Value::Null),
        "clients may be there: {report}"
    );
    let (report, _) = cutover(&config, &["--back"], 3);
    assert!(why(&report).contains("have written 4 records to the target"), "{report}");
    let (report, _) = cutover(&config, &["--back", "--yes"], 0);
    assert_eq!(report["ended"], "back", "{report}");

    // Before they have moved it is no help: then it costs nothing to go back.
    let topic = super::topic("late-before", 1);
    let config = link(&topic, settings);
    let _daemon = running(&config, 50);
    killed_at(&config, &["--yes"], "verify.acted");
    produce_as(&source.client_properties("admin"), &topic, 0, 1).unwrap();
    let (report, _) = cutover(&config, &["--yes", "--leave-late"], 3);
    assert_eq!((&report["ended"], &report["back"]["cause"]), (&"back".into(), &"written".into()), "{report}");
}
