//! Records that this link has not brought to the other side, and that are there all the same: produced there, or come over
//! another link. Their origin says where.

use mirror_types::{Offset, Side, TopicPartition};
use offset_marks::{Ledger, Translation, WritersMode};
use origin_search::OriginSearch;
use pipeline::ClusterIds;
use tokio::runtime::Runtime;

use crate::{
    config::Config,
    exit::{Exit, Failure},
    link,
};

/// What finds them, on a lane whose records say where they come from.
pub struct Origins<'r> {
    runtime: &'r Runtime,
    search: Option<OriginSearch>,
}

impl<'r> Origins<'r> {
    pub fn of(runtime: &'r Runtime, config: &Config, ledger: &Ledger) -> Result<Self, Failure> {
        let (start, link) = (ledger.start(), link::config(config, None));
        let ids = ClusterIds { source: start.source_cluster.clone(), target: start.target_cluster.clone() };
        let target = TopicPartition::new(&*start.target_topic, start.partition);
        let origins = link.origins_of(&ids, &start.lane(), &target).ok().flatten();
        let search = match origins.filter(|_| start.writers == WritersMode::Shared) {
            None => None,
            Some(origins) => {
                let [source, target] = [Side::Source, Side::Target].map(|side| super::client(config, side));
                Some(OriginSearch::new(origins, &source?, &target?, link.wire_isolation()))
            }
        };
        Ok(Self { runtime, search })
    }

    /// Where on the other side the record of this offset lies, that this link has not brought there.
    pub fn elsewhere(&self, ledger: &Ledger, side: Side, offset: Offset) -> Result<Option<Offset>, Failure> {
        let Some(search) = &self.search else { return Ok(None) };
        if matches!(ledger.translate(side, offset), Translation::Exact(_)) {
            return Ok(None);
        }
        self.runtime.block_on(search.counterpart(side, offset)).map_err(|error| {
            let exit = if error.is_unreachable() { Exit::Unreachable } else { Exit::Failed };
            Failure::new(exit, error.to_string())
        })
    }
}
