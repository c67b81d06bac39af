//! Which topics are mirrored, and what they are called.

use kafka_harness::{
    Cluster, client,
    daemon::{Config, eventually},
    shared::{pair, unique},
};

use crate::records::{numbers, stopped, write};

/// Makes one-partition topics on the source with three records each.
fn filled(source: &Cluster, topics: &[&str]) {
    for topic in topics {
        source.create_topic(topic, 1, 1, &[]).unwrap();
        write(source, topic, 0, 0..3);
    }
}

#[test]
fn topics_arrive_under_the_names_that_the_rules_give_them() {
    let (source, target) = pair();
    let p = unique("names");
    let name = |rest: &str| format!("{p}.{rest}");
    let sources = ["orders", "orders_old", "legacy.eu.pay", "legacy.us.pay", "plain", "plain.tmp"].map(name);
    filled(source, &sources.each_ref().map(String::as_str));
    filled(source, &[&format!("other-{p}.plain")]);

    Config::new(source, target, "")
        .topics(&format!("include = ['{p}\\.orders', '{p}\\.legacy\\..*', '{p}\\.plain.*']"))
        .topics("exclude = ['.*\\.tmp']")
        .topics(&format!(
            "rename = {{ '{p}.orders' = '{p}.orders_v2', '^({p})\\.legacy\\.(?P<region>..)\\.(.*)$' = '$1.${{3}}-$region' }}"
        ))
        .run_until_caught_up()
        .expect(0);

    for arrived in ["orders_v2", "pay-eu", "pay-us", "plain"].map(name) {
        assert_eq!(numbers(target, &arrived)[&0], [0, 1, 2], "{arrived}");
    }
    let not = ["orders", "orders_old", "legacy.eu.pay", "legacy.us.pay", "plain.tmp"].map(name);
    for topic in not.into_iter().chain([format!("other-{p}.plain")]) {
        assert_eq!(target.partitions(&topic).unwrap(), None, "{topic} must not be there");
    }
}

#[test]
fn two_topics_that_would_become_one_are_refused_at_start_and_both_are_named() {
    let (source, target) = pair();
    let p = unique("clash");
    let (a, b, x) = (format!("{p}.a"), format!("{p}.b"), format!("{p}.x"));
    filled(source, &[&a, &b]);
    let clash = format!("source topics {a}, {b} would all become target topic {x}");

    // By a pattern: only the source's topics show it.
    let config = Config::new(source, target, &format!("{p}\\..*"));
    let ended = config.topics(&format!("rename = {{ '^{p}\\.[ab]$' = '{x}' }}")).run().wait().expect(3);
    assert!(ended.log.contains(&clash), "{}", ended.log);

    // By exact names: the configuration alone shows it, with the line.
    let config = Config::new(source, target, &format!("{p}\\..*"));
    let ended = config.topics(&format!("rename = {{ '{a}' = '{x}', '{b}' = '{x}' }}")).run().wait().expect(2);
    assert!(ended.log.contains(&clash) && ended.log.contains("link.toml:"), "{}", ended.log);

    assert_eq!(target.partitions(&x).unwrap(), None, "nothing must be made for a link that is refused");
}

#[test]
fn a_clash_that_comes_later_refuses_the_newcomer_and_stops_no_other_lane() {
    let (source, target) = pair();
    let p = unique("late-clash");
    let (a, b, other, x) =
        (format!("{p}.b-old"), format!("{p}.a-new"), format!("{p}.other"), format!("{p}.x"));
    filled(source, &[&a, &other]);
    let config = Config::new(source, target, &format!("{p}\\..*"))
        .topics(&format!("rename = {{ '^{p}\\.[ab]-.*$' = '{x}' }}"));
    let daemon = config.run();
    daemon.wait_for_records(6);

    // Later by name or by birth: it is the one without lanes that is refused.
    filled(source, &[&b]);
    let (reason, fix) = eventually("the newcomer is refused", || stopped(&daemon.status(), &b, 0));
    assert!(reason.contains(&a) && reason.contains(&b) && reason.contains(&x), "{reason}");
    assert!(fix.contains("exclude"), "{fix}");
    // Several looks later nothing else has changed, and it has been said once.
    write(source, &a, 0, 3..6);
    write(source, &other, 0, 3..6);
    eventually("the others go on", || {
        (numbers(target, &x)[&0].len() == 6 && numbers(target, &other)[&0].len() == 6).then_some(())
    });
    std::thread::sleep(std::time::Duration::from_secs(5));
    let (code, why) = daemon.get("/readyz");
    assert_eq!(code, 503, "a topic that matches is not mirrored: {why}");
    assert!(why.contains(reason.trim_start_matches(&format!("{b}: "))), "{why}");
    assert_eq!(daemon.log().matches("would all become").count(), 1, "said once:\n{}", daemon.log());
    assert_eq!(numbers(target, &x)[&0], [0, 1, 2, 3, 4, 5], "nothing of the newcomer got in");

    // The operator removes the clash; everything is well again.
    source.delete_topic(&b).unwrap();
    daemon.wait_ready();
    write(source, &a, 0, 6..7);
    eventually("the first one still goes on", || (numbers(target, &x)[&0].len() == 7).then_some(()));
    daemon.stop().expect(0);
}

