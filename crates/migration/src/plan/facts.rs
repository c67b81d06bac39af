//! What both clusters show that is to be compared: plain data, for `evaluate` to judge.
//!
//! Owns nothing but the shape. An `Err` is kept where the cluster's refusal is itself a fact.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use cluster_admin::{Error, TopicConfigs, TopicInfo};
use group_offsets::Choice;
use kafka_wire::AclRule;
use pipeline::TopicSettings;
use topic_rename::{Clash, IllegalTarget, Rules};

use super::Part;

/// Everything there is to compare.
#[derive(Clone)]
pub struct Facts {
    /// The link's name.
    pub link: String,
    /// The source cluster's name.
    pub source: String,
    /// The target cluster's name.
    pub target: String,
    /// What is looked at.
    pub parts: BTreeSet<Part>,
    /// Target topics that several source topics would become.
    pub clashes: Vec<Clash>,
    /// Source topics that would get an impossible name.
    pub illegal: Vec<IllegalTarget>,
    /// The topics that are mirrored, or would be.
    pub topics: Vec<TopicFacts>,
    /// All topics on the target.
    pub target_topics: BTreeSet<String>,
    /// By which topics are chosen.
    pub rules: Arc<Rules>,
    /// By which consumer groups are.
    pub choice: Choice,
    /// Principals that are called otherwise on the target.
    pub principals: BTreeMap<String, String>,
    /// Isomirror's principal on the target, where it is known.
    pub own: Option<String>,
    /// The same on the source.
    pub own_on_source: Option<String>,
    /// The ACLs; none where they are not looked at.
    pub acls: Option<AclFacts>,
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
    /// Whether this link has mirrored it before.
    pub begun: bool,
    /// What the source shows of it.
    pub info: Result<TopicInfo, Error>,
    /// Its configuration on the source.
    pub configs: Result<TopicConfigs, Error>,
    /// What the target shows of the target topic; none where there is none.
    pub target: Option<Result<TopicInfo, Error>>,
    /// The target topic's configuration; none where there is none.
    pub target_configs: Option<Result<TopicConfigs, Error>>,
}

/// Both clusters' ACLs.
#[derive(Debug, Clone)]
pub struct AclFacts {
    /// The source's.
    pub source: Result<BTreeSet<AclRule>, kafka_wire::Error>,
    /// The target's.
    pub target: Result<BTreeSet<AclRule>, kafka_wire::Error>,
    /// The consumer groups there are on the source, of those that are carried over.
    pub groups: BTreeSet<String>,
}
