//! What the rules promise, on examples and on generated names.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;
use crate::NameError;

fn config(include: &[&str], exclude: &[&str], rename: &[(&str, &str)]) -> RulesConfig {
    let own = |texts: &[&str]| texts.iter().map(ToString::to_string).collect();
    RulesConfig {
        include: own(include),
        exclude: own(exclude),
        rename: rename.iter().map(|(a, b)| (a.to_string(), b.to_string())).collect(),
    }
}

fn rules(include: &[&str], exclude: &[&str], rename: &[(&str, &str)]) -> Rules {
    Rules::new(&config(include, exclude, rename)).unwrap()
}

#[test]
fn exclude_wins_over_include() {
    let rules = rules(&["orders", "payments\\..*"], &["payments\\.test"], &[]);
    assert_eq!(rules.target("orders").as_deref(), Some("orders"));
    assert_eq!(rules.target("orders2"), None);
    assert_eq!(rules.target("payments.eu").as_deref(), Some("payments.eu"));
    assert_eq!(rules.target("payments.test"), None);
    assert_eq!(rules.target("payments.test2").as_deref(), Some("payments.test2"));
}

#[test]
fn an_exact_rename_wins_and_patterns_follow_in_file_order() {
    let rules = rules(
        &[".*"],
        &[],
        &[
            ("^legacy\\.(.*)$", "$1"),
            ("^.*\\.(?<last>[a-z]+)$", "${last}_v2"),
            ("legacy.orders", "orders_v1"),
        ],
    );
    assert_eq!(rules.target("legacy.orders").as_deref(), Some("orders_v1"));
    assert_eq!(rules.target("legacy.x.y").as_deref(), Some("x.y"));
    assert_eq!(rules.target("new.y").as_deref(), Some("y_v2"));
    assert_eq!(rules.target("plain").as_deref(), Some("plain"));
    assert_eq!(
        rules.target("legacyXorders").as_deref(),
        Some("legacyXorders"),
        "an exact name's dot is a dot"
    );
}

#[test]
fn a_prefix_is_kept_whole_only_where_all_of_it_is_mirrored_under_its_own_name() {
    let kept = |include: &[&str], exclude: &[&str], rename: &[(&str, &str)], prefix| {
        rules(include, exclude, rename).keep_all_from(prefix)
    };
    assert!(kept(&["orders", "pay\\..*"], &[], &[("orders", "o")], "pay.eu"));
    assert!(!kept(&["pay\\..*"], &[], &[], "pay"), "there may be others, as pay2");
    assert!(!kept(&["pay\\..*"], &["pay\\.x"], &[], "pay."));
    assert!(!kept(&["pay\\..*"], &[], &[("pay.x", "y")], "pay."));
    assert!(!kept(&["pay\\..*"], &[], &[("^x.*$", "y")], "pay."), "a pattern may be of any");
    for internal in ["_", "__", "__x", "i", "isomirror.", "isomirror.x", ""] {
        assert!(!kept(&[".*"], &[], &[], internal), "{internal:?}");
    }
    assert!(kept(&[".*"], &[], &[], "_a") && kept(&[".*"], &[], &[], "isomirrors"));
}

#[test]
fn a_rename_alone_includes_nothing() {
    assert_eq!(rules(&["a"], &[], &[("b", "c")]).target("b"), None);
}

#[test]
fn a_rename_never_leads_to_an_impossible_name() {
    let rules = rules(&[".*"], &[], &[("^x(.*)$", "$1"), ("^(.*)-long$", "$1$1$1$1$1$1")]);
    let problem = |topic| rules.resolve(topic).unwrap_err().problem;
    assert_eq!(problem("x"), NameError::Empty);
    assert_eq!(problem("x.."), NameError::Dots("..".into()));
    assert_eq!(problem("x__y"), NameError::Internal);
    assert_eq!(problem("xisomirror.y"), NameError::Internal);
    assert_eq!(problem(&format!("{}-long", "y".repeat(50))), NameError::TooLong(300));
    let error = rules.route(["fine", "x__y"]).unwrap_err();
    assert_eq!(error.rest.keys().collect::<Vec<_>>(), ["fine"]);
    assert!(error.to_string().contains("rename rule \"^x(.*)$\" makes it \"__y\""), "{error}");
}

#[test]
fn every_clash_is_named_and_the_rest_goes_on() {
    let rules = rules(&[".*"], &[], &[("a", "b"), ("^c[0-9]$", "c"), ("d", "e")]);
    let error = rules.route(["a", "b", "c1", "c2", "c", "d", "f"]).unwrap_err();
    let named: Vec<_> = error.clashes.iter().map(|c| (c.target.as_str(), c.sources.join(" "))).collect();
    assert_eq!(named, [("b", "a b".to_owned()), ("c", "c c1 c2".to_owned())]);
    let rest: Vec<_> = error.rest.iter().map(|(s, t)| (s.as_str(), t.as_str())).collect();
    assert_eq!(rest, [("d", "e"), ("f", "f")]);
    assert_eq!(rules.route(["a", "c1", "d"]).unwrap().len(), 3);
}

#[test]
fn on_one_cluster_a_mirrored_target_is_a_loop() {
    let rules = rules(&[".*"], &["copy\\..*"], &[("^(o.*)$", "copy.$1")]);
    assert_eq!(rules.feeds_itself("orders"), None);
    assert_eq!(rules.feeds_itself("plain").as_deref(), Some("plain"));
}

