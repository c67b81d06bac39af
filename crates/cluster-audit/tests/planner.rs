//! What holds for every plan, on clusters of all kinds.

use std::collections::{BTreeMap, BTreeSet};

use cluster_audit::{
    Aim, Broker, Dir, Facts, Limits, Move, Partition, PartitionId, Refusal, Topic, batches, drain, plan,
    preferred_after, read_reassignment, reassignment_json,
};
use proptest::{collection::vec, prelude::*, sample::subsequence};

/// A cluster: racks, how many brokers, and topics whose partitions lie on brokers as they come.
fn clusters() -> impl Strategy<Value = Facts> {
    (3usize..9, 1usize..4, any::<bool>()).prop_flat_map(|(brokers, racks, all_live)| {
        let ids: Vec<i32> = (1..=i32::try_from(brokers).unwrap()).collect();
        let partition = (1usize..=brokers.min(4)).prop_flat_map(move |count| {
            let replicas = subsequence(ids.clone(), count).prop_shuffle();
            (replicas, 0u64..1_000, any::<prop::sample::Index>())
        });
        let topics = vec(vec(partition, 1..6), 1..6);
        let live = vec(prop::bool::weighted(if all_live { 1.0 } else { 0.8 }), brokers);
        (topics, live, Just(racks)).prop_map(|(topics, live, racks)| facts(topics, &live, racks))
    })
}

type Drawn = (Vec<i32>, u64, prop::sample::Index);

fn facts(topics: Vec<Vec<Drawn>>, live: &[bool], racks: usize) -> Facts {
    let broker = |at: usize| Broker {
        live: live[at],
        rack: Some(format!("rack-{}", at % racks)),
        dirs: Some(vec![Dir { path: "/data".into(), error: None, total: Some(10_000), usable: Some(9_000) }]),
    };
    let brokers: BTreeMap<i32, Broker> =
        (0..live.len()).map(|at| (i32::try_from(at + 1).unwrap(), broker(at))).collect();
    let partition = |(replicas, bytes, leader): Drawn| {
        let in_sync: Vec<i32> = replicas.iter().filter(|id| brokers[id].live).copied().collect();
        let leader = (!in_sync.is_empty()).then(|| *leader.get(&in_sync));
        Partition { leader, replicas, in_sync, bytes: Some(bytes), moving: None }
    };
    let topic = |partitions: Vec<Drawn>| Topic {
        min_in_sync: Some(1),
        partitions: (0..).zip(partitions.into_iter().map(partition)).collect(),
        ..Topic::default()
    };
    let topics = topics.into_iter().enumerate().map(|(at, drawn)| (format!("t{at}"), topic(drawn))).collect();
    Facts { cluster_id: None, brokers, topics }
}

fn aims() -> impl Strategy<Value = Aim> {
    (prop::option::of(1usize..4), any::<bool>(), prop::option::weighted(0.4, 1i32..4)).prop_map(
        |(replicas, spread_racks, empty)| Aim {
            replicas,
            spread_racks,
            empty: empty.into_iter().collect(),
            ..Aim::default()
        },
    )
}

