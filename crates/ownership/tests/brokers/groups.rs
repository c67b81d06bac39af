//! Groups on a real broker: who gets what, how soon, and what an instance is told.

use std::{
    sync::OnceLock,
    time::{Duration, Instant},
};

use kafka_harness::{Cluster, Props, Security, shared::unique};
use ownership::PROTOCOL;

use crate::support::{Event, HEARTBEAT, Instance, SESSION, Watch, config, named, shared, topic, until};

const SLOTS: i32 = 16;
/// What a handover may take beside heartbeats, on a machine with other things to do.
const SLACK: Duration = Duration::from_millis(1500);
const AT_ONCE: Duration = Duration::ZERO;

fn kafka() -> &'static Cluster {
    static CLUSTER: OnceLock<Cluster> = OnceLock::new();
    CLUSTER
        .get_or_init(|| Cluster::builder().security(Security::plain(&["nobody"])).start().expect("a broker"))
}

fn props() -> Props {
    kafka().client_properties("admin")
}

fn start(group: &str, watch: &Watch, release: Duration) -> Instance {
    let instance = Instance::start(&props(), config(group, SLOTS), release);
    watch.add(&instance);
    instance
}

fn lost(event: &Event) -> bool {
    matches!(event, Event::Lost(..))
}

#[test]
fn slots_are_shared_and_only_those_move_that_must() {
    let (group, watch) = (unique("isomirror.shared"), Watch::new(SLOTS));
    topic(kafka(), &group, SLOTS);
    let first = start(&group, &watch, AT_ONCE);
    shared(SLOTS, [&first]);
    assert!(first.lease.is_held() && (0..SLOTS).all(|slot| first.lease.holds(slot)));

    let began = Instant::now();
    let second = start(&group, &watch, AT_ONCE);
    shared(SLOTS, [&first, &second]);
    let took = second.last_gain() - began;
    let stood = second.last_gain() - first.last(|event| matches!(event, Event::Leaving(_))).unwrap();
    println!("an instance joins: {took:.1?} until it has its slots, which stood still for {stood:.1?}");
    assert!(took < 2 * HEARTBEAT + SLACK && stood < HEARTBEAT + SLACK, "{took:?} {stood:?}");

    let before = (first.slots(), second.slots());
    let third = start(&group, &watch, AT_ONCE);
    shared(SLOTS, [&first, &second, &third]);
    assert!(first.slots().is_subset(&before.0) && second.slots().is_subset(&before.1));
    assert_eq!(third.count(), 5, "no more than it takes");

    let tool = |view: &[&str]| {
        let describe = ["--bootstrap-server", &kafka().internal_bootstrap(), "--describe", "--group", &group];
        let class = "org.apache.kafka.tools.consumer.group.ConsumerGroupCommand";
        let output = kafka().run_tool(class, &[&describe[..], view].concat()).expect("the tool runs");
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    let members = tool(&["--members", "--verbose"]);
    for instance in [&first, &second, &third] {
        let mut slots: Vec<_> = instance.slots().iter().map(i32::to_string).collect();
        slots.sort();
        let shown = format!("({})", slots.join(","));
        assert!(members.contains(&shown), "{shown} is not in\n{members}");
    }
    let offsets = tool(&["--offsets"]);
    let of_topic = offsets.lines().filter(|line| line.split_whitespace().nth(1) == Some(&group));
    assert_eq!(of_topic.count(), 16, "{offsets}");
    assert!(tool(&["--state"]).contains(PROTOCOL));

    let kept = (first.slots(), second.slots());
    let events = third.stop();
    let released = events.iter().rev().find(|(_, event)| matches!(event, Event::Released(_))).unwrap().0;
    shared(SLOTS, [&first, &second]);
    let pause = first.last_gain().max(second.last_gain()) - released;
    println!("an instance leaves: its slots stand still for {pause:.1?}");
    assert!(pause < HEARTBEAT + SLACK, "{pause:?}");
    assert!(kept.0.is_subset(&first.slots()) && kept.1.is_subset(&second.slots()));
    assert!(!events.iter().any(|(_, event)| lost(event)), "{events:?}");
    for instance in [&first, &second] {
        assert!(instance.last(lost).is_none(), "{:?}", instance.events());
    }
}

#[test]
fn who_is_killed_is_followed_when_its_session_is_over() {
    let (group, watch) = (unique("isomirror.killed"), Watch::new(SLOTS));
    let (first, second) = (start(&group, &watch, AT_ONCE), start(&group, &watch, AT_ONCE));
    shared(SLOTS, [&first, &second]);
    let (disturbed, killed) = (second.disturbed(), Instant::now());
    first.kill();
    shared(SLOTS, [&second]);
    let pause = second.last_gain() - killed;
    println!("an instance is killed: its slots stand still for {pause:.1?}, with a session of {SESSION:?}");
    assert!(pause > SESSION - HEARTBEAT - Duration::from_millis(400), "{pause:?}");
    assert!(pause < SESSION + HEARTBEAT + SLACK, "{pause:?}");
    assert_eq!(second.disturbed(), disturbed, "{:?}", second.events());
}

#[test]
fn who_sleeps_too_long_knows_when_it_wakes() {
    let (group, watch) = (unique("isomirror.asleep"), Watch::new(SLOTS));
    let (first, second) = (start(&group, &watch, AT_ONCE), start(&group, &watch, AT_ONCE));
    shared(SLOTS, [&first, &second]);
    let lease = first.lease.clone();
    first.sleep(SESSION + 2 * HEARTBEAT);
    until("its lease to end", || !lease.is_held());
    let ended = Instant::now();
    shared(SLOTS, [&second]);
    assert!(second.last_gain() > ended, "the slots were given away under its lease");
    first.told("the loss", lost);
    shared(SLOTS, [&first, &second]);
}

#[test]
fn nobody_gets_a_slot_before_it_is_released() {
    let (group, watch) = (unique("isomirror.slow"), Watch::new(SLOTS));
    let first = start(&group, &watch, Duration::from_secs(2));
    shared(SLOTS, [&first]);
    let second = start(&group, &watch, AT_ONCE);
    let member = second.told("that it is a member", |event| matches!(event, Event::Gained(..)));
    let leaving = first.told("what is to be released", |event| matches!(event, Event::Leaving(_)));
    // The others do not wait, and who comes now gets nothing that is not free.
    let third = start(&group, &watch, AT_ONCE);
    third.told("that it is a member", |event| matches!(event, Event::Gained(..)));
    assert!(first.lease.holds(15) && first.lease.holds(0));
    shared(SLOTS, [&first, &second, &third]);
    let released = first.last(|event| matches!(event, Event::Released(_))).unwrap();
    assert!(member < released && second.last_gain() > released, "{:?}", second.events());
    assert!(released - leaving >= Duration::from_secs(2));
    let pause = second.last_gain().max(third.last_gain()) - released;
    println!("slots that were waited for stand still for {pause:.1?} after their release");
    assert!(first.last(lost).is_none());
}

#[test]
fn who_does_not_release_in_time_loses() {
    let (group, watch) = (unique("isomirror.stuck"), Watch::new(SLOTS));
    let impatient = ownership::Config { rebalance_timeout: Duration::from_secs(3), ..config(&group, SLOTS) };
    let first = Instance::start(&props(), impatient, Duration::from_secs(600));
    watch.add(&first);
    shared(SLOTS, [&first]);
    let second = start(&group, &watch, AT_ONCE);
    let at = first.told("the loss", |event| {
        matches!(event, Event::Lost(slots, reason) if slots.len() == 8 && reason.contains("longer than 3s"))
    });
    shared(SLOTS, [&first, &second]);
    assert!(second.last_gain() > at && first.count() == 8);
}

#[test]
fn a_name_gets_its_slots_back_at_once() {
    let group = unique("isomirror.named");
    let start = |name| Instance::start(&props(), named(&group, SLOTS, Some(name)), AT_ONCE);
    let leader = start("pod-0");
    shared(SLOTS, [&leader]);
    let follower = start("pod-1");
    shared(SLOTS, [&leader, &follower]);
    let again = |one: Instance, name, other: &Instance| {
        let (had, left) = (one.slots(), (other.slots(), other.events().len()));
        one.kill();
        let began = Instant::now();
        let one = start(name);
        until("the same slots", || one.slots() == had);
        let took = one.last_gain() - began;
        println!("{name} is killed and started again: it has its slots after {took:.1?}");
        assert!(took < SESSION / 2, "{took:?}");
        assert_eq!((other.slots(), other.events().len()), left, "the other one has noticed nothing");
        one
    };
    let leader = again(leader, "pod-0", &follower);
    let follower = again(follower, "pod-1", &leader);
    // They are members like others.
    let third = start("pod-2");
    shared(SLOTS, [&leader, &follower, &third]);
    third.stop();
    shared(SLOTS, [&leader, &follower]);
    assert!(leader.last(lost).is_none() && follower.last(lost).is_none());
}

#[test]
fn a_name_that_is_used_twice_is_said() {
    let group = unique("isomirror.twins");
    let start = || Instance::start(&props(), named(&group, SLOTS, Some("twin")), AT_ONCE);
    let first = start();
    shared(SLOTS, [&first]);
    let second = start();
    shared(SLOTS, [&second]);
    first.told(
        "the loss",
        |event| matches!(event, Event::Lost(_, reason) if reason.contains("same name, twin")),
    );
    first.told(
        "what to do",
        |event| matches!(event, Event::Refused(_, fix) if fix.contains("group.instance.id")),
    );
    assert!(!first.lease.is_held());
    // It does not fight, and it is there when the other is gone.
    std::thread::sleep(SESSION + HEARTBEAT);
    assert_eq!(second.disturbed(), 0, "{:?}", second.events());
    second.stop();
    shared(SLOTS, [&first]);
}

#[test]
fn a_right_that_is_missing_is_named() {
    let (group, watch) = (unique("isomirror.refused"), Watch::new(SLOTS));
    let nobody = Instance::start(&kafka().client_properties("nobody"), config(&group, SLOTS), AT_ONCE);
    watch.add(&nobody);
    nobody.told("the refusal", |event| match event {
        Event::Refused(reason, fix) => {
            reason.contains(&group) && reason.contains("READ") && fix.contains("--operation Read")
        }
        _ => false,
    });
    kafka().acl_add("nobody", &["--operation", "Read", "--group", &group]).unwrap();
    shared(SLOTS, [&nobody]);
    let refused = nobody.events().iter().filter(|(_, event)| matches!(event, Event::Refused(..))).count();
    assert_eq!(refused, 1, "said once: {:?}", nobody.events());

    let mut wrong = props();
    wrong.retain(|(name, _)| name != "sasl.password");
    wrong.push(("sasl.password".to_owned(), "wrong".to_owned()));
    let wrong = Instance::start(&wrong, config(&group, SLOTS), AT_ONCE);
    wrong.told("the refusal", |event| matches!(event, Event::Refused(_, fix) if fix.contains("sasl")));
    let short = ownership::Config { session_timeout: Duration::from_millis(20), ..config(&group, SLOTS) };
    let short = Instance::start(&props(), short, AT_ONCE);
    short.told(
        "the refusal",
        |event| matches!(event, Event::Refused(_, fix) if fix.contains("session.timeout.ms")),
    );
    assert_eq!(nobody.disturbed(), 1);
}

#[test]
fn more_instances_than_slots_stand_by() {
    let group = unique("isomirror.many");
    let start = || Instance::start(&props(), config(&group, 1), AT_ONCE);
    let first = start();
    shared(1, [&first]);
    let second = start();
    second.told("that it is a member", |event| matches!(event, Event::Gained(slots, _) if slots.is_empty()));
    assert!(second.lease.is_held() && !second.lease.holds(0) && first.disturbed() == 0);
    first.stop();
    shared(1, [&second]);
}
