//! Which topics, under which names, and with which settings: the `[topics]` section and its overrides.

use std::{cell::RefCell, time::Duration};

use serde::Serialize;
use topic_rename::{Pattern, Problem, RuleRef, Rules, RulesConfig};

use super::{
    error::Problems,
    schema::OVERRIDE,
    section::Section,
    tree::{self, Located, Table, Value},
    values::{Begin, Offsets, Origins, Start, Writers},
};

/// The header of records of shared topics, unless another is named.
const ORIGIN_HEADER: &str = "isomirror.origin";

/// The `[topics]` section.
#[derive(Debug, Clone)]
pub struct Topics {
    /// Which topics are mirrored, and their names on the target.
    pub rules: Rules,
    /// The settings of a topic that no override matches.
    pub defaults: TopicSettings,
    /// The first whose pattern matches a topic overrides its settings.
    pub overrides: Vec<Override>,
    /// The name of the header that says where a record of a shared topic was produced; empty: none is written.
    pub origin_header: String,
    /// Which records of shared topics are mirrored, by where they were produced.
    pub origins: Origins,
    /// How often topics and partitions are looked at.
    pub refresh: Duration,
}

/// How one topic is mirrored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TopicSettings {
    /// Whether a missing target topic is created, and one with too few partitions grown.
    pub create: bool,
    /// The replication factor of a created topic; none: the target broker's default.
    pub replication_factor: Option<i16>,
    /// What offsets records get.
    pub offsets: Offsets,
    /// Who writes to the target topic.
    pub writers: Writers,
    /// When it begins.
    pub begin: Begin,
    /// Where a lane without a position starts.
    pub start: Start,
}

/// Settings of the topics that match a pattern.
#[derive(Debug, Clone)]
pub struct Override {
    /// Which topics, by their source name.
    pub pattern: Pattern,
    /// What is different for them.
    pub settings: Changes,
}

/// What an override changes.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub struct Changes {
    /// As in [`TopicSettings`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub create: Option<bool>,
    /// As in [`TopicSettings`], −1 for the target broker's default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replication_factor: Option<i16>,
    /// As in [`TopicSettings`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub offsets: Option<Offsets>,
    /// As in [`TopicSettings`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub writers: Option<Writers>,
    /// As in [`TopicSettings`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub begin: Option<Begin>,
    /// As in [`TopicSettings`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub start: Option<Start>,
}

impl Topics {
    /// Whether there may be topics that others write, too.
    pub fn any_shared(&self) -> bool {
        let overridden = self.overrides.iter().map(|found| found.settings.writers);
        overridden.chain([Some(self.defaults.writers)]).any(|writers| writers == Some(Writers::Shared))
    }

    /// The header that is written on records, by patterns of source topics of which the first counts; empty where none is.
    pub fn origin_headers(&self) -> Vec<(String, String)> {
        let header = |settings: TopicSettings| match settings.writers {
            Writers::Shared => self.origin_header.clone(),
            Writers::Exclusive => String::new(),
        };
        let overridden = self.overrides.iter();
        let overridden = overridden
            .map(|found| (found.pattern.as_str().to_owned(), header(self.defaults.with(found.settings))));
        overridden.chain([(".*".to_owned(), header(self.defaults))]).collect()
    }

    /// The settings of a source topic.
    pub fn settings(&self, topic: &str) -> TopicSettings {
        match self.overrides.iter().find(|o| o.pattern.matches(topic)) {
            Some(found) => self.defaults.with(found.settings),
            None => self.defaults,
        }
    }
}

impl TopicSettings {
    const DEFAULT: TopicSettings = TopicSettings {
        create: true,
        replication_factor: None,
        offsets: Offsets::Identical,
        writers: Writers::Exclusive,
        begin: Begin::AtOnce,
        start: Start::Earliest,
    };

    fn with(self, changes: Changes) -> Self {
        Self {
            create: changes.create.unwrap_or(self.create),
            replication_factor: match changes.replication_factor {
                Some(factor) => (factor > 0).then_some(factor),
                None => self.replication_factor,
            },
            offsets: changes.offsets.unwrap_or(self.offsets),
            writers: changes.writers.unwrap_or(self.writers),
            begin: changes.begin.unwrap_or(self.begin),
            start: changes.start.unwrap_or(self.start),
        }
    }
}

