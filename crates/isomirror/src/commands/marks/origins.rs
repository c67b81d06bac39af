//! Records that this link has not brought to the other side, and that are there all the same: produced there, or come over
//! another link. Their origin says where.

use std::cell::RefCell;

use mirror_types::{Offset, Side, TopicPartition};
use offset_marks::{Ledger, Translation, WritersMode};
use origin_search::OriginSearch;
use pipeline::ClusterIds;
use tokio::runtime::Runtime;

use crate::{config::Config, link};

/// What finds them, on a lane whose records say where they come from.
pub struct Origins<'r> {
    runtime: &'r Runtime,
    /// None where records say nothing, or as soon as a cluster does not answer.
    search: RefCell<Option<OriginSearch>>,
}

impl<'r> Origins<'r> {
    pub fn of(runtime: &'r Runtime, config: &Config, ledger: &Ledger) -> Self {
        let (start, link) = (ledger.start(), link::config(config, None));
        let ids = ClusterIds { source: start.source_cluster.clone(), target: start.target_cluster.clone() };
        let target = TopicPartition::new(&*start.target_topic, start.partition);
        let origins = link.origins_of(&ids, &start.lane(), &target).ok().flatten();
        let search = origins.filter(|_| start.writers == WritersMode::Shared).and_then(|origins| {
            let [source, target] = [Side::Source, Side::Target].map(|side| super::client(config, side).ok());
            Some(OriginSearch::new(origins, &source?, &target?, link.wire_isolation()))
        });
        Self { runtime, search: RefCell::new(search) }
    }

    /// Where on the other side the record of this offset lies, that this link has not brought there.
    pub fn elsewhere(&self, ledger: &Ledger, side: Side, offset: Offset) -> Option<Offset> {
        if matches!(ledger.translate(side, offset), Translation::Exact(_)) {
            return None;
        }
        let found = self.runtime.block_on(self.search.borrow().as_ref()?.counterpart(side, offset));
        found.unwrap_or_else(|error| {
            eprintln!("what others brought can't be looked up, so only this link's marks answer: {error}");
            self.search.replace(None);
            None
        })
    }
}
