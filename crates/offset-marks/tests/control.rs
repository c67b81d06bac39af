//! The records of the control topic: there and back, and whatever else may lie in it.

use std::collections::BTreeMap;

use mirror_types::{Mark, TopicPartition};
use offset_marks::{
    LaneStart, Ledger, LedgerWriter, OffsetsMode, Point, WritersMode,
    control::{
        ControlError, ControlRecord, ControlState, Decoded, Event, EventKind, Keep, Key, Link, Owner, Record,
        Rules, Verified, decode,
    },
};
use proptest::{
    collection::{btree_map, vec},
    option,
    prelude::*,
};

const TOPIC: &str = "[a-zA-Z0-9._-]{1,20}";

fn kind() -> impl Strategy<Value = EventKind> {
    prop_oneof![
        Just(EventKind::Retention),
        Just(EventKind::Recreated),
        Just(EventKind::Truncated),
        Just(EventKind::Refused),
        Just(EventKind::Diverged),
        Just(EventKind::Foreign),
        Just(EventKind::Restarted),
    ]
}

fn start() -> impl Strategy<Value = LaneStart> {
    let names = (TOPIC, TOPIC, option::of(".*"), option::of(".*"), option::of(".*"), option::of(".*"));
    let numbers = (any::<u32>(), any::<i64>(), 0..=i32::MAX, 0..=i64::MAX, 0..=i64::MAX);
    let configs = btree_map(TOPIC, option::of(".*"), 0..3);
    let later = (option::of(0..=i64::MAX), option::of(configs), option::of(0..=i64::MAX));
    let all = (names, numbers, any::<bool>(), any::<bool>(), later);
    all.prop_map(|(names, numbers, identical, shared, later)| LaneStart {
        incarnation: numbers.0,
        since: numbers.1,
        source_topic: names.0,
        target_topic: names.1,
        partition: numbers.2,
        at: Point::new(numbers.3, numbers.4),
        source_cluster: names.2,
        target_cluster: names.3,
        source_topic_id: names.4,
        target_topic_id: names.5,
        offsets: if identical { OffsetsMode::Identical } else { OffsetsMode::Translated },
        writers: if shared { WritersMode::Shared } else { WritersMode::Exclusive },
        source_end: later.0,
        configs: later.1,
        adopted: later.2,
    })
}

fn chunks() -> impl Strategy<Value = Vec<ControlRecord>> {
    (start(), vec((0..300i64, 0..300i64, 1..300u64), 1..5)).prop_map(|(mut start, runs)| {
        start.at = Point::new(start.at.source / 2, start.at.target / 2);
        let mut writer = LedgerWriter::begin(start);
        for (source_gap, target_gap, count) in runs {
            let Point { source, target } = writer.position();
            let mark = Mark { source: source + source_gap, target: target + target_gap, count };
            writer.mark(mark).expect("in order");
        }
        writer.unwritten().records
    })
}

fn records() -> impl Strategy<Value = Record> {
    let link = (any::<(i64, i64, i32)>(), ".*", option::of(".*"), option::of(".*")).prop_map(
        |((producer_id, created, slots), version, source_cluster, target_cluster)| {
            Record::Link(Link { producer_id, created, version, source_cluster, target_cluster, slots })
        },
    );
    let owner = (any::<(i32, i32, i64)>(), ".*").prop_map(|((slot, generation, since), instance)| {
        Record::Owner(Owner { slot, instance, generation, since })
    });
    let event = (TOPIC, 0..=i32::MAX, any::<(i64, i64, i64)>(), kind(), ".*").prop_map(
        |(topic, partition, (when, from, to), kind, words)| {
            Record::Event(Event { topic, partition, when, kind, from, to, words })
        },
    );
    let chunk = chunks().prop_map(|records| {
        let last = records.last().expect("start and chunk");
        match decode(Some(&last.key), last.value.as_deref()) {
            Ok(Decoded::Record(record)) => record,
            other => panic!("{other:?}"),
        }
    });
    let verified =
        (TOPIC, 0..=i32::MAX, any::<(u32, i64)>()).prop_map(|(topic, partition, (incarnation, through))| {
            Record::Verified(Verified { topic, partition, incarnation, through })
        });
    let patterns = || vec((".{0,5}", ".{0,5}"), 0..3);
    let names = ("[A-Za-z0-9_-]{1,22}", "[A-Za-z0-9_-]{1,22}", TOPIC, ".*");
    let rules = (names, vec(".{0,5}", 0..3), patterns(), patterns(), any::<i64>()).prop_map(
        |((source_cluster, target_cluster, link, group), include, rename, origin_headers, since)| {
            let exclude = include.clone();
            Record::Rules(Rules {
                link,
                source_cluster,
                target_cluster,
                group,
                include,
                exclude,
                rename,
                origin_headers,
                started: since,
                since,
            })
        },
    );
    prop_oneof![link, rules, owner, event, verified, chunk, start().prop_map(Record::Lane)]
}

