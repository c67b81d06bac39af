//! What differs between two configurations, key by key; and what of that a running link can take over.

use std::collections::{BTreeMap, BTreeSet};

use kafka_rd::Properties;
use serde_json::Value;

use super::Config;

/// Keys that may change while a link runs, or sections of such keys.
const WHILE_IT_RUNS: [&str; 6] =
    ["topics", "groups", "limits.throttle", "limits.drain", "cutover", "admin.log"];
/// All others, or their sections, and what stands in the way.
const FIXED: [(&str, &str); 11] = [
    ("link", "marks, journal and group are of that name"),
    ("engine", "the data path is made of it"),
    ("source", "every connection and lane was made of it"),
    ("target", "every connection and lane was made of it"),
    ("limits.buffer", "lanes have their shares of it"),
    ("limits.consumers", "lanes are shared out among them"),
    ("policy", "lanes that it has stopped, or let go on, were begun by it"),
    ("configs", "what keeps them in step starts with the link"),
    ("acls", "what keeps them in step starts with the link"),
    ("verify", "what compares both sides starts with the link"),
    ("admin.listen", "the server is bound to it"),
];

impl Config {
    /// The keys whose values differ in another configuration.
    pub fn changes(&self, other: &Self) -> BTreeSet<String> {
        let (mut before, mut after) = (BTreeMap::new(), BTreeMap::new());
        for (config, keys) in [(self, &mut before), (other, &mut after)] {
            let shown = serde_json::to_value(config.shown()).expect("strings, numbers and tables are JSON");
            flatten(String::new(), shown, keys);
            // The order of these means something.
            let topics = &config.topics;
            let overrides =
                topics.overrides.iter().map(|o| (o.pattern.as_str(), format!("{:?}", o.settings)));
            let overrides = overrides.collect::<Vec<_>>();
            keys.insert("topics.rename".to_owned(), format!("{:?}", topics.rules.config().rename).into());
            keys.insert("topics.override".to_owned(), format!("{overrides:?}").into());
        }
        let all: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
        let differs = |key: &&&String| before.get(**key) != after.get(**key);
        let mut changed: BTreeSet<String> = all.iter().filter(differs).map(|key| (*key).clone()).collect();
        // What is shown of secrets, and of those in files, is the same whatever they are.
        for (side, before, after) in
            [("source", &self.source, &other.source), ("target", &self.target, &other.target)]
        {
            changed.extend(differing(&before.kafka, &after.kafka).map(|name| format!("{side}.kafka.{name}")));
        }
        changed
    }
}

/// Whether a running link can take over another value of a key.
pub fn may_change(key: &str) -> bool {
    WHILE_IT_RUNS.iter().any(|may| is_in(key, may))
}

/// Whether a key is this one, or one of this section.
fn is_in(key: &str, section: &str) -> bool {
    key.strip_prefix(section).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

/// Why it can't.
pub fn why_fixed(key: &str) -> &'static str {
    FIXED.iter().find(|(section, _)| is_in(key, section)).map_or("it was read at the start", |(_, why)| why)
}

fn flatten(path: String, value: Value, keys: &mut BTreeMap<String, Value>) {
    let Value::Object(entries) = value else {
        keys.insert(path, value);
        return;
    };
    for (key, value) in entries {
        let path = if path.is_empty() { key } else { format!("{path}.{key}") };
        if !["topics.rename", "topics.override"].contains(&&*path) {
            flatten(path, value, keys);
        }
    }
}

fn differing<'a>(before: &'a Properties, after: &'a Properties) -> impl Iterator<Item = String> + 'a {
    let names: BTreeSet<&str> = before.names().chain(after.names()).collect();
    names.into_iter().filter(|name| before.get(name) != after.get(name)).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    const BASE: &str = "link = \"l\"\n[source.kafka]\n\"bootstrap.servers\" = \"a:1\"\n\"sasl.password\" = \"one\"\n\
                        [target.kafka]\n\"bootstrap.servers\" = \"b:1\"\n[topics]\ninclude = [\"t\"]\n";

    fn config(text: &str) -> Config {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("link.toml");
        std::fs::write(&path, text).unwrap();
        Config::load(Some(&path), []).unwrap_or_else(|error| panic!("{error}"))
    }

    fn changes(from: &str, to: &str) -> Vec<String> {
        let changed = config(BASE).changes(&config(&BASE.replace(from, to)));
        changed.into_iter().map(|key| format!("{key}{}", if may_change(&key) { "" } else { " !" })).collect()
    }

    #[test]
    fn each_key_that_differs_is_named_once() {
        assert!(changes("x", "y").is_empty());
        assert_eq!(changes("\"t\"", "\"t\", \"u\""), ["topics.include"]);
        assert_eq!(
            changes("[topics]", "[limits]\nthrottle = \"1MB/s\"\nbuffer = \"8MiB\"\n[topics]"),
            ["limits.buffer !", "limits.throttle"]
        );
        assert_eq!(changes("a:1", "a:2"), ["source.kafka.bootstrap.servers !"]);
        assert_eq!(changes("\"l\"", "\"m\""), ["link !", "source.kafka.group.id !"]);
        let overrides = "[topics.override.\"u.*\"]\nbegin = \"asked\"\n";
        assert_eq!(
            changes("include = [\"t\"]\n", &format!("include = [\"t\"]\n{overrides}")),
            ["topics.override"]
        );
    }

    /// Every key of the schema either may change, or has a reason why not.
    #[test]
    fn no_key_is_without_a_word() {
        for (section, keys) in super::super::schema::SECTIONS {
            for (key, kind) in keys.iter().filter(|(_, kind)| *kind != super::super::schema::Kind::Table) {
                let path = if section.is_empty() { (*key).to_owned() } else { format!("{section}.{key}") };
                let has_reason = why_fixed(&path) != why_fixed("nothing");
                assert_ne!(may_change(&path), has_reason, "{path} ({kind:?})");
            }
        }
    }

    #[test]
    fn a_secret_that_differs_is_noticed_and_not_shown() {
        assert_eq!(changes("\"one\"", "\"two\""), ["source.kafka.sasl.password !"]);
    }
}
