//! Every key there is, once: for unknown keys, for the environment, and for the reference's test.

/// What a key takes; decides how an environment variable's text is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Text: a word, a size, a duration.
    Text,
    /// `true` or `false`.
    Flag,
    /// A whole number.
    Number,
    /// A list of texts.
    List,
    /// Keys of the user's own.
    Table,
    /// librdkafka properties.
    Properties,
}

use Kind::{Flag, List, Number, Properties, Table, Text};

/// The section of the settings that a pattern overrides.
pub const OVERRIDE: &str = "topics.override";

/// Sections (top level: empty) with their keys.
pub const SECTIONS: [(&str, &[(&str, Kind)]); 14] = [
    (
        "",
        &[
            ("link", Text),
            ("engine", Text),
            ("source", Table),
            ("target", Table),
            ("topics", Table),
            ("groups", Table),
            ("configs", Table),
            ("acls", Table),
            ("cutover", Table),
            ("verify", Table),
            ("audit", Table),
            ("limits", Table),
            ("policy", Table),
            ("admin", Table),
        ],
    ),
    ("source", &[("name", Text), ("kafka", Properties)]),
    ("target", &[("name", Text), ("kafka", Properties)]),
    (
        "topics",
        &[
            ("include", List),
            ("exclude", List),
            ("rename", Table),
            ("create", Flag),
            ("replication_factor", Number),
            ("refresh", Text),
            ("offsets", Text),
            ("writers", Text),
            ("origin_header", Text),
            ("origins", Text),
            ("begin", Text),
            ("start", Text),
            ("override", Table),
        ],
    ),
    (
        OVERRIDE,
        &[
            ("create", Flag),
            ("replication_factor", Number),
            ("offsets", Text),
            ("writers", Text),
            ("begin", Text),
            ("start", Text),
        ],
    ),
    ("groups", &[("include", List), ("exclude", List), ("sync", Text)]),
    ("configs", &[("sync", Text)]),
    ("acls", &[("sync", Text), ("principals", Table)]),
    (
        "cutover",
        &[
            ("max_lag", Number),
            ("block", Text),
            ("writers", List),
            ("quiet", Text),
            ("block_hook", Text),
            ("unblock_hook", Text),
            ("clients_hook", Text),
            ("clients_hook_back", Text),
            ("verify", Text),
            ("step_limit", Text),
        ],
    ),
    ("verify", &[("every", Text), ("rate", Text)]),
    ("audit", &[("every", Text)]),
    ("limits", &[("buffer", Text), ("throttle", Text), ("consumers", Number), ("drain", Text)]),
    ("policy", &[("loss", Text), ("refused", Text)]),
    ("admin", &[("listen", Text), ("log", Text)]),
];

/// The top level of a pair's file.
pub const PAIR: &str = "a pair";

/// Sections of a pair's file beside those of its links.
pub const PAIR_SECTIONS: [(&str, &[(&str, Kind)]); 2] = [
    (PAIR, &[("pair", Text), ("sites", Table), ("links", Table), ("switchover", Table)]),
    (
        "switchover",
        &[
            ("active", Text),
            ("max_lag", Number),
            ("block", Text),
            ("writers", List),
            ("quiet", Text),
            ("block_hook", Text),
            ("unblock_hook", Text),
            ("clients_hook", Text),
            ("consumers", Text),
            ("leave_limit", Text),
            ("verify", Text),
            ("step_limit", Text),
        ],
    ),
];

/// The keys of a section.
pub fn keys(section: &str) -> impl Iterator<Item = (&'static str, Kind)> {
    SECTIONS
        .iter()
        .chain(&PAIR_SECTIONS)
        .filter(move |(name, _)| *name == section)
        .flat_map(|(_, keys)| keys.iter().copied())
}

/// Whether a section is a pair's own.
pub fn is_pairs(section: &str) -> bool {
    PAIR_SECTIONS.iter().any(|(name, _)| *name == section)
}

/// What the key of a section takes, if there is such a key.
pub fn kind(section: &str, key: &str) -> Option<Kind> {
    keys(section).find(|(name, _)| *name == key).map(|(_, kind)| kind)
}

/// The nearest of `names` to what was written, if one is near.
pub fn nearest<'a>(written: &str, names: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let written = written.to_lowercase();
    names
        .into_iter()
        .map(|name| (strsim::damerau_levenshtein(&written, &name.to_lowercase()), name))
        .filter(|(distance, name)| *distance <= (name.len() / 3).max(1))
        .min()
        .map(|(_, name)| name)
}

/// What to do about an unknown key of a section; and whether it is plainly a known key misspelt.
pub fn did_you_mean(section: &str, key: &str) -> (String, bool) {
    if let Some(known) = nearest(key, keys(section).map(|(name, _)| name)) {
        return (format!("did you mean `{known}`?"), true);
    }
    let elsewhere = SECTIONS.iter().find(|(name, keys)| {
        !name.is_empty() && *name != OVERRIDE && keys.iter().any(|(known, _)| *known == key)
    });
    if let Some((name, _)) = elsewhere {
        return (format!("`{key}` belongs to [{name}]"), true);
    }
    let known: Vec<_> = keys(section).map(|(name, _)| name).collect();
    let property = match section {
        "source" | "target" => format!("; librdkafka properties belong to [{section}.kafka]"),
        _ => String::new(),
    };
    (format!("known keys here are {}{property}", known.join(", ")), false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_misspelt_or_misplaced_key_is_recognized() {
        assert_eq!(did_you_mean("limits", "bufer").0, "did you mean `buffer`?");
        assert_eq!(did_you_mean("", "topic").0, "did you mean `topics`?");
        assert_eq!(did_you_mean("", "throttle").0, "`throttle` belongs to [limits]");
        assert_eq!(did_you_mean("admin", "password"), ("known keys here are listen, log".into(), false));
        assert!(did_you_mean("source", "sasl").0.ends_with("belong to [source.kafka]"));
        assert_eq!(nearest("BOOTSTRAP.SERVER", ["bootstrap.servers"]), Some("bootstrap.servers"));
    }
}
