//! The plan against a naive model: a log as a list of what lies at each source offset, and consumers that read it.

use std::{collections::BTreeMap, sync::Arc};

use kafka_wire::{Code, Committed, DescribedGroup, GroupOffsets, ListedGroup};
use mirror_types::{Mark, Offset, TopicPartition};
use offset_marks::{ChunkLimits, LaneStart, Ledger, LedgerWriter, OffsetsMode, Point, WritersMode};
use proptest::{collection::vec, prelude::*};
use topic_rename::Pattern;

use crate::{
    Choice, Chosen, GroupPlan, Lane, Map, Outcome, Rule, Step, Why,
    lane::{Missing, Place},
    plan,
};

/// Where each record of the source lies on the target.
#[derive(Debug, Clone)]
struct Model {
    start: Point,
    records: BTreeMap<Offset, Offset>,
    position: Point,
    target_end: Offset,
}

/// A run: source offsets without a record before it, target offsets without one of ours, records.
type Run = (i64, i64, i64);

fn start_at(at: Point, offsets: OffsetsMode) -> LaneStart {
    LaneStart {
        incarnation: 1,
        since: 0,
        source_topic: "s".to_owned(),
        target_topic: "t".to_owned(),
        partition: 0,
        at,
        source_cluster: None,
        target_cluster: None,
        source_topic_id: None,
        target_topic_id: None,
        offsets,
        writers: WritersMode::Exclusive,
        source_end: None,
        configs: None,
        adopted: None,
    }
}

impl Model {
    fn translated(at: Point, runs: &[Run], beyond: i64) -> (Self, LedgerWriter) {
        let limits = ChunkLimits { runs: 3, bytes: 1 << 20 };
        let mut writer = LedgerWriter::begin(start_at(at, OffsetsMode::Translated)).with_limits(limits);
        let (mut position, mut records) = (at, BTreeMap::new());
        for (source_gap, target_gap, count) in runs {
            let from = Point::new(position.source + source_gap, position.target + target_gap);
            writer.mark(Mark { source: from.source, target: from.target, count: *count as u64 }).unwrap();
            records.extend((0..*count).map(|n| (from.source + n, from.target + n)));
            position = Point::new(from.source + count, from.target + count);
        }
        (Self { start: at, records, position, target_end: position.target + beyond }, writer)
    }

    /// Gaps are filled: what is on the target is where it was.
    fn identical(start: Offset, runs: &[Run]) -> Self {
        let (mut at, mut records) = (start, BTreeMap::new());
        for (gap, _, count) in runs {
            records.extend((0..*count).map(|n| (at + gap + n, at + gap + n)));
            at += gap + count;
        }
        let (start, position) = (Point::new(start, start), Point::new(at, at));
        Self { start, records, position, target_end: at }
    }

    fn lane(&self, map: Map) -> Lane {
        Lane {
            topic: "s".to_owned(),
            target_topic: "t".to_owned(),
            partition: 0,
            start: self.start,
            map,
            source_low: None,
            target_low: None,
            target_end: self.target_end,
            of_others: BTreeMap::new(),
            trouble: None,
        }
    }

    /// What a place has to be for who has read everything before `source` on the source.
    fn check(&self, source: Offset, place: Place) -> Result<(), TestCaseError> {
        let read = |record: Offset| record < source;
        for (record, target) in &self.records {
            let reads_it = *target >= place.target;
            prop_assert_eq!(reads_it, !read(*record), "record {} at {}, {:?}", record, target, place);
        }
        prop_assert!(place.target <= self.target_end, "{place:?}");
        prop_assert!(place.target >= self.start.target, "{place:?}");
        let (started, arrived) = (self.start.source, self.position.source);
        prop_assert_eq!(place.read_again, (source - arrived).max(0) as u64, "{:?}", place);
        prop_assert_eq!(place.absent, (started - source).max(0) as u64, "{:?}", place);
        prop_assert_eq!(place.why == Why::BeforeStart, source < started);
        prop_assert_eq!(place.why == Why::NotMirroredYet, source > arrived);
        if place.why == Why::Gap {
            prop_assert!(!self.records.contains_key(&source));
        }
        Ok(())
    }
}

fn ledger(writer: &LedgerWriter) -> Box<Ledger> {
    // Nothing was written yet, so all of it is in memory.
    Box::new(writer.recent().unwrap())
}

fn runs() -> impl Strategy<Value = Vec<Run>> {
    vec((0..4_i64, 0..4_i64, 1..6_i64), 0..12)
}

