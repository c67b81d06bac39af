//! What must not pass, and what is said of it.

use kafka_harness::{client, daemon::eventually, shared::unique};
use kafka_wire::{AclOperation, AclResource};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    thread,
    time::Duration,
};

use crate::{
    ledgers::ended,
    members::MemberOf,
    support::{Pair, Running, acls, allow, clusters, found, make, produce_as, state, topic},
};

#[test]
fn a_straggler_is_named_with_its_topic_and_producer_and_the_switchover_backs_out_by_itself() {
    let topic = topic("straggler", 2);
    let pair = Pair::new(&topic, "[switchover]\nstep_limit = \"20s\"\n");
    let daemon = pair.run(100);
    let before = [0, 1].map(|site| acls(&clusters()[site], &topic));
    // A super user is bound by no ACL.
    let stop = Arc::new(AtomicBool::new(false));
    let writing = {
        let (topic, stop) = (topic.clone(), stop.clone());
        thread::spawn(move || {
            let mut config = client::config(&clusters()[0].client_properties("admin"));
            let producer: BaseProducer = config.set("enable.idempotence", "true").create().unwrap();
            while !stop.load(Relaxed) {
                producer.send(BaseRecord::<(), str>::to(&topic).partition(1).payload("late")).unwrap();
                producer.flush(Duration::from_secs(30)).unwrap();
                thread::sleep(Duration::from_millis(100));
            }
        })
    };
    let (report, _) = pair.switchover(&["--yes"], 3);
    stop.store(true, Relaxed);
    writing.join().unwrap();
    let back = &report["back"];
    assert_eq!((&back["step"], &back["cause"]), (&"stragglers".into(), &"too_long".into()), "{report}");
    let what = back["what"].as_str().unwrap();
    assert!(what.contains(&format!("somebody still writes to dc1: {topic}[1] ended at ")), "{what}");
    assert!(what.contains("the last producer there has the id "), "{what}");
    assert_eq!([0, 1].map(|site| acls(&clusters()[site], &topic)), before);
    let end = || [0, 1].map(|site| client::end_offsets(&clusters()[site].props(), &topic).unwrap());
    eventually(&format!("it is mirrored on; {}", daemon.log()), || {
        let [one, two] = end();
        (one == two).then_some(())
    });

    // One that writes later, behind the look at the ends, is noticed all the same.
    let mut running = Running::start(&pair, &["--yes"], Some("even.entered"));
    running.wait_for("held at even.entered");
    running.kill();
    produce_as(&clusters()[0].client_properties("admin"), &topic, 0, 1).unwrap();
    let (report, _) = pair.switchover(&["--yes"], 3);
    assert_eq!((&report["back"]["cause"], &report["ended"]), (&"written".into(), &"back".into()), "{report}");
    assert_eq!([0, 1].map(|site| acls(&clusters()[site], &topic)), before);
}

#[test]
fn an_open_transaction_and_a_consumer_that_is_behind_are_waited_for_and_named() {
    let (topic, group) = (topic("open", 1), unique("behind"));
    let pair = Pair::new(
        &topic,
        &format!("[groups]\ninclude = [\"{group}\"]\n[switchover]\nstep_limit = \"20s\"\n"),
    );
    let _daemon = pair.run(50);
    let open: BaseProducer = client::config(&clusters()[0].client_properties("admin"))
        .set("transactional.id", unique("open"))
        .create()
        .unwrap();
    open.init_transactions(Duration::from_secs(30)).unwrap();
    open.begin_transaction().unwrap();
    open.send(BaseRecord::<(), str>::to(&topic).partition(0).payload("open"))
        .map_err(|(error, _)| error)
        .unwrap();
    open.flush(Duration::from_secs(30)).unwrap();
    let (report, _) = pair.switchover(&["--yes"], 3);
    assert_eq!(report["back"]["step"], "stragglers", "{report}");
    let words = format!("a transaction is open in {topic}[0], of producer id ");
    assert!(report["back"]["what"].as_str().unwrap().contains(&words), "{report}");
    open.abort_transaction(Duration::from_secs(30)).unwrap();

    let member = MemberOf::join(&clusters()[0], &group, &topic, &[("auto.offset.reset", "earliest")]);
    let (report, _) = pair.switchover(&["--yes"], 3);
    assert_eq!(report["back"]["step"], "groups", "{report}");
    let words = format!("group {group} reads {topic}[0], and has committed nothing of it yet");
    assert!(report["back"]["what"].as_str().unwrap().contains(&words), "{report}");
    // An aborted record and the transaction's end are nothing that it could commit behind.
    crate::members::consume(&clusters()[0], &unique("other"), &topic, 50);
    member.leave();
    crate::members::commit(&clusters()[0], &group, &[(&topic, 0, 50)]);
    let member = MemberOf::join(&clusters()[0], &group, &topic, &[]);
    let (report, told) = pair.switchover(&["--yes"], 0);
    assert_eq!(report["ended"], "done", "{report} {told}");
    assert_eq!(crate::members::committed(&clusters()[1], &group, &topic, 1), [Some(50)]);
    member.leave();
}

