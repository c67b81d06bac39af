//! From the configuration file's words to the link's: the one place where both are known.

use std::{sync::Arc, time::Duration};

use group_offsets::Choice;
use migration::verify::WatchConfig;
use mirror_types::{OriginHeaders, Passes};
use pipeline::{
    AclSync, Endpoint, Engine, GroupSync, LinkConfig, LossPolicy, Origins, RefusedPolicy, TopicSettings,
};

use crate::config::{self, Begin, Cluster, Config, Offsets, OnTrouble, Start, Writers};

/// What the pipeline is to run.
pub fn config(config: &Config, until_caught_up: Option<Duration>) -> LinkConfig {
    let topics = config.topics.clone();
    let settings = move |topic: &str| {
        let settings = topics.settings(topic);
        TopicSettings {
            create: settings.create,
            replication: settings.replication_factor.map_or(-1, i32::from),
            begin: match settings.begin {
                Begin::AtOnce => pipeline::Begin::AtOnce,
                Begin::Asked => pipeline::Begin::Asked,
            },
            start: match settings.start {
                Start::Earliest => pipeline::Start::Earliest,
                Start::Latest => pipeline::Start::Latest,
                Start::At(time) => pipeline::Start::At(time.as_millisecond()),
            },
            offsets: match settings.offsets {
                Offsets::Identical => pipeline::Offsets::Identical,
                Offsets::Translated => pipeline::Offsets::Translated,
            },
            shared: settings.writers == Writers::Shared,
        }
    };
    LinkConfig {
        link: config.link.clone(),
        version: env!("CARGO_PKG_VERSION"),
        engine: engine(config).0,
        source: endpoint(&config.source),
        target: endpoint(&config.target),
        group: config.group().to_owned(),
        alone: false,
        instance: instance(config),
        rests: config.rests,
        reverse: config.reverse.clone(),
        rules: Arc::new(config.topics.rules.clone()),
        settings: Arc::new(settings),
        origins: Origins {
            headers: OriginHeaders::new(&config.topics.origin_header),
            passes: match config.topics.origins {
                config::Origins::All => Passes::All,
                config::Origins::Own => Passes::Own,
            },
            by_topic: config.topics.origin_headers(),
        },
        groups: GroupSync { choice: groups(config), every: config.groups.sync },
        configs_every: config.configs.sync,
        acls: AclSync { principals: config.acls.principals.clone(), every: config.acls.sync },
        refresh: config.topics.refresh,
        buffer: config.limits.buffer.as_u64(),
        throttle: config.limits.throttle.map(|rate| rate.bytes_per_second()),
        consumers: config.limits.consumers.get(),
        drain: config.limits.drain,
        loss: match config.policy.loss {
            OnTrouble::Stop => LossPolicy::Stop,
            OnTrouble::Skip => LossPolicy::Skip,
        },
        refused: match config.policy.refused {
            OnTrouble::Stop => RefusedPolicy::Stop,
            OnTrouble::Skip => RefusedPolicy::Skip,
        },
        until_caught_up,
    }
}

/// The groups that the configuration names.
pub fn groups(config: &Config) -> Choice {
    Choice {
        include: config.groups.include.clone(),
        exclude: config.groups.exclude.clone(),
        own: config.group().to_owned(),
    }
}

/// How both sides are to be compared while the link runs; none: they are not.
pub fn watch(config: &Config) -> Option<WatchConfig> {
    let every = config.verify.every?;
    Some(WatchConfig { every, rate: config.verify.rate.bytes_per_second() })
}

/// What carries the records, and, where that is left to us, why it is not batches.
pub fn engine(config: &Config) -> (Engine, Option<String>) {
    match config.engine {
        config::Engine::Records => (Engine::Records, None),
        config::Engine::Batches => (Engine::Batches, None),
        // What librdkafka can do and our own client can't.
        config::Engine::Auto => match kafka_wire::Settings::new(config.source.kafka.iter()) {
            Ok(_) => (Engine::Batches, None),
            Err(error) => (Engine::Records, Some(format!("batches can't read the source: {error}"))),
        },
    }
}

/// A name that is this daemon's and no other's, and the same after a restart: no two listen at one port of one host.
fn instance(config: &Config) -> Option<String> {
    let port = config.admin.listen.map(|listen| listen.port()).filter(|port| *port != 0)?;
    let legal = |c: char| if c.is_ascii_alphanumeric() || matches!(c, '.' | '-') { c } else { '_' };
    Some(host().chars().map(legal).take(200).chain(format!("-{port}").chars()).collect())
}

/// This machine's name.
pub fn host() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

fn endpoint(cluster: &Cluster) -> Endpoint {
    Endpoint { name: cluster.name.clone(), properties: cluster.kafka.clone() }
}