proptest! {
    #[test]
    fn on_a_translated_lane_nothing_is_missed_or_repeated(
        source in 0..50_i64, target in 0..50_i64, runs in runs(), beyond in 0..5_i64, offset in 0..200_i64,
    ) {
        let (model, writer) = Model::translated(Point::new(source, target), &runs, beyond);
        let lane = model.lane(Map::Marks(ledger(&writer)));
        model.check(offset, lane.place(offset).unwrap())?;
    }

    #[test]
    fn on_an_identical_lane_nothing_is_missed_or_repeated(
        start in 0..50_i64, runs in runs(), offset in 0..200_i64,
    ) {
        let model = Model::identical(start, &runs);
        let place = model.lane(Map::Identical).place(offset).unwrap();
        model.check(offset, place)?;
        if (model.start.source..=model.position.source).contains(&offset) {
            prop_assert_eq!(place.target, offset, "verbatim");
        }
    }

    #[test]
    fn never_past_the_end_even_of_a_target_that_was_cut(
        at in 0..50_i64, runs in runs(), cut in 0..80_i64, offset in 0..200_i64,
    ) {
        let (mut model, writer) = Model::translated(Point::new(at, at + 7), &runs, 0);
        model.target_end = (model.target_end - cut).max(0);
        for map in [Map::Identical, Map::Marks(ledger(&writer))] {
            prop_assert!(model.lane(map).place(offset).unwrap().target <= model.target_end);
        }
    }

    #[test]
    fn what_is_read_again_is_counted_from_where_the_group_goes_on(
        source in 0..50_i64, target in 0..50_i64, runs in runs(), offset in 0..200_i64, now in 0..200_i64,
    ) {
        let (model, writer) = Model::translated(Point::new(source, target), &runs, 0);
        let lane = model.lane(Map::Marks(ledger(&writer)));
        let again = lane.read_again(offset, Some(now)).unwrap();
        // Records that it has read on the source and reads again on the target, and those that are not there yet.
        let mirrored = model.records.iter().filter(|(s, t)| **s < offset && **t >= now).count() as u64;
        let to_come = (offset - model.position.source).max(0) as u64;
        prop_assert!(again >= mirrored + to_come, "gaps count, too: {again} {mirrored} {to_come}");
        let place = lane.place(offset).unwrap();
        if now >= place.target {
            prop_assert_eq!(again, to_come);
        } else if now < model.start.target {
            // At it, what the source has not before its first record is passed over already.
            prop_assert_eq!(again, (offset - model.start.source).max(0) as u64);
        }
        prop_assert_eq!(lane.read_again(offset, None).unwrap(), (offset - model.start.source).max(0) as u64);
    }

    #[test]
    fn the_end_of_a_ledger_says_the_same_or_that_it_does_not_know(
        runs in runs(), written in 0..12_usize, offset in 0..200_i64,
    ) {
        let at = Point::new(3, 9);
        let (model, whole) = Model::translated(at, &runs, 0);
        // The same, but for full chunks that were written and are no longer in memory.
        let limits = ChunkLimits { runs: 3, bytes: 1 << 20 };
        let mut writer = LedgerWriter::begin(start_at(at, OffsetsMode::Translated)).with_limits(limits);
        for (n, mark) in ledger(&whole).runs().enumerate() {
            writer.mark(mark).unwrap();
            if n == written {
                writer.written(writer.unwritten().revision);
            }
        }
        let (all, recent) = (model.lane(Map::Marks(ledger(&whole))), model.lane(Map::Marks(Box::new(writer.recent().unwrap()))));
        match recent.place(offset) {
            Ok(place) => prop_assert_eq!(place, all.place(offset).unwrap()),
            Err(Missing { from, to }) => prop_assert!(from <= offset && offset < to),
        }
        prop_assert!(recent.place(model.position.source).is_ok(), "the position is always known");
    }

    #[test]
    fn what_is_recorded_and_the_end_in_memory_are_the_whole_ledger(
        runs in runs(), written in 0..12_usize, offset in 0..200_i64,
    ) {
        let at = Point::new(3, 9);
        let (model, whole) = Model::translated(at, &runs, 0);
        let whole = ledger(&whole);
        let limits = ChunkLimits { runs: 3, bytes: 1 << 20 };
        let mut writer = LedgerWriter::begin(start_at(at, OffsetsMode::Translated)).with_limits(limits);
        let mut recorded = ledger(&writer);
        for (n, mark) in whole.runs().enumerate() {
            writer.mark(mark).unwrap();
            if n == written {
                recorded = ledger(&writer);
                writer.written(writer.unwritten().revision);
            }
        }
        let both = recorded.followed_by(&writer.recent().unwrap()).unwrap();
        prop_assert_eq!(both.missing().count(), 0);
        let lane = |ledger| model.lane(Map::Marks(Box::new(ledger)));
        prop_assert_eq!(lane(both).place(offset).unwrap(), lane(*whole).place(offset).unwrap());
    }

    #[test]
    fn a_plan_that_was_carried_out_changes_nothing_the_second_time(
        source in 0..50_i64, target in 0..50_i64, runs in runs(), offset in 0..200_i64, now in proptest::option::of(0..200_i64),
        backwards in any::<bool>(),
    ) {
        let (model, writer) = Model::translated(Point::new(source, target), &runs, 3);
        let lanes = one(model.lane(Map::Marks(ledger(&writer))));
        let rule = Rule { backwards };
        let first = planned(&lanes, offset, now, None, rule);
        let step = only(&first);
        let then = step.target_offset_then.unwrap();
        match step.outcome {
            Outcome::Same => prop_assert_eq!(now, Some(then)),
            Outcome::Refused => prop_assert!(!backwards && now.unwrap() > then),
            Outcome::Commit => prop_assert!(backwards || now.is_none_or(|now| now < then)),
            other => prop_assert!(false, "{:?}", other),
        }
        if step.outcome == Outcome::Commit {
            let second = planned(&lanes, offset, Some(then), None, rule);
            prop_assert_eq!(only(&second).outcome, Outcome::Same);
            prop_assert_eq!(only(&second).target_offset_then, Some(then));
        }
    }
}