#[test]
fn what_can_not_be_done_is_said_before_anything_is_changed() {
    let topic = topic("refused", 1);
    let pair = Pair::new(&topic, "");
    let (_, error) = ended(pair.config.command("switchover", &[]), 2);
    assert!(error.contains("--yes") && error.contains("--dry-run"), "{error}");
    let (_, error) = pair.switchover(&["--back"], 3);
    assert!(error.contains("nothing to go back from"), "{error}");
    // Nobody runs it.
    let (_, error) = pair.switchover(&["--yes"], 3);
    assert!(error.contains("has not run yet") || error.contains("going back"), "{error}");
    let daemon = pair.run(50);
    let before = [0, 1].map(|site| acls(&clusters()[site], &topic));
    let (preview, _) = pair.switchover(&["--dry-run"], 0);
    assert_eq!(
        (&preview["turn"]["from"], &preview["turn"]["to"]),
        (&"dc1".into(), &"dc2".into()),
        "{preview}"
    );
    assert!(
        found(&preview, "block")["would"].as_str().unwrap().contains("whom an ACL lets, but the mirror"),
        "{preview}"
    );
    assert_eq!(found(&preview, "block")["acls"].as_array().unwrap().len(), 1, "{preview}");
    assert_eq!(found(&preview, "release")["acls"].as_array().unwrap().len(), 1, "{preview}");
    for (args, words) in [
        (["--yes", "--to", "dc1"], "dc1 is the active site already"),
        (["--yes", "--to", "dc9"], "no site \"dc9\""),
    ] {
        let (_, error) = pair.switchover(&args, 3);
        assert!(error.contains(words), "{error}");
    }
    // A topic that is not mirrored would be missing.
    let topics = |from: usize, what: &str| {
        pair.config.command("topics", &["--direction", &pair.link(from), what, &topic])
    };
    ended(topics(0, "pause"), 0);
    let (_, error) = pair.switchover(&["--yes"], 3);
    assert!(error.contains(&format!("{topic} is paused")), "{error}");
    ended(topics(0, "resume"), 0);
    // The other link's topics are nobody's to start.
    let (_, error) = ended(topics(1, "pause"), 3);
    assert!(error.contains("other link's to mirror"), "{error}");
    // Nor is the active site theirs to change by a link that rests.
    let (_, error) = ended(pair.config.command("apply", &["--direction", &pair.link(1)]), 3);
    assert!(error.contains("rests: dc1 is the active site"), "{error}");
    // A rule that lets everybody write can't be answered by one that leaves the mirror out.
    make(&clusters()[0], &[allow("*", AclOperation::Write, AclResource::Topic, &topic)]);
    let (report, _) = pair.switchover(&["--yes"], 3);
    assert_eq!((&report["ended"], state(&report, "block")), (&"back".into(), "waiting"), "{report}");
    let what = report["back"]["what"].as_str().unwrap();
    assert!(what.contains("lets User:* write") && what.contains("name the writers"), "{what}");
    assert_eq!(acls(&clusters()[1], &topic), before[1]);
    assert!(!acls(&clusters()[0], &topic).iter().any(|rule| rule.starts_with("Deny")));
    assert_eq!(daemon.status()["link"], pair.link(0));
}

#[test]
fn who_was_taken_over_does_no_more_and_two_at_once_are_refused() {
    let topic = topic("twice", 1);
    let pair = Pair::new(&topic, "");
    let _daemon = pair.run(50);
    let mut first = Running::start(&pair, &["--yes"], Some("flip.entered"));
    first.wait_for("held at flip.entered");
    for args in [&["--yes"][..], &["--back"]] {
        let (_, error) = pair.switchover(args, 3);
        assert!(error.contains("is under way") && error.contains("--take-over"), "{error}");
    }
    let (preview, _) = pair.switchover(&["--dry-run"], 0);
    assert!(preview["note"].as_str().unwrap().contains("one is under way"), "{preview}");
    let (report, _) = pair.switchover(&["--yes", "--take-over"], 0);
    assert_eq!(report["ended"], "done", "{report}");
    first.kill();
    produce_as(&clusters()[1].client_properties("app"), &topic, 0, 3).unwrap();
    eventually("the other way round", || {
        (client::end_offsets(&clusters()[0].props(), &topic).unwrap()[&0] == 53).then_some(())
    });
}