/// Every partition as it is when the plan is done.
fn done(facts: &Facts, moves: &[Move]) -> BTreeMap<PartitionId, Vec<i32>> {
    let now = facts.partitions().map(|(topic, _, number, found)| (PartitionId::new(topic, number), found));
    let mut all: BTreeMap<_, _> = now.map(|(at, found)| (at, found.replicas.clone())).collect();
    all.extend(moves.iter().map(|one| (one.at.clone(), one.after.clone())));
    all
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn a_plan_is_what_was_asked_for_or_refused_with_a_reason(facts in clusters(), aim in aims()) {
        let takes: BTreeSet<i32> = facts.live().difference(&aim.empty).copied().collect();
        let moves = match plan(&facts, &aim) {
            Ok(moves) => moves,
            Err(refused) => {
                for refusal in refused {
                    match refusal {
                        Refusal::TooFewBrokers { asked, there, .. } => {
                            prop_assert_eq!(there, takes.len());
                            // Replicas on brokers that are down stay, unless these are to be emptied.
                            prop_assert!(there < asked);
                        }
                        Refusal::Offline { example, .. } => {
                            prop_assert!(facts.partition(&example).unwrap().leader.is_none());
                        }
                        other => prop_assert!(false, "{other}"),
                    }
                }
                return Ok(());
            }
        };
        let after = done(&facts, &moves);
        for (at, replicas) in &after {
            let before = &facts.partition(at).unwrap().replicas;
            // Never fewer than asked, nor than there were; never more than needed.
            prop_assert_eq!(replicas.len(), before.len().max(aim.replicas.unwrap_or(0)));
            // Never two on one broker, none on one that is to be emptied, new ones on live brokers only.
            let set: BTreeSet<i32> = replicas.iter().copied().collect();
            prop_assert_eq!(set.len(), replicas.len());
            prop_assert!(set.is_disjoint(&aim.empty));
            let new: Vec<i32> = replicas.iter().filter(|id| !before.contains(id)).copied().collect();
            prop_assert!(new.iter().all(|id| takes.contains(id)));
            // As many racks as can be had by the new ones; with spread_racks, as can be had at all.
            let kept: Vec<i32> = replicas.iter().filter(|id| before.contains(id)).copied().collect();
            let kept_racks: BTreeSet<&str> = kept.iter().map(|id| facts.rack(*id)).collect();
            let all: BTreeSet<&str> = takes.iter().map(|id| facts.rack(*id)).chain(kept_racks.iter().copied()).collect();
            let most = (kept_racks.len() + new.len()).min(all.len());
            prop_assert_eq!(facts.racks(replicas), most, "{} {:?} -> {:?}", at, before, replicas);
        }
    }

    #[test]
    fn with_spread_racks_every_partition_is_in_as_many_racks_as_there_are(
        facts in clusters(), replicas in 1usize..4,
    ) {
        let mut facts = facts;
        facts.brokers.values_mut().for_each(|broker| broker.live = true);
        for partition in facts.topics.values_mut().flat_map(|topic| topic.partitions.values_mut()) {
            partition.in_sync.clone_from(&partition.replicas);
            partition.leader = partition.leader.or(partition.replicas.last().copied());
        }
        let aim = Aim { replicas: Some(replicas), spread_racks: true, ..Aim::default() };
        let Ok(moves) = plan(&facts, &aim) else { return Ok(()) };
        let racks = facts.racks(&facts.live());
        for (at, replicas) in done(&facts, &moves) {
            prop_assert_eq!(facts.racks(&replicas), racks.min(replicas.len()), "{} -> {:?}", at, replicas);
        }
    }

    #[test]
    fn what_can_stay_stays_and_leaders_stay_leaders(facts in clusters(), aim in aims()) {
        let Ok(moves) = plan(&facts, &aim) else { return Ok(()) };
        for one in &moves {
            let lost: Vec<i32> = one.before.iter().filter(|id| !one.after.contains(id)).copied().collect();
            if !aim.spread_racks {
                prop_assert!(lost.iter().all(|id| aim.empty.contains(id)), "{one:?}");
            }
            if let Some(leader) = one.leader.filter(|leader| !aim.empty.contains(leader)) {
                prop_assert!(one.after.contains(&leader), "{one:?}");
            }
            let first = one.before[0];
            if !aim.empty.contains(&first) && (!aim.spread_racks || one.leader == Some(first)) {
                prop_assert_eq!(one.after[0], first, "the preferred leader stays");
            } else if let Some(leader) = one.leader.filter(|id| one.after[0] != first && one.after.contains(id)) {
                prop_assert_eq!(one.after[0], leader, "who leads is preferred");
            }
            prop_assert_ne!(&one.before, &one.after);
        }
    }

    #[test]
    fn the_same_facts_give_the_same_plan_and_a_plan_that_is_done_gives_none(facts in clusters(), aim in aims()) {
        let first = plan(&facts, &aim);
        prop_assert_eq!(&first, &plan(&facts, &aim));
        let Ok(moves) = first else { return Ok(()) };
        let mut then = facts.clone();
        for one in &moves {
            let partition = then.topics.get_mut(&one.at.topic).unwrap().partitions.get_mut(&one.at.partition).unwrap();
            partition.replicas.clone_from(&one.after);
            partition.in_sync = one.after.iter().filter(|id| facts.is_live(**id)).copied().collect();
            partition.leader = partition.in_sync.first().copied();
        }
        prop_assert_eq!(plan(&then, &aim), Ok(vec![]));
    }

    #[test]
    fn batches_hold_every_move_once_within_their_limits_and_a_rollback_restores_exactly(
        facts in clusters(), aim in aims(), partitions in 1usize..5, bytes in 1u64..2_000,
    ) {
        let Ok(moves) = plan(&facts, &aim) else { return Ok(()) };
        let batches = batches(&moves, Limits { partitions, bytes });
        let mut all: Vec<Move> = batches.iter().flat_map(|batch| batch.moves.clone()).collect();
        for batch in &batches {
            prop_assert!(!batch.moves.is_empty() && batch.moves.len() <= partitions);
            let sum: u64 = batch.moves.iter().map(Move::copied).sum();
            prop_assert!(batch.moves.len() == 1 || sum <= bytes);
        }
        all.sort_by(|a, b| a.at.cmp(&b.at));
        prop_assert_eq!(&all, &moves);
        // Forward by one file of each batch, back by the other, in reverse: nothing is different.
        let mut state = done(&facts, &[]);
        let file = |batch: &[Move], after: bool| {
            let placed = batch.iter().map(|one| (&one.at, if after { &one.after[..] } else { &one.before[..] }));
            read_reassignment(&reassignment_json(placed)).unwrap()
        };
        for batch in &batches {
            state.extend(file(&batch.moves, true).into_iter().map(|placed| (placed.at, placed.replicas)));
        }
        prop_assert_eq!(&state, &done(&facts, &moves));
        for batch in batches.iter().rev() {
            state.extend(file(&batch.moves, false).into_iter().map(|placed| (placed.at, placed.replicas)));
        }
        prop_assert_eq!(state, done(&facts, &[]));
    }

    #[test]
    fn elections_are_for_those_whose_preferred_leader_does_not_lead(facts in clusters(), aim in aims()) {
        let Ok(moves) = plan(&facts, &aim) else { return Ok(()) };
        let after = done(&facts, &moves);
        for at in preferred_after(&facts, &moves) {
            prop_assert_ne!(facts.partition(&at).unwrap().leader, after[&at].first().copied());
        }
    }

    #[test]
    fn a_drained_broker_neither_leads_nor_is_preferred_and_nothing_is_copied(facts in clusters(), broker in 1i32..4) {
        let drained = drain(&facts, broker);
        let stuck: BTreeSet<&PartitionId> = drained.undrainable.iter().map(|found| &found.at).collect();
        for one in &drained.moves {
            prop_assert_eq!(one.added().count(), 0);
            prop_assert_eq!(one.after.len(), one.before.len());
            prop_assert_eq!(*one.after.last().unwrap(), broker);
            let partition = facts.partition(&one.at).unwrap();
            prop_assert!(partition.in_sync.contains(&one.after[0]) && facts.is_live(one.after[0]));
        }
        for (at, replicas) in done(&facts, &drained.moves) {
            let leads = facts.partition(&at).unwrap().leader == Some(broker);
            let moved = drained.moves.iter().any(|one| one.at == at);
            prop_assert!(stuck.contains(&at) || replicas[0] != broker && (!leads || moved));
        }
    }
}

