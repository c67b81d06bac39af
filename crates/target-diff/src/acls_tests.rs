//! What becomes of the source's rules, one kind after the other.

use topic_rename::{Pattern, RulesConfig};

use super::*;

/// A link that mirrors `orders` as `orders_v2`, and all of `pay.` under its own name.
struct Link {
    routes: BTreeMap<String, String>,
    rules: Rules,
    choice: Choice,
    groups: BTreeSet<String>,
    target_topics: BTreeSet<String>,
    principals: BTreeMap<String, String>,
    own: Option<String>,
}

fn link() -> Link {
    let texts = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
    let rename = vec![("orders".to_owned(), "orders_v2".to_owned())];
    let config = RulesConfig { include: texts(&["orders", "pay\\..*"]), exclude: Vec::new(), rename };
    let rules = Rules::new(&config).unwrap();
    let there = ["orders", "pay.eu", "pay.us", "other"];
    Link {
        routes: rules.route(there).unwrap(),
        rules,
        choice: Choice {
            include: vec![Pattern::new("billing.*").unwrap(), Pattern::new("reports").unwrap()],
            exclude: Vec::new(),
            own: "isomirror.l".to_owned(),
        },
        groups: texts(&["billing-1", "billing-2", "reports"]).into_iter().collect(),
        target_topics: BTreeSet::new(),
        principals: [("User:CN=old".to_owned(), "User:new".to_owned())].into(),
        own: Some("User:mirror".to_owned()),
    }
}

/// `Allow User:app Read Topic orders`, with `…` behind the name for a prefix.
fn rule(text: &str) -> AclRule {
    let words: Vec<&str> = text.split(' ').collect();
    let [permission, principal, operation, resource, name] = words[..] else { panic!("{text}") };
    let operations =
        READING.into_iter().chain(WRITING).chain([AclOperation::All, AclOperation::IdempotentWrite]);
    let resources =
        [AclResource::Topic, AclResource::Group, AclResource::Cluster, AclResource::TransactionalId];
    AclRule {
        resource: resources.into_iter().find(|r| r.as_str() == resource).expect(text),
        name: name.trim_end_matches('…').to_owned(),
        pattern: if name.ends_with('…') { AclPattern::Prefixed } else { AclPattern::Literal },
        principal: principal.to_owned(),
        permission: if permission == "Deny" { AclPermission::Deny } else { AclPermission::Allow },
        operation: operations.into_iter().find(|o| o.as_str() == operation).expect(text),
        host: "*".to_owned(),
    }
}

fn rules(texts: &[&str]) -> BTreeSet<AclRule> {
    texts.iter().map(|text| rule(text)).collect()
}

fn text(rule: &AclRule) -> String {
    let AclRule { resource, name, pattern, principal, permission, operation, .. } = rule;
    let more = if *pattern == AclPattern::Prefixed { "…" } else { "" };
    format!("{permission} {principal} {operation} {resource} {name}{more}")
}

impl Link {
    fn diff(&self, source: &[&str], target: &[&str]) -> AclDiff {
        let scope = AclScope {
            routes: &self.routes,
            rules: &self.rules,
            choice: &self.choice,
            groups: &self.groups,
            target_topics: &self.target_topics,
            principals: &self.principals,
            own: self.own.as_deref(),
            own_on_source: Some("User:reader"),
        };
        acl_diff(&rules(source), &rules(target), scope)
    }

    /// What is created, and what is held.
    fn becomes(&self, source: &[&str]) -> (Vec<String>, Vec<String>) {
        let diff = self.diff(source, &[]);
        let held = diff.held.iter().map(|held| text(&held.rule)).collect();
        (diff.create.iter().map(text).collect(), held)
    }
}

#[track_caller]
fn assert_becomes(source: &[&str], create: &[&str], held: &[&str]) {
    let own = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect::<BTreeSet<String>>();
    let found = link().becomes(source);
    assert_eq!((found.0.into_iter().collect(), found.1.into_iter().collect()), (own(create), own(held)));
}

#[test]
fn topics_are_renamed_principals_mapped_and_what_is_not_mirrored_is_left() {
    assert_becomes(
        &[
            "Allow User:CN=old Read Topic orders",
            "Allow User:app Describe Topic pay.eu",
            "Deny User:app Read Topic other",
        ],
        &["Allow User:new Read Topic orders_v2", "Allow User:app Describe Topic pay.eu"],
        &[],
    );
    let diff =
        link().diff(&["Allow User:app Read Topic other", "Allow User:app All Cluster kafka-cluster"], &[]);
    assert_eq!((diff.elsewhere, diff.create.len(), diff.left_out.len()), (2, 0, 0));
}

