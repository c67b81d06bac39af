//! Everything a link needs to know: plain data, from whatever the user's configuration file looks like.

use std::{collections::BTreeMap, fmt, sync::Arc, time::Duration};

use cluster_admin::Isolation;
use group_offsets::Choice;
use kafka_rd::{LogContext, Properties};
use mirror_types::{LaneOrigins, OriginHeaders, Passes, Side, TopicPartition};
use pinned_producer::{Offsets, RefusedPolicy};
use source_consumer::{BatchConfig, LossPolicy};
use topic_rename::Rules;

use crate::marks::ClusterIds;

/// Where a lane starts that has no position yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    /// At the first record there is.
    Earliest,
    /// Behind the last record there is.
    Latest,
    /// At the first record that is not older, in milliseconds since the epoch.
    At(i64),
}

/// What carries the records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Engine {
    /// librdkafka, record by record.
    Records,
    /// kafka-wire, in the batches that they were written in.
    Batches,
}

impl fmt::Display for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Records => "records",
            Self::Batches => "batches",
        })
    }
}

/// When a topic begins that the link has not mirrored yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Begin {
    /// As soon as it is there.
    AtOnce,
    /// Once somebody has asked for it.
    Asked,
}

/// What is set topic by topic.
#[derive(Debug, Clone)]
pub struct TopicSettings {
    /// Whether a missing target topic is created, and a mirrored one grown with its source.
    pub create: bool,
    /// Replicas of a created topic; −1 for the target brokers' default.
    pub replication: i32,
    /// When it begins.
    pub begin: Begin,
    /// Where its lanes start.
    pub start: Start,
    /// How its target offsets follow from its source offsets.
    pub offsets: Offsets,
    /// Whether others write to the target topic, too: then offsets are translated.
    pub shared: bool,
}

/// One cluster of the link.
#[derive(Debug, Clone)]
pub struct Endpoint {
    /// Its name in the configuration.
    pub name: String,
    /// Its librdkafka properties.
    pub properties: Properties,
}

impl Endpoint {
    /// The user that isomirror logs in as, where its properties tell it.
    pub fn user(&self) -> Option<&str> {
        let sasl = self.properties.get("security.protocol")?.to_ascii_lowercase().starts_with("sasl");
        sasl.then(|| self.properties.get("sasl.username")).flatten()
    }

    /// The same as ACLs have it.
    pub fn principal(&self) -> Option<String> {
        self.user().map(|user| format!("User:{user}"))
    }
}

/// Which consumer groups' offsets are kept in step on the target, and how often.
#[derive(Debug, Clone)]
pub struct GroupSync {
    /// The groups; none: no group's.
    pub choice: Choice,
    /// Time between two looks at what they have committed.
    pub every: Duration,
}

/// How the source's ACLs come to the target.
#[derive(Debug, Clone, Default)]
pub struct AclSync {
    /// Principals that are called otherwise on the target.
    pub principals: BTreeMap<String, String>,
    /// Time between two looks, where the daemon is to keep them in step.
    pub every: Option<Duration>,
}

/// What is written on records of topics that others write, too.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origins {
    /// The headers; none: nothing is written.
    pub headers: Option<OriginHeaders>,
    /// Which records are mirrored, by where they were produced.
    pub passes: Passes,
    /// The name of the header by patterns of source topics, of which the first that matches counts; empty where none is
    /// written.
    pub by_topic: Vec<(String, String)>,
}

/// Settings of a source topic, by its name.
pub type SettingsOf = Arc<dyn Fn(&str) -> TopicSettings + Send + Sync>;