#[test]
fn a_broker_with_larger_disks_gets_more() {
    let disk = |total| {
        Some(vec![Dir { path: "/d".into(), error: None, total: Some(total), usable: Some(total / 2) }])
    };
    let broker = |total| Broker { live: true, rack: None, dirs: disk(total) };
    let partition = |on: i32, bytes| Partition {
        leader: Some(on),
        replicas: vec![on],
        in_sync: vec![on],
        bytes: Some(bytes),
        moving: None,
    };
    // Broker 3 has more bytes than broker 2, on a disk that is four times as large.
    let partitions = [partition(1, 1_000), partition(2, 400), partition(3, 600)];
    let topic = Topic { partitions: (0..).zip(partitions).collect(), ..Topic::default() };
    let facts = |third| Facts {
        brokers: [(1, broker(10_000)), (2, broker(10_000)), (3, broker(third))].into(),
        topics: [("t".to_owned(), topic.clone())].into(),
        ..Facts::default()
    };
    let aim = Aim { replicas: Some(2), ..Aim::default() };
    assert_eq!(plan(&facts(40_000), &aim).unwrap()[0].after, [1, 3]);
    assert_eq!(plan(&facts(10_000), &aim).unwrap()[0].after, [1, 2]);
}

#[test]
fn disks_over_the_watermark_are_refused_and_others_are_taken_first() {
    let disk =
        |usable| Some(vec![Dir { path: "/d".into(), error: None, total: Some(1_000), usable: Some(usable) }]);
    let broker = |usable| Broker { live: true, rack: None, dirs: disk(usable) };
    let partition =
        Partition { leader: Some(1), replicas: vec![1], in_sync: vec![1], bytes: Some(300), moving: None };
    let topic = Topic { partitions: [(0, partition)].into(), ..Topic::default() };
    // Broker 2 has the least, but no room.
    let mut facts = Facts {
        brokers: [(1, broker(500)), (2, broker(400)), (3, broker(600))].into(),
        topics: [("t".to_owned(), topic)].into(),
        ..Facts::default()
    };
    let aim = Aim { replicas: Some(2), watermark: Some(80), ..Aim::default() };
    assert_eq!(plan(&facts, &aim).unwrap()[0].after, [1, 3]);
    facts.brokers.insert(3, broker(400));
    let refused = plan(&facts, &aim).unwrap_err();
    assert!(
        matches!(&refused[..], [Refusal::DisksFull { count: 1, watermark: 80, bytes: 300, .. }]),
        "{refused:?}"
    );
}