fn one(lane: Lane) -> BTreeMap<TopicPartition, Lane> {
    BTreeMap::from([(lane.at(), lane)])
}

fn offsets(topic: &str, offset: Option<Offset>) -> GroupOffsets {
    let committed = |offset| Committed { offset, leader_epoch: 7, metadata: "noted".to_owned() };
    offset.map(|offset| ((Arc::from(topic), 0), Ok(committed(offset)))).into_iter().collect()
}

fn planned(
    lanes: &BTreeMap<TopicPartition, Lane>,
    source: Offset,
    target: Option<Offset>,
    activity: Option<&DescribedGroup>,
    rule: Rule,
) -> GroupPlan {
    plan("g", &offsets("s", Some(source)), &offsets("t", target), activity, lanes, |topic| topic == "s", rule)
}

fn only(plan: &GroupPlan) -> &Step {
    let [step] = &plan.partitions[..] else { panic!("{plan:?}") };
    step
}

fn hundred() -> BTreeMap<TopicPartition, Lane> {
    one(Model::identical(10, &[(0, 0, 90)]).lane(Map::Identical))
}

#[test]
fn a_group_with_members_is_refused_but_for_what_is_right_already() {
    let group = |state: &str, members| DescribedGroup { kind: "consumer", state: state.into(), members };
    let lanes = hundred();
    for (state, members, outcome) in [
        ("Stable", 2, Outcome::Refused),
        ("PreparingRebalance", 0, Outcome::Refused),
        ("Assigning", 1, Outcome::Refused),
        ("Reconciling", 1, Outcome::Refused),
        ("Empty", 0, Outcome::Commit),
        ("Dead", 0, Outcome::Commit),
    ] {
        let active = group(state, members);
        let plan = planned(&lanes, 50, Some(40), Some(&active), Rule::default());
        assert_eq!(only(&plan).outcome, outcome, "{state}");
        let same = planned(&lanes, 50, Some(50), Some(&active), Rule::default());
        assert_eq!(only(&same).outcome, Outcome::Same, "{state}");
    }
    let plan = planned(&lanes, 50, None, Some(&group("Stable", 2)), Rule { backwards: true });
    assert!(only(&plan).reason.as_deref().unwrap().contains("2 members on the target (Stable)"), "{plan:?}");
}

#[test]
fn what_has_to_be_known_is_said() {
    let mut lanes = hundred();
    for lane in lanes.values_mut() {
        (lane.source_low, lane.target_low) = (Some(30), Some(40));
    }
    let said = |offset| {
        let plan = planned(&lanes, offset, None, None, Rule::default());
        let step = only(&plan);
        (step.target_offset_then.unwrap(), step.reason.clone().unwrap_or_default())
    };
    assert_eq!(said(60), (60, String::new()));
    let (then, reason) = said(4);
    assert_eq!(then, 10);
    assert!(
        reason.contains("the lane began at source offset 10: 6 offsets before it are not on"),
        "{reason}"
    );
    assert!(reason.contains("the source's log begins at 30: retention has overtaken the group there by 26"));
    assert!(reason.contains("the target's log begins at 40: a consumer is out of range there"), "{reason}");
    let (then, reason) = said(130);
    assert_eq!((then, &*reason), (100, "30 source offsets before it are not mirrored yet"));
    let plan = planned(&lanes, 20, Some(60), None, Rule::default());
    assert!(
        only(&plan).reason.as_deref().unwrap().contains("from target offset 60 to 20; --allow-backwards")
    );
}

