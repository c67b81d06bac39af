//! What concerns a link beside its topics: other links, the journal, groups, and the time to catch up.

use link_journal::TopicState;
use offset_marks::control::Rules;

use super::*;

fn other(side: Side, name: &str, from: &str, route: (&str, &str), runs: Option<bool>) -> OtherLink {
    OtherLink {
        side,
        name: name.to_owned(),
        source_cluster: Some(format!("id-of-{from}")),
        runs,
        routes: [(route.0.to_owned(), route.1.to_owned())].into(),
        rules: Vec::new(),
    }
}

fn rules(link: &str, (from, to): (&str, &str), (topic, target): (&str, &str), header: &str) -> Rules {
    Rules {
        link: link.to_owned(),
        source_cluster: format!("id-of-{from}"),
        target_cluster: format!("id-of-{to}"),
        group: String::new(),
        include: vec![topic.to_owned()],
        exclude: Vec::new(),
        rename: vec![(topic.to_owned(), target.to_owned())],
        origin_headers: vec![(".*".to_owned(), header.to_owned())],
        started: 0,
        since: offset_marks::now_ms(),
    }
}

#[test]
fn links_tell_by_their_rules_what_comes_back_over_them_and_none_does_that_says_where_it_comes_from() {
    let beside = |own: &str, theirs: Vec<Rules>| {
        let back = OtherLink { rules: theirs, ..other(Side::Source, "back", "dc2", ("b", "a"), Some(true)) };
        let own = rules("dc1-dc2", ("dc1", "dc2"), ("a", "b"), own);
        judge(&Facts { others: vec![back], rules: Some(own), ..facts(topic()) })
    };
    let back = |header| rules("back", ("dc2", "dc1"), ("b", "a"), header);
    let (codes, words) = beside("", vec![back("")]);
    assert_eq!(codes, ["error loop-of-links"], "{words}");
    assert!(words.contains("a → b (link dc1-dc2) → a (link back); the link that leads back runs"), "{words}");
    assert_eq!(beside("h", vec![back("h")]).0, Vec::<String>::new());
    assert_eq!(beside("h", vec![back("")]).0, ["error loop-of-links"]);
    // What they lead elsewhere now is no matter.
    assert_eq!(beside("", vec![rules("back", ("dc2", "dc1"), ("b", "c"), "")]).0, Vec::<String>::new());
    // Over a third cluster, as the link that comes from there has seen it.
    let ring =
        vec![rules("back", ("dc3", "dc1"), ("b", "a"), ""), rules("seen", ("dc2", "dc3"), ("b", "b"), "")];
    let (codes, words) = beside("", ring);
    assert_eq!(codes, ["error loop-of-links"], "{words}");
    assert!(words.contains("a → b (link dc1-dc2) → b (link seen) → a (link back)"), "{words}");
}

#[test]
fn records_of_a_third_cluster_that_come_over_two_links_are_told() {
    let mut shared = topic();
    shared.settings.shared = true;
    shared.settings.offsets = pipeline::Offsets::Translated;
    let others = vec![
        other(Side::Source, "dc3-dc1", "dc3", ("a", "a"), Some(true)),
        other(Side::Target, "dc3-dc2", "dc3", ("a", "b"), Some(true)),
    ];
    let beside = |only_own, others: &[OtherLink]| {
        judge(&Facts { others: others.to_vec(), only_own, ..facts(shared.clone()) })
    };
    let (codes, words) = beside(false, &others);
    assert_eq!(codes, ["error records-come-twice"], "{words}");
    assert!(
        words.contains("link dc3-dc1 brings records of a third cluster to it, and link dc3-dc2"),
        "{words}"
    );
    assert_eq!(beside(true, &others).0, Vec::<String>::new());
    assert_eq!(beside(false, &others[..1]).0, Vec::<String>::new());
}

/// The findings with these links beside it.
fn beside(others: &[OtherLink]) -> (Vec<String>, String) {
    judge(&Facts { others: others.to_vec(), ..facts(topic()) })
}