/// Whatever is read must be fit for use.
fn use_it(key: Option<&[u8]>, value: Option<&[u8]>) {
    let decoded = match decode(key, value) {
        Ok(decoded) => decoded,
        Err(error) => return drop(error.to_string()),
    };
    if let Decoded::Record(Record::Chunk { lane, chunk, .. }) = &decoded {
        let start = example(lane, 1, chunk.base());
        let ledger = Ledger::new(start.clone(), [chunk.clone()]).expect("one can't overlap");
        let end = ledger.position();
        for offset in
            [i64::MIN, -1, 0, chunk.base().source, end.source - 1, end.target - 1, end.source, i64::MAX]
        {
            ledger.to_target(offset).resume_at();
            ledger.to_source(offset).to_string();
        }
        let mut writer = LedgerWriter::resume(start, Some((u32::MAX / 2, chunk)), None);
        let _ = writer.mark(Mark { source: end.source, target: end.target, count: 1 });
        let _ = writer.mark(Mark { source: end.source.saturating_add(5), target: end.target, count: 1 });
        writer.unwritten();
    }
    for keep in [Keep::Everything, Keep::Tails] {
        let mut state = ControlState::new(keep);
        state.take(decoded.clone());
        state.leftovers();
        if let Some(start) = state.lanes().next() {
            let _ = state.ledger(&start.lane()).expect("begun");
            state.writer(&start.lane()).expect("begun");
            state.next_incarnation(&start.lane());
        }
    }
}

fn example(lane: &TopicPartition, incarnation: u32, at: Point) -> LaneStart {
    LaneStart {
        incarnation,
        since: 0,
        source_topic: lane.topic.to_string(),
        target_topic: lane.topic.to_string(),
        partition: lane.partition,
        at,
        source_cluster: None,
        target_cluster: None,
        source_topic_id: None,
        target_topic_id: None,
        offsets: OffsetsMode::Identical,
        writers: WritersMode::Exclusive,
        source_end: None,
        configs: None,
        adopted: None,
    }
}

proptest! {
    #[test]
    fn a_record_comes_back_as_it_was_written(record in records()) {
        let ControlRecord { key, value } = record.encode();
        prop_assert_eq!(Key::decode(&key), Ok(record.key()));
        prop_assert_eq!(decode(Some(&key), value.as_deref()), Ok(Decoded::Record(record.clone())));
        prop_assert_eq!(decode(Some(&key), None), Ok(Decoded::Removed(record.key())));
    }

    #[test]
    fn arbitrary_bytes_never_panic(key in option::of(vec(any::<u8>(), 0..30)), value in option::of(vec(any::<u8>(), 0..60))) {
        use_it(key.as_deref(), value.as_deref());
    }

    #[test]
    fn arbitrary_chunks_never_panic(value in vec(any::<u8>(), 0..60)) {
        use_it(Some(b"chunk/t/0/1/0"), Some(&[&[1][..], &value].concat()));
    }

    #[test]
    fn damaged_records_never_panic(
        record in records(), at in any::<prop::sample::Index>(), byte in any::<u8>(), cut in any::<bool>()
    ) {
        let ControlRecord { mut key, value } = record.encode();
        let mut value = value.expect("no tombstone");
        let index = at.index(value.len());
        value[index] = byte;
        if cut {
            value.truncate(index);
        }
        use_it(Some(&key), Some(&value));
        let index = at.index(key.len());
        key[index] = byte;
        use_it(Some(&key), Some(&value));
    }

    #[test]
    fn a_key_has_one_spelling(text in "(link|owner|lane|chunk|verified|event)(/[a-z0-9+-]{0,3}){1,5}") {
        if let Ok(key) = Key::decode(text.as_bytes()) {
            prop_assert_eq!(key.to_string(), text);
        }
    }
}

