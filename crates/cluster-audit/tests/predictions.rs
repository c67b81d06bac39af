//! What a partition goes through, case by case; real brokers say the same in tests/audit.

use std::collections::BTreeSet;

use cluster_audit::{
    Broker, Facts, Kind, Moving, Partition, Severity, Topic, findings, never_safe, predict, unsafe_now,
};

fn facts(min: usize, unclean: bool, replicas: &[i32], in_sync: &[i32], live: &[i32]) -> Facts {
    let partition = Partition {
        leader: in_sync.iter().find(|id| live.contains(id)).copied(),
        replicas: replicas.to_vec(),
        in_sync: in_sync.to_vec(),
        ..Partition::default()
    };
    let topic = Topic {
        min_in_sync: Some(min),
        unclean: Some(unclean),
        partitions: [(0, partition)].into(),
        ..Topic::default()
    };
    let broker = |id: &i32| (*id, Broker { live: live.contains(id), ..Broker::default() });
    Facts {
        brokers: [1, 2, 3].iter().map(broker).collect(),
        topics: [("t".to_owned(), topic)].into(),
        ..Facts::default()
    }
}

#[test]
fn what_becomes_of_a_partition() {
    let all = &[1, 2, 3];
    // min.insync.replicas, unclean, replicas, in sync, down → unwritable, unreadable, loses, moves
    for (min, unclean, replicas, in_sync, down, expected) in [
        (1, false, &all[..1], &all[..1], &[1][..], (0, 1, 0, 0)),
        (1, false, &all[..1], &all[..1], &[2], (0, 0, 0, 0)),
        (1, false, &all[..2], &all[..2], &[1], (0, 0, 0, 1)),
        (1, false, &all[..2], &all[..2], &[2], (0, 0, 0, 0)),
        (2, false, &all[..2], &all[..2], &[2], (1, 0, 0, 0)),
        (2, false, all, all, &[1], (0, 0, 0, 1)),
        (2, false, all, all, &[1, 2], (1, 0, 0, 0)),
        (2, false, all, all, all, (0, 1, 0, 0)),
        // Only broker 1 is in sync.
        (1, false, all, &all[..1], &[1], (0, 1, 0, 0)),
        (1, true, all, &all[..1], &[1], (0, 0, 1, 0)),
        (1, true, all, &all[..1], all, (0, 1, 0, 0)),
        // It can't be written now: that is no news.
        (3, false, all, &all[..2], &[2], (0, 0, 0, 0)),
        (3, false, all, &all[..2], &[1, 2], (0, 1, 0, 0)),
    ] {
        let facts = facts(min, unclean, replicas, in_sync, all);
        let found = predict(&facts, &down.iter().copied().collect());
        let counts = (found.unwritable.len(), found.unreadable.len(), found.loses.len(), found.moves);
        assert_eq!(counts, expected, "{min} {unclean} {replicas:?} {in_sync:?} without {down:?}");
    }
}

#[test]
fn brokers_that_are_down_already_count_as_down() {
    let facts = facts(1, false, &[1, 2], &[1, 2], &[1, 3]);
    let found = predict(&facts, &BTreeSet::from([1, 9]));
    assert_eq!((found.unreadable.len(), found.unknown), (1, vec![9]));
}

fn kinds(facts: &Facts) -> Vec<Kind> {
    findings(facts, 85).into_iter().map(|finding| finding.kind).collect()
}

#[test]
fn each_risk_is_found_and_nothing_else() {
    let all = &[1, 2, 3];
    for (facts, expected) in [
        (facts(2, false, all, all, all), &[][..]),
        (facts(1, false, &[1], &[1], all), &[Kind::SingleReplica]),
        (facts(3, false, all, all, all), &[Kind::MinIsrIsReplicas]),
        (facts(2, false, all, &[1, 2], all), &[Kind::UnderReplicated]),
        (facts(2, true, all, all, all), &[Kind::Unclean]),
        (facts(2, false, all, &[2, 3], all), &[Kind::UnderReplicated, Kind::NotPreferred]),
        (facts(2, false, all, &[1], all), &[Kind::UnderMinIsr, Kind::UnderReplicated]),
        (
            facts(1, false, &[1], &[1], &[2, 3]),
            &[Kind::Offline, Kind::BrokerDown, Kind::SingleReplica, Kind::UnderReplicated],
        ),
    ] {
        assert_eq!(kinds(&facts), expected);
    }
}

#[test]
fn racks_internal_topics_and_reassignments_are_seen() {
    let mut known = facts(1, false, &[1, 2], &[1, 2], &[1, 2, 3]);
    for (id, rack) in [(1, "a"), (2, "a"), (3, "b")] {
        known.brokers.get_mut(&id).unwrap().rack = Some(rack.to_owned());
    }
    assert_eq!(kinds(&known), [Kind::OneRack]);
    known.topics.get_mut("t").unwrap().internal = true;
    known.topics.get_mut("t").unwrap().min_in_sync = Some(2);
    assert_eq!(kinds(&known), [Kind::InternalAtRisk, Kind::MinIsrIsReplicas, Kind::OneRack]);

    // A replica that is being added is none yet.
    let mut moving = facts(1, false, &[1, 2, 3], &[1], &[1, 2, 3]);
    let partition = moving.topics.get_mut("t").unwrap().partitions.get_mut(&0).unwrap();
    partition.moving = Some(Moving { adding: vec![2, 3], removing: vec![] });
    assert_eq!(kinds(&moving), [Kind::SingleReplica, Kind::Moving]);

    let mut throttled = facts(1, false, &[1, 2], &[1, 2], &[1, 2, 3]);
    throttled.topics.get_mut("t").unwrap().throttled = true;
    assert_eq!(kinds(&throttled), [Kind::ThrottleLeft]);
    assert!(findings(&throttled, 85)[0].severity == Severity::Warning);
}

#[test]
fn a_broker_may_go_down_when_nothing_is_lost_by_it_and_nothing_still_catches_up() {
    let all = &[1, 2, 3];
    for (facts, broker, why) in [
        (facts(2, false, all, all, all), 1, &[][..]),
        (facts(3, false, all, all, all), 1, &["1 partition could not be written with acks=all: t[0]"]),
        (facts(1, false, &[1], &[1], all), 1, &["1 partition could be neither read nor written: t[0]"]),
        (facts(1, false, &[1], &[1], all), 2, &[]),
        (facts(1, false, all, &[1, 2], all), 3, &["1 partition with a replica there not all in sync: t[0]"]),
        (facts(1, false, &[1, 2], &[1, 2], &[1, 2]), 1, &["down already: broker 3"]),
        (facts(1, false, &[1, 2], &[1], &[1, 3]), 2, &["it is down"]),
    ] {
        assert_eq!(unsafe_now(&facts, broker), why, "{broker}");
    }
    // Waiting mends what lags, and what is down; not what is set like that.
    assert!(!never_safe(&facts(2, false, all, &[1, 2], &[1, 2]), 1));
    assert!(never_safe(&facts(3, false, all, all, all), 1));
    assert!(
        never_safe(&facts(1, false, &[1], &[1], all), 1) && !never_safe(&facts(1, false, &[1], &[1], all), 2)
    );
}