#[test]
fn partitions_without_an_offset_stay_so_and_topics_that_are_not_mirrored_are_named() {
    let lanes = hundred();
    let none =
        plan("g", &GroupOffsets::new(), &offsets("t", Some(9)), None, &lanes, |_| true, Rule::default());
    assert!(none.partitions.is_empty() && none.is_in_step());
    let mut source = offsets("other", Some(5));
    source.extend(offsets("late", Some(8)));
    let found = plan("g", &source, &GroupOffsets::new(), None, &lanes, |t| t == "late", Rule::default());
    assert_eq!(found.not_mirrored, ["other"]);
    let step = only(&found);
    assert_eq!((&*step.topic, step.outcome), ("late", Outcome::Refused));
    assert!(step.reason.as_deref().unwrap().contains("has not begun yet") && !found.is_in_step());
}

#[test]
fn a_hole_in_the_marks_and_an_offset_that_is_not_stable_are_nobodys_guess() {
    // Written and no longer in memory: what is left has a hole.
    let limits = ChunkLimits { runs: 1, bytes: 1 << 20 };
    let start = start_at(Point::new(0, 0), OffsetsMode::Translated);
    let mut writer = LedgerWriter::begin(start).with_limits(limits);
    for source in [0, 20, 40] {
        writer.mark(Mark { source, target: source / 2, count: 10 }).unwrap();
    }
    writer.written(writer.unwritten().revision);
    let model = Model {
        start: Point::new(0, 0),
        records: BTreeMap::new(),
        position: Point::new(50, 30),
        target_end: 30,
    };
    let lanes = one(model.lane(Map::Marks(Box::new(writer.recent().unwrap()))));
    let hole = planned(&lanes, 5, None, None, Rule::default());
    assert_eq!(only(&hole).outcome, Outcome::Refused);
    assert!(only(&hole).reason.as_deref().unwrap().starts_with("the marks from source offset 0 to "));
    assert_eq!(only(&planned(&lanes, 45, None, None, Rule::default())).target_offset_then, Some(25));

    let error = kafka_wire::Error::answered(&"b:1".into(), "fetch", Code::UnstableOffsetCommit);
    let unstable: GroupOffsets = [((Arc::from("s"), 0), Err(error))].into();
    let plan = plan("g", &unstable, &GroupOffsets::new(), None, &lanes, |_| true, Rule::default());
    assert_eq!(only(&plan).outcome, Outcome::Failed);
}

#[test]
fn marks_are_waited_for_only_where_they_may_come() {
    let (mut model, writer) = Model::translated(Point::new(0, 10), &[(0, 0, 20)], 0);
    let awaits = |model: &Model, offset| model.lane(Map::Marks(ledger(&writer))).awaits_marks(offset);
    assert!(!awaits(&model, 25), "the target ends where the marks do");
    model.target_end += 3;
    assert!(awaits(&model, 25) && !awaits(&model, 20) && !awaits(&model, 5));
    assert!(!model.lane(Map::Identical).awaits_marks(25));
}

#[test]
fn groups_are_chosen_by_their_whole_names_and_kinds() {
    let pattern = |text: &str| Pattern::new(text).unwrap();
    let choice = Choice {
        include: vec![pattern("billing.*"), pattern("ours"), pattern("isomirror\\..*")],
        exclude: vec![pattern("billing-test")],
        own: "ours".to_owned(),
    };
    let listed = |name: &str, kind: Option<&str>, protocol_type: &str| ListedGroup {
        name: name.to_owned(),
        kind: kind.map(str::to_owned),
        protocol_type: protocol_type.to_owned(),
        state: None,
    };
    let of = |name: &str, kind, protocol_type: &str| choice.of(&listed(name, kind, protocol_type));
    assert_eq!(of("billing", None, "consumer"), Chosen::Yes);
    assert_eq!(of("billing-1", Some("consumer"), "consumer"), Chosen::Yes);
    assert_eq!(of("billing", Some("classic"), ""), Chosen::Yes);
    assert_eq!(of("my-billing", None, "consumer"), Chosen::No);
    for (name, kind, protocol_type, why) in [
        ("billing-test", None, "consumer", "groups.exclude"),
        ("ours", None, "", "isomirror's own"),
        ("isomirror.b-a", Some("classic"), "consumer", "isomirror's own"),
        ("billing", Some("share"), "share", "a share group"),
        ("billing", Some("streams"), "streams", "the streams protocol"),
        ("billing", Some("classic"), "connect", "no consumers"),
        ("billing", Some("new"), "consumer", "does not know"),
    ] {
        let Chosen::LeftOut(reason) = of(name, kind, protocol_type) else { panic!("{name} {kind:?}") };
        assert!(reason.contains(why), "{reason}");
    }
}
