use offset_marks::{OffsetsMode, Point, WritersMode};

use super::{
    super::super::{Counts, Difference, Kind, Verdict},
    *,
};

fn report(incarnation: u32, to: Offset, differs_at: Option<Offset>) -> LaneReport {
    let first_difference = differs_at.map(|place| Difference {
        kind: Kind::Missing,
        place,
        source_offset: Some(place),
        target_offset: None,
        fields: Vec::new(),
        source: None,
        target: None,
    });
    let counts = Counts { missing: differs_at.is_some().into(), ..Counts::default() };
    LaneReport {
        topic: "orders".to_owned(),
        target_topic: "copy".to_owned(),
        partition: 3,
        incarnation,
        offsets: OffsetsMode::Identical,
        start: Point::new(0, 0),
        from: 0,
        to,
        behind: 0,
        found: Found { counts, first_difference, ..Found::default() },
        trouble: None,
        verdict: Verdict::Incomplete,
    }
}

fn lane() -> TopicPartition {
    TopicPartition::new("orders", 3)
}

fn note(seen: &Seen, report: LaneReport) {
    seen.note(report, true).unwrap();
}

fn verified(seen: &Seen) -> Offset {
    seen.status(&lane()).unwrap().offset
}

#[test]
fn it_goes_on_from_what_was_the_same() {
    let seen = Seen::default();
    assert_eq!((seen.done(&lane()), seen.status(&lane())), (None, None));
    note(&seen, report(1, 40, None));
    assert_eq!(seen.judge(&report(1, 40, None)), Next::Over);
    assert_eq!((seen.noted(&lane(), 1).unwrap().to, verified(&seen)), (40, 40));
    assert!(seen.noted(&lane(), 2).is_none(), "another beginning of the lane");
    note(&seen, report(2, 10, None));
    assert_eq!((seen.noted(&lane(), 2).unwrap().to, verified(&seen)), (10, 10));
    seen.keep(&BTreeSet::new());
    assert_eq!(seen.status(&lane()), None);
}

#[test]
fn a_difference_is_told_once_when_a_second_look_finds_it_too() {
    let seen = Seen::default();
    note(&seen, report(1, 40, None));
    // What is not there any more at the second look was none.
    for _ in 0..2 {
        note(&seen, report(1, 60, Some(55)));
        assert_eq!(seen.judge(&report(1, 60, Some(55))), Next::LookAgain);
        assert_eq!((seen.done(&lane()), verified(&seen)), (Some(40), 40), "the second look is at the same");
        assert_eq!(seen.status(&lane()).unwrap().difference, None);
        assert_eq!(seen.judge(&report(1, 60, None)), Next::Over);
    }
    // Nor is what is somewhere else each time.
    assert_eq!(seen.judge(&report(1, 60, Some(58))), Next::LookAgain);
    assert_eq!(seen.judge(&report(1, 60, Some(55))), Next::LookAgain);
    let Next::Tell(words) = seen.judge(&report(1, 60, Some(55))) else { panic!("it is told") };
    assert!(words.starts_with("orders[3] → copy: the target is NOT what the source is: "), "{words}");
    assert!(words.contains("the record at source offset 55 is missing on the target"), "{words}");
    assert!(words.contains("all before source offset 55 is the same"), "{words}");
    assert!(words.contains("fix: isomirror verify CONFIG --topic orders --show-values"), "{words}");
    assert!(seen.is_different(&lane()));
    // It goes on behind the difference, and does not say that it was the same.
    note(&seen, report(1, 90, Some(55)));
    assert_eq!(seen.judge(&report(1, 90, Some(55))), Next::Over);
    assert_eq!((seen.done(&lane()), verified(&seen)), (Some(90), 55));
    let status = seen.status(&lane()).unwrap();
    assert_eq!((status.differences, status.fix.is_some()), (1, true));
    assert_eq!(seen.lanes(), [(lane(), "copy".to_owned(), 55, 1)]);
    // The lane begins anew.
    note(&seen, report(2, 5, None));
    assert_eq!((verified(&seen), seen.is_different(&lane())), (5, false));
}

#[test]
fn what_is_on_record_is_gone_on_from_and_what_is_not_is_due() {
    let start = LaneStart {
        incarnation: 1,
        since: 0,
        source_topic: "orders".to_owned(),
        target_topic: "copy".to_owned(),
        partition: 3,
        at: Point::new(0, 0),
        source_cluster: None,
        target_cluster: None,
        source_topic_id: None,
        target_topic_id: None,
        offsets: OffsetsMode::Identical,
        writers: WritersMode::Exclusive,
        source_end: None,
        configs: None,
        adopted: None,
    };
    let seen = Seen::default();
    seen.recall(&start, 70);
    assert_eq!((seen.noted(&lane(), 1).unwrap().to, verified(&seen)), (70, 70));
    assert_eq!(seen.unrecorded(), []);
    note(&seen, report(1, 90, None));
    seen.recall(&start, 70);
    assert_eq!(verified(&seen), 90, "more is known here");
    let due = seen.unrecorded();
    assert_eq!((due.len(), due[0].through, due[0].lane()), (1, 90, lane()));
    seen.recorded(&due[0]);
    assert_eq!(seen.unrecorded(), []);
    // One that has begun anew was not compared.
    seen.recall(&LaneStart { incarnation: 2, ..start }, 20);
    assert_eq!((verified(&seen), seen.noted(&lane(), 1).is_none()), (20, true));
}
