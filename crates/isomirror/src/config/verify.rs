//! Whether both sides are compared while the link runs: the `[verify]` section.

use std::{cell::RefCell, time::Duration};

use kafka_rd::Properties;
use mirror_types::Side;

use super::{clients, error::Problems, groups::read_every, section::Section, tree::Origin, units::Rate};

/// The `[verify]` section.
#[derive(Debug, Clone, Copy)]
pub struct Verify {
    /// How often a round begins; none: nothing is compared.
    pub every: Option<Duration>,
    /// How much is read for it, of both clusters together.
    pub rate: Rate,
}

/// The section as it was read, and where it is asked for.
pub struct ReadVerify {
    pub settings: Verify,
    origin: Option<Origin>,
}

/// Reads the section.
pub fn read(mut section: Section<'_>, problems: &RefCell<Problems>) -> ReadVerify {
    let every = read_every(&mut section, "every", "both clusters", "10m", problems);
    let rate = section.get::<Rate>("rate");
    section.finish();
    if let (None, Some(found)) = (&every, &rate) {
        let message = "`rate`: nothing is compared without `every`";
        problems.borrow_mut().add(&found.origin, message, "add every = \"10m\", or leave [verify] out");
    }
    let settings = Verify {
        every: every.as_ref().map(|found| found.value),
        rate: rate.map_or(Rate::mb_per_second(10), |found| found.value),
    };
    ReadVerify { settings, origin: every.map(|found| found.origin) }
}

/// Both sides are read by our own client, even where librdkafka reads the records.
pub fn check(verify: &ReadVerify, clusters: [(Side, &Properties); 2], problems: &mut Problems) {
    if let Some(origin) = &verify.origin {
        clients::check_own(origin, clusters, ("be read to compare it", "[verify]"), problems);
    }
}