#[test]
fn a_link_that_leads_back_is_a_loop_by_cluster_ids_and_topics_whatever_it_is_called() {
    let back = |from, route, runs| beside(&[other(Side::Source, "any", from, route, runs)]);
    let (codes, words) = back("dc2", ("b", "a"), Some(true));
    assert_eq!(codes, ["error loop-of-links"], "{words}");
    assert!(words.contains("link any mirrors b of dc2 back to it, and runs"), "{words}");
    for runs in [Some(false), None] {
        assert_eq!(back("dc2", ("b", "a"), runs).0, ["warning loop-of-links"]);
    }
    // From elsewhere, or to elsewhere, it is none.
    for (from, route) in [("dc3", ("b", "a")), ("dc2", ("a", "b")), ("dc2", ("b", "c")), ("dc2", ("c", "a"))]
    {
        assert_eq!(back(from, route, Some(true)).0, Vec::<String>::new(), "{from} {route:?}");
    }
}

#[test]
fn a_link_that_writes_to_the_same_topic_is_found_unless_writers_share_it() {
    let theirs = |runs| [other(Side::Target, "first", "dc0", ("x", "b"), runs)];
    let (codes, words) = beside(&theirs(Some(true)));
    assert_eq!(codes, ["error target-of-another-link"], "{words}");
    assert!(words.contains("link first mirrors x to it, and runs"), "{words}");
    assert_eq!(beside(&theirs(Some(false))).0, ["warning target-of-another-link"]);
    assert_eq!(
        beside(&[other(Side::Target, "first", "dc0", ("b", "x"), Some(true))]).0,
        Vec::<String>::new()
    );
    let mut shared = topic();
    shared.settings.shared = true;
    shared.settings.offsets = pipeline::Offsets::Translated;
    assert_eq!(
        judge(&Facts { others: theirs(Some(true)).to_vec(), ..facts(shared) }).0,
        Vec::<String>::new()
    );
}

#[test]
fn marks_that_are_on_the_source_and_not_on_the_target_are_those_of_swapped_clusters() {
    let mut facts = facts(topic());
    facts.others = vec![other(Side::Source, "dc1-dc2", "dc2", ("c", "d"), Some(false))];
    assert_eq!(judge(&facts).0, Vec::<String>::new(), "it has marks on both sides");
    facts.control.topic = missing(Some(Ok(())));
    facts.control.marks = None;
    let (codes, words) = judge(&facts);
    assert_eq!(codes, ["error clusters-swapped"], "{words}");
    assert!(words.contains("its marks are on dc1, which is its source here"), "{words}");
}

#[test]
fn a_topic_that_was_stopped_by_an_earlier_run_of_the_link_is_told() {
    for (state, verb) in [(TopicState::Stopped, "start"), (TopicState::Paused, "resume")] {
        let mut facts = facts(topic());
        let (by, why) = ("ann@vm".to_owned(), Some("cutover 1".to_owned()));
        facts.journal.held = vec![Held { topic: "a".to_owned(), state, by, why }];
        let (codes, words) = judge(&facts);
        assert_eq!(codes, ["warning topic-held"], "{words}");
        assert!(words.contains(&format!("it is {state}, by ann@vm (cutover 1)")), "{words}");
        assert!(words.contains(&format!("isomirror topics CONFIG {verb} a")), "{words}");
    }
}

#[test]
fn rights_on_the_journal_are_needed_where_topics_wait_or_it_is_there_and_can_t_be_read() {
    let lacking = |operations: &[AclOperation]| {
        let mut facts = facts(topic());
        facts.journal.topic = TargetFacts::Missing {
            creation: Some(Ok(())),
            configs: Vec::new(),
            lacking: operations.to_vec(),
        };
        facts
    };
    let mut facts = lacking(&[AclOperation::Read, AclOperation::Write]);
    let (codes, words) = judge(&facts);
    assert_eq!(codes, ["info journal-right"], "{words}");
    let acl = "--operation Read --operation Write --topic isomirror.dc1-dc2.journal";
    assert!(words.contains("no READ, WRITE right on it") && words.contains(acl), "{words}");
    facts.topics[0].settings.begin = pipeline::Begin::Asked;
    assert_eq!(judge(&facts).0, ["error journal-right"]);

    let there = |operations: &[AclOperation]| TargetFacts::There {
        info: info(1),
        configs: Ok(configs(&[("cleanup.policy", "compact")])),
        rights: rights(operations),
        records: None,
    };
    let mut facts = lacking(&[]);
    facts.journal.topic = there(&[AclOperation::Describe, AclOperation::Write]);
    assert_eq!(judge(&facts).0, ["error journal-right"], "no lane would start");
    facts.journal.topic = there(&[AclOperation::Read]);
    assert_eq!(judge(&facts).0, ["info journal-right"]);
}

