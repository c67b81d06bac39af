//! What both clusters show of a link: plain data, for `evaluate` to judge.
//!
//! Owns nothing but the shape. An `Err` is kept where the cluster's refusal is itself a fact; a cluster that
//! can't be reached never gets this far.

use std::collections::{BTreeMap, HashMap};

use cluster_admin::{AclOperation, BrokerConfigs, Error, Rights, TopicConfigs, TopicInfo};
use mirror_types::{Offset, Side, TopicPartition};
use offset_marks::control::Rules;
use pipeline::{Refused, TopicSettings};
use topic_rename::{Clash, IllegalTarget};

use super::{GroupFacts, JournalFacts, OtherLink};

/// Everything there is to know before a link runs.
#[derive(Debug, Clone)]
pub struct Facts {
    /// The link's name.
    pub link: String,
    /// The consumer group on the target that its instances are members of.
    pub group: String,
    /// The cluster that is read.
    pub source: ClusterFacts,
    /// The cluster that is written.
    pub target: ClusterFacts,
    /// What this principal may do on the target beside what it may do to topics.
    pub target_rights: TargetRights,
    /// The topic on the target that the link's marks are in.
    pub control: ControlFacts,
    /// Whether lanes go on behind what the source has lost.
    pub skips_loss: bool,
    /// What else is asked for beside records.
    pub asked: Asked,
    /// Whether both sides are to be compared while it runs.
    pub verifies: bool,
    /// Other links that write to one of the clusters, as far as they may be seen.
    pub others: Vec<OtherLink>,
    /// What this link leads where; none where a cluster has no id.
    pub rules: Option<Rules>,
    /// Whether it mirrors, of topics with other writers, only what was produced on its source.
    pub only_own: bool,
    /// What operators have decided.
    pub journal: JournalFacts,
    /// The consumer groups that are to be kept in step, where any are.
    pub groups: Option<GroupFacts>,
    /// Bytes a second that the source was read with just now; none where there was too little to tell.
    pub pace: Option<u64>,
    /// Bytes a second that the link may take, at most.
    pub throttle: Option<u64>,
    /// Target topics that several source topics would become.
    pub clashes: Vec<Clash>,
    /// Source topics that would get an impossible name.
    pub illegal: Vec<IllegalTarget>,
    /// Include patterns that no topic matches, and topics that are named and not there.
    pub unmatched: Vec<Unmatched>,
    /// The topics that would be mirrored.
    pub topics: Vec<TopicFacts>,
}

/// What the configuration asks for beside records.
#[derive(Debug, Clone, Copy, Default)]
pub struct Asked {
    /// That topics' configs are kept in step.
    pub configs_in_step: bool,
    /// That ACLs are kept in step.
    pub acls_in_step: bool,
    /// That ACLs are carried over, if only by command: principals are named.
    pub acls: bool,
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

/// What this principal may do on the target beside what it may do to topics; none where that can't be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TargetRights {
    /// To be a member of the link's group.
    pub group: Option<bool>,
    /// To write control records: ClusterAction.
    pub markers: Option<bool>,
    /// To use the link's transactional ids.
    pub transactions: Option<bool>,
}

/// The topic on the target that the link's marks are in.
#[derive(Debug, Clone)]
pub struct ControlFacts {
    /// Its name.
    pub name: String,
    /// What the target shows of it.
    pub topic: TargetFacts,
    /// What is in it; none where the target does not show it.
    pub marks: Option<Result<Marks, control_topic::Error>>,
}

/// What the link has on record.
#[derive(Debug, Clone, Default)]
pub struct Marks {
    /// The id of the source cluster of the link that it belongs to.
    pub source_cluster: Option<String>,
    /// How far each lane is that has begun.
    pub positions: HashMap<TopicPartition, Offset>,
    /// Why lanes that have begun would not go on, by what is on record of them.
    pub unlike: BTreeMap<TopicPartition, Refused>,
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
    /// How many of its partitions this link has marks of; none where they could not be seen.
    pub begun: Option<usize>,
    /// Records to mirror until caught up, by the offsets; none where they could not be seen.
    pub records: Option<u64>,
    /// Their bytes as they are stored, by a sample; none where none could be read.
    pub bytes: Option<u64>,
    /// Offsets that its lanes would pad before their start, in all: where a target partition is empty, and its lane is to
    /// start behind offset 0 at the same offset.
    pub padded: u64,
    /// Whether a lane that has not begun has so much before it that large gaps would be padded, if the topic is compacted.
    pub gaps_padded: bool,
    /// A lane that has not begun would be refused for an emptied target partition.
    pub emptied: Option<Emptied>,
    /// Whether it has records older than the target topic takes; none where nobody asked, because the target
    /// takes all or because it could not be seen.
    pub too_old: Option<bool>,
    /// The target topic.
    pub target: TargetFacts,
}

/// A partition of the target topic that holds no record and ends behind where its lane would start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Emptied {
    /// Which.
    pub partition: i32,
    /// Where it ends.
    pub end: Offset,
    /// Where the lane would start.
    pub from: Offset,
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
        /// What this principal may not do to it: of what was tried.
        lacking: Vec<AclOperation>,
    },
    /// The target does not show it, or shows that it is there and no more.
    Hidden(Error),
}

impl TopicFacts {
    /// Whether this link has mirrored the topic before.
    pub fn is_mirrored(&self) -> bool {
        self.begun.is_some_and(|begun| begun > 0)
    }

    /// Whether others write the target topic, too.
    pub fn is_shared(&self) -> bool {
        self.settings.shared
    }

    /// Whether a record's offset on the target is its offset on the source.
    pub fn is_identical(&self) -> bool {
        self.settings.offsets == pipeline::Offsets::Identical
    }
}