/// Everything a link needs to know.
#[derive(Clone)]
pub struct LinkConfig {
    /// Its name.
    pub link: String,
    /// isomirror's version, for status and metrics.
    pub version: &'static str,
    /// What carries the records.
    pub engine: Engine,
    /// The cluster that is read.
    pub source: Endpoint,
    /// The cluster that is written.
    pub target: Endpoint,
    /// The consumer group on the target that the link's instances are members of.
    pub group: String,
    /// Whether there can be no other instance, and no group is joined: the demo's brokers know none.
    pub alone: bool,
    /// This instance's name in the group, unless `group.instance.id` says one: it gets its lanes back at once when it
    /// starts again after a kill.
    pub instance: Option<String>,
    /// Whether it rests until the journal says that it runs: the link of a pair that leads to the active site.
    pub rests: bool,
    /// Of a pair, the link the other way round, of which one rests.
    pub reverse: Option<String>,
    /// Which topics, under which names.
    pub rules: Arc<Rules>,
    /// What is set topic by topic.
    pub settings: SettingsOf,
    /// Where records of shared topics come from.
    pub origins: Origins,
    /// Whose consumer groups' offsets are kept in step.
    pub groups: GroupSync,
    /// Time between two looks at topics' configs, where the daemon is to keep them in step.
    pub configs_every: Option<Duration>,
    /// The ACLs.
    pub acls: AclSync,
    /// Time between two looks at the topics there are.
    pub refresh: Duration,
    /// Bytes of records the link may hold.
    pub buffer: u64,
    /// Bytes a second, at most.
    pub throttle: Option<u64>,
    /// Source clients that read in parallel.
    pub consumers: usize,
    /// How long to wait, at a stop, for the target to take what is in flight.
    pub drain: Duration,
    /// What to do about lost records.
    pub loss: LossPolicy,
    /// What to do about refused records.
    pub refused: RefusedPolicy,
    /// Stop once every lane has what the source had at the start; and give up on a cluster that can't be
    /// reached for this long.
    pub until_caught_up: Option<Duration>,
}

impl LinkConfig {
    pub(crate) fn source_consumer(&self) -> source_consumer::Config {
        let mut properties = self.source.properties.clone();
        // librdkafka wants one, whether it is used or not.
        properties.set("group.id", self.group.as_str());
        source_consumer::Config {
            properties,
            context: LogContext::new(format!("source cluster {}", self.source.name)),
            prefetch: self.buffer / 4 / self.consumers.max(1) as u64,
            loss: self.loss,
        }
    }

    /// The same for our own client.
    pub fn wire_isolation(&self) -> kafka_wire::Isolation {
        match self.isolation() {
            Isolation::Committed => kafka_wire::Isolation::ReadCommitted,
            Isolation::Uncommitted => kafka_wire::Isolation::ReadUncommitted,
        }
    }

    pub(crate) fn batch_consumer(&self) -> BatchConfig {
        BatchConfig {
            properties: self.source.properties.clone(),
            prefetch: self.buffer / 4,
            loss: self.loss,
            isolation: self.wire_isolation(),
        }
    }

    pub(crate) fn pinned_producer(&self) -> pinned_producer::Config {
        pinned_producer::Config {
            link: self.link.clone(),
            properties: self.target.properties.clone(),
            refused: self.refused,
        }
    }

    /// What is written on the records of a shared lane, and which stay behind, between clusters with these ids; none: nothing,
    /// and none. An error names the side whose cluster has no id.
    pub fn origins_of(
        &self,
        ids: &ClusterIds,
        source: &TopicPartition,
        target: &TopicPartition,
    ) -> Result<Option<LaneOrigins>, Side> {
        // Within one cluster all comes from it.
        let one_cluster = ids.source.is_some() && ids.source == ids.target;
        let Some(headers) = self.origins.headers.clone().filter(|_| !one_cluster) else { return Ok(None) };
        let source = (ids.source.clone().ok_or(Side::Source)?, source.clone());
        let target = (ids.target.clone().ok_or(Side::Target)?, target.clone());
        Ok(Some(LaneOrigins::new(headers, self.origins.passes, source, target)))
    }

    /// What the mirror may read, and so what counts as the source's end.
    pub fn isolation(&self) -> Isolation {
        match self.source.properties.get("isolation.level") {
            Some("read_uncommitted") => Isolation::Uncommitted,
            _ => Isolation::Committed,
        }
    }
}
