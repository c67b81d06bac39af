//! `ISOMIRROR__…` variables: one for every key, laid over the file.
//!
//! `ISOMIRROR__` and the key's path, joined by `__`, in whatever case. In a librdkafka property `_` stands for
//! `.`; a further `__FILE` or `__ENV` says where its value is to be looked up.

use std::collections::BTreeMap;

use super::{
    error::Problems,
    schema::{self, Kind, SECTIONS},
    tree::{self, Key, Node, Origin, Table, Value},
};

const PREFIX: &str = "isomirror__";

/// librdkafka's only properties with `_` in their name that can be set from text.
const WITH_UNDERSCORE: [&str; 1] = ["log_level"];

/// Lays every `ISOMIRROR__…` variable over the tree.
pub fn overlay(tree: &mut Table, variables: &BTreeMap<String, String>, problems: &mut Problems) {
    lay(tree, None, variables, problems);
}

/// The same over a pair's file: a site's property is `ISOMIRROR__SITES__DC1__KAFKA__…`.
pub fn overlay_pair(
    tree: &mut Table,
    sites: &[String],
    variables: &BTreeMap<String, String>,
    problems: &mut Problems,
) {
    lay(tree, Some(sites), variables, problems);
}

fn lay(
    tree: &mut Table,
    sites: Option<&[String]>,
    variables: &BTreeMap<String, String>,
    problems: &mut Problems,
) {
    let mut seen = BTreeMap::new();
    for (name, text) in variables {
        let lower = name.to_ascii_lowercase();
        let Some(path) = lower.strip_prefix(PREFIX) else { continue };
        let origin = Origin::Variable(name.clone());
        if let Some(earlier) = seen.insert(lower.clone(), name) {
            problems.add(&origin, format!("the same key as {earlier}"), "leave one of them out");
            continue;
        }
        let parts: Vec<&str> = path.split("__").collect();
        if !apply(tree, sites, &parts, name, text) {
            let fix = match of_a_table(&parts)
                .or_else(|| nearest(&lower).map(|known| format!("did you mean {known}?")))
            {
                Some(fix) => fix,
                None => {
                    "variables are ISOMIRROR__, a section, __ and a key, as ISOMIRROR__LIMITS__BUFFER".into()
                }
            };
            problems.add(&origin, "unknown variable", fix);
        }
    }
}