#[test]
fn one_cluster_under_two_addresses_is_never_mirrored_onto_itself() {
    let (source, _) = pair();
    let p = unique("itself");
    let (a, b) = (format!("{p}.a"), format!("{p}.b"));
    filled(source, &[&a]);
    // The configuration can't tell that it is the same cluster; its id can.
    let mut elsewhere = source.props();
    elsewhere[0].1 = source.internal_bootstrap();
    let onto_itself = Config::new(source, source, &format!("{p}\\..*")).target(elsewhere);
    for ended in [onto_itself.run().wait(), onto_itself.run_until_caught_up()] {
        let ended = ended.expect(3);
        let words = format!("source topic {a}: it would be mirrored onto itself");
        assert!(ended.log.contains("source and target are one cluster (") && ended.log.contains(&words));
        assert!(ended.log.contains("fix: name another cluster in [target.kafka]"), "{}", ended.log);
    }
    assert_eq!(numbers(source, &a)[&0], [0, 1, 2], "nothing was written");

    // Copies beside the originals are no loop; a topic that comes later and would be one is refused alone.
    let rename = format!("rename = {{ '{a}' = 'copy-of-{a}' }}");
    let daemon = onto_itself.topics(&rename).run();
    daemon.wait_for_records(3);
    filled(source, &[&b]);
    let (reason, fix) = eventually("the newcomer is refused", || stopped(&daemon.status(), &b, 0));
    assert!(reason.contains("one cluster") && reason.contains("onto itself"), "{reason}");
    assert!(fix.contains("rename every topic"), "{fix}");
    write(source, &a, 0, 3..6);
    eventually("the copy goes on", || {
        (numbers(source, &format!("copy-of-{a}"))[&0].len() == 6).then_some(())
    });
    assert_eq!(numbers(source, &b)[&0], [0, 1, 2], "nothing was written to the newcomer");
    daemon.stop().expect(0);
}

#[test]
fn internal_topics_are_not_mirrored_even_if_everything_is_included() {
    let (_, target) = pair();
    // Everything is included, so it has a source of its own.
    let source = Cluster::builder().start().unwrap();
    let topic = unique("not-internal");
    filled(&source, &[&topic, "isomirror.other-link", "__looks_internal"]);
    // Positions are group offsets: the first run makes the source's own __consumer_offsets.
    let config = Config::new(&source, target, ".*");
    config.run_until_caught_up().expect(0);
    assert!(source.partitions("__consumer_offsets").unwrap().is_some());
    let before = client::end_offsets(&target.props(), "__consumer_offsets").ok();

    let daemon = config.run();
    daemon.wait_ready();
    let status = daemon.status();
    let lanes = status["lanes"].as_array().unwrap();
    assert!(lanes.iter().all(|lane| lane["topic"] == topic.as_str()), "{status:#}");
    assert_eq!(lanes.len(), 1);
    daemon.stop().expect(0);
    for internal in ["isomirror.other-link", "__looks_internal"] {
        assert_eq!(target.partitions(internal).unwrap(), None, "{internal}");
    }
    // Whatever the target's own holds, it is not the source's.
    assert_eq!(client::end_offsets(&target.props(), "__consumer_offsets").ok().is_none(), before.is_none());
}

#[test]
fn settings_of_a_pattern_override_those_of_the_link() {
    let (source, target) = pair();
    let p = unique("override");
    let (plain, audit, wide) = (format!("{p}.plain"), format!("{p}.audit.x"), format!("{p}.wide"));
    filled(source, &[&plain, &audit, &wide]);
    let daemon = Config::new(source, target, &format!("{p}\\..*"))
        .topics("start = 'latest'")
        .section(&format!("[topics.override.'{p}\\.audit\\..*']\nstart = 'earliest'"))
        .section(&format!("[topics.override.'{p}\\.wide']\nreplication_factor = 2"))
        .run();
    eventually("the audit topic is there from its start", || {
        (target.partitions(&audit).unwrap().is_some() && numbers(target, &audit)[&0].len() == 3).then_some(())
    });
    // One broker can't hold two replicas: that topic is refused, with the broker's words, and no other.
    let (reason, _) = eventually("the wide topic is refused", || stopped(&daemon.status(), &wide, 0));
    assert!(reason.contains(&wide) && reason.to_lowercase().contains("replication factor"), "{reason}");
    write(source, &plain, 0, 3..5);
    eventually("the plain topic goes on behind its end", || {
        (numbers(target, &plain)[&0] == [3, 4]).then_some(())
    });
    daemon.stop().expect(0);
}