fn refusal(key: &str, value: &str) -> ControlError {
    decode(Some(key.as_bytes()), Some(value.as_bytes())).expect_err("refused")
}

#[test]
fn what_a_newer_version_wrote_is_said_to_be_newer() {
    for (key, value) in [
        ("lease/3", "{}"),
        ("event/t/0/1/moved/5", "{}"),
        ("owner/3", r#"{"v":2,"who":"x"}"#),
        ("chunk/t/0/1/0", "\x02"),
        ("chunk/t/0/1/0", "\x01\x00\x00\x03\x05\x01"),
    ] {
        assert!(matches!(refusal(key, value), ControlError::Newer { .. }), "{key} {value:?}");
    }
    assert_eq!(
        refusal("lease/3", "").to_string(),
        "control record lease/3 was written by a newer version of isomirror (kind \"lease\"); upgrade this one"
    );
}

#[test]
fn what_nobody_wrote_is_said_to_be_malformed() {
    let owner = r#"{"v":1,"slot":3,"instance":"a","generation":1,"since":0}"#;
    assert!(decode(Some(b"owner/3"), Some(owner.as_bytes())).is_ok());
    for (key, value) in [
        ("", "{}"),
        ("hello world", "{}"),
        ("owner/+3", owner),
        ("owner/03", owner),
        ("owner/4", owner),
        ("owner/3", "{}"),
        ("owner/3", "no JSON"),
        ("owner/3", r#"{"v":1,"slot":3}"#),
        ("lane//3", "{}"),
        ("lane/t/-1", "{}"),
        ("verified/t/0/1", r#"{"v":1,"topic":"t","partition":0,"incarnation":1,"through":5}"#),
        ("verified/t/1", r#"{"v":1,"topic":"t","partition":0,"incarnation":1,"through":5}"#),
        ("chunk/t/0/1/4294967295", "\x01\x00\x00"),
        ("chunk/t/0/1/0", ""),
        ("chunk/t/0/1/0", "\x01\x00"),
        ("chunk/t/0/1/0", "\x01\x00\x00\x00\x00"),
    ] {
        assert!(matches!(refusal(key, value), ControlError::Malformed { .. }), "{key} {value:?}");
    }
}

#[test]
fn fields_that_a_later_version_adds_are_left_out() {
    let owner = r#"{"v":1,"slot":3,"instance":"a","generation":1,"since":0,"rack":"r1"}"#;
    assert!(decode(Some(b"owner/3"), Some(owner.as_bytes())).is_ok());
}

#[test]
fn configs_to_give_back_are_on_record_until_they_are_given_back() {
    let lane = TopicPartition::new("orders", 3);
    let start = LaneStart { source_end: Some(900), ..example(&lane, 2, Point::new(300, 300)) };
    let mut writer = LedgerWriter::begin(start.clone());
    let configs = BTreeMap::from([("a".to_owned(), Some("b".to_owned())), ("c".to_owned(), None)]);
    let mut state = ControlState::new(Keep::Tails);
    for kept in [Some(configs), None] {
        let record = writer.keep_configs(kept.clone());
        state.take(decode(Some(&record.key), record.value.as_deref()).expect("ours"));
        let back = state.writer(&lane).expect("it has begun");
        assert_eq!(*back.start(), LaneStart { configs: kept, ..start.clone() });
    }
}

#[test]
fn the_format_is_what_it_is() {
    let lane = TopicPartition::new("orders", 3);
    let mut writer = LedgerWriter::begin(example(&lane, 2, Point::new(300, 5)));
    writer.mark(Mark { source: 300, target: 5, count: 100 }).expect("in order");
    writer.mark(Mark { source: 410, target: 115, count: 1 }).expect("in order");
    let records = writer.unwritten().records;
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("text");
    assert_eq!(text(&records[0].key), "lane/orders/3");
    assert_eq!(
        text(records[0].value.as_ref().expect("a value")),
        r#"{"v":1,"incarnation":2,"since":0,"source_topic":"orders","target_topic":"orders","partition":3,"source":300,"target":5,"offsets":"identical","writers":"exclusive"}"#
    );
    assert_eq!(text(&records[1].key), "chunk/orders/3/2/0");
    assert_eq!(
        records[1].value.as_deref().expect("a value"),
        [
            1, 0xac, 0x02, 5, /* a run of 100 */ 0, 100, /* a gap of 10 and 10, a run of 1 */ 21,
            0x10, 1
        ]
    );
    let event = Event {
        topic: "orders".to_owned(),
        partition: 3,
        when: 1_763_800_000_000,
        kind: EventKind::Retention,
        from: 5,
        to: 9,
        words: "4 records are lost".to_owned(),
    };
    let verified = Verified { topic: "orders".to_owned(), partition: 3, incarnation: 2, through: 410 };
    let record = Record::Verified(verified).encode();
    assert_eq!(text(&record.key), "verified/orders/3");
    assert_eq!(
        text(record.value.as_ref().expect("a value")),
        r#"{"v":1,"topic":"orders","partition":3,"incarnation":2,"through":410}"#
    );
    let record = Record::Event(event).encode();
    assert_eq!(text(&record.key), "event/orders/3/1763800000000/retention/5");
    assert_eq!(
        text(record.value.as_ref().expect("a value")),
        r#"{"v":1,"topic":"orders","partition":3,"when":1763800000000,"kind":"retention","from":5,"to":9,"words":"4 records are lost"}"#
    );
}

#[test]
fn how_far_a_lane_was_verified_counts_until_it_begins_anew() {
    let lane = TopicPartition::new("orders", 3);
    let begins = |incarnation| LedgerWriter::begin(example(&lane, incarnation, Point::new(0, 0)));
    let verified = |incarnation, through| {
        Record::Verified(Verified { topic: "orders".to_owned(), partition: 3, incarnation, through }).encode()
    };
    for keep in [Keep::Everything, Keep::Tails] {
        let mut state = ControlState::new(keep);
        take(&mut state, &[verified(1, 40)]);
        assert_eq!(state.verified(&lane), None, "it has not begun");
        take(&mut state, &begins(1).unwritten().records);
        assert_eq!(state.verified(&lane), Some(40));
        take(&mut state, &[verified(1, 70)]);
        assert_eq!(state.verified(&lane), Some(70));
        assert_eq!(state.verified(&TopicPartition::new("orders", 4)), None);
        take(&mut state, &begins(2).unwritten().records);
        assert_eq!(state.verified(&lane), None, "it begins anew");
        take(&mut state, &[verified(2, 5)]);
        let forgotten = state.deletion(&lane);
        let (last, others) = forgotten.split_last().expect("some");
        take(&mut state, others);
        assert_eq!(state.next_incarnation(&lane), 3, "what is left of the second must not be taken for new");
        take(&mut state, std::slice::from_ref(last));
        assert_eq!(state.next_incarnation(&lane), 1);
        take(&mut state, &begins(1).unwritten().records);
        assert_eq!(state.verified(&lane), None, "it was forgotten");
    }
}

fn take(state: &mut ControlState, records: &[ControlRecord]) {
    for record in records {
        state.take(decode(Some(&record.key), record.value.as_deref()).expect("we wrote it"));
    }
}

#[test]
fn what_was_found_on_a_lanes_target_counts_until_it_begins_anew() {
    let lane = TopicPartition::new("orders", 3);
    let begins = |incarnation| LedgerWriter::begin(example(&lane, incarnation, Point::new(0, 0)));
    let found = |kind, words: &str| {
        let (topic, words) = ("orders".to_owned(), words.to_owned());
        Record::Event(Event { topic, partition: 3, when: 5, kind, from: 7, to: 7, words }).encode()
    };
    for keep in [Keep::Everything, Keep::Tails] {
        let mut state = ControlState::new(keep);
        let words = |state: &ControlState| state.foreign(&lane).map(|event| event.words.clone());
        take(&mut state, &begins(1).unwritten().records);
        take(&mut state, &[found(EventKind::Diverged, "passes"), found(EventKind::Foreign, "stays")]);
        assert_eq!(words(&state).as_deref(), Some("stays"));
        // Its marks may be written again.
        take(&mut state, &begins(1).unwritten().records);
        assert_eq!(words(&state).as_deref(), Some("stays"));
        assert_eq!(state.foreign(&TopicPartition::new("orders", 4)), None);
        take(&mut state, &begins(2).unwritten().records);
        assert_eq!(words(&state), None, "it begins anew");
        take(&mut state, &[found(EventKind::Foreign, "again")]);
        assert_eq!(words(&state).as_deref(), Some("again"));
        let forgotten = state.deletion(&lane);
        take(&mut state, &forgotten);
        take(&mut state, &begins(1).unwritten().records);
        assert_eq!(words(&state), None, "it was forgotten");
    }
}

#[test]
fn a_lane_that_begins_anew_has_none_of_its_old_marks() {
    let lane = TopicPartition::new("orders", 3);
    for keep in [Keep::Everything, Keep::Tails] {
        let mut state = ControlState::new(keep);
        assert_eq!(state.next_incarnation(&lane), 1);
        let mut old = LedgerWriter::begin(example(&lane, 1, Point::new(0, 0)))
            .with_limits(offset_marks::ChunkLimits { runs: 1, bytes: 100 });
        for i in 0..3 {
            old.mark(Mark { source: i * 10, target: i, count: 1 }).expect("in order");
        }
        take(&mut state, &old.unwritten().records);
        assert_eq!(state.leftovers(), []);
        assert_eq!(state.next_incarnation(&lane), 2);

        let mut new = LedgerWriter::begin(example(&lane, 2, Point::new(100, 0)));
        take(&mut state, &new.unwritten().records);
        assert_eq!(state.writer(&lane).expect("begun").position(), Point::new(100, 0));
        new.mark(Mark { source: 100, target: 0, count: 7 }).expect("in order");
        // The start may be written again later, behind the chunks: which came first does not matter.
        let mut records = new.unwritten().records;
        records.reverse();
        take(&mut state, &records);
        assert_eq!(state.writer(&lane).expect("begun").position(), Point::new(107, 7));
        assert_eq!(state.ledger(&lane).expect("begun").expect("no overlap").runs().count(), 1);

        let leftovers = state.leftovers();
        let keys: Vec<_> = leftovers.iter().map(|r| String::from_utf8_lossy(&r.key)).collect();
        assert_eq!(keys, ["chunk/orders/3/1/0", "chunk/orders/3/1/1", "chunk/orders/3/1/2"]);
        take(&mut state, &leftovers);
        assert_eq!(state.leftovers(), []);

        let deletion = state.deletion(&lane);
        assert_eq!(deletion.len(), 2);
        take(&mut state, &deletion[..1]);
        assert!(state.writer(&lane).is_none());
        assert_eq!(state.next_incarnation(&lane), 3, "what is left of the second must not be taken for new");
        take(&mut state, &deletion);
        assert_eq!(state.next_incarnation(&lane), 1);
    }
}

#[test]
fn the_first_claim_has_the_topic() {
    let claim = |producer_id| Link {
        producer_id,
        created: 0,
        version: "0.1.0".to_owned(),
        source_cluster: None,
        target_cluster: None,
        slots: 16,
    };
    let mut state = ControlState::new(Keep::Tails);
    assert_eq!(state.link(), None);
    take(&mut state, &[Record::Link(claim(7)).encode(), Record::Link(claim(5)).encode()]);
    assert_eq!(state.link(), Some(&claim(7)));
}
