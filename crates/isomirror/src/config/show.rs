//! The effective configuration as text that can be loaded again, secrets hidden.

use std::collections::BTreeMap;

use kafka_rd::is_secret;
use serde::{Serialize, Serializer};
use topic_rename::Pattern;

use super::{
    Begin, Block, Cluster, Config, Consumers, Cutover, Depth, Engine, Offsets, OnTrouble, Origins, Start,
    Switchover, Writers, kafka::Reference, mask::HIDDEN, topics::Changes, units,
};

/// The configuration, key by key as in the file; scalars before tables, as TOML wants it.
#[derive(Serialize)]
pub struct Shown<'a> {
    link: &'a str,
    engine: Engine,
    source: ShownCluster<'a>,
    target: ShownCluster<'a>,
    topics: ShownTopics<'a>,
    groups: ShownGroups<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    configs: Option<ShownConfigs>,
    #[serde(skip_serializing_if = "Option::is_none")]
    acls: Option<ShownAcls<'a>>,
    cutover: ShownCutover<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    verify: Option<ShownVerify>,
    #[serde(skip_serializing_if = "Option::is_none")]
    audit: Option<ShownAudit>,
    limits: ShownLimits,
    policy: ShownPolicy,
    admin: ShownAdmin,
}

#[derive(Serialize)]
struct ShownCluster<'a> {
    name: &'a str,
    kafka: BTreeMap<&'a str, ShownProperty<'a>>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum ShownProperty<'a> {
    Value(&'a str),
    File { file: String },
    Variable { env: &'a str },
}

#[derive(Serialize)]
struct ShownTopics<'a> {
    include: &'a [String],
    exclude: &'a [String],
    create: bool,
    replication_factor: i16,
    refresh: String,
    offsets: Offsets,
    writers: Writers,
    #[serde(skip_serializing_if = "Option::is_none")]
    origin_header: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    origins: Option<Origins>,
    begin: Begin,
    start: Start,
    #[serde(skip_serializing_if = "Pairs::is_empty")]
    rename: Pairs<'a, &'a str>,
    #[serde(rename = "override", skip_serializing_if = "Pairs::is_empty")]
    overrides: Pairs<'a, Changes>,
}

#[derive(Serialize)]
struct ShownGroups<'a> {
    include: Vec<&'a str>,
    exclude: Vec<&'a str>,
    sync: String,
}

#[derive(Serialize)]
struct ShownConfigs {
    sync: String,
}

#[derive(Serialize)]
struct ShownAcls<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    sync: Option<String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    principals: &'a BTreeMap<String, String>,
}

#[derive(Serialize)]
struct ShownCutover<'a> {
    max_lag: u64,
    block: Block,
    writers: &'a [String],
    quiet: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    block_hook: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    unblock_hook: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    clients_hook: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    clients_hook_back: Option<&'a str>,
    verify: Depth,
    step_limit: String,
}

#[derive(Serialize)]
struct ShownVerify {
    every: String,
    rate: String,
}

#[derive(Serialize)]
struct ShownAudit {
    every: String,
}

#[derive(Serialize)]
struct ShownLimits {
    buffer: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    throttle: Option<String>,
    consumers: usize,
    drain: String,
}

#[derive(Serialize)]
struct ShownPolicy {
    loss: OnTrouble,
    refused: OnTrouble,
}

#[derive(Serialize)]
struct ShownAdmin {
    listen: String,
    log: String,
}

#[derive(Serialize)]
pub struct ShownSwitchover<'a> {
    active: &'a str,
    max_lag: u64,
    block: Block,
    #[serde(skip_serializing_if = "Option::is_none")]
    writers: Option<&'a [String]>,
    quiet: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    block_hook: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    unblock_hook: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    clients_hook: Option<&'a str>,
    consumers: Consumers,
    leave_limit: String,
    verify: Depth,
    step_limit: String,
}

/// A table whose order means something.
struct Pairs<'a, T>(Vec<(&'a str, T)>);

impl<T> Pairs<'_, T> {
    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl<T: Serialize> Serialize for Pairs<'_, T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(key, value)| (key, value)))
    }
}

impl Config {
    /// It as TOML.
    pub fn to_toml(&self) -> String {
        toml::to_string(&self.shown()).expect("strings, numbers and tables are TOML")
    }

    /// It as JSON.
    pub fn to_json(&self) -> String {
        serde_json::to_string_pretty(&self.shown()).expect("strings, numbers and tables are JSON")
    }

