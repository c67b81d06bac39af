//! Whether both clusters are audited while the link runs: the `[audit]` section.

use std::{cell::RefCell, time::Duration};

use kafka_rd::Properties;
use mirror_types::Side;

use super::{clients, error::Problems, groups::read_every, section::Section, tree::Origin};

/// The `[audit]` section.
#[derive(Debug, Clone, Copy, Default)]
pub struct Audit {
    /// How often; none: not at all.
    pub every: Option<Duration>,
}

/// The section as it was read, and where it is asked for.
pub struct ReadAudit {
    pub settings: Audit,
    origin: Option<Origin>,
}

/// Reads the section.
pub fn read(mut section: Section<'_>, problems: &RefCell<Problems>) -> ReadAudit {
    let every = read_every(&mut section, "every", "both clusters", "1m", problems);
    section.finish();
    let settings = Audit { every: every.as_ref().map(|found| found.value) };
    ReadAudit { settings, origin: every.map(|found| found.origin) }
}

/// Both clusters are asked by our own client, even where librdkafka reads the records.
pub fn check(audit: &ReadAudit, clusters: [(Side, &Properties); 2], problems: &mut Problems) {
    if let Some(origin) = &audit.origin {
        clients::check_own(origin, clusters, ("be audited", "[audit]"), problems);
    }
}
