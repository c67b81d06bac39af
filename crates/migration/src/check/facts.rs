//! What both clusters show of a link: plain data, for `evaluate` to judge.
//!
//! Owns nothing but the shape. An `Err` is kept where the cluster's refusal is itself a fact; a cluster that
//! can't be reached never gets this far.

use cluster_admin::{BrokerConfigs, Error, Rights, TopicConfigs, TopicInfo};
use mirror_types::Side;
use pipeline::TopicSettings;
use topic_rename::{Clash, IllegalTarget};

/// Everything there is to know before a link runs.
#[derive(Debug, Clone)]
pub struct Facts {
    /// The link's name.
    pub link: String,
    /// The source consumer group of its positions.
    pub group: String,
    /// Whether any topic gets offsets of its own on the target.
    pub translated: bool,
    /// The cluster that is read.
    pub source: ClusterFacts,
    /// The cluster that is written.
    pub target: ClusterFacts,
    /// What this principal may do to the group; none if the source has no groups yet, and asking would make
    /// it make the topic for them.
    pub group_rights: Option<Result<Option<Rights>, Error>>,
    /// Target topics that several source topics would become.
    pub clashes: Vec<Clash>,
    /// Source topics that would get an impossible name.
    pub illegal: Vec<IllegalTarget>,
    /// Include patterns that no topic matches, and topics that are named and not there.
    pub unmatched: Vec<Unmatched>,
    /// The topics that would be mirrored.
    pub topics: Vec<TopicFacts>,
}

/// One cluster.
#[derive(Debug, Clone)]
pub struct ClusterFacts {
    /// Which side of the link it is on.
    pub side: Side,
    /// Its name in the configuration.
    pub name: String,
    /// Its id, where it has one.
    pub id: Option<String>,
    /// The ids of its brokers that are up.
    pub brokers: Vec<i32>,
    /// What this principal may do to the cluster; none where that can't be known.
    pub rights: Option<Rights>,
    /// A broker's configuration, where it may be read.
    pub configs: Option<BrokerConfigs>,
    /// A server to give Kafka's tools.
    pub bootstrap: String,
    /// Whether Kafka's tools need credentials for it.
    pub secured: bool,
    /// This client's principal, where the configuration tells it.
    pub principal: Option<String>,
}

/// An include pattern that no topic matches, or a topic that is named and not there.
#[derive(Debug, Clone)]
pub struct Unmatched {
    /// The pattern, or the name.
    pub pattern: String,
    /// Whether it is a topic's name.
    pub named: bool,
    /// Whether it is a topic's name, and the source says that this principal may not see that topic.
    pub hidden: bool,
}

/// One topic of the link.
#[derive(Debug, Clone)]
pub struct TopicFacts {
    /// Its name on the source.
    pub topic: String,
    /// Its name on the target.
    pub target_topic: String,
    /// How it is to be mirrored.
    pub settings: TopicSettings,
    /// With both sides on one cluster: the mirrored topic that it would feed.
    pub feeds: Option<String>,
    /// What the source shows of it.
    pub info: Result<TopicInfo, Error>,
    /// Its configuration on the source.
    pub configs: Result<TopicConfigs, Error>,
    /// What this principal may do to it on the source.
    pub rights: Result<Option<Rights>, Error>,
    /// How many of its partitions this link has positions for.
    pub positions: Result<usize, Error>,
    /// Records to mirror until caught up, by the offsets; none where they could not be seen.
    pub records: Option<u64>,
    /// Whether it has records older than the target topic takes; none where nobody asked, because the target
    /// takes all or because it could not be seen.
    pub too_old: Option<bool>,
    /// The target topic.
    pub target: TargetFacts,
}

/// The target topic of a source topic.
#[derive(Debug, Clone)]
pub enum TargetFacts {
    /// It is there.
    There {
        /// What the target shows of it.
        info: TopicInfo,
        /// Its configuration.
        configs: Result<TopicConfigs, Error>,
        /// What this principal may do to it.
        rights: Result<Option<Rights>, Error>,
        /// The records in it, by the offsets; none where they could not be seen.
        records: Option<u64>,
    },
    /// It is not there.
    Missing {
        /// Whether it could be created; none where nobody asked, because it is not to be.
        creation: Option<Result<(), Error>>,
        /// What it would be created with.
        configs: Vec<(String, String)>,
    },
    /// The target does not show it, or shows that it is there and no more.
    Hidden(Error),
}

impl TopicFacts {
    /// Whether this link has mirrored the topic before.
    pub fn is_mirrored(&self) -> bool {
        matches!(self.positions, Ok(positions) if positions > 0)
    }
}