#[test]
fn rules_that_cannot_be_used_are_refused_by_name() {
    let error = |include: &[&str], exclude: &[&str], rename: &[(&str, &str)]| {
        Rules::new(&config(include, exclude, rename)).unwrap_err()
    };
    for (found, rule, part) in [
        (error(&[], &[], &[]), RuleRef::IncludeList, "nothing would be mirrored"),
        (error(&["a", "b["], &[], &[]), RuleRef::Include(1), "include pattern \"b[\": not a regular"),
        (error(&["a"], &["(b"], &[]), RuleRef::Exclude(0), "(at character 1)"),
        (error(&["__consumer_offsets"], &[], &[]), RuleRef::Include(0), "internal"),
        (error(&["isomirror\\..*"], &[], &[]), RuleRef::Include(0), "internal"),
        (error(&["a"], &[], &[("a.*", "b")]), RuleRef::Rename(0), "a pattern begins with `^`"),
        (error(&["a"], &[], &[("a", "b c")]), RuleRef::Rename(0), "' ' can't stand"),
        (error(&["a"], &[], &[("a", "$1")]), RuleRef::Rename(0), "the left side is an exact name"),
        (error(&["a"], &[], &[("a", "__b")]), RuleRef::Rename(0), "internal"),
        (error(&["a"], &[], &[("^(a)$", "isomirror.$1")]), RuleRef::Rename(0), "internal"),
        (error(&["a"], &[], &[("^a$", "")]), RuleRef::Rename(0), "can't be empty"),
        (error(&["a"], &[], &[("x", "y"), ("^(a)$", "$2")]), RuleRef::Rename(1), "no group `2` (it has 1)"),
        (error(&["a"], &[], &[("a", "b"), ("a", "c")]), RuleRef::Rename(1), "twice"),
        (error(&["a"], &[], &[("^a(", "b")]), RuleRef::Rename(0), "unclosed group"),
    ] {
        assert_eq!(found.rule, rule, "{found}");
        assert!(found.to_string().contains(part), "{found}");
    }
}

const NAME: &str = "[ab_][ab_.]{0,3}|(__|isomirror\\.|p\\.)[ab]{0,2}";

fn any_rules() -> impl Strategy<Value = Rules> {
    let list =
        || proptest::collection::vec(prop_oneof!["[ab]", Just("p\\..*".into()), Just(".*".into())], 0..3);
    let pair = prop_oneof![
        ("[ab]{1,2}", "[abc]{1,2}"),
        Just(("^p\\.(.*)$".to_owned(), "$1".to_owned())),
        Just(("^(a|b).*$".to_owned(), "q.$1".to_owned())),
        Just(("^.*(.)$".to_owned(), "_$1".to_owned())),
    ];
    let rename = proptest::collection::vec(pair, 0..4);
    (list(), list(), rename).prop_filter_map("rules that are refused", |(include, exclude, rename)| {
        Rules::new(&RulesConfig { include, exclude, rename }).ok()
    })
}

proptest! {
    #[test]
    fn internal_topics_are_never_read_and_never_written(rules in any_rules(), topic in NAME) {
        if let Some(target) = rules.target(&topic) {
            prop_assert!(!is_internal(&topic), "{topic} is internal");
            prop_assert_eq!(check_name(&target), Ok(()));
        }
    }

    #[test]
    fn clashes_are_what_comparing_every_pair_finds(
        rules in any_rules(), topics in proptest::collection::btree_set(NAME, 0..12)
    ) {
        let targets: BTreeMap<&str, String> =
            topics.iter().filter_map(|t| Some((t.as_str(), rules.target(t)?))).collect();
        let clashing: BTreeSet<&str> = targets
            .iter()
            .filter(|(a, target)| targets.iter().any(|(b, other)| a != &b && target == &other))
            .map(|(topic, _)| *topic)
            .collect();
        let (routes, named) = match rules.route(topics.iter().map(String::as_str)) {
            Ok(routes) => (routes, BTreeSet::new()),
            Err(error) => {
                let named: BTreeSet<String> = error.clashes.iter().flat_map(|c| c.sources.clone()).collect();
                for illegal in &error.illegal {
                    prop_assert!(rules.includes(&illegal.topic) && rules.target(&illegal.topic).is_none());
                }
                (error.rest, named)
            }
        };
        prop_assert!(named.iter().map(String::as_str).eq(clashing.iter().copied()));
        for (topic, target) in &targets {
            prop_assert_eq!(routes.get(*topic), (!clashing.contains(topic)).then_some(target));
        }
        prop_assert_eq!(routes.len(), targets.len() - clashing.len());
    }

    #[test]
    fn the_same_topics_in_any_order_give_the_same_routes(
        rules in any_rules(), topics in proptest::collection::vec(NAME, 0..10)
    ) {
        let forward = rules.route(topics.iter().map(String::as_str));
        prop_assert_eq!(forward, rules.route(topics.iter().rev().map(String::as_str)));
    }
}

#[test]
fn topics_that_are_named_are_told_from_patterns() {
    let texts = |texts: &[&str]| texts.iter().map(|t| (*t).to_owned()).collect();
    let config = RulesConfig {
        include: texts(&["orders", r"pay\.eu", r"a\-b", "p.*", "x|y", "z.z"]),
        exclude: texts(&["pout"]),
        rename: [("pin", "a"), ("pout", "b"), ("other", "c"), ("^q$", "d")]
            .map(|(from, to)| (from.to_owned(), to.to_owned()))
            .to_vec(),
    };
    let rules = Rules::new(&config).unwrap();
    let named: Vec<String> = rules.named().into_iter().collect();
    assert_eq!(named, ["a-b", "orders", "pay.eu", "pin"], "{named:?}");
}
