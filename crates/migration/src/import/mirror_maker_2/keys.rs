//! Which of several keys counts for a client of a flow, and what is said of those that have no counterpart.
//!
//! The order is that of `MirrorMakerConfig` and `MirrorSourceConfig`: for the consumer of the source,
//! `A->B.source.consumer.x` wins over `A.consumer.x`, that over `A.x` and `x` (those two for logins and TLS alone), and
//! all of them over `A->B.consumer.x`. Records are written by the Connect worker's producer: `B.producer.x`.

use mirror_types::Side;

use super::{
    super::{
        client::{Client, reason, unknown},
        draft::{Draft, Section},
        note::Place,
    },
    Flow, Scope,
};
use crate::check::Severity::{self, Error, Info, Warning};

pub(super) const CONFIGS: &str = "isomirror copies a topic's configs when it creates the target topic; later it does with `sync` in [configs], or \
     `isomirror apply`";
pub(super) const ACLS: &str = "ACLs are carried over with `sync` in [acls], or by `isomirror apply`; who may write waits for \
                               the cutover";
const NOT_HERE: &str = "MirrorMaker 2 does not read it in this place either";

/// Keys that were looked at.
const LOOKED_AT: &str = "clusters enabled topics topics.whitelist topics.exclude topics.blacklist groups groups.whitelist \
    groups.exclude groups.blacklist replication.factor replication.policy.class replication.policy.separator \
    refresh.topics.enabled refresh.topics.interval.seconds tasks.max sync.group.offsets.enabled \
    sync.group.offsets.interval.seconds source.cluster.alias target.cluster.alias";

/// Keys of connectors and workers that have no counterpart, or beginnings of them: how bad that is, and why.
const ASIDE: [(&str, (Severity, &str)); 13] = [
    (
        "emit.heartbeats* heartbeats.*",
        (Info, "isomirror writes no heartbeats: its lag is at /metrics of admin.listen"),
    ),
    (
        "emit.checkpoints* checkpoints.* emit.offset-syncs* offset-syncs.* offset.lag.max",
        (Info, "every offset is on record in the link's topic on the target: `isomirror marks`"),
    ),
    ("sync.topic.configs*", (Info, CONFIGS)),
    ("sync.topic.acls*", (Info, ACLS)),
    (
        "config.propert* use.defaults.from",
        (Warning, "a created topic gets all configs that the source's has of its own"),
    ),
    (
        "refresh.groups* group.filter.class",
        (Info, "groups are looked for each time: those that include in [groups] names"),
    ),
    (
        "topic.filter.class",
        (Error, "a topic filter is code: see that `include` and `exclude` choose the same topics"),
    ),
    (
        "transforms* predicates*",
        (
            Error,
            "isomirror changes no records: if it renames topics, write [topics.rename]; else isomirror can't take its place",
        ),
    ),
    ("exactly.once* transaction.*", (Info, "each record arrives once, always")),
    (
        "replication.policy.internal* default.replication.policy.*",
        (Info, "isomirror has no topics of that kind"),
    ),
    ("key.converter* value.converter* header.converter*", (Info, "records go through as bytes")),
    (
        "consumer.poll.* offset.* config.* status.* task* worker.* plugin.* listeners* rest.* dedicated.* name connector.* \
         errors.* topic.creation.* scheduled.* metric* admin.timeout.ms client.id group.id use.incremental.* \
         add.source.alias.* auto.include.* access.* connect.* session.* heartbeat.* rebalance.* inter.worker.* \
         forwarding.* response.* security.providers",
        (Info, "it is about Kafka Connect, which isomirror does not need"),
    ),
    (
        "consumer.* producer.* admin.* source.* target.*",
        (Info, "it is about clients that isomirror does not have: one set of properties serves a cluster"),
    ),
];

/// Whether MirrorMaker 2 hands this key to every client of a cluster.
fn is_connection(key: &str) -> bool {
    reason(&[("bootstrap.servers security.protocol ssl.* sasl.*", ())], key).is_some()
}