/// Where a cluster's properties are in the tree, and what is left of the variable's path.
fn properties<'a>(
    sites: Option<&'a [String]>,
    parts: &'a [&'a str],
) -> Option<(Vec<&'a str>, &'a [&'a str])> {
    match (sites, parts) {
        (None, [side @ ("source" | "target"), "kafka", rest @ ..]) => Some((vec![*side, "kafka"], rest)),
        (Some(sites), ["sites", site, "kafka", rest @ ..]) => {
            let plain = |name: &str| name.to_ascii_lowercase().replace(['.', '-'], "_");
            let site = sites.iter().find(|known| plain(known) == plain(site))?;
            Some((vec!["sites", site, "kafka"], rest))
        }
        _ => None,
    }
}

fn apply(tree: &mut Table, sites: Option<&[String]>, parts: &[&str], name: &str, text: &str) -> bool {
    if let Some((mut path, [property, rest @ ..])) = properties(sites, parts)
        && !property.is_empty()
    {
        let node = match rest {
            [] => Node::variable(name, text),
            [place @ ("file" | "env")] => {
                let origin = Origin::Variable(name.to_owned());
                let key = Key { name: (*place).to_owned(), origin: origin.clone() };
                Node { value: Value::Table(vec![(key, Node::variable(name, text))]), origin }
            }
            _ => return false,
        };
        let property = match WITH_UNDERSCORE.contains(property) {
            true => (*property).to_owned(),
            false => property.replace('_', "."),
        };
        path.push(&property);
        tree::set(tree, &path, node);
        return true;
    }
    match parts {
        ["link" | "source" | "target", ..] if sites.is_some() => return false,
        [section, _] if sites.is_none() && schema::is_pairs(section) => return false,
        [key] => match schema::kind("", key) {
            Some(Kind::Table) | None => return false,
            Some(kind) => tree::set(tree, &[key], read(kind, name, text)),
        },
        [section, key] => match schema::kind(section, key) {
            Some(Kind::Properties) | None => return false,
            Some(kind) => tree::set(tree, &[section, key], read(kind, name, text)),
        },
        _ => return false,
    }
    true
}

/// The text as what the key takes; as plain text where it isn't that, for the reader to complain of.
fn read(kind: Kind, name: &str, text: &str) -> Node {
    let parsed = tree::parse_value(text.trim(), name);
    let strings = |items: &[Node]| items.iter().all(|item| matches!(item.value, Value::String(_)));
    let fits = |node: &Node| match (&node.value, kind) {
        (Value::String(_), Kind::Text) => true,
        (Value::Boolean(_), Kind::Flag) => true,
        (Value::Integer(_), Kind::Number) => true,
        (Value::Array(items), Kind::List) => strings(items),
        (Value::Table(_), Kind::Table) => true,
        _ => false,
    };
    match parsed.filter(fits) {
        Some(node) => node,
        None if kind == Kind::List => {
            let items = text.split(',').map(str::trim).filter(|item| !item.is_empty());
            let items = items.map(|item| Node::variable(name, item)).collect();
            Node { value: Value::Array(items), origin: Origin::Variable(name.to_owned()) }
        }
        None => Node::variable(name, text),
    }
}

/// What to do instead of setting one entry of a table, or all properties at once.
fn of_a_table(parts: &[&str]) -> Option<String> {
    Some(match parts {
        ["topics", "rename", ..] => {
            r#"a table is set as a whole, as ISOMIRROR__TOPICS__RENAME='{ "a" = "b" }'"#.to_owned()
        }
        ["topics", "override", ..] => {
            r#"a table is set as a whole, as ISOMIRROR__TOPICS__OVERRIDE='{ "audit.*" = { start = "earliest" } }'"#
                .to_owned()
        }
        ["acls", "principals", ..] => {
            r#"a table is set as a whole, as ISOMIRROR__ACLS__PRINCIPALS='{ "User:a" = "User:b" }'"#.to_owned()
        }
        [side @ ("source" | "target"), "kafka"] => format!(
            "properties are set one by one, as ISOMIRROR__{}__KAFKA__BOOTSTRAP_SERVERS=host:9092",
            side.to_uppercase()
        ),
        [section] if schema::kind("", section) == Some(Kind::Table) => format!(
            "keys are set one by one: ISOMIRROR__{}__ and the key's name",
            section.to_uppercase()
        ),
        _ => return None,
    })
}

fn nearest(lower: &str) -> Option<String> {
    let names = SECTIONS.iter().filter(|(section, _)| *section != schema::OVERRIDE);
    let names: Vec<String> = names
        .flat_map(|(section, keys)| keys.iter().map(move |(key, kind)| (section, key, kind)))
        .filter(|(section, _, kind)| !(section.is_empty() && **kind == Kind::Table))
        .map(|(section, key, kind)| {
            let section = if section.is_empty() { String::new() } else { format!("{section}__") };
            let property = if *kind == Kind::Properties { "__bootstrap_servers" } else { "" };
            format!("{PREFIX}{section}{key}{property}").to_ascii_uppercase()
        })
        .collect();
    // The prefix is right, so it must not count for nearness.
    let known = schema::nearest(&lower[PREFIX.len()..], names.iter().map(|name| &name[PREFIX.len()..]))?;
    Some(format!("{}{known}", PREFIX.to_ascii_uppercase()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn overlaid(file: &str, variables: &[(&str, &str)]) -> (Table, String) {
        let mut tree = tree::parse(file).unwrap();
        let mut problems = Problems::default();
        let variables = variables.iter().map(|(n, v)| (n.to_string(), v.to_string())).collect();
        overlay(&mut tree, &variables, &mut problems);
        (tree, problems.into_error(None).to_string())
    }

    fn found<'t>(tree: &'t mut Table, path: &[&str], key: &str) -> &'t Value {
        &tree::at(tree, path).unwrap().iter().find(|(k, _)| k.name == key).unwrap().1.value
    }

    #[test]
    fn a_variable_is_read_as_what_its_key_takes() {
        let (mut tree, _) = overlaid(
            "[topics]\ncreate = true\n[topics.rename]\na = 'b'\n",
            &[
                ("ISOMIRROR__TOPICS__CREATE", "false"),
                ("isomirror__Topics__Include", "a, b\\..*"),
                ("ISOMIRROR__TOPICS__EXCLUDE", "[\"x,y\"]"),
                ("ISOMIRROR__TOPICS__REPLICATION_FACTOR", "3"),
                ("ISOMIRROR__TOPICS__RENAME", "{ c = \"d\" }"),
                ("ISOMIRROR__LIMITS__CONSUMERS", "many"),
                ("ISOMIRROR__ENGINE", "\"auto\""),
                ("ISOMIRROR_LOG_LEVEL", "not ours"),
            ],
        );
        assert!(matches!(found(&mut tree, &["topics"], "create"), Value::Boolean(false)));
        assert!(matches!(found(&mut tree, &["topics"], "replication_factor"), Value::Integer(3)));
        assert!(matches!(found(&mut tree, &["topics"], "rename"), Value::Table(t) if t[0].0.name == "c"));
        assert!(matches!(found(&mut tree, &["limits"], "consumers"), Value::String(_)));
        assert!(matches!(found(&mut tree, &[], "engine"), Value::String(s) if s == "auto"));
        for (list, items) in [("include", vec!["a", "b\\..*"]), ("exclude", vec!["x,y"])] {
            let Value::Array(found) = found(&mut tree, &["topics"], list) else { panic!("a list") };
            let found = found.iter().map(|n| match &n.value {
                Value::String(s) => s.as_str(),
                _ => "",
            });
            assert!(found.eq(items), "{list}");
        }
    }

    #[test]
    fn a_character_class_is_a_pattern_and_no_list() {
        let (mut tree, _) = overlaid("", &[("ISOMIRROR__TOPICS__INCLUDE", "[1],[a-z]+")]);
        assert!(matches!(found(&mut tree, &["topics"], "include"), Value::Array(items) if items.len() == 2));
    }

    #[test]
    fn in_a_property_an_underscore_is_a_dot() {
        let (mut tree, _) = overlaid(
            "[source.kafka]\n",
            &[
                ("ISOMIRROR__SOURCE__KAFKA__SASL_USERNAME", "true"),
                ("ISOMIRROR__SOURCE__KAFKA__LOG_LEVEL", "7"),
                ("ISOMIRROR__SOURCE__KAFKA__SASL_PASSWORD__FILE", "/run/x"),
            ],
        );
        let path = &["source", "kafka"];
        assert!(matches!(found(&mut tree, path, "sasl.username"), Value::String(s) if s == "true"));
        assert!(matches!(found(&mut tree, path, "log_level"), Value::String(s) if s == "7"));
        assert!(matches!(found(&mut tree, path, "sasl.password"), Value::Table(t) if t[0].0.name == "file"));
    }

    #[test]
    fn an_unknown_variable_is_named() {
        let (_, error) = overlaid(
            "",
            &[
                ("ISOMIRROR__LIMITS__BUFER", "hunter2"),
                ("ISOMIRROR__", ""),
                ("ISOMIRROR__SOURCE__KAFKA", "{}"),
                ("ISOMIRROR__SOURCE__KAFKA__SASL_PASSWORD__FIL", "hunter2"),
                ("ISOMIRROR__LINK", "a"),
                ("isomirror__link", "b"),
            ],
        );
        assert!(
            error.contains(
                "ISOMIRROR__LIMITS__BUFER: unknown variable\n  fix: did you mean ISOMIRROR__LIMITS__BUFFER?"
            ),
            "{error}"
        );
        assert!(error.contains("ISOMIRROR__SOURCE__KAFKA: unknown variable"), "{error}");
        assert!(error.contains("isomirror__link: the same key as ISOMIRROR__LINK"), "{error}");
        assert!(!error.contains("hunter2"), "{error}");
    }
}