#[test]
fn who_may_write_waits_for_the_cutover_whether_allowed_or_denied() {
    assert_becomes(
        &[
            "Allow User:app Write Topic orders",
            "Deny User:app Delete Topic orders",
            "Deny User:app Read Topic orders",
        ],
        &["Deny User:app Read Topic orders_v2"],
        &["Allow User:app Write Topic orders_v2", "Deny User:app Delete Topic orders_v2"],
    );
    assert_becomes(
        &["Allow User:app All Topic orders"],
        &READING
            .map(|operation| format!("Allow User:app {operation} Topic orders_v2"))
            .each_ref()
            .map(|s| &**s),
        &WRITING
            .map(|operation| format!("Allow User:app {operation} Topic orders_v2"))
            .each_ref()
            .map(|s| &**s),
    );
}

#[test]
fn what_writers_need_beside_topics_waits_with_them() {
    let cluster = "Allow User:app IdempotentWrite Cluster kafka-cluster";
    let ids = "Allow User:app Write TransactionalId app-…";
    assert_becomes(
        &["Allow User:app Write Topic orders", cluster, ids, "Allow User:other Write TransactionalId x"],
        &[],
        &["Allow User:app Write Topic orders_v2", cluster, ids],
    );
    // A reader's are none of this link's.
    assert_becomes(
        &["Allow User:app Read Topic pay.eu", cluster, ids],
        &["Allow User:app Read Topic pay.eu"],
        &[],
    );
}

#[test]
fn a_prefix_stays_one_only_where_it_means_nothing_else() {
    assert_becomes(&["Allow User:app Read Topic pay.…"], &["Allow User:app Read Topic pay.…"], &[]);
    let each = ["Allow User:app Read Topic pay.eu", "Allow User:app Read Topic pay.us"];
    // Other topics may come to have it, or have it.
    assert_becomes(&["Allow User:app Read Topic pa…"], &each, &[]);
    let mut other = link();
    other.target_topics = ["pay.eu", "pay.own"].map(str::to_owned).into();
    assert_eq!(other.becomes(&["Allow User:app Read Topic pay.…"]).0, each);
    assert_eq!(other.diff(&["Allow User:app Read Topic pay.…"], &[]).narrowed[0].to, 2);
    // It is renamed.
    assert_becomes(&["Allow User:app Read Topic ord…"], &["Allow User:app Read Topic orders_v2"], &[]);
    let all = [&each[..], &["Allow User:app Read Topic orders_v2"]].concat();
    assert_becomes(&["Allow User:app Read Topic *"], &all, &[]);
    assert_eq!(link().diff(&["Allow User:app Read Topic x…"], &[]).elsewhere, 1);
}

#[test]
fn groups_are_those_that_are_carried_over() {
    assert_becomes(
        &[
            "Allow User:app Read Group reports",
            "Allow User:app Read Group billing-9",
            "Allow User:app All Group billing…",
            "Allow User:app Read Group else",
            "Allow User:app Read Group isomirror.l",
        ],
        &[
            "Allow User:app Read Group reports",
            "Allow User:app Read Group billing-9",
            "Allow User:app All Group billing…",
        ],
        &[],
    );
    let each =
        ["billing-1", "billing-2", "reports"].map(|group| format!("Allow User:app Read Group {group}"));
    assert_becomes(&["Allow User:app Read Group *"], &each.each_ref().map(|s| &**s), &[]);
    assert_becomes(&["Allow User:app Read Group rep…"], &[&*each[2]], &[]);
}

#[test]
fn nothing_that_would_deny_the_mirror_is_carried_over() {
    for denied in
        ["Deny User:* Read Topic orders", "Deny User:* Write Topic *", "Deny User:mirror All Topic pay.…"]
    {
        let diff = link().diff(&[denied], &[]);
        assert_eq!((diff.create.len(), diff.held.len(), diff.left_out.len()), (0, 0, 1), "{denied}");
        assert!(diff.left_out[0].reason.contains("deny isomirror"));
    }
    assert_becomes(&["Deny User:* Read Group reports"], &["Deny User:* Read Group reports"], &[]);
    let own = link().diff(&["Allow User:reader Read Topic orders"], &[]);
    assert_eq!(
        (own.create.len(), own.left_out.len()),
        (0, 1),
        "what the mirror may do on the source is not for others"
    );
}

#[test]
fn what_the_target_has_is_not_made_again_and_what_it_has_more_is_named_and_stays() {
    let source = ["Allow User:app Read Topic orders", "Allow User:app Write Topic orders"];
    let target = [
        "Allow User:app Read Topic orders_v2",
        "Allow User:app Write Topic orders_v2",
        "Allow User:ops Read Topic orders_v2",
        "Allow User:ops Read Group reports",
        "Allow User:mirror Write Topic orders_v2",
        "Allow User:ops Read Topic orders",
        "Allow User:ops Read Topic *",
    ];
    let diff = link().diff(&source, &target);
    assert_eq!((diff.create.len(), diff.same), (0, 1));
    assert!(diff.held.len() == 1 && diff.held[0].there);
    let excess: Vec<String> = diff.excess.iter().map(text).collect();
    assert_eq!(excess, ["Allow User:ops Read Topic orders_v2", "Allow User:ops Read Group reports"]);
}