    pub(super) fn shown(&self) -> Shown<'_> {
        let (topics, limits) = (&self.topics, &self.limits);
        let rules = topics.rules.config();
        Shown {
            link: &self.link,
            engine: self.engine,
            source: cluster(&self.source),
            target: cluster(&self.target),
            topics: ShownTopics {
                include: &rules.include,
                exclude: &rules.exclude,
                create: topics.defaults.create,
                replication_factor: topics.defaults.replication_factor.unwrap_or(-1),
                refresh: units::show_duration(topics.refresh),
                offsets: topics.defaults.offsets,
                writers: topics.defaults.writers,
                origin_header: topics.any_shared().then_some(&topics.origin_header),
                origins: topics.any_shared().then_some(topics.origins),
                begin: topics.defaults.begin,
                start: topics.defaults.start,
                rename: Pairs(rules.rename.iter().map(|(from, to)| (from.as_str(), to.as_str())).collect()),
                overrides: Pairs(topics.overrides.iter().map(|o| (o.pattern.as_str(), o.settings)).collect()),
            },
            groups: ShownGroups {
                include: self.groups.include.iter().map(Pattern::as_str).collect(),
                exclude: self.groups.exclude.iter().map(Pattern::as_str).collect(),
                sync: units::show_duration(self.groups.sync),
            },
            configs: self.configs.sync.map(|sync| ShownConfigs { sync: units::show_duration(sync) }),
            acls: (self.acls.sync.is_some() || !self.acls.principals.is_empty()).then(|| ShownAcls {
                sync: self.acls.sync.map(units::show_duration),
                principals: &self.acls.principals,
            }),
            cutover: cutover(&self.cutover),
            verify: self.verify.every.map(|every| ShownVerify {
                every: units::show_duration(every),
                rate: self.verify.rate.to_string(),
            }),
            audit: self.audit.every.map(|every| ShownAudit { every: units::show_duration(every) }),
            limits: ShownLimits {
                buffer: units::show_size(limits.buffer),
                throttle: limits.throttle.map(|rate| rate.to_string()),
                consumers: limits.consumers.get(),
                drain: units::show_duration(limits.drain),
            },
            policy: ShownPolicy { loss: self.policy.loss, refused: self.policy.refused },
            admin: ShownAdmin {
                listen: self.admin.listen.map_or("none".into(), |at| at.to_string()),
                log: self.admin.log.clone(),
            },
        }
    }
}

impl Switchover {
    pub(super) fn shown(&self) -> ShownSwitchover<'_> {
        ShownSwitchover {
            active: &self.active,
            max_lag: self.max_lag,
            block: self.block,
            writers: self.writers.as_deref(),
            quiet: units::show_duration(self.quiet),
            block_hook: self.block_hook.as_deref(),
            unblock_hook: self.unblock_hook.as_deref(),
            clients_hook: self.clients_hook.as_deref(),
            consumers: self.consumers,
            leave_limit: units::show_duration(self.leave_limit),
            verify: self.verify,
            step_limit: units::show_duration(self.step_limit),
        }
    }
}

fn cutover(cutover: &Cutover) -> ShownCutover<'_> {
    ShownCutover {
        max_lag: cutover.max_lag,
        block: cutover.block,
        writers: &cutover.writers,
        quiet: units::show_duration(cutover.quiet),
        block_hook: cutover.block_hook.as_deref(),
        unblock_hook: cutover.unblock_hook.as_deref(),
        clients_hook: cutover.clients_hook.as_deref(),
        clients_hook_back: cutover.clients_hook_back.as_deref(),
        verify: cutover.verify,
        step_limit: units::show_duration(cutover.step_limit),
    }
}

fn cluster(cluster: &Cluster) -> ShownCluster<'_> {
    let property = |name| {
        let value = match cluster.references.get(name) {
            Some(Reference::Variable(env)) => ShownProperty::Variable { env },
            // From wherever it is loaded again, the same file is meant.
            Some(Reference::File(path)) => {
                let path = std::path::absolute(path).unwrap_or_else(|_| path.clone());
                ShownProperty::File { file: path.display().to_string() }
            }
            None if is_secret(name) => ShownProperty::Value(HIDDEN),
            None => ShownProperty::Value(cluster.kafka.get(name).unwrap_or_default()),
        };
        (name, value)
    };
    ShownCluster { name: &cluster.name, kafka: cluster.kafka.names().map(property).collect() }
}
