//! What `isomirror marks` says of every offset, both ways, against where the records were found. The command is called
//! here and nowhere else.

use std::collections::{BTreeMap, BTreeSet};

use kafka_harness::client;
use serde_json::Value;

use crate::{compare::Places, modes::Link};

/// What the command says of an offset.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// Its record is there on the other side.
    Exact(i64),
    /// No visible record is at it; the next one is there on the other side.
    Gap(i64),
    /// Anything else: before the start, not mirrored yet, not known.
    None,
}

/// Which way is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// From the source's offsets to the target's.
    Translate,
    /// Back.
    Reverse,
}

/// Asks for one offset, or for all of a partition.
#[track_caller]
pub fn ask(link: &Link<'_>, way: Way, partition: i32, offset: Option<i64>) -> BTreeMap<i64, Answer> {
    let (verb, other) = match way {
        Way::Translate => ("translate", "target"),
        Way::Reverse => ("reverse", "source"),
    };
    let (partition, offset) = (partition.to_string(), offset.map(|offset| offset.to_string()));
    let mut args = vec![verb, "--topic", &link.source.topic, "--partition", &partition, "--output", "json"];
    match &offset {
        Some(offset) => args.extend(["--offset", offset]),
        None => args.push("--all"),
    }
    let output = link.config.command("marks", &args);
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success(),
        "isomirror marks {args:?}: {}\n{}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    let line = |line: &str| {
        let value: Value = serde_json::from_str(line).ok()?;
        answer(&value, other)
    };
    let answers = text.lines().map(|l| line(l).unwrap_or_else(|| panic!("not an answer: {l}")));
    answers.collect()
}

/// One line: `{"offset":7,"translation":{"found":"exact","source":7,"target":9},…}`, or a gap's with
/// `"next":{"source":8,"target":10}`.
fn answer(value: &Value, other: &str) -> Option<(i64, Answer)> {
    let offset = value["offset"].as_i64()?;
    let found = &value["translation"];
    let answer = match found["found"].as_str()? {
        "exact" => Answer::Exact(found[other].as_i64()?),
        "gap" => Answer::Gap(found["next"][other].as_i64()?),
        _ => Answer::None,
    };
    Some((offset, answer))
}

/// Asks for all offsets, both ways, and compares with where the records are.
#[track_caller]
pub fn assert_all(link: &Link<'_>, places: &Places) {
    let sources = client::watermarks(&link.from.props(), &link.source.topic).expect("bounds");
    for (partition, pairs) in places {
        let ends = sources[partition].1;
        let back: Vec<(i64, i64)> = pairs.iter().map(|(source, target)| (*target, *source)).collect();
        for (way, pairs) in [(Way::Translate, pairs), (Way::Reverse, &back)] {
            let answers = ask(link, way, *partition, None);
            let wrong = wrong(pairs, &answers);
            let at = format!("{}[{partition}] {way:?}", link.source.topic);
            let first: Vec<_> = wrong.iter().take(10).collect();
            assert!(wrong.is_empty(), "{at}: {} wrong answers: {first:#?}", wrong.len());
            if way == Way::Translate {
                let until = answers.last_key_value().map_or(0, |(offset, _)| offset + 1);
                assert!(until >= ends, "{at}: answers end at {until}, the source at {ends}");
            }
        }
    }
}

/// The answers that are not so: a record's must be exact; an offset without one must be in a gap that ends at the next
/// record, or behind them all.
fn wrong(pairs: &[(i64, i64)], answers: &BTreeMap<i64, Answer>) -> Vec<String> {
    let known: BTreeMap<i64, i64> = pairs.iter().copied().collect();
    let targets: BTreeSet<i64> = pairs.iter().map(|(_, to)| *to).collect();
    let mut wrong = Vec::new();
    for (offset, to) in &known {
        if answers.get(offset) != Some(&Answer::Exact(*to)) {
            wrong.push(format!("{offset} is at {to}, the answer is {:?}", answers.get(offset)));
        }
    }
    let first = known.keys().next().copied().unwrap_or(i64::MAX);
    for (offset, answer) in answers.iter().filter(|(offset, _)| !known.contains_key(offset)) {
        let next = known.range(offset..).next().map(|(_, to)| *to);
        let right = match (answer, next) {
            (Answer::Exact(_), _) => false,
            // Behind the last record, the next one's place is not known before it is there.
            (Answer::Gap(to), None) => targets.last().is_none_or(|last| to > last),
            (Answer::Gap(to), Some(next)) => *to == next,
            // In front of the lane's start there are answers of their own; behind it there are none missing.
            (Answer::None, next) => next.is_none() || *offset < first,
        };
        if !right {
            wrong.push(format!("{offset} has no record, the next is at {next:?}; the answer is {answer:?}"));
        }
    }
    wrong
}

/// The checker itself: it takes what is right, and finds each wrong answer.
#[test]
fn a_wrong_answer_is_found() {
    let pairs = [(0, 100), (1, 101), (4, 104), (5, 105)];
    let right = [
        (0, Answer::Exact(100)),
        (1, Answer::Exact(101)),
        (2, Answer::Gap(104)),
        (3, Answer::Gap(104)),
        (4, Answer::Exact(104)),
        (5, Answer::Exact(105)),
        (6, Answer::Gap(107)),
        (7, Answer::None),
    ];
    let check = |change: Option<(i64, Answer)>| {
        let mut answers: BTreeMap<i64, Answer> = right.into_iter().collect();
        answers.extend(change);
        wrong(&pairs, &answers).len()
    };
    assert_eq!(check(None), 0);
    for planted in [
        (0, Answer::Exact(99)),
        (1, Answer::Gap(104)),
        (1, Answer::None),
        (2, Answer::Gap(105)),
        (2, Answer::Exact(102)),
        (3, Answer::None),
        (6, Answer::Gap(105)),
        (6, Answer::Exact(106)),
    ] {
        assert_eq!(check(Some(planted)), 1, "{planted:?}");
    }
    let parsed = |text: &str| answer(&serde_json::from_str(text).unwrap(), "target");
    let exact = r#"{"offset":7,"translation":{"found":"exact","source":7,"target":9}}"#;
    assert_eq!(parsed(exact), Some((7, Answer::Exact(9))));
    let gap = r#"{"offset":8,"translation":{"found":"gap","cause":null,"next":{"source":9,"target":11},"visible":true}}"#;
    assert_eq!(parsed(gap), Some((8, Answer::Gap(11))));
    let not_yet =
        r#"{"offset":8,"translation":{"found":"not_yet","position":{"source":8,"target":1},"ahead":0}}"#;
    assert_eq!(parsed(not_yet), Some((8, Answer::None)));
    assert_eq!(parsed(r#"{"source":8}"#), None);
}