/// Reads the section; none if its rules can't be used, which `problems` then says.
pub fn read(
    mut section: Section<'_>,
    nothing_included: &str,
    problems: &RefCell<Problems>,
) -> Option<Topics> {
    let changes = read_changes(&mut section, TopicSettings::DEFAULT, problems);
    let refresh = read_refresh(&mut section, problems);
    let origin_header = section.get::<String>("origin_header");
    let origins = section.get::<Origins>("origins");
    let overrides = read_overrides(&mut section, TopicSettings::DEFAULT.with(changes), problems);
    let before = problems.borrow().len();
    let include = section.list("include");
    let exclude = section.list("exclude").map(|list| list.value).unwrap_or_default();
    let rename = read_rename(&mut section, problems);
    // Rules with a part missing would be complained of for that, too.
    let whole = problems.borrow().len() == before;
    let section_origin = section.origin().cloned();
    section.finish();
    if !whole {
        return None;
    }
    let include_origin = include.as_ref().map(|list| list.origin.clone()).or(section_origin);
    let include = include.map(|list| list.value).unwrap_or_default();
    let plain = |list: &[Located<String>]| list.iter().map(|item| item.value.clone()).collect();
    let config = RulesConfig {
        include: plain(&include),
        exclude: plain(&exclude),
        rename: rename.iter().map(|(from, to)| (from.value.clone(), to.value.clone())).collect(),
    };
    let mut problems = problems.borrow_mut();
    let rules = match Rules::new(&config) {
        Ok(rules) => rules,
        Err(error) => {
            let origin = match error.rule {
                RuleRef::IncludeList => include_origin,
                RuleRef::Include(index) => include.get(index).map(|item| item.origin.clone()),
                RuleRef::Exclude(index) => exclude.get(index).map(|item| item.origin.clone()),
                RuleRef::Rename(index) => rename.get(index).map(|(from, to)| match error.problem {
                    Problem::Pattern(_) | Problem::Key(_) | Problem::Twice => from.origin.clone(),
                    _ => to.origin.clone(),
                }),
            };
            let fix = fix(&error.problem, nothing_included);
            match origin {
                Some(origin) => problems.add(&origin, error.to_string(), fix),
                None => problems.add_missing(error.to_string(), fix),
            }
            return None;
        }
    };
    if let Err(error) = rules.route(config.named().iter().map(String::as_str)) {
        for clash in &error.clashes {
            let last = rename.iter().rev().find(|(_, to)| to.value == clash.target);
            let fix = "give each of them a target topic of its own, or exclude all but one";
            match last {
                Some((_, to)) => problems.add(&to.origin, clash.to_string(), fix),
                None => problems.add_missing(clash.to_string(), fix),
            }
        }
    }
    let topics = Topics {
        rules,
        defaults: TopicSettings::DEFAULT.with(changes),
        overrides,
        origin_header: origin_header
            .as_ref()
            .map_or_else(|| ORIGIN_HEADER.to_owned(), |found| found.value.clone()),
        origins: origins.as_ref().map_or(Origins::All, |found| found.value),
        refresh,
    };
    let names = origin_header.as_ref().map(|found| (found.value.clone(), found.origin.clone()));
    let only_own =
        origins.as_ref().filter(|found| found.value == Origins::Own).map(|found| found.origin.clone());
    let places = [
        origin_header.map(|found| ("origin_header", found.origin)),
        origins.map(|found| ("origins", found.origin)),
    ];
    for (key, place) in places.into_iter().flatten().filter(|_| !topics.any_shared()) {
        let message = format!("`{key}` is about topics with writers = \"shared\", and there are none");
        problems.add(&place, message, "leave it out, or write writers = \"shared\"");
    }
    if let Some((name, place)) = names.filter(|(name, _)| !is_header(name)) {
        let message = format!("`origin_header`: {name:?} is no name for it");
        let fix =
            "write up to 100 letters, digits, '.', '_' and '-', as in \"isomirror.origin\", or \"\" for none";
        problems.add(&place, message, fix);
    }
    if let Some(place) = only_own.filter(|_| topics.origin_header.is_empty()) {
        let message = "`origins = \"own\"`: without an origin_header nobody knows which records those are";
        problems.add(&place, message, "leave one of the two out");
    }
    Some(topics)
}

/// Whether a header may be named so; or none is written.
fn is_header(name: &str) -> bool {
    let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    name.len() <= 100 && name.chars().all(legal)
}