/// The client's property that a key is, and how much it counts.
fn property(side: Side, scope: Scope<'_>) -> Option<(u8, &str)> {
    let connection = |rank, key| Some((rank, key)).filter(|_| is_connection(key));
    let behind = |rank, key: &'static str| move |whole| Some((rank, str::strip_prefix(whole, key)?));
    match (side, scope) {
        (_, Scope::Top(key)) => connection(2, key),
        (Side::Source, Scope::Source(key)) => behind(4, "consumer.")(key).or_else(|| connection(3, key)),
        (Side::Target, Scope::Target(key)) => behind(4, "producer.")(key).or_else(|| connection(3, key)),
        (Side::Source, Scope::Flow(key)) => {
            let base = || connection(0, key.strip_prefix("source.cluster.")?);
            let own = || behind(1, "consumer.")(key).filter(|(_, rest)| !rest.starts_with("poll."));
            behind(5, "source.consumer.")(key).or_else(own).or_else(base)
        }
        (Side::Target, Scope::Flow(key)) => {
            let base = || connection(0, key.strip_prefix("target.cluster.")?);
            behind(5, "producer.override.")(key).or_else(base)
        }
        _ => None,
    }
}

impl Flow<'_> {
    /// The client that reads the source or writes the target.
    pub(super) fn client(&self, draft: &mut Draft, side: Side) -> Client {
        let mut found: Vec<_> = Vec::new();
        for (scope, entry) in &self.keys {
            found.extend(property(side, *scope).map(|(rank, name)| (rank, name, *entry)));
        }
        found.sort_by_key(|(rank, ..)| *rank);
        let mut client = Client::new();
        for (_, name, entry) in found {
            if let Some(covered) = client.insert(name.to_owned(), self.given(entry)) {
                let message = format!("does not count here: line {} does", entry.line);
                draft.note(Section::of(side), Info, covered.place, message);
            }
        }
        client
    }

    /// Says of every key what became of it that nobody has looked at.
    pub(super) fn rest(&self, draft: &mut Draft) {
        for (scope, entry) in &self.keys {
            let place = self.file.place(entry);
            if property(Side::Source, *scope).or_else(|| property(Side::Target, *scope)).is_some() {
                continue;
            }
            let (section, severity, message) = match *scope {
                Scope::Other => continue,
                Scope::Nobody => (Section::Top, Warning, "it names a cluster that `clusters` does not have"),
                Scope::Top(key) | Scope::Flow(key) if self.was_looked_at(key) => continue,
                Scope::Top(key)
                    if reason(&[("consumer.poll.* admin.timeout.ms", ())], key).is_none()
                        && reason(&[("consumer.* producer.* admin.*", ())], key).is_some() =>
                {
                    (Section::Top, Warning, NOT_HERE)
                }
                Scope::Top(key) => aside(Section::Top, key, &place, unknown(&place)),
                Scope::Flow(key) => aside(Section::Topics, key, &place, unknown(&place)),
                Scope::Source(key) => aside(Section::SourceKafka, key, &place, NOT_HERE),
                Scope::Target(key) => aside(Section::TargetKafka, key, &place, NOT_HERE),
            };
            draft.note(section, severity, place, message);
        }
    }

    fn was_looked_at(&self, key: &str) -> bool {
        let copies = ["sync.topic.configs.enabled", "sync.topic.acls.enabled"];
        LOOKED_AT.split_whitespace().any(|known| known == key)
            || copies.contains(&key) && self.is_true(key, true)
    }
}

fn aside(
    section: Section,
    key: &str,
    place: &Place,
    otherwise: &'static str,
) -> (Section, Severity, &'static str) {
    match reason(&ASIDE, key) {
        // What is not read there does no harm.
        Some((_, message)) if otherwise == NOT_HERE => (section, Info, message),
        Some((severity, message)) => (section, *severity, message),
        None if place.key.is_none() => (section, Warning, unknown(place)),
        None => (section, Warning, otherwise),
    }
}
