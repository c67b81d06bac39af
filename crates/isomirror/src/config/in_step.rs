//! Whether topic configs and ACLs are kept in step, and who is called otherwise on the target: the `[configs]` and `[acls]`
//! sections.

use std::{cell::RefCell, collections::BTreeMap, time::Duration};

use super::{
    error::Problems,
    groups::read_every,
    section::Section,
    tree::{Origin, Value},
};

/// The `[configs]` section.
#[derive(Debug, Clone, Default)]
pub struct Configs {
    /// How often; none: not by the daemon.
    pub sync: Option<Duration>,
}

/// The `[acls]` section.
#[derive(Debug, Clone, Default)]
pub struct Acls {
    /// How often; none: not by the daemon.
    pub sync: Option<Duration>,
    /// Principals that are called otherwise on the target.
    pub principals: BTreeMap<String, String>,
}

/// The section as it was read, and where it is asked for, if it is.
pub struct ReadAcls {
    pub settings: Acls,
    pub origin: Option<Origin>,
}

/// Reads `[configs]`.
pub fn read_configs(mut section: Section<'_>, problems: &RefCell<Problems>) -> Configs {
    let sync = read_every(&mut section, "sync", "the clusters", "5m", problems);
    section.finish();
    Configs { sync: sync.map(|found| found.value) }
}

/// Reads `[acls]`.
pub fn read_acls(mut section: Section<'_>, problems: &RefCell<Problems>) -> ReadAcls {
    let sync = read_every(&mut section, "sync", "the clusters", "5m", problems);
    let mut principals = BTreeMap::new();
    let fix = "write them as ACLs have them, as in \"User:CN=old\" = \"User:new\"";
    for (key, node) in section.table("principals").map(|table| table.value).unwrap_or_default() {
        if !is_principal(&key.name) {
            let message = format!("{:?} is no principal: it has no type", key.name);
            problems.borrow_mut().add(&key.origin, message, fix);
        }
        match node.value {
            Value::String(to) if is_principal(&to) => drop(principals.insert(key.name, to)),
            Value::String(to) => {
                problems.borrow_mut().add(
                    &node.origin,
                    format!("{to:?} is no principal: it has no type"),
                    fix,
                );
            }
            other => {
                let message = format!("principal {:?} must lead to a string, not {}", key.name, other.kind());
                problems.borrow_mut().add(&node.origin, message, fix);
            }
        }
    }
    section.finish();
    let origin = sync.as_ref().map(|found| found.origin.clone());
    ReadAcls { settings: Acls { sync: sync.map(|found| found.value), principals }, origin }
}

/// A type, a colon and a name.
pub fn is_principal(text: &str) -> bool {
    text.split_once(':').is_some_and(|(kind, name)| !kind.is_empty() && !name.is_empty())
}