fn fix(problem: &Problem, nothing_included: &str) -> String {
    match problem {
        Problem::NothingIncluded => nothing_included,
        Problem::Pattern(_) => "write a regular expression for whole names, as in \"payments\\\\..*\"",
        Problem::Internal => "leave it out",
        Problem::Key(_) => "write the topic's exact name, or begin the pattern with `^`",
        Problem::Name(_) => "write a name that Kafka takes for a topic",
        Problem::NoSuchGroup { .. } => "put the part of the name that is meant in ( and )",
        Problem::Dollar => "write `$1`, `${1}`, `$name` or `${name}`",
        Problem::GroupWithoutPattern(_) => "begin the left side with `^`, or leave the `$` out of the right",
        Problem::Twice => "leave one of them out",
    }
    .to_owned()
}

fn read_refresh(section: &mut Section<'_>, problems: &RefCell<Problems>) -> Duration {
    const LEAST: Duration = Duration::from_millis(100);
    let default = Duration::from_secs(5);
    let Some(found) = section.get::<Duration>("refresh") else { return default };
    if found.value < LEAST {
        let message = "`refresh`: the clusters would be asked without a pause";
        problems.borrow_mut().add(&found.origin, message, "write 100ms or more, as in \"5s\"");
    }
    found.value
}

fn read_rename(
    section: &mut Section<'_>,
    problems: &RefCell<Problems>,
) -> Vec<(Located<String>, Located<String>)> {
    let mut rules = Vec::new();
    for (key, node) in section.table("rename").map(|table| table.value).unwrap_or_default() {
        match node.value {
            Value::String(to) => rules.push((
                Located { value: key.name, origin: key.origin },
                Located { value: to, origin: node.origin },
            )),
            Value::Table(_) => {
                let message = format!("rename rule {:?} must lead to a string, not a table", key.name);
                let fix = format!("put names with dots in quotes, as in \"{}.x\" = \"…\"", key.name);
                problems.borrow_mut().add(&key.origin, message, fix);
            }
            other => {
                let message =
                    format!("rename rule {:?} must lead to a string, not {}", key.name, other.kind());
                problems.borrow_mut().add(&node.origin, message, "put it in quotes");
            }
        }
    }
    rules
}

fn read_overrides(
    section: &mut Section<'_>,
    defaults: TopicSettings,
    problems: &RefCell<Problems>,
) -> Vec<Override> {
    let entries: Table = section.table("override").map(|table| table.value).unwrap_or_default();
    let mut overrides = Vec::new();
    for (key, node) in entries {
        let Value::Table(inner) = node.value else {
            let message = format!("override {:?} must be a table, not {}", key.name, node.value.kind());
            let fix = "write a section [topics.override.\"pattern\"]";
            problems.borrow_mut().add(&node.origin, message, fix);
            continue;
        };
        let pattern = Pattern::new(&key.name).map_err(|error| {
            let fix = fix(&Problem::Pattern(error.clone()), "");
            problems.borrow_mut().add(&key.origin, format!("override {:?}: {error}", key.name), fix);
        });
        let mut inner = section.of(OVERRIDE, &key, inner);
        let settings = read_changes(&mut inner, defaults, problems);
        inner.finish();
        overrides.extend(pattern.map(|pattern| Override { pattern, settings }));
    }
    overrides
}

/// What a section changes of `base`.
fn read_changes(section: &mut Section<'_>, base: TopicSettings, problems: &RefCell<Problems>) -> Changes {
    let add =
        |origin: &tree::Origin, message: &str, fix: &str| problems.borrow_mut().add(origin, message, fix);
    let replication_factor = section.get::<i64>("replication_factor").map(|found| {
        let factor = i16::try_from(found.value).ok().filter(|factor| *factor == -1 || *factor > 0);
        factor.unwrap_or_else(|| {
            let message = format!("`replication_factor`: {} is no number of replicas", found.value);
            let fix = "write 1 or more, or -1 for the target broker's default";
            add(&found.origin, &message, fix);
            -1
        })
    });
    let offsets = section.get::<Offsets>("offsets");
    let writers = section.get::<Writers>("writers");
    let origin = writers.as_ref().map(|found| &found.origin).or(offsets.as_ref().map(|found| &found.origin));
    let both = (
        offsets.as_ref().map_or(base.offsets, |found| found.value),
        writers.as_ref().map_or(base.writers, |found| found.value),
    );
    if let (Some(origin), (Offsets::Identical, Writers::Shared)) = (origin, both) {
        let message = "`writers = \"shared\"`: where others write too, offsets can't be identical";
        add(origin, message, "write offsets = \"translated\" beside it");
    }
    Changes {
        create: section.get("create").map(|found| found.value),
        replication_factor,
        offsets: offsets.map(|found| found.value),
        writers: writers.map(|found| found.value),
        begin: section.get("begin").map(|found| found.value),
        start: section.get("start").map(|found| found.value),
    }
}