#[test]
fn a_group_that_is_named_has_to_be_seen_there_and_set_here_and_so_have_its_topics() {
    let mut facts = facts(topic());
    facts.groups = Some(GroupFacts::default());
    assert_eq!(judge(&facts).0, Vec::<String>::new());
    facts.groups = Some(GroupFacts {
        hidden: ["secret".to_owned()].into(),
        unmatched: vec!["none.*".to_owned()],
        refused: ["billing".to_owned(), "secret".to_owned()].into(),
    });
    let (codes, words) = judge(&facts);
    let expected = [
        "error group-describe-right",
        "error group-commit-right",
        "error group-commit-right",
        "warning groups-unmatched",
    ];
    assert_eq!(codes, expected, "{words}");
    for fix in [
        "dc1:9092 --command-config admin.properties --add --allow-principal User:mirror --operation Describe --group secret",
        "dc2:9092 --command-config admin.properties --add --allow-principal User:mirror --operation Read --group billing",
        "--operation Read --group secret",
    ] {
        assert!(words.contains(fix), "{fix:?} is not in {words}");
    }
    facts.groups = Some(GroupFacts::default());
    if let TargetFacts::There { rights: of_target, .. } = &mut facts.topics[0].target {
        *of_target = rights(&[AclOperation::Write, AclOperation::Alter]);
    }
    let (codes, words) = judge(&facts);
    assert_eq!(codes, ["error target-read-right"], "{words}");
    assert!(words.contains("--operation Read --topic b, or leave [groups] out"), "{words}");
}

#[test]
fn records_that_are_kept_for_less_than_catching_up_takes_are_told_with_the_estimate() {
    const GB: u64 = 1_000_000_000;
    let kept = |hours: u64, policy: &'static str| {
        let mut facts = facts(topic());
        facts.pace = Some(100_000_000);
        facts.topics[0].bytes = Some(3600 * GB);
        let retention = (hours * 3_600_000).to_string();
        facts.topics[0].configs = Ok(configs(&[("retention.ms", &retention), ("cleanup.policy", policy)]));
        if policy != "delete" {
            *there(&mut facts.topics[0]).1 = configs(&[("cleanup.policy", policy)]);
        }
        facts
    };
    let (codes, words) = judge(&kept(9, "delete"));
    assert_eq!(codes, ["error retention-catch-up"], "{words}");
    let estimate = "keeps records for 9 h (retention.ms), and catching up takes about 10 h: 3600.0 GB as they are stored";
    assert!(
        words.contains(estimate) && words.contains("at 100.0 MB/s (as a sample was read just now)"),
        "{words}"
    );
    assert!(words.contains("retention.ms=108000000"), "three times as long: {words}");
    assert_eq!(judge(&kept(15, "delete")).0, ["warning retention-catch-up"]);
    assert_eq!(judge(&kept(21, "delete")).0, Vec::<String>::new());
    assert!(!judge(&kept(9, "compact")).0.iter().any(|code| code.ends_with("retention-catch-up")));
    // A throttle that is less than what was read is what counts.
    let mut throttled = kept(21, "delete");
    throttled.throttle = Some(50_000_000);
    let (codes, words) = judge(&throttled);
    assert_eq!(codes, ["warning retention-catch-up"], "{words}");
    assert!(words.contains("about 20 h at 50.0 MB/s (limits.throttle)"), "{words}");
    // Where nothing could be read, nothing is said.
    let mut unknown = kept(9, "delete");
    (unknown.pace, unknown.topics[0].bytes) = (None, None);
    assert_eq!(judge(&unknown).0, Vec::<String>::new());
    // It is in the summary.
    let report = evaluate(&kept(21, "delete"));
    assert_eq!((report.summary.bytes, report.summary.seconds), (Some(3600 * GB), Some(36_000)));
}
