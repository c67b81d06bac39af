//! How the active site changes: the `[switchover]` section of a pair's file.

use std::{cell::RefCell, time::Duration};

use super::{
    cutover::{Depth, read_block, read_hook, read_max_lag, read_step_limit, read_writers as read_principals},
    error::Problems,
    section::Section,
    units,
    values::{Block, Consumers},
};

/// For how long consumers are waited for, unless that is said.
const LEAVE: Duration = Duration::from_secs(30);

/// The `[switchover]` section.
#[derive(Debug, Clone)]
pub struct Switchover {
    /// The site that is active before the first switchover; from then on the journal says which.
    pub active: String,
    /// How many records the standby may lack when writers are blocked.
    pub max_lag: u64,
    /// How they are blocked.
    pub block: Block,
    /// Who is denied to write, with `block = "acl"`; none: everybody whom an ACL lets write, but the mirror.
    pub writers: Option<Vec<String>>,
    /// For how long nobody must have written, with `block = "quiet"`.
    pub quiet: Duration,
    /// Blocks them at `ISOMIRROR_SITE`, with `block = "hook"`.
    pub block_hook: Option<String>,
    /// Lets them write there again.
    pub unblock_hook: Option<String>,
    /// Moves clients to `ISOMIRROR_TO`.
    pub clients_hook: Option<String>,
    /// What is waited for of consumers.
    pub consumers: Consumers,
    /// For how long they are waited for, once clients may move, to leave the site that was active.
    pub leave_limit: Duration,
    /// How much is compared while nobody writes.
    pub verify: Depth,
    /// How long a step may take.
    pub step_limit: Duration,
}

/// Reads the section. `sites`: their names, the first one active unless the section says otherwise.
pub fn read(mut section: Section<'_>, sites: &[String; 2], problems: &RefCell<Problems>) -> Switchover {
    let active = section.get::<String>("active").map_or_else(
        || sites[0].clone(),
        |found| {
            if !sites.contains(&found.value) {
                let message = format!("`active`: there is no site {:?}", found.value);
                let fix = format!("write {:?} or {:?}", sites[0], sites[1]);
                problems.borrow_mut().add(&found.origin, message, fix);
            }
            found.value
        },
    );
    let max_lag = read_max_lag(&mut section, problems);
    let writers = read_writers(&mut section, problems);
    let (block, [block_hook, unblock_hook]) = read_block(&mut section, problems);
    let step_limit = read_step_limit(&mut section, Duration::from_secs(120), problems);
    let switchover = Switchover {
        active,
        max_lag,
        block,
        writers,
        quiet: section.get_or("quiet", Duration::from_secs(10)),
        block_hook,
        unblock_hook,
        clients_hook: read_hook(&mut section, "clients_hook"),
        consumers: section.get_or("consumers", Consumers::CaughtUp),
        leave_limit: read_leave_limit(&mut section, step_limit, problems),
        verify: section.get_or("verify", Depth::Tail),
        step_limit,
    };
    section.finish();
    switchover
}

fn read_leave_limit(
    section: &mut Section<'_>,
    step_limit: Duration,
    problems: &RefCell<Problems>,
) -> Duration {
    section.get::<Duration>("leave_limit").map_or(LEAVE.min(step_limit / 2), |found| {
        if found.value >= step_limit {
            let message = "`leave_limit`: a step takes no longer than `step_limit`";
            let fix =
                format!("write less than {}, or a longer `step_limit`", units::show_duration(step_limit));
            problems.borrow_mut().add(&found.origin, message, fix);
        }
        found.value
    })
}

fn read_writers(section: &mut Section<'_>, problems: &RefCell<Problems>) -> Option<Vec<String>> {
    let writers = read_principals(section, problems)?;
    if writers.iter().any(|writer| writer == "User:*") {
        let message = "`writers`: \"User:*\" is everybody, the mirror too, which has to write to the site that \
                       is no longer active";
        let fix = "leave `writers` out (then everybody is blocked whom an ACL lets write, but the mirror), or name them";
        match section.origin() {
            Some(origin) => problems.borrow_mut().add(origin, message, fix),
            None => problems.borrow_mut().add_missing(message, fix),
        }
    }
    Some(writers)
}
