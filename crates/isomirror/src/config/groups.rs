//! Which consumer groups are kept in step: the `[groups]` section.

use std::{cell::RefCell, time::Duration};

use kafka_rd::Properties;
use topic_rename::Pattern;

use super::{
    error::Problems,
    section::Section,
    tree::{Located, Origin},
};

/// More often than that, coordinators would have nothing else to do.
const LEAST: Duration = Duration::from_secs(1);

/// The `[groups]` section.
#[derive(Debug, Clone)]
pub struct Groups {
    /// Which groups of the source, by their whole names; none: none is kept in step.
    pub include: Vec<Pattern>,
    /// Which of them are left out all the same.
    pub exclude: Vec<Pattern>,
    /// How often.
    pub sync: Duration,
}

/// The section as it was read, and where its groups are named, if any are.
pub struct ReadGroups {
    pub settings: Groups,
    pub origin: Option<Origin>,
}

/// Reads the section.
pub fn read(mut section: Section<'_>, problems: &RefCell<Problems>) -> ReadGroups {
    let include = section.list("include");
    let exclude = section.list("exclude");
    let sync = read_every(&mut section, "sync", "the groups' coordinators", "10s", problems);
    let sync = sync.map_or(Duration::from_secs(10), |found| found.value);
    section.finish();
    let origin = include.as_ref().filter(|list| !list.value.is_empty()).map(|list| list.origin.clone());
    let settings = Groups {
        include: patterns("include", include, problems),
        exclude: patterns("exclude", exclude, problems),
        sync,
    };
    ReadGroups { settings, origin }
}

/// How often something is looked at.
pub fn read_every(
    section: &mut Section<'_>,
    key: &str,
    asked: &str,
    example: &str,
    problems: &RefCell<Problems>,
) -> Option<Located<Duration>> {
    let found = section.get::<Duration>(key)?;
    if found.value < LEAST {
        let message = format!("`{key}`: {asked} would be asked without a pause");
        let fix = format!("write 1s or more, as in {example:?}");
        problems.borrow_mut().add(&found.origin, message, fix);
    }
    Some(found)
}

fn patterns(
    key: &str,
    list: Option<Located<Vec<Located<String>>>>,
    problems: &RefCell<Problems>,
) -> Vec<Pattern> {
    let compile = |item: Located<String>| {
        Pattern::new(&item.value)
            .map_err(|error| {
                let message = format!("{key} pattern {:?}: {error}", item.value);
                let fix = "write a regular expression for whole names, as in \"billing\\\\..*\"";
                problems.borrow_mut().add(&item.origin, message, fix);
            })
            .ok()
    };
    list.map(|list| list.value).unwrap_or_default().into_iter().filter_map(compile).collect()
}

/// Groups and ACLs are asked about by our own client, even where librdkafka reads the records.
pub fn check(what: &str, origin: Option<&Origin>, source: &Properties, problems: &mut Problems) {
    let Some(origin) = origin else { return };
    if let Err(error) = kafka_wire::Settings::new(source.iter()) {
        let message = format!("the source can't be asked about {what}: {error}");
        problems.add(origin, message, format!("change that in [source.kafka], or leave [{what}] out"));
    }
}
