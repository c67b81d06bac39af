//! How a migration is finished: the `[cutover]` section.

use std::{cell::RefCell, fmt, str::FromStr, time::Duration};

use serde::{Serialize, Serializer};

use super::{
    error::Problems,
    in_step::is_principal,
    section::{Read, Section, text},
    tree::Value,
    units::Wrong,
    values::Block,
};

/// Whoever needs less for a step does not look at it.
const LEAST_LIMIT: Duration = Duration::from_secs(1);

/// The `[cutover]` section.
#[derive(Debug, Clone)]
pub struct Cutover {
    /// How many records may be missing on the target when writers are blocked.
    pub max_lag: u64,
    /// How they are blocked.
    pub block: Block,
    /// Who is denied to write, with `block = "acl"`.
    pub writers: Vec<String>,
    /// For how long nobody must have written, with `block = "quiet"`.
    pub quiet: Duration,
    /// Blocks them, with `block = "hook"`.
    pub block_hook: Option<String>,
    /// Lets them write again.
    pub unblock_hook: Option<String>,
    /// Moves clients to the target.
    pub clients_hook: Option<String>,
    /// Moves them back.
    pub clients_hook_back: Option<String>,
    /// How much is compared.
    pub verify: Depth,
    /// How long a step may take.
    pub step_limit: Duration,
}

/// How much is compared.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Depth {
    /// Nothing.
    None,
    /// The last records of each lane.
    Tail,
    /// A part of each lane, up to 1.
    Sample(f64),
    /// All.
    Full,
}

/// Reads the section.
pub fn read(mut section: Section<'_>, problems: &RefCell<Problems>) -> Cutover {
    let max_lag = read_max_lag(&mut section, problems);
    let writers = read_writers(&mut section, problems).unwrap_or_else(|| vec!["User:*".to_owned()]);
    let (block, [block_hook, unblock_hook]) = read_block(&mut section, problems);
    let [clients_hook, clients_hook_back] =
        ["clients_hook", "clients_hook_back"].map(|key| read_hook(&mut section, key));
    let cutover = Cutover {
        max_lag,
        block,
        writers,
        quiet: section.get_or("quiet", Duration::from_secs(30)),
        block_hook,
        unblock_hook,
        clients_hook,
        clients_hook_back,
        verify: section.get_or("verify", Depth::Full),
        step_limit: read_step_limit(&mut section, Duration::from_secs(900), problems),
    };
    section.finish();
    cutover
}

/// How many records may be missing on the target.
pub fn read_max_lag(section: &mut Section<'_>, problems: &RefCell<Problems>) -> u64 {
    section.get::<i64>("max_lag").map_or(10_000, |found| {
        u64::try_from(found.value).unwrap_or_else(|_| {
            let message = "`max_lag` is a number of records, 0 or more";
            problems.borrow_mut().add(&found.origin, message, "write max_lag = 10000");
            0
        })
    })
}

/// Who is to be kept from writing.
pub fn read_writers(section: &mut Section<'_>, problems: &RefCell<Problems>) -> Option<Vec<String>> {
    let list = section.list("writers")?;
    if list.value.is_empty() {
        let message = "`writers` names nobody: nobody would be blocked";
        problems.borrow_mut().add(
            &list.origin,
            message,
            "name them, as in writers = [\"User:app\"], or leave it out",
        );
    }
    let principal = |item: super::tree::Located<String>| {
        if !is_principal(&item.value) {
            let message = format!("{:?} is no principal: it has no type", item.value);
            problems.borrow_mut().add(&item.origin, message, "write it as ACLs have it, as in \"User:app\"");
        }
        item.value
    };
    Some(list.value.into_iter().map(principal).collect())
}

/// How writers are blocked, and the commands that do it and undo it.
pub fn read_block(section: &mut Section<'_>, problems: &RefCell<Problems>) -> (Block, [Option<String>; 2]) {
    let block = section.get::<Block>("block");
    let hooks = ["block_hook", "unblock_hook"].map(|key| read_hook(section, key));
    if let Some(found) = block.as_ref().filter(|found| found.value == Block::Hook && hooks[0].is_none()) {
        let message = "`block`: there is no command that blocks writers";
        let fix = "write block_hook = \"…\", and unblock_hook = \"…\"";
        problems.borrow_mut().add(&found.origin, message, fix);
    }
    (block.map_or(Block::Acl, |found| found.value), hooks)
}

/// A command; an empty one is none.
pub fn read_hook(section: &mut Section<'_>, key: &str) -> Option<String> {
    section.get::<String>(key).map(|found| found.value).filter(|hook| !hook.trim().is_empty())
}

/// How long a step may take.
pub fn read_step_limit(
    section: &mut Section<'_>,
    default: Duration,
    problems: &RefCell<Problems>,
) -> Duration {
    section.get::<Duration>("step_limit").map_or(default, |found| {
        if found.value < LEAST_LIMIT {
            let message = "`step_limit`: no step is done that soon";
            problems.borrow_mut().add(&found.origin, message, "write 1s or more, as in \"15m\"");
        }
        found.value
    })
}

// === impl Depth ===

impl FromStr for Depth {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "none" => Ok(Self::None),
            "full" => Ok(Self::Full),
            "tail" => Ok(Self::Tail),
            text => {
                let percent = text.strip_suffix('%').and_then(|number| number.trim().parse::<f64>().ok());
                let part = percent.map(|percent| percent / 100.0).filter(|part| *part > 0.0 && *part <= 1.0);
                part.map(Self::Sample).ok_or_else(|| format!("{text:?} is not how much to compare"))
            }
        }
    }
}

impl fmt::Display for Depth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("none"),
            Self::Full => f.write_str("full"),
            Self::Tail => f.write_str("tail"),
            Self::Sample(part) => write!(f, "{}%", part * 100.0),
        }
    }
}

impl Serialize for Depth {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl Read for Depth {
    fn read(value: &Value) -> Result<Self, Wrong> {
        let fix = "write \"none\", \"tail\", \"full\" or a percentage, as in \"5%\"";
        text(value, "full")?.parse().map_err(|message| (message, fix.to_owned()))
    }
}
