//! Whose topic it is.

use std::time::Duration;

use offset_marks::control::{Keep, Link, Record};

use crate::{ControlTopic, Error, Right, read::Scope, write::now};

/// Where claims are.
const PARTITION: i32 = 0;

/// What a link says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// The version of isomirror.
    pub version: String,
    /// The source cluster's id.
    pub source_cluster: Option<String>,
    /// The target cluster's id.
    pub target_cluster: Option<String>,
}

impl ControlTopic {
    /// The link that the topic belongs to; if it belongs to none, this one from now on, with a new producer id and
    /// the partitions there are as slots. Of several who claim it at the same time, all are given the same.
    pub async fn claim(&self, claim: Claim) -> Result<Link, Error> {
        if let Some(link) = self.link().await? {
            return Ok(link);
        }
        let producer = self.client.init_producer_id(None, Duration::from_secs(60)).await;
        let producer = producer.map_err(|error| self.error(error, Right::Write))?;
        let Claim { version, source_cluster, target_cluster } = claim;
        let own = Link {
            producer_id: producer.id,
            created: now(),
            version,
            source_cluster,
            target_cluster,
            slots: self.partitions,
        };
        self.writer_as(PARTITION, producer).write(vec![Record::Link(own.clone()).encode()]).await?;
        // What was written is there to be read, unless somebody deletes it in the same moment.
        Ok(self.link().await?.unwrap_or(own))
    }

    /// The link that the topic belongs to.
    pub async fn link(&self) -> Result<Option<Link>, Error> {
        // Claims are no part of a transaction, and must not wait for one that somebody has left open.
        let state = self.read_within(PARTITION, Keep::Tails, Scope::ALL).await?;
        Ok(state.link().cloned())
    }
}
